"""`why502 generate log-format`: the upstream fields for an existing log of nginx."""

from __future__ import annotations

from why502.gateways.nginx.config import load
from why502.gateways.nginx.config.defaults import COMBINED, NEWEST
from why502.generate import options
from why502.generate.document import Document
from why502.generate.kind import Kind, Made
from why502.generate.nginx.emit import UPSTREAM_FIELDS, json_format
from why502.generate.nginx.lines import Dialect, Line, dialect
from why502.generate.nginx.present import blocks
from why502.generate.options import Given, Option, refuse
from why502.generate.safe import Safe, fill, nginx
from why502.host.base import Host
from why502.model.errors import HostError, Why502Error
from why502.model.patterns import lazy
from why502.session import linting

OPTIONS = (
    Option(name="--name", metavar="NAME", help="The name of the format. Default: why502."),
    Option(
        name="--style",
        metavar="NAME",
        choices=("json", "combined"),
        help="json, or combined with the fields added. Default: json.",
    ),
    Option(
        name="--extend",
        metavar="NAME",
        help="A log_format in /etc/nginx/nginx.conf, or combined: keep its fields and add the missing ones.",
    ),
    Option(name="--access-log", metavar="FILE", help="Also write this log, for all servers that do not set their own."),
    Option(name="--nginx-version", metavar="VERSION", help="The version to write for, or `newest`. Default: the installed one."),
)
_MAIN = "/etc/nginx/nginx.conf"
_MORE = (
    "host=$host",
    "rid=$request_id",
    "rt=$request_time",
    'ua="$upstream_addr"',
    'us="$upstream_status"',
    'uct="$upstream_connect_time"',
    'uht="$upstream_header_time"',
    'urt="$upstream_response_time"',
    "cs=$upstream_cache_status",
)
_VARIABLE = lazy(r"\$\{?([a-z0-9_]+)")
_REASON = "shows which server answered, how and how fast, for each attempt: `why502 logs` reads it"


def emit(given: Given, host: Host) -> Made:
    """Return the format. Raises Why502Error."""
    version = linting.version(host, given.get("--nginx-version") or None) or NEWEST
    language = dialect(version)
    name = options.name("--name", given.get("--name", "why502")).replace("-", "_")
    style = options.choice("--style", given.get("--style", "json"), ("json", "combined"))
    if given.has("--extend"):
        if given.has("--style"):
            raise Why502Error("--style cannot be combined with --extend", "Drop it: the format keeps its own style.")
        lines = [_extended(language, name, given.get("--extend"), host)]
    elif style == "json":
        lines = list(json_format(language, name))
    else:
        lines = [language.own(f"log_format {nginx(name)}\n    '{COMBINED}'\n    ' {' '.join(_MORE)}'", _REASON)]
    if given.has("--access-log"):
        lines += language.line("access_log", options.path("--access-log", given.get("--access-log")), Safe(name))
        notes: tuple[str, ...] = ()
    else:
        notes = (f"use it in a server block: access_log /var/log/nginx/access.log {name};",)
    document = Document(name="why502-log-format.conf", body=fill("nginx/lines.j2", lines=lines), places=("conf.d", "http.d"))
    pinned = () if given.has("--nginx-version") else (("--nginx-version", version),)
    return Made(documents=(document,), product=f"nginx {version}", notes=notes, pinned=pinned)


def _extended(language: Dialect, name: str, present: str, host: Host) -> Line:
    """Return a format of this machine with the missing fields added. Raises Why502Error."""
    escape, text = ("", COMBINED) if present == "combined" else _present(present, host)
    known = set(_VARIABLE.findall(text))
    is_json = text.startswith("{") and text.rstrip().endswith("}")
    if is_json:
        added = [f'"{field}":"{value}"' for field, value in UPSTREAM_FIELDS if value.removeprefix("$") not in known]
        whole = ",".join((text.rstrip()[:-1].rstrip().rstrip(","), *added)) + "}"
    else:
        added = [field for field in _MORE if not known.issuperset(_VARIABLE.findall(field))]
        whole = " ".join((text, *added))
    if not added:
        raise Why502Error(f"--extend {present}: it already has every field", "`why502 logs` can read it unchanged.")
    if not whole.isprintable():
        raise refuse("--extend", present, "has a control character", "Write the format without it.")
    quoted = whole.replace("\\", "\\\\").replace("'", "\\'")
    reason = f"{present}, and {len(added)} more fields: which server answered, how and how fast, for each attempt"
    return language.own(f"log_format {nginx(name)}{f' {escape}' if escape else ''}\n    '{quoted}'", reason)


def _present(name: str, host: Host) -> tuple[str, str]:
    """Return the way of escaping and the text of a log_format of this machine. Raises Why502Error."""
    options.name("--extend", name)
    try:
        found = load(host.read, host.list, _MAIN)
    except (HostError, Why502Error) as error:
        raise Why502Error(f"--extend {name}: {_MAIN} cannot be read", "Run it on the machine of the proxy.") from error
    formats = {one.args[0]: one.args[1:] for one in blocks(found.directives) if one.name == "log_format" and len(one.args) > 1}
    if name not in formats:
        there = ", ".join(sorted({"combined", *formats}))
        raise Why502Error(f"--extend {name}: {_MAIN} has no log_format of that name", f"It has {there}.")
    words = formats[name]
    escape = words[0] if words[0].startswith("escape=") else ""
    return escape, "".join(words[1:] if escape else words)


KIND = Kind(
    name="log-format",
    help="Write an nginx log format that shows each attempt.",
    example="why502 generate log-format --style combined",
    options=OPTIONS,
    emit=emit,
    home="/etc/nginx",
)
