"""php-fpm-crashed: a PHP-FPM child is killed by a signal."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.php import passes, start_php
from why502.lab.stage import Stage
from why502.model.finding import Layer

PAGE = "<?php if (str_starts_with($_SERVER['REQUEST_URI'], '/crash')) %s; echo 'ok';"


def build(stage: Stage, *, how: str, listen: str | int = "/run/php/php-fpm.sock") -> str:
    """Break it: some requests kill the child that serves them; the master starts another."""
    place = str(stage.path(listen)) if isinstance(listen, str) else f"127.0.0.1:{stage.port(listen)}"
    target = f"unix:{place}" if isinstance(listen, str) else place
    start_php(stage, place, PAGE % how)
    stage.nginx.start(passes(stage, target))
    for _ in range(3):
        stage.send()
        stage.send("/crash")
    return target


fault = partial(
    Fault,
    cause="php-fpm-crashed",
    layer=Layer.UPSTREAM,
    statuses=frozenset({200, 502}),
    ongoing=None,
    needs=frozenset({"php-fpm"}),
    proves=(r"recv\(\) failed \(104|prematurely closed",),
)
FAULTS = (
    fault(
        name="php-fpm-crashed",
        message="requests crash PHP-FPM children (SIGSEGV)",
        build=partial(build, how="exec('kill -SEGV ' . getmypid())"),
    ),
    fault(
        name="php-fpm-crashed-tcp",
        message="requests crash PHP-FPM children (SIGBUS), on a TCP port",
        build=partial(build, how="exec('kill -BUS ' . getmypid())", listen=9000),
    ),
)
