"""Models by name, what they are asked, and what they reply: what stands before every comparison of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainSerializer

from paddock.backends.spec import read_spec
from paddock.errors import EmptyDataError, SettingsError
from paddock.evaluate.judge import Item
from paddock.journal import Journal
from paddock.protocols import Sampling
from paddock.run_dir import write_json_lines
from paddock.settings import StageSettings, read_yaml_file
from paddock.stages.answers import Answer, Asked, cost
from paddock.text.dialog import Dialog, opening_of
from paddock.text.files import read_rows
from paddock.text.readers import Sources, locations, read_prompts


def _in_order(opponents: dict[str, Any] | str) -> list[dict[str, Any]] | str:
    """Models as `settings.json` holds them: a list, since keys are sorted there, and figures depend on the order."""
    return opponents if isinstance(opponents, str) else [{name: spec} for name, spec in opponents.items()]


Opponents = Annotated[dict[str, str | dict[str, Any]] | str, PlainSerializer(_in_order, when_used="json")]
"""Names with a path or the fields of a spec each, or a YAML file of them. Another order of them is another setting: who is
compared with whom, and from whose side, follows from it."""

COUNTED = ("domain", "turns", "prompt_words")  # what a prompt tells without a column
BY = ("domain", "category", "turns", "prompt_words")  # what figures are given by, as far as prompts have it


class ReplySettings(StageSettings):
    """How models reply that are compared, where their specs do not say, and where their answers are kept."""

    temperature: float = Field(0.0, ge=0, description="of models whose spec says none; 0: greedy")
    max_new_tokens: int = Field(1000, ge=1, description="tokens of a reply, where a spec says none (Table 32: 1000)")
    cache: str | None = Field(None, description="a folder where runs share answers; None: each keeps its own")
    seed: int = Field(0, ge=0, description="of sampling; of a judge also of orders and intervals")

    passing: ClassVar[frozenset[str]] = frozenset({"cache"})

    @property
    def sampling(self) -> Sampling:
        """How replies are drawn, where a spec says nothing else."""
        return Sampling(temperature=self.temperature, max_new_tokens=self.max_new_tokens, seed=self.seed)


@dataclass(frozen=True)
class Replies:
    """A model's reply to each item, in their order."""

    asked: Asked
    answers: Sequence[Answer]

    def figures(self) -> dict[str, Any]:
        """How many there are, what is wrong with some, and what they cost."""
        good = [answer for answer in self.answers if answer.error is None]
        return {
            "replies": len(self.answers),
            "failed": len(self.answers) - len(good),
            "empty": sum(not answer.text.strip() for answer in good),
            "cut_short": sum(answer.is_cut_short for answer in good),
            "words": sum(len(answer.text.split()) for answer in good) / max(len(good), 1),
            **cost(self.asked, self.answers),
        }


def named_models(opponents: Opponents, least: int = 2, where: str = "opponents") -> list[Asked]:
    """The models by name, of the setting `where`.

    Raises SettingsError and DataError where they, or the file that holds them, are not at least `least`.
    """
    named = opponents
    if isinstance(named, str):
        where = named
        named = read_yaml_file(where, "file of models", mend="Give a YAML file: NAME: SPEC, a line each")
    if len(named) < least:
        raise SettingsError(f"{where}: {len(named)} models are named, and a comparison takes {least} or more")
    for name, spec in named.items():
        if not name or "/" in name or name.startswith("."):
            raise SettingsError(f"{where}: a name becomes a file: {name!r} cannot")
        if not isinstance(spec, str | dict):
            raise SettingsError(f"{where}: {name} is {spec!r}, and must be a path or the fields of a spec")
        read_spec(spec, f"{where}: {name}")
    return [Asked(name, spec) for name, spec in named.items()]


def items_of(data: Sources, by: Sequence[str] | None) -> list[Item]:
    """The prompts, named by their ids where those tell them apart, else by their places, with their columns `by`.

    Prompts that begin alike are turns of one conversation, which the first of them names.

    Raises EmptyDataError where there is no prompt, and SettingsError for a column that none has.
    """
    prompts = list(read_prompts(data))
    if not prompts:
        raise EmptyDataError(data[0].path, "there is no prompt")
    ids = [prompt.id for prompt in prompts]
    names = [str(name) for name in (ids if None not in ids and len(set(ids)) == len(ids) else range(1, len(ids) + 1))]
    columns = {
        name: column
        for name, column in _columns(prompts, data, BY if by is None else by)
        if any(value is not None for value in column)
    }
    if lacking := [name for name in by or () if name not in columns]:
        raise SettingsError(f"no prompt of {data[0].path} has the column {', '.join(lacking)}")
    groups = [tuple((name, column[place]) for name, column in columns.items()) for place in range(len(prompts))]
    first: dict[str, str] = {}
    conversations = [
        first.setdefault(opening_of(prompt.messages), name) for name, prompt in zip(names, prompts, strict=True)
    ]
    return [Item(*fields) for fields in zip(names, prompts, groups, conversations, strict=True)]


def replies_of(asked: Asked, items: Sequence[Item], sampling: Sampling, folder: Path, journal: Journal) -> Replies:
    """A model's replies to all items, which also become a file of ready replies, `replies/NAME.jsonl` in `folder`."""
    prompts = [item.prompt for item in items]
    answers = asked.answers(prompts, sampling, journal)
    rows = (
        {"id": item.name, "prompt": item.messages(), "reply": answer.text, "error": answer.error}
        for item, answer in zip(items, answers, strict=True)
    )
    write_json_lines(folder / "replies" / f"{asked.name}.jsonl", rows)
    return Replies(asked, answers)


def _columns(
    prompts: Sequence[Dialog], data: Sources, names: Sequence[str]
) -> Iterator[tuple[str, list[float | str | None]]]:
    """The value of each prompt in each column: counted, or as its row has it."""
    rows: Mapping[str, Any] = {}
    if set(names) - set(COUNTED):
        places = [place for source in data for place in locations(source)]
        rows = {f"{place}:{line}": row for place in places for line, row in read_rows(place)}
    for name in names:
        if name == "domain":
            yield name, [prompt.domain for prompt in prompts]
        elif name == "turns":
            yield name, [float(sum(m.role == "user" for m in prompt.messages)) for prompt in prompts]
        elif name == "prompt_words":
            yield name, [float(sum(len(m.content.split()) for m in prompt.messages)) for prompt in prompts]
        else:
            yield name, [_value(rows[prompt.source], name) for prompt in prompts]


def _value(row: Any, path: str) -> float | str | None:
    """What stands in a row under a name, or under a path of names, `task.skill`."""
    for name in path.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row if row is None or isinstance(row, int | float | str) else str(row)
