"""A run's folders and files: atomic writes, what is complete, hashes of inputs.

A run is `runs/NAME/STAGE/`. A stage's folder holds `settings.json` (written first), `metrics.jsonl`, `samples.jsonl`,
`results.json`, `model/`, `checkpoints/`, and `stage.json`, written last and atomically: a stage without it is not complete.
What people chose lies in `labelled.jsonl`: no run removes a folder that holds one, and a stage whose file was changed since
it ended is not complete.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from paddock.errors import DataError, PaddockError, did_you_mean

WHOLE_FILE_BYTES = 256 * 1024 * 1024  # a larger file is fingerprinted by size, time and its two ends
END_BYTES = 1024 * 1024
LABELLED = "labelled.jsonl"  # what people chose, in the folder of the pairs: no machine can make it again


def atomic_write(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Write `content`, or its pieces as they come, so that a reader, or a kill at any moment, finds the old file or the
    new one, whole.
    """
    pieces = [content.encode()] if isinstance(content, str) else [content] if isinstance(content, bytes) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)
    sync_folder(path.parent)


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of JSON lines whole, a row at a time.

    Half a surrogate pair, which UTF-8 cannot hold, stands there as JSON escapes it.
    """
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    atomic_write(path, (line.encode(errors="backslashreplace") for line in lines))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The rows that `write_json_lines` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that grows a JSON object a line, such as `metrics.jsonl`; of an absent one, none.

    A last line without its end, which a kill or a full disk can leave, is passed over. Raises DataError for any other line
    that holds no object.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line_number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError:
                if not line.endswith(b"\n"):
                    return
                raise DataError(path, "not readable JSON", line=line_number) from None
            if not isinstance(row, dict):
                raise DataError(path, f"expected a JSON object, found {type(row).__name__}", line=line_number)
            yield row


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that becomes `path` once the block ends without an error.

    What stood at `path` before is replaced. A kill leaves a hidden `.NAME.*.tmp` folder, which `remove_leftovers` clears.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for file in temporary.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
    if path.exists():
        discarded = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
        path.replace(discarded)
        temporary.replace(path)
        shutil.rmtree(discarded, ignore_errors=True)
    else:
        temporary.replace(path)
    sync_folder(path.parent)


def refuse_strangers(folder: Path, own: str) -> None:
    """Raise PaddockError where `folder` holds files, none of them `own`: what is written there might replace them.

    `own` is the file that marks a folder of the kind that is to be written. Hidden files do not count.
    """
    strangers = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    if strangers and own not in strangers:
        raise PaddockError(f"{folder} holds files of something else ({strangers[0]}). Give --out a new or an empty folder")


def remove_leftovers(folder: Path) -> None:
    """Clear what a killed process left half-written in `folder`."""
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json(value: Any) -> str:
    """JSON as every file of a run has it: keys in order, two spaces, a line end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def hash_of(value: Any) -> str:
    """A short hash of any JSON value, the same in every process."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()


def fingerprint(path: Path) -> str:
    """A hash of a file's bytes, or of a folder's files with their names.

    Of a file over 256 MiB only the two ends, the size and the time of change are read, so that a terabyte costs no hour.
    """
    digest = hashlib.blake2b(digest_size=8)
    if path.is_dir():
        for member in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
            digest.update(f"{member.relative_to(path)}\0{fingerprint(member)}\n".encode())
        return digest.hexdigest()
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE_FILE_BYTES:
            while block := file.read(END_BYTES):
                digest.update(block)
        else:
            digest.update(f"{size} {path.stat().st_mtime_ns}".encode())
            digest.update(file.read(END_BYTES))
            file.seek(-END_BYTES, os.SEEK_END)
            digest.update(file.read())
    return digest.hexdigest()


def fingerprint_inputs(paths: Iterable[str]) -> dict[str, str]:
    """The fingerprint of each input: a file, a folder, a glob, or a data set on a hub (which stands for itself).

    Raises DataError for a path that does not exist.
    """
    paths = list(paths)
    require_inputs(paths)
    found = {}
    for name in paths:
        if name.startswith("hf://"):
            found[name] = name
            continue
        members = [name] if Path(name).exists() else sorted(glob.glob(name, recursive=True))
        prints = [fingerprint(Path(member)) for member in members]
        found[name] = prints[0] if members == [name] else hash_of(prints)
    return found


def missing_inputs(paths: Iterable[str]) -> list[str]:
    """Those of the inputs that are not there; a data set on a hub is taken to be."""
    local = [path for path in paths if not path.startswith("hf://")]
    return [path for path in local if not Path(path).exists() and not glob.glob(path, recursive=True)]


def require_inputs(paths: Iterable[str]) -> None:
    """Raises DataError for the first of the inputs that is not there, with the nearest name that is."""
    for path in missing_inputs(paths):
        siblings = (other.name for other in Path(path).parent.glob("*"))
        raise DataError(path, "there is no such file or folder", mend=did_you_mean(Path(path).name, siblings).strip())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone; the hold ends with the process, however it ends. Raises PaddockError."""
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PaddockError(f"{folder} is in use by another process of Paddock. Wait for it, or stop it") from None
        yield


