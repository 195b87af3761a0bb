"""Pseudonyms for addresses, host names, e-mail addresses and users: within a snapshot a name always gets the same pseudonym."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import msgspec

from why502.model.patterns import lazy
from why502.model.snapshot import Snapshot

_IPV4 = lazy(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = lazy(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.])")
_DOMAIN = lazy(r"(?<![\w.@-])(?:\.|\*\.)?(?P<name>[A-Za-z0-9_][\w-]{0,62}(?:\\?\.[A-Za-z0-9][\w-]{0,62}){1,10})(?![\w-])")
_EMAIL = lazy(
    r"(?<![\w.+%-])(?P<user>[\w.+%-]{1,64})(?P<at>@|%40)(?P<host>[A-Za-z0-9][\w-]{0,62}(?:\.[A-Za-z0-9][\w-]{0,62}){0,10})"
)
# A single-label name in the position of an address: //app, app:3000, server app;
_SINGLE = lazy(
    r"(?://|\bserver\s{1,8}|\bhost: \"|\bfor host )(?P<one>[A-Za-z0-9][\w-]{0,62})(?![\w.-])"
    r"|(?<![\w./:-])(?P<two>[A-Za-z][\w-]{0,62})(?=:\d{2,5}\b)"
)
_USERS = lazy(
    r"/home/(?P<home>[\w.-]{1,32})|(?i:\buser(?:name)?[ \t]{0,2}[=:]?[ \t]{0,2})[\"'(]?(?P<named>[\w.-]{1,32})"
    r"|\bfor (?P<by>[\w.-]{1,32}) from"
    r"|(?<= - )(?P<remote>[\w.-]{1,32})(?= \[\d)|\buid=\d{1,10}\((?P<uid>[\w.-]{1,32})\)|\bowned by (?P<owner>[\w.-]{1,32})"
)
_KEPT_HOSTS = frozenset("localhost localhost.localdomain ip6-localhost ip6-loopback".split())
_KEPT_USERS = frozenset(
    "root nobody nogroup daemon bin sys www-data www wwwrun apache apache2 httpd http nginx haproxy caddy traefik"
    " varnish envoy proxy postgres mysql redis mongodb rabbitmq systemd-network systemd-resolve messagebus syslog adm"
    " node app nobody4 php-fpm fpm tomcat jetty gunicorn uwsgi docker podman - _".split()
)
_ENDS = frozenset(
    "com net org edu gov mil int io dev cloud internal intranet local localdomain lan corp home private example test"
    " invalid arpa info biz de fr uk nl ch at it es eu us ca au jp cn in br ru se no dk fi cz be pl tech online site"
    " shop store xyz".split()
)
_USER_FIELDS = frozenset({"user", "owner", "group", "acl_users"})
_HOST_FIELDS = frozenset({"host", "server", "server_names", "names", "sni", "sni_name", "hosts"})
_AMBIGUOUS_ENDS = frozenset(
    {"pl", "in", "no", "it", "at", "home", "local", "private", "int", "test"}
)  # names of files and modules, too


def anonymous(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with pseudonyms; positions in configuration files are adjusted to the new text."""
    return msgspec.convert(Pseudonyms(snapshot).of(msgspec.to_builtins(snapshot)), Snapshot)


