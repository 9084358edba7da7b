"""Ghost Attention on the page."""

import io

import numpy as np
import pytest

from paddock.report import ghost_attention
from paddock.report.blocks import Figures, Table
from paddock.report.page import write_report
from paddock.report.run_folder import read_run
from paddock.report.wording import UNKNOWN
from paddock.statistics import wilson_interval


def share(turn, kept, n=24, group="known values", kind="all"):
    return {"group": group, "kind": kind, "turn": turn, "undecided": 0, **wilson_interval(kept, n).as_row()}


def results(**changes):
    baseline = [share(turn, kept) for turn, kept in ((1, 24), (2, 22), (3, 9), (4, 2), (20, 0), ("last", 1))]
    tuned = [share(turn, 24) for turn in (1, 2, 3, 4, 20)]
    return {
        "dialogs": 24,
        "consistency": {"baseline": baseline, "GAtt": tuned},
        "attention_to_system_by_turn": {"baseline": {"2": 0.3, "3": 0.1}, "GAtt": {"2": 0.4, "3": 0.4}},
        **changes,
    }


def blocks(tmp_path, kind):
    return [block for block in ghost_attention.section(read_run(tmp_path)).blocks if isinstance(block, kind)]


def titles(tmp_path):
    return [figure.title for block in blocks(tmp_path, Figures) for figure in block.figures]


def test_table_30_stands_above_the_papers_rows(tmp_path, add):
    add("check", "consistency", results(), settings={"name": "GAtt"})
    table = blocks(tmp_path, Table)[0]
    assert table.columns == ("", "turn 1", "turn 2", "turn 4", "turn 20", "last")
    assert [row.cells[0] for row in table.rows[:2]] == ["baseline: known values", "GAtt: known values"]
    assert [cell.partition("\n")[0] for cell in table.rows[0].cells[1:]] == ["100.0%", "91.7%", "8.3%", "0.0%", "4.2%"]
    assert table.rows[1].cells[-1] == UNKNOWN
    assert [row.cells for row in table.rows if row.published] == [
        ("Llama 2 without Ghost Attention", UNKNOWN, "100%", "10%", "0%", UNKNOWN),
        ("Llama 2 with it", UNKNOWN, "100%", "100%", "100%", UNKNOWN),
    ]


def test_kinds_stand_at_the_latest_turn(tmp_path, add):
    rows = [share(20, 24), share(20, 12, 12, kind="figure"), share(20, 6, 12, kind="end_word"), share(2, 1, kind="figure")]
    add("check", "consistency", results(consistency={"GAtt": rows}))
    table = blocks(tmp_path, Table)[1]
    assert table.columns == ("", "figure", "end word")
    assert [cell.partition("\n")[0] for cell in table.rows[0].cells[1:]] == ["100.0%", "50.0%"]
    assert "at turn 20" in table.caption


def test_one_kind_alone_has_no_table_of_kinds(tmp_path, add):
    add("check", "consistency", results())
    assert len(blocks(tmp_path, Table)) == 1


def test_every_group_has_a_drawing_by_turn(tmp_path, add):
    rows = [share(1, 24), share(1, 2, group="new values"), share(2, 2, group="new values")]
    add("check", "consistency", results(consistency={"GAtt": rows}))
    assert titles(tmp_path)[:2] == ["Known values · check", "New values · check"]


def test_attention_by_turn_is_drawn_of_every_model(tmp_path, add):
    add("check", "consistency", results())
    (figure,) = [
        figure for block in blocks(tmp_path, Figures) for figure in block.figures if figure.title.startswith("Attention to")
    ]
    assert ">baseline<" in figure.svg and ">GAtt<" in figure.svg


def test_pictures_stand_side_by_side_and_the_page_is_written(tmp_path, add):
    stage = add("check", "consistency", results())
    buffer = io.BytesIO()
    picture = np.tril(np.random.default_rng(0).random((8, 8), np.float32))
    names, span = np.array(["baseline", "GAtt"]), np.array([5, 9])
    np.savez(buffer, picture0=picture, picture1=picture / 2, names=names, system0=span, system1=span, tokens0=30, tokens1=30)
    (stage.path / "attention.npz").write_bytes(buffer.getvalue())
    assert titles(tmp_path)[-2:] == ["Attention · baseline", "Attention · GAtt"]
    page = write_report(tmp_path).read_text()
    assert page.index("Attention · baseline") < page.index("Attention · GAtt")
    assert page.count("<svg") == 4  # shares by turn, attention by turn, and the two pictures
    assert "<image" not in page
    assert len(page) < 2_000_000


def test_a_model_whose_attention_was_not_looked_at_has_no_line(tmp_path, add):
    add("check", "consistency", results(consistency={**results()["consistency"], "far": [share(1, 24)]}))
    (figure,) = [
        figure for block in blocks(tmp_path, Figures) for figure in block.figures if figure.title.startswith("Attention to")
    ]
    assert ">GAtt<" in figure.svg and ">baseline<" in figure.svg and ">far<" not in figure.svg


def test_what_was_sampled_is_counted(tmp_path, add):
    found = {"dialogs": 90, "replies": 400, "fates": {"taken": 350, "disobeys": 50}}
    add("ghost-attention", "ghost-attention", found)
    add("control", "ghost-attention", {"dialogs": 80, "replies": 100, "fates": {"taken": 100}})
    (table,) = blocks(tmp_path, Table)
    assert table.columns == ("", "dialogs", "replies", "disobeys", "taken")
    assert [row.cells for row in table.rows] == [
        ("ghost-attention", "90", "400", "50", "350"),
        ("control", "80", "100", "0", "100"),
    ]


@pytest.mark.parametrize("kind", ["sft", "consistency", "ghost-attention"])
def test_a_run_without_such_figures_has_no_section(tmp_path, add, kind):
    add("other", kind, {"dialogs": 1})
    assert ghost_attention.section(read_run(tmp_path)) is None
