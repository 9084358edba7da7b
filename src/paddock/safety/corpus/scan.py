"""Count over a corpus: one pure function over a batch of documents, whose results merge, in processes or on a Ray cluster.

A shard is a file, and a part is what a worker takes at a time: a shard, or a span of a large one that can be cut. What a
part gave is kept in the folder of the scan, so that a killed scan goes on with the next; a shard that breaks off counts for
nothing, whichever part of it broke, is named, and stops no other. All that is merged is whole numbers (sums, maxima, sets of
hashes): the result is the same to the last digit whatever the order and the number of workers.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError, MissingExtraError, PaddockError
from paddock.progress import ProgressLine
from paddock.run_dir import atomic_write, hash_of, to_json
from paddock.safety.corpus import contamination, identities, languages, personal_data, pronouns, totals, toxicity
from paddock.safety.corpus.batch import Batch, read_batches
from paddock.safety.corpus.classifiers import open_classifier
from paddock.safety.corpus.language_model import LanguageModel
from paddock.safety.corpus.lexicon import Lexicon, Term
from paddock.safety.corpus.settings import CorpusSettings
from paddock.text.spans import Span, spans_of
from paddock.text.tokenizer import Tokenizer

FIRST_AXIS: Final = len(pronouns.BITS)


class Part(NamedTuple):
    """A shard, or the rows that begin in a span of its bytes."""

    shard: str
    span: Span | None = None

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return Path(self.shard).stat().st_size if self.span is None else self.span[1] - self.span[0]


@dataclass
class Tally:
    """What some documents gave: sums by name, a hash of each text, and the longest matches with benchmarks (tokens,)."""

    counts: Counter[str] = field(default_factory=Counter)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    longest: NDArray[np.int32] | None = None
    error: str | None = None

    def add(self, other: Tally) -> None:
        """Take in what other documents gave."""
        self.counts.update(other.counts)
        self.hashes += other.hashes
        if other.longest is not None:
            self.longest = other.longest if self.longest is None else np.maximum(self.longest, other.longest)


@dataclass(frozen=True)
class Tools:
    """What a process counts with, made of the settings when first needed."""

    settings: CorpusSettings

    @cached_property
    def descriptors(self) -> identities.Descriptors:
        """The descriptors of identity."""
        return identities.read_descriptors(self.settings.descriptors, self.settings.match_case)

    @cached_property
    def descriptor_terms(self) -> list[Term]:
        """The descriptors as terms; none where identities are not measured."""
        wanted = "identities" in self.settings.measures
        return self.descriptors.terms(FIRST_AXIS, self.settings.match_case) if wanted else []

    @cached_property
    def lexicon(self) -> Lexicon:
        """All that is looked for in the one pass: pronouns, then descriptors."""
        terms = (*pronouns.terms(), *self.descriptor_terms)
        return Lexicon(terms, self.settings.overlap, self.settings.hyphens)

    @cached_property
    def language_model(self) -> LanguageModel:
        """The identifier of languages."""
        return LanguageModel(self.settings.language_threshold)

    @cached_property
    def classifier(self) -> toxicity.LineClassifier:
        """The classifier of toxicity."""
        return open_classifier(self.settings.classifier)

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer, where there is one."""
        return None if self.settings.tokenizer is None else Tokenizer.load(Path(self.settings.tokenizer))

    @cached_property
    def benchmarks(self) -> contamination.Benchmarks | None:
        """The samples of the benchmarks, where some are named."""
        named = self.settings.benchmarks
        return contamination.read_benchmarks(named, self.tokenizer) if named else None


@cache
def tools_of(settings: CorpusSettings) -> Tools:
    """The tools of this process."""
    return Tools(settings)


