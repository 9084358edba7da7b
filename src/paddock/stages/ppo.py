"""Reinforcement learning by proximal policy optimization (paper section 3.2.3).

    maximise  R(g | p) = R~c(g | p) - beta KL(pi_theta(g | p) || pi_0(g | p)),   R~c = whiten(logit(R_c))

An iteration: the policy samples a reply to each of 512 prompts; the reward models score them; policy, value model and
reference (pi_0, the policy before PPO) are evaluated on the sampled ids; advantages follow; and the policy and the value
model take one step a mini-batch of 64. AdamW (0.9, 0.95, 1e-5), weight decay 0.1, clip 0.2, a constant 1e-6, and early
stopping on held-out prompts: of the mean R~c there, without the KL term, at the sampling temperature.

Where the paper is silent: values, GAE (gamma 1, lambda 0.95) and their clipping are the usual ones; the KL is charged token
by token within the reward; the value model begins as the helpfulness reward model, and learns alone for a few iterations;
a reply cut short at its limit costs a standard deviation of the reward. The paper samples again for every iteration, as
here; its policy and value model are not said to be apart: here they are, each with a step and a rate of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paddock.backends.local import open_local_scorer
from paddock.errors import SettingsError, TrainingError
from paddock.model.checkpoint import model_from, value_model_from
from paddock.model.generation import generate
from paddock.model.scoring import LocalScorer
from paddock.progress import say
from paddock.protocols import Sampling
from paddock.run_dir import StageDir
from paddock.stages.held_out import (
    choosing,
    judged,
    means_of,
    penalised_reward,
    read_replies,
    reward_scale,
    score_rows,
    write_replies,
)
from paddock.stages.ppo_settings import PpoSettings, longest_prompt, policy_config
from paddock.stages.prompts import PromptData, Prompts, load_prompts
from paddock.stages.rewards import RewardFunction, Rewards, open_rewards, shared_tokenizer
from paddock.stages.training import save_whole
from paddock.text.tokenizer import Tokenizer
from paddock.train import ppo
from paddock.train.actor_critic import Accumulated, ActorCritic, make_ready, update_figures
from paddock.train.energy import energy_of
from paddock.train.metrics import MetricsLog
from paddock.train.optim import learning_rate
from paddock.train.parallel import Ranks, build, processes
from paddock.train.rollout import MicroBatch, Reply, Rollout, reply_figures, sampler_gap
from paddock.train.state import Saves
from paddock.train.steps import Progress as StepProgress
from paddock.train.steps import resume, under_way


def run(settings: PpoSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Iterate until held-out prompts gain no more, and save the policy. Returns the figures of `results.json`."""
    with processes() as ranks:
        bench = set_up(settings, ranks)
        progress = train(bench, stage_dir)
        save_whole(bench.models.policy, bench.models.reference.config, bench.tokenizer, stage_dir)
        if ranks.is_first and len(bench.prompts.held_out):
            stage_dir.write_samples(read_replies(stage_dir, kept_step(progress, settings))[: settings.samples])
        ranks.wait()
        return results_of(progress, bench, stage_dir)


@dataclass(frozen=True)
class Bench:
    """All that an iteration works with."""

    settings: PpoSettings
    ranks: Ranks
    tokenizer: Tokenizer
    prompts: PromptData
    rewards: RewardFunction
    unseen: LocalScorer | None
    models: ActorCritic


def set_up(settings: PpoSettings, ranks: Ranks) -> Bench:
    """Read the prompts, and open every model. Raises PaddockError before any work where they do not fit together."""
    for name in ("batch_size", "mini_batch_size"):
        ranks.share(getattr(settings, name), name)
    config, tokenizer = policy_config(settings), shared_tokenizer(settings.model, *settings.other_models())
    prompts = load_prompts(settings, tokenizer, longest_prompt(settings, config))
    if settings.keep == "best" and not len(prompts.held_out):
        raise SettingsError("keep: best judges by held-out prompts, and there are none: give some, or set keep: last")
    if prompts.left_out and ranks.is_first:
        say(f"{prompts.left_out:,} prompts leave no room for a reply of {settings.max_new_tokens} tokens: left out")
    policy, reference = (build(model_from(settings.model), settings, ranks) for _ in range(2))
    value = build(value_model_from(settings.value_model or settings.helpfulness_reward), settings, ranks)
    tokens = settings.iterations * settings.batch_size * settings.max_new_tokens
    models = make_ready(policy, reference, value, settings, ranks, tokens=tokens, shared_layers=settings.shared_layers)
    rewards = open_rewards(settings.helpfulness_reward, settings.safety_reward)
    unseen = open_local_scorer(settings.unseen_reward) if settings.unseen_reward else None
    return Bench(settings, ranks, tokenizer, prompts, rewards, unseen, models)


