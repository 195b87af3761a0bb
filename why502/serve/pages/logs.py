"""Report failures in logs that are uploaded, or that the server may read, as `why502 logs` does."""

from __future__ import annotations

import os
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.logs.scan.report import Report
from why502.model.errors import Why502Error
from why502.render.logs import tables
from why502.render.logs.charts import by_target, by_time, over_time
from why502.serve import allowed_logs
from why502.serve.navigation import Navigation
from why502.serve.rendering import page, serving
from why502.serve.tools.orders import Content, LogsOrder, Reported
from why502.serve.uploads import FILE_BYTES, MOST_FILES, Form, form
from why502.session.log_options import ONLY
from why502.session.log_reports import Question

NAVIGATION = Navigation(
    title="Logs",
    path="/logs",
    order=80,
    is_tool=True,
    about="Failures in a log of any gateway, by time, cause, target and route.",
)
BODY_BYTES = FILE_BYTES
TOP = 20  # rows of a table
_OPTIONS = ("since", "until", "only", "log_format")


async def logs(request: Request) -> Response:
    """Return the form, with the report if logs were sent or picked."""
    if request.method != "POST":
        return _page(request, {})
    tools = serving(request).tools
    async with tools.place(), form(request) as given:
        asked = {name: given.text(name).strip() for name in _OPTIONS}
        picked = given.texts("log")
        try:
            with ExitStack() as stack:
                order = _order(asked)
                contents = [*given.contents("files", "uploaded.log"), *_picked(request, given, stack)]
                if not contents:
                    raise Why502Error("no log was chosen", "Choose a file, or one of the logs below.")
                answer = await tools.run(order, contents)
        except Why502Error as error:
            return _page(request, asked, picked, error=error)
    assert isinstance(answer, Reported)
    return _page(request, asked, picked, report=answer.report)


def _order(asked: dict[str, str]) -> LogsOrder:
    """Return what the form asks. Raises Why502Error."""
    if asked["only"] not in ("", *ONLY):
        raise Why502Error(f"unknown selection {asked['only']!r}", f"One of: {', '.join(ONLY)}.")
    question = Question(since=asked["since"], until=asked["until"], only=asked["only"] or "all")
    return LogsOrder(question=question, log_format=asked["log_format"])


def _picked(request: Request, given: Form, stack: ExitStack) -> list[Content]:
    """Return the logs of this machine that were picked, opened. Raises Why502Error."""
    wanted = given.texts("log")[:MOST_FILES]
    allowed = {one.id: one.path for one in allowed_logs.find(serving(request).settings.logs)} if wanted else {}
    found = []
    for id_ in wanted:
        if id_ not in allowed:
            raise Why502Error("a selected log no longer exists", "Choose another one.")
        descriptor = allowed_logs.open_log(allowed[id_])
        stack.callback(os.close, descriptor)
        found.append(Content(name=allowed[id_], descriptor=descriptor, path=allowed[id_]))
    return found


def _page(
    request: Request,
    asked: dict[str, str],
    picked: list[str] | None = None,
    *,
    report: Report | None = None,
    error: Why502Error | None = None,
) -> Response:
    return page(
        request,
        "logs.html",
        status=422 if error else 200,
        asked={name: asked.get(name, "") for name in _OPTIONS},
        picked=picked or [],
        allowed=allowed_logs.find(serving(request).settings.logs),
        selections=ONLY,
        error=error,
        report=report,
        plots={draw.__name__: draw(report) for draw in (over_time, by_target, by_time)} if report else {},
        tables=tables,
        top=TOP,
    )


ROUTES = [Route("/logs", logs, methods=["GET", "POST"])]
