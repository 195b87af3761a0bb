"""The settings of `why502 serve`: where it listens, what opens it, which store it reads."""

from __future__ import annotations

import ipaddress
import os
import secrets
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from why502.model.errors import Why502Error
from why502.watch.listening import address
from why502.watch.settings import ServeSettings

LISTEN = "127.0.0.1:8502"
LEAST_TOKEN, MOST_TOKEN = 16, 512  # characters
_LISTEN_HINT = "Give an address and a port (127.0.0.1:8502, [::1]:8502), or a Unix socket (unix:/run/why502/serve.sock)."


@dataclass(slots=True, frozen=True, kw_only=True)
class Settings:
    """What `why502 serve` was started with.

    `listen`: address and port, or the path of a Unix socket. `token`: "" if whoever reaches the address may look. `url`: where
    browsers reach it, if that is not `listen`: a reverse proxy in front. `names`: other names of this machine that a browser may
    use. `watch_settings`: the settings of `why502 watch`, None for the usual ones. `logs`: files, directories and patterns that
    may be read from a page.
    """

    store: Path
    listen: tuple[str, int] | Path = ("127.0.0.1", 8502)
    token: str = ""
    url: str = ""
    names: tuple[str, ...] = ()
    watch_settings: str | None = None
    logs: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Return whether only this machine reaches it."""
        return isinstance(self.listen, Path) or ipaddress.ip_address(self.listen[0]).is_loopback

    @property
    def origin(self) -> str:
        """Return scheme, host and port of `url`, as browsers send them; "" if there is none."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}" if self.url else ""

    @property
    def base(self) -> str:
        """Return the path of `url`, which all addresses of pages begin with: "/why502"; "" if it has none."""
        return urlsplit(self.url).path

    @property
    def address(self) -> str:
        """Return the URL to open, or the path of the socket."""
        if self.url or isinstance(self.listen, Path):
            return self.url or f"unix:{self.listen}"
        host, port = self.listen
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listening(text: str) -> tuple[str, int] | Path:
    """Return the address and port to listen on, or the path of a Unix socket. Raises Why502Error."""
    return address(text, "--listen", _LISTEN_HINT, least_port=0)


def public_url(text: str) -> str:
    """Return the URL under which browsers reach it, without a slash at its end. Raises Why502Error."""
    try:
        return ServeSettings(url=text).base_url
    except ValueError as error:
        raise Why502Error(f"--{error}", "Give scheme and host, and the path if it has one: https://why502.example.") from error


def token_in(path: Path) -> str:
    """Return the token in a file, its only line. Raises Why502Error if others may read it, or it is not usable."""
    hint = f"It has one line of {LEAST_TOKEN} to {MOST_TOKEN} characters: (umask 077; openssl rand -hex 32 > FILE)."
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Why502Error(f"{path} is not a file", hint)
            if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise Why502Error(f"{path} can be read by everybody, or changed by its group", hint)
            token = os.read(descriptor, MOST_TOKEN + 2).decode("ascii").strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", hint) from error
    except UnicodeDecodeError as error:
        raise Why502Error(f"{path} is not plain ASCII text", hint) from error
    if not LEAST_TOKEN <= len(token) <= MOST_TOKEN or not token.isprintable() or " " in token:
        raise Why502Error(f"{path} does not have a usable token", hint)
    return token


def new_token() -> str:
    """Return a token that nobody can guess (256 bits)."""
    return secrets.token_urlsafe(32)


def with_token(settings: Settings) -> Settings:
    """Return the settings with a new token."""
    return replace(settings, token=new_token())
