"""The dependency that an application's error message names: a database, a cache, a queue or another service."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from why502.diagnosis.need_words import (
    DOWN,
    HOST_NAME,
    MIXED,
    NAMED,
    OF_A_POOL,
    PLACES,
    POOL,
    PRODUCTS,
    SCHEMES,
    SLOW,
    SPOKEN,
    UNPLACED,
    UNTRUSTED,
    URL,
)
from why502.model.target import Target


@dataclass(frozen=True, slots=True)
class Need:
    """An application's message about a dependency. `place`: the address that it tried, or a name without a port."""

    product: str
    place: Target | None
    how: str  # "refuses connections"
    is_down: bool

    @property
    def name(self) -> str:
        """The dependency in words: its product, its address, or both."""
        where = str(self.place) if self.place is not None else ""
        return f"{self.product} ({where})" if self.product and where else self.product or where


@lru_cache(4096)
def need_of(text: str) -> Need | None:
    """Return what an application's line reports about a dependency; None if it reports nothing of that kind."""
    text = text[:2000]
    for product, how, rx in UNPLACED:
        if rx.search(text):
            return Need(product, None, how, is_down=True)
    found = (POOL, False) if OF_A_POOL.search(text) else None
    found = found or next(((how, True) for how, rx in DOWN if rx.search(text)), None)
    found = found or next(((how, False) for how, rx in SLOW if rx.search(text)), None)
    if found is None:
        return None
    place = _place(text)
    product = next((name for name, rx in NAMED if rx.search(text)), PRODUCTS.get(place.port, "") if place else "")
    product = product or next((name for name, rx in SPOKEN if rx.search(text)), "")
    if not product and place is None and found[0] == UNTRUSTED:
        product = "a service that it asks over TLS"
    if not product and place is None:
        return None
    return Need(product, place, *found)


def is_refused_somewhere(text: str) -> bool:
    """Return whether a line reports that a connection was refused, and not which."""
    return need_of(text) is None and DOWN[0][1].search(text[:2000]) is not None


def is_mixed_up(text: str) -> bool:
    """Return whether a client library reports an answer that belongs to another request: several processes or threads use one
    connection.
    """
    return MIXED.search(text[:2000]) is not None


def product_in(text: str) -> str:
    """Return the product whose client library a line names ("psycopg2.OperationalError"); "" if none."""
    return next((name for name, rx in NAMED if rx.search(text[:2000])), "")


def named_in(environment: dict[str, str]) -> dict[Target, str]:
    """Return the addresses of databases, caches and queues in a process's environment variables, with the variable's name."""
    found: dict[Target, str] = {}
    for name, value in environment.items():
        match = URL.match(value[:2000])
        scheme = match["scheme"].partition("+")[0] if match else ""
        if match and (usual := SCHEMES.get(scheme)):
            port = int(match["port"] or usual)
            if port <= 65535 and (target := Target.parse(f"{match['host']}:{port}")):
                found.setdefault(_plain(target), name)
        elif (match := HOST_NAME.fullmatch(name)) and value:
            text = next((environment[key] for key in (f"{match['stem']}_PORT", f"{match['stem']}PORT") if key in environment), "")
            port = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else _usual(match["stem"])
            if value.startswith("/"):
                continue
            if 0 < port <= 65535 and re.fullmatch(r"[\w.-]+", value) and (target := Target.parse(f"{value}:{port}")):
                found.setdefault(_plain(target), name)
    return found


def _plain(target: Target) -> Target:
    return Target(host="127.0.0.1", port=target.port) if target.host == "localhost" else target


def _usual(stem: str) -> int:
    """Return the usual port of the product that a variable is named after; 0 if unknown."""
    product = next((name for name, rx in NAMED[:-1] if rx.search(stem)), "PostgreSQL" if stem.upper() == "PG" else "")
    return next((port for port, name in PRODUCTS.items() if name == product), 0)


def _place(text: str) -> Target | None:
    for rx in PLACES:
        match = rx.search(text)
        if match is None:
            continue
        given = match.groupdict()
        if given.get("path"):
            return Target.unix(given["path"])
        port = int(given.get("port") or 0)
        if port <= 65535:
            host = f"[{given['host']}]" if given["host"].startswith("::") else given["host"]
            return Target.parse(f"{host}:{port}" if port else host)
    return None
