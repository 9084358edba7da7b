"""Whether a version is worse than the one before it: paired figures, worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.run_dir import StageDir, read_json_lines
from paddock.stages.regression import CheckSettings, check, paired_figures
from paddock.stages.replies import Sampler


def rows(*pairs: tuple[float, float]) -> list[dict]:
    return [{"reward_before": before, "reward": now} for before, now in pairs]


def test_six_prompts_that_all_lose_are_a_regression() -> None:
    """All signs alike in six pairs: 2 of 2^6 patterns, p = 1/32, in both tests."""
    figures = paired_figures(rows(*((0.5 + n / 100, 0.4) for n in range(6))))
    assert figures["permutation_p"] == figures["sign_p"] == pytest.approx(1 / 32)
    assert figures["difference"]["estimate"] == pytest.approx(-0.125)
    assert (figures["gained"], figures["lost"], figures["regressed"]) == (0, 6, True)


def test_six_prompts_that_all_gain_are_none() -> None:
    assert not paired_figures(rows(*((0.4, 0.5 + n / 100) for n in range(6))))["regressed"]


def test_five_prompts_that_all_lose_may_be_chance() -> None:
    figures = paired_figures(rows(*((0.5 + n / 100, 0.4) for n in range(5))))
    assert figures["permutation_p"] == pytest.approx(1 / 16)
    assert not figures["regressed"]


def test_equal_rewards_are_neither_gained_nor_lost() -> None:
    figures = paired_figures(rows((0.5, 0.5), (0.2, 0.2)))
    assert (figures["gained"], figures["lost"], figures["permutation_p"], figures["regressed"]) == (0, 0, 1.0, False)


@pytest.fixture
def settings(pretrained: StageDir, prompts: Path, reward_folders: dict[str, Path]) -> CheckSettings:
    """A model compared with itself, on 80 prompts: two chunks."""
    return CheckSettings(
        model=str(pretrained.model),
        model_before=str(pretrained.model),
        helpfulness_reward=str(reward_folders["helpfulness"]),
        safety_reward=str(reward_folders["safety"]),
        data=(str(prompts),),
        max_new_tokens=6,
    )


def test_a_model_compared_with_itself_changes_nothing(settings: CheckSettings, tmp_path: Path) -> None:
    found = check(settings, StageDir(tmp_path))
    assert {domain: figures["n"] for domain, figures in found["domains"].items()} == {"helpfulness": 53, "safety": 27}
    assert all(figures["gained"] == figures["lost"] == 0 for figures in found["domains"].values())
    assert not found["regressed"]
    assert all(row["answer"] == row["answer_before"] for row in read_json_lines(tmp_path / "samples.jsonl"))


def test_a_killed_check_goes_on_from_the_chunks_that_it_has(settings: CheckSettings, tmp_path: Path, monkeypatch) -> None:
    whole = check(settings, StageDir(tmp_path / "whole"))
    asked: list[int] = []
    sample = Sampler.replies

    def dies_at_the_fourth(sampler, prompts, sampling):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return sample(sampler, prompts, sampling)

    monkeypatch.setattr(Sampler, "replies", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        check(settings, StageDir(tmp_path / "killed"))
    assert asked == [64, 16, 64]
    asked.clear()
    assert check(settings, StageDir(tmp_path / "killed")) == whole
    assert asked == [16]
    samples = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("whole", "killed")]
    assert samples[0] == samples[1]
