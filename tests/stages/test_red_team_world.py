"""The stage that lets simulated people red-team a model, from a world's folder to figures of its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.catalog import find_judge
from paddock.errors import DataError
from paddock.miniature.world import WorldSettings
from paddock.run_dir import StageDir, read_json_lines, to_json
from paddock.settings import parse
from paddock.stages import red_team
from paddock.stages.red_team_world import RedTeamWorldSettings, plan, run

WORLD = WorldSettings(seed=3, documents=10)


def test_a_folder_that_holds_no_world_is_named(tmp_path: Path, tuned: StageDir):
    settings = parse(RedTeamWorldSettings, {"model": str(tuned.model), "data": str(tmp_path)}, "test")
    with pytest.raises(DataError, match=r"truth\.json: no truth of a miniature world.*`paddock world` writes one"):
        run(settings, StageDir(tmp_path / "attack"))


def test_the_log_of_a_local_model_has_its_figures(tmp_path: Path, tuned: StageDir):
    world, out = tmp_path / "world", StageDir(tmp_path / "attack")
    world.mkdir()
    (world / "truth.json").write_text(to_json({"settings": WORLD.model_dump()}))
    values = {"model": str(tuned.model), "name": "v1", "data": str(world), "people": 3, "sessions": 1, "attempts": 4}
    settings = parse(RedTeamWorldSettings, {**values, "max_new_tokens": 12}, "test")
    assert plan(settings) == {"people": 3, "attempts": 12}
    results = run(settings, out)
    rows = read_json_lines(out.path / "log.jsonl")
    assert len(rows) == results["attempts"] == 12 - results["failed_completions"] > 0
    log = {"data": [str(out.path / "log.jsonl")], "model": str(tuned.model), "judge": str(world), "max_new_tokens": 12}
    judged = parse(red_team.RedTeamSettings, log, "test")
    figures = red_team.run(judged, StageDir(tmp_path / "red-team"), find_judge(judged))
    (version,) = figures["versions"]
    assert (version["model"], version["attempts"]) == ("v1", len(rows))
    assert 0 < version["person_hours"] < 3 * 4 * 6 / 60
    assert figures["rerun"]["prompts"] == version["violating_prompts"]
