"""What the tests in a browser share: Debian's Chromium, a running server with incidents, and pages that ask no other host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, Response, sync_playwright
from served import recorded

from bench import Bench


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
def bench(browser: Browser, url: str) -> Iterator[Bench]:
    """Open pages that are held to what all must keep: no request to another host, no message, no error, no dialog."""
    wrong: list[str] = []
    hosts: set[str] = set()

    def asked(request: Request) -> None:
        if not request.url.startswith("data:"):
            hosts.add(urlsplit(request.url).netloc)

    def told(message: ConsoleMessage) -> None:
        if "the server responded with a status of 4" not in message.text:  # Chromium says so of every page with an error
            wrong.append(message.text)

    def answered(response: Response) -> None:
        if response.status >= 500:
            wrong.append(f"{response.status} {response.url}")

    def dialog(shown: Dialog) -> None:
        wrong.append(f"dialog: {shown.message}")
        shown.dismiss()

    with ExitStack() as stack:

        def opened(options: dict[str, Any]) -> Page:
            context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
            stack.callback(context.close)
            page = context.new_page()
            page.on("request", asked)
            page.on("console", told)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("dialog", dialog)
            page.on("response", answered)
            return page

        yield Bench(url, opened)
    assert wrong == []
    assert hosts <= {urlsplit(url).netloc}
