"""The containers of a node's pods, from a tree of files as a kubelet, containerd and CRI-O write them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.host.directory import DirectoryHost
from why502.model.container import Attachment, Container
from why502.model.logs import Symptom
from why502.model.snapshot import NetworkSpace
from why502.supervisors.docker.history import of_history
from why502.supervisors.docker.manager import of_container
from why502.supervisors.kubernetes import pods

UID = "0f5f8a52-7a1c-4c07-9d61-7f0c5c1f0a11"
PAUSE, WEB, SIDE, OLD = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)
INODE = "4026532777"
DIRECTORY = f"/var/log/pods/shop_web-7d4_{UID}"
BOOT = 1_800_000_000
SPACES = (NetworkSpace(inode=INODE, pid=10, addresses=("10.244.0.7", "fe80::1", "127.0.0.1")),)
ROW = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0 10 0"
BOUND = f"  sl  local_address rem_address   st\n{ROW}\n"


class Node:
    """The files of a node, below a directory: one pod, held by `pause`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("/proc/stat", f"btime {BOOT}\n")
        (root / "proc/self/ns").mkdir(parents=True)
        (root / "proc/self/ns/net").symlink_to("net:[4026531840]")
        self.process(10, "pause", PAUSE)

    def write(self, path: str, text: str, at: int = 0) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if at:
            os.utime(file, (BOOT + at, BOOT + at))

    def process(self, pid: int, name: str, identity: str, *, began_s: int = 0) -> None:
        self.write(f"/proc/{pid}/stat", f"{pid} ({name}) S 1 " + " ".join(["0"] * 17) + f" {began_s * 100} 0")
        self.write(f"/proc/{pid}/cmdline", f"{name}\0--password=hunter2\0")
        group = f"kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{identity}.scope"
        self.write(f"/proc/{pid}/cgroup", f"0::/kubepods.slice/{group}\n")
        self.write(f"/proc/{pid}/net/tcp", BOUND)
        (self.root / f"proc/{pid}/ns").mkdir(exist_ok=True)
        (self.root / f"proc/{pid}/ns/net").symlink_to(f"net:[{INODE}]")

    def output(self, container: str, restarts: int, identity: str, *lines: str, began: int, ended: int) -> None:
        """Write the log of a run, and the link to it."""
        path = f"{DIRECTORY}/{container}/{restarts}.log"
        stamp = datetime.fromtimestamp(BOOT + began, UTC).isoformat().replace("+00:00", "Z")
        self.write(path, "".join(f"{stamp} stderr F {line}\n" for line in lines), ended)
        link = self.root / f"var/log/containers/web-7d4_shop_{container}-{identity}.log"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path)

    def found(self) -> dict[str, Container]:
        return {one.name: one for one in pods.containers(DirectoryHost(str(self.root)), SPACES)}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_container_that_runs(node: Node) -> None:
    node.process(20, "nginx", WEB, began_s=50)
    node.output("web", 0, WEB, "listening", began=50, ended=60)
    (one,) = node.found().values()
    assert (one.engine, one.id, one.name, one.state, one.pid) == ("kubernetes", WEB, "shop/web-7d4/web", "running", 20)
    assert one.network == INODE and one.attachments == (Attachment(network="pods", address="10.244.0.7"),)
    assert [str(target) for target in one.listens or ()] == ["0.0.0.0:8080"]
    assert (one.restarts, one.last_words, one.is_down) == (0, (), False)
    assert one.started_at == datetime.fromtimestamp(BOOT + 50, UTC)
    assert "hunter2" not in str(one)


def test_one_that_dies_again_and_again(node: Node) -> None:
    """Nothing of it runs, and the sandbox still has its address."""
    node.output("web", 4, OLD, "Error: Cannot find module 'pg'", began=70, ended=71)
    node.output("web", 5, WEB, "Error: Cannot find module 'pg'", began=80, ended=81)
    (one,) = node.found().values()
    assert (one.state, one.restarts, one.is_down, one.id) == ("exited", 5, True, WEB)
    assert one.attachments[0].address == "10.244.0.7"
    assert one.last_words == ("Error: Cannot find module 'pg'",)
    assert one.stopped_at == datetime.fromtimestamp(BOOT + 81, UTC)
    service = of_container(one)
    assert (service.manager, service.is_running, service.start_argv, service.restarts) == ("kubernetes", False, (), 5)
    assert service.logs == (f"{DIRECTORY}/web/4.log", f"{DIRECTORY}/web/5.log")
    assert one.command("logs") == ("kubectl", "-n", "shop", "logs", "web-7d4", "-c", "web")
    assert one.shows("inspect") == "kubectl -n shop describe pod web-7d4"


