"""How fast is a corpus counted? Side by side with what people use for it, in one run.

    python speed/corpus.py DOCUMENTS.jsonl.gz [--megabytes 60] [--repeats 5] [--descriptors descriptors.json]
    python speed/corpus.py DOCUMENTS.jsonl.gz --only memory scaling ray

The file's texts are repeated up to `--megabytes`, so that a figure does not hang on a few documents. Peers that are not
installed are passed over and named. Questions, all MB/s of UTF-8 text on one core unless a row says so; the median of turns
that take turns:

- kernel: pronouns and descriptors together from an Arrow buffer; pronouns alone by polars and by `re`; descriptors alone by
  ahocorasick-rs with boundaries checked, and by `re`. Every way's documents are compared with ours before it is timed.
- file: reading and parsing a .jsonl.gz alone, then with pronouns and descriptors, then with all measures; languages alone,
  and by datatrove's filter.
- memory: the peak of a process over files of 10 MB, 100 MB, 1 GB and, with --large, 10 GB.
- scaling: shards in 1 and 2 processes; ray: the same on a local cluster of one and of two nodes of one core.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import numpy as np

from paddock.safety.corpus import identities, pronouns, scan
from paddock.safety.corpus.batch import Batch, read_batches
from paddock.safety.corpus.lexicon import Lexicon
from paddock.safety.corpus.settings import MEASURES, CorpusSettings
from paddock.text.language_id import LanguageIdentifier
from paddock.text.readers import read_documents

QUESTIONS = ("kernel", "file", "memory", "scaling", "ray")
WORDS_ONLY = ("pronouns", "identities")
SHARDS = 8


def main() -> None:
    """Answer the questions asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--descriptors", help="HolisticBias' descriptors.json; else the project's own list")
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=QUESTIONS)
    parser.add_argument("--large", action="store_true", help="measure memory up to 10 GB")
    options = parser.parse_args()
    texts = repeated(list(read_documents([options.documents])), options.megabytes)
    with tempfile.TemporaryDirectory() as folder:
        for question in options.only:
            print(f"\n{question}")
            {"kernel": kernel, "file": file, "memory": memory, "scaling": scaling, "ray": ray_cluster}[question](
                texts, options, Path(folder)
            )


def repeated(texts: list[str], megabytes: int) -> list[str]:
    """The texts over and over, up to a size."""
    found, size = [], 0
    for text in cycle(texts):
        if size >= megabytes * 1e6:
            return found
        found.append(text)
        size += len(text.encode())
    return found


