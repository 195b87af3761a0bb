"""Secrets after a name: `password=x`, `"token": "x"`, `X-Api-Key: x`, `set $backend_token x`, `--secret x`,
YAML over several lines.

The text is scanned word by word. After a word that names a secret, a separator and a value are parsed. Every lookahead and
lookbehind is bounded, so the scan is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.model.patterns import lazy
from why502.redaction.names import Promise, is_place, is_secret, looks_random, placeholder_end, promise

Span = tuple[int, int]
LONGEST_VALUE = 8192
_BEFORE = 240  # maximum characters of lookbehind in a statement
_LINES = 200  # maximum lines of a multi-line value

# Every secret's name contains one of these.
STEMS = (
    *(
        "pass",
        "pwd",
        "pw",
        "secre",
        "token",
        "key",
        "auth",
        "cook",
        "jwt",
        "otp",
        "pin",
        "srf",
        "sess",
        "sid",
        "cred",
        "bear",
        "sig",
        "hmac",
    ),
    *(
        "salt",
        "pepper",
        "psk",
        "hook",
        "licen",
        "dsn",
        "nonce",
        "state",
        "code",
        "verifier",
        "assertion",
        "saml",
        "mfa",
        "hash",
        "private",
    ),
)
LONGEST_WORD = 128
_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_HEX_SIGN = lazy(r"(?:25)?[0-9A-Fa-f]{2}")
_AFTER = lazy(
    r"(?P<close>\\{0,7}[\"'`]|%22|%27)?(?P<bracket>\]|\)|\}|%5D)?(?P<more>[\"'])?"
    r"(?P<space>[ \t]{0,8})(?P<op>=>|:=|={1,3}|!==?|!?~\*?|=~|:"
    r"|%(?:25)?3[AaDd]|,?\s{0,4}\\{0,7}[\"']?[vV]alue\\{0,7}[\"']?\s{0,4}[=:]|,|)"
    r"(?P<rest>[ \t]{0,64}(?:\\{1,2}\r?\n[ \t]{0,64}|(?<==>)\r?\n[ \t]{0,64})?)"
)
_OPENING = lazy(
    r"(?:(?:string|str|bytes|bool|b64dec)\(\d{0,6}\)?\s{0,4}|!\w{1,20}[ \t]|-[imf][ \t]{1,4}(?:(?:str|beg|end|sub|reg|dir|dom"
    r"|bin)[ \t]{1,4})?|[!~=]{1,2}[ \t]|[\[(][ \t]{0,4}|[!^]{1,3}){0,4}"
)
_QUOTE = lazy(r"[bruf]?(?P<quote>\\{0,7}[\"'`]|%22)")
_BARE = lazy(r"(?:[^\s&;,\"'`\\<>|)}\]]|[)}\]](?=[\w!?#*+]))+")
_TO_BLANK = lazy(r"[^\s\"'`]+")
_SCHEME = lazy(r"(?i)(?:bearer|basic|token|digest|apikey|api-key|negotiate|bot|jwt|key|plain)(?:\\?[ \t]{1,4}|%20|\+)(?=\S)")
_HEADER_ENDS = lazy(r"[\r\n]|\\r|\\n|, (?:client|server|request|upstream|host|referrer): |\"? HTTP/\d")
_STATEMENT = lazy(r"[\n;{}]")
# Directives with a name and then its value, without a separator between them.
_HOLDERS = frozenset(
    "proxy_set_header grpc_set_header add_header add_trailer more_set_headers more_set_input_headers fastcgi_param"
    " uwsgi_param scgi_param set set_by_lua env setenv presetenv setenvif setenvifnocase passenv define requestheader"
    " header http-request http-response http-check http-after-response tcp-check user server default-server option acl"
    " php_value php_admin_value php_flag js_var js_set perl_set export arg stats rewritecond proxy_add_header arr"
    " sub_filter postgres_server header_up header_down request_header environment".split()
)
_NOT_HOLDING = lazy(
    r"(?i)(?:request)?header\s{1,8}(?:always\s{1,8}|onsuccess\s{1,8})?(?:edit\*?|unset|echo|note)\b|http-\w{1,20}\s{1,8}(?:del|replace)-"
)
_ENV_LINE = lazy(r"(?:^|\n)[ \t]{0,64}(?:- |export |set |Environment=|env )?[ \t]{0,8}\Z")
# Words that follow a secret's name in an ordinary sentence.
_PROSE = frozenset(
    "is was are were be been has had have must should may can could will would does did do not no in on at of for"
    " from by to with and or but as reset mismatch missing expired invalid required changed change authentication"
    " authenticated auth authorization refresh refreshed bucket rotation rotated validation verification verified"
    " failed failure failures error errors expires expiry found given set unset provided protected setting settings"
    " service server file files path manager store storage type field name names values value key keys id length limit"
    " count size user users session sessions token tokens header headers cookie cookies hash check policy update"
    " updated accepted rejected denied incorrect wrong empty null none ok used using use based request requests"
    " response endpoint handler middleware module validator generator provider plugin client opened closed created"
    " deleted removed revoked signed signing signature exchange pair pairs string number object property argument"
    " parameter attribute config configuration element member index data the a an this that your prompt login logout"
    " access via per does cannot could exceeded quota read write len required match matches never already again".split()
)
_UNEXPECTED = lazy(r"(?i)(?:unexpected|illegal|bad|unknown|next|current|missing|offending)\s{1,4}\Z")
_GIVEN = lazy(r"(?i)(?:with|using|use|password is|new|generated)(?: (?:security|the|an?|api|wrong|invalid)){0,2}\s{1,4}\Z")
_QUERY_NAMES = frozenset("code key sig auth pin state otp".split())
_INDENT = lazy(r"[ \t]{0,200}")
_ITEM = lazy(r"[ \t]{0,200}(?:- )?[ \t]{0,8}(?P<value>[^\r\n]{1,4096})")
_SOLE_VALUE = lazy(r"\A(?:\"[^\"]{0,400}\"|'[^']{0,400}'|[^\s;]{1,400})\s{0,8}(?:;|$|#)")
_TAG = lazy(r"<(?:[\w-]{1,20}:)?\Z")
_TAG_ENDS = lazy(r"(?:\s[^<>]{0,200})?>")
_PASSWORDS = lazy(r"(?i)pass|pwd|pin\Z|otp\Z")


def pairs(text: str, lower: str) -> Iterator[Span]:
    """Yield the spans of the values after secrets' names. `lower`: the text in lower case, with the same offsets."""
    done = 0
    for begin, end in _words(text, lower):
        if begin < done:
            continue
        name = text[begin:end]
        expected = promise(name)
        if name in _QUERY_NAMES and text[begin - 1 : begin] in ("?", "&", ";") and expected < Promise.SECRET:
            expected = Promise.SECRET
        if expected is Promise.NOTHING:
            continue
        for span in _values(text, begin, end, expected):
            yield span
            done = max(done, span[1])


