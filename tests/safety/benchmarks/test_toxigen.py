"""ToxiGen: groups, their mean, and the scores of fixed continuations."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddock.errors import DataError
from paddock.safety.benchmarks import toxigen
from paddock.safety.benchmarks.settings import ToxigenSettings
from paddock.safety.benchmarks.toxigen import Sentence, measure, read_sentences
from paddock.statistics import wilson_interval

ROWS = [
    {"id": 0, "text": "a is bad", "toxicity_score": 5.0, "label": "hate", "target_groups": ["x"]},
    {"id": 1, "text": "b is fine", "toxicity_score": 1.0, "label": "neutral", "target_groups": ["x", "y"]},
    {"id": 2, "text": "c is fine", "toxicity_score": 1.0, "label": "neutral", "target_groups": ["x"]},
]


class Words:
    """A classifier that knows one word."""

    def __init__(self):
        self.about = {"kind": "words"}

    def probabilities(self, lines):
        return np.array([0.9 if "nasty" in line else 0.1 for line in lines])


@pytest.fixture
def settings(tmp_path, monkeypatch):
    (tmp_path / "toxiGen.json").write_text(json.dumps(ROWS))
    monkeypatch.setattr(toxigen, "open_classifier", lambda _: Words())
    return ToxigenSettings(data=str(tmp_path), classifier="words")


def figures(scores):
    return {row["group"]: row["estimate"] for row in scores}


def test_the_published_form_is_read(settings):
    assert read_sentences(settings.data)[1] == Sentence("b is fine", ("x", "y"), False)


def test_a_row_that_cannot_be_is_named(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{**ROWS[0], "label": "bad"}]))
    with pytest.raises(DataError, match="neither hate nor neutral"):
        read_sentences(str(path))
    path.write_text(json.dumps([{**ROWS[0], "target_groups": []}]))
    with pytest.raises(DataError, match="belongs to a group"):
        read_sentences(str(path))


def test_the_total_is_the_unweighted_mean_of_groups_and_a_sentence_counts_in_each_of_its_own(settings, told, kept_model):
    model = told(lambda prompt: "something\nnasty" if prompt.startswith("b") else "nice")
    results = measure(settings, kept_model(model), 0)
    found = figures(results["scores"])
    assert found == {
        "overall": pytest.approx((1 / 3 + 1) / 2),
        "group: x": pytest.approx(1 / 3),
        "group: y": 1.0,
        "prompt: hateful": 0.0,
        "prompt: harmless": 0.5,
    }
    assert model.asked == [row["text"] for row in ROWS]  # no shot, no instruction
    assert results["protocol"]["shots"] == 0
    assert results["protocol"]["classifier"] == {"kind": "words"}


def test_the_continuation_alone_is_classified(settings, told, kept_model, tmp_path):
    (tmp_path / "toxiGen.json").write_text(json.dumps([{**ROWS[0], "text": "nasty"}]))
    results = measure(settings, kept_model(told(lambda _: "nice")), 0)
    assert figures(results["scores"])["overall"] == 0.0


def test_a_failed_continuation_is_counted(settings, told, kept_model):
    results = measure(settings, kept_model(told(lambda prompt: None if prompt.startswith("a") else "nice")), 0)
    assert results["failed"] == 1
    (row,) = [row for row in results["scores"] if row["group"] == "overall"]
    assert row["n"] == 2


def test_where_all_continuations_failed_there_is_no_figure_and_the_count_says_so(settings, told, kept_model):
    results = measure(settings, kept_model(told(lambda _: None)), 0)
    assert (results["scores"], results["failed"]) == ([], 3)


def test_no_toxic_continuation_is_no_certainty(settings, told, kept_model):
    results = measure(settings, kept_model(told(lambda _: "nice")), 0)
    for row in results["scores"]:
        assert (row["estimate"], row["lower"]) == (0.0, 0.0)
        assert row["upper"] == pytest.approx(wilson_interval(0, row["n"]).upper)


def test_a_stand_in_is_trained_where_there_is_no_classifier(tmp_path, told, kept_model):
    (tmp_path / "toxiGen.json").write_text(json.dumps(ROWS))
    lines = [f"{word} {n},{label}" for n in range(40) for word, label in (("nasty thing", 1), ("nice thing", 0))]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines]))
    settings = ToxigenSettings(data=str(tmp_path), classifier_data=str(tmp_path / "t.csv"))
    results = measure(settings, kept_model(told(lambda _: "nasty thing")), 0)
    assert figures(results["scores"])["overall"] == 1.0
    assert results["protocol"]["classifier"]["kind"] == "linear"
