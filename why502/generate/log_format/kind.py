"""`why502 generate log-format`: the upstream fields for an existing log of nginx."""

from __future__ import annotations

from why502.gateways.nginx.config.defaults import COMBINED, NEWEST
from why502.generate import options
from why502.generate.document import Document
from why502.generate.kind import Kind, Made
from why502.generate.nginx.emit import json_format
from why502.generate.nginx.lines import dialect
from why502.generate.options import Given, Option
from why502.generate.safe import Safe, fill, nginx
from why502.host.base import Host
from why502.session import linting

OPTIONS = (
    Option(name="--name", metavar="NAME", help="The name of the format. Default: why502."),
    Option(
        name="--style",
        metavar="NAME",
        choices=("json", "combined"),
        help="json, or combined with the fields added. Default: json.",
    ),
    Option(name="--access-log", metavar="FILE", help="Also write this log, for all servers that have none of their own."),
    Option(name="--nginx-version", metavar="VERSION", help="The version to write for, or `newest`. Default: the installed one."),
)
_MORE = (
    '" host=$host rid=$request_id rt=$request_time ua="$upstream_addr" us="$upstream_status" uct="$upstream_connect_time" '
    'uht="$upstream_header_time" urt="$upstream_response_time" cs=$upstream_cache_status'
)


def emit(given: Given, host: Host) -> Made:
    """Return the format. Raises Why502Error."""
    version = linting.version(host, given.get("--nginx-version") or None) or NEWEST
    language = dialect(version)
    name = options.name("--name", given.get("--name", "why502")).replace("-", "_")
    style = options.choice("--style", given.get("--style", "json"), ("json", "combined"))
    if style == "json":
        lines = list(json_format(language, name))
    else:
        reason = "shows which server answered, how and how fast, for each attempt: `why502 logs` reads it"
        text = f"log_format {nginx(name)}\n    '{COMBINED}'\n    '{_MORE.removeprefix(chr(34))}'"
        lines = [language.own(text, reason)]
    if given.has("--access-log"):
        lines += language.line("access_log", options.path("--access-log", given.get("--access-log")), Safe(name))
        notes: tuple[str, ...] = ()
    else:
        notes = (f"use it in a server block: access_log /var/log/nginx/access.log {name};",)
    document = Document(name="why502-log-format.conf", body=fill("nginx/lines.j2", lines=lines), places=("conf.d", "http.d"))
    pinned = () if given.has("--nginx-version") else (("--nginx-version", version),)
    return Made(documents=(document,), product=f"nginx {version}", notes=notes, pinned=pinned)


KIND = Kind(
    name="log-format",
    help="A log format for nginx that shows what its servers did.",
    example="why502 generate log-format --style combined",
    options=OPTIONS,
    emit=emit,
    home="/etc/nginx",
)
