"""`explain`, and the reference of causes, codes and statuses."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from starlette.requests import Request

from why502.diagnosis.causes import CAUSES
from why502.explanation import explain
from why502.explanation.search import LONGEST, Entry, search
from why502.gateways.codes import names, products
from why502.model.base import Value
from why502.redaction import redact
from why502.render import contract
from why502.render.explanation import document, reference
from why502.render.reference import cause_object, gateway_object
from why502.serve.operation import Nothing, NotThere, Operation
from why502.serve.security import Refused

MOST_TEXTS = 200
BODY_BYTES = 256 << 10
_Text = Annotated[str, Meta(min_length=1, max_length=65536, description="a log line, a status, a code or a cause")]
_Proxy = Annotated[
    str,
    Meta(description="the product that wrote it; empty: detected", extra_json_schema={"enum": ["", *sorted(names())]}),
]


class Texts(Value, frozen=True, kw_only=True):
    """Texts to explain, one by one."""

    texts: Annotated[tuple[_Text, ...], Meta(min_length=1, max_length=MOST_TEXTS)]
    proxy: _Proxy = ""


class Text(Value, frozen=True, kw_only=True):
    """One text to explain."""

    text: Annotated[str, Meta(min_length=1, max_length=4096, description="as for POST, which accepts longer texts")]
    proxy: _Proxy = ""


class Name(Value, frozen=True, kw_only=True):
    """A cause or a gateway."""

    name: str


class Query(Value, frozen=True, kw_only=True):
    """Words to search for."""

    q: Annotated[str, Meta(max_length=LONGEST, description="words that must all occur")]


def _explained(_: Request, given: Text) -> contract.Explanation:
    return document(explain(redact(given.text), _product(given.proxy)))


def _all_explained(_: Request, __: Nothing, body: Texts) -> list[contract.Explanation]:
    proxy = _product(body.proxy)
    return [document(explain(redact(text), proxy)) for text in body.texts]


def _product(name: str) -> str | None:
    """Return the name of a product that was given. Raises Refused if there is none."""
    if name and name not in names():
        raise Refused(422, f"unknown gateway {name!r}", f"One of: {', '.join(sorted(names()))}.")
    return name or None


def _everything(_: Request, __: Nothing) -> contract.Reference:
    return reference()


def _cause(_: Request, given: Name) -> contract.CausePage:
    if given.name not in CAUSES:
        raise NotThere(f"unknown cause {given.name!r}")
    return cause_object(given.name)


def _gateway(_: Request, given: Name) -> contract.GatewayPage:
    if given.name not in products():
        raise NotThere(f"unknown gateway {given.name!r}")
    return gateway_object(products()[given.name])


def _found(_: Request, given: Query) -> tuple[Entry, ...]:
    return search(given.q)


OPERATIONS = (
    Operation(
        path="/explain",
        name="explain",
        summary="Explain a log line, a status, a gateway's code, or a cause",
        given=Text,
        answer=contract.Explanation,
        work=_explained,
    ),
    Operation(
        path="/explain",
        name="explainAll",
        summary="Explain several texts",
        method="POST",
        body=Texts,
        answer=list[contract.Explanation],
        work=_all_explained,
    ),
    Operation(
        path="/reference",
        name="reference",
        summary="All causes, statuses, and gateways with their codes",
        answer=contract.Reference,
        work=_everything,
    ),
    Operation(
        path="/causes/{name}",
        name="cause",
        summary="Everything known about a cause",
        given=Name,
        answer=contract.CausePage,
        work=_cause,
        statuses=frozenset({404}),
    ),
    Operation(
        path="/gateways/{name}",
        name="gateway",
        summary="Everything known about a gateway's codes",
        given=Name,
        answer=contract.GatewayPage,
        work=_gateway,
        statuses=frozenset({404}),
    ),
    Operation(
        path="/search",
        name="search",
        summary="Search causes, codes and statuses",
        given=Query,
        answer=tuple[Entry, ...],
        work=_found,
    ),
)
ROUTES = [operation.route() for operation in OPERATIONS]
