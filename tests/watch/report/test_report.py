"""Incidents as text, Markdown and JSON: complete, escaped, and of the schema."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import jsonschema
import msgspec
import pytest
from hostile_incident import HOSTILE, NOW, incident
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from values import of

from why502.render.contract import schema_of
from why502.render.words import Terminal
from why502.watch.model import Diagnosed, Incident, Occasion
from why502.watch.report import contract, markdown, text
from why502.watch.report import json as as_json

STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def shown(one: Incident, width: int = 100) -> str:
    return text.page(one, NOW + timedelta(hours=1), Terminal(width=width), has_bundle=True)


def test_an_incident_is_shown_with_the_sentence_first_then_why_what_changed_when_and_what_to_do() -> None:
    lines = shown(incident()).splitlines()
    assert lines[0].startswith(
        "RESOLVED: Clients of shop.example/connection refused and 1 other location get 502: nginx connects to"
    )
    headings = [lines.index(line) for line in lines if line in ("Changed before", "Timeline", "What to do")]
    assert len(headings) == 3 and headings == sorted(headings)
    whole = " ".join(" ".join(lines).split())
    for part in (
        "wrong-port on 127.0.0.1:3001, 95% confidence, fault: proxy configuration or limits",
        "resolved after 5 minutes",
        "41 of 900 requests failed, 3 recovered by a retry",
        "+4.0 connection refused",
        "+proxy_pass http://127.0.0.1:3000;",
        "The gateway's own test accepts a copy with this change",
        "2026-11-21 02:59:20Z unit app.service",
        "2026-11-21 02:59:58Z first failed request",
        "2026-11-21 03:04:00Z last failed request",
        "why502 incidents show 3f9c01d2 --bundle FILE",
        "incident 11111111",
    ):
        assert part in whole, part


def test_an_open_incident_without_a_cause_says_so() -> None:
    one = msgspec.structs.replace(
        incident(closed=False),
        diagnosed=(Diagnosed(at=NOW, occasion=Occasion.OPENED, reason="the error log cannot be read"),),
        proposal=None,
    )
    page = " ".join(shown(one).split())
    assert page.startswith("OPEN: Requests to shop.example")
    assert "Cause not known: the error log cannot be read" in page
    assert "open for 60 minutes" in page
    assert "sudo why502 diagnose" in page
    draft = markdown.render(one, NOW, has_bundle=False)
    assert "## Cause not known" in draft and "| Ended | still open |" in draft


def test_the_list_marks_what_is_open() -> None:
    one = incident(closed=False)
    lines = text.listing([one, incident()], NOW + timedelta(minutes=3), Terminal()).splitlines()
    assert lines[0].split() == ["ID", "OPENED", "DURATION", "FAILURES", "CAUSE", "FAULT", "WHERE"]
    assert "3 minutes, open" in lines[1] and "5 minutes " in lines[2]
    assert lines[1].split()[-3:] == ["proxy", "127.0.0.1:3001connection", "refused"]
    quiet = text.listing([one], NOW, Terminal(is_quiet=True, is_colored=True))
    assert quiet.startswith("\x1b[1;31m3f9c01d2")


def test_the_draft_is_a_post_mortem() -> None:
    draft = markdown.render(incident(), NOW, has_bundle=True)
    assert re.findall("^#+ (.*?)(?::.*|,.*| on .*)?$", draft, re.MULTILINE) == [
        "Post-mortem (draft)",
        "Summary",
        "wrong-port",
        "What changed before",
        "Timeline",
        "Follow-up",
    ]
    assert "| Duration | 5 minutes |" in draft
    assert "| 2026-11-21 03:00:00Z | opened: connection refused |" in draft
    assert draft.count("```diff") == 2 and draft.count("- [ ]") >= 4


@pytest.mark.parametrize("words", HOSTILE)
def test_no_output_is_controlled_by_what_it_shows(words: str) -> None:
    """W46."""
    one = incident(words)
    for output in (shown(one), text.listing([one], NOW, Terminal()), markdown.render(one, NOW, has_bundle=True)):
        assert not STEERS.search(output.replace("\n", ""))
        output.encode()
    page = MarkdownIt().enable("table").render(markdown.render(one, NOW, has_bundle=True))
    assert set(re.findall("<([a-z0-9]+)", page)) <= set("h1 h2 p table thead tbody tr th td code pre ul li".split())
    assert len(re.findall("<h[12]", page)) == 6
    assert json.loads(as_json.render(one, NOW))["id"] == "3f9c01d2"


def test_no_output_shows_a_secret() -> None:
    one = incident("/?token=SECRET123abc&password=SECRET123abc Cookie: sid=SECRET123abc")
    for output in (
        shown(one),
        text.listing([one], NOW, Terminal()),
        markdown.render(one, NOW, has_bundle=True),
        as_json.render(one, NOW),
    ):
        assert "SECRET123abc" not in output


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(of(Incident), st.booleans())
def test_every_incident_has_an_output_and_fits_the_schema(one: Incident, has_bundle: bool) -> None:
    schema = schema_of(contract.Incidents, contract.INCIDENTS)
    plain = msgspec.structs.replace(one, diagnosed=())  # a finding of any values is not one of the contract
    jsonschema.Draft202012Validator(schema).validate(json.loads(as_json.render_list([plain, incident()], NOW)))
    assert json.loads(as_json.render(one, NOW))
    assert text.page(one, NOW, Terminal(), has_bundle=has_bundle)
    assert markdown.render(one, NOW, has_bundle=has_bundle)
    assert text.listing([one], NOW, Terminal()).count("\n") == 2
