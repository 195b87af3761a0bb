"""The machine's own addresses: recorded text of both ways, and this machine."""

from __future__ import annotations

from datetime import UTC, datetime

from why502.collectors import addresses
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.errors import Missing
from why502.model.snapshot import Snapshot

NOW = Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC))
FIB = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.2
           /32 host LOCAL
"""
IP = (
    '[{},{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8},{"local":"::1"}]},{"addr_info":[{'
    '"local":"10.1.2.3"}]}]'
)


def test_parsers() -> None:
    assert addresses.parse_ip(IP) == ("127.0.0.1", "::1", "10.1.2.3")
    assert addresses.parse_ip("not json") == ()
    assert addresses.parse_fib_trie(FIB) == ("127.0.0.1", "192.0.2.2")
    line = "fe80000000000000005056fffec00001 02 40 20 80     eth0\nnonsense\n"
    assert addresses.parse_if_inet6(line) == ("fe80::50:56ff:fec0:1",)


def test_this_machine_by_both_ways() -> None:
    class WithoutIp(LocalHost):
        def run(self, *argv: str, timeout_s: float = 5.0) -> object:  # type: ignore[override]
            raise Missing(argv[0])

    for host in (LocalHost(), WithoutIp()):
        assert "127.0.0.1" in (addresses.collect(host, NOW, CollectOptions()).value or ())
