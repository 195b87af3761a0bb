"""The options of the command line, which go before the settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`settings`: the path of the settings, None for the usual one. `listen`: the address of /metrics; "off" for none."""

    settings: str | None = None
    configs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    store: str | None = None
    is_checking: bool = True
    listen: str | None = None
