"""How a stage's rows are held out and encoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.stages import encoding
from paddock.stages.encoding import Rows, encode_rows
from paddock.text import sample
from paddock.text.chat_format import Encoded
from paddock.text.packing import TokenStore
from paddock.text.readers import Source
from paddock.train.parallel import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))
SOURCE = (Source(path="words"),)


def rows_of(words: list[str], share: float, validation: list[str] | None = None) -> Rows[str, TokenStore]:
    """Rows that are words, each encoded as its characters."""

    def read(sources, report):
        for word in words if sources == SOURCE else validation:
            report.rows += 1
            yield word

    return Rows(
        data=SOURCE,
        validation=(Source(path="others"),) if validation is not None else (),
        validation_share=share,
        read=read,
        key=lambda word: word,
        size=len,
        write=lambda folder, some: TokenStore.write(folder, (Encoded([*map(ord, word)]) for word in some), 256),
        open=TokenStore.open,
    )


def learnt(rows: Rows[str, TokenStore]) -> list[str]:
    from paddock.text.readers import ReadReport

    return list(rows.learnt_from(ReadReport()))


@given(st.lists(st.text(min_size=1), min_size=2), st.floats(0.01, 0.9))
def test_each_row_is_learnt_from_or_held_out_and_copies_fall_together(words: list[str], share: float) -> None:
    rows = rows_of(words, share)
    held_out, kept = list(rows.held_out()), learnt(rows)
    assert sorted(held_out + kept) == sorted(words)
    assert held_out
    assert not set(held_out) & set(kept)


@given(st.lists(st.text(min_size=1), min_size=40, unique=True), st.lists(st.text(min_size=1)))
def test_a_row_stays_on_its_side_whatever_stands_beside_it(words: list[str], more: list[str]) -> None:
    before, after = rows_of(words, 0.5), rows_of(words + more, 0.5)
    assert set(before.held_out()) <= set(after.held_out())
    assert set(learnt(before)) <= set(learnt(after))


def test_the_share_is_about_that_asked_for() -> None:
    rows = rows_of([f"word {number}" for number in range(10_000)], 0.05)
    assert len(list(rows.held_out())) == pytest.approx(500, abs=100)  # more than four standard deviations


def test_a_share_too_small_for_a_small_corpus_holds_out_one_row() -> None:
    assert len(list(rows_of(["one", "two", "three"], 1e-9).held_out())) == 1


def test_the_one_row_held_out_of_a_small_corpus_is_one_that_judges(tmp_path: Path) -> None:
    rows = replace(rows_of(["one", "two", "three", "four"], 1e-9), judges=lambda word: word == "two")
    assert "two" in list(rows.held_out())
    encoded = encode_rows(rows, tmp_path, ALONE)
    assert encoded.validation.tokens.tolist() == [*map(ord, "two")]


def test_where_no_row_can_judge_there_is_no_validation_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = replace(rows_of(["one", "two"], 0.5, validation=["three"]), judges=lambda word: word == "four")
    assert encode_rows(rows, tmp_path, ALONE).validation is None
    assert "no row to judge by" in capsys.readouterr().err


def test_without_a_share_nothing_is_held_out() -> None:
    rows = rows_of(["one", "two"], 0.0)
    assert learnt(rows) == ["one", "two"]
    assert list(rows.held_out()) == []


def test_validation_files_are_held_out_instead_of_a_share() -> None:
    rows = rows_of(["one", "two"], 0.5, validation=["three"])
    assert learnt(rows) == ["one", "two"]
    assert list(rows.held_out()) == ["three"]


def test_a_row_that_the_validation_files_hold_is_not_learnt_from_and_counted(tmp_path: Path) -> None:
    rows = rows_of(["one", "two", "three", "two"], 0.5, validation=["two", "four"])
    assert learnt(rows) == ["one", "three"]
    assert encode_rows(rows, tmp_path, ALONE).figures["held_out_elsewhere"] == 2


def test_what_may_not_judge_is_neither_held_out_nor_learnt_from() -> None:
    words = [f"{letter} {number}" for number in range(100) for letter in "ab"]
    rows = replace(rows_of(words, 0.5), may_judge=lambda word: word.startswith("a"))
    everything = set(rows_of(words, 0.5).held_out())
    assert set(rows.held_out()) == {word for word in everything if word.startswith("a")}
    assert set(learnt(rows)) == set(words) - everything
    with_files = replace(rows_of([], 0.0, validation=["a", "b"]), may_judge=lambda word: word == "a")
    assert list(with_files.held_out()) == ["a"]


def test_the_one_row_held_out_of_a_small_corpus_is_one_that_may_judge() -> None:
    rows = replace(rows_of(["one", "two", "three", "four"], 1e-9), may_judge=lambda word: word == "two")
    assert list(rows.held_out()) == ["two"]


def test_rows_that_the_settings_leave_out_are_counted(tmp_path: Path) -> None:
    rows = replace(rows_of(["one", "two", "three"], 0.0), learns=lambda word: word == "two")
    assert encode_rows(rows, tmp_path, ALONE).figures["not_learnt"] == 2


def test_what_is_encoded_once_is_not_encoded_again(tmp_path: Path) -> None:
    words = ["one", "two", "three", "four"]
    first = encode_rows(rows_of(words, 0.0), tmp_path, ALONE)
    again = encode_rows(rows_of(["other"], 0.0), tmp_path, ALONE)
    assert again.figures == first.figures
    assert again.train.tokens.tolist() == [ord(letter) for word in words for letter in word]
    assert again.validation is None


def test_the_figures_say_what_was_read_and_what_was_left_out(tmp_path: Path) -> None:
    def read(sources, report):
        yield from ("one", "two")
        report.rows, report.skipped["not JSON"], report.labelled_bad = 2, 3, 4

    figures = encode_rows(replace(rows_of([], 0.0), read=read), tmp_path, ALONE).figures
    assert (figures["rows"], figures["skipped"], figures["labelled_bad"]) == (2, {"not JSON": 3}, 4)


def test_a_store_that_a_kill_left_without_its_figures_is_encoded_again(tmp_path: Path) -> None:
    TokenStore.write(tmp_path / "train", [Encoded([1])], 256)
    encoded = encode_rows(rows_of(["one"], 0.0), tmp_path, ALONE)
    assert encoded.train.tokens.tolist() == [ord(letter) for letter in "one"]


def test_a_large_corpus_is_counted_by_its_first_rows_however_many_sequences_a_row_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 100)
    rows = replace(
        rows_of(["abc"] * 1000, 0.0),
        write=lambda folder, some: TokenStore.write(folder, (Encoded([1]) for _ in some for _ in "12"), 256),
    )
    monkeypatch.setattr(sample, "bytes_of", lambda sources: 3000.0)
    counts = encoding.count_rows(rows, lambda store: 5)
    assert (counts["rows"], counts["steps_per_epoch"]) == (1000, 50)


def test_a_corpus_with_nothing_left_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 1 rows is left to learn from"):
        encode_rows(rows_of(["only"], 0.1), tmp_path, ALONE)
