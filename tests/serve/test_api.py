"""The JSON API: the answers of the command line, and errors as two lines with the right status."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from recorded_site import NOW, Open
from starlette.testclient import TestClient

from why502.cli.main import run
from why502.diagnosis.causes import CAUSES
from why502.render.contract import Diagnosis
from why502.watch.model import Incident
from why502.watch.report.contract import Incidents

BUNDLE = Path(__file__).parents[1] / "golden" / "wrong-port.why502"
Recorded = tuple[Path, list[Incident]]
JSON = {"content-type": "application/json"}
FILE = {"content-type": "application/octet-stream"}
CONFIGURATION = """events {}
http {
  upstream app { server 127.0.0.1:3000; }
  server { listen 80; location /ws { proxy_pass http://app; proxy_set_header Upgrade $http_upgrade; } }
}
"""
LINE = (
    "2026/11/21 01:17:00 [error] 17#17: *1 connect() failed (111: Connection refused) while connecting to upstream, client: "
    '127.0.0.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"'
)


@pytest.fixture
def api(opened: Open, tmp_path: Path) -> TestClient:
    """A server without a store, which may read one log."""
    log = tmp_path / "error.log"
    log.write_text(f"{LINE}\n" * 3)
    return opened(logs=(str(log),))


def commanded(capsys: pytest.CaptureFixture[str], *argv: str) -> object:
    """Return the JSON that a command writes."""
    run(list(argv))
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("text", ["502", "sH--", "AH01102", "wrong-port", LINE, "nothing that is known"])
def test_explain_answers_as_the_command_does(api: TestClient, capsys: pytest.CaptureFixture[str], text: str) -> None:
    expected = commanded(capsys, "explain", text, "--format", "json")
    assert api.get("/api/1/explain", params={"text": text}).json() == expected
    assert api.post("/api/1/explain", json={"texts": [text, text]}).json() == [expected, expected]


def test_explain_reads_a_code_as_that_of_the_named_gateway(api: TestClient) -> None:
    assert api.get("/api/1/explain", params={"text": "502", "proxy": "httpd"}).json()["proxy"] == "apache"


def test_the_reference_is_that_of_the_command(api: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    found = api.get("/api/1/reference").json()
    assert found == commanded(capsys, "explain", "--format", "json")
    for entry in found["causes"]:
        page = api.get(f"/api/1/causes/{entry['cause']}").json()
        assert page["message"] == entry["message"]
        assert "## Fix" in page["page"]
    for entry in found["products"]:
        assert [code["code"] for code in api.get(f"/api/1/gateways/{entry['proxy']}").json()["codes"]] == entry["codes"]


def test_a_search_finds_by_name_first(api: TestClient) -> None:
    found = api.get("/api/1/search", params={"q": "wrong-port"}).json()
    assert found[0]["name"] == "wrong-port"
    assert {one["proxy"] for one in api.get("/api/1/search", params={"q": "522"}).json()[:2]} == {"", "cloudflare"}
    assert api.get("/api/1/search", params={"q": "no such words anywhere"}).json() == []


@pytest.mark.real  # it starts a process
def test_lint_answers_as_the_command_does(api: TestClient, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "site.conf"
    path.write_text(CONFIGURATION)
    expected = commanded(capsys, "lint", str(path), "--nginx-version", "newest", "--format", "json")
    found = api.post("/api/1/lint", json={"files": [{"name": "site.conf", "text": CONFIGURATION}]}).json()
    assert isinstance(expected, dict)
    for one in (*expected["findings"], *found["findings"]):
        one["file"] = Path(one["file"]).name
        one.pop("fingerprint")
    assert found == expected
    assert "upgrade-without-connection" in {one["name"] for one in found["findings"]}


@pytest.mark.real  # it starts a process
def test_files_that_are_sent_together_include_each_other(api: TestClient) -> None:
    main = "events {}\nhttp { include conf.d/*.conf; }\n"
    site = "server { listen 80; location / { proxy_pass http://$host:3000; } }\n"
    files = [{"name": "nginx.conf", "text": main}, {"name": "conf.d/a.conf", "text": site}]
    found = api.post("/api/1/lint", json={"files": files}).json()
    assert {one["file"] for one in found["findings"]} == {"conf.d/a.conf"}


@pytest.mark.real  # it starts a process
def test_a_bundle_is_diagnosed_as_the_command_does(api: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    found = api.post("/api/1/diagnose", content=BUNDLE.read_bytes(), headers=FILE)
    assert found.json() == commanded(capsys, "diagnose", "--bundle", str(BUNDLE), "--format", "json")
    assert msgspec.json.decode(found.content, type=Diagnosis).findings[0].cause == "wrong-port"


@pytest.mark.real  # it starts a process
def test_a_log_is_reported_as_the_command_does(api: TestClient, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    expected = commanded(capsys, "logs", str(log), "--format", "json")
    sent = api.post("/api/1/logs", content=log.read_bytes(), headers=FILE).json()
    (allowed,) = api.get("/api/1/logs").json()
    picked = api.get(f"/api/1/logs/{allowed['id']}").json()
    assert allowed["path"] == str(log)
    assert picked == expected
    assert sent["causes"][0]["cause"] == picked["causes"][0]["cause"] == "backend-not-running"
    assert (sent["failures"], sent["files"][0]["path"]) == (3, "the log")


def test_incidents_are_those_of_the_command(opened: Open, recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    path, incidents = recorded
    api = opened(path)
    found = msgspec.json.decode(api.get("/api/1/incidents").content, type=Incidents)
    assert {one.id for one in found.incidents} == {one.id for one in incidents}
    one = next(one for one in incidents if one.cause == "wrong-port")
    shown = api.get(f"/api/1/incidents/{one.id}").json()
    expected = commanded(capsys, "incidents", "show", one.id, "--store", str(path), "--format", "json")
    assert isinstance(expected, dict)
    shown.pop("duration_s")
    expected.pop("duration_s")
    assert shown == expected
    assert [each["id"] for each in api.get("/api/1/incidents", params={"cause": "wrong-port"}).json()["incidents"]] == [one.id]
    closed = api.get("/api/1/incidents", params={"open": "false", "limit": 1}).json()["incidents"]
    assert len(closed) == 1
    assert closed[0]["closed_at"]


def test_what_is_watched_is_told(opened: Open, recorded: Recorded) -> None:
    api = opened(recorded[0])
    status = api.get("/api/1/status").json()
    assert status["at"] == NOW.isoformat().replace("+00:00", "Z")
    assert sum(status["open"].values()) == sum(one.is_open for one in recorded[1])
    routes = api.get("/api/1/routes").json()["routes"]
    assert any(route["failures"] for route in routes)
    targets = api.get("/api/1/targets").json()
    assert {target["status"] for target in targets} <= {"up", "down", "unknown"}
    assert any(target["status"] == "down" for target in targets)


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/explain", {}, 422),
        ("GET", "/explain?text=1&text=2", {}, 422),
        ("GET", "/explain?text=502&proxy=nothing", {}, 422),
        ("GET", "/explain?text=502&other=1", {}, 422),
        ("GET", "/nothing", {}, 404),
        ("GET", "/causes/nothing", {}, 404),
        ("GET", "/gateways/nothing", {}, 404),
        ("GET", "/logs/nothing", {}, 404),
        ("GET", "/logs/..%2F..%2Fetc%2Fpasswd", {}, 404),
        ("GET", "/incidents", {}, 404),  # there is no store
        ("GET", "/incidents?limit=0", {}, 422),
        ("PUT", "/explain", {}, 405),
        ("POST", "/reference", {}, 405),
        ("POST", "/explain", {"content": b"{", "headers": JSON}, 400),
        ("POST", "/explain", {"content": b"\xff", "headers": JSON}, 400),
        ("POST", "/explain", {"content": b'{"texts":' + b"[" * 100_000, "headers": JSON}, 422),
        ("POST", "/explain", {"content": b"{}", "headers": JSON}, 422),
        ("POST", "/explain", {"content": b"{}"}, 415),
        ("POST", "/lint", {"json": {"files": []}}, 422),
        ("POST", "/lint", {"json": {"files": [{"name": "../a", "text": ""}]}}, 422),
        ("POST", "/lint", {"json": {"files": [{"name": "/etc/a", "text": ""}]}}, 422),
        pytest.param(
            "POST",
            "/lint",
            {"json": {"files": [{"name": "a", "text": "a"}], "nginx_version": "new"}},
            422,
            marks=pytest.mark.real,
        ),
        pytest.param("POST", "/diagnose", {"content": b"not a bundle", "headers": FILE}, 422, marks=pytest.mark.real),
        ("POST", "/diagnose", {"content": b"", "headers": FILE}, 422),
        ("POST", "/diagnose", {"content": b"x", "headers": {"content-type": "text/html"}}, 415),
        pytest.param("POST", "/logs?since=never", {"content": b"x", "headers": FILE}, 422, marks=pytest.mark.real),
        ("POST", "/diagnose", {"content": b"x", "headers": {**FILE, "content-length": "10000000000"}}, 413),
        ("POST", "/explain", {"content": b"x" * 300_000, "headers": JSON}, 413),
    ],
)
def test_an_error_is_two_lines_with_its_status(
    api: TestClient, method: str, path: str, options: dict[str, object], status: int
) -> None:
    answer = api.request(method, f"/api/1{path}", **options)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error", "hint"}
    assert answer.json()["error"]


def test_without_the_token_there_is_nothing(opened: Open) -> None:
    api = opened(token="a" * 32)
    assert api.get("/api/1/reference").status_code == 401
    assert api.get("/api/1/reference", headers={"authorization": f"Bearer {'a' * 32}"}).status_code == 200
    assert set(api.get("/api/1/openapi.json").json()) == {"error", "hint"}


def test_another_site_gets_nothing(api: TestClient) -> None:
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site", **JSON}
    assert api.post("/api/1/explain", json={"texts": ["502"]}, headers=foreign).status_code == 403
    assert api.get("/api/1/reference", headers={"host": "evil.example"}).status_code == 421


def test_every_answer_with_foreign_text_stays_json(api: TestClient) -> None:
    for text in (
        "\x1b[31m",
        "</script><script>",
        "=1+1",
        "\u202e",
        "\udc80".encode("utf-8", "surrogateescape").decode("latin-1"),
    ):
        answer = api.get("/api/1/explain", params={"text": text})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.json()["input"] == text


def test_all_causes_have_a_page(api: TestClient) -> None:
    assert len(api.get("/api/1/reference").json()["causes"]) == len(CAUSES)
