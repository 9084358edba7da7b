"""A run's metrics: one JSON object a logged step, appended, and cut back to the step from which a killed run goes on."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from paddock.errors import MissingExtraError
from paddock.train.state import no_room_stops_the_run


class MetricsLog:
    """Appends rows to `path`, from `position` bytes on; what stood after it is dropped, for it will be written again.

    With `tensorboard`, numbers go to event files beside it as well. Only the first rank is `active`, and writes.
    """

    def __init__(self, path: Path, position: int, step: int, tensorboard: bool, active: bool = True) -> None:
        self.path, self.active, self.position = path, active, position
        self.board = _open_board(path.parent / "tensorboard", step) if tensorboard and active else None
        if active:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by __exit__)
            os.truncate(path, min(position, path.stat().st_size))

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.active:
            self.file.close()
        if self.board:
            self.board.close()

    def append(self, row: dict[str, Any]) -> None:
        """Write one row. Raises TrainingError where the disk is full."""
        if not self.active:
            return
        line = json.dumps(row).encode() + b"\n"
        with no_room_stops_the_run(self.path):
            if self.file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        if self.board:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "step":
                    self.board.add_scalar(f"{row['split']}/{name}", value, row["step"])

    def sync(self) -> int:
        """Bring the rows to the disk; return how many bytes they are, for a save to remember."""
        if not self.active:
            return 0
        os.fsync(self.file.fileno())
        return self.path.stat().st_size


def _open_board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard") from None
    return SummaryWriter(str(folder), purge_step=step + 1)
