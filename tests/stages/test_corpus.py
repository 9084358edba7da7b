"""The corpus report as a stage: its schema, what is left out, resuming, and what it does not import."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from paddock.catalog import find_stage
from paddock.errors import EmptyDataError, SettingsError
from paddock.recipe import Step, run_step
from paddock.run_dir import StageDir
from paddock.safety.corpus.settings import CorpusSettings
from paddock.settings import parse
from paddock.stages import corpus

TEXTS = ["She is an American. She met him.", "It is old.", "It is old.", "Am Abend sitzen die Freunde im Garten."]


def settings(*data: object, **values: object) -> CorpusSettings:
    return parse(CorpusSettings, {"data": [str(path) for path in data], "workers": 1, **values}, "corpus")


def stage_dir(path: Path) -> StageDir:
    path.mkdir()
    return StageDir(path)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def test_the_report_holds_every_measure_its_choices_and_versions(shard: Path, tmp_path: Path):
    results = corpus.run(settings(shard), stage_dir(tmp_path / "out"))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["schema"] == "paddock-corpus-report/1"
    assert set(report) == {
        *("schema", "choices", "versions", "shards", "corpus"),
        *("pronouns", "identities", "languages", "duplicates", "personal_data"),
    }
    assert report["choices"]["overlap"] == "all"
    assert report["identities"]["list"].startswith("Paddock's own list, version 1 (")
    assert report["corpus"]["documents"] == results["documents"] == 4
    assert report["pronouns"]["gendered"]["documents"] == 1
    assert report["languages"]["languages"]["de"]["documents"] == 1
    assert results["repeated_documents"] == 0.25
    assert results["identities"]["nationality"] == 0.25


def test_what_is_not_asked_for_is_not_in_the_report(shard: Path, tmp_path: Path):
    corpus.run(settings(shard, measures=["languages"]), stage_dir(tmp_path / "out"))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert "languages" in report
    assert not {"pronouns", "identities", "toxicity", "duplicates", "personal_data", "contamination"} & set(report)


def test_order_of_files_and_workers_change_nothing(shard: Path, tmp_path: Path):
    other = tmp_path / "b.jsonl.gz"
    other.write_bytes(gzip.compress(b'{"text": "He saw it."}\n'))
    corpus.run(settings(shard, other), stage_dir(tmp_path / "first"))
    corpus.run(settings(other, shard, other, workers=2), stage_dir(tmp_path / "second"))
    first, second = (tmp_path / name / "report.json" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_a_broken_shard_is_named_in_the_report_and_in_the_results(shard: Path, tmp_path: Path, capsys):
    (tmp_path / "bad.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n' * 9)[:-9])
    results = corpus.run(settings(tmp_path), stage_dir(tmp_path / "out"))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert list(report["shards"]["broken"]) == [str(tmp_path / "bad.jsonl.gz")]
    assert (report["shards"]["read"], results["broken_shards"], results["documents"]) == (1, 1, 4)
    assert "left out as a whole" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{\n", '{"title": "x"}\n'])
def test_a_corpus_without_a_document_is_refused(tmp_path: Path, content: str):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(EmptyDataError, match="no document could be read"):
        corpus.run(settings(tmp_path / "a.jsonl"), stage_dir(tmp_path / "out"))


def test_a_finished_report_is_not_made_again_and_goes_on_under_other_workers(shard: Path, tmp_path: Path, monkeypatch):
    stage = find_stage("corpus")
    folder = tmp_path / "run/corpus"
    first = run_step(Step("corpus", "corpus", stage, settings(shard), StageDir(folder)))
    page = (folder / "report.html").read_bytes()
    monkeypatch.setattr("paddock.safety.corpus.scan.scan_part", None)  # would fail if it were called
    again = run_step(Step("corpus", "corpus", stage, settings(shard), StageDir(folder)))
    others = run_step(Step("corpus", "corpus", stage, settings(shard, workers=2, compare=["paper"]), StageDir(folder)))
    assert again == first
    assert {**others, "seconds": 0} == {**first, "seconds": 0}
    assert (folder / "report.html").read_bytes() != page  # the paper's figures stand beside


def test_tokens_and_contamination_need_a_tokenizer_and_benchmarks_and_nothing_more(
    shard: Path, tokenizer: Path, tmp_path: Path
):
    (tmp_path / "bench.jsonl").write_text(json.dumps({"text": TEXTS[0], "score": 1}) + "\n")
    bench = [str(tmp_path / "bench.jsonl")]
    corpus.run(settings(shard, tokenizer=str(tokenizer), benchmarks=bench), stage_dir(tmp_path / "out"))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["corpus"]["tokens"] > report["corpus"]["words"]
    found = report["contamination"]["benchmarks"]["bench.jsonl"]
    assert report["contamination"]["unit"] == "tokens"
    assert found["lengths"]["10"]["contaminated"] == 1.0


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"match_case": True}, "match_case needs a file"),
        ({"measures": ["toxicity"]}, '"languages" among the measures'),
        ({"measures": ["pronouns"], "words_in": "english"}, '"languages" among the measures'),
        ({"measures": ["pronuns"]}, "measures"),
        ({"toxicity_share": 0}, "toxicity_share"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict, problem: str):
    with pytest.raises(SettingsError, match=problem):
        settings("a.jsonl", **values)


def test_a_plan_tells_what_would_be_read(shard: Path):
    assert corpus.plan(settings(shard))["shards"] == 1
    assert corpus.plan(settings(shard))["bytes_on_disk"] == shard.stat().st_size


def test_counting_imports_no_torch_and_no_scikit_learn(shard: Path, tmp_path: Path):
    code = (
        "import sys\nfrom paddock.cli.main import main\n"
        f"sys.argv = ['paddock', 'corpus', {str(shard)!r}, '--out', {str(tmp_path / 'out')!r}, '--set', 'workers=1']\n"
        "try: main()\nexcept SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "assert not {'torch', 'sklearn', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
