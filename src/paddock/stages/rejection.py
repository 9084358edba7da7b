"""Rejection sampling fine-tuning (paper sections 3.2.2 and 4): a model learns from the best of its own replies.

The policy samples K replies to each prompt, the newest reward models score them, the best one is kept, and a base checkpoint
is fine-tuned on what was kept, as on demonstrations (stage sft). Best is what R_c ranks highest, the reward of PPO; replies
that the safety model gives less than 0.15 stand behind all others. The K replies share one reading of their prompt. The
temperature must be tuned anew for every version: here each of `temperatures` is tried on a share of the prompts, and the one
whose best of K has the highest mean reward is taken for all.

Where a reward model cannot check an answer, the best of K by reward alone may be worse than a sample. With `kl_coef` a
reply's own log-probability counts beside its reward, as the divergence does in PPO (`ScoredReply.rank`); Jinnai et al. 2024
call it regularised best of N.

The best of all versions so far may be kept (`earlier`), since the paper found that a model which learns from its newest
samples alone forgets. Reward models change from version to version: so earlier replies are scored again, by the ids that
were sampled. The fine-tuning itself encodes a reply's text again, which may give other ids for the same text; that is what
the model will meet as history in a dialog.

    best.jsonl        this version's best reply to each prompt, with its ids and rewards: `earlier` of later versions
    selected.jsonl    the best of all versions, less what is below min_reward: what is learnt from

Departures: the paper gives neither K (its curves go to 100) nor how the two rewards are joined for ranking; it samples with
its largest model alone, and so may you: `base` need not be of the policy's size.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat

from paddock.errors import DataError
from paddock.model.checkpoint import read_config
from paddock.model.size import count_parameters
from paddock.progress import say
from paddock.run_dir import StageDir, atomic_write, read_json_lines, to_json, write_json_lines
from paddock.stages import sft
from paddock.stages.chunks import PROMPTS_A_CHUNK
from paddock.stages.replies import (
    ReplyStore,
    Sampler,
    ScoredReply,
    Scores,
    best_of,
    chunks_of,
    probability,
    usable,
)
from paddock.stages.reply_figures import ReplyFigures, curve, first_n
from paddock.stages.rewards import refuse_shorter_context, shared_tokenizer
from paddock.stages.sft import SftSettings
from paddock.statistics import mean_interval
from paddock.text.dialog import Dialog, Message
from paddock.text.packing import epoch_order
from paddock.text.readers import Source, Sources, read_prompts
from paddock.train.parallel import Ranks, processes

BEST, SELECTED, FIGURES = "best.jsonl", "selected.jsonl", "selection.json"


class RejectionSettings(SftSettings):
    """Which policy replies to which prompts, what is kept, and how the base checkpoint is fine-tuned on it."""

    data: Sources = Field(min_length=1, description="prompts; those of domain safety are ranked by safety alone")
    model: str = Field(description="the folder of the policy that samples")
    base: str = Field(description="the folder of the checkpoint to fine-tune (paper 4: each version starts from it)")
    helpfulness_reward: str = Field(description="the folder of the helpfulness reward model")
    safety_reward: str | None = Field(None, description="the folder of the safety reward model; None: helpfulness alone")
    replies: int = Field(
        20,
        ge=2,
        description="K, replies sampled to each prompt (paper Figures 7 and 8: 10 to 100); one has nothing to be best of",
    )
    temperatures: tuple[PositiveFloat, ...] = Field(
        (0.8, 1.0, 1.2, 1.4), min_length=1, description="temperatures to choose from (paper Figure 8: best at 1.2 to 1.3)"
    )
    sweep_share: float = Field(0.1, gt=0, le=1, description="share of the prompts on which they are tried")
    max_new_tokens: int = Field(256, ge=1, description="tokens of a reply, at most")
    earlier: tuple[str, ...] = Field((), description="best.jsonl of earlier versions: the best of all is learnt from")
    version: int = Field(1, ge=1, description="number of this version, kept with each reply")
    kl_coef: float = Field(
        0.0,
        ge=0,
        description="what a nat of a reply's log-probability weighs beside its reward; 0: the reward alone (paper)",
    )
    min_reward: float | None = Field(
        None,
        ge=0,
        le=1,
        description="sigmoid of the reward; a best reply below it, or an unsafe one, is not learnt from; None: all are",
    )
    mixed: Sources = Field((), description="dialogs to learn from beside the replies: Ghost Attention's (paper 3.3)")
    overlong: Literal["refuse", "truncate"] = Field(
        "truncate", description="stop at a dialog longer than context, or truncate and count it"
    )

    def inputs(self) -> list[str]:
        """The prompts, the models, what earlier versions kept, and what is learnt from beside the replies."""
        folders = (self.model, self.base, self.helpfulness_reward, self.safety_reward, *self.earlier)
        sources = (*self.data, *self.validation, *self.mixed)
        return list(dict.fromkeys([source.path for source in sources] + [folder for folder in folders if folder]))

    def fine_tuning(self, selected: Path) -> SftSettings:
        """The same settings, as those of fine-tuning the base checkpoint on the selected replies."""
        shared = {name: getattr(self, name) for name in SftSettings.model_fields}
        return SftSettings(**{**shared, "model": self.base, "data": (Source(path=str(selected)), *self.mixed)})


def plan(settings: RejectionSettings) -> dict[str, Any]:
    """How many replies would be sampled, at most, for the sweep and for all prompts."""
    prompts = len(_prompts(settings))
    swept = min(math.ceil(settings.sweep_share * chunks_of(prompts)) * PROMPTS_A_CHUNK, prompts)
    tried = swept * (len(settings.temperatures) - 1)
    replies = (prompts + tried) * settings.replies
    return {
        "prompts": prompts,
        "replies": replies,
        "new_tokens_at_most": replies * settings.max_new_tokens,
        "parameters": count_parameters(read_config(settings.model))["total"],
        "fine_tuned_parameters": count_parameters(read_config(settings.base))["total"],
    }


def run(settings: RejectionSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Sample, rank and keep; then fine-tune the base checkpoint. Returns the figures of `results.json`."""
    with processes() as ranks:
        figures_file = stage_dir.data / FIGURES
        if not ranks.from_first(figures_file.exists()):
            figures = select(settings, stage_dir, ranks)
            if ranks.is_first:
                atomic_write(figures_file, to_json(figures))
        tuned = sft.run(settings.fine_tuning(stage_dir.path / SELECTED), stage_dir)
        return {**json.loads(figures_file.read_text()), **tuned}


