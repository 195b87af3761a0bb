"""HTTP requests to receivers: bounded in time and size, through a proxy if there is one, never redirected."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from msgspec import Meta

from why502.version import __version__
from why502.watch.notify.base import ReceiverSettings, Undelivered, check_path, check_url, reason_of, secret
from why502.watch.notify.connection import connect, failure_of, tls

ANSWER_BYTES = 64 << 10
LONGEST_PAUSE_S = 3600.0  # of Retry-After
REFUSED = frozenset({400, 413, 414, 415, 422})  # the content; other statuses may be mended by the receiver or in the settings
DIRECT = "none"  # a proxy setting

Seconds = Annotated[float, Meta(ge=1, le=60)]


class HttpSettings(ReceiverSettings, frozen=True, kw_only=True):
    """The keys of receivers that are spoken to by HTTP.

    `token_file`: sent as a bearer token; `user` and `password_file`: as basic authentication. `proxy`: its URL; "" for the one of
    the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); "none" for none.
    """

    token_file: str = ""
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    proxy: str = ""
    timeout_s: Seconds = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("token_file", "password_file", "ca_file", "certificate_file", "key_file"):
            check_path(name, getattr(self, name))
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file belong together")
        if self.user and self.token_file:
            raise ValueError("set token_file, or user and password_file, but not both")
        if self.proxy and self.proxy != DIRECT:
            check_url("proxy", self.proxy)
            if not self.proxy.startswith("http://"):
                raise ValueError("proxy must begin with http://: the connection to it is not encrypted, only that through it")


def secret_url(path: str) -> str:
    """Return the URL in a file: it is a secret. Raises Undelivered."""
    url = secret(path)
    try:
        check_url("the URL", url)
    except ValueError as error:
        raise Undelivered(f"{path}: {error}") from error
    return url


@dataclass(slots=True, frozen=True, kw_only=True)
class Answer:
    """The answer to a request; the body is cut. `sent_at`: by the clock of the server, None if it does not tell."""

    status: int
    body: bytes
    sent_at: datetime | None = None
    retry_after_s: float | None = None


def post(url: str, body: bytes, headers: Mapping[str, str], settings: HttpSettings) -> Answer:
    """Send a body of JSON. Return the answer, whose status is 200 to 299. Raises Undelivered."""
    return request("POST", url, body, {"Content-Type": "application/json", **headers}, settings)


def request(method: str, url: str, body: bytes | None, headers: Mapping[str, str], settings: HttpSettings) -> Answer:
    """Send a request, and return its answer if the status is 200 to 299. Raises Undelivered."""
    credentials = _credentials(settings)
    parts = urlsplit(url)
    deadline_s = time.monotonic() + settings.timeout_s
    place = f"{parts.hostname}:{_port(parts)}"
    try:
        answer = _exchange(
            method, parts, body, {"User-Agent": f"why502/{__version__}", **headers, **credentials}, settings, deadline_s
        )
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Undelivered(f"{place}: {failure_of(error)}") from error
    if 200 <= answer.status < 300:
        return answer
    reason = reason_of(answer.body.decode("utf-8", "replace"), (*_words(credentials), parts.path[1:], parts.query))
    raise Undelivered(
        f"{place}: answered {answer.status}{f': {reason}' if reason else ''}",
        retry_after_s=answer.retry_after_s if answer.status in (429, 503) else None,
        is_final=answer.status in REFUSED,
    )


def _exchange(
    method: str, parts: SplitResult, body: bytes | None, headers: Mapping[str, str], settings: HttpSettings, deadline_s: float
) -> Answer:
    proxy = _proxy(parts, settings)
    connection = _connection(parts, proxy, settings, deadline_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if proxy and parts.scheme == "http":
        path, headers = f"http://{parts.netloc}{path}", {**headers, **_proxy_headers(proxy)}
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES)
        return Answer(
            status=response.status,
            body=content,
            sent_at=_date(response.getheader("Date")),
            retry_after_s=pause_s(response.getheader("Retry-After"), datetime.now(UTC)),
        )
    finally:
        connection.close()


def _connection(
    parts: SplitResult, proxy: SplitResult | None, settings: HttpSettings, deadline_s: float
) -> http.client.HTTPConnection:
    """Return a connection, already made."""
    host, port = str(parts.hostname), _port(parts)
    near = (str(proxy.hostname), _port(proxy)) if proxy else (host, port)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = connect(*near, deadline_s)
    try:
        if parts.scheme == "https":
            if proxy:
                _open_tunnel(connection, host, port, _proxy_headers(proxy))
            context = tls(deadline_s, settings.ca_file, settings.certificate_file, settings.key_file)
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
    except BaseException:
        connection.close()
        raise
    return connection


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _open_tunnel(connection: http.client.HTTPConnection, host: str, port: int, headers: Mapping[str, str]) -> None:
    """Have the proxy connect us to the receiver (RFC 9110, 9.3.6)."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    connection.send("\r\n".join(lines).encode("ascii"))
    response = http.client.HTTPResponse(connection.sock, method="CONNECT")
    response.begin()
    response.close()
    if not 200 <= response.status < 300:
        raise Undelivered(f"the proxy answered {response.status} when asked for {place}")


def _proxy(parts: SplitResult, settings: HttpSettings) -> SplitResult | None:
    if settings.proxy:
        return None if settings.proxy == DIRECT else urlsplit(settings.proxy)
    if proxy_bypass(f"{parts.hostname}:{_port(parts)}"):
        return None
    url = getproxies_environment().get(parts.scheme, "")
    found = urlsplit(url if "://" in url else f"http://{url}") if url else None
    if found and found.scheme != "http":
        raise Undelivered(f"the proxy of the environment is {found.scheme}://, and only http:// is supported")
    return found if found and found.hostname else None


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    return {"Proxy-Authorization": _basic(unquote(proxy.username), unquote(proxy.password or ""))}


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _credentials(settings: HttpSettings) -> dict[str, str]:
    if settings.token_file:
        return {"Authorization": f"Bearer {_header_value(secret(settings.token_file), settings.token_file)}"}
    if settings.user:
        return {"Authorization": _basic(settings.user, secret(settings.password_file))}
    return {}


def _header_value(value: str, path: str) -> str:
    if not value.isascii():
        raise Undelivered(f"{path} contains characters that a header must not have")
    return value


def _words(credentials: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(value.partition(" ")[2] for value in credentials.values())


def pause_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3), an hour at most; None without one."""
    if not value:
        return None
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(float(value), LONGEST_PAUSE_S)
    at = _date(value)
    return min(max((at - now).total_seconds(), 0.0), LONGEST_PAUSE_S) if at else None


def _date(value: str | None) -> datetime | None:
    """Return the time of a Date header (RFC 9110, 5.6.7); None for anything else."""
    try:
        at = parsedate_to_datetime(value[:100]) if value else None
    except (TypeError, ValueError):
        return None
    return at.replace(tzinfo=at.tzinfo or UTC) if at else None
