"""Queries one name server for the addresses of a name (RFC 1035) as nginx's resolver does: A and AAAA, no search list."""

from __future__ import annotations

import time

from dns import exception, flags, message, name, rcode, rdatatype

from why502.host.base import Connection, Host
from why502.model.errors import Expired, HostError
from why502.model.network import Network
from why502.model.snapshot import Lookup, Resolution
from why502.model.target import Target

TRIES = 2
WAIT_S = 1.0  # per try


def ask_server(
    host: Host,
    asked: str,
    server: Target,
    *,
    with_v6: bool = True,
    is_resolver: bool = True,
    network_of: Network | None = None,
) -> Resolution:
    """Return the server's answer, after at most 2 × WAIT_S. Silence and refusal are valid outcomes.

    `network_of`: the network namespace to ask from. Raises HostError if nothing could be asked.
    """
    addresses: list[str] = []
    ttls: list[float] = []
    outcome: Lookup | None = None
    detail = ""
    for kind in (rdatatype.A, rdatatype.AAAA)[: 2 if with_v6 else 1]:
        try:
            answer = _ask(host, asked, server, kind, network_of)
        except (HostError, exception.DNSException) as error:
            if isinstance(error, HostError) and error.errno is None and not isinstance(error, Expired):
                raise
            is_late = isinstance(error, Expired)
            outcome = outcome or (Lookup.TIMED_OUT if is_late else Lookup.FAILED)
            reason = f"no answer within {TRIES * WAIT_S:g} s" if is_late else _reason(error, server)
            detail = detail or f"{kind.name}: {reason}"
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
        network=network_of.inode if network_of else "",
    )


def _ask(host: Host, asked: str, server: Target, kind: rdatatype.RdataType, network_of: Network | None) -> message.Message:
    """Return the answer: over UDP, and over TCP if it does not fit. Raises HostError, Expired, dns.exception.DNSException."""
    request = message.make_query(name.from_text(asked), kind)
    line = host.connect(server, timeout_s=WAIT_S, network_of=network_of, datagrams=True)  # a refusal by ICMP reaches us
    try:
        answer = _by_datagrams(line, request)
    finally:
        line.close()
    if not answer.flags & flags.TC:
        return answer
    line = host.connect(server, timeout_s=WAIT_S, network_of=network_of)
    try:
        line.send(request.to_wire(prepend_length=True))
        until = time.monotonic() + WAIT_S
        size = int.from_bytes(_exactly(line, 2, until), "big")
        return message.from_wire(_exactly(line, size, until))
    finally:
        line.close()


def _by_datagrams(line: Connection, request: message.Message) -> message.Message:
    for left in reversed(range(TRIES)):
        line.send(request.to_wire())
        until = time.monotonic() + WAIT_S
        try:
            while time.monotonic() < until:  # a late answer to an earlier request may come first
                answer = message.from_wire(line.receive(timeout_s=until - time.monotonic()))
                if request.is_response(answer):
                    return answer
        except Expired:
            if not left:
                raise
    raise Expired("no answer")


def _exactly(line: Connection, size: int, until: float) -> bytes:
    found = b""
    while len(found) < size:
        chunk = line.receive(size - len(found), timeout_s=until - time.monotonic())
        if not chunk:
            raise exception.FormError
        found += chunk
    return found


def _reason(error: HostError | exception.DNSException, server: Target) -> str:
    return error.reason.removeprefix(f"{server}: ") if isinstance(error, HostError) else str(error) or type(error).__name__
