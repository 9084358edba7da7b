"""Side by side on the page."""

from __future__ import annotations

import re

from paddock.evaluate.comparison import Judgement, compare
from paddock.evaluate.judge import Contest, Item, Judged, position_bias
from paddock.report import comparisons
from paddock.report.blocks import Figures, Prose, Table
from paddock.report.comparison_drawings import ON_PAGE, Place, draw_shares, path_figure, shares_figure
from paddock.report.evaluation_plots import IN_FILE
from paddock.report.figures import CSS_COLOURS
from paddock.report.page import write_report
from paddock.report.run_folder import read_run
from paddock.text.dialog import Dialog, Message

JUDGEMENTS = [
    Judgement(f"p{n}", outcome, "v1 <b>", "sft", (("turns", float(1 + n % 2)), ("category", None)))
    for n, outcome in enumerate(["win", "win", "tie", "loss"] * 5)
]
ITEM = Item("p", Dialog((Message("user", "?"),)))
BIAS = position_bias([Judged(Contest(ITEM, *sides), "judge", "A") for sides in (("a", "b"), ("b", "a"))])


def results(**changes) -> dict:
    figures = {"replies": 20, "failed": 1, "empty": 0, "cut_short": 2, "words": 7.5, "tokens_written": 150, "money": None}
    return {
        "prompts": 20,
        "contests": 40,
        "broken": {"no verdict": 3},
        "opponents": [{"model": "v1 <b>", **figures}, {"model": "sft", **figures}],
        "position_bias": BIAS,
        **compare(JUDGEMENTS, ["turns"]).as_result(),
        **changes,
    }


def blocks(run, kind):
    return [block for block in comparisons.section(read_run(run)).blocks if isinstance(block, kind)]


def test_pairs_stand_with_their_intervals_and_the_papers_rows_apart(tmp_path, add):
    add("judge", "judge", results(), settings={"judge": "j.yaml"})
    pairs, opponents = blocks(tmp_path, Table)
    assert pairs.rows[0].cells[:3] == ("v1 <b> vs sft", "50.0%\n29.9 to 70.1%", "25.0%\n11.2 to 46.9%")
    assert [row.published for row in pairs.rows] == [False, True, True, True]
    assert opponents.rows[0].cells == ("v1 <b>", "20", "1", "0", "2", "7.5", "150", "–")


def test_the_judges_faults_are_said(tmp_path, add):
    add("judge", "judge", results(), settings={"judge": "j.yaml"})
    (prose,) = blocks(tmp_path, Prose)
    assert "3 have no verdict and count for nobody" in prose.text
    assert "100.0%" in prose.text
    assert "reply shown first" in prose.text
    assert "Both orders of a pair agree in 0.0%" in prose.text


def test_groups_are_drawn_where_there_are_several(tmp_path, add):
    add("judge", "judge", results())
    (figures,) = blocks(tmp_path, Figures)
    assert [figure.title for figure in figures.figures] == ["Wins, ties and losses", "By turns"]


def test_the_page_escapes_names_and_is_whole(tmp_path, add):
    add("judge", "judge", results())
    page = write_report(tmp_path).read_text()
    assert "v1 &lt;b&gt; vs sft" in page
    assert "v1 <b>" not in page
    assert "Side by side" in page


def test_three_models_have_strengths_and_what_has_no_maximum_says_so(tmp_path, add):
    three = [*JUDGEMENTS, *(Judgement(f"q{n}", "win", "sft", "c") for n in range(4))]
    add("judge", "judge", results(**compare(three).as_result()))
    strengths = blocks(tmp_path, Table)[1]
    assert "never won against" in strengths.caption or "never lost to" in strengths.caption
    assert strengths.rows[0].cells[1] == "–"


def test_a_run_without_a_judge_has_no_section(tmp_path, add):
    add("judge", "judge", {"pairs": []})
    assert comparisons.section(read_run(tmp_path)) is None


def test_a_page_and_a_file_draw_the_same_bars_each_in_its_colours():
    rows = [("a vs b", compare(JUDGEMENTS).as_result()["pairs"][0])]
    page, file = (draw_shares(rows, look).axes[0] for look in (ON_PAGE, IN_FILE))
    widths = [[bar.get_width() for bar in axes.patches] for axes in (page, file)]
    assert widths[0] == widths[1] == [0.5, 0.25, 0.25]
    assert [[text.get_text() for text in axes.texts] for axes in (page, file)] == [["50", "25", "25"]] * 2
    assert {bar.get_facecolor() for bar in page.patches}.isdisjoint(bar.get_facecolor() for bar in file.patches)


def test_drawings_use_the_pages_colours_and_their_bytes_follow_from_the_data():
    row = compare(JUDGEMENTS).as_result()["pairs"][0]
    place = Place("v1", (0.5, 0.4, 0.6), (0.3, 0.2, 0.4))
    for draw in (
        lambda name: shares_figure(name, [("a vs b", row)]),
        lambda name: path_figure(name, {"own": [place], "neutral": [place]}, "x", "y"),
    ):
        svg = draw("a")
        assert svg == draw("a")
        assert not [colour for colour in CSS_COLOURS if colour in svg]
        assert not set(re.findall(r'id="([^"]*)"', svg)) & set(re.findall(r'id="([^"]*)"', draw("b")))
    assert "v1" in path_figure("a", {"own": [place]}, "x", "y")
