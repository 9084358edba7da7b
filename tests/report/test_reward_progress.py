"""Reward progress on the page."""

from __future__ import annotations

from paddock.evaluate.reward_curve import divergence, standing
from paddock.report import reward_progress
from paddock.report.blocks import Figures, Prose, Table
from paddock.report.run_folder import read_run

WINS = {
    "own": {"SFT": [0.5] * 20, "V1": [1.0] * 20},
    "neutral": {"SFT": [1.0] * 20, "V1": [0.0] * 20},
}


def results(judges=("own", "neutral"), axes=("helpfulness", "safety")) -> dict:
    curve = [
        {"version": version, "judge": judge, "axis": axis, **standing(wins)}
        for axis in axes
        for judge in judges
        for version, wins in WINS[judge].items()
    ]
    found = {axis: divergence(WINS["own"], WINS["neutral"]) for axis in axes} if len(judges) > 1 else {}
    return {"prompts": 40, "curve": curve, "divergence": found, "diverges": bool(found)}


def blocks(run, kind):
    return [block for block in reward_progress.section(read_run(run)).blocks if isinstance(block, kind)]


def test_both_judges_stand_in_the_table_beside_the_papers(tmp_path, add):
    add("reward-curve", "reward-curve", results())
    rates, changes = blocks(tmp_path, Table)
    assert rates.columns == ("", "helpfulness, own", "safety, own", "helpfulness, neutral", "safety, neutral")
    assert rates.rows[1].cells[0] == "V1"
    assert rates.rows[1].cells[1].startswith("100.0%\n83.9 to 100.0%")
    assert rates.rows[-1].cells[1:] == ("78%", "76%", "67%", "61%")
    assert rates.rows[-1].published
    assert changes.rows[0].cells[0] == "V1, helpfulness"
    assert changes.rows[0].cells[-1] == "yes"
    assert "They do here" in blocks(tmp_path, Prose)[0].text


def test_without_neutral_rewards_two_columns_and_one_path_are_left(tmp_path, add):
    add("reward-curve", "reward-curve", results(judges=("own",)))
    (rates,) = blocks(tmp_path, Table)
    assert {len(row.cells) for row in rates.rows} == {3}
    (figures,) = blocks(tmp_path, Figures)
    assert "neutral" not in figures.figures[0].svg


def test_one_axis_has_no_plane_to_be_drawn_in(tmp_path, add):
    add("reward-curve", "reward-curve", results(axes=("helpfulness",)))
    assert blocks(tmp_path, Figures) == []


def test_rewards_beside_people_are_drawn_by_domain(tmp_path, add):
    interval = {"estimate": 0.8, "lower": 0.7, "upper": 0.9, "n": 12}
    rows = [{"likert": 1.0, "mean": 0.2, "sd": None, "n": 1}, {"likert": 7.0, "mean": 0.8, "sd": 0.1, "n": 5}]
    groups = ("all", "safety")
    found = {
        "replies": 6,
        "correlations": {group: {"spearman": interval, "kendall": interval} for group in groups},
        "by_likert": dict.fromkeys(groups, rows),
    }
    add("reward-human", "reward-human", found)
    (table,) = blocks(tmp_path, Table)
    assert table.rows[0].cells == ("all", "+0.800\n+0.700 to +0.900", "+0.800\n+0.700 to +0.900", "12")
    (figures,) = blocks(tmp_path, Figures)
    assert [figure.title for figure in figures.figures] == ["Reward by rating · safety"]


def test_a_run_without_either_has_no_section(tmp_path, add):
    add("sft", "sft", {})
    assert reward_progress.section(read_run(tmp_path)) is None
