"""Front: a gateway that a scene puts before its backends. Each product is one module of `fronts`."""

from __future__ import annotations

import importlib
import pkgutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, cast

from why502.lab.gateways import fronts as package
from why502.lab.managers import journal
from why502.lab.stage import Stage

HOST = "shop.example"  # the only name that a front serves
LOGS = "/var/log/front"
ANSWER_S = 2.0
# Forms of a log that goes to the journal of a unit: by its standard streams or by pipes, and by syslog. They need a systemd.
JOURNALS = frozenset({"journal", "syslog-journal"})
_JOURNAL = f"{LOGS}/journal.txt"  # a copy, for us


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a front is to do, in no product's words: it listens on port 80 and passes requests for HOST to the servers."""

    servers: tuple[str, ...]  # "127.0.0.1:3000"
    log: str  # one of the front's LOGS
    is_tls: bool = False  # to the servers; without `trusted` their certificates are not verified
    trusted: str = ""  # file of the authority that their certificates must be of
    server_name: str = ""  # the name that they must be for, and that is sent (SNI)
    connect_s: float = 1.0
    answer_s: float = 1.0  # until the response header; 0: no limit
    leaves_out: bool = False  # a server that fails gets no requests for ten seconds, where the product can do that
    check: str = ""  # path of an active health check, several times a second
    own: Mapping[str, str] = field(default_factory=dict)  # in the product's words, by the place in its configuration


class Front(Protocol):
    """The interface of a module in `fronts`."""

    KIND: str  # as in Proxy.kind
    LOGS: tuple[str, ...]  # the forms of its log that it can write, the usual one first
    HEADER_KIB: int  # the longest response header that it takes
    LACKS: Mapping[str, str]  # scenes that it cannot have (`empty`), or not in a form of its log (`json/empty`), with the reason
    ALIKE: Mapping[str, tuple[str, ...]]  # causes that are right as well in a scene, because its log has the same for both

    def missing(self) -> str:
        """Return what this machine lacks for it, in words; "" where it can run."""
        ...

    def start(self, stage: Stage, wiring: Wiring) -> None:
        """Write its configuration, start it with its logs below LOGS, and wait until it serves. Raises LabError."""
        ...

    def settle(self, stage: Stage) -> None:
        """Return once its logs hold every request that it has answered. Raises LabError."""
        ...

    def words(self, stage: Stage) -> dict[str, str]:
        """Return what its admin interface says about the servers, by the place that says so."""
        ...

    def failures(self, text: str) -> list[str]:
        """Return what its log, given as text, says of failed requests: each kind of line once, without times and ports."""
        ...


@cache
def fronts() -> dict[str, Front]:
    """Return every front by its product's name."""
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__))
    return {name: cast(Front, importlib.import_module(f"{package.__name__}.{name}")) for name in names}


def logged(stage: Stage) -> dict[str, str]:
    """Return the text of every log of the front, by file."""
    return {str(path): path.read_text(errors="replace") for path in sorted(stage.path(LOGS).rglob("*")) if path.is_file()}


def written_at_once(_: Stage) -> None:
    """Do nothing: for a front that writes the line of each request when it ends."""


def written_to_journal(stage: Stage, unit: str) -> None:
    """Wait until the journal has what was written to it, and copy what it has of a unit below LOGS."""
    stage.sh("journalctl", "--sync")
    stage.write(_JOURNAL, journal(stage, unit))


def asked(address: str) -> str:
    """Return the body of an admin interface's answer to a GET; what went wrong, if it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=ANSWER_S) as answer:
            return str(answer.read().decode(errors="replace"))
    except OSError as error:
        return str(error)
