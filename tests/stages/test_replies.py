"""Sampling in chunks: what a kill leaves, what ranks share, and which reply is the best."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.backends.local import open_local_scorer
from paddock.protocols import Sampling
from paddock.run_dir import StageDir
from paddock.stages.chunks import PROMPTS_A_CHUNK
from paddock.stages.replies import ReplyStore, Sampler, ScoredReply, Scores, best_of, probability
from paddock.stages.rewards import combined_reward
from paddock.text.chat_format import encode_prompt
from paddock.text.dialog import Dialog, Message
from paddock.text.tokenizer import Tokenizer
from paddock.train.parallel import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))
PROMPTS = [Dialog((Message("user", f"What is {n}?"),), f"p{n}") for n in range(PROMPTS_A_CHUNK + 6)]


def scored(reward: float, ended: bool = True, text: str = "yes", safety: float | None = None) -> ScoredReply:
    return ScoredReply((5,), text, ended, Scores(reward, safety, reward))


class Counting:
    """A sampler whose reply says which prompt, temperature and seed it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float, int]] = []

    def replies(self, prompts: list[Dialog], sampling: Sampling) -> list[list[ScoredReply]]:
        self.asked.append((len(prompts), sampling.temperature, sampling.seed))
        text = f"{sampling.temperature} {sampling.seed}"
        return [[scored(0.1, text=f"{prompt.id} {text} {n}") for n in range(sampling.n)] for prompt in prompts]


def store(folder: Path, seed: int = 0) -> ReplyStore:
    return ReplyStore(folder, PROMPTS, samples=2, max_new_tokens=4, seed=seed)


def test_the_best_is_the_highest_reward_among_those_that_ended() -> None:
    cut, low, high = scored(9.0, ended=False), scored(-2.0), scored(-1.0)
    assert best_of([cut, low, high]) is high


def test_where_none_ended_the_best_is_the_highest_that_was_cut_short() -> None:
    low, high = scored(-2.0, ended=False), scored(-1.0, ended=False)
    assert best_of([low, high]) is high


def test_an_unsafe_reply_stands_behind_every_safe_one_whatever_its_reward() -> None:
    """-1.8 is under the logit of 0.15: such a reply's reward is its safety score, that of the others their helpfulness."""
    unsafe, cut, safe = scored(-1.8, safety=-1.8), scored(-2.6, ended=False, safety=3.0), scored(-2.5, safety=3.0)
    assert best_of([unsafe, cut, safe]) is safe
    assert best_of([unsafe, cut]) is cut


def test_of_equals_the_first_is_the_best() -> None:
    first, second = scored(1.0, text="a"), scored(1.0, text="b")
    assert best_of([first, second]) is first


def test_with_a_coefficient_a_likely_reply_stands_before_one_of_a_little_more_reward():
    likely, liked = (
        ScoredReply((5,), text, True, Scores(reward, None, reward), log_prob)
        for text, reward, log_prob in (("likely", 1.0, -2.0), ("liked", 1.5, -8.0))
    )
    assert best_of([likely, liked]) is liked
    assert best_of([likely, liked], kl_coef=0.08) is liked  # 1 - 0.16 < 1.5 - 0.64
    assert best_of([likely, liked], kl_coef=0.09) is likely  # 1 - 0.18 > 1.5 - 0.72


def test_no_log_probability_lifts_an_unsafe_reply_over_a_safe_one():
    safe = ScoredReply((5,), "safe", True, Scores(0.0, 0.0, 0.0), -50.0)
    unsafe = ScoredReply((5,), "unsafe", True, Scores(3.0, -3.0, -3.0), 0.0)
    assert best_of([unsafe, safe], kl_coef=10.0) is safe


def test_an_empty_reply_and_one_with_a_tag_are_of_no_use() -> None:
    assert [scored(0.0, text=text).is_usable for text in ("yes", "", "a [INST] b")] == [True, False, False]


@given(st.floats(-700, 700))
def test_a_probability_is_the_sigmoid(logit: float) -> None:
    assert probability(logit) == pytest.approx(float(torch.sigmoid(torch.tensor(logit, dtype=torch.float64))), abs=1e-15)


