from __future__ import annotations

import pytest
from pydantic import Field

from paddock.errors import DataError, SettingsError
from paddock.settings import StageSettings, assign, parse, read_value, read_yaml, read_yaml_file


class Inner(StageSettings):
    learning_rate: float = Field(1e-3, gt=0)


class Outer(StageSettings):
    steps: int = 1
    training: Inner = Inner()


def test_an_unknown_key_is_answered_with_the_nearest():
    with pytest.raises(SettingsError, match=r'recipe\.yaml: unknown setting "stpes"\. Did you mean "steps"\?'):
        parse(Outer, {"stpes": 3}, "recipe.yaml")


def test_an_unknown_nested_key_is_answered_with_the_nearest_of_its_place():
    with pytest.raises(SettingsError, match=r'unknown setting "training\.learning_rat"\. Did you mean "learning_rate"\?'):
        parse(Outer, {"training": {"learning_rat": 3}}, "x")


def test_an_unknown_key_with_no_near_one_lists_what_is_known():
    with pytest.raises(SettingsError, match=r"Known: steps, training\."):
        parse(Outer, {"zzz": 3}, "x")


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        parse(Outer, {"steps": "many", "training": {"learning_rate": -1}}, "x")
    assert "steps is 'many'" in str(caught.value)
    assert "training.learning_rate is -1" in str(caught.value)


def test_settings_cannot_be_changed_once_made():
    with pytest.raises(ValueError, match="frozen"):
        Outer().steps = 2  # type: ignore[misc]


def test_assign_sets_nested_values_and_leaves_the_original_alone():
    original = {"training": {"learning_rate": 1.0}}
    assert assign(original, ["training.learning_rate=2e-3", "steps=5"]) == {"training": {"learning_rate": 0.002}, "steps": 5}
    assert original == {"training": {"learning_rate": 1.0}}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("3", 3), ("true", True), ("[a, b]", ["a", "b"]), ("elephant", "elephant"), ("5e", "5e"), ("", None)],
)
def test_values_are_read_as_people_mean_them(text, value):
    assert read_value(text, "x") == value


@pytest.mark.parametrize("word", ["steps", "=3", "steps.more=3"])
def test_a_word_that_sets_nothing_is_refused(word):
    with pytest.raises(SettingsError, match="--set"):
        assign({"steps": 1}, [word])


def test_a_list_is_asked_for_by_the_name_that_yaml_has():
    class Listed(StageSettings):
        models: tuple[str, ...]

    with pytest.raises(SettingsError, match=r"models is \{'v1': 'm'\}: input should be a list"):
        parse(Listed, {"models": {"v1": "m"}}, "study.yaml")


def test_a_file_that_is_not_there_or_is_no_text_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.yaml: there is no such recipe\. Write one"):
        read_yaml_file(tmp_path / "none.yaml", "recipe", mend="Write one")
    with pytest.raises(DataError, match="there is no such recipe"):
        read_yaml_file(tmp_path, "recipe")
    (tmp_path / "latin.yaml").write_bytes("name: Lütt".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.yaml: this recipe cannot be read \('utf-8' codec"):
        read_yaml_file(tmp_path / "latin.yaml", "recipe")


def test_unreadable_yaml_names_its_line():
    with pytest.raises(SettingsError, match=r"r\.yaml:3"):
        read_yaml("a: 1\nb: 2\n}: 3", "r.yaml")


def test_a_list_where_keys_belong_is_refused():
    with pytest.raises(SettingsError, match="expected keys with values, found list"):
        read_yaml("- a", "r.yaml")
