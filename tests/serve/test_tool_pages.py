"""The pages of the tools: the answers of the commands, limits of what is sent, and everything shown as text."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from recorded_site import NOW, Open
from starlette.testclient import TestClient

from why502.diagnosis.causes import CAUSES
from why502.gateways.codes import products
from why502.host.given import GivenHost
from why502.model.errors import Why502Error
from why502.serve import allowed_logs
from why502.serve.markdown import html
from why502.serve.pages import explain
from why502.serve.tools import linting
from why502.serve.tools.linting import lint
from why502.serve.tools.logs import Log, report
from why502.serve.tools.orders import Content, Linted, LintOrder, LogsOrder, Order, Reported
from why502.serve.tools.running import Tools
from why502.serve.uploads import MOST_FIELDS, MOST_FILES, shown_name

LINE = (
    "2026/11/21 01:17:00 [error] 17#17: *1 connect() failed (111: Connection refused) while connecting to upstream, client: "
    '127.0.0.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"'
)
EVIL = "<script>alert(1)</script>\x1b[31m"


def test_lines_that_mean_the_same_are_explained_once(opened: Open) -> None:
    page = opened().post("/explain", data={"text": f"{LINE}\n{LINE}\nsH--\n{EVIL}"})
    assert page.status_code == 200
    assert "2 lines mean this" in page.text
    assert "timeout server expired" in page.text
    assert "Not recognised" in page.text
    assert "<script>alert" not in page.text


def test_only_so_many_lines_are_explained(opened: Open) -> None:
    page = opened().post("/explain", data={"text": "\n".join(f"nothing {number}" for number in range(explain.MOST_LINES + 7))})
    assert page.text.count("Not recognised") == explain.MOST_LINES
    assert "7 are not" in page.text


def test_every_cause_and_gateway_has_a_page_and_no_link_is_dead(opened: Open) -> None:
    client = opened()
    paths = {f"/explain/causes/{name}" for name in CAUSES} | {f"/explain/gateways/{name}" for name in products()}
    for path in sorted(paths):
        page = client.get(path)
        assert page.status_code == 200
        assert page.text.count("<h1") == 1
        linked = {part.partition('"')[0] for part in page.text.split('href="/explain')[1:]}
        assert {f"/explain{link}" for link in linked if link.startswith(("/causes/", "/gateways/"))} <= paths
    for path in ("/explain/causes/nothing", "/explain/gateways/..%2f..%2fetc"):
        assert client.get(path).status_code == 404


def test_the_reference_lists_everything_and_a_search_narrows_it(opened: Open) -> None:
    client = opened()
    whole = client.get("/explain/reference").text
    assert all(f'href="/explain/causes/{name}"' in whole for name in CAUSES)
    found = client.get("/explain/reference", params={"q": "timeout haproxy"}).text
    assert "sC" in found and "AH01102" not in found
    assert "Nothing matches all of these words" in client.get("/explain/reference", params={"q": EVIL}).text


def test_markdown_does_not_pass_html_or_scripts() -> None:
    text = html(
        "# <b>a</b>\n\n<script>x</script> [a](javascript:alert(1)) [b](../gateways/nginx.md) [c](http://a.example/)", "causes"
    )
    assert "<script>" not in text and "<b>" not in text and 'href="javascript' not in text
    assert 'href="/explain/gateways/nginx"' in text


def done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the tools work in this process."""

    async def run(_: Tools, order: Order, contents: list[object]) -> Linted:
        assert isinstance(order, LintOrder)
        return lint(order, {one.name: os.pread(one.descriptor, 1 << 20, 0) for one in contents})  # type: ignore[attr-defined]

    monkeypatch.setattr(Tools, "run", run)


