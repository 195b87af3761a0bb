"""Malicious lines: explain answers all of them in time, and no control sequence reaches the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampled import sampled
from yardstick import loops

from why502.explanation import explain
from why502.logs.detect import parse_any
from why502.logs.formats import formats
from why502.render.explanation import document, render_line, render_text
from why502.render.explanation_lines import Explainer, chunks
from why502.render.words import Terminal

REAL: list[str] = [each["line"] for each in json.loads(Path("tests/data/gateway_lines.json").read_text())]
REAL += [
    (
        "2026/11/20 22:46:40 [error] 2#2: *2 connect() failed (111: Connection refused) while connecting to upstream, "
        'client: 192.0.2.7, server: s, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "s"'
    ),
    (
        '2026/11/20 22:46:40 [error] 2#2: *2 FastCGI sent in stderr: "PHP message: PHP Fatal error:  Uncaught" while '
        "reading response header from upstream, client: 192.0.2.7"
    ),
    "[2026-11-20 22:46:40 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:10)",
    "Nov 20 22:46:40 web kernel: Out of memory: Killed process 7 (node) total-vm:1kB",
    "502",
    "sH--",
]
BAIT = (
    "%s%n%x",
    "{0.__class__}",
    "<script>alert(1)</script>",
    "$(reboot)",
    "`id`",
    "\x1b[2J\x1b]0;x\x07",
    "\x00",
    "\udcff\udc80",
    "..%2f",
    "'\"\\",
    "\u202e",
    "a" * 5000,
    "(" * 200,
    '","' * 50,
    "[" * 300,
)

mutated = st.builds(
    lambda line, at, bait, cut: (line[: at % (len(line) + 1)] + bait + line[at % (len(line) + 1) :])[: cut or None],
    st.sampled_from(REAL),
    st.integers(0, 2000),
    st.one_of(st.sampled_from(BAIT), st.text(max_size=40)),
    st.one_of(st.just(0), st.integers(1, 400)),
)
anything = st.one_of(mutated, st.text(max_size=300), st.builds(" ".join, st.lists(st.sampled_from(REAL), min_size=2, max_size=3)))


def check(text: str) -> None:
    """Explain a text in every form."""
    explanation = explain(text)
    assert explanation.gateway_failure or explanation.cause is None
    json.loads(render_line(explanation))
    shown = render_text(explanation, Terminal(width=80))
    assert not {chr(each) for each in (*range(10), *range(11, 32), 127)} & set(shown)
    for command in explanation.next:
        assert not set("\x00\x1b\n") & set(command)
    document(explanation)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(anything)
def test_every_line_is_answered(text: str) -> None:
    check(text)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(anything, st.sampled_from(REAL)), min_size=1, max_size=12))
def test_in_bulk_there_is_one_object_for_each_line(texts: list[str]) -> None:
    lines = [
        text.replace("\n", " ").replace("\r", " ").encode("utf-8", "surrogateescape" if text.isascii() else "replace")
        for text in texts
    ]
    data = io.BytesIO(b"\n".join(lines) + b"\n")
    answers = b"".join(Explainer().explain(chunks(data.read))).split(b"\n")[:-1]
    assert len(answers) == len(lines)
    for answer in answers:
        assert json.loads(answer)["schema"] == "why502.explanation/1"


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=400))
def test_bytes_of_any_kind(data: bytes) -> None:
    check(data.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(("length", "most"), [(10_000, 4), pytest.param(40_000, 20, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", sampled([form.NAME for form in formats()], 12))
def test_no_line_takes_longer_than_its_length(name: str, length: int, most: int) -> None:
    form = next(form for form in formats() if name == form.NAME)
    own = [line for line in REAL if form.parse(line) is not None][:most]
    for seed in (*own, *REAL[::20], "{", '"', "[", " ", "a:", "1/", "-1 ", ", ", "(", "\\", "=", '\\"', "/x", "A B ", "-"):
        lines = (
            (seed + " ") * (length // (len(seed) + 1)),
            seed * (length // len(seed)),
            seed + "A" * length,
            seed + " " * length + "!",
        )
        assert loops(lambda lines=lines: [form.parse(line) for line in lines]) < length / 200, seed[:60]


def test_a_line_of_ten_megabytes() -> None:
    for seed in ("x", "proxy: ", '{"a":', REAL[0], "(111)", "1.1.1.1, "):
        line = seed * (10_000_000 // len(seed))
        assert loops(lambda line=line: (parse_any(line), explain(line))) < 1000, seed
