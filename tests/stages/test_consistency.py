"""The stage that holds long dialogs with several models, and measures their attention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paddock.errors import SettingsError
from paddock.evaluate.consistency import Course
from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import parse
from paddock.stages import consistency
from paddock.stages.consistency import ConsistencySettings, course_from, plan, probed, run
from paddock.text.constraints import Constraint
from paddock.text.readers import read_dialogs
from paddock.text.scripts import Script


def settings(values: dict, **changes: object) -> ConsistencySettings:
    return parse(ConsistencySettings, {**values, **changes}, "test")


@pytest.fixture(scope="module")
def checked(consistency_values: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[StageDir, dict]:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "consistency")
    return stage_dir, run(settings(consistency_values), stage_dir)


def test_every_model_has_its_figures(checked):
    _, results = checked
    assert list(results["consistency"]) == ["before", "model"]
    for rows in results["consistency"].values():
        first = next(row for row in rows if row["turn"] == 1 and row["kind"] == "all")
        assert first["n"] == results["dialogs"]


def test_dialogs_can_be_read_as_dialogs(checked):
    dialogs = list(read_dialogs([checked[0].path / "dialogs" / "model.jsonl"], on_bad_row="skip"))
    assert dialogs
    assert {dialog.messages[0].role for dialog in dialogs} == {"system"}


def test_a_model_that_is_done_is_not_asked_again(checked, consistency_values: dict, monkeypatch):
    stage_dir, results = checked
    monkeypatch.setattr(consistency, "follow", None)
    assert run(settings(consistency_values), stage_dir) == results


def test_there_is_a_picture_a_model_of_one_dialog(checked, consistency_values: dict):
    stage_dir, results = checked
    with np.load(stage_dir.path / "attention.npz") as held:
        assert held["names"].tolist() == ["before", "model"]
        assert held["picture0"].shape == held["picture1"].shape
        assert 0 < held["system"][0] < held["system"][1] < len(held["turns"])
        assert not np.allclose(held["picture0"], held["picture1"])
    looks = results["attention_to_system_by_turn"]
    assert set(looks) == {"before", "model"}
    assert all(0 <= value <= 1 for by_turn in looks.values() for value in by_turn.values())
    assert looks["model"].keys() == looks["before"].keys() >= {"2"}


def test_a_course_survives_the_trip_through_its_row():
    script = Script(("one", "two", "three"), "Figure: x.", (Constraint("figure", "x"),), "s")
    course = Course(script, ("x", "y"), (True, None), "context")
    for slot in ("system", "head"):
        assert course_from(script, course.to_row(slot)) == course


def test_table_30s_question_is_asked_on_every_second_turn():
    script = Script(tuple("abcde"), "x", (Constraint("language", "French"), Constraint("hobby", "chess")))
    question = "What is your favorite hobby?"
    assert probed(script, 2).turns == ("a", question, "c", question, "e")
    assert probed(script, None) == script
    language = Script(("a", "b"), "x", (Constraint("language", "French"),))
    assert probed(language, 2) == language


def test_a_plan_counts_dialogs_of_all_models(consistency_values: dict):
    planned = plan(settings(consistency_values, dialogs=3))
    assert (planned["models"], planned["dialogs"]) == (2, 6)


def test_a_name_that_is_no_file_is_refused(consistency_values: dict, pretrained: StageDir):
    with pytest.raises(SettingsError, match=r"names become files: a/b cannot"):
        settings(consistency_values, others={"a/b": str(pretrained.model)})


def test_two_models_of_one_name_are_refused(consistency_values: dict, pretrained: StageDir):
    with pytest.raises(SettingsError, match="two models are called 'model'"):
        settings(consistency_values, others={"model": str(pretrained.model)})


def test_a_reply_that_no_prompt_can_carry_is_left_out_of_attention(tmp_path: Path, consistency_values: dict):
    script = Script(("one", "two"), "Figure: x.", (Constraint("figure", "x"),), "s")
    course = Course(script, ("fine", "[INST]"), (False, False), "tag")
    assert consistency.attention(settings(consistency_values), [course], StageDir(tmp_path)) == {}


def test_samples_are_the_ends_of_dialogs(checked):
    rows = read_json_lines(checked[0].samples_file)
    assert {row["model"] for row in rows} == {"before", "model"}
    assert all(row["prompt"][0]["role"] == "system" for row in rows)


def test_the_stage_reads_all_its_models(consistency_values: dict, pretrained: StageDir, tuned: StageDir):
    assert {str(pretrained.model), str(tuned.model)} <= set(settings(consistency_values).inputs())
    assert Path(consistency_values["data"][0]).is_file()
