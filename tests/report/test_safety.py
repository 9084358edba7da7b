"""Safety tuning on the page."""

import pytest

from paddock.report import safety
from paddock.report.blocks import Figures, Prose, Table
from paddock.report.page import write_report
from paddock.report.run_folder import read_run
from paddock.report.wording import UNKNOWN
from paddock.run_dir import write_json_lines
from paddock.statistics import mean_interval, wilson_interval


def interval(estimate, n=100):
    return {"estimate": estimate, "lower": estimate - 0.01, "upper": estimate + 0.01, "n": n}


def share_row(share, dialogs, safety_reward, refused):
    return {
        "share": share,
        "dialogs": dialogs,
        "safety": interval(safety_reward),
        "helpfulness": interval(0.6),
        "unsafe": wilson_interval(3, 100).as_row(),
        "low_quantile": 0.1,
        "histogram": [1] * 20,
        "not_scored": 0,
        "refusals": {"borderline": {**wilson_interval(refused, 100).as_row(), "undecided": 0}},
    }


def scaling():
    return {"shares": [share_row(0.0, 0, 0.4, 2), share_row(0.25, 30, 0.7, 5), share_row(1.0, 120, 0.8, 9)]}


def quantiles(median):
    return {"0.05": 0.1, "0.25": median - 0.1, "0.5": median, "0.75": median + 0.05, "0.95": 0.99}


def distillation():
    rewards = [
        {"answer": answer, **interval(median), "no_score": 0, "quantiles": quantiles(median)}
        for answer, median in (("original", 0.5), ("generic", 0.6), ("template", 0.8))
    ]
    effects = [{"answer": "original", **wilson_interval(1, 10).as_row(), "undecided": 0}]
    fates = {"kept": 2, "not above the original": 1}
    return {"prompts": 3, "kept": 2, "fates": fates, "rewards": rewards, "side_effects": effects}


def comparison():
    figures = {
        "n": 2,
        "reward": interval(0.8),
        "reward_before": interval(0.5),
        "difference": mean_interval([0.2, 0.4]).as_row(),
        "permutation_p": 0.01,
        "low_to_high": wilson_interval(1, 2).as_row(),
        "high_to_low": wilson_interval(0, 2).as_row(),
    }
    return {"domains": {"safety": figures}}


@pytest.fixture
def page(tmp_path, add):
    """A run with a stage of each kind."""
    stage = add("figure-14", "compare-rewards", comparison(), settings={"model": "${run}/with/model", "model_before": "old"})
    stage.write_samples([{"domain": "safety", "reward_before": x, "reward": y} for x, y in ((0.1, 0.9), (0.8, 0.8))])
    add("scaling", "safety-scaling", scaling())
    stage = add("distilled", "context-distillation", distillation())
    rows = [(-2.0, 2.0, True), (1.0, 0.5, False), (0.0, None, False)]
    write_json_lines(
        stage.path / "distilled.jsonl", ({"original_score": a, "distilled_score": b, "kept": kept} for a, b, kept in rows)
    )
    return tmp_path


def blocks(run, kind):
    return [block for block in safety.section(read_run(run)).blocks if isinstance(block, kind)]


def test_all_four_figures_are_drawn(page):
    titles = [figure.title.partition(" · ")[0] for block in blocks(page, Figures) for figure in block.figures]
    assert titles == [
        "Safety reward",
        "Safety data scaling",
        "The worst tail",
        "False refusals, borderline",
        "Rewards",
        "Gains",
    ]


def test_figure_14_has_safety_on_the_left_and_figure_33_a_drawing_a_group(tmp_path, add):
    figures = comparison()["domains"]["safety"]
    stage = add("figure-14", "compare-rewards", {"domains": {"helpfulness": figures, "safety": figures}}, settings={})
    stage.write_samples([{"domain": d, "reward_before": 0.1, "reward": 0.9} for d in ("helpfulness", "safety")])
    refusals = {
        group: {**wilson_interval(n, 100).as_row(), "undecided": 0} for group, n in (("helpfulness", 0), ("borderline", 9))
    }
    add("scaling", "safety-scaling", {"shares": [{**row, "refusals": refusals} for row in scaling()["shares"]]})
    titles = [figure.title.partition(" · ")[0] for block in blocks(tmp_path, Figures) for figure in block.figures]
    assert titles[:2] == ["Safety reward", "Helpfulness reward"]
    assert titles[-2:] == ["False refusals, helpfulness", "False refusals, borderline"]


def test_figure_14_names_both_models_and_the_change(page):
    table = blocks(page, Table)[0]
    assert "Before: old; after: with." in table.caption
    (row,) = table.rows
    assert row.cells[0] == "Safety"
    assert row.cells[4].startswith("+0.300")
    assert row.cells[6].startswith("50.0%")


def test_shares_stand_above_the_papers_readings(page):
    table = blocks(page, Table)[1]
    ours, papers = ([row.cells for row in table.rows if row.published is published] for published in (False, True))
    assert [cells[0] for cells in ours] == ["0%", "25%", "100%"]
    assert [cells[1] for cells in ours] == ["0", "30", "120"]
    assert [cells[-1].partition("\n")[0] for cells in ours] == ["2.0%", "5.0%", "9.0%"]
    assert papers[0] == ("0%", UNKNOWN, "0.680", UNKNOWN, UNKNOWN, "15.0%")
    assert papers[-1][0] == "100%"


def test_distillation_tells_what_became_of_prompts_and_side_effects(page):
    (prose,) = blocks(page, Prose)
    assert "of 3 adversarial prompts 2 are learnt from (kept 2; not above the original 1)" in prose.text
    table = blocks(page, Table)[2]
    assert [row.cells[3] for row in table.rows] == ["0.500", "0.600", "0.800", "0.75", "0.82", "0.87"]
    assert table.rows[0].cells[-1].startswith("10.0%")
    assert table.rows[1].cells[-1] == UNKNOWN


def test_the_page_holds_the_section(page):
    text = write_report(page).read_text()
    assert "Safety tuning" in text
    assert "<svg" in text


def test_without_such_a_stage_there_is_no_section(tmp_path, add):
    add("sft", "sft", {})
    assert safety.section(read_run(tmp_path)) is None


def test_figures_without_refusals_are_drawn_all_the_same(tmp_path, add):
    rows = [{**row, "refusals": {}} for row in scaling()["shares"]]
    add("scaling", "safety-scaling", {"shares": rows})
    assert len(blocks(tmp_path, Figures)[0].figures) == 2
    assert blocks(tmp_path, Table)[0].columns[-1] == "scored below 0.15"
