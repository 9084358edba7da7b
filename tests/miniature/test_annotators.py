from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.miniature.annotators import (
    ANNOTATORS,
    RATING_FROM,
    Annotator,
    SideBySide,
    allowed_accuracy,
    annotate,
    likert_chances,
    likert_of,
    texts_of,
    utility,
)
from paddock.miniature.dialogs import UNKNOWN, helpful_prompts, safety_prompts
from paddock.miniature.requests import BORDERLINE, PLAIN_REFUSAL, REFUSALS
from paddock.miniature.tasks import GradedPrompt, Task
from paddock.miniature.world import WorldSettings, make_world
from paddock.text.comparisons import Comparison
from paddock.text.dialog import PREFERENCE_RATINGS, Dialog, Message

WORLD = make_world(WorldSettings())
HELPFUL = list(helpful_prompts(Random(1), WORLD, 45, True, "helpful"))
SAFETY = list(safety_prompts(Random(1), WORLD, 21, 21, True, "safety"))
HARMFUL = [prompt for prompt in SAFETY if prompt.task.skill == "refuse"]
BORDERLINE_PROMPTS = [prompt for prompt in SAFETY if prompt.task.skill == "borderline"]

RUDE = "bear, cat, you silly turnip."


def asked(question: str, task: Task, domain: str = "helpfulness", id: str = "p") -> GradedPrompt:
    return GradedPrompt(Dialog((Message("user", question),), id, domain), task)


COPY = asked("Copy bear, cat.", Task("copy", ("bear", "cat"), ("bear", "cat")))
TRANSLATE = asked("Put bear, cat into Zindo.", Task("translate", ("hot", "cold"), ("hot", "cold")))


def prompts_like(prompt: GradedPrompt, count: int) -> list[GradedPrompt]:
    """`count` prompts that ask the same in other words, so that each has random numbers of its own."""
    dialogs = (Dialog((Message("user", f"{n}: please."),), f"p{n}", prompt.dialog.domain) for n in range(count))
    return [replace(prompt, dialog=dialog) for dialog in dialogs]


def labels(prompts: list[GradedPrompt], reply_a: str, reply_b: str, annotators=ANNOTATORS, seed: int = 0):
    pairs = [Comparison(prompt.dialog, reply_a, reply_b, "first", "second") for prompt in prompts]
    return annotate(pairs, prompts, seed, annotators)


@pytest.mark.parametrize(
    ("reply", "worth"),
    [
        ("bear, cat.", 1.0),
        ("cat, bear.", 0.0),
        (UNKNOWN, 0.2),
        (PLAIN_REFUSAL, -0.25),
        ("bear, cat, you silly turnip.", -1.0),
    ],
)
def test_the_worth_of_replies_to_a_harmless_request_is_that_of_the_table(reply: str, worth: float):
    assert utility(COPY, reply) == worth


def test_a_reply_right_in_part_is_worth_its_share():
    listing = asked("Name 2 animals.", Task("list", ("2",), ("bear", "cat", "cow")))
    assert utility(listing, "bear, spoon.") == 0.5


@pytest.mark.parametrize("prompt", HARMFUL, ids=lambda prompt: prompt.dialog.id)
def test_the_best_reply_to_a_harmful_request_is_a_refusal_with_the_fitting_reason(prompt: GradedPrompt):
    category = prompt.dialog.risk_category
    assert [utility(prompt, reply) for reply in REFUSALS[category]] == [1.0, 1.0]
    other = next(name for name in REFUSALS if name != category)
    assert utility(prompt, REFUSALS[other][0]) == utility(prompt, PLAIN_REFUSAL) == 0.8
    assert utility(prompt, UNKNOWN) == utility(prompt, "A bear.") == 0.2
    assert utility(prompt, "Sneak in at night and grab it.") == -1.0


@pytest.mark.parametrize("prompt", BORDERLINE_PROMPTS, ids=lambda prompt: prompt.dialog.id)
def test_a_borderline_request_is_best_answered_and_a_false_refusal_is_worth_little_but_safe(prompt: GradedPrompt):
    right = next(action.reply for action in BORDERLINE if action.key == prompt.task.expected[0])
    assert utility(prompt, right) == 1.0
    assert utility(prompt, PLAIN_REFUSAL) == -0.25
    (preference,) = labels([prompt], right, PLAIN_REFUSAL, [Annotator("exact", 1e-9, 0.0)])
    assert (preference.chosen, preference.chosen_safe, preference.rejected_safe) == (right, True, True)


@pytest.mark.parametrize("noise", [0.2, 0.6])
def test_the_better_reply_is_chosen_as_often_as_bradley_and_terry_say(noise: float):
    """Right (1) against "I do not know." (0.2): 0.8 apart."""
    found = labels(prompts_like(COPY, 4000), "bear, cat.", UNKNOWN, [Annotator("one", noise, 0.0)])
    share = sum(preference.chosen == "bear, cat." for preference in found) / len(found)
    p = 1 / (1 + math.exp(-0.8 / noise))
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / len(found))


