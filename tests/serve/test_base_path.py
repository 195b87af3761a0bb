"""Below a path of a reverse proxy: every address that a browser gets begins with it, whether the proxy removes it or not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from recorded_site import Open

from why502.serve.security import ENTRANCE
from why502.serve.settings import Settings
from why502.watch.model import Incident
from why502.watch.settings import ServeSettings

BASE = "/ops/why502"
URL = f"https://front.example{BASE}"
TOKEN = "0123456789abcdef0123456789abcdef"
_ADDRESS = re.compile(r'\b(?:href|src|action|data-live)="([^"]*)"')
Recorded = tuple[Path, list[Incident]]


@pytest.mark.parametrize("kept", ["", BASE])
def test_every_address_begins_with_the_path(opened: Open, recorded: Recorded, kept: str) -> None:
    path, found = recorded
    client = opened(path, url=URL)
    causes = ("/explain?text=502", "/explain/reference", "/explain/causes/wrong-port", "/explain/gateways/nginx")
    for asked in ("/", "/history", "/targets", "/machine", "/lint", "/logs", "/nowhere", f"/incidents/{found[0].id}", *causes):
        response = client.get(f"{kept}{asked}")
        assert response.status_code == (404 if asked == "/nowhere" else 200), asked
        own = [each for each in _ADDRESS.findall(response.text) if not each.startswith(("https://", "#"))]
        assert own and all(each.startswith(f"{BASE}/") for each in own), (asked, own)
    assert client.get(f"{kept}/static/style.css").status_code == 200
    assert client.get(f"{kept}/api/1/openapi.json").json()["servers"] == [{"url": BASE}]
    short = client.get(f"{kept}/incidents/{found[0].id[:-3]}")
    assert short.headers["location"] == f"{BASE}/incidents/{found[0].id}"


def test_only_the_whole_path_is_removed(opened: Open, recorded: Recorded) -> None:
    client = opened(recorded[0], url=URL)
    assert client.get(BASE).status_code == 200
    for asked in (f"{BASE}x/history", f"{BASE}{BASE}/history", "/ops/history"):
        assert client.get(asked).status_code == 404, asked


def test_the_cookie_is_for_the_path_and_forms_come_from_the_host(opened: Open) -> None:
    client = opened(url=URL, token=TOKEN)
    assert f'action="{BASE}/enter"' in client.get(f"{BASE}/history").text
    given = {"token": TOKEN, "target": "/history?page=2"}
    response = client.post(f"{BASE}{ENTRANCE}", data=given, headers={"origin": "https://front.example"})
    assert response.headers["location"] == f"{BASE}/history?page=2"
    assert f"Path={BASE};" in response.headers["set-cookie"] and "Secure" in response.headers["set-cookie"]
    for origin in (URL, "https://front.example.evil", "http://front.example"):
        assert client.post(f"{BASE}{ENTRANCE}", data=given, headers={"origin": origin}).status_code == 403


def test_alerts_link_below_the_path() -> None:
    assert ServeSettings(url=f"{URL}/").link == f"{URL}/incidents/{{incident}}"
    assert ServeSettings(url="https://A.example").link == "https://a.example/incidents/{incident}"
    settings = Settings(store=Path("x"), url=URL)
    assert (settings.base, settings.origin, settings.address) == (BASE, "https://front.example", URL)
