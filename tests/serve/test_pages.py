"""The pages over a store with real incidents: what they show, and that they show everything as text."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile_incident import HOSTILE, incident
from msgspec import structs
from recorded_site import NOW, Open
from sampled import sampled

from why502.bundle import load
from why502.model.target import Target
from why502.serve.pages import history
from why502.serve.rendering import address
from why502.watch.model import (
    Batch,
    Change,
    ChangeKind,
    CheckResult,
    Configured,
    FailureKey,
    Incident,
    Limit,
    LimitKind,
    Member,
    Observed,
    OwnerKey,
    PeerKey,
    RequestKey,
    RouteKey,
    TargetKey,
)
from why502.watch.store import Store

Recorded = tuple[Path, list[Incident]]
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """A page: its text, its tags, and whether every tag that was opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def shown(client: object, path: str, status: int = 200) -> Page:
    response = client.get(path)  # type: ignore[attr-defined]
    assert response.status_code == status, (path, response.status_code, response.text[-500:])
    return Page(response.text)


def test_now_says_what_is_wrong_where_and_since_when(opened: Open, recorded: Recorded) -> None:
    path, found = recorded
    page = shown(opened(path), "/")
    assert page.text.count("Clients of shop.example/ get 502: nginx connects to 127.0.0.1:3001, where nothing listens") >= 2
    assert "And one more incident is open." in page.text
    links = [attrs.get("href") for tag, attrs in page.tags if tag == "a"]
    assert [f"/incidents/{one.id}" for one in found if one.is_open] == [
        link for link in links if link and link.startswith("/incidents/")
    ][:2]
    assert "connection refused" in page.text and "127.0.0.1:3001 down" in page.text
    assert any(
        tag == "svg" and attrs.get("role") == "img" and "Failed requests" in (attrs.get("aria-label") or "")
        for tag, attrs in page.tags
    )