@dataclass
class Progress(StepProgress):
    """What a run of PPO knows of itself. A step is an iteration."""

    tokens: int = 0  # sampled and learnt from
    reward_scale: tuple[float, float] | None = None  # mean and deviation on the choosing prompts, before PPO
    last_reward: float | None = None  # penalised, on the choosing prompts
    best_reward: float | None = None
    explained_variance: float | None = None  # of the first iteration in which the policy learns, before its steps


def train(bench: Bench, stage_dir: StageDir) -> Progress:
    """Iterate until the end, or until held-out prompts gain no more; go on from the newest whole save where there is one."""
    settings, models = bench.settings, bench.models
    saves = Saves(stage_dir.checkpoints, settings.keep_saves, bench.ranks)
    progress = resume(saves, Progress(), models.restore)
    with under_way("ppo", settings.iterations, progress, settings, stage_dir, saves) as run:
        if progress.reward_scale is None and len(bench.prompts.held_out):
            evaluate(bench, progress, stage_dir, run.log)
            run.save(models.tensors())
        while run.go_on():
            row = iterate(bench, progress.step)
            if progress.step == settings.value_warmup:
                progress.explained_variance = row["explained_variance"]
            progress.step, progress.tokens = progress.step + 1, progress.tokens + row["tokens"]
            run.tick()
            if run.is_due(settings.log_every):
                run.log.append({"step": progress.step, "split": "train", **row, "seconds": progress.seconds})
            new_best = False
            if len(bench.prompts.held_out) and run.is_due(settings.evaluate_every):
                new_best = evaluate(bench, progress, stage_dir, run.log)
            if new_best or run.is_due(settings.save_every):
                run.save(models.tensors())
            run.show(shown(row, progress))
    if settings.keep == "best" and progress.best_step is not None:
        models.restore_weights(saves.read(progress.best_step)[1])
    return progress


def iterate(bench: Bench, iteration: int) -> dict[str, Any]:
    """One iteration (from 0), a pure function of weights, seed and number. Returns its figures."""
    settings, ranks, times = bench.settings, bench.ranks, [time.perf_counter()]
    prompts = bench.prompts.train.of_iteration(iteration, settings.batch_size, settings.seed)
    prompts = prompts.take(ranks.share(settings.batch_size))
    replies = sample(bench, prompts, (0, iteration, ranks.rank))
    times.append(time.perf_counter())
    rewards = bench.rewards.score_ids([reply.sequence for reply in replies], prompts.is_safety)
    times.append(time.perf_counter())
    rollout = bench.models.roll_out(
        replies,
        temperature=settings.temperature,
        mini_batch_size=len(ranks.share(settings.mini_batch_size)),
        rows=settings.micro_batch_size,
    )
    times.append(time.perf_counter())
    scores = sequence_scores(rewards.combined.to(ranks.device), replies, settings, ranks)
    kl = ppo.kl_k1(rollout.log_probs, rollout.reference_log_probs, rollout.mask)
    token_rewards = ppo.token_rewards(scores, kl, rollout.mask, settings.kl_coef)
    advantages, returns = ppo.generalized_advantages(
        token_rewards, rollout.values, rollout.mask, settings.gamma, settings.gae_lambda
    )
    updates = update(bench, rollout, ppo.whiten(advantages, rollout.mask, ranks), returns, iteration)
    times.append(time.perf_counter())
    seconds = {
        f"seconds_{name}": times[place + 1] - times[place]
        for place, name in enumerate(("sampling", "scoring", "evaluating", "optimising"))
    }
    explained = ppo.explained_variance(rollout.values, returns, rollout.mask, ranks)
    return {
        **reply_figures(rollout, kl, reward_columns(rewards, token_rewards), ranks),
        **updates,
        "explained_variance": explained if math.isfinite(explained) else None,
        **sampler_gap(rollout, ranks),
        **seconds,
    }


