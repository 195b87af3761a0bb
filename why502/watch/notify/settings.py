"""The settings of all receivers, of the ping and of silences: what `receivers`, `heartbeat` and `silences` of watch.toml are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from why502.registry import part, products
from why502.watch.notify.base import Receiver, ReceiverSettings, Repeater

PACKAGE = "why502.watch.notify"

if TYPE_CHECKING:
    AnyReceiver = ReceiverSettings
else:
    # A tagged union: `kind` tells which one it is.
    AnyReceiver = Union[tuple(part(PACKAGE, kind, "settings").Settings for kind in products(PACKAGE))]  # noqa: UP007 - made from a tuple


def receivers(settings: tuple[AnyReceiver, ...]) -> tuple[Receiver | Repeater, ...]:
    """Return the receivers of the settings. Raises ValueError if two have one name."""
    names = [one.name for one in settings]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two receivers have the name {repeated[0]}")
    found: list[Receiver | Repeater] = []
    for one in settings:
        module = part(PACKAGE, type(one).__module__.split(".")[-2], "receiver")
        assert module is not None
        found += module.make(one)
    return tuple(found)
