"""The proxy ran out of file descriptors.

nginx logs "socket() failed (24: Too many open files)" and answers 500. With "accept4() failed (24: …)" clients wait in the
kernel's accept queue.

## Do not confuse with
- `worker-connections-exhausted`: nginx reached its own limit first.

## Confirm
- Compare `grep 'open files' /proc/WORKERPID/limits` with `ls /proc/WORKERPID/fd | wc -l`.

## Fix
- Raise LimitNOFILE= of the unit to more than twice the proxy's limit of connections.
- nginx: set `worker_rlimit_nofile` to more than twice worker_connections.

## References
- https://nginx.org/en/docs/ngx_core_module.html#worker_rlimit_nofile
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.routed import BROKEN
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config import units
from why502.model.finding import PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.snapshot import Event
from why502.remedies.changes import reload, set_at_top
from why502.remedies.drop_ins import restart, unit_named, write_drop_in

SECOND = timedelta(seconds=1)  # logs do not show fractions of it
FULL = 0.98  # share of the machine's limit that counts as full


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if reported := _reported_by_application(case):
        yield supports(f"the application itself reports it: {reported.message}", reported.source, PROOF)
        return
    if not case.seen(Symptom.FILES_EXHAUSTED):
        return
    if full := _of_machine(case):
        yield supports(full, "/proc/sys/fs/file-nr", STRONG)
    for proxy in case.proxies:
        for worker in proxy.workers:
            if worker.limits and worker.limits.files_limit is not None:
                used = worker.limits.files_open
                open_now = "" if used is None else f" and has {used} open now"
                message = f"worker {worker.pid} may open {worker.limits.files_limit} files{open_now}"
                yield supports(message, f"/proc/{worker.pid}/limits", WEAK)
                return


def _of_machine(case: Case) -> str:
    """Return a message that the whole machine is at its limit of open files (ENFILE, open(2)); "" if it is not,
    or if that is unknown.
    """
    kernel = case.here.kernel
    if kernel is None or kernel.files_open is None or not kernel.files_max or kernel.files_open < FULL * kernel.files_max:
        return ""
    return f"{kernel.files_open} of the {kernel.files_max} files that the whole machine may open are open"


def _reported_by_application(case: Case) -> Event | None:
    """Return the message of the target's own processes about their limit of open files since requests began to fail;
    None if nothing.
    """
    last = _broke_last(case)
    if case.target is None or case.seen(Symptom.FILES_EXHAUSTED) or last is None:
        return None
    reported = (event for event in case.events(Symptom.FILES_EXHAUSTED) if not case.is_of_a_name(event))
    return next((event for event in reported if event.at and event.at <= last + SECOND), None)


def _broke_last(case: Case) -> datetime | None:
    """Return when it last aborted a request, kept one waiting, or answered with its own error; None if it did not."""
    is_broken = case.tally(*BROKEN, Symptom.READ_TIMED_OUT, Symptom.UPSTREAM_STATUS, Symptom.GATEWAY_STATUS)
    moments = [case.last_failure if is_broken else None, case.last_error]
    return max((at for at in moments if at is not None), default=None)


def summarize(case: Case) -> str:
    """Return the finding in one sentence if the application is at its limit; "" if the proxy is."""
    return f"the application on {case.target} cannot open more files" if _reported_by_application(case) else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: double the application's limit of open files, or raise the proxy's well above two
    for each connection.
    """
    if _reported_by_application(case):
        limits = [process.limits.files_limit for process in case.processes if process.limits and process.limits.files_limit]
        wanted = max(8192, 2 * max(limits, default=0))
        for service in case.services:
            if service.manager == "systemd" and (steps := write_drop_in(service, "files", f"LimitNOFILE={wanted}")):
                yield Remedy(
                    message=f"let {service.name} open {wanted} files (LimitNOFILE), and find out which files it never closes",
                    steps=(*steps, restart(service)),
                )
        return
    proxy = case.proxy or next(iter(case.proxies), None)
    if proxy is None or not case.seen(Symptom.FILES_EXHAUSTED):
        return
    if full := _of_machine(case):
        yield Remedy(message=f"raise fs.file-max, and find the process that opens so many files: {full}")
    limits = [worker.limits.files_limit for worker in proxy.workers if worker.limits and worker.limits.files_limit]
    wanted = max(8192, 2 * (proxy.worker_connections or 512) + 1024, 2 * max(limits, default=0))
    if behaviour(proxy.kind).takes_directives:
        change = set_at_top(case, proxy, "worker_rlimit_nofile", str(wanted))
        yield Remedy(message=f"worker_rlimit_nofile {wanted};", steps=(change, *reload(proxy)) if change else ())
    if proxy.unit and proxy.is_running and not proxy.is_apart:
        unit = unit_named(proxy.unit)
        yield Remedy(
            message=f"allow {proxy.unit} to open {wanted} files (LimitNOFILE), because its master cannot raise its own limit",
            steps=(*write_drop_in(unit, "files", f"LimitNOFILE={wanted}"), restart(unit)),
        )


@rule(100, "worker-connections-above-files", Severity.WARNING)
def above_files(deployment: Deployment) -> Iterator[Risk]:
    """The connection limit of a worker is higher than its limit of open files.

    Each connection is an open file, and a proxied request has two. At the limit nginx stops accepting
    (`accept4() failed (24: Too many open files)`) and answers 500. Without worker_rlimit_nofile, the limit from systemd is 1024.
    """
    configuration = deployment.configuration
    connections, limit = configuration.worker_connections or 512, configuration.worker_files_limit
    own = [directive for level in deployment.blocks("events") for directive in level.own("worker_connections")]
    if not own or not deployment.is_whole or not own[0].args or units.number(own[0].args[0]) is None:
        return
    top = deployment.levels[0]
    if limit and connections > limit:
        at = top.own("worker_rlimit_nofile")[0].at if top.own("worker_rlimit_nofile") else own[0].at
        yield risk(
            f"{connections} worker_connections, but only {limit} open files", at, f"worker_rlimit_nofile {2 * connections};"
        )
    elif not limit and connections > 1024 and deployment.routes and top.is_known:
        unit = next((unit for unit in deployment.units if unit.name == "nginx.service"), None)
        if unit is None or not unit.get("LimitNOFILE"):
            message = f"{connections} worker_connections, but systemd lets a service open only 1024 files"
            yield risk(message, own[0].at, f"add `worker_rlimit_nofile {2 * connections};`", severity=Severity.NOTE)


CAUSE = Cause(
    id="too-many-open-files",
    layer=Layer.PROXY,
    message="the proxy ran out of file descriptors",
    headline="{proxy} cannot open more files, so it cannot open more connections to {target}",
    symptoms={Symptom.FILES_EXHAUSTED: PROOF},
    # For an application that cannot accept a connection, or cannot open a file for a request.
    outranks=frozenset({"connection-reset", "keepalive-race", "premature-close"}),
    is_reached_by_load=True,
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(above_files,),
)
