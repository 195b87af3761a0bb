"""Gateways are followed: a real nginx that starts, reloads, gets another configuration, and stops."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from why502.cli.env import Env
from why502.host.local import LocalHost
from why502.lab.stage import Stage
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.session.looking import Scope, find_gateways
from why502.watch.gateways import MOST_APART_S, SOURCES, Gateways, Signs, is_gateway
from why502.watch.topology import configured


@pytest.mark.parametrize(
    ("name", "answer"),
    [("nginx", True), ("openresty", True), ("haproxy", True), ("caddy", True), ("apache2", True), ("bash", False), ("", False)],
)
def test_names_of_gateways(name, answer):
    assert is_gateway(name) is answer


@pytest.mark.real
def test_follows_reloads_and_stops(tmp_path):
    tmp_path.chmod(0o755)
    stage = Stage(tmp_path, is_isolated=False)
    seen = []

    def look():
        now = datetime.now(UTC)
        scope = Scope(now=now, begin=now - timedelta(minutes=1), end=now, configs=(stage.nginx.config,), sources=SOURCES)
        return find_gateways(scope, Env().machine())

    def targets():
        return (
            [str(peer.target) for proxy in seen[-1].proxies for group in proxy.upstreams for peer in group.peers] if seen else []
        )

    following = Gateways(LocalHost(), look, seen.append, time.monotonic, every_s=0.05)
    upstream = "upstream app {{ server 127.0.0.1:{}; }}"
    try:
        stage.nginx.start("proxy_pass http://app;", http=upstream.format(3001))
        following.start(look())
        stage.nginx.rewrite("proxy_pass http://app;", http=upstream.format(3002))
        stage.nginx.reload()
        stage.until(lambda: targets() == ["127.0.0.1:3002"], "the new target is seen", patience_s=20)
        workers = stage.nginx.workers()
        stage.until(
            lambda: [worker.pid for proxy in seen[-1].proxies for worker in proxy.workers] == workers,
            "its workers",
            patience_s=20,
        )
        stage.nginx.stop()
        stage.until(lambda: not any(proxy.pid for proxy in seen[-1].proxies), "it is seen to be gone", patience_s=20)
        stage.nginx.start("proxy_pass http://app;", http=upstream.format(3003))
        stage.until(lambda: targets() == ["127.0.0.1:3003"], "it is seen again", patience_s=20)
    finally:
        following.stop(5)
        stage.close()


@pytest.mark.real
def test_signs_stay_the_same_while_nothing_happens(tmp_path):
    tmp_path.chmod(0o755)
    stage = Stage(tmp_path, is_isolated=False)
    try:
        stage.nginx.start("return 200;")
        now = datetime.now(UTC)
        found = find_gateways(
            Scope(now=now, begin=now, end=now, configs=(stage.nginx.config,), sources=SOURCES), Env().machine()
        ).proxies
        signs = Signs(LocalHost())
        assert signs.of(found) == signs.of(found)
        before = signs.of(found)
        stage.nginx.reload()
        assert signs.of(found) != before
    finally:
        stage.close()


def test_a_slow_look_does_not_put_off_the_next_one():
    """A service manager that does not answer makes a look take ten seconds."""
    now, looks = [0.0], []

    def look():
        now[0] += 10.0
        looks.append(now[0])
        return Snapshot(taken_at=datetime.now(UTC), proxies=())

    following = Gateways(LocalHost(), look, lambda _: None, lambda: now[0], every_s=0.01)
    following.start(Snapshot(taken_at=datetime.now(UTC), proxies=()))
    try:
        for count in (1, 2):
            following.look_again()
            end = time.monotonic() + 20
            while len(looks) < count:
                assert time.monotonic() < end, f"look {count}"
                time.sleep(0.01)
            now[0] += MOST_APART_S
    finally:
        following.stop(5)


def test_what_changes_during_a_look_is_looked_at_again():
    """A reload has old and new workers for a moment; the old ones may end while the gateways are looked at."""
    workers, looks = [b"11 12"], []

    class Machine:
        def list(self, path):
            return []

        def read_all(self, paths, limit_bytes=0):
            return workers[:1] if paths else []

    def look():
        looks.append(workers[0])
        workers[0] = b"12"
        return Snapshot(taken_at=datetime.now(UTC), proxies=(Proxy(pid=10, build=(looks[-1].decode(),)),))

    following = Gateways(Machine(), look, lambda _: None, time.monotonic, every_s=0.01)
    following.start(Snapshot(taken_at=datetime.now(UTC), proxies=(Proxy(pid=10),)))
    following.look_again()
    try:
        end = time.monotonic() + 20
        while len(looks) < 2:
            assert time.monotonic() < end, "it looks once more"
            time.sleep(0.01)
        assert looks == [b"11 12", b"12"]
    finally:
        following.stop(5)


@pytest.mark.real
def test_a_binary_upgrade_is_followed_and_is_no_incident(tmp_path):
    tmp_path.chmod(0o755)
    stage = Stage(tmp_path, is_isolated=False)
    seen = []

    def look():
        now = datetime.now(UTC)
        scope = Scope(now=now, begin=now - timedelta(minutes=1), end=now, configs=(stage.nginx.config,), sources=SOURCES)
        return find_gateways(scope, Env().machine())

    def masters():
        return {proxy.pid for proxy in seen[-1].proxies if proxy.is_running} if seen else set()

    following = Gateways(LocalHost(), look, seen.append, time.monotonic, every_s=0.05)
    try:
        stage.nginx.start("return 200;")
        old = stage.nginx.pid
        following.start(look())
        os.kill(old, signal.SIGUSR2)
        stage.until(lambda: stage.nginx.pid not in (None, old), "the new binary runs")
        new = stage.nginx.pid
        stage.until(lambda: new in masters(), "the new master is seen", patience_s=20)
        os.kill(old, signal.SIGQUIT)
        stage.until(lambda: masters() == {new}, "the old master is seen to be gone", patience_s=20)
        assert all(configured(snapshot).running == {"nginx"} and not configured(snapshot).missed for snapshot in seen)
    finally:
        following.stop(5)
        stage.close()