def test_a_quiet_day_is_called_quiet_and_a_watch_that_stopped_is_not(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    with Store.open(path) as store:
        assert "Not known yet" in shown(opened(path), "/").text
        store.commit(Batch(at=NOW - timedelta(seconds=30), observed=[Observed(log="/a", proxy="nginx", lines=1)]))
        assert "Nothing is wrong: no incident is open." in shown(opened(path), "/").text
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE logs SET at = at - 600")
    assert "Not known: nothing has been recorded for 10 minutes. Is why502 watch running?" in shown(opened(path), "/").text


def test_an_incident_shows_verdict_evidence_configuration_fix_changes_and_what_was_ruled_out(
    opened: Open, recorded: Recorded
) -> None:
    path, (wrong_port, *_) = recorded
    client = opened(path)
    page = shown(client, f"/incidents/{wrong_port.id}")
    for words in (
        "proxy configuration or limits",
        "python (pid",
        "ss -ltnp",
        "proxy_pass http://127.0.0.1:3000;",
        "/usr/sbin/nginx -t",
        "Changed: file /etc/nginx/nginx.conf changed",
        "first failed request",
        "backend-not-running on 127.0.0.1:3001",
        "the configuration passes its own test",
    ):
        assert words in page.text, words
    assert re.search(r"wrong-port , \d\d % confidence", page.text)
    marked = [number for number, (tag, attrs) in enumerate(page.tags) if tag == "li" and attrs.get("class") == "marked"]
    assert len(marked) == 1
    assert re.search(
        r'class="marked"><span class="number">\d+</span><span>\s+proxy_pass http://127.0.0.1:3001;',
        client.get(f"/incidents/{wrong_port.id}").text,
    )


def test_what_an_incident_leaves_is_downloaded(opened: Open, recorded: Recorded) -> None:
    path, (wrong_port, *_) = recorded
    client = opened(path)
    bundle = client.get(f"/incidents/{wrong_port.id}/bundle")
    assert bundle.headers["content-disposition"] == f'attachment; filename="incident-{wrong_port.id}.why502"'
    assert load(bundle.content, "bundle").proxies
    assert client.get(f"/incidents/{wrong_port.id}/markdown").text.startswith("# Post-mortem (draft): Clients of shop.example/")
    assert json.loads(client.get(f"/incidents/{wrong_port.id}/json").text)["id"] == wrong_port.id


def test_an_id_may_be_short_and_one_that_is_not_there_is_a_page(opened: Open, recorded: Recorded) -> None:
    path, (wrong_port, *_) = recorded
    client = opened(path)
    assert client.get(f"/incidents/{wrong_port.id[:5]}").headers["location"] == f"/incidents/{wrong_port.id}"
    for id_ in ("nowhere", "%27", "a%0d%0aset-cookie:%20a=b", "x" * 5000, "%00", "é"):
        for rest in ("", "/bundle", "/markdown", "/json"):
            response = client.get(f"/incidents/{id_}{rest}")
            assert response.status_code == 404 and "set-cookie" not in response.headers, id_


def test_history_counts_filters_and_searches(opened: Open, recorded: Recorded) -> None:
    path, _ = recorded
    client = opened(path)
    assert "4 incidents, 62 minutes" in shown(client, "/history").text
    for query, count in (
        ("cause=wrong-port", 1),
        ("state=open", 2),
        ("state=resolved", 2),
        ("target=127.0.0.1:3001", 1),
        ("text=php-fpm+children", 1),
        ("text=nowhere", 0),
        ("since=2026-11-24", 2),  # open ones go on
        ("until=2026-11-22", 0),
        ("since=2026-11-23&until=2026-11-23&cause=&text=", 4),
    ):
        page = shown(client, f"/history?{query}")
        assert page.text.split("History")[-1] and f"{count} incident" in page.text, query
    for query in ("since=x", "since=2026-13-01", "page=0", "page=x", "page=99999999999999999999", "state=x", "until=0001-01-01x"):
        shown(client, f"/history?{query}", 400)
    hostile = shown(client, "/history?text=%3Cscript%3Ealert(1)%3C/script%3E%22%20onfocus=x&target=%27%22%3E%00")
    assert not any("onfocus" in attrs for _, attrs in hostile.tags)
    assert shown(client, "/history?page=7").text


def test_history_is_downloaded_as_csv(opened: Open, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    path, found = recorded
    client = opened(path, url="https://why502.example")
    monkeypatch.setattr(history, "EXPORTED_AT_ONCE", 3)
    response = client.get("/history.csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="incidents-2026-11-23.csv"'
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [row["id"] for row in rows] == [one.id for one in sorted(found, key=lambda one: one.opened_at, reverse=True)]
    first = next(row for row in rows if row["cause"] == "wrong-port")
    assert first["target"] == "127.0.0.1:3001" and first["resolved (UTC)"] == "" and first["minutes"] == "7.0"
    assert first["page"] == f"https://why502.example/incidents/{first['id']}" and "where nothing listens" in first["message"]
    assert {row["cause"] for row in csv.DictReader(io.StringIO(client.get("/history.csv?state=resolved").text))} == {
        "keepalive-race",
        "php-fpm-max-children",
    }
    assert client.get("/history.csv?since=x").status_code == 400
    assert "/history.csv?text=refused" in client.get("/history?text=refused").text


def test_history_shows_what_is_left_of_an_objective(opened: Open, recorded: Recorded, tmp_path: Path) -> None:
    path, _ = recorded
    client = opened(path)
    (tmp_path / "watch.toml").write_text(
        '[[objectives]]\nname = "shop"\nshare = 0.99\nlocation = "shop.example/"\n[[objectives]]\nname = "none"\nshare'
        ' = 0.99\nlocation = "x/"\n'
    )
    text = shown(client, "/history").text
    assert re.search(r"shop shop.example/ 99 % [\d\W]+ \d+ \d+ -?\d+ %", text) and "none x/ 99 % 0 0 0 no requests" in text
    (tmp_path / "watch.toml").write_text("[[objectives]]\nname = 1\n")
    assert "The objectives are not known" in shown(client, "/history").text


def test_targets_show_checks_attempts_limits_and_restarts(opened: Open, recorded: Recorded) -> None:
    path, _ = recorded
    client = opened(path)
    text = shown(client, "/targets").text
    for words in (
        "1 down, 4 up",
        "connection refused",
        "412 MB 512 MB",
        "full at",
        "shop.service 1 2026-11-23",
        "HTTP 200",
        "0.4 ms",
    ):
        assert words in text, words
    text = shown(client, "/targets/one?proxy=nginx&target=127.0.0.1:3001").text
    assert "Response times in the last day" in text and "nginx connects to 127.0.0.1:3001" in text
    for query in ("", "?target=nowhere", "?target=%00", "?proxy=x&target=127.0.0.1:3009%0a"):
        assert "no such target" in shown(client, f"/targets/one{query}", 404).text


def test_each_target_has_the_starts_the_memory_and_the_queue_of_what_serves_it(opened: Open, tmp_path: Path) -> None:
    def limit(kind: LimitKind, subject: str, used: float) -> Limit:
        return Limit(kind=kind, subject=subject, at=NOW, used=used, limit=100 * used)

    path, container = tmp_path / "watch.db", "0123456789abcdef"
    with Store.open(path) as store:
        store.commit(
            Batch(
                at=NOW,
                configured=Configured(
                    targets=frozenset(TargetKey("nginx", f"10.0.0.{number}:80") for number in (1, 2, 3)),
                    owners=frozenset(
                        {
                            OwnerKey("nginx", "10.0.0.1:80", "shop.service"),
                            OwnerKey("nginx", "10.0.0.1:80", "pid 17"),
                            OwnerKey("nginx", "10.0.0.2:80", container),
                        }
                    ),
                ),
                limits=[
                    limit(LimitKind.MEMORY, "shop.service", 4e6),
                    limit(LimitKind.MEMORY, container[:12], 7e6),
                    limit(LimitKind.MEMORY, "machine", 9e9),
                    limit(LimitKind.LISTEN_QUEUE, "10.0.0.1:80", 5),
                    limit(LimitKind.DISK, "/var (inodes)", 5_000),
                ],
                changes=[
                    Change(
                        kind=ChangeKind.UNIT,
                        subject=subject,
                        at=NOW - timedelta(hours=hour),
                        detail=detail,
                        units=units,
                        pids=(17,) * bool(units),
                    )
                    for hour, subject, detail, units in (
                        (3, "shop.service", "started", ("shop.service",)),
                        (2, "shop.service", "failed: signal 9", ("shop.service",)),
                        (1, "shop.service", "restarted", ("shop.service",)),
                        (1, "other.service", "started", ()),
                    )
                ],
            )
        )
    client = opened(path)
    page = shown(client, "/targets")
    rows = {cells[0].split()[0]: cells[-4:-1] for cells in page.rows if len(cells) > 8}
    assert rows["10.0.0.1:80"] == ["2 last 2026-11-23 11:30:20Z", "4 MB of 400 MB", "5 of 500"]
    assert rows["10.0.0.2:80"] == ["", "7 MB of 700 MB", ""] and rows["10.0.0.3:80"] == ["", "", ""]
    assert "4 MB of 400 MB" in shown(client, "/targets/one?proxy=nginx&target=10.0.0.1:80").text
    assert ["disk", "/var (inodes)", "5 000", "500 000", ""] in [[" ".join(cell.split()) for cell in row] for row in page.rows]


def hostile_store(path: Path, words: str) -> Incident:
    """Fill every field that is shown with the words."""
    one = structs.replace(incident(words, closed=False), opened_at=NOW, first_failure_at=NOW, last_failure_at=NOW)
    minute = int(NOW.timestamp()) // 60
    seen = Observed(log=words, proxy=words, lines=1)
    seen.requests[minute, RequestKey(words, words, "502")] = 5
    seen.failures[minute, FailureKey(words, words, words, words)] = 5
    peer = Target(host=words, port=80)
    last = CheckResult(proxy=words, group=words, peer=peer, at=NOW, reason=words)
    with Store.open(path) as store:
        store.commit(
            Batch(
                at=NOW,
                observed=[seen],
                incidents=[one, structs.replace(one, id="11111111", key="v1:2", diagnosed=())],
                members=[Member(proxy=words, group=words, peer=peer, last=last)],
                limits=[Limit(kind=LimitKind.MEMORY, subject=words, at=NOW, used=1, limit=2, reason=words)],
                changes=[Change(kind=ChangeKind.UNIT, subject=words, at=NOW, detail=f"started {words}")],
                configured=Configured(
                    targets=frozenset({TargetKey(words, words)}),
                    routes=frozenset({RouteKey(words, words, words, ""), RouteKey(words, words + "2", "", words)}),
                    peers=frozenset({PeerKey(words, words, words)}),
                    owners=frozenset({OwnerKey(words, words, words)}),
                ),
            )
        )
    return one


@pytest.mark.parametrize("words", sampled(HOSTILE, 4), ids=range(len(HOSTILE)))
def test_hostile_words_in_every_field_are_text(opened: Open, tmp_path: Path, words: str) -> None:
    path = tmp_path / "watch.db"
    words = words.encode(errors="replace").decode()  # what cannot be written does not reach the store
    one = hostile_store(path, words)
    client = opened(path)
    for asked in (
        "/",
        "/history",
        "/targets",
        str(address("", "/targets/one", target=words)),
        f"/incidents/{one.id}",
        "/incidents/11111111",
    ):
        response = client.get(asked.replace("&amp;", "&"))
        if asked.startswith("/targets/one") and response.status_code == 404:  # text that the store keeps in another form
            continue
        assert response.status_code == 200, (asked, response.text[-300:])
        page = Page(response.text)
        assert not STEERS.search(response.text)
        assert [attrs for tag, attrs in page.tags if tag == "script"] == [{"src": "/static/live.js", "defer": None}]
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
        assert all((attrs.get("href") or "/").startswith(("/", "#")) for _, attrs in page.tags)
        assert not any(tag in ("img", "iframe", "object", "style") for tag, _ in page.tags)
    assert client.get(f"/incidents/{one.id}/markdown").status_code == 200
    for row in csv.reader(io.StringIO(client.get("/history.csv").text, newline="")):
        assert not any(STEERS.search(cell) or cell.startswith(("=", "+", "-", "@", "\t")) for cell in row), row


def test_every_link_on_the_pages_leads_somewhere(opened: Open, recorded: Recorded) -> None:
    path, found = recorded
    client = opened(path)
    done: set[str] = set()
    waiting = ["/"]
    while waiting:
        asked = waiting.pop()
        done.add(asked)
        response = client.get(asked)
        assert response.status_code in (200, 307), asked
        if "html" in response.headers["content-type"]:
            ids = [attrs["id"] for _, attrs in Page(response.text).tags if "id" in attrs]
            assert len(ids) == len(set(ids)), asked
            links = {attrs["href"] for _, attrs in Page(response.text).tags if (attrs.get("href") or "#").startswith("/")}
            waiting += [str(link) for link in links if link not in done | set(waiting)]
    assert {f"/incidents/{one.id}/bundle" for one in found} <= done
