"""What every run of steps does beside its steps: go on from a save, keep time, tell how it goes, save, know when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from torch import Tensor

from paddock.progress import ProgressLine, say
from paddock.run_dir import StageDir
from paddock.train.metrics import MetricsLog
from paddock.train.settings import TrainingSettings
from paddock.train.state import Saves


@dataclass
class Progress:
    """What a run of steps knows of itself beside its tensors; saved with every save. Loops add what is their own."""

    step: int = 0
    seconds: float = 0.0
    metrics_bytes: int = 0
    best_step: int | None = None
    evaluations_since_best: int = 0


AnyProgress = TypeVar("AnyProgress", bound=Progress)


def resume(saves: Saves, fresh: AnyProgress, restore: Callable[[Mapping[str, Tensor]], None]) -> AnyProgress:
    """Put back the tensors of the newest whole save, and return its progress; `fresh` where there is none.

    Every rank must call it.
    """
    found = saves.newest()
    if found is None:
        return fresh
    restore(found[1])
    progress = replace(fresh, **found[0])
    if saves.ranks.is_first:
        say(f"goes on from step {progress.step:,}")
    return progress


@dataclass(frozen=True)
class Steps:
    """A run of steps on its way."""

    progress: Progress
    total: int
    settings: TrainingSettings
    saves: Saves
    log: MetricsLog
    line: ProgressLine | None
    began: float

    def go_on(self) -> bool:
        """Whether there is another step to take: not after the last, nor after too many evaluations without a better one."""
        patience, progress = self.settings.patience, self.progress
        return progress.step < self.total and (patience is None or progress.evaluations_since_best < patience)

    def is_due(self, every: int) -> bool:
        """Whether something is to be done now that is done every so many steps, and at the end."""
        return self.progress.step % every == 0 or not self.go_on()

    def tick(self) -> None:
        """Bring the run's seconds up to now."""
        self.progress.seconds = time.monotonic() - self.began

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Save this step. Every rank must call it. Raises TrainingError where the disk is full."""
        self.tick()
        self.progress.metrics_bytes = self.log.sync()
        self.saves.write(self.progress.step, tensors, asdict(self.progress))

    def show(self, figures: Mapping[str, str]) -> None:
        """Update the line of progress."""
        if self.line:
            self.line.update(self.progress.step, **figures)


@contextmanager
def under_way(
    label: str, total: int, progress: Progress, settings: TrainingSettings, stage_dir: StageDir, saves: Saves
) -> Iterator[Steps]:
    """A run of `total` steps, from `progress` on: its metrics and its line of progress are open, the first rank's alone."""
    active = saves.ranks.is_first
    with (
        MetricsLog(stage_dir.metrics_file, progress.metrics_bytes, progress.step, settings.tensorboard, active) as log,
        ProgressLine(label, total, progress.step) if active else nullcontext() as line,
    ):
        yield Steps(progress, total, settings, saves, log, line, time.monotonic() - progress.seconds)
