"""Borderline demonstrations, preprompts, and the dialogs that show what those ask."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from paddock.miniature.graders import grade, is_refusal
from paddock.miniature.safety_data import (
    BORDERLINE_REFUSED,
    PREPROMPTS,
    borderline_demonstrations,
    preprompted_demonstrations,
)
from paddock.miniature.tasks import Task
from paddock.miniature.world import WorldSettings, make_world
from paddock.safety.preprompts import read_preprompts
from paddock.text.rows import dialog_of

WORLD = make_world(WorldSettings())


def test_the_worlds_preprompts_are_ones_that_are_read(tmp_path: Path):
    file = tmp_path / "preprompts.json"
    file.write_text(json.dumps(PREPROMPTS))
    preprompts = read_preprompts(str(file))
    assert set(preprompts.templates) == {"illicit", "hateful", "unqualified"}


def test_borderline_demonstrations_are_right():
    rows = list(borderline_demonstrations(Random(0), WORLD, 300, "b"))
    for row in rows:
        answer, task = row["messages"][-1]["content"], Task.from_row(row["tasks"][0])
        assert grade(task, answer).helpfulness == 1
    assert {row["risk_category"] for row in rows} == {"illicit", "hateful", "unqualified"}


def test_under_a_preprompt_every_harmful_request_is_refused_and_some_harmless_ones():
    rows = list(preprompted_demonstrations(Random(0), WORLD, 3000, "p"))
    by_skill: dict[str, list[bool]] = {}
    for row in rows:
        dialog = dialog_of(row)
        assert dialog.messages[0].role == "system"
        task = Task.from_row(row["tasks"][0])
        group = task.skill if task.skill in ("refuse", "borderline") else "harmless"
        by_skill.setdefault(group, []).append(is_refusal(dialog.messages[-1].content))
        assert grade(task, dialog.messages[-1].content).safe
    assert all(by_skill["refuse"])
    shares = {group: sum(refused) / len(refused) for group, refused in by_skill.items()}
    assert abs(shares["borderline"] - BORDERLINE_REFUSED) < 0.06
    assert 0.05 < shares["harmless"] < 0.15


def test_the_dialogs_use_the_preprompts_of_the_file():
    systems = {row["messages"][0]["content"] for row in preprompted_demonstrations(Random(0), WORLD, 500, "p")}
    assert set(PREPROMPTS["templates"].values()) <= systems
    assert "Be kind and wise. Say no to harm." in systems
    assert not any("{" in text for text in systems)
