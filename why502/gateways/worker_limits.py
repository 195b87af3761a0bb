"""The limit on a gateway's workers, where each handles one request and takes memory: the interface of a product's
`worker_limits.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from why502 import registry
from why502.model.base import Value
from why502.model.config import Setting
from why502.model.proxy import Proxy


class Raised(Value, frozen=True, kw_only=True):
    """A higher limit: the settings as written, each with its new value; none if memory allows no more workers.

    `needs_restart`: a reload does not change it.
    """

    message: str
    settings: tuple[tuple[Setting, str], ...] = ()
    needs_restart: bool = False


class WorkerLimits(Protocol):
    """The interface of a product's `worker_limits.py`."""

    def raised(self, proxy: Proxy, worker_bytes: int, memory_available_bytes: int, waiting: int) -> Iterator[Raised]:
        """Yield the ways to raise the limit, the least intrusive first. `worker_bytes`: the memory of a worker; `waiting`: how
        many clients wait to be accepted.
        """
        ...


def worker_limits(kind: str) -> WorkerLimits | None:
    """Return the limits on the workers of a kind of gateway; None if it has none of this kind."""
    return cast("WorkerLimits | None", registry.part("why502.gateways", kind, "worker_limits"))
