"""upstream-error-status: the application itself returns 5xx, and nginx passes it on."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer


def one_page(stage: Stage) -> str:
    """Break one page only, so that a look at / finds nothing."""
    target = one_backend(stage, times=8)
    stage.send_many(6, "/status/502")
    return target


fault = partial(Fault, cause="upstream-error-status", layer=Layer.UPSTREAM)
FAULTS = (
    fault(
        name="upstream-error-status",
        message="the application answers 503 to everything",
        build=partial(one_backend, options=("--status", "503")),
        statuses=frozenset({503}),
        proves=(r'HTTP/1.1" 503 \d+ .* 503 0\.\d+ 0\.\d+ 0\.\d+',),
    ),
    fault(
        name="upstream-error-status-page",
        message="one page of the application returns a 502 of its own",
        build=one_page,
        statuses=frozenset({200, 502}),
        proves=(r'GET /status/502 HTTP/1.1" 502 ',),
    ),
    fault(
        name="upstream-error-status-504",
        message="the application, a gateway itself, answers 504; access log in JSON",
        build=partial(one_backend, options=("--status", "504"), log="json"),
        statuses=frozenset({504}),
        proves=(r'"upstream_status":"504"',),
    ),
    fault(
        name="upstream-error-status-combined-log",
        message="the application answers 503; no log shows who sent it",
        build=partial(one_backend, options=("--status", "503"), log="combined"),
        statuses=frozenset({503}),
        proves=(r'HTTP/1.1" 503 ',),
    ),
)
