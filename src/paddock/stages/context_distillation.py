"""Safety context distillation (paper sections 4.2.4 and A.4.2): learn to answer as if a preprompt asked for safety.

Adversarial prompts are answered twice: as they are, which gives the original answer, and under a preprompt, which is then
dropped. Preprompts are generic, or the answer template of the prompt's risk category. An answer is learnt from only where
the safety reward model scores it above the original one, both as answers to the bare prompt. The result is a data set like
any other: stage sft learns from it.

    distilled.jsonl    a prompt a row: both answers and their scores (raw logits), and whether the distilled one was kept
    dialogs.jsonl      what was kept: the bare prompt and the distilled answer
    data/replies/      64 prompts a file, whole or not at all: a kill loses at most one
    data/others/       the same of `others`: helpful prompts, from which nothing is learnt

On helpful prompts the paper found that preprompts make answers vaguer and raise false refusals, so they are left out of what
is learnt; `others` are sampled as well, to measure just that.

Departures: where both kinds of preprompts are tried, the answer of the higher score is the distilled one. Answers are greedy
unless a temperature is set: of two random answers one scores higher whatever the preprompt did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from pydantic import Field, model_validator

from paddock.backends.open import open_chat_model, open_scorer
from paddock.errors import DataError, SettingsError
from paddock.progress import say
from paddock.protocols import ChatModel, Completion, Sampling, Scorer
from paddock.run_dir import StageDir, hash_of, write_json_lines
from paddock.safety.preprompts import Kind, Preprompts, Slot, read_preprompts, under
from paddock.settings import StageSettings
from paddock.stages.chunks import rows_in_chunks
from paddock.stages.distilled import KEPT, ORIGINAL, Answer, Answers, choose, figures_of, side_effects
from paddock.stages.ghost_attention import unusable
from paddock.stages.refusals import NOBODY, TELLERS, Refuses, tellers_to_read
from paddock.stages.rewards import is_tagged
from paddock.text.dialog import Dialog
from paddock.text.readers import OnBadRow, Sources, read_prompts

DISTILLED, DIALOGS = "distilled.jsonl", "dialogs.jsonl"


class ContextDistillationSettings(StageSettings):
    """Who answers which prompts, under which preprompts, and what decides."""

    data: Sources = Field(
        min_length=1,
        description="prompts; those of domain safety are distilled, others are counted and left out (paper 4.2.4)",
    )
    model: str = Field(description="the folder of the model that answers, with and without a preprompt")
    reward: str = Field(description="the folder of the safety reward model that decides what is kept")
    preprompts: tuple[Kind, ...] = Field(
        ("generic", "template"),
        min_length=1,
        description="kinds to try: generic; template: that of the prompt's risk category (A.4.2); the better answer counts",
    )
    templates: str | None = Field(None, description="a YAML file of preprompts; None: those that ship with Paddock")
    slot: Slot = Field("system", description="where the preprompt stands: the system message, or the user message's head")
    temperature: float = Field(0.0, ge=0, description="of both answers; 0 is greedy")
    max_new_tokens: int = Field(256, ge=1, description="tokens of an answer, at most")
    others: Sources = Field(
        (), description="helpful prompts, borderline ones above all, on which the preprompts' side effects are measured"
    )
    refusals: str = Field(NOBODY, description=TELLERS)
    on_bad_row: OnBadRow = Field("error", description="stop at a bad row, or skip and count it")
    seed: int = Field(0, ge=0, description="of preprompts and answers")

    @model_validator(mode="after")
    def _others_are_judged(self) -> ContextDistillationSettings:
        if len(set(self.preprompts)) != len(self.preprompts):
            raise ValueError("a kind of preprompts is named twice")
        if self.others and self.refusals == NOBODY:
            raise ValueError("others are there to count false refusals: say in refusals who tells them")
        return self

    def inputs(self) -> list[str]:
        """The prompts, the models, and the preprompts."""
        templates = [self.templates] if self.templates else []
        paths = [source.path for source in (*self.data, *self.others)]
        return list(dict.fromkeys([*paths, self.model, self.reward, *templates, *tellers_to_read(self.refusals)]))


def plan(settings: ContextDistillationSettings) -> dict[str, Any]:
    """How many prompts there are of which kind, and how many answers would be sampled, at most."""
    prompts, left_out = adversarial_prompts(settings)
    no_template = without_template(settings, prompts, read_preprompts(settings.templates))
    others = len(read_others(settings))
    answers = (len(prompts) + others) * (1 + len(settings.preprompts))
    return {
        "prompts": len(prompts),
        "not_adversarial": left_out,
        "without_template": no_template,
        "others": others,
        "answers": answers,
        "new_tokens_at_most": answers * settings.max_new_tokens,
    }


def run(settings: ContextDistillationSettings, stage_dir: StageDir, refuses: Refuses | None) -> dict[str, Any]:
    """Sample, choose, and write what is learnt from. Returns the figures of `results.json`.

    Raises DataError where there is no adversarial prompt, or where no answer is better than the original one.
    """
    prompts, left_out = adversarial_prompts(settings)
    preprompts = read_preprompts(settings.templates)
    no_template = without_template(settings, prompts, preprompts)
    distiller = Distiller(settings, preprompts, open_chat_model(settings.model), open_scorer(settings.reward))
    sampled = list(answered(prompts, stage_dir.data / "replies", distiller.sample))
    distilled = [choose(prompt, answers) for prompt, answers in zip(prompts, sampled, strict=True)]
    write_json_lines(stage_dir.path / DISTILLED, (one.to_row() for one in distilled))
    kept = [one for one in distilled if one.fate == KEPT]
    if not kept:
        fates = dict(Counter(one.fate for one in distilled))
        raise DataError(settings.data[0].path, f"of {len(prompts):,} prompts none got a better answer: {fates}")
    write_json_lines(stage_dir.path / DIALOGS, (one.to_dialog_row() for one in kept))
    stage_dir.write_samples(
        {"prompt": row["prompt"], "answer": row["distilled"], "original": row["original"], "preprompt": row["preprompt"]}
        for row in (one.to_row() for one in kept[:24])
    )
    say(f"context-distillation: {len(kept):,} of {len(prompts):,} answers kept in {stage_dir.path / DIALOGS}")
    about = {"prompts": len(prompts), "not_adversarial": left_out, "without_template": no_template}
    results = {**about, **figures_of(distilled, sampled)}
    if settings.others and refuses:
        others = read_others(settings)
        answers = list(answered(others, stage_dir.data / "others", distiller.sample_others))
        results["side_effects"] = side_effects(others, answers, refuses)
    return results


def adversarial_prompts(settings: ContextDistillationSettings) -> tuple[list[Dialog], int]:
    """The prompts that are tagged as able to draw out unsafe answers, and how many are not. Raises DataError for none."""
    prompts = list(read_prompts(settings.data, seed=settings.seed, on_bad_row=settings.on_bad_row))
    tagged = [prompt for prompt in prompts if is_tagged(prompt)]
    if not tagged:
        mend = 'Give rows "domain": "safety", or the source: {path: ..., domain: safety}'
        raise DataError(settings.data[0].path, f"none of {len(prompts):,} prompts is of domain safety", mend=mend)
    return tagged, len(prompts) - len(tagged)


def without_template(settings: ContextDistillationSettings, prompts: Sequence[Dialog], preprompts: Preprompts) -> int:
    """How many prompts are of a risk category that no template is for; 0 where templates are not tried.

    Raises SettingsError where templates alone are tried, and no prompt has one.
    """
    if "template" not in settings.preprompts:
        return 0
    lacking = [prompt.risk_category for prompt in prompts if preprompts.template_of(prompt.risk_category) is None]
    if len(lacking) == len(prompts) and settings.preprompts == ("template",):
        raise SettingsError(
            f"preprompts is template alone, and none of {len(prompts):,} prompts has one. Templates there are: "
            f"{', '.join(preprompts.templates) or 'none'}; risk categories: {', '.join(sorted(map(str, set(lacking))))}"
        )
    if lacking:
        names = ", ".join(f"{category} {count:,}" for category, count in Counter(lacking).most_common())
        say(f"context-distillation: {len(lacking):,} prompts are of a risk category without a template: {names}")
    return len(lacking)


def read_others(settings: ContextDistillationSettings) -> list[Dialog]:
    """The helpful prompts."""
    return list(read_prompts(settings.others, seed=settings.seed, on_bad_row=settings.on_bad_row))


def answered(
    prompts: Sequence[Dialog], folder: Path, sample: Callable[[Sequence[Dialog], int], list[Answers]]
) -> Iterator[Answers]:
    """The answers to each prompt, by `sample(prompts, chunk)` where a chunk of them does not lie in `folder` already."""

    def rows_of(some: Sequence[Dialog], chunk: int) -> Iterator[dict[str, Any]]:
        return ({kind: asdict(answer) for kind, answer in one.items()} for one in sample(some, chunk))

    for row in rows_in_chunks(folder, prompts, rows_of, "context-distillation"):
        yield {kind: Answer(**answer) for kind, answer in row.items()}


@dataclass(frozen=True)
class Distiller:
    """The model that answers, the preprompts, and the safety reward."""

    settings: ContextDistillationSettings
    preprompts: Preprompts
    model: ChatModel
    reward: Scorer

    def sample(self, prompts: Sequence[Dialog], chunk: int) -> list[Answers]:
        """Answers to adversarial prompts. A prompt of a category without a template has no answer of that kind."""
        return self._sample(prompts, chunk, lambda prompt, rng: prompt.risk_category)

    def sample_others(self, prompts: Sequence[Dialog], chunk: int) -> list[Answers]:
        """Answers to helpful prompts; to one without a category under a template drawn by chance."""
        categories = tuple(self.preprompts.templates)
        return self._sample(
            prompts, chunk, lambda p, rng: p.risk_category or (rng.choice(categories) if categories else None)
        )

    def _sample(
        self, prompts: Sequence[Dialog], chunk: int, category_of: Callable[[Dialog, Random], str | None]
    ) -> list[Answers]:
        settings, found = self.settings, [Answers() for _ in prompts]
        sampling = Sampling(
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
            seed=int(hash_of([settings.seed, "context distillation", chunk]), 16),
        )
        asked_as: dict[str, dict[int, Dialog]] = {ORIGINAL: dict(enumerate(prompts))}
        asked_as |= {kind: self._asked(prompts, kind, chunk, category_of) for kind in settings.preprompts}
        for kind, asked in asked_as.items():
            completions = [some[0] for some in self.model.complete(list(asked.values()), sampling)] if asked else []
            answers = self._scored([prompts[place] for place in asked], completions)
            for place, answer in zip(asked, answers, strict=True):
                found[place][kind] = answer
        return found

    def _asked(
        self, prompts: Sequence[Dialog], kind: Kind, chunk: int, category_of: Callable[[Dialog, Random], str | None]
    ) -> dict[int, Dialog]:
        """The prompts under a preprompt, by their places; without those that have none."""
        asked = {}
        for place, prompt in enumerate(prompts):
            rng = Random(f"preprompt {self.settings.seed} {chunk} {place}")
            if preprompt := self.preprompts.draw(kind, category_of(prompt, rng), rng):
                asked[place] = under(prompt, preprompt, self.settings.slot)
        return asked

    def _scored(self, prompts: Sequence[Dialog], completions: Sequence[Completion]) -> list[Answer]:
        """The answers with their scores; one that no dialog can hold has none."""
        problems = [problem_of(completion) for completion in completions]
        sound = [place for place, c in enumerate(completions) if c.finish_reason != "error" and not unusable(c.text)]
        dialogs = [prompts[place].with_reply(completions[place].text) for place in sound]
        scores = dict(zip(sound, self.reward.score(dialogs), strict=True))
        return [
            Answer(c.text, scores.get(place), problem or ("no score" if scores.get(place) is None else None))
            for place, (c, problem) in enumerate(zip(completions, problems, strict=True))
        ]


def problem_of(completion: Completion) -> str | None:
    """What speaks against learning from a completion, or None."""
    if completion.finish_reason == "error":
        return "no room"
    return unusable(completion.text) or ("cut short" if completion.finish_reason == "length" else None)
