from __future__ import annotations

import pytest

from paddock.errors import DataError, PaddockError, SettingsError
from paddock.studio.items import items_of
from paddock.studio.opening import open_studio, reopen

USER, ASSISTANT = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}


@pytest.mark.parametrize(
    ("task", "row", "messages", "replies"),
    [
        ("helpfulness", {"messages": [USER, ASSISTANT]}, [USER], ["So."]),
        ("helpfulness", {"prompt": [USER], "answer": "So."}, [USER], ["So."]),
        ("safety", {"prompt": "Why?", "reply": ""}, [USER], [""]),
        ("side-by-side", {"prompt": "Why?", "reply_a": "So.", "reply_b": ""}, [USER], ["So.", ""]),
        ("demonstration", {"messages": [USER, ASSISTANT]}, [USER], []),
        ("demonstration", {"brief": "Write about rain."}, [], []),
    ],
)
def test_rows_of_every_task_are_read(make_studio, task, row, messages, replies):
    (item,) = items_of(make_studio([row], task=task).study)
    assert item.content["messages"] == messages
    assert [reply["text"] for reply in item.content.get("replies", [])] == replies


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "Why?", "reply_a": "So."}, 'there is no "reply_b"'),
        ({"prompt": "Why?", "reply_a": "So.", "reply_b": 3}, "'reply_b': a string was expected"),
        ({"reply_a": "So.", "reply_b": "No."}, "no known form of row"),
        ({"prompt": "Why [INST]?", "reply_a": "So.", "reply_b": "No."}, "a tag of the chat format"),
    ],
)
def test_a_row_that_cannot_be_shown_is_named_with_its_line(make_studio, pair, row, says):
    with pytest.raises(DataError, match=says) as caught:
        make_studio([pair(0), row])
    assert caught.value.line == 2


def test_an_id_twice_is_refused(make_studio, pair):
    with pytest.raises(DataError, match="line 1 has it too"):
        make_studio([pair(0), pair(0)])


def test_ids_may_count_from_0(make_studio, pair):
    rows = [{**pair(number), "id": number} for number in range(2)]
    assert [item.name for item in items_of(make_studio(rows).study)] == ["0", "1"]


def test_a_reply_to_rate_must_be_there(make_studio):
    with pytest.raises(DataError, match="the dialog ends with the user"):
        make_studio([{"messages": [{"role": "user", "content": "Why?"}]}], task="safety")


def test_known_answers_must_be_possible_ones(make_studio, pair, tmp_path):
    test = tmp_path / "test.jsonl"
    test.write_text('{"prompt": "Why?", "reply_a": "So.", "reply_b": "No.", "expected": [1, 8]}\n')
    with pytest.raises(DataError, match=r"8 cannot be answered.*one of: 1, 2"):
        make_studio(qualification={"data": str(test)})


def test_a_study_is_opened_again_with_what_is_new_and_refuses_what_has_changed(make_studio, pair, tmp_path):
    make_studio([pair(0)])
    make_studio([pair(0), pair(1)], annotators=("Ada", "Dora"))
    with pytest.raises(SettingsError, match="item 'p0' is not what it was"):
        make_studio([pair(0, reply_a="Another reply.")])
    reopened = reopen(tmp_path / "study")
    assert reopened.study.annotators == ("Ada", "Dora")


def test_a_folder_of_something_else_is_left_alone(make_studio, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.tex").write_text("years of work")
    with pytest.raises(PaddockError, match="holds files of something else"):
        make_studio()
    with pytest.raises(PaddockError, match="holds no study"):
        reopen(tmp_path)


def test_a_database_that_cannot_be_opened_is_named_without_its_password(make_studio):
    with pytest.raises(SettingsError, match=r"postgresql.*:\*\*\*@.*cannot be opened") as caught:
        make_studio(database="postgresql://ada:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match="SQLite or PostgreSQL"):
        make_studio(database="mysql://ada:hunter2@localhost/none")


def test_two_studies_do_not_share_a_database(make_studio, tmp_path):
    shared = f"sqlite:///{tmp_path}/shared.sqlite"
    first = make_studio(database=shared)
    other = first.study.model_copy(update={"name": "another study"})
    with pytest.raises(SettingsError, match="holds the study 'a study', and this is 'another study'"):
        open_studio(other, tmp_path / "other", shared)
    assert reopen(tmp_path / "study", shared).study.name == "a study"
    with pytest.raises(PaddockError, match="the database holds no study"):
        reopen(tmp_path / "study", f"sqlite:///{tmp_path}/empty.sqlite")
