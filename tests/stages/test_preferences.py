"""Gathering preferences: which pairs are made, who is asked, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError, PaddockError, SettingsError
from paddock.run_dir import StageDir, read_json_lines, write_json_lines
from paddock.settings import parse
from paddock.stages.preferences import (
    Annotators,
    PreferencesSettings,
    from_file,
    plan,
    prefers_unsafe,
    run,
    split,
)
from paddock.text.comparisons import Comparison, read_comparisons
from paddock.text.dialog import Dialog, Message, Preference, opening_of
from paddock.text.readers import read_preferences
from paddock.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def values(dialogs: Path, tuned: StageDir) -> dict:
    return {
        "model": str(tuned.model),
        "data": [str(dialogs)],
        "comparisons": 30,
        "temperatures": [0.7, 1.0, 1.3],
        "max_new_tokens": 20,
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
    return stage_dir, run(settings(values), stage_dir, Annotators(choose_a))


def test_the_replies_of_a_pair_differ_and_come_from_two_variants(gathered: tuple[StageDir, dict]) -> None:
    pairs = list(read_comparisons(gathered[0].path / "pairs.jsonl"))
    assert len(pairs) > 15
    assert all(pair.reply_a != pair.reply_b and pair.model_a != pair.model_b for pair in pairs)
    assert {pair.model_a for pair in pairs} == {f"model, temperature {t}" for t in ("0.7", "1", "1.3")}


def test_every_prompt_taken_is_a_pair_or_counted_with_a_reason(gathered: tuple[StageDir, dict]) -> None:
    sampled = gathered[1]["sampled"]
    assert sampled["pairs"] + sum(sampled["left_out"].values()) == sampled["prompts"] == 30


def test_no_reply_of_a_pair_was_cut_short(values: dict, gathered: tuple[StageDir, dict], tuned: StageDir) -> None:
    """A reply that has as many tokens as there may be was cut short, but for the end token."""
    tokenizer = Tokenizer.load(tuned.model)
    assert gathered[1]["sampled"]["left_out"]["cut short"] > 0
    for pair in read_comparisons(gathered[0].path / "pairs.jsonl"):
        assert max(len(tokenizer.encode(reply)) for reply in (pair.reply_a, pair.reply_b)) < values["max_new_tokens"]


def test_where_every_reply_is_cut_short_the_error_says_what_to_raise(values: dict, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no prompt got two replies.*cut short.*raise max_new_tokens"):
        run(settings(values, max_new_tokens=1), StageDir(tmp_path / "stage"), Annotators(choose_a))


def test_two_models_stand_on_either_side(values: dict, tuned: StageDir, tmp_path: Path) -> None:
    changes = {"other_model": str(tuned.model), "names": ["v2", "v1"], "temperatures": [1.0], "comparisons": 12}
    run(settings(values, **changes), StageDir(tmp_path / "two"), Annotators(choose_a))
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


def pair_about(number: int, domain: str = "helpfulness", turns: int = 1) -> Preference:
    first = (Message("user", f"What is {number}?"),)
    later = (Message("assistant", "Five."), Message("user", "Sure?")) * (turns - 1)
    return Preference((*first, *later), "a", "b", domain=domain)


def test_a_later_turn_is_held_out_with_the_first() -> None:
    train, held_out = split([pair_about(n, turns=turns) for n in range(100) for turns in (1, 2)], 0.5)
    for side in (train, held_out):
        assert {opening_of(one.prompt) for one in side if len(one.prompt) == 1} == {
            opening_of(one.prompt) for one in side if len(one.prompt) == 3
        }


def test_a_prompt_stays_on_its_side_whatever_stands_beside_it() -> None:
    few, many = (split([pair_about(n) for n in range(count)], 0.5)[1] for count in (20, 200))
    assert set(few) <= set(many)


def test_about_the_share_of_all_prompts_is_held_out() -> None:
    assert abs(len(split([pair_about(n) for n in range(2000)], 0.2)[1]) / 2000 - 0.2) < 0.04


@given(st.integers(2, 12), st.integers(2, 12), st.floats(1e-9, 0.5))
def test_each_domain_has_a_pair_to_be_judged_by(helpful: int, safety: int, share: float) -> None:
    pairs = [pair_about(n) for n in range(helpful)] + [pair_about(100 + n, "safety") for n in range(safety)]
    assert {preference.domain for preference in split(pairs, share)[1]} == {"helpfulness", "safety"}


def test_without_a_share_nothing_is_held_out() -> None:
    assert split([pair_about(1), pair_about(2)], 0.0) == ([pair_about(1), pair_about(2)], [])


def test_an_unsafe_reply_chosen_over_a_safe_one_is_left_out_and_counted(values: dict, tmp_path: Path) -> None:
    def contrary(pairs_file: Path) -> list[Preference]:
        flags = [(False, True), (True, False), (False, False), (None, None)]
        pairs = list(read_comparisons(pairs_file))[:4]
        return [
            Preference(p.prompt.messages, p.reply_a, p.reply_b, "slightly", "safety", *flag)
            for p, flag in zip(pairs, flags, strict=True)
        ]

    results = run(settings(values, comparisons=8), StageDir(tmp_path / "stage"), Annotators(contrary))
    assert (results["labelled"], results["excluded_unsafe_over_safe"], results["comparisons"]) == (4, 1, 3)
    assert results["safety_bins"] == {"safe over unsafe": 1, "unsafe over unsafe": 1}


def test_what_noise_allows_on_held_out_pairs_stands_beside_what_was_gathered(values: dict, tmp_path: Path) -> None:
    def count(preferences: Sequence[Preference]) -> dict[str, float]:
        return {"overall": len(preferences)}

    results = run(settings(values, comparisons=12), StageDir(tmp_path / "stage"), Annotators(choose_a, count))
    assert results["allowed_accuracy"] == {"helpfulness": {"overall": results["held_out"]}}


def test_of_people_nobody_knows_what_their_noise_allows(gathered: tuple[StageDir, dict]) -> None:
    assert gathered[1]["allowed_accuracy"] is None


def test_an_unknown_flag_prefers_nothing_unsafe() -> None:
    assert not prefers_unsafe(Preference((Message("user", "x"),), "a", "b", chosen_safe=False))


def test_the_same_settings_give_the_same_files(values: dict, gathered: tuple[StageDir, dict], tmp_path: Path) -> None:
    run(settings(values), StageDir(tmp_path / "again"), Annotators(choose_a))
    for name in ("pairs.jsonl", "preferences.jsonl", "preferences_held_out.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (gathered[0].path / name).read_bytes()


def test_the_stage_waits_for_people_and_goes_on_with_the_same_pairs(values: dict, tmp_path: Path) -> None:
    stage_dir, wanted = StageDir(tmp_path / "stage"), settings(values, comparisons=8)
    with pytest.raises(PaddockError, match=r"wait to be compared in .*pairs\.jsonl.* into .*labelled\.jsonl"):
        run(wanted, stage_dir, Annotators(from_file))
    pairs = list(read_comparisons(stage_dir.path / "pairs.jsonl"))
    before = (stage_dir.path / "pairs.jsonl").stat().st_mtime_ns
    rows = [{**pair.to_row(), "chosen": pair.reply_b, "rejected": pair.reply_a, "rating": "better"} for pair in pairs]
    write_json_lines(stage_dir.path / "labelled.jsonl", rows)
    results = run(wanted, stage_dir, Annotators(from_file))
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
    assert json.loads(json.dumps(run(settings(values), gathered[0], Annotators(choose_a)))) == json.loads(
        json.dumps(gathered[1])
    )
    assert read_json_lines(gathered[0].path / "pairs.jsonl")
