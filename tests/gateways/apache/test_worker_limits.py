"""MaxRequestWorkers of httpd is raised as far as memory allows; a higher ServerLimit needs a restart."""

from __future__ import annotations

import pytest

from why502.gateways.apache import worker_limits
from why502.gateways.apache.config import load
from why502.gateways.apache.config.load import REVERSE, WAIT
from why502.gateways.worker_limits import Raised
from why502.model.process import Process
from why502.model.proxy import Proxy

MIB = 1 << 20


def raised(limits: str, *, module: str = "prefork", free_mib: int = 4000, child_mib: int = 20, waiting: int = 10) -> list[Raised]:
    text = f"LoadModule mpm_{module}_module modules/mod_mpm_{module}.so\n{limits}\nProxyPass / http://127.0.0.1:3000/\n"
    found = load(text, "/etc/apache2/apache2.conf")
    proxy = Proxy(kind="apache", routes=found.routes, workers=tuple(Process(pid=pid) for pid in range(2, 6)))
    return list(worker_limits.raised(proxy, child_mib * MIB, free_mib * MIB, waiting))


def test_below_the_server_limit_a_reload_is_enough() -> None:
    (one,) = raised("ServerLimit 100\nMaxRequestWorkers 10")
    assert [(setting.args, value) for setting, value in one.settings] == [(("10",), "25")]
    assert not one.needs_restart
    assert "a worker takes 20 MiB, 4000 MiB are available of which 20% stay free, so 164 fit" in one.message


def test_above_it_a_restart_is_a_way_of_its_own() -> None:
    first, second = raised("ServerLimit 12\nMaxRequestWorkers 10")
    assert ([value for _, value in first.settings], first.needs_restart) == (["12"], False)
    assert ([value for _, value in second.settings], second.needs_restart) == (["25", "25"], True)


def test_threads_share_a_process() -> None:
    (one,) = raised("ServerLimit 2\nThreadsPerChild 25\nMaxRequestWorkers 50", module="event")
    assert ([value for _, value in one.settings], one.needs_restart) == (["100", "4"], True)
    assert "a process of 25 threads takes 20 MiB" in one.message


def test_a_server_limit_that_is_not_written_is_added() -> None:
    (one,) = raised("MaxRequestWorkers 256")
    assert [value for _, value in one.settings] == ["164"] if one.settings else "all that memory allows" in one.message
    (one,) = raised("MaxRequestWorkers 256", free_mib=400_000)
    assert [value for _, value in one.settings] == ["512\nServerLimit 512"]


def test_memory_that_allows_no_more_is_named() -> None:
    (one,) = raised("MaxRequestWorkers 10", free_mib=100)
    assert one.settings == ()
    assert one.message.startswith("MaxRequestWorkers 10 is all that memory allows: a worker takes 20 MiB, 100 MiB are available")


@pytest.mark.parametrize("limits", ["", "ServerLimit 5"])
def test_a_limit_that_is_not_written_is_left_alone(limits: str) -> None:
    assert raised(limits) == []


@pytest.mark.parametrize(
    ("line", "argument", "at"),
    [
        ("ProxyPass / http://127.0.0.1:3000/ timeout=5", "timeout=5", 3),
        ("ProxyPass / http://127.0.0.1:3000/", "30", 2),
    ],
)
def test_the_timeout_in_force_is_known_with_its_place(line: str, argument: str, at: int) -> None:
    (route,) = load(f"Timeout 300\nProxyTimeout 30\n{line}\n", "a.conf").routes
    (setting,) = route.settings[WAIT]
    assert (setting.args, setting.at.line if setting.at else 0) == ((argument,), at)


def test_the_addresses_in_redirects_are_known() -> None:
    text = "ProxyPass / http://127.0.0.1:3000/\nProxyPassReverse / http://127.0.0.1:3000/\n"
    (route,) = load(text, "a.conf").routes
    assert [(one.args, one.at.line if one.at else 0) for one in route.settings[REVERSE]] == [(("http://127.0.0.1:3000/",), 2)]
