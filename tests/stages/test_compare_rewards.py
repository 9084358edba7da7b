"""Two models' rewards beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import parse
from paddock.stages.compare_rewards import CompareRewardsSettings, corners, own_reward, plan, run
from paddock.stages.replies import Scores


def test_each_domain_is_judged_by_its_own_model():
    scores = Scores(helpfulness=0.0, safety=50.0, reward=1.0)
    assert own_reward(scores, "helpfulness") == 0.5
    assert own_reward(scores, "safety") == pytest.approx(1.0)


def test_corners_count_what_went_from_low_to_high_and_back():
    pairs = ((0.3, 0.7), (0.3, 0.5), (0.45, 0.9), (0.7, 0.3))
    found = corners([{"reward_before": before, "reward": after} for before, after in pairs])
    assert (found["low_to_high"]["estimate"], found["high_to_low"]["estimate"]) == (0.25, 0.25)


def test_both_models_reply_to_all_prompts(
    prompts: Path, reward_folders: dict[str, Path], tuned: StageDir, pretrained: StageDir, tmp_path: Path
):
    values = {
        "model": str(tuned.model),
        "model_before": str(pretrained.model),
        "helpfulness_reward": str(reward_folders["helpfulness"]),
        "safety_reward": str(reward_folders["safety"]),
        "data": [str(prompts)],
        "max_new_tokens": 8,
    }
    settings, stage_dir = parse(CompareRewardsSettings, values, "test"), StageDir(tmp_path)
    assert plan(settings) == {"prompts": 80}
    results = run(settings, stage_dir)
    rows = read_json_lines(stage_dir.samples_file)
    assert len(rows) + results["prompts_without_a_reply"] == 80
    for domain, found in results["domains"].items():
        some = [row for row in rows if row["domain"] == domain]
        assert found["n"] == len(some)
        change = sum(row["reward"] - row["reward_before"] for row in some) / len(some)
        assert found["difference"]["estimate"] == pytest.approx(change)
    same = run(settings.model_copy(update={"model_before": str(tuned.model)}), StageDir(tmp_path / "same"))
    assert all(found["difference"]["estimate"] == 0 for found in same["domains"].values())
