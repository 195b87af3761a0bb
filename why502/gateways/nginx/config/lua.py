"""Lua: finds the end of a `*_by_lua_block`, like lua-nginx-module's own lexer (src/ngx_http_lua_lex.c)."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(4)
def tokens(double: bool, single: bool) -> re.Pattern[str]:
    """Return the pattern of the relevant tokens in Lua code, with or without strings in each kind of quotation mark."""
    found = r"--\[(?P<c>=*)\[.*?(?:\](?P=c)\]|\Z) | --[^\n]*+ | \[(?P<s>=*)\[.*?(?:\](?P=s)\]|\Z) | (?P<brace>[{}])"
    found += r"""| "(?:[^"\\]++|\\.)*+(?:"|(?P<open>\\?\Z))""" if double else ""
    found += r"""| '(?:[^'\\]++|\\.)*+(?:'|(?P<%s>\\?\Z))""" % ("open_too" if double else "open") if single else ""
    return re.compile(found, re.VERBOSE | re.DOTALL)


class Lua:
    """The Lua code in one text. A quotation mark without a closing one up to the end of the text begins no string.

    After one such mark, no later mark of its kind is closed either: both see the same escapes. So each kind is given up once
    for the whole text, and the work stays linear for any number of blocks.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.double = True
        self.single = True

    def end(self, position: int) -> int:
        """Return the offset of the brace that closes the block whose code begins at `position`; the end of the text if there is
        none.
        """
        depth, at = 1, position
        while match := tokens(self.double, self.single).search(self.text, at):
            at = match.end()
            if (match.lastgroup or "").startswith("open"):
                at = match.start() + 1
                self.double, self.single = self.double and match[0][0] != '"', self.single and match[0][0] != "'"
            elif match["brace"]:
                depth += 1 if match["brace"] == "{" else -1
            if not depth:
                return match.start()
        return len(self.text)
