"""Reinforcement learning: how PPO went, and the truth beside the reward that it learnt from.

The rewards are a proxy. Where a stage evaluate-world has graded what the policy replied at each evaluation, the truth is
drawn beside them: a proxy that rises while the truth falls is over-optimised (Goodhart's law; Gao et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from paddock.report.blocks import Figure, Figures, Prose, Row, Section, Table
from paddock.report.drawings import Line, line_figure
from paddock.report.rewards import score_of
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import finite, interval_cell, number, sentence, words

BEFORE = "policy: before PPO"
HELD_OUT = tuple(f"held_out_{name}" for name in ("reward", "helpfulness", "safety", "unseen", "tokens", "kl"))
TRAINING = (  # a drawing each: title, unit, (split, metric, label) of its lines, whether they are shares, what it shows
    (
        "Reward",
        "standard deviations",
        (
            ("held_out", "reward", "held out"),
            ("train", "reward", "training"),
            ("held_out", "unseen", "unseen model, held out"),
        ),
        False,
        "The mean of R_c, each model's scores by their own mean and deviation, before whitening.",
    ),
    (
        "KL",
        "nats a reply",
        (("train", "kl", "k1 estimate"), ("train", "kl_k3", "k3 estimate")),
        False,
        "From the policy before PPO.",
    ),
    ("Entropy", "nats a token", (("train", "entropy", "entropy"),), False, "Of the policy, at the sampling temperature."),
    (
        "Length",
        "tokens a reply",
        (("held_out", "reply_tokens", "held out"), ("train", "reply_tokens", "training")),
        False,
        "A reward that pays for length makes it rise.",
    ),
    (
        "Clipping",
        "share of tokens",
        (("train", "clip_share", "clipped"),),
        True,
        "Tokens whose ratio left the clip range.",
    ),
)
TRUTHS = ("true_helpfulness", "violations", "false_refusals")


def section(run: Run) -> Section | None:
    """Every stage of PPO, and what truth there is beside it; None where there is neither."""
    blocks = [block for place, stage in enumerate(run.stages) for block in _blocks(stage, f"ppo{place}")]
    return Section("reinforcement", "Reinforcement learning", tuple(blocks)) if blocks else None


def _blocks(stage: StageRecord, name: str) -> Iterator[Prose | Table | Figures]:
    if stage.kind == "ppo" and stage.metrics:
        if stage.results.get("scores"):
            yield _before_and_after(stage)
        if figures := tuple(_training(stage, name)):
            yield Figures(figures)
    if curve := stage.results.get("curve") if stage.kind == "evaluate-world" else None:
        yield Prose(
            f"{stage.name}: the replies to held-out prompts at each evaluation, graded against the truth, which neither the "
            "policy nor the reward models know. A reward that rises while the truth falls is over-optimised."
        )
        yield Figures(tuple(_truth(stage.name, curve, name)))


def _before_and_after(stage: StageRecord) -> Table:
    """The held-out scores before PPO, and those of the weights that were kept."""
    rows = tuple(
        Row((sentence(metric), *(interval_cell(row, number) for row in (score_of(stage.results, metric, BEFORE), after))))
        for metric in HELD_OUT
        if (after := score_of(stage.results, metric))
    )
    kept = number(stage.results.get("kept_iteration"))
    caption = (
        f"{stage.name}: means over held-out prompts. Reward is what PPO raises; unseen is a reward model "
        "that it never learns from."
    )
    return Table(("", "before", f"after {kept} iterations"), rows, caption)


def _training(stage: StageRecord, name: str) -> Iterator[Figure]:
    for place, (title, unit, sources, shares, caption) in enumerate(TRAINING):
        lines = [_line(stage.metrics, *source) for source in sources]
        lines = [line for line in lines if line.x]
        if lines:
            drawing = line_figure(f"{name}-{place}", lines, "iteration", unit, shares=shares)
            yield Figure(drawing, f"{title} · {stage.name}", caption, f"{title} by iteration, {unit}. {caption}")


def _line(rows: Sequence[dict[str, Any]], split: str, metric: str, label: str) -> Line:
    """A metric by step; steps at which it is not known are left out."""
    found = [row for row in rows if row.get("split") == split and finite(row.get(metric)) is not None]
    return Line(label, [row["step"] for row in found], [row[metric] for row in found], dots=split == "held_out")


def _truth(title: str, curve: Sequence[dict[str, Any]], name: str) -> Iterator[Figure]:
    """The truth by iteration, and by the reward."""
    truths = [
        (words(key), key) for key in TRUTHS if all(finite(row.get(key, {}).get("estimate")) is not None for row in curve)
    ]
    for axis, label, suffix in (("step", "iteration", "steps"), ("reward", "held-out reward, standard deviations", "proxy")):
        lines = [
            Line(
                truth,
                [row[axis] for row in curve],
                [row[key]["estimate"] for row in curve],
                [(row[key]["lower"], row[key]["upper"]) for row in curve],
                dots=True,
            )
            for truth, key in truths
        ]
        by = "iteration" if axis == "step" else "the reward"
        ends = None if axis == "step" else ("before", f"step {curve[-1]['step']:,}")
        caption = f"By {by}; bands are 95% intervals."
        drawing = line_figure(f"{name}-{suffix}", lines, label, "share of prompts", shares=True, ends=ends)
        yield Figure(drawing, f"Truth by {by} · {title}", caption, f"{', '.join(truth for truth, _ in truths)} by {by}.")
