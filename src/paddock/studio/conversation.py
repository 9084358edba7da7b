"""Replies of live models, sampled while people wait: both sides of a pair, or the next turn of a conversation.

Whatever waits for a model is in the database, as content that ends with the user. One thread samples, since a local model
serves one caller at a time. Nothing is lost with the process: the next look at a page that waits asks again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any, Literal

import sqlalchemy as sa

from paddock.backends.spec import Spec
from paddock.errors import PaddockError
from paddock.progress import say as tell
from paddock.protocols import ChatModel, Completion, Sampling
from paddock.run_dir import hash_of
from paddock.studio.assignment import Assignment, renew
from paddock.studio.study import LiveModel, StudySettings
from paddock.studio.tables import assignments, items, reading
from paddock.studio.tasks import AnswerError, TaskName, written
from paddock.text.chat_format import tag_in
from paddock.text.dialog import Dialog, Message

Holder = tuple[Literal["item", "assignment"], int]  # whose content it is
ATTEMPTS = 3  # of a pair whose replies are equal, empty, cut short, or hold a tag, before the person is told


def waits(task: TaskName, content: Mapping[str, Any]) -> bool:
    """Whether the content waits for a model."""
    messages = content["messages"]
    ends_with_user = bool(messages) and messages[-1]["role"] == "user"
    return (
        ends_with_user
        and "failed" not in content
        and (task == "red-team" or (task == "preference" and "replies" not in content))
    )


def say(engine: sa.Engine, study: StudySettings, assignment: Assignment, text: str, form_key: str) -> None:
    """Add a person's message to the conversation that they hold, and keep the item for them; a form counts once.

    Raises AnswerError where there is no room for a message.
    """
    content = dict(assignment.content)
    if form_key in content.get("forms", []):
        return
    said = written(text, "message")
    if assignment.state != "open":
        raise AnswerError("This conversation is finished.")
    if "failed" in content:
        raise AnswerError("The model has not replied yet: try again, or leave this one out.")
    if waits(study.task, content):
        raise AnswerError("The model is still replying.")
    turns = sum(message["role"] == "user" for message in content["messages"])
    if turns >= (study.most_turns if study.task == "red-team" else 1):
        raise AnswerError("This conversation has no room for another message.")
    if study.task == "red-team":
        content.setdefault("model", Random(f"model {study.seed} {assignment.id}").choice(study.models).name)
    content["messages"] = [*content["messages"], {"role": "user", "content": said}]
    content["forms"] = [*content.get("forms", []), form_key]
    with engine.begin() as connection:
        _replace(connection, ("assignment", assignment.id), assignment.content if assignment.holds_own else None, content)
        kept = connection.execute(sa.select(assignments.c.draft).where(assignments.c.id == assignment.id)).scalar_one()
        draft = {field: filled for field, filled in (kept or {}).items() if field != "message"}  # which is said now
        renew(connection, study, assignment.id, assignment.person, draft)


def try_again(engine: sa.Engine, assignment: Assignment) -> None:
    """Let the model have another go where it failed."""
    content = {key: value for key, value in assignment.content.items() if key != "failed"}
    with engine.begin() as connection:
        _replace(connection, holder_of(assignment), assignment.content, content)


def holder_of(assignment: Assignment) -> Holder:
    """Where the content of an assignment is kept."""
    return ("assignment", assignment.id) if assignment.holds_own else ("item", assignment.item)


class Replier:
    """Samples what waits, one after another, in a thread of its own."""

    def __init__(self, engine: sa.Engine, study: StudySettings, open_model: Callable[[Spec], ChatModel]) -> None:
        self.engine, self.study, self.open_model = engine, study, open_model
        self.models: dict[str, ChatModel] = {}
        self.wanted: queue.Queue[Holder] = queue.Queue()
        self.asked: set[Holder] = set()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    def open_models(self) -> None:
        """Open every model now, so that one that cannot be opened is found before anybody waits for it."""
        for live in self.study.models:
            self._model(live)

    def want(self, holder: Holder) -> None:
        """See to it that the content of `holder` gets what it waits for; asking again changes nothing."""
        with self.lock:
            if holder in self.asked:
                return
            self.asked.add(holder)
            self.wanted.put(holder)
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name="replier", daemon=True)
                self.thread.start()

    def _work(self) -> None:
        while True:
            holder = self.wanted.get()
            try:
                self.reply(holder)
            except Exception as error:  # a database out of reach: the page that waits asks again
                tell(f"no reply was kept ({type(error).__name__}: {error}); it is tried again")
            finally:
                with self.lock:
                    self.asked.discard(holder)

    def reply(self, holder: Holder) -> None:
        """Sample for one holder, and keep the reply, or in `failed` why there is none."""
        with reading(self.engine) as connection:
            before = connection.execute(_content(holder)).scalar_one_or_none()
        if before is None or not waits(self.study.task, before):
            return
        try:
            after = self._turn(before, holder) if self.study.task == "red-team" else self._pair(before, holder)
        except PaddockError as error:
            after = {**before, "failed": str(error)}
        except Exception as error:  # whatever a back end raises, the person must not wait for ever
            after = {**before, "failed": f"{type(error).__name__}: {error}"}
        with self.engine.begin() as connection:
            _replace(connection, holder, before, after)

    def _turn(self, content: dict[str, Any], holder: Holder) -> dict[str, Any]:
        live = next(live for live in self.study.models if live.name == content["model"])
        completion, temperature = self._sample(live, content, holder, content.get("attempts", 0))
        if problem := _problem(completion):
            return {**content, "failed": problem, "attempts": content.get("attempts", 0) + 1}
        message = {"role": "assistant", "content": completion.text, "temperature": temperature}
        return {**content, "messages": [*content["messages"], message]}

    def _pair(self, content: dict[str, Any], holder: Holder) -> dict[str, Any]:
        attempt = problem = None
        for attempt in range(content.get("attempts", 0), content.get("attempts", 0) + ATTEMPTS):
            found = [self._sample(live, content, holder, 2 * attempt + side) for side, live in enumerate(self.study.models)]
            (first, _), (second, _) = found
            cut_short = "length" in (first.finish_reason, second.finish_reason)
            problem = _problem(first) or _problem(second) or ("a reply was cut short" if cut_short else None)
            problem = problem or ("both replies are the same" if first.text == second.text else None)
            if problem is None:
                replies = [
                    {"text": completion.text, "model": live.name, "temperature": temperature}
                    for live, (completion, temperature) in zip(self.study.models, found, strict=True)
                ]
                return {**content, "replies": replies}
        assert attempt is not None, "there is at least one attempt"
        return {**content, "failed": problem, "attempts": attempt + 1}

    def _sample(self, live: LiveModel, content: Mapping[str, Any], holder: Holder, number: int) -> tuple[Completion, float]:
        """One reply, at a temperature that chance decides."""
        seed = int(hash_of([self.study.seed, *holder, len(content["messages"]), number]), 16)
        temperature = Random(f"temperature {seed}").choice(self.study.temperatures)
        dialog = Dialog(tuple(Message(message["role"], message["content"]) for message in content["messages"]))
        sampling = Sampling(temperature=temperature, max_new_tokens=self.study.max_new_tokens, seed=seed % 2**63)
        ((completion,),) = self._model(live).complete([dialog], sampling)
        text = completion.text.encode(errors="replace").decode()  # half a surrogate pair, which no file can hold
        return replace(completion, text=text), temperature

    def _model(self, live: LiveModel) -> ChatModel:
        if live.name not in self.models:
            self.models[live.name] = self.open_model(live.model)
        return self.models[live.name]


def _problem(completion: Completion) -> str | None:
    if completion.error:
        return completion.error
    if not completion.text.strip():
        return "the model said nothing"
    return "the reply holds a tag of the chat format" if tag_in(completion.text) else None


def _content(holder: Holder) -> sa.Select[Any]:
    table = items if holder[0] == "item" else assignments
    return sa.select(table.c.content).where(table.c.id == holder[1])


def _replace(connection: sa.Connection, holder: Holder, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
    """Write `after`, unless the content is not `before` any more."""
    table = items if holder[0] == "item" else assignments
    if connection.execute(_content(holder).with_for_update()).scalar_one_or_none() == before:
        connection.execute(table.update().where(table.c.id == holder[1]).values(content=dict(after)))
