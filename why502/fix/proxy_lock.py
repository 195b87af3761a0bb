"""One change at a time for each proxy, whichever directory holds the journal.

The lock is a file named after the proxy's main configuration file. It contains the journal's directory and is kept while a
change recorded there is unfinished, so that a run with another journal learns of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from why502.fix import disk, journal, places
from why502.fix.journal import Entry
from why502.host import output
from why502.model.errors import Why502Error

_LONGEST = 4096  # of a path


@contextlib.contextmanager
def hold(config: str, where: Path) -> Iterator[None]:
    """Lock out any other change of the proxy with that main configuration file; nothing is locked if it is "".

    `where` is the directory of the journal. Raises Why502Error immediately if another run holds the lock, or if another journal
    has an unfinished change of this proxy.
    """
    if not config:
        yield
        return
    path = places.locks() / f"{hashlib.sha256(os.path.realpath(config).encode()).hexdigest()[:32]}.lock"
    handle = _locked(path, config)
    try:
        before = os.pread(handle, _LONGEST, 0).decode(errors="replace")
        if before and before != str(where):
            _refuse(Path(before), config)
        os.truncate(handle, 0)
        os.pwrite(handle, str(where).encode(), 0)
        yield
    finally:
        if not _is_unfinished(Path(os.pread(handle, _LONGEST, 0).decode(errors="replace")), config):
            with contextlib.suppress(OSError):
                path.unlink()
                path.parent.rmdir()  # fails if other locks exist
        os.close(handle)


def journals() -> Iterator[Path]:
    """Yield the directories of the journals that a lock names."""
    try:
        for path in sorted(places.locks().glob("*.lock")):
            with contextlib.suppress(OSError):
                yield Path(path.read_bytes()[:_LONGEST].decode(errors="replace"))
    except OSError:
        return


def _locked(path: Path, config: str) -> int:
    """Return the lock file, open and locked. Raises Why502Error."""
    while True:
        output.directory(str(path.parent))
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue  # the last holder removed the directory in the meantime
        except OSError as error:
            raise disk.failure(str(path), error, "Nothing was changed.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise Why502Error(f"another why502 is changing the proxy with {config}", "Wait until it has finished.") from None
        os.close(handle)  # its holder removed it in the meantime


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _unfinished(where: Path, config: str, counts: Callable[[Entry], bool]) -> list[Entry]:
    try:
        return [entry for entry in journal.entries(where) if counts(entry) and entry.config == config] if where.is_dir() else []
    except Why502Error:
        return []


def _is_unfinished(where: Path, config: str) -> bool:
    return bool(_unfinished(where, config, lambda entry: entry.is_unfinished))


def _refuse(where: Path, config: str) -> None:
    """Raise Why502Error if a journal in another directory has an interrupted change of the proxy."""
    if found := _unfinished(where, config, lambda entry: entry.is_unfinished and not entry.is_stuck):
        raise Why502Error(
            f"an earlier {found[-1].kind} ({found[-1].id}) was interrupted; its journal is in {where}",
            f"Finish it with `why502 fix --resume --state {where}`, or undo it with `why502 fix --undo --state {where}`.",
        )
