"""An error log that goes to syslog: read where it is, and missed where it is nowhere."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as REPLACE  # noqa: N812 - as elsewhere in these tests
from test_journal_lines import BEGIN, MADE_503, NOW, REFUSED

from why502.collectors import logs
from why502.collectors.base import CollectOptions
from why502.gateways.error_logs import read_error_log
from why502.host.base import Finished
from why502.host.directory import DirectoryHost
from why502.model.config import LogKind, LogPlace, LogTarget, Peer, Position, Route
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

APP = Target(host="127.0.0.1", port=3000)
CONF = Position(file="/etc/apache2/apache2.conf", line=12)
TO_SYSLOG = LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.SYSLOG, facility="local1", at=CONF)


class Machine(DirectoryHost):
    """A directory with a journal that has the unit's own lines, and those of syslog if `is_heard`."""

    def __init__(self, root: Path, *, is_heard: bool, entry: str) -> None:
        super().__init__(str(root))
        self.is_heard, self.entry = is_heard, entry

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        if argv[0] != "journalctl":
            raise HostError(f"{argv[0]} is not here")
        if "_TRANSPORT=syslog" in argv:
            return Finished(status=0, stdout="a line\n" if self.is_heard else "", stderr="")
        return Finished(status=0, stdout=self.entry, stderr="")


def machine(root: Path, *, is_heard: bool = False, rules: str = "", written: str = "") -> tuple[Machine, Proxy]:
    """Return a machine and its httpd. `rules`: of rsyslog; `written`: what is in /var/log/apache-errors.log."""
    entry = (
        f'{{"__REALTIME_TIMESTAMP":"{BEGIN.timestamp() * 1e6:.0f}","MESSAGE":"Started apache2.service",'
        '"SYSLOG_IDENTIFIER":"systemd","_PID":"1"}\n'
    )
    for path, text in {"etc/rsyslog.conf": rules, "var/log/apache-errors.log": written}.items():
        if text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            os.utime(root / path, (NOW.timestamp(), NOW.timestamp()))
    route = Route(proxy="apache", peers=(Peer(name=str(APP), target=APP),), at=CONF, location="/")
    proxy = Proxy(kind="apache", pid=74, exe="/usr/sbin/apache2", unit="apache2.service", routes=(route,), logs=(TO_SYSLOG,))
    return Machine(root, is_heard=is_heard, entry=entry), proxy


def collected(host: Machine, proxy: Proxy) -> tuple[Snapshot, str]:
    """Return the snapshot with the logs, and the words of the gaps about the error log."""
    known = Snapshot(taken_at=NOW, since=BEGIN - timedelta(minutes=5), until=NOW, proxies=(proxy,))
    found = logs.collect(host, known, CollectOptions())
    words = " ".join(f"{gap.reason}; {gap.hint}" for gap in found.gaps if gap.source == "error log")
    return Snapshot(taken_at=NOW, logs=found.value), words


def test_a_log_that_nobody_hears_is_a_gap_and_no_evidence(tmp_path: Path) -> None:
    host, proxy = machine(tmp_path)
    here, words = collected(host, proxy)
    assert (
        "it goes to syslog (/etc/apache2/apache2.conf:12), and no line of apache2 is in the journal of apache2.service" in words
    )
    assert "--log" in words
    assert read_error_log(proxy, here.logs) == ""


def test_another_error_log_on_standard_error_does_not_stand_for_it(tmp_path: Path) -> None:
    """The journal has the standard error of the process; the virtual host's own log goes to a syslog that nobody hears."""
    host, proxy = machine(tmp_path)
    own = REPLACE(TO_SYSLOG, server="shop.example")
    proxy = REPLACE(proxy, logs=(LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.STDERR, at=CONF), own))
    here, words = collected(host, proxy)
    assert "no line of apache2 is in the journal" in words
    assert read_error_log(proxy, here.logs) == ""
    assert read_error_log(REPLACE(proxy, logs=proxy.logs[:1]), here.logs) == "journalctl -u apache2.service"


def test_a_log_that_the_journal_has_is_read_there_even_if_it_has_no_error(tmp_path: Path) -> None:
    host, proxy = machine(tmp_path, is_heard=True)
    here, words = collected(host, proxy)
    assert words == ""
    assert read_error_log(proxy, here.logs) == "journalctl -u apache2.service"


LINES = (
    f"Nov 21 00:21:00 gate apache2[74]: {REFUSED}\n"
    f"Nov 21 00:21:00 gate other[74]: {REFUSED.replace('3000', '4000')}\n"
    f"Nov 21 00:21:00 gate apache2[74]: {MADE_503}\n"
)


@pytest.mark.parametrize("rule", ["local1.* -/var/log/apache-errors.log", "*.err;mail.none /var/log/apache-errors.log"])
def test_a_log_that_the_syslog_daemon_writes_is_read_there(tmp_path: Path, rule: str) -> None:
    host, proxy = machine(tmp_path, rules=f"{rule}\n", written=LINES)
    here, words = collected(host, proxy)
    assert words == ""
    assert here.logs is not None
    refused = [tally for tally in here.logs.tallies if tally.symptom is Symptom.CONNECT_REFUSED]
    assert [(tally.target, tally.count) for tally in refused] == [(APP, 1)]
    assert read_error_log(proxy, here.logs) == "/var/log/apache-errors.log"


def test_a_file_without_its_lines_is_named_in_the_gap(tmp_path: Path) -> None:
    host, proxy = machine(tmp_path, rules="local1.* /var/log/apache-errors.log\n", written=LINES.replace("apache2[", "nginx["))
    here, words = collected(host, proxy)
    assert "/var/log/apache-errors.log, where the syslog daemon writes such messages" in words
    assert read_error_log(proxy, here.logs) == ""