def test_what_has_done_its_work_is_no_container_that_should_run(node: Node) -> None:
    """An init container ended before the application began; one beside it that died did not."""
    node.output("migrate", 0, OLD, "done", began=10, ended=12)
    node.process(20, "nginx", WEB, began_s=50)
    node.output("web", 0, WEB, "listening", began=50, ended=60)
    node.output("side", 1, SIDE, "fatal: no token", began=55, ended=56)
    assert {name: one.state for name, one in node.found().items()} == {
        "shop/web-7d4/side": "exited",
        "shop/web-7d4/web": "running",
    }


@pytest.mark.parametrize("root", ["/var/lib/containerd", "/var/lib/rancher/k3s/agent/containerd"])
def test_how_containerd_says_that_it_ended(node: Node, root: str) -> None:
    node.output("web", 2, WEB, "starting", began=80, ended=81)
    path = f"{root}/io.containerd.grpc.v1.cri/containers/{WEB}/status"
    ended = {"Version": "v1", "Pid": 0, "FinishedAt": (BOOT + 82) * 10**9, "ExitCode": 137, "Reason": "OOMKilled"}
    node.write(path, json.dumps(ended))
    one = node.found()["shop/web-7d4/web"]
    assert (one.exit_code, one.oom_killed, one.stopped_at) == (137, True, datetime.fromtimestamp(BOOT + 82, UTC))
    assert of_container(one).signal == 9
    node.write(path, json.dumps({**ended, "Reason": "Error", "Message": ""}))
    service = of_container(node.found()["shop/web-7d4/web"])
    assert service.signal is None and "SIGKILL" in service.exit_message  # by the kubelet's order, perhaps


def test_how_cri_o_says_that_it_ended(node: Node) -> None:
    node.output("web", 2, WEB, "starting", began=80, ended=81)
    finished = datetime.fromtimestamp(BOOT + 82, UTC).isoformat()
    ended = {"finished": finished, "exitCode": 3, "error": "exit status 3"}
    node.write(f"/var/lib/containers/storage/overlay-containers/{WEB}/userdata/state.json", json.dumps(ended))
    one = node.found()["shop/web-7d4/web"]
    assert (one.exit_code, one.error, one.oom_killed) == (3, "exit status 3", False)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"FinishedAt": "soon"}', '{"finished": 7}', '{"FinishedAt": 1e400}'])
def test_a_status_of_another_kind_says_nothing(node: Node, text: str) -> None:
    node.output("web", 2, WEB, "starting", began=80, ended=81)
    node.write(f"/var/lib/containerd/io.containerd.grpc.v1.cri/containers/{WEB}/status", text)
    assert node.found()["shop/web-7d4/web"].exit_code is None


def test_directories_of_another_form_are_no_pods(node: Node) -> None:
    for name in ("shop_web", f"shop_web_{UID}_x", f"Shop_web_{UID}", f"shop_-web_{UID}", "shop_web_1234"):
        node.write(f"/var/log/pods/{name}/web/0.log", "")
    node.write(f"{DIRECTORY}/We b/0.log", "")
    node.write(f"{DIRECTORY}/web/0.log.20261123-100000.gz", "")
    assert node.found() == {}


def test_a_machine_that_is_no_node(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    assert pods.containers(DirectoryHost(str(tmp_path)), ()) == ()


def test_a_pod_in_the_machines_own_network(node: Node) -> None:
    """It has no address of its own, and what listens there is the machine's."""
    node.process(20, "nginx", WEB)
    node.output("web", 3, WEB, "listening", began=50, ended=60)
    for pid in (10, 20):
        (node.root / f"proc/{pid}/ns/net").unlink()
        (node.root / f"proc/{pid}/ns/net").symlink_to("net:[4026531840]")
    (one,) = node.found().values()
    assert (one.network, one.network_mode, one.attachments, one.listens) == ("", "host", (), None)
    assert not one.is_down


def test_the_run_before_is_remembered(node: Node) -> None:
    """It runs again, and nothing but the status of its last run says that memory was why."""
    node.output("web", 0, OLD, "starting", began=50, ended=51)
    node.process(20, "nginx", WEB, began_s=60)
    node.output("web", 1, WEB, "starting", began=60, ended=61)
    ended = {"Version": "v1", "FinishedAt": (BOOT + 52) * 10**9, "ExitCode": 137, "Reason": "OOMKilled"}
    node.write(f"/var/lib/containerd/io.containerd.grpc.v1.cri/containers/{OLD}/status", json.dumps(ended))
    one = node.found()["shop/web-7d4/web"]
    at = datetime.fromtimestamp(BOOT + 52, UTC)
    assert (one.is_running, one.oom_killed, one.restarts) == (True, False, 1)
    assert [(event.action, event.at, event.code) for event in one.history] == [("oom", at, None), ("die", at, 137)]
    assert [event.symptom for event in of_history(one)] == [Symptom.OOM_KILLED]
