"""From the options of a command to the snapshots it works on."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from why502.cli import time_limit
from why502.cli.window import moment
from why502.model.errors import Why502Error
from why502.model.snapshot import Gap, LiveSnapshot, Snapshot
from why502.model.target import Target

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.collectors.base import Ask
    from why502.host.base import Host

INPUT = "-"


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
) -> tuple[Snapshot, ...]:
    """Return the snapshots that the options ask for: of other machines and bundles, or of this machine. Raises Why502Error."""
    snapshots = _looked(
        env, urls=urls, targets=targets, configs=configs, logs=logs, since=since, until=until, hosts=hosts, bundles=bundles,
        probes=probes, offline=offline,
    )  # fmt: skip
    from why502.redaction import know
    from why502.redaction.snapshots import secrets_in

    know(secrets_in(*snapshots))  # from here on no output shows them, wherever they stand
    return snapshots


def _looked(
    env: Env,
    *,
    urls: tuple[str, ...],
    targets: tuple[str, ...],
    configs: tuple[str, ...],
    logs: tuple[str, ...],
    since: str,
    until: str,
    hosts: tuple[str, ...],
    bundles: tuple[str, ...],
    probes: bool,
    offline: bool,
) -> tuple[Snapshot, ...]:
    now = env.now()
    begin, end = moment(since, now, "--since"), moment(until, now, "--until")
    if begin > end:
        raise Why502Error("--since is later than --until", "Swap the two times.")
    if offline and hosts:
        raise Why502Error("--offline and --host cannot be combined", "Drop one of them.")
    if hosts or bundles:
        if bundles and not hosts:
            time_limit.limit(time_limit.LIMIT_S * len(bundles))
        given = tuple(_loaded(env, path) for path in bundles)
        return (*(_elsewhere(hosts, since, until, urls, configs, logs, given, probes=probes) if hosts else ()), *given)
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
    from why502.collectors import collect
    from why502.collectors.base import Ask

    gc.disable()  # a large configuration is a million objects without cycles, which the collector would look through again and again

    ask = Ask(
        configs=tuple(path if path == INPUT else str(Path(path).absolute()) for path in configs),
        logs=tuple(path if path == INPUT else str(Path(path).absolute()) for path in logs),
        urls=urls,
        targets=tuple(_target(text) for text in targets),
        probes=probes and not offline,
        offline=offline,
    )
    snapshot = collect(_host(env, ask), now, begin, end, ask)
    if offline:
        snapshot = msgspec.structs.replace(snapshot, gaps=_asked_for(snapshot.gaps))
    if not snapshot.proxies and not logs and not targets:
        reason = next((gap for gap in snapshot.gaps if gap.source == "proxies"), None)
        raise Why502Error(
            f"no proxy found on this machine: {reason.reason}"
            if reason
            else "nginx is not running, and there is no nginx configuration in the standard locations",
            reason.hint
            if reason and reason.hint
            else "Give its main configuration with --config PATH, or its logs with --log PATH.",
        )
    return (snapshot if offline else LiveSnapshot.of(snapshot),)


def _elsewhere(
    hosts: tuple[str, ...],
    since: str,
    until: str,
    urls: tuple[str, ...],
    configs: tuple[str, ...],
    logs: tuple[str, ...],
    known: tuple[Snapshot, ...],
    *,
    probes: bool,
) -> tuple[Snapshot, ...]:
    """Return the snapshots of other machines, whose paths the files are then. Raises Why502Error."""
    if INPUT in (*configs, *logs):
        raise Why502Error("standard input (-) belongs to this machine, but --host names another", "Name a file on that machine.")
    from why502.session.elsewhere import look_elsewhere, window

    named = (("--url", urls), ("--config", configs), ("--log", logs))
    options = [word for option, values in named for value in values for word in (option, value)]
    return look_elsewhere(hosts, [*window(since, until), *([] if probes else ["--no-probe"]), *options], known)


def _loaded(env: Env, path: str) -> Snapshot:
    from why502.bundle import LIMIT_BYTES, load

    return load(_content(env, path, LIMIT_BYTES + 1), path)


def _target(text: str) -> Target:
    """Return an address that the user named. Raises Why502Error."""
    target = Target.parse(text)
    if target is None:
        raise Why502Error(f"--target {text!r} is not a valid address", "Write it like 10.0.0.5:3000 or unix:/run/app.sock.")
    return target


def _host(env: Env, ask: Ask) -> Host:
    """Return the machine as the options allow to see it."""
    host, files = env.host(), (*ask.configs, *ask.logs)
    pipes = [path for path in dict.fromkeys(files) if _is_pipe(path)]
    if ask.offline:
        from why502.host.offline import OfflineHost

        host = OfflineHost(host, (path for path in files if path != INPUT and path not in pipes))
    if INPUT in files or pipes:
        from why502.host.standard_input import WithInput

        host = WithInput(host, env.stdin.buffer) if INPUT in files else host
        for path in pipes:
            with open(path, "rb") as stream:
                host = WithInput(host, stream, path)
    return host


def _is_pipe(path: str) -> bool:
    """Return whether a path is that of a pipe which the shell gave us open: `<(journalctl -u nginx)`."""
    return path.startswith(("/dev/fd/", "/proc/self/fd/")) and Path(path).is_fifo()


def _asked_for(gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """Return the gaps with one in place of all those that --offline made."""
    kept = tuple(gap for gap in gaps if "--offline" not in gap.reason and not gap.source.startswith(("/proc/", "/sys/")))
    return (*kept, Gap(source="this machine", reason="not checked: --offline")) if len(kept) < len(gaps) else kept


def _content(env: Env, path: str, limit_bytes: int) -> bytes:
    """Return what a bundle holds. Raises Why502Error."""
    if not path:
        raise Why502Error("--bundle: the file name is empty", "Name a file that `why502 collect` wrote.")
    if path == INPUT:
        return env.stdin.buffer.read(limit_bytes)
    _readable(path, "--bundle")
    with open(path, "rb") as file:
        return file.read(limit_bytes)


def _web_address(url: str) -> None:
    """Raise Why502Error where `--url` is none."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or any(character.isspace() or not character.isprintable() for character in url):
        raise Why502Error(f"--url {url!r} is not a valid http(s) URL", "Write it like http://example.com/path.")


def _readable(path: str, option: str) -> None:
    """Raise Why502Error where a file that the user named cannot be read."""
    try:
        if Path(path).is_dir():
            raise Why502Error(f"{option} {path} is a directory", "Name a file in it.")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Why502Error(
            f"{option} {path}: {(error.strerror or str(error)).lower()}", "Check the path and its permissions, or run as root."
        ) from error
