"""The pages of those who answer: signing in, the way to the next item, the item itself."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from paddock.studio import answers, conversation, people
from paddock.studio.assignment import Assignment, find, next_assignment, progress_of
from paddock.studio.guard import (
    Posted,
    RefusedError,
    Visitor,
    address_of,
    cookie_name,
    form_of,
    limit,
    posted,
    studio_of,
    visitor,
)
from paddock.studio.opening import Studio
from paddock.studio.rendering import page, turns_of
from paddock.studio.study import StudySettings
from paddock.studio.tables import reading
from paddock.studio.tasks import TASKS, AnswerError, Task, read_answer

router = APIRouter()

DOOR_SECONDS = 3600  # for which a browser is known again that has opened a link
LONGEST_VIEW = 86_400.0  # seconds that a browser may claim for one item
OWN_FIELDS = ("csrf", "form_key", "active_seconds")  # of every form, and no part of an answer


@router.get("/enter/{token}")
def enter(token: str, request: Request) -> Response:
    """Ask whether to sign in: programs that look at links before people do must not use them up."""
    studio = studio_of(request)
    name = people.link_owner(studio.engine, token)
    if name is None:
        limit(request.app.state.false_sign_ins, address_of(request))
        raise RefusedError(
            404, "This link does not work", "It was used already, or is too old. Ask the lead of the study for a new one."
        )
    response = page("enter.jinja", studio, token=token, name=name)
    _set_cookie(response, request, f"{cookie_name(studio)}_door", secrets.token_urlsafe(32), DOOR_SECONDS, "/enter")
    return response


@router.post("/enter")
def use_link(request: Request, form: dict[str, str] = Depends(form_of)) -> Response:
    """Sign in: the link is used up, and no later address holds a secret."""
    studio = studio_of(request)
    door = request.cookies.get(f"{cookie_name(studio)}_door")
    session = people.sign_in(studio.engine, form.get("token", ""), door)
    if session is None:
        limit(request.app.state.false_sign_ins, address_of(request))
        raise RefusedError(
            404, "This link does not work", "It was used already, or is too old. Ask the lead of the study for a new one."
        )
    response = RedirectResponse("/", 303)
    _set_cookie(response, request, cookie_name(studio), session, int(people.SESSION_DAYS * people.DAY), "/")
    return response


def _set_cookie(response: Response, request: Request, name: str, value: str, seconds: int, path: str) -> None:
    """A cookie that no script reads and no other site sends."""
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=seconds, path=path, httponly=True, samesite="lax", secure=secure)


@router.post("/leave")
def leave(request: Request, found: Visitor = Depends(visitor), _: Posted = Depends(posted)) -> Response:
    """Sign out."""
    studio = studio_of(request)
    people.sign_out(studio.engine, found.session)
    response = page("notice.jinja", studio, title="Signed out", text="To go on, ask the lead of the study for a new link.")
    response.delete_cookie(cookie_name(studio))
    return response


@router.post("/another-machine")
def another_machine(request: Request, found: Visitor = Depends(visitor), _: Posted = Depends(posted)) -> Response:
    """A link to go on elsewhere."""
    studio = studio_of(request)
    token = people.make_link(studio.engine, found.person.id)
    return page("link.jinja", studio, found, name=found.person.name, link=f"{request.base_url}enter/{token}")


@router.get("/")
def home(request: Request, found: Visitor = Depends(visitor)) -> Response:
    """What the study is about, and how far one is; a lead goes to their own page."""
    studio = studio_of(request)
    if found.person.role == "lead":
        return RedirectResponse("/lead", 303)
    with reading(studio.engine) as connection:
        progress = progress_of(connection, found.person.id)
    return page(
        "home.jinja", studio, found, progress=progress, standing=progress.standing(studio.study), task=studio.study.kind
    )


@router.get("/rate")
def work(request: Request, found: Visitor = Depends(visitor)) -> Response:
    """Go to the next item, or say why there is none."""
    studio = studio_of(request)
    if found.person.role == "lead":
        return RedirectResponse("/lead", 303)
    if found.person.paused:
        return page(
            "notice.jinja",
            studio,
            found,
            title="Paused",
            text="The lead of the study has paused your work. Please talk to them.",
        )
    assignment = next_assignment(studio.engine, studio.study, found.person.id)
    if assignment is not None:
        return RedirectResponse(f"/rate/{assignment}", 303)
    with reading(studio.engine) as connection:
        progress = progress_of(connection, found.person.id)
    return page("done.jinja", studio, found, progress=progress, standing=progress.standing(studio.study))


@router.get("/rate/{assignment}")
def show(assignment: int, request: Request, found: Visitor = Depends(visitor)) -> Response:
    """The item; while a model replies, a page that looks again."""
    studio = studio_of(request)
    one = _own(studio, assignment, found)
    if one.state in ("done", "left out"):
        return RedirectResponse("/rate", 303)
    return _item_page(studio, found, one)


@router.post("/rate/{assignment}/answer")
def answer(assignment: int, request: Request, sent: Posted = Depends(posted), found: Visitor = Depends(visitor)) -> Response:
    """Accept an answer, and go on. What is not complete comes back with everything that was filled in."""
    studio = studio_of(request)
    one = _own(studio, assignment, found)
    task = TASKS[one.task]
    filled = {key: value for key, value in sent.form.items() if key not in OWN_FIELDS}
    try:
        if task.replies and not one.content.get("replies") and not _rates_conversation(task, one):
            raise AnswerError("There is no reply to rate yet.")
        given = read_answer(task, sent.form, asks_safety(studio.study, task, one), not one.content["messages"])
    except AnswerError as error:
        return _item_page(studio, found, one, draft=filled, problem=str(error))
    answers.submit(
        studio.engine,
        assignment,
        found.person.id,
        sent.form.get("form_key", ""),
        given,
        _seconds(sent.form.get("active_seconds")),
    )
    return RedirectResponse("/rate", 303)


@router.post("/rate/{assignment}/draft")
def draft(assignment: int, request: Request, sent: Posted = Depends(posted)) -> Response:
    """Keep a form half-way."""
    studio = studio_of(request)
    filled = {key: value for key, value in sent.form.items() if key not in OWN_FIELDS}
    saved = answers.save_draft(studio.engine, studio.study, assignment, sent.person.id, filled)
    return JSONResponse({"saved": saved})


@router.post("/rate/{assignment}/say")
def say(assignment: int, request: Request, sent: Posted = Depends(posted), found: Visitor = Depends(visitor)) -> Response:
    """Say something to the model."""
    studio = studio_of(request)
    one = _own(studio, assignment, found)
    begins_here = studio.study.task == "red-team" or one.holds_own or not one.content["messages"]
    if studio.replier is None or one.kind != "item" or not begins_here:
        raise AnswerError("Nobody replies here.")
    try:
        conversation.say(
            studio.engine,
            studio.study,
            one,
            sent.form.get("message", ""),
            answers.checked_key(sent.form.get("form_key", "")),
        )
    except AnswerError as error:
        return _item_page(studio, found, one, draft={"message": sent.form.get("message", "")}, problem=str(error))
    return RedirectResponse(f"/rate/{assignment}", 303)


@router.post("/rate/{assignment}/again")
def again(assignment: int, request: Request, _: Posted = Depends(posted), found: Visitor = Depends(visitor)) -> Response:
    """Ask a model once more that failed."""
    studio = studio_of(request)
    conversation.try_again(studio.engine, _own(studio, assignment, found))
    return RedirectResponse(f"/rate/{assignment}", 303)


@router.post("/rate/{assignment}/leave-out")
def leave_out(assignment: int, request: Request, _: Posted = Depends(posted), found: Visitor = Depends(visitor)) -> Response:
    """Pass over an item to which the models gave nothing to rate."""
    studio = studio_of(request)
    if "failed" not in _own(studio, assignment, found).content:
        raise AnswerError("Items can be left out only where a model failed.")
    answers.leave_out(studio.engine, assignment, found.person.id)
    return RedirectResponse("/rate", 303)


@router.post("/undo")
def undo(request: Request, sent: Posted = Depends(posted)) -> Response:
    """Take the last answer back."""
    studio = studio_of(request)
    reopened = answers.undo(studio.engine, studio.study, sent.person.id, sent.form.get("form_key", ""))
    if reopened is None:
        raise AnswerError("There is no answer of yours to take back.")
    return RedirectResponse(f"/rate/{reopened}", 303)


def asks_safety(study: StudySettings, task: Task, one: Assignment) -> bool:
    """Whether each reply of a pair is called safe or unsafe too."""
    labelled = study.safety_labels if study.safety_labels is not None else one.content.get("domain") == "safety"
    return task.name == "preference" and labelled


def _own(studio: Studio, assignment: int, found: Visitor) -> Assignment:
    one = find(studio.engine, assignment, found.person.id)
    if one is None:
        raise RefusedError(404, "Not found", "There is no such item among yours.")
    return one


def _rates_conversation(task: Task, one: Assignment) -> bool:
    """Whether there is a conversation of one's own to rate."""
    messages = one.content["messages"]
    return task.name == "red-team" and bool(messages) and messages[-1]["role"] == "assistant"


