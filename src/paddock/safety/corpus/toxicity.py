"""Figure 13: how toxic documents are. A classifier reads each line; a document's score is the mean of its lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from paddock.statistics import wilson_interval

BINS: Final = 20
TOXIC: Final = 0.5
UNIT: Final = 1_000_000
"""Scores are summed as whole millionths, so that a sum is the same in any order."""


class LineClassifier(Protocol):
    """Whatever tells how likely a line is toxic."""

    @property
    def about(self) -> dict[str, Any]:
        """What the classifier is, and how it fares on HateCheck where that is known."""
        ...

    def probabilities(self, lines: Sequence[str]) -> NDArray[np.float64]:
        """The probability that each line is toxic, shape (lines,)."""
        ...


def is_sampled(hashes: NDArray[np.uint64], share: float, seed: int) -> NDArray[np.bool_]:
    """The random `share` of the documents that the seed picks by their hashes (documents,): the same in any order of shards.

    Documents of one text are picked together.
    """
    if share == 1:
        return np.ones(len(hashes), np.bool_)
    mixed = hashes ^ np.uint64(seed * 0x9E3779B97F4A7C15 & 2**64 - 1)
    mixed = (mixed ^ mixed >> np.uint64(31)) * np.uint64(0xBF58476D1CE4E5B9)
    picked: NDArray[np.bool_] = mixed ^ mixed >> np.uint64(27) < np.uint64(int(share * 2**64))
    return picked


def count(texts: Sequence[str], classifier: LineClassifier, score_empty_lines: bool) -> Counter[str]:
    """Scored documents, those at 0.5 and over, the sum of scores, and a histogram; documents without a line apart."""
    lines = [[line for line in text.split("\n") if score_empty_lines or line.strip()] for text in texts]
    lengths = np.array([len(of_document) for of_document in lines], np.int64)
    scores = classifier.probabilities([line for of_document in lines for line in of_document])
    counts = Counter({"toxicity/without_lines": int((lengths == 0).sum())})
    ends = np.cumsum(lengths)
    means = np.array([scores[end - n : end].mean() for end, n in zip(ends, lengths, strict=True) if n])
    counts["toxicity/scored"] = len(means)
    counts["toxicity/toxic"] = int((means >= TOXIC).sum())
    counts["toxicity/sum"] = int(np.rint(means * UNIT).astype(np.int64).sum())
    for place, documents in enumerate(np.histogram(means, BINS, (0, 1))[0].tolist()):
        counts[f"toxicity/bin/{place}"] = documents
    return counts


def table(counts: Counter[str], about: dict[str, Any], share: float) -> dict[str, Any]:
    """The share of the scored documents at 0.5 and over, their mean score, and `histogram`: documents by score."""
    scored = counts["toxicity/scored"]
    return {
        "documents": scored,
        "sampled_share": share,
        "without_lines": counts["toxicity/without_lines"],
        "classifier": about,
        "toxic": wilson_interval(counts["toxicity/toxic"], scored).as_row(),
        "mean_score": counts["toxicity/sum"] / UNIT / scored if scored else None,
        "histogram": [
            {"from": place / BINS, "to": (place + 1) / BINS, "documents": counts[f"toxicity/bin/{place}"]}
            for place in range(BINS)
        ],
    }
