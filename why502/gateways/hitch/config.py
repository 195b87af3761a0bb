"""The parts of a hitch.conf that a diagnosis needs: its listening addresses, its backend, and the PROXY header.

Source: hitch.conf(5). Read-only; unknown settings are skipped.
"""

from __future__ import annotations

import re

from why502.config.configuration import Configuration
from why502.model.config import SENDS_PROXY, Peer, Position, Route, Setting
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile
from why502.model.target import Target

_LIMIT = 1 << 20
_SETTING = lazy(r"^[ \t]*(?P<name>[a-z0-9-]{1,40})[ \t]*=[ \t]*(?P<value>\"[^\"\n]{0,1000}\"|[^\s#{};]{1,1000})", re.MULTILINE)
_ADDRESS = lazy(r"\[([^\]]{0,255})\]:(\d{1,5})(?:\+\S{0,255})?")
_BLOCK = lazy(r"^[ \t]*frontend[ \t]*=[ \t]*\{(?P<inside>[^{}]{0,4000})\}", re.MULTILINE)
_HEADERS = {"write-proxy-v1": "v1", "write-proxy-v2": "v2", "write-proxy": "v2", "proxy-proxy": "v2"}
_ON = ("on", "true", "yes")


def load(text: str, file: str) -> Configuration:
    """Return the configuration in a file."""
    text = text[:_LIMIT]
    blocks = [match["inside"] for match in _BLOCK.finditer(text)]
    found = [(m["name"], m["value"].strip('"'), text.count("\n", 0, m.start("name")) + 1) for m in _SETTING.finditer(text)]
    backend = next(((value, line) for name, value, line in reversed(found) if name == "backend"), None)
    listens = [_listen(value) for name, value, _ in found if name == "frontend"]
    listens += [_of_block(inside) for inside in blocks]
    sent = next((_HEADERS[name] for name, value, _ in reversed(found) if name in _HEADERS and value.lower() in _ON), "")
    target = _target(backend[0]) if backend else None
    if backend is None or target is None:
        return Configuration(files=(ConfigFile(path=file),))
    at = Position(file=file, line=backend[1])
    route = Route(
        proxy="hitch",
        listens=tuple(word for word in listens if word),
        listens_tls=True,
        at=at,
        directive="backend",
        passes=backend[0],
        protocol="tcp",
        peers=(Peer(name=backend[0], target=target, at=at),),
        connect_timeout_s=0.0,
        read_timeout_s=0.0,
        send_timeout_s=0.0,
        settings={SENDS_PROXY: (Setting(args=(sent,), at=at),)} if sent else {},
    )
    return Configuration(files=(ConfigFile(path=file),), routes=(route,))


def _target(written: str) -> Target | None:
    """Return the address of the backend: `[HOST]:PORT`, or the path of a socket."""
    if written.startswith("/"):
        return Target.unix(written)
    match = _ADDRESS.fullmatch(written)
    return Target(host=match[1], port=int(match[2])) if match and match[1] and int(match[2]) <= 65535 else None


def _listen(written: str) -> str:
    """Return `[HOST]:PORT` in the notation of other gateways; every address if the host is `*` or missing."""
    match = _ADDRESS.fullmatch(written)
    return (
        f"{match[1] or '*'}:{match[2]} ssl" if match and ":" not in match[1] else f"[{match[1]}]:{match[2]} ssl" if match else ""
    )


def _of_block(inside: str) -> str:
    values = {match["name"]: match["value"].strip('"') for match in _SETTING.finditer(inside)}
    return _listen(f"[{values.get('host', '*')}]:{values['port']}") if "port" in values else ""
