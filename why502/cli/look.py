"""From the options of a command to the snapshots it works on: validates the user's options and passes them to the session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from why502.cli import time_limit
from why502.model.errors import Why502Error
from why502.model.target import Target
from why502.session import looking
from why502.session.looking import INPUT, Scope
from why502.session.window import moment

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.model.snapshot import Snapshot


def look(
    env: Env,
    *,
    urls: tuple[str, ...] = (),
    targets: tuple[str, ...] = (),
    configs: tuple[str, ...] = (),
    logs: tuple[str, ...] = (),
    since: str = "15m",
    until: str = "now",
    hosts: tuple[str, ...] = (),
    bundles: tuple[str, ...] = (),
    probes: bool = True,
    offline: bool = False,
    sources: frozenset[str] = frozenset(),
) -> tuple[Snapshot, ...]:
    """Return the snapshots that the options select: of other machines and bundles, or of this machine. Raises Why502Error."""
    now = env.now()
    begin, end = moment(since, now, "--since"), moment(until, now, "--until")
    if begin > end:
        raise Why502Error("--since is later than --until", "Swap the two times.")
    if offline and hosts:
        raise Why502Error("--offline and --host cannot be combined", "Drop one of them.")
    if bundles and not hosts:
        time_limit.limit(time_limit.LIMIT_S * len(bundles))
    given = tuple(_loaded(env, path) for path in bundles)
    if hosts:
        if INPUT in (*configs, *logs):
            raise Why502Error(
                "standard input (-) belongs to this machine, but --host names another", "Name a file on that machine."
            )
    elif not bundles:
        _check(urls, configs, logs, offline=offline)
    scope = Scope(
        now=now,
        begin=begin,
        end=end,
        urls=urls,
        targets=() if hosts or bundles else tuple(_target(text) for text in targets),
        configs=configs,
        logs=logs,
        hosts=hosts,
        window=(since, until),
        bundles=given,
        is_probing=probes,
        is_offline=offline,
        sources=sources,
    )
    return looking.look(scope, env.machine())


def _check(urls: tuple[str, ...], configs: tuple[str, ...], logs: tuple[str, ...], *, offline: bool) -> None:
    """Raise Why502Error if an option for this machine names something that cannot be read or requested."""
    for option, paths in (("--config", configs), ("--log", logs)):
        for path in paths:
            if path != INPUT:
                _readable(path, option)
    if [*configs, *logs].count(INPUT) > 1:
        raise Why502Error("standard input (-) can be given only once", "Give the other files by path.")
    for url in urls:
        _web_address(url)
    if offline and not (configs or logs):
        raise Why502Error("--offline needs files to read", "Give them with --log, --config or --bundle.")


def _loaded(env: Env, path: str) -> Snapshot:
    from why502.bundle import LIMIT_BYTES, load

    return load(_content(env, path, LIMIT_BYTES + 1), path)


def _target(text: str) -> Target:
    """Return an address given by the user. Raises Why502Error."""
    target = Target.parse(text)
    if target is None:
        raise Why502Error(f"--target {text!r} is not a valid address", "Write it like 10.0.0.5:3000 or unix:/run/app.sock.")
    return target


def _content(env: Env, path: str, limit_bytes: int) -> bytes:
    """Return the content of a bundle. Raises Why502Error."""
    if not path:
        raise Why502Error("--bundle: the file name is empty", "Name a file that `why502 collect` wrote.")
    if path == INPUT:
        return env.stdin.buffer.read(limit_bytes)
    _readable(path, "--bundle")
    with open(path, "rb") as file:
        return file.read(limit_bytes)


def _web_address(url: str) -> None:
    """Raise Why502Error if `--url` is not a valid URL."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or any(character.isspace() or not character.isprintable() for character in url):
        raise Why502Error(f"--url {url!r} is not a valid http(s) URL", "Write it like http://example.com/path.")


def _readable(path: str, option: str) -> None:
    """Raise Why502Error if a file named by the user cannot be read."""
    try:
        if Path(path).is_dir():
            raise Why502Error(f"{option} {path} is a directory", "Name a file in it.")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Why502Error(
            f"{option} {path}: {(error.strerror or str(error)).lower()}", "Check the path and its permissions, or run as root."
        ) from error
