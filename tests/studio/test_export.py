from __future__ import annotations

import csv
import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.evaluate.agreement import agreement
from paddock.evaluate.comparison import compare
from paddock.evaluate.rating_tables import Layout, judgements, rated_items
from paddock.safety.red_team import read_log
from paddock.studio import results
from paddock.studio.answers import rule, submit, undo
from paddock.studio.assignment import find, next_assignment
from paddock.studio.export import as_csv, tables_of, write_exports
from paddock.studio.figures import figures
from paddock.text.readers import read_dialogs, read_preferences
from paddock.text.tables import read_table


@pytest.fixture
def rated(make_studio, id_of):
    """A finished study of ten pairs, and what each rater meant, by the file's sides."""
    studio = make_studio(count=10)
    meant = {}
    for name, shift in (("Ada", 0), ("Ben", 1), ("Chen", 3)):
        person = id_of(studio, name)
        while (assignment := next_assignment(studio.engine, studio.study, person)) is not None:
            one = find(studio.engine, assignment, person)
            rating = 1 + (int(one.item_name[1:]) + shift) % 7
            meant[one.item_name, name] = rating
            shown = 8 - rating if one.swapped else rating
            submit(
                studio.engine, assignment, person, f"form-{name}-{assignment}", {"rating": shown, "comment": f"for {name}"}
            )
    return studio, meant


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_every_format_holds_what_was_rated_and_is_read_by_agreement_and_compare(rated, tmp_path, ending):
    studio, meant = rated
    write_exports(studio, tmp_path)
    table = read_table(tmp_path / f"ratings.{ending}")
    cells = zip(table.column("item"), table.column("rater"), table.column("rating"), strict=True)
    assert {(item, rater): rating for item, rater, rating in cells} == meant
    coded = rated_items(table, Layout(), range(1, 8))
    matrix = [[meant[item, rater] for rater in ("Ada", "Ben", "Chen")] for item in coded.items]
    found = agreement(matrix, categories=range(1, 8))
    assert found.n == 10
    (pair,) = compare(judgements(table, Layout(), ("turns",))).pairs
    assert (pair.first, pair.second, pair.prompts) == ("sft", "v5", 10)


def test_an_answer_that_was_taken_back_is_in_no_export(rated, id_of):
    studio, _ = rated
    undo(studio.engine, studio.study, id_of(studio, "Chen"), "undo-key")
    assert len(tables_of(studio)["ratings"]) == 29


def test_a_ruling_stands_beside_the_ratings(rated, id_of):
    studio, _ = rated
    rule(studio.engine, 1, id_of(studio, "lead"), "ruling-key", {"rating": 6})
    rows = tables_of(studio)["ratings"]
    assert {row["adjudicated"] for row in rows if row["item"] == "p0"} == {6}
    assert {row["adjudicated"] for row in rows if row["item"] != "p0"} == {None}


@pytest.mark.parametrize("tell", [tables_of, figures])
def test_what_comes_while_a_table_is_read_is_in_none_of_its_parts(make_studio, id_of, database, monkeypatch, tell):
    """A lead rules, and people answer, between the reading of the answers and that of the rulings."""
    studio = make_studio(database=database)
    person = id_of(studio, "Ada")

    def rate(form_key: str) -> None:
        assignment = next_assignment(studio.engine, studio.study, person)
        submit(studio.engine, assignment, person, form_key, {"rating": 2})

    def interrupted(connection):
        rule(studio.engine, 1, id_of(studio, "lead"), "ruling-key", {"rating": 6})
        rate("later-form")
        assert len(results.answers(connection)) == 1
        assert results.last_words(connection) == {}
        return results.last_words(connection)

    rate("first-form")
    monkeypatch.setattr(sys.modules[tell.__module__], "last_words", interrupted)
    tell(studio)
    assert len(results.answers(studio.engine)) == 2


@pytest.fixture
def preferred(make_studio, id_of, pair):
    """Two pairs of the safety domain: Ada always prefers the file's b slightly, and calls it alone safe; Ben prefers a."""
    studio = make_studio(
        [pair(number, domain="safety") for number in range(2)], task="preference", annotators=("Ada", "Ben")
    )
    for name, answer in (
        ("Ada", {"rating": 6, "safe_a": False, "safe_b": True}),
        ("Ben", {"rating": 1, "safe_a": True, "safe_b": True}),
    ):
        person = id_of(studio, name)
        while (assignment := next_assignment(studio.engine, studio.study, person)) is not None:
            swapped = find(studio.engine, assignment, person).swapped
            turned = {"rating": 9 - answer["rating"], "safe_a": answer["safe_b"], "safe_b": answer["safe_a"]}
            submit(studio.engine, assignment, person, f"form-{name}-{assignment}", turned if swapped else answer)
    return studio


