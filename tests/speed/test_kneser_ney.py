"""The n-gram baseline against hand-worked values, a slow reference by the book, and the sum of probabilities."""

import importlib.util
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

spec = importlib.util.spec_from_file_location("kneser_ney", Path(__file__).parents[2] / "speed" / "kneser_ney.py")
kneser_ney = importlib.util.module_from_spec(spec)
sys.modules["kneser_ney"] = kneser_ney
spec.loader.exec_module(kneser_ney)

streams = st.integers(1, 6).flatmap(
    lambda vocab_size: st.tuples(st.just(vocab_size), st.lists(st.integers(0, vocab_size - 1), min_size=5, max_size=60))
)


def probability(model, history, token) -> float:
    """The probability of `token` after `history` (of one token or more)."""
    return math.exp(kneser_ney.log_probs(model, [*history, token])[-1])


def by_the_book(tokens, vocab_size, order, history, token) -> float:
    """The probability of `token` by the formula, with dictionaries: Chen and Goodman (1999), equations 14 to 17."""
    history = tuple(history)[-(order - 1) :] if order > 1 else ()

    def occurrences(n):
        return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))

    def counts(n):
        return occurrences(n) if n == order else Counter(gram[1:] for gram in occurrences(n + 1))

    def at(n, context):
        if n == 0:
            return 1 / vocab_size
        grams = counts(n)
        discounts = kneser_ney.estimate_discounts(np.array(list(grams.values())))
        followers = {gram[-1]: count for gram, count in grams.items() if gram[:-1] == context}
        lower = at(n - 1, context[1:])
        if not followers:
            return lower
        count, total = followers.get(token, 0), sum(followers.values())
        freed = sum(discounts[min(follower, 3)] for follower in followers.values())
        return (count - discounts[min(count, 3)] + freed * lower) / total

    return at(len(history) + 1, history)


def test_probabilities_equal_hand_work():
    # The stream 0 1 0 2 0 1 1 over a vocabulary of 4, by bigrams.
    # Bigrams: 01 twice; 10, 02, 20, 11 once: D = 4 / (4 + 2) = 2/3.
    # Distinct left neighbours: of 0 two, of 1 two, of 2 one: D = 1 / (1 + 4) = 1/5.
    # p(1) = (2 - 1/5) / 5 + (3/5) / 5 / 4 = .39; p(1 | 0) = (2 - 2/3) / 3 + (2 x 2/3) / 3 x .39.
    # p(3) = .03; p(3 | 0) = 4/9 x .03.
    model = kneser_ney.train([0, 1, 0, 2, 0, 1, 1], vocab_size=4, order=2)
    assert probability(model, [0], 1) == pytest.approx(4 / 9 + 4 / 9 * 0.39, rel=1e-12)
    assert probability(model, [0], 3) == pytest.approx(4 / 9 * 0.03, rel=1e-12)


def test_a_history_that_was_never_seen_leaves_the_lower_order():
    model = kneser_ney.train([0, 1, 0, 2, 0, 1, 1], vocab_size=4, order=2)
    assert probability(model, [3], 1) == pytest.approx(0.39, rel=1e-12)


def test_discounts_equal_hand_work():
    # 10, 5, 3 and 2 n-grams occur 1, 2, 3 and 4 times: Y = 10/20; 1 - 2 Y 5/10, 2 - 3 Y 3/5, 3 - 4 Y 2/3.
    counts = np.repeat([1, 2, 3, 4, 9], [10, 5, 3, 2, 7])
    assert kneser_ney.estimate_discounts(counts) == pytest.approx([0, 0.5, 1.1, 5 / 3])


def test_discounts_of_a_corpus_too_small_for_three_are_neys_one():
    assert kneser_ney.estimate_discounts(np.array([1, 1, 2])) == pytest.approx([0, 0.5, 0.5, 0.5])


@settings(max_examples=40)
@given(streams, st.integers(1, 5), st.data())
def test_probabilities_sum_to_one_after_any_history(stream, order, data):
    vocab_size, tokens = stream
    model = kneser_ney.train(tokens, vocab_size, order)
    history = data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=6))
    assert sum(probability(model, history, token) for token in range(vocab_size)) == pytest.approx(1, abs=1e-12)


@settings(max_examples=40)
@given(streams, st.integers(1, 5), st.data())
def test_probabilities_equal_the_formula_by_the_book(stream, order, data):
    vocab_size, tokens = stream
    model = kneser_ney.train(tokens, vocab_size, order)
    history = data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=6))
    token = data.draw(st.integers(0, vocab_size - 1))
    expected = by_the_book(tokens, vocab_size, order, history, token)
    assert probability(model, history, token) == pytest.approx(expected, rel=1e-9)


def test_loss_is_the_mean_over_all_tokens_but_the_first():
    model = kneser_ney.train([0, 1, 0, 2, 0, 1, 1], vocab_size=4, order=2)
    expected = -(math.log(4 / 9 + 4 / 9 * 0.39) + math.log(probability(model, [0, 1], 2))) / 2
    assert kneser_ney.loss(model, [0, 1, 2]) == pytest.approx(expected, rel=1e-12)


def test_discounts_outside_their_range_are_neys_one():
    # 1, 5, 9 and 200 n-grams occur 1, 2, 3 and 4 times: Y = 1/11, and 3 - 4 Y 200/9 is below 0.
    counts = np.repeat([1, 2, 3, 4], [1, 5, 9, 200])
    assert kneser_ney.estimate_discounts(counts) == pytest.approx([0, 1 / 11, 1 / 11, 1 / 11])


def test_five_grams_learn_what_shorter_ones_cannot():
    # The next token is the sum of the last four, modulo 7: fully determined by five-grams alone.
    generator, tokens = np.random.default_rng(0), [1, 2, 3, 4]
    for place in range(40_000):
        tokens.append(sum(tokens[-4:]) % 7 if place % 9 else int(generator.integers(7)))
    losses = [kneser_ney.loss(kneser_ney.train(tokens[:30_000], 7, order), tokens[30_000:]) for order in (1, 4, 5)]
    assert losses[0] == pytest.approx(math.log(7), abs=0.02)
    assert losses[1] > 1.7
    assert losses[2] < 0.6


def test_no_vocabulary_is_too_large_for_the_keys():
    tokens = np.random.default_rng(1).integers(0, 128_000, size=2_000)
    model = kneser_ney.train(tokens, 128_000, order=5)
    assert kneser_ney.loss(model, tokens) < kneser_ney.loss(model, tokens[::-1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: kneser_ney.train([0, 4], vocab_size=4, order=1),
        lambda: kneser_ney.train([0, -1], vocab_size=4, order=1),
        lambda: kneser_ney.train([0, 1], vocab_size=4, order=5),
        lambda: kneser_ney.loss(kneser_ney.train([0, 1], vocab_size=4, order=1), [0]),
    ],
)
def test_a_call_without_sense_is_a_value_error(call):
    with pytest.raises(ValueError, match=r"token"):
        call()