def versions() -> dict[str, str]:
    """What made a result: the versions of Python, Paddock and the libraries that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("paddock", "torch", "numpy", "sentencepiece"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class StageDir:
    """The folder of one stage. Nothing is created before `begin`."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Settings, hashes of inputs, seed and versions; written first."""
        return self.path / "settings.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON object a logged step."""
        return self.path / "metrics.jsonl"

    @property
    def samples_file(self) -> Path:
        """One JSON object a prompt, with what the model answered."""
        return self.path / "samples.jsonl"

    @property
    def results_file(self) -> Path:
        """The stage's figures."""
        return self.path / "results.json"

    @property
    def stage_file(self) -> Path:
        """The mark of a complete stage; written last."""
        return self.path / "stage.json"

    @property
    def labelled_file(self) -> Path:
        """What people chose, where the stage waits for them."""
        return self.path / LABELLED

    @property
    def model(self) -> Path:
        """The trained model, as transformers writes one."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """Saved states for resuming."""
        return self.path / "checkpoints"

    @property
    def data(self) -> Path:
        """Encoded inputs of the stage."""
        return self.path / "data"

    def is_complete(self) -> bool:
        """Whether the stage ended, with what people chose as it is now."""
        return self.stage_file.exists() and not self.is_labelled_anew()

    def is_labelled_anew(self) -> bool:
        """Whether `labelled.jsonl` was changed since the stage ended."""
        if not (self.stage_file.exists() and self.labelled_file.exists()):
            return False
        before = json.loads(self.stage_file.read_text()).get("labelled")  # None: an older Paddock made the mark
        return before is not None and before != fingerprint(self.labelled_file)

    def begin(
        self,
        stage: str,
        settings: dict[str, Any],
        inputs: dict[str, str],
        may_change: Collection[str] = (),
        passing: Collection[str] = (),
    ) -> bool:
        """Write `settings.json`, or find it as this call would write it. Returns whether the folder is being resumed.

        `settings` holds the seed; `inputs` maps each input's path to its fingerprint. What `may_change` and `passing` name
        (`StageSettings` says what they are) may differ from what is found: the stage goes on under `settings`. Where only
        what is `passing` differs, a complete one is left as it is. Raises PaddockError where the folder belongs to a run of
        other settings or inputs, since a resumed run must be the same run, or holds other files.
        """
        wanted = {"stage": stage, "settings": settings, "inputs": inputs}
        refuse_strangers(self.path, self.settings_file.name)
        if not self.settings_file.exists():
            atomic_write(self.settings_file, to_json({**wanted, "versions": versions()}))
            return False
        if changed := self.changes(stage, settings, inputs, {*may_change, *passing}):
            raise PaddockError(
                f"{self.path} holds a run of other settings ({'; '.join(changed)}). "
                "Give --out another folder, or remove this one"
            )
        remove_leftovers(self.path)
        found = self.read_settings()
        if without(found["settings"], passing) != without(settings, passing):
            self.stage_file.unlink(missing_ok=True)
        if found["settings"] != settings and not self.is_complete():
            atomic_write(self.settings_file, to_json({**found, "settings": settings}))
        return True

    def changes(self, stage: str, settings: dict[str, Any], inputs: dict[str, str], free: Collection[str]) -> list[str]:
        """In words, what differs from the run that the folder holds, settings that `free` names aside."""
        found = self.read_settings()
        held = {"stage": found.get("stage"), "settings": without(found["settings"], free), "inputs": found.get("inputs")}
        return differences(held, {"stage": stage, "settings": without(settings, free), "inputs": inputs})

    def read_settings(self) -> dict[str, Any]:
        """The object in `settings.json`."""
        content: dict[str, Any] = json.loads(self.settings_file.read_text())
        return content

    def read_results(self) -> dict[str, Any]:
        """The object in `results.json`."""
        content: dict[str, Any] = json.loads(self.results_file.read_text())
        return content

    def write_samples(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write `samples.jsonl` whole."""
        write_json_lines(self.samples_file, rows)

    def complete(self, results: dict[str, Any]) -> None:
        """Write the results, and then the mark that the stage is complete."""
        atomic_write(self.results_file, to_json(results))
        settings = self.read_settings()
        mark = {"stage": settings["stage"], "settings_hash": hash_of(settings["settings"]), "inputs": settings["inputs"]}
        labelled = {"labelled": fingerprint(self.labelled_file)} if self.labelled_file.exists() else {}
        atomic_write(self.stage_file, to_json({**mark, **labelled}))


def model_folder(path: Path | str) -> Path:
    """The folder of a model or tokenizer: `path` itself, or the `model/` in it where `path` is a stage's folder."""
    stage_dir = StageDir(Path(path))
    return stage_dir.model if stage_dir.settings_file.is_file() and stage_dir.model.is_dir() else stage_dir.path


def within_run(run: Path, value: Any) -> Any:
    """A JSON value whose paths in the folder `run` begin with `${run}` instead, so that a run can be moved."""
    if isinstance(value, dict):
        return {key: within_run(run, item) for key, item in value.items()}
    if isinstance(value, list):
        return [within_run(run, item) for item in value]
    inside = f"{run}/"
    return "${run}/" + value.removeprefix(inside) if isinstance(value, str) and value.startswith(inside) else value


def without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """A JSON object less what `names` stand for: a key, `watts`, or one in an object within it, `rejection.watts`."""
    left = {key: value for key, value in values.items() if key not in names}
    for key, value in left.items():
        if isinstance(value, dict):
            left[key] = without(value, {name.removeprefix(f"{key}.") for name in names if name.startswith(f"{key}.")})
    return left


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """The places where two JSON values differ, in words: `settings.learning_rate was 0.003, is now 0.001`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            text
            for key in sorted(old.keys() | new.keys())
            for text in differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        ]
    if _are_objects(old) and _are_objects(new) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [text for place, pair in pairs for text in differences(*pair, f"{name}[{place}]")]
    return [] if old == new else [f"{name} was {json.dumps(old)}, is now {json.dumps(new)}"]


def _are_objects(value: Any) -> bool:
    """Whether a JSON value is a list of objects, such as the sources of a stage."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
