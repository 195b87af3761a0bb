"""invalid-response: the backend's response is not valid HTTP."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.model.finding import Layer

HEADER = (r"upstream sent invalid header",)
fault = partial(Fault, cause="invalid-response", layer=Layer.UPSTREAM)
no_http = partial(fault, statuses=frozenset({9}), proves=(r"upstream sent no valid HTTP/1\.\d header",))
FAULTS = (
    fault(
        name="invalid-response",
        message="a header line without a colon",
        build=partial(one_backend, options=("--does", "bad-header")),
        proves=HEADER,
    ),
    fault(
        name="invalid-response-nul",
        message="a NUL byte in a header value",
        build=partial(one_backend, options=("--does", "nul-header")),
        proves=HEADER,
    ),
    no_http(
        name="invalid-response-status-line",
        message="a status line in the wrong order (logged as 009)",
        build=partial(one_backend, options=("--does", "bad-status-line")),
    ),
    no_http(
        name="invalid-response-no-header",
        message="a body without any header (logged as 009)",
        build=partial(one_backend, options=("--does", "no-status-line")),
    ),
)
