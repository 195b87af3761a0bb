"""The options of the kinds: their words for the command line, and the checks that every value passes.

A value that could end a directive, a string or a line is refused here, with the name of its option.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from why502.model.errors import Why502Error
from why502.model.patterns import lazy
from why502.model.target import Target

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = lazy(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL}){{0,20}}", re.ASCII)
_PATH = lazy(r"/[A-Za-z0-9._~@%+,:=/-]{0,500}", re.ASCII)
_NAME = lazy(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_TIME = lazy(r"([0-9]{1,6})(ms|s|m|h|d)?")
_SIZE = lazy(r"([0-9]{1,16})([kmg]?)", re.IGNORECASE)
_VERSION = lazy(r"[0-9]{1,3}(?:\.[0-9]{1,3}){1,2}")
_TIMES = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LONGEST = 253  # characters of a domain (RFC 1035, 2.3.4)
LONGEST_S = 86400  # of a time limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of `why502 generate`. `metavar` "" makes it a switch; `choices` are its only values."""

    name: str
    help: str
    metavar: str = ""
    is_many: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """The options of one call: values by the option's name, in the order of the command line. A switch has one empty value.

    `sources`: for the options that were measured and not given, where the value comes from.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of an option; () if it is not given."""
        return self.values.get(name, ())

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of an option, or the default."""
        return self.values[name][-1] if self.values.get(name) else default

    def has(self, name: str) -> bool:
        """Return whether an option is given."""
        return name in self.values

    def words(self) -> tuple[str, ...]:
        """Return the options as words of a command line."""
        return tuple(
            word for name, values in self.values.items() for value in values for word in ((name, value) if value else (name,))
        )

    def source(self, name: str) -> str:
        """Return where the value of an option comes from; "" if the user gave it."""
        return self.sources.get(name, "")

    def with_measured(self, found: Mapping[str, tuple[tuple[str, ...], str]], names: Collection[str]) -> Given:
        """Return these options with the measured ones of these names added: values and source by name. What was given stays."""
        new = {name: both for name, both in found.items() if name in names and name not in self.values}
        values = {**self.values, **{name: values for name, (values, _) in new.items()}}
        return Given(values, {**self.sources, **{name: source for name, (_, source) in new.items()}})

    def only(self, names: Iterable[str], kind: str) -> None:
        """Raise Why502Error for an option that this kind cannot turn into anything."""
        for name in self.values:
            if name not in names:
                raise Why502Error(f"{name} does not apply to {kind}", f"`why502 generate {kind} --help` lists its options.")


def refuse(option: str, value: str, why: str, hint: str) -> Why502Error:
    """Return the error for a value of an option."""
    return Why502Error(f"{option} {str(value)!r} {why}", hint)  # an enum is shown as its text


def domain(option: str, value: str) -> str:
    """Return a host name in lower case, possibly with `*.` before it. Raises Why502Error."""
    name = value.lower().rstrip(".")
    if not name.isascii():
        raise refuse(option, value, "is not a host name in ASCII", f"Write it as {_punycode(value)}.")
    if len(name) > _LONGEST or not _DOMAIN.fullmatch(name):
        raise refuse(option, value, "is not a host name", "Write it like shop.example or *.shop.example.")
    return name


def _punycode(value: str) -> str:
    try:
        return value.lower().encode("idna").decode()
    except UnicodeError:
        return "xn--…"


def path(option: str, value: str) -> str:
    """Return an absolute path, or a path of a URL, of plain characters. Raises Why502Error."""
    if not _PATH.fullmatch(value) or "/../" in f"{value}/":
        raise refuse(
            option, value, "is not a plain absolute path", "Use letters, digits and . _ ~ @ % + , : = - and begin with /."
        )
    return value


def name(option: str, value: str) -> str:
    """Return a name of letters, digits, `_` and `-`. Raises Why502Error."""
    if not _NAME.fullmatch(value):
        raise refuse(option, value, "is not a plain name", "Use lower-case letters, digits, _ and -, and begin with a letter.")
    return value


def address(option: str, value: str) -> Target:
    """Return the address of an application: `127.0.0.1:3000`, `app.internal:3000`, `unix:/run/app.sock`. Raises Why502Error."""
    hint = "Write it like 127.0.0.1:3000, [::1]:3000, app.internal:3000 or unix:/run/app.sock."
    bare = value.removeprefix("http://").removeprefix("https://").rstrip("/")
    if value.isdigit() and 0 < int(value) < 65536:
        return Target(host="127.0.0.1", port=int(value))
    target = Target.parse(bare) if bare.startswith("unix:") or "/" not in bare else None
    if target is None or str(target) != bare.replace("unix:///", "unix:/") or not (target.is_unix or target.port):
        raise refuse(option, value, "is not an address with a port, or a socket", hint)
    if target.is_unix:
        path(option, target.path)
        return target
    if target.host == "localhost":  # may be two addresses, of which the application listens on one: rule localhost-target
        return Target(host="127.0.0.1", port=target.port)
    if target.is_wildcard:
        raise refuse(
            option, value, "is an address for listening, not for connecting", "Write 127.0.0.1 or the machine's address."
        )
    try:
        ip = ipaddress.ip_address(target.host)
    except ValueError:
        domain(option, target.host)
    else:
        if getattr(ip, "scope_id", None):
            raise refuse(option, value, "has a zone", hint)
    return target


def seconds(option: str, value: str, low: int, high: int) -> int:
    """Return a time in whole seconds, written like 30, 30s, 5m, 1h. Raises Why502Error."""
    match = _TIME.fullmatch(value)
    found = int(match[1]) * _TIMES[match[2]] if match and match[2] != "ms" else -1
    if not low <= found <= high:
        raise refuse(option, value, f"is not a time from {low} s to {high} s", "Write it like 30s, 5m or 1h, in whole seconds.")
    return found


def size(option: str, value: str, low: int, high: int) -> int:
    """Return a size in bytes, written like 10m or 64k. Raises Why502Error."""
    match = _SIZE.fullmatch(value)
    found = int(match[1]) * _SIZES[match[2].lower()] if match else -1
    if not low <= found <= high:
        raise refuse(option, value, f"is not a size from {low} to {high} bytes", "Write it like 64k, 10m or 1g.")
    return found


def written_size(size_bytes: int) -> str:
    """Return a size as `size` reads it, in the largest unit that needs no fraction: 96m."""
    for letter, scale in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if size_bytes % scale == 0:
            return f"{size_bytes // scale}{letter}"
    return str(size_bytes)


def number(option: str, value: str, low: int, high: int) -> int:
    """Return a whole number. Raises Why502Error."""
    if not value.isascii() or not value.isdigit() or len(value) > 9 or not low <= int(value) <= high:
        raise refuse(option, value, f"is not a number from {low} to {high}", f"Give a number from {low} to {high}.")
    return int(value)


def resolver(option: str, value: str) -> str:
    """Return the address of a name server: `10.0.0.2`, `[fd00::2]`, `127.0.0.1:5353`. Raises Why502Error."""
    bare, port = value, ""
    if found := re.fullmatch(r"(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):(\d{1,5})", value):
        bare, port = found[1], found[2]
    try:
        ip = ipaddress.ip_address(bare.strip("[]"))
    except ValueError as error:
        raise refuse(option, value, "is not the address of a name server", "Write it like 10.0.0.2 or [fd00::2].") from error
    shown = f"[{ip}]" if ip.version == 6 else str(ip)
    return f"{shown}:{number(option, port, 1, 65535)}" if port else shown


def version(option: str, value: str) -> str:
    """Return a version with three parts. Raises Why502Error."""
    if not _VERSION.fullmatch(value):
        raise refuse(option, value, "is not a version", "Write it like 1.22.1.")
    return value if value.count(".") == 2 else f"{value}.0"


def choice(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return a value that is one of those allowed. Raises Why502Error."""
    if value not in allowed:
        raise refuse(option, value, "is not a valid value", f"Give one of: {', '.join(allowed)}.")
    return value
