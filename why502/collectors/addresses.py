"""The machine's own addresses, which show whether a target is local or remote."""

from __future__ import annotations

import ipaddress
import re

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.snapshot import Snapshot

SECTION = "addresses"
NEEDS = ()
LIMIT_S = 2.5


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[str, ...]]:
    """Return the addresses of every interface, from ip(8), else from /proc/net. Raises HostError if neither works."""
    try:
        done = host.run("ip", "-j", "address", timeout_s=1.5)
        if found := parse_ip(done.stdout):
            return Found(found)
    except HostError:
        pass
    found = parse_fib_trie(_text(host, "/proc/net/fib_trie"))
    try:
        found += parse_if_inet6(_text(host, "/proc/net/if_inet6"))
    except HostError:
        pass  # the file does not exist without IPv6
    return Found(tuple(dict.fromkeys(found)))


def parse_ip(output: str) -> tuple[str, ...]:
    """Return the addresses in the output of `ip -j address`; () if it is malformed."""
    try:
        links = msgspec.json.decode(output, type=list[_Link])
    except (ValueError, RecursionError):
        return ()
    return tuple(dict.fromkeys(address.local for link in links for address in link.addr_info if address.local))


def parse_fib_trie(text: str) -> tuple[str, ...]:
    """Return the IPv4 addresses listed as local hosts in /proc/net/fib_trie."""
    return tuple(dict.fromkeys(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", text)))


def parse_if_inet6(text: str) -> tuple[str, ...]:
    """Return the IPv6 addresses in /proc/net/if_inet6 (if_inet6 has them in 32 hexadecimal digits)."""
    digits = (line.split()[0] for line in text.splitlines() if line.strip())
    return tuple(str(ipaddress.IPv6Address(int(word, 16))) for word in digits if re.fullmatch(r"[0-9a-f]{32}", word))


class _Address(msgspec.Struct):
    local: str = ""


class _Link(msgspec.Struct):
    addr_info: list[_Address] = []


def _text(host: Host, path: str) -> str:
    return host.read(path).decode("ascii", "replace")
