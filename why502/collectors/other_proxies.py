"""Configurations given by the user that are not a complete nginx configuration: other gateways, and fragments of nginx.

Only files are read; their processes are not searched for.
"""

from __future__ import annotations

import re

from why502.collectors.other_installed import described
from why502.gateways import detect
from why502.gateways.nginx import config as nginx
from why502.gateways.running import decoded, installed
from why502.host.base import Host
from why502.machine.suppliers import Rights, supplier_of
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap

_LIMIT = 4 << 20
_PASS = lazy(r"^[ \t]*(?:proxy|fastcgi|uwsgi|scgi|grpc)_pass[ \t]+\S", re.MULTILINE)
_MEMBER = lazy(r"^[ \t]*server[ \t]+[\w.:\[\]/-]++[^{}\n]*;", re.MULTILINE)


def given(host: Host, config: str, gaps: list[Gap]) -> Proxy | None:
    """Return the proxy described by the file and its includes; None for nginx, or if it cannot be read."""
    try:
        kind = detect.kind(decoded(host.read(config, limit_bytes=_LIMIT)))
        gateway = next((each for each in installed() if kind == each.KIND), None)
        if gateway is None:
            return None
        command = next(iter(gateway.MAIN))
        proxy = described(host, gateway, config, (command, gateway.OPTIONS[0], config))
    except HostError:
        return None  # nginx's own parser reports the reason
    if not proxy.routes:
        gaps.append(
            Gap(source=config, reason=f"it contains no backend of {kind}", hint="give the file that contains its servers")
        )
    return proxy


def part(host: Host, config: str) -> Proxy | None:
    """Return the nginx proxy for a fragment: directives of a location, or members of an upstream, without any block around
    them.
    """
    try:
        content = host.read(config, limit_bytes=_LIMIT)
    except HostError:
        return None
    text = content.decode("latin-1")
    around = b"location / { " if _PASS.search(text) else b"upstream given { " if _MEMBER.search(text) else b""
    if not around:
        return None
    rights = Rights(host, supplier_of(host, config))
    found = nginx.load(
        lambda path: around + content + b"\n}\n" if path == config else rights.read(path),
        rights.own.list,
        config,
        "/",
        rights=rights.reading,
    )
    if not found.routes and not found.upstreams:
        return None
    return Proxy(
        config=config,
        files=found.files,
        routes=found.routes,
        upstreams=found.upstreams,
        servers=found.servers,
        owner_uid=rights.owner_uid,
    )
