"""why502: why does my reverse proxy return 502?

The library in verbs; each imports what it needs when it is called:

    snapshot = why502.collect()             # look at this machine
    diagnosis = why502.diagnose(snapshot)   # think; looks at nothing
    why502.explain("AH01102")               # what a log line, a status, a code or a cause means
    why502.save(snapshot)                   # bytes of a bundle, secrets removed
    why502.load(data)                       # the snapshot in such bytes
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from why502.version import __version__

if TYPE_CHECKING:
    from why502.model.explanation import Explanation
    from why502.model.finding import Diagnosis
    from why502.model.snapshot import Snapshot

__all__ = ["__version__", "collect", "diagnose", "explain", "load", "save"]


def collect(
    *,
    configs: tuple[str, ...] = (),
    logs: tuple[str, ...] = (),
    urls: tuple[str, ...] = (),
    window: timedelta = timedelta(minutes=15),
    probes: bool = True,
) -> Snapshot:
    """Return what is known of this machine now and of its last `window`. What could not be looked at is among its gaps.

    `configs`, `logs`: absolute paths; without them both are found. `probes=False` sends nothing to any target.
    """
    from why502.host.local import LocalHost
    from why502.sources import collect as look
    from why502.sources.base import Ask

    now = datetime.now(UTC)
    return look(LocalHost(), now, now - window, now, Ask(configs=configs, logs=logs, urls=urls, probes=probes))


def diagnose(*snapshots: Snapshot, offline: bool = False) -> Diagnosis:
    """Return the diagnosis of one machine, or of several together (the proxy's first). Pure: it looks at nothing.

    `offline`: the snapshot holds files only, and says nothing of what runs.
    """
    from why502.diagnosis import diagnose as think

    return think(*snapshots, offline=offline)


def explain(text: str, proxy: str | None = None) -> Explanation:
    """Return what a log line, an HTTP status, a gateway's own code or a cause means. `proxy`: the product, where it is known."""
    from why502.explanation import explain as look_up

    return look_up(text, proxy)


def save(snapshot: Snapshot, *, anonymize: bool = False) -> bytes:
    """Return a bundle: the snapshot in one compressed file, without secrets; with `anonymize` without addresses, too."""
    from why502.bundle import save as pack

    return pack(snapshot, anonymize=anonymize)


def load(data: bytes, name: str = "bundle") -> Snapshot:
    """Return the snapshot that a bundle holds. Raises Why502Error where it is damaged or foreign; `name` is used in its words."""
    from why502.bundle import load as unpack

    return unpack(data, name)
