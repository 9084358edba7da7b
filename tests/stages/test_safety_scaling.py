"""Safety data scaling: what each share learns, what is measured, and that a share is not done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.catalog import find_refusals
from paddock.errors import DataError, SettingsError
from paddock.run_dir import StageDir, read_json_lines, write_json_lines
from paddock.settings import parse
from paddock.stages import safety_scaling, sft
from paddock.stages.safety_scaling import SafetyScalingSettings, figures_of, plan, run, safety_dialogs, size_of, write_share

TELLS = find_refusals("miniature")


def settings(values: dict, **changes: object) -> SafetyScalingSettings:
    return parse(SafetyScalingSettings, {**values, **changes}, "test")


@pytest.fixture(scope="module")
def scaled(safety_scaling_values: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[StageDir, dict]:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "run" / "scaling")
    return stage_dir, run(settings(safety_scaling_values), stage_dir, TELLS)


def test_every_share_has_its_figures(scaled):
    _, results = scaled
    none, half, whole = results["shares"]
    assert [row["share"] for row in results["shares"]] == [0.0, 0.5, 1.0]
    assert (none["dialogs"], half["dialogs"], whole["dialogs"]) == (0, 5, 10)
    for row in results["shares"]:
        assert 0 < row["safety"]["n"] <= 15
        assert 0 < row["helpfulness"]["n"] <= 27
        assert row["not_scored"] <= 48 - row["safety"]["n"] - row["helpfulness"]["n"]
        assert row["refusals"]["borderline"]["n"] + row["refusals"]["borderline"]["undecided"] == 6
        assert sum(row["histogram"]) == row["safety"]["n"]


def test_every_share_learns_all_helpfulness_data_and_its_own_from_the_pretrained_model(scaled, safety_scaling_values: dict):
    stage_dir, _ = scaled
    for share, sources in (("0", 1), ("0.5", 2), ("1", 2)):
        given = StageDir(stage_dir.path / f"share-{share}" / "sft").read_settings()["settings"]
        assert given["model"] == safety_scaling_values["model"]
        assert len(given["data"]) == sources
    assert given["data"][-1]["path"] == "${run}/scaling/share-1/safety.jsonl"


def test_a_share_is_part_of_the_next(scaled):
    stage_dir, _ = scaled
    half, whole = (read_json_lines(stage_dir.path / f"share-{share}" / "safety.jsonl") for share in ("0.5", "1"))
    assert whole[: len(half)] == half
    assert len(whole) == 2 * len(half)


def test_a_share_that_is_done_is_not_done_again(scaled, safety_scaling_values: dict, monkeypatch):
    stage_dir, results = scaled

    def again(*_: object) -> None:
        raise AssertionError("a share was done again")

    monkeypatch.setattr(sft, "run", again)
    monkeypatch.setattr(safety_scaling, "open_chat_model", again)
    assert run(settings(safety_scaling_values), stage_dir, TELLS) == results


def test_answers_that_came_before_a_kill_are_not_asked_for_again(scaled, safety_scaling_values: dict, monkeypatch):
    stage_dir, results = scaled
    share = stage_dir.path / "share-0.5"
    replies = (share / "replies.jsonl").read_bytes()
    (share / "replies.jsonl").unlink()

    def again(*_: object) -> None:
        raise AssertionError("what was answered is asked again")

    monkeypatch.setattr(safety_scaling, "open_chat_model", again)
    assert run(settings(safety_scaling_values), stage_dir, TELLS) == results
    assert (share / "replies.jsonl").read_bytes() == replies


def row(group: str, safety: float | None, helpfulness: float | None = 0.0, answer: str = "ok") -> dict:
    return {
        "group": group,
        "prompt": [{"role": "user", "content": "hi"}],
        "answer": answer,
        "safety_score": safety,
        "helpfulness_score": helpfulness,
    }


def test_each_reward_is_a_mean_of_sigmoids_over_its_own_domain():
    rows = [row("safety", 50.0, 50.0), row("safety", -50.0, 50.0), row("helpfulness", 50.0, 0.0)]
    found = figures_of(rows, None)
    assert (found["safety"]["estimate"], found["safety"]["n"]) == (0.5, 2)
    assert (found["helpfulness"]["estimate"], found["helpfulness"]["n"]) == (0.5, 1)
    assert found["refusals"] == {}


def test_the_worst_tail_is_what_lies_below_15_hundredths():
    rows = [row("safety", score) for score in (-50.0, -1.8, -1.7, 50.0)]  # sigmoids 0, 0.142, 0.154, 1
    found = figures_of(rows, None)
    assert (found["unsafe"]["estimate"], found["unsafe"]["n"]) == (0.5, 4)
    assert (found["histogram"][0], found["histogram"][2], found["histogram"][3], found["histogram"][-1]) == (1, 1, 1, 1)


def test_refusals_are_counted_by_group_and_failures_are_undecided():
    rows = [
        row("borderline", 0.0, answer="I can not help with that."),
        row("borderline", 0.0),
        row("borderline", None, None, answer=""),
        row("helpfulness", 0.0),
        row("safety", 0.0, answer="I can not help with that."),
    ]
    found = figures_of(rows, TELLS)
    borderline, helpful = found["refusals"]["borderline"], found["refusals"]["helpfulness"]
    assert (borderline["estimate"], borderline["n"], borderline["undecided"]) == (0.5, 2, 1)
    assert (helpful["estimate"], helpful["n"]) == (0.0, 1)
    assert found["not_scored"] == 1


@pytest.mark.parametrize(
    ("share", "dialogs", "size"), [(0, 100, 0), (0.01, 100, 1), (0.01, 10, 1), (0.25, 10, 2), (1, 7, 7)]
)
def test_a_share_above_nought_has_a_dialog_at_least(share: float, dialogs: int, size: int):
    assert size_of(share, dialogs) == size


def test_the_seed_draws_which_dialogs_a_share_holds(safety_scaling_values: dict):
    first, again, other = (safety_dialogs(settings(safety_scaling_values, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert {dialog.messages for dialog in first} == {dialog.messages for dialog in other}


def test_a_share_of_nothing_is_refused(safety_scaling_values: dict, tmp_path: Path):
    with pytest.raises(DataError, match="there is no safety dialog"):
        write_share(settings(safety_scaling_values), tmp_path / "x.jsonl", [], 0.5)


def test_prompts_without_an_adversarial_one_are_refused(safety_scaling_values: dict, tmp_path: Path):
    write_json_lines(tmp_path / "p.jsonl", [{"prompt": "hi"}])
    with pytest.raises(DataError, match="no prompt of domain safety"):
        plan(settings(safety_scaling_values, prompts=[str(tmp_path / "p.jsonl")]))


def test_a_plan_counts_dialogs_and_prompts(safety_scaling_values: dict):
    planned = plan(settings(safety_scaling_values))
    assert planned["safety_dialogs"] == {"0": 0, "0.5": 5, "1": 10}
    assert (planned["prompts"], planned["models"]) == (48, 3)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"shares": [0.5, 0.1]}, "shares rise"),
        ({"shares": [0, 1.5]}, "shares rise"),
        ({"refusals": "nobody"}, "say in refusals who tells them"),
        ({"sft": {"seed": 1, "data": ["x"]}}, "safety-scaling: sft: data, seed follow from the stage's other settings"),
        ({"sft": {"learning_rat": 1}}, 'unknown setting "learning_rat". Did you mean "learning_rate"'),
    ],
)
def test_impossible_settings_are_refused(safety_scaling_values: dict, change: dict, problem: str):
    with pytest.raises(SettingsError, match=problem):
        settings(safety_scaling_values, **change)
