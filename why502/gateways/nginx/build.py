"""Version and configure arguments of an nginx binary, the same texts that `nginx -V` prints.

They are read from the file, without running it. That works for any binary, including a deleted one or one in another
container, and no foreign code is executed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.patterns import lazy

LIMIT_BYTES = 128 << 20
_PART = 1 << 20
_VERSION = lazy(rb"nginx version: [\w.+-]+/(\d[\w.+-]*)")  # openresty and tengine put their own name, or nginx, here
_OTHER = lazy(rb"\b\w+ version: \w+/(\d[\w.]*)")
_OPTIONS = lazy(rb"configure arguments:([^\0\n]*)")


@dataclass(frozen=True, slots=True)
class Build:
    """Version ("1.22.1"; "" if unknown) and configure arguments."""

    version: str = ""
    options: tuple[str, ...] = ()


def read_build(host: Host, exe: str) -> Build:
    """Return the build information in a binary. Raises HostError. It is read in parts: anybody can make a huge one."""
    version, other = "", ""
    options: tuple[str, ...] = ()
    with host.open(exe) as file:
        try:
            for part in _parts(file):
                found = parse_build(part)
                is_own = _VERSION.search(part) is not None
                version, other = version or (found.version if is_own else ""), other or found.version
                options = options or found.options
                if version and options:
                    break
        except OSError as error:
            raise HostError(f"{exe}: {error.strerror}", errno=error.errno) from error
    return Build(version or other, options)


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file in parts that end at the end of a C string: with a zero byte, if there is one."""
    before, left = b"", LIMIT_BYTES
    while left > 0 and (chunk := file.read(min(left, _PART))):
        left -= len(chunk)
        cut = chunk.rfind(b"\0") + 1 or len(chunk)
        yield before + chunk[:cut]
        before = chunk[cut:]
    yield before


def parse_build(content: bytes) -> Build:
    """Return the build information in the bytes of a binary, or in the output of `nginx -V`."""
    version = _VERSION.search(content) or (_OTHER.search(content) if b" version: " in content else None)
    options = _OPTIONS.search(content)
    return Build(
        version=version[1].decode("ascii", "replace") if version else "",
        options=_words(options[1].decode("utf-8", "replace")) if options else (),
    )


def installed_version(host: Host) -> str:
    """Return the version of the nginx on the PATH, such as `1.22.1`; "" if there is none."""
    try:
        shown = host.run("nginx", "-v")
    except HostError:
        return ""
    return parse_build((shown.stderr + shown.stdout).encode()).version


def build_option(options: tuple[str, ...], name: str) -> str:
    """Return the value of `--name=value`, "" if it is not given."""
    start = f"--{name}="
    return next((option.removeprefix(start) for option in reversed(options) if option.startswith(start)), "")


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())
