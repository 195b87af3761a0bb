"""Networks: which containers can reach each other, and by which address."""

from __future__ import annotations

from why502.lab.containers import machine
from why502.lab.containers.scene import Scene, Site

NO_PROCESS = frozenset({"backend-not-running", "backend-crashed"})
MISMATCH = frozenset({"container-network-mismatch"})


def no_shared_network(site: Site, is_broken: bool) -> None:
    """The proxy and the application are in two networks; the proxy has the application's address in its configuration."""
    apart(site)
    site.app("api", networks=("back",) if is_broken else ("front", "back"))
    site.nginx("edge", f"proxy_pass http://{site.address('api', 'back' if is_broken else 'front')}:3000;", networks=("front",))
    site.fails(times=2) if is_broken else site.serves()


def apart(site: Site) -> None:
    """Make two networks that do not reach each other: podman's do unless they are asked not to."""
    for name in ("front", "back"):
        site.network(name, *(("--opt", "isolate=true") if site.engine.program == "podman" else ()))


def no_shared_name(site: Site, is_broken: bool) -> None:
    """The same, by a name that is resolved for each request: nobody in that network is called so."""
    site.network("front")
    site.network("back")
    site.app("api", networks=("back",) if is_broken else ("front",))
    site.nginx(
        "edge",
        "set $backend api; proxy_pass http://$backend:3000;",
        server=f"resolver {name_server(site, 'front')} valid=2s; resolver_timeout 2s;",
        networks=("front",),
    )
    site.fails() if is_broken else site.serves()


def name_server(site: Site, network: str) -> str:
    """Return the name server of a network: Docker's is the same everywhere, podman's is the network's gateway."""
    return "127.0.0.11" if site.engine.program == "docker" else site.gateway(network)


def wrong_of_several(site: Site, is_broken: bool) -> None:
    """The application is in both networks, and the proxy uses its address in the one that the proxy is not in."""
    apart(site)
    site.app("api", networks=("front", "back"))
    chosen = "back" if is_broken else "front"
    site.nginx("edge", f"proxy_pass http://{site.address('api', chosen)}:3000;", networks=("front",))
    site.fails(times=2) if is_broken else site.serves()


def localhost_sibling(site: Site, is_broken: bool) -> None:
    """The proxy's configuration names 127.0.0.1, and the application is in another container."""
    site.network("shop")
    site.app("api", networks=("shop",))
    site.nginx("edge", f"proxy_pass http://{'127.0.0.1' if is_broken else 'api'}:3000;", networks=("shop",))
    site.fails() if is_broken else site.serves()


def localhost_of_host(site: Site, is_broken: bool) -> None:
    """The proxy's configuration names 127.0.0.1, and the application runs on the machine itself."""
    site.network("shop")
    on_host(site, "0.0.0.0:3000")
    aim = "127.0.0.1" if is_broken else site.gateway("shop")
    site.nginx("edge", f"proxy_pass http://{aim}:3000;", networks=("shop",))
    site.fails() if is_broken else site.serves()


def on_host(site: Site, listen: str) -> None:
    """Start an application on the machine itself."""
    machine.sh("sh", "-c", f"setsid python3 {machine.SERVER} {listen} >/run/app.log 2>&1 &")
    port = int(listen.rpartition(":")[2])
    site.until(lambda: f":{port} " in machine.sh("ss", "-Hltn"), f"the machine's own application listens on {port}")


SCENES = (
    Scene("no-shared-network", "proxy and application share no network", MISMATCH, no_shared_network, never=NO_PROCESS),
    Scene("no-shared-name", "the name is that of a container in another network", MISMATCH, no_shared_name, never=NO_PROCESS),
    Scene("wrong-of-several-networks", "the address is that of another network", MISMATCH, wrong_of_several, never=NO_PROCESS),
    Scene(
        "localhost-sibling", "127.0.0.1 in a container, the application in another", MISMATCH, localhost_sibling, never=NO_PROCESS
    ),
    Scene(
        "localhost-of-host",
        "127.0.0.1 in a container, the application on the machine",
        MISMATCH,
        localhost_of_host,
        never=NO_PROCESS,
    ),
)
