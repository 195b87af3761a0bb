"""VCL: the backends with their limits, the directors, and VCL's own answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.gateways.varnish.config import load
from why502.model.target import Target

VCL = """\
vcl 4.1;
# backend commented { .host = "10.9.9.9"; }
probe alive { .url = "/status"; .interval = 5s; }
backend default {
    .host = "127.0.0.1";
    .port = "8080";
    .max_connections = 40;
    .first_byte_timeout = 1.5m;
    .probe = { .url = "/x"; .timeout = 2s; }
}
backend second { .host = "app.internal"; }
backend socket { .path = "/run/app.sock"; }
backend nowhere none;
sub vcl_init { new all = directors.round_robin(); all.add_backend(default); all.add_backend(second); }
sub vcl_recv {
    if (req.url ~ "^/closed") { return (synth(503, "backend closed { .host")); }
    if (req.url ~ "^/moved") { return (synth(301, "x")); }
    set req.backend_hint = all.backend();
}
sub vcl_synth { synthetic({"<b>backend fake { .host = "1.1.1.1"; }</b>"}); }
"""


def test_backends_directors_and_answers() -> None:
    found = load(VCL, "d.vcl")
    groups = {group.name: [str(peer.target) for peer in group.peers] for group in found.upstreams}
    assert groups == {
        "default": ["127.0.0.1:8080"],
        "second": ["app.internal:80"],
        "socket": ["unix:/run/app.sock"],
        "all": ["127.0.0.1:8080", "app.internal:80"],
    }
    first = found.routes[0]
    assert (first.read_timeout_s, first.peers[0].max_conns, first.upstream) == (90.0, 40, "default")
    assert first.peers[0].at is not None and first.peers[0].at.line == 5
    assert found.routes[1].read_timeout_s == 60.0
    assert [(answer.status, answer.at.line if answer.at else 0) for answer in found.answers] == [(503, 16)]


@pytest.mark.parametrize(
    "text", ["", "backend", "backend x", "backend x {", 'backend x { .host = "', "/* backend", '{"', "\0", "new a = b"]
)
def test_truncated_text_is_read(text: str) -> None:
    assert load(text, "d.vcl").routes == ()


@given(st.text(alphabet='backend x{}.host="1;\n/*#', max_size=80))
def test_any_text_has_an_answer(text: str) -> None:
    assert all(route.proxy == "varnish" for route in load(text, "d.vcl").routes)


def test_an_address_of_version_6() -> None:
    (route,) = load('backend six { .host = "::1"; .port = "81"; }', "d.vcl").routes
    assert route.peers[0].target == Target(host="::1", port=81)