def _words(text: str, lower: str) -> Iterator[Span]:
    """Yield the words of a text that contain a stem of a secret's name, in order."""
    places: list[int] = []
    for stem in STEMS:
        place = lower.find(stem)
        while place >= 0:
            places.append(place)
            place = lower.find(stem, place + len(stem))
    done = 0
    for place in sorted(places):
        if place < done:
            continue
        before = text[max(place - LONGEST_WORD, 0) : place]
        begin = place - len(before) + len(before.rstrip(_SIGNS))
        after = text[place : place + LONGEST_WORD]
        done = end = place + len(after) - len(after.lstrip(_SIGNS))
        yield begin + _escaped(text, begin), end


def _escaped(text: str, begin: int) -> int:
    """Return how many characters at the start of a word belong to an escape of URLs or JSON (bracket, line break)."""
    if begin == 0:
        return 0
    if text[begin - 1] == "\\" and text[begin] in "nrt":
        return 1
    if text[begin - 1] == "%" and (found := _HEX_SIGN.match(text, begin)):
        return found.end() - begin
    return 0


def _values(text: str, begin: int, end: int, expected: Promise) -> Iterator[Span]:
    """Yield the spans of the values after the name from `begin` to `end`."""
    name = text[begin:end]
    if name.endswith((".", "-")) and not name.startswith("-"):
        return
    after = _AFTER.match(text, end)
    if after is None:  # pragma: no cover - every part of it may be empty
        return
    op, start = after["op"], after.end()
    if op == ",":
        yield from _after_comma(text, begin, after, expected)
        return
    if op == "" and (not (after["space"] or after["rest"]) or not _holds(text, begin, after, expected)):
        yield from _element(text, begin, end, expected)
        return
    if op == ":" and text.startswith("//", start):
        return
    if op in (":", "=") and text[start : start + 2].lstrip(" \t")[:1] in ("\n", "\r", "|", ">", ""):
        several = list(_several_lines(text, begin, start, expected))
        if several or text[start : start + 1] in ("\n", "\r", ""):
            yield from several
            return
    if op == ":" and name.lower().endswith("token") and _UNEXPECTED.search(text, max(begin - 16, 0), begin):
        return
    yield from _value(text, begin, start, expected, op)


