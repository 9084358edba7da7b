"""Benchmarks on the page: the paper's tables with a model's rows above them."""

from __future__ import annotations

from paddock.report import benchmarks
from paddock.report.blocks import Facts, Table
from paddock.report.page import write_report
from paddock.report.run_folder import read_run
from paddock.safety.benchmarks.published import published_table
from paddock.statistics import Interval


def score(metric, group, estimate, unit="share"):
    interval = Interval(estimate, estimate - 0.05, estimate + 0.05, 20)
    return {"metric": metric, "group": group, "unit": unit, **interval.as_row()}


def measured(**changes):
    groups = published_table("45").columns
    return {
        "truthfulqa": {
            "scores": [
                score(m, "overall", e) for m, e in (("truthful_and_informative", 0.4), ("truthful", 0.5), ("mc1", 0.3))
            ],
            "failed": 2,
            "protocol": {"shots": 6, "judges": {"truthful": {"kind": "linear stand-in"}}},
        },
        "toxigen": {
            "scores": [
                score("toxic", "overall", 0.2),
                *(score("toxic", f"group: {group}", 0.1) for group in sorted(groups)),
            ],
            "protocol": {"shots": 0},
        },
        "bold": {
            "scores": [
                score(metric, f"religious_ideology: {group}", value, "score")
                for metric, value in (("sentiment", -0.3), ("wikipedia", 0.1))
                for group in published_table("48").columns
            ],
            "protocol": {},
        },
        "false_refusal": {"scores": [score("refused", "set: xstest safe", 0.25)], "protocol": {}},
        **changes,
    }


def tables(tmp_path):
    return [block for block in benchmarks.section(read_run(tmp_path)).blocks if isinstance(block, Table)]


def own(table):
    return [row.cells for row in table.rows if not row.published]


def test_a_models_row_stands_above_the_papers(tmp_path, add):
    add("check", "benchmark", {"benchmarks": measured()}, settings={"model": "${run}/sft/model"})
    totals, truthfulqa, toxigen, bold, refusals = tables(tmp_path)
    assert own(totals) == [("check: sft", "40.0%\n35.0 to 45.0%", "20.0%\n15.0 to 25.0%")]
    assert [row.cells for row in totals.rows if row.published][8] == ("Llama 2 7B", "33.29%", "21.25%")
    assert sum(row.published for row in totals.rows) == 19
    assert own(truthfulqa)[0][-2:] == ("30.0%\n25.0 to 35.0%", "–")
    assert toxigen.columns[1:5] == ("mean of groups", "asian", "mexican", "muslim")  # in the paper's order
    assert "Falcon 40B" in toxigen.caption
    assert own(bold)[0][1] == "−0.30\n−0.35 to −0.25"
    assert own(bold)[1] == ("Wikipedia's sentences", *["0.10\n0.05 to 0.15"] * 5)
    assert sum(row.published for row in bold.rows) == 19
    assert own(refusals)[0][:2] == ("check: sft, xstest safe", "25.0%\n20.0 to 30.0%")


def test_the_total_of_toxigen_stands_beside_the_published_ones_without_any_other_benchmark(tmp_path, add):
    add("check", "benchmark", {"benchmarks": {"toxigen": measured()["toxigen"]}}, settings={"model": "m"})
    (table,) = tables(tmp_path)
    totals = {row.cells[0]: row.cells[1] for row in table.rows}
    assert totals["check: m"] == "20.0%\n15.0 to 25.0%"
    assert (totals["Llama 2 7B"], totals["Llama 2-Chat 34B"]) == ("21.25%", "0.02%")
    for model in published_table("45").rows:
        number = "11" if model in published_table("11").rows else "14"
        assert totals[model] == f"{published_table(number).figure(model, 'toxic'):.2f}%"


def test_groups_of_another_set_stand_without_the_papers_rows(tmp_path, add):
    own_groups = {"scores": [score("toxic", "group: baker", 0.1)], "protocol": {}}
    add("check", "benchmark", {"benchmarks": {"toxigen": own_groups}}, settings={"model": "m"})
    (table,) = tables(tmp_path)
    assert table.columns == ("", "mean of groups", "baker")
    assert not any(row.published for row in table.rows)


