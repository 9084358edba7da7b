"""Versions on both axes, by rewards of their own and by neutral ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.backends import open as opening
from paddock.errors import SettingsError
from paddock.report.page import write_report
from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import parse
from paddock.stages import answers
from paddock.stages.reward_curve import RewardCurveSettings, plan, run

N = 40


@pytest.fixture
def values(tmp_path: Path, monkeypatch) -> dict:
    """Four files of replies, of 1 to 4 words, and rewards: `longer` likes words; `shorter` does not; `blind` is equal."""
    prompts = [
        {"prompt": f"Question {n}?", "id": f"p{n}", "domain": "safety" if n % 4 == 0 else "helpfulness"} for n in range(N)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    for words in range(1, 5):
        rows = [{"prompt": row["prompt"], "reply": " ".join(["word"] * words)} for row in prompts]
        (tmp_path / f"{words}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    class ByWords:
        def __init__(self, sign: float) -> None:
            self.sign = sign

        def score(self, dialogs):
            return [self.sign * len(dialog.messages[-1].content.split()) for dialog in dialogs]

    signs = {"longer": 1.0, "shorter": -1.0, "blind": 0.0}
    for name in signs:
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    monkeypatch.setattr(answers, "open_scorer", lambda spec: ByWords(signs[Path(spec).name]))
    return {
        "data": [str(tmp_path / "prompts.jsonl")],
        "models": {f"v{n}": str(tmp_path / f"{n + 1}.jsonl") for n in range(1, 4)},
        "opponent": str(tmp_path / "2.jsonl"),
        "helpfulness_reward": str(tmp_path / "longer"),
        "safety_reward": str(tmp_path / "blind"),
        "neutral_helpfulness_reward": str(tmp_path / "shorter"),
    }


def settings(values: dict, **changes: object) -> RewardCurveSettings:
    return parse(RewardCurveSettings, {**values, **changes}, "test")


def test_each_axis_is_judged_by_its_own_reward_against_the_opponent(values, tmp_path):
    results = run(settings(values), StageDir(tmp_path / "out"))
    rates = {(row["judge"], row["axis"], row["version"]): row["win_rate"] for row in results["curve"]}
    own = [rates["own", "helpfulness", version]["estimate"] for version in ("v1", "v2", "v3")]
    assert own == [0.5, 1.0, 1.0]  # v1 is the opponent word by word
    assert [rates["own", "safety", version]["estimate"] for version in ("v1", "v2", "v3")] == [0.5] * 3
    assert [rates["neutral", "safety", version]["estimate"] for version in ("v1", "v2", "v3")] == [0.5, 0, 0]
    assert (rates["own", "helpfulness", "v1"]["n"], rates["own", "safety", "v1"]["n"]) == (30, 10)


def test_rewards_that_part_are_found(values, tmp_path):
    results = run(settings(values), StageDir(tmp_path / "out"))
    assert [row["diverges"] for row in results["divergence"]["helpfulness"]] == [True, False]
    assert results["diverges"] is True
    agreeing = run(settings(values, neutral_helpfulness_reward=values["helpfulness_reward"]), StageDir(tmp_path / "two"))
    assert agreeing["diverges"] is False
    alone = run(settings(values, neutral_helpfulness_reward=None), StageDir(tmp_path / "alone"))
    assert (alone["divergence"], alone["diverges"]) == ({}, False)
    assert {row["judge"] for row in alone["curve"]} == {"own"}


def test_another_order_of_versions_has_other_figures_and_so_is_another_setting(values, tmp_path):
    turned = settings(values, models=dict(reversed(values["models"].items())))
    stage = StageDir(tmp_path / "out")
    stage.begin("reward-curve", settings(values).model_dump(mode="json"), {})
    assert not stage.changes("reward-curve", settings(values).model_dump(mode="json"), {}, ())
    assert stage.changes("reward-curve", turned.model_dump(mode="json"), {}, ())
    results = run(turned, StageDir(tmp_path / "turned"))
    assert [row["version"] for row in results["divergence"]["helpfulness"]] == ["v2", "v1"]


def test_replies_and_scores_are_not_asked_twice(values, tmp_path, monkeypatch):
    first = run(settings(values), StageDir(tmp_path / "out"))
    monkeypatch.setattr(answers, "open_scorer", None)
    monkeypatch.setattr(answers, "open_chat_model", None)
    assert run(settings(values), StageDir(tmp_path / "out")) == first
    assert (tmp_path / "out" / "replies" / "v3.jsonl").exists()


def test_checkpoints_and_reward_models_stand_on_the_picture(tuned, pretrained, reward_folders, prompts, tmp_path):
    assert opening.open_scorer is answers.open_scorer
    values = {
        "data": [str(prompts)],
        "models": {"SFT": str(pretrained.model), "V1": str(tuned.model)},
        "opponent": str(pretrained.model),
        "helpfulness_reward": str(reward_folders["helpfulness"]),
        "safety_reward": str(reward_folders["safety"]),
        "neutral_helpfulness_reward": str(reward_folders["unseen"]),
        "max_new_tokens": 8,
    }
    stage = StageDir(tmp_path / "run" / "reward-curve")
    stage.begin("reward-curve", settings(values).model_dump(mode="json"), {})
    results = run(settings(values), stage)
    stage.complete(results)
    rates = {(row["judge"], row["axis"], row["version"]): row["win_rate"]["estimate"] for row in results["curve"]}
    assert [rate for (_, _, version), rate in rates.items() if version == "SFT"] == [0.5] * 4
    assert set(read_json_lines(stage.samples_file)[0]) == {"prompt", "answer", "own_reward", "neutral_reward"}
    page = write_report(tmp_path / "run").read_text()
    assert "Progress · reward-curve" in page
    assert "V1, helpfulness" in page


def test_a_plan_counts(values):
    assert plan(settings(values)) == {"prompts": 40, "versions": 3, "replies": 160, "scores": 320}


def test_what_cannot_be_is_refused(values):
    with pytest.raises(SettingsError, match="neutral_safety_reward stands beside"):
        settings(values, neutral_helpfulness_reward=None, neutral_safety_reward="x")
    with pytest.raises(SettingsError, match="models: 0 models are named"):
        plan(settings(values, models={}))
    with pytest.raises(SettingsError, match="a version cannot be called opponent"):
        plan(settings(values, models={"opponent": values["opponent"]}))
