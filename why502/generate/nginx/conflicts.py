"""Sites that already have the same name on the same port: nginx would never choose the second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from why502.gateways.nginx.config import load
from why502.generate.document import Document
from why502.host.base import Host
from why502.model.config import Server
from why502.model.errors import HostError, Why502Error

HOME = "/etc/nginx"


def conflicts(host: Host, directory: str, documents: Sequence[Document]) -> tuple[str, ...]:
    """Return a sentence for each name and port that another file already serves, of this directory or included from it."""
    own = {document.name for document in documents}
    mine = {pair for document in documents for pair, _ in _pairs(_servers_of(document.body))}
    found = []
    for server in _present(host, str(Path(directory))):
        if Path(server.at.file if server.at else "").name in own:
            continue
        for pair, _ in _pairs((server,)):
            if pair in mine:
                name = pair[0] or "every other name"
                where = f"{server.at.file}:{server.at.line}" if server.at else directory
                found.append(f"{name} on port {pair[1]} is already served by {where}")
    return tuple(dict.fromkeys(found))


def _present(host: Host, directory: str) -> Iterator[Server]:
    """Yield the sites that are there: those that nginx.conf includes, or those of the usual places if there is no nginx.conf.

    What a copy of a tree includes by an absolute path is not part of the copy.
    """
    main = str(Path(directory, "nginx.conf"))
    for server in _servers(host.read, host.list, main):
        if directory == HOME or (server.at and server.at.file.startswith(f"{directory}/")):
            yield server
    for path in () if Path(main).is_file() else _files(directory):
        yield from _servers(host.read, lambda _: [], path)


def _servers(read: Callable[[str], bytes], listing: Callable[[str], list[str]], path: str) -> tuple[Server, ...]:
    try:
        return load(read, listing, path).servers
    except (HostError, Why502Error):
        return ()


def _files(directory: str) -> list[str]:
    """Return the files that are loaded: enabled sites, not those that are only available."""
    found = [*Path(directory).glob("conf.d/*.conf"), *Path(directory).glob("http.d/*.conf")]
    found += Path(directory).glob("sites-enabled/*")
    if not any(Path(directory, name).is_dir() for name in ("conf.d", "http.d", "sites-enabled")):
        found += Path(directory).glob("*.conf")
    return sorted({str(path) for path in found if path.is_file()})


def _servers_of(text: str) -> tuple[Server, ...]:
    def read(_: str) -> bytes:
        return text.encode()

    return load(read, lambda _: [], "/generated.conf").servers


def _pairs(servers: tuple[Server, ...]) -> Iterator[tuple[tuple[str, str], Server]]:
    for server in servers:
        for listen in server.listens:
            for name in server.names or ("",):
                yield ((name, listen.rpartition(":")[2]), server)
