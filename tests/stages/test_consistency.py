"""The stage that holds long dialogs with several models, and measures their attention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paddock.errors import SettingsError
from paddock.evaluate.consistency import Course
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import parse
from paddock.stages import consistency, ghost_attention
from paddock.stages.consistency import ConsistencySettings, course_from, first_turns, plan, probed, run
from paddock.stages.ghost_attention import GhostAttentionSettings
from paddock.text.chat_format import encode_dialog, tag_in
from paddock.text.constraints import FORMS, Constraint
from paddock.text.readers import ReadReport, read_dialogs
from paddock.text.scripts import Script
from paddock.text.tokenizer import Tokenizer


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
        first = [row["n"] for row in rows if row["turn"] == 1 and row["kind"] == "all"]  # one a group
        assert sum(first) == results["dialogs"] == 10


def test_dialogs_can_be_read_as_dialogs_but_for_those_with_a_reply_that_none_can_hold(checked):
    for name in ("before", "model"):
        file, report = checked[0].path / "dialogs" / f"{name}.jsonl", ReadReport()
        rows = read_json_lines(file)
        sound = [row for row in rows if all(m["content"].strip() and not tag_in(m["content"]) for m in row["messages"])]
        sound = [row for row in sound if row["messages"][-1]["role"] == "assistant"]
        dialogs = list(read_dialogs([file], on_bad_row="skip", report=report))
        assert [dialog.messages[-1].content for dialog in dialogs] == [row["messages"][-1]["content"] for row in sound]
        assert len(dialogs) + report.skipped.total() == len(rows) == 10
        assert len(dialogs) >= 5


def test_every_dialog_carries_its_instruction_and_has_a_verdict_a_reply(checked):
    for row in read_json_lines(checked[0].path / "dialogs" / "model.jsonl"):
        assert row["messages"][0]["role"] == "system"
        assert len(row["kept"]) == sum(message["role"] == "assistant" for message in row["messages"])


def test_figures_are_given_of_known_values_new_values_and_unseen_kinds(checked):
    stage_dir, results = checked
    rows = read_json_lines(stage_dir.path / "dialogs" / "model.jsonl")
    assert [row["group"] for row in rows[:4]] == ["known values", "new values", "unseen kind", "known values"]
    assert {row["group"] for row in results["consistency"]["model"]} == {"known values", "new values", "unseen kind"}
    assert {kind for row in rows if row["group"] == "unseen kind" for kind in row["kinds"]} <= set(FORMS)


def test_the_check_draws_other_instructions_than_training_and_no_new_value_is_trained_on(
    checked, ghost_attention_values: dict, consistency_values: dict, tmp_path: Path
):
    """Of the same data, lists and seed: with the draws of training, obedience would be that to what was learnt by heart."""
    stage_dir, results = checked
    same = {"most_constraints": consistency_values["most_constraints"], "cuts": None}
    training = StageDir(tmp_path / "ghost-attention")
    ghost_attention.run(parse(GhostAttentionSettings, {**ghost_attention_values, **same}, "test"), training)
    trained = read_json_lines(training.path / "dialogs.jsonl")
    checked_rows = read_json_lines(stage_dir.path / "dialogs" / "model.jsonl")
    asked = {row["id"].rpartition("-")[0]: row["messages"][0]["content"] for row in trained}
    both = [row for row in checked_rows if row["id"] in asked]
    assert len(both) >= 3
    assert sum(asked[row["id"]] == row["messages"][0]["content"] for row in both) <= 1
    drawn = {one["value"] for row in trained for one in row["constraints"]}
    assert not drawn & {value for values in results["lists"]["new values"].values() for value in values}


def test_a_model_that_is_done_is_not_asked_again(checked, consistency_values: dict, monkeypatch):
    stage_dir, results = checked
    monkeypatch.setattr(consistency, "follow", None)
    assert run(settings(consistency_values), stage_dir) == results


def test_there_is_a_picture_a_model_of_one_dialog(checked, consistency_values: dict):
    stage_dir, results = checked
    with np.load(stage_dir.path / "attention.npz") as held:
        assert held["names"].tolist() == ["before", "model"]
        assert held["picture0"].shape == held["picture1"].shape
        assert held["tokens0"] == held["tokens1"]
        assert 0 < held["system0"][0] < held["system0"][1] < held["tokens0"]
        assert not np.allclose(held["picture0"], held["picture1"])
    looks = results["attention_to_system_by_turn"]
    assert set(looks) == {"before", "model"}
    assert all(0 <= value <= 1 for by_turn in looks.values() for value in by_turn.values())
    assert looks["model"].keys() == looks["before"].keys() >= {"2"}


def short_model(tuned: StageDir, folder: Path, context: int) -> str:
    """The tuned model's tokenizer with a fresh network of another context."""
    tokenizer = Tokenizer.load(tuned.model)
    network = Transformer(ModelConfig(tokenizer.vocab_size, 16, 1, 2, 1, 32, context_length=context))
    save_model(network, folder, tokenizer)
    return str(folder)


def a_course(turns: int) -> Course:
    said = tuple(f"Anna has {turn} cats" for turn in range(turns))
    return Course(Script(said, "Figure: x.", (Constraint("figure", "x"),), "s"), ("Anna",) * turns, (False,) * turns, None)


def test_models_of_different_contexts_read_the_same_whole_turns(consistency_values: dict, tuned: StageDir, tmp_path: Path):
    course, tokenizer = a_course(3), Tokenizer.load(tuned.model)
    lengths = [len(encode_dialog(tokenizer, first_turns(course, turns).dialog("system")).ids) for turns in (1, 2, 3)]
    assert lengths[2] < 160  # the tuned model reads all
    short = short_model(tuned, tmp_path / "short", lengths[1] + 1)  # not the third turn
    wanted = settings(consistency_values, others={"short": short})
    looks = consistency.attention(wanted, [course], StageDir(tmp_path))
    assert set(looks) == {"short", "model"}
    assert all(set(by_turn) == {"2"} for by_turn in looks.values())
    with np.load(tmp_path / "attention.npz") as held:
        assert held["names"].tolist() == ["short", "model"]
        assert held["tokens0"] == held["tokens1"] == lengths[1]
        assert held["picture0"].shape == held["picture1"].shape


def test_a_dialog_whose_first_turn_a_model_cannot_hold_is_left_out_of_attention(
    consistency_values: dict, tuned: StageDir, tmp_path: Path
):
    wanted = settings(consistency_values, others={"short": short_model(tuned, tmp_path / "short", 8)})
    assert consistency.attention(wanted, [a_course(2)], StageDir(tmp_path)) == {}
    assert not (tmp_path / "attention.npz").exists()


def test_a_model_that_shows_no_attention_is_passed_over(consistency_values: dict, tmp_path: Path, monkeypatch):
    opened = consistency.open_chat_model
    monkeypatch.setattr(consistency, "open_chat_model", lambda spec: object() if spec == "elsewhere" else opened(spec))
    wanted = settings(consistency_values, others={"far": "elsewhere"})
    assert set(consistency.attention(wanted, [a_course(3)], StageDir(tmp_path))) == {"model"}
    with np.load(tmp_path / "attention.npz") as held:
        assert held["names"].tolist() == ["model"]


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
    assert settings(consistency_values).inputs() == [consistency_values["data"][0], str(pretrained.model), str(tuned.model)]