def _item_page(
    studio: Studio, found: Visitor, one: Assignment, draft: dict[str, str] | None = None, problem: str | None = None
) -> Response:
    task = TASKS[one.task]
    live = studio.replier is not None and one.kind == "item"
    waiting = live and conversation.waits(task.name, one.content)
    if waiting and studio.replier:
        studio.replier.want(conversation.holder_of(one))
    replies = [reply["text"] for reply in one.content.get("replies", [])]
    with reading(studio.engine) as connection:
        progress = progress_of(connection, found.person.id)
    messages = one.content["messages"]
    values: dict[str, Any] = {
        "one": one,
        "task": task,
        "turns": turns_of(messages),
        "replies": replies[::-1] if one.swapped else replies,
        "waiting": waiting,
        "failed": one.content.get("failed"),
        "speaks": live and not waiting and "failed" not in one.content and (task.name == "red-team" or not messages),
        "answers_now": not waiting and "failed" not in one.content and _may_answer(task, one),
        "asks_safety": asks_safety(studio.study, task, one),
        "writes_prompt": task.name == "demonstration" and not messages,
        "draft": one.draft if draft is None else draft,
        "problem": problem,
        "progress": progress,
        "testing": one.kind == "qualification",
        "can_undo": progress.answered > 0 or (progress.standing(studio.study) == "testing" and progress.tested > 0),
    }
    return page("work.jinja", studio, found, status=422 if problem else 200, **values)


def _may_answer(task: Task, one: Assignment) -> bool:
    if task.name == "red-team":
        return _rates_conversation(task, one)
    return not task.replies or bool(one.content.get("replies"))


def _seconds(text: str | None) -> float | None:
    """The browser's count of seconds in view, where it is one."""
    try:
        seconds = float(text or "nan")
    except ValueError:
        return None
    return round(seconds, 1) if 0 <= seconds <= LONGEST_VIEW else None
