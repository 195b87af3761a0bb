"""Mitigations on a real nginx with a group of two servers: applied, listed, reverted, and expired."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asking import TWO_LINES, Answer, ask
from sampled import few
from shop import Shop, application, status_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

GROUP = """\
upstream app {{
    server 127.0.0.1:{first};
    server 127.0.0.1:{second};
}}
server {{
    listen 127.0.0.1:{port};
    server_name shop.example;
    location / {{
        proxy_pass http://app;
    }}
    location /api/ {{
        proxy_pass http://app;
        proxy_read_timeout 5s;
    }}
    location /well/ {{
        proxy_pass http://127.0.0.1:{first};
    }}
}}
"""


class Group:
    """A shop with a group; `first` and `second` are its servers, `third` another running one."""

    def __init__(self, shop: Shop, second: int, third: int) -> None:
        self.shop = shop
        self.first, self.second, self.third = (f"127.0.0.1:{port}" for port in (shop.right, second, third))
        self.text = GROUP.format(first=shop.right, second=second, port=shop.port).encode()
        shop.site.write_bytes(self.text)
        shop.apply_reload()

    def pull(self, *argv: str, now: datetime | None = None) -> Answer:
        """Run a subcommand, with the options that name this nginx and this journal."""
        own = ("--state", str(self.shop.state))
        if argv[0] not in ("list", "undo", "expire"):
            own += ("--config", str(self.shop.config), "--yes")
        return ask("mitigate", *argv, *own, **({"now": lambda: now} if now else {}))

    @property
    def now(self) -> str:
        """The site's configuration."""
        return self.shop.site.read_text()

    def is_as_before(self) -> bool:
        return self.shop.site.read_bytes() == self.text


@pytest.fixture
def group(shop: Shop) -> Iterator[Group]:
    with application() as second, application() as third:
        yield Group(shop, second, third)


def test_a_server_is_taken_out_and_brought_back(group: Group) -> None:
    done = group.pull("down", group.second)
    assert done.status == 0, done
    assert f"server {group.second} down;" in group.now
    assert "risk: " in done.out
    assert "Undo it with: why502 mitigate undo " in done.out
    listed = group.pull("list")
    assert listed.status == 1
    assert f"take {group.second} out of app" in listed.out
    assert "until reverted" in listed.out
    assert group.pull("undo").status == 0
    assert group.is_as_before()
    assert group.pull("list").out == "No mitigation is active.\n"


def test_the_last_server_is_kept(group: Group) -> None:
    assert group.pull("down", group.second).status == 0
    before = group.now
    refused = group.pull("down", group.first)
    assert refused.status == 2
    assert TWO_LINES.fullmatch(refused.err.replace(f"  {refused.err}", ""))
    assert "is the last server of group app" in refused.err
    assert group.now == before
    forced = group.pull("down", group.first, "--force")
    assert forced.status == 0, forced
    assert (group.shop.status("/"), group.shop.status("/well/")) == (502, 200)
    assert group.pull("undo").status == 0
    assert group.now == before
    assert group.shop.status("/") == 200


@pytest.mark.parametrize("twin", ["127.0.0.1:{port}", "localhost:{port}"])
def test_a_server_under_two_names_is_one(group: Group, twin: str) -> None:
    name = twin.format(port=group.shop.right)
    group.text = group.text.replace(f"server {group.second};".encode(), f"server {name};".encode())
    group.shop.site.write_bytes(group.text)
    group.shop.apply_reload()
    refused = group.pull("down", group.first)
    assert (refused.status, "is the last server of group app" in refused.err) == (2, True)
    assert group.pull("standby", group.third).status == 0
    assert group.pull("down", group.first).status == 0
    assert group.now.count(" down;") == 2
    assert group.shop.status("/") == 200


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 1, 4, 0, 2)])
def test_mitigations_on_one_line_are_undone_in_any_order(group: Group, order: tuple[int, ...]) -> None:
    group.text = group.text.replace(b"location /api/ {\n        proxy_pass http://app;\n        proxy_read_timeout 5s;\n    }",
    b"location /api/ { proxy_pass http://app; proxy_read_timeout 5s; }")  # fmt: skip
    group.shop.site.write_bytes(group.text)
    group.shop.apply_reload()
    pulls = (("answer", "/api/"), ("limit", "/api/", "20"), ("timeout", "/api/", "40"), ("standby", group.second, "--backup"),
    ("down", group.second))  # fmt: skip
    done = [json.loads(group.pull(*pull, "--format", "json").out) for pull in pulls]
    assert {one["outcome"] for one in done} == {"kept"}
    for number in order:
        undone = group.pull("undo", done[number]["id"])
        assert undone.status == 0, undone
    assert group.is_as_before()


