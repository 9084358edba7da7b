"""Write docs/settings.md and docs/cli.md from the code; with --check, fail where they are not what the code says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from paddock.catalog import STAGES, find_stage
from paddock.cli.main import app

DOCS = Path(__file__).parent.parent / "docs"
NOTE = "Written by `make docs` from the code; edit the code.\n"


def settings_page() -> str:
    """The settings of every stage: name, type, default, meaning."""
    parts = ["# Settings\n", NOTE, "The same names serve in a recipe, in a `--config` file and after `--set`.\n"]
    for name in STAGES:
        parts.append(f"## {name}\n\n| setting | default | meaning |\n|---|---|---|")
        parts.extend(settings_rows(find_stage(name).settings, ""))
        parts.append("")
    return "\n".join(parts)


def settings_rows(model: type[BaseModel], prefix: str) -> list[str]:
    """One row a field; nested settings, also those that may be absent, follow as `outer.inner`."""
    rows = []
    for name, field in model.model_fields.items():
        choices = get_args(field.annotation) if type(None) in get_args(field.annotation) else (field.annotation,)
        nested = next((one for one in choices if isinstance(one, type) and issubclass(one, BaseModel)), None)
        if field.annotation is not nested:
            rows.append(f"| `{prefix}{name}` | {default_of(field)} | {(field.description or '').replace('|', '/')} |")
        if nested is not None:
            rows.extend(settings_rows(nested, f"{prefix}{name}."))
    return rows


def default_of(field: Any) -> str:
    """A field's default as a user would write it."""
    value = field.default_factory() if field.default_factory else field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value == ():
        return "none"
    return f"`{value}`"


def cli_page() -> str:
    """The help of every command, as it prints."""
    parts = ["# Commands\n", NOTE]
    command = typer.main.get_command(app)
    parts.extend(command_help(command, "paddock"))
    return "\n".join(parts)


def command_help(command: Any, path: str) -> list[str]:
    """A command's synopsis, its arguments and options, and those of its subcommands."""
    if commands := getattr(command, "commands", None):
        summaries = [f"- `{path} {name}`: {sub.get_short_help_str(200)}" for name, sub in commands.items()]
        parts = [f"## {path}\n", command.help or "", "", *summaries, ""]
        for name, sub in commands.items():
            parts.extend(command_help(sub, f"{path} {name}"))
        return parts
    rows = ["| word | meaning |", "|---|---|"]
    for word in command.params:
        names = ", ".join(word.opts) if word.param_type_name == "option" else (word.metavar or word.name)
        rows.append(f"| `{names}` | {getattr(word, 'help', None) or ''} |")
    return [f"## {path}\n", (command.help or "").strip(), "", *rows, ""]


def main() -> int:
    """Write the pages, or compare them."""
    stale = []
    for name, content in {"settings.md": settings_page(), "cli.md": cli_page()}.items():
        page = DOCS / name
        if "--check" not in sys.argv:
            page.write_text(content.rstrip() + "\n")
        elif not page.exists() or page.read_text() != content.rstrip() + "\n":
            stale.append(name)
    if stale:
        print(f"not in step with the code: {', '.join(stale)}. Run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
