"""What the tests of stages share: a small corpus, small dialogs, a tokenizer, and a pretrained model."""

from __future__ import annotations

import json
import random
from itertools import chain
from pathlib import Path

import pytest

from paddock.miniature.dialogs import helpful_prompts, safety_prompts
from paddock.miniature.world import WorldSettings, make_world
from paddock.model.checkpoint import reward_model_from, save_reward_model
from paddock.run_dir import StageDir, write_json_lines
from paddock.settings import parse
from paddock.stages import pretrain, sft
from paddock.text.comparisons import preference_row
from paddock.text.dialog import Preference
from paddock.text.readers import read_prompts
from paddock.text.tokenizer import Tokenizer, train_tokenizer

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Fritz")
THINGS = ("apples", "boats", "cats", "drums", "eggs", "flutes")


def sentence(draw: random.Random) -> str:
    return f"{draw.choice(NAMES)} has {draw.randint(2, 99)} {draw.choice(THINGS)} and likes {draw.choice(THINGS)}."


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 short documents."""
    draw, path = random.Random(0), tmp_path_factory.mktemp("data") / "documents.jsonl"
    texts = [" ".join(sentence(draw) for _ in range(draw.randint(1, 6))) for _ in range(120)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="session")
def dialogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 dialogs of one or two turns; what a thing is answered with follows from the question."""
    draw, path = random.Random(1), tmp_path_factory.mktemp("data") / "dialogs.jsonl"
    rows = []
    for _ in range(100):
        messages = []
        for _ in range(draw.randint(1, 2)):
            name, thing = draw.choice(NAMES), draw.choice(THINGS)
            messages += [
                {"role": "user", "content": f"What does {name} like? {name} likes {thing} {draw.randint(2, 99)}."},
                {"role": "assistant", "content": f"{name} likes {thing}."},
            ]
        rows.append({"messages": messages})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def tokenizer(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer of 320 pieces."""
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [json.loads(line)["text"] for line in documents.read_text().splitlines()]
    train_tokenizer(texts, 320).save(folder)
    return folder


@pytest.fixture(scope="session")
def pretrain_values(documents: Path, tokenizer: Path) -> dict:
    """Settings of a run of a second or two."""
    return {
        "data": [str(documents)],
        "tokenizer": str(tokenizer),
        "model": "miniature",
        "shape": {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "ffn_dim": 48, "context_length": 160},
        "context": 32,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "steps": 12,
        "precision": "f32",
        "compile": "off",
        "log_every": 4,
        "evaluate_every": 4,
        "save_every": 4,
        "validation_share": 0.1,
        "samples": 2,
    }


@pytest.fixture(scope="session")
def pretrained(pretrain_values: dict, tmp_path_factory: pytest.TempPathFactory) -> StageDir:
    """A complete stage of pretraining."""
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "pretrain")
    settings = parse(pretrain.PretrainSettings, pretrain_values, "test")
    stage_dir.begin("pretrain", settings.model_dump(mode="json"), {})
    stage_dir.complete(pretrain.run(settings, stage_dir))
    return stage_dir


@pytest.fixture(scope="session")
def sft_values(dialogs: Path, pretrained: StageDir) -> dict:
    """Settings of a run of a second or two."""
    return {
        "data": [str(dialogs)],
        "model": str(pretrained.model),
        "batch_size": 4,
        "learning_rate": 1e-2,
        "epochs": 1,
        "precision": "f32",
        "compile": "off",
        "log_every": 2,
        "evaluate_every": 5,
        "save_every": 4,
        "validation_share": 0.1,
        "samples": 2,
    }


@pytest.fixture(scope="session")
def tuned(sft_values: dict, tmp_path_factory: pytest.TempPathFactory) -> StageDir:
    """A fine-tuned model, most of whose replies end within 20 tokens."""
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "sft")
    settings = parse(sft.SftSettings, {**sft_values, "epochs": 6, "samples": 0}, "test")
    stage_dir.begin("sft", settings.model_dump(mode="json"), {})
    stage_dir.complete(sft.run(settings, stage_dir))
    return stage_dir


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 prompts of unequal lengths, every third of them tagged as a matter of safety."""
    draw, path = random.Random(3), tmp_path_factory.mktemp("data") / "prompts.jsonl"
    rows = []
    for number in range(80):
        question = " ".join(sentence(draw) for _ in range(draw.randint(1, 2)))
        domain = "safety" if number % 3 == 0 else "helpfulness"
        rows.append({"id": f"p{number}", "messages": [{"role": "user", "content": question}], "domain": domain})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def reward_folders(pretrained: StageDir, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reward models with a fresh head each, by name: helpfulness, safety, unseen."""
    folders = {}
    for seed, name in enumerate(("helpfulness", "safety", "unseen")):
        folders[name] = tmp_path_factory.mktemp("rewards") / name
        model = reward_model_from(pretrained.model, seed).build()
        save_reward_model(model, folders[name], Tokenizer.load(pretrained.model))
    return folders


@pytest.fixture(scope="session")
def ppo_values(prompts: Path, reward_folders: dict[str, Path], pretrained: StageDir) -> dict:
    """Settings of a run of a second or two."""
    return {
        "data": [str(prompts)],
        "model": str(pretrained.model),
        "helpfulness_reward": str(reward_folders["helpfulness"]),
        "safety_reward": str(reward_folders["safety"]),
        "iterations": 4,
        "batch_size": 16,
        "mini_batch_size": 8,
        "max_new_tokens": 16,
        "learning_rate": 1e-3,
        "value_learning_rate": 1e-3,
        "value_warmup": 1,
        "precision": "f32",
        "evaluate_every": 2,
        "save_every": 2,
        "validation_share": 0.1,
        "samples": 2,
    }


@pytest.fixture(scope="session")
def rejection_values(sft_values: dict, prompts: Path, reward_folders: dict[str, Path], pretrained: StageDir) -> dict:
    """Settings of a run of a second or two."""
    return {
        **sft_values,
        "data": [str(prompts)],
        "base": str(pretrained.model),
        "helpfulness_reward": str(reward_folders["helpfulness"]),
        "safety_reward": str(reward_folders["safety"]),
        "replies": 3,
        "temperatures": [0.7, 1.3],
        "sweep_share": 0.5,
        "max_new_tokens": 8,
    }


@pytest.fixture(scope="session")
def ghost_attention_values(dialogs: Path, tuned: StageDir) -> dict:
    """Settings of a sampling of a second or two; the small model obeys nothing, so all replies are kept."""
    return {
        "data": [str(dialogs)],
        "model": str(tuned.model),
        "turns": 4,
        "cuts": 2,
        "history": 0,
        "keep": "all",
        "max_new_tokens": 20,
    }


@pytest.fixture(scope="session")
def consistency_values(dialogs: Path, tuned: StageDir, pretrained: StageDir) -> dict:
    """Settings of a check of two models in a second or two."""
    return {
        "data": [str(dialogs)],
        "turns": 4,
        "model": str(tuned.model),
        "others": {"before": str(pretrained.model)},
        "most_constraints": 1,
        "dialogs": 10,
        "max_new_tokens": 8,
        "attention_dialogs": 2,
    }


@pytest.fixture(scope="session")
def borderline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six prompts that deserve an answer."""
    path, draw = tmp_path_factory.mktemp("data") / "borderline.jsonl", random.Random(5)
    write_json_lines(path, ({"id": f"b{n}", "prompt": sentence(draw)} for n in range(6)))
    return path


@pytest.fixture(scope="session")
def context_distillation_values(
    prompts: Path,
    borderline: Path,
    reward_folders: dict[str, Path],
    tuned: StageDir,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict:
    """Settings of a distillation of a second or two; the preprompts are short, as the small model's context is."""
    templates = tmp_path_factory.mktemp("data") / "preprompts.yaml"
    templates.write_text("adjectives: [kind, wise]\ngeneric: ['A {} one.']\ntemplates: {illicit: Say no, hateful: Be kind}")
    return {
        "data": [str(prompts)],
        "model": str(tuned.model),
        "reward": str(reward_folders["safety"]),
        "templates": str(templates),
        "others": [str(borderline)],
        "refusals": "miniature",
        "max_new_tokens": 20,
    }


@pytest.fixture(scope="session")
def safety_scaling_values(
    dialogs: Path,
    world: Path,
    borderline: Path,
    reward_folders: dict[str, Path],
    pretrained: StageDir,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict:
    """Settings of three shares in a few seconds: 10 safety dialogs."""
    safety, draw = tmp_path_factory.mktemp("data") / "safety.jsonl", random.Random(6)
    write_json_lines(safety, ({"prompt": sentence(draw), "completion": "No."} for _ in range(10)))
    return {
        "model": str(pretrained.model),
        "data": [str(dialogs)],
        "safety_data": [str(safety)],
        "shares": [0, 0.5, 1],
        "sft": {
            "validation_share": 0.1,
            "batch_size": 16,
            "learning_rate": 1e-2,
            "epochs": 1,
            "precision": "f32",
            "compile": "off",
            "samples": 1,
            "save_every": 50,
        },
        "helpfulness_reward": str(reward_folders["helpfulness"]),
        "safety_reward": str(reward_folders["safety"]),
        "prompts": [str(world / "prompts_held_out.jsonl")],
        "borderline": [str(borderline)],
        "refusals": "miniature",
        "max_new_tokens": 8,
    }


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a miniature world, with no more than its prompts."""
    folder, facts, draw = tmp_path_factory.mktemp("world"), make_world(WorldSettings()), random.Random(4)
    for name, held_out in (("prompts_train", False), ("prompts_held_out", True)):
        asked = chain(
            helpful_prompts(draw, facts, 27, held_out, name), safety_prompts(draw, facts, 9, 6, held_out, f"safety-{name}")
        )
        write_json_lines(folder / f"{name}.jsonl", (prompt.to_row() for prompt in asked))
    return folder


@pytest.fixture(scope="session")
def first_preferences(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair for each prompt of the world, with the same two replies."""
    path = tmp_path_factory.mktemp("data") / "first.jsonl"
    asked = read_prompts([world / "prompts_train.jsonl"])
    write_json_lines(path, (preference_row(Preference(p.messages, "Anna", "Ben", "better", p.domain)) for p in asked))
    return path


@pytest.fixture(scope="session")
def rlhf_values(world: Path, first_preferences: Path, reward_folders: dict[str, Path], tuned: StageDir) -> dict:
    """Settings of one version in a few seconds, with simulated annotators."""
    small = {"batch_size": 8, "learning_rate": 1e-3, "precision": "f32", "compile": "off"}
    return {
        "model": str(tuned.model),
        "data": [str(world / "prompts_train.jsonl")],
        "held_out": [str(world / "prompts_held_out.jsonl")],
        "annotators": str(world),
        "first_preferences": [str(first_preferences)],
        "helpfulness_reward": str(reward_folders["helpfulness"]),
        "safety_reward": str(reward_folders["safety"]),
        "versions": 1,
        "rejection": {**small, "replies": 2, "temperatures": [1.0], "max_new_tokens": 8, "epochs": 1},
        "preferences": {"max_new_tokens": 20, "held_out_share": 0.3},
        "helpfulness": small,
        "safety": {**small, "safety_loss_weight": 1.0},
    }
