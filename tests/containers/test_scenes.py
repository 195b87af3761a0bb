"""Proxies and applications in containers that no engine is asked about: the first cause of each scene."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from staged import REPEATED

SCENE = Path(__file__).parent / "scenes.py"
SPACE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
TOOLS = ("nginx", "ip", "nft", "ss", "nsenter", "/usr/sbin/docker-proxy")
GROUPS = Path("/sys/fs/cgroup/systemd")
pytestmark = [pytest.mark.real, REPEATED, pytest.mark.timeout(200)]

# scene: first cause, target, words of its message
FIRST = {
    "localhost-of-a-sibling": (
        "container-network-mismatch",
        "127.0.0.1:3000",
        ("container shop-proxy (", "container shop-app ("),
    ),
    "localhost-of-the-host": ("container-network-mismatch", "127.0.0.1:3000", ("container shop-proxy (", "on this host")),
    "nothing-anywhere": ("backend-not-running", "127.0.0.1:3000", ()),
    "backend-gone": ("backend-not-running", "172.30.0.3:3000", ()),
    "published-wrong-inner-port": (
        "published-port-unserved",
        "127.0.0.1:8080",
        ("port 80 of container shop-app (", "0.0.0.0:5000"),
    ),
    "published-to-loopback": ("published-port-unserved", "127.0.0.1:8080", ("listens only on 127.0.0.1:80",)),
    "published-port-in-the-network": ("wrong-port", "172.30.0.3:8080", ("in container shop-app (", "listens on 0.0.0.0:80")),
    "published-and-hung": ("premature-close", "127.0.0.1:8080", ()),
    "bound-to-loopback": ("wrong-address", "172.30.0.3:3000", ("in container shop-app (", "listens only on 127.0.0.1:3000")),
    "linked-logs": ("wrong-address", "172.30.0.3:3000", ()),
    "resolver-of-another-engine": ("dns-resolver-failure", "app:3000", ("172.30.0.1:53", "resolves app")),
    "no-shared-network": ("container-network-mismatch", "172.31.0.3:3000", ("in their common network it is 172.30.0.3",)),
    "host-blocked": ("connect-timeout", "172.30.0.1:3000", ("on this host", "no connection from container shop-proxy (")),
}
CERTAIN = 0.8


@pytest.fixture(scope="module")
def diagnoses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The diagnosis of each scene."""
    if os.geteuid() != 0 or subprocess.run([*SPACE, "true"], capture_output=True, check=False).returncode or not GROUPS.is_dir():
        pytest.skip("makes namespaces and cgroups of its own, needs root and cgroup v1")
    if missing := [name for name in TOOLS if not shutil.which(name)]:
        pytest.skip(f"needs {', '.join(missing)}")
    place = tmp_path_factory.mktemp("containers")
    argv = [*SPACE, sys.executable, str(SCENE), str(place), str(Path(__file__).parents[2])]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("scene", FIRST)
def test_the_first_cause_is_right(diagnoses: dict[str, Any], scene: str) -> None:
    cause, target, words = FIRST[scene]
    found = diagnoses[scene]
    first = found["findings"][0]
    assert (first["cause"], first["target"]) == (cause, target)
    assert first["confidence"] >= CERTAIN
    assert [word for word in words if word not in first["message"]] == []
    wrong = [each["cause"] for each in found["findings"] if each["confidence"] >= CERTAIN and each["cause"] != cause]
    assert wrong == []


def test_a_healthy_container_has_no_finding(diagnoses: dict[str, Any]) -> None:
    assert diagnoses["healthy"]["findings"] == []


def test_the_logs_of_the_container_were_read(diagnoses: dict[str, Any]) -> None:
    """No one named them: the engine writes the streams of the proxy to its own file."""
    for scene, found in diagnoses.items():
        assert found["traffic"]["requests"] >= 3, scene
        assert [gap for gap in found["gaps"] if gap["source"] in ("logs", "error log", "access log", "names")] == []
