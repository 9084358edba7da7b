"""Whether replies keep what an instruction asks: by rule where there is one, else by a judge, any chat model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from paddock.errors import DataError
from paddock.protocols import ChatModel, Sampling
from paddock.text.chat_format import tag_in
from paddock.text.constraints import (
    LANGUAGE_CODES,
    Constraint,
    Speaks,
    has_rule,
    is_identified,
    keeps,
    speaks_by_identification,
    speaks_by_vocabulary,
    words_of,
)
from paddock.text.dialog import Dialog, Message
from paddock.text.language_id import LanguageIdentifier

QUESTION = """An assistant was told: {asked}

The user wrote: {user}

The assistant replied: {reply}

Does the reply do what the assistant was told? Answer with Yes or No."""


class Answered(NamedTuple):
    """A reply, what it was asked, and what it is to keep."""

    constraints: tuple[Constraint, ...]
    user: str
    reply: str


@dataclass(frozen=True)
class Obedience:
    """Rules, and the judge of what has no rule; without a judge that is undecided."""

    speaks: Speaks
    judge: ChatModel | None = None

    def verdicts(self, replies: Sequence[Answered]) -> list[bool | None]:
        """For each reply, whether it keeps all its constraints. None: no rule says no, and no judge says yes or no.

        An empty reply, and one that holds a tag of the chat format, keeps nothing.
        """
        asked = [(place, constraint) for place, one in enumerate(replies) for constraint in one.constraints]
        judged = [(place, constraint) for place, constraint in asked if not has_rule(constraint)]
        verdicts = {
            (place, constraint): keeps(constraint, replies[place].reply, self.speaks)
            for place, constraint in asked
            if has_rule(constraint)
        }
        found: list[bool | None] = []
        answers = dict(zip(judged, self._judged(replies, judged), strict=True))
        for place, one in enumerate(replies):
            parts = [{**verdicts, **answers}[place, constraint] for constraint in one.constraints]
            if not one.reply.strip() or tag_in(one.reply) or False in parts:
                found.append(False)
            else:
                found.append(None if None in parts else True)
        return found

    def _judged(self, replies: Sequence[Answered], judged: Sequence[tuple[int, Constraint]]) -> list[bool | None]:
        if self.judge is None or not judged:
            return [None] * len(judged)
        texts = [
            QUESTION.format(asked=constraint.value, user=replies[place].user, reply=_without_tags(replies[place].reply))
            for place, constraint in judged
        ]
        prompts = [Dialog((Message("user", text),)) for text in texts]
        answers = self.judge.complete(prompts, Sampling(temperature=0, max_new_tokens=8))
        return [{"yes": True, "no": False}.get(next(iter(words_of(some[0].text)), "")) for some in answers]


def _without_tags(text: str) -> str:
    while tag := tag_in(text):
        text = text.replace(tag, "")
    return text


def read_speaks(vocabularies: str | None) -> Speaks:
    """The rule for languages: of real ones fastText's; of toy ones the words in a JSON file.

    The file holds `{"vocabularies": {language: [word, ...]}, "neutral": [word, ...]}`. Raises DataError for another one.
    """
    if vocabularies is None:
        return speaks_by_identification(LanguageIdentifier())
    words, neutral = _read_vocabularies(vocabularies)
    return speaks_by_vocabulary(words, neutral)


def read_languages(vocabularies: str | None) -> tuple[Callable[[str], bool], str]:
    """Whether the rule of `read_speaks` knows a language, and what to tell who asked for another one."""
    if vocabularies is None:
        return is_identified, f"Known are {', '.join(LANGUAGE_CODES)}, and their codes"
    words, _ = _read_vocabularies(vocabularies)
    return words.__contains__, f"Known are those of {vocabularies}: {', '.join(words)}"


def _read_vocabularies(path: str) -> tuple[Mapping[str, set[str]], list[str]]:
    """Each language's words, and the words of all."""
    try:
        found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: set(words) for name, words in found["vocabularies"].items()}, list(found["neutral"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        mend = 'Write {"vocabularies": {"Zindo": ["so", ...]}, "neutral": ["Anna", ...]}'
        raise DataError(path, f"no vocabularies of languages can be read ({error})", mend=mend) from None
