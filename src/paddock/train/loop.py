"""The one loop: accumulate, clip, step, log, evaluate, save. Every stage is a data builder, a loss and a call to `fit`.

A loss is a sum and a count. Gradients of sums add up over micro-batches and ranks, and only the step divides, by the count
of the whole step: so neither the size of a micro-batch nor the number of ranks changes what is learned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from paddock.errors import SettingsError, TrainingError
from paddock.model.transformer import Block, Trunk
from paddock.progress import say
from paddock.run_dir import StageDir
from paddock.text.packing import Batch, Batches, StepRows
from paddock.train.energy import energy_of
from paddock.train.metrics import MetricsLog
from paddock.train.optim import build_optimizer, default_warmup, gradient_norm, learning_rate, optimizer_step
from paddock.train.parallel import Ranks, is_divided
from paddock.train.precision import choose_compiling, choose_precision, compile_blocks, estimate_seconds
from paddock.train.settings import TrainingSettings
from paddock.train.state import Saves, restore, restore_weights, training_tensors
from paddock.train.steps import Progress as StepProgress
from paddock.train.steps import resume, under_way

SHOWN_SOURCES = 8
TOKENS_AT_ONCE = 16_384
SHORT = {"tokens": "tok"}

Rows = TypeVar("Rows", bound=StepRows)
Loss = Callable[[nn.Module, Any, torch.device], tuple[Tensor, int]]
"""(model, rows, device) -> the summed loss, a float32 scalar with a graph, and how many things it is the sum of.

The rows are of the kind that the stage's batches are."""


def next_token_loss(model: nn.Module, batch: Batch, device: torch.device) -> tuple[Tensor, int]:
    """The summed cross-entropy of the targets that bear loss, and their count (paper sections 2.2 and 3.1)."""
    segments = None if batch.segment_ids is None else torch.from_numpy(batch.segment_ids).to(device)
    arrays = (batch.token_ids, batch.targets, batch.loss_mask)
    token_ids, targets, loss_mask = (torch.from_numpy(array).to(device, non_blocking=True) for array in arrays)
    return model(token_ids, segments, targets=targets, loss_mask=loss_mask), int(batch.loss_mask.sum())


@dataclass(frozen=True)
class Setup:
    """A model made ready to train: on its device, compiled or not, sharded over several ranks or autocast on one."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ranks: Ranks
    precision: torch.dtype
    compiled: bool

    def autocast(self) -> torch.autocast:
        """Multiply matrices in the run's precision. Sharded models do so by themselves."""
        enabled = self.precision != torch.float32 and self.ranks.size == 1
        return torch.autocast(self.ranks.device.type, self.precision, enabled=enabled)