def test_preferences_are_what_reward_models_read(preferred, tmp_path):
    write_exports(preferred, tmp_path)
    found = {(one.annotator, one.prompt[0].content): one for one in read_preferences([tmp_path / "preferences.jsonl"])}
    assert len(found) == 4
    ada, ben = found["Ada", "Question 0?"], found["Ben", "Question 0?"]
    assert (ada.chosen, ada.rejected, ada.rating) == ("Reply b to 0.", "Reply a to 0.", "slightly")
    assert (ada.chosen_safe, ada.rejected_safe, ada.chosen_model, ada.rejected_model) == (True, False, "v5", "sft")
    assert (ben.chosen, ben.rating, ben.domain) == ("Reply a to 0.", "significantly", "safety")


def test_a_lead_s_preference_stands_for_those_of_the_raters(preferred, id_of):
    rule(preferred.engine, 1, id_of(preferred, "lead"), "ruling-key", {"rating": 2, "safe_a": True, "safe_b": True})
    rows = [row for row in tables_of(preferred)["preferences"] if row["prompt"][0]["content"] == "Question 0?"]
    assert [(row["annotator"], row["chosen"], row["rating"]) for row in rows] == [("lead", "Reply a to 0.", "better")]


def test_demonstrations_are_dialogs_to_learn_from(make_studio, visit, tmp_path):
    rows = [{"id": "d0", "messages": [{"role": "user", "content": "Why?"}]}, {"id": "d1", "brief": "About rain."}]
    studio = make_studio(rows, task="demonstration", raters=1)
    ada = visit(studio)
    ada.answer_all(lambda shown: {"text": " So.\r\nTruly. ", **({} if shown.messages else {"prompt": "Does it rain?"})})
    write_exports(studio, tmp_path)
    dialogs = list(read_dialogs([tmp_path / "demonstrations.jsonl"]))
    assert [[message.content for message in dialog.messages] for dialog in dialogs] == [
        ["Why?", "So.\nTruly."],
        ["Does it rain?", "So.\nTruly."],
    ]


def test_a_red_team_log_that_is_rated_for_safety_comes_back_with_the_votes(make_studio, visit, single, tmp_path):
    session = {"person": "Eve", "start": "2026-01-01T10:00:00Z", "end": "2026-01-01T10:06:00Z", "attack_style": "other"}
    row = single(0, **session, risk_category="unqualified advice", language="English", votes={"Eve": 1})
    studio = make_studio([row], task="safety", raters=2)
    for name, rating in (("Ada", "2"), ("Ben", "5")):
        annotator = visit(studio, name)
        annotator.send(annotator.next_item(), {"rating": rating})
    (found,) = tables_of(studio)["red_team"]
    votes = [{"rater": "Eve", "rating": 1}, {"rater": "Ada", "rating": 2}, {"rater": "Ben", "rating": 5}]
    assert found == {**row, "votes": votes}
    write_exports(studio, tmp_path)
    for ending in ("jsonl", "csv", "parquet"):
        (attempt,) = read_log([tmp_path / f"red_team.{ending}"])
        assert attempt.votes == (("Eve", 1), ("Ada", 2), ("Ben", 5))
        assert attempt.violates


def test_who_held_a_conversation_and_rates_it_again_votes_once(make_studio, visit, single, tmp_path):
    session = {"person": "Ada", "start": "2026-01-01T10:00:00Z", "end": "2026-01-01T10:06:00Z"}
    studio = make_studio([single(0, **session, votes={"Ada": 1, "Ben": 2})], task="safety", raters=1)
    annotator = visit(studio, "Ada")
    annotator.send(annotator.next_item(), {"rating": "4"})
    write_exports(studio, tmp_path)
    (attempt,) = read_log([tmp_path / "red_team.jsonl"])
    assert attempt.votes == (("Ada", 4), ("Ben", 2))


def test_no_cell_of_a_csv_file_is_a_formula():
    cells = ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠sum", "plain", "a=b"]
    text = as_csv([{"text": cell, "number": -1} for cell in cells]).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [row[0] for row in rows] == ["'" + cell for cell in cells[:11]] + cells[11:]
    assert {row[1] for row in rows} == {"-1"}  # a number is a number


@given(st.lists(st.text(), min_size=1))
def test_a_csv_file_gives_back_every_text_but_for_the_quote_mark(texts):
    rows = list(csv.reader(io.StringIO(as_csv([{"text": text} for text in texts]).decode(), newline="")))
    read = [row[0] if row else "" for row in rows[1:]]
    assert [cell.removeprefix("'") for cell in read] == [
        text.encode(errors="replace").decode().removeprefix("'") for text in texts
    ]


def test_the_command_writes_the_files_and_says_how_many_rows(rated, tmp_path, monkeypatch, capsys):
    import sys

    from paddock.cli.main import main

    monkeypatch.setattr(sys, "argv", ["paddock", "studio", "export", "--out", str(tmp_path / "study"), "--json"])
    try:
        main()
    except SystemExit as end:
        assert not end.code
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path / "study" / "export"), "ratings": 30}
    names = sorted(file.name for file in (tmp_path / "study" / "export").iterdir())
    assert names == ["ratings.csv", "ratings.jsonl", "ratings.parquet"]
