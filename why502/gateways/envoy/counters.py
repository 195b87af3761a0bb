"""What Envoy's counters say of failed requests, as a log would: the cause even where no access log is written.

Which counter grows with which failure was measured with Envoy 1.40; docs/gateways/envoy.md has the table. Source of their
definitions: docs/root/configuration/upstream/cluster_manager/cluster_stats.rst, http_conn_man/stats.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from why502.gateways.codes import phase_of
from why502.gateways.envoy.codes import PRODUCT
from why502.model.logs import Sample, Symptom, Tally
from why502.model.target import Target

Stats = Mapping[str, int]
_PASSED = (502, 503, 504)
_FEW, _MANY = 3, 0.1  # 500s, and their share of all requests
_STREAM_CODES = {"UH": 503, "UF": 503, "UC": 503, "UR": 503, "UO": 503, "UT": 504, "UPE": 502, "NR": 404, "NC": 503, "RL": 429}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A cluster as the admin interface shows it. `host`: its only host. `name`: the only host name that it resolves."""

    name: str
    hosts: int = 0
    host: Target | None = None
    hostname: str = ""


@dataclass(slots=True)
class _Counter:
    """The counters of one cluster."""

    group: Group
    stats: Stats
    source: str

    def __getitem__(self, name: str) -> int:
        return self.stats.get(f"cluster.{self.group.name}.{name}", 0)

    def tally(self, code: str, symptom: Symptom, count: int, name: str, *, status: int | None = None, detail: str = "") -> Tally:
        """Return a tally of failures, with the counter that shows them."""
        is_of_host = symptom not in (Symptom.NO_LIVE_UPSTREAMS, Symptom.NO_MEMBERS, Symptom.PEER_LIMIT, Symptom.NAME_NOT_FOUND)
        text = f"cluster.{self.group.name}.{name}: {self[name]}"
        return Tally(
            symptom=symptom,
            proxy="envoy",
            target=self.group.host if is_of_host else None,
            group=self.group.name,
            status=status or _STREAM_CODES.get(code),
            phase=phase_of(symptom),
            code=code,
            detail=detail,
            count=count,
            samples=(Sample(source=self.source, text=text),),
        )


def grown(before: Stats, after: Stats) -> dict[str, int]:
    """Return by how much each counter has grown between two readings."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value > before.get(name, 0)}


def tallies(stats: Stats, groups: Iterable[Group], source: str, own_status: int = 0) -> Iterator[Tally]:
    """Yield the failures that counters show. `own_status`: the error status that the configuration answers with."""
    counters = [_Counter(group, stats, source) for group in groups]
    for counter in counters:
        yield from _of_group(counter)
    yield from _given_up(counters, stats)
    yield from _of_front(stats, source)
    own = sum(_of_listeners(stats, "downstream_rq_5xx")) - sum(counter["upstream_rq_5xx"] for counter in counters)
    own -= sum(_of_listeners(stats, "no_cluster"))
    if own > 0 and own_status:
        text = f"http.*.downstream_rq_5xx: {own} more than those of all clusters"
        yield _tally("direct_response", Symptom.OWN_STATUS, own_status, own, Sample(source=source, text=text))


def _tally(code: str, symptom: Symptom, status: int, count: int, sample: Sample) -> Tally:
    """Return a tally of requests that no cluster got."""
    phase = phase_of(symptom)
    return Tally(symptom=symptom, proxy="envoy", status=status, phase=phase, code=code, count=count, samples=(sample,))


def _of_listeners(stats: Stats, last: str) -> Iterator[int]:
    """Yield a counter of each listener, without that of the admin interface."""
    return (
        n for name, n in stats.items() if name.startswith("http.") and name.endswith(f".{last}") and not name.startswith(_ADMIN)
    )


def _of_group(counter: _Counter) -> Iterator[Tally]:
    """Yield the failures of one cluster's requests; each request is in one of them."""
    found = [*_without_host(counter), *_of_connections(counter), *_of_requests(counter)]
    yield from found
    own = sum(tally.count for tally in found if tally.symptom not in (Symptom.CLOSED_IN_BODY, Symptom.AUTH_FAILED))
    own -= min(own, counter["upstream_rq_retry"])
    errors = counter["upstream_rq_5xx"]
    if errors > own:
        yield from _sent_by_backend(counter, errors - own)


def _sent_by_backend(counter: _Counter, count: int) -> Iterator[Tally]:
    """Yield the error statuses that are none of Envoy's own. Some 500s are normal in any application."""
    name = next((f"upstream_rq_{status}" for status in _PASSED if counter[f"upstream_rq_{status}"]), "")
    if name:
        yield counter.tally("", Symptom.UPSTREAM_STATUS, count, name, status=int(name[-3:]))
    elif count >= _FEW and count >= _MANY * counter["upstream_rq_completed"]:
        yield counter.tally("", Symptom.APPLICATION_ERROR, count, "upstream_rq_5xx", status=500)


