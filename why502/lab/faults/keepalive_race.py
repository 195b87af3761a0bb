"""keepalive-race: the backend closes idle connections sooner than nginx stops reusing them."""

from __future__ import annotations

import time
from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import group_of
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, log: str = "upstream") -> str:
    """Break it: POSTs over kept connections, which the backend closes after 2 s, or when its timer fires at 0.2 s.

    A GET would be tried again by nginx, and the client would not see it. The pause is the fault itself: an idle connection.
    """
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--idle", "2", "--race", "0.2")
    stage.nginx.start(
        'proxy_pass http://app;\nproxy_http_version 1.1;\nproxy_set_header Connection "";',
        http=group_of(target, more="keepalive 8;"),
        log=log,
    )
    for _ in range(4):
        stage.send_many(3, "/orders", method="POST", body=b"a=1")
        time.sleep(0.25)
        stage.send("/orders", method="POST", body=b"a=1")
    return target


fault = partial(
    Fault,
    cause="keepalive-race",
    layer=Layer.UPSTREAM,
    ongoing=None,
    statuses=frozenset({200, 502}),
    proves=(r"upstream prematurely closed connection while reading response header from upstream",),
)
FAULTS = (
    fault(name="keepalive-race", message="POST requests collide with the backend's idle timeout", build=build),
    fault(
        name="keepalive-race-json-log",
        message="POST requests collide with the backend's idle timeout; access log in JSON",
        build=partial(build, log="json"),
    ),
)
