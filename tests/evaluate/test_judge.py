"""Contests, and what verdicts say of the judge: counted by hand, and found again in simulated judges."""

from __future__ import annotations

from random import Random

import pytest

from paddock.evaluate.comparison import compare
from paddock.evaluate.judge import (
    EQUAL_REPLIES,
    Contest,
    Item,
    Judged,
    both_or_neither,
    broken,
    contests,
    judgements,
    pairs_of,
    position_bias,
)
from paddock.text.dialog import Dialog, Message

ITEMS = [Item(f"p{n}", Dialog((Message("user", f"Question {n}"),)), (("domain", "safety"),)) for n in range(200)]


def judged(place: int, first: str, second: str, verdict: str | None, problem: str | None = None) -> Judged:
    return Judged(Contest(ITEMS[place], first, second), "judge", verdict, problem)


def simulated(order: str, strength: float, bias: float, seed: int = 1) -> list[Judged]:
    """A judge who prefers x on a share `strength` of the prompts, and on a share `bias` what stands first."""
    draw = Random(seed)
    looks = {item.name: draw.random() < bias for item in ITEMS}
    likes = {item.name: "x" if draw.random() < strength else "y" for item in ITEMS}
    return [
        Judged(c, "judge", "A" if looks[c.item.name] or likes[c.item.name] == c.first else "B")
        for c in contests(ITEMS, [("x", "y")], order, seed)
    ]


def test_every_pair_meets_or_each_other_model_meets_the_baseline():
    assert pairs_of(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs_of(["a", "b", "c"], "b") == [("a", "b"), ("c", "b")]


def test_both_orders_are_two_contests_and_a_drawn_one_is_one_of_them():
    both = list(contests(ITEMS, [("x", "y")], "both", 0))
    assert [(c.item.name, c.first) for c in both[:4]] == [("p0", "x"), ("p0", "y"), ("p1", "x"), ("p1", "y")]
    drawn = list(contests(ITEMS, [("x", "y")], "random", 0))
    assert len(drawn) == len(ITEMS)
    assert 70 < sum(c.first == "x" for c in drawn) < 130
    assert [c.first for c in contests(ITEMS, [("x", "y")], "given", 0)] == ["x"] * len(ITEMS)


def test_a_drawn_order_depends_on_seed_item_and_pair_alone():
    drawn = list(contests(ITEMS, [("x", "y"), ("x", "z")], "random", 0))
    assert list(contests(ITEMS[50:], [("x", "z")], "random", 0)) == drawn[250:]
    assert list(contests(ITEMS, [("x", "y")], "random", 1)) != drawn[:200]


def test_figures_counted_by_hand():
    """p0: x twice. p1: the first place twice. p2: a tie and x. p3: one verdict is broken, neither counts. p4: both."""
    given = [
        judged(0, "x", "y", "A"), judged(0, "y", "x", "B"),
        judged(1, "x", "y", "A"), judged(1, "y", "x", "A"),
        judged(2, "x", "y", "tie"), judged(2, "y", "x", "B"),
        judged(3, "x", "y", "B"), judged(3, "y", "x", None, "no verdict"),
        judged(4, "x", "y", None, "no verdict"), judged(4, "y", "x", None, "no reply of x"),
    ]  # fmt: skip
    found = both_or_neither(given)
    bias = position_bias(found)
    assert (bias["first_place_wins"]["estimate"], bias["first_place_wins"]["n"]) == (pytest.approx(3 / 5), 3)
    assert (bias["orders_agree"]["estimate"], bias["orders_agree"]["n"]) == (pytest.approx(1 / 3), 3)
    assert broken(found) == {"no verdict": 2, "no verdict in the other order": 1, "no reply of x": 1}
    (rates,) = compare(judgements(found)).pairs
    shares = [share.wilson.estimate for share in (rates.win, rates.tie, rates.loss)]
    assert (rates.first, shares, rates.prompts) == ("x", [pytest.approx(1 / 3), pytest.approx(2 / 3), 0], 3)


def test_equal_replies_which_nobody_was_asked_about_say_nothing_of_the_judge():
    looks_at_places = [judged(n, *names, "A") for n in range(5) for names in (("x", "y"), ("y", "x"))]
    equal = [
        Judged(Contest(ITEMS[n], *names), EQUAL_REPLIES, "tie") for n in range(5, 50) for names in (("x", "y"), ("y", "x"))
    ]
    bias = position_bias([*looks_at_places, *equal])
    assert (bias["orders_agree"]["estimate"], bias["orders_agree"]["n"]) == (0, 5)
    assert compare(judgements([*looks_at_places, *equal])).pairs[0].prompts == 50


@pytest.mark.parametrize("order", ["both", "random"])
def test_a_judge_without_bias_gives_half_to_the_first_place(order):
    first = position_bias(simulated(order, strength=0.8, bias=0))["first_place_wins"]
    assert first["lower"] <= 0.5 <= first["upper"]
    assert first["estimate"] == 0.5 or order == "random"


@pytest.mark.parametrize("order", ["both", "random"])
def test_a_biased_judge_is_found_out(order):
    bias = position_bias(simulated(order, strength=0.5, bias=0.4))
    assert bias["first_place_wins"]["lower"] > 0.5
    assert bias["first_place_wins"]["estimate"] == pytest.approx(0.7, abs=0.08)
    if order == "both":
        assert bias["orders_agree"]["estimate"] == pytest.approx(0.6, abs=0.08)
    else:
        assert bias["orders_agree"] is None


def test_in_both_orders_bias_becomes_ties_and_no_wins():
    (rates,) = compare(judgements(simulated("both", strength=1.0, bias=1.0))).pairs
    assert (rates.win.wilson.estimate, rates.tie.wilson.estimate) == (0, 1)


def test_no_verdict_at_all_has_no_share():
    bias = position_bias([judged(0, "x", "y", None, "no verdict")])
    assert bias["first_place_wins"]["estimate"] is None
    assert bias["orders_agree"] is None


def test_a_row_is_one_that_compare_reads():
    assert judged(0, "x", "y", "B").to_row() == {
        "item": "p0", "model_a": "x", "model_b": "y", "rater": "judge", "rating": "loss", "domain": "safety"
    }  # fmt: skip
    assert judged(0, "x", "y", None, "cut").to_row()["rating"] is None
    assert judged(0, "x", "y", None, "cut").to_row()["problem"] == "cut"
