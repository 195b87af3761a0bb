"""The proxy ran out of file descriptors.

"socket() failed (24: Too many open files)" gives 500; "accept4() failed (24: …)" makes clients wait in the kernel's queue.

## Confuse not with
- `worker-connections-exhausted`: nginx's own limit came first.

## Confirm
- `grep 'open files' /proc/WORKERPID/limits`; `ls /proc/WORKERPID/fd | wc -l`.

## Fix
- `worker_rlimit_nofile` (and LimitNOFILE= of the unit), above twice worker_connections.

## References
- https://nginx.org/en/docs/ngx_core_module.html#worker_rlimit_nofile
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.changes import reload, set_at_top
from why502.config.nginx import units
from why502.deployment import Deployment
from why502.drop_ins import of_unit, put, restart
from why502.model.finding import PROOF, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.rule import risk, rule


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if not case.seen(Symptom.FILES_EXHAUSTED):
        return
    for proxy in case.proxies:
        for worker in proxy.workers:
            if worker.limits and worker.limits.files_limit is not None:
                yield supports(
                    f"worker {worker.pid} may open {worker.limits.files_limit} files", f"/proc/{worker.pid}/limits", WEAK
                )
                return


def remedies(case: Case) -> Iterator[Remedy]:
    """Raise the limit of open files well above two for each connection."""
    proxy = case.proxy or next(iter(case.proxies), None)
    if proxy is None or not case.seen(Symptom.FILES_EXHAUSTED):
        return
    limits = [worker.limits.files_limit for worker in proxy.workers if worker.limits and worker.limits.files_limit]
    wanted = max(8192, 2 * (proxy.worker_connections or 512) + 1024, 2 * max(limits, default=0))
    change = set_at_top(case, proxy, "worker_rlimit_nofile", str(wanted))
    yield Remedy(message=f"worker_rlimit_nofile {wanted};", steps=(change, *reload(proxy)) if change else ())
    if proxy.unit and proxy.is_running and not proxy.is_apart:
        unit = of_unit(proxy.unit)
        yield Remedy(
            message=f"let {proxy.unit} open {wanted} files (LimitNOFILE), where its master may not raise its own limit",
            steps=(*put(unit, "files", f"LimitNOFILE={wanted}"), restart(unit)),
        )


@rule(100, "worker-connections-above-files", Severity.WARNING)
def above_files(deployment: Deployment) -> Iterator[Risk]:
    """A worker may have more connections than open files.

    Each connection is a file, a proxied request has two. At the limit nginx stops accepting (`accept4() failed (24: Too many open
    files)`) and answers 500. Without worker_rlimit_nofile systemd gives 1024.
    """
    configuration = deployment.configuration
    connections, limit = configuration.worker_connections or 512, configuration.worker_files_limit
    own = [directive for level in deployment.blocks("events") for directive in level.own("worker_connections")]
    if not own or not deployment.is_whole or not own[0].args or units.number(own[0].args[0]) is None:
        return
    top = deployment.levels[0]
    if limit and connections > limit:
        at = top.own("worker_rlimit_nofile")[0].at if top.own("worker_rlimit_nofile") else own[0].at
        yield risk(f"{connections} worker_connections, {limit} files", at, f"worker_rlimit_nofile {2 * connections};")
    elif not limit and connections > 1024 and deployment.routes and top.is_known:
        unit = next((unit for unit in deployment.units if unit.name == "nginx.service"), None)
        if unit is None or not unit.get("LimitNOFILE"):
            message = f"{connections} worker_connections, and systemd lets a service open 1024 files"
            yield risk(message, own[0].at, f"add `worker_rlimit_nofile {2 * connections};`", severity=Severity.NOTE)


CAUSE = Cause(
    id="too-many-open-files",
    layer=Layer.PROXY,
    message="the proxy ran out of file descriptors",
    headline="{proxy} may open no more files, so no more connections to {target}",
    symptoms={Symptom.FILES_EXHAUSTED: PROOF},
    examine=examine,
    remedies=remedies,
    foresee=(above_files,),
)
