"""A unit in the journal: with recorded entries, and with systemd itself as pid 1 of a container."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from container import booted, why_not

from why502.logs.follow.step import Step
from why502.logs.scan.work import ScanQuery
from why502.watch.tailing.journal import JournalFollower, begin, time_of

LINE = (
    '10.0.0.1:4000 [21/Nov/2026:00:00:00.000] web app/s1 0/0/1/2/3 {status} 157 - - ---- 1/1/0/0/0 0/0 "GET /r{number} HTTP/1.1"'
)
PRINTER = "import sys, time; sys.stdout.write(open(sys.argv[1]).read()); sys.stdout.flush(); time.sleep(60)"


def entry(number: int, **fields: str) -> str:
    """Return an entry as journalctl prints it."""
    found = {"__CURSOR": f"s=a;i={number};t=5f{number:03x}", "_PID": "77", "SYSLOG_IDENTIFIER": "haproxy"}
    return json.dumps({**found, "MESSAGE": LINE.format(status=200, number=number), **fields}) + "\n"


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Recorded:
    """Stands for journalctl: prints some entries, and remembers how it was called."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "entries"
        self.commands: list[Sequence[str]] = []

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self.commands.append(command)
        return begin([sys.executable, "-c", PRINTER, str(self.path)])


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


@pytest.fixture
def follow(recorded: Recorded) -> Iterator[Callable[..., JournalFollower]]:
    made: list[JournalFollower] = []

    def one(*args: object, **fields: object) -> JournalFollower:
        made.append(JournalFollower("haproxy.service", *args, query=ScanQuery(), start=recorded.start, **fields))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for each in made:
        each.close()


def read(follower: JournalFollower, lines: int) -> list[Step]:
    """Step until so many lines came."""
    steps: list[Step] = []
    until(lambda: (steps.append(follower.step()), sum(step.added.lines for step in steps) >= lines)[1])
    return steps


def test_the_entry_of_the_cursor_is_left_out_and_others_count_once(
    recorded: Recorded, follow: Callable[..., JournalFollower]
) -> None:
    recorded.path.write_text("".join(map(entry, range(1, 4))))
    first = follow(since=100.0)
    read(first, 3)
    checkpoint = first.checkpoint()
    assert "--since=@100" in recorded.commands[0]
    recorded.path.write_text("".join(map(entry, range(3, 6))))
    second = follow(checkpoint)
    steps = read(second, 2)
    assert f"--cursor={checkpoint.cursor}" in recorded.commands[1]
    assert sum(step.added.lines for step in steps) == 2
    assert second.checkpoint().cursor == "s=a;i=5;t=5f005"


def test_what_the_journal_suppressed_is_lost_and_what_systemd_says_is_no_line(
    recorded: Recorded, follow: Callable[..., JournalFollower]
) -> None:
    recorded.path.write_text(
        entry(1, MESSAGE="Started HAProxy", _PID="1")
        + entry(2, MESSAGE="Suppressed 42 messages from haproxy.service", N_DROPPED="42")
        + "not json\n"
        + entry(3)
    )
    follower = follow()
    steps = read(follower, 1)
    assert follower.lost_lines == 42
    assert sum(step.added.lines for step in steps) == 1


def test_a_child_that_ends_is_started_again_later_each_time(recorded: Recorded, follow: Callable[..., JournalFollower]) -> None:
    now = [0.0]
    follower = follow(clock=lambda: now[0])
    recorded.start = lambda command: (recorded.commands.append(command), begin(["sh", "-c", "echo no journal >&2; exit 1"]))[1]  # type: ignore[method-assign]
    follower._start = recorded.start
    until(lambda: follower.step().reason == "no journal")
    for _ in range(400):
        follower.step()
        now[0] += 1
        time.sleep(0.001)
    assert 5 <= len(recorded.commands) <= 14


def test_an_entry_that_is_no_longer_kept_is_replaced_by_its_time(
    recorded: Recorded, follow: Callable[..., JournalFollower]
) -> None:
    recorded.path.write_text(entry(9))
    follower = follow()
    read(follower, 1)
    checkpoint = follower.checkpoint()
    calls: list[Sequence[str]] = []

    def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        calls.append(command)
        return begin(["sh", "-c", "echo Failed to seek to cursor: Invalid argument >&2; exit 1"])

    other = JournalFollower("haproxy.service", checkpoint, query=ScanQuery(), start=start)
    until(lambda: (other.step(), len(calls) > 1)[1])
    other.close()
    assert "--since=@0" in calls[1]
    assert time_of("s=1;t=64f3c5d2a0b40;x=2") == int("64f3c5d2a0b40", 16) / 1e6


FILES = {
    "/etc/systemd/system/web.service": "[Service]\n"
    "ExecStart=/bin/sh -c 'while read line; do echo \"$line\"; done < /run/in'\nSyslogIdentifier=haproxy\n",
    "/etc/systemd/system/basic.target.wants/none": "",
}


@pytest.mark.machine
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_each_line_of_a_real_unit_counts_once_over_restarts(tmp_path: Path) -> None:
    with booted(tmp_path, FILES) as inside:
        subprocess.run([*inside, "mkfifo", "/run/in"], check=True)
        subprocess.run([*inside, "systemctl", "start", "web.service"], check=True)
        writer = subprocess.Popen([*inside, "sh", "-c", "cat > /run/in"], stdin=subprocess.PIPE)
        assert writer.stdin
        checkpoint, total, number = None, 0, 0
        for turn in range(4):
            follower = JournalFollower(
                "web.service",
                checkpoint,
                query=ScanQuery(),
                since=datetime.now(UTC).timestamp() - 600,
                start=lambda command: begin([*inside, *command]),
            )
            for _ in range(25):
                writer.stdin.write((LINE.format(status=503 if number % 5 else 200, number=number) + "\n").encode())
                number += 1
            writer.stdin.flush()
            steps = read(follower, number - total)
            steps.append(follower.step())
            total += sum(step.added.lines for step in steps)
            assert total == number
            assert not any(step.added.unparsed for step in steps)
            if turn != 1:  # after the second turn everything since the first is forgotten, as by a kill
                checkpoint = follower.checkpoint()
            else:
                total -= 25
            follower.close()
        writer.stdin.close()
        writer.wait()
