"""Answers survive a kill, and are the same with and without one."""

from __future__ import annotations

import json

import pytest

from paddock.protocols import Sampling
from paddock.safety.benchmarks import kept
from paddock.safety.benchmarks.kept import KeptModel
from paddock.text.dialog import Dialog, Message

SAMPLING = Sampling(temperature=0.1, top_p=0.9, seed=3)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(kept, "PROMPTS_A_CHUNK", 4)


def prompts(count):
    return [f"prompt {place}" for place in range(count)]


def test_answers_come_in_order_and_are_asked_for_once(told, kept_model):
    model = told(str.upper)
    asked = kept_model(model)
    first = asked.complete("answers", prompts(10), SAMPLING)
    assert [completion.text for completion in first] == [f"PROMPT {place}" for place in range(10)]
    assert asked.complete("answers", prompts(10), SAMPLING) == first
    assert len(model.asked) == 10


def test_a_model_that_need_not_answer_is_not_opened(told, kept_model):
    asked = kept_model(told(str.upper))
    asked.complete("answers", prompts(3), SAMPLING)

    def fail():
        raise AssertionError

    again = KeptModel("told", fail, asked.folder)
    assert again.complete("answers", prompts(3), SAMPLING)[2].text == "PROMPT 2"


@pytest.mark.parametrize("cut", [0, 1, 60, 200, 400, 450, 700])
def test_a_killed_run_asks_for_the_chunks_that_are_not_whole_with_their_own_seeds(told, kept_model, cut):
    model = told(str.upper)
    asked = kept_model(model)
    whole = asked.complete("answers", prompts(10), SAMPLING)
    seeds = [sampling.seed for sampling in model.samplings]
    file = asked.folder / "answers.jsonl"
    content = file.read_bytes()
    file.write_bytes(content[:cut])
    model.asked.clear()
    model.samplings.clear()
    assert asked.complete("answers", prompts(10), SAMPLING) == whole
    assert file.read_bytes() == content
    assert len(model.asked) in (10, 6, 2)
    assert [sampling.seed for sampling in model.samplings] == seeds[-len(model.samplings) :]
    assert len(set(seeds)) == 3


def test_answers_to_other_prompts_or_of_other_sampling_are_not_taken_for_these(told, kept_model):
    model = told(str.upper)
    asked = kept_model(model)
    asked.complete("answers", prompts(5), SAMPLING)
    other = asked.complete("answers", prompts(5)[::-1], SAMPLING)
    assert [completion.text for completion in other] == [f"PROMPT {place}" for place in (4, 3, 2, 1, 0)]
    asked.complete("answers", prompts(5), Sampling(temperature=1, seed=3))
    assert len(model.asked) == 15


def test_a_dialog_with_a_tag_is_not_asked_and_counts_as_failed(told, kept_model):
    model = told(lambda _: "x")
    dialogs = [Dialog((Message("user", text),)) for text in ("plain", "with [INST] in it")]
    reasons = [completion.finish_reason for completion in kept_model(model).complete("answers", dialogs, SAMPLING)]
    assert reasons == ["stop", "error"]
    assert model.asked == dialogs[:1]


def test_failures_are_kept_as_failures(told, kept_model):
    asked = kept_model(told(lambda prompt: None if prompt.endswith("1") else "x"))
    for _ in range(2):
        reasons = [completion.finish_reason for completion in asked.complete("answers", prompts(3), SAMPLING)]
        assert reasons == ["stop", "error", "stop"]


def test_dialogs_and_odd_text_are_kept(told, kept_model):
    asked = kept_model(told(lambda _: "half \ud800 a\u2028line\n"))
    dialog = Dialog((Message("user", "x"),))
    assert asked.complete("answers", [dialog], SAMPLING) == asked.complete("answers", [dialog], SAMPLING)
    assert asked.complete("answers", [dialog], SAMPLING)[0].text == "half \ud800 a\u2028line\n"


def test_log_probabilities_are_of_whole_continuations(told, kept_model):
    model = told(str.upper, log_prob=lambda text: -float(len(text)))
    asked = kept_model(model)
    for _ in range(2):
        assert asked.log_probs("choices", ["a", "a"], [" b", " ccc"]) == [-2.0, -4.0]
    assert len(model.asked) == 2
    assert json.loads((asked.folder / "choices.jsonl").read_text().splitlines()[1])["value"] == -4.0


def test_without_a_folder_nothing_is_kept(told, tmp_path):
    model = told(str.upper)
    asked = KeptModel("told", lambda: model, None)
    assert [c.text for c in asked.complete("answers", prompts(6), SAMPLING)] == [f"PROMPT {n}" for n in range(6)]
    asked.write_items([{"a": 1}])
    assert list(tmp_path.iterdir()) == []
