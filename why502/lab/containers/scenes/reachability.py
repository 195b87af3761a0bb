"""Ways in which an application that runs cannot be reached: unpublished ports, left networks, names that other projects use."""

from __future__ import annotations

from why502.lab.containers import machine
from why502.lab.containers.machine import ROOTLESS
from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.networks import MISMATCH, NO_PROCESS, name_server

ELSEWHERE = MISMATCH | {"wrong-address"}
POLICY = frozenset({"network-policy-denies"})
DOCKER = ("docker",)


def not_published(site: Site, is_broken: bool) -> None:
    """The compose file says `expose` where `ports` was meant: the machine's proxy asks 127.0.0.1, and nobody forwards."""
    published = () if is_broken else ("-p", "3000:3000")
    site.app("shop-api-1", options=("--expose", "3000", *published))
    site.host_nginx("proxy_pass http://127.0.0.1:3000;")
    site.fails() if is_broken else site.serves()


def published_on_loopback(site: Site, is_broken: bool) -> None:
    """The port is published on the machine's 127.0.0.1 only, and the proxy in another container asks host.docker.internal."""
    for name in ("shop", "edge"):
        site.network(name)
    host = "127.0.0.1:" if is_broken else ""
    site.app("api", networks=("shop",), options=("-p", f"{host}8081:3000"))
    add = ("--add-host", f"host.docker.internal:{site.gateway('edge')}")
    site.nginx("edge", "proxy_pass http://host.docker.internal:8081;", networks=("edge",), options=("-p", "8080:80", *add))
    site.fails(times=2) if is_broken else site.serves()


def internal_network(site: Site, is_broken: bool) -> None:
    """The application's only network is internal: the engine forwards no port into it, although one is asked for."""
    site.network("shop", *(("--internal",) if is_broken else ()))
    site.app("api", networks=("shop",), options=("-p", "8081:3000"))
    site.host_nginx("proxy_pass http://127.0.0.1:8081;")
    site.fails() if is_broken else site.serves()


def disconnected(site: Site, is_broken: bool) -> None:
    """Somebody took the running application out of the network in which the proxy knows it."""
    site.network("shop")
    site.network("other")
    site.app("api", networks=("shop", "other"))
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        site.call("network", "disconnect", "shop", "api")
        site.fails(times=2)


def application_in_host_network(site: Site, is_broken: bool) -> None:
    """The application has `network_mode: host`, so the proxy's network has no name for it."""
    site.network("shop")
    site.app("api", options=("--network", "host"))
    location, server = "proxy_pass http://host.docker.internal:3000;", ""
    if is_broken:
        location = "set $backend api; proxy_pass http://$backend:3000;"
        server = f"resolver {name_server(site, 'shop')} valid=2s; resolver_timeout 2s;"
    add = ("-p", "8080:80", "--add-host", f"host.docker.internal:{site.gateway('shop')}")
    site.nginx("edge", location, server=server, networks=("shop",), options=add)
    site.fails() if is_broken else site.serves()


def proxy_in_host_network(site: Site, is_broken: bool) -> None:
    """The proxy has `network_mode: host` and asks the port of the container; the machine has another one published for it."""
    site.network("shop")
    site.app("api", networks=("shop",), options=("-p", "8081:3000"))
    path = site.config("edge", f"proxy_pass http://127.0.0.1:{3000 if is_broken else 8081};", listen="8080")
    mount = ("--network", "host", "-v", f"{path}:/etc/nginx/nginx.conf:ro")
    site.run("edge", "nginx", "-g", "daemon off;", options=mount)
    site.until(lambda: ":8080 " in machine.sh("ss", "-Hltn"), "the proxy listens")
    site.fails() if is_broken else site.serves()


def same_name_twice(site: Site, is_broken: bool) -> None:
    """Two projects share the network of the proxy, and each calls its application api: every other request goes astray."""
    site.network("proxy")
    site.app("shop-api-1", networks=("proxy",), options=("--network-alias", "api"))
    if is_broken:
        site.app("blog-api-1", "0.0.0.0:4000", networks=("proxy",), options=("--network-alias", "api"))
    site.nginx("edge", "proxy_next_upstream off; proxy_pass http://api:3000;", networks=("proxy",))
    if is_broken:
        site.until(lambda: 502 in site.ask(times=2), "a request goes astray")
        site.ask(times=6)
    else:
        site.serves()


def removed_network(site: Site, is_broken: bool) -> None:
    """The proxy has an address of a network that was removed; the application is in another one now."""
    site.network("old", "--subnet", "172.29.7.0/24")
    site.network("shop")
    if is_broken:
        site.call("network", "rm", "old")
    site.app("api", networks=("shop",))
    aim = "172.29.7.20" if is_broken else site.address("api", "shop")
    site.nginx("edge", f"proxy_pass http://{aim}:3000;", networks=("shop",))
    site.fails(times=2) if is_broken else site.serves()


