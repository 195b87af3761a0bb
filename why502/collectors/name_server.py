"""Queries one name server for the addresses of a name (RFC 1035) as nginx's resolver does: A and AAAA, no search list."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address

from dns import exception, flags, message, name, query, rcode, rdatatype

from why502.model.snapshot import Lookup, Resolution
from why502.model.target import Target

TRIES = 2
WAIT_S = 1.0  # per try


def ask_server(asked: str, server: Target, *, with_v6: bool = True, is_resolver: bool = True) -> Resolution:
    """Return the server's answer, after at most 2 × WAIT_S. Silence and refusal are valid outcomes."""
    addresses: list[str] = []
    ttls: list[float] = []
    outcome: Lookup | None = None
    detail = ""
    for kind in (rdatatype.A, rdatatype.AAAA)[: 2 if with_v6 else 1]:
        try:
            answer = _ask(asked, server, kind)
        except (OSError, exception.DNSException) as error:
            is_late = isinstance(error, exception.Timeout)
            outcome = outcome or (Lookup.TIMED_OUT if is_late else Lookup.FAILED)
            detail = detail or f"{kind.name}: " + (f"no answer within {TRIES * WAIT_S:g} s" if is_late else _reason(error))
            break
        code = answer.rcode()
        found = [(str(item.address), float(rrset.ttl)) for rrset in answer.answer if rrset.rdtype == kind for item in rrset]
        addresses += [address for address, _ in found]
        ttls += [ttl for _, ttl in found]
        if code == rcode.NXDOMAIN:
            outcome, detail = outcome or Lookup.NOT_FOUND, detail or "NXDOMAIN"
        elif code != rcode.NOERROR:
            outcome, detail = outcome or Lookup.FAILED, detail or f"{kind.name}: {rcode.to_text(code)}"
    return Resolution(
        name=asked,
        source=str(server),
        addresses=tuple(addresses),
        ttl_s=min(ttls, default=None),
        outcome=Lookup.OK if addresses else outcome or Lookup.NO_ADDRESS,
        detail=detail,
        is_resolver=is_resolver,
    )


def _ask(asked: str, server: Target, kind: rdatatype.RdataType) -> message.Message:
    request = message.make_query(name.from_text(asked), kind)
    for left in reversed(range(TRIES)):
        family = socket.AF_INET6 if isinstance(ip_address(server.host), IPv6Address) else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as stream:
            stream.setblocking(False)
            stream.connect((server.host, server.port))  # lets ICMP refusals reach us
            try:
                answer = query.udp(request, server.host, WAIT_S, server.port, sock=stream, ignore_unexpected=True)
            except exception.Timeout:
                if not left:
                    raise
                continue
        if answer.flags & flags.TC:
            return query.tcp(request, server.host, WAIT_S, server.port)
        return answer
    raise exception.Timeout


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error) or type(error).__name__
