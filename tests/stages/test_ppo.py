"""PPO as a stage: what it is given, what it makes of it, what it leaves behind."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from paddock.errors import CheckpointError, SettingsError, TrainingError
from paddock.model.checkpoint import load_model
from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.stages import ppo
from paddock.stages.ppo_settings import PpoSettings, plan
from paddock.stages.rewards import RewardFunction, open_rewards
from paddock.text.tokenizer import train_tokenizer
from paddock.train.parallel import Ranks
from paddock.train.rollout import Reply
from paddock.train.state import Saves

ALONE = Ranks(0, 1, torch.device("cpu"))


def run(folder: Path, values: dict, **changes: object) -> tuple[dict, StageDir]:
    stage_dir, settings = StageDir(folder), parse(PpoSettings, {**values, **changes}, "test")
    stage_dir.begin("ppo", settings.model_dump(mode="json"), {})
    results = ppo.run(settings, stage_dir)
    stage_dir.complete(results)
    return results, stage_dir


def rows(stage_dir: StageDir, split: str = "train") -> list[dict]:
    found = [json.loads(line) for line in stage_dir.metrics_file.read_text().splitlines()]
    return [row for row in found if row["split"] == split]


def held_out(stage_dir: StageDir, step: int) -> list[dict]:
    path = stage_dir.path / "held_out" / f"step-{step:08d}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def edit_config(folder: Path, **changes: int) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))


@pytest.fixture(scope="module")
def complete(ppo_values: dict, reward_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory):
    """A complete run: its results and its folder."""
    folder = tmp_path_factory.mktemp("ppo") / "run"
    return run(folder, ppo_values, unseen_reward=str(reward_folders["unseen"]), temperature=0.8, micro_batch_size=2)


def test_other_samples_and_another_power_need_no_iteration(
    complete: tuple[dict, StageDir], ppo_values: dict, reward_folders: dict[str, Path], tmp_path: Path, monkeypatch
) -> None:
    shutil.copytree(complete[1].path, tmp_path / "ppo")
    monkeypatch.setattr(ppo, "iterate", None)  # which nothing calls
    changes = {"unseen_reward": str(reward_folders["unseen"]), "temperature": 0.8, "micro_batch_size": 2}
    wanted = parse(PpoSettings, {**ppo_values, **changes, "samples": 1, "watts": 123}, "test")
    assert {"samples", "watts"} <= PpoSettings.may_change
    results = ppo.run(wanted, StageDir(tmp_path / "ppo"))
    assert results["scores"] == complete[0]["scores"]
    assert results["energy"]["watts"] == 123
    assert len((tmp_path / "ppo" / "samples.jsonl").read_text().splitlines()) == 1
    for file in complete[1].model.iterdir():
        assert (tmp_path / "ppo" / "model" / file.name).read_bytes() == file.read_bytes(), file.name


# --- settings ---


def test_the_papers_settings_are_the_defaults() -> None:
    settings = PpoSettings(data=["p.jsonl"], model="m", helpfulness_reward="r")
    assert (settings.batch_size, settings.mini_batch_size, settings.epochs) == (512, 64, 1)
    assert (settings.clip_range, settings.kl_coef) == (0.2, 0.01)
    assert (settings.learning_rate, settings.warmup_steps, settings.final_learning_rate) == (1e-6, 0, 1.0)
    assert (settings.weight_decay, settings.clip) == (0.1, 1.0)
    assert 200 <= settings.iterations <= 400
    assert settings.patience
    assert settings.shared_layers == 0


def test_mini_batches_must_divide_the_batch(ppo_values: dict) -> None:
    with pytest.raises(SettingsError, match="batch_size 16 must be a multiple of mini_batch_size 6"):
        parse(PpoSettings, {**ppo_values, "mini_batch_size": 6}, "test")


def test_keeping_the_last_weights_needs_no_word_on_patience(ppo_values: dict) -> None:
    settings = parse(PpoSettings, {**ppo_values, "keep": "last"}, "test")
    assert settings.patience is None
    assert parse(PpoSettings, settings.model_dump(mode="json"), "test") == settings
    with pytest.raises(SettingsError, match="patience waits for a better step"):
        parse(PpoSettings, {**ppo_values, "keep": "last", "patience": 5}, "test")


@pytest.mark.parametrize(
    ("processes", "message"),
    [(16, "mini_batch_size 8 must be a multiple of the number of processes, 16"), (3, "batch_size 16 must be a multiple")],
)
def test_batches_that_processes_do_not_divide_are_refused_before_any_work(
    ppo_values: dict, processes: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{message}"):
        ppo.set_up(parse(PpoSettings, {**ppo_values, "model": "not opened"}, "test"), replace(ALONE, size=processes))


@pytest.mark.parametrize("name", ["helpfulness_reward", "safety_reward", "unseen_reward", "value_model"])
def test_a_model_whose_context_is_shorter_is_refused_before_any_work(
    ppo_values: dict, reward_folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    shutil.copytree(reward_folders["unseen"], tmp_path / "short")
    edit_config(tmp_path / "short", max_position_embeddings=48)
    values = {**ppo_values, name: str(tmp_path / "short")}
    for look in (plan, partial(ppo.set_up, ranks=ALONE)):
        with pytest.raises(
            SettingsError,
            match=r"short reads at most 48 tokens, and the policy .* writes up to 160: .* set context to 48 or less",
        ):
            look(parse(PpoSettings, values, "test"))
    assert plan(parse(PpoSettings, {**values, "context": 48}, "test"))["iterations"] == 4


def test_a_model_that_knows_fewer_ids_is_refused_before_any_work(
    ppo_values: dict, reward_folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(reward_folders["helpfulness"], tmp_path / "small")
    edit_config(tmp_path / "small", vocab_size=300)
    with pytest.raises(CheckpointError, match=r"small: the tokenizer has 320 ids, and the model 300"):
        ppo.set_up(parse(PpoSettings, {**ppo_values, "helpfulness_reward": str(tmp_path / "small")}, "test"), ALONE)


def test_a_reward_model_of_another_tokenizer_is_refused(
    ppo_values: dict, reward_folders: dict[str, Path], tmp_path: Path
) -> None:
    """All models see the sampled ids, so these must mean the same to all."""
    other = tmp_path / "other"
    other.mkdir()
    for file in reward_folders["helpfulness"].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    train_tokenizer(["another text with other letters, quite another"] * 20, 290).save(other)
    with pytest.raises(SettingsError, match="other has another tokenizer than the policy"):
        run(tmp_path / "run", ppo_values, safety_reward=str(other))


def test_a_reply_must_leave_room_for_a_prompt(ppo_values: dict, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="max_new_tokens 160 leaves no room for a prompt"):
        run(tmp_path, ppo_values, max_new_tokens=160)


def test_a_dry_run_counts_prompts_and_steps(ppo_values: dict) -> None:
    found = plan(parse(PpoSettings, ppo_values, "test"))
    assert found["rows"] + 8 == pytest.approx(80, abs=8)
    assert found["steps"] == 4 * 2
    assert found["memory_bytes"] > found["parameters"] * 4 * 4


# --- an iteration ---


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_ratio_is_exactly_one_on_the_first_mini_batch(ppo_values: dict, tmp_path: Path, precision: str) -> None:
    _, stage_dir = run(tmp_path, ppo_values, precision=precision, micro_batch_size=3, value_warmup=0, temperature=0.7)
    for row in rows(stage_dir):
        assert row["ratio_first_error"] == 0
        assert row["ratio_max_error"] > 0


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_kl_is_exactly_nought_before_the_first_step(ppo_values: dict, tmp_path: Path, precision: str) -> None:
    _, stage_dir = run(tmp_path, ppo_values, precision=precision, temperature=0.7)
    first, second, third, _ = rows(stage_dir)  # the policy rests in the first iteration
    assert first["kl"] == second["kl"] == second["kl_k3"] == 0
    assert third["kl_k3"] > 0


def test_sampling_at_a_temperature_agrees_with_training_at_it(complete) -> None:
    for row in rows(complete[1]):
        assert row["sampler_gap_max"] < 1e-4
        assert row["sampler_gap_share_outside"] == 0


@pytest.mark.parametrize("size", [1, 2])
def test_the_micro_batch_changes_nothing(ppo_values: dict, tmp_path: Path, size: int) -> None:
    _, whole = run(tmp_path / "whole", ppo_values, iterations=2)
    _, parts = run(tmp_path / "parts", ppo_values, iterations=2, micro_batch_size=size)
    for one, other in zip(rows(whole), rows(parts), strict=True):
        for name in ("value_loss", "policy_loss", "kl", "reward", "entropy", "clip_share"):
            assert other[name] == pytest.approx(one[name], abs=1e-5), name


def test_the_policy_rests_while_the_value_model_warms_up(ppo_values: dict, tmp_path: Path, pretrained: StageDir) -> None:
    changes = {"value_warmup": 2, "iterations": 2, "keep": "last"}
    _, stage_dir = run(tmp_path, ppo_values, **changes)
    assert [row["policy_loss"] for row in rows(stage_dir)] == [None, None]
    assert all(row["value_gradient_norm"] > 0 for row in rows(stage_dir))
    before, after = load_model(pretrained.model), load_model(stage_dir.model)
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), after.parameters(), strict=True))


def test_values_are_clipped_only_once_the_policy_learns(ppo_values: dict, tmp_path: Path) -> None:
    losses = []
    for name, clip in (("free", None), ("tight", 1e-6)):
        _, stage_dir = run(tmp_path / name, ppo_values, value_clip_range=clip, epochs=2, iterations=2)
        losses.append([row["value_loss"] for row in rows(stage_dir)])
    free, tight = losses
    assert tight[0] == free[0]
    assert tight[1] > free[1]


def test_a_reply_without_an_end_pays_the_penalty_after_whitening() -> None:
    replies = [Reply((1,), (5, 2), (0.0, 0.0), ended=True), Reply((1,), (5, 5), (0.0, 0.0), ended=False)]
    values = {"data": ["p"], "model": "m", "helpfulness_reward": "r", "missing_eos_penalty": 0.75}
    settings = parse(PpoSettings, values, "test")
    found = ppo.sequence_scores(torch.tensor([1.0, 3.0]), replies, settings, ALONE)
    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0 - 0.75]))


def test_rewards_are_of_the_sampled_ids_and_the_replys_last_token(ppo_values: dict, reward_folders: dict[str, Path]) -> None:
    """Scored with prompt and end token; padding and neighbours change nothing."""
    bench = ppo.set_up(parse(PpoSettings, ppo_values, "test"), ALONE)
    prompts = bench.prompts.train.take(range(12))
    replies = ppo.sample(bench, prompts, (0, 0, 0))
    found = bench.rewards.score_ids([reply.sequence for reply in replies], prompts.is_safety)
    model = open_rewards(reward_folders["helpfulness"], None).helpfulness.model
    for place, reply in enumerate(replies):
        assert reply.ids[-1] == bench.tokenizer.eos_id or not reply.ended
        alone = model(torch.tensor([reply.sequence]))[0, -1].item()
        assert found.helpfulness[place].item() == pytest.approx(alone, abs=1e-5)


# --- what a run leaves ---


def test_the_run_is_a_function_of_its_seed(ppo_values: dict, tmp_path: Path) -> None:
    weights = []
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        _, stage_dir = run(tmp_path / name, ppo_values, seed=seed, iterations=2, keep="last")
        weights.append((stage_dir.model / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_metrics_hold_a_row_an_iteration_and_one_an_evaluation(complete) -> None:
    _, stage_dir = complete
    assert [row["step"] for row in rows(stage_dir)] == [1, 2, 3, 4]
    assert [row["step"] for row in rows(stage_dir, "held_out")] == [0, 2, 4]
    for row in rows(stage_dir):
        assert row["tokens"] == pytest.approx(row["reply_tokens"] * 16)
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
        parts = [row[f"seconds_{name}"] for name in ("sampling", "scoring", "evaluating", "optimising")]
        assert sum(parts) < row["seconds"]


def test_held_out_figures_are_the_means_of_the_replies_that_are_kept(complete) -> None:
    _, stage_dir = complete
    for row in rows(stage_dir, "held_out"):
        replies = held_out(stage_dir, row["step"])
        assert row["replies"] == len(replies) > 1
        for name, metric in (("reward", "reward"), ("unseen", "unseen"), ("tokens", "reply_tokens")):
            assert row[metric] == pytest.approx(np.mean([reply[name] for reply in replies]))
        assert row["missing_eos_share"] == np.mean([reply["missing_eos"] for reply in replies])


def test_held_out_rewards_combine_as_the_paper_says(complete, prompts: Path) -> None:
    tags = {row["id"]: row["domain"] for row in map(json.loads, prompts.read_text().splitlines())}
    for reply in held_out(complete[1], 0):
        by_safety = tags[reply["id"]] == "safety" or 1 / (1 + math.exp(-reply["safety"])) < 0.15
        assert reply["reward"] == reply["safety" if by_safety else "helpfulness"]


def test_the_weights_kept_are_those_of_the_best_held_out_reward(ppo_values: dict, tmp_path: Path) -> None:
    results, stage_dir = run(tmp_path, ppo_values, iterations=6, evaluate_every=1, keep_saves=9, learning_rate=3e-3)
    rewards = [row["penalised_reward"] for row in rows(stage_dir, "held_out")]
    best = int(np.argmax(rewards))
    assert results["kept_iteration"] == best
    assert results["best_penalised_reward"] == rewards[best]
    _, tensors = Saves(stage_dir.checkpoints, 9, ALONE).read(best)
    for name, parameter in load_model(stage_dir.model).named_parameters():
        assert torch.equal(parameter, tensors[f"model.policy.{name}"]), name
    assert stage_dir.samples_file.read_text().splitlines() == [
        json.dumps(row, ensure_ascii=False) for row in held_out(stage_dir, best)[:2]
    ]
    estimates = {(row["metric"], row["group"]): row["estimate"] for row in results["scores"]}
    after, before = ([row["reward"] for row in held_out(stage_dir, step)] for step in (best, 0))
    assert estimates["held_out_reward", "overall"] == pytest.approx(np.mean(after))
    assert estimates["held_out_reward", "policy: before PPO"] == pytest.approx(np.mean(before))
    assert estimates["held_out_reward_gain", "overall"] == pytest.approx(np.mean(after) - np.mean(before))
    assert results["chosen_on_reported_prompts"], "so few prompts are not halved"


def test_kl_is_reported_of_the_held_out_replies_of_the_iteration_that_is_kept(complete) -> None:
    results, stage_dir = complete
    replies = held_out(stage_dir, results["kept_iteration"])
    (kl,) = [row["estimate"] for row in results["scores"] if (row["metric"], row["group"]) == ("held_out_kl", "overall")]
    assert kl == pytest.approx(np.mean([reply["kl"] for reply in replies]))
    for row in rows(stage_dir, "held_out"):
        kls = [reply["kl"] for reply in held_out(stage_dir, row["step"])]
        assert row["kl"] == pytest.approx(np.mean(kls))
        assert any(kls) == (row["step"] > 1), "pi_0 has none, and the policy rests in the first iteration"


def test_the_kl_of_a_held_out_reply_is_that_of_its_tokens(ppo_values: dict) -> None:
    """Summed over its tokens, each model alone on the whole sequence."""
    bench = ppo.set_up(parse(PpoSettings, {**ppo_values, "temperature": 0.7}, "test"), ALONE)
    with torch.no_grad():
        for parameter in bench.models.policy.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    replies = ppo.sample(bench, bench.prompts.held_out, (1, 0))
    for reply, found in zip(replies, ppo.kl_of(bench, replies), strict=True):
        sums = []
        for model in (bench.models.policy.model, bench.models.reference):
            log_probs = (model(torch.tensor([reply.sequence[:-1]]))[0] / 0.7).log_softmax(-1)
            some = log_probs[len(reply.prompt) - 1 :]
            sums.append(some.gather(1, torch.tensor(reply.ids)[:, None]).sum().item())
        assert found == pytest.approx(sums[0] - sums[1], abs=1e-3)


def test_of_enough_prompts_one_half_chooses_the_step_and_the_other_tells_how_good_it_is(
    ppo_values: dict, tmp_path: Path
) -> None:
    changes = {"validation_share": 0.6, "iterations": 2, "evaluate_every": 1, "learning_rate": 1e-2, "value_warmup": 0}
    results, stage_dir = run(tmp_path, ppo_values, **changes)
    assert not results["chosen_on_reported_prompts"]
    after = held_out(stage_dir, results["kept_iteration"])
    others = [row["reward"] for row in after if not row["chooses"]]
    assert results["data"]["reported_prompts"] == len(others)
    assert abs(len(after) - 2 * len(others)) <= 1
    by_name = {(row["metric"], row["group"]): row for row in results["scores"]}
    assert by_name["held_out_reward", "overall"]["estimate"] == pytest.approx(np.mean(others))
    assert by_name["held_out_reward", "overall"]["n"] == len(others)


def test_the_value_models_explained_variance_after_its_warm_up_is_a_result(complete) -> None:
    results, stage_dir = complete
    second = rows(stage_dir)[1]  # the first iteration warms up
    assert results["explained_variance_after_warmup"] == second["explained_variance"]


def test_a_run_out_of_patience_ends_early(ppo_values: dict, tmp_path: Path) -> None:
    """Evaluations while the value model warms up, and the policy rests, try no one's patience."""
    changes = {"evaluate_every": 1, "patience": 2, "iterations": 40, "value_warmup": 3, "learning_rate": 1e-30}
    results, stage_dir = run(tmp_path, ppo_values, **changes)
    assert results["iterations"] == 5
    assert results["kept_iteration"] == 0
    assert results["stopped_early"]
    first, *later = rows(stage_dir, "held_out")
    assert all(row["reward"] == first["reward"] for row in later)


