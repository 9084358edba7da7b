"""Train a tokenizer: the first stage of a run (paper section 2.2).

Byte-pair encoding by SentencePiece with the paper's trainer settings: numbers split into digits, unknown characters into
bytes. The text may be documents or dialogs; dialogs are seen in the chat format, so that its tags become whole pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from paddock.progress import say
from paddock.run_dir import StageDir
from paddock.settings import StageSettings
from paddock.text.readers import OnBadRow, ReadReport, Sources, read_texts
from paddock.text.sample import Sample
from paddock.text.tokenizer import train_tokenizer

MEASURED_TEXTS = 10_000
# As measured of SentencePiece's trainer, on 1 to 40 MB of English and one core: for the estimates of a dry run alone.
TRAINER_BYTES = 30e6
TRAINER_BYTES_A_BYTE = 4.3
TRAINER_BYTES_A_SECOND = 9e6
TRAINER_SECONDS_A_PIECE = 3e-5


class TokenizerSettings(StageSettings):
    """What the tokenizer learns from, and how large it becomes."""

    data: Sources = Field(min_length=1, description="documents or dialogs to learn the pieces from")
    vocab_size: int = Field(32_000, ge=260, description="pieces in all (paper 2.2: 32k)")
    on_bad_row: OnBadRow = Field("error", description="stop at a bad row, or skip and count it")
    seed: int = Field(0, ge=0, description="of the sample of a corpus of over 200 million lines, and of fractional weights")

    def inputs(self) -> list[str]:
        """The sources."""
        return [source.path for source in self.data]


def plan(settings: TokenizerSettings) -> dict[str, Any]:
    """How much text would be read, what memory the trainer would need for it, and how long it would take."""
    report = ReadReport()
    sample = Sample(_texts(settings, report), lambda text: len(text.encode("utf-8", "surrogatepass")), settings.data)
    for _ in sample:
        pass  # a few seconds at most: the sample counts
    size = sample.bytes * sample.scale
    return {
        "rows": round(sample.rows * sample.scale),
        "bytes": round(size),
        "skipped": report.skipped.total(),
        "counted": sample.counted,
        "vocab_size": settings.vocab_size,
        "memory_bytes": round(TRAINER_BYTES + TRAINER_BYTES_A_BYTE * size),
        "estimated_seconds": size / TRAINER_BYTES_A_SECOND + settings.vocab_size * TRAINER_SECONDS_A_PIECE,
    }


def run(settings: TokenizerSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Train, save into `stage_dir.model`, and measure how the text is cut. Raises SettingsError where it is too little."""
    report = ReadReport()
    tokenizer = train_tokenizer(_texts(settings, report), settings.vocab_size, settings.seed)
    tokenizer.save(stage_dir.model)
    say(f"tokenizer: {report.summary()}")
    texts = [text for text, _ in zip(_texts(settings, ReadReport()), range(MEASURED_TEXTS), strict=False)]
    tokens = sum(len(ids) for ids in tokenizer.encode_batch(texts))
    return {
        "vocab_size": tokenizer.vocab_size,
        "rows": report.rows,
        "skipped": report.skipped,
        "bytes_per_token": sum(len(text.encode()) for text in texts) / tokens,
        "tokens_per_word": tokens / sum(len(text.split()) for text in texts),
    }


def _texts(settings: TokenizerSettings, report: ReadReport) -> Iterator[str]:
    return read_texts(settings.data, seed=settings.seed, on_bad_row=settings.on_bad_row, report=report)
