"""The request's protocol does not match the target (gRPC to an HTTP/1 group).

ALB returns 464. Envoy logs UPE for the client connection.

## Do not confuse with
- `wrong-protocol`: the mismatch is between the proxy and the backend.

## Confirm
- Compare the target group's protocol version with the protocol that the client uses.

## Fix
- Use a target group with that protocol version, or route such requests to another group.

## References
- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.cause import Cause
from why502.model.finding import Layer, Risk, Severity
from why502.model.logs import Symptom


@rule(33, "grpc-without-http2", Severity.WARNING)
def grpc_without_http2(deployment: Deployment) -> Iterator[Risk]:
    """A server passes requests to a gRPC backend but does not accept HTTP/2 from clients.

    gRPC needs HTTP/2 on both connections. Its clients fail before the proxy reads a request.
    """
    every = [listen.split() for server in deployment.servers for listen in server.listens]
    if any({"http2", "quic"} & set(words[1:]) for words in every):
        return
    for route in deployment.routes_of("grpc", "grpcs"):
        level = deployment.level(route)
        if route.directive == "grpc_pass" and deployment.is_whole and level and level.is_known and level.first("http2") != "on":
            on = "`http2 on;`" if deployment.since(1, 25, 1) else "`http2` to its listen directive"
            yield risk("this server passes to gRPC and does not speak HTTP/2 with clients", route.at, f"add {on}")


CAUSE = Cause(
    id="client-protocol-incompatible",
    layer=Layer.CLIENT,
    message="the request's protocol does not match the target (gRPC to an HTTP/1 group)",
    symptoms={Symptom.CLIENT_PROTOCOL: 5.0},
    foresee=(grpc_without_http2,),
)
