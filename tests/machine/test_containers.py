"""Containers described by the files of their engine, as Docker 20.10, podman 4.3, CRI-O and containerd 1.6 write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from why502.host.directory import DirectoryHost
from why502.machine.containers import Container, container_of, forwarded, owner
from why502.machine.process_table import ProcessTable
from why502.model.snapshot import PublishedPort
from why502.model.target import Target

ID = "3f9a" + "0" * 60
UID = "0f5f8a52-7a1c-4c07-9d61-7f0c5c1f0a11"


class Machine:
    """The files of a machine, below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc").mkdir()

    def write(self, path: str, content: object) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))

    def process(self, pid: int, parent: int, *argv: str, uid: int = 0) -> None:
        name = argv[0].rpartition("/")[2][:15]
        self.write(f"/proc/{pid}/stat", f"{pid} ({name}) S {parent} " + " ".join(["0"] * 40))
        self.write(f"/proc/{pid}/status", f"Name:\t{name}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        self.write(f"/proc/{pid}/cmdline", "\0".join(argv) + "\0")

    def container(self, pid: int, cgroup: str, identity: str = ID) -> Container:
        host = DirectoryHost(str(self.root))
        return container_of(host, ProcessTable(host), pid, identity, cgroup)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def docker(**more: Any) -> dict[str, Any]:
    ports = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "9000/tcp": None}
    networks = {"shop_default": {"IPAddress": "172.18.0.3"}}
    return {"Name": "/shop-app", "Config": {"Image": "shop"}, "NetworkSettings": {"Networks": networks, "Ports": ports}, **more}


def test_docker_without_its_daemon(machine: Machine) -> None:
    directory = f"/var/lib/docker/containers/{ID}"
    machine.write(f"{directory}/config.v2.json", docker())
    machine.write(f"{directory}/{ID}-json.log", "")
    found = machine.container(7, f"/docker/{ID}")
    assert (found.engine, found.name, found.words) == ("docker", "shop-app", "shop-app (3f9a00000000)")
    assert (found.log_driver, found.logs) == ("json-file", (f"{directory}/{ID}-json.log",))
    inner = Target(host="172.18.0.3", port=80)
    outers = [Target(host="0.0.0.0", port=8080), Target(host="::", port=8080)]
    assert found.published == tuple(PublishedPort(outer=outer, inner=inner, source="docker inspect") for outer in outers)
    machine.write(f"{directory}/hostconfig.json", {"LogConfig": {"Type": "journald"}})
    assert (found := machine.container(7, f"/system.slice/docker-{ID}.scope")).log_driver == "journald"
    assert found.logs == ()


def test_podman_and_its_monitor(machine: Machine) -> None:
    bundle = f"/var/lib/containers/storage/overlay-containers/{ID}/userdata"
    argv = ["/usr/bin/conmon", "--api-version", "1", "-c", ID, "-u", ID, "-b", bundle, "-n", "web"]
    machine.process(50, 1, *argv, "-l", f"k8s-file:{bundle}/ctr.log", "--log-level", "warning")
    machine.process(51, 50, "nginx")
    machine.process(52, 51, "nginx")
    machine.write(f"{bundle}/ctr.log", "")
    cgroup = f"/machine.slice/libpod-{ID}.scope/container"
    found = machine.container(52, cgroup)
    assert (found.engine, found.name, found.log_driver, found.logs) == ("podman", "web", "k8s-file", (f"{bundle}/ctr.log",))
    machine.process(50, 1, *argv, "-l", "journald")
    assert (machine.container(52, cgroup).log_driver, machine.container(52, cgroup).logs) == ("journald", ())


def test_a_user_may_not_pretend_to_be_the_monitor(machine: Machine) -> None:
    """Where its container's log is, is the word of whoever runs the monitor."""
    machine.process(50, 1, "conmon", "-c", ID, "-n", "web", "-l", "k8s-file:/etc/shadow", uid=1000)
    machine.process(51, 50, "nginx")
    machine.write("/etc/shadow", "root:secret")
    found = machine.container(51, f"/machine.slice/libpod-{ID}.scope")
    assert (found.name, found.logs) == ("", ())
    machine.process(50, 1, "conmon", "-c", ID, "-n", "web", "-l", "k8s-file:/etc/shadow")
    other = "1" * 64
    assert machine.container(51, f"/machine.slice/libpod-{other}.scope", other).logs == ()


