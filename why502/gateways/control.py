"""The commands by which gateways test, load and start their configuration: the interface of each product's `control.py`."""

from __future__ import annotations

from typing import Protocol, cast

from why502 import registry
from why502.model.proxy import Proxy


class Control(Protocol):
    """The interface of a product's `control.py`."""

    IS_BY_PROGRAM: bool  # whether the gateway's own program does all of it, also in the container that it runs in

    def test(self, proxy: Proxy) -> tuple[str, ...]:
        """Return the command that tests the configuration on disk."""
        ...

    def load(self, proxy: Proxy) -> tuple[str, ...]:
        """Return the command by which a running gateway loads its configuration; () if there is none."""
        ...

    def start(self, proxy: Proxy) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the command that starts a gateway without a service manager, and the one that ends it; () if there is none."""
        ...


def control(kind: str) -> Control | None:
    """Return the commands of a kind of gateway; None if they are not known."""
    return cast("Control | None", registry.part("why502.gateways", kind, "control"))


def by_unit(proxy: Proxy, signal: str) -> tuple[str, ...]:
    """Return the command that loads a configuration through the service manager, or by a signal to a gateway without one.

    `signal`: "" if a signal would end it.
    """
    if proxy.unit.endswith(".service"):
        return ("systemctl", "reload", proxy.unit)
    return ("kill", f"-{signal}", str(proxy.pid)) if signal else ()
