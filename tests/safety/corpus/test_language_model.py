"""The compiled identification of languages, against fastText itself."""

from __future__ import annotations

import struct
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.safety.corpus.batch import Batch
from paddock.safety.corpus.language_model import LanguageModel, read_model, tree_of
from paddock.text.language_id import LanguageIdentifier, model_file

WORDS = (
    "the",
    "und",
    "garden",
    "Garten",
    "été",
    "中文",
    "слово",
    "x",
    "a\u0301",
    "\U0001f642",
    "__label__en",
    "__label_",
    "\u3000",
)
GAPS = (" ", "\n", "\t", "\r\n", "\x00", "\x0b", "\x0c", "  ")
texts = st.lists(st.sampled_from(WORDS + GAPS) | st.text(max_size=6), max_size=20).map("".join)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel()


@pytest.fixture(scope="module")
def reference() -> LanguageIdentifier:
    return LanguageIdentifier()


def named(model: LanguageModel, texts: list[str]) -> tuple[list[str], np.ndarray]:
    return model.identify(*Batch(texts, Counter()).buffers)


@given(st.lists(texts, min_size=1, max_size=4))
def test_any_text_is_named_as_fast_text_names_it(model: LanguageModel, reference: LanguageIdentifier, documents: list[str]):
    documents = [text.encode(errors="replace").decode().replace("</s>", "") for text in documents]
    _, probabilities = named(model, documents)
    for text, probability in zip(documents, probabilities, strict=True):
        has_word = bool(text.replace("\x00", " ").strip(" \n\t\r\x0b\x0c"))
        expected = reference.identify(text)[1] if has_word and text.strip() else None
        assert expected is None or probability == pytest.approx(expected, abs=1e-4)
        assert has_word or probability == 0


def test_documents_and_lines_of_every_language_are_named_as_fast_text_names_them(
    model: LanguageModel, reference: LanguageIdentifier, real_data: Path
):
    with zipfile.ZipFile(real_data / "nltk_corpora/udhr2.zip") as archive:
        documents = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".txt")]
    lines = [line for document in documents[::8] for line in document.split("\n")]
    for sample in (documents, lines):
        codes, probabilities = named(model, sample)
        expected = [reference.identify(text) for text in sample]
        assert probabilities == pytest.approx([probability for _, probability in expected], abs=1e-4)
        assert codes == [code for code, _ in expected]


def test_what_was_read_before_changes_nothing(model: LanguageModel):
    documents = ["the garden of the house", "der Garten am Haus", "the Garten 中文"]
    together = named(model, documents)
    again = named(model, documents[::-1])
    alone = [named(LanguageModel(), [text]) for text in documents]
    assert together[1].tolist() == again[1][::-1].tolist() == [probabilities[0] for _, probabilities in alone]


def test_an_end_mark_written_out_cuts_nothing(model: LanguageModel):
    english, german = "In the evening they talk. ", "Am Abend sitzen die Freunde im Garten und reden über das Wetter. "
    assert named(model, [english + " </s> " + german * 9])[0] == ["de"]


def test_the_tree_is_huffmans():
    left, right = tree_of([5, 2, 1])
    assert (left.tolist(), right.tolist()) == ([2, 3], [1, 0])


def test_the_model_is_read_whole():
    file = read_model(model_file())
    assert file.rows.shape == (len(file.words) + np.count_nonzero(file.row_of_bucket >= 0), 16)
    assert (len(file.labels), file.outputs.shape) == (176, (175, 16))


@pytest.mark.parametrize("content", [struct.pack("<ii", 1, 12), struct.pack("<ii", 793712314, 11)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(DataError):
        read_model(tmp_path / "model")
