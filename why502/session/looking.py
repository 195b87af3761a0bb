"""From the scope of an examination to its snapshots: this machine, other machines over ssh, and bundles."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from why502.model.errors import Why502Error
from why502.model.snapshot import Gap, LiveSnapshot, Snapshot
from why502.model.target import Target

if TYPE_CHECKING:
    from why502.collectors.base import CollectOptions
    from why502.host.base import Host

INPUT = "-"
FRAGMENT_BYTES = 1 << 17  # a longer log is no piece that a person copied somewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine that a command runs on: access to it, and the stream for the path `-`."""

    host: Callable[[], Host]
    stdin: Callable[[], BinaryIO]

    def of(self, snapshot: Snapshot) -> Host:
        """Return the machine of a snapshot: this one if it was taken here just now, else one that refuses everything."""
        from why502.host.nowhere import NowhereHost

        return self.host() if isinstance(snapshot, LiveSnapshot) else NowhereHost(snapshot.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What to examine. `configs` and `logs` are paths, or `-` for standard input; without them both are detected.

    `hosts` are machines to examine instead of this one (`ssh://user@host`), with the window as written: each has its own
    clock.
    """

    now: datetime
    begin: datetime
    end: datetime
    urls: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    configs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    window: tuple[str, str] = ("15m", "now")
    bundles: tuple[Snapshot, ...] = ()
    is_probing: bool = True
    is_offline: bool = False
    sources: frozenset[str] = frozenset()  # of this machine, those to read (why502.collectors); all if it is empty


def look(scope: Scope, machine: Machine) -> tuple[Snapshot, ...]:
    """Return the snapshots: those of other machines, then the given bundles; without both, that of this machine.

    From here on, no output shows the secrets in them. Raises Why502Error.
    """
    from why502.redaction import know
    from why502.redaction.snapshots import secrets_in

    if scope.hosts or scope.bundles:
        snapshots = (*(_elsewhere(scope) if scope.hosts else ()), *scope.bundles)
    else:
        snapshots = (_here(scope, machine),)
    know(secrets_in(*snapshots))
    return snapshots


def find_gateways(scope: Scope, machine: Machine) -> Snapshot:
    """Return the gateways of this machine as far as `scope.sources` tell; there may be none. Nothing is sent.

    From here on, no output shows the secrets in it. Raises Why502Error.
    """
    from why502.collectors import collect
    from why502.redaction import know
    from why502.redaction.snapshots import secrets_in

    ask = _ask(scope)
    found = collect(_host(machine, ask), scope.now, scope.begin, scope.end, ask, scope.sources)
    know(secrets_in(found))
    return LiveSnapshot.of(found)


def _elsewhere(scope: Scope) -> tuple[Snapshot, ...]:
    """Return the snapshots of other machines; paths in the scope are theirs. Raises Why502Error."""
    from why502.session.elsewhere import look_elsewhere, window

    named = (("--url", scope.urls), ("--config", scope.configs), ("--log", scope.logs))
    options = [word for option, values in named for value in values for word in (option, value)]
    probing = [] if scope.is_probing else ["--no-probe"]
    return look_elsewhere(scope.hosts, [*window(*scope.window), *probing, *options], scope.bundles)


def _here(scope: Scope, machine: Machine) -> Snapshot:
    """Return the snapshot of this machine. Raises Why502Error if there is no proxy on it and nothing else was asked for."""
    from why502.collectors import collect

    gc.disable()  # a large configuration is a million objects without cycles, which the collector would scan again and again
    ask = _ask(scope)
    snapshot = collect(_host(machine, ask), scope.now, scope.begin, scope.end, ask, scope.sources)
    if scope.is_offline:
        snapshot = msgspec.structs.replace(snapshot, gaps=_asked_for(snapshot.gaps))
    if not snapshot.proxies and not scope.logs and not scope.targets:
        raise _no_proxy(snapshot)
    return snapshot if scope.is_offline else LiveSnapshot.of(snapshot)


def _ask(scope: Scope) -> CollectOptions:
    """Return what the collectors are asked for."""
    from why502.collectors.base import CollectOptions

    return CollectOptions(
        configs=tuple(path if path == INPUT else str(Path(path).absolute()) for path in scope.configs),
        logs=tuple(path if path == INPUT else str(Path(path).absolute()) for path in scope.logs),
        urls=scope.urls,
        targets=scope.targets,
        probes=scope.is_probing and not scope.is_offline,
        offline=scope.is_offline,
    )


def _no_proxy(snapshot: Snapshot) -> Why502Error:
    """Return the error for a machine without a proxy, with the reason if it is known."""
    gap = next((gap for gap in snapshot.gaps if gap.source == "proxies"), None)
    return Why502Error(
        f"no proxy found on this machine: {gap.reason}"
        if gap
        else "no proxy found on this machine: none is running, and there is no configuration of one in the standard locations",
        gap.hint if gap and gap.hint else "Give its main configuration with --config PATH, or its logs with --log PATH.",
    )


def _host(machine: Machine, options: CollectOptions) -> Host:
    """Return the machine with the allowed access: offline only the given files, and streams in place of their paths."""
    host, files = machine.host(), (*options.configs, *options.logs)
    pipes = [path for path in dict.fromkeys(files) if _is_pipe(path)]
    if options.offline:
        from why502.host.offline import OfflineHost

        host = OfflineHost(host, (path for path in files if path != INPUT and path not in pipes))
    if INPUT in files or pipes:
        from why502.host.standard_input import WithInput

        host = WithInput(host, machine.stdin()) if INPUT in files else host
        for path in pipes:
            with open(path, "rb") as stream:
                host = WithInput(host, stream, path)
    for path in dict.fromkeys(options.logs):
        if path not in options.configs:
            host = _as_written(host, path)
    return host


def _as_written(host: Host, path: str) -> Host:
    """Return the machine; if a given log is short, with its lines as programs wrote them, whatever pasting did to them.

    The readers of logs repair nothing, and a log that nobody gave is never changed.
    """
    from why502.explanation.pasted import repaired
    from why502.host.standard_input import WithInput
    from why502.model.errors import HostError
    from why502.model.file_kind import FileKind

    try:
        status = host.stat(path)
        if status.kind is not FileKind.FILE or not 0 < status.size_bytes <= FRAGMENT_BYTES:
            return host
        content = host.read(path, limit_bytes=FRAGMENT_BYTES)
    except HostError:
        return host  # the collector finds out why
    if b"\0" in content:
        return host
    lines = repaired(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return host if lines == content else WithInput(host, io.BytesIO(lines), path)


def _is_pipe(path: str) -> bool:
    """Return whether a path is a pipe that the shell opened for us: `<(journalctl -u nginx)`."""
    return path.startswith(("/dev/fd/", "/proc/self/fd/")) and Path(path).is_fifo()


def _asked_for(gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """Return the gaps, with all those caused by --offline merged into one."""
    kept = tuple(gap for gap in gaps if "--offline" not in gap.reason and not gap.source.startswith(("/proc/", "/sys/")))
    return (*kept, Gap(source="this machine", reason="not checked: --offline")) if len(kept) < len(gaps) else kept
