"""Whether a version is worse than the one before: both reply to held-out prompts, and the newest rewards judge.

The paper samples from both versions in the next round of annotation (section 3.4.1); this check needs no people, and
stands beside the preferences that do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from paddock.errors import DataError
from paddock.run_dir import StageDir
from paddock.settings import StageSettings
from paddock.stages.replies import ReplyStore, Sampler, ScoredReply, probability
from paddock.stages.training import shown
from paddock.statistics import mean_interval, permutation_test, sign_test
from paddock.text.dialog import DOMAINS, Dialog
from paddock.text.readers import Sources, read_prompts
from paddock.train.parallel import Ranks

GREEDY = 0.0  # the temperature
SIGNIFICANT = 0.05  # p below which a fall of the mean reward is a regression


class CheckSettings(StageSettings):
    """Which two versions are compared, by which rewards, on which prompts."""

    model: str = Field(description="the folder of the version's model")
    model_before: str = Field(description="the folder of the version before")
    helpfulness_reward: str = Field(description="the folder of the newest helpfulness reward model")
    safety_reward: str | None = Field(description="the folder of the newest safety reward model")
    data: Sources = Field(description="held-out prompts")
    max_new_tokens: int = Field(description="tokens of a reply, at most")

    def inputs(self) -> list[str]:
        """The prompts, and every model."""
        folders = (self.model, self.model_before, self.helpfulness_reward, self.safety_reward)
        return [source.path for source in self.data] + [folder for folder in folders if folder]


def check(settings: CheckSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Reply to held-out prompts with both models, greedily; score with the newest rewards; and test for a regression."""
    pairs, without_reply = paired_replies(settings, stage_dir.data / "replies")
    rows = [
        {
            "id": prompt.id,
            "prompt": shown(prompt),
            "answer": new.text,
            "answer_before": old.text,
            "domain": prompt.domain or DOMAINS[0],
            "reward": probability(new.scores.reward),
            "reward_before": probability(old.scores.reward),
        }
        for prompt, new, old in pairs
    ]
    stage_dir.write_samples(rows)
    by_domain = {domain: paired_figures([row for row in rows if row["domain"] == domain]) for domain in DOMAINS}
    domains = {domain: figures for domain, figures in by_domain.items() if figures["n"]}
    return {
        "prompts_without_a_reply": without_reply,
        "domains": domains,
        "regressed": any(figures["regressed"] for figures in domains.values()),
    }


def paired_replies(settings: CheckSettings, folder: Path) -> tuple[list[tuple[Dialog, ScoredReply, ScoredReply]], int]:
    """Each prompt with the greedy reply of the model and of the one before, and how many prompts leave no room for one.

    Replies are kept in `folder`, `after/` and `before/`, in chunks: a kill loses one of those, and not the rest. One process
    samples them, where there are several too.

    Raises DataError where none leaves room.
    """
    prompts = list(read_prompts(settings.data))

    def replies(name: str, model: str) -> Iterator[list[ScoredReply]]:
        store = ReplyStore(folder / name, prompts, samples=1, max_new_tokens=settings.max_new_tokens, seed=0)
        sampler = Sampler.open(model, settings.helpfulness_reward, settings.safety_reward)
        store.fill(sampler, GREEDY, store.chunks, Ranks(0, 1, torch.device("cpu")))
        return store.read_all(GREEDY, store.chunks)

    after, before = replies("after", settings.model), replies("before", settings.model_before)
    replied = [(prompt, new[0], old[0]) for prompt, new, old in zip(prompts, after, before, strict=True) if new and old]
    if not replied:
        raise DataError(
            settings.data[0].path, "no prompt leaves room for a reply", mend="Lower max_new_tokens, or give shorter prompts"
        )
    return replied, len(prompts) - len(replied)


def paired_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What changed from `reward_before` to `reward`, both from 0 to 1, on the same prompts.

    `difference` is the mean change, `permutation_p` the p-value that there is none, and `sign_p` the p-value that as many
    prompts gained as lost. A version has `regressed` where the mean fell and the first of them is below 0.05.
    """
    now, before = ([row[name] for row in rows] for name in ("reward", "reward_before"))
    changes = [new - old for new, old in zip(now, before, strict=True)]
    p = permutation_test(now, before)
    interval = mean_interval(changes).as_row()
    return {
        "n": len(rows),
        "reward": mean_interval(now).as_row(),
        "reward_before": mean_interval(before).as_row(),
        "difference": interval,
        "gained": sum(change > 0 for change in changes),
        "lost": sum(change < 0 for change in changes),
        "permutation_p": p,
        "sign_p": sign_test(now, before),
        "regressed": bool(changes) and sum(changes) < 0 and p < SIGNIFICANT,
    }
