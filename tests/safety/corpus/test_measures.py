"""Totals, languages, duplicates and personal data: small cases worked by hand, and real text."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.safety.corpus import duplicates, languages, personal_data, totals

NUMBERS = np.array([True])


# --- totals ---


def test_documents_are_spread_by_powers_of_two_of_their_words():
    counts = totals.count(np.array([0, 3, 9, 9, 90]), np.array([0, 1, 2, 3, 4]), None)
    table = totals.table(counts)
    assert (table["documents"], table["bytes"], table["words"]) == (5, 111, 10)
    assert "tokens" not in table
    assert [(row["from"], row["to"], row["documents"]) for row in table["lengths"]] == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 3, 2),
        (4, 7, 1),
    ]


def test_bytes_are_of_utf_8_and_tokens_of_the_tokenizer(counts_of, tmp_path: Path):
    from paddock.text.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([f"she sat on mat number {n}" for n in range(60)], 290)
    tokenizer.save(tmp_path)
    texts = ["she sat ö", "", "mat 中"]
    counts = counts_of(texts, tokenizer=str(tmp_path))
    assert counts["bytes"] == sum(len(text.encode()) for text in texts)
    assert counts["tokens"] == sum(len(tokenizer.encode_batch([text])[0]) for text in texts)


# --- languages ---


def test_languages_are_ranked_and_the_rare_ones_summed():
    counts = languages.count(["en"] * 29_990 + ["unknown"] * 8 + ["de"] * 2) + Counter({"language/xx": 1})
    table = languages.table(counts, 0.5)
    assert list(table["languages"]) == ["en", "unknown", "de"]
    assert table["rarer"] == {"languages": 1, "documents": 1}
    assert table["documents"] == 30_001


def test_a_language_is_listed_from_five_thousandths_of_a_per_cent_on():
    table = languages.table(languages.count(["en"] * 19_999 + ["de"]), 0.5)
    assert "de" in table["languages"]


def test_the_declaration_of_human_rights_is_named_in_nearly_every_language_that_the_model_knows(real_data: Path, counts_of):
    known = {"afr": "af", "als": "sq", "arb": "ar", "bel": "be", "ben": "bn", "bos_cyrl": "bs", "bul": "bg", "cat": "ca"}
    known |= {"ces": "cs", "cmn_hans": "zh", "cym": "cy", "dan": "da", "deu": "de", "ell_monotonic": "el", "eng": "en"}
    known |= {"epo": "eo", "est": "et", "eus": "eu", "fin": "fi", "fra": "fr", "gle": "ga", "glg": "gl", "heb": "he"}
    known |= {"hin": "hi", "hrv": "hr", "hun": "hu", "hye": "hy", "ind": "id", "isl": "is", "ita": "it", "jpn": "ja"}
    known |= {"kat": "ka", "kor": "ko", "lit": "lt", "lav": "lv", "mkd": "mk", "nld": "nl", "nob": "no", "pol": "pl"}
    known |= {"por_PT": "pt", "ron": "ro", "rus": "ru", "slk": "sk", "slv": "sl", "spa": "es", "swe": "sv", "tam": "ta"}
    known |= {"tha": "th", "tur": "tr", "ukr": "uk", "urd": "ur", "vie": "vi"}
    with zipfile.ZipFile(real_data / "nltk_corpora/udhr2.zip") as archive:
        texts = {name: archive.read(f"udhr2/{name}.txt").decode() for name in known}
    named = {
        name: next(iter(languages.table(counts_of([text], measures=["languages"]), 0.5)["languages"]))
        for name, text in texts.items()
    }
    wrong = {name for name, code in known.items() if named[name] != code}
    assert wrong <= {"bos_cyrl"}  # Bosnian in Cyrillic letters is taken for Serbian


# --- duplicates ---


@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=20).map(sorted), max_size=4), st.integers(1, 8))
def test_different_hashes_are_counted_whatever_fits_in_memory(tmp_path_factory, parts: list[list[int]], at_once: int):
    folder = tmp_path_factory.mktemp("hashes")
    spread = np.uint64(2**64 // 21)
    files = []
    for place, part in enumerate(parts):
        files.append(folder / f"{place}.hashes")
        (np.array(part, np.uint64) * spread).tofile(files[-1])
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(duplicates, "HASHES_IN_MEMORY", at_once)
        found = duplicates.distinct(files, sum(map(len, parts)))
    assert found == len({number for part in parts for number in part})


def test_the_ends_of_the_hashes_range_are_counted(tmp_path: Path):
    np.array([0, 2**64 - 1, 2**64 - 1], np.uint64).tofile(tmp_path / "a")
    assert duplicates.distinct([tmp_path / "a"], 3) == 2


def test_what_repeats_an_earlier_document_is_counted_once_less():
    assert duplicates.table(10, 7)["repeated"]["estimate"] == pytest.approx(0.3)


# --- personal data ---


def matches(kind: str, text: str, has_number: bool = True) -> int:
    return personal_data.count([text], np.array([has_number]))[f"personal/{kind}/matches"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email address", "write to anna.b+c@mail.example.org."),
        ("telephone number", "call (555) 123-4567 now"),
        ("telephone number", "call 555-123-4567."),
        ("telephone number", "Tel: +44 207 946 0958"),
        ("IP address", "from 192.168.10.7:80"),
        ("payment card number", "card 4111 1111 1111 1111"),
        ("payment card number", "card 5500-0000-0000-0004,"),
    ],
)
def test_what_looks_like_one_is_counted(kind: str, text: str):
    assert matches(kind, text) == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email address", "the @ sign and @handle and a@b"),
        ("telephone number", "from 1914-1918 to 1939-1945, 10,000,000 people"),
        ("telephone number", "ISBN 978-0-306-40615-7"),
        ("IP address", "version 1.2.3.4.5 and 300.1.1.1"),
        ("payment card number", "card 4111 1111 1111 1112"),
        ("payment card number", "order 12345678901234567890"),
    ],
)
def test_what_only_resembles_one_is_not(kind: str, text: str):
    assert matches(kind, text) == 0


def test_documents_and_matches_are_counted_apart():
    counts = personal_data.count(["a@b.org c@d.org", "e@f.org", "none"], np.zeros(3, np.bool_))
    row = personal_data.table(counts + Counter({"documents": 3}))["kinds"]["email address"]
    assert (row["documents"], row["matches"]) == (2, 3)
    assert row["of_all"]["estimate"] == pytest.approx(2 / 3)


def test_every_number_that_is_looked_for_is_noticed_by_the_kernel(counts_of):
    texts = ["call (555) 123-4567 now", "from 1.2.3.4", "card 4111 1111 1111 1111", "+44 207 946 0958"]
    counts = counts_of(texts, measures=["personal data"])
    assert sum(counts[f"personal/{kind}/matches"] for kind in personal_data.KINDS) == 4


def test_the_check_sum_is_luhns():
    assert personal_data.is_card_number("4111111111111111")
    assert not personal_data.is_card_number("4111111111111112")
    assert not personal_data.is_card_number("0" * 12)


@given(st.integers(0, 10**15 - 1))
def test_one_last_digit_of_ten_passes_the_check_sum(number: int):
    assert sum(personal_data.is_card_number(f"{number:015d}{last}") for last in range(10)) == 1
