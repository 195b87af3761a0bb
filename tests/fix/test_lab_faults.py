"""Every repairable fault of the lab: `why502 fix` repairs it, requests work afterwards, and undo restores the files byte for
byte.
"""

from __future__ import annotations

import pytest
from sampled import few
from staged import REPEATED, scenes

from why502.lab.fault import Fault
from why502.lab.faults import faults
from why502.lab.room import play

pytestmark = [pytest.mark.real, REPEATED, pytest.mark.timeout(180)]

REPAIRED = frozenset(
    """
    wrong-port wrong-address wrong-protocol unix-socket-missing unix-socket-permission php-fpm-socket-mismatch
    php-fpm-max-children
    response-header-too-big proxy-timeout-too-short tls-handshake-failed keepalive-race resolver-missing stale-dns
    proxy-config-not-loaded proxy-not-running proxy-temp-unwritable worker-connections-exhausted too-many-open-files
    all-upstreams-down ephemeral-ports-exhausted
    """.split()
)
# Scenes of those causes without a known exact step: the application itself lacks something.
HOPELESS = frozenset(
    """
    unix-socket-missing unix-socket-missing-private-tmp wrong-protocol-http-to-fastcgi wrong-port-dead-mount
    wrong-port-and-mistake
    """.split()
)
# Scenes of other causes with a known exact step.
HOPEFUL = frozenset(
    """
    backend-hung-stopped backend-not-running-unit backend-not-running-supervisord backend-startup-failure-environment-file
    backend-crashed-unit backend-crashed-unit-exit backend-crash-loop-limit backend-oom-killed-unit backend-hung-unit
    deploy-termination-race-killed worker-timeout-php-fpm worker-timeout-php-fpm-tcp port-conflict port-conflict-answered
    port-conflict-gunicorn port-conflict-tries-on proxy-config-invalid-directive proxy-config-invalid-buffers
    tls-verify-failed-name tls-verify-failed-issuer-known tls-verify-failed-default-name dns-resolver-failure-own
    proxy-loop-application
    """.split()
)
EASED = frozenset({"php-fpm-max-children-queue"})  # its clients need more than one step provides: only some of them are served
LEFT_ALONE = (
    "rate-limited",
    "maintenance-response",
    "connect-rejected-local",
    "tls-verify-failed-expired",
    "upstream-error-status",
)


def fixable() -> dict[str, Fault]:
    """Return the faults that a fix repairs."""
    return {
        name: fault for name, fault in faults().items() if name in HOPEFUL or (fault.cause in REPAIRED and name not in HOPELESS)
    }


@pytest.mark.parametrize("fault", few(scenes(fixable().values()), 3))
def test_it_is_repaired_and_undone(fault: Fault) -> None:
    if missing := fault.missing():
        pytest.skip(missing)
    found = play(fault, "--fix", timeout_s=170)["fix"]
    plan = found["plan"]
    assert (plan["status"], bool(plan["json"])) == (1, True), plan["stderr"]
    assert plan["json"]["cause"] == fault.cause
    assert found["planned"] == found["before"], "the plan alone changed something"
    applied = found["applied"]
    is_proved = applied["json"]["unverified"] is None  # some failures only live traffic can show
    assert (applied["status"], applied["json"]["outcome"]) == (0 if is_proved else 1, "kept"), applied["stderr"]
    assert set(found["statuses"]) <= {200} or fault.name in EASED, (found["statuses"], applied["stderr"])
    assert found["undo"]["json"]["outcome"] == "reverted", found["undo"]["stderr"]
    assert found["undone"] == found["before"]


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_faults_without_a_repair_are_left_alone(name: str) -> None:
    fault = faults()[name]
    if missing := fault.missing():
        pytest.skip(missing)
    found = play(fault, "--fix", timeout_s=170)["fix"]
    assert found["plan"]["status"] == 2
    first, second = found["plan"]["stderr"].splitlines()
    assert first.startswith(f"why502: {fault.cause} cannot be fixed from here: ")
    assert second.startswith("What helps: ")
    assert found["planned"] == found["before"]


def test_a_mistake_of_somebody_else_is_named_and_nothing_changed() -> None:
    fault = faults()["wrong-port-and-mistake"]
    if missing := fault.missing():
        pytest.skip(missing)
    found = play(fault, "--fix", timeout_s=170)["fix"]
    assert found["applied"]["status"] == 2
    first, second = found["applied"]["stderr"].splitlines()[-2:]
    assert first.startswith("why502: the configuration on disk already fails the proxy's own test: ")
    assert second == "Nothing was changed. Fix that first."
