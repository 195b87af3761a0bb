"""`explain LINE`, `logs` of a file with that line and `diagnose` of it name the same cause, or none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sampled import sampled

from why502.diagnosis.causes import CAUSES, usual, weight
from why502.diagnosis.engine import diagnose
from why502.explanation import explain
from why502.gateways.nginx.logs import error as nginx_error
from why502.host.directory import DirectoryHost
from why502.logs.line_reader import LogInput
from why502.logs.scan import engine
from why502.logs.scan.job import Job
from why502.logs.scan.run import run
from why502.logs.scan.work import ScanQuery
from why502.logs.summary import summarise
from why502.model.finding import ASSERTED, FAIR
from why502.model.logs import Symptom
from why502.model.snapshot import Snapshot
from why502.session.log_reports import means

DATA = Path(__file__).parents[1] / "data"
NGINX = json.loads((DATA / "nginx_lines.json").read_text(encoding="utf-8"))
SINCE, UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
STARTED = datetime(2026, 11, 20, 22, 46, 40, tzinfo=UTC)


def explained(line: str) -> str | None:
    """Return the first cause that `explain` names, even for a line that is not a failure."""
    found = explain(line)
    return found.cause or (found.candidates[0].cause if found.candidates else None)


def reported(path: Path) -> str | None:
    """Return what `logs` names first."""
    rows = run(Job(paths=(str(path),), query=ScanQuery()), engine=engine.alone, jobs=1, means=means).causes
    return next((row.cause for row in rows if row.cause), None)


def diagnosed(path: Path) -> str | None:
    """Return the first cause that `diagnose --offline --log` asserts of lines as they were written."""
    logs = [LogInput(path=f"/{path.name}", is_given=True, is_rotated=False)]
    summary, _ = summarise(DirectoryHost(str(path.parent)), logs, SINCE, UNTIL)
    at = max((file.last for file in summary.files if file.last), default=UNTIL) + timedelta(seconds=1)
    here = Snapshot(taken_at=at, since=SINCE, until=UNTIL, logs=summary)
    findings = diagnose(here, offline=True).findings
    return next((finding.cause for finding in findings if finding.confidence >= ASSERTED), None)


@pytest.mark.parametrize("origin", ["made", "seen"])
@pytest.mark.parametrize("part", sampled(range(4), 8))
def test_three_commands_name_one_cause(tmp_path: Path, origin: str, part: int) -> None:
    rows = NGINX[origin][part::4]
    wrong, named = [], 0
    for at, (line, *_) in enumerate(rows):
        path = tmp_path / f"error{at}.log"
        path.write_text(line + "\n", encoding="utf-8")
        answers = explained(line), reported(path), diagnosed(path)
        path.unlink()
        named += answers[2] is not None
        if len(set(answers) - {None}) > 1:
            wrong.append((line, answers))
    assert wrong == []
    assert named > len(rows) / 2


def test_no_warning_alone_is_a_problem_of_a_machine_that_was_looked_at(tmp_path: Path) -> None:
    mild = [row[0] for row in NGINX["seen"] if " [warn] " in row[0] and row[3] == [False]]
    assert mild
    path = tmp_path / "error.log"
    path.write_text("\n".join(mild) + "\n", encoding="utf-8")
    summary, _ = summarise(DirectoryHost(str(tmp_path)), [LogInput(path="/error.log", is_rotated=False)], SINCE, UNTIL)
    assert any(tally.is_notice for tally in summary.tallies)
    here = Snapshot(taken_at=STARTED, since=SINCE, until=UNTIL, logs=summary)
    assert [finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED] == []


def test_the_message_of_a_line_outranks_its_symptom() -> None:
    (best, full), *_ = usual(Symptom.NO_STATUS_LINE)
    assert best == "invalid-response"
    assert weight("wrong-protocol", Symptom.NO_STATUS_LINE, "wrong-protocol") == full
    assert weight(best, Symptom.NO_STATUS_LINE, "wrong-protocol") <= FAIR
    assert weight(best, Symptom.NO_STATUS_LINE, best) == weight(best, Symptom.NO_STATUS_LINE) == full
    assert weight(best, Symptom.NO_STATUS_LINE, "no-such-cause") == full
    assert all(weight(name, symptom) == full for name, cause in CAUSES.items() for symptom, full in cause.symptoms.items())


@pytest.mark.parametrize(
    ("address", "errno", "cause"),
    [
        ("127.0.0.1:3001", 113, "connect-rejected"),
        ("10.0.0.7:3001", 113, "host-unreachable"),
        ("[::1]:3001", 99, "wrong-address"),
        ("10.0.0.7:3001", 99, "ephemeral-ports-exhausted"),
    ],
)
def test_the_kind_of_address_decides(tmp_path: Path, address: str, errno: int, cause: str) -> None:
    words = {113: "No route to host", 99: "Cannot assign requested address"}[errno]
    line = (
        f"2026/11/20 22:46:40 [error] 7#7: *2 connect() to {address} failed ({errno}: {words}) while connecting to upstream, "
        f'client: 192.0.2.7, server: a, request: "GET / HTTP/1.1", upstream: "http://{address}/", host: "a"'
    )
    path = tmp_path / "error.log"
    path.write_text(line + "\n", encoding="utf-8")
    record = nginx_error.parse(line)
    assert record is not None
    assert {record.causes[0], explain(line).cause, reported(path), diagnosed(path)} - {None} == {cause}
