"""`why502 generate all`: the site, the unit or pool behind it, and the rotation of its logs, checked against each other."""

from __future__ import annotations

from dataclasses import replace

from why502.generate import program, wishes
from why502.generate.fpm_pool import kind as pools
from why502.generate.kind import Kind, Made, around
from why502.generate.logrotate import kind as rotation
from why502.generate.nginx import kind as sites
from why502.generate.options import Given, Option
from why502.generate.site import Site, Speech
from why502.generate.systemd import kind as units
from why502.generate.together.checks import Written, contradictions
from why502.host.base import Host
from why502.model.errors import Why502Error

_NGINX = tuple(option for option in sites.KIND.options if option.name not in ("--whole", "--connections"))
_PROGRAM = tuple(option for option in program.OPTIONS if option.name not in ("--name", "--app", "--read-timeout"))
_POOL = tuple(option for option in pools.OPTIONS if option.name in ("--child", "--processors", "--php", "--proxy-user"))
OPTIONS: tuple[Option, ...] = (*_NGINX, *_PROGRAM, *_POOL)


def emit(given: Given, host: Host) -> Made:
    """Return all files. Raises Why502Error, also if two of them contradict each other."""
    made = wishes.site(given, around(host))
    parts = [(sites.KIND, sites.KIND.emit(_of(given, sites.KIND), host))]
    times = {"--read-timeout": (f"{made.times.read_s}s",)}
    if given.has("--exec"):
        own = {"--app": given.all("--app")[:1], "--name": (made.name.replace("_", "-"),), **times}
        parts.append((units.KIND, units.KIND.emit(_of(given, units.KIND, own), host)))
    if made.speech is Speech.FASTCGI:
        parts.append((pools.KIND, pools.KIND.emit(_of(given, pools.KIND, {**_pool(made), **times}), host)))
    rotated = {"--domain": given.all("--domain")[:1]} if made.domains else {}
    parts.append((rotation.KIND, rotation.KIND.emit(_of(given, rotation.KIND, rotated), host)))
    documents = tuple(
        replace(document, home=part.home or kind.home, product=part.product)
        for kind, part in parts
        for document in part.documents
    )
    found = tuple(contradictions(_written(parts, given, host)))
    if found:
        raise Why502Error(f"the files contradict each other: {found[0]}", "Change one of the options that it names.")
    pinned = dict.fromkeys(pair for _, part in parts for pair in part.pinned if pair[0] in {option.name for option in OPTIONS})
    return Made(
        documents=documents,
        product=parts[0][1].product,
        notes=tuple(dict.fromkeys(note for _, part in parts for note in part.notes)),
        pinned=tuple(pinned),
    )


def _of(given: Given, kind: Kind, own: dict[str, tuple[str, ...]] | None = None) -> Given:
    """Return the options of one kind, with those that follow from the others."""
    known = {option.name for option in kind.options}
    values = {name: values for name, values in given.values.items() if name in known}
    return Given({**values, **(own or {})}, given.sources)


def _pool(made: Site) -> dict[str, tuple[str, ...]]:
    """Return the options of the pool that follow from the site. Raises Why502Error."""
    target = made.group.peers[0].target
    if not target.is_unix:
        raise Why502Error("--app: a generated pool listens on a socket", "Write it like --app unix:/run/php/shop.sock.")
    found: dict[str, tuple[str, ...]] = {"--socket": (target.path,), "--name": (made.name,)}
    if made.limits.max_body_bytes:
        found["--max-body"] = (str(made.limits.max_body_bytes),)
    return found


def _written(parts: list[tuple[Kind, Made]], given: Given, host: Host) -> Written:
    """Return what is written, each as its own product reads it: the site within a whole nginx.conf."""
    whole = sites.KIND.emit(_of(given, sites.KIND, {"--whole": ("",)}), host)
    texts = [(kind, document) for kind, part in parts for document in part.documents]
    return Written(
        site=whole.documents[0].body,
        version=whole.product.rpartition(" ")[2],
        units={f"{kind.home}/{one.name}": one.body for kind, one in texts if kind is units.KIND},
        pools={f"/{one.name}": one.body for kind, one in texts if kind is pools.KIND},
    )


KIND = Kind(
    name="all",
    help="Write an nginx site, its unit or pool, and log rotation.",
    example="why502 generate all --app 127.0.0.1:3000 --domain shop.example --exec '/usr/bin/node /srv/shop/server.js' -o ROOT",
    options=OPTIONS,
    emit=emit,
    is_site=True,
)
