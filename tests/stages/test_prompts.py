"""Prompts of a policy: their order, their split, and those that leave no room."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from paddock.errors import DataError
from paddock.run_dir import StageDir, write_json_lines
from paddock.settings import parse
from paddock.stages.ppo_settings import PpoSettings
from paddock.stages.prompts import Prompts, load_prompts
from paddock.text.chat_format import encode_prompt
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import Tokenizer


def numbered(count: int) -> Prompts:
    dialogs = [Dialog((Message("user", str(number)),)) for number in range(count)]
    return Prompts(dialogs, [(number,) for number in range(count)], [number % 2 == 0 for number in range(count)])


@pytest.fixture
def settings(ppo_values: dict) -> PpoSettings:
    return parse(PpoSettings, ppo_values, "test")


@pytest.fixture
def pieces(pretrained: StageDir) -> Tokenizer:
    return Tokenizer.load(pretrained.model)


def test_every_prompt_is_seen_once_before_any_is_seen_again() -> None:
    prompts = numbered(10)
    seen = [ids for iteration in range(5) for ids in prompts.of_iteration(iteration, 4, seed=0).ids]
    assert Counter(seen) == Counter({(number,): 2 for number in range(10)})
    assert len(set(seen[:10])) == 10
    assert seen[:10] != seen[10:]


def test_an_iteration_may_be_larger_than_the_prompts() -> None:
    assert Counter(numbered(3).of_iteration(0, 7, seed=1).ids).most_common(1)[0][1] == 3


def test_the_prompts_of_an_iteration_depend_on_the_seed_alone() -> None:
    prompts = numbered(50)
    assert prompts.of_iteration(3, 16, 1).ids == prompts.of_iteration(3, 16, 1).ids
    assert prompts.of_iteration(3, 16, 1).ids != prompts.of_iteration(3, 16, 2).ids


def test_ids_and_tags_stay_with_their_prompt() -> None:
    for dialog, ids, is_safety in zip(*vars(numbered(9).of_iteration(1, 6, 0)).values(), strict=True):
        assert dialog.messages[0].content == str(ids[0])
        assert is_safety == (ids[0] % 2 == 0)


def test_prompts_are_split_encoded_and_tagged(settings: PpoSettings, pieces: Tokenizer) -> None:
    found = load_prompts(settings, pieces, longest=144)
    assert len(found.train) + len(found.held_out) == 80
    assert 0 < len(found.held_out) < 40
    assert not {d.id for d in found.train.dialogs} & {d.id for d in found.held_out.dialogs}
    for dialog, ids, is_safety in zip(found.train.dialogs, found.train.ids, found.train.is_safety, strict=True):
        assert list(ids) == encode_prompt(pieces, dialog)
        assert is_safety == (dialog.domain == "safety")


def test_prompts_of_the_validation_files_are_not_learnt_from(ppo_values: dict, pieces: Tokenizer, prompts: Path) -> None:
    rows = prompts.read_text().splitlines(keepends=True)
    some = prompts.with_name("some.jsonl")
    some.write_text("".join(rows[:30]))
    found = load_prompts(parse(PpoSettings, {**ppo_values, "validation": [str(some)]}, "test"), pieces, longest=144)
    assert (len(found.train), len(found.held_out), found.held_out_elsewhere) == (50, 30, 30)


def test_prompts_that_leave_no_room_are_left_out_and_counted(settings: PpoSettings, pieces: Tokenizer) -> None:
    everything = load_prompts(settings, pieces, longest=144)
    lengths = sorted(len(ids) for ids in (*everything.train.ids, *everything.held_out.ids))
    found = load_prompts(settings, pieces, longest=lengths[40])
    assert found.left_out == sum(length > lengths[40] for length in lengths) > 0
    assert len(found.train) + len(found.held_out) + found.left_out == 80


def test_prompts_of_one_conversation_fall_on_one_side(ppo_values: dict, pieces: Tokenizer, tmp_path: Path) -> None:
    first = [(Message("user", f"What is {number}?"),) for number in range(60)]
    later = [(*messages, Message("assistant", "It."), Message("user", "Sure?")) for messages in first]
    rows = ({"messages": [asdict(message) for message in messages]} for messages in first + later)
    write_json_lines(tmp_path / "prompts.jsonl", rows)
    values = {**ppo_values, "data": [str(tmp_path / "prompts.jsonl")], "validation_share": 0.3}
    held_out = load_prompts(parse(PpoSettings, values, "test"), pieces, longest=144).held_out.dialogs
    assert {len(dialog.messages) for dialog in held_out} == {1, 3}
    openings = [dialog.messages[0].content for dialog in held_out]
    assert len(openings) == 2 * len(set(openings))


def test_where_no_prompt_leaves_room_the_error_says_what_to_change(
    settings: PpoSettings, pieces: Tokenizer, prompts: Path
) -> None:
    with pytest.raises(DataError, match=r"prompts\.jsonl: of 80 prompts none has 3 tokens or fewer.*Lower max_new_tokens"):
        load_prompts(settings, pieces, longest=3)