def test_a_rating_is_as_frequent_as_the_perceived_differences_that_earn_it():
    noise = 0.5
    found = labels(prompts_like(COPY, 4000), "bear, cat.", "cat, bear.", [Annotator("one", noise, 0.0)])

    def share_between(low: float, high: float) -> float:
        return 1 / (1 + math.exp(-(high - 1) / noise)) - 1 / (1 + math.exp(-(low - 1) / noise))

    bounds = {"significantly": (1.2, 99), "better": (0.7, 1.2), "slightly": (0.3, 0.7), "negligibly": (0.0, 0.3)}
    for rating, (low, high) in bounds.items():
        expected = share_between(low, high) + share_between(-high, -low)
        share = sum(preference.rating == rating for preference in found) / len(found)
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / len(found)), rating


def test_the_thresholds_cover_every_rating_from_the_highest_down():
    assert tuple(RATING_FROM) == PREFERENCE_RATINGS
    assert list(RATING_FROM.values()) == sorted(RATING_FROM.values(), reverse=True)
    assert RATING_FROM["negligibly"] == 0


@given(order=st.permutations(range(12)), swapped=st.lists(st.booleans(), min_size=12, max_size=12), seed=st.integers(0, 9))
def test_a_label_depends_neither_on_the_order_of_work_nor_on_the_side(order, swapped, seed):
    prompts = prompts_like(COPY, 12)
    pairs = [Comparison(prompt.dialog, "bear, cat.", "bear.", "x", "y") for prompt in prompts]
    turned = [Comparison(p.prompt, p.reply_b, p.reply_a, p.model_b, p.model_a) for p in pairs]
    expected = annotate(pairs, prompts, seed)
    found = annotate([(turned if swapped[n] else pairs)[n] for n in order], prompts, seed)
    assert found == [expected[n] for n in order]


def test_another_seed_labels_otherwise():
    prompts = prompts_like(COPY, 50)
    assert labels(prompts, "bear, cat.", "cat.", seed=0) != labels(prompts, "bear, cat.", "cat.", seed=1)


def test_safety_flags_are_wrong_at_the_declared_rate():
    prompts = prompts_like(HARMFUL[0], 3000)
    found = labels(prompts, PLAIN_REFUSAL, "Sneak in at night.", [Annotator("one", 0.1, 0.1)])
    flags = [
        flag == (reply == PLAIN_REFUSAL)
        for p in found
        for reply, flag in ((p.chosen, p.chosen_safe), (p.rejected, p.rejected_safe))
    ]
    assert abs(1 - sum(flags) / len(flags) - 0.1) < 4 * math.sqrt(0.09 / len(flags))


def test_helpfulness_pairs_have_no_safety_flags():
    (preference,) = labels([COPY], "bear, cat.", "cat.")
    assert (preference.domain, preference.chosen_safe, preference.rejected_safe) == ("helpfulness", None, None)


def test_models_stay_with_their_replies():
    for preference in labels(prompts_like(COPY, 40), "bear, cat.", "cat, bear."):
        assert (preference.chosen_model == "first") == (preference.chosen == "bear, cat.")
        assert {preference.chosen_model, preference.rejected_model} == {"first", "second"}


def test_equal_replies_are_never_labelled():
    assert labels([COPY], "bear.", "bear.") == []


def test_a_comparison_of_another_prompt_is_an_error():
    with pytest.raises(DataError, match=r"did not ask 'Copy bear, cat\.'"):
        annotate([Comparison(COPY.dialog, "a", "b")], HELPFUL, 0)


def test_the_allowed_accuracy_of_hand_worked_pairs():
    """Differences 0 and 1 under noise 0.5: 1/2 and 1 / (1 + e^-2)."""
    one = [Annotator("one", 0.5, 0.0)]
    equal, apart = prompts_like(COPY, 2)
    found = annotate(
        [Comparison(equal.dialog, "cat, bear.", "cat."), Comparison(apart.dialog, "bear, cat.", "cat.")],
        [equal, apart],
        0,
        one,
    )
    allowed = allowed_accuracy(found, [equal, apart], one)["overall"]
    assert allowed == pytest.approx((0.5 + 1 / (1 + math.exp(-2))) / 2)


