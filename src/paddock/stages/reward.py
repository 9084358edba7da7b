"""A reward model (paper section 3.2.2): from pairs of replies that people have ordered, a number for any reply.

The trunk is a chat model's, so that the reward model knows what the chat model knows; a scalar head stands in for the
next-token head. The loss of a pair is -log sigmoid(r_chosen - r_rejected - m), where the margin m grows with the rating
(equation 2, Table 27). A safety model adds an auxiliary loss, whose formula and weight the paper leaves open: here
`safety_loss_weight` times the mean, over both replies, of the cross-entropy of sigmoid(r) against "the reply is safe". It
gives the score's zero its meaning, which the threshold of 0.15 in reinforcement learning rests on.

Accuracy, calibration, validation loss and the scores' mean and deviation are those of held-out pairs of the model's own
domain; how well it orders the other domain's is a row of its own (Tables 7 and 8). Beside the accuracy stand those of rules
that understand nothing. Held out are whole conversations; with `held_out_models`, the models that wrote them as well.

One epoch, since longer training over-fits; 512 pairs a step; a cosine to 10% after 3% of warm-up, at least 5 steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from paddock.backends.local import best_device, open_local_scorer
from paddock.errors import SettingsError, did_you_mean
from paddock.evaluate.reward_accuracy import OVERALL, ScoredPair, accuracy_rows, calibration, reward_statistics
from paddock.evaluate.reward_baselines import RULES, baseline_rows, fit_rules
from paddock.model.checkpoint import read_config, reward_model_from, save_reward_model
from paddock.model.config import ModelConfig
from paddock.model.heads import RewardModel
from paddock.model.scoring import LocalScorer
from paddock.model.transformer import Branches
from paddock.model.vocabulary import load_tokenizer
from paddock.progress import say
from paddock.run_dir import StageDir
from paddock.stages.encoding import HASHES, CorpusSettings, Rows, count_rows, encode_rows, place_of
from paddock.stages.training import plan_figures
from paddock.text.dialog import DOMAINS, Domain, Preference, opening_of
from paddock.text.packing import StoreSummary
from paddock.text.pairs import OverlongPair, PackedPairs, PairBatch, PairStore, encode_pairs, fitting_pairs, statistics_of
from paddock.text.readers import ReadReport, Source, read_preferences
from paddock.text.tokenizer import Tokenizer
from paddock.train.loop import Loss, fit
from paddock.train.parallel import build, processes, whole_state

MARGINS = {  # paper Table 27: significantly better, better, slightly better, negligibly better or unsure
    "none": (0.0, 0.0, 0.0, 0.0),
    "small": (1.0, 2 / 3, 1 / 3, 0.0),
    "large": (3.0, 2.0, 1.0, 0.0),
}
LEAST_WARMUP = 5


class RewardSettings(CorpusSettings):
    """Which preferences a reward model learns, and how."""

    model: str = Field(description="the folder of the chat model to start from (paper 3.2.2)")
    domain: Domain = Field("helpfulness", description="what it judges; pairs without a domain count as this one's")
    other_share: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="at most this share of pairs of the other domain (paper 3.2.2: helpfulness 0.5, safety 0.1); None: all",
    )
    margin: Literal["none", "small", "large"] = Field("small", description="the column of Table 27; unrated pairs have none")
    safety_loss_weight: float = Field(
        0.0, ge=0, description="of the auxiliary loss on safe and unsafe replies (paper A.3.4)"
    )
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of the pairs held out, by a hash of how they begin")
    held_out_models: tuple[str, ...] = Field(
        (),
        description="as chosen_model and rejected_model name them: no pair with a reply of theirs is learnt from, and only "
        "held-out pairs with one judge",
    )
    overlong: OverlongPair = Field(
        "refuse",
        description="stop at a pair whose prompt and replies do not fit into context together, or skip and count it",
    )
    batch_size: int = Field(512, ge=1, description="pairs of a step, over all ranks (paper 3.2.2)")
    learning_rate: float = Field(1e-5, gt=0, description="the peak (paper 3.2.2; 5e-6 for 70b)")
    epochs: int = Field(1, ge=1, description="how often to see the data (paper 3.2.2: longer training over-fits)")

    def inputs(self) -> list[str]:
        """The preferences, and the model to start from."""
        return [source.path for source in (*self.data, *self.validation)] + [self.model]


def plan(settings: RewardSettings) -> dict[str, Any]:
    """What would be read and done: pairs, tokens, steps, parameters, memory, time."""
    tokenizer, config = load_tokenizer(settings.model), read_config(settings.model)
    context = settings.context_for(config)
    check_models(settings)
    rows = preference_rows(settings, tokenizer, context)
    planned: list[PackedPairs] = []

    def steps_of(store: PairStore) -> int:
        planned.append(packed(store, settings, context, 1, 1))
        return planned[0].steps_per_epoch

    counts = count_rows(rows, steps_of)
    steps = settings.epochs * counts["steps_per_epoch"]
    return {**counts, **plan_figures(config, settings, steps, planned[0].rows, planned[0].width)}


def run(settings: RewardSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Encode, train, score the held-out pairs, save the model. Returns the figures of `results.json`."""
    with processes() as ranks:
        tokenizer, config = load_tokenizer(settings.model), read_config(settings.model)
        context = settings.context_for(config)
        check_models(settings)
        rows = preference_rows(settings, tokenizer, context)
        encoded = encode_rows(rows, stage_dir.data, ranks)
        train = packed(encoded.train, settings, context, settings.epochs, ranks.size)
        validation = packed(encoded.validation, settings, context, 1, ranks.size) if encoded.validation else None
        steps = settings.epochs * train.steps_per_epoch
        model = build(reward_model_from(settings.model, settings.seed), settings, ranks)
        warm = settings.model_copy(update={"warmup_steps": warmup_of(settings, steps)})
        loss = preference_loss(settings.margin, settings.safety_loss_weight)
        fitted = fit(
            model, train, warm, stage_dir, ranks, label="reward", steps=steps, validation=validation, loss=loss, unit="pairs"
        )
        state = whole_state(model, ranks)
        results: dict[str, Any] = {}
        if ranks.is_first:
            save(state, config, tokenizer, stage_dir)
            results = judge(rows, context, settings.domain, stage_dir, fitted.setup.precision)
        ranks.wait()
        return {
            **fitted.results,
            **results,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "data": {**encoded.figures, "fill": train.fill, **statistics_of(encoded.train.labels, encoded.train.lengths)},
        }


