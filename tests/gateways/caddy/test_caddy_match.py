"""The Caddy site of a request, by its host, and the route, by its path."""

from __future__ import annotations

import pytest

from why502.gateways.caddy.config.match import Matcher
from why502.model.config import Peer, Route
from why502.model.target import Target


def route(site: str, port: int, location: str = "") -> Route:
    peer = Peer(name=str(port), target=Target(host="127.0.0.1", port=port))
    return Route(proxy="caddy", server=site, location=location, peers=(peer,))


SITES = (
    route(":80", 1),
    route("https://shop.example:8443", 2),
    route("https://shop.example:8443", 3, "/api"),
    route("cms.example", 4),
)


@pytest.mark.parametrize(
    ("server", "uri", "port"),
    [
        (":80", "/", 1),
        ("unknown.example", "/slow", 1),
        ("shop.example", "/", 2),
        ("SHOP.example:8443", "/api/orders?x=1", 3),
        ("cms.example", "/", 4),
    ],
)
def test_a_request_belongs_to_the_site_of_its_host(server: str, uri: str, port: int) -> None:
    found = Matcher(SITES).find(uri, server)
    assert found is not None and found.peers[0].target == Target(host="127.0.0.1", port=port)


def test_two_sites_without_a_name_are_ambiguous() -> None:
    assert Matcher((route(":80", 1), route(":8080", 2))).find("/", "shop.example") is None
    assert Matcher((route("cms.example", 4),)).find("/", "shop.example") is None
