"""Ports for servers that a test starts: nobody else takes them between the choice and the start.

A port that the kernel chooses for `bind(0)` and that is given back may be the next one that it chooses for another test or for
the client's end of a connection. These lie below the range from which the kernel chooses, and each worker has its own.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket

_FIRST, _OF_ONE = 10_000, 1_000  # of 22 workers; Linux chooses from 32,768 on
_counted = itertools.count(os.getpid())


def free_port() -> int:
    """Return a TCP port on which nobody listens at any address; another one at each call, a thousand times over."""
    begin = _FIRST + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) * _OF_ONE
    for _ in range(_OF_ONE):
        port = begin + next(_counted) % _OF_ONE
        if _is_free(socket.AF_INET, "0.0.0.0", port) and _is_free(socket.AF_INET6, "::", port):
            return port
    raise AssertionError(f"no port from {begin} to {begin + _OF_ONE} is free")


def _is_free(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.bind((address, port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE  # another error: this system has no such addresses
    return True
