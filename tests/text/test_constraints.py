from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.text.constraint_values import BUILT_IN, UNSEEN
from paddock.text.constraints import (
    CONSTRAINT_KINDS,
    FORMS,
    LANGUAGE_CODES,
    UNSEEN_KINDS,
    Constraint,
    draw_constraints,
    folded_words,
    has_rule,
    instruction,
    is_identified,
    keeps,
    speaks_by_identification,
    speaks_by_vocabulary,
)
from paddock.text.language_id import LanguageIdentifier, model_file

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
        ("figure", "Napoleon", "Je suis Napoléon.", True),
        ("figure", "Joan of Arc", "It is JOAN OF ARC's sword.", True),
        ("figure", "Frida Kahlo", "This is Frida Kahlo’s garden.", True),
        ("figure", "Søren Kierkegaard", "I am Soren Kierkegaard.", True),
        ("figure", "Führer Straße", "FUHRER STRASSE", True),
        ("hobby", "Rubik's cube", "I like my Rubik’s cube.", True),
        ("hobby", "origami", "Origami's folds are mine.", True),
        ("end_word", "café", "We meet at the CAFE\u0301.", True),
        ("end_word", "lamp", "It is the lamp's", False),
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
        ("begin_word", "lamp", "Lamp: it is 7.", True),
        ("begin_word", "lamp", "The lamp.", False),
        ("begin_word", "lamp", "", False),
        ("one_sentence", "", "It is 3.5, I think.", True),
        ("one_sentence", "", "No full stop", True),
        ("one_sentence", "", "One. Two.", False),
        ("one_sentence", "", "Really?! Yes", False),
        ("one_sentence", "", "...", False),
        ("three_lines", "", "An old silent pond\nA frog jumps in\n\nSplash", True),
        ("three_lines", "", "one\ntwo", False),
        ("emoji", "", "Sure 🙂", True),
        ("emoji", "", "Sure :)", False),
    ],
)
def test_a_reply_keeps_a_constraint_as_its_rule_says(kind, value, reply, kept):
    assert keeps(Constraint(kind, value), reply, SPEAKS) is kept


def test_a_language_may_have_one_foreign_word_in_five():
    assert SPEAKS("so gara lubal gara it", "Zindo")
    assert not SPEAKS("so gara lubal it", "Zindo")


@given(st.sampled_from([kind for kind in (*CONSTRAINT_KINDS, *UNSEEN_KINDS) if kind != "other"]), st.text(), st.text())
def test_any_text_is_judged(kind, value, reply):
    assert keeps(Constraint(kind, value), reply, SPEAKS) in (True, False)


@given(st.text(alphabet="abc -'.1é日"), st.text(alphabet="abc .", min_size=1))
def test_a_reply_with_the_word_put_last_keeps_the_end_word(reply, value):
    expected = bool(folded_words(value))
    assert keeps(Constraint("end_word", value), f"{reply} {value}", SPEAKS) is expected


@given(st.text(alphabet="abcéøŁ", min_size=1), st.text(alphabet="xyz .,"), st.sampled_from(["", "'s", "’s"]))
def test_a_name_is_found_whatever_its_case_its_accents_and_what_it_owns(name: str, around: str, possessive: str):
    for written in (name, name.upper(), name.translate(str.maketrans("éøŁ", "eoL"))):
        reply = f"{around} {written}{possessive} {around}"
        assert keeps(Constraint("figure", name), reply, SPEAKS) is True
    assert keeps(Constraint("figure", name), around, SPEAKS) is False


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("figure", "", "holds no word"),
        ("hobby", " ?! ", "holds no word"),
        ("end_word", "\u0301", "holds no word"),
        ("begin_word", "🙂", "holds no word"),
        ("language", "", "holds no word"),
        ("other", "  ", "holds no word"),
        ("figure", "[INST]", r"contains \[INST\], a tag"),
        ("hobby", 3, "a text was expected, found 3"),
    ],
)
def test_a_value_that_no_reply_could_keep_is_refused(kind, value, problem: str):
    with pytest.raises(ValueError, match=f"{kind}: .*{problem}"):
        Constraint.from_row({"kind": kind, "value": value})


def test_a_form_needs_no_value():
    assert [Constraint.from_row({"kind": form}).value for form in FORMS] == ["", "", ""]


def test_a_constraint_survives_the_trip_through_its_row():
    for kind in (*CONSTRAINT_KINDS, *UNSEEN_KINDS):
        assert Constraint.from_row(Constraint(kind, "x").to_row()) == Constraint(kind, "x")


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match='constraint "rhyme" is not one of figure, hobby, language, end_word'):
        Constraint.from_row({"kind": "rhyme", "value": "x"})


def test_what_has_no_rule_is_left_to_a_judge():
    assert [kind for kind in (*CONSTRAINT_KINDS, *UNSEEN_KINDS) if not has_rule(Constraint(kind, "x"))] == ["other"]


def test_real_languages_are_told_apart_by_their_english_names():
    speaks = speaks_by_identification(LanguageIdentifier())
    french, german = "Le matin, nous achetons du pain au marché.", "Heute kaufen wir Brot auf dem Markt."
    assert [speaks(text, language) for text in (french, german) for language in ("French", "german", "fr")] == [
        *(True, False, True),
        *(False, True, False),
    ]
    assert not speaks("7", "French")


def test_every_language_of_the_built_in_list_has_a_code():
    assert set(BUILT_IN["language"]) <= LANGUAGE_CODES.keys()


def test_every_code_is_a_label_of_the_language_model():
    content = model_file().read_bytes()
    assert [code for code in LANGUAGE_CODES.values() if f"__label__{code}\0".encode() not in content] == []


def test_languages_are_known_by_their_english_names_and_codes():
    assert all(is_identified(language) for language in ("French", "french", "fr"))
    assert not any(is_identified(language) for language in ("Klingon", "unknown", "FR", ""))


def test_an_instruction_is_in_full_half_of_the_time_and_else_terse():
    constraints = (Constraint("figure", "Napoleon"), Constraint("hobby", "chess"))
    found = [instruction(Random(seed), constraints) for seed in range(1000)]
    full, terse = "Always act as Napoleon. You enjoy chess. Always say so.", "Figure: Napoleon. Hobby: chess."
    assert set(found) == {full, terse}
    assert 430 < found.count(full) < 570


@given(st.integers(0, 10**6), st.integers(1, 5))
def test_drawn_constraints_are_of_different_kinds_and_no_more_than_asked(seed, most):
    values = {**BUILT_IN, "end_word": ("lamp",)}
    drawn = draw_constraints(Random(seed), values, most)
    kinds = [constraint.kind for constraint in drawn]
    assert 1 <= len(kinds) == len(set(kinds)) <= most
    assert kinds == ["language"] or "language" not in kinds  # an English name in a reply in French would not be French
    assert all(constraint.value in values[constraint.kind] for constraint in drawn)


def test_every_kind_is_drawn_alone_and_with_others():
    values = {**BUILT_IN, "end_word": ("lamp",)}
    drawn = [tuple(c.kind for c in draw_constraints(Random(seed), values, 3)) for seed in range(300)]
    assert {len(kinds) for kinds in drawn} == {1, 2, 3}
    assert {kind for kinds in drawn for kind in kinds if len(kinds) == 1} == set(values)
    assert 60 < sum(kinds == ("language",) for kinds in drawn) < 150  # of those with one and two more, half stay it alone


@given(st.integers(0, 10**6))
def test_a_form_is_drawn_alone(seed):
    (drawn,) = draw_constraints(Random(seed), UNSEEN, 3)
    assert drawn.kind in FORMS
