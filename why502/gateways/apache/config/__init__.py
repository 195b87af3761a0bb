"""The parts of an httpd configuration that a diagnosis needs: targets of ProxyPass, balancers and SetHandler, and their
timeouts.

Source: the documentation of mod_proxy (ProxyPass, ProxyPassMatch, BalancerMember, ProxyTimeout, SetHandler) and of core
(Timeout). Read-only.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from dataclasses import dataclass

from msgspec.structs import replace

from why502.config.configuration import Configuration
from why502.gateways.apache.config.match import EXCLUDED, finder
from why502.model.config import Answer, Peer, Position, Route, Setting, Upstream
from why502.model.patterns import lazy
from why502.model.snapshot import ConfigFile
from why502.model.target import Target
from why502.model.times import whole_number

__all__ = ["Configuration", "finder", "load"]

_SECTION = lazy(r"<(/?)(\w++)\s*+([^>]*+)>")
_URL = lazy(
    r"(?:unix:(?P<path>[^|\"]+)\|)?(?P<scheme>\w+)://(?P<host>\[[^\]]+\]|[^/:?\"\s]+)?(?::(?P<port>\d{1,5}))?(?P<uri>/[^\"\s]*)?"
)
_PORTS = {
    "http": 80,
    "https": 443,
    "ajp": 8009,
    "fcgi": 8000,
    "scgi": 4000,
    "uwsgi": 3031,
    "ws": 80,
    "wss": 443,
    "h2": 443,
    "h2c": 80,
}
_PROTOCOLS = {"fcgi": "fastcgi", "ws": "http", "wss": "https", "h2": "https", "h2c": "http"}
_ANSWERS = lazy(r"[\[,]R(?:edirect)?=([45]\d\d)[,\]]", re.IGNORECASE)
_MOST_LINES = 200_000
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class _Scope:
    """The position of a line: its virtual host, and the path of the enclosing section."""

    host: str = ""
    names: tuple[str, ...] = ()
    path: str = ""
    section: str = ""  # the enclosing section, as written: "FilesMatch \\.php$"


def load(text: str, file: str) -> Configuration:
    """Return the configuration in a complete or partial text."""
    reader = _Reader(file)
    for number, line in _lines(text):
        reader.read(line, Position(file=file, line=number))
    return Configuration(
        files=(ConfigFile(path=file),),
        routes=reader.all_routes(),
        upstreams=tuple(reader.upstreams()),
        answers=tuple(reader.answers),
    )


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the lines with their numbers; lines continued by a backslash are joined."""
    found: list[tuple[int, str]] = []
    held = ""
    for number, raw in enumerate(text.splitlines()[:_MOST_LINES], 1):
        line = held + raw.strip()
        held = line[:-1] + " " if line.endswith("\\") and len(line) < 8192 else ""
        if not held and line and not line.startswith("#"):
            found.append((number, line))
    return found