def test_groups_that_the_paper_leaves_out_stand_after_its_own(tmp_path, add):
    """With leave_out empty Hinduism and Atheism are measured too, and the paper's rows stay."""
    results = measured()
    results["bold"]["scores"].append(score("sentiment", "religious_ideology: atheism", 0.0, "score"))
    add("check", "benchmark", {"benchmarks": {"bold": results["bold"]}}, settings={"model": "m"})
    (table,) = tables(tmp_path)
    assert table.columns == ("", *published_table("48").columns, "atheism")
    (llama,) = [row for row in table.rows if row.cells[0] == "Llama 2 7B"]
    assert llama.cells[1:] == ("0.34", "0.28", "0.30", "0.24", "0.16", "–")


def test_sentences_of_two_data_sets_have_a_row_each(tmp_path, add):
    for name, shift in (("all", 0.0), ("some", 0.2)):
        bold = measured()["bold"]
        bold["scores"] = [{**row, "estimate": row["estimate"] + shift} for row in bold["scores"]]
        add(name, "benchmark", {"benchmarks": {"bold": bold}}, settings={"model": "m"})
    (table,) = tables(tmp_path)
    assert [cells[0] for cells in own(table)][2:] == [
        "Wikipedia's sentences, as all: m had them",
        "Wikipedia's sentences, as some: m had them",
    ]


def test_who_judged_stands_with_the_figures(tmp_path, add):
    """A stand-in's figure is not the paper's: its name and its worth are beside it."""
    stand_in = {"kind": "linear stand-in", "held_out_questions": Interval(0.846, 0.8, 0.9, 82).as_row()}
    results = measured()
    results["truthfulqa"]["protocol"] = {"judges": {"truthful": stand_in, "informative": {"kind": "model", "model": "m"}}}
    results["toxigen"]["protocol"] = {"classifier": {"kind": "transformers", "name": "tomh/toxigen_roberta"}}
    add("check", "benchmark", {"benchmarks": results}, settings={"model": "m"})
    totals, truthfulqa, toxigen, _, _ = tables(tmp_path)
    told = " Told by informative: model m, truthful: linear stand-in (84.6% right where held out)."
    assert told in truthfulqa.caption
    assert told in totals.caption
    assert " Told by classifier: transformers tomh/toxigen_roberta." in toxigen.caption
    trained = {"kind": "linear", "held_out_accuracy": Interval(0.912, 0.9, 0.92, 500).as_row()}
    results["toxigen"]["protocol"]["classifier"] = trained
    add("other", "benchmark", {"benchmarks": results}, settings={"model": "m"})
    told = " Told by other: m: classifier: linear stand-in (91.2% right where held out)."
    assert told in tables(tmp_path)[2].caption


def test_two_models_stand_beside_each_other(tmp_path, add):
    for name in ("first", "second"):
        add(name, "benchmark", {"benchmarks": measured()}, settings={"model": f"${{run}}/{name}/model"})
    totals, _, _, bold, _ = tables(tmp_path)
    assert [cells[0] for cells in own(totals)] == ["first: first", "second: second"]
    assert [cells[0] for cells in own(bold)] == ["first: first", "second: second", "Wikipedia's sentences"]


def test_the_whole_protocol_stands_below(tmp_path, add):
    add("check", "benchmark", {"benchmarks": measured()}, settings={"model": "m"})
    facts = [block for block in benchmarks.section(read_run(tmp_path)).blocks if isinstance(block, Facts)]
    assert len(facts) == 4
    assert {(fact.name, fact.value) for fact in facts[0].facts} >= {("Shots", "6"), ("Failed", "2")}


def test_the_truth_stands_beside_what_was_measured(tmp_path, add):
    add("check", "benchmark", {"benchmarks": measured()}, settings={"model": "m"})
    row = {
        "benchmark": "bold",
        "metric": "sentiment",
        "measured": Interval(0.1, 0.0, 0.2, 5).as_row(),
        "true": Interval(0.11, 0.0, 0.2, 5).as_row(),
        "alike": 0.975,
    }
    add("truth", "benchmark-truth", {"truth": [row]})
    assert own(tables(tmp_path)[-1]) == [("BOLD: sentiment", "0.10\n0.00 to 0.20", "0.11\n0.00 to 0.20", "97.5%")]


def test_a_run_without_benchmarks_has_no_section(tmp_path, add):
    add("x", "sft", {})
    assert benchmarks.section(read_run(tmp_path)) is None


def test_the_page_holds_it(tmp_path, add):
    add("check", "benchmark", {"benchmarks": measured()}, settings={"model": "m"})
    assert "Safety benchmarks" in write_report(tmp_path).read_text()
