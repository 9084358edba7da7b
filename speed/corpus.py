"""How fast is a corpus counted? Side by side with what people use for it, in one run.

    python speed/corpus.py DOCUMENTS.jsonl.gz [--only kernel file] [--megabytes 60] [--repeats 5] [--descriptors FILE]
    python speed/corpus.py DOCUMENTS.jsonl.gz --only scaling
    python speed/corpus.py DOCUMENTS.jsonl.gz --only ray
    python speed/corpus.py DOCUMENTS.jsonl.gz --only memory --sizes 10 100 1000 10000

The file's texts are repeated up to `--megabytes`, so that a figure does not hang on a few documents. Peers that are not
installed are passed over and named. All figures are MB of UTF-8 text a second, the median of turns that take turns. "A
core" is a second of processor time, over all threads, so that threads beside the first gain nothing by being there:

- kernel, a core: pronouns and descriptors together from an Arrow buffer; pronouns alone by polars and by `re`; descriptors
  alone by ahocorasick-rs with boundaries checked, and by `re`. Every way's documents are compared with ours first.
- file, a core: reading and parsing a .jsonl.gz alone, by the fastest libraries that we know first, and by Paddock; then with
  pronouns and descriptors, then with all measures; languages alone, and by datatrove's filter.
- scaling, by the clock: eight shards of `--megabytes` each in 1 and 2 processes; ray: the same on a local cluster of one and
  of two nodes of one core.
- memory: the peak of a process that reports on a file of each of `--sizes` MB, written where temporary files go.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
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
from typing import IO

import numpy as np

from paddock.run_dir import StageDir
from paddock.safety.corpus import identities, pronouns, scan
from paddock.safety.corpus.batch import Batch, read_batches
from paddock.safety.corpus.lexicon import Lexicon
from paddock.safety.corpus.settings import MEASURES, CorpusSettings
from paddock.stages.corpus import run
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
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000], help="MB of the files of `memory`")
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


def timed(
    ways: dict[str, Callable[[], object]], size: int, repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """MB/s of each way: the median of turns that take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = clock()
            way()
            seconds[name].append(clock() - began)
    return {name: size / 1e6 / statistics.median(turns) for name, turns in seconds.items()}


def show(speeds: dict[str, float]) -> None:
    """Print each way's speed, and its ratio to the first."""
    first = next(iter(speeds.values()))
    for name, speed in speeds.items():
        print(f"  {name:<60} {speed:8.1f} MB/s   {speed / first:6.3f}", flush=True)


def kernel(texts: list[str], options: argparse.Namespace, _: Path) -> None:
    """The one pass over an Arrow buffer, and its peers."""
    batch = Batch(texts, Counter())
    size = int(batch.buffers[1][-1])
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
    show(timed(ways, size, options.repeats))
    for name, pattern, ours in (
        ("pronouns", pronoun_pattern, with_pronoun),
        ("descriptors", descriptor_pattern, with_descriptor),
    ):
        compiled = re.compile(pattern, re.IGNORECASE)
        compare(f"re, {name}", np.array([bool(compiled.search(text)) for text in few]), ours[: len(few)])
        few_size = sum(len(text.encode()) for text in few)
        every_match = {f"re, every match: {name}": lambda c=compiled: [c.findall(text) for text in few]}
        show(timed(every_match, few_size, options.repeats))


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

    def measured(*measures: str) -> Callable[[], object]:
        settings = settings_of([path], options, measures)
        return lambda: scan.scan_part(scan.Part(str(path)), settings)

    ways: dict[str, Callable[[], object]] = {
        **ways_to_read(path),
        "Paddock: reading and parsing alone": lambda: sum(len(batch.texts) for batch in read_batches(str(path), "text")),
        "Paddock: with pronouns and descriptors": measured(*WORDS_ONLY),
        "Paddock: with all but languages": measured(*(measure for measure in MEASURES if measure != "languages")),
        "Paddock: with all measures": measured(*MEASURES),
    }
    for way in ways.values():
        way()  # compile, and open what is to be opened
    show(timed(ways, size, options.repeats))
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
    show(timed(languages, sum(len(text.encode()) for text in few), options.repeats))


