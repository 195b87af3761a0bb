"""The building blocks of remedies."""

from __future__ import annotations

import msgspec
import pytest

from why502.config.edit import placed
from why502.model.errors import Why502Error
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.remedy import UNPLACED, Edit
from why502.remedies.changes import reload


@pytest.mark.parametrize(("is_apart", "begin"), [(False, ()), (True, ("nsenter", "--target", "7", "--all"))])
def test_a_container_is_reloaded_from_within(is_apart: bool, begin: tuple[str, ...]) -> None:
    proxy = Proxy(pid=7, exe="/usr/sbin/nginx", options=("-c", "/a.conf"), is_apart=is_apart)
    program = (*begin, "/usr/sbin/nginx", "-c", "/a.conf")
    assert [run.argv for run in reload(proxy)] == [(*program, "-t"), (*program, "-s", "reload")]


@pytest.mark.parametrize(
    ("proxy", "load"),
    [
        (Proxy(kind="haproxy", unit="haproxy.service"), ("systemctl", "reload", "haproxy.service")),
        (Proxy(kind="haproxy", workers=(Process(pid=8, name="haproxy"),)), ("kill", "-USR2", "7")),
        (Proxy(kind="haproxy"), None),
        (Proxy(kind="apache"), ("kill", "-USR1", "7")),
    ],
)
def test_a_gateway_without_a_unit_gets_the_signal_that_it_takes(proxy: Proxy, load: tuple[str, ...] | None) -> None:
    runs = reload(msgspec.structs.replace(proxy, pid=7, exe="/usr/sbin/gateway", config="/etc/gateway.cfg"))
    assert (runs[-1].argv if runs else None) == load


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("ProxyPass / http://127.0.0.1:3300/", "ProxyPass / http://127.0.0.1:3300/ upgrade=websocket"),
        ('ProxyPass "/" "http://127.0.0.1:3300/" retry=0', 'ProxyPass "/" "http://127.0.0.1:3300/" upgrade=websocket retry=0'),
        ("ProxyPass '/' 'http://127.0.0.1:3300/'", "ProxyPass '/' 'http://127.0.0.1:3300/' upgrade=websocket"),
        ('ProxyPass "/chat" "http://127.0.0.1:3300/chat"', ""),
    ],
)
def test_words_are_added_behind_the_word_and_its_quotes(line: str, after: str) -> None:
    url = "http://127.0.0.1:3300/"
    change = Edit(file="/a.conf", line=1, start=UNPLACED, end=UNPLACED, before=url, after=f"{url} upgrade=websocket")
    content = line.encode()
    if not after:
        with pytest.raises(Why502Error, match="occurs 0 times"):
            placed(change, content)
        return
    found = placed(change, content)
    assert content[: found.start] + found.after.encode() + content[found.end :] == after.encode()


LIGHTTPD = b'proxy.server = ("" => (("host" => "127.0.0.1", "port" => 3400))) # 127.0.0.1:3400\n'


@pytest.mark.parametrize(
    ("after", "text"),
    [
        ("127.0.0.1:3401", b'"port" => 3401'),
        ("[::1]:3400", b'"host" => "::1"'),
        ("10.0.0.1:3401", b""),  # two places, which one edit cannot change
    ],
)
def test_an_address_whose_parts_stand_apart_is_changed_where_it_differs(after: str, text: bytes) -> None:
    change = Edit(file="/l.conf", line=1, start=UNPLACED, end=UNPLACED, before="127.0.0.1:3400", after=after)
    if not text:
        with pytest.raises(Why502Error, match="occurs 0 times"):
            placed(change, LIGHTTPD)
        return
    found = placed(change, LIGHTTPD)
    assert text in LIGHTTPD[: found.start] + found.after.encode() + LIGHTTPD[found.end :]
