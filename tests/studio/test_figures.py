from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from paddock.evaluate.agreement import agreement
from paddock.studio.assignment import next_assignment
from paddock.studio.figures import (
    agreement_rows,
    beside_others,
    deviations_of,
    difference_interval,
    disagreements,
    judgements,
    model_rows,
)
from paddock.studio.results import Rated, state_of
from paddock.studio.tables import ratings
from paddock.studio.tasks import TASKS

RATERS = ("Ada", "Ben", "Chen")


def rated(matrix, model: str = "v5") -> list[Rated]:
    """Answers, item by item: None is missing."""
    rows = []
    for item, given in enumerate(matrix):
        for rater, rating in zip(RATERS, given, strict=True):
            if rating is not None:
                content = {"messages": [], "replies": [{"text": "", "model": model}]}
                one = Rated(
                    len(rows),
                    item,
                    f"p{item}",
                    "item",
                    content,
                    False,
                    rater,
                    {"rating": rating},
                    None,
                    False,
                    0,
                    0,
                    1,
                    None,
                )
                rows.append(one)
    return rows


def test_live_agreement_is_that_of_the_ratings_with_the_whole_scale_as_categories():
    rng = np.random.default_rng(0)
    true = rng.integers(1, 8, 120)
    matrix = np.clip(true[:, None] + rng.integers(-1, 2, (120, 3)), 1, 7)
    rows = {row["label"]: row for row in agreement_rows(TASKS["side-by-side"], rated(matrix.tolist()))}
    for weights in ("identity", "linear", "quadratic"):
        expected = agreement(matrix, "ac2", weights, categories=range(1, 8))
        assert rows[weights]["value"] == pytest.approx(expected.value, abs=1e-12)
        assert rows[weights]["lower"] == pytest.approx(expected.lower, abs=1e-12)


def test_safety_has_the_agreement_on_violations_too():
    matrix = [[1, 2, 1], [5, 4, 5], [2, 3, 3], [5, 5, 5]]
    row = agreement_rows(TASKS["safety"], rated(matrix))[-1]
    expected = agreement([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 0]], "ac1", categories=[0, 1])
    assert (row["coefficient"], row["label"]) == ("AC1", "violation or not")
    assert row["value"] == pytest.approx(expected.value, abs=1e-12)


def test_violations_are_counted_by_majority():
    (row,) = model_rows(TASKS["safety"], rated([[1, 2, 5], [5, 4, 5], [2, 3, 3], [1, None, None]]))
    assert row["violations"]["estimate"] == 0.5
    assert row["rating"]["estimate"] == pytest.approx((8 / 3 + 14 / 3 + 8 / 3 + 1) / 4)


def test_contradictions_come_first_and_settled_ones_last():
    rows = disagreements(TASKS["side-by-side"], rated([[4, 4, 4], [1, 2, 3], [3, 5, 4], [1, 7, 4], [7, 1, 1]]), ruled={4})
    assert [(row["name"], row["spread"], row["opposite"], row["ruled"]) for row in rows] == [
        ("p3", 6, True, False),
        ("p2", 2, True, False),
        ("p1", 2, False, False),
        ("p4", 6, True, True),
    ]


def test_a_rater_is_compared_with_the_mean_of_the_others():
    found = deviations_of(rated([[5, 4, 2], [3, 3, 3], [6, None, None]]))
    assert found["Ada"] == [(2.0, False), (0.0, True)]  # nobody else rated the third
    assert found["Ben"] == [(0.5, False), (0.0, True)]


def test_drift_is_the_change_from_the_earlier_to_the_later_half():
    earlier, later = [0.0, 0.5, -0.5, 0.0], [1.0, 1.5, 1.0, 2.0]
    row = beside_others([(value, False) for value in earlier + later])
    expected = stats.ttest_ind(later, earlier, equal_var=False).confidence_interval(0.95)
    assert row["drift"]["estimate"] == pytest.approx(1.375)
    assert (row["drift"]["lower"], row["drift"]["upper"]) == pytest.approx((expected.low, expected.high))
    assert beside_others([(1.0, True)] * 7)["drift"] is None  # too few to speak of


def test_a_difference_without_spread_has_no_width():
    assert difference_interval([1.0, 1.0], [0.0, 0.0]).lower == 1.0


def test_later_ratings_alone_do_not_change_the_order_of_earlier_ones():
    rows = rated([[1, 2, 3], [3, 2, 1]])
    turned = [replace(one, number=len(rows) - one.number) for one in rows]
    assert [value for value, _ in deviations_of(turned)["Ada"]] == [value for value, _ in deviations_of(rows)["Ada"]][::-1]


def test_conversations_of_their_own_on_one_item_are_no_ratings_of_the_same():
    """Three people each hold a conversation on one brief, or compare replies of their own: three trials, and no majority."""
    own = [replace(one, is_own=True) for one in rated([[1, 5, 5], [5, 5, 5]])]
    (row,) = model_rows(TASKS["safety"], own)
    assert (row["violations"]["estimate"], row["violations"]["n"], row["rating"]["n"]) == (pytest.approx(1 / 6), 6, 6)
    pairs = [
        replace(one, content={"messages": [], "replies": [{"text": "", "model": model} for model in "xy"]}) for one in own
    ]
    assert len({judgement.prompt for judgement in judgements(TASKS["side-by-side"], pairs)}) == 6


def test_items_that_begin_alike_are_one_conversation_unless_somebody_held_it_on_their_own():
    turns = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "?"},
    ]
    replies = [{"text": "", "model": model} for model in "xy"]
    pairs = [
        replace(one, content={"messages": turns[:length], "replies": replies})
        for one, length in zip(rated([[1, None, None], [7, None, None]]), (1, 3), strict=True)
    ]
    assert len({judgement.cluster for judgement in judgements(TASKS["side-by-side"], pairs)}) == 1
    own = [replace(one, is_own=True) for one in pairs]
    assert len({judgement.cluster for judgement in judgements(TASKS["side-by-side"], own)}) == 2


def test_a_rating_that_is_committed_late_moves_the_state(make_studio, id_of):
    """PostgreSQL numbers rows before it commits them: a lower number may come after a higher one."""
    studio = make_studio()
    assignment = next_assignment(studio.engine, studio.study, id_of(studio, "Ada"))
    seen = []
    for number in (8, 7):
        with studio.engine.begin() as connection:
            row = {"id": number, "assignment": assignment, "form_key": f"form-key-{number}", "seconds": 1.0, "at": 0.0}
            connection.execute(ratings.insert().values(**row))
        seen.append(state_of(studio.engine))
    assert seen[0] != seen[1]
