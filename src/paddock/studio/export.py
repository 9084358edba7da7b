"""What a study gives to others: its ratings as a table, and what models learn from, in the formats that they read.

    ratings          a row an answer, in long form: `paddock agreement` and `paddock compare` read it as it is
    preferences      of task preference: what reward models train on (docs/data.md)
    demonstrations   of task demonstration: dialogs for fine-tuning
    red_team         a row a conversation, of task red-team, or of safety where its items came from such a log

Each is written as JSON Lines, CSV and Parquet. Test items and attention checks are in none of them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paddock.run_dir import atomic_write
from paddock.studio.opening import Studio
from paddock.studio.results import Rated, Ruling, answers, by_item, last_words
from paddock.studio.tables import reading
from paddock.studio.tasks import choice_of
from paddock.text.comparisons import preference_row
from paddock.text.dialog import Message, Preference

FORMATS = ("jsonl", "csv", "parquet")
SHORTEST = 0.1  # seconds of a conversation
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Row = dict[str, Any]


def tables_of(studio: Studio) -> dict[str, list[Row]]:
    """Every table that the study's task gives, by name, all of one moment."""
    with reading(studio.engine) as moment:
        rated, rulings = answers(moment), last_words(moment)
    tables = {"ratings": [rating_row(one, rulings.get(one.item)) for one in rated]}
    if studio.study.task == "preference":
        tables["preferences"] = list(preference_rows(rated, rulings))
    if studio.study.task == "demonstration":
        tables["demonstrations"] = [demonstration_row(one) for one in rated]
        del tables["ratings"]
    sessions = [one for one in rated if studio.study.task == "red-team" or "person" in one.content]
    if sessions and studio.study.task in ("red-team", "safety"):
        tables["red_team"] = list(red_team_rows(sessions, studio.study.task == "red-team"))
    return tables


def rating_row(one: Rated, ruling: Ruling | None) -> Row:
    """An answer, and what may be grouped by. `shown_as_a` is the file's side that stood as A."""
    pair = len(one.models) == 2
    names = ("reply_a", "reply_b") if pair else ("reply",)
    texts = [message["content"] for message in one.content["messages"]]
    row: Row = {
        "item": one.subject,
        **({"conversation": one.conversation} if pair else {}),
        "rater": one.rater,
        "rating": one.answer.get("rating"),
        **({"model_a": one.models[0], "model_b": one.models[1]} if pair else {"model": one.models[0]}),
        **({"shown_as_a": "b" if one.swapped else "a"} if pair else {}),
        **{side: one.answer[side] for side in ("safe_a", "safe_b") if side in one.answer},
        "adjudicated": ruling.answer.get("rating") if ruling else None,
        "comment": one.answer.get("comment"),
        "seconds": round(one.seconds, 3),
        "active_seconds": one.active_seconds,
        "at": _time(one.at),
        "domain": one.content.get("domain"),
        "risk_category": one.content.get("risk_category"),
        "turns": sum(message["role"] == "user" for message in one.content["messages"]),
        "prompt_words": sum(len(text.split()) for text in texts),
        "prompt": one.content["messages"],
        **{name: reply["text"] for name, reply in zip(names, one.content.get("replies", []), strict=False)},
    }
    return row


def preference_rows(rated: Sequence[Rated], rulings: Mapping[int, Ruling]) -> Iterator[Row]:
    """A preference an answer; where a lead has ruled, theirs alone. Two equal replies are no preference."""
    for item, group in by_item(rated).items():
        ruling = rulings.get(item)
        votes = [(group[0], ruling.lead, ruling.answer)] if ruling else [(one, one.rater, one.answer) for one in group]
        for one, annotator, answer in votes:
            if len({reply["text"] for reply in one.content["replies"]}) == 1:
                continue
            side, degree = choice_of(answer["rating"])
            (chosen, chosen_safe), (rejected, rejected_safe) = [
                (one.content["replies"]["ab".index(letter)], answer.get(f"safe_{letter}"))
                for letter in (side, "b" if side == "a" else "a")
            ]
            yield preference_row(
                Preference(
                    prompt=tuple(Message(message["role"], message["content"]) for message in one.content["messages"]),
                    chosen=chosen["text"],
                    rejected=rejected["text"],
                    rating=degree,
                    domain=one.content.get("domain"),
                    chosen_safe=chosen_safe,
                    rejected_safe=rejected_safe,
                    annotator=annotator,
                    chosen_model=_variant(chosen),
                    rejected_model=_variant(rejected),
                )
            )


