"""httpd's workers: the servers that a configuration leads to, with their parameters.

Sources: the documentation of mod_proxy (ProxyPass, BalancerMember, ProxySet, worker sharing); modules/proxy/proxy_util.c,
ap_proxy_get_worker_ex.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from why502.model.config import Peer, Position
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import whole_number

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
_LONGEST_PATH = 500


@dataclass(slots=True)
class Worker:
    """A worker of a server: its URL, its parameters, where it was defined first, and where its `timeout` was."""

    url: str
    options: dict[str, str]
    at: Position
    timeout_at: Position | None = None

    def set(self, options: Mapping[str, str], at: Position) -> None:
        """Take further parameters, from a directive at this place."""
        self.options.update(options)
        self.timeout_at = at if "timeout" in options else self.timeout_at


Workers = dict[tuple[str, str], Worker]  # those of one server, by scheme, host and port of the URL, and its path


def shared(workers: Workers, url: str, options: dict[str, str], at: Position) -> tuple[Worker, tuple[str, ...]]:
    """Return the worker of a URL, and the parameters that it ignores; its own is made where none before it begins its URL.

    Source: mod_proxy, "Worker Sharing".
    """
    if best := worker_of(workers, url):
        return best, tuple(f"{name}={value}" for name, value in options.items() if best.options.get(name) != value)
    return workers.setdefault(_split(url), Worker(url, dict(options), at, at if "timeout" in options else None)), ()


def worker_of(workers: Workers, url: str) -> Worker | None:
    """Return the worker whose URL is the longest that begins a URL; None if there is none."""
    authority, path = _split(url)
    lengths = range(min(len(path), _LONGEST_PATH), -1, -1)
    return next((found for length in lengths if (found := workers.get((authority, path[:length])))), None)


def _split(url: str) -> tuple[str, str]:
    """Return scheme, host and port of a URL as one text, and its path as far as it has no variable."""
    scheme, mark, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    return f"{scheme}{mark}{authority}".lower(), path.partition("$")[0][:_LONGEST_PATH]


def balancer_name(url: str) -> str:
    """Return the name in the URL of a balancer."""
    return url.removeprefix("balancer://").split("/")[0]


def common(every: list[dict[str, str]]) -> dict[str, str]:
    """Return the parameters that all members share."""
    if not every:
        return {}
    return {name: value for name, value in every[0].items() if all(each.get(name) == value for each in every)}


def member(url: str) -> Target | None:
    """Return the address in the URL of a worker."""
    peer, _ = peer_of(url, {}, Position(file="", line=0))
    return peer.target if peer else None


def peer_of(url: str, options: dict[str, str], at: Position) -> tuple[Peer | None, str]:
    """Return the member for a URL, and its scheme."""
    match = _URL.match(url)
    if match is None:
        return None, ""
    scheme = match["scheme"].lower()
    if match["path"]:
        target: Target | None = Target(path=match["path"])
    else:
        host = (match["host"] or "").strip("[]")
        port = int(match["port"] or _PORTS.get(scheme, 80))
        target = Target(host=host, port=port) if host and "$" not in host and "%" not in host and port <= 65535 else None
    status = options.get("status", "")
    peer = Peer(
        name=url,
        label=options.get("route", ""),
        target=target,
        at=at,
        is_backup="H" in status,
        is_down="D" in status or "S" in status,
        max_conns=whole_number(options.get("max", ""), 8) or 0,
        check=_check(options),
    )
    return peer, scheme


def _check(options: Mapping[str, str]) -> str:
    """Return what the checks of a member ask for; "" if it has none. Source: mod_proxy_hcheck."""
    method = options.get("hcmethod", "NONE").upper()
    if method == "NONE":
        return ""
    return "a connection" if method == "TCP" else f"{method} {options.get('hcuri', '/')}"


def options_of(words: Iterable[str]) -> dict[str, str]:
    """Return parameters in `name=value`; of a value in quotes, what it holds."""
    return {name: value.strip("\"'") for name, mark, value in (word.partition("=") for word in words) if mark}


def seconds(text: str | None, default: float) -> float:
    """Return a time of mod_proxy: in seconds, or in milliseconds with the suffix `ms`."""
    match = re.fullmatch(r"(\d{1,9})(ms|s)?", text or "")
    return default if match is None else int(match[1]) / (1000 if match[2] == "ms" else 1)
