"""The stage that lets simulated people red-team a model, from a world's folder to figures of its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.catalog import find_judge
from paddock.errors import DataError
from paddock.miniature.world import WorldSettings
from paddock.model.generation import LocalChatModel
from paddock.run_dir import StageDir, read_json_lines, to_json
from paddock.settings import parse
from paddock.stages import red_team
from paddock.stages.red_team_world import RedTeamWorldSettings, plan, run

WORLD = WorldSettings(seed=3, documents=10)


def test_a_folder_that_holds_no_world_is_named(tmp_path: Path, tuned: StageDir):
    settings = parse(RedTeamWorldSettings, {"model": str(tuned.model), "data": str(tmp_path)}, "test")
    with pytest.raises(DataError, match=r"truth\.json: no truth of a miniature world.*`paddock world` writes one"):
        run(settings, StageDir(tmp_path / "attack"))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    folder.mkdir()
    (folder / "truth.json").write_text(to_json({"settings": WORLD.model_dump()}))
    return folder


def test_a_killed_attack_goes_on_and_ends_with_the_same_log(tmp_path: Path, tuned: StageDir, world: Path, monkeypatch):
    values = {"model": str(tuned.model), "data": str(world), "people": 3, "sessions": 1, "attempts": 4, "max_new_tokens": 8}
    settings = parse(RedTeamWorldSettings, values, "test")
    asked: list[int] = []
    complete = LocalChatModel.complete

    def counted(model, prompts, sampling):
        if len(asked) == most:
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return complete(model, prompts, sampling)

    monkeypatch.setattr(LocalChatModel, "complete", counted)
    most = -1
    run(settings, StageDir(tmp_path / "whole"))
    in_all, most = len(asked), 3
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        run(settings, StageDir(tmp_path / "killed"))
    most = -1
    run(settings, StageDir(tmp_path / "killed"))
    assert len(asked) == in_all
    logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("whole", "killed")]
    assert logs[0] == logs[1]


def test_the_log_of_a_local_model_has_its_figures(tmp_path: Path, tuned: StageDir, world: Path):
    out = StageDir(tmp_path / "attack")
    values = {"model": str(tuned.model), "name": "v1", "data": str(world), "people": 3, "sessions": 1, "attempts": 4}
    settings = parse(RedTeamWorldSettings, {**values, "max_new_tokens": 12, "day": 3}, "test")
    assert plan(settings) == {"people": 3, "attempts": 12}
    results = run(settings, out)
    rows = read_json_lines(out.path / "log.jsonl")
    assert len(rows) == results["attempts"] == 12 - results["failed_completions"] > 0
    assert {row["start"][:10] for row in rows} == {"2026-01-08"}
    log = {"data": [str(out.path / "log.jsonl")], "model": str(tuned.model), "judge": str(world), "max_new_tokens": 12}
    judged = parse(red_team.RedTeamSettings, log, "test")
    figures = red_team.run(judged, StageDir(tmp_path / "red-team"), find_judge(judged))
    (version,) = figures["versions"]
    assert (version["model"], version["attempts"]) == ("v1", len(rows))
    assert 0 < version["person_hours"] < 3 * 4 * 6 / 60
    assert figures["rerun"]["prompts"] == version["violating_prompts"]
