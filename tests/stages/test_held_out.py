"""What is kept of the replies to held-out prompts, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.run_dir import StageDir
from paddock.stages.held_out import (
    choosing,
    penalised_reward,
    read_replies,
    reported,
    reward_scale,
    score_rows,
    write_replies,
)
from paddock.stages.prompts import Prompts
from paddock.text.dialog import Dialog, Message


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0c", "\ud800", "ä"])
def test_replies_come_back_whatever_characters_they_hold(tmp_path: Path, character: str) -> None:
    """Some of these end a line for Python, and not for JSON."""
    rows = [{"answer": f"one{character}two"}, {"answer": "three"}]
    write_replies(StageDir(tmp_path), 3, rows)
    assert read_replies(StageDir(tmp_path), 3) == rows


def prompts(openings: list[str]) -> Prompts:
    dialogs = [Dialog((Message("user", opening),)) for opening in openings]
    return Prompts(dialogs, [(1,)] * len(dialogs), [False] * len(dialogs))


def row(reward: float, missing_eos: bool = False, chooses: bool = True, prompt: str = "?") -> dict:
    messages = [{"role": "user", "content": prompt}]
    return {"prompt": messages, "reward": reward, "missing_eos": missing_eos, "chooses": chooses, "tokens": 1, "kl": 0.0}


def test_half_of_the_prompts_choose_and_what_begins_alike_stays_together() -> None:
    openings = [f"question {number}" for number in range(50)] * 2
    found = choosing(prompts(openings), "best")
    assert found[:50] == found[50:]
    assert sum(found[:50]) == 25
    shuffled = choosing(prompts(openings[::-1]), "best")
    assert shuffled[::-1] == found, "a prompt's side depends on no order"


@pytest.mark.parametrize(("count", "keep"), [(39, "best"), (60, "last")])
def test_all_of_few_prompts_choose_and_all_where_nothing_is_chosen(count: int, keep: str) -> None:
    openings = [f"question {number % 39 if keep == 'best' else number}" for number in range(count * 2)]
    assert all(choosing(prompts(openings), keep))


def test_the_other_prompts_are_reported_or_all_where_all_chose() -> None:
    rows = [row(1.0), row(2.0, chooses=False)]
    assert reported(rows) == rows[1:]
    assert reported(rows[:1]) == rows[:1]


def test_a_step_is_chosen_by_whitened_reward_less_the_penalty_of_replies_without_an_end() -> None:
    """Rewards 1 and 5 before PPO: mean 3, deviation 2. Rows that do not choose, whatever they hold, change nothing."""
    scale = reward_scale([row(1.0), row(5.0), row(90.0, chooses=False)])
    assert scale == pytest.approx((3.0, 2.0))
    after = [row(4.0), row(9.0, missing_eos=True), row(-90.0, missing_eos=True, chooses=False)]
    assert penalised_reward(after, scale, 1.5) == pytest.approx((0.5 + 3.0 - 1.5) / 2)


def test_replies_that_never_end_lose_to_shorter_ones_of_less_reward() -> None:
    scale = reward_scale([row(0.0), row(2.0)])
    endless, ended = ([row(1.5, missing_eos=cut)] * 2 for cut in (True, False))
    assert penalised_reward(endless, scale, 1.0) < penalised_reward([row(1.0)] * 2, scale, 1.0)
    assert penalised_reward(endless, scale, 0.0) == penalised_reward(ended, scale, 0.0)


def test_a_gain_is_of_pairs_so_that_hard_and_easy_prompts_do_not_widen_it(tmp_path: Path) -> None:
    stage_dir = StageDir(tmp_path)
    for step, gain in ((0, 0.0), (7, 0.5)):
        write_replies(stage_dir, step, [row(10.0 * n + gain, prompt=str(n)) for n in range(20)])
    found = {(line["metric"], line["group"]): line for line in score_rows(stage_dir, 7)}
    gain = found["held_out_reward_gain", "overall"]
    assert (gain["estimate"], gain["lower"], gain["upper"], gain["n"]) == (0.5, 0.5, 0.5, 20)
    after, before = found["held_out_reward", "overall"], found["held_out_reward", "policy: before PPO"]
    assert after["estimate"] - before["estimate"] == pytest.approx(0.5)
    assert after["upper"] - after["lower"] > 10


def test_replies_to_prompts_that_begin_alike_count_as_one(tmp_path: Path) -> None:
    for step in (0, 7):
        write_replies(StageDir(tmp_path), step, [row(float(n), prompt=str(n % 5)) for n in range(20)])
    assert {line["n"] for line in score_rows(StageDir(tmp_path), 7)} == {5}
