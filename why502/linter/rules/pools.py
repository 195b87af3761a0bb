"""PHP-FPM pools: values that PHP-FPM rejects, and sockets that the proxy cannot use.

Sources: sapi/fpm/fpm/fpm_conf.c (fpm_conf_process_all_pools), fpm_unix.c (fpm_unix_resolve_socket_permissions).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from why502.backends.php_fpm import config as php_fpm
from why502.backends.php_fpm.size import pm_settings
from why502.deployment.files import Deployment, peers_of, same_path
from why502.deployment.rule import risk, rule
from why502.deployment.variants import alternatives, certainty
from why502.model.config import Position
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.model.service import PhpPool

_VERSION = lazy(r"(?<=php)\d\.\d|(?<=php-)\d\.\d")
_OF_PACKAGE = lazy(r"(?:/var)?/run/php/php\d\.\d-fpm\.sock")  # Debian's
_MODES = frozenset({"static", "dynamic", "ondemand"})


@rule(140, "pool-refused", Severity.ERROR, "backend-startup-failure")
def refused(deployment: Deployment) -> Iterator[Risk]:
    """The pool's values contradict each other, and PHP-FPM does not start.

    With `pm = dynamic` it demands min_spare <= start_servers <= max_spare <= max_children, and all of them must be at least 1.
    """
    for pool in deployment.pools:
        if pool.name == php_fpm.GLOBAL or not _is_whole(pool):
            continue
        if message := _contradiction(pool):
            children = pool.max_children or 0
            advice: Remedy | str = "change the values together, then `php-fpm -t`"
            if pool.pm == "dynamic" and children > 0:
                values = pm_settings("dynamic", children)
                steps = php_fpm.edits(pool, values)
                advice = Remedy(message=", ".join(f"{name} = {value}" for name, value in values.items()), steps=steps, safe=True)
            at = _at(pool, "pm.max_spare_servers", "pm.start_servers", "pm.max_children", "pm")
            severity = None if deployment.is_here or _is_complete(pool) else Severity.NOTE
            yield risk(message, at, advice, severity=severity)


def _is_complete(pool: PhpPool) -> bool:
    """Return whether a file sets everything that PHP-FPM demands of the pool.

    What it lacks may come from another file with the same pool, which need not be in a repository: PHP's image has a `[www]`
    in `www.conf`, and files that are read after it change a few of its values.
    """
    demanded = {"pm", "pm.max_children"}
    if pool.pm == "dynamic":
        demanded |= {"pm.min_spare_servers", "pm.max_spare_servers"}
    return demanded <= set(pool.settings)


def _is_whole(pool: PhpPool) -> bool:
    """Return whether the pool's own file was given, with all its settings."""
    is_filled_in = any("${" in value for value in pool.settings.values())  # from the environment of the master
    return not is_filled_in and ("listen" in pool.settings or "pm" in pool.settings)


def _contradiction(pool: PhpPool) -> str:
    children = pool.max_children
    if not pool.pm or pool.pm not in _MODES:
        return (
            f"pm = {pool.pm or 'nothing'}: it must be static, dynamic or ondemand" if "listen" in pool.settings or pool.pm else ""
        )
    if not children:
        return f"pm.max_children is {pool.settings.get('pm.max_children', 'not set')}: it must be at least 1"
    if pool.pm != "dynamic":
        return ""
    least, most, start = (_number(pool, f"pm.{name}") for name in ("min_spare_servers", "max_spare_servers", "start_servers"))
    if least is None or least < 1:
        return "pm.min_spare_servers must be at least 1"
    if most is None or most < 1:
        return "pm.max_spare_servers must be at least 1"
    if least > children or most > children:
        return f"pm.min_spare_servers ({least}) and pm.max_spare_servers ({most}) must not be above pm.max_children ({children})"
    if most < least:
        return f"pm.max_spare_servers ({most}) must not be below pm.min_spare_servers ({least})"
    if start is not None and not least <= start <= most:
        return f"pm.start_servers ({start}) must be between pm.min_spare_servers ({least}) and pm.max_spare_servers ({most})"
    return ""


def _number(pool: PhpPool, name: str) -> int | None:
    text = pool.settings.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _at(pool: PhpPool, *names: str) -> Position | None:
    return next((pool.written[name].at for name in names if name in pool.written), pool.listen_at)


