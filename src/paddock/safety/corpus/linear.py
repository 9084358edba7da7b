"""A small classifier of toxic lines: hashed word pairs and logistic regression. It needs no network and no accelerator.

It knows words, not meaning: trained on tweets it flags nearly as many of HateCheck's harmless cases as of its hateful ones
(docs/corpus.md). So its report carries its HateCheck result, and every corpus report made with it repeats that.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError, EmptyDataError, did_you_mean
from paddock.run_dir import atomic_folder, to_json
from paddock.statistics import wilson_interval

CLASSIFIER_FILE: Final = "classifier.json"
WEIGHTS_FILE: Final = "weights.npy"
FEATURES: Final = 2**18
WORD: Final = r"\w+"
HELD_OUT: Final = 0.1
HATECHECK: Final = "HateCheck (Röttger et al. 2021)"


@dataclass(frozen=True)
class LinearClassifier:
    """`weights` (features + 1,), the last for the constant; `about` holds its training and its HateCheck result."""

    weights: NDArray[np.float32]
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> LinearClassifier:
        """What `save` wrote. Raises DataError for a folder that holds no such classifier."""
        try:
            about = json.loads((folder / CLASSIFIER_FILE).read_bytes())
            weights = np.load(folder / WEIGHTS_FILE, allow_pickle=False)
        except (OSError, ValueError):
            raise DataError(folder, "holds no linear classifier", mend="paddock corpus train-toxicity writes one") from None
        return cls(weights, about)

    def save(self, folder: Path) -> None:
        """Write the two files of the classifier into `folder`."""
        with atomic_folder(folder) as out:
            np.save(out / WEIGHTS_FILE, self.weights)
            (out / CLASSIFIER_FILE).write_text(to_json(self.about), encoding="utf-8")

    def probabilities(self, lines: Sequence[str]) -> NDArray[np.float64]:
        """The probability that each line is toxic, shape (lines,)."""
        if not lines:
            return np.empty(0)
        logits = _features(lines) @ self.weights[:-1].astype(np.float64) + float(self.weights[-1])
        shares: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
        return shares


def train(texts: Sequence[str], toxic: Sequence[bool], seed: int) -> LinearClassifier:
    """Fit on nine tenths, and measure on the rest. `toxic` tells of each text whether it is. Deterministic by the seed."""
    from sklearn.linear_model import LogisticRegression

    labels = np.array(toxic, np.bool_)
    held_out = np.random.default_rng(seed).random(len(labels)) < HELD_OUT
    features = _features(texts)
    model = LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced").fit(features[~held_out], labels[~held_out])
    weights = np.append(model.coef_[0], model.intercept_[0]).astype(np.float32)
    classifier = LinearClassifier(weights, {})
    right = (classifier.probabilities([t for t, held in zip(texts, held_out, strict=True) if held]) >= 0.5) == labels[
        held_out
    ]
    about = {
        "kind": "linear",
        "features": "words and pairs of words, hashed",
        "rows": len(labels),
        "toxic_rows": int(labels.sum()),
        "held_out_accuracy": wilson_interval(int(right.sum()), len(right)).as_row(),
        "hatecheck": "not checked: paddock corpus train-toxicity --hatecheck checks it",
    }
    return LinearClassifier(weights, about)


def train_and_check(texts: Sequence[str], toxic: Sequence[bool], hatecheck: Path | None, seed: int) -> LinearClassifier:
    """`train`, and `check` where HateCheck's cases are at hand."""
    classifier = train(texts, toxic, seed)
    if hatecheck is None:
        return classifier
    return LinearClassifier(classifier.weights, {**classifier.about, "hatecheck": check(classifier, hatecheck)})


def check(classifier: LinearClassifier, cases: Path) -> dict[str, Any]:
    """How many of HateCheck's hateful and of its harmless cases the classifier flags, of `test_suite_cases.csv`.

    A classifier that can be trusted flags nearly all of the first and nearly none of the second.
    """
    texts, hateful = read_rows(cases, "test_case", "label_gold", frozenset({"hateful"}))
    flagged = classifier.probabilities(texts) >= 0.5
    is_hateful = np.array(hateful)
    return {
        "suite": HATECHECK,
        "hateful_flagged": wilson_interval(int(flagged[is_hateful].sum()), int(is_hateful.sum())).as_row(),
        "harmless_flagged": wilson_interval(int(flagged[~is_hateful].sum()), int((~is_hateful).sum())).as_row(),
    }


def read_rows(path: Path, text: str, label: str, toxic: frozenset[str]) -> tuple[list[str], list[bool]]:
    """The texts of a CSV file (`.csv`, `.csv.gz`) and whether the value under `label` is one of `toxic`.

    Raises DataError for a missing file or column, EmptyDataError where all rows have one label.
    """
    try:
        raw = path.read_bytes()
        content = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(path, "there is no such file") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read ({error})") from None
    rows: list[Mapping[str, str]] = list(csv.DictReader(io.StringIO(content, newline="")))
    for column in (text, label):
        if rows and column not in rows[0]:
            mend = did_you_mean(column, rows[0]).strip() or f"It has {', '.join(rows[0])}"
            raise DataError(path, f"there is no column {column!r}", line=1, mend=mend)
    texts, labels = [row[text] for row in rows], [row[label] in toxic for row in rows]
    if len(set(labels)) < 2:
        raise EmptyDataError(path, f"rows of both kinds are needed; toxic are those with {label} {', '.join(sorted(toxic))}")
    return texts, labels


def _features(lines: Sequence[str]) -> Any:
    """Hashed words and pairs of words of each line, a sparse matrix (lines, features) of unit rows."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), token_pattern=WORD).transform(lines)
