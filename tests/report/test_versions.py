"""Versions on the page."""

import pytest

from paddock.report import versions
from paddock.report.blocks import Figures, Table
from paddock.report.run_folder import read_run
from paddock.report.wording import UNKNOWN
from paddock.run_dir import StageDir


def interval(estimate):
    return {"estimate": estimate, "lower": estimate - 0.01, "upper": estimate + 0.01, "n": 50}


def rejection(replies=8, **selected):
    curve = [{"replies": n, "max": interval(0.5 + n / 100), "median": interval(0.5)} for n in range(1, replies + 1)]
    return {
        "temperature": 0.8,
        "selected": sum(selected.values()),
        "selected_by_version": {version[1:]: count for version, count in selected.items()},
        "selected_reward": interval(0.75),
        "curve": curve,
        "sweep": [{"temperature": temperature, **point} for temperature in (1.0, 0.6) for point in curve],
    }


def reward(accuracy):
    return {"scores": [{"metric": "reward_accuracy", "group": "overall", "unit": "share", **interval(accuracy)}]}


def check(change, regressed=False):
    return {"domains": {"safety": {"difference": interval(change), "regressed": regressed}}}


@pytest.fixture
def rlhf(tmp_path):
    """A run whose stage rlhf has two whole versions and begins its third."""
    stage = StageDir(tmp_path / "rlhf")
    stage.begin("rlhf", {}, {})
    parts = {
        "v1/rejection": rejection(v1=900),
        "v1/reward-safety": reward(0.67),
        "v1/check": check(0.137),
        "v2/rejection": rejection(v1=400, v2=1500),
        "v2/reward-safety": reward(0.65),
        "v2/check": check(-0.05, regressed=True),
        "v3/rejection": None,
    }
    for name, results in parts.items():
        part = StageDir(stage.path / name)
        part.begin(part.path.name, {}, {})
        if results is not None:
            part.complete(results)
    return tmp_path


def tables(run) -> list[Table]:
    return [block for block in versions.section(read_run(run)).blocks if isinstance(block, Table)]


def test_each_version_has_a_row_with_whose_replies_it_learnt_from(rlhf):
    table = tables(rlhf)[0]
    assert table.columns == ("", "temperature", "selected", "their reward", "of V1", "of V2")
    assert [row.cells for row in table.rows] == [
        ("V1", "0.8", "900", "0.750\n0.740 to 0.760", "900", UNKNOWN),
        ("V2", "0.8", "1,900", "0.750\n0.740 to 0.760", "400", "1,500"),
    ]


def test_each_version_has_the_accuracy_of_its_reward_models_and_its_change(rlhf):
    first, second = tables(rlhf)[-1].rows
    assert first.cells == ("V1", UNKNOWN, "67.0%\n66.0 to 68.0%", UNKNOWN, "+0.137\n+0.127 to +0.147")
    assert second.cells[-1] == "worse −0.050\n−0.060 to −0.040"


def test_a_stage_rejection_is_a_version_of_its_own_name(tmp_path, add):
    add("best-of-8", "rejection", rejection(v1=30))
    table = tables(tmp_path)[0]
    assert [row.cells[:3] for row in table.rows] == [("best-of-8", "0.8", "30")]


def test_what_was_wrong_with_the_replies_is_counted(tmp_path, add):
    counts = {"prompts": 2400, "prompts_without_a_reply": 1, "unusable": 7, "best_unsafe": 31, "best_cut_short": 2}
    add("best-of-8", "rejection", {**rejection(v1=30), **counts, "cut_short_share": 0.004})
    table = tables(tmp_path)[1]
    assert table.columns[3:5] == ("unusable", "best unsafe")
    assert table.rows[0].cells == ("best-of-8", "2,400", "1", "7", "31", "2", "0.4%")


def test_how_the_reward_models_agree_stands_in_shares(tmp_path, add):
    agreement = {"rank_correlation": 0.4567, "safe_not_helpful": 0.2, "helpful_not_safe": 0.1}
    add("both", "rejection", {**rejection(v1=30), "agreement": agreement})
    add("one", "rejection", {**rejection(v1=30), "agreement": None})
    assert [row.cells for row in tables(tmp_path)[2].rows] == [("both", "0.4567", "20.0%", "10.0%")]


def test_versions_of_two_stages_are_told_apart(rlhf):
    (rlhf / "rlhf").rename(rlhf / "first")
    for name in ("second",):
        StageDir(rlhf / name).begin("rlhf", {}, {})
        part = StageDir(rlhf / name / "v1" / "rejection")
        part.begin("rejection", {}, {})
        part.complete(rejection(v1=7))
    assert {row.cells[0] for row in tables(rlhf)[0].rows} == {"first V1", "first V2", "second V1"}


def test_each_version_is_drawn_by_replies_and_by_temperature(rlhf):
    drawings = versions.section(read_run(rlhf)).blocks[-1]
    assert isinstance(drawings, Figures)
    titles = [figure.title for figure in drawings.figures]
    assert titles == [f"V{n} · by {what}" for n in (1, 2) for what in ("number of replies", "temperature")]


@pytest.mark.parametrize(("most", "counts"), [(1, [1]), (2, [2, 1]), (8, [8, 4, 2, 1]), (100, [100, 22, 5, 1])])
def test_temperatures_are_drawn_for_a_few_numbers_of_replies_up_to_all(most, counts):
    lines = versions._by_temperature(rejection(most)["sweep"])
    assert [line.label for line in lines] == [f"N = {count}" for count in counts]
    assert [line.x for line in lines] == [[0.6, 1.0]] * len(counts)
    assert [bool(line.bounds) for line in lines] == [True] + [False] * (len(counts) - 1)


def test_without_a_sweep_there_is_no_drawing_by_temperature(tmp_path, add):
    add("one", "rejection", {**rejection(v1=3), "sweep": []})
    (block,) = [block for block in versions.section(read_run(tmp_path)).blocks if isinstance(block, Figures)]
    assert [figure.title for figure in block.figures] == ["one · by number of replies"]
