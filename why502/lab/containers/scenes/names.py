"""Names: what a container is called, and by whom."""

from __future__ import annotations

from pathlib import Path

from why502.lab.containers import machine
from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.networks import NO_PROCESS, name_server

SHADOWED = frozenset({"name-shadowed"})
STRANGER = "198.51.100.9"  # RFC 5737: nobody's


def hosts_file(site: Site, is_broken: bool) -> None:
    """The proxy's hosts file has an old address for the name of the application."""
    site.network("shop")
    site.app("api", networks=("shop",))
    add = ("--add-host", f"api:{STRANGER}") if is_broken else ()
    nowhere()
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",), options=("-p", "8080:80", *add))
    site.fails(times=2) if is_broken else site.serves()


def nowhere() -> None:
    """Have the machine drop what is sent to the stranger, as the way to an old address does."""
    machine.sh("ip", "link", "add", "out0", "type", "bridge")
    machine.sh("ip", "addr", "add", "198.51.100.1/24", "dev", "out0")
    machine.sh("ip", "link", "set", "out0", "up")
    machine.sh("ip", "neigh", "add", STRANGER, "lladdr", "02:00:00:00:00:09", "dev", "out0")


def alias_twice(site: Site, is_broken: bool) -> None:
    """The proxy is in the networks of two projects, and each of them has a container called api."""
    site.network("shop")
    site.network("blog")
    site.app("shop-api-1", networks=("shop",), options=("--network-alias", "api"))
    if is_broken:
        site.run("blog-api-1", "sleep", "600", networks=("blog",), options=("--network-alias", "api"))
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop", "blog"))
    if is_broken:
        site.until(lambda: _leads_astray(site), "the name leads to the other project")
        site.ask(times=8)
    else:
        site.serves()


def _leads_astray(site: Site) -> bool:
    """Return whether the proxy asks the wrong container; if not, have it look the name up again: the order of answers varies."""
    if 502 in site.ask(times=2):
        return True
    site.call("restart", "edge")
    return False


def search_domain(site: Site, is_broken: bool) -> None:
    """The short name is asked with the company's search domain first, where everything has an answer."""
    site.network("shop")
    nowhere()
    server = Path("/run/names.py")
    server.write_text(WILDCARD)
    machine.sh("sh", "-c", f"setsid python3 {server} {site.gateway('shop')} >/run/names.log 2>&1 &")
    site.app("api", networks=("shop",))
    options = ("--dns", site.gateway("shop"), "--dns-search", "corp.example", "--dns-opt", f"ndots:{2 if is_broken else 0}")
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",), options=("-p", "8080:80", *options))
    site.fails(times=2) if is_broken else site.serves()


def podman_resolver(site: Site, is_broken: bool) -> None:
    """The configuration was written for Docker: podman has no name server at 127.0.0.11."""
    site.network("shop")
    site.app("api", networks=("shop",))
    resolver = "127.0.0.11" if is_broken else name_server(site, "shop")
    site.nginx(
        "edge",
        "set $backend api; proxy_pass http://$backend:3000;",
        server=f"resolver {resolver} valid=2s; resolver_timeout 2s;",
        networks=("shop",),
    )
    site.fails(times=2) if is_broken else site.serves()


WILDCARD = """\
import socket, struct, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(0, 12) + 5
    kind = struct.unpack(">H", query[end - 4 : end - 2])[0]
    name = query[12 : end - 4]
    is_known = b"corp" in name and kind == 1
    flags = b"\\x81\\x80" if b"corp" in name else b"\\x81\\x83"
    head = query[:2] + flags + b"\\0\\1" + (b"\\0\\1" if is_known else b"\\0\\0") + b"\\0\\0\\0\\0"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + socket.inet_aton("198.51.100.9") if is_known else b""
    server.sendto(head + query[12:end] + answer, client)
"""

SCENES = (
    Scene("hosts-file", "the proxy's hosts file has an old address", SHADOWED, hosts_file, never=NO_PROCESS),
    Scene("alias-twice", "two networks of the proxy have a container of that name", SHADOWED, alias_twice, never=NO_PROCESS),
    Scene(
        "search-domain",
        "a search domain answers for the short name",
        SHADOWED,
        search_domain,
        never=NO_PROCESS,
        engines=("docker",),
    ),
    Scene(
        "podman-resolver",
        "127.0.0.11 is not podman's name server",
        frozenset({"dns-resolver-failure"}),
        podman_resolver,
        engines=("podman",),
    ),
)
