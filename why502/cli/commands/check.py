"""`why502 check`: one round of the checks that `why502 watch` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from why502.cli.output_options import loudness
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env

# What the checks need: the proxies, what their names mean, what listens, and the logs, for requests that may have done harm.
_SOURCES = frozenset({"addresses", "proxies", "listeners", "socket_names", "names", "logs"})


@click.command()
@click.option("--target", "targets", multiple=True, metavar="TARGET", help="Only this address, server name or group.")
@click.option("--proxy", "proxies", multiple=True, metavar="NAME", help="Only members of this proxy: nginx, haproxy, apache…")
@click.option("--without", metavar="TARGET", help="Report whether the other members could serve if TARGET were stopped now.")
@click.option("--config", "configs", multiple=True, metavar="PATH", help="Main configuration file.")
@click.option(
    "--settings", "settings_path", metavar="FILE", help="Settings file with [checks]  [default: /etc/why502/watch.toml]"
)
@click.option("--format", "format_", type=click.Choice(["text", "json", "jsonl"]), default="text", show_default=True)
@loudness
@click.pass_obj
def check(
    env: Env,
    targets: tuple[str, ...],
    proxies: tuple[str, ...],
    without: str | None,
    configs: tuple[str, ...],
    settings_path: str | None,
    format_: str,
) -> int:
    """Check every member of every upstream once.

    Each member gets the request that its proxy would send, from this machine: same protocol, Host, headers, TLS settings and
    limits. Paths, statuses and bodies can be set in [checks]. No visitor's request is repeated, and no service is started.
    CODE is HAProxy's name for the result.

    Exit status: 0 all pass, 1 a member fails, 2 it could not run or no member could be checked.
    With --without: 0 another member of each of its groups passes, 1 a group has none that passes, 2 unknown.

    \b
    Example: why502 check --without 10.0.0.7:8080 && systemctl restart shop
    Example: why502 check
    Example: why502 check --target 127.0.0.1:3000 --format json
    """
    from why502.cli.env import Exit
    from why502.cli.look import look
    from why502.watch.checks.checker import one_round
    from why502.watch.checks.members import planned
    from why502.watch.checks.report import as_json, as_lines, as_table, report_of
    from why502.watch.checks.rest import judged, others_of
    from why502.watch.checks.selection import selected
    from why502.watch.checks.verdict import verdict_of
    from why502.watch.model import MemberStatus
    from why502.watch.settings import read

    if without is not None and targets:
        raise Why502Error("--without and --target cannot be used together", "--without checks the other members of its groups.")
    settings = read(settings_path).checks
    (snapshot,) = look(env, configs=configs, sources=_SOURCES)
    every = planned(snapshot, settings)
    chosen = selected(every, targets if without is None else (without,), proxies)
    members = chosen if without is None else others_of(chosen, every)
    results = one_round(env.host(), members)
    report = report_of(results, snapshot.gaps, snapshot.taken_at)
    if format_ == "text":
        env.write(as_table(report, is_quiet=env.is_quiet))
    else:
        env.write((as_json if format_ == "json" else as_lines)(report))
    if without is not None:
        status, message = judged(without, chosen, results)
        click.echo(f"why502: {message}", file=env.stderr)
        return {MemberStatus.UP: Exit.HEALTHY, MemberStatus.DOWN: Exit.PROBLEM}.get(status, Exit.CANNOT)
    verdicts = {verdict_of(result) for result in results}
    if MemberStatus.DOWN in verdicts:
        return Exit.PROBLEM
    return Exit.HEALTHY if MemberStatus.UP in verdicts else Exit.CANNOT