def _without_host(counter: _Counter) -> Iterator[Tally]:
    group = counter.group
    if count := counter["upstream_cx_none_healthy"]:
        name = "upstream_cx_none_healthy"
        if group.hosts:
            yield counter.tally("UH", Symptom.NO_LIVE_UPSTREAMS, count, name)
        elif group.hostname:
            yield counter.tally("UH", Symptom.NAME_NOT_FOUND, count, name, detail=group.hostname)
        else:
            yield counter.tally("UH", Symptom.NO_MEMBERS, count, name)
    for name in ("upstream_rq_pending_overflow", "upstream_cx_pool_overflow"):
        if count := counter[name]:
            yield counter.tally("UO", Symptom.PEER_LIMIT, count, name)
    if count := counter["ext_authz.error"]:
        yield counter.tally("UAEX", Symptom.AUTH_FAILED, count, "ext_authz.error", status=403)


def _of_connections(counter: _Counter) -> Iterator[Tally]:
    failed, late = counter["upstream_cx_connect_fail"], counter["upstream_cx_connect_timeout"]
    unverified = sum(counter[f"ssl.fail_verify_{part}"] for part in ("error", "no_cert", "san", "cert_hash"))
    unencrypted = counter["ssl.connection_error"]
    if late:
        yield counter.tally("UF", Symptom.CONNECT_TIMED_OUT, late, "upstream_cx_connect_timeout")
    if unverified:
        name = next(name for part in ("error", "san", "no_cert", "cert_hash") if counter[name := f"ssl.fail_verify_{part}"])
        yield counter.tally("UF", Symptom.TLS_UNVERIFIED, unverified, name)
    if unencrypted:
        yield counter.tally("UF", Symptom.TLS_FAILED, unencrypted, "ssl.connection_error")
    if (other := failed - late - unverified - unencrypted) > 0:
        yield counter.tally("UF", Symptom.CONNECT_FAILED, other, "upstream_cx_connect_fail")


def _of_requests(counter: _Counter) -> Iterator[Tally]:
    late = counter["upstream_rq_timeout"] + counter["upstream_rq_per_try_timeout"]
    if late:
        name = "upstream_rq_timeout" if counter["upstream_rq_timeout"] else "upstream_rq_per_try_timeout"
        yield counter.tally("UT", Symptom.READ_TIMED_OUT, late, name)
    closed, local = (counter[f"upstream_cx_destroy_{end}_with_active_rq"] for end in ("remote", "local"))
    malformed, refused = counter["upstream_cx_protocol_error"], counter["upstream_rq_502"]
    invalid = min(malformed, refused, max(local, counter["upstream_rq_tx_reset"]))  # Envoy closes such a connection itself
    halves = min(malformed - invalid, refused - invalid, closed)  # closed within the header
    bodies = min(malformed - invalid - halves, closed - halves)  # or within the body, after the status
    if invalid > 0:
        yield counter.tally("UPE", Symptom.HEADER_INVALID, invalid, "upstream_cx_protocol_error")
    if bodies > 0:
        yield counter.tally("UPE", Symptom.CLOSED_IN_BODY, bodies, "upstream_cx_protocol_error", status=200)
    if (broken := closed - bodies) > 0:
        code = "UPE" if broken == halves else "UC"
        yield counter.tally(code, Symptom.CLOSED_BEFORE_HEADER, broken, "upstream_cx_destroy_remote_with_active_rq")
    if count := counter["upstream_rq_rx_reset"]:
        yield counter.tally("UR", Symptom.RESET_BEFORE_HEADER, count, "upstream_rq_rx_reset")


def _given_up(counters: Iterable[_Counter], stats: Stats) -> Iterator[Tally]:
    """Yield the requests that Envoy ended because their client left, or because of a limit of the listener.

    The counters of listeners say which of these it was, and those of clusters where; with several clusters, it is not known.
    """
    ended = [(counter, count) for counter in counters if (count := _ended(counter)) > 0]
    if len(ended) != 1:
        return
    counter, count = ended[0]
    for code, symptom, names in _ENDS:
        found = sum(value for name in names for value in _of_listeners(stats, name))
        if found:
            yield counter.tally(code, symptom, min(count, found), "upstream_cx_destroy_local_with_active_rq")


def _ended(counter: _Counter) -> int:
    """Return how many requests Envoy ended for none of the reasons of the cluster itself."""
    late = counter["upstream_rq_timeout"] + counter["upstream_rq_per_try_timeout"]
    invalid = min(counter["upstream_cx_protocol_error"], counter["upstream_rq_502"])
    return counter["upstream_cx_destroy_local_with_active_rq"] - late - invalid


_ENDS = (
    ("DC", Symptom.CLIENT_CLOSED, ("downstream_cx_destroy_remote_active_rq", "downstream_rq_rx_reset")),
    ("SI", Symptom.READ_TIMED_OUT, ("downstream_rq_idle_timeout", "downstream_rq_max_duration_reached")),
)
_ADMIN = "http.admin."
_OF_FRONT = {"no_route": "NR", "no_cluster": "NC", "rate_limited": "RL"}
_LIMITER = ".http_local_rate_limit"


def _of_front(stats: Stats, source: str) -> Iterator[Tally]:
    """Yield the requests that no cluster got."""
    for name, count in stats.items():
        prefix, _, last = name.rpartition(".")
        code = _OF_FRONT.get(last)
        if code is None or not count or not (prefix.endswith(_LIMITER) if code == "RL" else prefix.startswith("http.")):
            continue
        symptom = PRODUCT.codes[code].symptom
        assert symptom is not None
        yield _tally(code, symptom, _STREAM_CODES[code], count, Sample(source=source, text=f"{name}: {count}"))
