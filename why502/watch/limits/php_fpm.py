"""Children of PHP-FPM pools that hold a connection, against pm.max_children.

The kernel's socket tables show them also while the pool is too full to answer its own status page.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from why502.host.base import Host
from why502.machine import sockets
from why502.machine.sockets import Socket
from why502.model.errors import HostError
from why502.model.service import PhpPool
from why502.model.snapshot import Gap, Snapshot
from why502.watch.model import Limit, LimitKind

EVERY_S = 10.0


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield the busy children of each running pool."""
    tables: dict[str, list[Socket]] = {}
    for pool in known.php_pools or ():
        if pool.master_pid is None or pool.max_children is None or pool.target is None:
            continue
        subject = f"{pool.unit or 'php-fpm'} pool {pool.name}"
        try:
            rows = _rows(host, pool, tables)
        except HostError as error:
            yield Gap(source=subject, reason=error.reason, hint=error.hint)
            continue
        held = sockets.use(pool.target, rows, rows).held
        used = min(held, pool.max_children)  # more connections than children: some are waiting, and not accepted yet
        yield Limit(kind=LimitKind.FPM_CHILDREN, subject=subject, at=at, used=used, limit=pool.max_children)


def _rows(host: Host, pool: PhpPool, tables: dict[str, list[Socket]]) -> list[Socket]:
    """Return the sockets of the pool's kind in its network namespace. Raises HostError."""
    assert pool.target is not None
    directory = f"/proc/{pool.master_pid}/net" if pool.network else "/proc/net"
    table = f"{directory}/{pool.target.transport}"
    if table not in tables:
        is_unix = pool.target.is_unix
        tables[table] = sockets.read_unix(host, directory) if is_unix else sockets.read_tcp(host, directory)[0]
    return tables[table]
