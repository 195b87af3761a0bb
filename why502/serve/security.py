"""What every request passes: who may ask, from where, how much, and which headers every answer has. An ASGI middleware.

DNS rebinding: a page of an attacker whose name suddenly means 127.0.0.1 sends its own name in `Host`; an IP address there was
never looked up, so it is accepted. Forgery: a browser sends `Origin` with every POST, and `Sec-Fetch-Site` with everything
(W3C Fetch Metadata); only a link may be followed from another site.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from why502.serve.settings import Settings

COOKIE = "why502"
COOKIE_S = 30 * 86_400
TARGET_BYTES = 8 << 10  # of the path and query of a request
HEAD_BYTES = 16 << 10  # of its headers
BODY_BYTES = 64 << 10  # of a request, unless its page accepts more
BODY_S = 30.0  # within which a body must arrive, and a part of an answer must be taken
AT_ONCE = 64  # requests that are worked on; streams are counted apart
STREAMS = 200
ENTRANCE = "/enter"  # where the token is given
OPEN_PATHS = ("/static/",)  # without a token: our own files

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with `no-referrer` a browser sends `Origin: null` with our own forms (Fetch, 3.1)
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE = ("GET", "HEAD")
_METHODS = (*_SAFE, "POST")


class Refused(Exception):
    """A request that is not answered. `status` of HTTP; `message` and `hint` for people."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


class ClientGone(Exception):
    """The client does not take the answer."""


class Started:
    """A sender that knows whether an answer was begun: it cannot be replaced then."""

    __slots__ = ("_is_begun", "_send")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_begun = False

    def __bool__(self) -> bool:
        return self._is_begun

    async def __call__(self, message: Message) -> None:
        """Send."""
        self._is_begun = True
        await self._send(message)


