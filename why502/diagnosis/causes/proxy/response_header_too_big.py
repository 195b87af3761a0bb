"""The response header does not fit proxy_buffer_size (or fastcgi_, uwsgi_, scgi_, grpc_buffer_size).

The whole header must fit into one buffer, 4 KiB by default (one memory page). Large cookies and Content-Security-Policy headers
exceed it, often on login pages only. `proxy_buffers` does not help. HAProxy logs PH above tune.bufsize (16 KiB). ALB returns 502
above 32 KiB.

## Do not confuse with
- `request-too-large`: the client's header exceeds large_client_header_buffers (400, 414).
- `request-header-too-big`: the application rejects the request header.

## Confirm
- `curl -s -D - -o /dev/null -H 'Host: NAME' http://TARGET/PATH | wc -c` shows the header size; compare it with the buffer size.

## Fix
- Raise the buffer size to the measured header plus a reserve. Otherwise send smaller cookies.
- nginx: adjust busy_buffers_size with the buffer size: it may not be smaller, nor larger than all buffers minus one.

## References
- nginx: src/http/ngx_http_upstream.c ("upstream sent too big header"); ngx_http_proxy_module.c, ngx_http_proxy_merge_loc_conf
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config import units
from why502.model.finding import PROOF, STRONG, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom, Tally
from why502.model.remedy import Remedy
from why502.remedies.changes import family, merge_edits, reload, set_in_route, size

CLOCK = timedelta(seconds=1)  # log times are whole seconds


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if (hosted := case.hosted_break) is not None and (lived := _daemons_lived(case, hosted)):
        yield supports(lived, hosted.source, PROOF)
    route = case.route
    for probe in case.probes:
        if route and probe.header_bytes is not None and probe.header_bytes > route.buffer_size_bytes:
            at = route.setting(route.directive.removesuffix("_pass") + "_buffer_size")
            where = str(at.at) if at and at.at else "default"
            yield supports(
                f"its header has {probe.header_bytes} bytes, the buffer has {route.buffer_size_bytes} ({where})", "probe", STRONG
            )
            return


def _daemons_lived(case: Case, hosted: Tally) -> str:
    """Return a message that mod_wsgi's daemons sent incomplete responses although each daemon is older than that;
    "" if one is younger, or unknown.

    The daemons have names of their own if WSGIDaemonProcess has a display-name.
    """
    workers = [worker for proxy in case.proxies for worker in proxy.workers]
    daemons = [worker for worker in workers if worker.argv and worker.argv[0].startswith("(wsgi:")]
    first = hosted.first
    if first is None or not daemons or case.tally(Symptom.PROXY_WORKER_DIED):
        return ""
    if not all(daemon.started_at and daemon.started_at < first - CLOCK for daemon in daemons):
        return ""
    return (
        f"{hosted.count} response headers of mod_wsgi's daemons were cut off, and no daemon died: they are larger than "
        "header-buffer-size (32 KiB by default)"
    )


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if (hosted := case.hosted_break) is not None:
        return _daemons_lived(case, hosted)
    sizes = [probe.header_bytes for probe in case.probes if probe.header_bytes]
    if not sizes or case.route is None or max(sizes) <= case.route.buffer_size_bytes:
        return ""
    if not behaviour(case.route.proxy).takes_directives:
        takes = f"{case.route.proxy} takes {case.route.buffer_size_bytes}"
        return f"{case.target} sends a response header of {max(sizes)} bytes, and {takes}"
    return (
        f"{case.target} sends a response header of {max(sizes)} bytes, and {family(case.route)}_buffer_size holds "
        f"{case.route.buffer_size_bytes}"
    )


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: raise the buffer to 1.25 times the measured header, or four times if it was not measured, and the
    settings that depend on it.
    """
    route = case.route
    if route is None or not behaviour(route.proxy).takes_directives:
        return
    sizes = (p.header_bytes or 0 for p in case.probes)
    measured = max((bytes_ for bytes_ in sizes if bytes_ > route.buffer_size_bytes), default=0)  # a header that fits is another
    times = 2 if measured else 4
    buffer = max(8192, route.buffer_size_bytes * times, -(-measured * 5 // 4 // 4096) * 4096)
    prefix = family(route)
    names = {f"{prefix}_buffer_size": size(buffer)}
    if prefix != "grpc":
        # The busy buffers may not be smaller than it, nor larger than all buffers but one (ngx_http_proxy_merge_loc_conf).
        names |= {f"{prefix}_buffers": f"{max(4, route.buffers_count)} {size(max(buffer, route.buffer_bytes))}"}
        names |= {f"{prefix}_busy_buffers_size": size(2 * max(buffer, route.buffer_bytes))}
    changes = [set_in_route(case, name, value) for name, value in names.items()]
    found = tuple(change for change in changes if change is not None)
    what = f"the header has {measured} bytes" if measured else "the header size was not measured"
    yield Remedy(
        message=f"{', '.join(f'{name} {value}' for name, value in names.items())}: {what}",
        steps=(*merge_edits(case, found), *reload(case.proxy)) if len(found) == len(names) else (),
    )


_MODULES = ("proxy", "fastcgi", "uwsgi", "scgi", "grpc")


@rule(90, "header-buffer-too-small", Severity.WARNING)
def buffer_small(deployment: Deployment) -> Iterator[Risk]:
    """The buffer for the response header is smaller than the default.

    The whole header must fit into it. A session cookie and a few more cookies, or a Content-Security-Policy, fill 4k. Then nginx
    logs `upstream sent too big header`, and logged-in users get 502.
    """
    seen = set()
    for level, directive in deployment.uses(*(f"{module}_buffer_size" for module in _MODULES)):
        size = units.size(directive.args[0]) if directive.args else None
        if size is not None and size < 4096 and directive.at not in seen and level.path[:1] != ("stream",):
            seen.add(directive.at)
            yield risk(
                f"{directive.name} {directive.args[0]} is too small for common headers",
                directive.at,
                "use 4k or more; 8k to 16k with many cookies",
            )


@rule(91, "header-buffer-not-raised", Severity.NOTE)
def only_buffers_raised(deployment: Deployment) -> Iterator[Risk]:
    """The buffers for the body were raised, but the buffer for the header was not.

    Only the buffer size helps against `upstream sent too big header`: the whole header must fit into that one buffer.
    """
    seen = set()
    for module in ("proxy", "fastcgi", "uwsgi", "scgi"):
        for level, buffers in deployment.uses(f"{module}_buffers"):
            each = units.size(buffers.args[1]) if len(buffers.args) == 2 else None
            is_buffered = level.first(f"{module}_buffering") != "off"
            if each and each > 8192 and f"{module}_buffer_size" not in level.settings and is_buffered and buffers.at not in seen:
                if level.is_known:
                    seen.add(buffers.at)
                    yield risk(
                        f"{module}_buffers are {buffers.args[1]}, but {module}_buffer_size, for the header, is 4k",
                        buffers.at,
                        f"set {module}_buffer_size too",
                    )


@rule(92, "auth-cookies-in-default-buffer", Severity.NOTE)
def auth_cookies(deployment: Deployment) -> Iterator[Risk]:
    """An authentication service returns cookies or tokens, but the buffer has its default size.

    OpenID Connect sessions are split into several cookies of 4k. The response header does not fit, and every login fails.
    """
    seen = set()
    for route in deployment.routes_with("auth_request_set"):
        sets = [x for x in route.settings.get("auth_request_set", ()) if any("set_cookie" in word for word in x.args)]
        if sets and "proxy_buffer_size" not in route.settings and sets[0].at not in seen and route.protocol in ("http", "https"):
            level = deployment.level(route)
            if level and level.is_known:
                seen.add(sets[0].at)
                yield risk(
                    "session cookies of the authentication service must fit into 4k",
                    sets[0].at,
                    "`proxy_buffer_size 16k; proxy_buffers 4 16k;` there",
                )


CAUSE = Cause(
    id="response-header-too-big",
    layer=Layer.PROXY,
    message="the response header does not fit the proxy's buffer for it",
    symptoms={Symptom.HEADER_TOO_BIG: PROOF},
    explains=frozenset({"invalid-response"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        buffer_small,
        only_buffers_raised,
        auth_cookies,
    ),
)
