"""How long models keep an instruction that the first turn alone carries (paper section 3.3, Table 30, Figures 9 and 10).

Each model goes through the same dialogs with its own answers as history, to the end of the script or of its context. Every
reply is checked, by rule or by a judge. As people would, Table 30 asked about the attribute; `probe_every: 2` puts its
questions ("What is your name?") on every second turn, and what the figures of other turns say is then of no use for a figure
or a hobby, which a reply need not mention unasked.

Dialogs without an instruction get one, of three groups in turn: values that training may have shown, values that it never
did, and kinds that it never did (Figure 28). Rows that bring an instruction bring the name of their group too.

    dialogs/NAME.jsonl    every dialog, with a verdict a reply
    attention.npz         Figure 10: a picture a local model, of one dialog, the same for all: as `model` answered it,
                          and as many whole turns as fit every model's context
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice, repeat
from statistics import fmean
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from paddock.backends.open import open_chat_model
from paddock.backends.spec import spec_inputs
from paddock.errors import DataError
from paddock.evaluate.attention import Attention, attention_of, turns_within
from paddock.evaluate.consistency import Course, figures, follow
from paddock.evaluate.obedience import Obedience, read_speaks
from paddock.model.generation import LocalChatModel
from paddock.progress import say
from paddock.protocols import ChatModel, Sampling
from paddock.run_dir import StageDir, atomic_write, read_json_lines, remove_leftovers, write_json_lines
from paddock.stages.instructions import ScriptSettings, instructed, lists_of, read
from paddock.text.constraint_values import UNSEEN, Values, known_and_new
from paddock.text.constraints import PROBES
from paddock.text.scripts import Script

KNOWN, NEW, UNSEEN_KIND = "known values", "new values", "unseen kind"  # groups of drawn instructions
PICTURES = "attention.npz"
SAMPLES = 8  # dialogs a model


class ConsistencySettings(ScriptSettings):
    """Which models, beside each other, and on which dialogs."""

    model: str = Field(description="the model to check: a folder or a spec")
    name: str = Field("model", description="what the report calls it")
    others: dict[str, str] = Field(
        default_factory=dict, description="models to stand beside it, by name: the baseline, a control"
    )
    dialogs: int | None = Field(None, ge=1, description="dialogs to take from the beginning of the data; None: all")
    probe_every: int | None = Field(
        None, ge=1, description="every so many turns the user asks about the attribute (Table 30: 2); None: never"
    )
    attention_dialogs: int = Field(8, ge=0, description="dialogs whose attention is measured (Figure 10)")

    @model_validator(mode="after")
    def _named_apart_and_as_files(self) -> ConsistencySettings:
        names = [*self.others, self.name]
        if bad := [name for name in names if not name or "/" in name or name.startswith(".")]:
            raise ValueError(f"names become files: {', '.join(bad)} cannot")
        if self.name in self.others:
            raise ValueError(f"two models are called {self.name!r}: give name or others another one")
        return self

    @property
    def models(self) -> dict[str, str]:
        """All of them by name, those beside first."""
        return {**self.others, self.name: self.model}

    def inputs(self) -> list[str]:
        """The dialogs, and the models."""
        models = [path for spec in self.models.values() for path in spec_inputs(spec)]
        return list(dict.fromkeys([*super().inputs(), *models]))


def plan(settings: ConsistencySettings) -> dict[str, Any]:
    """How many dialogs would be held, and how many turns they have, at most."""
    scripts = scripts_of(settings)
    turns = sum(len(script.turns) for script in scripts) * len(settings.models)
    return {"models": len(settings.models), "dialogs": len(scripts) * len(settings.models), "replies": turns}


def scripts_of(settings: ConsistencySettings) -> list[Script]:
    """The scripts to go through; where rows are joined, all are of one length."""
    return read(settings, lambda turns, _: repeat(turns))[: settings.dialogs]


def run(settings: ConsistencySettings, stage_dir: StageDir) -> dict[str, Any]:
    """Hold the dialogs and measure. Returns the figures of `results.json`; a model that is done is not asked again."""
    scripts = scripts_of(settings)
    groups = groups_of(lists_of(settings, scripts, lambda: open_chat_model(settings.model)), settings.held_out_values)
    scripts = instructed(scripts, groups, settings.most_constraints, f"consistency {settings.seed}")
    scripts = [probed(script, settings.probe_every) for script in scripts]
    judge = open_chat_model(settings.judge) if settings.judge else None
    obedience = Obedience(read_speaks(settings.vocabularies), judge)
    found = {name: courses_of(settings, name, scripts, obedience, stage_dir) for name in settings.models}
    stage_dir.write_samples(
        {"model": name, "prompt": row["messages"][:-1], "answer": row["messages"][-1]["content"]}
        for name, courses in found.items()
        for row in (course.to_row(settings.slot) for course in courses[:SAMPLES] if course.replies)
    )
    return {
        "dialogs": len(scripts),
        "lists": groups,
        "consistency": {name: figures(courses) for name, courses in found.items()},
        "ended": {name: ends_of(courses) for name, courses in found.items()},
        "attention_to_system_by_turn": attention(settings, found[settings.name], stage_dir),
    }


def groups_of(lists: Values, held_out: float) -> dict[str, Values]:
    """What instructions are drawn from, by the group that their figures are given under; nothing from no lists."""
    known, new = known_and_new(lists, held_out)
    groups = {KNOWN: known, NEW: new, UNSEEN_KIND: UNSEEN if lists else {}}
    return {name: values for name, values in groups.items() if values}


def probed(script: Script, every: int | None) -> Script:
    """The script with a question about its first constraint that has one on every so many turns (Table 30)."""
    question = next((PROBES[constraint.kind] for constraint in script.constraints if constraint.kind in PROBES), None)
    if every is None or question is None:
        return script
    turns = (question if turn % every == 0 else said for turn, said in enumerate(script.turns, start=1))
    return replace(script, turns=tuple(turns))


def courses_of(
    settings: ConsistencySettings, name: str, scripts: Sequence[Script], obedience: Obedience, stage_dir: StageDir
) -> list[Course]:
    """The dialogs of the model called `name`: read, where they lie there whole, else held."""
    file = stage_dir.path / "dialogs" / f"{name}.jsonl"
    if not file.exists():
        remove_leftovers(file.parent)
        model = open_chat_model(settings.models[name])
        sampling = Sampling(temperature=0, max_new_tokens=settings.max_new_tokens)

        def told(turn: int, dialogs: int) -> None:
            if turn % 5 == 1:
                say(f"consistency: {name}, turn {turn}, {dialogs:,} dialogs")

        courses = follow(model, scripts, obedience, sampling, settings.slot, told)
        write_json_lines(file, (course.to_row(settings.slot) for course in courses))
    rows = read_json_lines(file)
    if len(rows) != len(scripts):
        raise DataError(file, f"it holds {len(rows):,} dialogs, and there are {len(scripts):,}", mend="Remove the file")
    return [course_from(script, row) for script, row in zip(scripts, rows, strict=True)]


def course_from(script: Script, row: dict[str, Any]) -> Course:
    """Read what `Course.to_row` wrote of `script`."""
    replies = tuple(message["content"] for message in row["messages"] if message["role"] == "assistant")
    return Course(script, replies, tuple(row["kept"]), row["ended"])


def ends_of(courses: Sequence[Course]) -> dict[str, Any]:
    """Why dialogs ended, and the mean number of their turns."""
    reasons = [course.ended or "script" for course in courses]
    turns = fmean(len(course.replies) for course in courses)
    return {"turns": turns, **{reason: reasons.count(reason) for reason in sorted(set(reasons))}}


def attention(settings: ConsistencySettings, courses: Sequence[Course], stage_dir: StageDir) -> dict[str, Any]:
    """Write a picture a model, of the first dialog; return each one's mean maximum attention to the message by turn.

    All models read the same dialogs, as many whole turns of each as fit all their contexts. A turn's figure is the mean over
    those that got there. A model that runs elsewhere shows no attention and is passed over.
    """
    fit = (course for course in courses if course.script.instruction and course.replies and course.ended != "tag")
    told = list(islice(fit, settings.attention_dialogs))
    if not told:
        return {}
    opened = ((name, local(open_chat_model(folder))) for name, folder in settings.models.items())
    turns = {name: [turns_read(model, course, settings) for course in told] for name, model in opened if model}
    told = [first_turns(course, min(most)) for course, most in zip(told, zip(*turns.values(), strict=True), strict=False)]
    told = [course for course in told if course.replies]
    if not told:
        return {}
    pictures: dict[str, Any] = {"names": np.array(list(turns))}
    by_turn = {}
    for place, name in enumerate(turns):
        model = local(open_chat_model(settings.models[name]))
        assert model is not None, "it was local a moment ago"
        read_by_it = [read_by(model, course, settings) for course in told]
        first = read_by_it[0]
        pictures |= {f"picture{place}": first.picture, f"system{place}": first.system, f"tokens{place}": len(first.turns)}
        by_turn[name] = mean_by_turn([one.by_turn() for one in read_by_it])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **pictures)
    atomic_write(stage_dir.path / PICTURES, buffer.getvalue())
    return by_turn


def local(model: ChatModel) -> LocalChatModel | None:
    """The model, where its attention can be looked at."""
    return model if isinstance(model, LocalChatModel) else None


def turns_read(model: LocalChatModel, course: Course, settings: ConsistencySettings) -> int:
    """How many whole turns of a dialog a model's context holds."""
    return turns_within(model.tokenizer, course.dialog(settings.slot), model.model.config.context_length)


def first_turns(course: Course, turns: int) -> Course:
    """The dialog up to the reply of turn `turns`."""
    return replace(course, replies=course.replies[:turns], kept=course.kept[:turns])


def read_by(model: LocalChatModel, course: Course, settings: ConsistencySettings) -> Attention:
    """The attention of one model within a dialog that may be another's."""
    dialog = course.dialog(settings.slot)
    return attention_of(model.model, model.tokenizer, dialog, course.script.instruction, settings.slot)


def mean_by_turn(measured: Sequence[Mapping[int, float]]) -> dict[str, float]:
    """Each turn's mean over the dialogs that got there."""
    turns = sorted({turn for one in measured for turn in one})
    return {str(turn): fmean(one[turn] for one in measured if turn in one) for turn in turns}
