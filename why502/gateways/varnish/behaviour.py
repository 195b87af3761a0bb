"""How Varnish behaves where gateways differ. Source: varnishd(1), -a; vcl(7), `.proxy_header`."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from itertools import pairwise

from why502.gateways.behaviour import Behaviour, Demand, Listen
from why502.gateways.listens import accepts_target
from why502.model.config import sends_proxy_header
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.target import Target


def _wants(proxy: Proxy, target: Target, _found: Sequence[Listen], processes: Sequence[Process]) -> Demand | None:
    """Read its option -a: `-a [NAME=]ADDRESS[,PROTO]`."""
    process = next((process for process in processes if process.pid == proxy.pid), None)
    argv = process.argv if process and posixpath.basename(process.argv[0] if process.argv else "") == "varnishd" else ()
    for option, value in pairwise(argv):
        if option != "-a":
            continue
        address, *words = value.partition("=")[2].split(",") if "=" in value.split(",")[0] else value.split(",")
        if accepts_target(address, target):
            return ("PROXY" in words), f"Varnish's `-a {value}`"
    return None


BEHAVIOUR = Behaviour(
    preface_behind="`-a …,PROXY`",
    log_program="varnishncsa",
    programs=frozenset({"varnishd"}),
    services=frozenset({"varnishd", "varnish", "cache-main"}),
    passes_host=True,
    keeps_addresses=True,
    sends_preface=sends_proxy_header,
    wants_preface=_wants,
)