def test_prompts_that_are_held_out_elsewhere_are_not_learnt_from_and_counted(
    ppo_values: dict, prompts: Path, tmp_path: Path
) -> None:
    lines = prompts.read_text().splitlines(keepends=True)
    (tmp_path / "validation.jsonl").write_text("".join(lines[:7]))
    changes = {"validation": [str(tmp_path / "validation.jsonl")], "iterations": 1, "value_warmup": 0}
    data = run(tmp_path / "run", ppo_values, **changes)[0]["data"]
    assert (data["held_out_elsewhere"], data["held_out_prompts"], data["prompts"]) == (7, 7, len(lines) - 7)


def test_without_held_out_prompts_the_last_weights_are_kept(ppo_values: dict, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="keep: best judges by validation data"):
        parse(PpoSettings, {**ppo_values, "validation_share": 0.0}, "test")
    changes = {"validation_share": 0.0, "keep": "last", "iterations": 2}
    results, stage_dir = run(tmp_path, ppo_values, **changes)
    assert results["kept_iteration"] == 2
    assert results["scores"] == []
    assert not stage_dir.samples_file.exists()


class BrokenScorer:
    """A reward model that fails on one reply of the third batch that it sees."""

    def __init__(self) -> None:
        self.calls = 0

    def score_ids(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        self.calls += 1
        return [float("nan") if self.calls == 3 and place == 1 else float(place) for place in range(len(sequences))]


def test_a_score_that_is_no_number_stops_the_run_before_the_update(
    ppo_values: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ppo, "open_rewards", lambda *_: RewardFunction(BrokenScorer(), None))
    changes = {"evaluate_every": 100, "save_every": 1, "keep_saves": 9, "value_warmup": 0}
    with pytest.raises(
        TrainingError, match=r"iteration 2: a loss or a gradient is not finite .*The weights were not updated"
    ):
        run(tmp_path, ppo_values, **changes)
    assert [row["step"] for row in rows(StageDir(tmp_path))] == [1]


def test_the_value_model_begins_as_the_reward_model_or_as_what_is_asked(ppo_values: dict, pretrained: StageDir) -> None:
    by_default = ppo.set_up(parse(PpoSettings, ppo_values, "test"), ALONE)
    reward = by_default.rewards.helpfulness.model
    assert torch.equal(by_default.models.value.model.value.weight, reward.score.weight)
    asked = ppo.set_up(parse(PpoSettings, {**ppo_values, "value_model": str(pretrained.model)}, "test"), ALONE)
    assert not asked.models.value.model.value.weight.any()


def test_a_run_with_shared_layers_keeps_them_as_they_were(ppo_values: dict, tmp_path: Path, pretrained: StageDir) -> None:
    changes = {"shared_layers": 1, "value_model": str(pretrained.model), "keep": "last"}
    _, stage_dir = run(tmp_path, ppo_values, **changes)
    before, after = load_model(pretrained.model), load_model(stage_dir.model)
    changed = {
        name for (name, p), q in zip(before.named_parameters(), after.parameters(), strict=True) if not torch.equal(p, q)
    }
    assert changed
    assert not any(name.startswith(("embedding.", "blocks.0.")) for name in changed)


# --- does it learn ---


class Counting:
    """A reward for one token: its share of a sequence's last eight."""

    def score_ids(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        return [sum(token == 300 for token in sequence[-8:]) / 8 for sequence in sequences]


def test_a_token_that_is_rewarded_becomes_common(ppo_values: dict) -> None:
    changes = {"learning_rate": 1e-2, "value_learning_rate": 1e-2, "max_new_tokens": 8, "batch_size": 64, "iterations": 12}
    settings = parse(PpoSettings, {**ppo_values, **changes, "mini_batch_size": 16, "kl_coef": 0.0}, "test")
    bench = ppo.set_up(settings, ALONE)
    bench = replace(bench, rewards=RewardFunction(Counting(), None))
    figures = [ppo.iterate(bench, iteration) for iteration in range(12)]
    assert figures[0]["reward"] < 0.1
    assert figures[-1]["reward"] > 0.5


def test_a_large_kl_coefficient_keeps_the_policy_where_it_was(ppo_values: dict) -> None:
    changes = {"learning_rate": 1e-2, "value_learning_rate": 1e-2, "max_new_tokens": 8, "batch_size": 64, "iterations": 8}
    ends = {}
    for kl_coef in (0.0, 2.0):
        settings = parse(PpoSettings, {**ppo_values, **changes, "mini_batch_size": 16, "kl_coef": kl_coef}, "test")
        bench = replace(ppo.set_up(settings, ALONE), rewards=RewardFunction(Counting(), None))
        ends[kl_coef] = [ppo.iterate(bench, iteration) for iteration in range(8)][-1]["kl"]
    assert ends[2.0] < ends[0.0] / 2
