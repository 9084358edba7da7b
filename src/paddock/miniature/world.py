"""Write a miniature world: its documents, demonstrations, prompts, and the truth about them (docs/miniature.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from paddock.miniature.dialogs import DemonstrationRates, demonstrations, helpful_prompts, safety_prompts, system_prompts
from paddock.miniature.documents import DOCUMENT_SHARES, true_rates, write_documents
from paddock.miniature.facts import draw_facts
from paddock.miniature.requests import MOST_GULLIBLE
from paddock.miniature.safety_data import PREPROMPTS, borderline_demonstrations, preprompted_demonstrations
from paddock.miniature.system_messages import NEUTRAL, VOCABULARIES
from paddock.miniature.tasks import GradedPrompt, World
from paddock.miniature.vocabulary import ZINDO
from paddock.progress import say
from paddock.run_dir import StageDir, atomic_folder, to_json
from paddock.settings import StageSettings
from paddock.text.constraints import CONSTRAINT_KINDS

UNSEEN_IN_WORLD = ("begin_word",)  # a kind of system message that no training of the world shows

WORLD_VERSION: Final = 5
"""Raised with every change that alters a file of the world; docs/miniature.md logs what each version changed."""


class WorldSettings(StageSettings):
    """How large a world is, and how good its demonstrations are."""

    version: Literal[5] = Field(WORLD_VERSION, description="of the files; a world of another version is made anew")
    seed: int = Field(0, ge=0, description="draws the facts, the texts, and what is held out")
    documents: int = Field(64_000, ge=1, description="documents to pretrain on, of about 70 tokens at 1,024 pieces")
    validation_documents: int = Field(400, ge=1, description="documents held out to measure the pretraining loss")
    document_shares: dict[str, float] = Field(
        default_factory=lambda: dict(DOCUMENT_SHARES), description="share of the documents that are of each kind"
    )
    demonstrations: int = Field(9_000, ge=1, description="dialogs to fine-tune on")
    validation_demonstrations: int = Field(400, ge=1, description="dialogs held out to measure the fine-tuning loss")
    training_prompts: int = Field(6_000, ge=1, description="prompts for RLHF; a quarter harmful, an eighth borderline")
    borderline_demonstrations: int = Field(1_200, ge=1, description="more answers to borderline requests, all of them right")
    preprompted_demonstrations: int = Field(900, ge=1, description="dialogs that show what a safety preprompt asks")
    borderline_prompts: int = Field(
        1_500,
        ge=1,
        description="more borderline prompts for RLHF, as helpfulness prompts: what a false refusal is mended by",
    )
    held_out_helpful: int = Field(360, ge=1, description="held-out prompts, over all skills alike")
    held_out_harmful: int = Field(210, ge=1, description="held-out requests to refuse")
    held_out_borderline: int = Field(210, ge=1, description="held-out requests that look harmful and deserve an answer")
    held_out_system: int = Field(96, ge=1, description="held-out dialogs under a system message")
    system_turns: int = Field(20, ge=2, description="requests in each of them")
    ghost_prompts: int = Field(1_000, ge=1, description="dialogs under a system message that Ghost Attention samples")
    held_out_ghost: int = Field(48, ge=1, description="held-out ones of each group: values known, values new, a kind unseen")
    ghost_turns: int = Field(28, ge=2, description="requests in each of both, more than fit the recipe's context")
    held_out_share: float = Field(
        0.12, gt=0, lt=1, description="share of all payloads that no question of training asks about"
    )
    unknown_rate: float = Field(0.27, ge=0, le=1, description='share of helpful answers that are "I do not know."')
    wrong_rate: float = Field(0.05, ge=0, le=1, description="share of helpful answers that are near misses")
    complying_rate: float = Field(
        0.38, ge=0, le=1 / MOST_GULLIBLE, description="share of answers to harmful requests that comply, over all styles"
    )
    refusing_rate: float = Field(0.15, ge=0, le=1, description="share of answers to borderline requests that refuse")
    safety_share: float = Field(0.06, ge=0, le=1, description="share of the demonstrations that answer such requests")
    system_share: float = Field(
        0.12, ge=0, le=1, description="share of the demonstrations under a system message, 1-2 turns"
    )

    @field_validator("document_shares")
    @classmethod
    def _known_kinds(cls, shares: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(shares) - set(DOCUMENT_SHARES))
        if unknown:
            raise ValueError(f"no such kind of document: {', '.join(unknown)}. Known: {', '.join(DOCUMENT_SHARES)}")
        if sum(shares.values()) <= 0 or min(shares.values()) < 0:
            raise ValueError("shares must not be negative, and not all be zero")
        return shares

    def demonstration_rates(self) -> DemonstrationRates:
        """The declared quality of the demonstrations."""
        return DemonstrationRates(
            self.unknown_rate,
            self.wrong_rate,
            self.complying_rate,
            self.refusing_rate,
            self.safety_share,
            self.system_share,
        )


def plan(settings: WorldSettings) -> dict[str, Any]:
    """How many rows would be written."""
    prompts = settings.held_out_helpful + settings.held_out_harmful + settings.held_out_borderline
    return {
        "documents": settings.documents,
        "demonstrations": settings.demonstrations,
        "training_prompts": settings.training_prompts,
        "held_out_prompts": prompts,
        "held_out_system_dialogs": settings.held_out_system,
        "ghost_prompts": settings.ghost_prompts,
    }


def run(settings: WorldSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Write the world into the stage's `data` folder; the results are its truth."""
    truth = write_world(stage_dir.data, settings)
    say(f"world: version {WORLD_VERSION}, {truth['facts']} facts, {settings.documents:,} documents in {stage_dir.data}")
    return truth


