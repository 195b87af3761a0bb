"""The members that the user named."""

from __future__ import annotations

from why502.model.errors import Why502Error
from why502.watch.checks.members import Planned
from why502.watch.checks.settings import TargetCheck


def selected(members: tuple[Planned, ...], targets: tuple[str, ...], proxies: tuple[str, ...]) -> tuple[Planned, ...]:
    """Return the members of those proxies that one of the targets names; all without either. Raises Why502Error if there is
    none.
    """
    if not members:
        raise Why502Error(
            "no running proxy has a member to check", "Start the proxy, or run `why502 diagnose` to find its problem."
        )
    kinds = tuple(dict.fromkeys(one.key.proxy for one in members))
    for proxy in proxies:
        if proxy not in kinds:
            raise Why502Error(f"--proxy {proxy!r}: no such proxy with a member is running here", f"One of: {', '.join(kinds)}.")
    found = tuple(one for one in members if not proxies or one.key.proxy in proxies)
    for target in targets:
        if not any(_is_named(one, target) for one in found):
            names = dict.fromkeys(str(one.key.peer) for one in found)
            raise Why502Error(
                f"--target {target!r} is not a member of an upstream here", f"One of: {', '.join(list(names)[:10])}."
            )
    return tuple(one for one in found if not targets or any(_is_named(one, target) for target in targets))


def _is_named(one: Planned, target: str) -> bool:
    return bool(target) and TargetCheck(target=target).concerns(one.key.group, one.name, one.key.peer)