class Pseudonyms:
    """Replaces IPv4 addresses by 198.18.0.0/15 (RFC 2544), IPv6 by 2001:db8::/32 (RFC 3849), names by n1.n2 and u1;
    loopback stays.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._addresses: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._users: dict[str, str] = {}
        self._domains: set[str] = set()
        self._singles: set[str] = set()
        groups = {group.name for proxy in snapshot.proxies or () for group in proxy.upstreams}
        for name in _hosts_of(snapshot):
            if "." in name:
                self._domains.add(".".join(name.split(".")[-2:]))
            elif name not in groups and name not in _KEPT_HOSTS and re.fullmatch(r"[a-z0-9][\w-]{0,62}", name):
                self._singles.add(name)
        self._known_users = {name for name in _users_of(snapshot) if name not in _KEPT_USERS and not name.isdigit()}

    def of(self, value: Any, field: str = "") -> Any:
        """Return builtins (dict, list, str, …) with pseudonyms in every text."""
        if isinstance(value, dict):
            moved = (
                self._files(value)
                if isinstance(value.get("files"), list | tuple)
                and all("path" in file for file in value["files"])
                and field == "proxies"
                else None
            )
            found = {(key if key.isidentifier() else self.text(key)): self.of(item, key) for key, item in value.items()}
            return _follow(found, moved) if moved else found
        if isinstance(value, list | tuple):
            return [self.of(item, field) for item in value]
        return self.text(value, field) if isinstance(value, str) else value

    def text(self, text: str, field: str = "") -> str:
        """Return a text with pseudonyms."""
        if field in _USER_FIELDS:
            return ",".join(self._user(name) for name in text.split(",")) if text else text
        if field in _HOST_FIELDS and text.lower() in self._singles:
            return self._label(text)
        out, position = [], 0
        for start, end, new in self._changes(text):
            out += [text[position:start], new]
            position = end
        return "".join(out) + text[position:]

    def _changes(self, text: str) -> list[tuple[int, int, str]]:
        """Return the replacements in a text (start, end, new text), in order, without overlaps."""
        found: list[tuple[int, int, str]] = []
        for pattern in (_IPV4, _IPV6):
            found += [(m.start(), m.end(), new) for m in pattern.finditer(text) if (new := self._address(m[0])) != m[0]]
        if "@" in text or "%40" in text:
            for m in _EMAIL.finditer(text):
                if "." in m["host"] and not m["host"].endswith(".service"):
                    found.append((m.start(), m.end(), f"{self._user(m['user'])}{m['at']}{self._name(m['host'])}"))
        found += [
            (m.start("name"), m.end("name"), self._name(m["name"])) for m in _DOMAIN.finditer(text) if self._is_host(text, m)
        ]
        for m in _SINGLE.finditer(text):
            group = "one" if m["one"] else "two"
            if m[group].lower() in self._singles:
                found.append((m.start(group), m.end(group), self._label(m[group])))
        for m in _USERS.finditer(text):
            name = m.lastgroup or ""
            if name in ("home", "remote", "uid", "by") or m[name] in self._known_users:
                found.append((m.start(name), m.end(name), self._user(m[name])))
        result: list[tuple[int, int, str]] = []
        for change in sorted(found):
            if not result or change[0] >= result[-1][1]:
                result.append(change)
        return result

    def _is_host(self, text: str, match: re.Match[str]) -> bool:
        name = match["name"].replace("\\", "").lower()
        labels = name.split(".")
        if name in _KEPT_HOSTS or all(label.isdigit() for label in labels) or name.endswith(".in-addr.arpa"):
            return False
        if ".".join(labels[-2:]) in self._domains:
            return True
        before = text[max(match.start() - 2, 0) : match.start("name")]
        if before == "//":
            return True
        return labels[-1] in _ENDS - _AMBIGUOUS_ENDS and before[-1:] != "/" and match["name"].rpartition(".")[2].islower()

    def _name(self, name: str) -> str:
        """Return a host name with every label but the last replaced; dots and their escapes stay."""
        parts = re.split(r"(\\?\.)", name)
        return "".join(part if number % 2 or number == len(parts) - 1 else self._label(part) for number, part in enumerate(parts))

    def _label(self, label: str) -> str:
        return self._labels.setdefault(label.lower(), f"n{len(self._labels) + 1}") if label != "_" else label

    def _user(self, name: str) -> str:
        if name in _KEPT_USERS or name.isdigit() or not name:
            return name
        return self._users.setdefault(name, f"u{len(self._users) + 1}")

    def _address(self, text: str) -> str:
        try:
            ip = ipaddress.ip_address(text)
        except ValueError:
            return text
        if ip.is_loopback or ip.is_unspecified:
            return text
        if str(ip) not in self._addresses:
            first = ipaddress.IPv4Address("198.18.0.0") if ip.version == 4 else ipaddress.IPv6Address("2001:db8::")
            self._addresses[str(ip)] = str(first + len(self._addresses) + 1)
        return self._addresses[str(ip)]

    def _files(self, proxy: dict[str, Any]) -> dict[str, list[tuple[int, int]]]:
        """Return by (new) path how positions in a proxy's files move: (offset before, shift from there on)."""
        moved = {}
        for file in proxy["files"]:
            text = file.get("text", "")
            encoding = "latin-1" if file.get("is_latin1") else "utf-8"
            changes = self._changes(text)
            places, shifts, position, offset = [], [], 0, 0
            for start, end, new in changes:
                offset += len(text[position:end].encode(encoding, "surrogateescape"))
                position = end
                places.append(offset)
                shifts.append(len(new.encode(encoding)) - len(text[start:end].encode(encoding, "surrogateescape")))
            moved[self.text(file["path"])] = list(zip(places, accumulate(shifts), strict=True))
        return moved


def _follow(value: Any, moved: dict[str, list[tuple[int, int]]]) -> Any:
    """Return builtins with every position in one of the files moved to its new place."""
    if isinstance(value, dict):
        if "file" in value and "line" in value and value["file"] in moved:
            shifts = moved[value["file"]]
            return {key: _moved(item, shifts) if key in ("start", "end") else item for key, item in value.items()}
        return {key: _follow(item, moved) for key, item in value.items()}
    return [_follow(item, moved) for item in value] if isinstance(value, list | tuple) else value


def _moved(place: int, shifts: list[tuple[int, int]]) -> int:
    return place + next((by for offset, by in reversed(shifts) if offset <= place), 0)


def _hosts_of(snapshot: Snapshot) -> Iterator[str]:
    """Yield the host names in the snapshot."""
    yield snapshot.host.lower()
    for proxy in snapshot.proxies or ():
        for route in proxy.routes:
            yield from (name.lower().lstrip("*.~^") for name in (*route.server_names, route.sni_name))
            yield from (peer.target.host.lower() for peer in route.peers if peer.target)
        for group in proxy.upstreams:
            yield from (peer.target.host.lower() for peer in group.peers if peer.target)
        for server in proxy.servers:
            yield from (name.lower().lstrip("*.") for name in server.names)
    yield from (name.name.lower() for name in snapshot.names or ())
    for probe in snapshot.probes or ():
        yield from (probe.host.lower().partition(":")[0], probe.target.host.lower())
    for tally in snapshot.logs.tallies if snapshot.logs else ():
        yield from (tally.server.lower(), tally.target.host.lower() if tally.target else "")


def _users_of(snapshot: Snapshot) -> Iterator[str]:
    """Yield the names of users and groups."""
    for process in snapshot.processes or ():
        yield process.user
    for proxy in snapshot.proxies or ():
        yield proxy.user
    for pool in snapshot.php_pools or ():
        yield from (pool.settings.get("user", ""), pool.owner, pool.group)
    for path in snapshot.socket_paths or ():
        yield path.user
        for step in path.steps:
            yield from (step.owner, step.group)
