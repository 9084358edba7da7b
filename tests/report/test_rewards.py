"""Reward models on the page."""

import json

import pytest

from paddock.report import rewards
from paddock.report.blocks import Figures, Table
from paddock.report.run_folder import read_run
from paddock.report.wording import UNKNOWN


def score(group, estimate, metric="reward_accuracy"):
    bounds = {"lower": estimate - 0.05, "upper": estimate + 0.05}
    return {"metric": metric, "group": group, "unit": "share", "estimate": estimate, "n": 90, **bounds}


def results(accuracy=0.7, pairs=800, groups=(), parameters=None):
    return {
        "pairs": 2 * pairs,
        "parameters": parameters,
        "held_out_pairs": 1047,
        "calibration": {"bins": [{"confidence": 0.6, "accuracy": 0.55, "pairs": 9}], "expected_error": 0.0439},
        "data": {"comparisons": pairs, "turns": 1.31, "tokens_a_prompt": 29.63, "tokens_a_reply": 10.8},
        "scores": [score("overall", accuracy), score("overall", 0.52, "longer_is_better"), *groups],
    }


def tables(tmp_path) -> list[Table]:
    return [block for block in rewards.section(read_run(tmp_path)).blocks if isinstance(block, Table)]


def figures(tmp_path) -> list:
    return [
        figure
        for block in rewards.section(read_run(tmp_path)).blocks
        if isinstance(block, Figures)
        for figure in block.figures
    ]


def test_a_model_has_its_accuracy_beside_the_length_rule(tmp_path, add):
    add("helpful", "reward", results(), settings={"margin": "small"})
    (row,) = tables(tmp_path)[0].rows
    expected = ("helpful", "small", "1,047", "70.0%\n65.0 to 75.0%", UNKNOWN, "52.0%\n47.0 to 57.0%")
    assert row.cells == (*expected, UNKNOWN, "0.0439")


def test_unsafe_recall_is_a_safety_models_alone(tmp_path, add):
    found = results(groups=[score("overall", 0.9, "unsafe_recall")])
    for domain in ("helpfulness", "safety"):
        add(domain, "reward", found, settings={"domain": domain})
    assert [row.cells[6] for row in tables(tmp_path)[0].rows] == [UNKNOWN, "90.0%\n85.0 to 95.0%"]


def test_rules_that_understand_nothing_stand_beside_it_on_all_pairs_and_on_those_of_like_lengths(tmp_path, add):
    groups = [
        score(group, estimate, metric)
        for group in ("overall", "length: matched")
        for metric, estimate in (
            ("chance", 0.5),
            ("bag_of_words", 0.6),
            ("equal_lengths", 0.1),
            ("gain_over_longer_is_better", 0.18),
            ("gain_over_bag_of_words", 0.1),
        )
    ]
    add("helpful", "reward", results(groups=groups))
    table = tables(tmp_path)[1]
    assert table.columns[1:5] == ("accuracy", "chance", "the longer reply", "the better model's")
    estimates = [[cell.partition("\n")[0] for cell in row.cells] for row in table.rows]
    all_pairs = ["70.0%", "50.0%", "52.0%", UNKNOWN, "60.0%", "10.0%", "18.0%", UNKNOWN, "10.0%"]
    assert estimates == [
        ["helpful", *all_pairs],
        ["helpful, like lengths", UNKNOWN, "50.0%", UNKNOWN, UNKNOWN, "60.0%", "10.0%", "18.0%", UNKNOWN, "10.0%"],
    ]
    assert table.rows[0].cells[7] == "18.0%\n13.0 to 23.0%"


def test_a_run_from_before_the_rules_has_no_table_of_them(tmp_path, add):
    add("helpful", "reward", results())
    assert "chance" not in tables(tmp_path)[1].columns


def test_accuracy_stands_by_rating_above_the_papers_rows(tmp_path, add):
    add("helpful", "reward", results(groups=[score("rating: slightly", 0.6), score("rating: significantly", 0.9)]))
    table = tables(tmp_path)[1]
    assert table.columns == ("", "all", "significantly", "better", "slightly", "negligibly")
    assert [cell.partition("\n")[0] for cell in table.rows[0].cells[1:]] == ["70.0%", "90.0%", UNKNOWN, "60.0%", UNKNOWN]
    assert [row.published for row in table.rows] == [False, True, True]


def test_other_groups_stand_in_a_table_of_their_own(tmp_path, add):
    add("one", "reward", results(groups=[score("domain: safety", 0.8), score("safety: safe over unsafe", 0.9)]))
    add("two", "reward", results(groups=[score("safety: safe over unsafe", 0.95)]))
    table = tables(tmp_path)[2]
    assert table.columns == ("", "domain: safety", "safe over unsafe")
    assert [row.cells[1].partition("\n")[0] for row in table.rows] == ["80.0%", UNKNOWN]
    assert [row.cells[2].partition("\n")[0] for row in table.rows] == ["90.0%", "95.0%"]


def test_the_data_stand_as_in_table_6(tmp_path, add):
    add("helpful", "reward", results())
    own, published = tables(tmp_path)[-1].rows
    assert own.cells == ("helpful", "800", "1.3", UNKNOWN, "29.6", "10.8")
    assert published.cells[1] == "1,418,091"


