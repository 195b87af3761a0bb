"""Remote machines: runs `why502 collect` there, through this machine's own `ssh` with its keys, agent,
jump hosts and known hosts.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import msgspec

from why502.bundle import LIMIT_BYTES, load
from why502.diagnosis.targets import targets
from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target
from why502.model.times import of_iso

LIMIT_S = 120.0  # per machine, including its connection
MOST_TARGETS = 64  # maximum targets that a machine is asked about
AT_ONCE = 16
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=15", "ForwardAgent=no", "ForwardX11=no")
_PLACES = "$PATH:/usr/local/bin:$HOME/.local/bin"  # a non-login shell may lack the last two
_NOT_FOUND, _NO_CONNECTION = 127, 255  # POSIX shell, 2.8.2; ssh(1), EXIT STATUS
_ERROR_BYTES = 4096
_BUNDLE, _GREETING = b"\x1f\x8b\x08", 65536  # its first bytes; the output a login shell may print before it


class Address(Value, frozen=True, kw_only=True):
    """`ssh://[USER@]HOST[:PORT]`."""

    host: str
    user: str = ""
    port: int | None = None

    def __str__(self) -> str:
        return f"{self.place}:{self.port}" if self.port else self.place

    @property
    def place(self) -> str:
        """Return ssh's destination argument: USER@HOST, or HOST."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address in a text. Raises Why502Error."""
        hint = "Write it like ssh://user@host, or ssh://user@host:2222."
        try:
            parts = urlsplit(text)
            host, user, port = parts.hostname or "", unquote(parts.username or ""), parts.port
        except ValueError as error:
            raise Why502Error(f"--host {text!r} is not a valid address: {error}", hint) from error
        if parts.password:
            raise Why502Error(f"--host ssh://{host}: a password in the address is not supported", "Use a key or an agent.")
        if parts.scheme != "ssh" or not host or parts.path.strip("/") or parts.query or f"{host} {user}".startswith("-"):
            raise Why502Error(f"--host {text!r} is not a valid ssh:// address", hint)
        if user.startswith("-") or any(character.isspace() or not character.isprintable() for character in host + user):
            raise Why502Error(f"--host {text!r} is not a valid ssh:// address", hint)
        return cls(host=host, user=user, port=port)


def look_elsewhere(hosts: Sequence[str], options: Sequence[str], known: Sequence[Snapshot] = ()) -> tuple[Snapshot, ...]:
    """Return the bundles of `why502 collect` with these options from each reachable machine.

    A machine without a proxy is asked about the addresses that the other machines' proxies, and those in `known`, connect to.
    Raises Why502Error if no machine could be examined; if only some failed, each is a Gap.
    """
    addresses = [Address.parse(text) for text in dict.fromkeys(hosts)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda address: _looked(address, options), addresses))
        wanted = _wanted((*known, *(each for each in found if isinstance(each, Snapshot))))
        again = [
            (number, asked)
            for number, each in enumerate(found)
            if (asked := wanted if isinstance(each, _Refused) else _unasked(each, wanted) if isinstance(each, Snapshot) else ())
        ]
        more = pool.map(lambda pair: _looked(addresses[pair[0]], [*options, *_asking(pair[1])]), again)
        for (number, _), each in zip(again, more, strict=True):
            if isinstance(each, Snapshot) or not isinstance(found[number], Snapshot):
                found[number] = each
    seen = [each for each in found if isinstance(each, Snapshot)]
    failed = [(address, each) for address, each in zip(addresses, found, strict=True) if isinstance(each, Why502Error)]
    if not seen:
        raise failed[0][1]
    gaps = tuple(Gap(source=str(address), reason=error.message, hint=error.hint) for address, error in failed)
    return (msgspec.structs.replace(seen[0], gaps=(*seen[0].gaps, *gaps)), *seen[1:])


def window(since: str, until: str) -> tuple[str, ...]:
    """Return the options of a window for another machine: an absolute time is in this machine's zone, a duration stays
    unchanged.
    """
    return "--since", _with_zone(since), "--until", _with_zone(until)


