"""BOLD: openings, VADER's sentiment, and the sentences' own column."""

from __future__ import annotations

import json
import math

import pytest

from paddock.errors import DataError
from paddock.safety.benchmarks.bold import Opening, compound, joined, measure, read_openings, scores_of
from paddock.safety.benchmarks.settings import BoldSettings

PROMPTS = {"judaism": {"J": ["J is a ", "The J "]}, "hinduism": {"H": ["H is "]}}
SENTENCES = {"judaism": {"J": ["J is a good thing.", "The J stands."]}, "hinduism": {"H": ["H is old."]}}


@pytest.fixture
def data(tmp_path):
    for folder, kind, content in (("prompts", "prompt", PROMPTS), ("wikipedia", "wiki", SENTENCES)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"religious_ideology_{kind}.json").write_text(json.dumps(content))
    return tmp_path


def test_the_published_folders_and_the_hubs_rows_are_one(data):
    openings = read_openings(str(data))
    assert openings[0] == Opening("J is a", "J is a good thing.", "religious_ideology", "judaism", "J")
    rows = [
        {
            "domain": "religious_ideology",
            "category": group,
            "name": entity,
            "prompts": its,
            "wikipedia": SENTENCES[group][entity],
        }
        for group, entities in PROMPTS.items()
        for entity, its in entities.items()
    ]
    (data / "hub.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert read_openings(str(data / "hub.jsonl")) == openings


def test_an_opening_without_its_sentence_is_named(data):
    (data / "wikipedia" / "religious_ideology_wiki.json").write_text(json.dumps({"judaism": {"J": ["x"]}}))
    with pytest.raises(DataError, match="each opening of 'J' needs the sentence"):
        read_openings(str(data))
    with pytest.raises(DataError, match="holds no prompts/"):
        read_openings(str(data / "prompts"))


@pytest.mark.parametrize("groups", [{"judaism": ["J is a "]}, {"judaism": {"J": [1, 2]}}, {"judaism": {"J": "J is a"}}])
def test_a_file_of_another_form_is_named(data, groups):
    (data / "prompts" / "religious_ideology_prompt.json").write_text(json.dumps(groups))
    with pytest.raises(DataError, match=r"religious_ideology_prompt\.json:1: field 'judaism'"):
        read_openings(str(data))


def test_prompt_and_continuation_are_scored_together_and_small_groups_left_out(data, told, kept_model):
    model = told(lambda prompt: " good one." if prompt == "J is a" else " sad one.")
    results = measure(BoldSettings(data=str(data)), kept_model(model), 0)
    assert model.asked == ["J is a", "The J"]
    found = {(row["metric"], row["group"]): row for row in results["scores"]}
    good, sad = (value / math.sqrt(value**2 + 15) for value in (1.9, -2.1))  # VADER's strengths of the two words
    figure = found["sentiment", "religious_ideology: judaism"]
    assert figure["estimate"] == pytest.approx((good + sad) / 2, abs=1e-4)
    assert (figure["n"], figure["lower"]) == (2, pytest.approx(sad, abs=1e-4))  # one entity: over its prompts
    assert found["wikipedia", "religious_ideology: judaism"]["estimate"] == pytest.approx(good / 2, abs=1e-4)
    assert not [key for key in found if "hinduism" in key[1]]
    assert results["protocol"]["left_out"] == ["hinduism", "atheism"]


def test_prompts_of_one_entity_are_drawn_together():
    items = [{"domain": "race", "group": "g", "entity": entity, "sentiment": v} for entity, v in ("A0", "A0", "B1", "B1")]
    (row,) = scores_of([{**item, "sentiment": float(item["sentiment"])} for item in items], "sentiment")
    assert (row["n"], row["lower"], row["estimate"], row["upper"]) == (2, 0.0, 0.5, 1.0)


def test_what_is_left_out_is_a_choice(data, told, kept_model):
    results = measure(BoldSettings(data=str(data), leave_out=()), kept_model(told(lambda _: "x")), 0)
    assert [row for row in results["scores"] if row["group"].endswith("hinduism")]


def test_an_opening_without_a_word_is_passed_over(data, told, kept_model):
    """BOLD publishes five: their sentence is its last word."""
    for folder, kind, texts in (
        ("prompts", "prompt", ["J is a ", ""]),
        ("wikipedia", "wiki", ["J is a thing.", "Judaism."]),
    ):
        (data / folder / f"religious_ideology_{kind}.json").write_text(json.dumps({"judaism": {"J": texts}}))
    model = told(lambda _: "x")
    results = measure(BoldSettings(data=str(data)), kept_model(model), 0)
    assert model.asked == ["J is a"]
    assert {row["n"] for row in results["scores"]} == {1}
    row = {"domain": "religious_ideology", "category": "judaism", "name": "J"}
    row |= {"prompts": ["J is a ", ""], "wikipedia": ["J is a thing.", "Judaism."]}
    (data / "hub.jsonl").write_text(json.dumps(row) + "\n")
    assert read_openings(str(data / "hub.jsonl")) == read_openings(str(data))


def test_a_failed_continuation_is_counted(data, told, kept_model):
    results = measure(BoldSettings(data=str(data)), kept_model(told(lambda p: None if "The" in p else "x")), 0)
    assert results["failed"] == 1


def test_sentiment_is_vaders_compound():
    assert compound("") == 0.0
    assert compound("good") == pytest.approx(0.4404)
    assert joined("A b", " c") == joined("A b", "c") == "A b c"
