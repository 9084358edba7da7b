from random import Random

import pytest

from paddock.miniature.dialogs import helpful_prompts, safety_prompts, system_prompts
from paddock.miniature.evaluation import answer_prompts, evaluate, figures
from paddock.miniature.requests import BORDERLINE, PLAIN_REFUSAL
from paddock.miniature.skills import right_words
from paddock.miniature.system_messages import keep
from paddock.miniature.world import WorldSettings, make_world
from paddock.protocols import Completion
from paddock.statistics import wilson_interval

WORLD = make_world(WorldSettings())
RNG = Random(0)
HELPFUL = list(helpful_prompts(RNG, WORLD, 90, True, "helpful"))
SAFETY = list(safety_prompts(RNG, WORLD, 42, 42, True, "safety"))
SYSTEM = list(system_prompts(RNG, WORLD, 8, 5, True, "system"))


class Replies:
    """A chat model that answers each prompt by a rule of the test's."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def complete(self, prompts, sampling):
        self.asked.append((prompts, sampling))
        return [[self.answer(prompt)] for prompt in prompts]

    def log_probs(self, prompts, continuations):
        raise NotImplementedError


def oracle():
    """Answers every prompt of the world rightly, by looking the task up."""
    answers = {}
    for prompt in HELPFUL + SAFETY:
        if prompt.task.skill == "refuse":
            answer = PLAIN_REFUSAL
        elif prompt.task.skill == "borderline":
            answer = next(action.reply for action in BORDERLINE if action.key == prompt.task.expected[0])
        else:
            answer = " ".join(right_words(RNG, prompt.task)) + "."
        answers[prompt.dialog.messages] = answer
    for prompt in SYSTEM:
        messages = prompt.dialog.messages
        for content, task in ((messages[-1].content, prompt.task), *prompt.later):
            answers[messages[0], content] = keep(prompt.constraints[0], right_words(RNG, task))

    def answer(dialog):
        found = answers.get(dialog.messages) or answers[dialog.messages[0], dialog.messages[-1].content]
        return Completion(found)

    return answer


def test_an_oracle_gets_full_marks():
    results, _ = evaluate(Replies(oracle()), HELPFUL + SAFETY, SYSTEM, 5)
    assert results["helpfulness"]["estimate"] == 1
    assert results["violations"]["estimate"] == 0
    assert results["false_refusals"]["estimate"] == 0
    assert results["borderline_helpfulness"]["estimate"] == 1
    assert {turn: share["estimate"] for turn, share in results["obedience_by_turn"].items()} == dict.fromkeys("12345", 1)
    assert results["helpfulness_under_system_message"]["estimate"] == 1


def test_a_model_that_refuses_all_is_safe_and_of_no_help():
    results, _ = evaluate(Replies(lambda prompt: Completion(PLAIN_REFUSAL)), HELPFUL + SAFETY)
    assert results["helpfulness"]["estimate"] == 0
    assert results["violations"] == wilson_interval(0, 42).as_row()
    assert results["false_refusals"] == wilson_interval(42, 42).as_row()
    assert results["refusals_of_helpful"]["estimate"] == 1


def test_a_model_that_complies_with_all_violates_in_every_category_and_style():
    results, _ = evaluate(Replies(lambda prompt: Completion("Sneak in at night.")), SAFETY)
    assert results["violations"] == wilson_interval(42, 42).as_row()
    assert set(results["violations_by_category"]) == {"illicit", "hateful", "unqualified"}
    assert len(results["violations_by_style"]) == 7
    assert sum(share["n"] for share in results["violations_by_style"].values()) == 42


def test_failed_completions_are_counted_and_left_out_of_the_figures():
    right = oracle()
    failing = {HELPFUL[0].dialog.messages, HELPFUL[1].dialog.messages}

    def answer(dialog):
        return Completion("", finish_reason="error", error="timeout") if dialog.messages in failing else right(dialog)

    results, replies = evaluate(Replies(answer), HELPFUL)
    assert results["failed_completions"] == 2
    assert results["prompts"] == 90
    assert results["helpfulness"]["n"] == 88
    assert results["helpfulness"]["estimate"] == 1
    assert sum(reply.to_row()["grades"] is None for reply in replies) == 2


def test_a_dialog_goes_on_with_the_models_own_answers_and_ends_at_a_failure():
    def answer(dialog):
        failed = len(dialog.messages) == 6
        return Completion("", finish_reason="error") if failed else Completion(f"answer to {len(dialog.messages)}")

    model = Replies(answer)
    replies = answer_prompts(model, SYSTEM, turns=5)
    assert [len(prompts) for prompts, _ in model.asked] == [8, 8, 8]
    third = model.asked[2][0][0].messages
    assert [message.content for message in third if message.role == "assistant"] == ["answer to 2", "answer to 4"]
    assert [message.content for message in third if message.role == "user"][1:] == [text for text, _ in SYSTEM[0].later[:2]]
    assert {reply.turn for reply in replies} == {1, 2, 3}


def test_a_dialog_ends_at_an_answer_that_no_further_prompt_could_carry():
    model = Replies(lambda dialog: Completion("7. [INST] Say cat."))
    replies = answer_prompts(model, SYSTEM, turns=5)
    assert [reply.turn for reply in replies] == [1] * 8


def test_answers_are_greedy():
    model = Replies(oracle())
    evaluate(model, HELPFUL)
    assert all(sampling.temperature == 0 and sampling.n == 1 for _, sampling in model.asked)


def test_skills_and_wordings_are_told_apart():
    results, _ = evaluate(Replies(lambda prompt: Completion("7.")), HELPFUL)
    assert set(results["helpfulness_by_skill"]) == {
        "recall", "add", "copy", "reverse", "sort", "count", "opposite", "translate", "list"
    }  # fmt: skip
    assert {name: row["n"] for name, row in results["helpfulness_by_wording"].items()} == {"known": 45, "new": 45}
    by_skill = results["helpfulness_by_skill"].values()
    mean = sum(row["estimate"] * row["n"] for row in by_skill) / 90
    assert results["helpfulness"]["estimate"] == pytest.approx(mean)


def test_no_prompts_give_no_figures():
    assert figures([]) == {"prompts": 0, "failed_completions": 0}
