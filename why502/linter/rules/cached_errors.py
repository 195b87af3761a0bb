"""Caches that keep errors."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.model.finding import Risk, Severity

_LONG_S = 300
_VALID = ("proxy_cache_valid", "fastcgi_cache_valid", "uwsgi_cache_valid", "scgi_cache_valid")


@rule(184, "errors-cached", Severity.NOTE, "upstream-error-status")
def cached(deployment: Deployment) -> Iterator[Risk]:
    """The cache keeps errors of the backend.

    `proxy_cache_valid any` includes 500, 502 and 503: one failure is answered from the cache long after the backend has
    recovered.
    """
    for _, directive in deployment.uses(*_VALID):
        errors = [word for word in directive.args[:-1] if word == "any" or word[:1] == "5"]
        kept_s = units.time(directive.args[-1]) if len(directive.args) > 1 else None
        if errors and kept_s:
            message = f"errors of the backend are kept for {directive.args[-1]}"
            severity = Severity.WARNING if kept_s >= _LONG_S else None
            yield risk(message, directive.at, "name statuses: 200 301 302 404", severity=severity)