def test_a_configuration_is_shown_with_its_findings(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    done(monkeypatch)
    text = f"events {{}}\nhttp {{ server {{ # {EVIL}\n location / {{ proxy_pass http://$host:3000; }} }} }}\n"
    page = opened().post("/lint", files={"text": (None, text)}).text
    assert page.count('class="marked"') == 1
    assert "no resolver is set" in page
    assert "<script>alert" not in page
    assert "\\x1b[31m" in page


def test_findings_that_no_listing_has_are_listed_below(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    done(monkeypatch)
    monkeypatch.setattr(linting, "MOST_LINES", 50)
    locations = "".join(f"location /{number} {{ proxy_pass http://$host:3000; }}\n" for number in range(30))
    one = f"events {{}}\nhttp {{ server {{\n{locations}}} }}\n"
    page = opened().post("/lint", files=[("files", (f"{number}.conf", one)) for number in range(3)])
    assert page.status_code == 200
    assert "Further findings" in page.text


def test_files_of_one_name_are_told_apart(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    done(monkeypatch)
    one = "events {}\nhttp { server { location / { proxy_pass http://$host:3000; } } }\n"
    page = opened().post("/lint", files=[("files", ("../../etc/nginx.conf", one)), ("files", ("C:\\nginx.conf", one))]).text
    assert ">nginx.conf <small>" in page
    assert ">2-nginx.conf <small>" in page


ACCESS = (
    '10.1.0.{client} - - [21/Nov/2026:08:{minute:02d}:00 +0000] "GET /a/{number} HTTP/1.1" {status} 157 "-" "curl/8" rt={time} '
    'urt="{time}" ua="10.0.0.{peer}:3000" us="{status}"\n'
)
FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    'rt=$request_time urt="$upstream_response_time" ua="$upstream_addr" us="$upstream_status"'
)


def test_a_report_on_logs_shows_all_that_it_has(opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    access = "".join(
        ACCESS.format(
            client=at % 7,
            minute=at // 40,
            number=at % 3,
            peer=at % 4,
            status=502 if at % 4 == 3 and 20 <= at // 40 < 30 else 200,
            time=60 if at % 4 == 3 else 0.1,
        )
        for at in range(2000)
    )
    (tmp_path / "access.log").write_text(f"{access}{EVIL}\n")
    (tmp_path / "error.log").write_text(f"{LINE}\n2026/11/21 01:17:00 [error] 17#17: *1 a wording that nobody knows {EVIL}\n" * 3)

    async def run(_: Tools, order: Order, contents: list[Content]) -> Reported:
        assert isinstance(order, LogsOrder)
        logs = {str(tmp_path / one.name): Log(name=one.name) for one in contents}
        return report(order, logs, NOW, GivenHost({}), 20)

    monkeypatch.setattr(Tools, "run", run)
    files = [("files", (name, (tmp_path / name).read_bytes())) for name in ("access.log", "error.log")]
    page = opened().post("/logs", files=files, data={"log_format": FORMAT})
    assert page.status_code == 200
    for shown in (
        "100 of 2",
        "Failures over time",
        "Bursts",
        "stands out",
        "backend-not-running",
        "GET /a/",
        "10.1.0.",
        "unparsed",
    ):
        assert shown in page.text, shown
    assert "<script>alert" not in page.text


@pytest.mark.parametrize(("path", "data"), [("/lint", {"text": " "}), ("/diagnose", {}), ("/logs", {"since": "2h"})])
def test_nothing_sent_is_said_so(opened: Open, path: str, data: dict[str, str]) -> None:
    page = opened().post(path, files={"nothing": (None, "")}, data=data)
    assert page.status_code == 422
    assert 'role="alert"' in page.text


def test_too_many_parts_and_broken_forms_are_refused(opened: Open) -> None:
    client = opened()
    many = [("files", (f"{number}.conf", "x")) for number in range(MOST_FILES + 1)]
    assert client.post("/lint", files=many).status_code == 400
    assert client.post("/lint", files=[(f"f{number}", (None, "x")) for number in range(MOST_FIELDS + 1)]).status_code == 400
    broken = client.post("/lint", content=b"--x\r\nnothing", headers={"content-type": "multipart/form-data; boundary=y"})
    assert broken.status_code in (400, 422)
    assert client.post("/lint", content=b"x", headers={"content-type": "multipart/form-data"}).status_code in (400, 422)


def test_a_log_is_picked_by_its_id_and_never_by_a_path(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "error.log").write_text(LINE)
    (tmp_path / "secret").write_text("secret")
    client = opened(logs=(str(tmp_path / "logs"),))
    page = client.get("/logs").text
    (one,) = allowed_logs.find((str(tmp_path / "logs"),))
    assert one.id in page and "error.log" in page
    for wrong in (str(tmp_path / "secret"), "../secret", "0"):
        answer = client.post("/logs", files={"log": (None, wrong)})
        assert answer.status_code == 422
        assert "no longer exists" in answer.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the link of another user")
def test_a_link_that_another_user_made_is_not_followed(tmp_path: Path) -> None:
    secret, link, own = tmp_path / "secret", tmp_path / "a.log", tmp_path / "b.log"
    secret.write_text("x")
    for each in (link, own):
        each.symlink_to(secret)
    os.lchown(link, 33, 33)
    with pytest.raises(Why502Error, match="link that another user made"):
        allowed_logs.open_log(str(link))
    os.close(allowed_logs.open_log(str(own)))
    os.chown(secret, 33, 33)
    os.close(allowed_logs.open_log(str(link)))
    with pytest.raises(Why502Error):
        allowed_logs.open_log(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Why502Error):
        allowed_logs.open_log(str(tmp_path / "pipe"))


@pytest.mark.parametrize("path", ["s3://bucket/a", "-", "https://a.example/log"])
def test_only_logs_of_this_machine_are_allowed(path: str) -> None:
    with pytest.raises(Why502Error):
        allowed_logs.check((path,))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\nginx.conf", "nginx.conf"),
        ("a\r\nSet-Cookie: x", "a_Set-Cookie_x"),
        ("<b>", "_b_"),
        ("..", "without"),
        (".hidden", "hidden"),
        ("", "without"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("x" * 500, "x" * 100),
    ],
)
def test_a_name_of_a_client_is_only_shown(name: str, shown: str) -> None:
    assert shown_name(name, "without") == shown


def test_a_page_says_so_when_too_many_files_are_worked_on(opened: Open) -> None:
    client: TestClient = opened()
    tools = client.app.state.serving.tools  # type: ignore[attr-defined]

    async def crowd() -> int:
        places = [tools.place() for _ in range(8)]
        for place in places:
            await place.__aenter__()
        status = await asyncio.to_thread(lambda: client.post("/lint", files={"text": (None, "events {}")}).status_code)
        for place in places:
            await place.__aexit__(None, None, None)
        return status

    assert asyncio.run(crowd()) == 429
