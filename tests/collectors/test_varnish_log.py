"""Varnish's log in memory is converted to log lines; if it cannot be read, the machine is not called healthy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from why502.collectors import logs
from why502.collectors.base import CollectOptions
from why502.diagnosis.engine import diagnose
from why502.gateways.varnish import config as varnish
from why502.host.base import Finished, Stat
from why502.machine import suppliers
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.errors import HostError
from why502.model.file_kind import FileKind
from why502.model.finding import Verdict
from why502.model.logs import Symptom
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 22, 15, 23, 53, tzinfo=UTC)
AT = 1795361024.5  # 8.5 s before
TARGET = Target(host="127.0.0.1", port=8080)
DIRECTORY = "/var/lib/varnish/varnishd"
VCL = 'backend default { .host = "127.0.0.1"; .port = "8080"; .first_byte_timeout = 3s; .max_connections = 9; }'
HEALTHY = '         0 Backend_health - default Still healthy 4---X-RH 8 3 8 0.001 0.001 "HTTP/1.1 200 OK"\n'
SICK = '         0 Backend_health - boot.default Went sick 4---X-R- 2 3 8 0.001 0.000 "HTTP/1.1 404 Not Found"\n'
OPENED = "--  BackendOpen    26 default 127.0.0.1 8080 127.0.0.1 37814 connect\n"


def fetch(error: str, *, url: str = "/huge", at: float = AT, opened: str = OPENED, answered: str = "503") -> str:
    """Return a client's transaction and its fetch, as `varnishlog -g request` shows them."""
    told = f"--  FetchError     {error}\n" if error else ""
    return f"""\
*   << Request  >> 2
-   Begin          req 1 rxreq
-   Timestamp      Start: {at:.6f} 0.000000 0.000000
-   ReqMethod      GET
-   ReqURL         {url}
-   RespStatus     {answered}
-   Timestamp      Resp: {at + 0.5:.6f} 0.500000 0.500000
-   End
**  << BeReq    >> 3
--  Begin          bereq 2 pass
--  Timestamp      Start: {at:.6f} 0.000000 0.000000
--  BereqMethod    GET
--  BereqURL       {url}
{opened}{told}--  Timestamp      Error: {at + 0.25:.6f} 0.250000 0.250000
--  BerespStatus   {answered}
--  End

"""


SYNTH = f"""\
*   << Request  >> 5
-   Timestamp      Start: {AT:.6f} 0.000000 0.000000
-   ReqMethod      GET
-   ReqURL         /closed
-   VCL_call       SYNTH
-   RespStatus     503
-   Timestamp      Resp: {AT:.6f} 0.000000 0.000000
-   End

"""


class Machine:
    """A machine with this output of varnishlog; it records the user who ran it."""

    name = "web1"

    def __init__(self, failures: str = "", health: str = HEALTHY, *, error: str = "", device: int = 1) -> None:
        self.failures, self.health, self.error, self.device = failures, health, error, device
        self.users: list[int] = []
        self.is_worker = False

    def acting_as(self, uid: int) -> Machine:
        self.users.append(uid)
        if uid == 111:
            self.is_worker = True
        return self

    def inside(self, root: str) -> Machine:
        return self

    def stat(self, path: str) -> Stat:
        device = self.device if path.startswith("/proc/") else 1
        return Stat(kind=FileKind.DIRECTORY, mode=0o755, uid=0, gid=0, size_bytes=0, modified_s=0.0, inode=7, device=device)

    def read(self, path: str, *, limit_bytes: int = 0) -> bytes:
        raise HostError("not here")

    def link(self, path: str) -> str:
        raise HostError("not here")

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        assert argv[:4] == ("varnishlog", "-d", "-n", DIRECTORY) and timeout_s < 10 and self.is_worker
        if self.error:
            return Finished(status=1, stdout="", stderr=self.error)
        return Finished(status=0, stdout=self.health if "raw" in argv else self.failures, stderr="")


