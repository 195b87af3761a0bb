"""listen-backlog-overflow: the accept queue is full, so the kernel drops (TCP) or refuses (unix) new connections."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def tcp(stage: Stage) -> str:
    """Break it: one worker, a queue of two, clients that go on asking. Dropped SYNs end in nginx's connect timeout."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, "--workers", "1", "--delay", "0.5", "--backlog", "1")
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_connect_timeout 800ms;")
    stage.keep_sending("/orders", clients=10)
    stage.until(lambda: {200, 504} <= stage.statuses, "some requests are served, some time out")
    return target


def unix(stage: Stage) -> str:
    """Break it: one worker, a queue of two, clients that go on asking. connect() gives EAGAIN at once."""
    path = stage.path("/run/app.sock")
    stage.backend(f"unix:{path}", "--workers", "1", "--delay", "0.5", "--backlog", "1")
    stage.nginx.start(f"proxy_pass http://unix:{path};")
    stage.keep_sending("/orders", clients=8)
    stage.until(lambda: {200, 502} <= stage.statuses, "some requests are served, some refused")
    return f"unix:{path}"


fault = partial(Fault, cause="listen-backlog-overflow", layer=Layer.UPSTREAM)
FAULTS = (
    fault(
        name="listen-backlog-overflow",
        message="the accept queue of the TCP socket (1) is full",
        build=tcp,
        statuses=frozenset({200, 504}),
        proves=(r"upstream timed out \(110: Connection timed out\) while connecting to upstream",),
    ),
    fault(
        name="listen-backlog-overflow-unix",
        message="the accept queue of the unix socket (1) is full",
        build=unix,
        statuses=frozenset({200, 502}),
        proves=(r"connect\(\) to unix:\S+ failed \(11: Resource temporarily unavailable\) while connecting to upstream",),
    ),
)
