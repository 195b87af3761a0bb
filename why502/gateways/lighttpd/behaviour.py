"""How lighttpd behaves where gateways differ.

Measured with 1.4.69 (docs/gateways/lighttpd.md): a backend that closes or resets before an answer is a 500 of lighttpd's own,
and the first of both leaves no line. Source: src/gw_backend.c, src/mod_proxy.c, src/mod_accesslog.c.
"""

from why502.gateways.apache.logs.log_format import read_as
from why502.gateways.behaviour import OF_MESSAGES, Behaviour
from why502.model.logs import Symptom

BEHAVIOUR = Behaviour(
    programs=frozenset({"lighttpd"}),
    services=frozenset({"lighttpd"}),
    passes_host=True,
    forwards_upgrade=False,
    keeps_addresses=True,
    tells_resets=False,
    answers_500_to=frozenset({Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER}),
    has_balancers=True,
    unplaced=OF_MESSAGES | frozenset({Symptom.NO_LIVE_UPSTREAMS}),
    places_own_statuses=True,
    usual_read_s=60.0,
    read_as=read_as,  # accesslog.format has the directives of Apache's LogFormat
)
