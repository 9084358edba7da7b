"""`paddock judge`, as people and as machines use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def words(tmp_path: Path, server) -> list[str]:
    """Twelve prompts, two files of ready replies, and an endpoint that calls the longer reply the better one."""
    prompts = [f"Question {number}?" for number in range(12)]
    for name, reply in (("short", "no"), ("long", "yes indeed")):
        rows = ({"prompt": prompt, "reply": reply} for prompt in prompts)
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    (tmp_path / "opponents.yaml").write_text(f"short: {tmp_path}/short.jsonl\nlong: {tmp_path}/long.jsonl\n")
    (tmp_path / "judge.yaml").write_text(f"kind: openai\nbase_url: {server.url}\nmodel: j\n")

    def answer(path, body):
        a = body["messages"][0]["content"].split("reply A\n")[1].split("reply B\n")[0]
        return server.chat(f"Verdict: {'A' if 'indeed' in a else 'B'}")

    server.answer = answer
    options = {"data": "prompts.jsonl", "opponents": "opponents.yaml", "judge": "judge.yaml", "out": "out"}
    return [word for name, file in options.items() for word in (f"--{name}", str(tmp_path / file))]


def test_it_prints_who_replied_how_the_judge_did_and_who_won(paddock, words):
    shown = paddock("judge", *words)
    assert shown.code == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert any(line.startswith("short vs long all 0.0% (0.0 to 24.2) 0.0% 100.0% 0.0% <0.001 12") for line in lines)
    assert any(line.startswith("long 12 0 0 0 2") for line in lines)
    assert "first place wins" in shown.out
    assert "`paddock compare` reads" in shown.out


def test_its_table_is_read_by_compare(paddock, words, tmp_path):
    paddock("judge", *words)
    found = json.loads(paddock("compare", tmp_path / "out" / "judgements.jsonl", "--by", "prompt_words", "--json").out)
    assert found["pairs"][0]["loss"]["estimate"] == 1


def test_it_speaks_json_and_plans(paddock, words, server):
    planned = json.loads(paddock("judge", *words, "--dry-run", "--json").out)
    assert planned["verdicts"] == 24
    assert server.requests == []
    found = json.loads(paddock("judge", *words, "--json").out)
    assert (found["contests"], found["broken"]) == (24, {})


def test_it_needs_no_torch_where_nothing_local_is_asked():
    code = (
        "import sys\nfrom paddock.catalog import find_stage\n"
        "for kind in ('judge', 'reward-curve', 'reward-human'):\n    find_stage(kind)\nprint('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
