"""Kong: the messages that it answers itself, in the body's `message`.

Source: kong/error_handlers.lua, kong/runloop/handler.lua. Its error log is that of nginx, with the Lua of its balancer in it.
"""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

PRODUCT = Product(
    name="kong",
    title="Kong",
    about=(
        "An answer with the header `X-Kong-Response-Latency` was made by Kong itself, one with `X-Kong-Upstream-Latency` came from the"
        " backend. The nginx error log at that second holds the reason."
    ),
    codes=table(
        code("no Route matched with those values", "no route matches", Symptom.ROUTE_MISSING, "route-not-found", "404"),
        code("failure to get a peer from the ring-balancer", "every target of the upstream is unhealthy, or there is none", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down no-upstream-members health-check-misconfigured", "503"),
        code("name resolution failed", "the host of the service or target does not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found dns-resolver-failure", "503"),
        code("An invalid response was received from the upstream server", "the connection failed or broke, or the response was invalid; the error log tells which", Symptom.CLOSED_BEFORE_HEADER, "backend-not-running premature-close invalid-response connection-reset wrong-protocol", "502"),
        code("The upstream server is timing out", "the connection or the response took longer than the service's timeouts", Symptom.READ_TIMED_OUT, "backend-too-slow connect-timeout proxy-timeout-too-short", "504"),
        code("API rate limit exceeded", "a plugin for rate limiting refused", Symptom.RATE_LIMITED, "rate-limited", "429"),
    ),
    next=(
        "curl -s localhost:8001/upstreams/NAME/health",
        "curl -s localhost:8001/services/NAME",
        "tail -n 100 /usr/local/kong/logs/error.log",
    ),
    references=("https://developer.konghq.com/gateway/",),
)  # fmt: skip
