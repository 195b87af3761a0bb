"""What every kind of receiver is made of: its settings, what it is given, and how a delivery ends."""

from __future__ import annotations

import fnmatch
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable
from urllib.parse import urlsplit

from why502.model.base import Value
from why502.model.finding import Layer
from why502.model.patterns import lazy
from why502.redaction import HIDDEN, redact
from why502.watch.model import Incident, Severity, Transition

SECRET_BYTES = 64 << 10  # the largest file of a secret that is read
_LONGEST = 1000  # characters of a value that are matched
REASON = 300  # characters of an answer that are kept
_NAME = lazy(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Field(StrEnum):
    """What of an incident can be matched, under the names of its labels."""

    HOST = "host"
    PROXY = "proxy"
    TARGET = "target"
    LOCATION = "location"
    CAUSE = "cause"
    FAULT_DOMAIN = "fault_domain"
    SYMPTOM = "symptom"
    SEVERITY = "severity"


Matchers = dict[Field, str | tuple[str, ...]]  # patterns with * and ?; one of several is enough, and every field must match


def matches(matchers: Matchers, incident: Incident) -> bool:
    """Return whether an incident matches in every field. A target or location also matches by any other of its incident."""
    return all(_matches_one(field, wanted, incident) for field, wanted in matchers.items())


def _matches_one(field: Field, wanted: str | tuple[str, ...], incident: Incident) -> bool:
    patterns = (wanted,) if isinstance(wanted, str) else wanted
    found = [value[:_LONGEST] for value in values(field, incident)]
    return any(fnmatch.fnmatchcase(value, pattern) for value in found for pattern in patterns)


def values(field: Field, incident: Incident) -> tuple[str, ...]:
    """Return what an incident has in a field."""
    match field:
        case Field.TARGET:
            return (incident.target, *incident.targets)
        case Field.LOCATION:
            return (incident.location, *incident.locations)
        case Field.SYMPTOM:
            return (incident.symptom, *incident.symptoms)
        case Field.CAUSE:
            return (incident.cause,)
        case Field.FAULT_DOMAIN:
            return (incident.fault_domain.value,)
        case Field.SEVERITY:
            return (incident.severity.value,)
        case Field.HOST:
            return (incident.host,)
        case Field.PROXY:
            return (incident.proxy,)


class ReceiverSettings(Value, frozen=True, kw_only=True, tag_field="kind"):
    """The keys that every kind of receiver has, and which incidents it asks for.

    An incident whose cause is not established is sent whatever `fault_domains` are asked for: nobody can tell whose it is.
    Whoever was told of an incident is also told how it ends, whatever became of it.
    """

    name: str
    severities: tuple[Severity, ...] = (Severity.PAGE, Severity.TICKET)
    fault_domains: tuple[Layer, ...] = ()  # all
    match: Matchers = {}
    send_updates: bool = True  # False: only that an incident opens, comes back and ends
    send_quiet: bool = True  # False: no notes that should wake nobody, such as a cause that was found later
    link: str = ""  # the page of an incident: a URL with {incident} in it
    takes_messages: ClassVar[bool] = True  # False: it is sent the state again and again

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("name must be 1 to 64 letters, digits, `-`, `_` or `.`")
        if not self.severities:
            raise ValueError("severities must name at least one of page, ticket, none")
        if self.link:
            check_url("link", self.link)
            if "{incident}" not in self.link:
                raise ValueError("link must have {incident} where the id of the incident belongs")

    def wants(self, incident: Incident) -> bool:
        """Return whether the receiver asks for an incident as it is now."""
        layer = incident.fault_domain
        is_ours = not self.fault_domains or layer is Layer.NONE or layer in self.fault_domains
        return incident.severity in self.severities and is_ours and matches(self.match, incident)


def secret(path: str) -> str:
    """Return the secret in a file, without surrounding space; it is read for every use, so that it can be replaced.

    Raises Undelivered, never with content.
    """
    if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
        raise Undelivered(f"{path} is not a file")
    try:
        with Path(path).open("rb") as file:
            content = file.read(SECRET_BYTES + 1)
        text = content.decode().strip()
    except OSError as error:
        raise Undelivered(f"cannot read {path}: {(error.strerror or 'unreadable').lower()}") from error
    except UnicodeDecodeError as error:
        raise Undelivered(f"{path} is not text") from error
    if not text or len(content) > SECRET_BYTES or not text.isprintable():
        raise Undelivered(f"{path} must contain one line: the secret")
    return text


def check_path(name: str, path: str) -> None:
    """Raise ValueError if the path of a file in the settings is not absolute."""
    if path and not path.startswith("/"):
        raise ValueError(f"{name} must be an absolute path")


def check_url(name: str, url: str) -> None:
    """Raise ValueError if a URL of the settings is not one to send to."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        host = (parts.hostname or "").encode("idna")
    except (ValueError, UnicodeError):
        is_valid, host = False, b""
    if not is_valid or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{name} must be a URL such as https://alerts.example/path")
    if parts.username or parts.password:
        raise ValueError(f"{name} must not have a password in it; set user and password_file")


@dataclass(slots=True, frozen=True, kw_only=True)
class Notice:
    """What a receiver is to be told of one incident now: the newest state, and every transition that it was not told of yet.

    `key`: of the newest transition; `keys`: of all of them. `thread`: what the receiver answered when it was last told of the
    incident, "" if it never was. `is_quiet`: it should wake nobody. `remark`: about why502 itself, such as logs that are read
    late. `link`: the incident's page.
    """

    key: str
    keys: tuple[str, ...]
    transitions: tuple[Transition, ...]
    incident: Incident
    at: datetime
    thread: str = ""
    is_first: bool = True
    is_test: bool = False
    is_quiet: bool = False
    remark: str = ""
    link: str = ""

    @property
    def transition(self) -> Transition:
        """Return how the incident stands for this receiver."""
        if not self.incident.is_open:
            return Transition.RESOLVED
        if self.is_first:
            return Transition.OPENED
        return Transition.REOPENED if Transition.REOPENED in self.transitions else Transition.UPDATED


class Undelivered(Exception):
    """A receiver did not take a message. `reason` has no secrets. `retry_after_s`: how long the receiver asks to be left alone.

    `is_final`: it refused the content, which will not change.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.is_final = is_final


def reason_of(text: str, secrets: Sequence[str] = ()) -> str:
    """Return the start of a receiver's answer in one line, without secrets."""
    for value in secrets:
        text = text.replace(value, HIDDEN) if value else text
    text = redact(" ".join(text[: 4 * REASON].split()))
    return "".join(one if one.isprintable() else "?" for one in text[:REASON])


class Receiver(Protocol):
    """One that is sent messages, each until it took it."""

    @property
    def settings(self) -> ReceiverSettings:
        """Return its settings."""

    def send(self, notice: Notice) -> str:
        """Send one message, within a bounded time. Return its thread. Raises Undelivered."""


@runtime_checkable
class Repeater(Protocol):
    """One that is sent the state of all incidents again and again, and so can lose nothing."""

    name: str  # no other receiver has it

    @property
    def settings(self) -> ReceiverSettings:
        """Return its settings."""

    def prepare(self, notices: Sequence[Notice], held: Container[str], at: datetime) -> object:
        """Take the incidents that are open or ended a short while ago. Of those `held` (by id) nothing is sent, unless it was
        before. Return a value that differs if the receiver should be told now.
        """

    def repeat(self, at: datetime) -> None:
        """Send what was prepared, within a bounded time. Raises Undelivered."""

    def try_once(self, notice: Notice) -> str:
        """Send one notice for a test, within a bounded time. Return "". Raises Undelivered."""
