"""The stage that measures a model on the benchmarks, and the one that checks it against a world's truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from paddock.catalog import find_stage
from paddock.errors import DataError, SettingsError
from paddock.miniature.benchmarks import WorldBenchmarksSettings, read_world, write_benchmarks
from paddock.miniature.facts import ATTRIBUTES
from paddock.miniature.world import WorldSettings
from paddock.protocols import Completion
from paddock.recipe import Step, run_step
from paddock.run_dir import StageDir, require_inputs
from paddock.safety.benchmarks.settings import AI2_JUDGES
from paddock.settings import parse
from paddock.stages import benchmark, benchmark_truth
from paddock.stages.benchmark import BenchmarkSettings, plan, run
from paddock.stages.benchmark_truth import BenchmarkTruthSettings


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """A world's sets."""
    folder = tmp_path_factory.mktemp("sets")
    (folder / "world").mkdir()
    (folder / "world" / "truth.json").write_text(json.dumps({"settings": WorldSettings().model_dump()}))
    world = read_world(folder / "world")
    write_benchmarks(folder / "data", world, WorldBenchmarksSettings(data="x", questions=40, toxic_prompts=2, requests=21))
    return folder / "data"


@pytest.fixture(scope="module")
def values(sets: Path, tuned: StageDir) -> dict:
    """Settings of all four benchmarks with a small model."""
    asked = {"data": str(sets), "max_new_tokens": 8, "limit": 12}
    primer = sets.parent / "primer.yaml"  # one shot: the small model's context holds no more
    primer.write_text(json.dumps({"pairs": json.loads((sets / "primer.yaml").read_text())["pairs"][:1]}))
    return {
        "model": str(tuned.model),
        "truthfulqa": {
            **asked,
            "primer": str(primer),
            "multiple_choice": False,
            "truth_labels": str(sets / "finetune_truth.jsonl"),
            "info_labels": str(sets / "finetune_info.jsonl"),
        },
        "toxigen": {**asked, "classifier_data": str(sets / "toxicity.csv")},
        "bold": asked,
        "false_refusal": {**asked, "borderline": None, "calibration": str(sets / "model_completions")},
    }


def settings(values: dict, **changes: object) -> BenchmarkSettings:
    return parse(BenchmarkSettings, {**values, **changes}, "test")


@pytest.fixture(scope="module")
def measured(values: dict, tmp_path_factory) -> tuple[StageDir, dict]:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "benchmark")
    return stage_dir, run(settings(values), stage_dir)


def test_every_benchmark_has_its_figures_and_its_protocol(measured):
    _, results = measured
    assert set(results["benchmarks"]) == {"truthfulqa", "toxigen", "bold", "false_refusal"}
    for its in results["benchmarks"].values():
        assert its["scores"]
        assert its["protocol"]["prompts"] == 12
        assert its["protocol"]["temperature"] == 0.1
        assert its["protocol"]["data"]


def test_samples_are_of_every_benchmark(measured):
    rows = [json.loads(line) for line in measured[0].samples_file.read_text().splitlines()]
    assert {row["benchmark"] for row in rows} == set(measured[1]["benchmarks"])
    assert all(isinstance(row["answer"], str) for row in rows)


def test_a_run_that_was_killed_asks_for_what_is_left_and_ends_alike(measured, values, tmp_path, monkeypatch):
    stage_dir, results = measured
    again = StageDir(tmp_path / "again")
    shutil.copytree(stage_dir.path, again.path)
    for name in results["benchmarks"]:
        (again.path / name / "items.jsonl").unlink()
    (again.path / "bold" / "continuations.jsonl").write_bytes(b'{"key": "x')
    opened = []
    monkeypatch.setattr(benchmark, "open_chat_model", lambda spec: opened.append(spec) or real(spec))
    assert run(settings(values), again) == results
    assert len(opened) == 1  # for what was lost, once
    for name in results["benchmarks"]:
        for file in (stage_dir.path / name).iterdir():
            assert (again.path / name / file.name).read_bytes() == file.read_bytes()


real = benchmark.open_chat_model


def test_a_plan_counts_what_each_chosen_benchmark_would_ask(values, sets):
    assert {name: its["prompts"] for name, its in plan(settings(values)).items()} == dict.fromkeys(
        values.keys() - {"model"}, 12
    )
    asked = {"model": values["model"], "truthfulqa": {**values["truthfulqa"], "limit": None}}
    assert plan(settings(asked)) == {"truthfulqa": {"data": str(sets), "prompts": 40}}


@pytest.mark.parametrize(
    ("name", "field"),
    [("bold", "data"), ("toxigen", "classifier_data"), ("truthfulqa", "truth_labels"), ("false_refusal", "calibration")],
)
def test_what_is_not_there_is_an_input_that_a_dry_run_names(values, name, field):
    asked = {"model": values["model"], name: {**values[name], field: "nothing.csv"}}
    with pytest.raises(DataError, match=r"nothing\.csv: there is no such file"):
        require_inputs(settings(asked).inputs())


def test_a_plan_reads_the_data(values, tmp_path):
    (tmp_path / "bad.csv").write_text("Question\nWhy?\n")
    asked = {"model": values["model"], "truthfulqa": {**values["truthfulqa"], "data": str(tmp_path / "bad.csv")}}
    with pytest.raises(DataError, match=r"bad\.csv:2: there is no column 'Best Answer'"):
        plan(settings(asked))


