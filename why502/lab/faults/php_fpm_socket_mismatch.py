"""php-fpm-socket-mismatch: fastcgi_pass and the pool's listen name different sockets or ports."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.php import passes, start_php
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, listens: str | int, asked: str | int) -> str:
    """Break it: the pool listens on one socket path or port, fastcgi_pass names another."""

    def address(what: str | int) -> str:
        return str(stage.path(what)) if isinstance(what, str) else f"127.0.0.1:{stage.port(what)}"

    target = f"unix:{address(asked)}" if isinstance(asked, str) else address(asked)
    start_php(stage, address(listens))
    stage.nginx.start(passes(stage, target))
    stage.send_many(6)
    return target


def two_versions(stage: Stage) -> str:
    """Break it: pools of two PHP versions run, nginx still asks that of a third, which is no longer installed."""
    for version in ("8.2", "8.3"):
        start_php(stage, str(stage.path(f"/run/php/php{version}-fpm.sock")), version=version)
    target = f"unix:{stage.path('/run/php/php7.4-fpm.sock')}"
    stage.nginx.start(passes(stage, target))
    stage.send_many(6)
    return target


MISSING = (r"connect\(\) to unix:\S+ failed \(2: No such file or directory\) while connecting to upstream",)
REFUSED = (r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",)
fault = partial(Fault, cause="php-fpm-socket-mismatch", layer=Layer.PROXY, needs=frozenset({"php-fpm"}))
FAULTS = (
    fault(
        name="php-fpm-socket-mismatch",
        message="fastcgi_pass names the socket of PHP 8.1, but the pool listens on that of 8.2",
        build=partial(build, listens="/run/php/php8.2-fpm.sock", asked="/run/php/php8.1-fpm.sock"),
        proves=MISSING,
    ),
    fault(
        name="php-fpm-socket-mismatch-tcp",
        message="fastcgi_pass names a port, but the pool listens on a unix socket",
        build=partial(build, listens="/run/php/php8.2-fpm.sock", asked=9000),
        proves=REFUSED,
    ),
    fault(
        name="php-fpm-socket-mismatch-unix",
        message="fastcgi_pass names a unix socket, but the pool listens on a port",
        build=partial(build, listens=9000, asked="/run/php/php8.2-fpm.sock"),
        proves=MISSING,
    ),
    fault(
        name="php-fpm-socket-mismatch-port",
        message="fastcgi_pass names port 9001, but the pool listens on 9000",
        build=partial(build, listens=9000, asked=9001),
        proves=REFUSED,
    ),
    fault(
        name="php-fpm-socket-mismatch-versions",
        message="two PHP versions are running, but fastcgi_pass names the socket of a third",
        build=two_versions,
        proves=MISSING,
    ),
)
