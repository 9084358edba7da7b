from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "documents.jsonl"
    path.write_text('{"text": "She is here."}\n{"text": "nothing"}\n')
    return path


def test_files_are_scanned_and_a_report_written(paddock, documents: Path, tmp_path: Path):
    outcome = paddock(
        "corpus", documents, "--out", tmp_path / "report", "--compare", "paper", "--json", "--set", "workers=1"
    )
    assert outcome.code == 0
    assert json.loads(outcome.out)["gendered_pronouns"] == 0.5
    assert {"report.json", "report.md", "report.html", "figures"} <= {path.name for path in (tmp_path / "report").iterdir()}
    assert "75.23%" in (tmp_path / "report/report.md").read_text()


def test_a_dry_run_reads_nothing(paddock, documents: Path, tmp_path: Path):
    outcome = paddock("corpus", documents, "--out", tmp_path / "report", "--dry-run", "--json")
    assert json.loads(outcome.out)["shards"] == 1
    assert not (tmp_path / "report").exists()


def test_files_may_come_from_a_config(paddock, documents: Path, tmp_path: Path):
    (tmp_path / "corpus.yaml").write_text(f"data: [{documents}]\nmeasures: [pronouns]\nworkers: 1\n")
    outcome = paddock("corpus", "--config", tmp_path / "corpus.yaml", "--out", tmp_path / "report", "--json")
    assert json.loads(outcome.out)["documents"] == 2


def test_a_missing_file_is_answered_with_the_nearest(paddock, documents: Path, tmp_path: Path):
    outcome = paddock("corpus", tmp_path / "document.jsonl", "--out", tmp_path / "report")
    assert outcome.code == 2
    assert "there is no such file" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_report_that_is_not_there_is_refused_before_any_counting(paddock, documents: Path, tmp_path: Path):
    outcome = paddock("corpus", documents, "--out", tmp_path / "report", "--compare", tmp_path / "other.json")
    assert outcome.code == 2
    assert not (tmp_path / "report/shards").exists()


def test_train_toxicity_writes_a_classifier_that_the_report_uses(paddock, documents: Path, tmp_path: Path):
    rows = "".join(f"you silly fool {n},1\na dear friend {n},0\n" for n in range(30))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    (tmp_path / "cases.csv").write_text("test_case,label_gold\nyou fool,hateful\na friend,non-hateful\n")
    trained = paddock(
        "corpus",
        "train-toxicity",
        tmp_path / "rows.csv",
        "--out",
        tmp_path / "tox",
        "--hatecheck",
        tmp_path / "cases.csv",
        "--json",
    )
    about = json.loads(trained.out)
    assert about["hatecheck"]["hateful_flagged"]["estimate"] == 1.0
    assert about["hatecheck"]["harmless_flagged"]["estimate"] == 0.0
    measures = "measures=[languages, toxicity]"
    words = ("--set", measures, "--set", f"classifier={tmp_path / 'tox'}", "--set", "toxicity_share=1", "--set", "workers=1")
    outcome = paddock("corpus", documents, "--out", tmp_path / "report", *words, "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["toxicity"]["classifier"]["hatecheck"] == about["hatecheck"]


def test_help_of_the_group_names_both_uses(paddock):
    shown = paddock("corpus", "--help").out
    assert "train-toxicity" in shown
    assert "FILES..." in shown


def test_a_classifier_is_not_written_over_other_files(paddock, tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\nyou fool,1\na friend,0\n")
    outcome = paddock("corpus", "train-toxicity", tmp_path / "rows.csv", "--out", tmp_path)
    assert outcome.code == 2
    assert "files of something else" in outcome.err
    assert (tmp_path / "rows.csv").exists()
