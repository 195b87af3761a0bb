"""The route of a request through httpd or Caddy if the access log contains only its path."""

from __future__ import annotations

import pytest

from why502.diagnosis.ways import by_route, placed, ways_of
from why502.gateways.apache import config as apache
from why502.gateways.caddy import config as caddy
from why502.model.logs import PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy

HTTPD = """
ServerName www.example
<VirtualHost *:80>
    ServerName shop.example
    ServerAlias www.shop.example
    ProxyPass /api/static !
    ProxyPass /api http://127.0.0.1:1/
    ProxyPassMatch ^/(old|older)/ http://127.0.0.1:2/
    <Location /admin>
        ProxyPass http://127.0.0.1:3/
    </Location>
    <Location /admin/deep>
        ProxyPass http://127.0.0.1:4/
    </Location>
    <FilesMatch "\\.php$">
        SetHandler "proxy:fcgi://127.0.0.1:5"
    </FilesMatch>
    ProxyPass /late http://127.0.0.1:6/
</VirtualHost>
<VirtualHost *:80>
    ServerName app.example
    ProxyPass /api/static http://127.0.0.1:7/
    ProxyPass / http://127.0.0.1:8/
</VirtualHost>
"""
CADDY = """
shop.example {
    reverse_proxy /api/* 127.0.0.1:1
    handle /api/deep/* {
        reverse_proxy 127.0.0.1:2
    }
    reverse_proxy 127.0.0.1:3
}
"""


@pytest.mark.parametrize(
    ("path", "server", "port"),
    [
        ("/api", "shop.example", 1),
        ("/api/items?x=1", "shop.example", 1),
        ("/api/items", "www.shop.example", 1),  # by another of its names
        ("/apis", "shop.example", 5),  # not matched by a ProxyPass: an index page, through the only script handler
        ("/api/static/x", "shop.example", 5),
        ("/api/static/x.php", "shop.example", 5),
        ("/older/x", "shop.example", 2),
        ("/admin/x", "shop.example", 3),
        ("/admin/deep/x", "shop.example", 4),  # the last section that matches
        ("/a/b.php/c", "shop.example", 5),
        ("/late", "shop.example", 6),
        ("/api/static/x", "app.example", 7),  # the first line that matches
        ("/x", "app.example", 8),
        ("/x", "", None),  # the server is unknown
        ("/x", "other.example", None),
    ],
)
def test_a_gateway_status_of_httpd_is_placed_by_its_path(path: str, server: str, port: int | None) -> None:
    proxy = Proxy(kind="apache", routes=apache.load(HTTPD, "x").routes)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="apache", status=503, server=server, requests=((f"GET {path}", 1),))
    (found,) = placed([seen], ways_of([proxy]))
    assert (found.target.port if found.target else None) == port


def test_an_answered_path_that_no_line_names_has_no_route() -> None:
    """It may be a file that httpd serves itself; only requests that failed at the gateway were certainly passed on."""
    proxy = Proxy(kind="apache", routes=apache.load(HTTPD, "x").routes)
    paths = [PathTraffic(server="shop.example", request=f"GET {path}", statuses={"200": 1}) for path in ("/logo.svg", "/x.php")]
    assert [path.location for path in by_route(paths, ways_of([proxy]))] == ["", "\\.php$"]


@pytest.mark.parametrize(("failing", "answered"), [("shop.example", ""), ("", "shop.example"), ("", "")])
def test_the_answers_of_a_path_that_failed_are_told_also_from_another_log(failing: str, answered: str) -> None:
    failed = PathTraffic(server=failing, request="GET /a", statuses={"502": 1})
    others = [PathTraffic(server=answered, request=f"GET /{name}", statuses={"200": 1}) for name in "abc"]
    assert [path.request for path in by_route([failed, *others], {})] == ["GET /a", "GET /a", ""]


@pytest.mark.parametrize(("path", "port"), [("/api/x", 1), ("/api/deep/x", 2), ("/x", 3)])
def test_a_failure_of_caddy_is_placed_by_its_path(path: str, port: int) -> None:
    proxy = Proxy(kind="caddy", routes=caddy.load(CADDY, "x").routes)
    seen = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="caddy", requests=((f"GET {path}", 1),))
    (found,) = placed([seen], ways_of([proxy]))
    assert found.target is not None and found.target.port == port


def test_a_path_that_an_expression_rewrites_is_not_placed() -> None:
    text = 'RewriteRule ^/api/(.*) "proxy:http://127.0.0.1:1/$1" [P]\nProxyPass / http://127.0.0.1:2/\n'
    proxy = Proxy(kind="apache", routes=apache.load(text, "x").routes)
    seen = Tally(symptom=Symptom.GATEWAY_STATUS, proxy="apache", status=503, requests=(("GET /api/x", 1),))
    assert [tally.target for tally in placed([seen], ways_of([proxy]))] == [None]
