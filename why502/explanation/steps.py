"""The commands of a cause's page, ready to run as printed: with the address and protocol from the explained line.

A page says `curl http://TARGET/PATH`. For a unix socket that becomes `curl --unix-socket`, and a FastCGI socket does not speak
HTTP at all.
"""

from __future__ import annotations

import re

from why502.model.base import Value
from why502.model.patterns import lazy
from why502.model.target import Target

HTTP = ("", "http", "https")
_URL = lazy(r"http://(?:TARGET|HOST:PORT)(?:/PATH)?/?")
_SOCKETS = lazy(r"ss -(H?)l[tn]+(p?)(?: 'sport = :PORT')?")
_HOST_HEADER = lazy(r" -H 'Host: (?:NAME|A)'")
# placeholders that are not filled in
_OPEN = lazy(r"\b(?:TARGET|HOST|PORT|ADDRESS|PATH|SOCKET|URL|NAME|UNIT|PID|WORKERPID|FILE|A|N)\b")


class Asked(Value, frozen=True, kw_only=True):
    """The failed connection named in a line. All lines of one outage share it, so it excludes the request."""

    target: Target | None = None
    protocol: str = ""  # http, https, fastcgi, uwsgi…


def fill(command: str, asked: Asked) -> str:
    """Return the command for that connection; "" if it does not apply: a port for a unix socket, an unknown unit."""
    target = asked.target
    if target is None:
        return command
    if _URL.search(command):
        command = _request(command, asked, target)
    command = _to_socket(command, target) if target.path else _to_address(command, target)
    return "" if is_open(command) else command


def _request(command: str, asked: Asked, target: Target) -> str:
    """Return the command that sends a request in the target's protocol; "" if no common tool supports it."""
    where = safe(target.path) if target.path else _joined(target)
    if asked.protocol == "fastcgi":
        return f"SCRIPT_NAME=/ping SCRIPT_FILENAME=/ping REQUEST_METHOD=GET cgi-fcgi -bind -connect {_quoted(where)}"
    if asked.protocol not in HTTP or not command.startswith("curl"):
        return ""
    scheme = "https" if asked.protocol == "https" else "http"
    options = f" --unix-socket {where}" * bool(target.path) + " -k" * (scheme == "https")
    url = f"{scheme}://{'localhost' if target.path else where}/"
    return _URL.sub(lambda _: _quoted(url), _HOST_HEADER.sub("", command)).replace("curl", f"curl{options}", 1)


def _to_socket(command: str, target: Target) -> str:
    path = safe(target.path)
    command = _SOCKETS.sub(lambda match: f"ss -{match[1]}lx{match[2]} src {path}", command)
    return re.sub(r"\bPATH\b|\bSOCKET\b", lambda _: path, command)


def _to_address(command: str, target: Target) -> str:
    if target.port:
        command = re.sub(r"\bHOST:PORT\b|\bADDRESS:PORT\b|\bTARGET\b", lambda _: _joined(target), command)
        command = re.sub(r"\bPORT\b", str(target.port), command)
    return re.sub(r"\bHOST\b|\bADDRESS\b", lambda _: safe(target.host), command)


def _joined(target: Target) -> str:
    host = safe(target.host)
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{target.port}" if target.port else host


def _quoted(text: str) -> str:
    """Return text quoted for a shell, which would expand brackets."""
    return f"'{text}'" if "[" in text else text


def is_open(text: str) -> bool:
    """Return whether a text still contains a placeholder in capital letters."""
    return _OPEN.search(text) is not None


def safe(text: str) -> str:
    """Return text safe for use in a command: shell metacharacters are dropped, since log lines may contain anything."""
    return re.sub(r"[^\w./:@%+-]", "", text)
