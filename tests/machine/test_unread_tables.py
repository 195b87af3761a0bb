"""Tables of sockets that cannot be read."""

from __future__ import annotations

import gc
import weakref

from why502.host.base import SocketTable
from why502.host.local import LocalHost
from why502.machine.sockets import Unread, read_unix_each
from why502.model.errors import HostError


class Refuses(LocalHost):
    """A host that lists no sockets."""

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        raise HostError("sockets: not checked", "run as root")


def test_what_could_not_be_read_keeps_nothing_alive() -> None:
    host = Refuses()
    left = weakref.ref(host)
    gc.disable()  # a cycle would go only then
    try:
        assert read_unix_each(host, ["/proc/net"]) == [Unread("sockets: not checked", "run as root")]
        del host
        assert left() is None
    finally:
        gc.enable()
