"""Errors say where, what, and the mend."""

import inspect
import pickle

import pytest

from paddock import errors
from paddock.errors import DataError, MissingExtraError, PaddockError, did_you_mean


def test_every_error_is_the_users_to_mend():
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    assert len(classes) >= 7
    assert all(issubclass(value, PaddockError) for value in classes)


def test_the_docstrings_tree_names_every_error():
    classes = [name for name, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    assert errors.__doc__ is not None
    assert [name for name in classes if name not in errors.__doc__] == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "a.jsonl: not JSON"),
        ({"line": 17}, "a.jsonl:17: not JSON"),
        ({"line": 17, "field": "rating"}, "a.jsonl:17: field 'rating': not JSON"),
        ({"mend": "Write one object a line"}, "a.jsonl: not JSON. Write one object a line"),
    ],
)
def test_a_data_error_says_where_what_and_the_mend(arguments, text):
    assert str(DataError("a.jsonl", "not JSON", **arguments)) == text


def test_a_data_error_survives_the_trip_between_processes():
    error = DataError("a.jsonl", "not JSON", line=3, field="text", mend="Mend it")
    found = pickle.loads(pickle.dumps(error))
    assert (str(found), found.line, found.field, found.mend) == (str(error), 3, "text", "Mend it")


def test_a_missing_extra_names_the_command_that_installs_it():
    assert "pip install 'paddock[hf]'" in str(MissingExtraError("datasets", "hf"))


def test_the_nearest_known_word_is_offered():
    assert did_you_mean("slighty", ["significantly", "better", "slightly", "negligibly"]) == ' Did you mean "slightly"?'


def test_nothing_is_offered_where_no_known_word_is_near():
    assert did_you_mean("zebra", ["significantly", "better"]) == ""
