"""No space or inodes are left on a file system that the proxy or the backend writes to.

Programs fail with "(28: No space left on device)". Responses are truncated, uploads get 500, logs stop, databases reject writes.

## Do not confuse with
- `proxy-temp-unwritable`: there is space, but no permission.

## Confirm
- `df -h PATH; df -i PATH` shows 100 %. A separate tmpfs may be full although the disk is not.

## Fix
- Free space (old logs, caches, deleted files still held open: `lsof +L1`). Then set a limit: max_size of proxy_cache_path,
  logrotate.

## References
- https://man7.org/linux/man-pages/man2/write.2.html (ENOSPC)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.needs import need_of
from why502.diagnosis.unserved import unserved
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Event

MANY = 3  # messages of its own about it


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    events = (*case.events(Symptom.DISK_FULL), *_told(case))
    if not case.seen(Symptom.DISK_FULL) and not case.words(Symptom.DISK_FULL) and not events:
        return
    for tally in case.words(Symptom.DISK_FULL)[:1] if not events else ():
        yield supports("a log reports that no space is left", tally.source, STRONG)
    for event in events[:1]:
        yield supports(event.message, event.source, LIKELY)  # a message of the target's own program
        if sum(each.count for each in events) >= MANY:
            yield supports(f"it reports that {sum(each.count for each in events)} times", event.source, WEAK)
    for disk in case.here.disks or ():
        if disk.free_bytes < 1 << 20 or disk.free_inodes == 0:
            yield supports(
                f"{disk.path}: {disk.free_bytes} bytes and {disk.free_inodes} inodes are free", f"df {disk.path}", STRONG
            )
            return


_FULL = lazy(r"(?i)no space left on device|\bENOSPC\b|disk quota exceeded")


def _told(case: Case) -> tuple[Event, ...]:
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
            "connection-reset",
            "io-saturation",
            "premature-close",
            "truncated-response",
            "upstream-error-status",
        }
    ),
    examine=examine,
)