def test_mitigations_are_undone_in_any_order(group: Group) -> None:
    first = json.loads(group.pull("down", group.second, "--format", "json").out)
    group.pull("timeout", "/api/", "30")
    assert group.pull("undo", first["id"]).status == 0
    assert "down;" not in group.now
    assert "proxy_read_timeout 30s;" in group.now
    assert group.pull("undo").status == 0
    assert group.is_as_before()


def test_a_standby_is_brought_in(group: Group) -> None:
    assert group.pull("standby", group.third, "--backup").status == 0
    assert f"server {group.third} backup;" in group.now
    assert group.pull("standby", group.third).status == 0
    assert f"server {group.third};" in group.now
    assert group.pull("down", group.first).status == 0
    assert group.pull("standby", group.first).status == 0
    assert f"server {group.first};" in group.now
    for _ in range(4):
        assert group.pull("undo").status == 0
    assert group.is_as_before()


def test_a_standby_that_does_not_run_is_refused(group: Group) -> None:
    refused = group.pull("standby", "127.0.0.1:1")
    assert refused.status == 2
    assert "does not accept connections" in refused.err
    assert group.is_as_before()


def test_one_route_waits_longer(group: Group) -> None:
    done = group.pull("timeout", "/api/", "90")
    assert done.status == 0, done
    assert group.now.count("proxy_read_timeout") == 1
    assert "proxy_read_timeout 90s;" in group.now
    assert group.pull("undo").status == 0
    assert group.is_as_before()


@pytest.mark.parametrize(
    ("options", "status", "media", "body"),
    [
        (("--json", '{"error": "it\'s $5 \\\\ \\"x\\""}'), 503, "application/json", '{"error":"it\'s $5 \\\\ \\"x\\""}'),
        (
            ("--html", "<p>it's &euro; {x}; $host\n</p>", "--status", "200"),
            200,
            "text/html",
            "<p>it's &euro; {x}; &#36;host\n</p>",
        ),
        (("--html", "<p>für später €</p>"), 503, "text/html", "<p>f&#252;r sp&#228;ter &#8364;</p>"),
        (("--json", '{"e": "für €"}'), 503, "application/json", '{"e": "für €"}'),
        ((), 503, "text/html", None),
    ],
)
def test_an_answer_is_served(group: Group, options: tuple[str, ...], status: int, media: str, body: str | None) -> None:
    done = group.pull("answer", "/api/", *options)
    assert done.status == 0, done
    got, kind, text = status_of(group.shop.port, "/api/app.js")
    assert (got, kind) == (status, media)
    if media == "application/json" and body:
        assert json.loads(text) == json.loads(body)
    elif body:
        assert text == body
    assert group.shop.status("/") == 200
    assert group.pull("undo").status == 0
    assert group.is_as_before()
    assert group.shop.status("/api/") == 200


def test_an_answer_in_a_file_of_another_encoding_and_with_types(group: Group) -> None:
    types = b"proxy_read_timeout 5s; types { text/plain js; } # f\xfcr alle"
    group.text = group.text.replace(b"proxy_read_timeout 5s;", types)
    group.shop.site.write_bytes(group.text)
    group.shop.apply_reload()
    assert group.pull("answer", "/api/", "--json", '{"e": "später"}').status == 0
    assert status_of(group.shop.port, "/api/app.js") == (503, "application/json", '{"e":"sp\\u00e4ter"}')
    assert group.pull("undo").status == 0
    assert group.is_as_before()