def select(settings: RejectionSettings, stage_dir: StageDir, ranks: Ranks) -> dict[str, Any]:
    """Write `best.jsonl` and `selected.jsonl`. Returns what was found on the way. Every rank must call it.

    Replies are read a chunk at a time; of each prompt the best one stays in memory, and of the others some numbers. Raises
    SettingsError, before any work, where a reward model has another tokenizer or a shorter context than the policy.
    """
    shared_tokenizer(settings.model, settings.helpfulness_reward, settings.safety_reward)
    refuse_shorter_context(settings.model, settings.helpfulness_reward, settings.safety_reward)
    store = ReplyStore(
        stage_dir.data / "replies", _prompts(settings), settings.replies, settings.max_new_tokens, settings.seed
    )
    sampler = Sampler.open(settings.model, settings.helpfulness_reward, settings.safety_reward)
    temperature, sweep = choose_temperature(settings, store, sampler, ranks)
    store.fill(sampler, temperature, store.chunks, ranks)
    if not ranks.is_first:
        return {}
    best, figures = [], ReplyFigures()
    for prompt, replies in zip(store.prompts, store.read_all(temperature, store.chunks), strict=True):
        answers = usable(replies)
        figures.add(replies, answers)
        if answers:
            best.append(Kept(prompt, best_of(answers, settings.kl_coef), settings.version))
    pool = [*best, *rescored(read_earlier(settings.earlier), sampler)]
    selected = best_of_versions(pool, settings.min_reward, settings.kl_coef)
    if not selected:
        raise DataError(settings.data[0].path, f"of {len(store.prompts):,} prompts none got a reply to learn from")
    write_json_lines(stage_dir.path / BEST, (kept.to_row() for kept in best))
    write_json_lines(stage_dir.path / SELECTED, (kept.to_row() for kept in selected))
    say(f"rejection: {len(selected):,} replies selected in {stage_dir.path / SELECTED}")
    return {
        "temperature": temperature,
        "sweep": sweep,
        **figures.results(sampler.rewards),
        "prompts": len(store.prompts),
        "prompts_without_a_reply": len(store.prompts) - len(best),
        "best_cut_short": sum(not kept.reply.ended for kept in best),
        "best_unsafe": sum(not kept.reply.scores.is_safe for kept in best),
        "selected": len(selected),
        "selected_by_version": dict(sorted(Counter(str(kept.version) for kept in selected).items())),
        "selected_reward": mean_interval([probability(kept.reply.scores.reward) for kept in selected]).as_row(),
    }