def sample(bench: Bench, prompts: Prompts, key: tuple[int, ...]) -> list[Reply]:
    """One reply of the policy, as it is now, to each prompt; `key` and the run's seed decide the random numbers.

    A collective: every rank must call it.
    """
    seed = np.random.SeedSequence((bench.settings.seed, *key)).generate_state(1, np.uint64)
    sampling = Sampling(
        temperature=bench.settings.temperature, max_new_tokens=bench.settings.max_new_tokens, seed=int(seed[0])
    )
    tokenizer = bench.tokenizer
    generated = generate(bench.models.sampler(), prompts.ids, sampling, tokenizer.eos_id, vocabulary=tokenizer.vocab_size)
    return [
        Reply(prompt, reply.token_ids, reply.log_probs, ended=reply.finish_reason == "stop")
        for prompt, (reply,) in zip(prompts.ids, generated, strict=True)
    ]


def sequence_scores(combined: Tensor, replies: Sequence[Reply], settings: PpoSettings, ranks: Ranks) -> Tensor:
    """R~c, (N,): the combined rewards whitened over the batch of all ranks, less the penalty of replies without an end."""
    whitened = ppo.whiten(combined, torch.ones_like(combined, dtype=torch.bool), ranks, settings.shift_reward_mean)
    cut_short = torch.tensor([not reply.ended for reply in replies], device=combined.device)
    return whitened - settings.missing_eos_penalty * cut_short


def reward_columns(rewards: Rewards, token_rewards: Tensor) -> dict[str, Tensor]:
    """What each reply got, by the names of `metrics.jsonl`: standardised reward, raw scores, and R(g | p) as PPO sees it."""
    columns = {"reward": rewards.combined, "helpfulness": rewards.helpfulness, "objective": token_rewards.sum(1)}
    return columns if rewards.safety is None else {**columns, "safety": rewards.safety}


def update(bench: Bench, rollout: Rollout, advantages: Tensor, returns: Tensor, iteration: int) -> dict[str, float | None]:
    """One gradient step a mini-batch, `epochs` times over; the policy rests while the value model warms up."""
    learns = iteration >= bench.settings.value_warmup
    steps = [
        gradient_step(bench, rollout, mini_batch, advantages, returns, iteration)
        for _ in range(bench.settings.epochs)
        for mini_batch in rollout.mini_batches
    ]
    return update_figures(steps, learns)


def gradient_step(
    bench: Bench,
    rollout: Rollout,
    mini_batch: Sequence[MicroBatch],
    advantages: Tensor,
    returns: Tensor,
    iteration: int,
) -> Accumulated:
    """A step of the value model and, after its warm-up, of the policy.

    Raises TrainingError, both models untouched, where a loss or a gradient is not finite.
    """
    settings, models = bench.settings, bench.models
    learns = iteration >= settings.value_warmup
    found = models.accumulate(
        rollout,
        mini_batch,
        advantages,
        returns,
        temperature=settings.temperature,
        clip_range=settings.clip_range,
        value_clip_range=settings.value_clip_range if learns else None,  # warming up, a value has far to go
        learns=learns,
    )
    if not found.is_finite():
        raise TrainingError(
            f"iteration {iteration + 1}: a loss or a gradient is not finite ({found.sums}). The weights were not updated. "
            "Lower learning_rate and value_learning_rate, or set precision: f32"
        )
    schedule = (settings.warmup_steps, settings.final_learning_rate)
    value_rate, rate = (
        learning_rate(iteration + 1, settings.iterations, peak, *schedule)
        for peak in (settings.value_learning_rate, settings.learning_rate)
    )
    models.step(found, rate, value_rate, settings.clip)
    return found


def kept_step(progress: Progress, settings: PpoSettings) -> int:
    """The iteration whose weights the stage ends with."""
    return progress.best_step if settings.keep == "best" and progress.best_step is not None else progress.step


