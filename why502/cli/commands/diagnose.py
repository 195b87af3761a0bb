"""`why502 diagnose`: finds out why the proxy fails."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from why502.cli.env import Env

_FORMATS = {
    "text": ("terminal", "render"),
    "json": ("json", "render"),
    "jsonl": ("json", "render_line"),
    "html": ("html", "render"),
    "markdown": ("markdown", "render"),
}


@click.command()
@click.option("--url", "urls", multiple=True, metavar="URL", help="Also request URL through the proxy of this machine.")
@click.option(
    "--config",
    "--nginx-conf",
    "--haproxy-cfg",
    "--apache-conf",
    "configs",
    multiple=True,
    metavar="PATH",
    help="Main configuration file.",
)
@click.option(
    "--log",
    "--error-log",
    "--access-log",
    "logs",
    multiple=True,
    metavar="PATH",
    help="A log file of any kind, plain or .gz .bz2 .xz .zst; - is standard input.",
)
@click.option("--since", default="15m", show_default=True, help="Start of the time window: 15m, 2h, or an ISO time.")
@click.option("--until", default="now", show_default=True, help="End of the time window.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="ssh://USER@HOST",
    help="Diagnose that machine instead of this one. why502 must be installed there.",
)
@click.option(
    "--bundle", "bundles", multiple=True, metavar="FILE", help="Diagnose this file from `why502 collect` instead of a machine."
)
@click.option("--no-probe", is_flag=True, help="Send no probe to any target.")
@click.option("--offline", is_flag=True, help="Read only the files given.")
@click.option("--save", "save_to", metavar="FILE", help="Also save the evidence as a bundle, as `why502 collect` would.")
@click.option("--format", "format_", type=click.Choice(list(_FORMATS)), default="text", show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="Show only the verdict.")
@click.option("-v", "--verbose", is_flag=True, help="Show all evidence and every cause considered.")
@click.pass_obj
def diagnose(
    env: Env,
    urls: tuple[str, ...],
    configs: tuple[str, ...],
    logs: tuple[str, ...],
    since: str,
    until: str,
    hosts: tuple[str, ...],
    bundles: tuple[str, ...],
    no_probe: bool,
    offline: bool,
    save_to: str | None,
    format_: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """Find out why the proxy fails, with evidence and a fix.

    Exit status: 0 healthy, 1 a problem was found, 2 it could not run.

    \b
    Example: why502 diagnose --since 1h
    Example: why502 diagnose --offline --log error.log --config nginx.conf
    Example: why502 diagnose --host ssh://root@web1 --host ssh://root@app1
    """
    from why502.cli.env import Exit
    from why502.cli.look import look
    from why502.cli.plan_output import tell_interrupted
    from why502.diagnosis.engine import diagnose as think
    from why502.model.finding import Verdict

    if not (hosts or bundles or offline):
        tell_interrupted(env)
    snapshots = look(
        env,
        urls=urls,
        configs=configs,
        logs=logs,
        since=since,
        until=until,
        hosts=hosts,
        bundles=bundles,
        probes=not no_probe,
        offline=offline,
    )
    if save_to:
        from why502.bundle import save
        from why502.host.output import write

        write(save_to, save(snapshots[0]))
    diagnosis = think(*snapshots, offline=offline)
    module, name = _FORMATS[format_]
    renderer = getattr(importlib.import_module(f"why502.render.{module}"), name)
    env.write(renderer(diagnosis, env.terminal(quiet=quiet, verbose=verbose)))
    return Exit.HEALTHY if diagnosis.verdict is Verdict.HEALTHY else Exit.PROBLEM
