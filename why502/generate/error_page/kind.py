"""`why502 generate error-page`: static answers for 502, 503 and 504, in HTML and JSON."""

from __future__ import annotations

import html

from why502.generate.document import MARKUP, NONE, Document
from why502.generate.kind import Kind, Made
from why502.generate.options import Given, Option, refuse
from why502.generate.safe import Safe, fill, quoted
from why502.host.base import Host

_WORDS = {
    "502": ("unavailable", "The service is not available", "Please try again in a few seconds."),
    "503": ("unavailable", "The service is not available", "Please try again in a few seconds."),
    "504": ("timeout", "The service took too long to answer", "Please try again later."),
}
OPTIONS = (
    Option(name="--title", metavar="TEXT", help="The heading of the page."),
    Option(name="--text", metavar="TEXT", help="The sentence below the heading."),
    Option(name="--contact", metavar="TEXT", help="Contact for questions, shown below the text."),
)
_LONGEST = 500


def emit(given: Given, host: Host) -> Made:  # noqa: ARG001 - every kind is called alike
    """Return the pages. Raises Why502Error."""
    documents = []
    for status, (word, title, sentence) in _WORDS.items():
        page = fill(
            "error_page/page.html.j2",
            status=Safe(status),
            title=_text("--title", given, title),
            sentence=_text("--text", given, sentence),
            contact=_text("--contact", given, ""),
        )
        documents.append(Document(name=f"{status}.html", body=page, marks=MARKUP))
        documents.append(Document(name=f"{status}.json", body=quoted({"error": word, "status": int(status)}) + "\n", marks=NONE))
    notes = ("`why502 generate nginx` writes short pages into the site itself; use these for your own text and style",)
    return Made(documents=tuple(documents), notes=notes)


def _text(option: str, given: Given, default: str) -> Safe:
    """Return text for the page, with what has a meaning in HTML escaped. Raises Why502Error."""
    text = given.get(option, default)
    if len(text) > _LONGEST or not text.isprintable():
        raise refuse(
            option, text[:40], "is too long or has control characters", f"Give at most {_LONGEST} characters in one line."
        )
    return Safe(html.escape(text).encode("ascii", "xmlcharrefreplace").decode())


KIND = Kind(
    name="error-page",
    help="Write static error pages for a failing application.",
    example="why502 generate error-page --title 'Back soon' -o /var/www/errors",
    options=OPTIONS,
    emit=emit,
)
