"""Language identification: whole texts, the threshold, and text that the model cannot take as it is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from paddock.text.language_id import LanguageIdentifier

GERMAN = "Am Abend sitzen die Freunde im Garten und reden über das Wetter."
ENGLISH = "In the evening the friends sit in the garden and talk about the weather. "


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Le soir, les amis sont assis dans le jardin et parlent du temps.", "fr"),
        ("晚上朋友们坐在花园里谈论天气。", "zh"),
        ("Вечером друзья сидят в саду и говорят о погоде.", "ru"),
    ],
)
def test_a_sentence_is_named_with_its_probability(identifier: LanguageIdentifier, text: str, code: str):
    found, probability = identifier.identify(text)
    assert found == code
    assert 0.5 <= probability <= 1


def test_line_ends_count_as_spaces(identifier: LanguageIdentifier):
    assert identifier.identify(GERMAN.replace(" ", "\n")) == identifier.identify(GERMAN)


def test_what_follows_the_first_line_and_the_80th_character_is_read(identifier: LanguageIdentifier):
    assert identifier.identify(ENGLISH + "\n" + " ".join([GERMAN] * 20))[0] == "de"


def test_below_the_threshold_a_language_is_unknown():
    text = "def f(x): return x+1"
    code, probability = LanguageIdentifier().identify(text)
    assert code == "unknown"
    assert 0 < probability < 0.5
    assert LanguageIdentifier(threshold=probability).identify(text)[0] != "unknown"


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_a_text_without_words_is_unknown(identifier: LanguageIdentifier, text: str):
    assert identifier.identify(text) == ("unknown", 0.0)


@pytest.mark.parametrize("mark", ["\ud800", "\x00", "\r", "\u2028"])
def test_a_mark_that_the_model_does_not_know_changes_no_language(identifier: LanguageIdentifier, mark: str):
    assert identifier.identify(f"{GERMAN} {mark} {GERMAN}")[0] == "de"


def test_a_whole_document_is_named_in_languages_of_table_10(identifier: LanguageIdentifier, real_data: Path):
    named = {"eng": "en", "deu": "de", "fra": "fr", "spa": "es", "nld": "nl", "swe": "sv", "ita": "it", "jpn": "ja"}
    named |= {"rus": "ru", "pol": "pl", "vie": "vi", "ukr": "uk", "kor": "ko", "cat": "ca", "ces": "cs", "fin": "fi"}
    with zipfile.ZipFile(real_data / "nltk_corpora/udhr2.zip") as archive:
        texts = {code: archive.read(f"udhr2/{name}.txt").decode() for name, code in named.items()}
    assert {code: identifier.identify(text)[0] for code, text in texts.items()} == {code: code for code in texts}
