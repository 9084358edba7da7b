"""Gather preferences (paper section 3.1): two replies to a prompt, and which of them someone chose, and by how much.

The two replies come from two different variants of a model, each at a temperature drawn by chance. They are written to
`pairs.jsonl` and handed to the annotators, who may be people or a program: this stage knows neither. What comes
back is written in our own rated form to `preferences.jsonl`, and that of held-out prompts to `preferences_held_out.jsonl`.

As in the paper, pairs whose chosen reply is unsafe and whose other reply is safe are left out. Departures: the annotators of
the paper write the prompts themselves, in dialogs that go on; here prompts come from files. Pairs of equal replies, and
replies that are empty, cut short at max_new_tokens, or hold a tag of the chat format, are left out and counted: so a reward
model learns from whole replies alone, each with its end token.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from paddock.backends.local import open_local_model
from paddock.errors import DataError, PaddockError
from paddock.model.vocabulary import load_tokenizer
from paddock.progress import say
from paddock.protocols import Completion, Sampling
from paddock.run_dir import LABELLED, StageDir, atomic_write, hash_of, to_json, write_json_lines
from paddock.settings import StageSettings
from paddock.stages.encoding import HASHES, place_of
from paddock.text.chat_format import tag_in
from paddock.text.comparisons import Comparison, preference_row, read_comparisons
from paddock.text.dialog import DOMAINS, Dialog, Message, Preference, opening_of
from paddock.text.pairs import LABELS, encode_pairs, statistics_of
from paddock.text.readers import OnBadRow, Sources, read_preferences, read_prompts

PAIRS = "pairs.jsonl"
TRAIN, HELD_OUT = "preferences.jsonl", "preferences_held_out.jsonl"
FILES = "files"  # the setting `annotators` where people compare

NO_PAIR = "Where replies are cut short, raise max_new_tokens; where they are equal or empty, look at the model"


@dataclass(frozen=True)
class Annotators:
    """Whoever compares: people, or a program.

    `collect` goes from `pairs.jsonl` to their preferences; a pair may be passed over. Where their noise is known,
    `allowed_accuracy` is what it leaves to a judge without a fault, on pairs that were kept, overall and by rating.
    """

    collect: Callable[[Path], list[Preference]]
    allowed_accuracy: Callable[[Sequence[Preference]], dict[str, float]] | None = None


class PreferencesSettings(StageSettings):
    """Which models reply to which prompts, and who compares."""

    model: str = Field(description="the folder of the model whose replies are compared")
    other_model: str | None = Field(
        None, description="the folder of the second variant, such as the version before; None: model at another temperature"
    )
    names: tuple[str, str] = Field(("model", "other_model"), description="what the rows call the two variants")
    data: Sources = Field(min_length=1, description="prompts; the domain of each decides what it is judged by")
    comparisons: int | None = Field(None, ge=1, description="prompts to take, drawn by the seed; None: all")
    temperatures: tuple[PositiveFloat, ...] = Field(
        (0.7, 1.0, 1.3), min_length=1, description="each reply is sampled at one of them, by chance (paper 3.1: varied)"
    )
    max_new_tokens: int = Field(
        256, ge=1, description="tokens of a reply, at most; pairs with one cut short there are left out"
    )
    held_out_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of the prompts whose pairs are held out, by a hash of how they begin; at least one a domain",
    )
    annotators: str = Field(
        FILES, description="who compares: files, that is people; or the folder of a miniature world, with simulated ones"
    )
    on_bad_row: OnBadRow = Field("error", description="stop at a bad row, or skip and count it")
    seed: int = Field(0, ge=0, description="of prompts, temperatures, replies, and simulated annotators")

    @model_validator(mode="after")
    def _variants_differ(self) -> PreferencesSettings:
        if self.other_model is None and len(set(self.temperatures)) < 2:
            raise ValueError("one model needs two temperatures to make two variants: give other_model, or temperatures")
        return self

    def inputs(self) -> list[str]:
        """The prompts, the models, and the world of simulated annotators."""
        folders = (self.model, self.other_model, None if self.annotators == FILES else self.annotators)
        return [source.path for source in self.data] + [folder for folder in folders if folder]


def plan(settings: PreferencesSettings) -> dict[str, Any]:
    """How many replies would be sampled and compared."""
    prompts = len(_prompts(settings))
    return {"prompts": prompts, "replies": 2 * prompts, "new_tokens_at_most": 2 * prompts * settings.max_new_tokens}


def run(settings: PreferencesSettings, stage_dir: StageDir, annotators: Annotators) -> dict[str, Any]:
    """Sample pairs, have them compared, and write the preferences. Returns the figures of `results.json`.

    Raises whatever `annotators.collect` raises, such as a PaddockError that it waits for people; the pairs stay.
    """
    pairs_file, about = stage_dir.path / PAIRS, stage_dir.data / "pairs.json"
    if not pairs_file.exists():
        pairs, figures = sample_pairs(settings)
        atomic_write(about, to_json(figures))
        write_json_lines(pairs_file, (pair.to_row() for pair in pairs))
    collected = annotators.collect(pairs_file)
    kept = [preference for preference in collected if not prefers_unsafe(preference)]
    if not kept:
        raise DataError(pairs_file, f"of {len(collected):,} labelled pairs none is left to learn from")
    train, held_out = split(kept, settings.held_out_share)
    for name, preferences in ((HELD_OUT, held_out), (TRAIN, train)):
        write_json_lines(stage_dir.path / name, map(preference_row, preferences))
    encoded = list(encode_pairs(load_tokenizer(settings.model), kept))
    say(f"preferences: {len(train):,} to learn from and {len(held_out):,} held out in {stage_dir.path}")
    return {
        "sampled": json.loads(about.read_text()),
        "labelled": len(collected),
        "excluded_unsafe_over_safe": len(collected) - len(kept),
        "train": len(train),
        "held_out": len(held_out),
        "allowed_accuracy": allowed_accuracy(annotators, held_out),
        **statistics_of(np.array([pair.labels for pair in encoded], LABELS), np.array([pair.tokens for pair in encoded])),
    }


def allowed_accuracy(annotators: Annotators, held_out: Sequence[Preference]) -> dict[str, dict[str, float]] | None:
    """For each domain, the accuracy that the annotators' noise leaves to a perfect judge of held-out pairs; None: not known.

    A reward model's accuracy on them, in stage reward, stands beside it.
    """
    if annotators.allowed_accuracy is None:
        return None
    by_domain = {domain: [preference for preference in held_out if preference.domain == domain] for domain in DOMAINS}
    return {domain: annotators.allowed_accuracy(some) for domain, some in by_domain.items() if some}


def sample_pairs(settings: PreferencesSettings) -> tuple[list[Comparison], dict[str, Any]]:
    """Two replies to each prompt, on sides drawn by chance; and how many pairs were left out, by reason."""
    prompts = _prompts(settings)
    draw = Random(f"temperatures {settings.seed}")
    temperatures = [_two_temperatures(settings, draw) for _ in prompts]
    swapped = [draw.random() < 0.5 for _ in prompts]
    sides = [
        _replies(folder, prompts, [pair[side] for pair in temperatures], settings, side)
        for side, folder in enumerate((settings.model, settings.other_model or settings.model))
    ]
    pairs, left_out = [], Counter[str]()
    for place, prompt in enumerate(prompts):
        completions = [sides[side][place] for side in (0, 1)]
        if reason := _problem(completions):
            left_out[reason] += 1
            continue
        names = [_variant(settings, side, temperatures[place][side]) for side in (0, 1)]
        a, b = (1, 0) if swapped[place] else (0, 1)
        pairs.append(Comparison(prompt, completions[a].text, completions[b].text, names[a], names[b]))
    if not pairs:
        raise DataError(settings.data[0].path, f"no prompt got two replies to compare ({dict(left_out)})", mend=NO_PAIR)
    return pairs, {"prompts": len(prompts), "pairs": len(pairs), "left_out": left_out}


def from_file(pairs_file: Path) -> list[Preference]:
    """Preferences of people, through files: what they chose is awaited in `labelled.jsonl`, beside the pairs.

    Rows are in our own rated form (docs/data.md); domain and models are filled in from the pair. Raises PaddockError while
    there is no such file, and DataError for a row that labels no pair.
    """
    pairs = {_key(pair.prompt.messages, pair.reply_a, pair.reply_b): pair for pair in read_comparisons(pairs_file)}
    labelled = pairs_file.with_name(LABELLED)
    if not labelled.exists():
        raise PaddockError(
            f"{len(pairs):,} pairs wait to be compared in {pairs_file}. Put what people chose, as rows with prompt, chosen, "
            f"rejected and rating (docs/preferences.md), into {labelled}, and give the same command again"
        )
    preferences = []
    for preference in read_preferences([labelled]):
        pair = pairs.get(_key(preference.prompt, preference.chosen, preference.rejected))
        if pair is None:
            raise DataError(
                preference.source, f"there is no such pair in {pairs_file}", mend="Copy prompt and replies as is"
            )
        chosen, rejected = pair.model_a, pair.model_b
        if preference.chosen == pair.reply_b:
            chosen, rejected = rejected, chosen
        domain = preference.domain or pair.prompt.domain
        preferences.append(replace(preference, domain=domain, chosen_model=chosen, rejected_model=rejected))
    return preferences


def prefers_unsafe(preference: Preference) -> bool:
    """Whether the chosen reply is unsafe and the other one safe (paper 3.1 leaves such pairs out)."""
    return preference.chosen_safe is False and preference.rejected_safe is True


def split(preferences: Sequence[Preference], share: float) -> tuple[list[Preference], list[Preference]]:
    """Those to learn from, and those held out: about `share` of each domain, and of two conversations or more at least one.

    A reward model of a domain without a held-out pair could not be judged. What is held out so, beyond the share, is the
    conversation with the smallest hash; where another version learns from it, stage reward leaves it out there.
    """
    places = [place_of(opening_of(preference.prompt)) for preference in preferences]
    by_domain: dict[str | None, set[int]] = defaultdict(set)
    for preference, place in zip(preferences, places, strict=True):
        by_domain[preference.domain].add(place)
    held_out = {place for place in places if place < share * HASHES}
    if share:
        held_out |= {min(some) for some in by_domain.values() if len(some) > 1 and not some & held_out}
    sides: tuple[list[Preference], list[Preference]] = ([], [])
    for preference, place in zip(preferences, places, strict=True):
        sides[place in held_out].append(preference)
    return sides


def _prompts(settings: PreferencesSettings) -> list[Dialog]:
    """The prompts to compare replies to, in the order of their files."""
    prompts = list(read_prompts(settings.data, seed=settings.seed, on_bad_row=settings.on_bad_row))
    if settings.comparisons is None or settings.comparisons >= len(prompts):
        return prompts
    chosen = Random(f"prompts {settings.seed}").sample(range(len(prompts)), settings.comparisons)
    return [prompts[place] for place in sorted(chosen)]


def _two_temperatures(settings: PreferencesSettings, draw: Random) -> tuple[float, float]:
    """A temperature for each variant's reply: different ones where the model is the same."""
    if settings.other_model is None:
        first, second = draw.sample(sorted(set(settings.temperatures)), 2)
        return first, second
    return draw.choice(settings.temperatures), draw.choice(settings.temperatures)


