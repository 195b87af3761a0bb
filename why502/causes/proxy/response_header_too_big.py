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
from why502.model.finding import PROOF, STRONG, Evidence, Layer, supports
from why502.model.logs import Symptom


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


CAUSE = Cause(
    id="response-header-too-big",
    layer=Layer.PROXY,
    says="the response header does not fit proxy_buffer_size (or fastcgi_/uwsgi_/grpc_ likewise)",
    symptoms={Symptom.HEADER_TOO_BIG: PROOF},
    examine=examine,
)
