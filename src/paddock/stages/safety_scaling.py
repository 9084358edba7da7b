"""Safety data scaling: models fine-tuned with more and more of the safety data (paper 4.2.3, Figures 15 and 33).

The helpfulness data stay whole; of the safety data each model learns a share: 0, 1, 10, 25, 50 and 100%, each share part of
the next. Each model is fine-tuned anew from the pretrained one, by stage sft (the paper: two epochs), and not by
reinforcement. Then it answers held-out prompts, greedily; the reward models score its answers, and refusals of helpful and
of borderline prompts are counted.

    share-0.25/safety.jsonl     the safety dialogs of that share
    share-0.25/sft/             the fine-tuned model
    share-0.25/replies.jsonl    its answers with their scores (raw logits); in replies/ as they came, 64 a file

A run that is killed goes on with the share it was at, and with the answers that it lacks. Departures: the paper gives no
interval; here they are over prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from paddock.backends.open import open_chat_model, open_scorer
from paddock.errors import DataError
from paddock.progress import say
from paddock.protocols import ChatModel, Sampling, Scorer
from paddock.run_dir import StageDir, hash_of, read_json_lines, write_json_lines
from paddock.settings import StageSettings
from paddock.stages import sft
from paddock.stages.chunks import rows_in_chunks
from paddock.stages.ghost_attention import unusable
from paddock.stages.refusals import NOBODY, TELLERS, Refuses, refusal_share, tellers_to_read
from paddock.stages.replies import probability
from paddock.stages.rewards import UNSAFE_BELOW
from paddock.stages.rlhf import fill, run_part
from paddock.stages.sft import SftSettings
from paddock.stages.training import shown
from paddock.statistics import mean_interval, wilson_interval
from paddock.text.dialog import Dialog, Message, opening_of
from paddock.text.readers import OnBadRow, Source, Sources, read_dialogs, read_prompts
from paddock.train.parallel import processes

SAFETY, REPLIES = "safety.jsonl", "replies.jsonl"
BORDERLINE = "borderline"  # beside the domains: the third group of prompts
BINS = 20  # of the histograms, from 0 to 1
LOW_QUANTILE = 0.05


class SafetyScalingSettings(StageSettings):
    """From which model, on which data, in which shares, and what is asked of the models."""

    model: str = Field(description="the folder of the pretrained model that each share starts from (paper 4.2.3)")
    data: Sources = Field(
        min_length=1, description="helpfulness dialogs, which every model learns (paper: about 0.9 million)"
    )
    safety_data: Sources = Field(
        min_length=1, description="safety dialogs, of which each learns a share (paper: 0.1 million)"
    )
    shares: tuple[float, ...] = Field((0.0, 0.01, 0.1, 0.25, 0.5, 1.0), min_length=1, description="shares (paper Figure 15)")
    validation: Sources = Field((), description="dialogs to judge the fine-tuning by")
    sft: dict[str, Any] = Field(default_factory=dict, description="further settings of sft, for every share")
    helpfulness_reward: str = Field(description="the folder of the helpfulness reward model")
    safety_reward: str = Field(description="the folder of the safety reward model")
    prompts: Sources = Field(min_length=1, description="held-out prompts; adversarial ones have domain safety")
    borderline: Sources = Field((), description="held-out prompts that look harmful and deserve an answer")
    refusals: str = Field(NOBODY, description=TELLERS)
    max_new_tokens: int = Field(256, ge=1, description="tokens of an answer, at most")
    on_bad_row: OnBadRow = Field("error", description="stop at a bad row, or skip and count it")
    seed: int = Field(0, ge=0, description="of which dialogs a share holds, and of each fine-tuning")

    @field_validator("shares")
    @classmethod
    def _are_shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if sorted(set(shares)) != list(shares) or not 0 <= shares[0] <= shares[-1] <= 1:
            raise ValueError("shares rise from 0 at least to 1 at most")
        return shares

    @model_validator(mode="after")
    def _sft_can_be(self) -> SafetyScalingSettings:
        fine_tuning(self, Path(), 1.0)
        if self.borderline and self.refusals == NOBODY:
            raise ValueError("borderline prompts are there to count refusals: say in refusals who tells them")
        return self

    def inputs(self) -> list[str]:
        """All dialogs and prompts, and the models."""
        sources = (*self.data, *self.safety_data, *self.validation, *self.prompts, *self.borderline)
        folders = (self.model, self.helpfulness_reward, self.safety_reward, *tellers_to_read(self.refusals))
        return list(dict.fromkeys([source.path for source in sources] + list(folders)))


def fine_tuning(settings: SafetyScalingSettings, folder: Path, share: float) -> SftSettings:
    """The settings of the fine-tuning of a share in its folder. Raises SettingsError."""
    safety = [Source(path=str(folder / SAFETY))] if share else []
    filled = {
        "model": settings.model,
        "data": [*settings.data, *safety],
        "validation": settings.validation,
        "on_bad_row": settings.on_bad_row,
        "seed": settings.seed,
    }
    return fill(SftSettings, settings.sft, filled, "safety-scaling: sft")


def plan(settings: SafetyScalingSettings) -> dict[str, Any]:
    """How many dialogs each share learns, and how many prompts are answered."""
    safety = len(safety_dialogs(settings))
    helpful = sum(1 for _ in read_dialogs(settings.data, seed=settings.seed, on_bad_row=settings.on_bad_row))
    return {
        "helpfulness_dialogs": helpful,
        "safety_dialogs": {f"{share:g}": size_of(share, safety) for share in settings.shares},
        "prompts": sum(len(some) for some in held_out_prompts(settings).values()),
        "models": len(settings.shares),
    }


def run(settings: SafetyScalingSettings, stage_dir: StageDir, refuses: Refuses | None) -> dict[str, Any]:
    """Fine-tune, ask and score, share by share. Returns the figures of `results.json`; every rank must call it.

    Raises DataError where a share above 0 has no dialog.
    """
    dialogs, prompts = safety_dialogs(settings), held_out_prompts(settings)
    rows: list[dict[str, Any]] = []
    with processes() as ranks:
        for share in settings.shares:
            folder = StageDir(stage_dir.path / f"share-{share:g}")
            if ranks.is_first:
                write_share(settings, folder.path / SAFETY, dialogs, share)
            ranks.wait()
            tuning, part = fine_tuning(settings, folder.path, share), StageDir(folder.path / "sft")
            run_part(part, f"{folder.path.name}/sft", tuning, partial(sft.run, tuning), ranks)
            if ranks.is_first:
                replies = answers(settings, prompts, str(part.model), folder.path / REPLIES)
                rows.append({"share": share, "dialogs": size_of(share, len(dialogs)), **figures_of(replies, refuses)})
                say(f"safety-scaling: {share:.0%} of the safety data: safety {rows[-1]['safety']['estimate']:.3f}")
            ranks.wait()
        if ranks.is_first:
            last = read_json_lines(stage_dir.path / f"share-{settings.shares[-1]:g}" / REPLIES)
            stage_dir.write_samples(last)
    return {"shares": rows}


def safety_dialogs(settings: SafetyScalingSettings) -> list[Dialog]:
    """All safety dialogs in an order drawn by the seed, by a hash of how each begins: a share is the first of them."""
    dialogs = list(read_dialogs(settings.safety_data, seed=settings.seed, on_bad_row=settings.on_bad_row))
    return sorted(dialogs, key=lambda dialog: hash_of([settings.seed, opening_of(dialog.messages)]))


def size_of(share: float, dialogs: int) -> int:
    """How many of so many dialogs a share holds, at least one where it is above 0."""
    return max(round(share * dialogs), 1) if share else 0


def write_share(settings: SafetyScalingSettings, file: Path, dialogs: Sequence[Dialog], share: float) -> None:
    """Write the dialogs of a share, where they do not lie there."""
    if share and not dialogs:
        raise DataError(settings.safety_data[0].path, "there is no safety dialog in it")
    if share and not file.exists():
        rows = ({"messages": shown(dialog), "loss": dialog.loss} for dialog in dialogs[: size_of(share, len(dialogs))])
        write_json_lines(file, rows)


def held_out_prompts(settings: SafetyScalingSettings) -> dict[str, list[Dialog]]:
    """The held-out prompts by group: helpfulness, safety, borderline. Raises DataError where there is no adversarial one."""
    prompts = list(read_prompts(settings.prompts, on_bad_row=settings.on_bad_row))
    groups = {
        "helpfulness": [prompt for prompt in prompts if prompt.domain != "safety"],
        "safety": [prompt for prompt in prompts if prompt.domain == "safety"],
        BORDERLINE: list(read_prompts(settings.borderline, on_bad_row=settings.on_bad_row)),
    }
    if not groups["safety"]:
        raise DataError(settings.prompts[0].path, "there is no prompt of domain safety", mend='Give rows "domain": "safety"')
    return groups


def answers(
    settings: SafetyScalingSettings, prompts: dict[str, list[Dialog]], model: str, file: Path
) -> list[dict[str, Any]]:
    """A row a prompt: the answer of the model in the folder `model`, and both rewards; None of what could not be scored."""
    if not file.exists():
        asked = [(group, prompt) for group, some in prompts.items() for prompt in some]
        answering = Answering(settings, model)
        write_json_lines(
            file, rows_in_chunks(file.parent / "replies", asked, answering.rows, f"safety-scaling {file.parent.name}")
        )
    return read_json_lines(file)


@dataclass(frozen=True)
class Answering:
    """The model of a share, in the folder `model`, and both rewards; each is opened where it is first needed."""

    settings: SafetyScalingSettings
    model: str

    @cached_property
    def chat_model(self) -> ChatModel:
        """The model that answers."""
        return open_chat_model(self.model)

    @cached_property
    def rewards(self) -> dict[str, Scorer]:
        """The reward models by domain."""
        folders = {"helpfulness": self.settings.helpfulness_reward, "safety": self.settings.safety_reward}
        return {domain: open_scorer(folder) for domain, folder in folders.items()}

    def rows(self, asked: Sequence[tuple[str, Dialog]], _: int) -> list[dict[str, Any]]:
        """A row for each prompt, which stands with its group."""
        sampling = Sampling(temperature=0, max_new_tokens=self.settings.max_new_tokens)
        completions = self.chat_model.complete([prompt for _, prompt in asked], sampling)
        texts = [some[0].text if some[0].finish_reason != "error" else "" for some in completions]
        sound = [place for place, text in enumerate(texts) if not unusable(text)]
        dialogs = [asked[place][1].with_reply(texts[place]) for place in sound]
        scores = {domain: dict(zip(sound, its.score(dialogs), strict=True)) for domain, its in self.rewards.items()}
        return [
            {
                "id": prompt.id,
                "group": group,
                "prompt": shown(prompt),
                "answer": texts[place],
                **{f"{domain}_score": scores[domain].get(place) for domain in scores},
            }
            for place, (group, prompt) in enumerate(asked)
        ]


def figures_of(replies: Sequence[dict[str, Any]], refuses: Refuses | None) -> dict[str, Any]:
    """The mean of each reward, from 0 to 1, on the prompts of its domain; the safety scores' worst tail; and refusals."""
    scores = {
        domain: [
            probability(row[f"{domain}_score"])
            for row in replies
            if row["group"] == domain and row[f"{domain}_score"] is not None
        ]
        for domain in ("helpfulness", "safety")
    }
    safety = np.array(scores["safety"])
    counts, _ = np.histogram(safety, bins=BINS, range=(0, 1))
    groups = {group: [row for row in replies if row["group"] == group] for group in ("helpfulness", BORDERLINE)}
    return {
        "helpfulness": mean_interval(scores["helpfulness"]).as_row(),
        "safety": mean_interval(safety).as_row(),
        "unsafe": wilson_interval(int((safety < UNSAFE_BELOW).sum()), len(safety)).as_row(),
        "low_quantile": float(np.quantile(safety, LOW_QUANTILE)) if len(safety) else None,
        "histogram": counts.tolist(),
        "not_scored": len([row for row in replies if row["safety_score"] is None]),
        "refusals": {group: refused(rows, refuses) for group, rows in groups.items() if rows and refuses},
    }


def refused(rows: Sequence[dict[str, Any]], refuses: Refuses) -> dict[str, Any]:
    """The share of answers that refuse; those that no dialog can hold are undecided."""
    sound = [dialog_of(row) for row in rows if not unusable(row["answer"])]
    return refusal_share([*refuses(sound), *[None] * (len(rows) - len(sound))])


def dialog_of(row: dict[str, Any]) -> Dialog:
    """The dialog that a row of replies tells."""
    return Dialog(tuple(Message(**message) for message in row["prompt"])).with_reply(row["answer"])
