"""How Caddy behaves where gateways differ.

Source: its messages, which name no backend in all cases (reverseproxy.go), and what Go's errors leave out: of a certificate, a
name.
"""

from why502.gateways.behaviour import OF_MESSAGES, Behaviour
from why502.gateways.caddy.config.routes import ASKED, WAIT
from why502.gateways.caddy.logs import CHECK
from why502.model.logs import Symptom
from why502.model.patterns import lazy

BEHAVIOUR = Behaviour(
    programs=frozenset({"caddy"}),
    services=frozenset({"caddy"}),
    passes_host=True,
    check_codes=(CHECK,),
    connects_as_configured=True,
    tries_each_address=True,  # Go: net/dial.go, dialSerial
    refuses_long_requests=True,
    asked_first=ASKED,
    read_timeout=WAIT,
    # Beside these it writes its environment, and what it does itself.
    journal_line=lazy(r"(?m)^[^\n]*\bhttp\.(?:log|handlers|reverse)[^\n]*\n?"),
    unplaced=OF_MESSAGES
    | {
        Symptom.TLS_UNVERIFIED,
        Symptom.TLS_FAILED,
        Symptom.TLS_NOT_TLS,
        Symptom.TLS_TIMED_OUT,
        Symptom.TLS_REQUEST_EXPECTED,
        Symptom.TLS_CLIENT_CERTIFICATE,
        Symptom.NO_STATUS_LINE,
        Symptom.HEADER_TOO_BIG,
        Symptom.OTHER_PROTOCOL,
        Symptom.NO_LIVE_UPSTREAMS,
        Symptom.NAME_NOT_FOUND,
        Symptom.NAME_SERVER_FAILED,
        Symptom.SEND_FAILED,
        Symptom.STREAM_RESET,
    },
)
