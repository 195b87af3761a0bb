"""Remote logs: what fsspec supports (s3://, gs://, http://…), and ssh:// through the machine's own ssh."""

from __future__ import annotations

import asyncio
import errno
import gc
import glob
import importlib
import io
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, BinaryIO, cast

from why502.logs.scan.piped import Piped
from why502.logs.scan.source_file import Source, is_no_log
from why502.model.errors import HostError, Why502Error
from why502.redaction import redact

CONNECT_S, READ_S, KNOCK_S = 10, 60, 20
FIRST_BYTES, MOST_BYTES = 1 << 16, 8 << 20  # per request: after a seek, and for sequential reads
_WEB = ("http", "https")
_SSH = ("ssh", "sftp")
_used: set[Any] = set()  # file system classes, which cache their instances
_NOISY = ("aiobotocore", "asyncio", "botocore", "fsspec", "gcsfs", "google", "paramiko", "s3fs", "urllib3")


def expand(path: str) -> Iterator[Source]:
    """Yield the files of an address: one file, those of a directory, or those of a pattern. Raises Why502Error."""
    system, inner = _reached(path)
    if not _is_web(path) and path.split("://", 1)[0] not in _SSH:
        _knock(system, inner, path)
    try:
        for name in _names(system, inner, path):
            info = system.info(name)
            if info.get("type") != "directory":
                url = path if name == inner else _url(system, path, inner, name)
                yield Source(path=url, size_bytes=int(info.get("size") or 0), modified_s=_modified_s(info))
    except Why502Error:
        raise
    except Exception as error:
        raise _trouble(path, error) from error


def open_(path: str) -> BinaryIO:
    """Return a stream, seekable unless it is Piped. Raises Why502Error, OSError."""
    system, inner = _reached(path)
    try:
        if _is_web(path) and not _gives_ranges(path):
            return cast(BinaryIO, Piped(system.open(inner, "rb", block_size=0)))
        if hasattr(system, "ranges"):
            return cast(BinaryIO, Ranged(*system.ranges(inner)))
        stream = system.open(inner, "rb", block_size=FIRST_BYTES, cache_type="none")
        found = Ranged(_reader(stream), system.info(inner)["size"], stream.close)
        found.system = system  # some close their files when the last reference is gone
        return cast(BinaryIO, found)
    except Exception as error:
        raise OSError(errno.EIO, _message(error)) from error


def renew() -> None:
    """Drop all connections and their event loop: a forked process must not share them with this one.

    epoll(7) instances survive fork(2), so an event consumed by a child is gone for every process.
    """
    if _used:
        fsspec = importlib.import_module("fsspec")
        for kind in {*_used, *fsspec.registry.values()}:  # including nested ones, as in zip://…::http://…
            kind.clear_instance_cache()
        asyn = importlib.import_module("fsspec.asyn")
        loop, thread = asyn.loop[0], asyn.iothread[0]
        asyn.reset_after_fork()
        gc.collect()  # file systems close their connections when they are collected, while their loop runs
        if loop is not None:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()  # after all that was asked of it before
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
    _used.clear()


