"""A name server (UDP): names.py LISTEN [NAME=ADDRESS]... [--rcode CODE]; the code is for all other names."""

from __future__ import annotations

import argparse
import os
import socket
import sys

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


def reply(question: bytes, known: dict[str, str], rcode: str) -> bytes:
    """Return the answer: the address of a known name (A only), else the response code."""
    query = dns.message.from_wire(question)
    answer = dns.message.make_response(query, recursion_available=True)
    asked = query.question[0]
    address = known.get(asked.name.to_text(omit_final_dot=True))
    if address is None:
        answer.set_rcode(dns.rcode.from_text(rcode))
    elif asked.rdtype == dns.rdatatype.A:
        answer.answer.append(dns.rrset.from_text(asked.name, 5, "IN", "A", address))
    return answer.to_wire()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rcode", default="NXDOMAIN")
    told = parser.parse_args()
    host, _, port = told.listen.rpartition(":")
    known = dict(name.split("=", 1) for name in told.names)
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind((host, int(port)))
        sys.stdout.write(f"listening on {told.listen}, pid {os.getpid()}\n")
        sys.stdout.flush()
        while True:
            question, client = server.recvfrom(4096)
            server.sendto(reply(question, known, told.rcode), client)


if __name__ == "__main__":
    main()
