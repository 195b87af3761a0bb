"""How HAProxy behaves where gateways differ. Sources: its configuration manual, `bind` (accept-proxy), `server` (send-proxy)."""

from __future__ import annotations

from collections.abc import Sequence

from why502.gateways.behaviour import Behaviour, Demand, Listen
from why502.model.config import sends_proxy_header
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.target import Target


def _wants(_proxy: Proxy, _target: Target, found: Sequence[Listen], _processes: Sequence[Process]) -> Demand | None:
    """Read only `bind … accept-proxy`: without it a rule (`expect-proxy`) may still require the header."""
    demanding = next((word for word, route in found if route is not None and "accept-proxy" in word.split()), "")
    return (True, f"HAProxy's `bind {demanding}`") if demanding else None


BEHAVIOUR = Behaviour(
    preface_in_front="`send-proxy` or `send-proxy-v2`",
    preface_behind="`bind … accept-proxy`",
    programs=frozenset({"haproxy"}),
    services=frozenset({"haproxy"}),
    passes_host=True,
    keeps_addresses=True,
    tells_failed_checks=True,
    check_codes=("L4TOUT", "L6TOUT", "L7TOUT"),  # those that timed out: the check's own limit may be too short
    handshake_code="SC",
    starts_workers_to_load=True,
    read_timeout="timeout server",
    worker_limit="maxconn",
    binds_lead_to_routes=True,
    sends_preface=sends_proxy_header,
    wants_preface=_wants,
)
