"""Ordinary layouts: a podman pod with a whole shop, the machine's proxy before containers, and another user's podman."""

from __future__ import annotations

from why502.lab import traffic
from why502.lab.containers.machine import ROOTLESS
from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.lives import STOPPED


def one_pod(site: Site, is_broken: bool) -> None:
    """Proxy, application and cache are in one podman pod, where 127.0.0.1 is the same for all; the application was stopped."""
    site.call("pod", "create", "--name", "shop", "-p", "8080:80")
    site.app("shop-cache", "127.0.0.1:6379", options=("--pod", "shop"))
    site.app("shop-api", "127.0.0.1:3000", options=("--pod", "shop"))
    site.nginx("shop-edge", "proxy_pass http://127.0.0.1:3000;", options=("--pod", "shop"))
    site.serves()
    if is_broken:
        site.call("stop", "-t", "0", "shop-api")
        site.fails()


def paused(site: Site, is_broken: bool) -> None:
    """The machine's proxy sends to two containers by their published ports, and somebody has paused one of them."""
    for port, name in ((8081, "api-1"), (8082, "api-2")):
        site.app(name, options=("-p", f"{port}:3000"))
    site.host_nginx("proxy_next_upstream off; proxy_pass http://127.0.0.1:$port$request_uri;", head=HALVES)
    site.serves()
    if is_broken:
        site.call("pause", "api-2")
        site.until(lambda: site.ask()[0] != 200, "a request meets the paused one")
        site.ask(times=4)


HALVES = "split_clients $request_id $port { 50% 8081; * 8082; }"


def stopped_of_user(site: Site, is_broken: bool) -> None:
    """The machine's proxy uses a port that another user's podman publishes; that user has stopped the container."""
    site.app("api", options=("-p", "8081:3000"))
    site.host_nginx("proxy_pass http://127.0.0.1:8081;")
    site.serves()
    if is_broken:
        site.call("stop", "-t", "0", "api")
        site.until(lambda: traffic.request(("127.0.0.1", 8081), "/") == 0, "the port is closed")
        site.fails()


SCENES = (
    Scene("one-pod-stopped", "the application of a podman pod was stopped", STOPPED, one_pod, engines=("podman",)),
    Scene("paused", "somebody has paused one of two containers", frozenset({"backend-hung"}), paused),
    Scene("stopped-of-user", "another user's container was stopped", STOPPED, stopped_of_user, engines=(ROOTLESS,)),
)