def running(**fields: Any) -> Proxy:
    read = varnish.load(VCL, "/etc/varnish/default.vcl")
    return Proxy(
        kind="varnish",
        pid=285,
        config="/etc/varnish/default.vcl",
        root="/proc/285/root",
        files=read.files,
        routes=read.routes,
        upstreams=read.upstreams,
        workers=(Process(pid=299, ppid=285, name="cache-main", uid=111),),
        logs=(LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.MEMORY, path=DIRECTORY),),
        **fields,
    )


def looked(machine: Any, proxy: Proxy | None = None) -> Snapshot:
    """Return the machine's snapshot with the facts of its logs, and a backend that answers."""
    known = Snapshot(
        taken_at=NOW,
        proxies=(proxy or running(),),
        listeners=(Listener(target=TARGET, pids=(9,)),),
        processes=(Process(pid=9, name="python3", started_at=NOW - timedelta(days=1)),),
        probes=(Probe(target=TARGET, status=200, request="GET /", first_byte_s=0.01),),
        addresses=("127.0.0.1",),
    )
    found = logs.collect(machine, known, CollectOptions())
    return msgspec.structs.replace(known, logs=found.value, gaps=found.gaps)


@pytest.mark.parametrize(
    ("error", "opened", "cause"),
    [
        ("overflow", OPENED, "response-header-too-big"),
        ("backend default: busy", "", "upstream-connection-limit"),
    ],
)
def test_a_failed_fetch_is_a_failure_of_its_backend(error: str, opened: str, cause: str) -> None:
    machine = Machine(fetch(error, opened=opened) * 4)
    known = looked(machine)
    assert known.logs is not None
    (tally,) = known.logs.tallies
    assert (tally.target, tally.status, tally.count, tally.requests) == (TARGET, 503, 4, (("GET /huge", 4),))
    assert set(machine.users) == {0, 111}
    found = diagnose(known)
    assert found.verdict is Verdict.PROBLEM and cause in {one.cause for one in found.findings if one.target == TARGET}


def test_a_probe_that_gets_404_takes_out_a_backend_that_answers() -> None:
    known = looked(Machine(fetch("backend default: unhealthy", opened="") * 5, HEALTHY + SICK))
    first = diagnose(known).findings[0]
    assert (first.cause, first.target) == ("health-check-misconfigured", TARGET)
    assert first.confidence > 0.9


def test_a_timeout_of_the_first_byte_has_the_limit_of_the_vcl() -> None:
    known = looked(Machine(fetch("first byte timeout", url="/report") * 6))
    first = diagnose(known).findings[0]
    assert first.target == TARGET and first.cause in ("proxy-timeout-too-short", "backend-too-slow")
    assert known.proxies is not None and known.proxies[0].routes[0].read_timeout_s == 3.0


def shared(*, url: str = "/huge", since: float = AT) -> str:
    """Return a client's transaction that waited for the fetch of another client, and got its error from the cache."""
    return f"""\
*   << Request  >> 7
-   Begin          req 6 rxreq
-   Timestamp      Start: {since:.6f} 0.000000 0.000000
-   ReqMethod      GET
-   ReqURL         {url}
-   VCL_call       HASH
-   VCL_call       HIT
-   RespStatus     503
-   Timestamp      Resp: {since + 0.3:.6f} 0.300000 0.300000
-   End

"""


def test_clients_that_share_a_fetch_get_its_failure() -> None:
    known = looked(Machine(shared() * 5 + fetch("first byte timeout")))
    assert known.logs is not None
    (tally,) = known.logs.tallies
    assert (tally.symptom, tally.target, tally.count) == (Symptom.READ_TIMED_OUT, TARGET, 6)


def test_an_error_in_the_cache_without_a_failed_fetch_is_the_backends() -> None:
    others = shared(url="/other") * 2 + shared(since=AT + 4) * 3  # of another page, and after the fetch
    known = looked(Machine(others + fetch("first byte timeout")))
    assert known.logs is not None
    counts = {tally.symptom: tally.count for tally in known.logs.tallies}
    assert counts == {Symptom.READ_TIMED_OUT: 1, Symptom.UPSTREAM_STATUS: 5}


