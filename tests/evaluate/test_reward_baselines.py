"""What simple rules reach on the pairs that a reward model is judged by."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.feature_extraction.text import CountVectorizer

from paddock.evaluate import reward_baselines
from paddock.evaluate.reward_accuracy import ScoredPair, accuracy_rows, in_order
from paddock.evaluate.reward_baselines import REGULARISATION, baseline_rows, fit_rules, word_margins
from paddock.text.dialog import Message, Preference


def scored(margin, chosen_tokens, rejected_tokens, prompt="p"):
    return ScoredPair(prompt, margin, 0.0, chosen_tokens, rejected_tokens)


def pair(chosen, rejected, prompt="?", chosen_model=None, rejected_model=None):
    return Preference((Message("user", prompt),), chosen, rejected, chosen_model=chosen_model, rejected_model=rejected_model)


def rows_of(pairs, rules=None):
    return {(row["metric"], row["group"]): row for row in baseline_rows(pairs, rules or {})}


PAIRS = [scored(1, 9, 3, "a"), scored(-1, 2, 30, "b"), scored(1, 20, 21, "c"), scored(1, 7, 7, "d")]


def test_the_length_rule_chooses_the_longer_reply_and_half_of_equal_ones():
    rows = rows_of(PAIRS)
    assert rows["longer_is_better", "overall"]["estimate"] == (1 + 0 + 0 + 0.5) / 4
    assert rows["longer_is_better", "length: matched"]["estimate"] == 0.25
    assert rows["equal_lengths", "overall"]["estimate"] == 0.25


def test_chance_is_half_with_an_interval_of_no_width():
    row = rows_of(PAIRS)["chance", "overall"]
    assert (row["estimate"], row["lower"], row["upper"]) == (0.5, 0.5, 0.5)


def test_a_gain_is_the_models_accuracy_less_the_rules_on_the_same_pairs():
    rows = rows_of(PAIRS, {"bag_of_words": [1.0, 1.0, -1.0, 0.0]})
    assert rows["gain_over_longer_is_better", "overall"]["estimate"] == pytest.approx(0.75 - 0.375)
    assert rows["gain_over_bag_of_words", "overall"]["estimate"] == pytest.approx(0.75 - 0.625)
    assert rows["gain_over_bag_of_words", "length: matched"]["estimate"] == pytest.approx(1.0 - 0.25)


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(1, 30), st.integers(1, 30)), min_size=2, max_size=20))
def test_a_rule_that_is_the_model_gains_nothing_and_has_its_accuracy_in_every_group(found):
    pairs = [scored(*some, prompt=str(place)) for place, some in enumerate(found)]
    rows = rows_of(pairs, {"bag_of_words": [some.margin for some in pairs]})
    for row in accuracy_rows(pairs):
        assert rows["bag_of_words", row["group"]]["estimate"] == row["estimate"]
        gain = rows["gain_over_bag_of_words", row["group"]]
        assert gain["estimate"] == 0
        assert {gain["lower"], gain["upper"]} <= {0, None}


def test_pairs_of_one_prompt_count_as_one_unit():
    assert (
        rows_of([scored(1, 9, 3, "a"), scored(1, 3, 9, "a"), scored(1, 3, 9, "b")])["longer_is_better", "overall"]["n"] == 2
    )


def test_the_better_model_is_the_one_that_won_more_of_its_pairs():
    learnt = [pair("x", "y", "1", "A", "B"), pair("x", "y", "2", "A", "B"), pair("x", "y", "3", "B", "A")]
    margins = fit_rules(learnt, [pair("x", "y", "4", "B", "A"), pair("x", "y", "5", "A", "new"), pair("x", "y", "6", "A")])
    assert margins["better_model"] == pytest.approx([1 / 3 - 2 / 3, 2 / 3 - 0.5, 0.0])


def test_where_nobody_is_named_there_is_no_better_model():
    assert "better_model" not in fit_rules([pair("x", "y"), pair("z", "y")], [pair("x", "y")])


def test_from_one_pair_no_words_are_learnt():
    assert fit_rules([pair("good", "bad")], [pair("good", "bad")]) == {}


def test_words_that_win_are_known_again_in_other_prompts():
    draw = random.Random(0)
    filler = ["tree", "house", "river", "stone", "cloud", "bread"]
    learnt = [pair(f"thanks {draw.choice(filler)}", f"never {draw.choice(filler)}", str(n)) for n in range(60)]
    held_out = [pair("thanks moon", "never sun"), pair("never moon", "thanks sun"), pair("moon", "sun")]
    assert np.sign(word_margins(learnt, held_out)).tolist() == [1, -1, 0]


def test_margins_are_those_of_the_regression_solved_directly():
    draw = random.Random(1)
    words = [f"word{number}" for number in range(12)]

    def some(count):
        return [
            pair(" ".join(draw.choices(words, k=6)), " ".join(draw.choices(words[2:], k=5)), str(n)) for n in range(count)
        ]

    learnt, held_out = some(50), some(20)
    counter = CountVectorizer(ngram_range=(1, 2)).fit([text for p in learnt + held_out for text in (p.chosen, p.rejected)])

    def differences(pairs):
        chosen, rejected = (counter.transform(texts) for texts in zip(*((p.chosen, p.rejected) for p in pairs), strict=True))
        return np.log1p(chosen.toarray()) - np.log1p(rejected.toarray())

    known = differences(learnt)
    solved = minimize(lambda w: w @ w / 2 + REGULARISATION * np.logaddexp(0, -known @ w).sum(), np.zeros(known.shape[1]))
    assert word_margins(learnt, held_out) == pytest.approx(differences(held_out) @ solved.x, abs=1e-3)


def test_no_more_pairs_than_the_cap_are_learnt_from_and_the_same_ones_in_any_order(monkeypatch):
    monkeypatch.setattr(reward_baselines, "LEARNT_PAIRS", 10)
    learnt = [pair(f"thanks {n}a", f"never {n}b", str(n)) for n in range(40)]
    taken = []
    monkeypatch.setattr(reward_baselines, "word_margins", lambda some, _: taken.append(some))
    for order in (learnt, learnt[::-1]):
        fit_rules(iter(order), [])
    assert len(taken[0]) == 10
    assert taken[0] == taken[1]


def test_margins_do_not_depend_on_how_many_are_counted_at_once(monkeypatch):
    learnt = [pair(f"thanks {n}a", f"never {n}b", str(n)) for n in range(20)]
    whole = word_margins(learnt, learnt)
    monkeypatch.setattr(reward_baselines, "PAIRS_AT_A_TIME", 7)
    assert word_margins(learnt, learnt) == pytest.approx(whole)
    assert in_order(whole) == [1.0] * 20


def test_it_needs_no_torch():
    code = "import sys, paddock.evaluate.reward_baselines; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
