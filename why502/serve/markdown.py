"""HTML from the Markdown of our own reference pages. HTML in it is shown as text, and links lead to pages of this server."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

DIRECTORY = "/explain"
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
# A table that scrolls must be reachable by keyboard.
_TABLE = '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>\n', "</table></div>\n"


@lru_cache(1)
def _reader() -> MarkdownIt:
    reader = MarkdownIt("js-default", {"html": False, "linkify": False})
    for name, text in zip(("table_open", "table_close"), _TABLE, strict=True):
        reader.add_render_rule(name, lambda *_, text=text: text)
    return reader


def html(text: str, directory: str, base: str = "") -> Markup:
    """Return the HTML of a page in `directory`: causes or gateways. `base`: the path that addresses begin with."""
    tokens = _reader().parse(text)
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and after is not None:
            token.attrSet("id", _NOT_A_WORD.sub("-", after.content.lower()).strip("-"))
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        for child in token.children or ():
            if child.type == "link_open":
                _lead(child, f"{base}{DIRECTORY}/{directory}")
    return Markup(_reader().renderer.render(tokens, _reader().options, {}))  # noqa: S704 - its HTML is escaped, its links are checked


def _lead(link: Token, directory: str) -> None:
    """Have a link to a page lead to this server's page."""
    target = str(link.attrGet("href") or "")
    if target.endswith(".md"):
        path = posixpath.normpath(posixpath.join(directory, target))
        link.attrSet("href", path.removesuffix(".md").removesuffix("/README"))
    else:
        link.attrSet("rel", "noreferrer")
