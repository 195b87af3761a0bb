"""The traffic of the servers that HAProxy calls by their names: what each of them served, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from why502.host.directory import DirectoryHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.model.logs import TargetTraffic
from why502.model.target import Target

ONE, TWO = (Target(host="127.0.0.1", port=port) for port in (8081, 8082))
MEMBERS = {"app/node1": ONE, "app/node2": TWO}
AT = datetime(2026, 11, 22, 17, 3, tzinfo=UTC)
LINE = (
    "<134>Nov 22 17:03:{second:02d} web1 haproxy[199]: 203.0.113.9:4000 [22/Nov/2026:17:03:{second:02d}.500] www app/{server} "
    '0/0/0/{took}/{took} {status} 217 - - {state} 5/5/4/0/0 0/0 "GET / HTTP/1.1"\n'
)


def traffic(directory: Path, *lines: str) -> dict[Target, TargetTraffic]:
    """Return what a log tells of each server."""
    (directory / "haproxy.log").write_text("".join(lines))
    logs = [LogInput(path="/haproxy.log", kind="access", is_rotated=False)]
    found, gaps = summarise(DirectoryHost(str(directory)), logs, AT, AT + timedelta(minutes=1), members=MEMBERS)
    assert gaps == ()
    return {each.target: each for each in found.targets}


def test_each_server_has_its_own_traffic(tmp_path: Path) -> None:
    served = (LINE.format(second=second, server="node1", took=3, status=200, state="----") for second in (5, 9))
    refused = LINE.format(second=7, server="node2", took=-1, status=503, state="SC--")
    unknown = LINE.format(second=8, server="node7", took=3, status=200, state="----")
    found = traffic(tmp_path, *served, refused, unknown)
    assert found.keys() == {ONE, TWO}
    assert (found[ONE].attempts, found[ONE].failures, found[ONE].statuses) == (2, 0, {"200": 2})
    assert found[ONE].last_success is not None and found[ONE].last_success.second == 9
    assert (found[TWO].attempts, found[TWO].failures, found[TWO].last_success) == (1, 1, None)
