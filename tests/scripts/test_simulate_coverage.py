"""The simulation's exact truth, and that intervals hold it as often as they say."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from paddock.evaluate.agreement import agreement

SCRIPT = Path(__file__).parents[2] / "scripts" / "simulate_coverage.py"


@pytest.fixture(scope="module")
def simulation():
    specification = spec_from_file_location("simulate_coverage", SCRIPT)
    module = module_from_spec(specification)
    sys.modules["simulate_coverage"] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("coefficient", ["ac2", "alpha", "fleiss", "bp", "pa"])
@pytest.mark.parametrize("weights", ["identity", "quadratic"])
def test_the_truth_is_the_value_of_very_many_items(simulation, coefficient, weights):
    for scenario in (simulation.SCENARIOS[1], simulation.SCENARIOS[3]):
        ratings = simulation.study(scenario, 300_000, np.random.default_rng(0))
        found = agreement(ratings, coefficient, weights)
        assert found.value == pytest.approx(simulation.truth(scenario, coefficient, weights), abs=4 * found.se)


@pytest.mark.parametrize("items", [100, 300])
def test_intervals_of_a_thousand_studies_hold_the_truth_as_they_should(simulation, items):
    rows = list(simulation.coverage(simulation.SCENARIOS[4], items, 1000, seed=1))
    assert {row["coefficient"] for row in rows} == {"ac2", "alpha", "fleiss", "bp", "pa"}
    for row in rows:
        assert 0.93 <= row["t"] <= 0.97
