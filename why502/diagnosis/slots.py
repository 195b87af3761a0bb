"""How many requests the application behind a target can serve at once, by the command that started it.

Servers with threads accept more connections than they have threads: these wait inside of the process, where no queue of the
kernel shows them.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol, cast

from why502 import registry
from why502.diagnosis.case import Case


class _Server(Protocol):
    def slots(self, argv: tuple[str, ...]) -> int | None: ...


@cache
def _servers() -> tuple[_Server, ...]:
    return cast("tuple[_Server, ...]", tuple(registry.parts("why502.backends", "slots")))


def slots(case: Case) -> int | None:
    """Return the number of requests that all workers together serve at once; None if no command says it."""
    own = {process.pid for process in case.processes}
    workers = sum(process.ppid in own for process in case.processes) or 1
    commands = (*(process.argv for process in case.processes), *(service.argv for service in case.services))
    found = (server.slots(argv) for argv in dict.fromkeys(commands) for server in _servers())
    one = next((each for each in found if each), None)
    return one * workers if one else None