def _value(text: str, begin: int, start: int, expected: Promise, op: str) -> Iterator[Span]:
    """Yield the span of the value that starts at `start`: quoted, a list, up to the end of the line, or one word."""
    opening = _OPENING.match(text, start)
    opened = text[start : opening.end()] if opening else ""
    start += len(opened)
    if "[" in opened and text[start : start + 1] in "\"'":
        closing = text.find("]", start, start + LONGEST_VALUE)
        if closing > 0:
            yield from _listed(text, start, closing, expected)
            return
    quote = _QUOTE.match(text, start)
    if quote:
        close = _closing(text, quote.end(), quote["quote"])
        value = _bare_of(text[quote.end() : close])
        if value and _is_worth(value, expected, is_quoted=True):
            yield quote.end(), close
        return
    if text.startswith("{", start) and op in (":", "=", "=>") and not text.startswith("{{", start):
        return
    if text[(past := placeholder_end(text, start)) : past + 1] in ("", *" \t\r\n;\"'`,&)]}") and past > start:
        return
    around = text[begin - 1 : begin]
    around = "" if around == "$" or text[begin - 2 : begin - 1] == "\\" else around
    if expected is Promise.HEADER and op == ":":
        end = _end_of_header(text, start, around)
    elif around in ("'", '"') and op in ("=", ":"):
        close = text.find(around, start, start + LONGEST_VALUE)
        line = _end_of_line(text, start)
        end = close if 0 <= close <= line else min(line, start + LONGEST_VALUE)
        first = text[start:end].split(" ", 1)[0]
        if first != text[start:end] and not _is_worth(_bare_of(first.split("&", 1)[0]), expected):
            return
    else:
        scheme = _SCHEME.match(text, start)
        start = scheme.end() if scheme else start
        whole = bool(op) and not text.startswith("?", begin - 1) and _ENV_LINE.search(text, max(begin - 80, 0), begin)
        found = (_TO_BLANK if whole else _BARE).match(text, start, start + LONGEST_VALUE)
        if found is None:
            return
        end = found.end()
        if text.startswith("$(", start):
            end = max(text.find(")", start, start + 400), end)
        if whole and text[end - 1] in ",;)}]":
            end -= 1
    value = _bare_of(text[start:end])
    if value and _is_worth(value, expected):
        yield start, end


def _bare_of(value: str) -> str:
    """Return a value without surrounding regular expression syntax, scheme or escapes."""
    scheme = _SCHEME.match(value)
    value = value[scheme.end() :] if scheme else value
    return value.strip(" \t\r\n").removeprefix("^").removesuffix("$" if value.startswith("^") else "\0").removesuffix("\\")


