"""From the options of a command to the snapshots that it works on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from why502.cli.window import moment
from why502.model.errors import Why502Error
from why502.model.snapshot import Snapshot

if TYPE_CHECKING:
    from why502.cli.env import Env


def look(
    env: Env,
    *,
    urls: tuple[str, ...] = (),
    configs: tuple[str, ...] = (),
    logs: tuple[str, ...] = (),
    since: str = "15m",
    until: str = "now",
    hosts: tuple[str, ...] = (),
    bundles: tuple[str, ...] = (),
    probes: bool = True,
    offline: bool = False,
) -> tuple[Snapshot, ...]:
    """Return the snapshots that the options ask for: of bundles, or of this machine. Raises Why502Error."""
    now = env.now()
    begin, end = moment(since, now, "--since"), moment(until, now, "--until")
    if begin > end:
        raise Why502Error("--since is later than --until", "Exchange them.")
    if hosts:
        raise Why502Error(
            "--host: other machines cannot be looked at yet",
            "Run `why502 collect` there, and diagnose its bundle here with --bundle.",
        )
    if bundles:
        from why502.bundle import load

        return tuple(load(Path(path).read_bytes(), path) for path in bundles)
    for option, paths in (("--config", configs), ("--log", logs)):
        for path in paths:
            if path != "-":
                _readable(path, option)
    if offline and not (configs or logs):
        raise Why502Error("--offline needs files to look at", "Name them with --log, --config or --bundle.")
    from why502.sources import collect
    from why502.sources.base import Ask

    ask = Ask(
        configs=tuple(str(Path(path).absolute()) for path in configs),
        logs=tuple(path if path == "-" else str(Path(path).absolute()) for path in logs),
        urls=urls,
        probes=probes and not offline,
        offline=offline,
    )
    snapshot = collect(env.host(), now, begin, end, ask)
    if not snapshot.proxies and not logs:
        why = next((gap for gap in snapshot.gaps if gap.source == "proxies"), None)
        raise Why502Error(
            f"no proxy was found here: {why.why}"
            if why
            else "no nginx runs here, and none of its configurations lies in the usual places",
            why.allow if why and why.allow else "Name its main configuration with --config PATH, or logs with --log PATH.",
        )
    return (snapshot,)


def _readable(path: str, option: str) -> None:
    """Raise Why502Error where a file that the user named cannot be read."""
    try:
        if Path(path).is_dir():
            raise Why502Error(f"{option} {path} is a folder", "Name a file in it.")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Why502Error(
            f"{option} {path}: {(error.strerror or str(error)).lower()}", "Check the path, and that you may read it (root may)."
        ) from error
