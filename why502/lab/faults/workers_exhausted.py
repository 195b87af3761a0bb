"""workers-exhausted: all workers are busy, so new requests queue until the proxy gives up."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.servers import gunicorn
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, workers: int = 2, listen: str = "") -> str:
    """Break it: a few workers, each busy for 0.4 s a request, and ten clients that go on asking."""
    address = f"unix:{stage.path(listen)}" if listen else f"127.0.0.1:{stage.port(3000)}"
    stage.backend(address, "--workers", str(workers), "--delay", "0.4")
    stage.nginx.start(f"proxy_pass http://{address};\nproxy_read_timeout 1s;")
    stage.keep_sending("/orders", clients=5 * workers)
    stage.until(lambda: {200, 504} <= stage.statuses, "some requests are served, some time out")
    return address


def of_gunicorn(stage: Stage, *, options: tuple[str, ...] = ("--workers", "2"), clients: int = 10) -> str:
    """Break it: gunicorn with two sync workers, or threads with a queue of their own, pages of 0.5 s, and many clients."""
    target = f"127.0.0.1:{stage.port(3000)}"
    gunicorn(stage, target, *options)
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_read_timeout 1s;")
    stage.keep_sending("/sleep/0.5", clients=clients)
    stage.until(lambda: {200, 504} <= stage.statuses, "some requests are served, some time out")
    return target


fault = partial(
    Fault,
    cause="workers-exhausted",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 504}),
    proves=(r"upstream timed out \(110: Connection timed out\) while reading response header from upstream",),
)
FAULTS = (
    fault(name="workers-exhausted", message="ten clients, two workers with 0.4 s per request, and a timeout of 1 s", build=build),
    fault(
        name="workers-exhausted-unix",
        message="one worker with 0.4 s per request on a unix socket, and too many clients",
        build=partial(build, workers=1, listen="/run/app.sock"),
    ),
    fault(
        name="workers-exhausted-gunicorn",
        message="gunicorn with two sync workers, pages of 0.5 s, ten clients",
        build=of_gunicorn,
        needs=frozenset({"isolation", "gunicorn"}),
    ),
    fault(
        name="workers-exhausted-threads",
        message="gunicorn with two threads accepts every connection at once and queues it internally; thirty clients",
        build=partial(of_gunicorn, options=("--threads", "2"), clients=30),
        needs=frozenset({"isolation", "gunicorn"}),
    ),
)