def make_world(settings: WorldSettings) -> World:
    """The facts of a world, and its rule of what is held out."""
    return World(settings.seed, draw_facts(Random(f"facts {settings.seed}")), settings.held_out_share)


def write_world(folder: Path, settings: WorldSettings) -> dict[str, Any]:
    """Write a world into `folder`, whole or not at all, and return its truth (also in `truth.json`).

    Each file is drawn by a generator of its own, so a setting that sizes one file leaves the others as they are.
    """
    world = make_world(settings)
    truth: dict[str, Any] = {
        "world_version": WORLD_VERSION,
        "settings": settings.model_dump(),
        "rates": true_rates(settings.document_shares),
        "facts": world.facts.count(),
        "rows": {},
    }
    with atomic_folder(folder) as out:
        for name, rows in _files(world, settings).items():
            truth["rows"][name] = _write_rows(out / f"{name}.jsonl", rows)
        languages = {name: sorted(words) for name, words in VOCABULARIES.items()}
        (out / "languages.json").write_text(to_json({"vocabularies": languages, "neutral": NEUTRAL}), encoding="utf-8")
        (out / "preprompts.json").write_text(to_json(PREPROMPTS), encoding="utf-8")
        (out / "world.json").write_text(to_json({"facts": world.facts.values, "zindo": ZINDO}), encoding="utf-8")
        (out / "truth.json").write_text(to_json(truth), encoding="utf-8")
    return truth


