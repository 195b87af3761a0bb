"""What a snapshot tells of recent changes: reloads, files, units, containers and processes that started or stopped.

Pure. It knows of changes from before the daemon started, and of service managers that announce nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Snapshot
from why502.watch.concern import SAME
from why502.watch.model import Change, ChangeKind
from why502.watch.topology import changed_targets

WINDOW = timedelta(minutes=30)


def changes_in(snapshot: Snapshot, before: Snapshot | None = None) -> tuple[Change, ...]:
    """Return the changes of the last half hour, the oldest first. `before`: an earlier snapshot of the same machine."""
    since = snapshot.taken_at - WINDOW
    found = [*_of_gateways(snapshot, before), *_of_services(snapshot, before), *_of_processes(snapshot)]
    return tuple(sorted((change for change in found if change.at >= since), key=lambda change: (change.at, change.subject)))


def _of_gateways(snapshot: Snapshot, before: Snapshot | None) -> Iterator[Change]:
    earlier = {(proxy.kind, proxy.config): proxy for proxy in (before.proxies if before else None) or ()}
    for proxy in snapshot.proxies or ():
        old = earlier.get((proxy.kind, proxy.config))
        targets = changed_targets(old, proxy) if old else ()
        texts = {file.path: file.text for file in old.files} if old else {}
        edited = [file for file in proxy.files if old is None or texts.get(file.path) != file.text]
        for file in edited:
            if file.modified_at is not None:
                yield Change(
                    kind=ChangeKind.CONFIG,
                    subject=file.path,
                    at=file.modified_at,
                    detail=_changed_line(texts.get(file.path), file.text),
                    paths=(file.path,),
                    targets=targets,
                )
        if proxy.pid and proxy.loaded_at and (old is None or old.loaded_at is None or proxy.loaded_at - old.loaded_at > SAME):
            yield _reload(proxy, old, proxy.loaded_at, edited=tuple(file.path for file in edited) if old else (), targets=targets)


def _reload(proxy: Proxy, old: Proxy | None, at: datetime, *, edited: tuple[str, ...], targets: tuple[str, ...]) -> Change:
    """Return the (re)start of a gateway. It touches what the files touch that it put in force."""
    begin = at - WINDOW
    fresh = tuple(file.path for file in proxy.files if old is None and file.modified_at and begin <= file.modified_at <= at)
    started = old is not None and old.pid != proxy.pid
    return Change(
        kind=ChangeKind.RELOAD,
        subject=proxy.unit or proxy.kind,
        at=at,
        detail="started" if started else "loaded its configuration",
        units=(proxy.unit,) if proxy.unit else (),
        pids=(proxy.pid or 0,),
        paths=edited or fresh,
        targets=targets,
        is_planned=True,
    )


def _changed_line(before: str | None, after: str) -> str:
    """Return where a file changed first: "changed in line 18"; "changed" if its earlier text is not known."""
    if before is None:
        return "changed"
    old, new = before.splitlines(), after.splitlines()
    number = next(
        (number for number, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )
    return f"changed in line {number + 1}"


def _of_services(snapshot: Snapshot, before: Snapshot | None) -> Iterator[Change]:
    images = {service.name: service.settings.get("ImageId", "") for service in (before.services if before else None) or ()}
    for service in snapshot.services or ():
        kind = ChangeKind.IMAGE if service.manager in ("docker", "podman") else ChangeKind.UNIT
        units = tuple(name for name in (service.name, service.manager_unit) if name)
        image = service.settings.get("Image", "")
        if service.is_running and service.started_at is not None:
            detail = f"started{f' from {image}' if image else ''}"
            old, new = images.get(service.name, ""), service.settings.get("ImageId", "")
            if old and new and old != new:  # the same name may have got another image
                detail += f", image {_short(new)} instead of {_short(old)}"
            yield Change(
                kind=kind, subject=service.name, at=service.started_at, detail=detail,
                units=units[:1], pids=(service.main_pid or 0,), is_planned=not service.restarts,
            )  # fmt: skip
        elif service.is_running is False and (at := service.stopped_at or service.changed_at) is not None:
            yield Change(
                kind=kind, subject=service.name, at=at, detail=_end(service), units=units[:1], is_planned=not has_failed(service),
            )  # fmt: skip


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def has_failed(service: Service) -> bool:
    """Return whether a service that does not run failed, as opposed to having been stopped."""
    return bool(service.oom_killed or service.signal or service.exit_code or service.state in ("failed", "FATAL", "errored"))


def _end(service: Service) -> str:
    if not has_failed(service):
        return "stopped"
    reason = service.exit_message or service.result or (f"signal {service.signal}" if service.signal else "")
    return f"failed{f': {reason}' if reason else ''}"[:200]


def _of_processes(snapshot: Snapshot) -> Iterator[Change]:
    """Yield the starts of listening processes that no service manager knows."""
    known = {service.main_pid for service in snapshot.services or ()} | {proxy.pid for proxy in snapshot.proxies or ()}
    listening = {pid for listener in snapshot.listeners or () for pid in listener.pids}
    for process in snapshot.processes or ():
        if process.pid in listening and not process.unit and process.started_at and not {process.pid, process.ppid} & known:
            yield Change(
                kind=ChangeKind.UNIT, subject=f"{process.name} (pid {process.pid})", at=process.started_at, detail="started",
                pids=(process.pid,),
            )  # fmt: skip
