"""fastcgi_pass and the pool's listen name different sockets or ports.

This is common after a PHP upgrade: nginx still names php8.1-fpm.sock, but the pool listens on php8.2-fpm.sock. connect() fails
with ENOENT or ECONNREFUSED, and nginx answers 502 immediately.

## Do not confuse with
- `backend-not-running`: no pool runs at all.
- `unix-socket-permission`: the path is right, but the error is EACCES.

## Confirm
- Compare `grep -rn '^listen' /etc/php*/` with `nginx -T | grep fastcgi_pass` and `ss -Hlxp | grep php`.

## Fix
- Make the proxy connect to the pool's `listen` address.
- nginx: set fastcgi_pass to it.

## References
- https://www.php.net/manual/en/install.fpm.configuration.php (listen)
- https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_pass
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.listening import accepts
from why502.model.finding import PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.service import PhpPool
from why502.remedies.changes import doubt, reload, set_peer_addresses, unauthorised_listener


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(*CAUSE.symptoms):
        return
    for tally in case.words(Symptom.LISTENS_ON) if case.offline and case.protocol in ("fastcgi", "") else ():
        if tally.program == "php-fpm" and tally.target and not (case.target and accepts(tally.target, case.target)):
            goal = f"the proxy connects to {case.target}" if case.target else "the proxy finds no listener"
            yield supports(f"a PHP-FPM pool listens on {tally.target}, {goal}", tally.source, STRONG)
            return
    if case.target is None:
        return
    if case.protocol not in ("fastcgi", ""):
        yield refutes(f"the proxy speaks {case.protocol} here, not FastCGI", "", PROOF)
        return
    pools = case.host.php_pools if case.host else None
    if pools is None:
        if case.target.is_unix and "php" in case.target.path and case.protocol == "fastcgi":
            yield supports("the path belongs to a PHP-FPM pool", "", WEAK)
        return
    if case.pool is not None:
        yield refutes(f"pool {case.pool.name} is configured to listen on {case.target}", str(case.pool.listen_at or ""), PROOF)
        return
    if other := next((service.name for service in case.services if not _is_php(service.name, *service.argv[:1])), ""):
        yield refutes(f"{case.target} belongs to {other}, which is not PHP-FPM", "", PROOF)
        return
    is_of_php = not case.target.is_unix or _is_php(case.target.path, *(route.location for route in case.routes))
    for pool in _running(case)[:1]:
        is_doubtful = pool.target is not None and bool(unauthorised_listener(case, pool.target))
        yield supports(
            f"PHP-FPM pool {pool.name} listens on {pool.target}, but the proxy connects to {case.target}",
            str(pool.listen_at or pool.file),
            WEAK if is_doubtful else PROOF if is_of_php else STRONG,  # other programs speak FastCGI too
        )


def _running(case: Case) -> list[PhpPool]:
    """Return the running pools, those whose master runs as root first: any user can run a pool."""
    pools = (case.host.php_pools if case.host else None) or ()
    running = [pool for pool in pools if pool.master_pid is not None and pool.target is not None]
    return sorted(running, key=lambda pool: pool.owner_uid != 0)


def _is_php(*names: str) -> bool:
    """Return whether the name of a path, location, service or program looks like one of PHP."""
    return any(word in name.lower() for name in names for word in ("php", "fpm"))


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    pool = next(iter(_running(case)), None)
    return f"{_named(case)} names {case.target}, but the PHP-FPM pool {pool.name} listens on {pool.target}" if pool else ""


def _named(case: Case) -> str:
    """Return the setting that names the target, as it is written in the gateway's configuration."""
    return (
        case.route.directive if case.route else ""
    ) or f"the configuration of {case.proxy.kind if case.proxy else 'the proxy'}"


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy that changes the setting to the pool's `listen` address."""
    for pool in _running(case)[:1]:
        if pool.target is not None and case.target is not None:
            changes = set_peer_addresses(case, pool.target)
            message = f"name {pool.target} in {_named(case)}, where pool {pool.name} listens{doubt(case, pool.target)}"
            yield Remedy(message=message, steps=(*changes, *reload(case.proxy)) if changes else ())


CAUSE = Cause(
    id="php-fpm-socket-mismatch",
    layer=Layer.PROXY,
    protocol="fastcgi",
    message="the proxy and the pool's listen name different sockets or ports",
    symptoms={Symptom.SOCKET_PATH_MISSING: WEAK, Symptom.CONNECT_REFUSED: 0.5},
    needs=frozenset({"php_pools"}),
    explains=frozenset({"backend-not-running", "unix-socket-missing", "wrong-address", "wrong-port"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