def prepare(model: nn.Module, settings: TrainingSettings, ranks: Ranks, tokens: int) -> Setup:
    """Make `model` ready to train on `tokens` tokens in all, in place, and say how it will run.

    For several ranks it comes from `parallel.build`, which divides it among them.
    """
    assert ranks.size == 1 or is_divided(model), "each rank would train a model of its own"
    precision = choose_precision(settings.precision, ranks.device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    seconds = estimate_seconds(parameters, tokens, ranks.device, ranks.size)
    compiled, why = choose_compiling(settings.compile, ranks.device, seconds)
    model.to(ranks.device).train()
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    for module in model.modules():
        if isinstance(module, Trunk):
            module.checkpoint_activations = settings.activation_checkpointing
    if compiled:
        compile_blocks(blocks)
    if ranks.is_first:
        device = f"{ranks.size} x {ranks.device.type}" if ranks.size > 1 else ranks.device.type
        say(f"{parameters:,} parameters on {device}, {str(precision).removeprefix('torch.')}, {why}")
    return Setup(model, build_optimizer(model, settings.weight_decay), ranks, precision, compiled)


def micro_batches(batch: Rows, ranks: Ranks, size: int | None) -> Iterator[Rows]:
    """This rank's share of a step's rows, as many at a time as `rows_at_once` finds."""
    rows, tokens = batch.token_ids.shape
    return cut(batch, ranks.share(rows), rows_at_once(len(ranks.share(rows)), tokens, size))


def filled_micro_batches(batch: Rows, ranks: Ranks, size: int | None, compiled: bool) -> Iterator[Rows]:
    """`micro_batches` without the rows that only fill up a batch, but for those that give all ranks as many.

    Where blocks are `compiled`, each new shape would be compiled anew: there, micro-batches stay as large as they are.
    """
    rows, tokens = batch.token_ids.shape
    at_once = rows_at_once(len(ranks.share(rows)), tokens, size)
    part = ranks.size * (at_once if compiled else 1)
    return cut(batch, ranks.share(min(-(-batch.filled // part) * part, rows)), at_once)


def cut(batch: Rows, share: range, at_once: int) -> Iterator[Rows]:
    """The rows of `share`, `at_once` at a time; the last may be fewer."""
    for start in share[::at_once]:
        yield batch.rows(start, min(start + at_once, share.stop))


def rows_at_once(rows: int, tokens: int, size: int | None) -> int:
    """How many of a device's `rows` rows of `tokens` tokens make a micro-batch, at most `size`; None: 16,384 tokens.

    The largest equal part within the limit, so that all are of one shape, which is compiled once. Where that is a single row
    or under an eighth of the limit, as for a prime number of rows, there are as few parts as can be, the last one smaller.
    """
    limit = min(size or max(TOKENS_AT_ONCE // tokens, 1), rows)
    equal = max(divisor for divisor in range(1, limit + 1) if rows % divisor == 0)
    return equal if equal > 1 and 8 * equal >= limit else -(-rows // -(-rows // limit))


def accumulate(setup: Setup, batch: StepRows, loss: Loss, micro_batch_size: int | None) -> tuple[float, int]:
    """Forward and backward over a step's rows; gradients of sums add up in `.grad`. Returns sum and count of all ranks."""
    totals = torch.zeros(2, dtype=torch.float64, device=setup.ranks.device)
    for rows in micro_batches(batch, setup.ranks, micro_batch_size):
        with setup.autocast():
            loss_sum, count = loss(setup.model, rows, setup.ranks.device)
        loss_sum.backward()  # type: ignore[no-untyped-call]
        totals[0] += loss_sum.detach()
        totals[1] += count
    total, count = setup.ranks.sum(totals).tolist()
    return total, int(count)


@torch.no_grad()
def evaluate(setup: Setup, batches: Batches, loss: Loss, micro_batch_size: int | None) -> tuple[float, int]:
    """The mean loss over one epoch of `batches`, and the count it is the mean of.

    It costs what the batches hold, whatever their size, and a micro-batch more where blocks are compiled.
    """
    setup.model.eval()
    totals = torch.zeros(2, dtype=torch.float64, device=setup.ranks.device)
    for step in range(batches.steps_per_epoch):
        for rows in filled_micro_batches(batches.batch(step), setup.ranks, micro_batch_size, setup.compiled):
            with setup.autocast():
                loss_sum, count = loss(setup.model, rows, setup.ranks.device)
            totals[0] += loss_sum
            totals[1] += count
    setup.model.train()
    total, count = setup.ranks.sum(totals).tolist()
    return total / count, int(count)


@dataclass
class Progress(StepProgress):
    """What a run of `fit` knows of itself."""

    unit: str = "tokens"
    count: int = 0  # of the unit, so far
    train_loss: float | None = None
    validation_loss: float | None = None
    best_loss: float | None = None
    since_log_loss: float = 0.0
    since_log_count: int = 0
    since_log_seconds: float = 0.0


@dataclass(frozen=True)
class Fitted:
    """What came of `fit`; the model holds the weights to keep."""

    progress: Progress
    setup: Setup
    results: dict[str, Any]


def fit(
    model: nn.Module,
    batches: Batches,
    settings: TrainingSettings,
    stage_dir: StageDir,
    ranks: Ranks,
    *,
    label: str,
    steps: int,
    validation: Batches | None = None,
    loss: Loss = next_token_loss,
    unit: str = "tokens",
) -> Fitted:
    """Train `model` for `steps` steps, going on from the newest whole save in `stage_dir` where there is one.

    `unit` says what the loss counts; metrics and results have it as a key. Raises TrainingError for a loss or gradient that
    is not finite (before it touches the weights) and for a full disk.
    """
    if settings.keep == "best" and validation is None:
        raise SettingsError("keep: best needs validation data to judge by: give some, or set keep: last")
    setup = prepare(model, settings, ranks, steps * batches.tokens_per_epoch // batches.steps_per_epoch)
    saves = Saves(stage_dir.checkpoints, settings.keep_saves, ranks)
    progress = resume(saves, Progress(unit=unit), partial(restore, model, setup.optimizer))
    with under_way(label, steps, progress, settings, stage_dir, saves) as run:
        while run.go_on():
            row = train_step(setup, batches, settings, loss, steps, progress)
            run.tick()
            if run.is_due(settings.log_every):
                run.log.append({**row, **close_interval(progress), "seconds": progress.seconds})
            new_best = False
            if validation is not None and run.is_due(settings.evaluate_every):
                new_best = evaluate_step(setup, validation, settings, loss, progress, run.log)
                run.tick()
            if new_best or run.is_due(settings.save_every):
                run.save(training_tensors(model, setup.optimizer))
            run.show(shown(row, progress))
    if settings.keep == "best" and progress.best_step is not None:
        restore_weights(model, saves.read(progress.best_step)[1])
    return Fitted(progress, setup, results_of(progress, setup, settings))


def train_step(
    setup: Setup, batches: Batches, settings: TrainingSettings, loss: Loss, steps: int, progress: Progress
) -> dict[str, Any]:
    """One step; returns its row for the metrics. Raises TrainingError, the weights untouched, where it is not finite."""
    began = time.monotonic()
    batch, step = batches.batch(progress.step), progress.step + 1
    loss_sum, count = accumulate(setup, batch, loss, settings.micro_batch_size)
    norm = gradient_norm(setup.model.parameters())
    if not math.isfinite(loss_sum + norm.item()):
        raise TrainingError(not_finite(setup, batch, loss, step))
    warmup = default_warmup(steps) if settings.warmup_steps is None else settings.warmup_steps
    rate = learning_rate(step, steps, settings.learning_rate, warmup, settings.final_learning_rate)
    optimizer_step(setup.optimizer, norm, count, rate, settings.clip)
    progress.step = step
    progress.count += count
    progress.since_log_loss += loss_sum
    progress.since_log_count += count
    progress.since_log_seconds += time.monotonic() - began
    row = {"step": step, "split": "train", "loss": loss_sum / count, progress.unit: progress.count}
    return {**row, "learning_rate": rate, "gradient_norm": norm.item() / count}


def not_finite(setup: Setup, batch: StepRows, loss: Loss, step: int) -> str:
    """Say which rows of a batch give a loss that is not finite, by looking at each alone."""
    bad: list[str] = []
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for row in micro_batches(batch, setup.ranks, 1):
            with setup.autocast():
                value, _ = loss(setup.model, row, setup.ranks.device)
            if not math.isfinite(value.item()):
                bad += row.sources
    bad = [source for part in setup.ranks.gather(bad) for source in part]
    sources = bad or list(batch.sources)
    what = "the loss of these rows is not finite" if bad else "each row's loss is finite, but not the gradient of the batch"
    more = f" and {len(sources) - SHOWN_SOURCES} more" if len(sources) > SHOWN_SOURCES else ""
    return (
        f"step {step}: {what}: {'; '.join(sources[:SHOWN_SOURCES])}{more}. The weights were not updated. "
        "Look at these rows; where they are sound, lower learning_rate, or set precision: f32"
    )


def close_interval(progress: Progress) -> dict[str, float]:
    """The mean loss and the speed since the last logged step, and begin the next interval."""
    progress.train_loss = progress.since_log_loss / progress.since_log_count
    figures = {
        "loss": progress.train_loss,
        f"{progress.unit}_per_second": progress.since_log_count / progress.since_log_seconds,
    }
    progress.since_log_loss, progress.since_log_count, progress.since_log_seconds = 0.0, 0, 0.0
    return figures


def evaluate_step(
    setup: Setup, validation: Batches, settings: TrainingSettings, loss: Loss, progress: Progress, log: MetricsLog
) -> bool:
    """Evaluate, log, and return whether this step is the best so far and its weights are to be kept."""
    began = time.monotonic()
    value, count = evaluate(setup, validation, loss, settings.micro_batch_size)
    progress.validation_loss = value
    seconds = progress.seconds + time.monotonic() - began
    log.append({"step": progress.step, "split": "validation", "loss": value, progress.unit: count, "seconds": seconds})
    progress.evaluations_since_best += 1
    if not value < (math.inf if progress.best_loss is None else progress.best_loss):  # so that NaN is never the best
        return False
    progress.best_loss, progress.evaluations_since_best = value, 0
    progress.best_step = progress.step
    return settings.keep == "best"


def shown(row: dict[str, Any], progress: Progress) -> dict[str, str]:
    """The figures of the progress line."""
    figures = {"loss": f"{row['loss']:.3f}"}
    if progress.validation_loss is not None:
        figures["validation"] = f"{progress.validation_loss:.3f}"
    return {
        **figures,
        "speed": f"{progress.count / progress.seconds:,.0f} {SHORT.get(progress.unit, progress.unit)}/s",
    }


def results_of(progress: Progress, setup: Setup, settings: TrainingSettings) -> dict[str, Any]:
    """The figures of `results.json` that every training stage has; losses are those of the weights that are kept."""
    best = settings.keep == "best"
    validation_loss = progress.best_loss if best else progress.validation_loss
    energy = energy_of(progress.seconds, setup.ranks.size, setup.ranks.device, settings.watts)
    return {
        "steps": progress.step,
        "kept_step": progress.best_step if best else progress.step,
        progress.unit: progress.count,
        "train_loss": progress.train_loss,
        "validation_loss": validation_loss,
        "perplexity": math.exp(validation_loss) if validation_loss is not None and progress.unit == "tokens" else None,
        "seconds": progress.seconds,
        f"{progress.unit}_per_second": progress.count / progress.seconds,
        "device_hours": energy["device_hours"],
        "energy": energy,
        "precision": str(setup.precision).removeprefix("torch."),
        "compiled": setup.compiled,
        "processes": setup.ranks.size,
    }
