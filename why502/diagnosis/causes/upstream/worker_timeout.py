"""The application server killed its own worker for taking too long.

Typical limits: gunicorn `--timeout` (30 s), uWSGI harakiri, PHP-FPM request_terminate_timeout, unicorn timeout. The worker gets
SIGKILL or SIGABRT in the middle of the request, and the proxy sees the connection closed or reset. The client gets 502 after a
constant time that is not a timeout of the proxy.

## Do not confuse with
- `backend-too-slow`: the proxy gave up first (504).
- `backend-oom-killed`: gunicorn logs "Perhaps out of memory?" for every SIGKILL.

## Confirm
- `WORKER TIMEOUT`, `HARAKIRI`, `execution timed out`, `timeout (31s > 30s), killing` appears in the application server's log.

## Fix
- Make the request faster. Or raise that limit and the proxy's read timeout together, and keep the proxy's longer.

## References
- https://docs.gunicorn.org/en/stable/settings.html#timeout
- https://uwsgi-docs.readthedocs.io/en/latest/FAQ.html (harakiri)
- https://www.php.net/manual/en/install.fpm.configuration.php (request_terminate_timeout)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.backends.php_fpm.config import edits
from why502.deployment.applications import behind
from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Edit, Remedy, Run
from why502.model.snapshot import Service
from why502.remedies.changes import family, reload, reload_php, set_in_route
from why502.remedies.drop_ins import put, restart, seconds

MARGIN_S = 5  # the worker must end this much earlier than the proxy gives up; an eighth of a short wait, at least 1 s
USUAL_S = 60  # nobody is to wait longer because of a repair
_PHP = "request_terminate_timeout"
_OPTIONS = ("-t", "--timeout", "--harakiri")  # of gunicorn and uWSGI, as separate arguments
_SIMPLE = lazy(r"/[\w./:=,@+ -]*", re.ASCII)  # a command that a unit file takes literally (systemd.service(5))


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is None and not case.words(Symptom.WORKER_TIMED_OUT):
        return
    hurt = case.seen(
        Symptom.CLOSED_BEFORE_HEADER,
        Symptom.RESET_BEFORE_HEADER,
        Symptom.CLOSED_IN_BODY,
        Symptom.RESET_IN_BODY,
        Symptom.UPSTREAM_STATUS,
        Symptom.READ_TIMED_OUT,
        Symptom.GATEWAY_STATUS,
    )
    if not hurt and not case.errs and case.target is not None:
        return
    for event in case.events(Symptom.WORKER_TIMED_OUT)[:1]:
        yield supports(event.message, event.source, PROOF)
        return
    for tally in case.words(Symptom.WORKER_TIMED_OUT)[:1]:
        yield supports(
            f"the application server reports that it killed a worker for taking too long ({tally.count} times)",
            tally.source,
            PROOF,
        )


def remedies(case: Case) -> Iterator[Remedy]:
    """Yield the remedies, if the place of the setting is known: raise the limit to just below the proxy's timeout, or both."""
    wait_s = int(case.route.read_timeout_s) if case.route else 0
    longest_s = wait_s - min(MARGIN_S, max(1, wait_s // 8))
    if (pool := case.pool) is not None:
        written = pool.written.get(_PHP)
        limit_s = _limit_s(written.args[0] if written and written.args else "")
        changes, load = edits(pool, {_PHP: f"{longest_s}s"}), reload_php(case, pool)
        if limit_s and limit_s < longest_s and changes and load:
            yield Remedy(message=f"set {_PHP} = {longest_s}s in {pool.file} ({limit_s:g} s now)", steps=(*changes, *load))
        return
    for service in case.services:
        place = next((n for n, word in enumerate(service.argv[:-1]) if word in _OPTIONS), -1)
        limit_s = _limit_s(service.argv[place + 1]) if place >= 0 else None
        if not limit_s or limit_s >= longest_s or service.manager != "systemd" or not _SIMPLE.fullmatch(" ".join(service.argv)):
            continue
        if steps := _limit(service, place, longest_s):
            message = f"let {service.name} work {longest_s} s on a request ({service.argv[place]} {limit_s:g} now)"
            yield Remedy(message=message, steps=(*steps, restart(service)))
        steps, longer_s = _limit(service, place, 2 * wait_s), 2 * wait_s + MARGIN_S
        change = set_in_route(case, f"{family(case.route)}_read_timeout", f"{longer_s}s") if case.route else None
        if steps and change and wait_s < USUAL_S:
            message = (
                f"let {service.name} work {2 * wait_s} s on a request, and the proxy wait {longer_s} s for it ({wait_s} s now)"
            )
            yield Remedy(message=message, steps=(*steps, restart(service), change, *reload(case.proxy)))


def _limit(service: Service, place: int, limit_s: int) -> tuple[Edit | Run, ...]:
    """Return the steps that give a unit's command another limit. `place`: of its option."""
    command = " ".join((*service.argv[: place + 1], str(limit_s), *service.argv[place + 2 :]))
    return put(service, "timeout", "ExecStart=", f"ExecStart={command}")


def _limit_s(text: str) -> float | None:
    """Return a limit in seconds, from `1s` or a bare number; None if it is neither."""
    return seconds(f"{text}s" if text.isdecimal() else text)


@rule(88, "worker-killed-before-proxy-gives-up", Severity.WARNING)
def killed_first(deployment: Deployment) -> Iterator[Risk]:
    """The proxy is configured to wait longer than the application server lets a worker run.

    The worker is killed in the middle of the request, and the client gets 502. Raising only the proxy's timeout changes nothing.
    """
    seen = set()
    for route in deployment.routes:
        setting = route.setting(f"{route.directive.removesuffix('_pass')}_read_timeout")
        for peer in route.peers if setting and route.read_timeout_s > 60 else ():
            for backend in behind(deployment, peer.target):
                if backend.timeout_s and backend.timeout_s < route.read_timeout_s and backend.name not in seen and setting:
                    seen.add(backend.name)
                    message = (
                        f"the proxy waits {route.read_timeout_s:g} s, but {backend.name} kills its worker after "
                        f"{backend.timeout_s:g} s"
                    )
                    yield risk(f"{message} ({backend.timeout_at})", setting.at, "raise that one too")


CAUSE = Cause(
    id="worker-timeout",
    layer=Layer.UPSTREAM,
    message="the application server killed its own worker for taking too long (gunicorn, uWSGI harakiri, "
    "php-fpm request_terminate_timeout)",
    headline="the application server behind {target} kills workers that take too long",
    symptoms={Symptom.WORKER_TIMED_OUT: LIKELY, Symptom.CLOSED_BEFORE_HEADER: 0.5, Symptom.RESET_BEFORE_HEADER: 0.5},
    needs=frozenset({"events"}),
    explains=frozenset(
        {
            "backend-crashed",
            "backend-too-slow",
            "connection-reset",
            "keepalive-race",
            "php-fpm-crashed",
            "premature-close",
            "truncated-response",
            "upstream-error-status",
        }
    ),
    examine=examine,
    remedies=remedies,
    foresee=(killed_first,),
)
