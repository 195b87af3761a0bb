"""The members are healthy, but the health check fails: path, host, port, expected code, timing.

All members are out of service although a direct request to them succeeds.

## Do not confuse with
- `all-upstreams-down`: the direct request fails too.

## Confirm
- Send exactly the same request as the check (path, Host, method, protocol) directly to a member.

## Fix
- Correct the check's path, Host header, expected status or port. Open the firewall for its source addresses.

## References
- https://docs.haproxy.org/2.6/configuration.html#4.2-option%20httpchk
- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis import containers
from why502.diagnosis.attribution import GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.peers import described, is_of_check, views_of
from why502.diagnosis.targets import addresses
from why502.model.config import Peer
from why502.model.container import Container
from why502.model.finding import FAIR, LIKELY, PROOF, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom, Tally
from why502.model.patterns import lazy
from why502.model.probe import SERVER_ERROR
from why502.model.proxy import ConfigTest, PeerState
from why502.model.remedy import UNPLACED, Edit, Remedy
from why502.model.request_line import uri_of
from why502.model.target import Target
from why502.model.words import words
from why502.remedies.changes import reload

_EFFECTS = frozenset({Symptom.NO_LIVE_UPSTREAMS, Symptom.GATEWAY_STATUS})  # what clients get once no server is left
UNNOTICED = timedelta(seconds=0.25)  # less than any check needs to notice that a server fails
SECOND = timedelta(seconds=1)  # many access logs do not show fractions of it
# What the gateway itself says of a server that no failed check keeps out.
_OTHERWISE = frozenset({PeerState.UP, PeerState.UNCHECKED, PeerState.MAINTENANCE, PeerState.DRAINING})
NOT_RUN = (126, 127)  # exit codes of a shell for a program that cannot be executed, or is not there
_NO_PROGRAM = lazy(r"executable file not found|not found\s{0,8}$|No such file or directory")
_DURATION = lazy(r"check duration: (\d{1,9})ms")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence: the check's own message, and that the member answers other requests."""
    if case.target is None:
        if (found := _of_container(case)) is not None:
            yield supports(found[0], f"{found[1].engine} inspect {found[1].name}", 2 * PROOF)
        yield from _silent(case)
        return
    tally = case.tally(Symptom.HEALTH_CHECK_STATUS)
    if not case.is_left_out or case.explains_notices:
        return
    served = _served_until(case)
    if tally is None:
        if containers.since_proxy(case):  # it may check an address that the name had before
            return
        yield from _of_check_alone(case, served)
        yield from _of_bytes(case)
        yield from _called_down(case)
        return
    message = f"the health check did not get the expected response ({tally.detail})" if tally.detail else "the health check fails"
    yield supports(f"{message}, and no server of the group was left", tally.source, LIKELY)
    answered = next(
        (probe for probe in case.probes if probe.symptom is None and probe.status and probe.status < SERVER_ERROR), None
    )
    if answered is not None:
        yield supports(f"it answers a probe with {answered.status}", "probe", FAIR)
    if served:
        yield supports(served, "access log", FAIR)


def _called_down(case: Case) -> Iterator[Evidence]:
    """Yield the evidence where no log tells why a check fails: the gateway calls the server down, and it answers."""
    answered = next((probe for probe in case.probes if probe.has_recovered), None)
    if answered is None or case.probe(*GAP) or case.failures:
        return
    for proxy, view in views_of(case.here, case.target):
        if view.state is PeerState.DOWN:
            yield supports(f"{described(proxy, view)}, and no server of the group was left", view.source, LIKELY)
            yield supports(f"it answers a probe{f' with {answered.status}' if answered.status else ''}", "probe", FAIR)
            return


def _of_container(case: Case) -> tuple[str, Container] | None:
    """Return why a container's health check is itself at fault, with the container; None if none is.

    Its program is missing in the image (126, 127), while something listens in the container; and a gateway waits for it.
    """
    for gateway in containers.stopped_gateways(case):
        for one in containers.trusted(case):
            waits = one.project == gateway.project and gateway.depends_on.get(one.service) == "service_healthy"
            if waits and one.health is not None and one.is_running and (why := _is_at_fault(one)):
                return f"the health check of {one.shown} {why}, so {gateway.shown}, which waits for it, is not started", one
    kinds = {proxy.kind for proxy in case.proxies if proxy.is_running} if case.seen(Symptom.ROUTE_MISSING) else set()
    for one in containers.trusted(case):
        left_out = sorted(kinds & {*one.gateways})
        if left_out and one.is_running and (why := _is_at_fault(one)):
            return f"the health check of {one.shown} {why}, so {left_out[0]} leaves out its route", one
    return None