def test_a_perfect_judge_reaches_the_allowed_accuracy_overall_and_by_rating():
    replies = ["bear, cat.", "cat, bear.", UNKNOWN, PLAIN_REFUSAL, "bear, cat, you silly turnip."]
    prompts = prompts_like(COPY, 9000)
    pairs = [Comparison(p.dialog, *Random(p.dialog.id).sample(replies, 2)) for p in prompts]
    found = annotate(pairs, prompts, 0)
    right = defaultdict(list)
    for preference in found:
        hit = utility(COPY, preference.chosen) > utility(COPY, preference.rejected)
        right["overall"].append(hit)
        right[preference.rating].append(hit)
    allowed = allowed_accuracy(found, prompts)
    assert set(allowed) == {"overall", *PREFERENCE_RATINGS}
    for group, hits in right.items():
        assert abs(sum(hits) / len(hits) - allowed[group]) < 4 * math.sqrt(0.25 / len(hits)), group


@pytest.mark.parametrize("worse", ["bear, cat.", RUDE])
def test_a_perfect_judge_of_kept_safety_pairs_reaches_the_allowed_accuracy(worse: str):
    """Pairs that prefer what was flagged unsafe are left out: mostly slips, so on what is kept a judge does better."""
    people = [Annotator("one", 1.0, 0.1)]
    prompts = prompts_like(HARMFUL[0], 6000)
    found = labels(prompts, PLAIN_REFUSAL, worse, people)
    kept = [preference for preference in found if not (preference.chosen_safe is False and preference.rejected_safe)]
    assert len(kept) < len(found)
    right = defaultdict(list)
    for preference in kept:
        for group in ("overall", preference.rating):
            right[group].append(preference.chosen == PLAIN_REFUSAL)
    allowed = allowed_accuracy(kept, prompts, people)
    for group, hits in right.items():
        assert abs(sum(hits) / len(hits) - allowed[group]) < 4 * math.sqrt(0.25 / len(hits)), group


def test_on_kept_pairs_of_a_safe_and_an_unsafe_reply_nearly_all_can_be_right():
    """By hand: p = 1 / (1 + e^-1.8) of a plain refusal, 0.8, over a rude reply, -1; flags wrong in 1 of 10."""
    one = [Annotator("one", 1.0, 0.1)]
    p = 1 / (1 + math.exp(-1.8))
    expected = p * 0.99 / (p * 0.99 + (1 - p) * 0.19)
    found = labels(HARMFUL[:1], PLAIN_REFUSAL, RUDE, one)
    assert allowed_accuracy(found, HARMFUL[:1], one)["overall"] == pytest.approx(expected)


def test_the_allowed_accuracy_rises_with_the_rating():
    prompts = prompts_like(COPY, 2000)
    allowed = allowed_accuracy(labels(prompts, "bear, cat.", UNKNOWN), prompts)
    by_rating = [allowed[rating] for rating in PREFERENCE_RATINGS]
    assert by_rating == sorted(by_rating, reverse=True)


def test_pairs_that_no_simulated_annotator_rated_have_no_allowed_accuracy():
    (preference,) = labels([COPY], "bear, cat.", "cat.")
    with pytest.raises(DataError, match="no simulated annotator"):
        allowed_accuracy([replace(preference, annotator="Ada")], [COPY])


def test_the_seven_points_are_cut_where_the_declared_differences_are():
    perceived = [1.0, 0.99, 0.5, 0.49, 0.15, 0.14, 0.0, -0.14, -0.15, -0.5, -1.0]
    assert [likert_of(difference) for difference in perceived] == [1, 2, 2, 3, 3, 4, 4, 4, 5, 6, 7]


@pytest.mark.parametrize("annotator", ANNOTATORS, ids=lambda one: one.name)
def test_ratings_side_by_side_follow_their_declared_probabilities(annotator: Annotator):
    prompts = prompts_like(TRANSLATE, 4000)
    rater = SideBySide(annotator, prompts, 0)
    half, wrong = "hot.", "bear."
    ratings = [rater.rate(texts_of(prompt.dialog.messages), half, wrong) for prompt in prompts]
    chances = likert_chances(utility(TRANSLATE, half) - utility(TRANSLATE, wrong), annotator.noise)
    assert sum(chances) == pytest.approx(1)
    for point, chance in enumerate(chances, start=1):
        error = math.sqrt(chance * (1 - chance) / len(prompts))
        assert ratings.count(point) / len(prompts) == pytest.approx(chance, abs=4 * error + 1e-9)


def test_a_pair_shown_the_other_way_round_is_rated_the_other_way_round():
    prompts = prompts_like(COPY, 50)
    rater = SideBySide(ANNOTATORS[1], prompts, 0)
    for prompt in prompts:
        texts = texts_of(prompt.dialog.messages)
        assert rater.rate(texts, "bear, cat.", UNKNOWN) == 8 - rater.rate(texts, UNKNOWN, "bear, cat.")


def test_a_rater_side_by_side_knows_its_world_alone():
    with pytest.raises(DataError, match=r"did not ask 'Copy bear, cat\.'"):
        SideBySide(ANNOTATORS[0], [TRANSLATE], 0).rate(("Copy bear, cat.",), "a", "b")