def ways_to_read(path: Path) -> dict[str, Callable[[], object]]:
    """Read and parse line by line as people do, and no more: the fastest libraries that we know, then the standard ones."""
    ways: dict[str, Callable[[], object]] = {}
    if find_spec("isal") and find_spec("orjson"):
        import orjson
        from isal import igzip

        ways["isal and orjson: reading and parsing alone"] = lambda: count_texts(igzip.open, path, orjson.loads)
        ways["gzip and orjson: reading and parsing alone"] = lambda: count_texts(gzip.open, path, orjson.loads)
    else:
        print("  isal and orjson are not installed")
    return ways | {"gzip and json: reading and parsing alone": lambda: count_texts(gzip.open, path, json.loads)}


def count_texts(unpack: Callable[[Path], IO[bytes]], path: Path, parse: Callable[[bytes], dict]) -> int:
    """Parse each line, look its text up and forget it, as a loop over a file does; returns how many there were."""
    with unpack(path) as lines:
        return sum(isinstance(parse(line)["text"], str) for line in lines)


def datatrove_filter(texts: list[str]) -> Callable[[], object]:
    """Its filter as it comes, over documents in memory."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import LanguageFilter

    keep = LanguageFilter(languages=["en"], backend="ft176")
    documents = [Document(text=text, id=str(place)) for place, text in enumerate(texts)]
    return lambda: [keep.filter(document) for document in documents]


def memory(texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """The peak of a process of its own, by the size of the file."""
    lines = [json.dumps({"text": text}).encode() + b"\n" for text in texts]
    for megabytes in options.sizes:
        path = folder / f"{megabytes}.jsonl"
        with path.open("wb") as out:
            written = 0
            for line in cycle(lines):
                written += out.write(line)
                if written >= megabytes * 1e6:
                    break
        command = [sys.executable, __file__, "--peak", str(path), str(folder / f"report-{megabytes}")]
        peak = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        print(f"  {megabytes:>6} MB: peak {peak} MB", flush=True)
        path.unlink()


def peak_of(path: str, out: str) -> None:
    """Report on a file in one process, and print the most memory that it held; getrusage's maximum is also its parent's."""
    run(CorpusSettings(data=(path,), workers=1), StageDir(Path(out)))
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)


def scaling(texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """The same shards in one process and in two, started afresh each time as the command does."""
    shards, size = equal_shards(texts, folder)
    scanned(shards[:1], options, workers=1)()  # compile
    ways = {f"{n} processes": scanned(shards, options, workers=n) for n in (1, 2)}
    show(timed(ways, size, options.repeats, time.perf_counter))


def ray_cluster(texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """The same shards on local clusters, after a first scan that starts their workers."""
    if not find_spec("ray"):
        print("  ray is not installed")
        return
    import ray
    from ray.cluster_utils import Cluster

    shards, size = equal_shards(texts, folder)
    speeds: dict[str, float] = {}
    for nodes in (1, 2):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        way = scanned(shards, options, ray=cluster.address)
        way()
        speeds |= timed({f"Ray, {nodes} nodes of one core": way}, size, options.repeats, time.perf_counter)
        ray.shutdown()
        cluster.shutdown()
    show(speeds)


def equal_shards(texts: list[str], folder: Path) -> tuple[list[Path], int]:
    """Eight packed shards, each of all texts, and the bytes of text in them."""
    shards = [folder / f"shard-{n}.jsonl.gz" for n in range(SHARDS)]
    write(texts, shards[0])
    for shard in shards[1:]:
        shutil.copy(shards[0], shard)
    return shards, SHARDS * sum(len(text.encode()) for text in texts)


def scanned(shards: list[Path], options: argparse.Namespace, **values: object) -> Callable[[], object]:
    """A whole scan of the shards, with all measures."""
    settings = settings_of(shards, options, MEASURES, **values)

    def way() -> None:
        with tempfile.TemporaryDirectory() as results:
            broken = scan.scan([str(shard) for shard in shards], settings, Path(results))
            assert not broken, broken

    return way


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak_of(*sys.argv[2:])
    else:
        main()
