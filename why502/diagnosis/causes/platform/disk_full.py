"""No space or inodes are left on a file system that the proxy or the backend writes to.

Programs fail with "(28: No space left on device)". Responses are truncated, uploads get 500, logs stop, databases reject writes.

## Do not confuse with
- `proxy-temp-unwritable`: there is space, but no permission.

## Confirm
- `df -h PATH; df -i PATH` shows 100 %. A separate tmpfs may be full although the disk is not.

## Fix
- Free space (old logs, caches, deleted files still held open: `lsof +L1`). Then set a limit: logrotate, a maximum
  size of the cache.
- nginx: max_size of proxy_cache_path limits a cache.

## References
- https://man7.org/linux/man-pages/man2/write.2.html (ENOSPC)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.needs import need_of
from why502.diagnosis.refused_route import Unserved
from why502.diagnosis.unserved import ERRORS, unserved
from why502.diagnosis.waiting import dependency_errors, is_hurt
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Disk, Event

MANY = 3  # messages of its own about it
INSUFFICIENT_STORAGE = 507
SPARE_BYTES = 1 << 20  # with less, programs fail to write
WRITING = frozenset({"POST", "PUT", "PATCH"})


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    events = (*case.events(Symptom.DISK_FULL), *_full_disk_errors(case))
    if not case.seen(Symptom.DISK_FULL) and not case.words(Symptom.DISK_FULL) and not events:
        yield from _of_dependency(case)
        yield from _of_application(case)
        yield from _of_status(case)
        return
    for tally in case.words(Symptom.DISK_FULL)[:1] if not events else ():
        yield supports("a log reports that no space is left", tally.source, STRONG)
    for event in events[:1]:
        yield supports(event.message, event.source, LIKELY)  # a message of the target's own program
        if sum(each.count for each in events) >= MANY:
            yield supports(f"it reports that {sum(each.count for each in events)} times", event.source, WEAK)
    for disk in case.here.disks or ():
        if is_full(disk):
            left = "no inodes are free" if disk.free_inodes == 0 else f"only {disk.free_bytes >> 10} KiB are free"
            yield supports(f"{disk.path}: {left}", f"df {disk.path}", STRONG)
            return


_DATA = {  # where the packages of Debian and the images of the products keep their data
    "PostgreSQL": ("/var/lib/postgresql", "/var/lib/pgsql"),
    "MySQL": ("/var/lib/mysql",),
    "Redis": ("/var/lib/redis",),
    "MongoDB": ("/var/lib/mongodb", "/data/db"),
    "RabbitMQ": ("/var/lib/rabbitmq",),
    "Elasticsearch": ("/var/lib/elasticsearch", "/var/lib/opensearch"),
    "Kafka": ("/var/lib/kafka",),
}


def _of_dependency(case: Case) -> Iterator[Evidence]:
    """Yield the evidence that the database which the application complains about has no space left for its data."""
    complained = (
        {need.product: event for need, event in dependency_errors(case) if need.product in _DATA} if is_hurt(case) else {}
    )
    for disk in case.here.disks or ():
        product = next((name for name in _DATA if f"{disk.path}/".startswith(tuple(f"{x}/" for x in _DATA[name]))), None)
        if product is not None and not disk.is_of_proxy and product not in complained and _fails_silently(case):
            full = f"{disk.path}, where {product} keeps its data, has {disk.free_bytes} bytes free"
            yield supports(f"{full}, and no log that was read has another reason for its errors", f"df {disk.path}", LIKELY)
            return
        if product in complained and not disk.is_of_proxy:
            message = (
                f"{disk.path}, where {product} keeps its data, has {disk.free_bytes} bytes and {disk.free_inodes} inodes free"
            )
            yield supports(message, f"df {disk.path}", PROOF)
            yield supports(f"the application reports about it: {complained[product].message}", complained[product].source, WEAK)
            return


def _of_application(case: Case) -> Iterator[Evidence]:
    """Yield the evidence that the volume below the application's own directory is full, while it answers with its own error to
    requests that store something and no log that was read has another reason.
    """
    writes = next((one for one in unserved(case.joins) if one.is_of_application and one.target == case.target), None)
    if writes is None or writes.request.partition(" ")[0] not in WRITING or not _fails_silently(case):
        return
    homes = {process.cwd for process in case.processes if process.cwd.strip("/")}
    for disk in case.here.disks or ():
        if not disk.is_of_proxy and any(f"{disk.path}/".startswith(f"{home}/") for home in homes):
            full = f"{disk.path}, in the application's directory, has {disk.free_bytes} bytes and {disk.free_inodes} inodes free"
            yield supports(f"{full}, and it answers {writes.request} with an error of its own", f"df {disk.path}", LIKELY)
            return
    users = {process.uid for process in case.processes} - {0, None}
    for disk in case.here.disks or () if not _fails_to_read(case, writes) else ():
        if not disk.is_of_proxy and disk.owner_uid in users:
            full = f"{disk.path}, which belongs to the user of its processes, has {disk.free_bytes} bytes free"
            yield supports(
                f"{full}, and only requests such as {writes.request} get an error of its own", f"df {disk.path}", LIKELY
            )
            return


def _of_status(case: Case) -> Iterator[Evidence]:
    """Yield the evidence that the application's own status says so (507, RFC 4918, 11.5), while a volume that is not the proxy's
    is full.
    """
    told = [tally for tally in case.tallies if tally.status == INSUFFICIENT_STORAGE]
    full = next((disk for disk in case.here.disks or () if not disk.is_of_proxy and is_full(disk)), None)
    if told and full and case.target is not None:
        count = sum(tally.count for tally in told)
        message = f"{count} requests were answered 507 (insufficient storage), and {full.path} has {full.free_bytes} bytes free"
        yield supports(message, f"access log, df {full.path}", LIKELY)


def is_full(disk: Disk) -> bool:
    """Return whether a file system has no space or no inodes left."""
    return disk.free_bytes < SPARE_BYTES or disk.free_inodes == 0


def _fails_to_read(case: Case, writes: Unserved) -> bool:
    """Return whether the application answers requests that only read with an error, too, or reads nothing at all."""
    paths = [path for path in (case.here.logs.paths if case.here.logs else ()) if path.at == writes.at]
    errors = [path.request.partition(" ")[0] for path in paths if any(status in ERRORS for status in path.statuses)]
    is_read = any(path.last_served for path in paths if path.request.partition(" ")[0] not in WRITING)
    return not is_read or not errors or any(method not in WRITING for method in errors)


def _fails_silently(case: Case) -> bool:
    """Return whether the application answers requests with its own error, and none of its messages is known."""
    return case.target is not None and not case.events(Symptom.APPLICATION_ERROR) and _is_unserved(case)


_FULL = lazy(r"(?i)no space left on device|\bENOSPC\b|disk quota exceeded")


def _full_disk_errors(case: Case) -> tuple[Event, ...]:
    """Return the application's own errors that its own full disk causes, not the full disk of a dependency."""
    if case.target is None or not (case.failures or _is_unserved(case)):
        return ()
    found = case.events(Symptom.APPLICATION_ERROR)
    return tuple(event for event in found if _FULL.search(event.message) and need_of(event.detail or event.message) is None)


def _is_unserved(case: Case) -> bool:
    """Return whether the application itself currently answers requests with an error."""
    return any(one.is_of_application and one.target == case.target for one in unserved(case.joins))


CAUSE = Cause(
    id="disk-full",
    layer=Layer.PLATFORM,
    message="no space or inodes are left where the proxy or the backend must write",
    headline="no space is left where {target} or {proxy} must write",
    symptoms={Symptom.DISK_FULL: PROOF},
    needs=frozenset({"disks"}),
    explains=frozenset(
        {
            "application-error",
            "backend-dependency-down",
            "connection-reset",
            "io-saturation",
            "premature-close",
            "truncated-response",
            "upstream-error-status",
        }
    ),
    examine=examine,
)
