"""What the tests in a browser share: Debian's Chromium, a running server with incidents, and pages that ask no other host."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from served import recorded

Look = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    path = shutil.which("chromium")
    assert path, "chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two open and two resolved incidents."""
    with recorded(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """Give a function that returns a new page; its options are those of a browser's context.

    Every page is held to what all must keep: no request to another host, no message in the console, no error in a script.
    """
    wrong: list[str] = []
    hosts: set[str] = set()
    with ExitStack() as stack:

        def opened(**options: Any) -> Page:
            context = stack.enter_context(browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options}))
            page = context.new_page()
            page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or "") if request.url[:5] != "data:" else None)
            page.on("console", lambda message: wrong.append(message.text))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
            return page

        yield opened
    assert wrong == []
    assert hosts == {"127.0.0.1"}