def preference_rows(settings: RewardSettings, tokenizer: Tokenizer, context: int) -> Rows[Preference, PairStore]:
    """The preferences: those of one conversation fall on the same side of the split."""

    def read(sources: tuple[Source, ...], report: ReadReport) -> Iterator[Preference]:
        return read_preferences(sources, seed=settings.seed, on_bad_row=settings.on_bad_row, report=report)

    def write(folder: Path, preferences: Iterable[Preference]) -> StoreSummary:
        skipped = Counter[str]()
        pairs = fitting_pairs(encode_pairs(tokenizer, preferences), context, settings.overlong, skipped)
        return replace(PairStore.write(folder, pairs, tokenizer.vocab_size), too_long=skipped["too_long"])

    share, held_out_models = share_of_others(settings), frozenset(settings.held_out_models)

    def is_of_held_out_model(preference: Preference) -> bool:
        return not held_out_models.isdisjoint((preference.chosen_model, preference.rejected_model))

    return Rows(
        data=settings.data,
        validation=settings.validation,
        validation_share=settings.validation_share,
        read=read,
        key=lambda preference: opening_of(preference.prompt),
        size=lambda preference: len(text_of(preference)),
        write=write,
        open=PairStore.open,
        judges=lambda preference: is_own(preference.domain, settings.domain),
        may_judge=lambda preference: not held_out_models or is_of_held_out_model(preference),
        learns=lambda preference: (
            (is_own(preference.domain, settings.domain) or place_of(text_of(preference)) < share * HASHES)
            and not is_of_held_out_model(preference)
        ),
    )


def check_models(settings: RewardSettings) -> None:
    """Raise SettingsError for a name in `held_out_models` that no pair bears: a slip would hold nothing out."""
    if not settings.held_out_models:
        return
    names = set[str]()
    for pair in read_preferences((*settings.data, *settings.validation), seed=settings.seed, on_bad_row=settings.on_bad_row):
        names.update(name for name in (pair.chosen_model, pair.rejected_model) if name)
    for name in settings.held_out_models:
        if name not in names:
            known = did_you_mean(name, names) or f" The pairs name {', '.join(sorted(names)) or 'no models'}."
            raise SettingsError(f'held_out_models: no pair is of the model "{name}".{known}')


