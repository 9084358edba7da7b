"""Rewards beside people's ratings of single replies (appendix A.3.6, Figure 29).

A table of ratings, long (`item,rater,rating`) or wide, with the columns `prompt` and `reply`, and `domain` where there are
two reward models; or with a column of scores, raw logits, instead of a reward model. The median of a reply's raters is
compared with the sigmoid of its score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from scipy.special import expit

from paddock.backends.spec import spec_inputs
from paddock.errors import EmptyDataError
from paddock.evaluate.rating_tables import Layout, is_long, item_of, rated_items
from paddock.evaluate.reward_human import Rated, by_likert, correlations
from paddock.journal import Journal
from paddock.run_dir import StageDir
from paddock.settings import StageSettings
from paddock.stages.answers import kept_answers, rewards_by_domain, scores_by_domain
from paddock.text.dialog import DOMAINS, Dialog
from paddock.text.files import RowError
from paddock.text.rows import prompt_of
from paddock.text.tables import Table, is_missing, read_table

Model = str | dict[str, Any]


class RewardHumanSettings(StageSettings):
    """Which ratings, and which rewards."""

    data: str = Field(description="a table of ratings with the columns prompt and reply: .csv, .jsonl or .parquet")
    rating: str = Field("rating", description="the column of ratings, in a long table")
    raters: tuple[str, ...] = Field((), description="the columns of raters, in a wide table")
    points: int = Field(7, ge=2, description="the length of the scale, from 1 (paper: 7)")
    helpfulness_reward: Model | None = Field(None, description="the reward model of prompts of helpfulness, or of all")
    safety_reward: Model | None = Field(None, description="that of prompts of safety; None: helpfulness_reward")
    score: str | None = Field(None, description="instead of a reward model: the column of scores, raw logits")
    seed: int = Field(0, ge=0, description="of the intervals")

    @model_validator(mode="after")
    def _has_one_source_of_rewards(self) -> RewardHumanSettings:
        if (self.score is None) == (self.helpfulness_reward is None):
            raise ValueError("rewards come from a model or stand in a column: give one of helpfulness_reward and score")
        return self

    def inputs(self) -> list[str]:
        """The table, and the rewards."""
        rewards = [spec for spec in (self.helpfulness_reward, self.safety_reward) if spec is not None]
        return [self.data, *(path for spec in rewards for path in spec_inputs(spec))]


def plan(settings: RewardHumanSettings) -> dict[str, Any]:
    """How many replies were rated, and by how many."""
    rated = rated_items(read_table(settings.data), _layout(settings), _scale(settings))
    return {"replies": len(rated.items), "raters": len(rated.raters)}


def run(settings: RewardHumanSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Score, and correlate. Returns the figures of `results.json`: `correlations` and `by_likert` of each domain and of all.

    Raises DataError for a table that lacks a column, and for a prompt or a reply that is none.
    """
    table = read_table(settings.data)
    places, medians = _medians(table, settings)
    domains = _texts(table, "domain") if "domain" in table.columns else [None] * table.rows
    with kept_answers(None, stage_dir) as journal:
        scores = _scores(table, settings, places, domains, journal)
    names = _texts(table, "prompt") if "prompt" in table.columns else [str(row) for row in range(table.rows)]
    rated: dict[str, list[Rated]] = {"all": []}
    for place, median, score in zip(places, medians, scores, strict=True):
        if score is not None:
            one = Rated(str(names[place]), median, float(expit(score)))
            rated["all"].append(one)
            if domains[place] is not None:
                rated.setdefault(str(domains[place]), []).append(one)
    if not rated["all"]:
        raise EmptyDataError(settings.data, "no rated reply has a score")
    return {
        "replies": len(places),
        "unscored": scores.count(None),
        "correlations": {
            name: {measure: found.as_row() for measure, found in correlations(some, seed=settings.seed).items()}
            for name, some in rated.items()
        },
        "by_likert": {name: by_likert(some) for name, some in rated.items()},
    }


def _layout(settings: RewardHumanSettings) -> Layout:
    return Layout(rating=settings.rating, raters=settings.raters)


def _scale(settings: RewardHumanSettings) -> list[int]:
    return list(range(1, settings.points + 1))


def _medians(table: Table, settings: RewardHumanSettings) -> tuple[list[int], list[float]]:
    """The row (from 0) at which each rated item first stands, and the median of its ratings."""
    layout = _layout(settings)
    found = rated_items(table, layout, _scale(settings))
    first = dict(zip(found.items, range(table.rows), strict=False))
    if is_long(table, layout):
        first = {}
        for row, name in enumerate(table.names(item_of(table, layout))):
            first.setdefault(str(name), row)
    scores = np.array([*found.ratings.scores, np.nan])[found.ratings.codes]
    rated = ~np.isnan(scores).all(axis=1)
    places = [first[item] for item, is_rated in zip(found.items, rated, strict=True) if is_rated]
    return places, np.nanmedian(scores[rated], axis=1).tolist()


def _scores(
    table: Table, settings: RewardHumanSettings, places: Sequence[int], domains: Sequence[Any], journal: Journal
) -> list[float | None]:
    """The raw logit of each rated reply, from the table or from the reward model of its domain."""
    if settings.helpfulness_reward is None:
        name = settings.score or ""
        column = table.column(name).tolist()
        return [_number(table, place, name, column[place]) for place in places]
    prompts, replies = table.column("prompt").tolist(), table.column("reply").tolist()
    if strange := [place for place in places if domains[place] not in (None, *DOMAINS)]:
        problem = f"{domains[strange[0]]!r} is not one of {', '.join(DOMAINS)}, each of which has its reward model"
        raise table.error(strange[0], problem, field="domain", mend="Leave it empty for helpfulness")
    dialogs = [replace(_dialog(table, place, prompts[place], replies[place]), domain=domains[place]) for place in places]
    return scores_by_domain(rewards_by_domain(settings.helpfulness_reward, settings.safety_reward), dialogs, journal)


def _number(table: Table, row: int, name: str, value: Any) -> float | None:
    """A score, or None where there is none."""
    if isinstance(value, str):
        raise table.error(row, f"{value!r} is not a number", field=name, mend="Leave the cell empty where there is no score")
    return None if is_missing(value) else float(value)


def _dialog(table: Table, row: int, prompt: Any, reply: Any) -> Dialog:
    """A row's prompt, text or messages, with its reply."""
    try:
        asked = prompt_of({"prompt": prompt})
    except RowError as error:
        raise table.error(row, error.problem, field="prompt", mend=error.mend) from None
    if not isinstance(reply, str):
        raise table.error(row, "a reply is text", field="reply")
    return asked.with_reply(reply)


def _texts(table: Table, name: str) -> list[Any]:
    """A column as it is, messages by what opens them."""
    return [None if is_missing(value) else value if isinstance(value, str) else str(value) for value in table.column(name)]
