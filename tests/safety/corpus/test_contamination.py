"""Matches of tokens by the paper's rule, against a plain reading of it; and the Z-tests, against table 51."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from paddock.errors import DataError, EmptyDataError
from paddock.safety.corpus import contamination
from paddock.safety.corpus.batch import Batch
from paddock.safety.corpus.contamination import Benchmarks, read_benchmarks, table, tokens_of, z_score

SAMPLE = [*"abcdefghijklmno"]


def write(folder: Path, *rows: dict) -> str:
    (folder / "benchmark.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "benchmark.jsonl")


def longest_matches(benchmarks: Benchmarks, documents: list[str]) -> list[int]:
    longest = benchmarks.nothing()
    benchmarks.mark(tokens_of(Batch(documents, Counter()), None), longest)
    return longest.tolist()


def plain_matches(sample: Sequence[str], document: Sequence[str]) -> list[int]:
    """The rule, tried at every pair of places: ten equal tokens, four mismatches at most, an equal token at the end."""
    found = [0] * len(sample)
    for start in range(len(sample)):
        for place in range(len(document)):
            length, mismatches = 0, 0
            for ahead, (ours, theirs) in enumerate(zip(sample[start:], document[place:], strict=False)):
                mismatches += ours != theirs
                if mismatches > 4 or (mismatches and ahead < 10):
                    break
                if ours == theirs:
                    length = ahead + 1
            if length >= 10:
                for covered in range(start, start + length):
                    found[covered] = max(found[covered], length)
    return found


words = st.lists(st.sampled_from("ab"), min_size=1, max_size=40)


@hypothesis_settings(max_examples=200)
@given(words, st.lists(words, min_size=1, max_size=3), st.booleans())
def test_matches_are_those_of_the_rule(tmp_path_factory, sample: list[str], documents: list[list[str]], copied: bool):
    if copied:
        documents = [[*documents[0][:5], *sample, *documents[0][:5]], *documents[1:]]
    path = write(tmp_path_factory.mktemp("b"), {"text": " ".join(sample)})
    expected = np.max([plain_matches(sample, document) for document in documents], axis=0)
    assert longest_matches(read_benchmarks([path], None), [" ".join(d) for d in documents]) == expected.tolist()


@pytest.mark.parametrize(
    ("changed", "length"),
    [((), 15), ((10,), 15), ((10, 11, 12, 13), 15), ((14,), 14), ((9,), 0), ((3,), 11), ((4,), 10), ((13, 14), 13)],
)
def test_a_match_may_differ_in_four_places_not_in_its_first_ten_nor_at_its_end(tmp_path: Path, changed, length: int):
    document = ["changed" if place in changed else word for place, word in enumerate(SAMPLE)]
    benchmarks = read_benchmarks([write(tmp_path, {"text": " ".join(SAMPLE)})], None)
    assert max(longest_matches(benchmarks, [" ".join(document)])) == length


def test_a_fifth_mismatch_ends_the_match(tmp_path: Path):
    sample = [first + second for first in "abc" for second in "abcdefghij"]
    document = ["other" if place in (10, 12, 14, 16, 18) else word for place, word in enumerate(sample)]
    benchmarks = read_benchmarks([write(tmp_path, {"text": " ".join(sample)})], None)
    assert longest_matches(benchmarks, [" ".join(document)]) == [18] * 18 + [0] + [11] * 11


def test_matches_do_not_reach_over_samples_or_documents(tmp_path: Path):
    path = write(tmp_path, {"text": " ".join(SAMPLE[:8])}, {"text": " ".join(SAMPLE[8:])})
    benchmarks = read_benchmarks([path], None)
    assert max(longest_matches(benchmarks, [" ".join(SAMPLE)])) == 0
    whole = read_benchmarks([write(tmp_path, {"text": " ".join(SAMPLE)})], None)
    assert max(longest_matches(whole, [" ".join(SAMPLE[:8]), " ".join(SAMPLE[8:])])) == 0


def test_case_and_marks_between_words_do_not_hide_a_match(tmp_path: Path):
    benchmarks = read_benchmarks([write(tmp_path, {"text": " ".join(SAMPLE)})], None)
    assert max(longest_matches(benchmarks, ["\n".join(SAMPLE).upper() + "!"])) == 15


def test_ten_tokens_are_a_seed_and_no_match(tmp_path: Path):
    benchmarks = read_benchmarks([write(tmp_path, {"text": " ".join(SAMPLE)})], None)
    longest = np.array(longest_matches(benchmarks, [" ".join(SAMPLE[:10])]), np.int32)
    assert longest.max() == 10
    assert table(benchmarks, longest, None)["benchmarks"]["benchmark.jsonl"]["lengths"]["10"]["contaminated"] == 0
    longest = np.array(longest_matches(benchmarks, [" ".join(SAMPLE[:11])]), np.int32)
    found = table(benchmarks, longest, None)["benchmarks"]["benchmark.jsonl"]["lengths"]
    assert found["10"]["contaminated"] == pytest.approx(11 / 15)
    assert found["20"]["contaminated"] == 0


def test_subsets_have_their_bounds(tmp_path: Path):
    rows = [{"text": f"text {n}", "score": n % 2} for n in range(5)]
    shares = np.array([0.0, 0.19, 0.2, 0.79, 0.8])
    found = contamination._at_length(shares, np.array([float(row["score"]) for row in rows]))
    counts = {name: found[name]["samples"] for name in ("clean", "not_clean", "not_dirty", "dirty")}
    assert counts == {"clean": 2, "not_clean": 3, "not_dirty": 4, "dirty": 1}
    assert found["not_dirty"]["contaminated"] == pytest.approx(shares[:4].mean())


# Table 51: benchmark, model size -> samples in all, then (n, mean score, mean of all, Z) a subset.
TABLE_51 = {
    ("HellaSwag", "70B"): (
        10_042,
        [(7391, 80.0, 82.5, -5.73), (2651, 89.5, 82.4, 9.56), (9194, 81.6, 82.5, -2.27), (848, 92.2, 82.5, 7.42)],
    ),
    ("HellaSwag", "7B"): (
        10_042,
        [(7391, 70.5, 73.3, -5.46), (2651, 81.3, 73.4, 9.17), (9194, 72.4, 73.4, -2.06), (848, 83.7, 73.3, 6.84)],
    ),
    ("MMLU-Humanities", "70B"): (
        4705,
        [(3996, 62.2, 65.3, -4.08), (709, 82.7, 65.3, 9.71), (4185, 62.7, 65.3, -3.50), (520, 85.8, 65.3, 9.80)],
    ),
    ("MMLU-Overall", "70B"): (
        14_042,
        [(11_862, 68.0, 68.9, -2.00), (2180, 73.5, 68.9, 4.64), (12_506, 67.7, 68.9, -2.75), (1536, 78.2, 68.9, 7.87)],
    ),
}


@pytest.mark.parametrize("case", TABLE_51)
def test_z_scores_are_those_of_table_51(case):
    total, subsets = TABLE_51[case]
    for n, score, expected, published in subsets:
        everything = np.zeros(total)
        everything[: round(total * expected / 100)] = 1
        inside = np.zeros(n)
        inside[: round(n * score / 100)] = 1
        rounding = 0.1 * np.sqrt(n) / (100 * everything.std())  # both means are printed to a tenth of a per cent
        assert z_score(inside, everything) == pytest.approx(published, abs=rounding + 0.1)


def test_evidence_needs_all_four_subsets_and_their_signs():
    z = {"clean": -2.1, "not_clean": 3.0, "not_dirty": -2.5, "dirty": 4.0}
    assert contamination.is_evidence(z)
    assert not contamination.is_evidence({**z, "clean": -2.0})
    assert not contamination.is_evidence({**z, "dirty": None})
    assert not contamination.is_evidence({name: -value for name, value in z.items()})


def test_the_largest_length_with_evidence_is_named(tmp_path: Path):
    texts = [
        " ".join(
            f"{'abcdefghij'[n // 100]}{'abcdefghij'[n // 10 % 10]}{'abcdefghij'[n % 10]}{w}"
            for w in "zyxwvutsrqponmlkjihgfedcbazyxwvu"
        )
        for n in range(400)
    ]
    rows = [{"text": text, "score": float(n < 100)} for n, text in enumerate(texts)]
    benchmarks = read_benchmarks([write(tmp_path, *rows)], None)
    longest = np.array(longest_matches(benchmarks, texts[:100]), np.int32)
    found = table(benchmarks, longest, None)["benchmarks"]["benchmark.jsonl"]
    assert found["largest_length_with_evidence"] == 30
    assert found["lengths"]["30"]["dirty"]["samples"] == 100
    assert found["lengths"]["40"]["dirty"]["samples"] == 0


def test_without_scores_there_is_contamination_and_no_z(tmp_path: Path):
    benchmarks = read_benchmarks([write(tmp_path, {"text": " ".join(SAMPLE)})], None)
    row = table(benchmarks, benchmarks.nothing(), None)["benchmarks"]["benchmark.jsonl"]
    assert row["scored"] == 0
    assert row["lengths"]["10"]["clean"]["z"] is None
    assert row["largest_length_with_evidence"] is None


def test_tokens_of_a_tokenizer_are_matched_where_there_is_one(tmp_path: Path, counts_of):
    from paddock.text.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([" ".join(SAMPLE), *(f"text {n} of many" for n in range(60))], 290)
    benchmarks = read_benchmarks([write(tmp_path, {"text": " ".join(SAMPLE)})], tokenizer)
    ids = tokenizer.encode_batch([" ".join(SAMPLE)])[0]
    assert benchmarks.tokens.tolist() == ids
    longest = benchmarks.nothing()
    benchmarks.mark(tokens_of(Batch([" ".join(SAMPLE)], Counter()), tokenizer), longest)
    assert longest.tolist() == [len(ids)] * len(ids)


@pytest.mark.parametrize(("row", "field"), [({"score": 1}, "text"), ({"text": "a", "score": "high"}, "score")])
def test_a_row_that_is_no_sample_is_refused(tmp_path: Path, row: dict, field: str):
    with pytest.raises(DataError, match=field):
        read_benchmarks([write(tmp_path, row)], None)


def test_an_empty_benchmark_is_refused(tmp_path: Path):
    with pytest.raises(EmptyDataError):
        read_benchmarks([write(tmp_path)], None)
