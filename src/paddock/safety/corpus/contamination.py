"""How much of a benchmark stands in the corpus, by the paper's rule on tokens (appendix A.6), and whether it pays.

A token of a sample is contaminated at length L if it lies in a match of at least L tokens with a document (of more than ten,
whatever L). A match begins with ten equal tokens, may then differ in four places, and ends on an equal token. For each L
stands the four subsets of table 51 (clean, not clean, not dirty, dirty) with their Z-tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError, EmptyDataError
from paddock.safety.corpus.batch import Batch
from paddock.safety.corpus.lexicon import character_tables
from paddock.text.files import RowError, read_rows
from paddock.text.tokenizer import Tokenizer

LENGTHS: Final = (10, 20, 30, 40, 50)
SHORTEST_MATCH: Final = 11
MISMATCHES: Final = 4
CLEAN_BELOW: Final = 0.2
DIRTY_FROM: Final = 0.8
Z_NEEDED: Final = 2.0

Tokens = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Ids of all documents in a row, (tokens,), and where each document begins and the last ends, (documents + 1,)."""


@dataclass(frozen=True)
class Benchmarks:
    """The samples of all benchmark files as one row of tokens, and the table of all their runs of ten.

    `bounds` (files + 1,) are the samples at which each file begins; `scores` (samples,) are NaN where a file gives none.
    """

    names: tuple[str, ...]
    bounds: tuple[int, ...]
    scores: NDArray[np.float64]
    tokens: NDArray[np.int64]
    offsets: NDArray[np.int64]
    heads: NDArray[np.int64]
    links: NDArray[np.int64]

    def mark(self, documents: Tokens, longest: NDArray[np.int32]) -> None:
        """Raise `longest` (tokens,) to the longest match with `documents` that covers each token of the samples."""
        from paddock.safety.corpus.contamination_kernel import mark_matches

        lengths = np.diff(self.offsets)
        begins, ends = np.repeat(self.offsets[:-1], lengths), np.repeat(self.offsets[1:], lengths)
        mark_matches(*documents, self.tokens, begins, ends, self.heads, self.links, MISMATCHES, longest)

    def nothing(self) -> NDArray[np.int32]:
        """The longest matches before any document was read: none."""
        return np.zeros(len(self.tokens), np.int32)


def tokens_of(batch: Batch, tokenizer: Tokenizer | None) -> Tokens:
    """The tokens of each document: a tokenizer's ids, or hashes of words where there is none."""
    if tokenizer is None:
        from paddock.safety.corpus import kernels

        hashes, starts = kernels.word_hashes(*batch.buffers, *character_tables())
        return hashes, starts
    ids = tokenizer.encode_batch(batch.texts)
    starts = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return np.fromiter((token for of_document in ids for token in of_document), np.int64, int(starts[-1])), starts


def read_benchmarks(paths: Sequence[str], tokenizer: Tokenizer | None) -> Benchmarks:
    """Read files of samples, `{"text": ..., "score": ...}`, each text verbalized in full; a score is of one model on it.

    Raises DataError for a row without text or with a score that is no number, EmptyDataError for a file without samples.
    """
    from paddock.safety.corpus.contamination_kernel import link_seeds

    texts: list[str] = []
    scores: list[float] = []
    bounds = [0]
    for path in paths:
        for line, row in read_rows(path):
            if isinstance(row, RowError):
                raise DataError(path, row.problem, line=line)
            text, score = row.get("text"), row.get("score")
            if not isinstance(text, str):
                raise DataError(path, "a string was expected", line=line, field="text")
            if score is not None and not isinstance(score, int | float):
                raise DataError(path, "a number was expected", line=line, field="score")
            texts.append(text)
            scores.append(np.nan if score is None else float(score))
        if len(texts) == bounds[-1]:
            raise EmptyDataError(path, "it holds no sample")
        bounds.append(len(texts))
    tokens, offsets = tokens_of(Batch(texts, Counter()), tokenizer)
    heads = np.full(2 ** max(10, int(2 * len(tokens)).bit_length()), -1, np.int64)
    links = np.full(len(tokens), -1, np.int64)
    link_seeds(tokens, offsets, heads, links)
    names = tuple(Path(path).name for path in paths)
    return Benchmarks(names, tuple(bounds), np.array(scores), tokens, offsets, heads, links)


