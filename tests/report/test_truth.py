"""Models against the truth, beside each other."""

from paddock.report import truth
from paddock.report.run_folder import read_run
from paddock.report.wording import UNKNOWN


def score(metric, estimate, group="overall"):
    return {
        "metric": metric,
        "group": group,
        "unit": "share",
        "estimate": estimate,
        "lower": estimate - 0.1,
        "upper": estimate + 0.1,
    }


def test_models_stand_in_the_order_of_the_run_by_their_own_names(tmp_path, add):
    for name, model, helpfulness in (("one", "${run}/sft/model", 0.5), ("two", "/elsewhere/chat", 0.7)):
        add(name, "evaluate-world", {"scores": [score("helpfulness", helpfulness)]}, settings={"model": model})
    (table,) = truth.section(read_run(tmp_path)).blocks
    assert table.columns == ("", "helpfulness", "violations", "false refusals", "borderline helpfulness")
    assert [row.cells[:3] for row in table.rows] == [
        ("sft", "50.0%\n40.0 to 60.0%", UNKNOWN),
        ("/elsewhere/chat", "70.0%\n60.0 to 80.0%", UNKNOWN),
    ]


def test_a_group_of_a_metric_is_not_the_metric(tmp_path, add):
    rows = [score("helpfulness", 0.1, "skill: sort"), score("helpfulness", 0.6)]
    for name in ("one", "two"):
        add(name, "evaluate-world", {"scores": rows}, settings={"model": name})
    assert truth.section(read_run(tmp_path)).blocks[0].rows[0].cells[1].startswith("60.0%")


def test_one_model_is_not_compared(tmp_path, add):
    add("one", "evaluate-world", {"scores": [score("helpfulness", 0.5)]}, settings={"model": "m"})
    add("ppo", "evaluate-world", {"curve": []})
    assert truth.section(read_run(tmp_path)) is None