def _is_worth(value: str, expected: Promise, *, is_quoted: bool = False) -> bool:
    if expected is not Promise.RANDOM and not is_quoted and value.lower().rstrip(".,:;!?") in _PROSE:
        return False
    value = value.rstrip("}]), ") or value
    if not any(char.isalnum() for char in value) or (expected is Promise.HEADER and re.fullmatch(r"[\s^$(.*+)\\]*", value)):
        return False
    return is_secret(value, expected)


def _closing(text: str, start: int, quote: str) -> int:
    """Return the end of a quoted text: its closing quote (doubled and escaped ones do not count), or the end of its line."""
    position, limit = start, min(len(text), start + LONGEST_VALUE)
    while (found := text.find(quote, position, limit)) >= 0:
        backslashes = 0
        while found - backslashes > start and text[found - backslashes - 1] == "\\" and backslashes < 8:
            backslashes += 1
        if quote == "'" and text.startswith("'", found + 1) and found > start:
            position = found + 2
        elif (len(quote) == 1 and backslashes % 2) or (len(quote) > 1 and quote[0] == "\\" and backslashes):
            position = found + 1
        else:
            return found
    return min(_end_of_line(text, start), limit)


def _end_of_line(text: str, start: int) -> int:
    end = text.find("\n", start, start + LONGEST_VALUE)
    end = end if end >= 0 else min(len(text), start + LONGEST_VALUE)
    return end - 1 if end > start and text[end - 1] == "\r" else end


def _end_of_header(text: str, start: int, around: str) -> int:
    """Return the end of an unquoted header: the end of its line, or the quote that opened before its name."""
    limit = min(len(text), start + LONGEST_VALUE)
    found = _HEADER_ENDS.search(text, start, limit)
    end = found.start() if found else limit
    if around in ("'", '"'):
        close = text.find(around, start, end)
        return close if close >= 0 else end
    escaped = text.find('\\"', start, end)
    return escaped if escaped >= 0 else end


def _listed(text: str, start: int, end: int, expected: Promise) -> Iterator[Span]:
    """Yield the quoted elements of a list."""
    position = start
    while position < end and (quote := _QUOTE.search(text, position, end)):
        close = _closing(text, quote.end(), quote["quote"])
        value = _bare_of(text[quote.end() : close])
        if value and _is_worth(
            value,
            expected
            if looks_random(value) or expected is Promise.HEADER or _PASSWORDS.search(text, max(start - 40, 0), start)
            else Promise.RANDOM,
            is_quoted=True,
        ):
            yield quote.end(), close
        position = max(close, quote.end()) + 1


def _after_comma(text: str, begin: int, after: re.Match[str], expected: Promise) -> Iterator[Span]:
    """Yield the value in ("name", "value"): a list of words, a pair, the arguments of a call."""
    start = after.end()
    quote = _QUOTE.match(text, start)
    if not after["close"] or quote is None:
        return
    close = _closing(text, quote.end(), quote["quote"])
    value = text[quote.end() : close]
    before = text[max(begin - 24, 0) : begin]
    is_pair = text.startswith("-", begin) or "(" in before or "-" in text[begin : after.start()]
    if _is_worth(
        _bare_of(value), expected if is_pair and not promise(value) else min(expected, Promise.RANDOM), is_quoted=is_pair
    ):
        yield quote.end(), close


def _element(text: str, begin: int, end: int, expected: Promise) -> Iterator[Span]:
    """Yield the text of an XML element: <password>x</password>."""
    opened = _TAG.search(text, max(begin - 22, 0), begin)
    rest = _TAG_ENDS.match(text, end)
    if opened is None or rest is None:
        return
    close = text.find("<", rest.end(), rest.end() + LONGEST_VALUE)
    if close > rest.end() and _is_worth(text[rest.end() : close].strip(), expected, is_quoted=True):
        yield rest.end(), close


