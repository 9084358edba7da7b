from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from paddock.studio.answers import rule, save_draft, submit, undo
from paddock.studio.assignment import find, next_assignment
from paddock.studio.results import answers, last_words, state_of
from paddock.studio.tasks import AnswerError


@pytest.fixture
def at_work(make_studio, id_of, database):
    """A studio, Ada, and the item before her."""
    studio = make_studio(database=database)
    ada = id_of(studio, "Ada")
    return studio, ada, next_assignment(studio.engine, studio.study, ada)


def test_a_form_counts_once_however_often_and_however_fast_it_comes(at_work):
    studio, ada, assignment = at_work

    def send(_: int) -> bool:
        return submit(studio.engine, assignment, ada, "the-form-key", {"rating": 3})

    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(send, range(16)))
    assert sorted(counted) == [False] * 15 + [True]
    assert len(answers(studio.engine)) == 1


def test_an_answered_item_takes_no_answer_through_another_form(at_work):
    studio, ada, assignment = at_work
    submit(studio.engine, assignment, ada, "the-form-key", {"rating": 3})
    with pytest.raises(AnswerError, match="answered already"):
        submit(studio.engine, assignment, ada, "another-key", {"rating": 5})
    (kept,) = answers(studio.engine)
    assert kept.answer["rating"] == (5 if kept.swapped else 3)


def test_an_item_of_another_person_takes_no_answer(at_work, id_of):
    studio, _, assignment = at_work
    with pytest.raises(AnswerError, match="no such item among yours"):
        submit(studio.engine, assignment, id_of(studio, "Ben"), "the-form-key", {"rating": 3})


def test_answers_are_kept_by_the_sides_of_the_file(make_studio, id_of):
    studio = make_studio(count=12)
    ada = id_of(studio, "Ada")
    sides = {}
    while (assignment := next_assignment(studio.engine, studio.study, ada)) is not None:
        one = find(studio.engine, assignment, ada)
        sides[one.item_name] = one.swapped
        submit(studio.engine, assignment, ada, f"form-key-{assignment}", {"rating": 1})  # what stands as A is much better
    assert set(sides.values()) == {True, False}
    assert {one.item_name: one.answer["rating"] for one in answers(studio.engine)} == {
        name: 7 if swapped else 1 for name, swapped in sides.items()
    }


def test_undo_opens_the_last_answer_again_as_it_was_shown(make_studio, id_of):
    studio = make_studio(count=8)
    ada = id_of(studio, "Ada")
    for rating in range(1, 7):
        assignment = next_assignment(studio.engine, studio.study, ada)
        submit(studio.engine, assignment, ada, f"form-key-{rating}", {"rating": rating, "comment": "why"})
        before = len(answers(studio.engine))
        reopened = undo(studio.engine, studio.study, ada, f"undo-key-{rating}")
        one = find(studio.engine, reopened, ada)
        assert (reopened, one.state) == (assignment, "open")
        assert one.draft == {"rating": str(rating), "comment": "why"}
        assert len(answers(studio.engine)) == before - 1
        submit(studio.engine, assignment, ada, f"second-{rating}", {"rating": rating})


def test_undo_twice_takes_back_two_and_the_same_form_takes_back_one(at_work):
    studio, ada, first = at_work
    submit(studio.engine, first, ada, "first-key", {"rating": 3})
    second = next_assignment(studio.engine, studio.study, ada)
    submit(studio.engine, second, ada, "second-key", {"rating": 4})
    assert undo(studio.engine, studio.study, ada, "undo-key-1") == second
    assert undo(studio.engine, studio.study, ada, "undo-key-1") == second
    assert len(answers(studio.engine)) == 1
    assert undo(studio.engine, studio.study, ada, "undo-key-2") == first
    assert undo(studio.engine, studio.study, ada, "undo-key-3") is None


def test_what_was_taken_back_comes_again_before_anything_new(at_work):
    studio, ada, first = at_work
    submit(studio.engine, first, ada, "first-key", {"rating": 3})
    second = next_assignment(studio.engine, studio.study, ada)
    undo(studio.engine, studio.study, ada, "undo-key")
    assert next_assignment(studio.engine, studio.study, ada) == first
    submit(studio.engine, first, ada, "first-again", {"rating": 5})
    assert next_assignment(studio.engine, studio.study, ada) == second


def test_a_draft_is_kept_until_the_answer_and_no_longer(at_work):
    studio, ada, assignment = at_work
    assert save_draft(studio.engine, studio.study, assignment, ada, {"rating": "2", "comment": "half a th"})
    assert find(studio.engine, assignment, ada).draft == {"rating": "2", "comment": "half a th"}
    submit(studio.engine, assignment, ada, "the-form-key", {"rating": 3})
    assert not save_draft(studio.engine, studio.study, assignment, ada, {"rating": "1"})


def test_every_change_moves_the_state_that_figures_are_kept_by(at_work):
    studio, ada, assignment = at_work
    seen = [state_of(studio.engine)]
    submit(studio.engine, assignment, ada, "the-form-key", {"rating": 3})
    seen.append(state_of(studio.engine))
    undo(studio.engine, studio.study, ada, "undo-key")
    seen.append(state_of(studio.engine))
    rule(studio.engine, find(studio.engine, assignment, ada).item, ada, "ruling-key", {"rating": 2})
    seen.append(state_of(studio.engine))
    assert len(set(seen)) == len(seen)


def test_the_newest_ruling_counts_and_a_form_rules_once(at_work, id_of):
    studio, ada, assignment = at_work
    item, lead = find(studio.engine, assignment, ada).item, id_of(studio, "lead")
    rule(studio.engine, item, lead, "ruling-one", {"rating": 2})
    rule(studio.engine, item, lead, "ruling-two", {"rating": 6})
    rule(studio.engine, item, lead, "ruling-one", {"rating": 2})
    assert last_words(studio.engine)[item].answer == {"rating": 6}