@rule(141, "pools-share-socket", Severity.ERROR, "port-conflict")
def shared(deployment: Deployment) -> Iterator[Risk]:
    """Two pools listen on the same address.

    PHP-FPM gives the socket to one of them; requests meant for the other run with the wrong user and limits, or it does not
    start.
    """
    seen: dict[object, PhpPool] = {}
    for pool in deployment.pools:
        if pool.target is None:
            continue
        other = seen.setdefault((posixpath.dirname(pool.file), pool.target), pool)
        if other is not pool and not alternatives(other.listen_at, pool.listen_at):
            severity = certainty(other.listen_at, pool.listen_at, deployment.is_here)
            message = f"pool {other.name} also listens on {pool.target}"
            yield risk(message, pool.listen_at, "give each pool its own address", severity=severity)


@rule(142, "pool-backlog-small", Severity.NOTE, "listen-backlog-overflow")
def backlog(deployment: Deployment) -> Iterator[Risk]:
    """The pool's queue for connections is short.

    When all children are busy and the queue is full, nginx gets `connect() failed (11: Resource temporarily unavailable)`, 502.
    """
    for pool in deployment.pools:
        size = _number(pool, "listen.backlog")
        if size is not None and size < max(64, pool.max_children or 0):
            yield risk(f"only {size} connections can wait", _at(pool, "listen.backlog"), "remove it (default 511)")


@rule(34, "socket-without-pool", Severity.WARNING, "php-fpm-socket-mismatch")
def without_pool(deployment: Deployment) -> Iterator[Risk]:
    """The proxy passes to a PHP-FPM socket that none of the given pools opens.

    The usual case is a path with the old PHP version after an upgrade: `No such file or directory`, 502.
    """
    targets = {same_path(pool.target) for pool in deployment.pools}
    if not targets or None in targets:
        return
    ports = {target.port for target in targets if target and not target.is_unix}
    seen = set()
    for route in deployment.routes:
        for peer in deployment.peers(route) if route.protocol == "fastcgi" else ():
            target = peer.target
            if target is None or not target.is_loopback or same_path(target) in targets or peer.at in seen:
                continue
            if (target.is_unix and "php" in target.path) or (
                not target.is_unix
                and ports
                and target.port not in ports
                and "php" in route.location  # otherwise it may be another server
            ):
                seen.add(peer.at)
                there = ", ".join(sorted(str(target) for target in targets))
                yield risk(
                    f"no pool listens on {peer.name}; there is {there}",
                    peer.at,
                    "pass to the pool's `listen` address",
                    severity=None
                    if deployment.is_here
                    else Severity.NOTE,  # a repository has only the pools that somebody edited
                )


@rule(35, "pool-socket-not-for-proxy", Severity.WARNING, "unix-socket-permission")
def not_for_proxy(deployment: Deployment) -> Iterator[Risk]:
    """The pool's socket belongs to a different user than the proxy's workers.

    Without listen.owner it belongs to root with mode 0660: `connect() … failed (13: Permission denied)`, 502.
    """
    user = deployment.configuration.user
    passed = {same_path(peer.target) for peer in peers_of(route for route in deployment.routes if route.protocol == "fastcgi")}
    for pool in deployment.pools:
        if not user or user == "root" or pool.target is None or not pool.target.is_unix or same_path(pool.target) not in passed:
            continue
        mode = int(pool.mode, 8) if pool.mode and all(digit in "01234567" for digit in pool.mode) else 0o660
        owner, group = pool.owner or "root", pool.group or "root"
        is_open = mode & 0o002 or (owner == user and mode & 0o200) or (group in (user, *_groups(deployment)) and mode & 0o020)
        if not is_open and user not in pool.acl_users.split(","):
            message = f"{pool.target} is {owner}:{group} {mode:04o}, but the proxy's workers run as {user}"
            yield risk(message, pool.listen_at, f"listen.owner = {user}, listen.group = {user}, listen.mode = 0660")


def _groups(deployment: Deployment) -> tuple[str, ...]:
    """Return the group that `user NAME GROUP;` gives the workers."""
    return tuple(word for directive in deployment.levels[0].own("user") for word in directive.args[1:])
