"""Who supplied a fact: paths named by a user's process or file are read with that user's rights (`Host.acting_as`).

A process supplies its title and command line. A configuration file supplies its includes, the paths of logs and the targets of
routes. If a user other than root can change the file, these facts are that user's, whoever reads the file.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import partial

from why502.host.base import Host
from why502.host.trust import NOBODY
from why502.machine.attempt import attempt
from why502.machine.process_table import parse_status
from why502.model.errors import HostError

ROOT = 0
ALLOWED_FILES = 512
ALLOWED_BYTES = 2 << 20


def of_process(host: Host, pid: int) -> int:
    """Return the user who supplies a process's title and arguments: root only if all its uids are root. Raises HostError.

    The caller of a set-user-id program chooses its arguments, so the real uid counts too (credentials(7)). Some programs, such
    as sudo(8), become root entirely before they do anything else. Their caller is unknown, so they count as NOBODY's.
    """
    status = parse_status(host.read(f"/proc/{pid}/status").decode("utf-8", "replace"))
    words = status.get("Uid", "").split()
    if not words or not all(word.isascii() and word.isdecimal() for word in words):
        raise HostError(f"/proc/{pid}/status does not name the user")
    if other := next((int(word) for word in words if word != "0"), ROOT):
        return other
    program = attempt(partial(host.stat, f"/proc/{pid}/exe"))
    return NOBODY if program is not None and program.mode & (stat.S_ISUID | stat.S_ISGID) else ROOT


def of_jailed(host: Host, pid: int) -> int:
    """Return `of_process` of a root program that takes on another user's effective uid. Raises HostError.

    Its real and saved uid stay root's, so that user can neither have started nor change it.
    """
    status = parse_status(host.read(f"/proc/{pid}/status").decode("utf-8", "replace"))
    words = status.get("Uid", "").split()
    if len(words) == 4 and words[0] == words[2] == "0":
        program = attempt(partial(host.stat, f"/proc/{pid}/exe"))
        return NOBODY if program is not None and program.mode & (stat.S_ISUID | stat.S_ISGID) else ROOT
    return of_process(host, pid)


def supplier_of(host: Host, path: str) -> int:
    """Return the user who controls a file's content; NOBODY if that is not readable."""
    found = attempt(partial(host.supplier, path))
    return NOBODY if found is None else found


class Allowance:
    """A limit on how much is read from the configurations of one user other than root, so that no user uses up the time of
    others.
    """

    def __init__(self) -> None:
        self.files = ALLOWED_FILES
        self.bytes = ALLOWED_BYTES

    def take(self, size_bytes: int) -> None:
        """Count a file. Raises HostError if the limit is exceeded."""
        self.files -= 1
        self.bytes -= size_bytes
        if self.files < 0 or self.bytes < 0:
            raise HostError(
                f"more than {ALLOWED_FILES} files or {ALLOWED_BYTES >> 20} MiB of one user's configurations are not read"
            )


class Rights:
    """The rights for following a gateway's files: those of the gateway's user; for root's gateway, those of whoever can change
    the file.

    `allowance` limits how much is read for a user other than root.
    """

    def __init__(self, host: Host, owner_uid: int, root: str = "", allowance: Allowance | None = None) -> None:
        self._host = host
        self._root = root
        self._files: dict[str, int] = {}
        self._allowance = allowance or Allowance()
        self.owner_uid = owner_uid
        self.own = self._acting_as(owner_uid)

    def read(self, path: str) -> bytes:
        """Return the content of a file named by the gateway's own user. Raises HostError."""
        return self._read(self.own, self.owner_uid, path)

    def reading(self, file: str) -> tuple[Callable[[str], bytes], Callable[[str], list[str]]]:
        """Return the functions that read and list the includes of a file."""
        host, uid = self.of(file), self.supplier(file)
        return partial(self._read, host, uid), host.list

    def _read(self, host: Host, uid: int, path: str) -> bytes:
        if uid == ROOT:
            return host.read(path)
        content = host.read(path, limit_bytes=max(0, self._allowance.bytes) + 1)
        self._allowance.take(len(content))
        return content

    def environment(self, pid: int) -> dict[str, str]:
        """Return the environment that the gateway's process was started with; {} if it is not readable."""
        content = attempt(partial(self._host.acting_as(self.owner_uid).read, f"/proc/{pid}/environ")) or b""
        words = content.decode("utf-8", "surrogateescape").split("\0")
        return {name: value for name, found, value in (word.partition("=") for word in words) if found}

    def supplier(self, file: str) -> int:
        """Return the user who controls a file's content; the gateway's own user if it is not a file (option -g)."""
        if self.owner_uid != ROOT or not file.startswith("/"):
            return self.owner_uid
        if file not in self._files:
            self._files[file] = supplier_of(self.own, file)
        return self._files[file]

    def of(self, file: str) -> Host:
        """Return the machine with the rights of the file's supplier, below the gateway's root."""
        uid = self.supplier(file)
        return self.own if uid == self.owner_uid else self._acting_as(uid)

    def _acting_as(self, uid: int) -> Host:
        acting = self._host.acting_as(uid)
        return acting.inside(self._root) if self._root else acting
