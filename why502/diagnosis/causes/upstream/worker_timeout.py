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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from why502.backends.php_fpm.config import edits
from why502.deployment.applications import behind, limit_of, server_of
from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import alone, given_up_before
from why502.model.config import Position
from why502.model.finding import LIKELY, PROOF, STRONG, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom, Tally
from why502.model.patterns import lazy
from why502.model.remedy import Edit, Remedy, Run
from why502.model.service import Service
from why502.model.snapshot import Event
from why502.remedies.changes import family, reload, reload_php, set_in_route
from why502.remedies.drop_ins import restart, seconds, write_drop_in

MARGIN_S = 5  # the worker must end this much earlier than the proxy gives up; an eighth of a short wait, at least 1 s
CLOCK = timedelta(seconds=1)  # logs drop the fractions of a second
USUAL_S = 60  # nobody is to wait longer because of a repair
_PHP = "request_terminate_timeout"
_SERVERS = ("gunicorn", "uwsgi")  # those with an option for it
_OPTIONS = ("-t", "--timeout", "--harakiri")
_SIMPLE = lazy(r"[\w./:=,@+-]+", re.ASCII)  # a word of a command that a unit file takes literally (systemd.service(5))


@dataclass(frozen=True, slots=True)
class _Limit:
    """A time limit of a unit's application server: its name, its value, and the steps that give it another value."""

    name: str
    value_s: float
    steps: Callable[[int], tuple[Edit | Run, ...]]


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
        late = given_up_before(case, event)
        if late and late.count >= event.count and not _is_from_before(case, late, event):
            message = (
                f"the proxy gave up {late.count} requests, the first before a worker was killed: they fail without that, and a "
                "higher limit of the application server helps none of them"
            )
            # Where others wait for these workers, that is the answer, and the kills still explain the connections that broke.
            yield refutes(message, late.source, STRONG if case.queued else LIKELY)
        return
    for tally in case.words(Symptom.WORKER_TIMED_OUT)[:1]:
        yield supports(
            f"the application server reports that it killed a worker for taking too long ({tally.count} times)",
            tally.source,
            PROOF,
        )


def _is_from_before(case: Case, late: Tally, kill: Event) -> bool:
    """Return whether the first requests that the proxy gave up were still those of the service's last run, which its stop kept
    waiting; its limit is shorter than the proxy's, so that what computes for too long now is killed before that gives up.
    """
    if case.route is None or late.first is None or kill.at is None:
        return False
    for service in case.services:
        limit, started = _limit(service), service.started_at
        if limit is None or started is None or not service.is_running or limit.value_s >= case.route.read_timeout_s:
            continue
        if late.first <= started + CLOCK < kill.at:
            return True
    return False


def summarize(case: Case) -> str:
    """Return the finding in one sentence, with the limit, where it is known, and the requests, if all are of one path."""
    found = [(limit.name, limit.value_s) for service in case.services if (limit := _limit(service))]
    if (pool := case.pool) is not None:
        written = pool.written.get(_PHP)
        limit_s = _limit_s(written.args[0]) if written and written.args else None
        found = [(f"{_PHP} in {pool.file}", limit_s)] if limit_s else []
    if case.target is None or not found:
        return ""
    name, value_s = found[0]
    which = f"; {each}" if (each := alone(case)) else ""
    return f"the application server behind {case.target} kills workers that take longer than {value_s:g} s ({name}){which}"


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
    longer_s = 2 * wait_s + MARGIN_S
    change = set_in_route(case, f"{family(case.route)}_read_timeout", f"{longer_s}s") if case.route else None
    for service in case.services:
        limit = _limit(service)
        if limit is None or limit.value_s >= longest_s:
            continue
        if steps := limit.steps(longest_s):
            message = f"let {service.name} work {longest_s} s on a request ({limit.value_s:g} s now: {limit.name})"
            yield Remedy(message=message, steps=(*steps, restart(service)))
        if (steps := limit.steps(2 * wait_s)) and change and wait_s < USUAL_S:
            message = (
                f"let {service.name} work {2 * wait_s} s on a request, and the proxy wait {longer_s} s for it ({wait_s} s now)"
            )
            yield Remedy(message=message, steps=(*steps, restart(service), change, *reload(case.proxy)))


def _limit(service: Service) -> _Limit | None:
    """Return the limit that a systemd unit's command or its server's file sets, or gunicorn's default; None if unknown.

    An option of the command counts, whatever the file sets: gunicorn and uWSGI read their file first.
    """
    argv = service.argv
    if service.manager != "systemd":
        return None
    if (place := _place(argv)) is not None:
        head, equals, value = argv[place].rpartition("=")
        limit_s, words = _limit_s(value), (argv[:place], argv[place + 1 :])
        name = head if equals else argv[place - 1]
        return (
            _Limit(name, limit_s, lambda to_s: _command(service, (*words[0], f"{head}{equals}{to_s}", *words[1])))
            if limit_s
            else None
        )
    if (written := service.worker_limit) is not None:
        limit_s, at = _limit_s("".join(written.args)), written.at
        return _Limit(str(at), limit_s, lambda to_s: (_written(at, written.args[0], to_s),)) if limit_s and at else None
    default_s, is_set = limit_of(argv)
    if default_s and not is_set:
        return _Limit("its default", default_s, lambda to_s: _command(service, (*argv, "--timeout", str(to_s))))
    return None


def _place(argv: tuple[str, ...]) -> int | None:
    """Return the number of the word of a command that has the value of its limit; None if it sets none."""
    for number, word in enumerate(argv if server_of(argv) in _SERVERS else ()):
        name, equals, _ = word.partition("=")
        if name in _OPTIONS and (equals or number + 1 < len(argv)):
            return number if equals else number + 1
    return None


def _command(service: Service, words: tuple[str, ...]) -> tuple[Edit | Run, ...]:
    """Return the steps that give a unit another command; () if it has words that a unit file would not take literally."""
    if not words[0].startswith("/") or not all(_SIMPLE.fullmatch(word) for word in words):
        return ()
    return write_drop_in(service, "timeout", "ExecStart=", f"ExecStart={' '.join(words)}")


def _written(at: Position, before: str, limit_s: int) -> Edit:
    """Return the edit of the limit in the application server's own file."""
    return Edit(file=at.file, line=at.line, start=at.start, end=at.end, before=before, after=str(limit_s))


def _limit_s(text: str) -> float | None:
    """Return a limit in seconds, from `1s` or a bare number; None if it is neither."""
    return seconds(f"{text}s" if text.isdecimal() else text)


@rule(88, "worker-killed-before-proxy-gives-up", Severity.WARNING)
def killed_first(deployment: Deployment) -> Iterator[Risk]:
    """The proxy is configured to wait longer than the application server lets a worker run.

    The worker is killed in the middle of the request, and the client gets 502. Raising only the proxy's timeout changes nothing.
    """
    seen = set()
    for route in deployment.routes_setting("read_timeout"):
        setting = route.setting(f"{route.directive.removesuffix('_pass')}_read_timeout")
        for peer in deployment.peers(route) if setting and route.read_timeout_s > 60 else ():
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
    summarize=summarize,
    remedies=remedies,
    repeats_cut_off=True,
    foresee=(killed_first,),
)
