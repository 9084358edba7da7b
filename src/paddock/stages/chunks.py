"""What models make of prompts, a row a prompt or several, in chunks that a kill leaves whole or not at all.

FOLDER/000003.jsonl    the rows of 64 prompts
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from paddock.progress import say
from paddock.run_dir import read_json_lines, remove_leftovers, write_json_lines

PROMPTS_A_CHUNK = 64

Item = TypeVar("Item")


def rows_in_chunks(
    folder: Path, prompts: Sequence[Item], rows_of: Callable[[Sequence[Item], int], Iterable[Mapping[str, Any]]], name: str
) -> Iterator[dict[str, Any]]:
    """The rows of all prompts in order: read, where a chunk lies in `folder`, else made by `rows_of(prompts, chunk)`.

    `name` is the stage's, for progress.
    """
    if folder.exists():
        remove_leftovers(folder)
    for chunk, first in enumerate(range(0, len(prompts), PROMPTS_A_CHUNK)):
        file = folder / f"{chunk:06}.jsonl"
        if not file.exists():
            write_json_lines(file, rows_of(prompts[first : first + PROMPTS_A_CHUNK], chunk))
            say(f"{name}: {min(first + PROMPTS_A_CHUNK, len(prompts)):,} of {len(prompts):,} prompts answered")
        yield from read_json_lines(file)
