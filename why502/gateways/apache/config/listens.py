"""Where httpd listens, and where each of its servers is reached.

Sources: the documentation of mpm_common (Listen), core (<VirtualHost>) and mod_ssl (SSLEngine): Listen opens the sockets, and an
address of <VirtualHost> only selects among the requests that come in there; modules/ssl/ssl_engine_init.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from why502.gateways.listens import EVERY_HOST
from why502.model.target import Target
from why502.model.times import whole_number

EVERY_PORT = "*"
ANY = "_default_"
HTTPS = 443
TLS, PREFACE = "ssl", "proxy_protocol"  # the words that a listen address has in other gateways, too


def opened(args: Sequence[str]) -> tuple[Target, bool] | None:
    """Return the address of a Listen directive, and whether it is for TLS; None if it is not known, such as one with a variable.

    The protocol is https for port 443, and http else, unless a second argument names it.
    """
    host, port = _parts(args[0]) if args else ("", "")
    number = whole_number(port, 5)
    if number is None or not 0 < number <= 65535 or "$" in host:
        return None
    return Target(host=host or "0.0.0.0", port=number), args[1] == "https" if len(args) > 1 else number == HTTPS


def reached(address: str, listens: Mapping[Target, bool], *, is_tls: bool | None, has_preface: bool) -> tuple[str, ...]:
    """Return the addresses at which a server is reached, each with the words that say what it speaks there.

    `address`: the arguments of <VirtualHost>; "" for the main server, whose directives all others inherit. `is_tls`: its
    SSLEngine; None if it has none, so that the protocol of Listen counts. If no Listen is known, as in a part of a
    configuration, the addresses of the virtual host itself count.
    """
    wanted = [_parts(word, is_port_last=False) for word in address.split()] or [("", EVERY_PORT)]
    found = _met(wanted, listens) if listens else _numbered(wanted)
    added = (PREFACE,) if has_preface else ()
    return tuple(
        dict.fromkeys(" ".join((str(at), *((TLS,) if (own if is_tls is None else is_tls) else ()), *added)) for at, own in found)
    )


def _met(wanted: Iterable[tuple[str, str]], sockets: Mapping[Target, bool]) -> Iterator[tuple[Target, bool]]:
    """Yield what both a socket and a server's address accept (of their two hosts the narrower one), and whether it is for TLS."""
    for host, port in wanted:
        for socket, is_tls in sockets.items():
            if port not in (EVERY_PORT, str(socket.port)):
                continue
            if not host or host == socket.host:
                yield socket, is_tls
            elif socket.host in EVERY_HOST:
                yield Target(host=host, port=socket.port), is_tls


def _numbered(wanted: Iterable[tuple[str, str]]) -> Iterator[tuple[Target, bool]]:
    for host, port in wanted:
        if (number := whole_number(port, 5)) is not None and 0 < number <= 65535:
            yield Target(host=host or "0.0.0.0", port=number), number == HTTPS


def _parts(word: str, *, is_port_last: bool = True) -> tuple[str, str]:
    """Return the host ("" for every one) and the port of an address; a word alone is a port in Listen, a host in VirtualHost."""
    host, colon, port = word.rpartition(":")
    if not colon or word.endswith("]"):
        host, port = ("", word) if is_port_last else (word, EVERY_PORT)
    host = host.strip("[]")
    return "" if host in (*EVERY_HOST, ANY) else host, port
