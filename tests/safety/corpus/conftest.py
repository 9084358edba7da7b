"""Settings, files of documents, and counts of texts, for the tests of the corpus report."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from paddock.safety.corpus.batch import Batch
from paddock.safety.corpus.scan import measure, tools_of
from paddock.safety.corpus.settings import CorpusSettings
from paddock.settings import parse

collect_ignore = [] if find_spec("ray") else ["test_ray.py"]


@pytest.fixture(scope="session")
def settings_of() -> Callable[..., CorpusSettings]:
    """Settings with these values."""

    def make(**values: Any) -> CorpusSettings:
        return parse(CorpusSettings, {"data": ["unused"], "measures": ["pronouns", "identities"], **values}, "test")

    return make


@pytest.fixture(scope="session")
def counts_of(settings_of: Callable[..., CorpusSettings]) -> Callable[..., Counter[str]]:
    """The counts of some texts under the settings."""

    def count(texts: list[str], **values: Any) -> Counter[str]:
        return measure(Batch(texts, Counter()), tools_of(settings_of(**values))).counts

    return count


@pytest.fixture
def write_shard(tmp_path: Path) -> Callable[..., str]:
    """Write texts as a shard `NAME`, and return its path."""

    def write(name: str, texts: list[str]) -> str:
        content = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="session")
def c4(real_data: Path) -> list[str]:
    with gzip.open(real_data / "llamafactory_demo/c4_demo.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


@pytest.fixture(scope="session")
def harmless(real_data: Path) -> list[str]:
    with gzip.open(real_data / "hh_rlhf/harmless-base/test.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["chosen"] for line in file]
