"""A recipe: the stages of a run and their settings, in one YAML file.

    name: miniature
    seed: 0
    inputs: {documents: [my-data/documents]}       # names for what comes from outside, changed by --set inputs.documents=...
    stages:
      tokenizer: {data: "${inputs.documents}", vocab_size: 1024}
      pretrain: {data: "${inputs.documents}", tokenizer: "${tokenizer}/model", ...}
      longer-pretrain: {stage: pretrain, ...}      # a stage under another name

`${NAME}` is the folder of an earlier stage of the run; `${inputs.KEY}` is a value of `inputs`. Stages run in the order in
which they are written. A complete stage whose settings and inputs still hold is skipped, a broken one goes on where it was
killed, one that a change touches is done again, and each time the reason is said. A stage that holds what people chose is
never removed: such a change is refused.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paddock.catalog import Stage, find_stage
from paddock.errors import PaddockError, SettingsError, did_you_mean
from paddock.memory import give_back_freed_memory, keep_freed_memory
from paddock.progress import say
from paddock.run_dir import (
    LABELLED,
    StageDir,
    atomic_write,
    fingerprint_inputs,
    locked,
    missing_inputs,
    read_log,
    within_run,
    without,
)
from paddock.settings import StageSettings, assign, parse, read_yaml_file

if TYPE_CHECKING:
    from paddock.train.parallel import Ranks

RECIPE_KEYS = ("name", "seed", "inputs", "stages", "result")
RECIPE_FILE = "recipe.json"
SECONDS_BETWEEN_REPORTS = 60.0
REFERENCE = re.compile(r"\$\{([^}]*)\}")

State = Literal["complete", "unfinished", "not started", "changed"]


@dataclass(frozen=True)
class Step:
    """One stage of a run: its name in the recipe, what it is, and its settings with all references filled in."""

    name: str
    kind: str
    stage: Stage
    settings: StageSettings
    folder: StageDir

    def record(self) -> dict[str, Any]:
        """The settings as `settings.json` holds them: paths in the run begin with `${run}`, so that a run can be moved."""
        values: dict[str, Any] = within_run(self.folder.path.parent, self.settings.model_dump(mode="json"))
        return values

    def inputs(self) -> dict[str, str]:
        """The fingerprint of each input, paths as in `record`. Raises DataError for one that is not there."""
        run, found = self.folder.path.parent, fingerprint_inputs(self.settings.inputs())
        return {within_run(run, path): print_ for path, print_ in found.items()}

    def changes(self) -> list[str]:
        """In words, what differs from the run that the folder holds, so that what it has made does not hold any more."""
        free = self.settings.may_change | self.settings.passing
        return self.folder.changes(self.kind, self.record(), self.inputs(), free)

    def goes_on(self) -> bool:
        """Whether the run that the folder holds is the same one, but for how far it is to go."""
        passing = self.settings.passing
        held, wanted = (without(values, passing) for values in (self.folder.read_settings()["settings"], self.record()))
        return held != wanted and not self.changes()

    def begin(self) -> bool:
        """Make the folder ready. Returns whether it is being resumed. Raises PaddockError where it holds another run."""
        settings = self.settings
        return self.folder.begin(self.kind, self.record(), self.inputs(), settings.may_change, settings.passing)


@dataclass(frozen=True)
class Recipe:
    """A recipe, read and checked: every stage's settings are valid before any work starts."""

    name: str
    steps: tuple[Step, ...]
    source: dict[str, Any]


def read_recipe(path: Path, assignments: Sequence[str] = (), seed: int | None = None, out: Path | None = None) -> Recipe:
    """Read a recipe's file. `assignments` are `--set` words (`pretrain.steps=10`, `inputs.documents=[a.txt]`).

    `out` is the run's folder (default `runs/NAME`). Raises DataError for a file that cannot be read, SettingsError for
    what it says.
    """
    content = read_yaml_file(path, "recipe")
    stages = content.get("stages")
    named = [w if _is_top_level(w, stages) else f"stages.{w}" for w in assignments]
    content = assign(content, named)
    if seed is not None:
        content["seed"] = seed
    return build_recipe(content, out or Path("runs") / str(content.get("name", path.stem)), str(path))


def _is_top_level(assignment: str, stages: Any) -> bool:
    head = re.split(r"[.=]", assignment, maxsplit=1)[0]
    return head in RECIPE_KEYS and not (isinstance(stages, dict) and head in stages)