def choose_temperature(
    settings: RejectionSettings, store: ReplyStore, sampler: Sampler, ranks: Ranks
) -> tuple[float, list[dict[str, Any]]]:
    """The temperature whose best of K has the highest mean reward on a share of the prompts, and all their curves.

    The share is rounded up to whole chunks. The chosen one's replies to it are not sampled again.
    """
    if len(settings.temperatures) == 1:
        return settings.temperatures[0], []
    chunks = math.ceil(settings.sweep_share * store.chunks)
    sweep, best = [], {}
    for temperature in settings.temperatures:
        store.fill(sampler, temperature, chunks, ranks)
        answered = filter(None, map(usable, store.read_all(temperature, chunks)))
        points = curve([first_n(answers) for answers in answered])
        sweep += [{"temperature": temperature, **point} for point in points]
        best[temperature] = points[-1]["max"]["estimate"] if points else -math.inf
    chosen = max(best, key=lambda temperature: best[temperature])
    if ranks.is_first:
        say("rejection: best of K by temperature: " + ", ".join(f"{t:g} {reward:.3f}" for t, reward in best.items()))
    return chosen, sweep


@dataclass(frozen=True, slots=True)
class Kept:
    """A prompt, its best reply, and the version whose policy wrote it."""

    prompt: Dialog
    reply: ScoredReply
    version: int

    def to_row(self) -> dict[str, Any]:
        """A line of `best.jsonl` and `selected.jsonl`: a dialog to those who learn, with all that later versions need."""
        dialog = self.prompt.with_reply(self.reply.text)
        return {**dialog.to_row(), "version": self.version, "reply": asdict(self.reply)}

    @staticmethod
    def from_row(row: dict[str, Any]) -> Kept:
        """Read what `to_row` wrote."""
        prompt = Dialog.from_row({**row, "messages": row["messages"][:-1]})
        return Kept(prompt, ScoredReply.from_row(row["reply"]), row["version"])


def read_earlier(files: Sequence[str]) -> list[Kept]:
    """What earlier versions kept. Raises DataError for a row that is not of their making."""
    kept = []
    for file in files:
        for line, row in enumerate(read_json_lines(Path(file)), start=1):
            try:
                kept.append(Kept.from_row(row))
            except (KeyError, TypeError) as error:
                mend = "Give best.jsonl files of earlier versions"
                raise DataError(file, f"no best reply of a version ({error!r})", line=line, mend=mend) from None
    return kept


def rescored(earlier: Sequence[Kept], sampler: Sampler) -> list[Kept]:
    """Earlier replies with the rewards of the newest reward models, by the ids that were sampled.

    Raises DataError where the policy's tokenizer does not read a reply's text from its ids.
    """
    for kept in earlier:
        if sampler.policy.tokenizer.decode(list(kept.reply.ids)).strip() != kept.reply.text:
            raise DataError(f"version {kept.version}", f"the ids of a reply are another tokenizer's: {kept.reply.text!r}")
    scores = sampler.score([(kept.prompt, kept.reply.ids) for kept in earlier])
    return [replace(kept, reply=replace(kept.reply, scores=new)) for kept, new in zip(earlier, scores, strict=True)]


def best_of_versions(pool: Sequence[Kept], min_reward: float | None, kl_coef: float = 0.0) -> list[Kept]:
    """The best of each prompt's replies, in order of the prompts' first appearance; the first one of equals.

    A prompt is known by its messages. Left out are best replies whose reward, on the sigmoid's scale, is below `min_reward`,
    and unsafe ones, where there is such a bound.
    """
    by_prompt: dict[tuple[Message, ...], list[Kept]] = defaultdict(list)
    for kept in pool:
        by_prompt[kept.prompt.messages].append(kept)
    best = [max(some, key=lambda kept: kept.reply.rank(kl_coef)) for some in by_prompt.values()]
    return [kept for kept in best if min_reward is None or is_good_enough(kept.reply.scores, min_reward)]


def is_good_enough(scores: Scores, min_reward: float) -> bool:
    """Whether a reply is safe, and its reward, on the sigmoid's scale, is not below `min_reward`."""
    return scores.is_safe and probability(scores.reward) >= min_reward


def _prompts(settings: RejectionSettings) -> list[Dialog]:
    """The prompts in an order drawn by the seed, so that the first of them are a fair share."""
    prompts = list(read_prompts(settings.data, seed=settings.seed, on_bad_row=settings.on_bad_row))
    return [prompts[place] for place in epoch_order(len(prompts), settings.seed, 0)]
