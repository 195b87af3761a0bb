"""Routes that are configured and not used: the answer to requests without a route, and what must change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import why502
from why502.model.container import HealthCheck, LabelledRoute
from why502.model.finding import Finding
from why502.model.logs import Symptom
from why502.model.proxy import UnusedRoute
from why502.model.snapshot import Snapshot

RECORDED = Path(__file__).parents[1] / "data/containers/recorded"
ID = "route-not-attached"
PATH = UnusedRoute(name="api@file", locations=("/",), reason="the service api@file does not exist", source="/etc/traefik/d.yml:3")


def snapshot(name: str) -> Snapshot:
    found = why502.load((RECORDED / f"traefik-{name}-docker-fault.why502").read_bytes())
    assert isinstance(found, Snapshot)
    return found


def first(known: Snapshot) -> Finding:
    return why502.diagnose(known).findings[0]


def confidence(known: Snapshot) -> float:
    return next((one.confidence for one in why502.diagnose(known).findings if one.cause == ID), 0.0)


def of_api(known: Snapshot, **changes: Any) -> Snapshot:
    return replace(
        known, containers=tuple(replace(one, **changes) if one.name == "api" else one for one in known.containers or ())
    )


def of_proxy(known: Snapshot, **changes: Any) -> Snapshot:
    return replace(known, proxies=tuple(replace(one, **changes) for one in known.proxies or ()))


def asking(known: Snapshot, server: str, path: str) -> Snapshot:
    """Return the snapshot with requests for that path without a route, of that host."""
    assert known.logs is not None
    tallies = [
        replace(one, server=server, requests=((f"GET {path}", 5),)) if one.symptom is Symptom.ROUTE_MISSING else one
        for one in known.logs.tallies
    ]
    return replace(known, logs=replace(known.logs, tallies=tuple(tallies)))


@pytest.mark.parametrize(
    ("name", "words", "remedy"),
    [
        ("entry-point", 'the route api@docker: entryPoint "websecure" doesn\'t exist', "correct the route api@docker"),
        ("not-enabled", "container api: it takes only containers with the label traefik.enable=true", "give container api"),
        ("middleware-absent-no-api", 'the route api@docker: middleware "login@docker" does not exist', "correct the route"),
        ("label-misspelt", "the label traefik.http.router.api.entrypoints has a name", "correct the labels of container api"),
        ("constraint", "has no server of container api, although its labels ask for the route api", "read the log of traefik"),
        ("forbidden", "its label traefik.enable forbids it", "give container api the label traefik.enable=true"),
    ],
)
def test_the_first_answer(name: str, words: str, remedy: str) -> None:
    found = first(snapshot(name))
    assert found.cause == ID and found.confidence > 0.8
    assert words in found.message
    assert [each.message.startswith(remedy) for each in found.remedies] == [True]


@pytest.mark.parametrize(
    ("names", "locations", "server", "path", "is_it", "is_sure"),
    [
        ((), ("/",), "", "/a", True, True),
        ((), ("/api",), "", "/api/a", True, True),
        ((), ("/api",), "", "/other", False, False),
        ((), ("= /api",), "", "/api", True, True),
        ((), ("= /api",), "", "/api/a", False, False),
        (("a.example",), (), "a.example:8080", "/", True, True),
        (("a.example",), (), "b.example", "/", False, False),
        (("a.example",), (), "", "/", True, False),  # the log does not have the host
        ((), (), "", "/", True, False),  # what its rule takes is unknown
    ],
)
def test_a_route_that_would_not_take_the_request_explains_nothing(
    names: tuple[str, ...], locations: tuple[str, ...], server: str, path: str, is_it: bool, is_sure: bool
) -> None:
    route = replace(PATH, server_names=names, locations=locations)
    known = of_api(of_proxy(asking(snapshot("entry-point"), server, path), unused_routes=(route,)), labelled_routes=())
    found = confidence(known)
    assert (found > 0.5, found > 0.8) == (is_it, is_sure)


def test_containers_that_are_attached_or_ask_for_nothing() -> None:
    """Each is left out of the answer: another proxy's, one that does not run, one that is left out until it is healthy."""
    known = snapshot("constraint")
    assert confidence(known) > 0.8
    asks = LabelledRoute(gateway="traefik", name="api", locations=("/",), is_enabled=True)
    assert confidence(of_api(known, labelled_routes=(replace(asks, gateway="caddy"),))) == 0
    assert confidence(of_api(known, labelled_routes=(replace(asks, name="", is_enabled=None),))) == 0
    assert confidence(of_api(known, labelled_routes=(replace(asks, name="", is_enabled=False),))) == 0
    assert confidence(of_api(known, state="exited")) == 0
    assert confidence(of_api(known, health=HealthCheck(status="starting"))) == 0
    assert confidence(of_api(known, attachments=())) == 0  # in the machine's network: its address tells nothing
    assert confidence(of_proxy(known, admin="")) == 0  # without its API nothing shows that it has no such server
    assert confidence(of_proxy(known, attaches_by_default=None)) == 0  # it looks at no containers


def test_a_server_of_the_container_shows_that_it_is_attached() -> None:
    known = snapshot("constraint")
    api = next(one for one in known.containers or () if one.name == "api")
    blog = next(one for one in known.containers or () if one.name == "blog")
    assert confidence(of_api(known, attachments=(*api.attachments, *blog.attachments))) == 0


def test_what_the_gateway_uses_now_counts_more_than_its_log() -> None:
    known = snapshot("middleware-absent-no-api")
    assert confidence(known) > 0.8
    without = replace(known, containers=tuple(replace(one, labelled_routes=()) for one in known.containers or ()))
    assert 0.5 < confidence(without) < 0.8
    assert confidence(of_proxy(without, admin=":8080")) == 0


def test_a_refused_router_of_another_path_explains_nothing() -> None:
    known = asking(snapshot("middleware-absent-no-api"), "", "/shop")
    labelled = LabelledRoute(gateway="traefik", name="api", locations=("/admin",), is_enabled=True)
    assert confidence(of_api(known, labelled_routes=(labelled,))) == 0
    assert 0.5 < confidence(of_api(known, labelled_routes=())) < 0.8  # its rule is unknown
