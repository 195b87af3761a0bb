"""The application: pages and API, found by their directories, behind the guard."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from why502.model.errors import Why502Error
from why502.render import plots
from why502.render.words import safe
from why502.serve import api, entrance, pages
from why502.serve.live import Live
from why502.serve.machine import Machine
from why502.serve.rendering import Serving, environment, page
from why502.serve.replay import Replays
from why502.serve.security import BODY_BYTES, Guard, Refused
from why502.serve.settings import Settings
from why502.serve.stock import NoStore, Stock

API = "/api/1"
THREADS = 8  # pages that are made at once; they wait for the processor more than for anything else
_LOG = logging.getLogger("why502.serve")
_STATUSES = {404: ("there is no such page", "The menu lists all pages."), 405: ("this page does not support that method", "")}


def application(settings: Settings, now: Callable[[], datetime] | None = None) -> Starlette:
    """Return the application. `now` replaces the clock."""
    found = tuple(_modules(pages))
    navigation = tuple(
        sorted((one.NAVIGATION for one in found if hasattr(one, "NAVIGATION")), key=lambda one: (one.order, one.path))
    )
    apis = tuple(_modules(api))
    stock, clock = Stock(settings.store), now or (lambda: datetime.now(UTC))
    machine = Machine(settings, clock)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        try:
            yield
        finally:
            machine.close()
            stock.close()

    routes: list[BaseRoute] = [
        Route("/static/plots.css", lambda _: FileResponse(plots.STYLESHEET)),
        Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
        *entrance.ROUTES,
        *(route for one in found for route in one.ROUTES),
        Mount(API, routes=[route for one in apis for route in one.ROUTES]),
    ]
    made = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, settings=settings, bodies=_bodies(found, apis), refuse=_refuse, fail=_fail, entrance=entrance.ask)
        ],
        exception_handlers={
            HTTPException: _http_error,
            NoStore: _no_store,
            Refused: _refused,
            Why502Error: _bad_input,
        },
    )
    made.state.serving = Serving(
        settings=settings,
        stock=stock,
        environment=environment(navigation, settings.base),
        navigation=navigation,
        live=Live(),
        replays=Replays(),
        machine=machine,
        now=clock,
    )
    return made


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in iter_modules(package.__path__):
        yield import_module(f"{package.__name__}.{found.name}")


def _bodies(found: tuple[ModuleType, ...], apis: tuple[ModuleType, ...]) -> dict[str, int]:
    """Return the largest body by path."""
    return {
        prefix + route.path: getattr(one, "BODY_BYTES", BODY_BYTES)
        for prefix, modules in (("", found), (API, apis))
        for one in modules
        for route in one.ROUTES
        if isinstance(route, Route)
    }


def problem(request: Request, status: int, message: str, hint: str = "", title: str = "") -> Response:
    """Return a page that explains what went wrong; for the API, JSON."""
    if request.url.path.startswith(f"{API}/"):
        return JSONResponse({"error": safe(message), "hint": safe(hint)}, status)
    response: Response = page(request, "problem.html", status=status, title=title or "Not possible", message=message, hint=hint)
    if status == 503:
        response.headers["retry-after"] = "5"
    return response


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    is_plain = error.detail == HTTPStatus(error.status_code).phrase
    message, hint = _STATUSES.get(error.status_code, (error.detail, "")) if is_plain else (error.detail, "")
    response = problem(request, error.status_code, message, hint)
    response.headers.update(error.headers or {})
    return response


def _no_store(request: Request, error: Exception) -> Response:
    assert isinstance(error, NoStore)
    if request.url.path.startswith(f"{API}/") or not error.is_missing:
        return problem(request, 503, error.message, error.hint, "The store cannot be read")
    return page(request, "no_store.html", message=error.message)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(request, error.status, error.message, error.hint)


def _bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, Why502Error)
    return problem(request, 400, error.message, error.hint)


async def _fail(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that an error of our own ended."""
    request = Request(scope)
    _LOG.error("%s: our own error", safe(request.url.path), exc_info=scope["failed"])
    response = problem(request, 500, "this page failed: this is a bug in why502", "The log of `why502 serve` has the details.")
    await response(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that the guard refused."""
    await _refused(Request(scope), scope["refused"])(scope, receive, send)
