"""Whatever text a diagnosis contains, no output lets it control a terminal, a page, a ticket or the reader of JSON,
or shows a secret.
"""

from __future__ import annotations

import html.parser
import json
import re
from datetime import UTC, datetime

import msgspec
import pytest

from why502.model.config import Position
from why502.model.finding import Check, CheckStatus, Diagnosis, Evidence, Finding, Layer, Place, Verdict
from why502.model.remedy import Edit, Remedy, Run
from why502.model.snapshot import Gap
from why502.model.target import Target
from why502.render import html as as_html
from why502.render import json as as_json
from why502.render import markdown, terminal
from why502.render.words import Terminal

HOSTILE = {
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "c1": "\x9b31m\x90q\x9c",
    "lines": "a\r\nPROBLEM: b\nc\x0b\x0c\x85\u2028\u2029d",
    "direction": "\u202egnp.exe\u2066\u200f\u200b\ufeff",
    "bytes": "\udcff\udc9b\ud800",
    "markup": "</pre><script>alert(1)</script><img src=x onerror=alert(1)> & \"'",
    "markdown": "``` | `x` [a](javascript:alert(1)) <b> **x** | \n# head\n---\n![x](http://a/)",
    "template": "{{ 7*7 }}{% for x in y %}",
}
SECRET = "Authorization: Bearer abc.SECRET.1 Cookie: sid=SECRET; http://user:SECRET@db/?token=SECRET&password=SECRET"
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def diagnosis(text: str) -> Diagnosis:
    """Return a diagnosis that contains the text everywhere it can."""
    at = Position(file=text, line=1)
    edit = Edit(file=text, line=1, start=0, end=1, before=text, after=text, diff=f"--- {text}\n+++ {text}\n-{text}\n+{text}\n")
    finding = Finding(
        cause="wrong-port",
        layer=Layer.PROXY,
        confidence=0.9,
        message=text,
        target=Target(path=f"/{text}"),
        proxy="nginx",
        place=Place(server=text, location=text, at=at),
        evidence=(Evidence(message=text, weight=1.0, source=text), Evidence(message=text, weight=-1.0)),
        remedies=(Remedy(message=text, steps=(edit, Run(argv=("rm", text)))),),
    )
    light = Finding(
        cause="proxy-loop", layer=Layer.PROXY, confidence=0.1, message=text, target=Target(host=text), evidence=finding.evidence
    )
    return Diagnosis(
        taken_at=datetime(2026, 11, 21, tzinfo=UTC),
        verdict=Verdict.PROBLEM,
        findings=(finding, finding, light),
        checks=(Check(id="x", title="a step", status=CheckStatus.FAIL, detail=text),),
        gaps=(Gap(source=text, reason=text, hint=text),),
        hosts=(text,),
        by_status={"502": 1},
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("colored", [False, True])
def test_terminal(text: str, colored: bool) -> None:
    shown = terminal.render(diagnosis(text), Terminal(is_colored=colored, is_verbose=True))
    assert not STEERS.search(re.sub(r"\x1b\[[\d;]+m", "", shown) if colored else shown)
    assert sum(line.startswith("PROBLEM") for line in re.sub(r"\x1b\[[\d;]+m", "", shown).splitlines()) == 1


class Tags(html.parser.HTMLParser):
    """Collects what a browser would parse as an element or attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags |= {tag, *(name for name, _ in attrs)}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_page(text: str) -> None:
    shown = as_html.render(diagnosis(text), Terminal())
    assert not STEERS.search(shown)
    page = Tags()
    page.feed(shown)
    assert not page.tags & {"script", "img", "onerror", "src", "href", "a", "form"}
    assert "49" not in re.sub(r"\d{4,}", "", shown) or text != HOSTILE["template"]
    assert "http" not in as_html.render(diagnosis("x"), Terminal())  # it loads no external resources


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_ticket(text: str) -> None:
    shown = markdown.render(diagnosis(text), Terminal())
    assert not STEERS.search(shown)
    fences = [line for line in shown.splitlines() if line.startswith("```")]
    assert fences == ["```diff", "```", "```sh", "```"] * 2
    plain = re.sub(r"```.*?\n```", "", shown, flags=re.DOTALL)
    assert "<script" not in plain.replace("\\<", "").replace("`", "") or "`" in plain
    table = [line for line in shown.splitlines() if line.startswith("| a step")]
    assert len(table) == 1
    assert len(re.findall(r"(?<!\\)\|", table[0])) == 4


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json(text: str) -> None:
    line = as_json.render_line(diagnosis(text), Terminal())
    assert line.count("\n") == 1
    line.encode("utf-8")
    assert json.loads(line)["findings"][0]["cause"] == "wrong-port"
    assert json.loads(as_json.render(diagnosis(text), Terminal())) == json.loads(line)


@pytest.mark.parametrize("render", [terminal.render, as_html.render, markdown.render, as_json.render, as_json.render_line])
def test_no_secret_is_shown(render: object) -> None:
    assert callable(render)
    assert "SECRET" not in render(diagnosis(SECRET), Terminal(is_verbose=True))


@pytest.mark.parametrize("width", [40, 60, 100, 140])
def test_lines_are_as_long_as_the_terminal(width: int) -> None:
    words = "nginx connects to an address that nothing listens on " * 4
    told = diagnosis("/etc/nginx/nginx.conf")
    finding = msgspec.structs.replace(
        told.findings[0], message=words, evidence=(Evidence(message=words, source="error.log:1", weight=1.0),)
    )
    shown = terminal.render(msgspec.structs.replace(told, findings=(finding, finding)), Terminal(width=width))
    assert max(map(len, shown.splitlines())) <= width, shown
