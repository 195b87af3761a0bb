"""Strict parsers of /proc/net/tcp, tcp6 and unix (proc_pid_net(5)): each row must match completely, else only that row is lost.

Names in /proc/net/unix are written as their creators chose them, including line feeds: a row there may be forged. See
`parse_unix`.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections import Counter

from why502.model.patterns import lazy
from why502.model.snapshot import Listener
from why502.model.target import Target

_LISTEN = b"0A"
_ACCEPTS = 0x00010000  # __SO_ACCEPTCON, linux/net.h
_STREAM = b"0001"
_TCP_ROW = lazy(
    rb" *\d+: (?P<address>[0-9A-F]{8}|[0-9A-F]{32}):(?P<port>[0-9A-F]{4}) (?:[0-9A-F]{8}|[0-9A-F]{32}):[0-9A-F]{4}"
    rb" (?P<state>[0-9A-F]{2}) [0-9A-F]{8,16}:(?P<queued>[0-9A-F]{8}) [0-9A-F]{2}:[0-9A-F]{8,16} [0-9A-F]{8}"
    rb" +(?P<uid>\d{1,10}) +-?\d+ (?P<inode>\d{1,20})(?: .*)?"
)
_UNIX_ROW = lazy(
    rb"[0-9a-f]{8,16}: [0-9A-F]{8} [0-9A-F]{8} (?P<flags>[0-9A-F]{8}) (?P<type>[0-9A-F]{4}) [0-9A-F]{2} +(?P<inode>\d{1,20})"
    rb"(?: (?P<path>.*))?",
    re.DOTALL,
)


def parse_tcp(content: bytes) -> tuple[list[Listener], int]:
    """Return the listening rows of /proc/net/tcp or tcp6, and the number of malformed rows.

    Their rx queue is the accept queue; its limit is not shown.
    """
    found: list[Listener] = []
    misfits = 0
    for line in content.split(b"\n")[1:]:
        if not line:
            continue
        row = _TCP_ROW.fullmatch(line.rstrip())
        if row is None:
            misfits += 1
        elif row["state"] == _LISTEN:
            target = Target(host=hex_address(row["address"].decode()), port=int(row["port"], 16))
            found.append(Listener(target=target, inode=int(row["inode"]), queued=int(row["queued"], 16), uid=int(row["uid"])))
    return found, misfits


def parse_unix(content: bytes) -> tuple[list[Listener], int]:
    """Return the listening stream sockets with a path in /proc/net/unix, and the number of malformed rows. Queues are not
    shown.

    An inode in two rows is dropped: one of them was forged by the name of a socket. A forged row with an unused inode looks
    like any other, so the caller must check that the file belongs to the socket's owner.
    """
    rows: list[tuple[int, bytes]] = []
    misfits = 0
    inodes: Counter[int] = Counter()
    for line in content.split(b"\n")[1:]:
        if not line:
            continue
        row = _UNIX_ROW.fullmatch(line)
        if row is None:
            misfits += 1
            continue
        inodes[int(row["inode"])] += 1
        if int(row["flags"], 16) & _ACCEPTS and row["type"] == _STREAM and row["path"] and not row["path"].startswith(b"@"):
            rows.append((int(row["inode"]), row["path"]))
    found = [
        Listener(target=Target(path=path.decode("utf-8", "replace")), inode=inode) for inode, path in rows if inodes[inode] == 1
    ]
    return found, misfits + len(rows) - len(found)


def hex_address(digits: str) -> str:
    """Return an address of /proc/net: 32-bit words in the machine's byte order, in hexadecimal."""
    words = (bytes.fromhex(digits[i : i + 8]) for i in range(0, len(digits), 8))
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
