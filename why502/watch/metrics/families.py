"""The table of the metrics: name, type, labels and meaning of each, and where a MetricsView has its values.

Names and labels follow prometheus.io/docs/practices/naming: base units, `_total`, times instead of ages. No label holds the path
of a request, a client, a process id, an id of a request or a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from why502.model.patterns import lazy
from why502.version import __version__
from why502.watch.metrics.series import Labels
from why502.watch.metrics.view import LogTotal, MetricsView
from why502.watch.model import Change, ChangeKind, Incident, LimitKind, Member, MemberStatus

UNKNOWN = "unknown"  # the cause of an incident for which none could be established
SENT = "sent"
FAILED = "failed"
_LOG = ("log", "kind")
_PID = lazy(r" \(pid \d{1,10}\)\Z")


class Kind(StrEnum):
    """The type of a metric, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"
    INFO = "info"


Rows = Iterable[tuple[Labels, float]]


@dataclass(slots=True, frozen=True)
class Family:
    """One metric. `most`: its label sets at most. `rows`: its values, most important first; of a summary count and sum."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    most: int
    rows: Callable[[MetricsView], Rows]

    @property
    def full_name(self) -> str:
        """Return the name as rules and charts use it."""
        return self.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")


def _by_collector(_: MetricsView) -> Rows:
    """Return nothing: the collector fills this one, since it must remember what it showed."""
    return ()


REQUESTS = Family(
    "why502_requests",
    Kind.COUNTER,
    ("proxy", "location", "code"),
    "Requests by their status: 2xx, 3xx, 4xx, 499, 502, 503, 504, 5xx, other.",
    400,
    _by_collector,
)
ATTEMPTS = Family(
    "why502_attempts",
    Kind.COUNTER,
    ("proxy", "target", "outcome"),
    "Attempts to get an answer from a target, retries included. The outcome is ok or a symptom.",
    300,
    _by_collector,
)
RECOVERED = Family(
    "why502_recovered_failures",
    Kind.COUNTER,
    ("proxy", "target"),
    "Failed attempts that a retry hid from the client.",
    60,
    _by_collector,
)
FAILURES = Family(
    "why502_failures",
    Kind.COUNTER,
    ("proxy", "location", "symptom"),
    "Requests that ended in a failure for the client.",
    250,
    _by_collector,
)
DURATIONS = Family(
    "why502_response_duration_seconds",
    Kind.HISTOGRAM,
    ("proxy", "target"),
    "How long targets took to respond. By upstream group instead of target above 30 targets.",
    60,
    _by_collector,
)
# Of the traffic: the labels are known only when they are seen. The first two are proxy and location or target.
TRAFFIC = (REQUESTS, ATTEMPTS, RECOVERED, FAILURES, DURATIONS)


def _timeouts(view: MetricsView) -> Rows:
    for route in view.routes or ():
        group = route.group or next(iter(route.targets), "")
        for phase, timeout_s in route.timeouts_s.items():
            yield (route.proxy, route.location, group, phase), timeout_s


def _member(member: Member) -> Labels:
    return (member.proxy, member.group or str(member.peer), str(member.peer))


def _target_up(view: MetricsView) -> Rows:
    for member in view.members:
        if member.status is not MemberStatus.UNKNOWN:
            yield _member(member), float(member.status is MemberStatus.UP)


def _targets(view: MetricsView) -> Rows:
    return ((_member(member), 1.0) for member in view.members)


def _check_durations(view: MetricsView) -> Rows:
    for member in view.members:
        for phase, duration_s in member.last.phases_s.items() if member.last else ():
            yield (member.proxy, str(member.peer), phase.value), duration_s


def _key(incident: Incident) -> Labels:
    return (incident.cause or UNKNOWN, incident.fault_domain.value, incident.target, incident.severity.value)


def _open(view: MetricsView) -> Rows:
    found = Counter(dict.fromkeys(map(_key, view.incidents), 0))
    found.update(_key(incident) for incident in view.incidents if incident.is_open)
    return ((key, float(count)) for key, count in found.items())


def _opened_at(view: MetricsView) -> Rows:
    first: dict[Labels, datetime] = {}
    for incident in view.incidents:
        if incident.is_open:
            first[_key(incident)] = min(incident.opened_at, first.get(_key(incident), incident.opened_at))
    return ((key, at.timestamp()) for key, at in first.items())


def _exhausted_at(view: MetricsView) -> Iterator[tuple[Labels, float]]:
    for limit in view.limits:
        if limit.exhausted_at is not None:
            yield (limit.kind.value, limit.subject), limit.exhausted_at.timestamp()


def _changed_at(view: MetricsView) -> Rows:
    """Return the last change of each subject; processes of one program are one, whatever their numbers."""
    newest = {(change.kind.value, _PID.sub("", change.subject)): change.at for change in sorted(view.changes, key=_at)}
    return ((key, at.timestamp()) for key, at in sorted(newest.items(), key=lambda item: item[1], reverse=True))


def _at(change: Change) -> datetime:
    return change.at


def _newest_line_at(view: MetricsView) -> Rows:
    return (((log.log, log.kind.value), log.newest_at.timestamp()) for log in view.logs if log.newest_at)


def _of_logs(value: Callable[[LogTotal], int]) -> Callable[[MetricsView], Rows]:
    return lambda view: (((log.log, log.kind.value), float(value(log))) for log in view.logs)


def _notifications(view: MetricsView) -> Rows:
    found = {(receiver, outcome): 0 for receiver in view.pending for outcome in (SENT, FAILED)} | dict(view.notifications)
    return ((key, float(count)) for key, count in found.items())


def _one(value: Callable[[MetricsView], float]) -> Callable[[MetricsView], Rows]:
    return lambda view: [((), float(value(view)))]


FAMILIES = (
    Family(
        "why502_timeout_seconds",
        Kind.GAUGE,
        ("proxy", "location", "group", "phase"),
        "Time limit in force, from the configuration. The phase is connect, send or read.",
        120,
        _timeouts,
    ),
    Family(
        "why502_target",
        Kind.INFO,
        ("proxy", "group", "target"),
        "Configured members of upstream groups. A target without a group is its own group.",
        100,
        _targets,
    ),
    Family(
        "why502_target_up",
        Kind.GAUGE,
        ("proxy", "group", "target"),
        "Whether the checks of a target pass. Absent while unknown.",
        100,
        _target_up,
    ),
    Family(
        "why502_check_failures",
        Kind.COUNTER,
        ("proxy", "target", "symptom"),
        "Failed checks of a target.",
        60,
        lambda view: ((tuple(key), float(count)) for key, count in view.checks_failed.items()),
    ),
    Family(
        "why502_check_duration_seconds",
        Kind.GAUGE,
        ("proxy", "target", "phase"),
        "Duration of the last check by phase: resolve, connect, tls, first-byte.",
        100,
        _check_durations,
    ),
    Family(
        "why502_incidents_open",
        Kind.GAUGE,
        ("cause", "fault_domain", "target", "severity"),
        "Open incidents. 0 for incidents of the last 30 days that have closed.",
        40,
        _open,
    ),
    Family(
        "why502_incident_opened_timestamp_seconds",
        Kind.GAUGE,
        ("cause", "fault_domain", "target", "severity"),
        "When the oldest open incident began.",
        40,
        _opened_at,
    ),
    Family(
        "why502_incidents",
        Kind.COUNTER,
        ("cause", "fault_domain"),
        "Closed incidents. An incident that reopens is counted once.",
        40,
        lambda view: (((ended.cause or UNKNOWN, ended.fault_domain), float(ended.count)) for ended in view.ended_incidents),
    ),
    Family(
        "why502_incident_seconds",
        Kind.COUNTER,
        ("cause", "fault_domain"),
        "Total duration of closed incidents.",
        40,
        lambda view: (((ended.cause or UNKNOWN, ended.fault_domain), ended.seconds) for ended in view.ended_incidents),
    ),
    Family(
        "why502_limit_ratio",
        Kind.GAUGE,
        ("limit", "subject"),
        f"Used share of a limit, 0 to 1: {', '.join(kind for kind in LimitKind if kind is not LimitKind.CERTIFICATE)}.",
        40,
        lambda view: (((limit.kind.value, limit.subject), limit.ratio) for limit in view.limits),
    ),
    Family(
        "why502_limit_exhausted_timestamp_seconds",
        Kind.GAUGE,
        ("limit", "subject"),
        "When a limit is expected to be reached. Absent without a forecast.",
        40,
        _exhausted_at,
    ),
    Family(
        "why502_certificate_expiry_timestamp_seconds",
        Kind.GAUGE,
        ("role", "name"),
        "When a certificate expires. The role is front (presented to clients) or upstream (presented by a target).",
        30,
        lambda view: (((one.role.value, one.name), one.ends_at.timestamp()) for one in view.certificates),
    ),
    Family(
        "why502_last_change_timestamp_seconds",
        Kind.GAUGE,
        ("kind", "subject"),
        f"The last change of its kind: {', '.join(ChangeKind)}.",
        40,
        _changed_at,
    ),
    Family(
        "why502_config_in_force",
        Kind.GAUGE,
        ("proxy",),
        "Whether the proxy runs the configuration that is on disk. Absent while unknown.",
        10,
        lambda view: (((proxy,), float(is_in_force)) for proxy, is_in_force in view.in_force.items()),
    ),
    Family("why502_log_lines", Kind.COUNTER, _LOG, "Lines read from a log.", 20, _of_logs(lambda log: log.lines)),
    Family(
        "why502_log_unparsed",
        Kind.COUNTER,
        _LOG,
        "Lines that do not match the log's format.",
        20,
        _of_logs(lambda log: log.unparsed),
    ),
    Family(
        "why502_log_lost_bytes",
        Kind.COUNTER,
        _LOG,
        "Bytes of a log that were deleted before they could be read.",
        20,
        _of_logs(lambda log: log.lost_bytes),
    ),
    Family("why502_log_rotations", Kind.COUNTER, _LOG, "Rotations of a log.", 20, _of_logs(lambda log: log.rotations)),
    Family(
        "why502_log_lag_bytes",
        Kind.GAUGE,
        _LOG,
        "Bytes of a log that have not been read yet.",
        20,
        _of_logs(lambda log: log.lag_bytes),
    ),
    Family(
        "why502_log_last_line_timestamp_seconds",
        Kind.GAUGE,
        _LOG,
        "Time of the newest line read from a log.",
        20,
        _newest_line_at,
    ),
    Family(
        "why502_notifications",
        Kind.COUNTER,
        ("receiver", "outcome"),
        f"Attempts to notify a receiver. The outcome is {SENT} or {FAILED}.",
        20,
        _notifications,
    ),
    Family(
        "why502_notifications_pending",
        Kind.GAUGE,
        ("receiver",),
        "Messages waiting to be delivered.",
        10,
        lambda view: (((receiver,), float(count)) for receiver, count in view.pending.items()),
    ),
    Family(
        "why502_store_errors", Kind.COUNTER, (), "Failed attempts to write the store.", 1, _one(lambda view: view.store_errors)
    ),
    Family(
        "why502_gaps",
        Kind.GAUGE,
        (),
        "Sources that could not be read, such as a log without read permission.",
        1,
        _one(lambda view: view.gaps),
    ),
    Family(
        "why502_diagnosis_duration_seconds",
        Kind.SUMMARY,
        (),
        "Number and duration of diagnoses.",
        2,
        lambda view: [((), float(view.diagnoses)), ((), view.diagnoses_s)],
    ),
    Family(
        "why502_config_last_reload_successful",
        Kind.GAUGE,
        (),
        "Whether the settings of why502 watch were valid when they were last read.",
        1,
        _one(lambda view: view.is_reload_successful),
    ),
    Family(
        "why502_last_update_timestamp_seconds",
        Kind.GAUGE,
        (),
        "When these values were written. If this is old, why502 watch hangs, or its node_exporter file is stale.",
        1,
        _one(lambda view: view.at.timestamp()),
    ),
    Family(
        "why502_build",
        Kind.INFO,
        ("version", "host"),
        "Version of why502, and the host name in its notifications.",
        1,
        lambda view: [((__version__, view.host), 1.0)],
    ),
)
OVERFLOW = Family(
    "why502_series_overflow",
    Kind.COUNTER,
    (),
    "Label sets beyond the series limit, which are counted as other or dropped.",
    1,
    _by_collector,
)
