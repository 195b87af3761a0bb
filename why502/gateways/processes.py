"""The processes and units that are gateways: events about them concern the proxy, not a backend."""

from __future__ import annotations

import re

from msgspec.structs import replace

from why502.gateways.behaviour import of_description, of_service
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy

# The unit's description: systemd before 246 gives nothing else about a failed start.
_FAILED = lazy(r"Failed to start (?:(?:the|an?|lsb:|starts?|startup script for) )*+(?P<rest>.*)", re.IGNORECASE)
_NAME = lazy(r"(?P<name>\w+)\b(?! ?(?:\w+ )?(?:exporter|agent|amplify|unit|controller|log))", re.IGNORECASE)
_MEANS = {
    Symptom.PROCESS_CRASHED: (Symptom.PROXY_WORKER_DIED, Phase.PROCESS),
    Symptom.PROCESS_EXITED: (Symptom.PROXY_START_FAILED, Phase.STARTUP),
    Symptom.START_FAILED: (Symptom.PROXY_START_FAILED, Phase.STARTUP),
    Symptom.RESTART_LOOP: (Symptom.PROXY_START_FAILED, Phase.STARTUP),
    Symptom.PROCESS_STOPPED: (Symptom.PROXY_STOPPED, Phase.PROCESS),
    Symptom.PROCESS_RELOADED: (Symptom.PROXY_RELOADED, Phase.PROCESS),
}


def as_gateway(record: LogRecord | None) -> LogRecord | None:
    """Return the record; if it is about a gateway's own process or unit, attributed to that gateway."""
    if record is None:
        return None
    name = record.unit.removesuffix(".service") or record.process.partition(":")[0].strip()
    product = of_service(name) or (_described(record.detail) if not name else None)
    if product is None or record.symptom not in _MEANS:
        return record
    symptom, phase = _MEANS[record.symptom]
    return replace(record, proxy=product, symptom=symptom, phase=phase)


def _described(text: str) -> str | None:
    failed = _FAILED.match(text)
    if failed is None:
        return None
    rest = failed["rest"].lower()
    named = _NAME.match(rest)
    return of_description(rest) or (of_service(named["name"]) if named else None)