def measure(batch: Batch, tools: Tools) -> Tally:
    """Count one batch: no state but the tools, and what it gives merges with what any other batch gives."""
    settings = tools.settings
    counts = Counter({f"skipped/{reason}": n for reason, n in batch.skipped.items()})
    if not batch.texts:
        return Tally(counts)
    tally = Tally(counts)
    is_english = np.ones(len(batch.texts), np.bool_)
    if "languages" in settings.measures:
        codes, _ = tools.language_model.identify(*batch.buffers)
        is_english = np.array([code == "en" for code in codes])
        counts.update(languages.count(codes))
    counted = is_english if settings.words_in == "english" else None
    found = tools.lexicon.find(batch, counted)
    counts["measured"] = len(batch.texts) if counted is None else int(counted.sum())
    counts.update(pronouns.count(found.groups))
    if "identities" in settings.measures:
        of_terms = found.term_documents[-len(tools.descriptor_terms) :]
        counts.update(identities.count(tools.descriptors, tools.descriptor_terms, FIRST_AXIS, found.groups, of_terms))
    if "personal data" in settings.measures:
        counts.update(personal_data.count(batch.texts, found.has_number))
    if "duplicates" in settings.measures:
        tally.hashes.append(batch.hashes)
    if "toxicity" in settings.measures:
        chosen = is_english & toxicity.is_sampled(batch.hashes, settings.toxicity_share, settings.seed)
        texts = [batch.texts[place] for place in np.flatnonzero(chosen)]
        counts.update(toxicity.count(texts, tools.classifier, settings.score_empty_lines))
    sizes, tokens = np.diff(batch.buffers[1]), None
    if tools.tokenizer or tools.benchmarks:
        documents = contamination.tokens_of(batch, tools.tokenizer)
        tokens = np.diff(documents[1]) if tools.tokenizer else None
        if tools.benchmarks:
            tally.longest = tools.benchmarks.nothing()
            tools.benchmarks.mark(documents, tally.longest)
    counts.update(totals.count(sizes, found.words, tokens))
    return tally


def scan_part(part: Part, settings: CorpusSettings) -> Tally:
    """Count one part; where it breaks off, an empty tally that says why."""
    tally, tools = Tally(), tools_of(settings)
    try:
        for batch in read_batches(part.shard, settings.field, part.span):
            tally.add(measure(batch, tools))
    except DataError as error:
        return Tally(error=str(error))
    return tally


def parts_of(shards: Iterable[str]) -> list[Part]:
    """All parts of the shards. They hang on the files alone, so that a scan can go on under any number of workers."""
    return [Part(shard, span) for shard in shards for span in spans_of(shard)]


