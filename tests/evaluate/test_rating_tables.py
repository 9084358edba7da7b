"""Long and wide tables, and errors with the file's line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from paddock.errors import DataError, SettingsError
from paddock.evaluate.agreement import agreement
from paddock.evaluate.rating_tables import Layout, judgements, parse_categories, rated_items
from paddock.text.tables import Table, read_table

WIDE = "item,r1,r2,r3\nq1,1,2,\nq2,3,3,3\nq3,2,2,1\n"


def table_of(folder: Path, text: str) -> Table:
    (folder / "t.csv").write_text(text)
    return read_table(folder / "t.csv")


def long_of(wide: str) -> str:
    rows = list(csv.DictReader(wide.splitlines()))
    lines = [f"{row['item']},{rater},{row[rater]}" for rater in ("r1", "r2", "r3") for row in rows]
    return "\n".join(["item,rater,rating", *lines]) + "\n"


def test_long_and_wide_give_the_same_ratings(tmp_path):
    wide = rated_items(table_of(tmp_path, WIDE), Layout())
    long = rated_items(table_of(tmp_path, long_of(WIDE)), Layout())
    assert (wide.raters, long.raters, long.items) == (("r1", "r2", "r3"), ("r1", "r2", "r3"), ("q1", "q2", "q3"))
    assert np.array_equal(wide.ratings.codes, long.ratings.codes)
    assert wide.ratings.codes.tolist() == [[0, 1, 3], [2, 2, 2], [1, 1, 0]]
    assert wide.ratings.categories == long.ratings.categories == (1, 2, 3)
    assert agreement(wide.ratings).raters == 3


def test_rows_that_lack_a_rater_leave_a_gap(tmp_path):
    rated = rated_items(table_of(tmp_path, "item,rater,rating\nq1,a,yes\nq2,b,no\n"), Layout())
    assert rated.ratings.codes.tolist() == [[1, 2], [2, 0]]
    assert rated.ratings.categories == ("no", "yes")


def test_columns_may_have_other_names(tmp_path):
    rated = rated_items(table_of(tmp_path, "doc,who,score\n1,a,1\n1,b,2\n"), Layout("doc", "who", "score"))
    assert (rated.items, rated.raters) == (("1",), ("a", "b"))


def test_the_raters_columns_may_be_named(tmp_path):
    rated = rated_items(table_of(tmp_path, "x,y,z\n1,2,9\n2,2,9\n"), Layout(raters=("x", "y")))
    assert rated.raters == ("x", "y")
    assert rated.ratings.categories == (1, 2)


@pytest.mark.parametrize(
    ("text", "categories", "problem"),
    [
        (WIDE, [1, 2], r"t.csv:3: field 'r1': 3 is not one of the declared categories 1, 2"),
        (long_of(WIDE), [1, 2], r"t.csv:3: field 'rating': 3 is not one of the declared categories 1, 2"),
        ("item,r1,r2\nq1,1,2\nq2,n/a,2\n", [1, 2], r"t.csv:3: field 'r1': \"n/a\" is not a number"),
        ("item,rater,rating\nq1,a,1\nq1,b,2\nq1,a,3\n", None, r"t.csv:4: a rates q1 a second time; the first is on line 2"),
        ("item,rater,rating\nq1,a,1\nq1,,2\n", None, r"t.csv:3: field 'rater': it is empty"),
        ("item,rater,ratings\nq1,a,1\n", None, "there is no column 'rating'.*Did you mean \"ratings\""),
        ("item,annotator,rating\nq1,a,1\n", None, "there is no column 'rater'"),
        ("item\nq1\n", None, "there is no column of ratings"),
        ("item,r1,r2\nq1,1,inf\n", None, r"t.csv:2: field 'r2': it is infinite"),
    ],
)
def test_an_error_names_file_line_column_and_mend(tmp_path, text, categories, problem):
    with pytest.raises(DataError, match=problem):
        rated_items(table_of(tmp_path, text), Layout(), categories)


def test_numbers_beside_words_in_a_file_of_objects_are_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"item": "q", "a": 1, "b": "x"}\n')
    with pytest.raises(DataError, match=r"t.jsonl: there are numbers and labels"):
        rated_items(read_table(tmp_path / "t.jsonl"), Layout())


@pytest.mark.parametrize(
    ("text", "expected"), [("3,1, 2", [1, 2, 3]), ("poor, fair,good", ["poor", "fair", "good"]), (None, None)]
)
def test_declared_categories_are_numbers_where_all_are(text, expected):
    assert parse_categories(text) == expected


def test_a_category_declared_twice_is_refused():
    with pytest.raises(SettingsError, match="twice"):
        parse_categories("1,2,1")


def test_judgements_carry_models_groups_and_prompts(tmp_path):
    text = "item,rater,model_a,model_b,category,rating\np1,a,x,y,talk,1\np1,b,y,x,talk,7\np2,a,x,y,,4\np2,b,x,y,,\n"
    found = judgements(table_of(tmp_path, text), Layout(), ["category"])
    assert [(j.prompt, j.first, j.second, j.outcome) for j in found] == [
        ("p1", "x", "y", "win"),
        ("p1", "y", "x", "loss"),
        ("p2", "x", "y", "tie"),
    ]
    assert [dict(j.groups)["category"] for j in found] == ["talk", "talk", None]


def test_a_column_of_conversations_is_no_rater_and_says_what_is_independent(tmp_path):
    found = judgements(table_of(tmp_path, "item,conversation,r1\np1,c,a\np2,c,b\np3,,a\n"), Layout())
    assert [(one.prompt, one.cluster) for one in found] == [("p1", "c"), ("p2", "c"), ("p3", "p3")]


def test_judgements_are_read_from_a_wide_table_too(tmp_path):
    found = judgements(table_of(tmp_path, "item,r1,r2,r3\np1,1,4,\np2,2,tie,b\n"), Layout())
    assert [(j.prompt, j.outcome) for j in found] == [
        ("p1", "win"),
        ("p1", "tie"),
        ("p2", "win"),
        ("p2", "tie"),
        ("p2", "loss"),
    ]


def test_turns_and_words_are_counted_where_the_table_lacks_them(tmp_path):
    talk = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d e f"}]
    rows = [{"prompt": talk, "id": "p1", "rating": 1}, {"prompt": "one two", "id": "p2", "rating": 7}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = judgements(read_table(tmp_path / "t.jsonl"), Layout(), ["turns", "prompt_words"])
    assert [dict(j.groups) for j in found] == [{"turns": 2, "prompt_words": 6}, {"turns": 1, "prompt_words": 2}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("item,rating\np1,9\n", r"t.csv:2: field 'rating': 9 lies outside 1 to 7"),
        ("item,rating\np1,better\n", r"t.csv:2: field 'rating': \"better\" is neither"),
        ("item,model_a,model_b,rating\np1,x,x,1\n", r"t.csv:2: field 'model_b': x is compared with itself"),
        ("item,model_a,model_b,rating\np1,,x,1\n", r"t.csv:2: field 'model_a': it is empty"),
        ("item,rating\np1,\n", r"t.csv: there is no rating"),
    ],
)
def test_judgements_that_cannot_be_are_refused_with_their_line(tmp_path, text, problem):
    with pytest.raises(DataError, match=problem):
        judgements(table_of(tmp_path, text), Layout())


def test_long_numbers_are_names_of_their_own(tmp_path):
    """Seven digits and more, beyond what a float holds, and zeros in front: each is another prompt, and no majority."""
    names = ["1000001", "1000002", "12345678901234567890", "12345678901234567891", "7", "07"]
    rows = [f"{name},{model},x,{rating}" for name in names for model, rating in (("1000001", 1), ("1000002", 7))]
    text = "\n".join(["item,model_a,model_b,rating", *rows]) + "\n"
    found = judgements(table_of(tmp_path, text), Layout())
    assert [(j.prompt, j.first) for j in found[::2]] == [(name, "1000001") for name in names]
    assert {j.first for j in found[1::2]} == {"1000002"}
    rated = rated_items(
        table_of(tmp_path, "item,rater,rating\n" + "".join(f"{name},1000001,1\n" for name in names)), Layout()
    )
    assert (rated.items, rated.raters) == (tuple(names), ("1000001",))


def test_a_column_to_group_by_is_no_rater(tmp_path):
    found = judgements(table_of(tmp_path, "item,r1,r2,difficulty\np1,1,7,3\np2,1,,5\n"), Layout(), ["difficulty"])
    assert [(j.prompt, j.outcome, dict(j.groups)) for j in found] == [
        ("p1", "win", {"difficulty": 3}),
        ("p1", "loss", {"difficulty": 3}),
        ("p2", "win", {"difficulty": 5}),
    ]


def test_a_rating_of_no_prompt_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"t.csv:3: field 'item': it is empty"):
        judgements(table_of(tmp_path, "item,rating\np1,1\n,7\n"), Layout())