def test_an_answer_from_a_file(group: Group, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<h1>soon</h1>")
    assert group.pull("answer", "/api/", "--html", str(page)).status == 0
    assert status_of(group.shop.port, "/api/")[2] == "<h1>soon</h1>"


def test_stale_needs_a_cache(group: Group) -> None:
    refused = group.pull("answer", "/api/", "--stale")
    assert refused.status == 2
    assert "has no cache" in refused.err
    text = group.text.replace(b"proxy_read_timeout 5s;", b"proxy_cache shop; proxy_cache_valid 200 1s;")
    cache = b"proxy_cache_path %s keys_zone=shop:1m;\n" % str(group.shop.root / "cache").encode()
    group.shop.site.write_bytes(cache + text)
    group.shop.apply_reload()
    assert group.pull("answer", "/api/", "--stale").status == 0
    assert "proxy_cache_use_stale error timeout" in group.now


def test_a_route_is_limited(group: Group) -> None:
    done = group.pull("limit", "/api/", "20")
    assert done.status == 0, done
    assert "limit_conn_zone $server_name zone=why502_" in group.now
    assert group.shop.status("/api/") == 200
    assert "already limited" in group.pull("limit", "/api/", "10").err
    assert group.pull("undo").status == 0
    assert group.is_as_before()


def test_its_time_is_over(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr("why502.fix.schedule.begin", lambda entry, where: begun.append(entry.id) or "nobody")
    now = datetime.now(UTC)
    done = group.pull("down", group.second, "--for", "30m", now=now)
    assert done.status == 0, done
    assert f"It will be reverted automatically at {now + timedelta(minutes=30):%Y-%m-%d %H:%M:%S}Z." in done.out
    assert len(begun) == 1
    assert group.pull("expire", now=now + timedelta(minutes=29)).status == 0
    assert "down;" in group.now
    after = group.pull("list", now=now + timedelta(minutes=31))
    assert "has expired" in after.err
    assert group.is_as_before()


@pytest.mark.parametrize(("text", "minutes"), [("1h30m", 90), ("20 minutes", 20), ("1 hour 5 min", 65), ("2d", 2880)])
def test_durations(group: Group, monkeypatch: pytest.MonkeyPatch, text: str, minutes: int) -> None:
    monkeypatch.setattr("why502.fix.schedule.begin", lambda entry, where: "nobody")
    now = datetime.now(UTC)
    done = group.pull("timeout", "/api/", "90", "--for", text, now=now)
    assert f"reverted automatically at {now + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}Z." in done.out, done


def test_a_process_waits_where_no_systemd_is(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd manages this machine")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # it starts in another directory
    done = group.pull("down", group.second, "--for", "1s")
    assert done.status == 0, done
    assert "a waiting process" in done.err
    group.shop.until(group.is_as_before)
    group.shop.until(lambda: group.pull("list").out == "No mitigation is active.\n")


def test_nothing_is_done_without_being_asked(group: Group) -> None:
    shown = group.pull("down", group.second, "--dry-run")
    assert shown.status == 1
    assert shown.out.endswith("Nothing was changed. Apply it with: the same command without --dry-run\n")
    asked = ask("mitigate", "down", group.second, "--config", str(group.shop.config), "--state", str(group.shop.state))
    assert asked.status == 2
    assert group.is_as_before()


@pytest.mark.parametrize(
    ("argv", "message"),
    few(
        [
            (("down", "10.9.9.9:80"), "no group has a server 10.9.9.9:80"),
            (("standby", "10.0.0.1:80; evil"), "is not a valid server address"),
            (("standby", "127.0.0.1:2", "--group", "none"), "there is no group none"),
            (("timeout", "/nowhere/", "60"), "no route to a backend matches '/nowhere/'"),
            (("timeout", "/api/", "2"), "already waits 5 s"),
            (("timeout", "/api/", "0"), "Invalid value"),
            (("answer", "/api/", "--json", "{"), "is not valid JSON"),
            (("answer", "/api/", "--html", "<p>" + "x" * 4000), "has more than 3000 bytes"),
            (("answer", "/api/", "--html", "/nonexistent/page"), "no such file"),
            (("answer", "/api/", "--html", "<p>", "--stale"), "cannot be combined"),
            (("answer", "/api/", "--html", "<p>", "--status", "302"), "an answer of status 302 has no body"),
            (("answer", "/api/", "--html", "<p>", "--status", "204"), "an answer of status 204 has no body"),
            (("timeout", "/api/", "60", "--for", "1h30"), "--for '1h30'"),
            (("limit", "/api/", "0"), "Invalid value"),
            (("undo", "nonsense"), "no active mitigation nonsense"),
            (("undo",), "no mitigation is active"),
            (("timeout", "/api/", "60", "--for", "soon"), "--for 'soon'"),
            (("timeout", "/api/", "60", "--for", "30d"), "from one second to seven days"),
        ],
        6,
    ),
)
def test_bad_input_is_two_lines(group: Group, argv: tuple[str, ...], message: str) -> None:
    refused = group.pull(*argv)
    assert refused.status == 2
    assert TWO_LINES.fullmatch(refused.err), refused.err
    assert message in refused.err
    assert group.is_as_before()


def test_a_server_that_a_route_names_itself(shop: Shop) -> None:
    refused = ask(
        "mitigate", "down", f"127.0.0.1:{shop.right}", "--config", str(shop.config), "--state", str(shop.state), "--yes"
    )
    assert refused.status == 2
    assert "is not in an upstream group" in refused.err
