"""Sites that already have the same name on the same port: nginx would never choose the second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from why502.gateways.nginx.config import load
from why502.generate.document import Document
from why502.host.base import Host
from why502.model.config import Server
from why502.model.errors import HostError, Why502Error


def conflicts(host: Host, directory: str, documents: Sequence[Document]) -> tuple[str, ...]:
    """Return a sentence for each name and port that another file of this directory already serves."""
    own = {document.name for document in documents}
    mine = {pair for document in documents for pair, _ in _pairs(_servers_of(document.body))}
    found = []
    for path in _files(directory):
        if Path(path).name in own:
            continue
        for pair, server in _pairs(_servers_in(host, path)):
            if pair in mine:
                name = pair[0] or "every other name"
                found.append(f"{name} on port {pair[1]} is already served by {path}{f':{server.at.line}' if server.at else ''}")
    return tuple(dict.fromkeys(found))


def _files(directory: str) -> list[str]:
    """Return the files that are loaded: enabled sites, not those that are only available."""
    found = [Path(directory, "nginx.conf"), *Path(directory).glob("conf.d/*.conf"), *Path(directory).glob("http.d/*.conf")]
    found += Path(directory).glob("sites-enabled/*")
    if not any(Path(directory, name).is_dir() for name in ("conf.d", "http.d", "sites-enabled")):
        found += Path(directory).glob("*.conf")
    return sorted({str(path) for path in found if path.is_file()})


def _servers_of(text: str) -> tuple[Server, ...]:
    def read(_: str) -> bytes:
        return text.encode()

    return load(read, lambda _: [], "/generated.conf").servers


def _servers_in(host: Host, path: str) -> tuple[Server, ...]:
    try:
        content = host.read(path)
        return load(lambda _: content, lambda _: [], path).servers
    except (HostError, Why502Error):
        return ()


def _pairs(servers: tuple[Server, ...]) -> Iterator[tuple[tuple[str, str], Server]]:
    for server in servers:
        for listen in server.listens:
            for name in server.names or ("",):
                yield ((name, listen.rpartition(":")[2]), server)
