"""Each fault in the data shows up in a real nginx, and the linter finds at least nine of ten."""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lint_faults import FIXED, Backends, Fault, configuration_test, connect, load, nginx, received, request_of
from lint_sample import MAIN, found

from why502.model.finding import Severity

FAULTS = load()
MISSED = frozenset(
    {
        "try-files-ends-at-itself",  # only the file system shows whether the file exists
        "keepalive-negative",
        "zone-without-size",
        "expires-nonsense",
        "proxy-redirect-one-word",
        "proxy-cookie-path-one",
        "geo-bad-network",
        "limit-req-burst-nonsense",
        "proxy-bind-no-address",
        "server-tokens-word",
        "headers-not-passed",  # one may want that
        "method-forced",
        "resolver-does-not-answer",  # only the running machine shows that, and whether a backend speaks TLS or is up
        "https-to-a-plain-backend",
        "only-the-backup-is-up",
        "exact-where-a-prefix-is-meant",  # one may want these
        "regex-takes-api-first",
        "if-file-exists-before-proxy",
        "compressed-for-a-filter",
    }
)
_IDS = [fault.name for fault in FAULTS]


def test_there_are_many_and_each_is_another() -> None:
    assert len(FAULTS) >= 100 and len(set(_IDS)) == len(_IDS)
    assert len(MISSED) <= len(FAULTS) // 10


@pytest.mark.parametrize("fault", FAULTS, ids=_IDS)
def test_the_linter_names_it(fault: Fault) -> None:
    risks = found({MAIN: fault.configuration(FIXED)}, "1.22.1")
    told = {risk.rule for risk in risks} & set(fault.rules)
    assert bool(told) != (fault.name in MISSED), [(risk.rule, risk.message) for risk in risks]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.sane], ids=lambda fault: fault.name)
def test_the_same_without_the_fault_has_no_warning(fault: Fault) -> None:
    risks = found({MAIN: fault.configuration(FIXED, fault.sane)}, "1.22.1")
    assert not [(risk.rule, risk.message) for risk in risks if risk.severity is not Severity.NOTE]


@pytest.fixture
def backends() -> Iterator[Backends]:
    made = Backends()
    yield made
    made.close()


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("n")


@pytest.mark.real
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@pytest.mark.parametrize("fault", FAULTS, ids=_IDS)
def test_nginx_shows_it(fault: Fault, directory: Path, backends: Backends) -> None:
    text = fault.configuration(backends.ports, fault.like)
    if (fault.refused and not fault.start) or fault.warns:
        accepted, output = configuration_test(directory, text)
        assert accepted == bool(fault.warns), output
        assert re.search(re.escape(fault.refused or fault.warns).replace(r"\|", "|"), output), output
        return
    with nginx(directory, text) as process:
        if fault.start:
            assert process.wait(timeout=20) != 0
            assert fault.refused in (directory / "error.log").read_text()
            return
        answer = _asked(fault, backends.ports["listen"], process)
    _confirm(fault, answer, backends.seen, directory)


def _asked(fault: Fault, port: int, process: object) -> bytes:
    """Return the response to the last request."""
    if fault.parallel > 1:
        clients = [connect(port, process) for _ in range(fault.parallel)]  # type: ignore[arg-type]
        for client in clients:
            client.sendall(request_of(fault, port))
        answers = [received(client) for client in clients]
        for client in clients:
            client.close()
        return min(answers, key=lambda answer: answer.startswith(b"HTTP/1.1 200"))
    answer = b""
    for number in range(fault.times):
        with connect(port, process, f"127.0.0.{number + 1}" if fault.spread else "127.0.0.1") as client:  # type: ignore[arg-type]
            threading.Thread(target=client.sendall, args=(request_of(fault, port),), daemon=True).start()
            if not fault.first_byte:
                client.settimeout(1.5)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                return b""
            answer = received(client)
    return answer


def _confirm(fault: Fault, answer: bytes, seen: list[bytes], directory: Path) -> None:
    log = directory / "error.log"
    logged = log.read_text(errors="replace") if log.exists() else ""
    request = (seen[0] if fault.first else seen[-1]).decode("latin-1") if seen else ""
    if fault.status:
        assert answer.startswith(b"HTTP/1.1 %d" % fault.status), (answer[:300], logged)
    assert fault.answers.encode() in answer
    assert fault.sees in request and (not fault.lacks or fault.lacks not in request), request
    assert bool(request) or not (fault.sees or fault.lacks)
    assert fault.logs in logged and (not fault.logs_lack or fault.logs_lack not in logged), logged
    if fault.written:
        written = (directory / "a.log").read_text()
        assert fault.written in written and "127.0.0.1:" not in written, written


def test_a_connection_needs_an_address() -> None:
    """`spread` needs several addresses on the loopback interface."""
    with socket.socket() as one:
        one.bind(("127.0.0.2", 0))
