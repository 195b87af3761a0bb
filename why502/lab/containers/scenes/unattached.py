"""Traefik with containers whose labels attach them to no route: each names something that is not there, or is not let in."""

from __future__ import annotations

from functools import partial

from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.traefik import DOCKER, ROUTED, traefik

SILENT = ("--ping",)  # in the place of the API, which is not enabled then
PUBLIC = "--label=tier=public"
CONSTRAINED = ("--api.insecure", "--providers.docker.constraints=Label(`tier`,`public`)")


def labelled(
    site: Site,
    is_broken: bool,
    *,
    wrong: tuple[str, ...] = (),
    right: tuple[str, ...] = (),
    instead: bool = False,
    flags: tuple[str, ...] = ("--api.insecure",),
    others: tuple[str, ...] = (),
) -> None:
    """An application with labels of which some are wrong or right, behind Traefik. `instead`: of the usual ones."""
    site.network("shop")
    labels = (*(() if is_broken and instead else ROUTED), *(wrong if is_broken else right))
    site.app("api", networks=("shop",), options=labels)
    traefik(site, "shop", flags=flags, labels=others)
    if is_broken:
        site.until(lambda: set(site.ask()) == {404}, "it answers 404")
        site.fails()
        site.until(lambda: " 404 " in site.call("logs", "edge"), "its log has them")
    else:
        site.serves()


def _scene(name: str, happens: str, **how: object) -> Scene:
    build = partial(labelled, **how)  # type: ignore[arg-type]
    build.__doc__ = happens
    return Scene(f"traefik-{name}", happens, frozenset({"route-not-attached"}), build, DOCKER)


SCENES = (
    _scene("service-absent", "the router names a service that no label defines",
           wrong=("--label=traefik.http.routers.api.service=shop",)),
    _scene("middleware-absent", "the router names a middleware that no label defines",
           wrong=("--label=traefik.http.routers.api.middlewares=login",)),
    _scene("forbidden", "a label forbids a route", wrong=("--label=traefik.enable=false",)),
    _scene("label-misspelt", "a label has a name that Traefik does not know, so it leaves out the container",
           wrong=("--label=traefik.http.router.api.entrypoints=web",)),
    _scene("labels-of-version-1", "the labels are those of Traefik 1, and the default route takes another host", instead=True,
           wrong=("--label=traefik.enable=true", "--label=traefik.frontend.rule=PathPrefix:/", "--label=traefik.port=3000")),
    _scene("constraint", "Traefik takes only containers with a label that this one lacks",
           right=(PUBLIC,), flags=CONSTRAINED, others=(PUBLIC,)),
    _scene("middleware-absent-no-api", "a middleware is missing, and only the log of Traefik tells it",
           wrong=("--label=traefik.http.routers.api.middlewares=login",), flags=SILENT),
)  # fmt: skip