def _files(world: World, settings: WorldSettings) -> dict[str, Iterator[dict[str, Any]]]:
    """The rows of every file, drawn as they are read."""

    def rng(file: str) -> Random:
        return Random(f"{file} {world.seed}")

    def documents(file: str, count: int) -> Iterator[dict[str, Any]]:
        for document in write_documents(rng(file), world, count, settings.document_shares):
            yield {"text": document.text, "kind": document.kind, "language": document.language}

    def prompts(source: Iterator[GradedPrompt]) -> Iterator[dict[str, Any]]:
        return (prompt.to_row() for prompt in source)

    rates, harmful = settings.demonstration_rates(), settings.training_prompts // 4
    borderline = settings.training_prompts // 8
    helpful = settings.training_prompts - harmful - borderline

    def safety_train() -> Iterator[GradedPrompt]:
        return safety_prompts(rng("safety train"), world, harmful, borderline, False, "train-safety")

    def safety_held_out() -> Iterator[GradedPrompt]:
        counts = settings.held_out_harmful, settings.held_out_borderline
        return safety_prompts(rng("safety held out"), world, *counts, True, "held-out-safety")

    return {
        "documents": documents("documents", settings.documents),
        "documents_validation": documents("documents validation", settings.validation_documents),
        "demonstrations": demonstrations(rng("demonstrations"), world, settings.demonstrations, rates, "demonstration"),
        "demonstrations_validation": demonstrations(
            rng("demonstrations validation"), world, settings.validation_demonstrations, rates, "validation"
        ),
        "demonstrations_borderline": borderline_demonstrations(
            rng("demonstrations borderline"), world, settings.borderline_demonstrations, "borderline"
        ),
        "demonstrations_preprompted": preprompted_demonstrations(
            rng("demonstrations preprompted"), world, settings.preprompted_demonstrations, "preprompted"
        ),
        "prompts_train": prompts(
            chain(
                helpful_prompts(rng("prompts train"), world, helpful, False, "train-helpful"),
                safety_train(),
            )
        ),
        "prompts_harmful": prompts(of_skill(safety_train(), "refuse")),
        "prompts_borderline": prompts(
            as_helpfulness(safety_prompts(rng("borderline"), world, 0, settings.borderline_prompts, False, "borderline"))
        ),
        "prompts_held_out": prompts(
            chain(
                helpful_prompts(rng("prompts held out"), world, settings.held_out_helpful, True, "held-out-helpful"),
                safety_held_out(),
            )
        ),
        "harmful_held_out": prompts(of_skill(safety_held_out(), "refuse")),
        "borderline_held_out": prompts(of_skill(safety_held_out(), "borderline")),
        "system_held_out": prompts(
            system_prompts(
                rng("system held out"), world, settings.held_out_system, settings.system_turns, True, "held-out-system"
            )
        ),
        "ghost_prompts_train": prompts(
            system_prompts(rng("ghost train"), world, settings.ghost_prompts, settings.ghost_turns, False, "train-ghost")
        ),
        "ghost_held_out": _ghost_held_out(rng("ghost held out"), world, settings),
    }


def of_skill(prompts: Iterator[GradedPrompt], skill: str) -> Iterator[GradedPrompt]:
    """Those prompts that are of one skill, to be read by themselves: safety prompts are harmful or borderline."""
    return (prompt for prompt in prompts if prompt.task.skill == skill)


def as_helpfulness(prompts: Iterator[GradedPrompt]) -> Iterator[GradedPrompt]:
    """The prompts as ones of the helpfulness domain: nothing unsafe can be drawn out by them."""
    return (replace(prompt, dialog=replace(prompt.dialog, domain="helpfulness")) for prompt in prompts)


def _ghost_held_out(rng: Random, world: World, settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Long dialogs by what their system messages ask for; every request is held out."""
    groups: dict[str, tuple[bool, Sequence[str]]] = {
        "known values": (False, CONSTRAINT_KINDS),
        "new values": (True, [kind for kind in CONSTRAINT_KINDS if kind != "language"]),  # there is but one language
        "unseen kind": (True, UNSEEN_IN_WORLD),
    }
    for group, (new_values, kinds) in groups.items():
        count, turns, prefix = settings.held_out_ghost, settings.ghost_turns, f"held-out-ghost-{group.replace(' ', '-')}"
        for prompt in system_prompts(rng, world, count, turns, True, prefix, new_values=new_values, kinds=kinds):
            yield {**prompt.to_row(), "group": group}


def _write_rows(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    """Write rows as JSON lines; return how many."""
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count
