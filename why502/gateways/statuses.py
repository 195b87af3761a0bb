"""Which gateway returns which HTTP status for which reason.

A status alone does not show the cause: first find out which server returned it. What the products return is in
`gateways/<product>/statuses.py`: `STATUSES` (when, and the causes), `RANK`, and `TITLES` and `NO_FAILURES` of statuses that no
other product has. Here is what every gateway or backend may return.

Source of the titles: RFC 9110, section 15.
"""

from __future__ import annotations

from why502 import registry
from why502.model.base import Value


class Maker(Value, frozen=True, kw_only=True):
    """A gateway that returns the status, `when`, and for which causes, the most common first."""

    proxy: str
    when: str
    causes: tuple[str, ...]


class Status(Value, frozen=True, kw_only=True):
    """A status. `is_failure`: the request to the backend failed, or may have failed."""

    title: str
    makers: tuple[Maker, ...]
    is_failure: bool = True


_ITSELF = "it returned the status itself: "
_TITLES = {
    "000": "no status at all",
    "400": "Bad Request",
    "403": "Forbidden",
    "404": "Not Found",
    "408": "Request Timeout",
    "413": "Content Too Large",
    "414": "URI Too Long",
    "421": "Misdirected Request",
    "426": "Upgrade Required",
    "429": "Too Many Requests",
    "431": "Request Header Fields Too Large",
    "499": "the client closed the connection first; in the log only",
    "500": "Internal Server Error",
    "502": "Bad Gateway: the backend sent no usable response",
    "503": "Service Unavailable",
    "504": "Gateway Timeout",
}
_NO_FAILURES = frozenset({"400", "403", "404", "408", "413", "414", "421", "431"})
_USUALLY = {
    "500": ("any backend", "the application failed: by far the most common case", "application-error upstream-error-status")
}
_ALSO = {
    "000": ("curl", "no response: nothing listens, or the connection was interrupted", "proxy-not-running connect-timeout"),
    "400": (
        "any backend",
        "plain HTTP to a TLS port, or a header that it does not accept",
        "wrong-protocol wrong-host-header request-header-too-big",
    ),
    "403": ("any", "a rule denied the request", "denied-by-rule ajp-secret-mismatch auth-service-failed"),
    "408": ("any", "the client sent its request too slowly", "client-timeout"),
    "421": ("any backend", "the Host header does not match the server name of the connection", "wrong-host-header"),
    "426": ("any backend", "Upgrade and Connection were not forwarded", "websocket-upgrade-missing wrong-protocol"),
    "429": ("any", "a limit of the proxy or of the backend", "rate-limited"),
    "431": ("any", "a header is larger than allowed", "request-too-large request-header-too-big"),
    "502": ("any backend", f"{_ITSELF}often a second proxy behind the first", "upstream-error-status"),
    "503": ("any backend", f"{_ITSELF}overload, a deployment, maintenance", "upstream-error-status"),
    "504": ("any backend", f"{_ITSELF}often a second proxy behind the first", "upstream-error-status"),
}


def _maker(proxy: str, when: str, causes: str) -> Maker:
    return Maker(proxy=proxy, when=when, causes=tuple(causes.split()))


def _all() -> dict[str, Status]:
    """Return every status that a product, or any of them, may return."""
    products = sorted(registry.parts("why502.gateways", "statuses"), key=lambda each: each.RANK)
    titles = dict(_TITLES)
    harmless = set(_NO_FAILURES)
    makers: dict[str, list[Maker]] = {code: [_maker(*row)] for code, row in _USUALLY.items()}
    for product in products:
        name = product.__name__.split(".")[-2].replace("_", "-")
        titles |= getattr(product, "TITLES", {})
        harmless |= getattr(product, "NO_FAILURES", frozenset())
        for code, (when, causes) in product.STATUSES.items():
            makers.setdefault(code, []).append(_maker(name, when, causes))
    for code, row in _ALSO.items():
        makers.setdefault(code, []).append(_maker(*row))
    return {
        code: Status(title=titles[code], makers=tuple(makers[code]), is_failure=code not in harmless) for code in sorted(makers)
    }


STATUSES = _all()
