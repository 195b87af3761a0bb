"""rate-limited: nginx itself rejects requests by limit_req or limit_conn."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, zone: str, limit: str, delay_s: str = "0", log: str = "upstream") -> None:
    """Break it: more requests than the limit lets through."""
    stage.backend(3000, "--delay", delay_s)
    stage.nginx.start(f"{limit}\nproxy_pass http://127.0.0.1:{stage.port(3000)};", http=zone, log=log)
    stage.send_many(16, at_once=8)


fault = partial(Fault, cause="rate-limited", layer=Layer.PROXY, ongoing=None, statuses=frozenset({200, 503}))
requests = partial(
    build, zone="limit_req_zone $binary_remote_addr zone=perip:1m rate=1r/s;", limit="limit_req zone=perip burst=2 nodelay;"
)
FAULTS = (
    fault(
        name="rate-limited",
        message="limit_req: one request per second per address",
        build=requests,
        proves=(r"limiting requests, excess: [\d.]+ by zone \"perip\"",),
    ),
    fault(
        name="rate-limited-connections",
        message="limit_conn: two connections per address",
        build=partial(
            build, zone="limit_conn_zone $binary_remote_addr zone=conns:1m;", limit="limit_conn conns 2;", delay_s="0.1"
        ),
        proves=(r"limiting connections by zone \"conns\"",),
    ),
    fault(
        name="rate-limited-json-log",
        message="limit_req, access log in JSON",
        build=partial(requests, log="json"),
        proves=(r"limiting requests",),
    ),
)
