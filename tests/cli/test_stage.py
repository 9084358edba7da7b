"""The stages as commands."""

import json
import re

import pytest
import typer

from paddock.catalog import STAGES, find_stage
from paddock.cli import stage
from paddock.cli.main import app
from paddock.run_dir import StageDir

SHORT = ("model", "data", "seed")  # options that stand for settings
STAGE_COMMANDS = {kind: command for kind, command in typer.main.get_command(app).commands.items() if kind in STAGES}


@pytest.mark.parametrize(
    "kind", sorted(STAGE_COMMANDS.keys() - {"tokenizer", "corpus", "benchmark"})
)  # these have words of their own
def test_a_stages_command_has_the_options_that_its_settings_have(kind):
    options = {parameter.name for parameter in STAGE_COMMANDS[kind].params}
    fields = find_stage(kind).settings.model_fields
    assert {name for name in SHORT if name in options} == {name for name in SHORT if name in fields}


def test_every_stage_has_a_command():
    assert set(STAGE_COMMANDS) == set(STAGES)


def test_the_world_refuses_an_option_that_it_has_no_setting_for(paddock, tmp_path):
    outcome = paddock("world", "--out", str(tmp_path), "--model", "m")
    assert outcome.code == 2
    assert "No such option: --model" in outcome.err


def test_a_worlds_dry_run_takes_seed_and_settings(paddock, tmp_path):
    outcome = paddock("world", "--out", str(tmp_path), "--seed", "3", "--set", "documents=40", "--dry-run", "--json")
    assert json.loads(outcome.out)["documents"] == 40


def test_a_dry_run_names_an_input_that_is_not_there(paddock, tmp_path):
    outcome = paddock("sft", "--model", "7b", "--data", "none.jsonl", "--out", str(tmp_path / "sft"), "--dry-run")
    assert (outcome.code, outcome.err) == (2, "error: none.jsonl: there is no such file or folder\n")


def test_one_command_draws_figures_15_and_33(paddock, tmp_path, monkeypatch):
    interval = {"estimate": 0.5, "lower": 0.4, "upper": 0.6, "n": 9}
    figures = {"safety": interval, "helpfulness": interval, "unsafe": interval, "histogram": [1] * 20}
    refusals = {"helpfulness": interval, "borderline": interval}
    results = {"shares": [{"share": share, "dialogs": 9, **figures, "refusals": refusals} for share in (0.0, 1.0)]}

    def finished(kind, out, values, dry_run):
        StageDir(out).begin(kind, {}, {})
        StageDir(out).complete(results)
        return results

    monkeypatch.setattr(stage, "done", finished)
    outcome = paddock("safety-scaling", "--out", str(tmp_path / "scaling"), "--json")
    assert json.loads(outcome.out) == results
    told = paddock("safety-scaling", "--out", str(tmp_path / "scaling")).out
    assert re.search(r"safety data +dialogs +safety reward", told)
    assert re.search(r"100% \(paper\) +– +0\.773", told)
    assert "Rows marked (paper) are readings" in told
    page = (tmp_path / "scaling" / "report.html").read_text()
    assert "figure 15, left" in page
    assert page.count("(figure 33)") >= 2  # a drawing a group
    assert str(tmp_path / "scaling" / "report.html") in outcome.err
