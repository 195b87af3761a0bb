"""Every page in a real browser: on a phone and a wide screen, dark and light, by keyboard alone, without JavaScript."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe
from hostile_incident import HOSTILE as HOSTILE_WORDS
from playwright.sync_api import Page, expect
from served import serve
from test_pages import hostile_store

from bench import CONFIGURATION, HOSTILE, LINE, Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
IS_LONG = "WHY502_WEB_LONG" in os.environ
SCREENS = {
    "phone-dark": {"viewport": {"width": 375, "height": 812}, "color_scheme": "dark"},
    "wide-light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    **(
        {
            "phone-light": {"viewport": {"width": 375, "height": 812}, "color_scheme": "light"},
            "wide-dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
        }
        if IS_LONG
        else {}
    ),
}
# Those that `make test` opens in every way; `make web` opens all.
SHORT = {"now", "incident", "targets", "explained", "linted", "cause"}
VIEWERS = 50
PAPER = 703
INERT = "document.querySelectorAll('.evil, main script, main [onerror], main [onload], main [onmouseover]').length"


def chosen(bench: Bench) -> list[tuple[str, object]]:
    return [(name, go) for name, go in bench.views() if IS_LONG or name in SHORT]


def serious(page: Page) -> list[str]:
    """Return what axe finds that keeps people from using a page, with the elements."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]}" for one in found if one["impact"] in ("serious", "critical") for node in one["nodes"]
    ]


