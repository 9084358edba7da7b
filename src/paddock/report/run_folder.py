"""A run's folder as the report reads it: the files that stages write, and nothing else.

A stage that is not complete is read as far as it came. A last line without its end, which a killed process can leave, is
passed over; anything else that cannot be read is a DataError.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from paddock.errors import DataError, PaddockError
from paddock.run_dir import StageDir, fingerprint, read_log

SAMPLES_SHOWN = 12


@dataclass(frozen=True)
class Part:
    """A stage within a stage, such as `v1/rejection` of `rlhf`: the folder that groups it, its own name, what it found."""

    group: str
    name: str
    results: dict[str, Any]


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run. `samples` are spread over the `sample_count` rows of its file; `parts` stand in order.

    `made` maps the folders that the stage left to their bytes; `model_hash` is None where it left no network to chat with.
    """

    folder: Path
    name: str
    kind: str
    state: Literal["complete", "unfinished", "not started"]
    settings: dict[str, Any]
    settings_hash: str | None
    inputs: dict[str, str]
    versions: dict[str, str]
    metrics: tuple[dict[str, Any], ...]
    results: dict[str, Any]
    samples: tuple[dict[str, Any], ...]
    sample_count: int
    made: dict[str, int]
    model_hash: str | None
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Run:
    """A run: its folder and its stages in order; `result` names the stage whose model stands for it, if a recipe does."""

    folder: Path
    name: str
    stages: tuple[StageRecord, ...]
    result: str | None = None


def read_run(folder: Path) -> Run:
    """Read the run in `folder`. Raises PaddockError where there is none, DataError for a file that cannot be read."""
    if not folder.is_dir():
        raise PaddockError(f"{folder}: there is no such run. `paddock run RECIPE` makes one")
    recipe = _object(folder / "recipe.json")
    stages = tuple(_stages(folder, recipe))
    if not stages:
        raise PaddockError(f"{folder} holds no run: there is neither a recipe.json nor a stage's settings.json in it")
    return Run(folder, str(recipe.get("name", folder.resolve().name)), stages, recipe.get("result"))


def _stages(folder: Path, recipe: dict[str, Any]) -> Iterator[StageRecord]:
    """The stages in the recipe's order; those of no recipe follow, in the order in which they were started.

    The folder of a stage that ran by itself is a run of one stage.
    """
    begun = [child for child in (folder, *folder.iterdir()) if (child / "settings.json").is_file()]
    begun.sort(key=lambda child: ((child / "settings.json").stat().st_mtime_ns, child.name))
    planned: dict[str, Any] = recipe.get("stages", {})
    for name, settings in planned.items():
        yield _stage(StageDir(folder / name), (settings or {}).get("stage", name))
    for child in begun:
        if child.name not in planned:
            yield _stage(StageDir(child), child.name)


def _stage(stage: StageDir, kind: str) -> StageRecord:
    begun = stage.settings_file.is_file()
    settings, mark = _object(stage.settings_file), _object(stage.stage_file)
    samples, sample_count = _spread(stage.samples_file)
    return StageRecord(
        folder=stage.path,
        name=stage.path.name,
        kind=settings.get("stage", kind),
        state="complete" if stage.is_complete() else "unfinished" if begun else "not started",
        settings=settings.get("settings", {}),
        settings_hash=mark.get("settings_hash"),
        inputs=settings.get("inputs", {}),
        versions=settings.get("versions", {}),
        metrics=_latest(read_log(stage.metrics_file)),
        results=_object(stage.results_file),
        samples=samples,
        sample_count=sample_count,
        made=_made(stage.path),
        model_hash=fingerprint(stage.model) if (stage.model / "config.json").is_file() else None,
        parts=tuple(_parts(stage.path)),
    )


def _parts(folder: Path) -> Iterator[Part]:
    """The stages two folders down that have begun: `v2` before `v10`, those of one group by name."""
    parts = [StageDir(settings.parent) for settings in folder.glob("v*/*/settings.json")]
    for part in sorted(parts, key=lambda part: (len(part.path.parent.name), part.path.parent.name, part.path.name)):
        yield Part(part.path.parent.name, part.path.name, _object(part.results_file))


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an absent file is an empty one."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        raise DataError(path, "not readable JSON", mend="Remove the stage's folder and run it again") from None
    if not isinstance(content, dict):
        raise DataError(path, f"expected a JSON object, found {type(content).__name__}")
    return content


def _latest(rows: Iterator[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """One row a split and step, by step: what a resumed run logged again stands for what it logged before."""
    latest = {(row.get("split"), row.get("step")): row for row in rows if isinstance(row.get("step"), int)}
    return tuple(sorted(latest.values(), key=lambda row: row["step"]))


def _spread(path: Path) -> tuple[tuple[dict[str, Any], ...], int]:
    """Rows evenly spread over a file, first and last among them, and how many rows it has."""
    count = sum(1 for _ in read_log(path))
    shown = min(count, SAMPLES_SHOWN)
    wanted = {round(place * (count - 1) / max(shown - 1, 1)) for place in range(shown)}
    return tuple(row for place, row in enumerate(read_log(path)) if place in wanted), count


def _made(folder: Path) -> dict[str, int]:
    """The folders and sample files that a stage left, with their bytes."""
    if not folder.is_dir():
        return {}
    kept = [child for child in sorted(folder.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    return {f"{child.name}/": sum(file.stat().st_size for file in child.rglob("*") if file.is_file()) for child in kept}
