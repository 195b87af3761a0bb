"""Output files named by the user: written completely or not at all, private, and never through another user's link.

Every step works below an open descriptor of the directory, so the directory cannot be swapped in the meantime: create a new
name
(O_EXCL), write, fsync(2), rename(2). An existing file is replaced, not overwritten, and only if it is ours. A link on the way
is
trusted only if root or the user created it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import stat
from collections.abc import Iterator

from why502.host import trust
from why502.model.errors import HostError, Why502Error
from why502.model.patterns import lazy

_OPEN = lazy(r"/(?:dev|proc/self)/fd/(\d{1,6})")
_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_HINT = "Give a file in a directory that you can write to."


def write(name: str, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file. An older one of ours stays in place until the new one is complete. Raises Why502Error.

    An open stream (`/dev/stdout`, `/dev/fd/3`), a character device (`/dev/null`) or a pipe of ours is written to directly.
    Links,
    pipes and files of other users are refused, and so are sockets, block devices and directories.
    """
    try:
        if (number := _stream(name)) is not None:
            _into(os.dup(number), data)
            return
        with _place(name) as (directory, last):
            present = _present(directory, last, name)
            if present is not None and (stat.S_ISFIFO(present) or stat.S_ISCHR(present)):
                _into(_opened(directory, last, name), data)
            else:
                _replace(directory, last, data, mode)
    except HostError as error:
        raise Why502Error(error.reason, error.hint or _HINT) from error
    except (OSError, ValueError) as error:
        raise Why502Error(f"{name}: {(getattr(error, 'strerror', None) or str(error)).lower()}", _HINT) from error


def may_write(name: str) -> None:
    """Raise Why502Error if `write` would refuse this name, as far as that is known in advance."""
    try:
        if (number := _stream(name)) is not None:
            os.fstat(number)
            return
        with _place(name) as (directory, last):
            present = _present(directory, last, name)
            if present is None or not (stat.S_ISFIFO(present) or stat.S_ISCHR(present)):
                os.unlink(_made(directory, b"", 0o600), dir_fd=directory)
    except HostError as error:
        raise Why502Error(error.reason, error.hint or _HINT) from error
    except (OSError, ValueError) as error:
        raise Why502Error(f"{name}: {(getattr(error, 'strerror', None) or str(error)).lower()}", _HINT) from error


def usual_mode(name: str) -> int:
    """Return the mode for a file without secrets: that of the existing file, else 0666 reduced by the umask."""
    with contextlib.suppress(OSError, ValueError):
        return stat.S_IMODE(os.lstat(name).st_mode) & 0o777 if stat.S_ISREG(os.lstat(name).st_mode) else 0o600
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def directory(name: str) -> str:
    """Return the real path of a directory for our own files that no other user can change. It is created (mode 0700) if
    missing.

    Raises Why502Error.
    """
    hint = "Give a directory that belongs to you."
    try:
        real = _our_own(name)
        os.makedirs(real, mode=0o700, exist_ok=True)
        return _our_own(name)
    except HostError as error:
        raise Why502Error(error.reason, error.hint or hint) from error
    except (OSError, ValueError) as error:
        raise Why502Error(f"{name}: {(getattr(error, 'strerror', None) or str(error)).lower()}", hint) from error


def _our_own(name: str) -> str:
    """Return the real path of a directory. Raises HostError if another user could create a file in it."""
    with trust.walked(f"{name}/{_name()}", missing=True) as found:
        if reason := dataclasses.replace(found, path=name).stranger():
            raise HostError(reason, "Give a directory that belongs to you.")
        return os.path.dirname(found.real)


def _stream(name: str) -> int | None:
    """Return the descriptor number in a path like /dev/fd/3 (proc_pid_fd(5)); None for any other path."""
    plain = os.path.normpath(name) if name else name
    match = _OPEN.fullmatch(plain)
    return int(match[1]) if match else _STREAMS.get(plain)


@contextlib.contextmanager
def _place(name: str) -> Iterator[tuple[int, str]]:
    """Yield an open descriptor of the directory, and the file name. Raises HostError, OSError."""
    head, last = os.path.split(name)
    if not name:
        raise HostError("the output file name is empty", _HINT)
    if last in ("", ".", ".."):
        raise IsADirectoryError(0, "is a directory")
    with trust.walked(head or ".") as found:
        allowed = trust.trusted_users()
        if stranger := next((writer for writer in found.leaders if writer.uid not in allowed), None):
            raise HostError(
                f"{name}: a link that other users may have created leads to {found.real}: {stranger.words}",
                "Give the directory itself, without links.",
            )
        yield found.descriptor, last


def _present(directory: int, last: str, name: str) -> int | None:
    """Return the mode of the existing file if it may be replaced or written to; None if there is no file.

    Raises HostError, OSError.
    """
    try:
        seen = os.stat(last, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(seen.st_mode):
        raise IsADirectoryError(0, "is a directory")
    if stat.S_ISCHR(seen.st_mode):
        return seen.st_mode  # only root can create one
    if stat.S_ISBLK(seen.st_mode) or stat.S_ISSOCK(seen.st_mode):
        raise HostError(f"{name} is a {'block device' if stat.S_ISBLK(seen.st_mode) else 'socket'}", "Give a file.")
    if seen.st_uid not in (os.geteuid(), os.getuid()):
        kind = "link" if stat.S_ISLNK(seen.st_mode) else "pipe" if stat.S_ISFIFO(seen.st_mode) else "file"
        raise HostError(f"{name} is a {kind} of user {seen.st_uid}", "Give another file, or remove that one first.")
    return seen.st_mode


def _opened(directory: int, last: str, name: str) -> int:
    """Return a pipe or device open for writing: the same one that was checked. Raises HostError, OSError."""
    found = os.open(last, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        seen = os.fstat(found)
        if not stat.S_ISCHR(seen.st_mode) and not (stat.S_ISFIFO(seen.st_mode) and seen.st_uid in (os.geteuid(), os.getuid())):
            raise HostError(f"{name} was replaced in the meantime", "Give another file.")
        return os.open(f"/proc/self/fd/{found}", os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(found)


def _replace(directory: int, last: str, data: bytes, mode: int) -> None:
    new = _made(directory, data, mode)
    try:
        os.rename(new, last, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        _forget(directory, new)
        raise
    with contextlib.suppress(OSError):  # a directory that we may write to but not read
        handle = os.open(f"/proc/self/fd/{directory}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _made(directory: int, data: bytes, mode: int) -> str:
    """Return the name of a new file with that content. Raises OSError."""
    new = _name()
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        try:
            _all(handle, data)
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        _forget(directory, new)
        raise
    return new


def _name() -> str:
    return f".why502-{secrets.token_hex(8)}"


def _forget(directory: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)


def _into(handle: int, data: bytes) -> None:
    try:
        _all(handle, data)
    finally:
        os.close(handle)


def _all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
