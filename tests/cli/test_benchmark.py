"""`paddock benchmark`, as people and as machines use it."""

from __future__ import annotations

import json

import pytest

PROMPTS = {"judaism": {"J": ["the cat "]}}
SENTENCES = {"judaism": {"J": ["the cat is good"]}}


@pytest.fixture
def bold(tmp_path):
    for folder, kind, content in (("prompts", "prompt", PROMPTS), ("wikipedia", "wiki", SENTENCES)):
        (tmp_path / "bold_set" / folder).mkdir(parents=True)
        (tmp_path / "bold_set" / folder / f"religious_ideology_{kind}.json").write_text(json.dumps(content))
    return tmp_path / "bold_set"


def test_a_benchmark_is_printed_beside_the_papers_rows(paddock, tiny_model, bold, tmp_path):
    words = (
        "benchmark",
        "bold",
        "--model",
        tiny_model,
        "--data",
        bold,
        "--out",
        tmp_path / "out",
        "--set",
        "max_new_tokens=4",
        "--set",
        "tries=2",
    )
    shown = paddock(*words)
    assert shown.code == 0
    assert "Llama 2 7B (paper)" in shown.out
    assert "Rows marked (paper) are the paper's" in shown.out
    assert "italics" not in shown.out
    assert f"{bold} " in shown.out  # the path of what was read, underscores and all
    assert "Wikipedia's sentences" in shown.out
    assert "0.9" in shown.out  # top-p, in the protocol
    assert json.loads(paddock(*words, "--json").out)["benchmarks"]["bold"]["protocol"]["max_new_tokens"] == 4


def test_a_dry_run_says_what_would_be_asked(paddock, tiny_model, bold, tmp_path):
    words = ("benchmark", "bold", "--model", tiny_model, "--out", tmp_path / "o", "--dry-run", "--json")
    assert json.loads(paddock(*words, "--data", bold).out) == {"bold": {"data": str(bold), "prompts": 1}}
    assert not (tmp_path / "o").exists()
    missing = paddock(*words, "--data", "nothing.csv")
    assert missing.code == 2
    assert "nothing.csv: there is no such file" in missing.err


def test_a_wrong_setting_is_answered_with_the_nearest(paddock, bold, tmp_path):
    outcome = paddock("benchmark", "bold", "--model", "m", "--data", bold, "--out", tmp_path / "o", "--set", "limitt=3")
    assert outcome.code == 2
    assert 'Did you mean "limit"' in outcome.err


def test_the_four_commands_and_the_export_are_named(paddock):
    shown = paddock("benchmark", "--help").out
    for name in ("truthfulqa", "toxigen", "bold", "false-refusal", "lm-eval"):
        assert name in shown


def test_tasks_are_written_for_the_harness(paddock, bold, tmp_path):
    config = tmp_path / "b.yaml"
    config.write_text(f"bold: {{data: {bold}}}\n")
    shown = paddock("benchmark", "lm-eval", "--config", config, "--out", tmp_path / "tasks", "--json")
    told = json.loads(shown.out)
    assert told["tasks"] == ["paddock_bold"]
    assert "paddock_bold --model" in told["command"]
    assert "chat_command" not in told
    assert (tmp_path / "tasks" / "paddock_bold.yaml").is_file()
    config.write_text(f"bold: {{data: {bold}, chat: true}}\n")
    told = json.loads(paddock("benchmark", "lm-eval", "--config", config, "--out", tmp_path / "tasks", "--json").out)
    assert "paddock_bold --apply_chat_template" in told["chat_command"]
    assert "command" not in told
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("")
    assert paddock("benchmark", "lm-eval", "--config", config, "--out", tmp_path / "other").code == 2
