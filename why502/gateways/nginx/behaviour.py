"""How nginx behaves where gateways differ.

Sources: ngx_http_proxy_module (`proxy_ssl_verify`, `proxy_ssl_name`), ngx_http_core_module and ngx_stream_proxy_module
(`proxy_protocol`), and its change log: since 1.23.0 duplicate response header lines are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from why502.gateways.behaviour import Behaviour, Demand, Listen
from why502.gateways.listens import EVERY_HOST, listen_host
from why502.model.config import Route
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.target import Target


def _sends(route: Route) -> bool | None:
    if route.protocol != "tcp":
        return False
    setting = route.setting("proxy_protocol")
    return True if setting is not None and setting.args == ("on",) else None  # it may pass on the client's own header


def _wants(_proxy: Proxy, _target: Target, found: Sequence[Listen], _processes: Sequence[Process]) -> Demand | None:
    """`proxy_protocol` of one `listen` applies to all of its address; a stream server without it may forward the header."""
    fitting = list({id(route): route for _, route in found if route is not None}.values())
    words = [word for word, _ in found]
    if exact := [word for word in words if listen_host(word) not in EVERY_HOST]:
        words = exact
    demanding = next((word for word in words if "proxy_protocol" in word.split()), "")
    if demanding:
        return True, f"nginx's `listen {demanding}`"
    if not fitting or any(route.protocol == "tcp" for route in fitting):
        return None
    return False, f"nginx's `listen {words[0]}` ({fitting[0].server_at or fitting[0].at})"


BEHAVIOUR = Behaviour(
    preface_in_front="stream `proxy_protocol on`",
    preface_behind="`listen … proxy_protocol`",
    programs=frozenset({"nginx"}),
    services=frozenset({"nginx", "openresty"}),
    description="high performance web server and a reverse proxy",
    keeps_addresses=True,
    tries_each_address=True,
    forwards_upgrade=False,
    verifies_default_name=True,
    verifies_without_trusted=True,
    strict_since=(1, 23),
    routes_have_listens=True,
    logs_name_server=True,
    places_own_statuses=False,
    is_placed_by_protocol=False,
    sends_preface=_sends,
    wants_preface=_wants,
    takes_directives=True,
    connects_as_configured=True,
    is_found_by_program=True,
    full_is_no_upstream=True,
    zero_expires=True,
    worker_limit_counts_sockets=True,
    access_format="nginx_access",
    error_format="nginx_error",
)
