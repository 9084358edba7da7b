"""How long a model keeps an instruction: the share of dialogs that still do at each turn (paper, Table 30).

A dialog carries the instruction on its first turn alone, and goes on with the model's own answers as history, until its
script or the model's context ends. All dialogs advance together, a turn at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paddock.evaluate.obedience import Answered, Obedience
from paddock.protocols import ChatModel, Completion, Sampling
from paddock.statistics import wilson_interval
from paddock.text.chat_format import tag_in
from paddock.text.dialog import Dialog
from paddock.text.scripts import Script, Slot, as_dialog, message_rows

LAST = "last"
"""In place of a turn's number: the last turn of a dialog whose prompt and reply fit the context."""


@dataclass(frozen=True)
class Course:
    """How a dialog went: its replies, and for each whether it keeps the instruction (None: undecided).

    `ended` says why there are fewer replies than the script has turns: "context", "tag" (a reply that no prompt can carry),
    "failed" (what the model said of it), or None.
    """

    script: Script
    replies: tuple[str, ...]
    kept: tuple[bool | None, ...]
    ended: str | None

    def dialog(self, slot: Slot) -> Dialog:
        """The dialog up to its last reply; one without any ends with its first question."""
        answered = replace(self.script, turns=self.script.turns[: max(len(self.replies), 1)])
        return as_dialog(answered, self.replies, slot)

    def to_row(self, slot: Slot) -> dict[str, Any]:
        """The dialog as a line of a file, readable as a dialog; `kept` has a verdict a reply."""
        return {
            "id": self.script.id,
            "messages": message_rows(self.dialog(slot)),
            "group": self.script.group,
            "kinds": [constraint.kind for constraint in self.script.constraints],
            "kept": list(self.kept),
            "ended": self.ended,
        }


def follow(
    model: ChatModel,
    scripts: Sequence[Script],
    obedience: Obedience,
    sampling: Sampling,
    slot: Slot = "system",
    told: Callable[[int, int], None] = lambda turn, dialogs: None,
) -> list[Course]:
    """Let `model` go through `scripts`; `told` hears the turn's number and how many dialogs got there."""
    replies: list[tuple[str, ...]] = [() for _ in scripts]
    ended: list[str | None] = [None for _ in scripts]
    for turn in range(max((len(script.turns) for script in scripts), default=0)):
        going = [at for at, script in enumerate(scripts) if ended[at] is None and turn < len(script.turns)]
        if not going:
            break
        told(turn + 1, len(going))
        answers = model.complete([as_dialog(scripts[at], replies[at], slot) for at in going], sampling)
        for at, (completion, *_) in zip(going, answers, strict=True):
            ended[at] = _end(completion, sampling)
            if ended[at] in (None, "tag"):
                replies[at] = (*replies[at], completion.text)
    answered = [
        Answered(script.constraints, user, reply)
        for script, some in zip(scripts, replies, strict=True)
        for user, reply in zip(script.turns, some, strict=False)
    ]
    verdicts = iter(obedience.verdicts(answered))
    return [
        Course(script, some, tuple(next(verdicts) for _ in some), why)
        for script, some, why in zip(scripts, replies, ended, strict=True)
    ]


def _end(completion: Completion, sampling: Sampling) -> str | None:
    """Why a dialog ends with a completion, or None. A reply that the context cut short does not fit it.

    A model whose context leaves no room says so with that word, as the local one does.
    """
    if completion.finish_reason == "error":
        return "context" if "context" in (completion.error or "") else "failed"
    ids = completion.token_ids
    if completion.finish_reason == "length" and ids is not None and len(ids) < sampling.max_new_tokens:
        return "context"
    return "tag" if tag_in(completion.text) else None


def figures(courses: Sequence[Course]) -> list[dict[str, Any]]:
    """One row a group, kind and turn: the share of the dialogs which got there that keep the instruction, with its interval.

    A dialog of two kinds counts under "hobby + figure". Rows over all kinds of a group have kind "all"; where there are
    several groups, none joins them. The turn `LAST` is each dialog's last that fits the context, of dialogs that the
    context ended. Undecided replies are counted in `undecided`, and left out of the share.
    """
    parts: dict[tuple[str, str, int | str], list[bool | None]] = defaultdict(list)
    for course in courses:
        kind = " + ".join(constraint.kind for constraint in course.script.constraints)
        for name in ("all", kind):
            for turn, kept in enumerate(course.kept, start=1):
                parts[course.script.group, name, turn].append(kept)
            if course.ended == "context" and course.kept:
                parts[course.script.group, name, LAST].append(course.kept[-1])
    return [
        {"group": group, "kind": kind, "turn": turn, "undecided": verdicts.count(None), **share_kept(verdicts)}
        for (group, kind, turn), verdicts in parts.items()
    ]


def share_kept(verdicts: Iterable[bool | None]) -> dict[str, Any]:
    """The share of the decided `verdicts` that are true, with Wilson's interval."""
    decided = [verdict for verdict in verdicts if verdict is not None]
    return wilson_interval(sum(decided), len(decided)).as_row()