def table(benchmarks: Benchmarks, longest: NDArray[np.int32], tokenizer: str | None) -> dict[str, Any]:
    """For each benchmark: contamination at each L, and the largest L at which it is seen to pay, if it is at any."""
    found = {}
    for place, name in enumerate(benchmarks.names):
        samples = slice(benchmarks.bounds[place], benchmarks.bounds[place + 1])
        scores = benchmarks.scores[samples]
        by_length = {str(length): _at_length(_shares(benchmarks, longest, length)[samples], scores) for length in LENGTHS}
        paying = [length for length in LENGTHS if by_length[str(length)]["evidence"]]
        found[name] = {
            "samples": len(scores),
            "scored": int(np.isfinite(scores).sum()),
            "lengths": by_length,
            "largest_length_with_evidence": max(paying, default=None),
        }
    unit = "words" if tokenizer is None else "tokens"
    return {"unit": unit, "tokenizer": tokenizer, "mismatches": MISMATCHES, "benchmarks": found}


def _shares(benchmarks: Benchmarks, longest: NDArray[np.int32], length: int) -> NDArray[np.float64]:
    """The share of each sample's tokens that is contaminated at a length, (samples,); 0 for a sample without tokens."""
    before = np.concatenate([[0], np.cumsum(longest >= max(length, SHORTEST_MATCH))])
    contaminated = before[benchmarks.offsets[1:]] - before[benchmarks.offsets[:-1]]
    shares: NDArray[np.float64] = contaminated / np.maximum(np.diff(benchmarks.offsets), 1)
    return shares


def _at_length(shares: NDArray[np.float64], scores: NDArray[np.float64]) -> dict[str, Any]:
    subsets = {
        "clean": shares < CLEAN_BELOW,
        "not_clean": shares >= CLEAN_BELOW,
        "not_dirty": shares < DIRTY_FROM,
        "dirty": shares >= DIRTY_FROM,
    }
    rows = {name: _subset(shares, scores, mask) for name, mask in subsets.items()}
    return {"contaminated": float(shares.mean()), **rows, "evidence": is_evidence({n: r["z"] for n, r in rows.items()})}


def _subset(shares: NDArray[np.float64], scores: NDArray[np.float64], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A row of table 51: mean contamination, samples, their mean score, that of all samples, and Z."""
    known = np.isfinite(scores)
    inside, everything = scores[mask & known], scores[known]
    return {
        "contaminated": float(shares[mask].mean()) if mask.any() else None,
        "samples": int(mask.sum()),
        "score": float(inside.mean()) if len(inside) else None,
        "expected_score": float(everything.mean()) if len(everything) else None,
        "z": z_score(inside, everything),
    }


def z_score(inside: NDArray[np.float64], everything: NDArray[np.float64]) -> float | None:
    """Z = (mean of the subset - mean of all) / (deviation of all / √n): how far chance would put n samples from the mean.

    The table's own figures fit draws with replacement. None for an empty subset, or where all scores are equal.
    """
    deviation = float(everything.std()) if len(everything) else 0.0
    if not len(inside) or deviation == 0:
        return None
    return float((inside.mean() - everything.mean()) / (deviation / np.sqrt(len(inside))))


def is_evidence(z: dict[str, float | None]) -> bool:
    """Whether a model did better where it was contaminated: |Z| over 2 in all four subsets, with the signs that this has."""
    signs = {"clean": -1, "not_clean": 1, "not_dirty": -1, "dirty": 1}
    return all(value is not None and signs[name] * value > Z_NEEDED for name, value in z.items())
