"""One operation of the JSON API: its types, from which the route and its description are made, and what it does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.render.words import printable, safe
from why502.serve.security import Refused
from why502.serve.stock import NoStore

JSON = "application/json"
FILES = ("application/octet-stream", "application/gzip", "application/x-gzip", "text/plain")
_IN_PATH = re.compile(r"\{(\w+)\}")
_LIST = re.compile(r"\[\d+\]")


class Nothing(Value, frozen=True, kw_only=True):
    """No parameters."""


class Problem(Value, frozen=True, kw_only=True):
    """Why there is no answer, and what to do about it."""

    error: str
    hint: str


class NotThere(Exception):
    """What the path names does not exist."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Operation:
    """An operation. `path` begins below /api/1.

    `given`: the type of the parameters in path and query. `body`: the type of the JSON in the request's body; `takes_file`: the
    body is a file instead. `statuses`: what it may answer besides 200, and what every operation may. `work` is called with the
    request, the parameters and the body's JSON; if it is not a coroutine, in a thread.
    """

    path: str
    name: str
    summary: str
    answer: Any
    work: Callable[..., Any]
    method: str = "GET"
    given: type[msgspec.Struct] = Nothing
    body: Any = None
    takes_file: bool = False
    statuses: frozenset[int] = field(default_factory=frozenset)

    @property
    def in_path(self) -> tuple[str, ...]:
        """Return the names of the parameters in the path."""
        return tuple(_IN_PATH.findall(self.path))

    def route(self) -> Route:
        """Return the route that carries it out."""
        return Route(self.path, self._answer, methods=[self.method], name=self.name)

    async def _answer(self, request: Request) -> Response:
        try:
            given = _converted({**_queried(request, self.given), **request.path_params}, self.given)
            arguments = [request, given]
            if self.body is not None:
                arguments.append(await _body(request, self.body))
            elif self.takes_file:
                _check_type(request, FILES)
            work = self.work
            found = (
                await work(*arguments) if inspect.iscoroutinefunction(work) else await anyio.to_thread.run_sync(work, *arguments)
            )
        except Refused as refused:
            return problem(refused.status, refused.message, refused.hint)
        except NotThere as missing:
            return problem(404, str(missing), "The lists of this API show what exists.")
        except Why502Error as error:
            return problem(422, error.message, error.hint)
        except NoStore as missing:
            return problem(404 if missing.is_missing else 503, missing.message, missing.hint)
        return Response(msgspec.json.encode(found), media_type=JSON)


def problem(status: int, message: str, hint: str = "") -> Response:
    """Return an error: the two lines that a command would write."""
    return Response(msgspec.json.encode(Problem(error=safe(message), hint=safe(hint))), status, media_type=JSON)


def _queried(request: Request, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the query. Raises Refused if a parameter is given twice that takes one value."""
    several = {field.name for field in msgspec.structs.fields(kind) if str(field.type).startswith("tuple")}
    found: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name not in several and len(values) > 1:
            raise Refused(422, f"{name} is given {len(values)} times", "Give it once.")
        found[name] = values if name in several else values[0]
    return found


def _converted(given: Mapping[str, Any], kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return the parameters. Raises Refused."""
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


async def _body(request: Request, kind: Any) -> Any:
    """Return the JSON of a body. Raises Refused."""
    _check_type(request, (JSON,))
    data = await request.body()
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {printable(str(error))}", "Send one JSON object in UTF-8.") from error


def _invalid(error: msgspec.ValidationError) -> Refused:
    return Refused(422, printable(str(error)), "See /api/1/openapi.json for what is accepted.")


def _check_type(request: Request, accepted: tuple[str, ...]) -> None:
    """Raise Refused if the body is of another type."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in accepted:
        raise Refused(415, f"a body of type {given or 'unknown'} is not accepted", f"Send {' or '.join(accepted)}.")
