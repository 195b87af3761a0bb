"""A socket between the processes of one server is no dependency: mod_wsgi's daemons are children of the httpd that listens.
Nor is the backend of a gateway, which its configuration names.
"""

from __future__ import annotations

from datetime import UTC, datetime

from why502.diagnosis.case import Case
from why502.model.config import Peer, Position, Route
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Dependency, Listener, Snapshot
from why502.model.target import Target

HTTPD = Target(host="127.0.0.1", port=8008)
DAEMONS = Target(path="/var/run/apache2/wsgi.216.0.1.sock")
BASE = Target(path="/run/postgresql/.s.PGSQL.5432")


def test_only_sockets_of_others_are_dependencies() -> None:
    here = Snapshot(
        taken_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        addresses=(),
        listeners=(Listener(target=HTTPD, pids=(216, 217)),),
        processes=(Process(pid=216, ppid=1, name="apache2"), Process(pid=217, ppid=216, name="apache2"), Process(pid=9, ppid=1)),
        dependencies=(
            Dependency(target=HTTPD, peer=DAEMONS, waiting=8, busy=8, pid=216),
            Dependency(target=HTTPD, peer=BASE, waiting=8, busy=8, pid=9),
        ),
    )
    assert [one.peer for one in Case(here=here, target=HTTPD).dependencies] == [BASE]


def test_a_backend_of_an_inner_gateway_is_no_dependency() -> None:
    """What the only application behind it waits for is."""
    pool, feed = Target(path="/run/php/blog.sock"), Target(host="203.0.113.88", port=80)
    inner = Route(
        location="/",
        protocol="fastcgi",
        at=Position(file="/etc/apache2/sites-enabled/blog.conf", line=4),
        peers=(Peer(name=str(pool), target=pool),),
    )
    here = Snapshot(
        taken_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        addresses=(),
        proxies=(Proxy(kind="apache", pid=216, listens=(HTTPD,), routes=(inner,)),),
        listeners=(Listener(target=HTTPD, pids=(216, 217)),),
        processes=(Process(pid=216, ppid=1, name="apache2"), Process(pid=217, ppid=216, name="apache2"), Process(pid=9, ppid=1)),
        dependencies=(
            Dependency(target=HTTPD, peer=pool, waiting=6, busy=7, pid=9, process="php-fpm8.2"),
            Dependency(target=HTTPD, peer=BASE, waiting=1, busy=7),
            Dependency(target=pool, peer=feed, connecting=6, busy=6),
        ),
    )
    assert [one.peer for one in Case(here=here, target=HTTPD).dependencies] == [BASE, feed]
