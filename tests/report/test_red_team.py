"""Red teaming on the page."""

from paddock.report import red_team
from paddock.report.blocks import Figures, Table
from paddock.report.page import write_report
from paddock.report.run_folder import read_run
from paddock.report.wording import UNKNOWN
from paddock.statistics import mean_interval, wilson_interval


def version(model, gamma):
    group = {"group": "overall", "violations": wilson_interval(2, 10).as_row(), "rating": mean_interval([4, 5]).as_row()}
    return {
        "model": model,
        "attempts": 10,
        "unrated": 1,
        "undecided": 2,
        "people": 2,
        "sessions": 2,
        "person_hours": 4.0,
        "violating_prompts": 2,
        "gamma": {"estimate": gamma, "lower": gamma / 2, "upper": gamma * 2, "n": 2, "interval": "bootstrap over people"},
        "groups": [group],
        "hits": [{"k": 1, **wilson_interval(1, 2).as_row()}],
    }


def results(**changes):
    coefficients = [{"coefficient": "ac2", "value": 0.9, "lower": 0.8, "upper": 1.0}]
    return {
        "versions": [version("v1", 1.5), version("v2", 0.5)],
        "agreement": [{"group": "model: v1", "items": 10, "raters": 3, "coefficients": coefficients}],
        **changes,
    }


def blocks(run, kind):
    return [block for block in red_team.section(read_run(run)).blocks if isinstance(block, kind)]


def test_versions_stand_above_the_papers_row(tmp_path, add):
    add("log", "red-team", results())
    table = blocks(tmp_path, Table)[0]
    assert [row.cells[0] for row in table.rows] == ["v1", "v2", "Llama 2-Chat 7B"]
    first = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert first["gamma"] == "1.50\n0.75 to 3.00"
    assert first["hit in 1"].startswith("50.0%")
    assert first["hit in 10"] == UNKNOWN
    assert first["AC2"].startswith("0.90")
    assert (first["undecided"], first["unrated"]) == ("2", "1")
    assert "Nobody voted on 1 of 10 attempts of v1, 1 of 10 attempts of v2: gamma may be too low there" in table.caption
    assert "Poisson" not in table.caption
    assert table.rows[-1].published
    published = dict(zip(table.columns, table.rows[-1].cells, strict=True))
    assert (published["gamma"], published["AC2"]) == ("from 1.8 to 0.45", UNKNOWN)  # its AC2 is of another study
    assert "0.92" in table.caption


def test_an_interval_of_a_count_and_an_unknown_gamma_are_named(tmp_path, add):
    alike = version("v1", 1.0) | {"gamma": {"estimate": 1.0, "lower": 0.1, "upper": 3.6, "n": 2, "interval": "Poisson"}}
    unknown = {"gamma": {"estimate": None, "lower": None, "upper": None, "n": 2, "interval": None}, "hits": []}
    unrated = version("v2", 1.0) | {**unknown, "violating_prompts": None, "unrated": 10}
    add("log", "red-team", results(versions=[alike, unrated, version("v3", 2.0) | {"unrated": 0}]))
    table = blocks(tmp_path, Table)[0]
    assert "for v1, where people found alike or there is one, Poisson's of a count" in table.caption
    assert "Nobody voted on 1 of 10 attempts of v1, 10 of 10 attempts of v2: gamma" in table.caption
    second = dict(zip(table.columns, table.rows[1].cells, strict=True))
    assert [second[name] for name in ("violating prompts", "gamma", "hit in 1")] == [UNKNOWN] * 3
    (figures,) = blocks(tmp_path, Figures)
    assert ">v3<" in figures.figures[0].svg
    assert ">v2<" not in figures.figures[0].svg


def test_groups_have_a_column_a_version(tmp_path, add):
    add("log", "red-team", results())
    table = blocks(tmp_path, Table)[1]
    assert table.columns == ("group", "violations, v1", "violations, v2", "rating, v1", "rating, v2")
    assert table.rows[0].cells[0] == "Overall"
    assert table.rows[0].cells[3].startswith("4.50")


def test_a_rerun_stands_beside_the_papers_rate(tmp_path, add):
    rerun = {
        "model": "v3",
        "undecided_prompts": 1,
        "rejection_rate": [{"group": "overall", **wilson_interval(9, 10).as_row()}],
    }
    add("log", "red-team", results(rerun=rerun))
    table = blocks(tmp_path, Table)[2]
    assert "sent to v3" in table.caption
    assert table.rows[0].cells[1].startswith("90.0%")
    assert table.rows[1].cells[1] == "90%"


def test_gamma_is_drawn_version_after_version(tmp_path, add):
    add("log", "red-team", results())
    (figures,) = blocks(tmp_path, Figures)
    assert ">v2<" in figures.figures[0].svg
    assert "Red teaming" in write_report(tmp_path).read_text()


def test_one_persons_gamma_has_no_interval_and_no_drawing(tmp_path, add):
    gamma = {"estimate": 1.0, "lower": None, "upper": None, "n": 1}
    add("log", "red-team", results(versions=[version("v1", 1.0) | {"gamma": gamma}]))
    assert blocks(tmp_path, Figures) == []


def test_without_a_log_there_is_no_section(tmp_path, add):
    add("sft", "sft", {})
    assert red_team.section(read_run(tmp_path)) is None
