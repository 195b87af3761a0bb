"""truncated-response: the backend closes in the middle of the body. The status stays 200."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.model.finding import Layer

fault = partial(
    Fault,
    cause="truncated-response",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200}),
    proves=(r"upstream prematurely closed connection while reading upstream",),
)
FAULTS = (
    fault(
        name="truncated-response",
        message="the backend announces 100,000 bytes and closes after 1,000",
        build=partial(one_backend, options=("--does", "truncate")),
    ),
    fault(
        name="truncated-response-chunked",
        message="the backend closes without its last chunk",
        build=partial(one_backend, options=("--does", "truncate-chunked"), location="proxy_http_version 1.1;"),
    ),
    fault(
        name="truncated-response-reset",
        message="the backend resets in the middle of the body",
        build=partial(one_backend, options=("--does", "truncate-reset")),
        proves=(r"readv?\(\) failed \(104: Connection reset by peer\) while reading upstream",),
    ),
)
