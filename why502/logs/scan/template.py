"""Infers the `log_format` from the lines of an access log, so that each line need not be guessed separately."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs.access import VARIABLE as KNOWN
from why502.gateways.nginx.logs.log_format import APACHE
from why502.logs.scan import columns
from why502.logs.scan.columns import is_ip
from why502.model.logs import LogRecord
from why502.model.patterns import lazy
from why502.model.times import of_iso, whole_number

_FITTING = 0.5
_LINES = 50
_APART = 25  # lines between those that must match a format which another log of the run has
_COMBINED = lazy(
    r"(?P<host>[\w.*:-]+ )?(?P<addr>[^\s\"\[{]+) (?P<ident>\S+) (?P<user>\S+(?: \S+)*?) \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r"\"(?:[^\"\\]|\\.)*+\" (?:\d{3}|-) (?:\d+|-)(?P<referer> \"(?:[^\"\\]|\\.)*+\"(?P<agent> \"(?:[^\"\\]|\\.)*+\")?)?"
)
_ADDRESS = r"(?:\d+\.\d+\.\d+\.\d+:\d+|\[[0-9a-fA-F:]+\]:\d+|unix:/[^\s,:\"]+:?)"
_PAIR = lazy(r"([A-Za-z][\w.-]{0,40}[=:] ?)(?:(\")[^\"]*\"|((?:[^\s\",]+(?:, | : ))*[^\s\",]+))")
_ADDRESSES = lazy(rf"{_ADDRESS}(?:(?:, | : ){_ADDRESS})*")
_BARE = lazy(r'(?: (?:[^\s"]+|"(?:[^"\\]|\\.)*+"))+')
_QUOTED = lazy(r'"(?:[^"\\]|\\.)*+"')
_WORD = lazy(r"\w")
_MEMBER = lazy(r'"([^"\\]{1,64})"(\s*:\s*)(?:"((?:[^"\\]|\\.)*+)"|(-?[\d.]+|null|true|false)?)')
_LTSV = lazy(r"([\w.-]{1,40}):([^\t]*)")
_TOOK = frozenset("responsetime response_time duration latency elapsed took time_taken timetaken".split())
_LOGFMT_PAIR = lazy(r'([A-Za-z_@][\w.-]{0,40})=("(?:[^"\\]|\\.)*+"|[^\s"]*+)')
_LOGFMT = lazy(
    rf"{_LOGFMT_PAIR.pattern.replace('(', '(?:', 1).replace('=(', '=(?:')}(?: {_LOGFMT_PAIR.pattern.replace('(', '(?:', 1).replace('=(', '=(?:')})+"
)
_LTSV_NAMES = {  # ltsv.org, for names with another meaning than elsewhere
    "host": "remote_addr",
    "vhost": "host",
    "req": "request",
    "reqtime": "request_time",
    "apptime": "upstream_response_time",
    "time": "time_local",
    "ua": "http_user_agent",
}


def infer(
    lines: Sequence[str], *, only_combined: bool = False, known: Collection[tuple[str, str]] = ()
) -> tuple[str, str] | None:
    """Return a `log_format` and its `escape=`, or None.

    Most of the lines match it, and it gives the same values as the general reader. `known` are those of other logs of the same
    run: if a line has one of them, a few more lines suffice.
    """
    sample, lines = lines, lines[:_LINES]
    for line in lines[:5]:
        if only_combined and not _COMBINED.match(line):
            return None
        for text, escape in _candidates(line):
            few = lines[_APART::_APART] or lines
            if ((text, escape) in known and _agrees(text, escape, few)) or _agrees(text, escape, lines):
                return text, escape
    if only_combined:
        return None
    if (found := columns.infer(sample)) is not None and _explains(found, APACHE, sample):
        return found, APACHE
    for line in lines[:5]:
        for text in _unknown(line):
            if _agrees(text, APACHE, lines):
                return text, APACHE
    return None


def w3c_fields(lines: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names in a `#Fields:` line; None if there is none. [W3C Extended Log File Format]"""
    for line in lines:
        if line.startswith("#Fields:"):
            names = tuple(line.removeprefix("#Fields:").split())
            return names if "sc-status" in names and ("time" in names) else None
        if not line.startswith("#"):
            break
    return None