def test_a_pod_of_containerd(machine: Machine) -> None:
    notes = {"sandbox-namespace": "prod", "sandbox-name": "shop-5d8-x2", "sandbox-uid": UID, "container-name": "web"}
    notes = {f"io.kubernetes.cri.{key}": value for key, value in notes.items()}
    machine.write(f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json", {"annotations": notes})
    directory = f"/var/log/pods/prod_shop-5d8-x2_{UID}/web"
    for name in ("0.log", "1.log", "10.log", "0.log.gz"):
        machine.write(f"{directory}/{name}", "")
    cgroup = (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope"
    )
    found = machine.container(7, cgroup)
    assert (found.engine, found.name) == ("containerd", "prod/shop-5d8-x2/web")
    assert found.logs == (f"{directory}/1.log", f"{directory}/10.log")
    notes["io.kubernetes.cri.sandbox-name"] = "../../etc"
    machine.write(f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json", {"annotations": notes})
    assert (machine.container(7, cgroup).name, machine.container(7, cgroup).logs) == ("", ())


def test_a_pod_of_which_only_the_cgroup_is_known(machine: Machine) -> None:
    found = machine.container(7, f"/kubepods/besteffort/pod{UID}/{ID}")
    assert (found.name, found.words) == (f"pod {UID}", f"pod {UID} (3f9a00000000)")


@pytest.mark.parametrize(
    ("cgroup", "engine"),
    [
        ("/kubepods/burstable/pod{uid}/{id}", ""),
        ("/kubepods/pod{uid}/{id}", ""),
        ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope", "containerd"),
        ("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{id}.scope/container", "cri-o"),
        ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid_}.slice/cri-containerd-{id}.scope", "containerd"),
        ("/system.slice/containerd.service/kubepods-besteffort-pod{uid_}.slice:cri-containerd:{id}", "containerd"),
        ("/kubepods.slice/kubepods-pod{uid_}.slice/docker-{id}.scope", "docker"),
    ],
)
def test_a_pod_by_the_directories_of_its_kubelet(machine: Machine, cgroup: str, engine: str) -> None:
    """In every spelling of its control group, with version 1 and 2 and both drivers."""
    path = cgroup.format(uid=UID, uid_=UID.replace("-", "_"), id=ID)
    directory = f"/var/log/pods/prod_shop-5d8-x2_{UID}"
    for name in ("web/0.log", "web/3.log", "proxy/0.log"):
        machine.write(f"{directory}/{name}", "")
    found = machine.container(7, path)
    assert (found.engine, found.name, found.logs) == (engine, "prod/shop-5d8-x2", ())
    machine.write(f"/var/log/containers/shop-5d8-x2_prod_web-{ID}.log", "")
    found = machine.container(7, path)
    assert (found.name, found.logs) == ("prod/shop-5d8-x2/web", (f"{directory}/web/0.log", f"{directory}/web/3.log"))


def test_the_only_container_of_a_pod_needs_no_link(machine: Machine) -> None:
    machine.write(f"/var/log/pods/prod_shop_{UID}/web/0.log", "")
    machine.process(7, 1, "nginx")
    machine.process(8, 1, "/pause")
    cgroup = f"/kubepods/burstable/pod{UID}/{ID}"
    assert machine.container(7, cgroup).name == "prod/shop/web"
    assert machine.container(8, cgroup).name == "prod/shop"


def test_the_names_that_cri_o_gives(machine: Machine) -> None:
    machine.process(50, 1, "conmon", "-c", ID, "-n", f"k8s_web_shop-5d8-x2_prod_{UID}_2", "-l", "/var/log/x.log")
    machine.process(51, 50, "nginx")
    machine.write("/var/log/x.log", "")
    cgroup = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/crio-{ID}.scope"
    found = machine.container(51, cgroup)
    assert (found.engine, found.name, found.logs) == ("cri-o", "prod/shop-5d8-x2/web", ("/var/log/x.log",))


@pytest.mark.parametrize("state", ["/run/containerd", "/run/k3s/containerd"])
def test_containerd_of_other_distributions(machine: Machine, state: str) -> None:
    notes = {"io.kubernetes.cri.sandbox-namespace": "prod", "io.kubernetes.cri.sandbox-name": "shop"}
    machine.write(f"{state}/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json", {"annotations": notes})
    assert machine.container(7, f"/kubepods/pod{UID}/{ID}").name == "prod/shop"


def test_containers_named_by_their_cgroup(machine: Machine) -> None:
    assert machine.container(7, "/lxc.payload.web1", "web1") == Container("web1", "lxc", "web1")
    found = machine.container(7, "/machine.slice/systemd-nspawn@web2.service/payload", "web2")
    assert (found.engine, found.words) == ("systemd-nspawn", "web2")


def test_an_unknown_container_has_its_id(machine: Machine) -> None:
    assert machine.container(7, f"/docker/{ID}").words == "3f9a00000000"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"Name": 7}', '{"NetworkSettings": {"Ports": [1], "Networks": 3}}', "[" * 9999]
)
def test_files_with_other_content_do_no_harm(machine: Machine, content: str) -> None:
    machine.write(f"/var/lib/docker/containers/{ID}/config.v2.json", content)
    assert machine.container(7, f"/docker/{ID}").words == "3f9a00000000"


def test_who_owns_a_cgroup() -> None:
    of_user = f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"
    assert (owner(of_user), owner(f"/machine.slice/libpod-{ID}.scope")) == (1000, 0)


def test_the_arguments_of_docker_proxy() -> None:
    words = "-proto tcp -host-ip 127.0.0.1 -host-port 8080 -container-ip 172.18.0.3 -container-port 80".split()
    found = forwarded(("/usr/bin/docker-proxy", *words))
    assert found is not None
    assert (found.outer, found.inner) == (Target(host="127.0.0.1", port=8080), Target(host="172.18.0.3", port=80))
    assert forwarded(("docker-proxy", *(word.replace("tcp", "udp") for word in words))) is None
    assert forwarded(("sh", *words)) is None
    assert forwarded(()) is None
    v6 = [word.replace("127.0.0.1", "::") for word in words]
    assert (found := forwarded(("docker-proxy", *v6))) is not None and found.outer == Target(host="::", port=8080)


def test_the_files_of_a_users_engine_are_read_as_the_user(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(DirectoryHost, "acting_as", lambda self, uid: asked.append(uid) or self)
    machine.container(7, f"/user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope")
    assert asked == [1000]
