"""Detects the protocol of a peer from its first bytes."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    ("http", lazy(rb"HTTP/\d")),
    ("tls", lazy(rb"[\x15\x16]\x03[\x00-\x04]")),  # RFC 8446, 5.1: an alert or a handshake record
    (
        "h2",
        lazy(rb"\x00..\x04[\x00\x01]\x00{4}|\x00..\x07\x00{6}", re.DOTALL),
    ),  # RFC 9113, 4.1: SETTINGS, GOAWAY on stream 0
    ("fastcgi", lazy(rb"\x01[\x03\x06\x07\x0a\x0b].{6}", re.DOTALL)),  # FastCGI 1.0, 3.3: END_REQUEST, STDOUT, STDERR...
    ("ssh", lazy(rb"SSH-\d")),
    ("smtp", lazy(rb"220[ -][^\r\n]*(?:SMTP|mail)", re.IGNORECASE)),
    ("ftp", lazy(rb"220[ -]")),
    ("pop3", lazy(rb"\+OK ")),
    ("imap", lazy(rb"\* OK ")),
    ("redis", lazy(rb"-(?:ERR|DENIED|NOAUTH|MISCONF) ")),
    ("memcached", lazy(rb"(?:ERROR|CLIENT_ERROR [^\r\n]*)\r\n")),
    ("mysql", lazy(rb"..\x00\x00(?:\x0a[\x20-\x7e]+\x00|\xff..)", re.DOTALL)),  # handshake version 10, or an error packet
    ("postgresql", lazy(rb"E\x00\x00..S(?:FATAL|ERROR)", re.DOTALL)),
    ("amqp", lazy(rb"AMQP")),
    ("vnc", lazy(rb"RFB \d")),
    ("ajp", lazy(rb"AB\x00.[\x03-\x06\x09]", re.DOTALL)),
)


def identify(data: bytes) -> str:
    """Return the name of the protocol at the start of the data; "" if it is unknown."""
    return next((name for name, mark in MARKS if mark.match(data)), "")