def w3c(fields: tuple[str, ...]) -> Callable[[str], LogRecord | None]:
    """Return a parser for a W3C log with these fields; times are UTC, as the specification requires.

    `time-taken` is in milliseconds for IIS, in seconds for CloudFront.
    """

    per_second = 1.0 if "x-edge-location" in fields else 1000.0  # CloudFront uses seconds
    between = "\t" if "x-edge-location" in fields else " "

    def parse(line: str) -> LogRecord | None:
        values = line.split(between)
        if len(values) != len(fields):
            values = line.split()  # whoever copied the log changed the spaces
        if len(values) != len(fields) or line.startswith("#"):
            return None
        given = {name: text for name, text in zip(fields, values, strict=True) if text != "-"}
        try:
            at, status = of_iso(f"{given['date']}T{given['time'][:8]}+00:00"), whole_number(given["sc-status"], 9)
        except KeyError:
            return None
        if at is None or status is None:
            return None
        took = given.get("time-taken", "")
        path = given.get("cs-uri-stem") or given.get("cs-uri", "")
        return LogRecord(
            format="w3c",
            at=at,
            status=status,
            client=given.get("c-ip", ""),
            server=given.get("cs-host", given.get("s-computername", "")),
            request=" ".join(word for word in (given.get("cs-method", ""), path) if word),
            duration_s=float(took) / per_second if re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", took, re.ASCII) else None,
        )

    return parse


def _candidates(line: str) -> Iterator[tuple[str, str]]:
    """Yield templates and their `escape=`."""
    if line.startswith("{"):
        yield from ((text, "json") for text in _json(line))
    elif match := _COMBINED.match(line):
        for more in _more(line[match.end() :]):
            yield _head(match) + more, APACHE  # nginx escapes a quote differently, but its lines parse the same
    elif "\t" in line and all(_LTSV.fullmatch(part) for part in line.split("\t")):
        yield _ltsv(line), "default"
    elif _LOGFMT.fullmatch(line):
        yield _logfmt(line), APACHE


def _unknown(line: str) -> Iterator[str]:
    """Yield the template of a common format with values of unknown meaning, such as %D of Apache (seconds elsewhere)."""
    match = _COMBINED.match(line)
    rest = line[match.end() :] if match else ""
    if match and _BARE.fullmatch(rest):
        yield _head(match) + re.sub(r'[^\s"]+', "$unknown", _quoted(rest).replace('"$unknown"', '""')).replace('""', '"$unknown"')


def _head(match: re.Match[str]) -> str:
    """Return the template of a common format."""
    host, address = (match["host"] or "").strip(), "$remote_addr"
    if host and is_ip(host):  # a client named by a front proxy, then that proxy
        host, address = "$remote_addr ", "$unknown"
    elif host:
        host = "$host "
    head = f'{host}{address} {"-" if match["ident"] == "-" else "$ident"} $remote_user [$time_local] "$request" $status $body_bytes_sent'
    head += ' "$http_referer"' if match["referer"] else ""
    return head + (' "$http_user_agent"' if match["agent"] else "")


def _logfmt(line: str) -> str:
    """Return the template of `key=value` pairs."""
    seen: set[str] = set()
    text = ""
    for place, match in enumerate(_LOGFMT_PAIR.finditer(line)):
        value = match[2].strip('"')
        name = _variable(match[1], value)
        name = f"unknown_{place}" if name in seen or not name else name
        seen.add(name)
        text += " " * bool(text) + f"{match[1]}=" + (f'"${name}"' if match[2].startswith('"') else f"${name}")
    return text


def _json(line: str) -> Iterator[str]:
    """Yield the template of a JSON object.

    Each value becomes a variable, named after the usual meaning of its key together with that of the enclosing object.
    """
    seen: set[str] = set()
    outer: list[str] = []
    text, position = "", 0
    for place, match in enumerate(_MEMBER.finditer(line)):
        between = line[position : match.start()]
        del outer[max(len(outer) - between.count("}"), 0) :]
        text, position = text + between, match.end()
        value, following = match[3] if match[3] is not None else match[4] or "", line[match.end() : match.end() + 1]
        if not value and match[3] is None and following in ("{", "["):
            outer.append(match[1])
            text += match[0]
            continue
        name = _variable("_".join((*outer, match[1])), value)
        name = f"unknown_{place}" if name in seen or not name else name
        seen.add(name)
        quote = '"' if match[3] is not None else ""
        text += f'"{match[1]}"{match[2]}{quote}${name}{quote}'
    if position and "$" not in line:
        yield text + line[position:]


def _ltsv(line: str) -> str:
    parts = []
    seen: set[str] = set()
    for place, part in enumerate(line.split("\t")):
        label, value = part.split(":", 1)
        name = _LTSV_NAMES.get(label.lower()) or _variable(label, value) or f"unknown_{place}"
        if name == "time_local":
            name = _variable("time", value.strip("[]")) or name
        name = f"unknown_{place}" if name in seen else name
        seen.add(name)
        parts.append(f"{label}:[${name}]" if value.startswith("[") and value.endswith("]") else f"{label}:${name}")
    return "\t".join(parts)