class _Reader:
    """Reads line by line, tracking the settings in force."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.routes: list[Route] = []
        self.balancers: dict[str, list[Peer]] = {}
        self.timeout_s = _TIMEOUT_S
        self.answers: list[Answer] = []
        self._conditions: list[str] = []  # conditions of the next RewriteRule
        self._scopes = [_Scope()]
        self._balancer = ""
        self._excluded: dict[str, list[Setting]] = {}  # by virtual host, in the order of the lines

    def read(self, line: str, at: Position) -> None:
        """Process one line."""
        if match := _SECTION.match(line):
            self._section(match)
            return
        words = _words(line)
        scope = self._scopes[-1]
        match words[0].lower(), words[1:]:
            case "servername" | "serveralias", names if names:
                self._scopes[-1] = dataclasses.replace(scope, names=(*scope.names, *names))
            case "timeout" | "proxytimeout", [seconds, *_] if whole_number(seconds, 8) is not None:
                self.timeout_s = float(seconds)
            case "proxypass" | "proxypassmatch", args if args:
                path, *rest = [scope.path, *args] if scope.path and "://" in args[0] else args
                if rest:
                    self._pass(words[0], path, rest[0], _options(rest[1:]), at)
            case "balancermember", [url, *options] if self._balancer:
                self._member(self._balancer, url, _options(options), at)
            case "rewritecond", args:
                self._conditions.append(" ".join(args))
            case "sethandler" | "rewriterule", args:
                if words[0].lower() == "rewriterule":
                    self._rewrite(args, at)
                url = next((arg.removeprefix("proxy:") for arg in args if arg.startswith("proxy:")), "")
                if url:
                    self._pass(words[0], scope.path, url, {}, at)

    def _rewrite(self, args: list[str], at: Position) -> None:
        """Process a RewriteRule that makes the server answer itself (flag R with a status other than a redirect), with its
        conditions.
        """
        conditions, self._conditions = tuple(self._conditions), []
        scope = self._scopes[-1]
        if len(args) > 2 and (match := _ANSWERS.search(args[2])):
            self.answers.append(
                Answer(
                    server=scope.names[0] if scope.names else scope.host,
                    location=scope.path,
                    status=int(match[1]),
                    at=at,
                    if_conditions=conditions,
                )
            )

    def all_routes(self) -> tuple[Route, ...]:
        """Return the routes; those to a balancer with its members."""
        members = {name: tuple(peers) for name, peers in self.balancers.items()}
        return tuple(
            route if route.upstream is None else replace(route, peers=members.get(route.upstream, ())) for route in self.routes
        )

    def upstreams(self) -> list[Upstream]:
        """Return the balancers."""
        return [Upstream(name=name, peers=tuple(peers)) for name, peers in self.balancers.items()]

    def _section(self, match: re.Match[str]) -> None:
        closes, name, rest = match[1], match[2].lower(), match[3].strip().strip('"')
        if closes:
            if name == "proxy":
                self._balancer = ""
            if len(self._scopes) > 1:
                self._scopes.pop()
            return
        scope = self._scopes[-1]
        if name == "virtualhost":
            scope = _Scope(host=rest)
            self._excluded.pop(rest, None)  # several hosts may share one address
        elif name in ("location", "locationmatch", "files", "filesmatch"):
            path = rest.removeprefix("~").strip().strip('"')
            kind = f"{match[2]}Match" if rest.startswith("~") else match[2]
            scope = dataclasses.replace(scope, path=path, section=f"{kind} {path}")
        elif name == "proxy" and rest.startswith("balancer://"):
            self._balancer = rest.removeprefix("balancer://").split("/")[0]
            self.balancers.setdefault(self._balancer, [])
        self._scopes.append(scope)

    def _pass(self, directive: str, path: str, url: str, options: dict[str, str], at: Position) -> None:
        if url == "!":
            self._excluded.setdefault(self._scopes[-1].host, []).append(Setting(args=(path,), at=at))
            return
        if url.startswith("balancer://"):
            peer, scheme, upstream = None, "http", url.removeprefix("balancer://").split("/")[0]
        else:
            peer, scheme = _peer(url, options, at)
            upstream = ""
            if peer is None:
                return
        scope = self._scopes[0] if len(self._scopes) == 1 else self._scopes[-1]
        timeout_s = _seconds(options.get("timeout"), self.timeout_s)
        excluded = self._excluded.get(scope.host, [])
        self.routes.append(
            Route(
                proxy="apache",
                server=scope.names[0] if scope.names else scope.host,
                server_names=scope.names,
                location=path,
                location_path=(scope.section,) if scope.section else (),
                at=at,
                directive=directive,
                passes=url,
                protocol=_PROTOCOLS.get(scheme, scheme),
                upstream=upstream or None,
                peers=(peer,) if peer else (),
                has_variables="$" in url or "%{" in url,
                connect_timeout_s=_seconds(options.get("connectiontimeout"), timeout_s),
                read_timeout_s=timeout_s,
                send_timeout_s=timeout_s,
                settings={EXCLUDED: tuple(excluded)} if excluded else {},
            )
        )

    def _member(self, balancer: str, url: str, options: dict[str, str], at: Position) -> None:
        peer, _ = _peer(url, options, at)
        if peer is not None:
            self.balancers[balancer].append(peer)


def _peer(url: str, options: dict[str, str], at: Position) -> tuple[Peer | None, str]:
    """Return the member for a URL, and its scheme."""
    match = _URL.match(url)
    if match is None:
        return None, ""
    scheme = match["scheme"].lower()
    if match["path"]:
        target: Target | None = Target(path=match["path"])
    else:
        host = (match["host"] or "").strip("[]")
        target = (
            Target(host=host, port=int(match["port"] or _PORTS.get(scheme, 80)))
            if host and "$" not in host and "%" not in host
            else None
        )
    status = options.get("status", "")
    peer = Peer(name=url, target=target, at=at, is_backup="H" in status, is_down="D" in status)
    return peer, scheme


def _options(words: list[str]) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in words if "=" in word)


def _seconds(text: str | None, default: float) -> float:
    """Return a time of mod_proxy: in seconds, or in milliseconds with the suffix `ms`."""
    match = re.fullmatch(r"(\d{1,9})(ms|s)?", text or "")
    return default if match is None else int(match[1]) / (1000 if match[2] == "ms" else 1)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line[:8192], posix=False) and [word.strip("\"'") for word in shlex.split(line[:8192], posix=False)]
    except ValueError:
        return line[:8192].split()