def build_recipe(content: Mapping[str, Any], out: Path, where: str) -> Recipe:
    """Check a recipe's content, and fill in its references. Raises SettingsError."""
    for key in content:
        if key not in RECIPE_KEYS:
            raise SettingsError(
                f'{where}: unknown key "{key}".{did_you_mean(key, RECIPE_KEYS)} Known: {", ".join(RECIPE_KEYS)}'
            )
    seed, stages, inputs = content.get("seed", 0), content.get("stages"), content.get("inputs") or {}
    if not isinstance(stages, dict) or not stages:
        raise SettingsError(f'{where}: "stages" must name at least one stage')
    if not isinstance(seed, int):
        raise SettingsError(f"{where}: seed is {seed!r}, and must be a whole number")
    if not isinstance(inputs, dict):
        raise SettingsError(f'{where}: "inputs" is {inputs!r}, and must give names to values: {{documents: [a.txt]}}')
    known = {f"inputs.{key}": value for key, value in inputs.items()}
    steps: list[Step] = []
    for name, raw in stages.items():
        step = _build_step(str(name), raw or {}, References(known, f"{where}: stage {name}"), seed=seed, out=out)
        steps.append(step)
        known = {**known, step.name: str(step.folder.path)}
    if (result := content.get("result")) is not None and result not in stages:
        problem = f"{where}: result is {result!r}, and must name the stage whose model stands for the run."
        raise SettingsError(problem + did_you_mean(str(result), stages))
    source = {"name": content.get("name", out.name), "seed": seed, "inputs": inputs, "stages": stages, "result": result}
    return Recipe(str(source["name"]), tuple(steps), source)


@dataclass(frozen=True)
class References:
    """What `${...}` may stand for at one place of a recipe."""

    known: Mapping[str, Any]
    where: str

    def fill(self, value: Any) -> Any:
        """Fill in a value of any depth. A list that stands for an item of a list is spliced into it."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            filled = [self.fill(item) for item in value]
            return [part for item in filled for part in (item if isinstance(item, list) else [item])]
        if not isinstance(value, str):
            return value
        if whole := REFERENCE.fullmatch(value):
            return self.look_up(whole[1])
        return REFERENCE.sub(lambda found: str(self.look_up(found[1])), value)

    def look_up(self, name: str) -> Any:
        """The value of one name. Raises SettingsError that lists what is known."""
        if name in self.known:
            return self.known[name]
        raise SettingsError(
            f'{self.where}: "${{{name}}}" is neither an earlier stage nor an input.{did_you_mean(name, self.known)} '
            f"Known here: {', '.join(self.known) or 'nothing'}"
        )


def _build_step(name: str, raw: Any, references: References, *, seed: int, out: Path) -> Step:
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        raise SettingsError(f"{references.where}: a stage's name becomes a folder: use letters, digits, - and _")
    if not isinstance(raw, dict):
        raise SettingsError(f"{references.where}: expected settings, found {raw!r}")
    values = references.fill(raw)
    kind = str(values.pop("stage", name))
    stage = find_stage(kind)
    values.setdefault("seed", seed)
    return Step(name, kind, stage, parse(stage.settings, values, references.where), StageDir(out / name))


def run_recipe(recipe: Recipe, out: Path) -> dict[str, Any]:
    """Bring every stage of the run in `out` to its end, and draw the report as they end. Returns the results by stage."""
    results: dict[str, Any] = {}
    with joined() as ranks, held(out, ranks):
        if is_first(ranks):
            # The order of the stages is part of a recipe: keys stay as they are.
            atomic_write(out / RECIPE_FILE, json.dumps(recipe.source, indent=2))
        with drawn_report(out, is_first(ranks)) as stage_ended:
            for step in recipe.steps:
                if is_first(ranks):
                    discard_if_changed(step)
                results[step.name] = run_step(step, ranks)
                give_back_freed_memory()
                stage_ended()
    return results


@contextmanager
def drawn_report(out: Path, active: bool) -> Iterator[Callable[[], None]]:
    """What to call when a stage has ended: it draws the report once a minute. The end, or an error, draws what is new since.

    The report of a long recipe takes seconds to draw, and many of its stages take no longer.
    """
    from paddock.report.page import write_report

    drawn, stale = time.monotonic(), False

    def stage_ended() -> None:
        nonlocal drawn, stale
        stale = active
        if active and time.monotonic() - drawn > SECONDS_BETWEEN_REPORTS:
            write_report(out)
            drawn, stale = time.monotonic(), False

    try:
        yield stage_ended
    finally:
        if stale:
            write_report(out)


def run_step(step: Step, ranks: Ranks | None = None) -> dict[str, Any]:
    """Skip, resume or start one stage, and say which. The first process reads and writes the stage's files.

    Raises PaddockError where the folder holds a run of other settings or inputs.
    """
    finished = begin(step) if is_first(ranks) else None
    if ranks:
        finished = ranks.from_first(finished)
    if finished is not None:
        return finished
    began = time.monotonic()
    results = step.stage.run(step.settings, step.folder) if is_first(ranks) or step.stage.is_parallel else {}
    results.setdefault("seconds", time.monotonic() - began)
    if is_first(ranks):
        step.folder.complete(results)
    return ranks.from_first(results) if ranks else results


def begin(step: Step) -> dict[str, Any] | None:
    """Make a stage's folder ready, and return its results where it is complete already."""
    resumes = step.begin()
    if step.folder.is_complete():
        say(f"{step.name}: complete, skipped (nothing that it depends on has changed)")
        return step.folder.read_results()
    unfinished = f"{LABELLED} has changed, goes on" if step.folder.is_labelled_anew() else "unfinished, goes on"
    say(f"{step.name}: {unfinished if resumes else 'starts'}")
    return None