def evaluate(bench: Bench, progress: Progress, stage_dir: StageDir, log: MetricsLog) -> bool:
    """Answer the held-out prompts, keep and log what the replies are worth; return whether these weights are to be kept.

    The random numbers are the same in every evaluation, so that what differs is the policy.
    """
    began, settings, ranks, prompts = time.monotonic(), bench.settings, bench.ranks, bench.prompts.held_out
    rounded_up = -(-len(prompts) // ranks.size) * ranks.size  # all ranks answer as many: the last ones some prompts again
    mine = prompts.take(place % len(prompts) for place in ranks.share(rounded_up))
    replies = sample(bench, mine, (1, ranks.rank))
    rows = judged(mine, replies, kl_of(bench, replies), bench.rewards, bench.unseen, bench.tokenizer)
    rows = [row for part in ranks.gather(rows) for row in part][: len(prompts)]
    rows = [{**row, "chooses": chooses} for row, chooses in zip(rows, choosing(prompts, settings.keep), strict=True)]
    if ranks.is_first:
        write_replies(stage_dir, progress.step, rows)
    progress.reward_scale = progress.reward_scale or reward_scale(rows)
    reward = penalised_reward(rows, progress.reward_scale, settings.missing_eos_penalty)
    figures = {**means_of(rows), "penalised_reward": reward}
    seconds = progress.seconds + time.monotonic() - began
    log.append({"step": progress.step, "split": "held_out", **figures, "replies": len(rows), "seconds": seconds})
    progress.last_reward = reward
    progress.evaluations_since_best += progress.step > settings.value_warmup  # until then the policy rests
    if not reward > (-math.inf if progress.best_reward is None else progress.best_reward):  # so that NaN is never the best
        return False
    progress.best_reward, progress.best_step, progress.evaluations_since_best = reward, progress.step, 0
    return settings.keep == "best"


def kl_of(bench: Bench, replies: Sequence[Reply]) -> list[float]:
    """The k1 estimate of KL(pi_theta || pi_0) of each reply, in nats. A collective: every rank must call it."""
    settings = bench.settings
    rollout = bench.models.roll_out(
        replies, temperature=settings.temperature, mini_batch_size=len(replies), rows=settings.micro_batch_size
    )
    kl: list[float] = ppo.kl_k1(rollout.log_probs, rollout.reference_log_probs, rollout.mask).sum(1).tolist()
    return kl


def shown(row: dict[str, Any], progress: Progress) -> dict[str, str]:
    """The figures of the progress line."""
    figures = {"reward": f"{row['reward']:.2f}", "kl": f"{row['kl']:.2f}"}
    if row["clip_share"] is not None:
        figures["clip"] = f"{row['clip_share']:.2f}"
    if progress.last_reward is not None:
        figures["held-out"] = f"{progress.last_reward:.2f}"
    return {**figures, "speed": f"{progress.tokens / progress.seconds:,.0f} tok/s"}


def counts(prompts: PromptData, keep: str) -> dict[str, int]:
    """How many prompts there are of each kind; `reported_prompts` are those that scores are of.

    `held_out_elsewhere` are not learnt from, since the validation files hold prompts that begin alike.
    """
    held_out, chosen_by = len(prompts.held_out), sum(choosing(prompts.held_out, keep))
    return {
        "prompts": len(prompts.train),
        "safety_prompts": sum(prompts.train.is_safety),
        "held_out_prompts": held_out,
        "reported_prompts": held_out - chosen_by or held_out,
        "prompts_left_out": prompts.left_out,
        "held_out_elsewhere": prompts.held_out_elsewhere,
    }


def results_of(progress: Progress, bench: Bench, stage_dir: StageDir) -> dict[str, Any]:
    """The figures of `results.json`; scores are of the weights that are kept, beside those of the policy before PPO.

    `chosen_on_reported_prompts`: whether the kept iteration is the best of many on the very prompts that the scores are of.
    """
    settings, ranks, data = bench.settings, bench.ranks, counts(bench.prompts, bench.settings.keep)
    energy = energy_of(progress.seconds, ranks.size, ranks.device, settings.watts)
    kept = kept_step(progress, settings)
    return {
        "iterations": progress.step,
        "kept_iteration": kept,
        "stopped_early": progress.step < settings.iterations,
        "chosen_on_reported_prompts": settings.keep == "best" and data["reported_prompts"] == data["held_out_prompts"],
        "best_penalised_reward": progress.best_reward,
        "last_penalised_reward": progress.last_reward,
        "explained_variance_after_warmup": progress.explained_variance,
        "tokens": progress.tokens,
        "seconds": progress.seconds,
        "device_hours": energy["device_hours"],
        "energy": energy,
        "precision": str(bench.models.policy.precision).removeprefix("torch."),
        "processes": ranks.size,
        "data": data,
        "scores": list(score_rows(stage_dir, kept)) if len(bench.prompts.held_out) else [],
    }
