"""The upstream group is empty: no endpoint, no registered target, or a selector or service name that matches nothing.

The proxy answers 503 immediately and logs no address: ingress-nginx upstream `-`, ALB target `-`, HAProxy <NOSRV>, Envoy UH,
Traefik "no available server".

## Do not confuse with
- `health-check-misconfigured`: members exist but are marked unhealthy.
- `all-upstreams-down`: members exist but fail.

## Confirm
- `kubectl get endpointslices -l kubernetes.io/service-name=NAME` is empty, or the target group has no registered targets.

## Fix
- Correct the selector, or the service's name or port, or register a target.

## References
- https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.cause import Cause
from why502.model.finding import Layer, Risk, Severity
from why502.model.logs import Symptom


@rule(77, "backup-never-reached", Severity.WARNING)
def backup_never(deployment: Deployment) -> Iterator[Risk]:
    """A backup server can never be selected.

    nginx selects a backup only if no other server is available: during a retry, or while the others are marked as failed. Neither
    happens here, because retries are off and max_fails is 0.
    """
    seen = set()
    for route in deployment.routes:
        if id(route.peers) in seen or not ("off" in route.next_upstream or route.next_upstream_tries == 1):
            continue
        seen.add(id(route.peers))
        backups = [peer for peer in route.peers if peer.is_backup and not peer.is_down]
        primary = [peer for peer in route.peers if not peer.is_backup and not peer.is_down]
        if backups and primary and all(peer.max_fails == 0 for peer in primary):
            yield risk(f"{backups[0].name} is never tried", backups[0].at, "allow a retry, or keep max_fails at 1")


CAUSE = Cause(
    id="no-upstream-members",
    layer=Layer.PROXY,
    message="the upstream group is empty: no endpoint, no registered target, or a selector or service name that matches nothing",
    symptoms={Symptom.NO_MEMBERS: 5.0},
    foresee=(backup_never,),
)
