"""The remedies for a temporary directory that the proxy's workers cannot write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.fix import guard
from why502.model.config import Peer, Route
from why502.model.errors import Why502Error
from why502.model.logs import LogSummary, Sample, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.remedy import Run
from why502.model.snapshot import Disk, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8000)


def _steps(directory: str) -> list[tuple[object, ...]]:
    text = f'[crit] 7#7: *1 open() "{directory}/0000000001" failed (13: Permission denied) while reading upstream'
    tally = Tally(
        symptom=Symptom.TEMP_DENIED, target=APP, count=3, first=AT, last=AT, samples=(Sample(text=text, source="error.log:1"),)
    )
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(kind="nginx", pid=10, user="www-data", routes=(Route(peers=(Peer(name="app", target=APP),)),)),),
        disks=(Disk(path=directory, free_bytes=1 << 30, total_bytes=1 << 31),),
        logs=LogSummary(tallies=(tally,), requests=9, has_access=True),
    )
    return [remedy.steps for remedy in CAUSES["proxy-temp-unwritable"].remedies(Case(here, target=APP))]


def _test(directory: str) -> Run:
    return Run(argv=("runuser", "-u", "www-data", "--", "test", "-w", directory))


def test_the_owner_first_then_the_directory_above_each_tested_as_the_user_of_the_workers() -> None:
    directory = "/var/lib/nginx/body"
    chown = Run(argv=("chown", "-R", "www-data", directory))
    search = Run(argv=("chmod", "o+x", "/var/lib/nginx"))
    assert _steps(directory) == [(chown, _test(directory)), (search, chown, _test(directory))]


def test_a_directory_of_the_system_is_not_opened() -> None:
    directory = "/var/cache/nginx"
    assert _steps(directory) == [(Run(argv=("chown", "-R", "www-data", directory)), _test(directory))]


def test_the_test_may_name_what_others_can_change_and_nothing_else_may(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("open")
    directory.chmod(0o777)
    guard.command(_test(str(directory)).argv)
    with pytest.raises(Why502Error, match="could be changed by users"):
        guard.command(("runuser", "-u", "www-data", "--", "cat", str(directory / "x")))
