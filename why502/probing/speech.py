"""Detects the protocol of a peer from its first bytes."""

from __future__ import annotations

import re

MARKS = (
    ("http", re.compile(rb"HTTP/\d")),
    ("tls", re.compile(rb"[\x15\x16]\x03[\x00-\x04]")),  # RFC 8446, 5.1: an alert or a handshake record
    (
        "h2",
        re.compile(rb"\x00..\x04[\x00\x01]\x00{4}|\x00..\x07\x00{6}", re.DOTALL),
    ),  # RFC 9113, 4.1: SETTINGS, GOAWAY on stream 0
    ("fastcgi", re.compile(rb"\x01[\x03\x06\x07\x0a\x0b].{6}", re.DOTALL)),  # FastCGI 1.0, 3.3: END_REQUEST, STDOUT, STDERR...
    ("ssh", re.compile(rb"SSH-\d")),
    ("smtp", re.compile(rb"220[ -][^\r\n]*(?:SMTP|mail)", re.IGNORECASE)),
    ("ftp", re.compile(rb"220[ -]")),
    ("pop3", re.compile(rb"\+OK ")),
    ("imap", re.compile(rb"\* OK ")),
    ("redis", re.compile(rb"-(?:ERR|DENIED|NOAUTH|MISCONF) ")),
    ("memcached", re.compile(rb"(?:ERROR|CLIENT_ERROR [^\r\n]*)\r\n")),
    ("mysql", re.compile(rb"..\x00\x00(?:\x0a[\x20-\x7e]+\x00|\xff..)", re.DOTALL)),  # handshake version 10, or an error packet
    ("postgresql", re.compile(rb"E\x00\x00..S(?:FATAL|ERROR)", re.DOTALL)),
    ("amqp", re.compile(rb"AMQP")),
    ("vnc", re.compile(rb"RFB \d")),
    ("ajp", re.compile(rb"AB\x00.[\x03-\x06\x09]", re.DOTALL)),
)


def identify(data: bytes) -> str:
    """Return the name of the protocol at the start of the data; "" if it is unknown."""
    return next((name for name, mark in MARKS if mark.match(data)), "")