def text_of(preference: Preference) -> str:
    """A pair as one text: what tells pairs apart."""
    return "\0".join([*(message.content for message in preference.prompt), preference.chosen, preference.rejected])


def is_own(domain: str | None, own: Domain) -> bool:
    """Whether a pair of `domain` counts as one of the model's `own`: it does where its domain is not known."""
    return domain in (None, own)


def share_of_others(settings: RewardSettings) -> float:
    """Which share of the other domain's pairs to learn from, so that they make up `other_share` of all."""
    if settings.other_share is None:
        return 1.0
    counts = Counter[bool]()
    for preference in read_preferences(settings.data, seed=settings.seed, on_bad_row=settings.on_bad_row):
        counts[is_own(preference.domain, settings.domain)] += 1
    own, others = counts[True], counts[False]
    wanted = own * settings.other_share / (1 - settings.other_share)
    return min(wanted / others, 1.0) if others else 0.0


def packed(store: PairStore, settings: RewardSettings, context: int, epochs: int, processes: int) -> PackedPairs:
    """Batches of whole pairs."""
    return PackedPairs(store, settings.batch_size, context, settings.seed, epochs, processes)


def warmup_of(settings: RewardSettings, steps: int) -> int:
    """Steps of warm-up: 3% of all, and at least 5 (paper 3.2.2)."""
    if settings.warmup_steps is not None:
        return settings.warmup_steps
    return min(max(LEAST_WARMUP, round(0.03 * steps)), steps)


def preference_loss(margin: str, safety_loss_weight: float) -> Loss:
    """Equation 2's loss, summed over pairs, and their count; with the auxiliary safety loss where its weight is not 0."""
    margins = torch.tensor([*MARGINS[margin], 0.0])  # the last stands for a rating that is not known, -1

    def loss(model: nn.Module, batch: PairBatch, device: torch.device) -> tuple[Tensor, int]:
        token_ids, segment_ids, beginning_ids, positions, chosen_ends, rejected_ends = (
            torch.from_numpy(array).to(device, non_blocking=True)
            for array in (
                batch.token_ids,
                batch.segment_ids,
                batch.beginning_ids,
                batch.positions,
                batch.chosen_ends,
                batch.rejected_ends,
            )
        )
        scores = model(token_ids, segment_ids, Branches(beginning_ids, positions))
        is_pair = chosen_ends >= 0
        chosen = scores.gather(1, chosen_ends.clamp(min=0))[is_pair]
        rejected = scores.gather(1, rejected_ends.clamp(min=0))[is_pair]
        ratings, chosen_safe, rejected_safe = (
            torch.from_numpy(batch.labels[name]).to(device)[is_pair] for name in ("rating", "chosen_safe", "rejected_safe")
        )
        total = ranking_loss(chosen, rejected, margins.to(device)[ratings.long()])
        if safety_loss_weight:
            total = (
                total + safety_loss_weight * (safety_loss(chosen, chosen_safe) + safety_loss(rejected, rejected_safe)) / 2
            )
        return total, int((batch.chosen_ends >= 0).sum())

    return loss


def ranking_loss(chosen: Tensor, rejected: Tensor, margins: Tensor) -> Tensor:
    """The sum of -log sigmoid(chosen - rejected - margin) (equations 1 and 2); all (N,)."""
    return -functional.logsigmoid(chosen - rejected - margins).sum()


def safety_loss(scores: Tensor, is_safe: Tensor) -> Tensor:
    """The summed cross-entropy of sigmoid(scores), (N,), against `is_safe`, (N,): 1 safe, 0 unsafe, -1 not known."""
    known = is_safe >= 0
    return functional.binary_cross_entropy_with_logits(scores[known], is_safe[known].float(), reduction="sum")


def save(state: dict[str, Tensor], config: ModelConfig, tokenizer: Tokenizer, stage_dir: StageDir) -> None:
    """Save the trained weights."""
    with torch.device("meta"):
        model = RewardModel(config)
    model.load_state_dict(state, assign=True)
    save_reward_model(model, stage_dir.model, tokenizer)


