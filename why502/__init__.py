"""why502: why does my reverse proxy return 502?

The library in verbs; each imports what it needs when it is called:

    snapshot = why502.collect()             # look at this machine
    diagnosis = why502.diagnose(snapshot)   # think; looks at nothing
    why502.explain("AH01102")               # what a log line, a status, a code or a cause means
    why502.lint("/etc/nginx/nginx.conf")    # what will fail, before it is deployed
    why502.plan(diagnosis, snapshot)        # the repairs, best first; nothing is changed
    why502.apply(plan, snapshot)            # one of them: done, verified, kept or put back
    why502.save(snapshot)                   # bytes of a bundle, secrets removed
    why502.load(data)                       # the snapshot in such bytes
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from why502.version import __version__

if TYPE_CHECKING:
    from why502.fix.journal import Entry
    from why502.fix.plan import Plan
    from why502.model.explanation import Explanation
    from why502.model.finding import Diagnosis, Risk
    from why502.model.snapshot import Snapshot

__all__ = ["__version__", "apply", "collect", "diagnose", "explain", "lint", "load", "plan", "save"]


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
    from why502.collectors import collect as look
    from why502.collectors.base import CollectOptions
    from why502.host.local import LocalHost
    from why502.model.snapshot import LiveSnapshot

    now = datetime.now(UTC)
    return LiveSnapshot.of(
        look(LocalHost(), now, now - window, now, CollectOptions(configs=configs, logs=logs, urls=urls, probes=probes))
    )


def diagnose(*snapshots: Snapshot, offline: bool = False) -> Diagnosis:
    """Return the diagnosis of one machine, or of several together (the proxy's first). Pure: it looks at nothing.

    `offline`: the snapshot holds files only, and says nothing of what runs.
    """
    from why502.diagnosis.engine import diagnose as think

    return think(*snapshots, offline=offline)


def explain(text: str, proxy: str | None = None) -> Explanation:
    """Return what a log line, an HTTP status, a gateway's own code or a cause means. `proxy`: the product, where it is known."""
    from why502.explanation import explain as look_up

    return look_up(text, proxy)


def lint(*paths: str, nginx_version: str = "") -> tuple[Risk, ...]:
    """Return the risks in configuration files and directories, in the order of the files;
    those that a comment accepts are left out.

    `nginx_version`: that of the nginx that will run it ("1.22.1"); "" is the newest. Raises Why502Error where a path cannot be
    read.
    """
    from pathlib import Path

    from why502.host.local import LocalHost
    from why502.linter.engine import RULES
    from why502.linter.inputs import gather
    from why502.linter.repair import risks

    given = gather(LocalHost(), [str(Path(path).absolute()) for path in paths], nginx_version)
    return risks(given, tuple(RULES.values()))


def plan(diagnosis: Diagnosis, snapshot: Snapshot, cause: str | None = None) -> tuple[Plan, ...]:
    """Return what would repair the findings, or the named cause, the best first. Pure. Raises Why502Error where nothing would."""
    from why502.fix.plan import plans

    return plans(diagnosis, snapshot, cause)


def apply(plan: Plan, snapshot: Snapshot, *, state: str | None = None) -> Entry:
    """Carry out a plan on this machine; return its journal entry, whose phase is "kept", or "reverted" where it did not help.

    `state`: the directory of backups and journal, /var/lib/why502 for root. Raises Why502Error where nothing was changed, and for
    a snapshot that `collect` did not return: one of a bundle is of another machine.
    """
    from why502.fix import journal
    from why502.fix.repair import repair
    from why502.fix.reversal import Progress
    from why502.host.local import LocalHost
    from why502.host.nowhere import NowhereHost
    from why502.model.snapshot import LiveSnapshot

    host = LocalHost() if isinstance(snapshot, LiveSnapshot) else NowhereHost(snapshot.host)
    where = journal.directory(state)
    with journal.lock(where):
        return repair(plan, snapshot, host, where, datetime.now(UTC), Progress())


def save(snapshot: Snapshot, *, anonymize: bool = False) -> bytes:
    """Return a bundle: the snapshot in one compressed file, without secrets; with `anonymize` without addresses, too."""
    from why502.bundle import save as pack

    return pack(snapshot, anonymize=anonymize)


def load(data: bytes, name: str = "bundle") -> Snapshot:
    """Return the snapshot that a bundle holds. Raises Why502Error where it is damaged or foreign; `name` is used in its words."""
    from why502.bundle import load as unpack

    return unpack(data, name)