def timed(ways: dict[str, Callable[[], object]], size: int, repeats: int) -> None:
    """Print MB/s of each way, the median of turns that take turns, and its ratio to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    speeds = {name: size / 1e6 / statistics.median(turns) for name, turns in seconds.items()}
    first = next(iter(speeds.values()))
    for name, speed in speeds.items():
        print(f"  {name:<60} {speed:8.1f} MB/s   {speed / first:6.3f}")


def kernel(texts: list[str], options: argparse.Namespace, _: Path) -> None:
    """The one pass over an Arrow buffer, and its peers."""
    batch = Batch(texts, Counter())
    size = len(batch.buffers[0])
    listed = identities.read_descriptors(options.descriptors)
    pronoun_terms, descriptor_terms = pronouns.terms(), listed.terms(len(pronouns.BITS), exact=False)
    both = Lexicon((*pronoun_terms, *descriptor_terms))
    found = both.find(batch)
    with_pronoun = found.groups & np.uint64(2 ** len(pronouns.BITS) - 1) != 0
    with_descriptor = found.groups >> np.uint64(len(pronouns.BITS)) != 0
    pronoun_pattern = bounded([term.text for term in pronoun_terms])
    descriptor_pattern = bounded([term.text for term in descriptor_terms])
    print(f"  {size / 1e6:.0f} MB, {len(pronoun_terms)} pronouns, {len(descriptor_terms)} descriptors")
    few = texts[: max(len(texts) // 20, 1)]
    ways: dict[str, Callable[[], object]] = {"Paddock: pronouns and descriptors": lambda: both.find(batch)}
    ways["Paddock: pronouns"] = lambda: Lexicon(tuple(pronoun_terms)).find(batch)
    if find_spec("polars"):
        import polars

        series, lowered = (
            polars.Series(texts),
            pronoun_pattern.replace("(?<![^\\W\\d_])", r"\b").replace("(?![^\\W\\d_])", r"\b"),
        )
        ways["polars, str.contains: pronouns"] = lambda: series.str.contains(f"(?i){lowered}")
        compare("polars", series.str.contains(f"(?i){lowered}").to_numpy(), with_pronoun)
    else:
        print("  polars is not installed")
    if find_spec("ahocorasick_rs"):
        terms = [term.text for term in descriptor_terms]
        search = aho_corasick(terms)
        ways["ahocorasick-rs with boundaries: descriptors"] = lambda: [search(text) for text in texts]
        compare("ahocorasick-rs", np.array([search(text) for text in texts]), with_descriptor)
    else:
        print("  ahocorasick-rs is not installed")
    timed(ways, size, options.repeats)
    for name, pattern, ours in (
        ("pronouns", pronoun_pattern, with_pronoun),
        ("descriptors", descriptor_pattern, with_descriptor),
    ):
        compiled = re.compile(pattern, re.IGNORECASE)
        compare(f"re, {name}", np.array([bool(compiled.search(text)) for text in few]), ours[: len(few)])
        few_size = sum(len(text.encode()) for text in few)
        timed({f"re, every match: {name}": lambda c=compiled: [c.findall(text) for text in few]}, few_size, options.repeats)


def bounded(terms: list[str]) -> str:
    """A pattern of terms that are not cut out of a run of letters; a space in a term is any white space."""
    longest_first = sorted(terms, key=len, reverse=True)
    body = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in longest_first)
    return rf"(?<![^\W\d_])(?:{body})(?![^\W\d_])"


def aho_corasick(terms: list[str]) -> Callable[[str], bool]:
    """Whether a text holds a term: every overlapping match, its neighbours looked at in Python."""
    import ahocorasick_rs

    automaton = ahocorasick_rs.AhoCorasick(terms, matchkind=ahocorasick_rs.MatchKind.Standard)

    def search(text: str) -> bool:
        lowered = text.lower()
        return any(
            not (begin and lowered[begin - 1].isalpha()) and not lowered[end : end + 1].isalpha()
            for _, begin, end in automaton.find_matches_as_indexes(lowered, overlapping=True)
        )

    return search


def compare(name: str, theirs: np.ndarray, ours: np.ndarray) -> None:
    """Say in how many documents a peer finds what we do not, or the reverse."""
    print(f"  {name}: differs from ours in {int((theirs != ours).sum())} of {len(ours)} documents")


def settings_of(
    paths: list[Path], options: argparse.Namespace, measures: tuple[str, ...], **values: object
) -> CorpusSettings:
    """Settings over some files."""
    data = tuple(str(path) for path in paths)
    return CorpusSettings(data=data, measures=measures, descriptors=options.descriptors, **values)


def write(texts: list[str], path: Path) -> Path:
    """Write texts as JSON lines, packed where the name says so."""
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    path.write_bytes(gzip.compress(rows) if path.suffix == ".gz" else rows)
    return path


def file(texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """From a packed file: what measuring adds to reading and parsing."""
    path = write(texts, folder / "documents.jsonl.gz")
    size = sum(len(text.encode()) for text in texts)

    def scanned(*measures: str) -> Callable[[], object]:
        settings = settings_of([path], options, measures)
        return lambda: scan.scan_part(scan.Part(str(path)), settings)

    ways: dict[str, Callable[[], object]] = {
        "reading and parsing alone": lambda: sum(len(batch.texts) for batch in read_batches(str(path), "text")),
        "with pronouns and descriptors": scanned(*WORDS_ONLY),
        "with all but languages": scanned(*(measure for measure in MEASURES if measure != "languages")),
        "with all measures": scanned(*MEASURES),
    }
    for way in ways.values():
        way()  # compile, and open what is to be opened
    timed(ways, size, options.repeats)
    few = texts[: max(len(texts) // 6, 1)]
    small = write(few, folder / "few.jsonl")
    languages = {
        "Paddock: languages": lambda: scan.scan_part(scan.Part(str(small)), settings_of([small], options, ("languages",)))
    }
    identifier = LanguageIdentifier()
    languages["fasttext-predict, a text at a time"] = lambda: [identifier.identify(text) for text in few]
    if find_spec("datatrove"):
        languages["datatrove: LanguageFilter"] = datatrove_filter(few)
    else:
        print("  datatrove is not installed")
    timed(languages, sum(len(text.encode()) for text in few), options.repeats)


def datatrove_filter(texts: list[str]) -> Callable[[], object]:
    """Its filter as it comes, over documents in memory."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import LanguageFilter

    keep = LanguageFilter(languages=["en"], backend="ft176")
    documents = [Document(text=text, id=str(place)) for place, text in enumerate(texts)]
    return lambda: [keep.filter(document) for document in documents]


def memory(texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """The peak of a process of its own, by the size of the file."""
    for megabytes in (10, 100, 1000, *((10_000,) if options.large else ())):
        path = folder / f"{megabytes}.jsonl"
        with path.open("w") as out:
            written = 0
            for text in cycle(texts):
                written += out.write(json.dumps({"text": text}) + "\n")
                if written >= megabytes * 1e6:
                    break
        command = [sys.executable, __file__, "--peak", str(path)]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"  {megabytes:>6} MB: peak {peak} MB")
        path.unlink()


def peak_of(path: str) -> None:
    """Scan a file, and print the peak of this process."""
    settings = CorpusSettings(data=(path,), measures=MEASURES)
    scan.scan_part(scan.Part(path), settings)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def scaling(texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """The same shards in one process and in two, started afresh each time as the command does."""
    over_workers({f"{n} processes": {"workers": n} for n in (1, 2)}, texts, options, folder)


def ray_cluster(texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """The same shards on local clusters."""
    if not find_spec("ray"):
        print("  ray is not installed")
        return
    import ray
    from ray.cluster_utils import Cluster

    for nodes in (1, 2):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        over_workers({f"Ray, {nodes} nodes of one core": {"ray": cluster.address}}, texts, options, folder)
        ray.shutdown()
        cluster.shutdown()


def over_workers(ways: dict[str, dict], texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """Time whole scans."""
    shards = [write(texts[n::SHARDS], folder / f"shard-{n}.jsonl.gz") for n in range(SHARDS)]

    def scanned(values: dict) -> Callable[[], object]:
        def way() -> None:
            with tempfile.TemporaryDirectory() as results:
                scan.scan([str(shard) for shard in shards], settings_of(shards, options, MEASURES, **values), Path(results))

        return way

    size = sum(len(text.encode()) for text in texts)
    timed({name: scanned(values) for name, values in ways.items()}, size, options.repeats)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak_of(sys.argv[2])
    else:
        main()
