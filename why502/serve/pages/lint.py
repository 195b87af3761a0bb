"""Check a configuration that was pasted or uploaded, as `why502 lint` does."""

from __future__ import annotations

from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.model.errors import Why502Error
from why502.model.finding import Severity
from why502.render.lint.contract import Risk
from why502.serve.navigation import Navigation
from why502.serve.rendering import page, serving
from why502.serve.tools.orders import Content, Linted, LintOrder
from why502.serve.uploads import FILE_BYTES, Form, form, text_file

NAVIGATION = Navigation(
    title="Check a configuration",
    path="/lint",
    order=60,
    is_tool=True,
    about="Risks in an nginx configuration, a PHP-FPM pool or a systemd unit, before it is deployed.",
)
BODY_BYTES = FILE_BYTES
_PASTED = "pasted"
_MOST_UNLISTED = 200


async def lint(request: Request) -> Response:
    """Return the form, with the findings if a configuration was sent."""
    if request.method != "POST":
        return _page(request)
    tools = serving(request).tools
    async with tools.place(), form(request) as given:
        text, version = given.text("text"), given.text("nginx_version").strip()
        try:
            with ExitStack() as stack:
                contents = _contents(given, stack)
                answer = await tools.run(LintOrder(nginx_version=version), contents)
        except Why502Error as error:
            return _page(request, text=text, version=version, error=error)
    assert isinstance(answer, Linted)
    return _page(request, text=text, version=version, answer=answer)


def _contents(given: Form, stack: ExitStack) -> list[Content]:
    """Return the pasted text and the uploaded files. Raises Why502Error if there is neither."""
    found = list(given.contents("files", "uploaded"))
    text = given.text("text")
    if text.strip():
        file = stack.enter_context(text_file(text))
        found.append(Content(name=_PASTED, descriptor=file.fileno()))
    if not found:
        raise Why502Error("there is nothing to check", "Paste a configuration, or choose a file.")
    return found


def _page(
    request: Request,
    *,
    text: str = "",
    version: str = "",
    answer: Linted | None = None,
    error: Why502Error | None = None,
) -> Response:
    return page(
        request,
        "lint.html",
        status=422 if error else 200,
        text=text,
        nginx_version=version,
        answer=answer,
        rest=_unlisted(answer)[:_MOST_UNLISTED] if answer else [],
        error=error,
        tones={Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.NOTE: ""},
    )


def _unlisted(answer: Linted) -> list[Risk]:
    """Return the findings that no listing shows."""
    shown = {number for listing in answer.listings for line in listing.lines for number in line.marks}
    return [risk for number, risk in enumerate(answer.document.findings) if number not in shown]


ROUTES = [Route("/lint", lint, methods=["GET", "POST"])]
