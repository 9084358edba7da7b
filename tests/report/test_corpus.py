"""A corpus report for people: its page, its Markdown, its columns beside, and its place in a run's page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from paddock.errors import DataError
from paddock.miniature.documents import DOCUMENT_SHARES, true_rates
from paddock.report.corpus_figures import compared, figures_of, paper_figures, true_figures
from paddock.report.corpus_page import write_corpus_report
from paddock.report.corpus_tables import share_text
from paddock.report.page import write_report
from paddock.run_dir import StageDir
from paddock.safety.corpus import linear
from paddock.safety.corpus.settings import CorpusSettings
from paddock.settings import parse
from paddock.stages import corpus

TEXTS = [
    "She is a dear American friend | of mine.\nHe is old.",
    "You silly rotten fool, it is you.",
    "The gay christian song <script>alert(1)</script> was heard.",
    "Am Abend sitzen die Freunde im Garten.",
] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report with every part."""
    base = tmp_path_factory.mktemp("corpus")
    (base / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS) + "{\n")
    (base / "b.jsonl.gz").write_bytes(b"\x1f\x8b")
    (base / "bench<b>.jsonl").write_text(
        "".join(json.dumps({"text": text, "score": n % 2}) + "\n" for n, text in enumerate(TEXTS))
    )
    rude, kind = ["You silly rotten fool"] * 12, ["A dear old friend"] * 12
    linear.train(rude + kind, [True] * 12 + [False] * 12, seed=0).save(base / "toxicity")
    values = {
        "data": [str(base / "a.jsonl"), str(base / "b.jsonl.gz")],
        "measures": ["pronouns", "identities", "languages", "toxicity", "duplicates", "personal data"],
        "classifier": str(base / "toxicity"),
        "toxicity_share": 1,
        "benchmarks": [str(base / "bench<b>.jsonl")],
        "workers": 1,
    }
    (base / "out").mkdir()
    corpus.run(parse(CorpusSettings, values, "test"), StageDir(base / "out"))
    return base / "out"


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return write_corpus_report(folder, ("paper", str(folder / "report.json")), "my corpus").read_text()


def test_the_page_has_every_section_and_loads_nothing(page: str):
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        *("Corpus", "Pronouns", "Identities", "Languages", "Toxicity", "Contamination"),
        *("Hints at personal data", "Choices and versions"),
    ]
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page.replace("xlink:href", ""))
    assert "bench&lt;b&gt;.jsonl" in page


def test_the_papers_figures_stand_beside(page: str):
    row = re.search(r'<th scope="row">Gendered pronouns</th>(.*?)</tr>', page, re.S).group(1)
    assert re.findall(r"<td>(.*?)</td>", row, re.S)[3].strip() == "75.23%"
    assert "89.70%" in page


def test_markdown_has_the_same_tables_with_intervals_in_brackets(folder: Path, page: str):
    text = (folder / "report.md").read_text()
    assert "| Gendered pronouns | 3 | 25.00% (8.89 to 53.23%) |" in text
    assert re.search(r"\| · american \| 3 \| 25\.00% .*\| 100\.00% .*\| 69\.40% \|", text)
    widths = {
        tuple(line.count(" | ") for line in block.split("\n")) for block in text.split("\n\n") if block.startswith("|")
    }
    assert all(len(set(counts)) == 1 for counts in widths)
    assert "Rows skipped: not JSON | 1" in text
    assert "b.jsonl.gz" in text


def test_drawings_are_files_in_colours_of_their_own(folder: Path, page: str):
    drawings = sorted(path.name for path in (folder / "figures").iterdir())
    assert drawings == ["corpus.svg", "toxicity.svg"]
    assert all("var(" not in (folder / "figures" / name).read_text() for name in drawings)
    assert all(f"figures/{name}" in (folder / "report.md").read_text() for name in drawings)


def test_an_unchecked_classifier_is_said_to_be_one(page: str):
    assert "The classifier&#39;s HateCheck result: not checked" in page


def test_the_same_report_gives_the_same_bytes(folder: Path, page: str):
    assert write_corpus_report(folder, ("paper", str(folder / "report.json")), "my corpus").read_text() == page


def test_figures_are_the_shares_that_the_paper_prints(folder: Path):
    found = figures_of(json.loads((folder / "report.json").read_text()))
    assert found["gendered"]["estimate"] == 0.25
    assert found["she"]["estimate"] == 1.0  # within the gendered ones
    assert found["descriptor:nationality/american"]["estimate"] == 1.0
    assert found["language:de"]["estimate"] == 0.25
    assert found["toxic"]["n"] == 9


def test_the_papers_figures_are_whole():
    paper = paper_figures()
    assert sum(name.startswith("axis:") for name in paper) == 5
    assert sum(name.startswith("descriptor:") for name in paper) == 25
    languages = [row["estimate"] for name, row in paper.items() if name.startswith("language:")]
    assert (len(languages), round(sum(languages), 4)) == (28, 0.9999)  # as printed


def test_truth_and_report_name_their_rows_alike(folder: Path):
    truth = true_figures(true_rates(DOCUMENT_SHARES))
    paper = paper_figures()
    assert {name for name in truth if ":" not in name} == {name for name in paper if ":" not in name}
    assert truth["unspecified"]["estimate"] == true_rates(DOCUMENT_SHARES)["pronouns"]["within"]["they"]


@pytest.mark.parametrize(
    ("share", "text"), [(0.7523, "75.23%"), (0.0017, "0.17%"), (0.00005, "0.005%"), (0.0, "0.00%"), (1.0, "100.00%")]
)
def test_small_shares_keep_their_digits(share: float, text: str):
    assert share_text(share) == text


def test_what_is_no_report_is_refused(tmp_path: Path):
    (tmp_path / "x.json").write_text('{"schema": "other"}')
    for name, problem in (("x.json", "no corpus report"), ("y.json", "no such report")):
        with pytest.raises(DataError, match=problem):
            compared((str(tmp_path / name),))


def test_a_runs_page_shows_the_report_beside_the_truth(folder: Path, tmp_path: Path):
    world, stage = StageDir(tmp_path / "world"), StageDir(tmp_path / "corpus")
    world.begin("world", {}, {})
    world.complete({"rates": true_rates(DOCUMENT_SHARES)})
    stage.begin("corpus", {}, {})
    (stage.path / "report.json").write_bytes((folder / "report.json").read_bytes())
    stage.complete({"documents": 12})
    shown = write_report(tmp_path).read_text()
    assert "Pretraining data" in shown
    assert "by construction" in shown
    assert "Gendered pronouns" in shown


def test_a_run_without_a_corpus_report_has_no_such_section(tmp_path: Path):
    world = StageDir(tmp_path / "world")
    world.begin("world", {}, {})
    world.complete({"rates": true_rates(DOCUMENT_SHARES)})
    assert "Pretraining data" not in write_report(tmp_path).read_text()
