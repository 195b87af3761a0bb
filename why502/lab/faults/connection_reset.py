"""connection-reset: the backend resets the connection in the middle of a request."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.model.finding import Layer

fault = partial(
    Fault,
    cause="connection-reset",
    layer=Layer.UPSTREAM,
    proves=(r"recv\(\) failed \(104: Connection reset by peer\) while reading response header from upstream",),
)
FAULTS = (
    fault(
        name="connection-reset",
        message="the backend reads the request and resets the connection",
        build=partial(one_backend, options=("--does", "reset")),
    ),
    fault(
        name="connection-reset-json-log",
        message="the backend reads the request and resets the connection; access log in JSON",
        build=partial(one_backend, options=("--does", "reset"), log="json"),
    ),
)