def _is_at_fault(container: Container) -> str:
    """Return how a container's health check fails by itself although something listens in the container; "" if it does not."""
    check = container.health
    if check is None or check.status == "healthy" or not any(not one.is_loopback for one in container.listens or ()):
        return ""
    if check.status == "starting" and check.exit_code is None:
        return "has not run yet, although the application listens"
    if check.exit_code in NOT_RUN or _NO_PROGRAM.search(check.output):
        words = f": {check.output.strip()}" if check.output.strip() else ""
        return f"cannot run its own program ({' '.join(check.argv[1:])[:120]}){words[:200]}"
    return ""


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    found = _of_container(case) if case.target is None else None
    return found[0] if found else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the path that clients get in place of one that the check asks for in vain, or the check that the image can run."""
    found = _of_container(case) if case.target is None else None
    if found is None:
        yield from _other_path(case)
        return
    where = f" in {found[1].config_files[0]}" if found[1].config_files else ""
    if found[1].health is not None and found[1].health.status == "starting":
        yield Remedy(message=f"have it run sooner{where}: a shorter `interval`, or `start_interval` with `start_period`")
        return
    port = next((one.port for one in found[1].listens or () if not one.is_loopback), 0)
    yield Remedy(
        message=f"use a program that the image has{where}: "
        f'`healthcheck: {{test: ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:{port}/ || exit 1"]}}`'
    )


def _other_path(case: Case) -> Iterator[Remedy]:
    """Yield the edit of a check's path (HAProxy's `option httpchk`) to the one that clients got most often with 200."""
    places = {route.at for route in case.routes if route.at}
    setting = next((one for route in case.routes if (one := route.setting("option httpchk")) and one.at), None)
    old = next((word for word in setting.args if word.startswith("/")), "") if setting else ""
    paths = [path for path in (case.here.logs.paths if case.here.logs else ()) if path.at in places]
    served = {
        uri_of(path.request): count
        for path in paths
        if path.request.startswith("GET /") and "*" not in path.request and "..." not in path.request
        if (count := path.statuses.get("200", 0)) == sum(n for status, n in path.statuses.items() if status < "500")
    }
    served.pop(old, None)
    if setting is None or setting.at is None or not old or not any(served.values()):
        return
    new = max(served, key=lambda path: served[path])
    at = setting.at
    change = Edit(file=at.file, line=at.line, start=UNPLACED, end=UNPLACED, before=old, after=new)
    message = f"have the check ask for {new}, which clients got {served[new]} times with 200, in place of {old}"
    proxy = case.proxy or next((case.joins.proxy_of.get(id(route)) for route in case.routes), None)
    yield Remedy(message=message, steps=(change, *reload(proxy)))


def _of_check_alone(case: Case, served: str) -> Iterator[Evidence]:
    """Yield the evidence for a check that asks for something else than clients do, or does not wait long enough: only the check
    fails, while requests are answered.
    """
    checks = [tally for tally in case.failures if is_of_check(tally)]
    others = [tally for tally in case.failures if tally not in checks and tally.symptom not in _EFFECTS]
    if not checks or others or not served or case.answers_now is False or (_are_late(checks) and not case.answers_now):
        return
    took = next((found[1] for sample in checks[0].samples if (found := _DURATION.search(sample.text))), "")
    how = f"times out{f' after {took} ms' if took else ''}" if _are_late(checks) else f"fails ({words(checks[0].symptom)})"
    yield supports(f"only the health check {how}, and no server of the group was left", checks[0].source, LIKELY)
    yield supports(served, "access log", FAIR)
    answered = next((probe for probe in case.probes if probe.is_answer and probe.first_byte_s is not None), None)
    if answered is not None and answered.first_byte_s is not None:
        yield supports(f"it answers a probe after {answered.first_byte_s:.2f} s", "probe", FAIR)


def _of_bytes(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for a check that speaks another protocol than clients do: the proxy passes on their bytes and reads no
    answer, so an answer that is not valid can only be one to its check.
    """
    checks = [tally for tally in case.failures if tally.symptom is Symptom.HEADER_INVALID]
    others = [tally for tally in case.failures if tally not in checks and tally.symptom not in _EFFECTS]
    accepted = next((probe for probe in case.probes if probe.symptom is None), None)
    if case.protocol != "tcp" or not checks or others or accepted is None:
        return
    sent = f" ({case.peer.check})" if case.peer and case.peer.check else ""
    message = (
        f"the proxy passes on bytes, and only what its health check{sent} gets is not valid; no server of the group was left"
    )
    yield supports(message, checks[0].source, LIKELY)
    yield supports("it accepts connections", "probe", WEAK)


