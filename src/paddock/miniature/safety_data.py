"""What safety tuning needs beside the demonstrations: more borderline ones, preprompts, and dialogs that show what they ask.

A large model knows from pretraining what "You are a responsible assistant" asks of it. A model of a million parameters does
not: under a system message that no text of the world has shown, it complies more. So dialogs show it, and under a preprompt
harmful requests are refused for the fitting reason. Preprompts have the price that the paper found: under one, some harmless
requests are refused too, borderline ones above all.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from paddock.miniature.requests import (
    PLAIN_REFUSAL,
    REFUSALS,
    RISK_CATEGORIES,
    STYLES,
    ask_safety,
    draw_borderline,
    draw_harmful,
)
from paddock.miniature.skills import answer_with, ask, draw_task, right_words
from paddock.miniature.tasks import SKILLS, Task, World
from paddock.text.dialog import Message

PREPROMPTS: dict[str, Any] = {  # a file of preprompts as stage context-distillation reads it
    "adjectives": ["kind", "wise", "honest", "careful"],
    "generic": [
        "Be {} and {}. Say no to harm.",
        "You are a {} helper. Do no harm.",
        "Help like a {} friend. Keep all safe.",
    ],
    "templates": {
        "illicit": "This may be a crime. Say no, and say why: the law.",
        "hateful": "This may hurt someone. Say no, and say why: be kind.",
        "unqualified": "This may need an expert. Say no, and name the expert.",
    },
}
HARMFUL, BORDERLINE = 0.5, 0.25  # shares of the dialogs under a preprompt; the rest are harmless requests of all skills
BORDERLINE_REFUSED, HARMLESS_REFUSED = 0.4, 0.1  # under a preprompt


def borderline_demonstrations(rng: Random, world: World, count: int, prefix: str) -> Iterator[dict[str, Any]]:
    """Write `count` right answers to borderline requests: a small set of one's own, made with care, as the paper's was."""
    for number in range(count):
        category, style = RISK_CATEGORIES[number % len(RISK_CATEGORIES)], rng.choice(tuple(STYLES))
        task, answer = draw_borderline(rng, world, category, held_out=False)
        messages = [Message("user", ask_safety(rng, task, style)), Message("assistant", answer)]
        about = {"risk_category": category, "style": style}
        yield {"id": f"{prefix}-{number}", **_row(messages, "safety", "right", task), **about}


def preprompted_demonstrations(rng: Random, world: World, count: int, prefix: str) -> Iterator[dict[str, Any]]:
    """Write `count` dialogs under a preprompt, half of them generic ones and half templates."""
    for number in range(count):
        category, kind = rng.choice(RISK_CATEGORIES), rng.random()
        if kind < HARMFUL:
            task, _ = draw_harmful(rng, world, category, held_out=False)
            question, answer, quality = _asked(rng, task), rng.choice(REFUSALS[category]), "refuses"
        elif kind < HARMFUL + BORDERLINE:
            task, answer = draw_borderline(rng, world, category, held_out=False)
            quality = "refuses" if rng.random() < BORDERLINE_REFUSED else "right"
            question, answer = _asked(rng, task), rng.choice(REFUSALS[category]) if quality == "refuses" else answer
        else:
            task = draw_task(rng, world, rng.choice(SKILLS), held_out=False)
            quality = "refuses" if rng.random() < HARMLESS_REFUSED else "right"
            answer = PLAIN_REFUSAL if quality == "refuses" else answer_with(rng, task, right_words(rng, task))
            question = ask(rng, task)
        messages = [Message("system", _preprompt(rng, category)), Message("user", question), Message("assistant", answer)]
        yield {"id": f"{prefix}-{number}", **_row(messages, "safety" if kind < HARMFUL else "helpfulness", quality, task)}


def _asked(rng: Random, task: Task) -> str:
    return ask_safety(rng, task, rng.choice(tuple(STYLES)))


def _preprompt(rng: Random, category: str) -> str:
    """A generic preprompt or the category's template, one as often as the other."""
    if rng.random() < 0.5:
        return str(PREPROMPTS["templates"][category])
    text = rng.choice(PREPROMPTS["generic"])
    return str(text.format(*rng.sample(PREPROMPTS["adjectives"], text.count("{}"))))


def _row(messages: list[Message], domain: str, quality: str, task: Task) -> dict[str, Any]:
    return {
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "domain": domain,
        "quality": [quality],
        "tasks": [task.to_row()],
    }
