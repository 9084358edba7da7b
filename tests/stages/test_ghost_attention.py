"""Dialogs for Ghost Attention: what is sampled, what is kept, and what of it bears loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError, SettingsError
from paddock.evaluate.obedience import Obedience
from paddock.protocols import Completion
from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import parse
from paddock.stages import ghost_attention
from paddock.stages.ghost_attention import GhostAttentionSettings, Sampler, cut, dialog_rows, plan, run, script_rows
from paddock.text.chat_format import encode_dialog, encode_prompt
from paddock.text.constraint_values import BUILT_IN, known_and_new, read_values
from paddock.text.constraints import Constraint
from paddock.text.dialog import Dialog
from paddock.text.readers import read_dialogs
from paddock.text.rows import dialog_of
from paddock.text.scripts import Script
from paddock.text.tokenizer import Tokenizer

BASE = {"data": ["unused"], "model": "unused"}
RULES = Obedience(lambda text, language: False)


def settings(**changes: object) -> GhostAttentionSettings:
    return parse(GhostAttentionSettings, {**BASE, **changes}, "test")


def script(turns: int, name: str = "Napoleon", cuts: tuple[int, ...] = ()) -> Script:
    said = tuple(f"u{turn}" for turn in range(turns))
    return Script(said, f"Figure: {name}.", (Constraint("figure", name),), name, cuts=cuts or (turns,))


class Replier:
    """Replies by the turn, `replies[turn]`, and keeps the prompts that it saw."""

    def __init__(self, *replies: list[Completion]) -> None:
        self.replies, self.prompts = replies, []

    def complete(self, prompts, sampling):
        self.prompts.append(prompts)
        return [self.replies[len(self.prompts) - 1] for _ in prompts]


class Rewards:
    """The reward of a reply is the number that it ends with."""

    def score(self, dialogs):
        return [float(dialog.messages[-1].content.split()[-1]) for dialog in dialogs]


def said(*texts: str) -> list[Completion]:
    return [Completion(text) for text in texts]


def sample(model: Replier, scripts: list[Script], rewards=None, **changes: object) -> list[dict]:
    return Sampler(settings(**changes), model, RULES, rewards).sample(scripts, 0)


def test_the_instruction_is_with_every_user_message_that_the_model_sees():
    model = Replier(said("Napoleon a"), said("Napoleon b"))
    sample(model, [script(2)])
    asked = [message.content for message in model.prompts[1][0].messages if message.role != "assistant"]
    assert asked == ["Figure: Napoleon.", "u0", "Figure: Napoleon.\n\nu1"]


def test_in_the_control_it_is_with_the_first_alone():
    model = Replier(said("a"), said("b"))
    sample(model, [script(2)], joined="first", keep="all")
    asked = [message.content for message in model.prompts[1][0].messages if message.role != "assistant"]
    assert asked == ["Figure: Napoleon.", "u0", "u1"]


def test_a_dialog_ends_at_the_first_turn_without_an_obedient_reply():
    model = Replier(said("Napoleon a"), said("no one"), said("Napoleon c"))
    assert sample(model, [script(3)]) == [{"replies": ["Napoleon a"], "fates": {"taken": 1, "disobeys": 1}}]
    assert len(model.prompts) == 2


def test_the_first_obedient_reply_of_several_is_taken():
    (row,) = sample(Replier(said("no one", "Napoleon 1", "Napoleon 2")), [script(1)], replies=3)
    assert row["replies"] == ["Napoleon 1"]
    assert row["fates"] == {"disobeys": 1, "taken": 2}


def test_with_a_reward_the_best_obedient_reply_is_taken():
    model = Replier(said("no one 9", "Napoleon -1", "Napoleon 2"))
    (row,) = sample(model, [script(1)], Rewards(), replies=3, reward="unused")
    assert row["replies"] == ["Napoleon 2"]


def test_a_reply_below_the_least_reward_is_not_learnt_from():
    (row,) = sample(Replier(said("Napoleon 0.1")), [script(1)], Rewards(), reward="unused", min_reward=0.6)
    assert row == {"replies": [], "fates": {"below min_reward": 1}}


def test_a_reply_that_the_reward_fails_to_score_is_counted_and_not_taken():
    class Fails:
        def score(self, dialogs):
            return [None for _ in dialogs]

    (row,) = sample(Replier(said("Napoleon 1")), [script(1)], Fails(), reward="unused")
    assert row == {"replies": [], "fates": {"no score": 1}}


@pytest.mark.parametrize(
    ("completion", "fate"),
    [
        (Completion("Napoleon", finish_reason="length"), "cut short"),
        (Completion("", finish_reason="error", error="full"), "no room"),
        (Completion("  "), "empty"),
        (Completion("Napoleon [INST]"), "a tag of the chat format"),
    ],
)
def test_what_no_dialog_can_hold_is_counted_and_left_out_even_where_all_are_kept(completion: Completion, fate: str):
    for keep in ("obedient", "all"):
        assert sample(Replier([completion]), [script(1)], keep=keep) == [{"replies": [], "fates": {fate: 1}}]


def test_a_reply_that_nobody_can_judge_is_undecided():
    free = Script(("u0",), "Be brief.", (Constraint("other", "Be brief."),), cuts=(1,))
    assert sample(Replier(said("ok")), [free]) == [{"replies": [], "fates": {"undecided": 1}}]


def test_no_turn_is_sampled_past_the_last_cut():
    model = Replier(said("Napoleon a"), said("Napoleon b"))
    assert len(sample(model, [script(9, cuts=(1, 2))])[0]["replies"]) == 2


@given(st.lists(st.integers(1, 20), min_size=1, max_size=20), st.none() | st.integers(1, 25), st.integers(0, 9))
def test_cuts_are_different_turns_of_the_dialog(lengths: list[int], cuts: int | None, seed: int):
    bare = [Script(tuple("u" * n)) for n in lengths]
    for given_, found in zip(bare, cut(bare, cuts, seed), strict=True):
        turns = len(given_.turns)
        assert len(found.cuts) == (min(cuts, turns) if cuts else 1)
        assert list(found.cuts) == sorted(set(found.cuts))
        assert set(found.cuts) <= set(range(1, turns + 1))
        if cuts is None:
            assert found.cuts == (turns,)


def test_cuts_are_spread_over_all_lengths_alike():
    drawn = [turn for found in cut([Script(tuple("u" * 20))] * 2000, 5, 0) for turn in found.cuts]
    assert all(400 < drawn.count(turn) < 600 for turn in range(1, 21))


@pytest.fixture(scope="session")
def small_tokenizer(tokenizer: Path) -> Tokenizer:
    return Tokenizer.load(tokenizer)


@given(st.integers(1, 20), st.sampled_from(["system", "head"]), st.data())
def test_only_the_last_reply_of_a_dialog_to_learn_from_bears_loss(small_tokenizer, turns: int, slot, data):
    """Whatever the length and the slot, and however many turns were sampled: one row a cut that was reached."""
    reached = data.draw(st.integers(0, turns))
    cuts = tuple(sorted(data.draw(st.sets(st.integers(1, turns), min_size=1))))
    replies = tuple(f"Napoleon {turn}" for turn in range(reached))
    rows = list(dialog_rows(settings(slot=slot), script(turns, cuts=cuts), replies))
    assert len(rows) == sum(turn <= reached for turn in cuts)
    for row, length in zip(rows, cuts, strict=False):
        dialog = dialog_of(row)
        assert sum(message.role == "user" for message in dialog.messages) == length
        assert sum("Figure: Napoleon." in message.content for message in dialog.messages) == 1
        ids, loss_mask = encode_dialog(small_tokenizer, dialog)
        start = len(encode_prompt(small_tokenizer, Dialog(dialog.messages[:-1])))
        assert loss_mask == [False] * start + [True] * (len(ids) - start)
        assert small_tokenizer.decode(ids[start:]).strip() == f"Napoleon {length - 1}"


def test_a_script_keeps_the_cuts_that_gave_a_dialog():
    (row,) = script_rows(script(9, cuts=(2, 5, 8)), ("a",) * 6)
    assert (row["cuts"], len(row["later"])) == ([2, 5], 4)
    assert list(script_rows(script(9, cuts=(2,)), ("a",))) == []


@pytest.fixture(scope="module")
def sampled(ghost_attention_values: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[StageDir, dict]:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "ghost-attention")
    return stage_dir, run(settings(**ghost_attention_values), stage_dir)


def test_a_control_learns_from_the_same_dialogs(sampled, ghost_attention_values: dict, tmp_path: Path):
    stage_dir, results = sampled
    again = {"data": [str(stage_dir.path / "scripts.jsonl")], "turns": None, "joined": "first", "keep": "all"}
    control = StageDir(tmp_path / "control")
    controlled = run(settings(**{**ghost_attention_values, **again}), control)

    def users(folder: StageDir) -> list[list[str]]:
        dialogs = read_dialogs([folder.path / "dialogs.jsonl"])
        return [[message.content for message in dialog.messages if message.role != "assistant"] for dialog in dialogs]

    assert results["dialogs"] > 20
    found = users(control)
    wanted = users(stage_dir)
    assert [one for one in wanted if one in found] == found
    assert len(found) == len(wanted) - controlled["dialogs_given_up"] > 0  # the small context has no room for some


def test_what_became_of_every_reply_is_counted(sampled):
    stage_dir, results = sampled
    rows = [row for file in (stage_dir.data / "replies").glob("*.jsonl") for row in read_json_lines(file)]
    assert results["scripts"] == len(rows)
    assert results["replies"] == sum(results["fates"].values()) == sum(sum(row["fates"].values()) for row in rows)
    assert results["dialogs"] == sum(results["dialogs_by_turns"].values()) == sum(results["dialogs_by_kind"].values())


def test_chunks_that_are_there_are_not_sampled_again(sampled, ghost_attention_values: dict, monkeypatch):
    stage_dir, results = sampled
    before = (stage_dir.path / "dialogs.jsonl").read_bytes()
    monkeypatch.setattr(ghost_attention.Sampler, "sample", None)
    assert run(settings(**ghost_attention_values), stage_dir) == results
    assert (stage_dir.path / "dialogs.jsonl").read_bytes() == before


def test_a_plan_counts_what_a_run_would_sample(sampled, ghost_attention_values: dict):
    planned = plan(settings(**ghost_attention_values))
    assert planned["dialogs"] == sampled[1]["scripts"]
    assert sampled[1]["replies"] <= planned["replies"]
    assert sampled[1]["dialogs"] + sampled[1]["dialogs_given_up"] == planned["dialogs_to_learn_from_at_most"]


def test_where_no_reply_is_kept_the_run_stops_and_says_why(ghost_attention_values: dict, tmp_path: Path):
    with pytest.raises(DataError, match=r"of \d+ dialogs none got replies to learn from: .*disobeys"):
        run(settings(**{**ghost_attention_values, "keep": "obedient"}), StageDir(tmp_path / "stage"))


def test_a_bound_without_a_reward_is_refused():
    with pytest.raises(SettingsError, match="min_reward is a bound of a reward"):
        settings(min_reward=0.5)


def test_what_is_drawn_is_in_the_lists_that_are_recorded_and_of_no_held_out_value(sampled):
    stage_dir, results = sampled
    rows = read_json_lines(stage_dir.path / "dialogs.jsonl")
    drawn = {(one["kind"], one["value"]) for row in rows for one in row["constraints"]}
    assert len(drawn) > 10
    assert all(value in results["lists"][kind] for kind, value in drawn)
    assert not any(value in results["held_out_values"][kind] for kind, value in drawn)


def test_the_lists_can_be_given_to_the_check_whole(sampled):
    stage_dir, results = sampled
    found = read_values(stage_dir.path / "lists.yaml")
    assert {kind: set(values) for kind, values in found.items()} == {kind: set(values) for kind, values in BUILT_IN.items()}
    known, new = known_and_new(found, 0.2)
    assert {kind: set(values) for kind, values in known.items()} == {k: set(v) for k, v in results["lists"].items()}
    assert {kind: set(values) for kind, values in new.items()} == {k: set(v) for k, v in results["held_out_values"].items()}


class Parrot:
    """Says the first user message's, or the system message's, words again: so it names what it is asked to name."""

    def complete(self, prompts, sampling):
        return [[Completion(f"Yes: {prompt.messages[0].content} {len(prompt.messages)}")] for prompt in prompts]


def test_the_dialogs_of_real_data_sets_are_sampled(real_data: Path, tmp_path: Path, monkeypatch):
    """HH, Alpaca and MT-bench with a model behind the protocol; each mask is checked token by token in Meta's format."""
    places = ("hh_rlhf/harmless-base/test.jsonl.gz", "alpaca/seed_tasks.jsonl", "mt_bench/mt_bench/question.jsonl")
    (tmp_path / "lists.yaml").write_text("hobby: [chess, sailing]\nfigure: [Napoleon, Oscar Wilde]\n")
    monkeypatch.setattr(ghost_attention, "open_chat_model", lambda folder: Parrot())
    tokenizer = Tokenizer.load(real_data / "llama2c" / "tokenizer.model")
    for place, slot in zip(places, ("system", "head", "system"), strict=True):
        changes = {"data": [str(real_data / place)], "on_bad_row": "skip", "lists": str(tmp_path / "lists.yaml")}
        stage_dir = StageDir(tmp_path / Path(place).parts[0])
        results = run(settings(**changes, slot=slot, turns=20, cuts=2), stage_dir)
        dialogs = list(read_dialogs([stage_dir.path / "dialogs.jsonl"]))
        assert results["fates"] == {"taken": results["replies"]}
        assert len(dialogs) == results["dialogs"] >= 5
        for dialog in dialogs[:50]:
            ids, loss_mask = encode_dialog(tokenizer, dialog)
            learnt = tokenizer.encode(f"{dialog.messages[-1].content} ", eos=True)
            assert list(ids[-len(learnt) :]) == learnt
            assert loss_mask == [False] * (len(ids) - len(learnt)) + [True] * len(learnt)
