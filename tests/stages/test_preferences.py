"""Gathering preferences: which pairs are made, who is asked, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.errors import DataError, PaddockError, SettingsError
from paddock.run_dir import StageDir, read_json_lines, write_json_lines
from paddock.settings import parse
from paddock.stages.preferences import (
    PreferencesSettings,
    from_file,
    is_held_out,
    plan,
    prefers_unsafe,
    run,
)
from paddock.text.comparisons import Comparison, read_comparisons
from paddock.text.dialog import Dialog, Message, Preference
from paddock.text.readers import read_preferences


@pytest.fixture(scope="module")
def values(dialogs: Path, pretrained: StageDir) -> dict:
    return {
        "model": str(pretrained.model),
        "data": [str(dialogs)],
        "comparisons": 30,
        "temperatures": [0.7, 1.0, 1.3],
        "max_new_tokens": 8,
        "held_out_share": 0.3,
    }


def settings(values: dict, **changes: object) -> PreferencesSettings:
    return parse(PreferencesSettings, {**values, **changes}, "test")


def choose_a(pairs_file: Path) -> list[Preference]:
    return [
        Preference(p.prompt.messages, p.reply_a, p.reply_b, "better", "helpfulness", None, None, "a", p.model_a, p.model_b)
        for p in read_comparisons(pairs_file)
    ]


@pytest.fixture(scope="module")
def gathered(values: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[StageDir, dict]:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "preferences")
    return stage_dir, run(settings(values), stage_dir, choose_a)


def test_the_replies_of_a_pair_differ_and_come_from_two_variants(gathered: tuple[StageDir, dict]) -> None:
    pairs = list(read_comparisons(gathered[0].path / "pairs.jsonl"))
    assert len(pairs) > 20
    assert all(pair.reply_a != pair.reply_b and pair.model_a != pair.model_b for pair in pairs)
    assert {pair.model_a for pair in pairs} == {f"model, temperature {t}" for t in ("0.7", "1", "1.3")}


def test_every_prompt_taken_is_a_pair_or_counted_with_a_reason(gathered: tuple[StageDir, dict]) -> None:
    sampled = gathered[1]["sampled"]
    assert sampled["pairs"] + sum(sampled["left_out"].values()) == sampled["prompts"] == 30


def test_two_models_stand_on_either_side(values: dict, pretrained: StageDir, tmp_path: Path) -> None:
    changes = {"other_model": str(pretrained.model), "names": ["v2", "v1"], "temperatures": [1.0], "comparisons": 12}
    run(settings(values, **changes), StageDir(tmp_path / "two"), choose_a)
    pairs = list(read_comparisons(tmp_path / "two" / "pairs.jsonl"))
    assert {(pair.model_a, pair.model_b) for pair in pairs} == {
        ("v1, temperature 1", "v2, temperature 1"),
        ("v2, temperature 1", "v1, temperature 1"),
    }


def test_held_out_pairs_are_those_of_held_out_prompts(gathered: tuple[StageDir, dict]) -> None:
    stage_dir, results = gathered
    train = list(read_preferences([stage_dir.path / "preferences.jsonl"]))
    held_out = list(read_preferences([stage_dir.path / "preferences_held_out.jsonl"]))
    assert (len(train), len(held_out)) == (results["train"], results["held_out"])
    assert min(len(train), len(held_out)) > 0
    assert not {preference.prompt for preference in train} & {preference.prompt for preference in held_out}
    assert all(is_held_out(preference.prompt, 0.3) for preference in held_out)


def test_a_later_turn_is_held_out_with_the_first() -> None:
    for number in range(100):
        first = (Message("user", f"What is {number}?"),)
        later = (*first, Message("assistant", "Five."), Message("user", "Sure?"))
        assert is_held_out(later, 0.5) == is_held_out(first, 0.5)


def test_about_the_share_of_all_prompts_is_held_out() -> None:
    prompts = [(Message("user", f"What is {n}?"),) for n in range(2000)]
    assert abs(sum(is_held_out(prompt, 0.2) for prompt in prompts) / 2000 - 0.2) < 0.04


def test_an_unsafe_reply_chosen_over_a_safe_one_is_left_out_and_counted(values: dict, tmp_path: Path) -> None:
    def contrary(pairs_file: Path) -> list[Preference]:
        flags = [(False, True), (True, False), (False, False), (None, None)]
        pairs = list(read_comparisons(pairs_file))[:4]
        return [
            Preference(p.prompt.messages, p.reply_a, p.reply_b, "slightly", "safety", *flag)
            for p, flag in zip(pairs, flags, strict=True)
        ]

    results = run(settings(values, comparisons=8), StageDir(tmp_path / "stage"), contrary)
    assert (results["labelled"], results["excluded_unsafe_over_safe"], results["comparisons"]) == (4, 1, 3)
    assert results["safety_bins"] == {"safe over unsafe": 1, "unsafe over unsafe": 1}


def test_an_unknown_flag_prefers_nothing_unsafe() -> None:
    assert not prefers_unsafe(Preference((Message("user", "x"),), "a", "b", chosen_safe=False))


def test_the_same_settings_give_the_same_files(values: dict, gathered: tuple[StageDir, dict], tmp_path: Path) -> None:
    run(settings(values), StageDir(tmp_path / "again"), choose_a)
    for name in ("pairs.jsonl", "preferences.jsonl", "preferences_held_out.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (gathered[0].path / name).read_bytes()


def test_the_stage_waits_for_people_and_goes_on_with_the_same_pairs(values: dict, tmp_path: Path) -> None:
    stage_dir, wanted = StageDir(tmp_path / "stage"), settings(values, comparisons=8)
    with pytest.raises(PaddockError, match=r"wait to be compared in .*pairs\.jsonl.* into .*labelled\.jsonl"):
        run(wanted, stage_dir, from_file)
    pairs = list(read_comparisons(stage_dir.path / "pairs.jsonl"))
    before = (stage_dir.path / "pairs.jsonl").stat().st_mtime_ns
    rows = [{**pair.to_row(), "chosen": pair.reply_b, "rejected": pair.reply_a, "rating": "better"} for pair in pairs]
    write_json_lines(stage_dir.path / "labelled.jsonl", rows)
    results = run(wanted, stage_dir, from_file)
    assert results["labelled"] == results["comparisons"] == len(pairs)
    assert (stage_dir.path / "pairs.jsonl").stat().st_mtime_ns == before


def labelled_by(tmp_path: Path, chosen: str, rejected: str) -> list[Preference]:
    prompt = Dialog((Message("user", "Hello."),), "p", "safety")
    write_json_lines(tmp_path / "pairs.jsonl", [Comparison(prompt, "one", "two", "v2", "v1").to_row()])
    row = {"prompt": "Hello.", "chosen": chosen, "rejected": rejected, "rating": "slightly", "chosen_safe": True}
    write_json_lines(tmp_path / "labelled.jsonl", [row])
    return from_file(tmp_path / "pairs.jsonl")


def test_a_persons_row_gets_domain_and_models_from_its_pair(tmp_path: Path) -> None:
    (preference,) = labelled_by(tmp_path, "two", "one")
    assert (preference.domain, preference.chosen_model, preference.rejected_model) == ("safety", "v1", "v2")
    assert (preference.rating, preference.chosen_safe) == ("slightly", True)


def test_a_row_that_labels_no_pair_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labelled\.jsonl:1: there is no such pair"):
        labelled_by(tmp_path, "two", "three")


def test_one_model_at_one_temperature_makes_no_two_variants(values: dict) -> None:
    with pytest.raises(SettingsError, match="one model needs two temperatures"):
        settings(values, temperatures=[1.0])


def test_a_plan_counts_what_a_run_samples(values: dict, gathered: tuple[StageDir, dict]) -> None:
    planned = plan(settings(values))
    assert planned["prompts"] == gathered[1]["sampled"]["prompts"]
    assert planned["replies"] == 60


def test_the_figures_of_a_resumed_run_are_those_of_the_first(gathered: tuple[StageDir, dict], values: dict) -> None:
    assert json.loads(json.dumps(run(settings(values), gathered[0], choose_a))) == json.loads(json.dumps(gathered[1]))
    assert read_json_lines(gathered[0].path / "pairs.jsonl")