def test_scores_are_drawn_of_every_held_out_pair_by_the_ratings_that_there_are(tmp_path, add):
    stage = add("helpful", "reward", results())
    pairs = [{"chosen_score": 1.0, "rejected_score": -1.0, "rating": rating} for rating in ("better", "slightly") * 20]
    stage.samples_file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    histogram, reliability = figures(tmp_path)
    assert "40 held-out pairs" in histogram.caption
    assert [name in histogram.svg for name in ("significantly", "better", "slightly")] == [False, True, True]
    assert reliability.title == "Calibration · helpful"


def test_unrated_pairs_are_drawn_together(tmp_path, add):
    stage = add("helpful", "reward", results())
    stage.samples_file.write_text(json.dumps({"chosen_score": 1.0, "rejected_score": 0.0, "rating": None}) + "\n")
    assert ">all<" in figures(tmp_path)[0].svg


def test_scores_become_probabilities():
    chosen, rejected = rewards._probabilities([{"chosen_score": 0.0, "rejected_score": -1.0}])
    assert (chosen, rejected) == ([0.5], pytest.approx([0.26894142]))


def learnt(add, *validation, domain="helpfulness"):
    """Reward models beside the stage that held their pairs out."""
    allowed = {"helpfulness": {"overall": 0.8, "significantly": 0.95, "slightly": 0.6}}
    add("preferences", "preferences", {"allowed_accuracy": allowed})
    sources = [{"path": path, "weight": 1.0} for path in validation]
    add("helpful", "reward", results(), settings={"domain": domain, "validation": sources})


def test_what_the_annotators_noise_allows_stands_beside_the_accuracy_overall_and_by_rating(tmp_path, add):
    learnt(add, "${run}/preferences/preferences_held_out.jsonl")
    overview, by_rating = tables(tmp_path)[:2]
    assert overview.columns[4] == "allowed by noise"
    assert overview.rows[0].cells[4] == "80.0%"
    assert by_rating.rows[1].cells == ("helpful, allowed by noise", "80.0%", "95.0%", UNKNOWN, "60.0%", UNKNOWN)


@pytest.mark.parametrize(
    "validation", [(), ("mine.jsonl",), ("${run}/preferences/preferences_held_out.jsonl", "mine.jsonl")]
)
def test_nothing_is_said_of_the_noise_of_other_pairs(tmp_path, add, validation):
    learnt(add, *validation)
    overview, by_rating = tables(tmp_path)[:2]
    assert overview.rows[0].cells[4] == UNKNOWN
    assert len([row for row in by_rating.rows if not row.published]) == 1


def test_the_noise_of_one_domain_says_nothing_of_the_other(tmp_path, add):
    learnt(add, "${run}/preferences/preferences_held_out.jsonl", domain="safety")
    assert tables(tmp_path)[0].rows[0].cells[4] == UNKNOWN


def amounts(tmp_path):
    return [figure for figure in figures(tmp_path) if figure.title.startswith("Accuracy by amount")]


def test_accuracy_by_amount_is_drawn_from_three_amounts_on_a_line_a_model(tmp_path, add):
    for name, model, pairs in (("a", "small", 100), ("b", "small", 400), ("c", "large", 100)):
        add(name, "reward", results(pairs=pairs), settings={"model": f"${{run}}/{model}/model", "domain": "safety"})
    (figure,) = amounts(tmp_path)
    assert figure.title == "Accuracy by amount of data · safety"
    assert ">small<" in figure.svg
    assert ">large<" in figure.svg


def test_models_that_differ_in_their_margin_alone_are_no_curve(tmp_path, add):
    for margin in ("none", "small", "large"):
        add(margin, "reward", results(), settings={"model": "m", "margin": margin})
    assert amounts(tmp_path) == []


def test_accuracy_by_size_is_drawn_from_three_sizes_on_a_line_an_amount_of_data(tmp_path, add):
    for name, parameters in (("a", 1e6), ("b", 4e6), ("c", 16e6)):
        settings = {"model": f"${{run}}/{name}/model", "domain": "safety"}
        add(name, "reward", results(pairs=1200, parameters=parameters), settings=settings)
    (figure,) = [figure for figure in figures(tmp_path) if figure.title.startswith("Accuracy by ")]
    assert figure.title == "Accuracy by size · safety"
    (line,) = rewards._lines(list(rewards._points(read_run(tmp_path).stages)), lambda p: p.parameters, lambda p: "one")
    assert line.x == [1e6, 4e6, 16e6]


def test_a_model_of_known_size_is_drawn_with_it_and_at_the_pairs_that_there_are_not_those_of_all_epochs(tmp_path, add):
    for name, pairs in (("a", 100), ("b", 200), ("c", 400)):
        add(name, "reward", results(pairs=pairs, parameters=1.3e6), settings={"model": "m", "domain": "safety"})
    assert len(amounts(tmp_path)) == 1
    points = list(rewards._points(read_run(tmp_path).stages))
    assert [rewards._model_in_words(point) for point in points] == ["m, 1.3M"] * 3
    assert [point.pairs for point in points] == [100, 200, 400]


def test_amounts_of_two_domains_are_not_joined(tmp_path, add):
    for name, domain, pairs in (("a", "safety", 100), ("b", "safety", 400), ("c", "helpfulness", 100)):
        add(name, "reward", results(pairs=pairs), settings={"model": "m", "domain": domain})
    assert amounts(tmp_path) == []


def test_a_model_without_held_out_pairs_has_dashes(tmp_path, add):
    add("helpful", "reward", {"pairs": 9})
    (row,) = tables(tmp_path)[0].rows
    assert row.cells == ("helpful", *[UNKNOWN] * 7)
