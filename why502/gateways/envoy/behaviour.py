"""How Envoy behaves where gateways differ.

Sources: docs/root/faq/configuration/timeouts.rst; docs/root/configuration/http/http_conn_man/headers.rst (host). Seen with 1.40:
a reset and a close of a connection are both `connection_termination` (UC), in its log and in its counters.
"""

from why502.gateways.behaviour import Behaviour
from why502.model.config import sends_proxy_header

BEHAVIOUR = Behaviour(
    programs=frozenset({"envoy"}),
    services=frozenset({"envoy"}),
    passes_host=True,
    keeps_connections=True,
    tells_failed_checks=True,
    tells_resets=False,
    usual_read_s=15.0,
    sends_preface=sends_proxy_header,
)
