"""Progress on stderr: a bar on a terminal, a plain line a step elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SECONDS_BETWEEN_LINES = 5.0


def say(line: str) -> None:
    """Tell the user something, on stderr."""
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`42s`, `12m`, `3h05m`."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{seconds / 60:.0f}m"
    return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"


class ProgressLine:
    """Progress through `total` steps, always in the same order: `sft 120/500  loss 1.830  24,000 tok/s  eta 2m`.

    `start` is where a resumed run begins: the time left is worked out from the steps done in this process.
    """

    def __init__(self, label: str, total: int, start: int = 0) -> None:
        self.label, self.total, self.start = label, total, start
        self.began = time.monotonic()
        self.last_line = self.began - SECONDS_BETWEEN_LINES
        console = Console(stderr=True)
        self.bar = (
            Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}"), console=console)
            if console.is_terminal
            else None
        )
        self.task = self.bar.add_task(label, total=total, completed=start, line="") if self.bar else None

    def __enter__(self) -> ProgressLine:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, done: int, **figures: str) -> None:
        """Show that `done` of the steps are done, with figures already formatted (`loss="1.830"`)."""
        now = time.monotonic()
        if not self.bar and done < self.total and now - self.last_line < SECONDS_BETWEEN_LINES:
            return
        self.last_line = now
        taken = max(done - self.start, 1)
        left = duration((now - self.began) / taken * (self.total - done))
        words = "  ".join(f"{name} {value}" if name != "speed" else value for name, value in figures.items())
        line = f"{done}/{self.total}  {words}  eta {left}"
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, line=line)
        else:
            say(f"{self.label} {line}")
