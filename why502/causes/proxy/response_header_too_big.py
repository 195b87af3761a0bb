"""The response header does not fit proxy_buffer_size (or fastcgi_, uwsgi_, scgi_, grpc_buffer_size).

The whole header must fit into one buffer of 4 KiB by default (a page); large cookies and Content-Security-Policy headers exceed it, often on
login pages only. `proxy_buffers` does not help. HAProxy PH above tune.bufsize (16 KiB), ALB 502 above 32 KiB.

## Confuse not with
- `request-too-large`: the client's header exceeds large_client_header_buffers (400, 414).
- `request-header-too-big`: the application refuses the request's header.

## Confirm
- `curl -s -D - -o /dev/null -H 'Host: NAME' http://TARGET/PATH | wc -c` against the buffer size.

## Fix
- Raise the buffer size to the measured header plus reserve, and what must follow it: busy_buffers_size may not be smaller than it, nor
  larger than all buffers but one. Or send smaller cookies.

## References
- nginx: src/http/ngx_http_upstream.c ("upstream sent too big header"); ngx_http_proxy_module.c, ngx_http_proxy_merge_loc_conf
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.changes import family, reload, set_in_route, size, together
from why502.model.finding import PROOF, STRONG, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    route = case.route
    for probe in case.probes:
        if route and probe.header_bytes is not None and probe.header_bytes > route.buffer_size_bytes:
            at = route.setting(route.directive.removesuffix("_pass") + "_buffer_size")
            where = str(at.at) if at and at.at else "default"
            yield supports(
                f"its header has {probe.header_bytes} bytes, the buffer {route.buffer_size_bytes} ({where})", "probe", STRONG
            )
            return


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    sizes = [probe.header_bytes for probe in case.probes if probe.header_bytes]
    if not sizes or case.route is None or max(sizes) <= case.route.buffer_size_bytes:
        return ""
    return f"{case.target} sends a response header of {max(sizes)} bytes, and {family(case.route)}_buffer_size holds {case.route.buffer_size_bytes}"


def remedies(case: Case) -> Iterator[Remedy]:
    """Raise the buffer to the measured header and a quarter more, and with it what must follow it."""
    route = case.route
    measured = max((p.header_bytes or 0 for p in case.probes), default=0)
    if route is None:
        return
    buffer = max(8192, route.buffer_size_bytes * 2, -(-measured * 5 // 4 // 4096) * 4096)
    prefix = family(route)
    names = {f"{prefix}_buffer_size": size(buffer)}
    if prefix != "grpc":
        # The busy buffers may be no smaller than it, nor larger than all buffers but one (ngx_http_proxy_merge_loc_conf).
        names |= {f"{prefix}_buffers": f"{max(4, route.buffers_count)} {size(max(buffer, route.buffer_bytes))}"}
        names |= {f"{prefix}_busy_buffers_size": size(2 * max(buffer, route.buffer_bytes))}
    changes = [set_in_route(case, name, value) for name, value in names.items()]
    found = tuple(change for change in changes if change is not None)
    what = f"the header has {measured} bytes" if measured else "the header's size was not measured"
    yield Remedy(
        says=f"{', '.join(f'{name} {value}' for name, value in names.items())}: {what}",
        steps=(*together(case, found), *reload(case.proxy)) if len(found) == len(names) else (),
    )


CAUSE = Cause(
    id="response-header-too-big",
    layer=Layer.PROXY,
    says="the response header does not fit proxy_buffer_size (or fastcgi_/uwsgi_/grpc_ likewise)",
    symptoms={Symptom.HEADER_TOO_BIG: PROOF},
    examine=examine,
    tell=tell,
    remedies=remedies,
)
