"""The servers that accept connections to an address: those of exactly that address, else those of all addresses."""

from __future__ import annotations

import pytest

from why502.gateways.nginx.config.match import Matcher
from why502.model.config import Location, Position, Route, Server
from why502.model.target import Target


def asked(listens: dict[str, tuple[str, ...]], to: str, host: str = "") -> str | None:
    """Return the name of the server whose route takes a request to that address."""
    places = {name: Position(file="nginx.conf", line=line) for line, name in enumerate(listens, 1)}
    servers = [
        Server(names=(name,), listens=listen, at=places[name], locations=(Location(path=("/",)),))
        for name, listen in listens.items()
    ]
    routes = [
        Route(server=name, server_names=(name,), location="/", location_path=("/",), server_at=at, at=at)
        for name, at in places.items()
    ]
    target = Target.parse(to)
    assert target
    found = Matcher(routes, servers).at(target).find(host or to, "/", target.port)
    return found.server if found else None


@pytest.mark.parametrize(
    ("listens", "to", "host", "server"),
    [
        ({"front": ("10.0.0.5:8080",), "inner": ("127.0.0.1:8080",)}, "127.0.0.1:8080", "front", "inner"),
        ({"front": ("80",), "inner": ("127.0.0.1:80",)}, "127.0.0.1:80", "front", "inner"),
        ({"front": ("80",), "inner": ("127.0.0.1:80",)}, "10.0.0.5:80", "inner", "front"),
        ({"inner": ("80 default_server",), "front": ("[::]:80",)}, "127.0.0.1:80", "front", "inner"),
        ({"inner": ("80",), "front": ("[::]:80",)}, "[::1]:80", "inner", "front"),
        ({"a": ("*:8080",), "b": ("8080",)}, "127.0.0.1:8080", "b", "b"),
        ({"a": ("127.0.0.1",), "b": ("8080",)}, "127.0.0.1:80", "b", "a"),
        ({"a": ("8000-8010",), "b": ("8080",)}, "127.0.0.1:8005", "a", "a"),
        ({"a": ("80",), "b": ("8080",)}, "localhost:8080", "a", "b"),
        ({"a": ("unix:/run/a.sock",), "b": ("80",)}, "127.0.0.1:80", "a", "b"),
    ],
)
def test_the_address_chooses_before_the_name(listens: dict[str, tuple[str, ...]], to: str, host: str, server: str) -> None:
    assert asked(listens, to, host) == server
