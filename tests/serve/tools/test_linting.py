"""The lines that have findings, with those around them."""

from __future__ import annotations

import pytest

from why502.model.errors import Why502Error
from why502.serve.tools import linting
from why502.serve.tools.linting import AROUND, LONGEST_LINE, lint
from why502.serve.tools.orders import LintOrder

BAD = "location /{number} {{ proxy_pass http://$host:3000; }}\n"


def configuration(*lines: str) -> bytes:
    return f"events {{}}\nhttp {{ server {{\n{''.join(lines)}}} }}\n".encode()


def test_lines_around_a_finding_are_shown_and_the_finding_marked() -> None:
    filler = [f"location /x{number} {{ return 200; }}\n" for number in range(40)]
    content = configuration(*filler[:20], BAD.format(number=1), *filler[20:])
    answer = lint(LintOrder(), {"a.conf": content})
    (listing,) = answer.listings
    marked = [line for line in listing.lines if line.marks]
    assert [line.number for line in marked] == [23]
    assert [line.number for line in listing.lines] == list(range(23 - AROUND, 23 + AROUND + 1))
    assert listing.total == content.count(b"\n")
    for number in marked[0].marks:
        assert answer.document.findings[number].line == 23
    assert {number for line in listing.lines for number in line.marks} == set(range(len(answer.document.findings)))


def test_a_file_without_findings_has_no_listing() -> None:
    answer = lint(LintOrder(), {"a.conf": b"events {}\nhttp { server { listen 80; location / { return 200; } } }\n"})
    assert answer.listings == ()


def test_nothing_but_the_given_files_is_read() -> None:
    answer = lint(LintOrder(), {"a.conf": configuration("include /etc/passwd;\ninclude /etc/*;\n")})
    assert "root:" not in str(answer)


def test_secrets_are_not_shown() -> None:
    secret = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.abcdefgh12345678"
    content = configuration(f'proxy_set_header Authorization "{secret}";\n', BAD.format(number=1))
    answer = lint(LintOrder(), {"a.conf": content})
    assert answer.listings
    assert secret not in str(answer)


def test_long_inputs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linting, "MOST_LINES", 60)
    one = configuration(*(BAD.format(number=each) for each in range(25)))
    many = lint(LintOrder(), {f"{number}.conf": one for number in range(4)})
    assert many.is_cut
    assert 0 < sum(len(listing.lines) for listing in many.listings) <= 60
    wide = lint(LintOrder(), {"a.conf": configuration(BAD.format(number=1).rstrip() + " # " + "x" * 5000 + "\n")})
    assert max(len(line.text) for line in wide.listings[0].lines) <= LONGEST_LINE + 1


@pytest.mark.parametrize("version", ["x", "1", "1.2.3.4", "$(id)"])
def test_a_version_must_be_one(version: str) -> None:
    with pytest.raises(Why502Error):
        lint(LintOrder(nginx_version=version), {"a.conf": b"events {}\n"})


def test_what_is_not_checked_is_named() -> None:
    template = b"server { listen {{ port }}; {% for x in y %} location / { return 200; } {% endfor %} }\n"
    answer = lint(LintOrder(), {"site.conf.j2": template, "a.conf": b"events {}\n"})
    assert [gap.source for gap in answer.document.gaps] == ["site.conf.j2"]
