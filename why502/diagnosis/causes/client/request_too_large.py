"""The request exceeds a limit of the proxy: body (413), header or URI (400, 414, 431, 494).

nginx logs "client intended to send too large body", "client sent too large header line" or "too long URI".

## Do not confuse with
- `request-header-too-big`: the header of the request exceeds a limit of the backend.
- A limit of the application (`post_max_size` in PHP, `limit` in Express): it also answers 413, and the proxy's error log does
  not mention it.

## Confirm
- Look up the limit in the configuration: client_max_body_size (1 MiB by default), large_client_header_buffers (4 × 8 KiB).

## Fix
- Raise the limit on the route that accepts uploads.

## References
- https://nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.refused_route import Reason, Unserved
from why502.diagnosis.unserved import is_much, unserved
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config import units
from why502.model.finding import LIKELY, PROOF, STRONG, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.remedies.changes import reload, set_in_route

_UPLOAD = lazy(r"(?:^|[/^_-])(?:uploads?|upload[_-]\w{1,64}|file[_-]?uploads?)(?:[/$)?]|$)", re.IGNORECASE)
_BODY = lazy(r"too large body: (\d{1,18}) bytes")
_STATUSES = frozenset({"413", "414", "494"})  # 431 may be the backend's, 408 is a timeout
_MIB = 1 << 20
_MOST = 64 * _MIB  # any client can claim any size: a larger limit is for a person to decide
_PHP_VALUE = lazy(r"(upload_max_filesize|post_max_size)\s{0,64}=\s{0,64}\"?([0-9]{1,18}[kKmMgG]?)")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    one = _refused(case)
    if one is None:
        return
    yield supports(one.message, "access log", LIKELY)
    if logged := case.anywhere(Symptom.REQUEST_TOO_LARGE):
        count = sum(tally.count for tally in logged)
        yield supports(f"the proxy's own log names the limit {count} times", logged[0].source, STRONG)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    one = _refused(case)
    asked = max(_sizes(case), default=0)
    return f"{one.message}{f'; the largest body was {asked} bytes' if asked else ''}" if one else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: a limit above the largest body that was refused."""
    one, asked = _refused(case), max(_sizes(case), default=0)
    route = case.joins.routes_at.get(one.at) if one is not None and one.at is not None else None
    if route is None or not asked or asked > _MOST or not behaviour(route.proxy).takes_directives:
        return
    value = f"{-(-asked * 5 // 4 // _MIB)}m"
    change = set_in_route(case, "client_max_body_size", value, route)
    message = f"client_max_body_size {value}, if clients may send as much"
    yield Remedy(message=message, steps=(change, *reload(case.joins.proxy_of.get(id(route)))) if change else ())


def _refused(case: Case) -> Unserved | None:
    """Return the route of which clients' requests exceed a limit, if those are many; None on a case other than the proxy's."""
    found = (one for one in unserved(case.joins) if one.reason is Reason.LIMIT and not one.is_over and case.target is None)
    return next((one for one in found if one.statuses[0] in _STATUSES and is_much(case.here, one)), None)


def _sizes(case: Case) -> Iterator[int]:
    """Yield the sizes of refused bodies in bytes, as nginx's log has them."""
    for tally in case.anywhere(Symptom.REQUEST_TOO_LARGE):
        yield from (int(found[1]) for sample in tally.samples if (found := _BODY.search(sample.text)))


@rule(93, "request-header-buffers-too-small", Severity.WARNING)
def request_buffers_small(deployment: Deployment) -> Iterator[Risk]:
    """The buffers for the request header are smaller than the default.

    nginx rejects a cookie or a URL longer than one buffer with 400 or 414, before it contacts a backend. Some hardening guides
    recommend such values.
    """
    seen = set()
    for level, directive in deployment.uses("large_client_header_buffers"):
        size = units.size(directive.args[1]) if len(directive.args) == 2 else None
        first = units.size(level.first("client_header_buffer_size")) or 0  # a line in the first buffer needs no other
        if size is not None and max(size, first) < 8192 and directive.at not in seen:
            seen.add(directive.at)
            severity = Severity.NOTE if max(size, first) >= 4096 else None
            message = f"a line of the request header, cookies included, of more than {directive.args[1]} can be refused"
            yield risk(message, directive.at, "use 4 8k, the default", severity=severity)


@rule(95, "upload-limit-default", Severity.NOTE)
def upload_default(deployment: Deployment) -> Iterator[Risk]:
    """A location is named like an upload endpoint, but the body limit is the default of 1m.

    The proxy rejects larger files with 413. The application never sees them.
    """
    for route in deployment.routes:
        if not deployment.is_whole or not _UPLOAD.search(route.location.split(" ")[-1]):
            continue
        level = deployment.level(route)
        if level is None or not level.is_known:
            continue
        if "client_max_body_size" not in route.settings:
            yield risk(
                f"location {route.location} accepts bodies up to 1m, the default", route.at, "set client_max_body_size there"
            )


@rule(96, "body-limit-below-php", Severity.WARNING)
def below_php(deployment: Deployment) -> Iterator[Risk]:
    """PHP accepts larger uploads than the proxy does.

    The proxy rejects files between the two limits with 413.
    """
    for route in deployment.routes_of("fastcgi"):
        level = deployment.level(route)
        if route.protocol != "fastcgi" or level is None or not level.is_known or not deployment.is_whole:
            continue
        limit = units.size(level.first("client_max_body_size") or "1m")
        given = [x for x in route.settings.get("fastcgi_param", ()) if x.args[:1] in (("PHP_VALUE",), ("PHP_ADMIN_VALUE",))]
        values = [(found[1], found[2], x.at) for x in given for found in _PHP_VALUE.finditer(" ".join(x.args[1:]))]
        targets = {peer.target for peer in route.peers}
        names = {pool.name for pool in deployment.pools if pool.target in targets}
        for entry in deployment.pool_entries:
            name = re.fullmatch(r"php_(?:admin_)?value\[(\w+)\]", entry.name)
            if entry.section in names and name and name[1] in ("upload_max_filesize", "post_max_size"):
                values.append((name[1], entry.value, entry.at))
        least = min(((units.size(value) or 0, name, value, at) for name, value, at in values), key=lambda x: x[0], default=None)
        if limit and least and least[0] > limit:
            shown = level.first("client_max_body_size") or "1m, the default"
            yield risk(
                f"PHP's {least[1]} is {least[2]} ({least[3]}), client_max_body_size {shown}",
                route.at,
                f"`client_max_body_size {least[2]};`",
            )


CAUSE = Cause(
    id="request-too-large",
    layer=Layer.CLIENT,
    message="the request exceeds a limit of the proxy: body (413), header or URI (400, 414, 431, 494)",
    symptoms={Symptom.REQUEST_TOO_LARGE: PROOF},
    answers=frozenset({Reason.LIMIT}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        request_buffers_small,
        upload_default,
        below_php,
    ),
)
