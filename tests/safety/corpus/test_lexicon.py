"""The one pass over the text, against a plain reading of its definition."""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.safety.corpus import kernels
from paddock.safety.corpus.batch import Batch
from paddock.safety.corpus.lexicon import Lexicon, Term, _first_word, slot_of

TERMS = (
    "he",
    "she",
    "the",
    "native american",
    "american",
    "hard-of-hearing",
    "45-year-old",
    "lgbt",
    "lgbt+",
    "f2m",
    "bahá'í",
)
PIECES = (
    *TERMS,
    *["HE", "She", "THE", "Native", "American", "native\xa0american", "hard", "of", "hearing", "145-year-old", "45"],
    *(
        "\u2019",
        "'",
        "-",
        "_",
        "+",
        " ",
        "\n",
        ".",
        "é",
        "e\u0301",
        "²",
        "5",
        "s",
        "\U0001f642",
        "❤\ufe0f",
        "中",
        "(",
        "\u0000",
        "ß",
    ),
)
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def runs(text: str) -> list[str]:
    """Runs of letters (with their marks) and of digits, by the definition, character by character."""

    def kind(character: str) -> str:
        if ord(character) > 0xFFFF or "\ufe00" <= character <= "\ufe0f":
            return "other"
        category = unicodedata.category(character)
        if category.startswith("L") or category in ("Mn", "Mc"):
            return "letter"
        return "digit" if character.isascii() and character.isdigit() else "other"

    return [kind_ for kind_, group in groupby(map(kind, text)) for _ in group]


def stands_in(term: str, text: str, hyphens: str = "as written") -> list[tuple[int, int]]:
    """Where a term stands, found with regular expressions and then held against the runs."""
    kinds = runs(text)
    gap = {" ": r"(?:[ \t-\r]+)", "-": "-"} if hyphens == "as written" else dict.fromkeys(" -", r"(?:[ \t-\r]+|-)")
    pattern = "".join(gap.get(letter) or re.escape(letter) for letter in term)
    flags = re.IGNORECASE | re.ASCII
    found = []
    for place in range(len(text)):
        if match := re.compile(pattern, flags).match(text, place):
            end = match.end()
            cut_before = place > 0 and kinds[place - 1] == kinds[place] != "other"
            cut_after = end < len(text) and kinds[end] == kinds[end - 1] != "other"
            if not cut_before and not cut_after:
                found.append((place, end))
    return found


def found_by(lexicon: Lexicon, documents: list[str]) -> list[set[str]]:
    groups = lexicon.find(Batch(documents, Counter())).groups.tolist()
    return [{term.text for term in lexicon.terms if term.groups & held} for held in groups]


def lexicon_of(terms: tuple[str, ...], **choices: str) -> Lexicon:
    return Lexicon(tuple(Term(term, 1 << bit) for bit, term in enumerate(terms)), **choices)


@given(st.lists(texts, min_size=1, max_size=4), st.sampled_from(["as written", "or space"]))
def test_terms_stand_where_the_definition_says(documents: list[str], hyphens: str):
    lexicon = lexicon_of(TERMS, hyphens=hyphens)
    expected = [{term for term in TERMS if stands_in(term, document, hyphens)} for document in documents]
    assert found_by(lexicon, documents) == expected


@given(st.lists(st.sampled_from(PIECES), min_size=20, max_size=60).map("".join), st.integers(0, 64))
def test_terms_stand_there_wherever_the_blocks_of_the_kernel_end(document: str, bytes_before: int):
    expected = {term for term in TERMS if stands_in(term, document)}
    assert found_by(lexicon_of(TERMS), ["-" * bytes_before, document, "he"]) == [set(), expected, {"he"}]


@given(texts)
def test_the_longest_term_at_a_place_is_taken_and_nothing_within_it(document: str):
    spans = sorted(
        ((place, -end, term) for term in TERMS for place, end in stands_in(term, document)), key=lambda span: span[:2]
    )
    expected, free_from = set(), 0
    for place, negative_end, term in spans:
        if place >= free_from:
            expected.add(term)
            free_from = -negative_end
    assert found_by(lexicon_of(TERMS, overlap="longest"), [document]) == [expected]


