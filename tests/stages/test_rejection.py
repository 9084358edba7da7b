"""Rejection sampling: what is ranked best, what is kept of all versions, and what is learnt from it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from paddock.errors import DataError, SettingsError
from paddock.model.checkpoint import load_model, read_config, save_model, save_reward_model
from paddock.model.heads import RewardModel
from paddock.model.transformer import Transformer
from paddock.run_dir import StageDir, read_json_lines, write_json_lines
from paddock.settings import parse
from paddock.stages.rejection import (
    Kept,
    RejectionSettings,
    best_of_versions,
    choose_temperature,
    plan,
    read_earlier,
    rescored,
    run,
)
from paddock.stages.replies import ReplyStore, Sampler, ScoredReply, Scores, probability
from paddock.stages.rewards import UNSAFE_LOGIT
from paddock.text.dialog import Dialog, Message
from paddock.text.readers import read_dialogs, read_prompts
from paddock.text.tokenizer import Tokenizer, train_tokenizer
from paddock.train.parallel import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def scored(p: float, ended: bool = True, text: str = "yes") -> ScoredReply:
    return ScoredReply((5,), text, ended, Scores(logit(p), None, logit(p)))


def prompt(words: str) -> Dialog:
    return Dialog((Message("user", words),))


def settings(values: dict, **changes: object) -> RejectionSettings:
    return parse(RejectionSettings, {**values, **changes}, "test")


@pytest.fixture(scope="module")
def trained(rejection_values: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[StageDir, dict]:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "rejection")
    return stage_dir, run(settings(rejection_values), stage_dir)


def test_the_best_of_all_versions_is_kept_for_each_prompt() -> None:
    one, two = prompt("one"), prompt("two")
    pool = [
        Kept(one, scored(0.4), 5),
        Kept(two, scored(0.9), 5),
        Kept(one, scored(0.8), 1),
        Kept(two, scored(0.3), 1),
        Kept(one, scored(0.99, ended=False), 2),
    ]
    assert [(kept.prompt, kept.version) for kept in best_of_versions(pool, None)] == [(one, 1), (two, 5)]


def test_of_equal_replies_the_newest_version_s_is_kept() -> None:
    pool = [Kept(prompt("one"), scored(0.5), 2), Kept(prompt("one"), scored(0.5), 1)]
    assert best_of_versions(pool, None)[0].version == 2


def test_best_replies_below_the_least_reward_are_left_out() -> None:
    pool = [Kept(prompt(f"{p}"), scored(p), 1) for p in (0.2, 0.6, 0.4)]
    assert [kept.prompt for kept in best_of_versions(pool, 0.39)] == [prompt("0.6"), prompt("0.4")]


def test_an_unsafe_best_reply_is_never_good_enough() -> None:
    unsafe = replace(scored(0.9), scores=Scores(2.0, logit(0.14), 2.0))
    assert best_of_versions([Kept(prompt("one"), unsafe, 1)], 0.5) == []
    assert best_of_versions([Kept(prompt("one"), unsafe, 1)], None) != []


def test_the_temperature_with_the_highest_mean_best_is_chosen(tmp_path: Path, rejection_values: dict) -> None:
    """At 0.5 rewards are 0.6 and 0.6; at 1.5 they are 0.1 and 0.8: worse in the mean, better at its best."""

    class ByTemperature:
        def replies(self, prompts, sampling):
            rewards = {0.5: (0.6, 0.6), 1.5: (0.1, 0.8)}[sampling.temperature]
            return [[scored(reward) for reward in rewards] for _ in prompts]

    store = ReplyStore(tmp_path, [prompt(f"{n}") for n in range(100)], 2, 4, 0)
    wanted = settings(rejection_values, temperatures=[0.5, 1.5], sweep_share=0.2)
    chosen, sweep = choose_temperature(wanted, store, ByTemperature(), ALONE)
    assert chosen == 1.5
    assert [(row["temperature"], row["replies"], round(row["max"]["estimate"], 6)) for row in sweep] == [
        (0.5, 1, 0.6),
        (0.5, 2, 0.6),
        (1.5, 1, 0.1),
        (1.5, 2, 0.8),
    ]
    assert {path.name for path in tmp_path.rglob("*.jsonl")} == {"000000.jsonl"}


def test_replies_that_cannot_be_kept_do_not_count_for_a_temperature(tmp_path: Path, rejection_values: dict) -> None:
    """At 0.5 the best is an empty reply of reward 0.9, which is never learnt from; at 1.5 it is one of 0.4."""

    class ByTemperature:
        def replies(self, prompts, sampling):
            rewards = {0.5: [scored(0.9, text=""), scored(0.3)], 1.5: [scored(0.1), scored(0.4)]}
            return [rewards[sampling.temperature] for _ in prompts]

    store = ReplyStore(tmp_path, [prompt(f"{n}") for n in range(10)], 2, 4, 0)
    chosen, sweep = choose_temperature(settings(rejection_values, temperatures=[0.5, 1.5]), store, ByTemperature(), ALONE)
    assert chosen == 1.5
    assert [round(row["max"]["estimate"], 6) for row in sweep] == [0.3, 0.1, 0.4]


def test_the_curve_is_that_of_the_replies_that_can_be_kept(trained: tuple[StageDir, dict]) -> None:
    rows = read_json_lines(trained[0].path / "best.jsonl")
    mean = sum(probability(row["reply"]["scores"]["reward"]) for row in rows) / len(rows)
    assert trained[1]["curve"][-1]["max"]["estimate"] == pytest.approx(mean)
    assert trained[1]["unusable"] > 0


def test_the_agreement_of_the_reward_models_is_recorded(trained: tuple[StageDir, dict]) -> None:
    assert -1 <= trained[1]["agreement"]["rank_correlation"] <= 1


def test_one_reply_to_a_prompt_is_refused(rejection_values: dict) -> None:
    with pytest.raises(SettingsError, match="replies is 1"):
        settings(rejection_values, replies=1)


def test_a_reward_model_with_a_shorter_context_is_refused_before_any_work(
    rejection_values: dict, reward_folders: dict[str, Path], pretrained: StageDir, tmp_path: Path
) -> None:
    model = RewardModel(replace(read_config(pretrained.model), context_length=80))
    save_reward_model(model, tmp_path / "short", Tokenizer.load(pretrained.model))
    for name in ("helpfulness_reward", "safety_reward"):
        with pytest.raises(SettingsError, match=r"short reads at most 80 tokens, and the policy .* writes up to 160"):
            run(settings(rejection_values, **{name: str(tmp_path / "short")}), StageDir(tmp_path / "stage"))
    assert not list((tmp_path / "stage").rglob("*.jsonl"))


def test_a_single_temperature_needs_no_sweep(tmp_path: Path, rejection_values: dict) -> None:
    wanted = settings(rejection_values, temperatures=[1.1])
    assert choose_temperature(wanted, SimpleNamespace(), SimpleNamespace(), ALONE) == (1.1, [])


def test_each_prompt_keeps_the_best_of_its_replies(trained: tuple[StageDir, dict], prompts: Path) -> None:
    stage_dir, results = trained
    chunks = sorted((stage_dir.data / "replies" / f"t{results['temperature']:g}").glob("*.jsonl"))
    sampled = [row["replies"] for chunk in chunks for row in read_json_lines(chunk)]
    assert len(sampled) == results["prompts"] == len(list(read_prompts([prompts])))
    best = []
    for some in sampled:
        usable = [reply for reply in some if reply["text"]]
        usable = [reply for reply in usable if reply["scores"]["safety"] >= UNSAFE_LOGIT] or usable
        ended = [reply for reply in usable if reply["ended"]]
        if usable:
            best.append(max(ended or usable, key=lambda reply: reply["scores"]["reward"]))
    assert [row["reply"] for row in read_json_lines(stage_dir.path / "best.jsonl")] == best


def test_what_is_learnt_from_are_dialogs_that_end_with_the_kept_reply(trained: tuple[StageDir, dict], prompts: Path) -> None:
    stage_dir, results = trained
    dialogs = list(read_dialogs([stage_dir.path / "selected.jsonl"]))
    rows = read_json_lines(stage_dir.path / "selected.jsonl")
    assert [dialog.messages[-1].content for dialog in dialogs] == [row["reply"]["text"] for row in rows]
    asked = {one.messages for one in read_prompts([prompts])}
    assert all(dialog.messages[:-1] in asked for dialog in dialogs)
    assert results["data"]["train"]["sequences"] + results["data"]["validation"]["sequences"] == len(dialogs)


def test_the_base_is_fine_tuned(trained: tuple[StageDir, dict], pretrained: StageDir) -> None:
    before, after = (load_model(folder, torch.float32) for folder in (pretrained.model, trained[0].model))
    assert not torch.equal(before.embedding.weight, after.embedding.weight)
    assert trained[1]["steps"] > 0


def test_the_mean_reward_of_what_is_selected_is_reported(trained: tuple[StageDir, dict]) -> None:
    rows = read_json_lines(trained[0].path / "selected.jsonl")
    mean = sum(probability(row["reply"]["scores"]["reward"]) for row in rows) / len(rows)
    assert trained[1]["selected_reward"]["estimate"] == pytest.approx(mean)
    assert trained[1]["selected_by_version"] == {"1": len(rows)}


def test_the_fifth_version_learns_from_the_first_ones_best_where_it_is_still_the_best(
    rejection_values: dict, trained: tuple[StageDir, dict], reward_folders: dict[str, Path], tmp_path: Path
) -> None:
    """Other reward models judge the fifth version: they judge the first one's replies anew."""
    earlier = str(trained[0].path / "best.jsonl")
    newest = {"helpfulness_reward": str(reward_folders["unseen"]), "seed": 5, "version": 5, "earlier": [earlier]}
    stage_dir = StageDir(tmp_path / "v5")
    wanted = settings(rejection_values, **newest)
    results = run(wanted, stage_dir)
    sampler = Sampler.open(wanted.model, wanted.helpfulness_reward, wanted.safety_reward)
    first = {kept.prompt.messages: kept for kept in rescored(read_earlier([earlier]), sampler)}
    own = {kept.prompt.messages: kept for kept in read_earlier([str(stage_dir.path / "best.jsonl")])}
    selected = read_earlier([str(stage_dir.path / "selected.jsonl")])
    assert set(results["selected_by_version"]) == {"1", "5"}
    for kept in selected:
        candidates = [some[kept.prompt.messages] for some in (own, first) if kept.prompt.messages in some]
        assert kept == max(candidates, key=lambda one: one.reply.rank())
    assert {kept.prompt.messages for kept in selected} == set(own) | set(first)