class Ranged(io.RawIOBase):
    """A remote file, read in ranges: exactly the requested bytes after a seek, twice as many each time for sequential reads."""

    def __init__(self, fetch: Callable[[int, int], bytes], size_bytes: int, close: Callable[[], object]) -> None:
        super().__init__()
        self.system: object = None
        self._fetch = fetch
        self._size = size_bytes
        self._close = close
        self._at = 0
        self._begin, self._held = 0, b""
        self._ahead = FIRST_BYTES

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek to a position."""
        self._at = max(offset + (0, self._at, self._size)[whence], 0)
        return self._at

    def readinto(self, room: Any) -> int:
        """Fill `room` as far as data is available. Raises OSError."""
        data = self._some(len(room))
        room[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; fewer only at the end. Raises OSError."""
        return self._some(size if size >= 0 else self._size)

    def close(self) -> None:
        """Close the remote file."""
        if not self.closed:
            with suppress(Exception):
                self._close()
        super().close()

    def _some(self, size: int) -> bytes:
        end = min(self._at + size, self._size)
        pieces = []
        while self._at < end:
            offset = self._at - self._begin
            if not 0 <= offset < len(self._held):
                self._take(end)
                continue
            piece = self._held[offset : offset + end - self._at]
            pieces.append(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def _take(self, end: int) -> None:
        """Buffer the bytes at the current position, at least one."""
        follows = self._at == self._begin + len(self._held)
        self._ahead = min(2 * self._ahead, MOST_BYTES) if follows else FIRST_BYTES
        stop = min(max(end, self._at + self._ahead), self._at + MOST_BYTES, self._size)
        try:
            found = self._fetch(self._at, stop)
        except Exception as error:
            raise OSError(errno.EIO, _message(error)) from error
        if not found:
            raise OSError(errno.EIO, "it was truncated while being read")
        self._begin, self._held = self._at, found


def _reader(stream: Any) -> Callable[[int, int], bytes]:
    def fetch(start: int, end: int) -> bytes:
        stream.seek(start)
        return bytes(stream.read(end - start))

    return fetch


def _names(system: Any, inner: str, path: str) -> list[str]:
    """Return the matching files under the file system's own names."""
    if _is_web(path) and not re.search(r"[*\[]", inner.split("?", 1)[0]):  # a `?` starts the query in a URL
        return _linked(system, inner) if inner.endswith("/") else [inner]
    if not _is_web(path) and glob.has_magic(inner) and not system.exists(inner):
        return sorted(filter(_is_log, system.glob(inner)))
    if not _is_web(path) and system.isdir(inner):
        return sorted(filter(_is_log, system.find(inner, maxdepth=1)))
    return sorted(system.glob(inner)) if _is_web(path) else [inner]


def _knock(system: Any, inner: str, path: str) -> None:
    """Raise Why502Error if nothing answers within KNOCK_S: some libraries retry for minutes."""

    def ask() -> None:
        with suppress(Exception):
            system.exists(inner)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(KNOCK_S)
    if thread.is_alive():
        raise Why502Error(f"{_shown(path)}: no answer within {KNOCK_S} s", "Check the address and the network connection.")


def _linked(system: Any, directory: str) -> list[str]:
    """Return the files linked from a web server's directory page."""
    names = {name.split("#", 1)[0] for name in system.ls(directory, detail=False)}
    return sorted(
        name for name in names if name.startswith(directory) and re.fullmatch(r"[^/?]+", name[len(directory) :]) and _is_log(name)
    )


def _is_log(name: str) -> bool:
    return not is_no_log(name.rstrip("/").rpartition("/")[2])


def _url(system: Any, path: str, inner: str, name: str) -> str:
    if _is_web(path):
        return name
    if "::" in path:  # zip://*.log::s3://bucket/logs.zip
        scheme, _, rest = path.partition("://")
        return f"{scheme}://{name}::{rest.partition('::')[2]}"
    base = path[: len(path) - len(inner)] if path.endswith(inner) else None
    return base + name if base is not None else str(system.unstrip_protocol(name))


@lru_cache(256)
def _gives_ranges(path: str) -> bool:
    """Return whether a web server reports the size of a file, and answers a range request with only that range."""
    system, inner = _reached(path)
    info = system.info(inner)
    if info.get("size") is None or info.get("partial") is False:
        return False
    try:
        with system.open(inner, "rb", block_size=FIRST_BYTES, cache_type="none") as stream:
            stream.seek(1)
            stream.read(1)
    # The first comes from HTTPFile.async_fetch_range, the second from a stream without ranges
    except (ValueError, AttributeError):
        return False
    return True


def _is_web(path: str) -> bool:
    return path.split("://", 1)[0] in _WEB


def _modified_s(info: dict[str, Any]) -> float:
    """Return the time of the last write from a file system's metadata, in seconds since the epoch; 0 if it has none."""
    for name in ("LastModified", "mtime", "updated", "Last-Modified", "last_modified"):
        value = info.get(name)
        with suppress(ValueError, TypeError, OverflowError):
            if isinstance(value, str):
                value = parsedate_to_datetime(value) if value[:1].isalpha() else datetime.fromisoformat(value)
            if isinstance(value, datetime):
                return value.timestamp()
            if isinstance(value, int | float):
                return float(value)
    return 0.0


@lru_cache(1)
def _quiet() -> None:
    """Keep libraries' messages about retries off the terminal: we report the failure ourselves."""
    for name in _NOISY:
        logging.getLogger(name).addHandler(logging.NullHandler())


def _options(scheme: str) -> dict[str, Any]:
    """Return the options that limit how long a server may take."""
    if scheme in ("s3", "s3a"):
        return {
            "config_kwargs": {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": {"max_attempts": 2}},
            "use_listings_cache": False,
        }
    if scheme in ("gs", "gcs"):
        # Otherwise it queries the kind of each bucket over gRPC
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        return {"requests_timeout": READ_S, "cache_timeout": 0}
    if scheme in _WEB:
        timeout = importlib.import_module("aiohttp").ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
        return {"client_kwargs": {"timeout": timeout}}
    return {}


def _reached(path: str) -> tuple[Any, str]:
    """Return the file system and the file's name in it. Raises Why502Error."""
    scheme = path.split("://", 1)[0]
    _quiet()
    try:
        if scheme in _SSH:
            from why502.logs.scan import over_ssh

            _used.add(over_ssh.System)
            return over_ssh.reached(path)
        core = importlib.import_module("fsspec.core")
        system, inner = core.url_to_fs(path, **({} if "::" in path else _options(scheme)))
    except ImportError as error:
        raise Why502Error(
            f"{_shown(path)}: reading from there needs {_package(error, scheme)}", "pip install 'why502[remote]'"
        ) from error
    except (Why502Error, HostError):
        raise
    except Exception as error:
        raise _trouble(path, error) from error
    _used.add(type(system))
    return system, inner


def _package(error: ImportError, scheme: str) -> str:
    return error.name or {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(scheme, str(error)[:100])


def _trouble(path: str, error: Exception) -> Why502Error:
    # The web file system raises it for every error
    cause = error.__cause__ if isinstance(error, FileNotFoundError) and _is_web(path) else None
    if isinstance(error, FileNotFoundError) and getattr(cause, "status", 404) == 404 and not isinstance(cause, OSError):
        return Why502Error(f"{_shown(path)}: no such file there", "Check the address.")
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return Why502Error(
            f"{_shown(path)}: unknown scheme {path.split('://', 1)[0]}://", "Give a path, s3://, gs://, ssh:// or http://."
        )
    hint = "Check the address and the credentials."
    return Why502Error(
        f"{_shown(path)}: {_message(cause or error)}", "Check the address and the network connection." if cause else hint
    )


def _message(error: BaseException) -> str:
    """Return the reason in one line: the first error of the chain with a message."""
    message = str(error).strip() or (str(error.__cause__ or error.__context__ or "").strip()) or type(error).__name__
    return redact(" ".join(message.split()))[:300]


def _shown(path: str) -> str:
    return redact(path)
