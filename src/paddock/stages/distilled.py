"""Answers with and without a preprompt: which one is learnt from, and the figures of all of them (paper Figure 16)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from paddock.stages.ghost_attention import unusable
from paddock.stages.refusals import Refuses, refusal_share
from paddock.stages.replies import probability
from paddock.statistics import mean_interval, wilson_interval
from paddock.text.dialog import Dialog

ORIGINAL = "original"
KEPT = "kept"  # the fate of a distilled answer that is learnt from
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 10  # of the original's score, from 0 to 1


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, its score (a raw logit) as one to the bare prompt, and what speaks against it, if anything."""

    text: str
    score: float | None
    problem: str | None


Answers = dict[str, Answer]
"""By what an answer was sampled under: nothing (`ORIGINAL`), or a kind of preprompt."""


@dataclass(frozen=True, slots=True)
class Distilled:
    """A prompt with its answers, and what became of the distilled one, that of `kind`; None: none can be learnt from."""

    prompt: Dialog
    answers: Answers
    kind: str | None
    fate: str

    def to_row(self) -> dict[str, Any]:
        """A line of `distilled.jsonl`."""
        original, distilled = self.answers[ORIGINAL], self.answers[self.kind] if self.kind else None
        return {
            "id": self.prompt.id,
            "risk_category": self.prompt.risk_category,
            "prompt": [asdict(message) for message in self.prompt.messages],
            "original": original.text,
            "original_score": original.score,
            "preprompt": self.kind,
            "distilled": distilled.text if distilled else None,
            "distilled_score": distilled.score if distilled else None,
            "kept": self.fate == KEPT,
            "fate": self.fate,
        }

    def to_dialog_row(self) -> dict[str, Any]:
        """A line of `dialogs.jsonl`: the bare prompt with the distilled answer."""
        assert self.kind, "only what has an answer is learnt from"
        return self.prompt.with_reply(self.answers[self.kind].text).to_row()


def choose(prompt: Dialog, answers: Answers) -> Distilled:
    """The distilled answer of the highest score, and whether it is kept: it scores above the original (paper 4.2.4)."""
    original = answers[ORIGINAL].score
    tried = {kind: answer for kind, answer in answers.items() if kind != ORIGINAL}
    if original is None:
        return Distilled(prompt, answers, None, f"original: {answers[ORIGINAL].problem}")
    sound = {kind: answer.score for kind, answer in tried.items() if answer.problem is None and answer.score is not None}
    if not sound:
        problems = sorted({str(answer.problem) for answer in tried.values()}) or ["no template"]
        return Distilled(prompt, answers, None, ", ".join(problems))
    best = max(sound, key=lambda kind: sound[kind])
    return Distilled(prompt, answers, best, KEPT if sound[best] > original else "not above the original")


def figures_of(distilled: Sequence[Distilled], sampled: Sequence[Answers]) -> dict[str, Any]:
    """Counts, and Figure 16: rewards of each kind of answer, and what is kept by the original's score.

    Scores are on the sigmoid's scale. Cut-short answers have a reward too, and are not learnt from.
    """
    return {
        "kept": sum(one.fate == KEPT for one in distilled),
        "fates": dict(Counter(one.fate for one in distilled)),
        "kept_by_preprompt": dict(Counter(one.kind for one in distilled if one.fate == KEPT)),
        "rewards": list(reward_rows(sampled)),
        "kept_by_score": list(kept_by_score(distilled)),
    }


def reward_rows(sampled: Sequence[Answers]) -> Iterator[dict[str, Any]]:
    """For each kind of answer, the mean reward and its quantiles, and how many answers have no score (Figure 16a)."""
    for kind in dict.fromkeys(kind for answers in sampled for kind in answers):
        scores = [answers[kind].score for answers in sampled if kind in answers]
        known = [probability(score) for score in scores if score is not None]
        quantiles = dict(zip(map(str, QUANTILES), np.quantile(known, QUANTILES).tolist(), strict=True)) if known else {}
        yield {"answer": kind, **mean_interval(known).as_row(), "no_score": len(scores) - len(known), "quantiles": quantiles}


def kept_by_score(distilled: Sequence[Distilled]) -> Iterator[dict[str, Any]]:
    """By the original's score: prompts, the share kept, and the mean gain of the distilled answer (Figure 16b)."""
    binned: dict[int, list[tuple[bool, float]]] = {}
    for one in distilled:
        if one.kind is None:
            continue
        original, new = (probability(one.answers[kind].score or 0.0) for kind in (ORIGINAL, one.kind))
        binned.setdefault(min(int(original * BINS), BINS - 1), []).append((one.fate == KEPT, new - original))
    for place, some in sorted(binned.items()):
        kept = wilson_interval(sum(is_kept for is_kept, _ in some), len(some))
        gain = mean_interval([gain for _, gain in some])
        yield {"from": place / BINS, "to": (place + 1) / BINS, "kept": kept.as_row(), "gain": gain.as_row()}


def side_effects(prompts: Sequence[Dialog], sampled: Sequence[Answers], refuses: Refuses) -> list[dict[str, Any]]:
    """For each kind of answer to helpful prompts, the share that refuses; failed answers are undecided."""
    rows = []
    for kind in dict.fromkeys(kind for answers in sampled for kind in answers):
        asked = [(prompt, answers[kind]) for prompt, answers in zip(prompts, sampled, strict=True) if kind in answers]
        sound = [(prompt, answer) for prompt, answer in asked if not unusable(answer.text)]
        verdicts = refuses([prompt.with_reply(answer.text) for prompt, answer in sound])
        rows.append({"answer": kind, **refusal_share([*verdicts, *[None] * (len(asked) - len(sound))])})
    return rows