def scan(shards: Sequence[str], settings: CorpusSettings, folder: Path) -> dict[str, str]:
    """Count every part that `folder` holds no result of yet. Returns the broken shards, with what is wrong with each.

    Raises PaddockError where a worker dies (most often for want of memory), or settings name what cannot be loaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    open_all(tools_of(settings))  # a wrong path stops here, not in every worker
    parts = parts_of(shards)
    left = [part for part in parts if not _file(folder, part).exists()]
    total, begun, read, documents = sum(part.size for part in parts), time.monotonic(), 0, 0
    done = total - sum(part.size for part in left)
    with ProgressLine("corpus (MB)", _megabytes(total), _megabytes(done)) as progress:
        for part, tally in _results(left, settings):
            _save(folder, part, tally)
            done += part.size
            read += tally.counts["bytes"]
            documents += tally.counts["documents"]
            speed = f"{read / 1e9 / max(time.monotonic() - begun, 1e-9):.3f} GB/s"
            progress.update(_megabytes(done), documents=f"{documents:,}", speed=speed)
    return _broken(parts, folder)


def open_all(tools: Tools) -> None:
    """Make the tools that the settings need, so that what is missing is said before any work."""
    _ = tools.lexicon, tools.tokenizer, tools.benchmarks
    if "languages" in tools.settings.measures:
        _ = tools.language_model
    if "toxicity" in tools.settings.measures:
        _ = tools.classifier


def merged(shards: Iterable[str], folder: Path) -> tuple[Counter[str], NDArray[np.int32] | None, list[Path]]:
    """The sums over all whole shards, the longest matches, and the files that hold the hashes of texts."""
    total, hash_files, parts = Tally(), [], parts_of(shards)
    broken = _broken(parts, folder)
    for part in parts:
        if part.shard in broken:
            continue
        file = _file(folder, part)
        matches = file.with_suffix(".matches.npy")
        longest = np.load(matches, allow_pickle=False) if matches.exists() else None
        total.add(Tally(Counter(json.loads(file.read_bytes())["counts"]), [], longest))
        hash_files += [file.with_suffix(".hashes")] if file.with_suffix(".hashes").exists() else []
    return total.counts, total.longest, hash_files


def _broken(parts: Iterable[Part], folder: Path) -> dict[str, str]:
    """The shards of which a part broke off, each with what the first of them says."""
    broken: dict[str, str] = {}
    for part in parts:
        error = json.loads(_file(folder, part).read_bytes())["error"]
        if error:
            broken.setdefault(part.shard, error)
    return broken


def _results(parts: Sequence[Part], settings: CorpusSettings) -> Iterator[tuple[Part, Tally]]:
    """Each part with its tally, in the order in which they are done."""
    workers = min(settings.workers or os.cpu_count() or 1, len(parts))
    if settings.ray is not None:
        yield from _on_ray(parts, settings, settings.ray)
    elif workers <= 1:
        yield from ((part, scan_part(part, settings)) for part in parts)
    else:
        yield from _in_processes(parts, settings, workers)


def _in_processes(parts: Sequence[Part], settings: CorpusSettings, workers: int) -> Iterator[tuple[Part, Tally]]:
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        jobs = {pool.submit(scan_part, part, settings): part for part in parts}
        for job in as_completed(jobs):
            yield jobs.pop(job), job.result()
    except BrokenProcessPool:
        raise PaddockError(
            "a worker was killed, most often for want of memory. What is counted is kept: go on with fewer (--set workers=1)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _on_ray(parts: Sequence[Part], settings: CorpusSettings, address: str) -> Iterator[tuple[Part, Tally]]:
    """On Ray Data, a row a part. Its nodes must have Paddock installed and see the files under the same paths."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    rows = ray.data.from_items([_to_row(part) for part in parts], override_num_blocks=max(len(parts), 1))
    for row in rows.map(_RayScan(settings)).iter_rows():
        yield _part_of(row), _from_row(row)


def _to_row(part: Part) -> dict[str, Any]:
    return {"shard": part.shard, "span": list(part.span or ())}


def _part_of(row: dict[str, Any]) -> Part:
    return Part(row["shard"], (int(row["span"][0]), int(row["span"][1])) if len(row["span"]) else None)


@dataclass(frozen=True)
class _RayScan:
    """What a node of a Ray cluster does with the row of a part: its tally, as Arrow can hold it."""

    settings: CorpusSettings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = _part_of(row)
        tally = scan_part(part, self.settings)
        return {
            **_to_row(part),
            "counts": json.dumps(tally.counts),
            "hashes": b"".join(part.tobytes() for part in tally.hashes),
            "longest": b"" if tally.longest is None else tally.longest.tobytes(),
            "error": tally.error or "",
        }


def _from_row(row: dict[str, Any]) -> Tally:
    return Tally(
        Counter(json.loads(row["counts"])),
        [np.frombuffer(row["hashes"], np.uint64)] if row["hashes"] else [],
        np.frombuffer(row["longest"], np.int32) if row["longest"] else None,
        row["error"] or None,
    )


def _file(folder: Path, part: Part) -> Path:
    """The result of a part; written last, so that where it stands the files beside it are whole."""
    return folder / f"{hash_of(part.shard if part.span is None else part)}.json"


def _save(folder: Path, part: Part, tally: Tally) -> None:
    file = _file(folder, part)
    if tally.hashes:
        atomic_write(file.with_suffix(".hashes"), np.sort(np.concatenate(tally.hashes)).tobytes())
    if tally.longest is not None:
        np.save(file.with_suffix(".matches.npy"), tally.longest)
    atomic_write(file, to_json({"shard": part.shard, "span": part.span, "counts": tally.counts, "error": tally.error}))


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)
