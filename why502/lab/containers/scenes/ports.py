"""Ports: published ones, those that an application really listens on, and the machine's own."""

from __future__ import annotations

from why502.lab.containers import machine
from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.networks import NO_PROCESS, on_host

UNSERVED = frozenset({"published-port-unserved"})


def inner_port_wrong(site: Site, is_broken: bool) -> None:
    """The machine's proxy uses the published port; the application listens on another port of its container."""
    site.app("api", "0.0.0.0:4000" if is_broken else "0.0.0.0:3000", options=("-p", "8081:3000"))
    site.host_nginx("proxy_pass http://127.0.0.1:8081;")
    site.fails() if is_broken else site.serves()


def inner_loopback(site: Site, is_broken: bool) -> None:
    """The same port, but the application listens on 127.0.0.1 of its container only."""
    site.app("api", "127.0.0.1:3000" if is_broken else "0.0.0.0:3000", options=("-p", "8081:3000"))
    site.host_nginx("proxy_pass http://127.0.0.1:8081;")
    site.fails() if is_broken else site.serves()


def published_for_inner(site: Site, is_broken: bool) -> None:
    """The proxy uses the port that is published on the machine with the name of the container."""
    site.network("shop")
    site.app("api", networks=("shop",), options=("-p", "8081:3000"))
    site.nginx("edge", f"proxy_pass http://api:{8081 if is_broken else 3000};", networks=("shop",))
    site.fails() if is_broken else site.serves()


def container_loopback(site: Site, is_broken: bool) -> None:
    """The proxy is in the same network, and the application listens on 127.0.0.1 of its container only."""
    site.network("shop")
    site.app("api", "127.0.0.1:3000" if is_broken else "0.0.0.0:3000", networks=("shop",))
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.fails() if is_broken else site.serves()


def host_loopback(site: Site, is_broken: bool) -> None:
    """The proxy reaches for the machine by its gateway address; the application there listens on 127.0.0.1 only."""
    site.network("shop")
    on_host(site, "127.0.0.1:3000" if is_broken else "0.0.0.0:3000")
    add = ("--add-host", f"host.docker.internal:{site.gateway('shop')}")
    site.nginx("edge", "proxy_pass http://host.docker.internal:3000;", networks=("shop",), options=("-p", "8080:80", *add))
    site.fails() if is_broken else site.serves()


def host_blocked(site: Site, is_broken: bool) -> None:
    """The machine's firewall drops what comes from containers."""
    site.network("shop")
    on_host(site, "0.0.0.0:3000")
    site.nginx("edge", f"proxy_pass http://{site.gateway('shop')}:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        subnet = f"{site.gateway('shop').rpartition('.')[0]}.0/24"
        machine.sh("iptables", "-I", "INPUT", "-s", subnet, "-p", "tcp", "--dport", "3000", "-j", "DROP")
        site.fails(times=2)


def firewall_reloaded(site: Site, is_broken: bool) -> None:
    """The rules of the engine are gone, as after a reload of the machine's own firewall; what it forwards is dropped."""
    site.network("shop")
    site.app("api", networks=("shop",))
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        machine.sh("iptables", "-P", "FORWARD", "DROP")
        machine.sh("iptables", "-F")
        machine.sh("iptables", "-t", "nat", "-F")
        machine.sh("iptables", "-X")
        machine.sh("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
        edge = site.address("edge", "shop")  # not the published port, which is gone with the rules
        site.until(lambda: site.ask_at(edge) != 200, "what the proxy sends is dropped")
        site.ask_at(edge)


def ruleset_flushed(site: Site, is_broken: bool) -> None:
    """The machine's proxy uses a published port, and all rules are gone, the engine's too, as after `nft flush ruleset`.

    Docker's own process still forwards the port; podman forwards it by rules alone, and only holds it.
    """
    site.network("shop")
    site.app("api", networks=("shop",), options=("-p", "8081:3000"))
    site.host_nginx("proxy_pass http://127.0.0.1:8081;")
    site.serves()
    if is_broken:
        machine.sh("nft", "flush", "ruleset")
        site.fails(times=2)


SCENES = (
    Scene(
        "published-port-inner-wrong",
        "the application listens on another port of its container",
        UNSERVED,
        inner_port_wrong,
        never=NO_PROCESS,
        engines=("docker", "podman", machine.ROOTLESS),
    ),
    Scene(
        "published-port-loopback",
        "the application listens on 127.0.0.1 of its container",
        UNSERVED,
        inner_loopback,
        never=NO_PROCESS,
        engines=("docker", "podman", machine.ROOTLESS),
    ),
    Scene(
        "published-for-inner-port",
        "the published port with the container's name",
        frozenset({"wrong-port"}),
        published_for_inner,
        never=NO_PROCESS,
    ),
    Scene(
        "container-loopback",
        "the application listens on 127.0.0.1 of its container",
        frozenset({"wrong-address"}),
        container_loopback,
        never=NO_PROCESS,
    ),
    Scene(
        "host-loopback",
        "the machine's application listens on 127.0.0.1 only",
        frozenset({"wrong-address"}),
        host_loopback,
        never=NO_PROCESS,
    ),
    Scene(
        "host-blocked",
        "the machine's firewall drops what comes from containers",
        frozenset({"network-policy-denies"}),
        host_blocked,
        never=NO_PROCESS,
    ),
    Scene(
        "firewall-reloaded",
        "the engine's firewall rules are gone",
        frozenset({"network-policy-denies"}),
        firewall_reloaded,
        never=NO_PROCESS,
    ),
    Scene(
        "ruleset-flushed",
        "the rules that forward a published port are gone",
        frozenset({"network-policy-denies"}),
        ruleset_flushed,
        engines=("podman",),
        never=NO_PROCESS,
    ),
)
