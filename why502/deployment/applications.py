"""The applications of a deployment: the addresses that its systemd units and PHP-FPM pools serve, and their request time
limits.

Only documented options of these servers are read; an unknown program has no known address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

from why502.backends.options import values
from why502.backends.php_fpm import config as php_fpm
from why502.deployment.files import Deployment, same_path
from why502.model.base import Value
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import whole_number
from why502.supervisors.systemd.unit_files import Unit

GUNICORN_TIMEOUT_S = 30.0
_BINDS = {"gunicorn": ("-b", "--bind"), "hypercorn": ("-b", "--bind"), "puma": ("-b", "--bind"), "unicorn": ("-l", "--listen")}
_HOSTS = {"uvicorn": "--host", "daphne": "-b", "flask": "--host", "waitress-serve": "--host", "granian": "--host"}
_PORTS = {"uvicorn": "--port", "daphne": "-p", "flask": "--port", "puma": "-p", "waitress-serve": "--port", "granian": "--port"}
_UWSGI = ("--http", "--http-socket", "--socket", "-s", "--uwsgi-socket")
_DEFAULT_PORTS = {"uvicorn": 8000, "gunicorn": 8000, "daphne": 8000, "flask": 5000, "puma": 9292, "waitress-serve": 8080}
_INTERPRETER = lazy(r"(?:python|ruby|perl)[\d.]*")
_SCRIPTS = frozenset({*_BINDS, *_HOSTS, *_PORTS, "rails", "rackup", "starman"})


class ApplicationKind(StrEnum):
    """The kind of program or pool that starts an application."""

    SERVICE = "service"
    SOCKET = "socket"
    POOL = "pool"


class Application(Value, frozen=True, kw_only=True):
    """A listening application. `timeout_s`: time after which it kills its worker; None for never.

    `is_timeout_set`: False for the default. `timeout_at`: its position.
    """

    name: str
    kind: ApplicationKind
    targets: tuple[Target, ...] = ()
    timeout_s: float | None = None
    is_timeout_set: bool = False
    timeout_at: str = ""


def applications(deployment: Deployment) -> tuple[Application, ...]:
    """Return every application described by the deployment's units and pools."""
    return (*(_unit(unit) for unit in deployment.units), *_pools(deployment))


def behind(deployment: Deployment, target: Target | None) -> Iterator[Application]:
    """Yield the applications that listen on a target of this machine."""
    if target is None or not target.is_loopback or not (deployment.units or deployment.pools):
        return
    for application in applications(deployment):
        for listened in application.targets:
            if same_path(listened) == same_path(target) or (
                target and not listened.is_unix and not target.is_unix and listened.port == target.port
            ):
                yield application
                break


def program(unit: Unit) -> str:
    """Return the application server a unit starts, without version: gunicorn, uvicorn, node, java; "" if none."""
    return server_of(unit.argv)


def server_of(argv: Sequence[str]) -> str:
    """Return the application server that a command starts, without version: gunicorn, uvicorn, node, java; "" if none."""
    words = [word.rsplit("/", 1)[-1] for word in argv]
    is_interpreted = len(words) > 1 and _INTERPRETER.fullmatch(words[0])
    if is_interpreted and len(words) > 2 and words[1] == "-m":
        words = words[2:]
    elif is_interpreted and words[1] in _SCRIPTS:  # the kernel puts the interpreter of `#!` before a script
        words = words[1:]
    elif words and words[0] in ("bundle", "poetry", "pipenv", "uv", "npx", "env"):
        words = [word for word in words[1:] if word not in ("exec", "run")] or words
    name = words[0].rstrip("0123456789.") if words else ""
    return "uwsgi" if name.startswith(("uwsgi_", "uwsgi-")) else name  # Debian's uwsgi_python3, uwsgi-core


def limit_of(argv: Sequence[str]) -> tuple[float | None, bool]:
    """Return the seconds after which a server kills a worker that is busy with a request, and whether its command names them.

    None: never, or not known.
    """
    name = server_of(argv)
    if name == "gunicorn":
        workers = next(iter(values(argv, "-k", "--worker-class")), "sync")
        given = next((float(value) for value in values(argv, "-t", "--timeout") if whole_number(value) is not None), None)
        if workers in ("sync", "gthread"):
            return (given or None, True) if given is not None else (GUNICORN_TIMEOUT_S, False)
    elif name == "uwsgi":
        limit = next((float(value) for value in values(argv, "--harakiri") if whole_number(value) is not None), None)
        return limit, limit is not None
    return None, False


def drain_of(argv: Sequence[str]) -> float | None:
    """Return the seconds that a server gives its requests to end when it is stopped; None if its command does not name them."""
    name = {"gunicorn": "--graceful-timeout", "uvicorn": "--timeout-graceful-shutdown", "hypercorn": "--graceful-timeout"}
    given = values(argv, name.get(server_of(argv), ""))
    return next((float(value) for value in given if whole_number(value) is not None), None)


def _unit(unit: Unit) -> Application:
    kind = ApplicationKind.SOCKET if unit.name.endswith(".socket") else ApplicationKind.SERVICE
    if kind is ApplicationKind.SOCKET:
        found = [php_fpm.listen_target(entry.value) for entry in unit.all("ListenStream", "Socket")]
        return Application(name=unit.name, kind=kind, targets=tuple(target for target in found if target))
    timeout_s, is_set = limit_of(unit.argv)
    entry = unit.get("ExecStart")
    return Application(
        name=unit.name,
        kind=kind,
        targets=tuple(_targets(program(unit), unit.argv)),
        timeout_s=timeout_s,
        is_timeout_set=is_set,
        timeout_at=str(entry.at) if entry else "",
    )


def _targets(name: str, argv: Sequence[str]) -> Iterator[Target]:
    """Yield the listening addresses in a server's options; its default port if the options contain none."""
    found = []
    for value in values(argv, *_BINDS.get(name, ()), *(_UWSGI if name == "uwsgi" else ())):
        target = Target.parse(re.sub(r"^(?:tcp|http)://|^(?=:)|(?<=^unix:)//", lambda part: "0.0.0.0" * (not part[0]), value))
        if target and (target.is_unix or target.port):
            found.append(target)
    ports = [port for value in values(argv, _PORTS.get(name, "")) if 0 < (port := whole_number(value, 5) or 0) < 65536]
    host = next(iter(values(argv, _HOSTS.get(name, ""))), "127.0.0.1")
    found += [Target(host=host, port=port) for port in ports]
    if (
        not found
        and name in _DEFAULT_PORTS
        and not any(word.startswith(("-c", "--config", "--fd", "--uds", "-C")) for word in argv)
    ):
        found.append(Target(host="127.0.0.1", port=_DEFAULT_PORTS[name]))
    yield from found


def _pools(deployment: Deployment) -> Iterator[Application]:
    for pool in deployment.pools:
        limit = php_fpm.seconds(pool.settings.get("request_terminate_timeout", "0"))
        written = pool.written.get("request_terminate_timeout")
        yield Application(
            name=f"pool {pool.name}",
            kind=ApplicationKind.POOL,
            targets=(pool.target,) if pool.target else (),
            timeout_s=limit or None,
            is_timeout_set=bool(limit),
            timeout_at=str(written.at) if written and written.at else "",
        )
