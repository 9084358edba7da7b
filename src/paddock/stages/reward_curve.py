"""Reward progress of versions on both axes, helpfulness and safety (paper section 3.4.1, Figure 11).

Each version and one opponent reply to the same prompts; on those of each domain, that domain's reward model says who wins.
With neutral reward models, trained on other data, each version stands on the picture twice, and `divergence` tells where the
two part: the check against Goodhart's law of section 3.4.1.

Departures: the paper's opponent is ChatGPT, its second judge GPT-4; here the opponent is whatever is given, a first version
itself among others, and the second judge another pair of reward models. How the paper counts ties is not said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from paddock.backends.spec import spec_inputs
from paddock.errors import SettingsError
from paddock.evaluate.judge import Item
from paddock.evaluate.reward_curve import NEUTRAL, OWN, Wins, divergence, standing, win_of
from paddock.journal import Journal
from paddock.run_dir import StageDir
from paddock.stages.answers import Answer, Asked, kept_answers, rewards_by_domain, scores_by_domain
from paddock.stages.opponents import Opponents, Replies, ReplySettings, items_of, named_models, replies_of
from paddock.text.dialog import DOMAINS, Domain
from paddock.text.readers import Sources

SAMPLES = 32
OPPONENT = "opponent"
Model = str | dict[str, Any]


class RewardCurveSettings(ReplySettings):
    """Which versions, against whom, on what, and under which rewards."""

    data: Sources = Field(min_length=1, description="held-out prompts; the domain of each says on which axis it counts")
    models: Opponents = Field(
        description="the versions by name, in order, each a folder, a .jsonl of ready replies, a YAML file or its fields; "
        "or a YAML file that names them so"
    )
    opponent: Model = Field(description="whom each version is compared with: a folder or a spec")
    helpfulness_reward: Model = Field(description="the reward model that judges prompts of helpfulness")
    safety_reward: Model | None = Field(None, description="that of prompts of safety; None: helpfulness_reward")
    neutral_helpfulness_reward: Model | None = Field(
        None, description="a reward model trained on other data, as a check; None: there is none"
    )
    neutral_safety_reward: Model | None = Field(
        None, description="that of prompts of safety; None: neutral_helpfulness_reward"
    )

    @model_validator(mode="after")
    def _neutral_judges_stand_together(self) -> RewardCurveSettings:
        if self.neutral_safety_reward is not None and self.neutral_helpfulness_reward is None:
            raise ValueError(
                "neutral_safety_reward stands beside neutral_helpfulness_reward: give both, or the latter alone"
            )
        return self

    @property
    def judges(self) -> dict[str, dict[Domain, Asked]]:
        """The reward model of each domain, by judge: own, and where there are some neutral."""
        judges = {OWN: rewards_by_domain(self.helpfulness_reward, self.safety_reward, f"{OWN} ")}
        if self.neutral_helpfulness_reward is not None:
            neutral = (self.neutral_helpfulness_reward, self.neutral_safety_reward)
            judges[NEUTRAL] = rewards_by_domain(*neutral, f"{NEUTRAL} ")
        return judges

    def inputs(self) -> list[str]:
        """The prompts, the models and their file, and the rewards."""
        file = [self.models] if isinstance(self.models, str) else []
        models = [path for asked in named_models(self.models, 1, "models") for path in asked.inputs]
        models += spec_inputs(self.opponent)
        models += [path for judges in self.judges.values() for asked in judges.values() for path in asked.inputs]
        return list(dict.fromkeys([*(source.path for source in self.data), *file, *models]))


def plan(settings: RewardCurveSettings) -> dict[str, Any]:
    """How many replies would be sampled, and how often they would be scored."""
    versions, items = versions_of(settings), items_of(settings.data, ())
    replies = len(items) * (len(versions) + 1)
    return {
        "prompts": len(items),
        "versions": len(versions),
        "replies": replies,
        "scores": replies * len(settings.judges),
    }


def versions_of(settings: RewardCurveSettings) -> list[Asked]:
    """The versions in order. Raises SettingsError for one that has the opponent's name."""
    versions = named_models(settings.models, 1, "models")
    if any(version.name == OPPONENT for version in versions):
        raise SettingsError(f"models: a version cannot be called {OPPONENT}")
    return versions


def run(settings: RewardCurveSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Let all reply, score, and count. Returns the figures of `results.json`: `curve`, a row a version, judge and axis."""
    items, versions = items_of(settings.data, ()), versions_of(settings)
    with kept_answers(settings.cache, stage_dir) as journal:
        asked = [Asked(OPPONENT, settings.opponent), *versions]
        opponent, *replies = [replies_of(one, items, settings.sampling, stage_dir.path, journal) for one in asked]
        scores = {
            judge: {one.asked.name: scored(judges, items, one.answers, journal) for one in (opponent, *replies)}
            for judge, judges in settings.judges.items()
        }
    curve, diverging = [], {}
    for domain in DOMAINS:
        places = [place for place, item in enumerate(items) if (item.prompt.domain or DOMAINS[0]) == domain]
        if not places:
            continue
        wins = {judge: _wins(by_model, versions, places) for judge, by_model in scores.items()}
        curve += [
            {"version": version, "judge": judge, "axis": domain, **standing(some)}
            for judge, by_version in wins.items()
            for version, some in by_version.items()
        ]
        if NEUTRAL in wins:
            diverging[domain] = divergence(wins[OWN], wins[NEUTRAL])
    stage_dir.write_samples(_samples(items, replies[-1], scores))
    return {
        "prompts": len(items),
        "failed_replies": {one.asked.name: one.figures()["failed"] for one in (opponent, *replies)},
        "curve": curve,
        "divergence": diverging,
        "diverges": any(row["diverges"] for rows in diverging.values() for row in rows),
    }


def scored(
    judges: Mapping[Domain, Asked], items: Sequence[Item], answers: Sequence[Answer], journal: Journal
) -> list[float | None]:
    """The reward of each reply, a raw logit, by the model of its prompt's domain; None for a reply that failed."""
    good = [place for place, answer in enumerate(answers) if answer.error is None]
    dialogs = [items[place].prompt.with_reply(answers[place].text) for place in good]
    scores = dict(zip(good, scores_by_domain(judges, dialogs, journal), strict=True))
    return [scores.get(place) for place in range(len(items))]


def _wins(scores: Mapping[str, Sequence[float | None]], versions: Sequence[Asked], places: Sequence[int]) -> dict[str, Wins]:
    other = scores[OPPONENT]
    return {version.name: [win_of(scores[version.name][place], other[place]) for place in places] for version in versions}


def _samples(
    items: Sequence[Item], last: Replies, scores: Mapping[str, Mapping[str, Sequence[float | None]]]
) -> list[dict[str, Any]]:
    """Some prompts with the last version's reply and its rewards."""
    return [
        {
            "prompt": items[place].messages(),
            "answer": last.answers[place].text,
            **{f"{judge}_reward": by_model[last.asked.name][place] for judge, by_model in scores.items()},
        }
        for place in range(0, len(items), max(1, len(items) // SAMPLES))
    ]
