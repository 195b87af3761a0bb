"""Case: the snapshots as seen from one target. A cause examines a case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from why502.diagnosis.attribution import SECOND, Attribution
from why502.model.logs import Symptom, Tally
from why502.model.probe import Probe
from why502.model.request_line import path_of
from why502.model.service import Service
from why502.model.snapshot import NetworkPath, Pressure, Resolution

OFTEN = 3  # restarts
SERVES = 3  # answers for each restart; a service in a loop is up for one or two requests
KILLS, KILLING = 3, 0.5  # broken connections of one path, and their share: other connections break when the same process ends


@dataclass(frozen=True, eq=False)
class Case(Attribution):
    """One target: where it runs, what happened to it, and everything else that concerns it."""

    @cached_property
    def killer(self) -> str:
        """The one request whose connections break while others are answered: "GET /path"; "" if there is none.

        If a server is stopped or cannot start, the connections of all paths break. If all broke when the service was told to
        stop, the path is only the one that had most of them open.
        """
        broken = [tally for tally in self.tallies if tally.symptom in (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER)]
        first = min((tally.first for tally in broken if tally.first), default=None)
        answered = self.last_answered
        if first is None or answered is None or answered <= first:
            return ""
        closed = next((tally for tally in broken if tally.symptom is Symptom.CLOSED_BEFORE_HEADER), None)
        last = max((tally.last for tally in broken if tally.last), default=first)
        if any(stop.at and stop.at - SECOND <= first and last <= stop.at + 2 * SECOND for stop in self.restarts):
            return ""
        requests = dict(closed.requests) if closed else {}
        worst = max(requests, key=lambda request: requests[request], default="")
        is_it = requests and requests[worst] >= KILLS and requests[worst] >= KILLING * sum(requests.values())
        return worst if is_it and path_of(worst) not in ("", "/") else ""

    @cached_property
    def again_and_again(self) -> tuple[Service, ...]:
        """The services of the target that their manager has restarted several times, the last time within the window."""
        since = self.here.since
        found = (one for one in self.services if one.restarts is not None and one.restarts >= OFTEN)
        return tuple(one for one in found if one.changed_at is None or since is None or one.changed_at >= since)

    @cached_property
    def serves_between(self) -> bool:
        """Whether the services that their manager restarts answer several requests in each of their lives, by the access logs."""
        restarts = max((service.restarts or 0 for service in self.again_and_again), default=0)
        traffic = self.traffic
        answered = traffic.attempts - traffic.failures if traffic else sum(path.answered for path in self.paths)
        return restarts > 0 and answered >= SERVES * restarts

    @cached_property
    def hosted_break(self) -> Tally | None:
        """The tally of incomplete response headers from an application's daemon that the gateway itself starts (mod_wsgi);
        None if there is none.
        """
        found = [t for t in self.tallies if t.symptom is Symptom.CLOSED_BEFORE_HEADER and t.code == "mod_wsgi"]
        return found[0] if self.target is None and found else None

    @cached_property
    def path(self) -> NetworkPath | None:
        """The network path from the proxy's machine to the target; None if unknown, as it is in another network namespace."""
        if self.network:
            return None
        return next((x for x in self.here.paths or () if self.target is not None and x.address == self.target.host), None)

    @cached_property
    def entrances(self) -> tuple[Probe, ...]:
        """Our own requests through the proxy on the target's routes."""
        places = dict.fromkeys(route.at for route in self.routes if route.at)
        return tuple(probe for at in places for probe in self.joins.entrances.get(at, ()))

    @cached_property
    def pressure(self) -> tuple[Pressure, ...]:
        """The resource pressure on the target's machine, and on the cgroup of its processes."""
        groups = {p.cgroup for p in self.processes if p.cgroup}
        found = (self.host.pressure if self.host else None) or ()
        return tuple(x for x in found if x.scope == "machine" or x.scope in groups)

    @cached_property
    def lacks_family(self) -> bool:
        """True if the target is an IPv6 address elsewhere and the proxy's machine has no IPv6 address at all."""
        target, own = self.target, self.here.addresses
        return bool(target and ":" in target.host and not target.is_loopback and own) and not any(
            ":" in each for each in own or ()
        )

    @cached_property
    def gone(self) -> Service | None:
        """The container that should serve the target and has ended, if connections get no answer, or no host is found; else
        None.
        """
        absent = (Symptom.CONNECT_TIMED_OUT, Symptom.HOST_UNREACHABLE, Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED)
        return self.ended_container if self.seen(*absent) else None

    def resolutions(self, name: str) -> tuple[Resolution, ...]:
        """Return the addresses that the proxy now gets for a name."""
        return tuple(x for x in self.here.names or () if x.name == name)

    @cached_property
    def explains_notices(self) -> bool:
        """True if lines that are not gateway failures may be the answer: files were given, and they contain nothing else."""
        return self.offline and not self.has_failed

    @cached_property
    def has_failed(self) -> bool:
        """True if the logs contain any failure, whatever its target."""
        logs = self.here.logs
        return any(tally.is_failure for tally in (logs.tallies if logs else ()))


def is_of_the_web(probe: Probe) -> bool:
    """Return whether a probe got the text of a web server with wrong framing: HTTP, HTML or JSON without a valid status line."""
    is_unframed = probe.symptom is Symptom.NO_STATUS_LINE or not probe.speaks  # a probe asks for it only in HTTP
    return is_unframed and probe.first_bytes.strip('"').startswith(("HTTP/", "<", "{"))