@dataclass(slots=True)
class Guard:
    """The middleware. `bodies`: the largest body by path.

    `refuse` answers a request that is refused (`scope["refused"]`), `fail` one that an error of ours ended (`scope["failed"]`);
    `entrance` asks for the token.
    """

    app: ASGIApp
    settings: Settings
    bodies: Mapping[str, int]
    refuse: ASGIApp
    fail: ASGIApp
    entrance: ASGIApp
    _busy: int = 0
    _streams: int = 0
    _hosts: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        hosts = {"localhost", *(name.lower() for name in self.settings.names)}
        if self.settings.url:
            hosts.add(urlsplit(self.settings.url).hostname or "")
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        scope = self._below_base(scope)
        guarded = _sending(scope, send)
        try:
            _check_head(scope)
            app = self._admitted(scope)
            limit = self.bodies.get(scope["path"], BODY_BYTES)
            _check_length(Headers(scope=scope), limit)
        except Refused as refused:
            scope["refused"] = refused
            await self.refuse(scope, receive, guarded)
            return
        started = Started(guarded)
        try:
            await self._counted(app, scope, _receiving(receive, limit), started)
        except ClientGone:
            return
        except Exception as error:
            scope["failed"] = error
            if started:
                raise
            await self.fail(scope, receive, guarded)

    def _below_base(self, scope: Scope) -> Scope:
        """Return a request without the path of `--url` that a reverse proxy may have left in its address."""
        base = self.settings.base
        if not base or not (scope["path"] == base or scope["path"].startswith(f"{base}/")):
            return scope
        return {
            **scope,
            "path": scope["path"].removeprefix(base) or "/",
            "raw_path": scope["raw_path"].removeprefix(base.encode()) or b"/",
        }

    async def _counted(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless too many requests are worked on."""
        is_stream = scope["path"].startswith("/live/")
        if (self._streams >= STREAMS) if is_stream else (self._busy >= AT_ONCE):
            scope["refused"] = Refused(503, "too many requests at once", "Try again in a few seconds.")
            await self.refuse(scope, receive, send)
            return
        self._streams += is_stream
        self._busy += not is_stream
        try:
            await app(scope, receive, send)
        finally:
            self._streams -= is_stream
            self._busy -= not is_stream

    def _admitted(self, scope: Scope) -> ASGIApp:
        """Return what answers a request. Raises Refused."""
        headers = Headers(scope=scope)
        if scope["method"] not in _METHODS:
            raise Refused(405, f"{scope['method'][:20]} is not allowed here")
        host = self._check_host(headers)
        self._check_site(scope["method"], headers, host)
        is_open = any(scope["path"].startswith(path) for path in OPEN_PATHS)
        if is_open or not self.settings.token or scope["path"] == ENTRANCE or self.is_known(headers):
            return self.app
        return self.entrance

    def _check_host(self, headers: Headers) -> str:
        """Return the host that the client names, with its port. Raises Refused."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not is_host(hosts[0], self._hosts):
            raise Refused(
                421,
                "this address is not known here",
                "Open it by its IP address or as localhost, or start `why502 serve` with --url and the name that you use.",
            )
        return hosts[0].lower()

    def _check_site(self, method: str, headers: Headers, host: str) -> None:
        """Raises Refused where another site had the browser send this."""
        site, mode = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-mode", "")
        is_own = site in ("", "none", "same-origin")
        if method in _SAFE:
            if not is_own and mode != "navigate":
                raise Refused(403, "another site may only link to this one")
            return
        origins = headers.getlist("origin")
        if not is_own or len(origins) > 1:
            raise Refused(403, "this form was sent by another site")
        if origins and not self._is_own_origin(origins[0].lower(), host):
            raise Refused(403, "this form was sent by another site", "If a reverse proxy is in front, start with --url.")
        if not origins and (site or "cookie" in headers):
            raise Refused(403, "the browser did not say which site sent this form")

    def _is_own_origin(self, origin: str, host: str) -> bool:
        return origin == self.settings.origin or origin in (f"http://{host}", f"https://{host}")

    def is_known(self, headers: Headers) -> bool:
        """Return whether a request has the token: the cookie of a browser, or `Authorization: Bearer`."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_token(given.strip(), self.settings):
            return True
        expected = cookie_of(self.settings).encode()
        return any(hmac.compare_digest(value.encode(), expected) for value in _cookies(headers))


def is_token(given: str, settings: Settings) -> bool:
    """Return whether a text is the token; the time that takes does not tell how much of it is right."""
    return bool(settings.token) and hmac.compare_digest(given.encode(), settings.token.encode())


def cookie_of(settings: Settings) -> str:
    """Return the value of the cookie: it proves that the token was known, and does not contain it."""
    return hmac.new(settings.token.encode(), b"why502 serve: cookie", hashlib.sha256).hexdigest()


def _cookies(headers: Headers) -> list[str]:
    found = []
    for header in headers.getlist("cookie"):
        try:
            jar = SimpleCookie(header)
        except CookieError:
            continue
        if COOKIE in jar:
            found.append(jar[COOKIE].value)
    return found


def is_host(text: str, names: frozenset[str]) -> bool:
    """Return whether a value of `Host` is an IP address or one of the names, with any port."""
    try:
        parts = urlsplit(f"//{text}")
        name = (parts.hostname or "").rstrip(".")
        if parts.netloc != text or parts.username is not None or parts.password is not None or (parts.port or 1) < 0:
            return False
    except ValueError:
        return False
    if name in names:
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _check_head(scope: Scope) -> None:
    """Raises Refused where an address or the headers are too long."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > TARGET_BYTES:
        raise Refused(414, "this address is too long")
    if sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"]) > HEAD_BYTES:
        raise Refused(431, "the headers of the request are too long")


def _check_length(headers: Headers, limit: int) -> None:
    """Raises Refused where a client announces too long a body."""
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()) or int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Refused:
    """Return the refusal of a body."""
    return Refused(
        413, f"the request has more than {limit >> 10} KiB", "Send less, or use the command line, which has no such limit."
    )


def _receiving(receive: Receive, limit: int) -> Receive:
    """Return a receiver that raises Refused where a body is too long, or takes too long."""
    loop = asyncio.get_running_loop()
    until_s, received, is_complete = loop.time() + BODY_S, 0, False

    async def bounded() -> Message:
        nonlocal received, is_complete
        if is_complete:  # waiting for the client to go away takes as long as it takes
            return await receive()
        try:
            async with asyncio.timeout_at(until_s):
                message = await receive()
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {BODY_S:g} s") from None
        received += len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        if received > limit:
            raise too_large(limit)
        return message

    return bounded


def _sending(scope: Scope, send: Send) -> Send:
    """Return a sender that adds our headers, and gives up on clients that do not read."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if not scope["path"].startswith(OPEN_PATHS) or message["status"] >= HTTPStatus.BAD_REQUEST:
                headers["cache-control"] = "no-store"
        try:
            async with asyncio.timeout(BODY_S):
                await send(message)
        except TimeoutError as error:
            raise ClientGone from error

    return guarded
