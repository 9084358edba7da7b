"""Settings: what they are made of, and how a wrong one is answered."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from paddock.errors import DataError, SettingsError, did_you_mean


class StageSettings(BaseModel):
    """The settings of one stage: frozen, and strict about keys. A field has a description with its unit and its source."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    may_change: ClassVar[frozenset[str]] = frozenset()
    """Names of settings that say how far to go, or what to tell at the end: a stage, complete or not, goes on under another
    value, with all that it has made. `rejection.watts` is a name within a setting that holds settings."""

    passing: ClassVar[frozenset[str]] = frozenset()
    """Names of settings that touch nothing but the stage's own way there: a complete stage stays complete under another
    value."""

    def inputs(self) -> list[str]:
        """The files, folders and globs that the stage reads: their contents decide whether a finished stage still holds."""
        return []


AnySettings = TypeVar("AnySettings", bound=StageSettings)


def parse(cls: type[AnySettings], values: Mapping[str, Any], where: str) -> AnySettings:
    """Build `cls` from plain values. Raises SettingsError naming `where`, the field, the fault and the nearest known key."""
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        lines = [f"{where}: {_in_words(cls, problem)}" for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from None


def _in_words(cls: type[BaseModel], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(cls, path[:-1])
        return f'unknown setting "{name}".{did_you_mean(path[-1], known) or " Known: " + ", ".join(sorted(known)) + "."}'
    if problem["type"] == "missing":
        return f'the setting "{name}" is missing'
    message = str(problem["msg"]).removeprefix("Value error, ").replace("a valid tuple", "a list")  # as YAML has it
    if not path:
        return message
    shown = repr(problem["input"])
    return f"{name} is {shown if len(shown) <= 80 else shown[:77] + '...'}: {message[0].lower() + message[1:]}"


def _known_keys(cls: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of `cls`, or of the nested settings at `path` within it."""
    for part in path:
        field = cls.model_fields.get(part)
        annotations = [] if field is None else [field.annotation, *get_args(field.annotation)]
        nested = [a for a in annotations if isinstance(a, type) and issubclass(a, BaseModel)]
        if nested:
            cls = nested[0]
    return list(cls.model_fields)


def assign(values: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `values` with each `key.sub=value` of `assignments` set; a value is read as YAML.

    Raises SettingsError for a word without `=`, or a path that runs through something that holds no keys.
    """
    changed = copy.deepcopy(values)
    for word in assignments:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise SettingsError(f"--set {word}: write it as key=value, for example --set learning_rate=0.001")
        *parents, last = key.split(".")
        place: Any = changed
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SettingsError(f"--set {word}: {parent!r} holds a single value, not further keys")
        place[last] = read_value(text, f"--set {word}")
    return changed


def read_value(text: str, where: str) -> Any:
    """Read one value as YAML, with `1e-3` as the number that people mean by it."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingsError(f"{where}: the value is not readable YAML") from None
    return _numbers(value)


def read_yaml(text: str, where: str) -> dict[str, Any]:
    """Read a YAML mapping. Raises SettingsError that names the line where it breaks."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SettingsError(f"{where}{line}: not readable YAML: {getattr(error, 'problem', error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{where}: expected keys with values, found {type(content).__name__}")
    return {str(key): _numbers(item) for key, item in content.items()}


def read_yaml_file(path: Path | str, what: str, mend: str | None = None) -> dict[str, Any]:
    """The mapping in a YAML file, which errors call `what`. Raises DataError for a file that is not there or holds no text
    in UTF-8, and otherwise as `read_yaml`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(path, f"there is no such {what}", mend=mend) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"this {what} cannot be read ({error})", mend=mend) from None
    return read_yaml(text, str(path))


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as a string; everybody means a number."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and "e" in value.lower() and value[:1] in "+-.0123456789":
        try:
            return float(value)
        except ValueError:
            return value
    return value
