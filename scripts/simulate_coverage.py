"""How often do 95% intervals of agreement hold the truth? Simulated studies whose truth is known exactly.

    python scripts/simulate_coverage.py [--studies 1000] [--seed 0] [--out coverage.json]

An item has a true category; each rater, given it, answers with known probabilities, independently: more often near
categories than far ones, and some raters more sharply than others. So observed and chance agreement in the limit of many
items are sums of products, and need no simulation. Data are complete. Every scenario, number of items, coefficient and set
of weights has its own 1,000 studies, and both forms of interval are formed of each. Raters are fixed, as the default
errors take them.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paddock.evaluate.agreement import AgreementWarning, agreement
from paddock.evaluate.ratings import Ratings
from paddock.evaluate.weights import weight_matrix

ITEMS = (15, 30, 50, 100, 300, 1000)
SKILL = (0.8, 1.0, 1.3, 0.9, 1.15)  # of the raters, relative
COEFFICIENTS = ("ac2", "alpha", "fleiss", "bp", "pa")
WEIGHTS = ("identity", "linear", "quadratic")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """`prevalence` (q,) of the true categories; `blur` is the scale over which a rater's answers spread around the truth."""

    name: str
    raters: int
    prevalence: tuple[float, ...]
    blur: float

    def answers(self) -> Floats:
        """The probability of each answer by rater and true category, (r, q, q)."""
        places = np.arange(len(self.prevalence))
        distance = np.abs(places[:, None] - places[None, :])
        sharp = np.exp(-distance[None] / (self.blur * np.array(SKILL[: self.raters])[:, None, None]))
        probabilities: Floats = sharp / sharp.sum(axis=2, keepdims=True)
        return probabilities


SCENARIOS = (
    Scenario("7 points, 3 raters, agreement low", 3, (1 / 7,) * 7, 2.0),
    Scenario("7 points, 3 raters, agreement middling", 3, (1 / 7,) * 7, 0.8),
    Scenario("7 points, 3 raters, agreement high", 3, (1 / 7,) * 7, 0.35),
    Scenario("7 points, 5 raters, one end common", 5, (0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.02), 0.8),
    Scenario("2 categories, 3 raters, even", 3, (0.5, 0.5), 0.6),
    Scenario("2 categories, 3 raters, one of ten", 3, (0.9, 0.1), 0.4),
)


def truth(scenario: Scenario, coefficient: str, weights: str) -> float:
    """The coefficient in the limit of many items; alpha's is that of Fleiss' kappa."""
    answers, prevalence = scenario.answers(), np.array(scenario.prevalence)
    size = len(prevalence)
    matrix = weight_matrix(weights, [float(k) for k in range(1, size + 1)])
    pairs = [(g, h) for g in range(scenario.raters) for h in range(g)]
    observed = np.mean([prevalence @ np.einsum("ck,kl,cl->c", answers[g], matrix, answers[h]) for g, h in pairs])
    given = (prevalence @ answers).mean(axis=0)
    chance = {
        "ac2": matrix.sum() / (size * (size - 1)) * (given @ (1 - given)),
        "alpha": given @ matrix @ given,
        "fleiss": given @ matrix @ given,
        "bp": matrix.sum() / size**2,
        "pa": 0.0,
    }[coefficient]
    return float((observed - chance) / (1 - chance))


def study(scenario: Scenario, items: int, draw: np.random.Generator) -> Ratings:
    """One study's ratings."""
    size = len(scenario.prevalence)
    true = draw.choice(size, size=items, p=scenario.prevalence)
    steps = scenario.answers().cumsum(axis=2)
    chance = draw.random((items, scenario.raters))
    codes = np.stack([(chance[:, g, None] > steps[g, true]).sum(axis=1) for g in range(scenario.raters)], axis=1)
    return Ratings(np.minimum(codes, size - 1).astype(np.uint8), tuple(float(k) for k in range(1, size + 1)), True)


def coverage(scenario: Scenario, items: int, studies: int, seed: int) -> Iterator[dict[str, object]]:
    """A row a coefficient and weights: the share of intervals, of those that are defined, that hold the truth."""
    draw = np.random.default_rng([seed, SCENARIOS.index(scenario), items])
    samples = [study(scenario, items, draw) for _ in range(studies)]
    for weights in WEIGHTS if len(scenario.prevalence) > 2 else WEIGHTS[:1]:
        for coefficient in COEFFICIENTS:
            exact = truth(scenario, coefficient, weights)
            held, defined, values = {"t": 0, "log": 0}, {"t": 0, "log": 0}, []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AgreementWarning)  # an interval that is undefined is counted
                for ratings in samples:
                    for form in ("t", "log"):
                        found = agreement(ratings, coefficient, weights, interval=form)
                        defined[form] += not np.isnan(found.lower)
                        held[form] += found.lower <= exact <= found.upper
                    values.append(found.value)
            shares = {form: held[form] / defined[form] for form in held}
            where = {"scenario": scenario.name, "items": items, "coefficient": coefficient, "weights": weights}
            yield {**where, "truth": exact, "mean": float(np.nanmean(values)), **shares, "defined": defined}


def main() -> None:
    """Simulate, and print the range over scenarios for each number of items."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out")
    words = parser.parse_args()
    rows = [row for items in ITEMS for scenario in SCENARIOS for row in coverage(scenario, items, words.studies, words.seed)]
    for items in ITEMS:
        for form in ("t", "log"):
            shares = [row[form] for row in rows if row["items"] == items]
            within = np.mean([0.93 <= share <= 0.97 for share in shares])
            low, middle, high = np.quantile(shares, [0, 0.5, 1])
            line = f"{items:>5} items  {form:<3}  median {middle:.1%}  lowest {low:.1%}  highest {high:.1%}"
            print(f"{line}  within 93 to 97%: {within:.0%} of {len(shares)}")
    if words.out:
        with open(words.out, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
