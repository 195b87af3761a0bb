"""SCRIPT_FILENAME names a script that the FastCGI server cannot see or run.

PHP-FPM reports "Primary script unknown" and answers 404 "File not found.", or refuses a name that the pool's
security.limit_extensions does not allow, with 403 "Access denied." The path is built from root and the script's name. If
PHP-FPM runs in a container or chroot, the path must exist there, not where the gateway runs. fcgiwrap, which runs programs,
answers 403 and reports "Cannot get script name, …" also if the file is not executable, and 502 if its interpreter is missing.

## Do not confuse with
- `php-fpm-socket-mismatch`: PHP-FPM is not reached at all.

## Confirm
- Find the path with `nginx -T | grep -n SCRIPT_FILENAME`, and list it as the FastCGI server's user.

## Fix
- Pass the path of the script as the FastCGI server sees it. For a program (fcgiwrap), the file must exist and be executable.
- nginx: `fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;` with the root as PHP-FPM sees it.

## References
- https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_param
- fcgiwrap: fcgiwrap.c, cgi_error
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.refused_route import Unserved
from why502.diagnosis.unserved import unserved
from why502.gateways.fastcgi_words import OF_A_PROGRAM
from why502.model.config import Position
from why502.model.finding import PROOF, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import PathTraffic, Symptom
from why502.model.patterns import lazy
from why502.model.request_line import path_of

MANY, SEVERAL = 5, 2  # refused requests in a row, and clients
_FRONT = frozenset({"/", "/index.php"})
BAD_GATEWAY = 502
_OF_A_PROGRAM = lazy(OF_A_PROGRAM)
_REFUSED = frozenset({"403", "404"})  # `Access denied.` (security.limit_extensions) and `File not found.`


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence.

    Scanners request many scripts that do not exist, so this applies only if the front page is missing too, or pages that were
    served before.
    """
    tally = case.tally(Symptom.SCRIPT_NOT_FOUND)
    if case.target is None or case.explains_notices:
        return
    if found := _of_a_program(case):
        yield supports(*found, PROOF)
        return
    if tally is None:
        return
    if message := _outside(case):
        yield supports(message, tally.source, PROOF)
        return
    asked = {path_of(request) for request, _ in tally.requests}
    traffic, logs = case.traffic, case.here.logs
    statuses = traffic.statuses if traffic else logs.by_status if logs and logs.has_access else {"200": 0}
    if asked & _FRONT and (case.probe(Symptom.SCRIPT_NOT_FOUND) or not any(status[:1] in "23" for status in statuses)):
        message = f"PHP-FPM found no script for {tally.count} requests, including the front page, and no request succeeded"
        yield supports(message, tally.source, 5.0)
    elif path := _front_refused(case):
        message = (
            f"PHP-FPM found no script for {tally.count} requests; the last {path.refused_since} of the front page were refused"
        )
        yield supports(message, tally.source, 5.0)
    elif message := _unseen(case):
        yield supports(message, tally.source, 5.0)


def _of_a_program(case: Case) -> tuple[str, str] | None:
    """Return a message that the server reports why it runs no program, while requests fail for that, with its source."""
    tally = case.tally(Symptom.SCRIPT_NOT_FOUND)
    logged = (*((tally,) if tally else ()), *case.words(Symptom.SCRIPT_NOT_FOUND))
    told = [(each.detail, each.source, each.count) for each in (*logged, *case.events(Symptom.SCRIPT_NOT_FOUND))]
    own = [each for each in told if _OF_A_PROGRAM.search(each[0])]
    if sum(count for _, _, count in own) < SEVERAL:
        return None
    words, source, _ = own[-1]
    one = _refusal(case)
    failed = case.tally(Symptom.UPSTREAM_STATUS)
    if one is None and (failed is None or failed.status != BAD_GATEWAY):
        return None
    refused = one.message if one else f"{failed.count if failed else 0} requests are answered {BAD_GATEWAY}"
    return f'{case.target} reports "{words}": {refused}', source


def _refusal(case: Case) -> Unserved | None:
    """Return what most clients of the target are refused; None if they are not."""
    return next((one for one in unserved(case.joins) if one.is_of_refusal and one.is_on(case.target)), None)


def _unseen(case: Case) -> str:
    """Return a message that clients are refused what was served before, and PHP-FPM reports about as many unknown scripts."""
    tally, one = case.tally(Symptom.SCRIPT_NOT_FOUND), _refusal(case)
    if tally is None or one is None or 2 * tally.count < one.refused:
        return ""
    return f"{one.message}: PHP-FPM found no script for {tally.count} requests"


