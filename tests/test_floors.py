"""Data flows one way: a file imports only from floors above its own, and light floors never import torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import paddock

SOURCE = Path(paddock.__file__).parent

# Top floor first. A name is a module or a folder of `paddock`; those on one floor know nothing of each other.
FLOORS = (
    ("errors",),
    ("statistics", "run_dir", "journal", "progress", "settings", "memory"),
    ("text",),
    ("protocols",),
    ("miniature", "model"),
    ("train", "backends"),
    ("evaluate", "safety"),
    ("stages",),
    ("report",),
    ("studio",),
    ("catalog",),
    ("recipe",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
LIGHT = (
    "errors",
    "statistics",
    "run_dir",
    "journal",
    "progress",
    "settings",
    "memory",
    "text",
    "protocols",
    "miniature",
    "report",
    "studio",
    "catalog",
    "recipe",
    "cli",
)
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def place_of(path: Path) -> str:
    """The module or folder of `paddock` that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_places(code: str) -> set[str]:
    """The modules and folders of `paddock` that a file imports, at its top or within its functions."""
    places = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        places |= {name.split(".")[1] for name in names if name.startswith("paddock.")}
    return places


def wrong_imports(place: str, code: str) -> set[str]:
    return {name for name in imported_places(code) - {place} if FLOOR_OF[name] >= FLOOR_OF[place]}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_only_from_floors_above_its_own(path):
    assert wrong_imports(place_of(path), path.read_text(encoding="utf-8")) == set()


def test_an_import_that_points_down_or_sideways_is_seen():
    code = "import paddock.cli.main, torch\ndef f():\n    from paddock import train\nfrom paddock.miniature.world import x\n"
    assert wrong_imports("model", code) == {"cli", "train", "miniature"}


def test_every_file_has_a_floor():
    assert {place_of(path) for path in FILES} <= FLOOR_OF.keys()


def test_packages_export_nothing():
    for path in SOURCE.rglob("__init__.py"):
        body = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if not isinstance(node, ast.Expr)]
        assert [node for node in body if not isinstance(node, ast.Assign)] == []


def test_light_floors_do_not_import_torch():
    modules = [module_of(path) for path in FILES if place_of(path) in LIGHT]
    assert len(modules) > 20
    code = (
        f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"
