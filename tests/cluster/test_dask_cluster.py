"""A real Dask scheduler with two workers tells the same as one process, bit for bit,
also when a worker is killed in the middle.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.logs.scan.written import TIMED, lines
from why502.cluster import connect
from why502.logs.scan import engine, plan
from why502.logs.scan.cause_rows import Meaning
from why502.logs.scan.job import Job
from why502.logs.scan.line_format import of_format
from why502.logs.scan.run import run
from why502.logs.scan.work import ScanQuery
from why502.model.errors import Why502Error
from why502.render.logs.json import render
from why502.render.words import Terminal

distributed = pytest.importorskip("distributed")
PATIENCE_S = 90


@contextmanager
def cluster(directory: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Yield the address of a scheduler and its two workers' processes; all end with the block."""
    told = directory / "scheduler.json"
    processes: list[subprocess.Popen[bytes]] = []

    def start(*argv: str) -> None:
        log = (directory / f"{len(processes)}.txt").open("wb")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "DASK_DISTRIBUTED__WORKER__DAEMON": "false",
        }
        processes.append(subprocess.Popen([sys.executable, "-m", *argv], stdout=log, stderr=log, cwd=directory, env=environment))

    try:
        start(
            "distributed.cli.dask_scheduler",
            "--port",
            "0",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--scheduler-file",
            str(told),
        )
        for _ in range(2):
            start(
                *(
                    "distributed.cli.dask_worker",
                    "--scheduler-file",
                    str(told),
                    "--nthreads",
                    "1",
                    "--no-dashboard",
                    "--no-nanny",
                ),
                *("--host", "127.0.0.1", "--memory-limit", "0", "--local-directory", str(directory)),
            )
        client = distributed.Client(scheduler_file=str(told), timeout=PATIENCE_S, set_as_default=False)
        try:
            client.wait_for_workers(2, timeout=PATIENCE_S)
            yield client.scheduler.address.replace("tcp://", "dask://"), processes[1:]
        finally:
            client.close()
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


@pytest.mark.real
@pytest.mark.timeout(300)
def test_a_killed_worker_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 200_000)
    monkeypatch.setattr(plan, "PARTS", 40)
    path = tmp_path / "access.log"
    path.write_bytes(lines(30_000))
    ask = ScanQuery(is_fast=False)  # slow enough for the kill to come in between

    def told(job: Job, how: engine.Engine) -> str:
        return render(run(job, engine=how, jobs=1, means=lambda *_: Meaning()), Terminal())

    def job() -> Job:
        return Job(paths=(str(path),), query=ask, given=of_format(TIMED))

    alone = told(job(), engine.alone)
    with cluster(tmp_path) as (address, workers):
        watched, is_killed = job(), threading.Event()

        def kill(size_bytes: int) -> None:
            if size_bytes and not is_killed.is_set():  # the first part is back, the others are not
                os.kill(workers[0].pid, signal.SIGKILL)
                is_killed.set()

        watched.on_read = kill
        assert told(watched, connect(address)) == alone
        assert is_killed.is_set()
        assert workers[0].wait(10) == -signal.SIGKILL
        assert workers[1].poll() is None
        started = time.monotonic()
        assert told(job(), connect(address)) == alone  # and the one that is left does it all
        assert time.monotonic() - started < PATIENCE_S


@pytest.mark.parametrize("address", ["nowhere", "http://x:1", "dask://"])
def test_bad_addresses_are_told(address: str) -> None:
    with pytest.raises(Why502Error, match="is not a valid cluster address"):
        connect(address)


def test_no_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("why502.cluster.CONNECT_S", 1)
    with pytest.raises(Why502Error, match="no Dask scheduler answers"):
        connect("dask://127.0.0.1:1")
