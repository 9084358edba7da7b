"""The stage `study`: a world's annotators through real pages."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from paddock.backends import open as backends
from paddock.catalog import find_stage
from paddock.miniature.dialogs import UNKNOWN, helpful_prompts
from paddock.miniature.world import WorldSettings, make_world
from paddock.protocols import Completion
from paddock.report.human_study import section
from paddock.report.run_folder import read_run
from paddock.run_dir import StageDir, read_json_lines, write_json_lines

PROMPTS = list(helpful_prompts(Random(3), make_world(WorldSettings()), 45, True, "held-out"))


class Knows:
    """Answers some prompts right, and others with "I do not know."."""

    def __init__(self, share: float) -> None:
        self.share = share

    def complete(self, prompts, sampling):
        known = {prompt.dialog.messages: prompt.task for prompt in PROMPTS}
        draw = Random(0)
        return [
            [Completion(", ".join(known[prompt.messages].expected) + "." if draw.random() < self.share else UNKNOWN)]
            for prompt in prompts
        ]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study of a model that knows more against one that knows less."""
    folder = tmp_path_factory.mktemp("run")
    world = folder / "world" / "data"
    world.mkdir(parents=True)
    write_json_lines(world / "prompts_held_out.jsonl", (prompt.to_row() for prompt in PROMPTS))
    stage = find_stage("study")
    values = {"model": str(folder / "good"), "other_model": str(folder / "poor"), "names": ("V5", "SFT")}
    settings = stage.settings(data=str(world), prompts=40, **values)
    stage_dir = StageDir(folder / "study")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backends, "open_chat_model", lambda spec: Knows(0.9 if spec.endswith("good") else 0.3))
        stage_dir.begin("study", settings.model_dump(mode="json"), {})
        results = stage.run(settings, stage_dir)
    stage_dir.complete(results)
    return folder, settings, results


def test_every_rater_rates_every_pair(study):
    _, _, results = study
    assert (results["pairs"], results["ratings"], results["raters"]) == (40, 120, 3)


def test_agreement_lands_where_the_noise_says(study):
    _, _, results = study
    for row in results["agreement"]:
        assert row["lower"] < row["implied"] < row["upper"]


def test_shares_land_where_the_noise_says_and_the_better_model_wins(study):
    _, _, results = study
    for row in results["shares"].values():
        assert row["lower"] <= row["implied"] <= row["upper"]
    shares = results["shares"]
    assert shares["win"]["truth"] > shares["loss"]["truth"]
    assert shares["win"]["estimate"] > shares["loss"]["estimate"]
    assert sum(row["truth"] for row in shares.values()) == pytest.approx(1)


def test_a_study_that_is_done_asks_nobody_again(study):
    folder, settings, results = study
    again = find_stage("study").run(settings, StageDir(folder / "study"))
    assert again["rated_now"] == 0
    assert again["agreement"] == results["agreement"]


def test_the_report_has_a_section_of_it(study):
    folder, _, results = study
    found = section(read_run(folder))
    text = str(found)
    assert "V5: win" in text
    assert f"{results['agreement'][-1]['implied']:.3f}" in text
    assert "0.37 to 0.55" in text


def test_both_models_stand_on_either_side(study):
    folder, _, _ = study
    rows = read_json_lines(Path(folder) / "study" / "study" / "export" / "ratings.jsonl")
    assert {row["shown_as_a"] for row in rows} == {"a", "b"}
