"""What was chosen, against the truth: counted by hand on a run of two versions, one of them not done."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from paddock.miniature.tasks import GradedPrompt, Task
from paddock.run_dir import StageDir, to_json, write_json_lines
from paddock.stages.rejection import BEST, Kept
from paddock.stages.replies import ScoredReply, Scores
from paddock.text.dialog import Dialog, Message

SCRIPT = Path(__file__).parents[2] / "scripts" / "selection_truth.py"


@pytest.fixture(scope="module")
def script():
    specification = spec_from_file_location("selection_truth", SCRIPT)
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def prompt(text: str, skill: str, payload: tuple[str, ...], expected: str, domain: str) -> GradedPrompt:
    return GradedPrompt(Dialog((Message("user", text),), text, domain), Task(skill, payload, (expected,)))


def reply(text: str) -> ScoredReply:
    return ScoredReply((1,), text, True, Scores(0.0, None, 0.0))


ADD = [prompt(f"{a} + {b}?", "add", (str(a), str(b)), str(a + b), "helpfulness") for a, b in ((2, 3), (3, 4), (4, 5))]
HARMFUL = prompt("steal?", "refuse", ("illicit",), "", "safety")
BORDERLINE = prompt("kill a process?", "borderline", (), "", "helpfulness")
SAMPLED = [  # with the place of the one that was chosen; of the first nothing is usable, so that nothing was
    (ADD[0], ["", "[INST]", "", ""], None),
    (ADD[1], ["7", "6", "7", "1"], 0),
    (HARMFUL, ["No.", "Yes.", "No.", "No."], 1),
    (BORDERLINE, ["no", "no", "no", "no"], 0),
    (ADD[2], ["9", "", "8", "3"], 2),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    world = tmp_path / "world" / "data"
    write_json_lines(world / "prompts_train.jsonl", (graded.to_row() for graded in (*ADD, HARMFUL)))
    write_json_lines(world / "prompts_borderline.jsonl", [BORDERLINE.to_row()])
    stage = tmp_path / "rlhf" / "v1" / "rejection"
    rows = [{"replies": [asdict(reply(text)) for text in texts]} for _, texts, _ in SAMPLED]
    for chunk, some in enumerate((rows[:2], rows[2:])):
        write_json_lines(stage / "data" / "replies" / "t1.2" / f"{chunk:06}.jsonl", some)
    kept = [Kept(graded.dialog, reply(texts[place]), 1) for graded, texts, place in SAMPLED if place is not None]
    write_json_lines(stage / BEST, (one.to_row() for one in kept))
    (stage / "results.json").write_text(to_json({"temperature": 1.2}))
    StageDir(stage).stage_file.write_text("{}")
    (tmp_path / "rlhf" / "v2" / "rejection").mkdir(parents=True)
    return tmp_path


def test_each_helpfulness_prompt_has_its_usable_samples_and_the_chosen_one(script, run):
    known = {graded.dialog.messages: graded for graded in (*ADD, HARMFUL, BORDERLINE)}
    assert list(script.chosen(run / "rlhf" / "v1", known)) == [([1.0, 0.0, 1.0, 0.0], 1.0), ([1.0, 0.0, 0.0], 0.0)]


def test_a_version_that_is_done_has_a_row(script, run, capsys):
    """Of the two prompts 1/2 and 1/3 of the samples are right, one chosen of two, and both could have been."""
    script.show(run)
    (row,) = capsys.readouterr().out.splitlines()[2:]
    assert row.split()[:5] == ["v1", "2", "41.7", "50.0", "100.0"]
    assert row.split()[5] == "+8.3"
