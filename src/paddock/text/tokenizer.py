"""SentencePiece byte-pair encoding, as Llama 2 has it: train one, load one (the released file too), save one.

Paper section 2.2: the tokenizer of Llama 1; numbers are split into digits, and what the vocabulary lacks is spelled in
bytes. The trainer's settings are those recorded in the released `tokenizer.model`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from paddock.errors import CheckpointError, DataError, PaddockError, SettingsError
from paddock.run_dir import atomic_write, model_folder
from paddock.text.tokenizer_files import hugging_face_files

MODEL_FILE = "tokenizer.model"
MAX_LINE_BYTES = 4192  # the trainer's max_sentence_length: it drops what is longer, so longer lines are cut
SMALLEST_VOCABULARY = 259 + 1  # unknown, BOS, EOS and 256 bytes come first

TRAINER_SETTINGS: dict[str, Any] = {
    "model_type": "bpe",
    "character_coverage": 0.99995,
    "input_sentence_size": 200_000_000,
    "shuffle_input_sentence": True,
    "max_sentence_length": MAX_LINE_BYTES,
    "max_sentencepiece_length": 16,
    "split_by_unicode_script": True,
    "split_by_whitespace": True,
    "split_by_number": True,
    "split_digits": True,
    "treat_whitespace_as_suffix": False,
    "allow_whitespace_only_pieces": True,
    "hard_vocab_limit": True,
    "use_all_vocab": False,
    "byte_fallback": True,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
    "unk_surface": " \u2047 ",
    "normalization_rule_name": "identity",
    "add_dummy_prefix": True,
    "remove_extra_whitespaces": False,
    "seed_sentencepiece_size": 1_000_000,
    "shrinking_factor": 0.75,
}


class Tokenizer:
    """Text to ids and back. BOS and EOS are ids: written out in a text they are text like any other. There is no pad id."""

    def __init__(self, model: bytes) -> None:
        """Take the bytes of a `tokenizer.model`. Raises CheckpointError where they are none, or not one of Llama's kind."""
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise CheckpointError(f"this is not a SentencePiece model ({error})") from None
        if self._processor.bos_id() < 0 or self._processor.eos_id() < 0 or not self._processor.is_byte(self._byte_id(0)):
            raise CheckpointError("this SentencePiece model lacks BOS, EOS or the 256 bytes that a Llama 2 tokenizer has")

    @staticmethod
    def load(path: Path) -> Tokenizer:
        """Open a `tokenizer.model` file, or the one in a folder, a stage's too. Raises CheckpointError, with the path."""
        file = model_folder(path) / MODEL_FILE if path.is_dir() else path
        if not file.is_file():
            raise CheckpointError(f"{path}: there is no {MODEL_FILE}. `paddock tokenizer train` makes one")
        try:
            return Tokenizer(file.read_bytes())
        except CheckpointError as error:
            raise CheckpointError(f"{file}: {error}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and other._model == self._model

    def __hash__(self) -> int:
        return hash(self._model)

    def save(self, folder: Path) -> None:
        """Write the model, and the files beside it that let transformers open `folder` and give the same ids.

        They are `tokenizer.model`, `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`.
        """
        atomic_write(folder / MODEL_FILE, self._model)
        for name, content in hugging_face_files(self._processor).items():
            atomic_write(folder / name, content)

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return int(self._processor.get_piece_size())

    @property
    def bos_id(self) -> int:
        """The id that begins a document, and each turn of a dialog."""
        return int(self._processor.bos_id())

    @property
    def eos_id(self) -> int:
        """The id that ends a document, and each answer."""
        return int(self._processor.eos_id())

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """The ids of `text`, with BOS before and EOS after where asked. Raises DataError for a lone surrogate."""
        return self.encode_batch([text], bos, eos)[0]

    def encode_batch(self, texts: Sequence[str], bos: bool = False, eos: bool = False) -> list[list[int]]:
        """The ids of each text: about 1.2 million tokens a second on one core."""
        try:
            found: list[list[int]] = self._processor.encode(list(texts), add_bos=bos, add_eos=eos, num_threads=1)
        except TypeError:  # the library's answer to a text that has no UTF-8
            raise _lone_surrogate(texts) from None
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without BOS, EOS and ids beyond the vocabulary, which another program may have sampled from a
        model with more rows. Bytes that are no UTF-8 show as U+FFFD.
        """
        text: str = self._processor.decode([int(token) for token in ids if token < self.vocab_size])
        return text

    def piece(self, token: int) -> str:
        """The name of an id in the vocabulary: `▁the`, `<0x0A>`, `<s>`."""
        name: str = self._processor.id_to_piece(token)
        return name

    def _byte_id(self, byte: int) -> int:
        return int(self._processor.piece_to_id(f"<0x{byte:02X}>"))


def train_tokenizer(texts: Iterable[str], vocab_size: int, seed: int = 0) -> Tokenizer:
    """Train a tokenizer of `vocab_size` pieces on `texts` with the paper's settings.

    The same texts, size and seed give the same bytes. The trainer works on lines: a text is cut at its line ends, so that a
    line end stays the byte `<0x0A>` as in Llama 2, and a line over 4,192 bytes before a space. Over 200 million lines, a
    seeded sample of as many is used. Raises SettingsError where the texts are too few for the size, or the size too small
    for the characters, with a size that would do.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise SettingsError(f"vocab_size is {vocab_size}, and must be at least {SMALLEST_VOCABULARY}: 256 bytes come first")
    sentencepiece.set_random_generator_seed(seed)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=training_lines(texts),
            model_writer=model,
            vocab_size=vocab_size,
            num_threads=1,  # the file records it, and the same texts must give the same bytes
            minloglevel=2,
            **TRAINER_SETTINGS,
        )
    except RuntimeError as error:
        raise _training_error(str(error), vocab_size) from None
    return Tokenizer(model.getvalue())


def training_lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of `texts`, none empty and none over 4,192 bytes.

    A line is cut before a space, which is dropped: the trainer puts a space before every line. Where a run of 4,192 bytes
    has no space, it is cut between two characters.
    """
    for text in texts:
        for line in text.split("\n"):
            start = 0
            while start < len(line):
                piece = line[start : start + MAX_LINE_BYTES].encode()[:MAX_LINE_BYTES].decode(errors="ignore")
                start += len(piece)
                if start < len(line) and (space := piece.rfind(" ", 1)) > 0:
                    start += space + 1 - len(piece)
                    piece = piece[:space]
                yield piece


def _lone_surrogate(texts: Sequence[str]) -> DataError:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return DataError("text", f"a lone surrogate at character {error.start}", mend="It is no character: remove it")
    raise AssertionError("every text can be encoded")


def _training_error(message: str, vocab_size: int) -> PaddockError:
    """The trainer's complaint in our words."""
    if too_high := re.search(r"Please set it to a value <= (\d+)", message):
        return SettingsError(
            f"vocab_size {vocab_size} is too large for these texts: they yield at most {too_high[1]} pieces. "
            f"Set vocab_size to {too_high[1]} or less, or give more text"
        )
    if too_low := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return SettingsError(
            f"vocab_size {vocab_size} is too small for the characters of these texts. Set it to more than {too_low[1]}"
        )
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return SettingsError("there is no text to train a tokenizer on")
    return PaddockError(f"the tokenizer could not be trained: {message}")
