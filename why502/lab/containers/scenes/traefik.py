"""Traefik with Docker as its provider: it leaves out containers that are not healthy, and chooses an address of each."""

from __future__ import annotations

from why502.lab import traffic
from why502.lab.containers.machine import SOCKETS
from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.lives import health
from why502.lab.containers.scenes.networks import MISMATCH, NO_PROCESS
from why502.lab.isolation import program

ROUTED = (
    "--label=traefik.enable=true",
    "--label=traefik.http.routers.api.rule=PathPrefix(`/`)",
    "--label=traefik.http.services.api.loadbalancer.server.port=3000",
)
OTHER = (
    "--label=traefik.enable=true",
    "--label=traefik.http.routers.blog.rule=Host(`blog.example`)",
    "--label=traefik.http.services.blog.loadbalancer.server.port=4000",
)


def traefik(site: Site, *networks: str, flags: tuple[str, ...] = ("--api.insecure",), labels: tuple[str, ...] = ()) -> None:
    """Start Traefik in a container with the engine's socket, and another application with a route; wait until that is there."""
    ports = ("-p", "8080:80", "-p", "8090:8080")
    binds = (f"{program('traefik')}:/usr/bin/traefik:ro", f"{SOCKETS['docker']}:/var/run/docker.sock:ro")
    options = (*ports, *(word for bind in binds for word in ("-v", bind)))
    command = ("traefik", "--entrypoints.web.address=:80", "--providers.docker", "--providers.docker.exposedbydefault=false")
    site.run("edge", *command, "--accesslog", *flags, networks=networks, options=options)
    site.until(lambda: site.listens("edge"), "edge listens")

    site.app(
        "blog", "0.0.0.0:4000", networks=networks, options=(*OTHER, *labels)
    )  # without any route Traefik writes no access log
    asked = "--api.insecure" in flags  # a longer rule of another route may take the requests of this one
    site.until(
        lambda: is_routed("blog") if asked else traffic.request(("127.0.0.1", 8080), host="blog.example") == 200,
        "the other route is there",
    )


def is_routed(name: str) -> bool:
    """Return whether Traefik has a route of that name."""
    return traffic.request(("127.0.0.1", 8090), f"/api/http/routers/{name}@docker") == 200


def unhealthy(site: Site, is_broken: bool) -> None:
    """The health check of the application calls a program that its image lacks."""
    site.network("shop")
    probe = "curl -f http://127.0.0.1:3000/" if is_broken else "wget -q -O /dev/null http://127.0.0.1:3000/"
    check = ("--health-cmd", probe, "--health-interval", "1s", "--health-retries", "1", "--health-timeout", "2s")
    site.app("api", networks=("shop",), options=(*ROUTED, *check))
    site.until(lambda: health(site, "api") == ("unhealthy" if is_broken else "healthy"), "its check has ended")
    traefik(site, "shop")
    arrives(site, is_broken)


def arrives(site: Site, is_broken: bool) -> None:
    """Send requests: with a healthy container once its route is there, with another at once."""
    if is_broken:
        site.until(lambda: set(site.ask()) == {404}, "it answers 404")
        site.fails()
        site.until(lambda: " 404 " in site.call("logs", "edge"), "its log has them")
    else:
        site.until(lambda: is_routed("api"), "the route is there")
        site.serves()


def starting(site: Site, is_broken: bool) -> None:
    """The application answers, and its health check has not ended yet: its interval is long."""
    site.network("shop")
    interval = "600s" if is_broken else "1s"
    probe = "wget -q -O /dev/null http://127.0.0.1:3000/"
    site.app("api", networks=("shop",), options=(*ROUTED, "--health-cmd", probe, "--health-interval", interval))
    if not is_broken:
        site.until(lambda: health(site, "api") == "healthy", "it is healthy")
    traefik(site, "shop")
    arrives(site, is_broken)


def wrong_network(site: Site, is_broken: bool) -> None:
    """The application is in two networks, and its label names the one that Traefik is not in."""
    site.network("front")
    site.network("back")
    label = f"--label=traefik.docker.network={'back' if is_broken else 'front'}"
    site.app("api", networks=("front", "back"), options=(*ROUTED, label))
    traefik(site, "front")
    site.until(lambda: is_routed("api"), "the route is there")
    site.fails(times=2) if is_broken else site.serves()


DOCKER = ("docker",)
SCENES = (
    Scene(
        "traefik-unhealthy",
        "Traefik leaves out a container whose health check is wrong",
        frozenset({"health-check-misconfigured"}),
        unhealthy,
        DOCKER,
    ),
    Scene(
        "traefik-starting",
        "Traefik leaves out a container that is starting",
        frozenset({"health-check-misconfigured"}),
        starting,
        DOCKER,
    ),
    Scene(
        "traefik-wrong-network",
        "the label names a network that Traefik is not in",
        MISMATCH,
        wrong_network,
        DOCKER,
        never=NO_PROCESS,
    ),
)
