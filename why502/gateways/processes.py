"""The processes and units that are gateways: events about them concern the proxy, not a backend."""

from __future__ import annotations

import re

from msgspec.structs import replace

from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

# Not httpd: behind another proxy it is often the application.
_PROGRAMS = {
    "nginx": "nginx",
    "openresty": "nginx",
    "haproxy": "haproxy",
    "envoy": "envoy",
    "traefik": "traefik",
    "caddy": "caddy",
    "varnishd": "varnish",
    "varnish": "varnish",
    "cache-main": "varnish",
}
# The units' names in distributions: systemd before 246 gives nothing else about a failed start.
_DESCRIPTION = lazy(
    r"Failed to start (?:(?:the|an?|lsb:|starts?|startup script for) )*"
    r"(?:(?P<name>nginx|openresty|haproxy|envoy|traefik|caddy|varnish)\b(?! ?(?:\w+ )?(?:exporter|agent|amplify|unit"
    r"|controller|log))"
    r"|high performance web server and a reverse proxy)",
    re.IGNORECASE,
)
_MEANS = {
    Symptom.PROCESS_CRASHED: (Symptom.PROXY_WORKER_DIED, Phase.PROCESS),
    Symptom.PROCESS_EXITED: (Symptom.PROXY_START_FAILED, Phase.STARTUP),
    Symptom.START_FAILED: (Symptom.PROXY_START_FAILED, Phase.STARTUP),
    Symptom.RESTART_LOOP: (Symptom.PROXY_START_FAILED, Phase.STARTUP),
    Symptom.PROCESS_STOPPED: (Symptom.PROXY_STOPPED, Phase.PROCESS),
}


def as_gateway(record: LogRecord | None) -> LogRecord | None:
    """Return the record; if it is about a gateway's own process or unit, attributed to that gateway."""
    if record is None:
        return None
    name = record.unit.removesuffix(".service") or record.process.partition(":")[0].strip()
    product = _PROGRAMS.get(name) or (_described(record.detail) if not name else None)
    if product is None or record.symptom not in _MEANS:
        return record
    symptom, phase = _MEANS[record.symptom]
    return replace(record, proxy=product, symptom=symptom, phase=phase)


def _described(text: str) -> str | None:
    match = _DESCRIPTION.match(text)
    return _PROGRAMS[(match["name"] or "nginx").lower()] if match else None
