"""`paddock reward-curve` and `paddock reward-human`, as people and as machines use them."""

from __future__ import annotations

import json

import pytest

from paddock.stages import answers


def test_reward_human_prints_its_figures(paddock, tmp_path):
    rows = [{"item": n, "rater": "a", "rating": 1 + n % 7, "score": n % 7 - 3} for n in range(14)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("--data", tmp_path / "r.jsonl", "--set", "score=score", "--out", tmp_path / "out", "--json")
    found = json.loads(paddock("reward-human", *words).out)
    assert found["correlations"]["all"]["kendall"]["estimate"] == pytest.approx(1)


def test_reward_curve_prints_a_row_a_version(paddock, tmp_path, monkeypatch):
    class ByLength:
        def score(self, dialogs):
            return [float(len(dialog.messages[-1].content)) for dialog in dialogs]

    monkeypatch.setattr(answers, "open_scorer", lambda spec: ByLength())
    (tmp_path / "reward").mkdir()
    rows = [{"prompt": f"Question {n}?"} for n in range(12)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("no", "yes indeed"):
        replies = ({**row, "reply": name} for row in rows)
        (tmp_path / f"{name[:2]}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in replies))
    (tmp_path / "models.yaml").write_text(f"V1: {tmp_path}/no.jsonl\nV2: {tmp_path}/ye.jsonl\n")
    words = ("--data", tmp_path / "prompts.jsonl", "--models", tmp_path / "models.yaml", "--out", tmp_path / "out")
    rewards = ("--opponent", tmp_path / "no.jsonl", "--set", f"helpfulness_reward={tmp_path}/reward")
    shown = paddock("reward-curve", *words, *rewards)
    assert shown.code == 0, shown.err
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["V1", "own", "helpfulness", "0.5", "0.2538", "0.7462", "12", "0"] in lines
    assert ["V2", "own", "helpfulness", "1", "0.7575", "1", "12", "0"] in lines
