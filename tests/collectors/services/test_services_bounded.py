"""Managers that hang or fail cost a gap, not the others' answers; PHP-FPM's unit is found from its pool."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from asked import known
from free_ports import free_port

from why502.collectors import services
from why502.collectors.base import CollectOptions
from why502.host.base import Finished, Stat
from why502.host.local import LocalHost
from why502.model.errors import Expired
from why502.model.service import PhpPool
from why502.model.target import Target
from why502.supervisors.base import Look
from why502.supervisors.systemd import manager as systemd

DATA = Path(__file__).parents[2] / "data" / "services"
FPM = """\
Id=php8.2-fpm.service
ActiveState=failed
SubState=failed
Result=exit-code
ExecMainCode=1
ExecMainStatus=78
NRestarts=0
ExecStart={ path=/usr/sbin/php-fpm8.2 ; argv[]=/usr/sbin/php-fpm8.2 --nodaemonize --fpm-config /etc/php/8.2/fpm/php-fpm.conf ; ignore_errors=no ; pid=0 }
FragmentPath=/lib/systemd/system/php8.2-fpm.service
"""


class Systemd(LocalHost):
    """This machine, as if it ran systemd with this answer; None: as if it never answered."""

    def __init__(self, shown: str | None) -> None:
        super().__init__()
        self.shown = shown

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        return super().stat("/" if path == systemd.RUNNING else path, follow=follow)

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        if argv[0] not in ("systemctl", "journalctl"):
            return super().run(*argv, timeout_s=timeout_s)
        if self.shown is None:
            raise Expired(f"{argv[0]}: did not finish within {timeout_s:g} s")
        return Finished(status=0, stdout=self.shown if argv[0] == "systemctl" else "", stderr="")


def test_a_systemctl_that_hangs() -> None:
    host, target = Systemd(None), Target(host="127.0.0.1", port=free_port())
    found = services.collect(host, known(host, target), CollectOptions())
    assert found.value == ()
    of_systemd = [gap for gap in found.gaps if gap.source == "systemd"]  # other managers may run on this machine
    assert [(gap.source, gap.reason, gap.section) for gap in of_systemd] == [
        ("systemd", f"systemctl: did not finish within {systemd.TIMEOUT_S:g} s", "services")
    ]


def test_a_manager_with_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(systemd, "services", fails)
    host = LocalHost()
    found = services.collect(host, known(host, Target(host="127.0.0.1", port=free_port())), CollectOptions())
    assert "internal error: KeyError" in found.gaps[0].reason


def test_targets_on_other_machines_have_no_service() -> None:
    host = LocalHost()
    assert services.collect(host, known(host, Target(host="192.0.2.7", port=80)), CollectOptions()).value == ()


@pytest.mark.parametrize("pool", [{"unit": "php8.2-fpm.service"}, {"file": "/etc/php/8.2/fpm/pool.d/www.conf"}])
def test_the_unit_of_a_pool(pool: dict[str, str]) -> None:
    target = Target(path="/run/php/php8.2-fpm.sock")
    look = Look(
        owners={target: ()},
        processes={},
        parents={},
        names={},
        pools=(msgspec.structs.replace(PhpPool(name="www", target=target), **pool),),
        since=datetime(2026, 11, 21, tzinfo=UTC),
        until=datetime(2026, 11, 21, tzinfo=UTC),
    )
    (service,) = systemd.services(Systemd(FPM), look)
    assert (service.name, service.targets, service.exit_code) == ("php8.2-fpm.service", (target,), 78)
    assert service.link == "its PHP-FPM pool www has it"


def test_recorded_units_end_as_systemd_reports() -> None:
    targets = [Target(host="127.0.0.1", port=port) for port in (3102, 3103, 3104)]
    now = datetime.now(UTC)
    look = Look(owners=dict.fromkeys(targets, ()), processes={}, parents={}, names={}, pools=(), since=now, until=now)
    found = systemd.services(Systemd((DATA / "systemd_252_show.txt").read_text()), look)
    assert {one.name: one.exit_message.split(":")[0] for one in found} == {
        "loop.service": "exited with status 1",
        "segv.service": "11/SEGV",
        "nobin.service": "203/EXEC",
    }
