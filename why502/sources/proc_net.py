"""Parsers of /proc/net/tcp, tcp6 and unix (proc_pid_net(5))."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator

from why502.model.snapshot import Listener
from why502.model.target import Target

_LISTEN = "0A"
_ACCEPTS = 0x00010000  # __SO_ACCEPTCON, linux/net.h
_STREAM = "0001"


def parse_tcp(content: bytes) -> Iterator[Listener]:
    """Yield the listening rows of /proc/net/tcp or tcp6. Their rx queue is the accept queue; its limit is not told."""
    for line in content.decode("ascii", "replace").splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        address, _, port = fields[1].partition(":")
        yield Listener(
            target=Target(host=hex_address(address), port=int(port, 16)),
            inode=int(fields[9]),
            queued=int(fields[4].partition(":")[2], 16),
        )


def parse_unix(content: bytes) -> Iterator[Listener]:
    """Yield the listening stream sockets with a path in /proc/net/unix. Queues are not told there."""
    for line in content.decode("utf-8", "surrogateescape").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and int(fields[3], 16) & _ACCEPTS and fields[4] == _STREAM and not fields[7].startswith("@"):
            yield Listener(
                target=Target(path=fields[7].encode("utf-8", "surrogateescape").decode("utf-8", "replace")), inode=int(fields[6])
            )


def hex_address(digits: str) -> str:
    """Return an address of /proc/net: 32-bit words in the byte order of the machine, as hexadecimal digits."""
    words = (bytes.fromhex(digits[i : i + 8]) for i in range(0, len(digits), 8))
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