def _are_late(checks: list[Tally]) -> bool:
    return any(tally.symptom is Symptom.READ_TIMED_OUT for tally in checks)


def _silent(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for a check whose failures no log tells: all servers of the empty group are checked, all answer a probe,
    and no request to them failed.
    """
    members = _checked_members(case)
    if members:
        checks = ", ".join(dict.fromkeys(peer.check for peer in members))
        message = (
            f"every server answers a probe, and no request to one failed: only its health check ({checks}) can have removed it"
        )
        is_reported = any(view.state is PeerState.DOWN for proxy in case.proxies for view in proxy.peers)
        yield supports(message, str(members[0].at or ""), PROOF if is_reported else LIKELY)  # or somebody took them out


def _checked_members(case: Case) -> list[Peer]:
    """Return the members of the group without any server left, if they are as in `_silent`; else none.

    What the files on disk say of the group counts only if it can be what runs.
    """
    group = case.empty_group
    if any(proxy.test is ConfigTest.FAILED and group in proxy.upstreams for proxy in case.proxies):
        return []
    members = [peer for peer in group.peers if not peer.is_down] if group else []
    found = {peer.name: addresses(peer, case.here) for peer in members}
    failed = {tally.target for tally in (case.here.logs.tallies if case.here.logs else ()) if tally.is_failure}
    answers = {
        probe.target: probe.symptom is None and (probe.status or 0) < SERVER_ERROR
        for probe in case.here.probes or ()
        if not probe.through_proxy and probe.is_answer
    }
    taken = {view.target for proxy in case.proxies for view in proxy.peers if view.state in _OTHERWISE}
    is_so = (
        not taken & {target for targets in found.values() for target in targets}
        and all(peer.check and found[peer.name] and peer.target not in failed for peer in members)
        and all(answers.get(target, False) and target not in failed for targets in found.values() for target in targets)
    )
    return members if is_so else []


def aim(case: Case) -> Target | None:
    """Return the first member that only its check can have removed."""
    return next((target for peer in _checked_members(case)[:1] for target in addresses(peer, case.here)), None)


def _served_until(case: Case) -> str:
    """Return a message that clients got responses until the check removed the last server; "" if none did, or if unknown.

    A backend that really fails answers no client during the time that its check needs to notice.
    """
    group = case.group
    out = [tally for tally in case.tallies if tally.symptom is Symptom.NO_LIVE_UPSTREAMS]
    out += [tally for tally in case.joins.tallies_of(Symptom.NO_LIVE_UPSTREAMS) if group and tally.group == group.name]
    first = min((tally.first for tally in out if tally.first), default=None)
    servers, places = {route.server for route in case.routes}, {route.at for route in case.routes if route.at}
    paths = case.here.logs.paths if case.here.logs else ()
    mine = (path for path in paths if path.server in servers or path.at in places)
    served = max((path.last_served for path in mine if path.last_served), default=None)
    if first is None or served is None:
        return ""
    is_rounded = served.microsecond == 0 and case.answers_now  # a backend that really failed would not answer now
    if served < first - (SECOND if is_rounded else UNNOTICED):
        return ""
    return "clients got responses until the check took the last server out of the group"


CAUSE = Cause(
    id="health-check-misconfigured",
    layer=Layer.PROXY,
    message="the members are healthy, but the health check fails: path, host, port, expected code, timing",
    headline="the health check of {target} fails, although it answers requests",
    symptoms={Symptom.HEALTH_CHECK_STATUS: LIKELY, Symptom.HEALTH_CHECK_FAILED: WEAK},
    explains=frozenset({"all-upstreams-down", "premature-close", "proxy-not-running", "route-not-found"}),
    examine=examine,
    summarize=summarize,
    aim=aim,
    remedies=remedies,
)
