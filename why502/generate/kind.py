"""Kinds of files that can be generated, one package each, found by their directory: `nginx/kind.py` and its like."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from why502 import registry
from why502.generate.document import Document
from why502.generate.options import Given, Option
from why502.generate.site import Site
from why502.generate.wishes import Around
from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.target import Target

_NAME_SERVER = lazy(r"^[ \t]*nameserver[ \t]+([0-9a-fA-F.:]+)[ \t]*$", re.MULTILINE)
_MOST_SERVERS = 3  # MAXNS, resolv.conf(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Where the new site can be asked, and the servers behind it."""

    target: Target
    host: str
    answer_s: float
    apps: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an emitter made. `product`: what it is for ("nginx 1.22.1"); `notes`: what the user should know or still do.

    `pinned`: options that were derived from this machine, so that the command gives the same result on another one.
    `home`: the product's own directory, where it depends on the version.
    """

    documents: tuple[Document, ...]
    product: str = ""
    notes: tuple[str, ...] = ()
    pinned: tuple[tuple[str, str], ...] = ()
    entrance: Entrance | None = None
    home: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind. `home`: the product's own directory, which --apply writes to.

    `present`: an existing file as options, and what changes. `conflicts`: sentences about what a directory already has.
    `is_applicable`: --apply can write, test, reload and ask. `is_site`: it needs to know where the application listens.
    """

    name: str
    help: str
    example: str
    options: tuple[Option, ...]
    emit: Callable[[Given, Host], Made]
    home: str = ""
    is_applicable: bool = False
    is_site: bool = False
    order: int = 9  # in which `all` writes them
    present: Callable[[Host, str, Given], tuple[Given, tuple[str, ...]]] | None = None
    conflicts: Callable[[Host, str, Sequence[Document]], tuple[str, ...]] | None = None


@cache
def kinds() -> dict[str, Kind]:
    """Return every kind by its name."""
    found = [module.KIND for module in registry.parts("why502.generate", "kind")]
    return {kind.name: kind for kind in sorted(found, key=lambda kind: (kind.order, kind.name))}


def entrance(site: Site) -> Entrance:
    """Return where a site can be asked: its plain port, under its first name."""
    host = site.domains[0].replace("*", "www") if site.domains else "localhost"
    apps = tuple(peer.target for peer in site.group.peers)
    return Entrance(target=Target(host="127.0.0.1", port=site.port), host=host, answer_s=site.times.read_s + 5.0, apps=apps)


def around(host: Host) -> Around:
    """Return what this machine says about itself."""
    return Around(exists=lambda path: exists(host, path), resolvers=_resolvers(host), has_ipv6=exists(host, "/proc/net/if_inet6"))


def exists(host: Host, path: str) -> bool:
    """Return whether a path exists, as far as we may look."""
    try:
        host.stat(path)
    except HostError:
        return False
    return True


def read(host: Host, path: str) -> str:
    """Return the text of a file; "" if it cannot be read."""
    try:
        return host.read(path, limit_bytes=1 << 20).decode("utf-8", "replace")
    except HostError:
        return ""


def _resolvers(host: Host) -> tuple[str, ...]:
    """Return the machine's name servers (resolv.conf(5)) in nginx's notation: in a container, those of its network."""
    found = _NAME_SERVER.findall(read(host, "/etc/resolv.conf"))[:_MOST_SERVERS]
    return tuple(f"[{one}]" if ":" in one else one for one in found)
