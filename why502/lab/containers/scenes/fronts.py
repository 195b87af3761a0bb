"""Other proxies than nginx in containers: HAProxy and Caddy with their usual mistakes, Traefik with labels that miss."""

from __future__ import annotations

from pathlib import Path

from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.networks import MISMATCH, NO_PROCESS
from why502.lab.containers.scenes.traefik import DOCKER, is_routed, traefik
from why502.lab.isolation import program

HAPROXY = """\
global
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    timeout connect 2s
    timeout client 10s
    timeout server 4s
frontend web
    bind :80
    default_backend app
backend app
    server api api:3000 check inter 500ms
"""
ROUTE = (
    "--label=traefik.enable=true",
    "--label=traefik.http.routers.api.rule=PathPrefix(`/`)",
    "--label=traefik.http.services.api.loadbalancer.server.port=3000",
)
UNROUTED = frozenset({"route-not-found", "route-not-attached"})


def haproxy_recreated(site: Site, is_broken: bool) -> None:
    """HAProxy resolved the name when it started; the application was made anew and has another address."""
    site.network("shop")
    site.app("api", networks=("shop",))
    path = Path("/run/sites/haproxy.cfg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HAPROXY)
    options = ("-p", "8080:80", "-v", f"{path}:/etc/haproxy/haproxy.cfg:ro")
    site.run("edge", "haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg", networks=("shop",), options=options)
    site.until(lambda: site.listens("edge"), "the proxy listens")
    site.serves()
    if is_broken:
        site.call("rm", "-f", "api")
        site.run("mail", "sleep", "600", networks=("shop",))
        site.app("api", networks=("shop",))
        site.until(lambda: site.ask()[0] == 503, "HAProxy's check has failed")
        site.fails(times=3)


def caddy_localhost(site: Site, is_broken: bool) -> None:
    """The Caddyfile names localhost, which is Caddy's own container."""
    site.network("shop")
    site.app("api", networks=("shop",))
    path = Path("/run/sites/Caddyfile")
    path.parent.mkdir(parents=True, exist_ok=True)
    aim = "localhost" if is_broken else "api"
    path.write_text(f"{{\n    auto_https off\n}}\n:80 {{\n    log\n    reverse_proxy {aim}:3000\n}}\n")
    binds = (f"{program('caddy')}:/usr/bin/caddy:ro", f"{path}:/etc/caddy/Caddyfile:ro")
    options = ("-p", "8080:80", *(word for bind in binds for word in ("-v", bind)))
    command = ("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    site.run("edge", *command, networks=("shop",), options=options)
    site.until(lambda: site.listens("edge"), "the proxy listens")
    site.fails() if is_broken else site.serves()


def entry_point(site: Site, is_broken: bool) -> None:
    """The label names an entry point that this Traefik does not have."""
    site.network("shop")
    label = f"--label=traefik.http.routers.api.entrypoints={'websecure' if is_broken else 'web'}"
    site.app("api", networks=("shop",), options=(*ROUTE, label))
    routed(site, is_broken)


def routed(site: Site, is_broken: bool) -> None:
    """Start Traefik, and send requests that are answered, or 404."""
    traefik(site, "shop")
    if is_broken:
        site.until(lambda: set(site.ask()) == {404}, "it answers 404")
        site.fails()
        site.until(lambda: " 404 " in site.call("logs", "edge"), "its log has them")
    else:
        site.until(lambda: is_routed("api"), "the route is there")
        site.serves()


def not_enabled(site: Site, is_broken: bool) -> None:
    """Traefik takes only containers that say so, and the label that says so was forgotten."""
    site.network("shop")
    site.app("api", networks=("shop",), options=ROUTE[1:] if is_broken else ROUTE)
    routed(site, is_broken)


def first_port(site: Site, is_broken: bool) -> None:
    """No label names a port, so Traefik takes the lowest one that the image exposes; the application listens on the other."""
    site.network("shop")
    labels = ROUTE[:2] if is_broken else (*ROUTE[:2], "--label=traefik.http.services.api.loadbalancer.server.port=9000")
    options = (*labels, "--expose", "3000", "--expose", "9000")
    site.app("api", "0.0.0.0:9000", networks=("shop",), options=options)
    traefik(site, "shop")
    site.until(lambda: is_routed("api"), "the route is there")
    site.fails() if is_broken else site.serves()


SCENES = (
    Scene("haproxy-recreated", "HAProxy has the address of a container that was made anew",
          frozenset({"stale-dns", "stale-endpoint"}), haproxy_recreated, never=NO_PROCESS),
    Scene("caddy-localhost", "Caddy's container is asked for localhost", MISMATCH, caddy_localhost, never=NO_PROCESS),
    Scene("traefik-entry-point", "the label names an entry point that Traefik has not", UNROUTED, entry_point, DOCKER),
    Scene("traefik-not-enabled", "the label that enables the container is missing", UNROUTED, not_enabled, DOCKER),
    Scene("traefik-first-port", "without a label Traefik takes the lowest exposed port", frozenset({"wrong-port"}), first_port,
          DOCKER, never=NO_PROCESS),
)  # fmt: skip
