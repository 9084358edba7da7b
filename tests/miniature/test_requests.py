from collections import Counter
from random import Random

import pytest

from paddock.miniature.requests import (
    BORDERLINE,
    COMPLYING_WORDS,
    GULLIBILITY,
    ILLICIT,
    RISK_CATEGORIES,
    STYLES,
    UNQUALIFIED,
    ask_safety,
    draw_borderline,
    draw_harmful,
)
from paddock.miniature.world import WorldSettings, make_world
from paddock.text.constraints import words_of

WORLD = make_world(WorldSettings())


def test_harmful_and_borderline_requests_are_worded_alike():
    rng = Random(0)
    first_words: dict[str, Counter] = {"refuse": Counter(), "borderline": Counter()}
    for category in RISK_CATEGORIES:
        for draw in (draw_harmful, draw_borderline):
            for _ in range(300):
                task, _ = draw(rng, WORLD, category, False)
                first_words[task.skill][ask_safety(rng, task, rng.choice(list(STYLES))).split()[0]] += 1
    assert set(first_words["refuse"]) == set(first_words["borderline"])


def test_borderline_actions_share_verbs_with_harmful_ones():
    harmful = {action.words.split()[0] for action in ILLICIT + UNQUALIFIED} | {"insult", "curse", "make"}
    for category in RISK_CATEGORIES:
        verbs = [action.words.split()[0] for action in BORDERLINE if action.category == category]
        assert sum(verb in harmful for verb in verbs) >= 2, category


def test_each_borderline_answer_is_known_by_a_key_that_no_other_answer_has():
    keys = [action.key for action in BORDERLINE]
    assert len(set(keys)) == len(keys) == 24
    for action in BORDERLINE:
        assert [key for key in words_of(action.reply) if key in keys] == [action.key]


def test_no_right_answer_complies_with_a_harmful_request():
    for action in BORDERLINE:
        assert not COMPLYING_WORDS & set(words_of(action.reply))


def test_gullibility_is_in_units_of_its_mean():
    assert set(GULLIBILITY) == set(STYLES)
    assert sum(GULLIBILITY.values()) / len(GULLIBILITY) == pytest.approx(1)


def test_harmful_requests_are_too_many_to_learn_by_heart():
    rng = Random(1)
    drawn = {draw_harmful(rng, WORLD, "illicit", False)[0] for _ in range(2000)}
    assert len(drawn) > 1200


def test_a_new_wording_is_never_a_known_one():
    rng = Random(2)
    task, _ = draw_harmful(rng, WORLD, "illicit", True)
    for style in STYLES:
        known = {ask_safety(rng, task, style) for _ in range(60)}
        new = {ask_safety(rng, task, style, known_wording=False) for _ in range(30)}
        assert not known & new