def judge(
    rows: Rows[Preference, PairStore], context: int, domain: Domain, stage_dir: StageDir, precision: torch.dtype
) -> dict[str, Any]:
    """Let the saved model score the held-out pairs, on the run's device and in its precision. Returns its figures.

    The mean and the deviation of the scores on the model's own domain are saved with it; all pairs go to `samples.jsonl`.
    """
    scorer = open_local_scorer(stage_dir.model, torch.float32)  # it is saved again, with its statistics
    with torch.autocast(best_device().type, precision, enabled=precision != torch.float32):
        pairs = held_out_pairs(scorer, rows, context)
    stage_dir.write_samples(sample_row(pair, preference) for pair, preference in pairs)
    rules = fit_rules(rows.learnt_from(ReadReport()), [preference for _, preference in pairs])
    results = figures_of([pair for pair, _ in pairs], domain, rules)
    if not results:
        return {}
    scorer.model.mean, scorer.model.std = results["reward_mean"], results["reward_std"]
    save_reward_model(scorer.model, stage_dir.model, scorer.tokenizer)
    return results


def held_out_pairs(
    scorer: LocalScorer, rows: Rows[Preference, PairStore], context: int
) -> list[tuple[ScoredPair, Preference]]:
    """The held-out pairs with the model's scores, beside what was read of them."""
    preferences = list(rows.held_out())
    encoded = list(encode_pairs(scorer.tokenizer, preferences))
    fitting = [place for place, pair in enumerate(encoded) if pair.places <= context]
    scores = scorer.score_ids([ids for place in fitting for ids in (encoded[place].chosen, encoded[place].rejected)])
    scored = []
    for place, chosen_score, rejected_score in zip(fitting, scores[::2], scores[1::2], strict=True):
        preference, pair = preferences[place], encoded[place]
        scored_pair = ScoredPair(
            opening_of(preference.prompt),
            chosen_score,
            rejected_score,
            len(pair.chosen) - pair.prompt_tokens,
            len(pair.rejected) - pair.prompt_tokens,
            preference.rating,
            preference.domain,
            preference.chosen_safe,
            preference.rejected_safe,
        )
        scored.append((scored_pair, preference))
    return scored


def figures_of(
    pairs: list[ScoredPair], domain: Domain, rules: Mapping[str, Sequence[float]] | None = None
) -> dict[str, Any]:
    """The figures of the held-out pairs of `domain`: accuracies, calibration, the scores' mean and standard deviation.

    `rules` are the margins of simple rules on `pairs`, to set beside the model. The other domain's pairs have rows of
    `scores` of their own. Where `domain` has no pair, there are no figures.
    """
    places = [place for place, pair in enumerate(pairs) if is_own(pair.domain, domain)]
    own = [pairs[place] for place in places]
    if not own:
        return {}
    rules = {name: [margins[place] for place in places] for name, margins in (rules or {}).items()}
    others = [row for row in accuracy_rows(pairs) if row["group"] in {f"domain: {o}" for o in DOMAINS if o != domain}]
    scores = accuracy_rows(own) + others + baseline_rows(own, rules)
    accuracy = scores[0]
    say(f"reward accuracy {accuracy['estimate']:.3f} ({interval_of(accuracy)}, n {accuracy['n']} prompts)")
    for row in scores:
        if row["group"] == OVERALL and row["metric"] in RULES:
            say(f"  {row['metric'].replace('_', ' ')} {row['estimate']:.3f} ({interval_of(row)})")
    mean, std = reward_statistics(own)
    return {
        "accuracy": accuracy["estimate"],
        "held_out_pairs": len(own),
        "held_out_pairs_of_other_domain": len(pairs) - len(own),
        "reward_mean": mean,
        "reward_std": std,
        "calibration": calibration(own),
        "scores": scores,
    }


def interval_of(row: dict[str, Any]) -> str:
    """A row's interval in words; one prompt alone has none."""
    return "no interval" if row["lower"] is None else f"{row['lower']:.3f} to {row['upper']:.3f}"


def sample_row(pair: ScoredPair, preference: Preference) -> dict[str, Any]:
    """A held-out pair as `samples.jsonl` holds it."""
    return {
        "prompt": [asdict(message) for message in preference.prompt],
        "chosen": preference.chosen,
        "rejected": preference.rejected,
        "chosen_score": pair.chosen_score,
        "rejected_score": pair.rejected_score,
        "rating": pair.rating,
        "domain": pair.domain,
        "chosen_safe": pair.chosen_safe,
        "rejected_safe": pair.rejected_safe,
        "chosen_tokens": pair.chosen_tokens,
        "rejected_tokens": pair.rejected_tokens,
        "chosen_model": preference.chosen_model,
        "rejected_model": preference.rejected_model,
    }