def test_an_answer_of_vcl_itself_is_not_a_backend_failure() -> None:
    known = looked(Machine(SYNTH * 3))
    assert known.logs is not None and [(x.symptom, x.target) for x in known.logs.tallies] == [(Symptom.OWN_STATUS, None)]


def test_a_request_restarted_for_ever_is_not_maintenance() -> None:
    loop = SYNTH.replace("-   VCL_call       SYNTH", "-   VCL_Error      Too many restarts\n-   VCL_call       SYNTH")
    assert [finding.cause for finding in diagnose(looked(Machine(loop * 3))).findings][:1] == ["rewrite-cycle"]


def test_a_header_that_is_too_long_is_reported_without_its_content() -> None:
    known = looked(
        Machine(fetch("http format error", opened=f"{OPENED}--  BogoHeader     Header too long: Set-Cookie: id=abc\n"))
    )
    (tally,) = known.logs.tallies if known.logs else ()
    assert (tally.symptom, "abc" in str(tally)) == (Symptom.HEADER_TOO_BIG, False)
    assert diagnose(known).findings[0].cause == "response-header-too-big"


@pytest.mark.parametrize(("count", "verdict"), [(12, Verdict.PROBLEM), (3, Verdict.HEALTHY)])
def test_an_application_that_answers_500_again_and_again(count: int, verdict: Verdict) -> None:
    found = diagnose(looked(Machine(fetch("", url="/marks", answered="500") * count)))
    assert found.verdict is verdict
    assert [(one.cause, one.target) for one in found.findings[:1]] == [("application-error", TARGET)] * (
        verdict is Verdict.PROBLEM
    )


def test_a_quiet_varnish_is_healthy() -> None:
    found = diagnose(looked(Machine(health=SICK + HEALTHY)))
    assert found.verdict is not Verdict.PROBLEM and not [gap for gap in found.gaps if "varnishlog" in gap.source]
    assert next(check for check in found.checks if check.id == "logs-readable").status.value == "pass"


def test_failures_before_the_window_do_not_count() -> None:
    known = looked(Machine(fetch("overflow", at=AT - 3600)))
    assert known.logs is not None and known.logs.tallies == ()


@pytest.mark.parametrize(
    ("machine", "proxy"),
    [
        (Machine(error="Cannot open /var/lib/varnish/varnishd: Permission denied"), running()),
        (Machine(device=2), running()),
        (Machine(), msgspec.structs.replace(running(), workers=())),
    ],
    ids=["denied", "container", "no-worker"],
)
def test_an_unreadable_log_is_not_healthy(machine: Machine, proxy: Proxy) -> None:
    found = diagnose(looked(machine, proxy))
    assert found.verdict is Verdict.UNKNOWN
    assert any("varnishlog" in gap.source and gap.hint for gap in found.gaps)


def test_the_log_of_another_user_is_only_a_gap() -> None:
    machine = Machine(fetch("overflow"))
    known = looked(machine, running(owner_uid=1000))
    assert machine.users in ([], [1000]) and any("varnishlog" in gap.source for gap in known.gaps)


class Status:
    """A host whose processes have these users."""

    def __init__(self, users: str, mode: int = 0o755) -> None:
        self.users, self.mode = users, mode

    def read(self, path: str) -> bytes:
        return f"Name:\tvarnishd\nUid:\t{self.users}\n".encode()

    def stat(self, path: str) -> Stat:
        return Stat(kind=FileKind.FILE, mode=self.mode, uid=0, gid=0, size_bytes=1, modified_s=0.0)


@pytest.mark.parametrize(
    ("users", "mode", "owner"),
    [
        ("0\t110\t0\t110", 0o755, suppliers.ROOT),  # the manager between two moments of root
        ("0\t0\t0\t0", 0o755, suppliers.ROOT),
        ("1000\t110\t0\t110", 0o755, 1000),
        ("0\t110\t110\t110", 0o755, 110),
        ("0\t110\t0\t110", 0o4755, suppliers.NOBODY),
    ],
)
def test_the_user_of_a_manager(users: str, mode: int, owner: int) -> None:
    host: Any = Status(users, mode)
    assert suppliers.of_jailed(host, 1) == owner
