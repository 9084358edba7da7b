"""The tokenizer against SentencePiece itself, and its trainer against the released model's own record of settings."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from paddock.errors import CheckpointError, DataError, SettingsError
from paddock.text.tokenizer import MAX_LINE_BYTES, Tokenizer, train_tokenizer, training_lines


def test_ids_equal_sentencepiece_on_the_released_model(
    released_tokenizer: Tokenizer, real_data: Path, hard_texts: list[str]
):
    plain = sentencepiece.SentencePieceProcessor(model_file=str(real_data / "llama2c" / "tokenizer.model"))
    for text in hard_texts:
        assert released_tokenizer.encode(text) == plain.encode(text)


def test_released_ids_are_the_published_ones(released_tokenizer: Tokenizer):
    assert released_tokenizer.encode("Hello this is a test", bos=True) == [1, 15043, 445, 338, 263, 1243]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_decoding_gives_the_text_back(small_tokenizer: Tokenizer, text: str):
    # U+2581 is SentencePiece's sign for a space, and is read as one
    assert small_tokenizer.decode(small_tokenizer.encode(text)) == text.replace("\u2581", " ")


def test_bos_and_eos_written_out_are_plain_text(small_tokenizer: Tokenizer):
    ids = small_tokenizer.encode("<s> and </s>")
    assert small_tokenizer.bos_id not in ids
    assert small_tokenizer.eos_id not in ids
    assert small_tokenizer.decode(ids) == "<s> and </s>"


def test_bos_and_eos_are_added_where_asked(small_tokenizer: Tokenizer):
    plain = small_tokenizer.encode("horse")
    assert small_tokenizer.encode("horse", bos=True, eos=True) == [small_tokenizer.bos_id, *plain, small_tokenizer.eos_id]


def test_decoding_drops_bos_and_eos(small_tokenizer: Tokenizer):
    assert small_tokenizer.decode(small_tokenizer.encode("horse", bos=True, eos=True)) == "horse"


def test_a_batch_equals_its_texts_one_by_one(small_tokenizer: Tokenizer, hard_texts: list[str]):
    assert small_tokenizer.encode_batch(hard_texts, bos=True) == [small_tokenizer.encode(t, bos=True) for t in hard_texts]


def test_numbers_are_split_into_digits(small_tokenizer: Tokenizer):
    assert [small_tokenizer.piece(token) for token in small_tokenizer.encode("340")] == ["▁", "3", "4", "0"]


def test_unknown_characters_are_spelled_in_bytes(small_tokenizer: Tokenizer):
    assert [small_tokenizer.piece(token) for token in small_tokenizer.encode("🦙")][1:] == [
        "<0xF0>",
        "<0x9F>",
        "<0xA6>",
        "<0x99>",
    ]


def test_a_line_end_is_a_byte(small_tokenizer: Tokenizer):
    assert [small_tokenizer.piece(token) for token in small_tokenizer.encode("\n")] == ["▁", "<0x0A>"]


def test_a_lone_surrogate_is_a_data_error(small_tokenizer: Tokenizer):
    with pytest.raises(DataError, match="lone surrogate at character 1"):
        small_tokenizer.encode("a\ud800")


def test_ids_begin_with_unknown_bos_eos_and_there_is_no_pad(small_tokenizer: Tokenizer):
    assert [small_tokenizer.piece(token) for token in range(4)] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert (small_tokenizer.bos_id, small_tokenizer.eos_id, small_tokenizer.vocab_size) == (1, 2, 500)


def test_saving_and_loading_keeps_ids(small_tokenizer: Tokenizer, hard_texts: list[str], tmp_path: Path):
    small_tokenizer.save(tmp_path)
    for path in (tmp_path, tmp_path / "tokenizer.model"):
        assert Tokenizer.load(path).encode_batch(hard_texts) == small_tokenizer.encode_batch(hard_texts)


def test_loading_says_which_file_is_missing(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"there is no tokenizer\.model"):
        Tokenizer.load(tmp_path)


def test_loading_refuses_a_file_that_is_no_model(tmp_path: Path):
    (tmp_path / "tokenizer.model").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match=r"tokenizer\.model: this is not a SentencePiece model"):
        Tokenizer.load(tmp_path)


def test_loading_refuses_a_model_without_bytes(tmp_path: Path):
    lines = iter(["the horse grazes", "a horse sings"] * 10)
    with open(tmp_path / "tokenizer.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=file, vocab_size=25, model_type="bpe", minloglevel=2
        )
    with pytest.raises(CheckpointError, match="256 bytes"):
        Tokenizer.load(tmp_path)


def test_training_settings_equal_those_of_the_released_model(real_data: Path, small_tokenizer: Tokenizer, tmp_path: Path):
    small_tokenizer.save(tmp_path)
    trained, released = sentencepiece_model_pb2.ModelProto(), sentencepiece_model_pb2.ModelProto()
    trained.ParseFromString((tmp_path / "tokenizer.model").read_bytes())
    released.ParseFromString((real_data / "llama2c" / "tokenizer.model").read_bytes())
    of_their_machine = {"input", "input_format", "model_prefix", "num_threads", "vocab_size"}
    for part in ("trainer_spec", "normalizer_spec"):
        ours, theirs = getattr(trained, part), getattr(released, part)
        names = {field.name for field in theirs.DESCRIPTOR.fields} - of_their_machine
        assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}


def test_training_is_deterministic(tmp_path: Path):
    texts = ["the old horse grazes near the river", "count 12 lambs and 7 goats"] * 20
    for folder in ("one", "two"):
        train_tokenizer(iter(texts), 290, seed=3).save(tmp_path / folder)
    assert (tmp_path / "one/tokenizer.model").read_bytes() == (tmp_path / "two/tokenizer.model").read_bytes()


def test_too_large_a_vocabulary_is_answered_with_one_that_does():
    texts = ["the horse sings"] * 20
    with pytest.raises(SettingsError, match=r"they yield at most (\d+) pieces") as caught:
        train_tokenizer(texts, 5000)
    possible = int(str(caught.value).split("at most ")[1].split()[0])
    assert train_tokenizer(texts, possible).vocab_size == possible


def test_too_small_a_vocabulary_is_answered_with_the_size_needed():
    texts = ["".join(chr(0x4E00 + place) for place in range(300))] * 5
    with pytest.raises(SettingsError, match=r"Set it to more than (\d+)") as caught:
        train_tokenizer(texts, 300)
    needed = int(str(caught.value).split("more than ")[1])
    assert train_tokenizer(texts, needed + 1).vocab_size == needed + 1


def test_a_vocabulary_below_the_bytes_is_refused():
    with pytest.raises(SettingsError, match="at least 260"):
        train_tokenizer(["horse"], 200)


@pytest.mark.parametrize("texts", [[], ["", "\n"]])
def test_no_text_is_refused(texts: list[str]):
    with pytest.raises(SettingsError, match="no text"):
        train_tokenizer(texts, 300)


def test_training_lines_keep_every_word_of_a_long_line():
    line = " ".join(f"word{place}" for place in range(5000))
    lines = list(training_lines([line]))
    assert " ".join(lines) == line
    assert max(len(piece.encode()) for piece in lines) <= MAX_LINE_BYTES


@pytest.mark.parametrize("alphabet", ["a é日🦙", "aaaaaaaaé日🦙 ", "日🦙"])
@pytest.mark.parametrize("seed", range(5))
def test_training_lines_lose_nothing_but_the_space_at_a_cut(alphabet: str, seed: int):
    text = "".join(random.Random(seed).choices(alphabet, k=6000 + seed))
    lines = list(training_lines([text]))
    assert all(0 < len(line.encode()) <= MAX_LINE_BYTES for line in lines)
    rest = text
    for line in lines:
        rest = rest if rest.startswith(line) else rest.removeprefix(" ")
        assert rest.startswith(line)
        rest = rest[len(line) :]
    assert rest in {"", " "}