def test_ids_of_another_tokenizer_are_refused(trained: tuple[StageDir, dict]) -> None:
    tokenizer = SimpleNamespace(decode=lambda ids: "something else")
    with pytest.raises(DataError, match="another tokenizer's"):
        rescored(
            read_earlier([str(trained[0].path / "best.jsonl")]), SimpleNamespace(policy=SimpleNamespace(tokenizer=tokenizer))
        )


def test_a_file_that_no_version_wrote_is_named(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "other.jsonl", [{"messages": [{"role": "user", "content": "x"}]}])
    with pytest.raises(DataError, match=r"other\.jsonl:1: no best reply of a version"):
        read_earlier([str(tmp_path / "other.jsonl")])


def test_where_no_reply_is_good_enough_the_run_stops(rejection_values: dict, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of 80 prompts none got a reply to learn from"):
        run(settings(rejection_values, min_reward=1.0), StageDir(tmp_path / "stage"))


def test_a_reward_model_with_another_tokenizer_is_refused(
    rejection_values: dict, reward_folders: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in reward_folders["helpfulness"].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    train_tokenizer([f"quick zebras {n} jump over lazy dogs" for n in range(300)], 300).save(other)
    with pytest.raises(SettingsError, match="has another tokenizer than the policy"):
        run(settings(rejection_values, helpfulness_reward=str(other)), StageDir(tmp_path / "stage"))


def test_a_smaller_model_learns_from_a_larger_ones_replies(
    rejection_values: dict, pretrained: StageDir, tmp_path: Path
) -> None:
    config = replace(read_config(pretrained.model), n_layers=1)
    save_model(Transformer(config), tmp_path / "small", Tokenizer.load(pretrained.model))
    stage_dir = StageDir(tmp_path / "stage")
    run(settings(rejection_values, base=str(tmp_path / "small")), stage_dir)
    assert read_config(stage_dir.model).n_layers == 1


def test_the_fine_tuning_has_the_stages_settings_and_the_selected_data(rejection_values: dict) -> None:
    tuning = settings(rejection_values, learning_rate=3e-4, epochs=3).fine_tuning(Path("x/selected.jsonl"))
    assert (tuning.learning_rate, tuning.epochs, tuning.model) == (3e-4, 3, rejection_values["base"])
    assert [source.path for source in tuning.data] == ["x/selected.jsonl"]


def test_a_plan_counts_the_prompts_and_replies_of_a_run(rejection_values: dict, trained: tuple[StageDir, dict]) -> None:
    planned = plan(settings(rejection_values))
    chunks = (trained[0].data / "replies").rglob("*.jsonl")
    assert planned["prompts"] == trained[1]["prompts"]
    assert planned["replies"] == sum(len(row["replies"]) for chunk in chunks for row in read_json_lines(chunk))


def test_a_resumed_run_gives_the_figures_of_the_first(rejection_values: dict, trained: tuple[StageDir, dict]) -> None:
    clock = {"seconds", "tokens_per_second", "device_hours", "energy"}
    again = run(settings(rejection_values), trained[0])
    for name in set(again) - clock:
        assert json.loads(json.dumps(again[name])) == json.loads(json.dumps(trained[1][name])), name
