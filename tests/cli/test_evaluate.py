"""`paddock agreement` and `paddock compare`, as people and as machines use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RAW4 = "item,R1,R2,R3,R4\n1,1,1,,1\n2,2,2,3,2\n3,3,3,3,3\n4,3,3,3,3\n5,2,2,2,2\n6,1,2,3,4\n7,4,4,4,4\n8,1,1,2,1\n"
RAW4 += "9,2,2,2,2\n10,,5,5,5\n11,,,1,1\n12,,,3,\n"


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    (tmp_path / "ratings.csv").write_text(RAW4)
    return tmp_path / "ratings.csv"


@pytest.fixture
def comparisons(tmp_path: Path) -> Path:
    lines = ["item,rater,model_a,model_b,category,rating"]
    for prompt in range(12):
        pair = [("x", "y"), ("y", "z"), ("x", "z")][prompt % 3]
        lines += [
            f"p{prompt},r{rater},{pair[0]},{pair[1]},c{prompt % 2},{(prompt * 2 + rater) % 7 + 1}" for rater in range(3)
        ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path / "pairs.csv"


def test_agreement_prints_gwets_figures_with_their_weights(paddock, ratings):
    shown = paddock("agreement", ratings)
    assert shown.code == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert [
        "ac2",
        "identity",
        "0.775",
        "0.143",
        "0.461",
        "to",
        "1.000",
        "<0.001",
        "0.818",
        "0.190",
        "12",
        "Moderate",
    ] in lines
    assert {line[1] for line in lines if line and line[0] == "ac2"} == {"identity", "linear", "quadratic"}
    assert "1 of 12 items have one rating" in shown.out


def test_agreement_speaks_json(paddock, ratings):
    words = ("--coefficient", "ac2", "--weights", "quadratic", "--categories", "1,2,3,4,5,6,7", "--json")
    found = json.loads(paddock("agreement", ratings, *words).out)
    (row,) = found["coefficients"]
    assert row["value"] == pytest.approx(0.96460997, abs=6e-9)
    assert (found["items"], found["raters"], found["ratings"], found["categories_are"]) == (12, 4, 41, "declared")


def test_the_options_reach_the_coefficient(paddock, ratings):
    def row(*words: str) -> dict:
        return json.loads(paddock("agreement", ratings, "--coefficient", "ac1", "--json", *words).out)["coefficients"][0]

    plain = row()
    assert row("--sampled-raters")["se"] == pytest.approx(0.18142923, abs=6e-9)
    assert row("--log-interval")["lower"] != plain["lower"]
    assert row("--ratio-errors")["se"] < plain["se"]
    assert row("--population", "12")["se"] == 0
    assert row("--confidence", "0.9")["lower"] > plain["lower"]
    assert row("--scale", "fleiss")["level"] == "Intermediate to Good"
    assert row("--raters", "R1,R2,R3")["raters"] == 3


def test_labels_without_an_order_are_unweighted(paddock, tmp_path):
    (tmp_path / "t.csv").write_text("item,a,b\n1,yes,yes\n2,no,no\n3,no,yes\n")
    shown = paddock("agreement", tmp_path / "t.csv")
    assert "quadratic" not in shown.out
    assert "--categories" in shown.out
    assert "quadratic" in paddock("agreement", tmp_path / "t.csv", "--categories", "no,yes").out


def test_compare_prints_a_row_a_pair_and_strengths(paddock, comparisons):
    shown = paddock("compare", comparisons, "--by", "category", "--width", "0.1")
    assert shown.code == 0
    pairs = [line[:6] for line in shown.out.splitlines() if " all " in line]
    assert pairs == ["x vs y", "y vs z", "x vs z"]
    assert "category: c1" in shown.out
    assert "prompts for width" in shown.out
    found = json.loads(paddock("compare", comparisons, "--json").out)
    assert len(found["pairs"]) == 3
    assert {row["model"] for row in found["strengths"]} == {"x", "y", "z"}
    assert found["pairs"][0]["win"].keys() == {"estimate", "lower", "upper", "n", "bootstrap"}


def test_compare_says_that_an_undefeated_model_has_no_strength(paddock, tmp_path):
    (tmp_path / "t.csv").write_text("item,model_a,model_b,rating\n1,x,y,1\n2,x,z,1\n3,y,z,2\n4,z,y,2\n")
    shown = paddock("compare", tmp_path / "t.csv")
    assert "note: x never lost to any other model" in shown.out


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_plot_is_drawn_where_it_is_asked_for(paddock, ratings, comparisons, tmp_path, ending):
    for command, file in (("agreement", ratings), ("compare", comparisons)):
        plot = tmp_path / f"{command}.{ending}"
        assert paddock(command, file, "--plot", plot).code == 0
        assert plot.stat().st_size > 1000


def test_a_users_mistake_names_line_and_mend(paddock, ratings, tmp_path):
    outcome = paddock("agreement", ratings, "--categories", "1,2,3")
    assert outcome == (2, "", f"error: {ratings}:7: field 'R4': 4 is not one of the declared categories 1, 2, 3\n")
    assert paddock("agreement", ratings, "--weights", "quadratik").err.endswith('Did you mean "quadratic"?\n')
    assert paddock("compare", ratings, "--plot", tmp_path / "x.gif").code == 2
    kappa = paddock("agreement", ratings, "--raters", "R1,R2", "--coefficient", "cohen", "--weights", "identity")
    assert kappa.code == 2
    assert kappa.err.startswith(f"error: {ratings}: item 10: Cohen's kappa needs the ratings of both raters")


@pytest.mark.parametrize("command", ["agreement", "compare"])
def test_the_commands_start_without_torch_and_draw_nothing_unasked(command, ratings, comparisons):
    file = ratings if command == "agreement" else comparisons
    code = f"import sys; sys.argv = ['paddock', {command!r}, {str(file)!r}]\nfrom paddock.cli.main import main\n"
    code += "try: main()\nexcept SystemExit as stopped: assert not stopped.code\n"
    code += "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False"
