"""`why502 watch`: runs on, counts failures, diagnoses incidents, and tells whoever is to be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from why502.cli.output_options import loudness, only_format
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env

_SETTINGS = click.option("--settings", "settings_path", metavar="FILE", help="Settings file  [default: /etc/why502/watch.toml]")


@click.group(invoke_without_command=True)
@click.option("--once", is_flag=True, help="Read new lines, check every member once, send due messages, and exit (for a timer).")
@click.option(
    "--gate", metavar="TIME", help="Watch --target for this long, and exit with 0 (good), 1 (bad) or 2 (not enough data)."
)
@click.option("--target", metavar="ADDRESS", help="The member that --gate judges, as configured: 10.0.0.7:8080.")
@_SETTINGS
@click.option("--config", "--nginx-conf", "configs", multiple=True, metavar="PATH", help="Main configuration file of a gateway.")
@click.option("--log", "logs", multiple=True, metavar="PATH", help="A log to follow, as well as those of the gateways.")
@click.option("--store", metavar="FILE", help="The database  [default: /var/lib/why502-watch/watch.db]")
@click.option("--no-probe", is_flag=True, help="Send no check to any target.")
@click.option("--listen", metavar="ADDRESS", help="Address of /metrics  [default: 127.0.0.1:9502]; '' for none.")
@click.option("--format", "format_", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
@loudness
@click.pass_context
def watch(
    context: click.Context,
    once: bool,
    gate: str | None,
    target: str | None,
    settings_path: str | None,
    configs: tuple[str, ...],
    logs: tuple[str, ...],
    store: str | None,
    no_probe: bool,
    listen: str | None,
    format_: str,
) -> None:
    """Count failures continuously, diagnose incidents, send alerts.

    Watches the gateways of this machine: every failure is counted, each incident is diagnosed, and alerts carry the fix.

    Runs until it is stopped, with a live view on a terminal. It needs no settings: it finds the gateways, their logs and targets.

    \b
    Example: why502 watch
    Example: why502 watch --gate 5m --target 10.0.0.7:8080 && ./deploy-the-rest
    Example: why502 watch install
    """
    if context.invoked_subcommand is not None:
        return
    from why502.cli.watching import run, run_gate, run_once
    from why502.watch.options import Options

    env: Env = context.obj
    options = Options(settings=settings_path, configs=configs, logs=logs, store=store, is_checking=not no_probe, listen=listen)
    if (gate is None) != (target is None):
        raise click.UsageError("--gate and --target belong together")
    if gate is not None and once:
        raise click.UsageError("--gate and --once cannot be combined")
    if gate is not None and target is not None:
        context.exit(run_gate(env, options, gate, target))
    context.exit(run_once(env, options, format_) if once else run(env, options, format_))


@watch.command("mitigate")
@click.option("--config", "--nginx-conf", "configs", multiple=True, metavar="PATH", help="Main configuration file of a gateway.")
@click.option("--state", metavar="DIR", help="Directory for the backups and the journal.")
@click.option("--dry-run", is_flag=True, help="Only show which member would be taken out; works without the setting.")
@_SETTINGS
@only_format("text")
@loudness
@click.pass_obj
def mitigate(env: Env, configs: tuple[str, ...], state: str | None, dry_run: bool, settings_path: str | None) -> int:
    """Take out a member that keeps failing, for a while.

    Off unless `down = true` is in [mitigation] of the settings. Checks every member. One that fails five checks in a row is
    taken out, as with `why502 mitigate down MEMBER --for`, for twice as long each time. Members are taken out one at a time,
    never the last one that passes its checks, and never more than half of a group.

    Exit status: 0 done or nothing to do, 2 no member could be checked or it could not run.

    \b
    Example: why502 watch mitigate --dry-run
    """
    from why502.cli.taking_out import take_out
    from why502.watch import settings

    found = settings.read(settings_path)
    if not (found.mitigation.down or dry_run):
        env.write(
            "This is turned off: set `down = true` in [mitigation] of the settings, or use --dry-run to see what it would do.\n"
        )
        return 0
    return take_out(env, found, configs=configs, state=state, is_shown=dry_run)


@watch.command("install")
@click.option("--timer", is_flag=True, help="Install a timer that runs `why502 watch --once` every minute, instead of a daemon.")
@click.option("--mitigate", is_flag=True, help="Also install a timer that runs `why502 watch mitigate` as root.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/etc/systemd/system"),
    show_default=True,
    help="Directory to write the units to.",
)
@_SETTINGS
@only_format("text")
@loudness
@click.pass_obj
def install(env: Env, timer: bool, mitigate: bool, directory: Path, settings_path: str | None) -> int:
    """Write the systemd unit, and print how to start it.

    \b
    Example: why502 watch install
    Example: why502 watch install --timer
    """
    from why502.watch import settings, units

    found = settings.read(settings_path)
    if mitigate and not found.mitigation.down:
        raise Why502Error(
            "--mitigate: the settings do not allow it", f"Set `down = true` in [mitigation] of {settings_path or settings.PATH}."
        )
    done = units.install(directory, is_timer=timer, mitigates=mitigate, settings=settings_path)
    env.write("".join(f"wrote {path}\n" for path in done.paths))
    env.write("Start it with:\n" + "".join(f"  {command}\n" for command in done.commands))
    return 0


@watch.command("check-config")
@click.option("--example", is_flag=True, help="Print the annotated example of a settings file, with every default.")
@_SETTINGS
@only_format("text")
@loudness
@click.pass_obj
def check_config(env: Env, example: bool, settings_path: str | None) -> int:
    """Check the settings, without starting anything.

    \b
    Example: why502 watch check-config
    Example: why502 watch check-config --example > watch.toml
    """
    from why502.watch import settings

    if example:
        env.write(settings.example())
        return 0
    if settings_path is None and not settings.PATH.exists():
        env.write(f"{settings.PATH} does not exist; every setting has its default\n")
        return 0
    found = settings.read(settings_path)
    env.write(f"{settings_path or settings.PATH}: valid; {settings.summary(found)}\n")
    return 0


@watch.command("test-notify")
@click.argument("receiver", required=False)
@_SETTINGS
@only_format("text")
@loudness
@click.pass_obj
def test_notify(env: Env, receiver: str | None, settings_path: str | None) -> int:
    """Send a test message to RECEIVER, or to all.

    Exit status: 0 all accepted it, 1 one did not, 2 there is no receiver or the settings are not valid.

    \b
    Example: why502 watch test-notify
    Example: why502 watch test-notify pager
    """
    from why502.cli.env import Exit
    from why502.render.words import safe
    from why502.watch import settings
    from why502.watch.notify.settings import receivers
    from why502.watch.notify.trial import chosen, try_receivers

    found = chosen(receivers(settings.read(settings_path).receivers), receiver)
    trials = try_receivers(found, env.host().name, env.now())
    env.write("".join(f"{trial.receiver}: {safe(trial.reason) or 'accepted the message'}\n" for trial in trials))
    return Exit.PROBLEM if any(trial.reason for trial in trials) else Exit.HEALTHY