def discard_if_changed(step: Step) -> None:
    """Remove a stage's folder where a change of settings or inputs touches it, and say why.

    Raises PaddockError, and leaves it, where people's choices would be lost.
    """
    if step.folder.settings_file.exists() and (changes := step.changes()):
        why = f"{'; '.join(changes[:3])}{' ...' if len(changes) > 3 else ''}"
        if labelled := next(step.folder.path.rglob(LABELLED), None):
            raise PaddockError(
                f"{step.name} would be done again ({why}), and {labelled}, which holds what people chose, would be lost. "
                f"Undo the change, or move {step.folder.path} out of the run's folder"
            )
        say(f"{step.name}: done again: {why}")
        shutil.rmtree(step.folder.path)


@contextmanager
def joined() -> Iterator[Ranks | None]:
    """The processes that `torchrun` started, as one group; None where this process is the only one."""
    keep_freed_memory()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield None
        return
    from paddock.train.parallel import processes

    with processes() as ranks:
        yield ranks


@contextmanager
def held(folder: Path, ranks: Ranks | None) -> Iterator[None]:
    """Make `folder`, and let no other run into it: the first process holds it for all."""
    if not is_first(ranks):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        yield


def is_first(ranks: Ranks | None) -> bool:
    """Whether this process reads and writes the run's files."""
    return ranks is None or ranks.is_first


def plan_recipe(recipe: Recipe) -> list[dict[str, Any]]:
    """For each stage: what it is, how it stands, and what it would do. A stage whose inputs do not exist yet says so."""
    plans = []
    for step in recipe.steps:
        missing = missing_inputs(step.settings.inputs())
        about = {"waits_for": missing} if missing else step.stage.plan(step.settings)
        plans.append({"name": step.name, "stage": step.kind, "state": state_of(step), **about})
    return plans


def state_of(step: Step) -> State:
    """How a stage of a run stands."""
    if not step.folder.settings_file.exists():
        return "not started"
    if missing_inputs(step.settings.inputs()) or step.changes() or step.goes_on():
        return "changed"
    return "complete" if step.folder.is_complete() else "unfinished"


def status(run: Path) -> list[dict[str, Any]]:
    """How each stage of the run in `run` stands, in order. Raises SettingsError where the folder holds no run."""
    file = run / RECIPE_FILE
    if not file.is_file():
        raise SettingsError(f"{run} holds no run: there is no {RECIPE_FILE} in it. `paddock run RECIPE` makes one")
    recipe = build_recipe(json.loads(file.read_text()), run, str(file))
    return [
        {"name": step.name, "stage": step.kind, "state": state_of(step), **_headline(step.folder)} for step in recipe.steps
    ]


def _headline(folder: StageDir) -> dict[str, Any]:
    """Where a stage is, or what came of it: the last logged step, or its plain figures."""
    if folder.is_complete():
        results = folder.read_results()
        return {key: value for key, value in results.items() if isinstance(value, int | float | str)}
    steps = [row["step"] for row in read_log(folder.metrics_file)]
    return {"step": steps[-1]} if steps else {}