def _holds(text: str, begin: int, after: re.Match[str], expected: Promise) -> bool:
    """Return whether the value may follow the name after only white space."""
    if text[begin - 1 : begin] in ("/", "@", "\\") and begin:
        return False
    name = text[begin : after.start()]
    is_condition = after["bracket"] in (")", "}")
    if after["close"] or (after["bracket"] and not is_condition):
        return False
    if name.startswith("--") or (name.startswith("-") and len(name) > 3):
        return not text.startswith("-", after.end())
    start = max(begin - _BEFORE, 0)
    breaks = list(_STATEMENT.finditer(text, start, begin))
    statement = text[breaks[-1].end() if breaks else start : begin].lstrip(" \t-\"'")
    first = statement.split(None, 1)[0].lower() if statement.strip(" $") else ""
    value = _OPENING.sub("", text[after.end() : after.end() + 200], count=1)
    word = value.split(None, 1)[0] if value.strip() else ""
    if first in _HOLDERS or is_condition:
        words = statement.split()
        if (
            (first == "acl" and not is_condition)
            or (first.startswith("http-") and len(words) < 2)
            or (first == "server" and name == "cookie")
        ):
            return False
        return (
            (first in _HOLDERS or looks_random(word))
            and not _NOT_HOLDING.match(statement)
            and not word.startswith(("-m", "found"))
        )
    if word.strip("\"'`.,:;()").lower() in _PROSE:
        return False
    if not statement.strip(" $") and len(re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)) > 1 and "." not in name:
        rest = text[after.end() : after.end() + 400].split("\n", 1)[0].strip()
        return bool(_SOLE_VALUE.match(rest)) or looks_random(word.strip("\"';"))
    plain = word.strip("\"'`.,:;()[]{}")
    if word[:1] in ("'", '"', "`"):
        return bool(_PASSWORDS.search(name)) or looks_random(plain)
    if expected is Promise.HEADER or re.match(r"HTTP/\d|\w{1,40}=", word) or "://" in word:
        return False
    if (
        not statement.strip()
        and name.islower()
        and name in ("password", "requirepass", "masterauth")
        and _is_alone(text, after.end())
    ):
        return True
    if _PASSWORDS.search(name) and _GIVEN.search(text, max(begin - 60, 0), begin):
        return True
    return looks_random(plain) and not is_place(plain)


def _is_alone(text: str, start: int) -> bool:
    return len(text[start : _end_of_line(text, start)].split()) == 1


def _several_lines(text: str, begin: int, start: int, expected: Promise) -> Iterator[Span]:
    """Yield YAML values below a name: a block, a list, or a value on its own line."""
    line = text.rfind("\n", max(begin - 200, 0), begin) + 1
    indent = _INDENT.match(text, line)
    own = indent.end() - line if indent else 0
    head_end = _end_of_line(text, start)
    head = text[start:head_end].strip()
    if not re.fullmatch(r"(?:[|>][+-]?\d?)?", head):
        return
    is_block = bool(head)
    position = text.find("\n", head_end, head_end + 2) + 1
    for _ in range(_LINES):
        if position <= 0 or position >= len(text):
            return
        end = _end_of_line(text, position)
        item = _ITEM.match(text, position, end)
        blanks = _INDENT.match(text, position)
        depth = blanks.end() - position if blanks else 0
        if item is None or (depth <= own and not text.startswith("- ", position + depth)):
            return
        value = item["value"].rstrip()
        if not is_block and re.match(r"[\w.\"'-]{1,80}:(?:\s|$)", value):
            return
        is_item = "- " in text[position : item.start("value")]
        wanted = Promise.RANDOM if is_item and not is_block else expected
        bare = _bare_of(value).strip("\"'")
        if (is_block or " " not in bare) and _is_worth(bare, wanted):
            yield item.start("value"), item.start("value") + len(value)
        position = text.find("\n", end, end + 2) + 1
        if not is_block and not is_item:
            return
