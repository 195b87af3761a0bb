"""The lab's list of faults: complete, and named as everything else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.diagnosis import causes
from why502.lab import faults as directory
from why502.lab.faults import faults

TOLD_APART = """
wrong-port wrong-address backend-not-running backend-crashed backend-hung backend-too-slow proxy-timeout-too-short
workers-exhausted listen-backlog-overflow connection-reset premature-close truncated-response keepalive-race invalid-response
response-header-too-big wrong-protocol upstream-error-status all-upstreams-down unix-socket-missing unix-socket-permission
php-fpm-socket-mismatch dns-host-not-found resolver-missing dns-resolver-failure stale-dns tls-handshake-failed tls-verify-failed
worker-connections-exhausted too-many-open-files ephemeral-ports-exhausted proxy-loop proxy-config-invalid proxy-config-not-loaded
proxy-not-running proxy-temp-unwritable rate-limited maintenance-response connect-timeout connect-rejected host-unreachable
client-closed-request healthy
backend-crash-loop backend-startup-failure port-conflict backend-oom-killed deploy-termination-race worker-timeout
php-fpm-max-children php-fpm-crashed cpu-saturation io-saturation memory-pressure disk-full
selinux-denied apparmor-denied conntrack-table-full
""".split()


@pytest.mark.parametrize("cause", TOLD_APART)
def test_every_cause_has_a_fault_in_a_file_of_its_name(cause: str) -> None:
    assert cause in {fault.cause for fault in faults().values()}
    assert (Path(directory.__path__[0]) / f"{cause.replace('-', '_')}.py").exists()


def test_there_are_enough_healthy_controls() -> None:
    assert sum(fault.is_healthy for fault in faults().values()) >= 6


def test_faults_agree_with_the_causes() -> None:
    known = {name: cause.layer for name, cause in causes.CAUSES.items()}
    for fault in faults().values():
        assert fault.is_healthy or known.get(fault.cause, fault.layer) == fault.layer, fault.name
        assert fault.also <= known.keys(), fault.name
