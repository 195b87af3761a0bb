"""php-fpm-max-children: all children of the pool are busy, and it cannot start more."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.php import passes, start_php
from why502.lab.stage import Stage
from why502.model.finding import Layer

DYNAMIC = "pm = dynamic\npm.max_children = 2\npm.start_servers = 1\npm.min_spare_servers = 1\npm.max_spare_servers = 2"
ONDEMAND = "pm = ondemand\npm.max_children = 2"


def build(stage: Stage, *, settings: str = "", listen: str | int = "/run/php/php-fpm.sock") -> str:
    """Break it: two children of 0.5 s a page, ten clients that go on asking, and a timeout of 1 s."""
    place = str(stage.path(listen)) if isinstance(listen, str) else f"127.0.0.1:{stage.port(listen)}"
    target = f"unix:{place}" if isinstance(listen, str) else place
    start_php(stage, place, "<?php usleep(500000); echo 'ok';", settings)
    stage.nginx.start(passes(stage, target) + "\nfastcgi_read_timeout 1s;")
    stage.keep_sending("/orders", clients=10)
    stage.until(lambda: {200, 504} <= stage.statuses, "some requests are served, some time out")
    return target


def full_queue(stage: Stage) -> str:
    """Break it: the pool's queue is full, too, so nginx is refused at once (EAGAIN)."""
    place = str(stage.path("/run/php/php-fpm.sock"))
    start_php(stage, place, "<?php usleep(500000); echo 'ok';", "listen.backlog = 2")
    stage.nginx.start(passes(stage, f"unix:{place}") + "\nfastcgi_read_timeout 2s;")
    stage.keep_sending("/orders", clients=12)
    stage.until(lambda: {200, 502} <= stage.statuses, "some requests are served, some are refused")
    return f"unix:{place}"


fault = partial(
    Fault,
    cause="php-fpm-max-children",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 504}),
    needs=frozenset({"isolation", "php-fpm"}),
    proves=(r"upstream timed out \(110: Connection timed out\) while reading response header from upstream",),
)
FAULTS = (
    fault(name="php-fpm-max-children", message="a static pool of two children, ten clients", build=build),
    fault(
        name="php-fpm-max-children-dynamic",
        message="a dynamic pool of at most two children",
        build=partial(build, settings=DYNAMIC),
    ),
    fault(
        name="php-fpm-max-children-ondemand",
        message="an ondemand pool of at most two children",
        build=partial(build, settings=ONDEMAND),
    ),
    fault(name="php-fpm-max-children-tcp", message="a static pool on a TCP port", build=partial(build, listen=9000)),
    fault(
        name="php-fpm-max-children-queue",
        message="a static pool whose queue is full too",
        build=full_queue,
        statuses=frozenset({200, 502}),
        proves=(r"connect\(\) to unix:\S+ failed \(11: Resource temporarily unavailable\) while connecting to upstream",),
    ),
)