@pytest.mark.parametrize("screen", SCREENS)
def test_pages_fit_the_screen_and_everybody_can_use_them(bench: Bench, screen: str) -> None:
    page = bench.open(SCREENS[screen])
    titles = {}
    for name, go in chosen(bench):
        go(page)
        expect(page.locator("h1")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
        assert serious(page) == [], name
        titles[name] = page.title()
        assert page.locator("main").inner_text().strip(), name
    assert all(title.endswith("why502") for title in titles.values()), titles


def test_nothing_is_cut_off_on_paper(bench: Bench) -> None:
    """A4 with margins of 12 mm is 703 CSS pixels wide: what is wider is not printed."""
    page = bench.open({"viewport": {"width": PAPER, "height": 1000}})
    for name, go in chosen(bench):
        go(page)
        page.emulate_media(media="print")
        wide = page.evaluate(
            """width => [...document.querySelectorAll('main *')]
                .filter(one => one.checkVisibility() && !one.closest('.unseen') && one.getBoundingClientRect().right > width + 1)
                .map(one => one.outerHTML.slice(0, 120))""",
            PAPER,
        )
        assert wide == [], name
        assert not page.locator("nav, form").filter(visible=True).count(), name
        assert page.pdf(format="A4").startswith(b"%PDF"), name
        page.emulate_media(media="screen")


def test_pages_say_the_same_without_javascript(bench: Bench) -> None:
    with_scripts, without = bench.open({}), bench.open({"java_script_enabled": False})
    for name, go in chosen(bench):
        go(with_scripts)
        go(without)
        assert without.locator("h1").inner_text() == with_scripts.locator("h1").inner_text(), name
        headings = [page.locator("h2").all_inner_texts() for page in (without, with_scripts)]
        assert headings[0] == headings[1], name


def test_everything_is_reached_and_seen_by_keyboard(bench: Bench) -> None:
    page = bench.open({})
    for name, go in chosen(bench):
        go(page)
        wanted = page.evaluate(
            """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, ' +
                '[tabindex="0"]')]
                .filter(one => one.checkVisibility() && !one.disabled).length"""
        )
        seen = set()
        for _ in range(3 * wanted + 20):  # a date has several fields of its own
            page.keyboard.press("Tab")
            at, is_shown = page.evaluate(
                """() => { const one = document.activeElement, style = getComputedStyle(one);
                    return [[...document.querySelectorAll('*')].indexOf(one),
                            one === document.body || style.outlineStyle !== 'none' || one.matches('.skip')]; }"""
            )
            assert is_shown, f"{name}: the focus cannot be seen on {page.evaluate('document.activeElement.outerHTML')[:200]}"
            seen.add(at)
            if len(seen) >= wanted:
                break
        assert len(seen) >= wanted, f"{name}: {len(seen)} of {wanted}"


def test_a_configuration_is_checked_by_keyboard_alone(bench: Bench) -> None:
    page = bench.open({})
    bench.go(page, "/")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.get_by_role("link", name="Check a configuration").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/lint")
    page.locator("main").focus()
    page.keyboard.press("Tab")
    page.keyboard.insert_text(CONFIGURATION)
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Check")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("error", timeout=60_000)
    expect(page.locator(".listing .marked")).to_have_count(3)


def test_hostile_text_is_shown_as_text(bench: Bench) -> None:
    page = bench.open({})
    for text in HOSTILE if IS_LONG else HOSTILE[:1] + HOSTILE[3:4]:
        one_line = " ".join(text.split())
        bench.explain(page, f"{text}\n{LINE.format(1, '/' + one_line)}")
        assert page.evaluate(INERT) == 0
        assert "\x1b" not in "".join(page.locator("section").all_inner_texts())
        bench.lint(page, CONFIGURATION.replace("shop.example", f"'{one_line}'") + f"# {text}")
        expect(page.get_by_role("status")).to_be_visible(timeout=60_000)
        assert page.evaluate(INERT) == 0
        bench.report(page, "\n".join([LINE.format(1, f"/{one_line}"), text, text]), name=f"{one_line[:60]}.log")
        expect(page.locator("h1")).to_be_visible(timeout=60_000)
        assert page.evaluate(INERT) == 0
        assert "\x1b" not in page.content()
        bench.go(page, f"/explain/reference?q={one_line[:100]}")
        assert page.evaluate(INERT) == 0


def test_hostile_words_in_every_field_of_an_incident_are_text(bench: Bench, tmp_path: Path) -> None:
    words = " ".join((*HOSTILE, *HOSTILE_WORDS)).encode(errors="replace").decode()
    one = hostile_store(tmp_path / "watch.db", words)
    page = bench.open({})
    with serve("--store", str(tmp_path / "watch.db")) as url:
        for path in ("/", "/history", "/targets", f"/incidents/{one.id}"):
            page.goto(f"{url}{path}", timeout=60_000)
            expect(page.locator("h1")).to_have_count(1)
            assert page.evaluate(INERT) == 0, path
            assert not set("\x1b\x07\u202e\u200b\u2066") & set(page.locator("main").inner_text()), path
            assert page.evaluate("document.title").endswith("why502")
        for path in ("incidents", f"incidents/{one.id}", "routes", "targets", "status"):
            with urlopen(f"{url}/api/1/{path}", timeout=60) as answer:
                assert json.load(answer)
        page.close()  # it listens for news, and the server ends


def test_a_bad_file_is_explained_where_it_was_chosen(bench: Bench) -> None:
    page = bench.open({})
    bench.diagnose(page, b"not a bundle", "../../etc/passwd")
    expect(page.get_by_role("alert")).to_contain_text("passwd is not a why502 bundle")
    expect(page.get_by_role("button", name="Diagnose")).to_be_visible()


def test_a_log_of_this_machine_is_picked(bench: Bench) -> None:
    page = bench.open({"java_script_enabled": False})
    bench.go(page, "/logs")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Report").click(timeout=60_000)
    expect(page.locator("h1")).to_contain_text("20 failures", timeout=60_000)
    expect(page.get_by_role("link", name="backend-not-running")).to_be_visible()


def test_many_watch_at_once(bench: Bench, url: str) -> None:
    """Fifty viewers with live updates: each gets the news, and the pages still answer."""
    host = urlsplit(url).netloc

    def watch(_: int) -> tuple[HTTPConnection, bytes]:
        connection = HTTPConnection(host, timeout=60)
        connection.request("GET", "/live/now")
        answer = connection.getresponse()
        assert answer.status == 200
        return connection, answer.fp.readline()

    with ThreadPoolExecutor(VIEWERS) as pool:
        viewers = list(pool.map(watch, range(VIEWERS)))
        page = bench.open({})
        bench.go(page, "/")
        expect(page.locator("h1")).to_have_count(1)
    assert all(line for _, line in viewers)
    for connection, _ in viewers:
        connection.close()
