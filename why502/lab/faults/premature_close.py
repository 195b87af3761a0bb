"""premature-close: the backend closes the connection before a complete response header."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.model.finding import Layer

fault = partial(
    Fault,
    cause="premature-close",
    layer=Layer.UPSTREAM,
    proves=(r"upstream prematurely closed connection while reading response header from upstream",),
)
FAULTS = (
    fault(
        name="premature-close",
        message="the backend reads the request and closes the connection",
        build=partial(one_backend, options=("--does", "close")),
    ),
    fault(
        name="premature-close-half",
        message="the backend closes in the middle of its header",
        build=partial(one_backend, options=("--does", "half")),
    ),
    fault(
        name="premature-close-combined-log",
        message="the backend reads the request and closes the connection; access log without upstream fields",
        build=partial(one_backend, options=("--does", "close"), log="combined"),
    ),
)
