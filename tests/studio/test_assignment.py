from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from paddock.studio.answers import submit, undo
from paddock.studio.assignment import find, next_assignment
from paddock.studio.people import everybody
from paddock.studio.results import answers
from paddock.studio.tables import assignments, items, now, ratings, reading
from paddock.studio.tasks import AnswerError


def rows(studio, query):
    with reading(studio.engine) as connection:
        return connection.execute(query).all()


def answer_next(studio, person: int, rating: int = 4) -> int | None:
    assignment = next_assignment(studio.engine, studio.study, person)
    if assignment is not None:
        submit(studio.engine, assignment, person, f"form-key-{assignment}", {"rating": rating})
    return assignment


def expire(studio) -> None:
    with studio.engine.begin() as connection:
        connection.execute(assignments.update().where(assignments.c.state == "open").values(expires=now() - 1))


def test_everybody_gets_every_item_once_where_as_many_raters_are_wanted(make_studio, id_of, database):
    studio = make_studio(database=database)
    for person in ("Ada", "Ben", "Chen"):
        while answer_next(studio, id_of(studio, person)) is not None:
            pass
    found = Counter((one.item_name, one.rater) for one in answers(studio.engine))
    assert found == {(f"p{number}", name): 1 for number in range(3) for name in ("Ada", "Ben", "Chen")}


def test_many_at_once_never_exceed_the_raters_wanted_and_lose_nothing(make_studio, id_of, database):
    names = tuple(f"person {number}" for number in range(40))
    studio = make_studio(count=30, database=database, annotators=names, raters=5)
    people = [person.id for person in everybody(studio.engine) if person.role == "annotator"]

    def work(person: int) -> int:
        count = 0
        while answer_next(studio, person) is not None:
            count += 1
        return count

    with ThreadPoolExecutor(len(people)) as pool:
        accepted = sum(pool.map(work, people))
    assert accepted == 30 * 5
    found = answers(studio.engine)
    assert Counter(one.item_name for one in found) == {f"p{number}": 5 for number in range(30)}
    assert len({(one.item, one.rater) for one in found}) == accepted
    assert rows(studio, sa.select(items.c.taken).distinct()) == [(5,)]


def test_an_open_item_is_kept_for_whom_it_was_shown_to(make_studio, id_of):
    studio = make_studio(count=1, raters=1)
    ada, ben = id_of(studio, "Ada"), id_of(studio, "Ben")
    held = next_assignment(studio.engine, studio.study, ada)
    assert next_assignment(studio.engine, studio.study, ben) is None
    assert next_assignment(studio.engine, studio.study, ada) == held  # here, or on another machine


def test_a_lease_that_ran_out_goes_to_another_and_the_late_answer_is_not_counted(make_studio, id_of, database):
    studio = make_studio(count=1, database=database, raters=1)
    ada, ben = id_of(studio, "Ada"), id_of(studio, "Ben")
    late = next_assignment(studio.engine, studio.study, ada)
    expire(studio)
    assert answer_next(studio, ben) is not None
    assert find(studio.engine, late, ada).state == "expired"
    with pytest.raises(AnswerError, match="ran out"):
        submit(studio.engine, late, ada, "key-of-ada", {"rating": 1})
    assert [one.rater for one in answers(studio.engine)] == ["Ben"]
    assert rows(studio, sa.select(items.c.taken)) == [(1,)]


def test_a_lease_that_ran_out_is_taken_up_again_where_there_is_still_room(make_studio, id_of, database):
    studio = make_studio(count=2, database=database, raters=1)
    ada, ben = id_of(studio, "Ada"), id_of(studio, "Ben")
    first = next_assignment(studio.engine, studio.study, ada)
    expire(studio)
    with studio.engine.begin() as connection:  # somebody else's visit takes it back, and there is room elsewhere
        connection.execute(assignments.update().values(state="expired"))
        connection.execute(items.update().values(taken=0))
    assert next_assignment(studio.engine, studio.study, ada) == first  # the same showing, not a second one
    assert answer_next(studio, ben) != first


def test_items_that_others_have_begun_come_first(make_studio, id_of):
    studio = make_studio(raters=2)
    ada, ben = id_of(studio, "Ada"), id_of(studio, "Ben")
    answer_next(studio, ada)
    answer_next(studio, ada)
    begun = find(studio.engine, next_assignment(studio.engine, studio.study, ben), ben)
    assert begun.item_name == "p0"


def test_sides_are_drawn_for_each_person_and_item(make_studio, id_of):
    studio = make_studio(count=30)
    for name in ("Ada", "Ben"):
        while answer_next(studio, id_of(studio, name)) is not None:
            pass
    swapped = rows(studio, sa.select(assignments.c.swapped))
    assert 15 <= sum(one for (one,) in swapped) <= 45  # of 60: four standard deviations are 15
    by_item: dict[int, set[bool]] = {}
    for item, side in rows(studio, sa.select(assignments.c.item, assignments.c.swapped)):
        by_item.setdefault(item, set()).add(side)
    assert {len(sides) for sides in by_item.values()} == {1, 2}


def test_the_log_of_ratings_only_grows(make_studio, id_of):
    studio = make_studio()
    ada = id_of(studio, "Ada")
    answer_next(studio, ada)
    undo(studio.engine, studio.study, ada, "take-back")
    kept = rows(studio, sa.select(ratings.c.answer).order_by(ratings.c.id))
    assert kept == [({"rating": 4},), (None,)]