@given(st.lists(texts, max_size=4))
def test_documents_of_each_term_and_words_are_counted(documents: list[str]):
    lexicon = lexicon_of(TERMS)
    found = lexicon.find(Batch(documents, Counter()))
    assert found.term_documents.tolist() == [sum(bool(stands_in(term, text)) for text in documents) for term in TERMS]
    words = [sum(kind != "other" for kind, _ in groupby(runs(text))) for text in documents]
    assert found.words.tolist() == words


@pytest.mark.parametrize("text", ["he's", "he2", "(HE)", "he\u2019s", "-he-", "_he_", "❤\ufe0fhe", "\U0001f642he"])
def test_a_word_beside_a_mark_or_a_digit_is_found(text: str):
    assert found_by(lexicon_of(("he",)), [text]) == [{"he"}]


@pytest.mark.parametrize("text", ["the", "hé", "he\u0301", "heß", "中he", "Che"])
def test_a_word_within_a_run_of_letters_is_not(text: str):
    assert found_by(lexicon_of(("he",)), [text]) == [set()]


def test_terms_do_not_reach_over_the_end_of_a_document():
    assert found_by(lexicon_of(("native american", "he")), ["a native", "american h", "e"]) == [set()] * 3


def test_an_exact_term_keeps_its_case():
    lexicon = Lexicon((Term("Deaf", 1, exact=True), Term("he", 2)))
    assert lexicon.find(Batch(["deaf HE", "Deaf", "DEAF"], Counter())).groups.tolist() == [2, 1, 0]


def test_documents_that_are_not_counted_have_words_and_no_groups():
    found = lexicon_of(("he",)).find(Batch(["he he", "he"], Counter()), np.array([False, True]))
    assert found.groups.tolist() == [0, 1]
    assert found.words.tolist() == [2, 1]
    assert found.term_documents.tolist() == [1]


def test_terms_that_share_a_slot_are_told_apart():
    words = ["".join(random.Random(seed).sample("abcdefghijklmnopqrst", 6)) for seed in range(2000)]
    slots = Counter(map(slot_of, words))
    shared = tuple(word for word in words if slots[slot_of(word)] > 1)
    assert len(shared) > 50
    lexicon = lexicon_of(shared[:60])
    assert found_by(lexicon, list(shared)) == [{word} & set(shared[:60]) for word in shared]


def test_terms_whose_first_eight_letters_are_the_same_are_told_apart():
    terms = ("american", "americana", "american-born", "éa", "éb")
    expected = [{"american"}, {"americana"}, {"american", "american-born"}, {"éb"}, set()]
    assert found_by(lexicon_of(terms), ["American", "Americana", "American-born", "éb", "americ americanas é"]) == expected


def test_the_first_word_of_a_term_is_a_run():
    assert [_first_word(term) for term in ("45-year-old", "f2m", "hard-of-hearing", "bahá'í")] == ["45", "f", "hard", "bahá"]


@pytest.mark.parametrize(
    ("text", "long_number"),
    [("in 2001", False), ("1,234,567", True), ("(555) 123-4567", True), ("8.8.8.8", True), ("1 and 2 and 3 and 4", False)],
)
def test_numbers_of_some_length_are_noticed(text: str, long_number: bool):
    found = lexicon_of(("he",)).find(Batch([text], Counter()))
    assert found.has_number.tolist() == [long_number]


def test_the_kernel_equals_its_own_python(monkeypatch):
    texts = ["Native American he 145-year-old", "", "45-year-old é中\U0001f642 (LGBT+)" + " é" * 40]
    compiled = lexicon_of(TERMS).find(Batch(texts, Counter()))
    for name, function in vars(kernels).copy().items():
        if hasattr(function, "py_func"):
            monkeypatch.setattr(kernels, name, function.py_func)
    monkeypatch.setattr(kernels, "_lowest_bit", lambda bits: (int(bits) & -int(bits)).bit_length() - 1)
    monkeypatch.setattr(kernels, "_bits_set", lambda bits: int(bits).bit_count())
    with np.errstate(over="ignore"):
        plain = lexicon_of(TERMS).find(Batch(texts, Counter()))
    for first, second in zip(compiled, plain, strict=True):
        assert first.tolist() == second.tolist()
