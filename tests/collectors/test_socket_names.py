"""One identity for a unix socket: links, bind mounts, and nginx's spelling of one that timed out."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from nginx_real import Nginx, needs_nginx, needs_root, until

from why502.collectors import kernel, listeners, logs, owners, socket_names, socket_paths
from why502.collectors.base import CollectOptions
from why502.diagnosis.case import Case
from why502.diagnosis.listening import accepts, takes
from why502.gateways.nginx.logs import error as nginx_error
from why502.host.local import LocalHost
from why502.model.config import LogKind, LogTarget, Peer, Route
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.service import PhpPool
from why502.model.snapshot import Snapshot
from why502.model.target import Target

TIMED_OUT = (
    "2026/11/21 00:29:00 [error] 7#7: *1 upstream timed out (110: Connection timed out) while reading response header "
    "from upstream, "
    'client: 10.0.0.1, server: e, request: "GET {request} HTTP/1.1", upstream: "{upstream}", host: "e"'
)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Yield a socket that listens there, accepts and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o666)
        held: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for one in held:
                one.close()


def look(*paths: str, **more: object) -> Snapshot:
    """Return the snapshot of the machine's listeners with a route to each of these sockets."""
    routes = tuple(Route(peers=(Peer(name=f"unix:{path}", target=Target(path=path)),)) for path in paths)
    known = Snapshot(taken_at=datetime.now(UTC), proxies=(Proxy(pid=os.getpid(), routes=routes),), addresses=())
    known = msgspec.structs.replace(known, listeners=listeners.collect(LocalHost(), known, CollectOptions()).value, **more)
    return msgspec.structs.replace(known, listeners=socket_names.collect(LocalHost(), known, CollectOptions()).value)


def test_a_link_is_the_socket_that_it_leads_to(open_directory: Path) -> None:
    (open_directory / "releases/7").mkdir(parents=True)
    (open_directory / "current").symlink_to("releases/7")
    bound, called = open_directory / "releases/7/app", str(open_directory / "current/app")
    with listening(bound) as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(called)
        known = look(called)
        target = Target(path=called)
        assert owners.owners(known) == {target: (os.getpid(),)}
        case = Case(here=known, target=target)
        (found,) = case.listeners or ()
        assert (found.target.path, found.names) == (str(bound), (called,))
        assert takes(found, target) and not accepts(found.target, target)
        assert case.unclaimed_listeners == ()  # a listener without a route is not an application
        counted = kernel.collect(LocalHost(), known, CollectOptions()).value
        assert counted is not None and counted.accepted[f"unix:{called}"] + counted.unaccepted[f"unix:{called}"] >= 1
        assert server.getsockname() == str(bound)


def test_a_socket_of_another_file_stays_another(open_directory: Path) -> None:
    with listening(open_directory / "one"), listening(open_directory / "two"):
        (open_directory / "link").symlink_to("one")
        known = look(str(open_directory / "link"))
        names = {x.target.path: x.names for x in known.listeners or () if x.target.path.startswith(str(open_directory))}
        assert names == {str(open_directory / "one"): (str(open_directory / "link"),), str(open_directory / "two"): ()}


@needs_root
def test_a_pool_that_does_not_run_is_found_behind_a_link_that_leads_nowhere(open_directory: Path) -> None:
    (open_directory / "fpm.sock").symlink_to("php8.2-fpm.sock")
    pool = PhpPool(name="www", target=Target(path=str(open_directory / "php8.2-fpm.sock")))
    known = look(str(open_directory / "fpm.sock"), php_pools=(pool,))
    known = msgspec.structs.replace(known, socket_paths=socket_paths.collect(LocalHost(), known, CollectOptions()).value)
    assert Case(here=known, target=Target(path=str(open_directory / "fpm.sock"))).pool == pool


@pytest.mark.parametrize(
    "text", ["unix:///run/app.sock", "unix:/run//app.sock", "http://unix:///run/app.sock:/x", "unix:/run/app.sock:"]
)
def test_slashes_that_are_repeated_mean_one(text: str) -> None:
    assert Target.parse(text) == Target(path="/run/app.sock")


@pytest.mark.parametrize(
    ("request_", "upstream", "path"),
    [
        ("/slow?x=1", "http://unix:/run/app.sock/slow?x=1", "/run/app.sock"),
        ("/slow", "http://unix:/run/gunicorn/app/slow", "/run/gunicorn/app"),
        ("/shop/slow", "http://unix:/run/app.sock/slow", "/run/app.sock"),  # proxy_pass with a URI part
        ("/app", "fastcgi://unix:/run/php/app", "/run/php/app"),  # FastCGI has no URI
        ("/x", "http://unix:/run/app.sock:/x", "/run/app.sock"),
    ],
)
def test_a_socket_that_timed_out_is_written_without_its_colon(request_: str, upstream: str, path: str) -> None:
    record = nginx_error.parse(TIMED_OUT.format(request=request_, upstream=upstream))
    assert record is not None and record.target == Target(path=path)


@pytest.mark.real
@needs_nginx
@needs_root
def test_every_timeout_of_a_real_nginx_is_attributed_to_its_socket(open_directory: Path) -> None:
    bound = open_directory / "backend"
    nginx = Nginx(open_directory / "nginx", passes=f"http://unix:{bound}:/api/; proxy_read_timeout 100ms")
    with listening(bound):
        nginx.start()
        try:
            port = int(nginx.listen.rpartition(":")[2])
            for path in ("/a", "/b/c?x=1", "/backend"):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", path)
                assert connection.getresponse().status == 504
                connection.close()
            error = nginx.directory / "error.log"
            until(lambda: error.read_text().count("upstream timed out") == 3, error.read_text())
            assert f"unix:{bound}/api/" in error.read_text()  # no colon: the reason for all this
            now = datetime.now(UTC)
            known = msgspec.structs.replace(look(str(bound)), since=now - timedelta(minutes=5), until=now)
            proxy = msgspec.structs.replace(
                (known.proxies or ())[0],
                logs=(LogTarget(kind=LogKind.ERROR, path=str(error)),),
            )
            found = logs.collect(LocalHost(), msgspec.structs.replace(known, proxies=(proxy,)), CollectOptions()).value
        finally:
            nginx.stop()
    assert found is not None
    assert [(x.symptom, x.target, x.count) for x in found.tallies] == [(Symptom.READ_TIMED_OUT, Target(path=str(bound)), 3)]
