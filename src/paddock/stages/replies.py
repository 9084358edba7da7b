"""Replies of a policy with what reward models make of them, sampled in chunks that a kill leaves whole or not at all.

    data/replies/t1.2/000003.jsonl    a prompt a line: all its replies, of temperature 1.2; 64 prompts a file

Reward models read the sampled ids, never text encoded again. A chunk's random numbers come from the seed and its number, so
it is the same whenever and wherever it is sampled, and replies of two temperatures share them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paddock.backends.local import open_local_model
from paddock.model.generation import LocalChatModel
from paddock.protocols import Sampling
from paddock.run_dir import hash_of, read_json_lines, remove_leftovers, write_json_lines
from paddock.stages.chunks import PROMPTS_A_CHUNK
from paddock.stages.rewards import UNSAFE_LOGIT, RewardFunction, is_tagged, open_rewards
from paddock.text.chat_format import tag_in
from paddock.text.dialog import Dialog
from paddock.train.parallel import Ranks


@dataclass(frozen=True, slots=True)
class Scores:
    """What one reply is worth: raw logits, and R_c's `reward`, standardised; `safety` is None without a safety model."""

    helpfulness: float
    safety: float | None
    reward: float

    @property
    def is_safe(self) -> bool:
        """Whether the safety model finds no fault by the 0.15 rule (paper section 3.2.3)."""
        return self.safety is None or self.safety >= UNSAFE_LOGIT


@dataclass(frozen=True, slots=True)
class ScoredReply:
    """One sampled reply: its ids (the end token too, where it `ended`), its text, and its scores.

    `log_prob` is the natural log of its probability under the policy that wrote it, at the temperature it was drawn at.
    """

    ids: tuple[int, ...]
    text: str
    ended: bool
    scores: Scores
    log_prob: float = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether a dialog can hold it: it says something, and holds no tag of the chat format."""
        return bool(self.text) and tag_in(self.text) is None

    def rank(self, kl_coef: float = 0.0) -> tuple[bool, bool, float]:
        """What replies to one prompt are ordered by: whether it is safe, then whether it ended, then the reward.

        With a `kl_coef` beta the reward is R + beta log pi(reply): that is where pi exp(R / beta) is highest, which PPO's
        objective R - beta KL aims at, and so keeps what the policy knows where the rewards cannot tell.

        Rewards of safe and of unsafe replies may be two models', so none of them lifts an unsafe reply over a safe one.
        Reward models have seen no pair with a reply that its limit cut short (stage preferences leaves such pairs out), and
        who learns from one learns to stop in mid-sentence.
        """
        return self.scores.is_safe, self.ended, self.scores.reward + kl_coef * self.log_prob

    @staticmethod
    def from_row(row: dict[str, Any]) -> ScoredReply:
        """Read what `asdict` gave."""
        return ScoredReply(tuple(row["ids"]), row["text"], row["ended"], Scores(**row["scores"]), row["log_prob"])


def usable(replies: Sequence[ScoredReply]) -> list[ScoredReply]:
    """Those replies that a dialog can hold."""
    return [reply for reply in replies if reply.is_usable]


def best_of(replies: Sequence[ScoredReply], kl_coef: float = 0.0) -> ScoredReply:
    """The reply of the highest rank; the first one of equals."""
    return max(replies, key=lambda reply: reply.rank(kl_coef))


def probability(logit: float) -> float:
    """The sigmoid: a reward from 0 to 1; 0.5 is what an average reply has."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else 1 - probability(-logit)


def chunks_of(prompts: int) -> int:
    """How many chunks hold so many prompts."""
    return -(-prompts // PROMPTS_A_CHUNK)


@dataclass(frozen=True)
class Sampler:
    """A policy and the rewards of its replies."""

    policy: LocalChatModel
    rewards: RewardFunction

    @staticmethod
    def open(policy: str, helpfulness_reward: str, safety_reward: str | None) -> Sampler:
        """Open the models in three folders. Raises CheckpointError where one holds none."""
        return Sampler(open_local_model(policy), open_rewards(helpfulness_reward, safety_reward))

    def replies(self, prompts: Sequence[Dialog], sampling: Sampling) -> list[list[ScoredReply]]:
        """`sampling.n` replies to each prompt, scored, in the prompts' order; none where a prompt leaves no room for one."""
        completions = self.policy.complete(prompts, sampling)
        sampled = [(prompt, c) for prompt, some in zip(prompts, completions, strict=True) for c in some if c.error is None]
        scores = iter(self.score([(prompt, completion.token_ids or ()) for prompt, completion in sampled]))
        return [
            [
                ScoredReply(c.token_ids or (), c.text, c.finish_reason == "stop", next(scores), sum(c.log_probs or ()))
                for c in some
                if c.error is None
            ]
            for some in completions
        ]

    def score(self, replies: Sequence[tuple[Dialog, Sequence[int]]]) -> list[Scores]:
        """The scores of replies, each given by its prompt and its ids."""
        encoded = {prompt: self.policy.encode(prompt) for prompt in dict.fromkeys(prompt for prompt, _ in replies)}
        sequences = [[*encoded[prompt], *ids] for prompt, ids in replies]
        rewards = self.rewards.score_ids(sequences, [is_tagged(prompt) for prompt, _ in replies])
        safety = [None] * len(sequences) if rewards.safety is None else rewards.safety.tolist()
        columns = (rewards.helpfulness.tolist(), safety, rewards.combined.tolist())
        return [Scores(*row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class ReplyStore:
    """The chunks of one stage: all prompts in their order, and the folder that holds their replies."""

    folder: Path
    prompts: Sequence[Dialog]
    samples: int
    max_new_tokens: int
    seed: int

    @property
    def chunks(self) -> int:
        """How many chunks there are; the last one may be smaller."""
        return chunks_of(len(self.prompts))

    def prompts_of(self, chunk: int) -> Sequence[Dialog]:
        """The prompts of a chunk."""
        return self.prompts[chunk * PROMPTS_A_CHUNK : (chunk + 1) * PROMPTS_A_CHUNK]

    def fill(self, sampler: Sampler, temperature: float, chunks: int, ranks: Ranks) -> None:
        """Sample and score those of the first `chunks` chunks that are not there yet; each rank takes its share.

        A collective: every rank must call it, and goes on when all are done.
        """
        folder = self._folder(temperature)
        if ranks.is_first and folder.exists():
            remove_leftovers(folder)
        ranks.wait()
        for chunk in range(ranks.rank, chunks, ranks.size):
            file = folder / f"{chunk:06}.jsonl"
            if file.exists():
                continue
            sampling = Sampling(
                n=self.samples,
                temperature=temperature,
                max_new_tokens=self.max_new_tokens,
                seed=int(hash_of([self.seed, "replies", chunk]), 16),
            )
            replies = sampler.replies(self.prompts_of(chunk), sampling)
            write_json_lines(file, ({"replies": [asdict(reply) for reply in some]} for some in replies))
        ranks.wait()

    def read(self, temperature: float, chunk: int) -> list[list[ScoredReply]]:
        """The replies of a chunk's prompts."""
        rows = read_json_lines(self._folder(temperature) / f"{chunk:06}.jsonl")
        return [[ScoredReply.from_row(reply) for reply in row["replies"]] for row in rows]

    def read_all(self, temperature: float, chunks: int) -> Iterator[list[ScoredReply]]:
        """The replies to each prompt of the first `chunks` chunks, of which one at a time is in memory."""
        for chunk in range(chunks):
            yield from self.read(temperature, chunk)

    def _folder(self, temperature: float) -> Path:
        return self.folder / f"t{temperature:g}"
