"""Drop-ins of systemd units, as plain steps."""

from __future__ import annotations

import pytest

from why502.model.remedy import Edit, Run
from why502.model.service import Service
from why502.remedies.drop_ins import restart, restart_remedies, seconds, write_drop_in


def unit(**fields: object) -> Service:
    given: dict[str, object] = {
        "manager": "systemd",
        "name": "shop.service",
        "unit_file": "/lib/systemd/system/shop.service",
        "is_running": False,
        "result": "exit-code",
        "start_argv": ("systemctl", "start", "shop.service"),
        "settings": {"Restart": "no", "Type": "simple"},
    }
    return Service(**{**given, **fields})  # type: ignore[arg-type]


def test_a_drop_in_is_checked_before_it_is_read() -> None:
    made, check, read = write_drop_in(unit(), "files", "LimitNOFILE=8192")
    assert isinstance(made, Edit)
    assert made.diff.endswith("@@ -0,0 +1,2 @@\n+[Service]\n+LimitNOFILE=8192\n")
    assert (made.file, made.after) == (
        "/etc/systemd/system/shop.service.d/why502-files.conf",
        "[Service]\nLimitNOFILE=8192\n",
    )
    assert check == Run(argv=("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/shop.service"))
    assert read == Run(argv=("systemctl", "daemon-reload"), undo=("systemctl", "daemon-reload"))
    (other, *_) = write_drop_in(unit(), "restart", "[Unit]", "StartLimitIntervalSec=0", "[Service]", "RestartSec=1s")
    assert isinstance(other, Edit)
    assert other.after == "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=1s\n"


@pytest.mark.parametrize(
    "service",
    [
        unit(manager="supervisord"),
        unit(unit_file=""),
        unit(settings={"DropInPaths": "/x.conf /etc/systemd/system/shop.service.d/why502-files.conf"}),
    ],
)
def test_no_drop_in_for_other_services_or_if_it_exists(service: Service) -> None:
    assert write_drop_in(service, "files", "LimitNOFILE=8192") == ()


def test_a_failed_unit_is_started_and_then_kept_alive() -> None:
    start, keep = restart_remedies(unit())
    assert start.steps == (Run(argv=("systemctl", "start", "shop.service"), undo=("systemctl", "stop", "shop.service")),)
    assert isinstance(keep.steps[0], Edit)
    assert "Restart=on-failure\n" in keep.steps[0].after
    assert keep.steps[-1] == start.steps[0]


@pytest.mark.parametrize(
    ("service", "count"),
    [
        (unit(result=""), 1),  # it was stopped on purpose
        (unit(settings={"Restart": "always"}), 1),
        (unit(settings={"Restart": "no", "Type": "oneshot"}), 1),
        (unit(is_running=True, result=""), 0),
        (unit(start_argv=(), result=""), 0),
        (unit(state="activating", settings={"Restart": "always"}), 0),  # systemd itself starts it again
    ],
)
def test_only_what_failed_is_kept_alive(service: Service, count: int) -> None:
    assert len(list(restart_remedies(service))) == count


def test_a_running_unit_that_died_before_gets_a_restart_policy_without_a_start() -> None:
    (keep,) = restart_remedies(unit(is_running=True, result=""), is_failure=True)
    assert keep.message == "make systemd restart shop.service whenever it fails (Restart=on-failure)"
    assert ("systemctl", "start", "shop.service") not in [step.argv for step in keep.steps if isinstance(step, Run)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1min 30s", 90), ("1s", 1), ("500ms", 0.5), ("1h 2min", 3720), ("infinity", None), ("", None), ("1.5s", 1.5), ("5x", None)],
)
def test_times_as_systemctl_shows_them(text: str, value: float | None) -> None:
    assert seconds(text) == value


def test_a_restart_is_its_own_undo() -> None:
    assert restart(unit()).undo == restart(unit()).argv
