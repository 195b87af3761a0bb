"""The journal: each step of a fix is on disk before it happens, so that an interrupted fix can be finished or rolled back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from why502.fix import disk, places
from why502.fix.commands import Master
from why502.fix.error_log import Mark
from why502.fix.saturation import Pressure
from why502.fix.verify import Asked
from why502.host import output, trust
from why502.model.base import Value, decode, encode
from why502.model.errors import HostError, Why502Error
from why502.model.patterns import lazy
from why502.model.remedy import Run

_NAME = lazy(r"\d{8}T\d{6}-[0-9a-f]{8}")


class Phase(StrEnum):
    """The progress of a fix. PLANNED to REVERTING are unfinished."""

    PLANNED = "planned"  # backups exist, files may be written
    WRITTEN = "written"  # every file is written
    LOADED = "loaded"  # every command ran
    REVERTING = "reverting"  # files are being restored; restored ones may not be loaded yet
    KEPT = "kept"
    REVERTED = "reverted"


class Change(Value, frozen=True, kw_only=True):
    """One file: its configured path, its real path behind links, and the digests of both contents.

    `before` is "" for a new file. `directory` is the directory that is created for it, "" if it exists already.
    """

    file: str
    real: str
    before: str
    after: str
    directory: str = ""


class Entry(Value, frozen=True, kw_only=True):
    """One fix, or with a `mitigation` one mitigation. The file contents are next to the journal as ID.N.before and ID.N.after."""

    id: str
    began_at: datetime
    cause: str
    message: str
    phase: Phase
    mitigation: str = ""
    changes: tuple[Change, ...] = ()
    runs: tuple[Run, ...] = ()
    ran: int = 0  # how many of them were started
    test: tuple[str, ...] = ()  # the configuration test of the proxy
    master: Master = Master()
    config: str = ""  # its main configuration file
    was_refused: bool = False  # the proxy rejected the old files as well: they cannot be loaded after they are restored
    unit: str = ""  # its systemd unit
    before: tuple[Asked, ...] = ()  # results of the requests that show whether it helps
    seen: tuple[str, ...] = ()  # the failures to be fixed, as error_log.news() names them
    logs: tuple[Mark, ...] = ()  # the end positions of the proxy's error logs before the change
    pressure: Pressure | None = None  # the load before, where the change raises a limit that only load reaches
    reverts_at: datetime | None = None  # a time limit set by the user
    failing: tuple[str, ...] = ()  # once it is kept: failures that it should have fixed and that persist
    unverified: str = ""  # once it is kept: why no request shows whether it helps
    left: tuple[str, ...] = ()  # what could not be reverted

    @property
    def is_unfinished(self) -> bool:
        """True while it is neither kept nor reverted."""
        return self.phase not in (Phase.KEPT, Phase.REVERTED)

    @property
    def is_proved(self) -> bool:
        """True if it is kept, and requests show that it repaired everything that it was to repair."""
        return self.phase is Phase.KEPT and not self.failing and not self.unverified

    @property
    def is_stuck(self) -> bool:
        """True if its files are restored, but the running process could not load them. A later revert tries again."""
        return self.phase is Phase.REVERTING and bool(self.left)

    @property
    def kind(self) -> str:
        """Return the word for this kind of change: "fix" or "mitigation"."""
        return "mitigation" if self.mitigation else "fix"


def directory(path: str | None = None) -> Path:
    """Return the journal's directory, created if missing: the given one, /var/lib/why502 for root, else XDG's
    state directory.
    """
    where = Path(path) if path else places.journal()
    try:
        return Path(output.directory(str(where)))
    except Why502Error as error:
        raise Why502Error(error.message, "Give another directory with --state that belongs to you.") from error


def known_directory(path: str | None = None) -> Path | None:
    """Return the journal's directory without creating it; None if there is none that this user can read."""
    try:
        where = places.journal() if path is None else Path(path)
        return where if where.is_dir() and os.access(where, os.R_OK | os.X_OK) else None
    except (OSError, RuntimeError):  # no home directory
        return None


def is_locked(where: Path) -> bool:
    """Return whether another run is using this journal."""
    try:
        handle = os.open(where / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def lock(where: Path) -> Iterator[None]:
    """Lock out any other fix. Raises Why502Error immediately if one is running."""
    try:
        handle = os.open(where / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise disk.failure(str(where / "lock"), error, "Give another directory with --state.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Why502Error("another why502 is changing this machine", "Wait until it has finished.") from None
        yield
    finally:
        os.close(handle)


def new_id(now: datetime) -> str:
    """Return an id for a fix. Ids sort by time."""
    return f"{now:%Y%m%dT%H%M%S}-{now.microsecond:05x}{secrets.token_hex(2)[1:]}"


def save(where: Path, entry: Entry) -> None:
    """Write an entry. Raises Why502Error."""
    disk.keep(str(where / f"{entry.id}.json"), encode(entry))


def entries(where: Path) -> list[Entry]:
    """Return all entries, the oldest first. Raises Why502Error if one is damaged."""
    found = sorted(path for path in where.glob("*.json") if _NAME.fullmatch(path.stem))
    try:
        return [decode(_our_own(path), Entry, str(path)) for path in found]
    except Why502Error as error:
        raise Why502Error(
            f"the journal is damaged: {error.message}",
            f"The old file contents are next to it (*.before in {where}). Move it away to continue.",
        ) from error


def _our_own(path: Path) -> bytes:
    """Return the content of a journal file. Raises Why502Error if another user could have written it."""
    try:
        reason = trust.stranger(str(path))
    except HostError as error:
        raise Why502Error(error.reason, error.hint) from error
    if reason or path.is_symlink():
        raise Why502Error(reason or f"{path} is a link", "Nothing was changed.")
    return disk.read(str(path))


def content(where: Path, entry: Entry, number: int, *, is_new: bool) -> bytes:
    """Return the old or new content of one file. Raises Why502Error if it is missing or damaged."""
    path = contents_path(where, entry.id, number, is_new=is_new)
    data = _our_own(Path(path))
    change = entry.changes[number]
    if disk.digest(data) != ((change.after if is_new else change.before) or disk.digest(b"")):
        raise Why502Error(f"{path} is damaged", f"Repair {change.file} manually.")
    return data


def contents_path(where: Path, id_: str, number: int, *, is_new: bool) -> str:
    """Return the path of the stored old or new content of one file."""
    return str(where / f"{id_}.{number}.{'after' if is_new else 'before'}")


def sweep(where: Path) -> None:
    """Remove contents that have no entry: leftovers of a fix that was interrupted before it started."""
    known = {path.stem for path in where.glob("*.json")}
    for path in where.glob("*.*.*"):
        if _NAME.fullmatch(path.name.partition(".")[0]) and path.name.partition(".")[0] not in known:
            with contextlib.suppress(OSError):
                path.unlink()
