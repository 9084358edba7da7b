from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from paddock.catalog import STAGES, find_annotators, find_refusals, find_stage
from paddock.cli.stage import COMMANDS
from paddock.errors import PaddockError, SettingsError
from paddock.miniature.annotators import allowed_accuracy, annotate
from paddock.miniature.dialogs import helpful_prompts, safety_prompts
from paddock.miniature.world import WorldSettings, make_world
from paddock.run_dir import write_json_lines
from paddock.text.comparisons import Comparison
from paddock.text.dialog import Dialog, Message

OWN_COMMANDS = {"tokenizer", "corpus", "world", "judge", "reward-curve", "reward-human", "benchmark"}


def test_every_stage_is_a_command_or_has_commands_of_its_own():
    assert set(STAGES) == set(COMMANDS) | OWN_COMMANDS


def test_an_unknown_stage_is_answered_with_the_nearest():
    with pytest.raises(SettingsError, match=r'"rejektion" is not a stage.*Did you mean "rejection"'):
        find_stage("rejektion")


def test_the_annotators_of_a_world_know_its_training_and_its_held_out_prompts(tmp_path: Path):
    world, rng = make_world(WorldSettings()), Random(0)
    files = {
        "prompts_train.jsonl": list(helpful_prompts(rng, world, 9, False, "train")),
        "prompts_held_out.jsonl": list(safety_prompts(rng, world, 3, 3, True, "held-out")),
    }
    for name, prompts in files.items():
        write_json_lines(tmp_path / name, (prompt.to_row() for prompt in prompts))
    known = [prompt for prompts in files.values() for prompt in prompts]
    comparisons = [Comparison(prompt.dialog, "I do not know.", "A bear.", "v2", "v1") for prompt in known]
    write_json_lines(tmp_path / "pairs.jsonl", (comparison.to_row() for comparison in comparisons))
    annotators, expected = find_annotators(str(tmp_path), 4), annotate(comparisons, known, 4)
    assert annotators.collect(tmp_path / "pairs.jsonl") == expected
    assert annotators.allowed_accuracy(expected) == allowed_accuracy(expected, known)


def test_a_detector_that_learns_from_labelled_replies_tells_refusals(tmp_path: Path):
    lines = ["completion,final_label"]
    for number in range(20):
        lines += [f"Sure: here are {number} ways.,1_full_compliance", f"I can not help with that {number}.,2_full_refusal"]
    (tmp_path / "labelled.csv").write_text("\n".join(lines) + "\n")
    asked = [
        Dialog((Message("user", "hi"), Message("assistant", reply)))
        for reply in ("Sure: here are 30 ways.", "I can not help with that 31.")
    ]
    assert find_refusals(str(tmp_path / "labelled.csv"))(asked) == [False, True]
    assert find_refusals("miniature")(asked) == [False, True]
    assert find_refusals("nobody") is None


def test_people_answer_through_files(tmp_path: Path):
    (tmp_path / "pairs.jsonl").write_text("")
    with pytest.raises(PaddockError, match="wait to be compared"):
        find_annotators("files", 0).collect(tmp_path / "pairs.jsonl")
