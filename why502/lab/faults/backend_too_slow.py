"""backend-too-slow: the backend answers everything, but only after the proxy's read timeout."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, delay_s: str = "1.8") -> str:
    """Break it: every answer takes longer than the timeout of the whole server."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--delay", delay_s)
    stage.nginx.start(f"proxy_pass http://{target};", http="proxy_read_timeout 1s;")
    stage.send_many(8, "/", at_once=8)
    return target


def since_then(stage: Stage) -> str:
    """Break an application that was fast: after a restart every answer is late."""
    target = f"127.0.0.1:{stage.port(3000)}"
    fast = stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{target};", http="proxy_read_timeout 1s;")
    stage.send_many(12)
    stage.stop(fast)
    stage.backend(3000, "--delay", "1.8")
    stage.send_many(8, at_once=8)
    return target


def in_a_location(stage: Stage) -> str:
    """Break it: every answer takes twice the time that the one location of the site waits; the access log names no backend."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--delay", "2")
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_read_timeout 1s;", log="combined")
    stage.send_many(6, "/", at_once=6)
    return target


def body(stage: Stage) -> str:
    """Break it: the header comes at once, and the body stalls."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--does", "stall")
    stage.nginx.start(f"proxy_pass http://{target};", http="proxy_read_timeout 1s;")
    stage.send_many(4, at_once=4)
    return target


fault = partial(Fault, cause="backend-too-slow", layer=Layer.UPSTREAM, statuses=frozenset({504}))
HEADER = (r"upstream timed out \(110: Connection timed out\) while reading response header from upstream",)
FAULTS = (
    fault(name="backend-too-slow", message="every answer takes 1.8 s; the timeout is 1 s", build=build, proves=HEADER),
    fault(
        name="backend-too-slow-since",
        message="an application that was fast takes 1.8 s for every request since its restart",
        build=since_then,
        statuses=frozenset({200, 504}),
        proves=HEADER,
    ),
    fault(
        name="backend-too-slow-in-a-location",
        message="every answer takes 2 s; the only location waits 1 s, and the access log has the default format",
        build=in_a_location,
        proves=HEADER,
    ),
    fault(
        name="backend-too-slow-body",
        message="the body stalls after its first part for longer than the timeout",
        build=body,
        statuses=frozenset({200}),
        proves=(r"upstream timed out \(110: Connection timed out\) while reading upstream",),
    ),
)
