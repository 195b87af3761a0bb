"""A finding speaks of the settings of its own gateway, and proposes none of another product."""

from __future__ import annotations

import pytest
from test_verdicts import APP, REPLACE, SOCKET, failing, first, machine, route

from why502.diagnosis.engine import diagnose
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.service import PhpPool
from why502.model.snapshot import Snapshot
from why502.model.target import Target

OTHER = Target(path="/run/php/php8.2-fpm.sock")


def of(kind: str, here: Snapshot) -> Snapshot:
    """Return the same machine with another gateway."""
    routes = tuple(REPLACE(one, proxy=kind) for proxy in here.proxies or () for one in proxy.routes)
    proxies = (Proxy(kind=kind, pid=10, routes=routes, config=f"/etc/{kind}.conf"),)
    assert here.logs is not None
    logs = REPLACE(here.logs, tallies=tuple(REPLACE(tally, proxy=kind) for tally in here.logs.tallies))
    return REPLACE(here, proxies=proxies, logs=logs)


@pytest.mark.parametrize(
    ("kind", "directive"), [("nginx", "fastcgi_pass"), ("apache", "SetHandler"), ("apache", "ProxyPassMatch"), ("caddy", "")]
)
def test_the_socket_of_another_pool(kind: str, directive: str) -> None:
    own = route(SOCKET, 7, protocol="fastcgi", directive=directive, location="~ \\.php$")
    pool = PhpPool(name="www", target=OTHER, master_pid=20, file="/etc/php/8.2/fpm/pool.d/www.conf")
    found = first(of(kind, machine(failing(Symptom.SOCKET_PATH_MISSING, SOCKET), routes=(own,), php_pools=(pool,))))
    words = " ".join((found.message, *(remedy.message for remedy in found.remedies)))
    assert found.cause == "php-fpm-socket-mismatch"
    assert (directive or "the configuration of caddy") in found.message and str(OTHER) in words
    assert ("fastcgi_pass" in words) is (kind == "nginx")


@pytest.mark.parametrize("kind", ["nginx", "apache", "haproxy"])
def test_too_many_open_files(kind: str) -> None:
    here = of(kind, machine(failing(Symptom.FILES_EXHAUSTED, APP), routes=(route(APP, 7),)))
    finding = next(one for one in diagnose(here).findings if one.cause == "too-many-open-files")
    words = " ".join(remedy.message for remedy in finding.remedies)
    assert ("worker_rlimit_nofile" in words) is (kind == "nginx") and words
