"""A study as its YAML file describes it: who answers what, and how often.

name: v5-against-sft
task: side-by-side
data: pairs.jsonl
raters: 3
annotators: [Ada, Ben, Chen]
leads: [Dana]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, model_validator

from paddock.settings import StageSettings, parse, read_yaml_file
from paddock.studio.tasks import TASKS, Task, TaskName
from paddock.text.dialog import Domain

RISK_CATEGORIES = ("illicit and criminal activities", "hateful and harmful activities", "unqualified advice")
ATTACK_STYLES = (
    "psychological manipulation",
    "logic manipulation",
    "syntactic manipulation",
    "semantic manipulation",
    "perspective manipulation",
    "non-English",
    "other",
)
MOST_RATERS = 1000


def _as_text(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list | tuple) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_text)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Qualification(_Part):
    """A test with known answers that comes before real items (paper section A.3)."""

    data: str = Field(description="items as the study's, each with `expected`: an answer, or a list of them")
    pass_share: float = Field(
        0.8, ge=0, le=1, description="share of right answers that lets a person in (paper A.3.1: 0.8 to 0.9)"
    )
    task: TaskName | None = Field(None, description="the items' task; None: that of the study")


class Attention(_Part):
    """Items with known answers among the real ones, which nothing tells apart."""

    data: str = Field(description="items as the study's, each with `expected`: an answer, or a list of them")
    every: int = Field(20, ge=1, description="real items to one check, at a place drawn by chance")
    task: TaskName | None = Field(None, description="the items' task; None: that of the study")


class LiveModel(_Part):
    """A model that replies while people wait."""

    name: str = Field(min_length=1, description="what the exports call it; annotators do not see it")
    model: str | dict[str, Any] = Field(description="a model's folder, or another spec (docs/backends.md)")


class StudySettings(StageSettings):
    """One study."""

    name: str = Field(min_length=1, description="what the study is called")
    task: TaskName = Field(description="side-by-side, preference, helpfulness, safety, demonstration or red-team")
    data: str | None = Field(None, description="the file of items; None: people begin each item themselves (see sessions)")
    sessions: int | None = Field(
        None, ge=1, description="without data: how many conversations or demonstrations are to be made, in all"
    )
    raters: int = Field(3, ge=1, le=MOST_RATERS, description="people who answer each item (paper section A.3.7: 3)")
    annotators: Names = Field(min_length=1, description="the names of the people who answer")
    leads: Names = Field(("lead",), min_length=1, description="the names of the people who see the results")
    guidelines: str = Field("", description="what annotators read before they begin; a blank line begins a paragraph")
    qualification: Qualification | None = Field(None, description="a test that annotators must pass first; None: no test")
    attention: Attention | None = Field(None, description="checks among the real items; None: no checks")
    domain: Domain | None = Field(None, description="helpfulness or safety: that of items which name none themselves")
    safety_labels: bool | None = Field(
        None, description="preference: whether each reply is called safe or unsafe; None: for items of the safety domain"
    )
    models: tuple[LiveModel, ...] = Field(
        (), max_length=8, description="models that reply live: two for preference, one or more for red-team"
    )
    temperatures: tuple[PositiveFloat, ...] = Field(
        (0.7, 1.0, 1.3), min_length=1, description="each live reply is sampled at one of them, by chance (paper 3.1: varied)"
    )
    max_new_tokens: int = Field(256, ge=1, description="tokens of a live reply, at most")
    most_turns: int = Field(20, ge=1, description="red-team: the user's messages in a conversation, at most")
    risk_categories: Names = Field(
        RISK_CATEGORIES, min_length=1, description="red-team: what there is to choose from (paper section 4.2.1)"
    )
    attack_styles: Names = Field(
        ATTACK_STYLES, min_length=1, description="red-team: what there is to choose from (paper section 4.2.1)"
    )
    lease_minutes: PositiveFloat = Field(60, description="minutes that an unanswered item is kept for whom it was shown to")
    posts_per_minute: int = Field(120, ge=1, description="forms that one person may send in a minute")
    seed: int = Field(0, ge=0, description="of sides, of the places of checks, and of live replies")

    @model_validator(mode="after")
    def _hangs_together(self) -> StudySettings:
        people = [*self.annotators, *self.leads]
        models = [live.name for live in self.models]
        if len(set(models)) < len(models):
            raise ValueError(f"two models have one name: {', '.join(models)}")
        if twice := next((name for place, name in enumerate(people) if name in people[:place]), None):
            raise ValueError(f"two people are called {twice!r}: names tell them apart")
        if blank := next((name for name in people if not name.strip() or name != name.strip()), None):
            raise ValueError(f"{blank!r} is no name")
        if self.task == "red-team" and not self.models:
            raise ValueError("red-team is a conversation with a model: name one in models")
        if self.models and self.task not in ("preference", "red-team"):
            raise ValueError(f"models reply live in the tasks preference and red-team, and not in {self.task}")
        if self.task == "preference" and len(self.models) not in (0, 2):
            raise ValueError(f"a pair is sampled from two variants, and models names {len(self.models)}")
        begun_by_people = self.task in ("red-team", "demonstration") or (self.task == "preference" and bool(self.models))
        if self.data is None and not (begun_by_people and self.sessions):
            raise ValueError("name the file of items in data" + (", or say in sessions how many to make" * begun_by_people))
        if self.data is not None and self.sessions is not None:
            raise ValueError("sessions counts items that people begin themselves: give data or sessions")
        for part in (self.qualification, self.attention):
            if part and not TASKS[part.task or self.task].choices:
                raise ValueError(
                    f"a text has no known right answer: name another task than {self.task} for {type(part).__name__.lower()}"
                )
        return self

    @property
    def kind(self) -> Task:
        """What its real items ask."""
        return TASKS[self.task]


def read_study(path: Path) -> StudySettings:
    """Read a study's file. Raises DataError where it cannot be read, SettingsError for what it says."""
    return parse(StudySettings, read_yaml_file(path, "study"), str(path))
