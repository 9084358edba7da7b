"""Samples: what the models answered, as they answered it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paddock.report.blocks import Fact, Sample, Samples, Section
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import number, value_text, words
from paddock.text.dialog import Message

FACT_CHARACTERS = 60


def section(run: Run) -> Section | None:
    """Samples of every stage that wrote some; None where none did."""
    blocks = tuple(_samples(stage) for stage in run.stages if stage.samples)
    return Section("samples", "Samples", blocks) if blocks else None


def _samples(stage: StageRecord) -> Samples:
    shown = len(stage.samples)
    caption = (
        "All that the stage wrote."
        if shown == stage.sample_count
        else f"{shown} of {stage.sample_count:,}, evenly spread; all are in {stage.name}/samples.jsonl."
    )
    return Samples(stage.name, tuple(_sample(row) for row in stage.samples), caption)


def _sample(row: dict[str, Any]) -> Sample:
    """A row `{"prompt": text or messages, "answer": text}`; its further values, those of objects in it too, stand below.

    A pair has no answer: the chosen reply is shown, the rejected one stands below.
    """
    shown = "answer" if "answer" in row else "chosen"
    prompt, answer = row.get("prompt", ""), Message("assistant", str(row.get(shown, "")))
    rest = {key: value for key, value in row.items() if key not in ("prompt", shown)}
    facts = tuple(Fact(words(key), number(value)[:FACT_CHARACTERS]) for key, value in _known(rest))
    if isinstance(prompt, list):
        return Sample((*(_message(turn) for turn in prompt), answer), facts)
    return Sample((Message("user", str(prompt)), answer), facts, plain=True)


def _known(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The single values of a row that are known, in order, those of objects within it among them."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _known(value)
        elif value is not None and not isinstance(value, list):
            yield key, value


def _message(turn: Any) -> Message:
    """A turn as a page shows it; what has no role or no text of its own is shown as it is written."""
    if isinstance(turn, dict) and turn.get("role") in ("system", "user", "assistant"):
        return Message(turn["role"], value_text(turn.get("content", "")))
    return Message("user", value_text(turn))