def test_something_must_be_measured_and_keys_must_be_known(values):
    with pytest.raises(SettingsError, match="nothing to measure"):
        settings({"model": "m"})
    with pytest.raises(SettingsError, match='Did you mean "temperature"'):
        settings({"model": "m", "bold": {**values["bold"], "temprature": 1}})


def test_inputs_are_those_files_that_are_there(values, sets):
    inputs = settings(values).inputs()
    assert values["model"] in inputs
    assert str(sets / "toxicity.csv") in inputs
    judges = {"data": str(sets), "truth_judge": AI2_JUDGES[0], "info_judge": AI2_JUDGES[1]}
    assert settings({"model": values["model"], "truthfulqa": judges}).inputs() == [values["model"], str(sets)]


class Knowing:
    """A model that knows the world: its answers are true, harmless, and refuse what is harmful."""

    def __init__(self, sets: Path) -> None:
        self.sets = sets

    def complete(self, prompts, sampling):
        return [
            [Completion(self.answer(prompt if isinstance(prompt, str) else prompt.messages[-1].content))]
            for prompt in prompts
        ]

    def answer(self, prompt: str) -> str:
        if "Q: " in prompt:
            question = prompt.rpartition("Q: ")[2].removesuffix("\nA:")
            for row in csv_rows(self.sets / "TruthfulQA.csv"):
                if row["Question"] == question:
                    return row["Best Answer"]
        requests = {row["prompt"]: row["label"] for row in csv_rows(self.sets / "xstest_prompts.csv")}
        if prompt in requests:
            return "I can not help with that." if requests[prompt] == "unsafe" else "Use strong glue."
        return " is a silly turnip." if "stupid" in prompt else " needs a new lamp."


def csv_rows(path):
    import csv

    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def known(values, sets, tmp_path_factory) -> tuple[StageDir, dict]:
    """What a model that knows the world scores."""
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "known")
    changes = {name: {**values[name], "limit": None} for name in ("truthfulqa", "toxigen", "bold", "false_refusal")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "open_chat_model", lambda _: Knowing(sets))
        return stage_dir, run(settings(values, **changes), stage_dir)


def figure(results, name, metric, group="overall"):
    (row,) = [r for r in results["benchmarks"][name]["scores"] if r["metric"] == metric and r["group"] == group]
    return row["estimate"]


def test_a_model_that_knows_the_world_is_found_to(known):
    _, results = known
    assert figure(results, "truthfulqa", "truthful_and_informative") >= 0.95
    assert figure(results, "false_refusal", "refused", "set: xstest safe") <= 0.05
    assert figure(results, "false_refusal", "refused", "set: xstest unsafe") >= 0.95
    assert 0 < figure(results, "toxigen", "toxic") < 0.3


def test_scores_are_checked_against_the_truth_answer_by_answer(known, sets, tmp_path):
    stage_dir, results = known
    settings = BenchmarkTruthSettings(benchmarks=str(stage_dir.path), data=str(sets))
    checked = benchmark_truth.run(settings, StageDir(tmp_path / "truth"))["truth"]
    rows = {(row["benchmark"], row["metric"]): row for row in checked}
    assert rows["truthfulqa", "truthful"]["true"]["estimate"] == 1.0
    assert rows["truthfulqa", "informative"]["true"]["estimate"] == 1.0
    assert rows["toxigen", "toxic"]["alike"] >= 0.95
    assert rows["bold", "sentiment"]["alike"] == 1.0
    assert rows["false_refusal", "refused"]["measured"]["estimate"] == pytest.approx(0.5, abs=0.03)
    assert rows["false_refusal", "refused"]["true"]["estimate"] == 0.5
    assert set(benchmark_truth.plan(settings)["benchmarks"]) == set(results["benchmarks"])


def test_truth_needs_benchmarks_and_a_worlds_sets(sets, tmp_path):
    with pytest.raises(DataError, match="no benchmark was run there"):
        benchmark_truth.run(BenchmarkTruthSettings(benchmarks=str(tmp_path), data=str(sets)), StageDir(tmp_path / "t"))
    with pytest.raises(DataError, match="world-benchmarks writes it"):
        benchmark_truth.run(BenchmarkTruthSettings(benchmarks=str(tmp_path), data=str(tmp_path)), StageDir(tmp_path / "t"))


def test_every_attribute_is_asked(sets):
    assert {row["Category"] for row in csv_rows(sets / "TruthfulQA.csv")} <= set(ATTRIBUTES)


def test_a_complete_stage_asks_again_for_what_failed_under_more_tries(values, tmp_path, monkeypatch):
    down = [True]

    class Endpoint:
        def complete(self, prompts, sampling):
            failed = Completion("", finish_reason="error", error="no answer within 120 s")
            return [[failed if down[0] and place == 0 else Completion("fine")] for place, _ in enumerate(prompts)]

    monkeypatch.setattr(benchmark, "open_chat_model", lambda _: Endpoint())

    def failed(tries: int) -> int:
        step = Step("b", "benchmark", find_stage("benchmark"), settings(one, tries=tries), StageDir(tmp_path / "b"))
        return run_step(step)["benchmarks"]["bold"]["failed"]

    one = {"model": values["model"], "bold": values["bold"]}
    assert failed(1) == 1
    down[0] = False
    assert failed(1) == 1  # complete: nobody is asked
    assert failed(2) == 0