def summarize(case: Case) -> str:
    """Return the finding in one sentence; "" if its headline says it all."""
    if found := _of_a_program(case):
        return found[0]
    return _unseen(case)


def _front_refused(case: Case) -> PathTraffic | None:
    """Return the traffic of the front page if several clients in a row were refused there; None if not, or if unknown."""
    return next(
        (
            path
            for path in case.paths
            if path_of(path.request) in _FRONT and _REFUSED & path.statuses.keys()
            if path.refused_since >= MANY and path.clients >= SEVERAL
        ),
        None,
    )


def _outside(case: Case) -> str:
    """Return a message that the scripts nginx names do not exist inside the pool's own root (chroot); "" if nothing shows it."""
    chroot = (case.pool.settings.get("chroot", "") if case.pool else "").rstrip("/")
    if not chroot or case.route is None:
        return ""
    named = next(
        (x.args[1] for x in reversed(case.route.settings.get("fastcgi_param", ())) if x.args[:1] == ("SCRIPT_FILENAME",)), ""
    )
    root = setting.args[0] if (setting := case.route.setting("root")) and setting.args else ""
    path = named.replace("$document_root", root).replace("${document_root}", root)
    if not path.startswith(f"{chroot}/"):
        return ""
    return f"the pool has {chroot} as its root (chroot), where {path} does not exist: the path must be given without {chroot}"


@rule(122, "fastcgi-without-script", Severity.WARNING)
def no_script(deployment: Deployment) -> Iterator[Risk]:
    """PHP-FPM does not get the name of the script to run.

    Without SCRIPT_FILENAME it answers with an empty page, or with 404 `File not found`. nginx's `fastcgi_params` does not set it;
    `fastcgi.conf` does.
    """
    for route in deployment.routes_of("fastcgi"):
        level = deployment.level(route)
        is_php = "php" in route.passes or ".php" in route.location
        if route.directive != "fastcgi_pass" or not is_php or level is None or not level.is_known:
            continue
        if level.own("fastcgi_cache_purge"):
            continue  # what empties a cache is answered by nginx itself
        names = {x.args[0].upper() for x in route.settings.get("fastcgi_param", ()) if x.args and not _is_other_path(x.args)}
        if not names & {"SCRIPT_FILENAME", "PATH_TRANSLATED"} and (names or deployment.is_whole):
            yield risk(
                "SCRIPT_FILENAME is not set", route.at, "add `fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;`"
            )


def _is_other_path(args: Sequence[str]) -> bool:
    """Return whether a parameter is a PATH_TRANSLATED that does not name the script.

    PHP runs it if there is no SCRIPT_FILENAME (init_request_info in sapi/fpm/fpm/fpm_main.c).
    """
    return args[0].upper() == "PATH_TRANSLATED" and not _SCRIPT.search("".join(args[1:2]))


_SCRIPT = lazy(r"\$(?:\{?fastcgi_script_name\b|\{?request_filename\b)|\.php$")


@rule(123, "fastcgi-params-not-inherited", Severity.WARNING)
def params_lost(deployment: Deployment) -> Iterator[Risk]:
    """A block sets one parameter, and therefore loses all parameters that the enclosing blocks set.

    nginx inherits fastcgi_param (uwsgi_param, scgi_param) only if a block has none of its own. The application sees neither the
    method nor the URI.
    """
    seen: set[Position] = set()
    for route in deployment.routes_of("fastcgi", "uwsgi", "scgi"):
        name = {"fastcgi_pass": "fastcgi_param", "uwsgi_pass": "uwsgi_param", "scgi_pass": "scgi_param"}.get(route.directive)
        level = deployment.level(route)
        own = next((outer for outer in level.outwards if name and outer.own(name)), None) if level else None
        if own is None or name is None or not own.is_known or own.around is None or name not in own.around.settings:
            continue
        kept = {directive.args[0] for directive in own.own(name) if directive.args}
        lost = [x.args[0] for x in own.around.settings[name] if x.args and x.args[0] not in kept]
        first = own.own(name)[0].at
        if len(lost) > 2 and first not in seen:
            seen.add(first)
            yield risk(
                f"{len(lost)} parameters of the enclosing block are not inherited here ({', '.join(lost[:3])} …)",
                first,
                "include them again here",
            )


CAUSE = Cause(
    id="fastcgi-script-not-found",
    layer=Layer.PROXY,
    protocol="fastcgi",
    message="the FastCGI server cannot see or run the script that the proxy names (SCRIPT_FILENAME)",
    headline="{target} cannot see or run the script that {proxy} names",
    symptoms={Symptom.SCRIPT_NOT_FOUND: 5.0},
    examine=examine,
    summarize=summarize,
    foresee=(
        no_script,
        params_lost,
    ),
)