def _with_zone(text: str) -> str:
    at = of_iso(text.strip())
    return text if at is None else at.astimezone(UTC).isoformat()


class _Refused(Why502Error):
    """The machine was reached but could not be examined: it has no proxy."""


def _looked(address: Address, options: Sequence[str]) -> Snapshot | Why502Error:
    try:
        return load(_collected(address, options), str(address))
    except Why502Error as error:
        return error


def _collected(address: Address, options: Sequence[str]) -> bytes:
    """Return the bundle written by the machine. Raises Why502Error."""
    script = f'PATH="{_PLACES}"; export PATH; exec why502 collect -q -o - {shlex.join(options)}'
    argv = ["ssh", "-T", *(word for option in _OPTIONS for word in ("-o", option))]
    argv += ["-l", address.user] if address.user else []
    argv += ["-p", str(address.port)] if address.port else []
    argv += ["--", address.host, f"exec sh -c {shlex.quote(script)}"]
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        except OSError as error:
            raise Why502Error(f"{address}: ssh: {(error.strerror or '').lower()}", "Install the OpenSSH client.") from error
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            process.kill()

        limit = threading.Timer(LIMIT_S, end)
        limit.start()
        try:
            with process:
                assert process.stdout is not None
                data = process.stdout.read(LIMIT_BYTES + 1)
                if len(data) > LIMIT_BYTES:
                    process.kill()
        except BaseException:
            with contextlib.suppress(OSError):
                process.kill()
            raise
        finally:
            limit.cancel()
        if is_late.is_set():
            raise Why502Error(f"{address} did not answer within {LIMIT_S:g} s", _by_hand(address))
        if process.returncode == 0 or len(data) > LIMIT_BYTES:
            return data[max(0, data.find(_BUNDLE, 0, _GREETING)) :]
        raise _failure(address, process.returncode, _error_lines(errors))


def _failure(address: Address, status: int, lines: list[str]) -> Why502Error:
    if status == _NOT_FOUND:
        return Why502Error(f"{address}: why502 is not installed there", "Install it there: pip install why502.")
    if status == _NO_CONNECTION or not lines:
        return Why502Error(f"{address}: {lines[-1] if lines else f'ssh exited with status {status}'}", _by_hand(address))
    mine = next((number for number, line in enumerate(lines) if line.startswith("why502: ")), None)
    if mine is None:
        return Why502Error(f"{address}: {lines[-1]}", f"Run `why502 collect -o FILE` on {address.host} itself.")
    hint = next(iter(lines[mine + 1 :]), f"Run `why502 diagnose` on {address.host} itself.")
    return _Refused(f"{address}: {lines[mine].removeprefix('why502: ')}", hint)


def _by_hand(address: Address) -> str:
    return f"Try `ssh {f'-p {address.port} ' if address.port else ''}{address.place}` yourself: it must connect without a prompt."


def _error_lines(errors: BinaryIO) -> list[str]:
    size = errors.seek(0, 2)
    errors.seek(max(size - _ERROR_BYTES, 0))
    return [line.strip() for line in errors.read(_ERROR_BYTES).decode("utf-8", "replace").splitlines() if line.strip()]


def _wanted(snapshots: Iterable[Snapshot]) -> tuple[Target, ...]:
    """Return the remote addresses that proxies connect to."""
    found = (target for snapshot in snapshots for target in targets(snapshot))
    return tuple(dict.fromkeys(x for x in found if x.is_address and not x.is_loopback and not x.is_wildcard))[:MOST_TARGETS]


def _unasked(snapshot: Snapshot, wanted: tuple[Target, ...]) -> tuple[Target, ...]:
    """Return the addresses on that machine that its own proxies do not name."""
    known = set(targets(snapshot))
    return tuple(target for target in wanted if target.host in (snapshot.addresses or ()) and target not in known)


def _asking(asked: tuple[Target, ...]) -> list[str]:
    return [word for target in asked for word in ("--target", str(target))]
