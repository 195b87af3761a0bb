"""client-closed-request: the client disconnected first (499), although the application answers in time."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, log: str = "upstream") -> str:
    """Break it: impatient clients of a page that others wait for."""
    target = one_backend(stage, times=8, log=log)
    stage.send_many(4, "/sleep/0.5", at_once=4)
    stage.send_many(6, "/sleep/0.5", at_once=6, patience_s=0.1)
    return target


fault = partial(
    Fault,
    cause="client-closed-request",
    layer=Layer.CLIENT,
    ongoing=None,
    statuses=frozenset({200, 499}),
    proves=(r'" 499 |"status":499',),
)
FAULTS = (
    fault(name="client-closed-request", message="clients disconnect after 0.1 s from a page that takes 0.5 s", build=build),
    fault(
        name="client-closed-request-json-log",
        message="clients disconnect after 0.1 s from a page that takes 0.5 s; access log in JSON",
        build=partial(build, log="json"),
    ),
)
