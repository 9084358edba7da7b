from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.catalog import STAGES, find_stage
from paddock.errors import PaddockError, SettingsError
from paddock.recipe import plan_recipe, read_recipe, run_recipe, status
from paddock.stages.tokenizer import TokenizerSettings

RECIPES = Path(__file__).parent.parent / "recipes"

SMALL = """
name: small
seed: 3
inputs: {texts: [TEXTS]}
stages:
  tokenizer:
    data: ["${inputs.texts}"]
    vocab_size: 300
  second:
    stage: tokenizer
    data: ["${inputs.texts}"]
    vocab_size: 310
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        "".join(json.dumps({"text": f"the cat {n} sat on the mat with a hat {n * 7}"}) + "\n" for n in range(200))
    )
    file = tmp_path / "small.yaml"
    file.write_text(SMALL.replace("TEXTS", str(texts)))
    return file


def run(file: Path, out: Path, *assignments: str):
    return run_recipe(read_recipe(file, assignments, None, out), out)


def test_a_run_leaves_the_documented_files(recipe_file: Path, tmp_path: Path):
    out = tmp_path / "run"
    results = run(recipe_file, out)
    assert results["tokenizer"]["vocab_size"] == 300
    for name in ("settings.json", "results.json", "stage.json", "model/tokenizer.model"):
        assert (out / "tokenizer" / name).is_file(), name
    assert (out / "report.html").is_file()


def test_a_report_shows_what_was_done_before_a_stage_failed(recipe_file: Path, tmp_path: Path, monkeypatch):
    def fail(*_):
        raise PaddockError("the second stage fails")

    out, done = tmp_path / "run", []
    monkeypatch.setattr("paddock.recipe.run_step", lambda step, ranks: done.append(step) or {} if not done else fail())
    recipe_file.write_text(recipe_file.read_text() + "  again: {stage: tokenizer, data: [nothing.txt], vocab_size: 300}\n")
    with pytest.raises(PaddockError, match="second stage"):
        run(recipe_file, out)
    assert (out / "report.html").is_file()


def test_a_report_is_drawn_once_for_stages_that_take_no_time(recipe_file: Path, tmp_path: Path, monkeypatch):
    drawn = []
    monkeypatch.setattr("paddock.report.page.write_report", drawn.append)
    run(recipe_file, tmp_path / "run")
    assert drawn == [tmp_path / "run"]
    monkeypatch.setattr("paddock.recipe.SECONDS_BETWEEN_REPORTS", -1.0)
    run(recipe_file, tmp_path / "run")
    assert len(drawn) == 1 + len(read_recipe(recipe_file).steps)


def test_a_complete_stage_is_skipped_and_left_as_it_is(recipe_file: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    run(recipe_file, out)
    before = (out / "tokenizer" / "stage.json").stat().st_mtime_ns
    run(recipe_file, out)
    assert (out / "tokenizer" / "stage.json").stat().st_mtime_ns == before
    assert "tokenizer: complete, skipped" in capsys.readouterr().err


def test_a_changed_setting_redoes_its_stage_alone_and_says_why(recipe_file: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    run(recipe_file, out)
    capsys.readouterr()
    results = run(recipe_file, out, "second.vocab_size=305")
    said = capsys.readouterr().err
    assert "second: done again: settings.vocab_size was 310, is now 305" in said
    assert "tokenizer: complete, skipped" in said
    assert results["second"]["vocab_size"] == 305


def test_a_changed_input_redoes_what_reads_it_and_says_why(recipe_file: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    run(recipe_file, out)
    with open(tmp_path / "texts.jsonl", "a") as file:
        file.write('{"text": "one row more"}\n')
    capsys.readouterr()
    run(recipe_file, out)
    assert "tokenizer: done again: inputs." in capsys.readouterr().err


def test_a_stage_that_holds_what_people_chose_is_not_removed(recipe_file: Path, tmp_path: Path):
    out = tmp_path / "run"
    run(recipe_file, out)
    labelled = out / "second" / "v1" / "preferences" / "labelled.jsonl"
    labelled.parent.mkdir(parents=True)
    labelled.write_text("{}\n")
    with pytest.raises(
        PaddockError, match=r"second would be done again \(settings\.vocab_size was 310, is now 305\), and .*"
    ):
        run(recipe_file, out, "second.vocab_size=305")
    assert labelled.read_text() == "{}\n"
    run(recipe_file, out)


def test_a_stage_goes_on_where_what_people_chose_was_changed(recipe_file: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    run(recipe_file, out)
    labelled, mark = out / "second" / "labelled.jsonl", out / "second" / "stage.json"
    labelled.write_text("{}\n")
    mark.unlink()
    run(recipe_file, out)
    run(recipe_file, out)
    assert "labelled.jsonl has changed" not in capsys.readouterr().err
    labelled.write_text("{}\n{}\n")
    assert [row["state"] for row in status(out)] == ["complete", "unfinished"]
    run(recipe_file, out)
    assert "second: labelled.jsonl has changed, goes on" in capsys.readouterr().err
    assert [row["state"] for row in status(out)] == ["complete", "complete"]


def test_a_stage_that_is_to_go_further_keeps_what_it_has_made(recipe_file: Path, tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "run"
    run(recipe_file, out)
    (out / "second" / "made").write_text("before")
    monkeypatch.setattr(TokenizerSettings, "may_change", frozenset({"vocab_size"}))
    capsys.readouterr()
    further = read_recipe(recipe_file, ["second.vocab_size=305"], None, out)
    assert [row["state"] for row in plan_recipe(further)] == ["complete", "changed"]
    assert run_recipe(further, out)["second"]["vocab_size"] == 305
    assert (out / "second" / "made").read_text() == "before"
    assert "second: unfinished, goes on" in capsys.readouterr().err
    assert [row["state"] for row in plan_recipe(further)] == ["complete", "complete"]


def test_a_setting_that_touches_nothing_made_leaves_a_stage_complete(recipe_file: Path, tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "run"
    run(recipe_file, out)
    before = (out / "second" / "stage.json").stat().st_mtime_ns
    monkeypatch.setattr(TokenizerSettings, "passing", frozenset({"vocab_size"}))
    other = read_recipe(recipe_file, ["second.vocab_size=305"], None, out)
    assert [row["state"] for row in plan_recipe(other)] == ["complete", "complete"]
    assert run_recipe(other, out)["second"]["vocab_size"] == 310
    assert (out / "second" / "stage.json").stat().st_mtime_ns == before
    (out / "second" / "stage.json").unlink()
    assert [row["state"] for row in plan_recipe(other)] == ["complete", "unfinished"]
    assert run_recipe(other, out)["second"]["vocab_size"] == 305
    assert "done again" not in capsys.readouterr().err


def test_an_unfinished_stage_goes_on(recipe_file: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    run(recipe_file, out)
    (out / "second" / "stage.json").unlink()
    capsys.readouterr()
    run(recipe_file, out)
    assert "second: unfinished, goes on" in capsys.readouterr().err


def test_status_names_every_state(recipe_file: Path, tmp_path: Path):
    out = tmp_path / "run"
    run(recipe_file, out)
    assert [row["state"] for row in status(out)] == ["complete", "complete"]
    (out / "second" / "stage.json").unlink()
    assert [row["state"] for row in status(out)] == ["complete", "unfinished"]
    with open(tmp_path / "texts.jsonl", "a") as file:
        file.write('{"text": "one row more"}\n')
    assert [row["state"] for row in status(out)] == ["changed", "changed"]


def test_status_says_how_far_a_killed_stage_came(recipe_file: Path, tmp_path: Path):
    out = tmp_path / "run"
    run(recipe_file, out)
    (out / "second" / "stage.json").unlink()
    (out / "second" / "metrics.jsonl").write_text('{"step": 10}\n{"step": 20}\n{"step": 3')
    assert status(out)[1]["step"] == 20


def test_a_run_can_be_moved(recipe_file: Path, tmp_path: Path):
    text = recipe_file.read_text() + "  third: {stage: tokenizer, data: ['${second}/settings.json'], vocab_size: 300}\n"
    recipe_file.write_text(text.replace("'${second}/settings.json'", "'${second}/.texts.jsonl'"))
    (tmp_path / "run" / "second").mkdir(parents=True)
    (tmp_path / "run" / "second" / ".texts.jsonl").write_text((tmp_path / "texts.jsonl").read_text())
    run(recipe_file, tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert [row["state"] for row in status(tmp_path / "moved")] == ["complete"] * 3


def test_status_of_a_folder_without_a_run_says_so(tmp_path: Path):
    with pytest.raises(SettingsError, match="holds no run"):
        status(tmp_path)


def test_a_plan_reads_and_changes_nothing(recipe_file: Path, tmp_path: Path):
    out = tmp_path / "run"
    plans = plan_recipe(read_recipe(recipe_file, [], None, out))
    assert plans[0]["rows"] == 200
    assert not out.exists()


def test_two_processes_cannot_share_a_run(recipe_file: Path, tmp_path: Path):
    from paddock.run_dir import locked

    out = tmp_path / "run"
    out.mkdir()
    with locked(out), pytest.raises(PaddockError, match="in use by another process"):
        run(recipe_file, out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("vocab_size: 300", "vocab_sise: 300"),
            r'stage tokenizer: unknown setting "vocab_sise"\. Did you mean "vocab_size"',
        ),
        (("${inputs.texts}", "${inputs.textz}"), r"neither an earlier stage nor an input\. Did you mean"),
        (("stage: tokenizer", "stage: tokeniser"), r'"tokeniser" is not a stage.*Did you mean "tokenizer"'),
        (("seed: 3", "seed: three"), "seed is 'three', and must be a whole number"),
        (("stages:", "steps:"), 'unknown key "steps"'),
        (("seed: 3", "seed: 3\nresult: tokeniser"), r'result is .*must name the stage.*Did you mean "tokenizer"'),
        (("  second:", "  ../second:"), "a stage's name becomes a folder"),
    ],
)
def test_a_wrong_recipe_is_refused_before_any_work(recipe_file: Path, tmp_path: Path, change, message):
    recipe_file.write_text(recipe_file.read_text().replace(*change))
    with pytest.raises(SettingsError, match=message):
        read_recipe(recipe_file, [], None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stage_may_refer_only_to_earlier_ones(recipe_file: Path, tmp_path: Path):
    text = recipe_file.read_text().replace('["${inputs.texts}"]', '["${second}/x"]', 1)
    recipe_file.write_text(text)
    with pytest.raises(SettingsError, match=r'"\$\{second\}" is neither an earlier stage'):
        read_recipe(recipe_file, [], None, tmp_path / "run")


def test_set_reaches_stages_inputs_and_the_seed(recipe_file: Path, tmp_path: Path):
    read = read_recipe(recipe_file, ["tokenizer.vocab_size=320", "seed=9", "inputs.texts=[a.txt, b.txt]"], None, tmp_path)
    settings = read.steps[0].settings
    assert settings.vocab_size == 320
    assert settings.seed == 9
    assert settings.inputs() == ["a.txt", "b.txt"]


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_recipe_holds_valid_settings(file: Path, tmp_path: Path):
    assert read_recipe(file, [], None, tmp_path).steps


@pytest.mark.parametrize("name", STAGES)
def test_every_setting_of_a_stage_says_what_it_means(name: str):
    for field, about in find_stage(name).settings.model_fields.items():
        assert about.description, f"{name}.{field}"


def test_an_unfinished_stage_of_other_settings_is_changed(recipe_file: Path, tmp_path: Path):
    out = tmp_path / "run"
    run(recipe_file, out)
    (out / "second" / "stage.json").unlink()
    other = read_recipe(recipe_file, ["second.vocab_size=305"], None, out)
    assert [row["state"] for row in plan_recipe(other)] == ["complete", "changed"]


def test_status_reads_past_a_line_that_a_full_disk_cut_short(recipe_file: Path, tmp_path: Path):
    out = tmp_path / "run"
    run(recipe_file, out)
    (out / "second" / "stage.json").unlink()
    (out / "second" / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    assert status(out)[1]["step"] == 1


def test_inputs_that_are_no_mapping_are_refused(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text("inputs: [a.txt]\nstages: {tokenizer: {data: a.txt}}\n")
    with pytest.raises(SettingsError, match="must give names to values"):
        read_recipe(file)