def _variable(key: str, value: str) -> str:
    """Return the variable for a key; times are recognised by their form."""
    name = KNOWN.get(key.lower(), "")
    if not name and key.lower() in _TOOK and re.fullmatch(r"\d+\.\d{3}", value):  # nginx writes seconds in this form
        return "request_time"
    if name in ("time_local", "time_iso8601", "msec"):
        if re.fullmatch(r"\d\d/\w{3}/\d{4}:.*", value):
            return "time_local"
        if re.fullmatch(r"\d{10}\.\d+", value):
            return "msec"
        return "time_iso8601" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)", value) else ""
    return name


def _more(rest: str) -> Iterator[str]:
    """Yield possible templates of the text after a common format: named values, or the usual five upstream values in a row."""
    if not rest:
        yield ""
        return
    named = _named(rest)
    if named is not None:
        yield named
    yield from _positional(rest)


def _named(rest: str) -> str | None:
    seen: set[str] = set()
    text, position = "", 0
    for match in _PAIR.finditer(rest):
        name = KNOWN.get(match[1].strip("=: ").lower())
        if name is None and _ADDRESSES.fullmatch(match[0][len(match[1]) :].strip('"')):
            name = "upstream_addr"
        if name is None or name in seen or name in ("status", "request", "remote_addr", "time_iso8601"):
            name = f"unknown_{len(seen)}"
        seen.add(name)
        before = rest[position : match.start()]
        if _WORD.search(_QUOTED.sub("", before)):  # a bare value without a name
            return None
        text += _quoted(before) + match[1] + (f'"${name}"' if match[2] else f"${name}")
        position = match.end()
    if _WORD.search(_QUOTED.sub("", rest[position:])):
        return None
    return text + _quoted(rest[position:]) if position else None


def _quoted(text: str) -> str:
    """Return the template of the text between named values: quoted strings are values, the rest is literal."""
    return _QUOTED.sub('"$unknown"', text)


def _positional(rest: str) -> Iterator[str]:
    """Yield templates of bare values: an address, its status, then connect, header and response time, as in nginx's examples."""
    lead = re.match(r'((?: "(?:[^"\\]|\\.)*+")*)( (?:"?))', rest)
    if lead is None:
        return
    names = "upstream_addr upstream_status upstream_connect_time upstream_header_time upstream_response_time".split()
    quoted = re.findall(r' "([^"]*)"', rest)
    before = ' "$unknown"' * lead[1].count(' "')
    for times in (("request_time", *names), (*names, "request_time"), names, ("request_time", *names[:2], names[4]), names[:2]):
        if quoted and len(quoted) >= len(times):
            spare = len(quoted) - len(times)
            yield ' "$unknown"' * spare + "".join(f' "${name}"' for name in times)
        yield before + "".join(f" ${name}" for name in times)


def _agrees(text: str, escape: str, lines: Sequence[str]) -> bool:
    """Return whether the template is right.

    The lines must match, the general reader must find the same values, and the times of an attempt must not decrease.
    """
    reader = nginx_access.compile(text, escape)
    parse, plain = reader.parse, reader.plain
    fitting = 0
    for line in lines:
        mine, general = parse(line), nginx_access.parse(line)
        if (
            mine is None
            or mine.at is None
            or mine.status is None
            or (mine.status != 400 and " " not in mine.request and mine.request)
        ):
            continue
        if general is not None and general.at is not None:
            same = (
                (mine.at, general.at),
                (mine.status, general.status),
                (mine.client, general.client),
                (_utf8(mine.request), _utf8(plain(general.request))),  # the general reader leaves it as written
            )
            if any(one != other for one, other in same):
                return False
            if [(x.target, x.status) for x in general.attempts] != [(x.target, x.status) for x in mine.attempts][
                : len(general.attempts) or None
            ]:
                return False
        for one in mine.attempts:
            known = [x for x in (one.connect_s, one.header_s, one.response_s) if x is not None]
            if known != sorted(known) or (one.target is None and not one.group):
                return False
        fitting += 1
    return fitting >= _FITTING * len(lines)


def _utf8(text: str) -> str:
    """Return a text without bytes that are not UTF-8, which JSON parsers replace."""
    return text.encode("utf-8", "replace").decode()


def _explains(text: str, escape: str, lines: Sequence[str]) -> bool:
    """Return whether nearly all lines match a template and get a time and a status from it."""
    parse = nginx_access.compile(text, escape).parse
    return sum(1 for line in lines if (record := parse(line)) and record.at and record.status is not None) >= 0.9 * len(lines)
