"""The web app: routes, error pages and headers around one study."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from paddock.studio import annotator_pages, lead_pages
from paddock.studio.figures import FiguresCache
from paddock.studio.guard import FALSE_SIGN_INS, Limiter, RefusedError, add_headers
from paddock.studio.opening import Studio
from paddock.studio.rendering import page
from paddock.studio.tasks import AnswerError

STATIC = {name: Path(__file__).parent / "pages" / name for name in ("studio.css", "studio.js")}


def create_app(studio: Studio) -> FastAPI:
    """The app that serves `studio`."""
    app = FastAPI(title=studio.study.name, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.studio = studio
    app.state.posts = Limiter(studio.study.posts_per_minute)
    app.state.false_sign_ins = Limiter(FALSE_SIGN_INS)
    app.state.figures = FiguresCache(studio)
    app.include_router(annotator_pages.router)
    app.include_router(lead_pages.router)

    @app.middleware("http")
    async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        add_headers(response, secret=not request.url.path.startswith("/static/"))
        return response

    @app.get("/static/{name}")
    def _static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404)
        return FileResponse(STATIC[name], headers={"Cache-Control": "no-cache"})

    @app.get("/health")
    def _health() -> Response:
        return PlainTextResponse("ok")

    @app.exception_handler(RefusedError)
    def _refused(request: Request, error: RefusedError) -> Response:
        response = page("notice.jinja", studio, title=error.title, text=error.text, status=error.status)
        if error.retry_after:
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    @app.exception_handler(AnswerError)
    def _not_accepted(request: Request, error: AnswerError) -> Response:
        return page("notice.jinja", studio, title="Not accepted", text=str(error), status=409)

    @app.exception_handler(RequestValidationError)
    def _no_such_address(request: Request, error: RequestValidationError) -> Response:
        return page("notice.jinja", studio, title="Not found", text="There is no such page.", status=404)

    @app.exception_handler(HTTPException)
    def _http_error(request: Request, error: HTTPException) -> Response:
        title = {404: "Not found", 405: "Not possible here"}.get(error.status_code, "Something is wrong")
        return page("notice.jinja", studio, title=title, text="There is no such page.", status=error.status_code)

    return app
