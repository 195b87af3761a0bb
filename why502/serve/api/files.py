"""`lint`, `logs` and `diagnose` of what is sent, and `logs` of the logs that the server may read."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta
from starlette.requests import Request

from why502.model.base import Value
from why502.render import json
from why502.render.contract import Diagnosis
from why502.render.lint.contract import Lint
from why502.render.logs.contract import Logs
from why502.render.logs.json import document
from why502.serve import allowed_logs
from why502.serve.operation import Nothing, NotThere, Operation
from why502.serve.rendering import serving
from why502.serve.tools.orders import BundleOrder, Content, Diagnosed, Linted, LintOrder, LogsOrder, Reported
from why502.serve.uploads import FILE_BYTES, body, text_file
from why502.session.log_reports import Question

BODY_BYTES = FILE_BYTES
MOST_FILES = 100
_BUSY = frozenset({429})
_Moment = Annotated[str, Meta(max_length=60, description="15m, 2h, or an ISO time; empty: everything")]
_Words = Annotated[tuple[Annotated[str, Meta(max_length=60)], ...], Meta(max_length=50)]


class File(Value, frozen=True, kw_only=True):
    """A configuration file. `include` finds the others by name, relative to the same directory."""

    name: Annotated[str, Meta(max_length=200, pattern=r"^(?!.*(^|/)\.\.?(/|$))[A-Za-z0-9_@.+-]+(/[A-Za-z0-9_@.+-]+)*$")]
    text: Annotated[str, Meta(max_length=8 << 20)]


class Configuration(Value, frozen=True, kw_only=True):
    """Configuration to check."""

    files: Annotated[tuple[File, ...], Meta(min_length=1, max_length=MOST_FILES)]
    nginx_version: Annotated[str, Meta(max_length=20, description="1.22.1; empty: the newest")] = ""
    select: _Words = ()
    ignore: _Words = ()


class LogOptions(Value, frozen=True, kw_only=True):
    """Options of a report on a log."""

    since: _Moment = ""
    until: _Moment = ""
    only: Literal["all", "failures", "5xx"] = "all"
    log_format: Annotated[str, Meta(max_length=2048, description="as the option of `why502 logs`; empty: detected")] = ""

    def order(self) -> LogsOrder:
        """Return what the tool is asked."""
        return LogsOrder(question=Question(since=self.since, until=self.until, only=self.only), log_format=self.log_format)


class OneLog(LogOptions, frozen=True, kw_only=True):
    """A log, and the options of its report."""

    id: Annotated[str, Meta(max_length=64)]


class LogEntry(Value, frozen=True, kw_only=True):
    """A log that the server may read."""

    id: str
    path: str
    size_bytes: int
    modified_at: datetime | None


async def _lint(request: Request, _: Nothing, given: Configuration) -> Lint:
    order = LintOrder(nginx_version=given.nginx_version, select=given.select, ignore=given.ignore)
    tools = serving(request).tools
    async with tools.place():
        with ExitStack() as stack:
            files = {file.name: stack.enter_context(text_file(file.text)) for file in given.files}
            contents = [Content(name=name, descriptor=file.fileno()) for name, file in files.items()]
            answer = await tools.run(order, contents)
    assert isinstance(answer, Linted)
    return answer.document


async def _diagnose(request: Request, _: Nothing) -> Diagnosis:
    tools = serving(request).tools
    async with tools.place(), body(request) as file:
        answer = await tools.run(BundleOrder(), [Content(name="the bundle", descriptor=file.fileno())])
    assert isinstance(answer, Diagnosed)
    return json.document(answer.diagnosis)


async def _sent_log(request: Request, given: LogOptions) -> Logs:
    tools = serving(request).tools
    async with tools.place(), body(request) as file:
        answer = await tools.run(given.order(), [Content(name="the log", descriptor=file.fileno())])
    assert isinstance(answer, Reported)
    return document(answer.report)


async def _allowed_log(request: Request, given: OneLog) -> Logs:
    paths = {one.id: one.path for one in allowed_logs.find(serving(request).settings.logs)}
    if given.id not in paths:
        raise NotThere(f"there is no log {given.id!r}")
    tools = serving(request).tools
    async with tools.place():
        path = paths[given.id]
        descriptor = allowed_logs.open_log(path)
        try:
            answer = await tools.run(given.order(), [Content(name=path, descriptor=descriptor, path=path)])
        finally:
            os.close(descriptor)
    assert isinstance(answer, Reported)
    return document(answer.report)


def _logs(request: Request, _: Nothing) -> list[LogEntry]:
    return [
        LogEntry(id=one.id, path=one.path, size_bytes=one.size_bytes, modified_at=one.modified_at)
        for one in allowed_logs.find(serving(request).settings.logs)
    ]


OPERATIONS = (
    Operation(
        path="/lint",
        name="lint",
        summary="Find risks in configuration",
        method="POST",
        body=Configuration,
        answer=Lint,
        work=_lint,
        statuses=_BUSY,
    ),
    Operation(
        path="/diagnose",
        name="diagnoseBundle",
        summary="Diagnose a bundle, a file of `why502 collect`",
        method="POST",
        takes_file=True,
        answer=Diagnosis,
        work=_diagnose,
        statuses=_BUSY,
    ),
    Operation(
        path="/logs",
        name="logs",
        summary="The logs that the server may read",
        answer=list[LogEntry],
        work=_logs,
    ),
    Operation(
        path="/logs",
        name="reportSentLog",
        summary="Report failures in an uploaded log, plain or compressed",
        method="POST",
        given=LogOptions,
        takes_file=True,
        answer=Logs,
        work=_sent_log,
        statuses=_BUSY,
    ),
    Operation(
        path="/logs/{id}",
        name="reportLog",
        summary="Report failures in a log that the server may read",
        given=OneLog,
        answer=Logs,
        work=_allowed_log,
        statuses=_BUSY | {404},
    ),
)
ROUTES = [operation.route() for operation in OPERATIONS]