def default_bridge(site: Site, is_broken: bool) -> None:
    """Both are in the engine's default network, in which containers have no names and nobody listens at 127.0.0.11."""
    networks = () if is_broken else ("shop",)
    for network in networks:
        site.network(network)
    site.app("api", networks=networks)
    site.nginx(
        "edge",
        "set $backend api; proxy_pass http://$backend:3000;",
        server="resolver 127.0.0.11 valid=2s; resolver_timeout 2s;",
        networks=networks,
    )
    site.fails(times=2) if is_broken else site.serves()


def no_resolver(site: Site, is_broken: bool) -> None:
    """The target is a variable, and the configuration has no resolver."""
    site.network("shop")
    site.app("api", networks=("shop",))
    server = "" if is_broken else f"resolver {name_server(site, 'shop')} valid=2s;"
    site.nginx("edge", "set $backend api; proxy_pass http://$backend:3000;", server=server, networks=("shop",))
    site.fails() if is_broken else site.serves()


def scaled_down(site: Site, is_broken: bool) -> None:
    """Of two replicas one was removed; the proxy has resolved the name when both were there."""
    site.network("shop")
    for name in ("shop-api-1", "shop-api-2"):
        site.app(name, networks=("shop",), options=("--network-alias", "api"))
    site.nginx("edge", "proxy_next_upstream off; proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        site.call("rm", "-f", "shop-api-2")
        site.until(lambda: site.ask()[0] != 200, "a request goes to the removed one")
        site.ask(times=5)


def encrypted_to_plain(site: Site, is_broken: bool) -> None:
    """The proxy speaks TLS to an application that speaks plain HTTP behind it."""
    site.network("shop")
    site.app("api", networks=("shop",))
    site.nginx("edge", f"proxy_pass {'https' if is_broken else 'http'}://api:3000;", networks=("shop",))
    site.fails() if is_broken else site.serves()


def docker_user_rule(site: Site, is_broken: bool) -> None:
    """Somebody's rule in DOCKER-USER, meant for the outside, drops what the proxy sends as well."""
    site.network("shop")
    site.app("api", networks=("shop",))
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        machine.sh("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
        machine.sh("iptables", "-I", "DOCKER-USER", "-p", "tcp", "--dport", "3000", "-j", "DROP")
        site.fails(times=2)


SCENES = (
    Scene("port-not-published", "the application's port is exposed, not published", ELSEWHERE, not_published,
          engines=("docker", "podman", ROOTLESS), never=NO_PROCESS),
    Scene("published-on-loopback", "a port published on 127.0.0.1 of the machine, asked for from a container", ELSEWHERE,
          published_on_loopback, never=NO_PROCESS),
    Scene("internal-network-published", "a port of a container whose network is internal",
          ELSEWHERE | {"published-port-unserved"}, internal_network, DOCKER, never=NO_PROCESS),
    Scene("disconnected", "somebody took the application out of the proxy's network", MISMATCH, disconnected, never=NO_PROCESS),
    Scene("application-in-host-network", "the application is in the machine's network, and the proxy uses its name",
          MISMATCH | {"dns-host-not-found"}, application_in_host_network, never=NO_PROCESS),
    Scene("proxy-in-host-network", "the proxy is in the machine's network and uses the container's port",
          MISMATCH | {"wrong-port"}, proxy_in_host_network, never=NO_PROCESS),
    Scene("same-name-twice", "two projects in one network call their application api", frozenset({"name-shadowed"}),
          same_name_twice, never=NO_PROCESS),
    Scene("removed-network", "an address of a network that was removed", ELSEWHERE, removed_network, never=NO_PROCESS),
    Scene("default-bridge", "names and 127.0.0.11 in Docker's default network",
          MISMATCH | {"dns-resolver-failure", "dns-host-not-found"}, default_bridge, DOCKER, never=NO_PROCESS),
    Scene("no-resolver", "a variable without a resolver", frozenset({"resolver-missing"}), no_resolver, never=NO_PROCESS),
    Scene("scaled-down", "one of two replicas was removed", frozenset({"stale-dns", "stale-endpoint"}), scaled_down,
          never=NO_PROCESS),
    Scene("encrypted-to-plain", "TLS to an application that speaks plain HTTP", frozenset({"wrong-protocol"}),
          encrypted_to_plain, never=NO_PROCESS),
    Scene("docker-user-rule", "a rule in DOCKER-USER drops it", POLICY, docker_user_rule, DOCKER, never=NO_PROCESS),
)  # fmt: skip
