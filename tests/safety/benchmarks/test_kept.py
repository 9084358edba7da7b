"""Answers survive a kill, and are the same with and without one."""

from __future__ import annotations

import json
from dataclasses import replace

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


def test_answers_go_by_prompts_in_any_order_and_those_of_other_sampling_are_not_taken_for_these(told, kept_model):
    model = told(str.upper)
    asked = kept_model(model)
    asked.complete("answers", prompts(5), SAMPLING)
    other = asked.complete("answers", prompts(5)[::-1], SAMPLING)
    assert [completion.text for completion in other] == [f"PROMPT {place}" for place in (4, 3, 2, 1, 0)]
    assert len(model.asked) == 5
    asked.complete("answers", prompts(5), Sampling(temperature=1, seed=3))
    assert len(model.asked) == 10


def test_a_prompt_that_joins_the_others_is_asked_alone(told, kept_model):
    """A judge reads one answer more where one that had failed came after all."""
    model = told(str.upper)
    asked, some = kept_model(model), prompts(10)
    asked.complete("judge", [*some[:2], *some[3:]], SAMPLING)
    model.asked.clear()
    assert [one.text for one in asked.complete("judge", some, SAMPLING)] == [prompt.upper() for prompt in some]
    assert model.asked == ["prompt 2"]


def test_a_prompt_that_comes_twice_is_asked_twice(told, kept_model):
    model = told(str.upper)
    for _ in range(2):
        assert len(kept_model(model).complete("answers", ["a", "b", "a"], SAMPLING)) == 3
    assert model.asked == ["a", "b", "a"]


def test_a_dialog_with_a_tag_is_not_asked_and_counts_as_failed(told, kept_model):
    model = told(lambda _: "x")
    dialogs = [Dialog((Message("user", text),)) for text in ("plain", "with [INST] in it")]
    reasons = [completion.finish_reason for completion in kept_model(model).complete("answers", dialogs, SAMPLING)]
    assert reasons == ["stop", "error"]
    assert model.asked == dialogs[:1]


def test_a_model_that_is_not_paddocks_own_is_asked_with_tags_too(told, tmp_path):
    """A judge at an endpoint reads whatever a model wrote."""
    model = told(lambda _: "x")
    asked = KeptModel({"kind": "openai", "base_url": "http://localhost:1", "model": "m"}, lambda: model, tmp_path)
    (answer,) = asked.complete("judge", [Dialog((Message("user", "with [INST] in it"),))], SAMPLING)
    assert (answer.text, len(model.asked)) == ("x", 1)


def test_what_failed_is_asked_for_again_by_the_next_run_and_by_it_alone(told, kept_model):
    down = {"prompt 1", "prompt 7"}
    model = told(lambda prompt: None if prompt in down else prompt.upper())
    asked = kept_model(model)
    first = asked.complete("answers", prompts(10), SAMPLING)
    assert [place for place, one in enumerate(first) if one.finish_reason == "error"] == [1, 7]
    assert len(model.asked) == 10  # once each: an endpoint has tried by itself
    model.asked.clear()
    down.remove("prompt 1")
    second = asked.complete("answers", prompts(10), SAMPLING)
    assert model.asked == ["prompt 1", "prompt 7"]
    assert [one.text for one in second] == ["PROMPT 0", "PROMPT 1", *(one.text for one in first[2:])]
    assert second[7].finish_reason == "error"


def test_what_fails_as_before_adds_nothing_to_the_file(told, kept_model):
    asked = kept_model(told(lambda prompt: None if prompt.endswith("1") else "x"))
    asked.complete("answers", prompts(3), SAMPLING)
    content = (asked.folder / "answers.jsonl").read_bytes()
    reasons = [completion.finish_reason for completion in asked.complete("answers", prompts(3), SAMPLING)]
    assert reasons == ["stop", "error", "stop"]
    assert (asked.folder / "answers.jsonl").read_bytes() == content


def test_a_run_of_several_tries_asks_at_once_for_what_failed(told, kept_model):
    left = ["prompt 1", "prompt 1", "prompt 2"]

    def answer(prompt):
        if prompt in left:
            left.remove(prompt)
            return None
        return "x"

    model = told(answer)
    found = replace(kept_model(model), tries=3).complete("answers", prompts(3), SAMPLING)
    assert [one.finish_reason for one in found] == ["stop"] * 3
    assert model.asked[3:] == ["prompt 1", "prompt 2", "prompt 1"]
    assert len({sampling.seed for sampling in model.samplings}) == 3  # of a sampled failure another answer is drawn


def test_a_prompt_with_a_tag_is_not_asked_again(told, kept_model):
    model = told(lambda _: "x")
    for _ in range(2):
        kept_model(model).complete("answers", [Dialog((Message("user", "with [INST] in it"),))], SAMPLING)
    assert model.asked == []


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
