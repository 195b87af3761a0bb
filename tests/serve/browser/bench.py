"""Every page of the server, and how to get there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from playwright.sync_api import Page

BUNDLE = Path(__file__).parents[2] / "golden" / "wrong-port.why502"
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)><b class=evil>",
    "\"><svg/onload=alert(1)>' onmouseover='alert(1)",
    '=HYPERLINK("http://evil.example","x") +1 -1 @SUM(1)',
    "\x1b]0;title\x07\x1b[31mred\x1b[0m\r\nSet-Cookie: a=b\r\n\r\n",
    "javascript:alert(1) {{ 7*7 }} {% raw %} ${7*7}",
    "\u202eevil\u2066\u200b",
)
CONFIGURATION = """events {}
http {
  upstream app { server 127.0.0.1:3000; keepalive 16; }
  server {
    listen 80;
    server_name shop.example;
    location /ws { proxy_pass http://app; proxy_set_header Upgrade $http_upgrade; }
    location / { proxy_pass http://$host:3000; proxi_read_timeout 5m; }
  }
}
"""
LINE = (
    "2026/11/21 01:17:{:02d} [error] 17#17: *1 connect() failed (111: Connection refused) while connecting to upstream, client: "
    '127.0.0.1, server: a, request: "GET {} HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"'
)


@dataclass(slots=True)
class Bench:
    """Opens pages; each has a context of its own, with the options of Playwright."""

    url: str
    open: Callable[[dict[str, Any]], Page]

    def incident(self) -> str:
        """Return the id of an open incident."""
        with urlopen(f"{self.url}/api/1/incidents?open=true", timeout=60) as answer:
            return str(json.load(answer)["incidents"][0]["id"])

    def target(self) -> dict[str, str]:
        """Return what names the first target in an address."""
        with urlopen(f"{self.url}/api/1/targets", timeout=60) as answer:
            found = json.load(answer)[0]
        return {"proxy": found["proxy"], "target": found["target"]}

    def views(self) -> Iterator[tuple[str, Callable[[Page], None]]]:
        """Yield the name of each page, and what brings a browser there."""
        one = f"/incidents/{self.incident()}"
        for name, path in (
            ("now", "/"),
            ("incident", one),
            ("history", "/history"),
            ("targets", "/targets"),
            ("target", f"/targets/one?{urlencode(self.target())}"),
            ("machine", "/machine"),
            ("explain", "/explain"),
            ("status", "/explain?text=502"),
            ("reference", "/explain/reference"),
            ("search", "/explain/reference?q=timeout"),
            ("cause", "/explain/causes/wrong-port"),
            ("gateway", "/explain/gateways/nginx"),
            ("lint", "/lint"),
            ("diagnose", "/diagnose"),
            ("logs", "/logs"),
            ("problem", "/nothing"),
        ):
            yield name, lambda page, path=path: self.go(page, path)
        yield "explained", self.explain
        yield "linted", self.lint
        yield "diagnosed", self.diagnose
        yield "reported", self.report

    def go(self, page: Page, path: str) -> None:
        """Open a path."""
        page.goto(f"{self.url}{path}", timeout=60_000)

    def explain(self, page: Page, text: str = f"{LINE.format(0, '/a')}\nsH--\n499\nnonsense") -> None:
        """Have a text explained."""
        self.go(page, "/explain")
        page.get_by_role("textbox").first.fill(text)
        page.get_by_role("button", name="Explain").click(timeout=60_000)

    def lint(self, page: Page, text: str = CONFIGURATION) -> None:
        """Have a configuration checked."""
        self.go(page, "/lint")
        page.locator("#text").fill(text)
        page.get_by_role("button", name="Check").click(timeout=60_000)

    def diagnose(self, page: Page, content: bytes = BUNDLE.read_bytes(), name: str = "a.why502") -> None:
        """Have a bundle diagnosed."""
        self.go(page, "/diagnose")
        page.locator("#bundle").set_input_files({"name": name, "mimeType": "application/gzip", "buffer": content})
        page.get_by_role("button", name="Diagnose").click(timeout=60_000)

    def report(
        self, page: Page, lines: str = "\n".join(LINE.format(at % 60, "/a") for at in range(90)), name: str = "e.log"
    ) -> None:
        """Have a log reported."""
        self.go(page, "/logs")
        page.locator("#files").set_input_files({"name": name, "mimeType": "text/plain", "buffer": lines.encode()})
        page.get_by_role("button", name="Report").click(timeout=60_000)