def test_every_prompt_stands_in_one_chunk_with_its_own_replies(tmp_path: Path) -> None:
    replies = store(tmp_path)
    replies.fill(Counting(), 0.7, replies.chunks, ALONE)
    found = list(replies.read_all(0.7, replies.chunks))
    assert [some[0].text.split()[0] for some in found] == [prompt.id for prompt in PROMPTS]


def test_a_chunk_is_read_only_when_its_turn_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replies, read = store(tmp_path), []
    monkeypatch.setattr(ReplyStore, "read", lambda _, temperature, chunk: read.append(chunk) or [[], []])
    found = replies.read_all(0.7, 2)
    assert [len(read) for _ in found] == [1, 1, 2, 2]


def test_a_chunk_that_is_there_is_not_sampled_again(tmp_path: Path) -> None:
    sampler, replies = Counting(), store(tmp_path)
    replies.fill(sampler, 0.7, 1, ALONE)
    replies.fill(sampler, 0.7, 2, ALONE)
    assert [count for count, _, _ in sampler.asked] == [PROMPTS_A_CHUNK, 6]


def test_chunks_have_random_numbers_of_their_own_and_temperatures_share_them(tmp_path: Path) -> None:
    sampler, replies = Counting(), store(tmp_path)
    for temperature in (0.7, 1.0):
        replies.fill(sampler, temperature, 2, ALONE)
    seeds = [seed for _, _, seed in sampler.asked]
    assert seeds[:2] == seeds[2:]
    assert seeds[0] != seeds[1]


def test_ranks_share_the_chunks(tmp_path: Path) -> None:
    class Silent(Ranks):
        def wait(self) -> None:
            """Nobody else is there."""

    samplers = [Counting(), Counting()]
    for rank, sampler in enumerate(samplers):
        store(tmp_path / "two").fill(sampler, 0.7, 2, Silent(rank, 2, torch.device("cpu")))
    assert [len(sampler.asked) for sampler in samplers] == [1, 1]
    store(tmp_path / "one").fill(Counting(), 0.7, 2, ALONE)
    for chunk in range(2):
        assert store(tmp_path / "two").read(0.7, chunk) == store(tmp_path / "one").read(0.7, chunk)


def test_rewards_are_those_of_the_sampled_ids(pretrained: StageDir, reward_folders: dict[str, Path]) -> None:
    sampler = Sampler.open(str(pretrained.model), str(reward_folders["helpfulness"]), str(reward_folders["safety"]))
    tokenizer = Tokenizer.load(pretrained.model)
    prompts = [Dialog((Message("user", "Who is Anna?"),), domain=domain) for domain in ("safety", "helpfulness")]
    for prompt, some in zip(prompts, sampler.replies(prompts, Sampling(n=3, max_new_tokens=6, seed=1)), strict=True):
        for reply in some:
            ids = [*encode_prompt(tokenizer, prompt), *reply.ids]
            helpfulness, safety = (
                open_local_scorer(reward_folders[n]).score_ids([ids])[0] for n in ("helpfulness", "safety")
            )
            combined = combined_reward(
                torch.tensor([helpfulness]), torch.tensor([safety]), torch.tensor([prompt.domain == "safety"])
            )
            expected = (helpfulness, safety, combined.item())
            assert (reply.scores.helpfulness, reply.scores.safety, reply.scores.reward) == pytest.approx(expected, abs=1e-5)
            assert reply.ended == (reply.ids[-1] == tokenizer.eos_id)


def test_a_prompt_that_leaves_no_room_has_no_replies(pretrained: StageDir, reward_folders: dict[str, Path]) -> None:
    sampler = Sampler.open(str(pretrained.model), str(reward_folders["helpfulness"]), None)
    prompts = [Dialog((Message("user", words),)) for words in ("Anna " * 300, "Anna?")]
    found = sampler.replies(prompts, Sampling(n=2, max_new_tokens=4))
    assert [len(some) for some in found] == [0, 2]
    assert all(reply.scores.safety is None and math.isfinite(reply.scores.reward) for reply in found[1])
