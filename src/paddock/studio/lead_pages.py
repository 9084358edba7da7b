"""The lead's pages: how the study stands, items on which raters disagree, people, and exports."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from paddock.studio import people
from paddock.studio.answers import rule
from paddock.studio.export import WRITERS, tables_of
from paddock.studio.guard import Posted, RefusedError, Visitor, lead, posted_by_lead, studio_of
from paddock.studio.rendering import page, turns_of
from paddock.studio.results import answers, last_words
from paddock.studio.tables import items, reading
from paddock.studio.tasks import read_answer

router = APIRouter(prefix="/lead")

MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
SHOWN = 50  # items to adjudicate on one page


@router.get("")
def overview(request: Request, found: Visitor = Depends(lead)) -> Response:
    """How the study stands."""
    studio = studio_of(request)
    figures = request.app.state.figures.get()
    paused = {person.id for person in people.everybody(studio.engine) if person.paused}
    names = EXPORTS[studio.study.task]
    return page(
        "lead.jinja", studio, found, figures=figures, paused=paused, shown=SHOWN, tables=names, task=studio.study.kind
    )


@router.get("/item/{item}")
def show(item: int, request: Request, found: Visitor = Depends(lead)) -> Response:
    """An item with all its answers, and the lead's word on it."""
    studio = studio_of(request)
    with reading(studio.engine) as connection:
        row = connection.execute(sa.select(items.c.name, items.c.content).where(items.c.id == item)).one_or_none()
        rated, ruling = answers(connection, item=item), last_words(connection).get(item)
    if row is None:
        raise RefusedError(404, "Not found", "There is no such item.")
    return page(
        "lead_item.jinja",
        studio,
        found,
        item=item,
        name=row.name,
        task=studio.study.kind,
        turns=turns_of(row.content["messages"]),
        replies=row.content.get("replies", []),
        rated=rated,
        labels={choice.value: choice.label for choice in studio.study.kind.choices},
        ruling=ruling,
        asks_safety=any("safe_a" in one.answer for one in rated),
    )


@router.post("/item/{item}")
def decide(item: int, request: Request, sent: Posted = Depends(posted_by_lead)) -> Response:
    """Take the lead's word on an item."""
    studio = studio_of(request)
    rated = answers(studio.engine, item=item)
    if not rated or rated[0].is_own:
        text = (
            "Nobody has rated this item, or each person held a conversation of their own on it: there is nothing to settle."
        )
        raise RefusedError(404, "Not found", text)
    given = read_answer(studio.study.kind, sent.form, any("safe_a" in one.answer for one in rated))
    rule(studio.engine, item, sent.person.id, sent.form.get("form_key", ""), given)
    return RedirectResponse("/lead#disagreements", 303)


@router.post("/people/{person}/link")
def new_link(
    person: int, request: Request, sent: Posted = Depends(posted_by_lead), found: Visitor = Depends(lead)
) -> Response:
    """A new link for someone to sign in with."""
    studio = studio_of(request)
    name = next((one.name for one in people.everybody(studio.engine) if one.id == person), None)
    if name is None:
        raise RefusedError(404, "Not found", "There is no such person.")
    token = people.make_link(studio.engine, person)
    return page("link.jinja", studio, found, name=name, link=f"{request.base_url}enter/{token}")


@router.post("/people/{person}/pause")
def pause(person: int, request: Request, sent: Posted = Depends(posted_by_lead)) -> Response:
    """Give someone no further items, or items again."""
    people.pause(studio_of(request).engine, person, sent.form.get("paused") == "yes")
    return RedirectResponse("/lead#people", 303)


@router.get("/export/{name}.{ending}")
def export(name: str, ending: str, request: Request, found: Visitor = Depends(lead)) -> Response:
    """A table as a file."""
    tables = tables_of(studio_of(request))
    if name not in tables or ending not in WRITERS:
        raise RefusedError(404, "Not found", "There is no such table.")
    headers = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
    return Response(WRITERS[ending](tables[name]), media_type=MEDIA[ending], headers=headers)


EXPORTS = {
    "side-by-side": ("ratings",),
    "preference": ("preferences", "ratings"),
    "helpfulness": ("ratings",),
    "safety": ("ratings", "red_team"),
    "demonstration": ("demonstrations",),
    "red-team": ("red_team", "ratings"),
}
