"""How fast are agreement and Bradley-Terry? Side by side with irrCAC, krippendorff, evalica and choix, in one run.

    python speed/evaluate.py [--items 100000] [--repeats 7]

All start from what each takes at its best, built before the clock: an array of coded ratings (irrCAC: a data frame), the two
names and the winner of every comparison (choix: numbers, a pair a win). irrCAC's and our agreement include errors, intervals
and p-values; krippendorff's and evalica's alpha are the value alone. Our Bradley-Terry includes intervals; the peers' is the
strengths. Turns take turns, figures are medians, and every pair of results is compared before it is timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import choix
import evalica
import krippendorff
import numpy as np
import pandas as pd
from irrCAC.raw import CAC

from paddock.evaluate.agreement import agreement
from paddock.evaluate.bradley_terry import bradley_terry
from paddock.evaluate.ratings import code_ratings

RATERS, CATEGORIES, MODELS = 5, 7, 50
PEERS = ("irrCAC", "krippendorff", "evalica", "choix", "numpy", "pyarrow", "pandas", "scipy")
Ways = dict[str, Callable[[], object]]


def ratings(items: int, seed: int = 0) -> np.ndarray:
    """Coded ratings 1..7, items x raters, that agree on three of five."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(1, CATEGORIES + 1, (items, 1))
    noise = draw.integers(1, CATEGORIES + 1, (items, RATERS))
    return np.where(draw.random((items, RATERS)) < 0.6, truth, noise)


def race(title: str, ways: Ways, repeats: int) -> None:
    """Time every way, turn by turn, and print a Markdown table; the first way is ours."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(turns) for name, turns in times.items()}
    ours = next(iter(medians.values()))
    print(f"\n### {title}\n\n| | milliseconds | Paddock against it |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {1000 * median:,.2f} | {median / ours:,.1f} |")


def race_irrcac(items: int, repeats: int) -> None:
    """AC2 with quadratic weights, with errors."""
    coded = ratings(items)
    frame = pd.DataFrame(coded.astype(float))
    seen = [float(k) for k in range(1, CATEGORIES + 1)]
    once = code_ratings(coded, None)
    ways: Ways = {
        "Paddock": lambda: agreement(coded, "ac2", "quadratic"),
        "Paddock, of Ratings": lambda: agreement(once, "ac2", "quadratic"),
        "irrCAC": lambda: CAC(frame, weights="quadratic", categories=seen, digits=15).gwet(),
    }
    theirs = ways["irrCAC"]()["est"]
    mine = ways["Paddock"]()
    assert np.allclose([mine.value, mine.se], [theirs["coefficient_value"], theirs["se"]], atol=1e-9)
    race(f"AC2, quadratic, {items:,} items by {RATERS} raters", ways, repeats)


def race_alpha(items: int, repeats: int) -> None:
    """Krippendorff's alpha of interval data."""
    coded = ratings(items)
    by_rater = coded.T.astype(float)
    frame = pd.DataFrame(by_rater)
    ways: Ways = {
        "Paddock, with errors": lambda: agreement(coded, "alpha", "quadratic"),
        "krippendorff": lambda: krippendorff.alpha(by_rater, level_of_measurement="interval"),
        "evalica": lambda: evalica.alpha(frame, distance="interval"),
    }
    values = [ways["Paddock, with errors"]().value, ways["krippendorff"](), ways["evalica"]().alpha]
    assert np.allclose(values, values[0], atol=1e-9), values
    race(f"Alpha, interval, {items:,} items by {RATERS} raters", ways, repeats)


def race_forms(repeats: int) -> None:
    """A million items, as they may come."""
    coded = ratings(1_000_000)
    with_gaps = coded.astype(float)
    with_gaps[np.random.default_rng(1).random(coded.shape) < 0.1] = np.nan
    labels = np.array(list("abcdefg"), dtype=object)[coded - 1]
    race(
        "AC2, quadratic, 1,000,000 items by 5 raters",
        {
            "coded integers": lambda: agreement(coded, "ac2", "quadratic"),
            "floats, a tenth missing": lambda: agreement(with_gaps, "ac2", "quadratic", single_ratings="ratio"),
            "text labels": lambda: agreement(labels, "ac2", "quadratic", list("abcdefg")),
        },
        repeats,
    )


def race_bradley_terry(count: int, repeats: int) -> None:
    """Comparisons without ties of 50 models."""
    draw = np.random.default_rng(0)
    strengths = draw.normal(size=MODELS)
    i = draw.integers(0, MODELS, count)
    j = (i + draw.integers(1, MODELS, count)) % MODELS
    won = draw.random(count) < 1 / (1 + np.exp(strengths[j] - strengths[i]))
    names = np.array([f"model {place:02d}" for place in range(MODELS)], dtype=object)
    first, second, outcomes = list(names[i]), list(names[j]), won.astype(float)
    winners = [evalica.Winner.X if result else evalica.Winner.Y for result in won]
    pairs = list(zip(np.where(won, i, j).tolist(), np.where(won, j, i).tolist(), strict=True))
    ways: Ways = {
        "Paddock, with intervals": lambda: bradley_terry(first, second, outcomes),
        "evalica": lambda: evalica.bradley_terry(first, second, winners, tolerance=1e-8, limit=1000).scores,
        "choix ilsr_pairwise": lambda: choix.ilsr_pairwise(MODELS, pairs),
        "choix opt_pairwise": lambda: choix.opt_pairwise(MODELS, pairs),
        "choix mm_pairwise": lambda: choix.mm_pairwise(MODELS, pairs),
    }
    found = ways["Paddock, with intervals"]()
    mine = dict(zip(found.models, found.strengths, strict=True))
    centred = np.array([mine[name] for name in names])
    theirs = np.log(ways["evalica"]().loc[list(names)].to_numpy())
    for strength in (theirs, ways["choix ilsr_pairwise"](), ways["choix opt_pairwise"]()):
        assert np.allclose(centred, strength - strength.mean(), atol=1e-3)
    race(f"Bradley-Terry, {count:,} comparisons of {MODELS} models", ways, repeats)


def main() -> None:
    """Run all races."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000, help="of the races beside irrCAC and for alpha")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each way")
    words = parser.parse_args()
    print(", ".join(f"{name} {version(name)}" for name in PEERS))
    race_irrcac(words.items, words.repeats)
    race_alpha(words.items, words.repeats)
    race_forms(words.repeats)
    race_bradley_terry(words.items, words.repeats)


if __name__ == "__main__":
    main()
