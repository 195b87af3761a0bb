"""Explain a log line, a status or a code; and the reference of causes and gateways."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.diagnosis.causes import CAUSES
from why502.explanation import explain as look_up
from why502.explanation.candidates import is_command
from why502.explanation.search import MOST, search
from why502.gateways.codes import names, products
from why502.gateways.statuses import STATUSES
from why502.model.explanation import Explanation, Kind
from why502.redaction import redact
from why502.render.reference import cause_page, gateway_page
from why502.serve.markdown import html
from why502.serve.navigation import Navigation
from why502.serve.rendering import page, serving
from why502.serve.uploads import form

NAVIGATION = Navigation(
    title="Explain", path="/explain", order=50, is_tool=True, about="What a log line, a status or a gateway's code means."
)
BODY_BYTES = 256 << 10
MOST_LINES = 50
LONGEST = 65536  # characters of a line


@dataclass(slots=True)
class Explained:
    """An explanation, and how many of the lines have it."""

    text: str
    explanation: Explanation
    times: int = 1


async def explain(request: Request) -> Response:
    """Return the form, with the answer if something was asked."""
    if request.method == "POST":
        async with form(request) as given:
            return _page(request, given.text("text"), given.text("proxy"))
    return _page(request, request.query_params.get("text", ""), request.query_params.get("proxy", ""))


def _page(request: Request, text: str, proxy: str) -> Response:
    lines = [line[:LONGEST] for line in text.splitlines() if line.strip()]
    is_known = not proxy or proxy in names()
    return page(
        request,
        "explain.html",
        status=200 if is_known else 422,
        text=text,
        proxy=proxy,
        is_known=is_known,
        products=products().values(),
        answers=_answers(lines[:MOST_LINES], proxy or None) if is_known else [],
        skipped=max(len(lines) - MOST_LINES, 0),
        most=MOST_LINES,
        is_command=is_command,
        kinds=Kind,
    )


def _answers(lines: list[str], proxy: str | None) -> list[Explained]:
    """Return the answer to each line; lines that mean the same are counted with the first."""
    found: dict[tuple[object, ...], Explained] = {}
    for line in lines:
        explanation = look_up(redact(line), proxy)
        target = explanation.fields.get("target")
        key = (explanation.message, target) if explanation.kind is Kind.LOG_LINE else (line,)
        if key in found:
            found[key].times += 1
        else:
            found[key] = Explained(line, explanation)
    return list(found.values())


def reference(request: Request) -> Response:
    """Return all causes, gateways and statuses, or those that a search finds."""
    query = request.query_params.get("q", "").strip()
    return page(
        request,
        "reference.html",
        query=query,
        found=search(query),
        most=MOST,
        causes=CAUSES.values(),
        products=products(),
        statuses=STATUSES,
        kinds=Kind,
    )


def cause(request: Request) -> Response:
    """Return the page of a cause."""
    name = request.path_params["name"]
    if name not in CAUSES:
        raise HTTPException(404)
    return page(request, "reference_page.html", title=name, text=html(cause_page(name), "causes", serving(request).settings.base))


def gateway(request: Request) -> Response:
    """Return the page of a gateway."""
    name = request.path_params["name"]
    if name not in products():
        raise HTTPException(404)
    found = products()[name]
    return page(
        request,
        "reference_page.html",
        title=found.title,
        text=html(gateway_page(found), "gateways", serving(request).settings.base),
    )


ROUTES = [
    Route("/explain", explain, methods=["GET", "POST"]),
    Route("/explain/reference", reference),
    Route("/explain/causes", reference),
    Route("/explain/gateways", reference),
    Route("/explain/causes/{name}", cause),
    Route("/explain/gateways/{name}", gateway),
]
