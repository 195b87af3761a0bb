"""Whether it is this machine's own network that fails, when members on several other machines fail together.

Then their failed checks are unknown, not down: the routes to them, the gateway in between and the name servers are looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import msgspec

from why502.collectors.name_server import ask_server
from why502.collectors.names import parse_name_servers
from why502.collectors.paths import look
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.snapshot import Lookup, NetworkPath, Resolution, Snapshot
from why502.model.target import Target
from why502.watch.model import CheckResult

UNREACHED = frozenset(
    {
        Symptom.CONNECT_TIMED_OUT,
        Symptom.HOST_UNREACHABLE,
        Symptom.CONNECT_FAILED,
        Symptom.NAME_NOT_FOUND,
        Symptom.NAME_SERVER_FAILED,
    }
)
MACHINES = 2  # other machines that must fail together
ROUND_S = 60.0  # within this time
AGAIN_S = 10.0  # the network is looked at no more often
SILENT = ("FAILED", "INCOMPLETE")  # states of a neighbour that does not answer (ip-neighbour(8))
REACHABLE = ("unicast", "local")
SERVERS = 2
ASKED = "localhost"  # any answer will do
WORDS = "this machine's own network fails: {reason}"


class Sight:
    """Judges results: those of unreachable machines are unknown while this machine's network fails. Times are monotonic."""

    def __init__(self, host: Host, ask: Callable[[Host, str, Target], Resolution] = ask_server) -> None:
        self._host, self._ask = host, ask
        self._lock = threading.Lock()
        self._own: frozenset[str] = frozenset()
        self._failing: dict[str, float] = {}
        self._looked_s: float | None = None
        self.reason = ""  # why the network fails; "" if it works, as far as is known

    def update(self, known: Snapshot) -> None:
        """Take over which addresses are this machine's."""
        self._own = frozenset(known.addresses or ())

    def judged(self, result: CheckResult, now_s: float) -> CheckResult:
        """Return the result, as unknown if it only shows that this machine's network fails."""
        machine = result.peer.host
        if result.peer.is_loopback or machine in self._own:
            return result
        with self._lock:
            if result.symptom not in UNREACHED:
                self._failing.pop(machine, None)
                if result.symptom is None and not result.is_unknown:
                    self.reason = ""
                return result
            self._failing[machine] = now_s
            self._failing = {name: at_s for name, at_s in self._failing.items() if now_s - at_s <= ROUND_S}
            together = list(self._failing)
            is_late = self._looked_s is None or now_s - self._looked_s >= AGAIN_S
            if len(together) < MACHINES:
                return result
            if is_late:
                self._looked_s = now_s
        if is_late:  # without the lock: other checks go on
            self.reason = own_failure(self._host, together, self._ask)
        if not self.reason:
            return result
        return msgspec.structs.replace(result, symptom=None, is_unknown=True, reason=WORDS.format(reason=self.reason))


def own_failure(host: Host, machines: Iterable[str], ask: Callable[[Host, str, Target], Resolution]) -> str:
    """Return why the machine's own network fails: no route to several machines, a silent gateway or name server; "" if not."""
    addresses = [name for name in machines if Target(host=name, port=1).is_address][: 2 * MACHINES]
    try:
        paths = [look(host, address) for address in addresses]
    except HostError:
        paths = []
    blocked = [path for path in paths if _is_blocked(path)]
    if len(blocked) >= MACHINES and len(blocked) == len(paths):
        return blocked[0].words
    servers = parse_name_servers(attempt(lambda: host.read("/etc/resolv.conf", limit_bytes=1 << 16)) or b"")[:SERVERS]
    answers = [ask(host, ASKED, Target(host=server, port=53)) for server in servers]
    if answers and all(answer.outcome is Lookup.TIMED_OUT for answer in answers):
        return f"name server {answers[0].source} does not answer"
    return ""


def _is_blocked(path: NetworkPath) -> bool:
    """Return whether this machine cannot send to an address; a dead neighbour counts only as a gateway."""
    return path.route not in REACHABLE or (bool(path.gateway) and path.neighbour in SILENT)
