"""Pods on a node of Kubernetes: no daemon's socket and no API, only control groups, namespaces and the kubelet's files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from why502.lab.containers.machine import KUBELET, sh
from why502.lab.containers.node import Node
from why502.lab.containers.scene import FORWARD, Scene, Site
from why502.lab.containers.scenes.networks import NO_PROCESS

NGINX = ("nginx", "-g", "daemon off;")
APP = ("python3", "/app/server.py")
MIGRATION = ("sh", "-c", "echo migrated; sleep 3600")


def shop(
    site: Site,
    *argv: str,
    healthy: tuple[str, ...] = (*APP, "0.0.0.0:3000"),
    is_systemd: bool = True,
    memory_bytes: int = 0,
    awaits: Callable[[Node], bool] | None = None,
) -> Node:
    """Make a pod with an application (and a sidecar), and one with a proxy that sends to it by its address."""
    node = Node(site.archive, is_systemd=is_systemd)
    address = node.pod("web-7d4b9")
    node.run("web-7d4b9", "sidecar", *MIGRATION)
    node.run("web-7d4b9", "app", *(argv or healthy), memory_bytes=memory_bytes)
    site.until(lambda: (awaits or (lambda one: one.listens("web-7d4b9", 3000)))(node), "the application is as it should be")
    edge = node.pod("edge-5f6c8")
    location = f"proxy_pass http://{address}:3000;"
    text = FORWARD.format(location=location, server="", connect="2s", listen="80")
    node.run("edge-5f6c8", "nginx", *NGINX, files={"/etc/nginx/nginx.conf": text})
    site.until(lambda: node.listens("edge-5f6c8", 80), "the proxy listens")
    site.ask_at(edge)
    return node


def ask(site: Site, node: Node, path: str = "/", times: int = 3) -> list[int]:
    """Send requests to the proxy's pod; return their statuses."""
    return [site.ask_at(node.pods["edge-5f6c8"][2], path) for _ in range(times)]


def crash_loop(site: Site, is_broken: bool, is_systemd: bool = True) -> None:
    """The application of a pod ends as soon as it starts, and its kubelet starts it again and again."""
    command = ("sh", "-c", "echo \"Error: Cannot find module 'pg'\" >&2; exit 1")
    node = shop(
        site,
        *(command if is_broken else ()),
        is_systemd=is_systemd,
        awaits=(lambda one: one.restarts("web-7d4b9", "app") >= 3) if is_broken else None,
    )
    ask(site, node)


def wrong_port(site: Site, is_broken: bool) -> None:
    """The application of a pod listens on another port than the proxy sends to."""
    aside = (*APP, "0.0.0.0:4000")
    node = shop(site, *(aside if is_broken else ()), awaits=(lambda one: one.listens("web-7d4b9", 4000)) if is_broken else None)
    ask(site, node)


def loopback(site: Site, is_broken: bool) -> None:
    """The application of a pod listens on 127.0.0.1 of its pod only."""
    node = shop(site, *((*APP, "127.0.0.1:3000") if is_broken else ()))
    ask(site, node)


def _is_restarted(node: Node, times: int) -> bool:
    return node.restarts("web-7d4b9", "app") >= times


def out_of_memory(site: Site, is_broken: bool) -> None:
    """A request makes the application need more memory than its container may have."""
    node = shop(site, memory_bytes=48 << 20)
    if is_broken:
        for count in (1, 2):
            ask(site, node, "/hog/200", 1)
            site.until(partial(_is_restarted, node, count), "it was killed and started again")
            site.until(lambda: node.listens("web-7d4b9", 3000), "it listens again")
    ask(site, node, times=1 if is_broken else 3)


def blocked(site: Site, is_broken: bool) -> None:
    """A rule in the application's own network namespace drops what comes to its port, as a policy of a mesh does."""
    node = shop(site)
    ask(site, node)
    if is_broken:
        inside = node.inside("web-7d4b9")
        sh(*inside, "nft", "add", "table", "inet", "mesh")
        sh(*inside, "nft", "add", "chain", "inet", "mesh", "ingress", "{ type filter hook input priority 0 ; }")
        sh(*inside, "nft", "add", "rule", "inet", "mesh", "ingress", "tcp", "dport", "3000", "counter", "drop")
        ask(site, node, times=2)


PODS = (KUBELET,)
LOOP = frozenset({"backend-crash-loop"})
SCENES = (
    Scene("pod-crash-loop", "the application of a pod ends at once, again and again", LOOP, crash_loop, PODS),
    Scene(
        "pod-crash-loop-cgroupfs",
        "the same, with the control groups of the other driver",
        LOOP,
        partial(crash_loop, is_systemd=False),
        PODS,
    ),
    Scene("pod-wrong-port", "the application of a pod listens on another port", frozenset({"wrong-port"}), wrong_port, PODS),
    Scene(
        "pod-loopback",
        "the application of a pod listens on its own 127.0.0.1",
        frozenset({"wrong-address"}),
        loopback,
        PODS,
        never=NO_PROCESS,
    ),
    Scene("pod-oom", "the kernel kills it for its memory limit", frozenset({"backend-oom-killed"}), out_of_memory, PODS),
    Scene(
        "pod-blocked",
        "a rule inside the pod drops what comes to its port",
        frozenset({"network-policy-denies"}),
        blocked,
        PODS,
        never=NO_PROCESS,
    ),
)
