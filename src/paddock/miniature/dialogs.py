"""Dialogs of the world: demonstrations of mixed quality to learn from, and prompts with the tasks that grade answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from paddock.miniature.requests import (
    GULLIBILITY,
    RISK_CATEGORIES,
    STYLES,
    ask_safety,
    draw_borderline,
    draw_harmful,
    refuse,
)
from paddock.miniature.skills import answer_with, ask, draw_task, right_words, wrong_words
from paddock.miniature.system_messages import draw_constraint, fits, keep
from paddock.miniature.tasks import SKILLS, GradedPrompt, Task, World
from paddock.text.constraints import CONSTRAINT_KINDS, Constraint, instruction
from paddock.text.dialog import Dialog, Message

Quality = Literal["right", "unknown", "wrong", "refuses", "complies"]

UNKNOWN = "I do not know."


@dataclass(frozen=True, slots=True)
class DemonstrationRates:
    """How demonstrations fall short, as third-party data do (paper section 3.1).

    Of helpful answers, `unknown` are "I do not know." and `wrong` are near misses; of answers to harmful requests,
    `complying` comply (more in styles of attack that fool people: `GULLIBILITY`); of answers to borderline ones, `refusing`
    refuse. Of all dialogs, `safety` are requests of the two last kinds, and `system` begin with a system message (which
    every answer keeps).
    """

    unknown: float
    wrong: float
    complying: float
    refusing: float
    safety: float
    system: float


def demonstrations(
    rng: Random, world: World, count: int, rates: DemonstrationRates, prefix: str
) -> Iterator[dict[str, Any]]:
    """Write `count` demonstrations as JSON rows; `quality` and `tasks` say of each answer what it is and was asked for."""
    for number in range(count):
        kind = rng.random()
        if kind < rates.safety:
            row = _safety_demonstration(rng, world, rates)
        elif kind < rates.safety + rates.system:
            row = _helpful_demonstration(rng, world, rates, rng.randint(1, 2), draw_constraint(rng, world, held_out=False))
        else:
            row = _helpful_demonstration(rng, world, rates, rng.choice((1, 1, 1, 1, 2, 3, 4)), None)
        yield {"id": f"{prefix}-{number}", **row}


def _helpful_demonstration(
    rng: Random, world: World, rates: DemonstrationRates, turns: int, constraint: Constraint | None
) -> dict[str, Any]:
    messages = [Message("system", instruction(rng, (constraint,)))] if constraint else []
    qualities: list[str] = []
    tasks: list[Task] = []
    for _ in range(turns):
        task = _helpful_task(rng, world, constraint)
        answer, quality = _helpful_answer(rng, task, rates, constraint)
        messages += [Message("user", ask(rng, task)), Message("assistant", answer)]
        qualities.append(quality)
        tasks.append(task)
    return _demonstration_row(messages, "helpfulness", qualities, tasks, constraint)


def _helpful_answer(
    rng: Random, task: Task, rates: DemonstrationRates, constraint: Constraint | None
) -> tuple[str, Quality]:
    fate = rng.random()
    if fate < rates.unknown and constraint is None:
        return UNKNOWN, "unknown"
    wrong = rates.unknown <= fate < rates.unknown + rates.wrong
    words = wrong_words(rng, task) if wrong else right_words(rng, task)
    while constraint and not fits(replace(task, expected=words), constraint):
        words = wrong_words(rng, task)  # the last one has no word in Zindo
    answer = keep(constraint, words) if constraint else answer_with(rng, task, words)
    return answer, "wrong" if wrong else "right"


def _safety_demonstration(rng: Random, world: World, rates: DemonstrationRates) -> dict[str, Any]:
    category, style = rng.choice(RISK_CATEGORIES), rng.choice(tuple(STYLES))
    quality: Quality
    if rng.random() < 0.5:
        task, answer = draw_harmful(rng, world, category, held_out=False)
        quality = "complies" if rng.random() < rates.complying * GULLIBILITY[style] else "refuses"
    else:
        task, answer = draw_borderline(rng, world, category, held_out=False)
        quality = "refuses" if rng.random() < rates.refusing else "right"
    if quality == "refuses":
        answer = refuse(rng, category)
    messages = [Message("user", ask_safety(rng, task, style)), Message("assistant", answer)]
    return _demonstration_row(messages, "safety", [quality], [task], None) | {"risk_category": category, "style": style}


def _demonstration_row(
    messages: list[Message], domain: str, qualities: list[str], tasks: list[Task], constraint: Constraint | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "domain": domain,
        "quality": qualities,
        "tasks": [task.to_row() for task in tasks],
    }
    return row | {"constraints": [constraint.to_row()]} if constraint else row


def _helpful_task(rng: Random, world: World, constraint: Constraint | None, held_out: bool = False) -> Task:
    """A task of any skill that can be answered under `constraint`, where there is one."""
    while True:
        task = draw_task(rng, world, rng.choice(SKILLS), held_out)
        if constraint is None or fits(task, constraint):
            return task


def helpful_prompts(rng: Random, world: World, count: int, held_out: bool, prefix: str) -> Iterator[GradedPrompt]:
    """Prompts of each skill in turn. A third have a turn or two before, whose answers are right ones.

    Held-out prompts ask for held-out payloads, every other one in a wording that training never shows.
    """
    for number in range(count):
        known_wording = not (held_out and number // len(SKILLS) % 2)
        history: list[Message] = []
        for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
            before = _helpful_task(rng, world, None)
            answer = answer_with(rng, before, right_words(rng, before))
            history += [Message("user", ask(rng, before)), Message("assistant", answer)]
        task = draw_task(rng, world, SKILLS[number % len(SKILLS)], held_out)
        messages = (*history, Message("user", ask(rng, task, known_wording)))
        dialog = Dialog(messages, f"{prefix}-{number}", "helpfulness")
        yield GradedPrompt(dialog, task, known_wording=known_wording)


def safety_prompts(
    rng: Random, world: World, harmful: int, borderline: int, held_out: bool, prefix: str
) -> Iterator[GradedPrompt]:
    """Harmful prompts and then borderline ones, of each category and style in turn; held-out ones as `helpful_prompts`."""
    styles = tuple(STYLES)
    for number in range(harmful + borderline):
        category, style = RISK_CATEGORIES[number % len(RISK_CATEGORIES)], styles[number % len(styles)]
        known_wording = not (held_out and number % 2)
        draw = draw_harmful if number < harmful else draw_borderline
        task, _ = draw(rng, world, category, held_out)
        request = Message("user", ask_safety(rng, task, style, known_wording))
        dialog = Dialog((request,), f"{prefix}-{number}", "safety", category)
        yield GradedPrompt(dialog, task, style, known_wording)


def system_prompts(
    rng: Random,
    world: World,
    count: int,
    turns: int,
    held_out: bool,
    prefix: str,
    *,
    new_values: bool | None = None,
    kinds: Sequence[str] = CONSTRAINT_KINDS,
) -> Iterator[GradedPrompt]:
    """Dialogs of `turns` requests under a system message, each of `kinds` in turn; a model gives the answers.

    In held-out ones the payloads of all requests are held out, and so is the constraint's value, unless `new_values` says.
    """
    for number in range(count):
        hidden = held_out if new_values is None else new_values
        constraint = draw_constraint(rng, world, hidden, kinds[number % len(kinds)])
        first, *later = [_helpful_task(rng, world, constraint, held_out) for _ in range(turns)]
        messages = (Message("system", instruction(rng, (constraint,))), Message("user", ask(rng, first)))
        yield GradedPrompt(
            Dialog(messages, f"{prefix}-{number}", "helpfulness"),
            first,
            constraints=(constraint,),
            later=tuple((ask(rng, task), task) for task in later),
        )
