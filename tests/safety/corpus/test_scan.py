"""Scanning: any order and number of workers, batches and shards, resuming, and what breaks."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError, MissingExtraError
from paddock.safety.corpus import batch as batches
from paddock.safety.corpus import scan
from paddock.safety.corpus.batch import Batch, read_batches
from paddock.safety.corpus.scan import Part, Tally, measure, tools_of
from paddock.text import spans

TEXTS = [
    f"She is a {word} American {n}. He mailed a{n % 5}@b.org it." for n, word in enumerate(["dear", "silly", "old"] * 7)
]
ALL = ["pronouns", "identities", "languages", "duplicates", "personal data"]


@pytest.fixture
def benchmark(tmp_path: Path) -> str:
    path = tmp_path / "benchmark.jsonl"
    path.write_text(json.dumps({"text": TEXTS[3]}) + "\n" + json.dumps({"text": "nothing of the kind"}) + "\n")
    return str(path)


def result(tally: Tally) -> tuple[Counter, list[int], list[int]]:
    hashes = sorted(np.concatenate(tally.hashes).tolist()) if tally.hashes else []
    return tally.counts, hashes, [] if tally.longest is None else tally.longest.tolist()


@given(st.permutations(range(len(TEXTS))), st.lists(st.integers(0, len(TEXTS)), max_size=4))
def test_counts_do_not_depend_on_batches_or_their_order(settings_of, tmp_path_factory, order: list[int], cuts: list[int]):
    path = tmp_path_factory.getbasetemp() / "order.jsonl"
    if not path.exists():
        path.write_text(json.dumps({"text": TEXTS[3]}) + "\n")
    tools = tools_of(settings_of(measures=ALL, benchmarks=[str(path)]))
    whole = measure(Batch(TEXTS, Counter()), tools)
    parts = Tally()
    bounds = [0, *sorted(cuts), len(TEXTS)]
    for begin, end in pairwise(bounds):
        parts.add(measure(Batch([TEXTS[place] for place in order[begin:end]], Counter()), tools))
    assert result(parts) == result(whole)
    assert whole.longest is not None
    assert whole.longest.max() > 10


def test_processes_give_what_one_process_gives(settings_of, write_shard, benchmark: str, tmp_path: Path):
    shards = [write_shard(f"{n}.jsonl{'.gz' * (n % 2)}", TEXTS[n::4]) for n in range(4)]
    results = []
    for workers in (1, 2):
        folder = tmp_path / f"with-{workers}"
        assert scan.scan(shards, settings_of(measures=ALL, benchmarks=[benchmark], workers=workers), folder) == {}
        counts, longest, files = scan.merged(shards, folder)
        results.append((counts, longest.tolist(), sorted(b"".join(file.read_bytes() for file in files))))
    assert results[0] == results[1]
    assert results[0][0]["documents"] == len(TEXTS)


def test_a_killed_scan_goes_on_with_the_shards_that_are_left(settings_of, write_shard, tmp_path: Path, monkeypatch):
    shards, settings = [write_shard(f"{n}.jsonl", TEXTS[n::3]) for n in range(3)], settings_of(workers=1, measures=ALL)
    scan.scan(shards, settings, tmp_path / "whole")
    real, seen = scan.scan_part, []

    def dies_at_the_second(part: Part, given_settings) -> Tally:
        seen.append(part.shard)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(part, given_settings)

    monkeypatch.setattr(scan, "scan_part", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        scan.scan(shards, settings, tmp_path / "killed")
    scan.scan(shards, settings, tmp_path / "killed")
    assert seen == [shards[0], shards[1], shards[1], shards[2]]
    whole, resumed = (scan.merged(shards, tmp_path / name) for name in ("whole", "killed"))
    assert whole[0] == resumed[0]
    assert [file.read_bytes() for file in whole[2]] == [file.read_bytes() for file in resumed[2]]


def test_a_shard_that_breaks_off_counts_for_nothing_and_stops_no_other(settings_of, write_shard, tmp_path: Path):
    random.seed(0)
    good = write_shard("good.jsonl", TEXTS)
    bad = Path(write_shard("bad.jsonl.gz", [str(random.random()) for _ in range(200_000)]))
    bad.write_bytes(bad.read_bytes()[:-1000])
    broken = scan.scan([str(bad), good], settings_of(workers=1), tmp_path / "out")
    assert list(broken) == [str(bad)]
    assert "ends before its end" in broken[str(bad)]
    assert scan.merged([str(bad), good], tmp_path / "out")[0]["documents"] == len(TEXTS)


def test_a_large_file_in_parts_gives_what_it_gives_whole(
    settings_of, write_shard, benchmark: str, tmp_path: Path, monkeypatch
):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": TEXTS}), tmp_path / "b.parquet", row_group_size=4)
    shards = [write_shard("a.jsonl", TEXTS), str(tmp_path / "b.parquet"), write_shard("c.jsonl.gz", TEXTS)]
    results = []
    for size, workers in ((2**27, 1), (400, 1), (333, 2)):
        monkeypatch.setattr(spans, "SPAN_BYTES", size)
        folder, settings = tmp_path / f"in-{size}", settings_of(measures=ALL, benchmarks=[benchmark], workers=workers)
        assert scan.scan(shards, settings, folder) == {}
        counts, longest, files = scan.merged(shards, folder)
        hashes = np.sort(np.concatenate([np.fromfile(file, np.uint64) for file in files]))
        results.append((counts, longest.tolist(), hashes.tolist()))
        assert len(files) == 3 if size == 2**27 else len(files) > 6
    assert results[0] == results[1] == results[2]
    assert results[0][0]["documents"] == 3 * len(TEXTS)


def test_a_shard_with_a_broken_part_counts_for_nothing_as_a_whole(settings_of, write_shard, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(spans, "SPAN_BYTES", 20)
    good, bad = write_shard("good.jsonl", TEXTS), tmp_path / "bad.txt"
    bad.write_bytes(b"She saw him there.\n" * 3 + b"\xff\n" + b"He saw it.\n" * 3)
    broken = scan.scan([str(bad), good], settings_of(workers=1), tmp_path / "out")
    assert broken == {str(bad): broken[str(bad)]}
    assert ":4: invalid UTF-8" in broken[str(bad)]
    assert scan.merged([str(bad), good], tmp_path / "out")[0]["documents"] == len(TEXTS)


def test_bad_rows_are_counted_by_reason_and_passed_over(settings_of, tmp_path: Path):
    rows = ['{"text": "she"}', "{", '{"text": 3}', '{"title": "x"}', '{"text": "\\ud800"}', '{"text": ""}']
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    counts = scan.scan_part(Part(str(tmp_path / "a.jsonl")), settings_of(measures=ALL)).counts
    assert counts["documents"] == 2
    skipped = {key.removeprefix("skipped/"): n for key, n in counts.items() if key.startswith("skipped/")}
    assert skipped == {"not JSON": 1, "no text under 'text'": 2, "a lone surrogate": 1}


def test_another_field_can_hold_the_text(settings_of, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"chosen": "she", "text": "he"}\n')
    counts = scan.scan_part(Part(str(tmp_path / "a.jsonl")), settings_of(field="chosen")).counts
    assert (counts["pronouns/she"], counts["pronouns/he"]) == (1, 0)


def test_a_parquet_file_is_a_shard(settings_of, tmp_path: Path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["she", None]}), tmp_path / "a.parquet")
    counts = scan.scan_part(Part(str(tmp_path / "a.parquet")), settings_of()).counts
    assert (counts["documents"], counts["pronouns/she"], counts["skipped/no text under 'text'"]) == (1, 1, 1)


def test_batches_are_bounded_and_hold_every_document(write_shard: Callable[..., str], monkeypatch):
    path = write_shard("a.jsonl", TEXTS)
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 200)
    found = list(read_batches(path, "text"))
    assert len(found) > 3
    assert [text for part in found for text in part.texts] == TEXTS
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 10**9)
    monkeypatch.setattr(batches, "BATCH_DOCUMENTS", 5)
    assert [len(part.texts) for part in read_batches(path, "text")] == [5, 5, 5, 5, 1]


@pytest.mark.parametrize("texts", [[], [""], ["", "ö", ""], ["a" * 64], ["a" * 65]])
def test_a_batch_is_one_buffer_of_utf_8(texts: list[str]):
    data, offsets = Batch(texts, Counter()).buffers
    assert len(data) % 64 == 0
    assert not data[offsets[-1] :].any()
    assert [data[b:e].tobytes().decode() for b, e in pairwise(offsets)] == texts


def test_what_the_settings_name_is_opened_before_any_shard(settings_of, write_shard, tmp_path: Path):
    settings = settings_of(descriptors=str(tmp_path / "nowhere.json"))
    with pytest.raises(DataError, match="nowhere"):
        scan.scan([write_shard("a.jsonl", TEXTS)], settings, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_toxicity_is_of_the_english_documents(settings_of, tmp_path: Path):
    from paddock.safety.corpus import linear

    rude, kind = ["you silly rotten fool"] * 12, ["what a dear old friend"] * 12
    linear.train(rude + kind, [True] * 12 + [False] * 12, seed=0).save(tmp_path / "toxicity")
    settings = settings_of(measures=["languages", "toxicity"], classifier=str(tmp_path / "toxicity"), toxicity_share=1)
    texts = [
        "What a silly rotten fool he is, a rotten silly fool.",
        "Am Abend sitzen die Freunde im Garten.",
        "A dear old friend of mine.",
    ]
    counts = measure(Batch(texts, Counter()), tools_of(settings)).counts
    assert counts["toxicity/scored"] == 2
    assert counts["toxicity/toxic"] == 1


def test_without_ray_the_error_names_the_extra(settings_of, write_shard, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"paddock\[ray\]"):
        scan.scan([write_shard("a.jsonl", TEXTS)], settings_of(ray="auto"), tmp_path / "out")
