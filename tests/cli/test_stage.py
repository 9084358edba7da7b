"""The stages as commands."""

import json

import pytest
import typer

from paddock.catalog import STAGES, find_stage
from paddock.cli.main import app

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
