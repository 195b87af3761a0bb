"""Files known by their content, under every name: a hash of the first bytes, and one of the bytes right before a place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from why502.logs import window
from why502.logs.checkpoint import Head, Place
from why502.logs.window import READ_ERRORS
from why502.model.errors import HostError

MARKER_BYTES = 64
HEAD_BYTES = 1000


def hashed(data: bytes) -> str:
    """Return a hash of some bytes; "" of none."""
    return hashlib.blake2b(data, digest_size=8).hexdigest() if data else ""


def marker(stream: BinaryIO, offset: int) -> str:
    """Return a hash of the bytes of a plain file right before a place. Raises OSError."""
    begin = max(offset - MARKER_BYTES, 0)
    return hashed(os.pread(stream.fileno(), offset - begin, begin))


def first_bytes(name: str) -> bytes:
    """Return the first bytes of a file's content; nothing where they cannot be read."""
    try:
        with open(name, "rb", buffering=0) as stream:
            return window.head(stream, HEAD_BYTES)
    except (OSError, HostError):
        return b""


def are_alike(one: bytes, other: bytes) -> bool:
    """Return whether one content begins like the other, as far as both go."""
    size = min(len(one), len(other))
    return bool(size) and one[:size] == other[:size]


def is_begin(begin: bytes, head: Head) -> bool:
    """Return whether a content that begins so is the one whose first bytes were hashed."""
    return len(begin) >= head.size_bytes and hashed(begin[: head.size_bytes]) == head.digest


def _begins_with(name: str, head: Head) -> bool:
    return is_begin(first_bytes(name), head)


def ends_before(name: str, place: Place) -> bool:
    """Return whether a file holds only the first part of the content that was counted."""
    if place.head is None or not _begins_with(name, place.head):
        return False
    try:
        with open(name, "rb", buffering=0) as stream:
            if not window.is_compressed(stream):
                return os.fstat(stream.fileno()).st_size < place.offset
            return not after(window.blocks(stream), place.offset)[1]
    except (HostError, *READ_ERRORS):
        return False


def name_of(place: Place, names: list[str], path: str, heads: list[Head]) -> str:
    """Return the name of a file that was open; "" where it is gone. Another file may have got its number since."""
    for name in filter(lambda name: _is_at(name, place), names):
        if place.head and _begins_with(name, place.head):
            return name
        if place.head is None and not any(_begins_with(name, head) for head in heads):
            return name
    held = next(filter(lambda name: holds(name, place), names), "")
    return held or (path if _is_at(path, place) else "")  # truncated


def _is_at(name: str, place: Place) -> bool:
    try:
        status = Path(name).stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (place.device, place.inode)


def holds(name: str, place: Place) -> bool:
    """Return whether a file has the content that was counted, up to that place."""
    if not place.offset or place.head is None or not _begins_with(name, place.head):
        return False
    try:
        with open(name, "rb", buffering=0) as stream:
            if not window.is_compressed(stream):
                return os.fstat(stream.fileno()).st_size >= place.offset and marker(stream, place.offset) == place.marker
            return hashed(after(window.blocks(stream), place.offset)[1]) == place.marker
    except (HostError, *READ_ERRORS):
        return False


def after(blocks: Iterator[bytes], offset: int) -> tuple[bytes, bytes]:
    """Return what follows a place in the block that holds it, and the bytes right before it.

    Nothing where the content ends earlier.
    """
    before, at = b"", 0
    while at < offset:
        block = next(blocks, b"")
        if not block:
            return b"", b""
        at += len(block)
        before = (before + block[: len(block) - max(at - offset, 0)])[-MARKER_BYTES:]
        if at >= offset:
            return block[len(block) - (at - offset) :], before
    return b"", before
