import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.text.constraints import CONSTRAINT_KINDS, Constraint, keeps, speaks_by_vocabulary, words_of

SPEAKS = speaks_by_vocabulary({"Zindo": {"so", "gara", "lubal"}}, neutral=["Anna"])


@pytest.mark.parametrize(
    ("kind", "value", "reply", "kept"),
    [
        ("end_word", "lamp", "It is cold. And lamp", True),
        ("end_word", "lamp", "It is cold. LAMP!", True),
        ("end_word", "lamp", "lamp. It is cold.", False),
        ("end_word", "lamp", "It is a headlamp", False),
        ("end_word", "lamp", "", False),
        ("figure", "Oscar Wilde", "I am Oscar Wilde: 7.", True),
        ("figure", "Oscar Wilde", "oscar wilde.", True),
        ("figure", "Oscar Wilde", "Oscar is wilde", False),
        ("figure", "Tom", "Tomorrow.", False),
        ("hobby", "chess", "7. I like chess.", True),
        ("hobby", "chess", "7. I like tennis.", False),
        ("language", "Zindo", "so gara.", True),
        ("language", "Zindo", "so Anna.", True),
        ("language", "Zindo", "so 12.", True),
        ("language", "Zindo", "12.", False),
        ("language", "Zindo", "Anna.", False),
        ("language", "Zindo", "it is gara.", False),
        ("language", "Zindo", "", False),
        ("language", "Ruvan", "so gara.", False),
    ],
)
def test_a_reply_keeps_a_constraint_as_its_rule_says(kind, value, reply, kept):
    assert keeps(Constraint(kind, value), reply, SPEAKS) is kept


def test_a_language_may_have_one_foreign_word_in_five():
    assert SPEAKS("so gara lubal gara it", "Zindo")
    assert not SPEAKS("so gara lubal it", "Zindo")


@given(st.sampled_from(CONSTRAINT_KINDS), st.text(), st.text())
def test_any_text_is_judged(kind, value, reply):
    assert keeps(Constraint(kind, value), reply, SPEAKS) in (True, False)


@given(st.text(alphabet="abc -'.1é日"), st.text(alphabet="abc .", min_size=1))
def test_a_reply_with_the_word_put_last_keeps_the_end_word(reply, value):
    expected = bool(words_of(value))
    assert keeps(Constraint("end_word", value), f"{reply} {value}", SPEAKS) is expected


def test_a_constraint_survives_the_trip_through_its_row():
    for kind in CONSTRAINT_KINDS:
        assert Constraint.from_row(Constraint(kind, "x").to_row()) == Constraint(kind, "x")


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match='constraint "rhyme" is not one of figure, hobby, language, end_word'):
        Constraint.from_row({"kind": "rhyme", "value": "x"})