def _replies(
    folder: str, prompts: Sequence[Dialog], temperatures: Sequence[float], settings: PreferencesSettings, side: int
) -> list[Completion]:
    """The reply of the model in `folder` to each prompt, at that prompt's temperature."""
    model, replies = open_local_model(folder), {}
    for temperature in sorted(set(temperatures)):
        places = [place for place, its_own in enumerate(temperatures) if its_own == temperature]
        sampling = Sampling(
            temperature=temperature,
            max_new_tokens=settings.max_new_tokens,
            seed=int(hash_of([settings.seed, side, temperature]), 16),
        )
        completions = model.complete([prompts[place] for place in places], sampling)
        replies.update({place: completion for place, (completion,) in zip(places, completions, strict=True)})
    return [replies[place] for place in range(len(prompts))]


def _problem(completions: Iterable[Completion]) -> str | None:
    """Why two replies make no pair, or None."""
    first, second = completions
    if first.error or second.error:
        return "no room for a reply"
    if not first.text or not second.text:
        return "empty reply"
    if "length" in (first.finish_reason, second.finish_reason):
        return "cut short"
    if tag_in(first.text) or tag_in(second.text):
        return "a tag of the chat format"
    return "equal replies" if first.text == second.text else None


def _variant(settings: PreferencesSettings, side: int, temperature: float) -> str:
    name = settings.names[0 if settings.other_model is None else side]
    return f"{name}, temperature {temperature:g}"


def _key(prompt: tuple[Message, ...], *replies: str) -> tuple[tuple[Message, ...], frozenset[str]]:
    return prompt, frozenset(replies)
