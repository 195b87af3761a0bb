"""The start of a gateway that does not run: the edge of a machine, or one behind another gateway."""

from __future__ import annotations

from collections.abc import Iterator

from why502.model.proxy import ConfigTest, Proxy
from why502.model.remedy import Remedy, Run


def begin(proxy: Proxy, has_systemd: bool) -> Iterator[Remedy]:
    """Yield the remedies that start a gateway; none if it would not start, or if it is unknown how.

    `has_systemd`: systemd runs as process 1, so a program that is not started by it would not be its unit's.
    """
    if proxy.is_running or proxy.test is ConfigTest.FAILED:
        return
    if proxy.unit:
        start = Run(argv=("systemctl", "start", proxy.unit), undo=("systemctl", "stop", proxy.unit))
        if proxy.unit_state.startswith("masked"):
            at = ("--runtime",) if proxy.unit_state.endswith("-runtime") else ()
            unmask = Run(argv=("systemctl", "unmask", *at, proxy.unit), undo=("systemctl", "mask", *at, proxy.unit))
            yield Remedy(message=f"unmask {proxy.unit}, which was masked deliberately, and start it", steps=(unmask, start))
            return
        yield Remedy(message=f"start {proxy.unit}", steps=(start,))
        if proxy.unit_state == "disabled":
            enable = Run(argv=("systemctl", "enable", proxy.unit), undo=("systemctl", "disable", proxy.unit))
            yield Remedy(message=f"start {proxy.unit}, now and at every boot", steps=(enable, start))
    elif proxy.exe and not has_systemd:
        program = (proxy.exe, *proxy.options)
        yield Remedy(
            message=f"start {proxy.kind}",
            steps=(Run(argv=(*program, "-t")), Run(argv=program, undo=(*program, "-s", "quit"))),
        )