def demonstration_row(one: Rated) -> Row:
    """A finished dialog, as fine-tuning reads it."""
    prompt = [{"role": "user", "content": one.answer["prompt"]}] if "prompt" in one.answer else one.content["messages"]
    row = {
        "id": one.item_name,
        "messages": [*prompt, {"role": "assistant", "content": one.answer["text"]}],
        "domain": one.content.get("domain"),
        "annotator": one.rater,
        "comment": one.answer.get("comment"),
        "seconds": round(one.seconds, 3),
        "at": _time(one.at),
    }
    return {key: value for key, value in row.items() if value is not None}


def red_team_rows(rated: Sequence[Rated], held_here: bool) -> Iterator[Row]:
    """A row a conversation: who held it and when, with which model, what it was about, and how it was rated.

    One that was held here has its author's own vote; its start is as long before its end as the page was in view, so that
    hours are hours of work. One that was only rated here has the votes that it came with and those of its raters; of two
    votes of one person the later.
    """
    if held_here:
        for one in rated:
            yield {
                "id": one.subject,
                "person": one.rater,
                "start": _time(one.opened if one.active_seconds is None else one.at - max(one.active_seconds, SHORTEST)),
                "end": _time(one.at),
                "model": one.models[0],
                **{key: one.answer[key] for key in ("risk_category", "attack_style", "language")},
                "messages": [
                    {"role": message["role"], "content": message["content"]} for message in one.content["messages"]
                ],
                "votes": [{"rater": one.rater, "rating": one.answer["rating"]}],
            }
        return
    for group in by_item(rated).values():
        content = group[0].content
        reply = content["replies"][0]
        kept = ("session", "person", "start", "end", "risk_category", "attack_style", "language")
        votes = {vote["rater"]: vote["rating"] for vote in content.get("votes", [])}
        votes |= {one.rater: one.answer["rating"] for one in group}
        yield {
            "id": group[0].item_name,
            **{key: content[key] for key in kept if key in content},
            "model": reply["model"],
            "messages": [*content["messages"], {"role": "assistant", "content": reply["text"]}],
            "votes": [{"rater": rater, "rating": rating} for rater, rating in votes.items()],
        }


def write_exports(studio: Studio, folder: Path, formats: Sequence[str] = FORMATS) -> dict[str, int]:
    """Write every table in each format to `folder`; returns the rows of each."""
    tables = tables_of(studio)
    for name, rows in tables.items():
        for ending in formats:
            atomic_write(folder / f"{name}.{ending}", WRITERS[ending](rows))
    return {name: len(rows) for name, rows in tables.items()}


def as_jsonl(rows: Sequence[Row]) -> bytes:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(errors="replace")


def as_csv(rows: Sequence[Row]) -> bytes:
    """A header and a line a row; messages as JSON. Text that a spreadsheet would run as a formula begins with a quote."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return file.getvalue().encode(errors="replace")


def as_parquet(rows: Sequence[Row]) -> bytes:
    """One row group, messages as lists of structures."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.BytesIO()
    parquet.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), buffer)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Sequence[Row]], bytes]] = {"jsonl": as_jsonl, "csv": as_csv, "parquet": as_parquet}


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA_MARKS) else text


def _variant(reply: Mapping[str, Any]) -> str:
    return f"{reply['model']}, temperature {reply['temperature']:g}" if "temperature" in reply else str(reply["model"])


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
