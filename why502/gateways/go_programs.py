"""What gateways written in Go share: how durations are written ("1m30s", "500ms"), and net/http's limit of a response header.

Sources: pkg.go.dev/time#ParseDuration (Caddy adds "d"); net/http, MaxResponseHeaderBytes of Transport.
"""

from __future__ import annotations

from why502.model.patterns import lazy

HEADER_BYTES = 10 << 20
_DURATION = lazy(r"(\d{1,19}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str) -> float:
    """Return a duration in seconds; 0.0 if there is none."""
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(text[:64]))
