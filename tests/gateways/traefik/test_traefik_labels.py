"""Labels of containers: the routes for which they ask Traefik, and names that it does not know."""

from __future__ import annotations

import pytest

from why502.gateways.traefik.labels import routes
from why502.model.container import LabelledRoute
from why502.supervisors.docker import describe

RULE = "traefik.http.routers.api.rule"


def test_a_route_for_each_router() -> None:
    labels = {
        "traefik.enable": "True",
        RULE: "Host(`shop.example`) && PathPrefix(`/api`)",
        "Traefik.HTTP.Routers.old.Rule": "Path(`/old`)",
        "traefik.http.routers.bare.tls": "true",
        "traefik.http.services.api.loadbalancer.server.port": "3000",
        "traefik.docker.network": "front",
        "com.example.traefik.http.routers.x.rule": "Path(`/x`)",
    }
    assert list(routes(labels)) == [
        LabelledRoute(gateway="traefik", name="api", server_names=("shop.example",), locations=("/api",), is_enabled=True),
        LabelledRoute(gateway="traefik", name="old", locations=("= /old",), is_enabled=True),
        LabelledRoute(gateway="traefik", name="bare", is_enabled=True),
    ]


@pytest.mark.parametrize(("value", "is_enabled"), [("true", True), ("1", True), ("false", False), ("maybe", False)])
def test_a_label_enables_or_forbids_it(value: str, is_enabled: bool) -> None:
    assert [route.is_enabled for route in routes({"traefik.enable": value, RULE: "Path(`/`)"})] == [is_enabled]


def test_no_label_decides_whether_it_is_enabled() -> None:
    assert [route.is_enabled for route in routes({RULE: "Path(`/`)"})] == [None]
    assert list(routes({"com.example": "x"})) == []


@pytest.mark.parametrize(
    ("label", "is_mistake"),
    [
        (RULE, False),
        ("traefik.tcp.routers.db.rule", False),
        ("traefik.udp.services.dns.loadbalancer.server.port", False),
        ("traefik.tls.stores.default.defaultcertificate.certfile", False),
        ("traefik.http.router.api.rule", True),
        ("traefik.htpp.routers.api.rule", True),
        ("traefik.frontend.rule", True),  # of Traefik 1
        ("traefik.http", True),
        ("traefik.", True),
    ],
)
def test_a_name_that_it_does_not_know(label: str, is_mistake: bool) -> None:
    expected = f"the label {label} has a name that it does not know" if is_mistake else ""
    assert [route.mistake for route in routes({label: "x"})] == [expected]


def test_there_are_only_so_many() -> None:
    labels: dict[str, object] = {f"traefik.http.routers.r{number}.rule": "Path(`/`)" for number in range(10_000)}
    found = describe.inspected(describe.listed("docker", "/s", 0, {}), {"Config": {"Labels": {**labels, RULE: 7}}})
    assert len(found.labelled_routes) == 32
