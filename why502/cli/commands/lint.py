"""`why502 lint`: finds risks in a configuration before it is deployed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.host.base import Host
    from why502.linter.inputs import LintInput

_FORMATS = ("text", "json", "sarif", "github", "junit")
_FAIL_ON = {"error": 2, "warning": 1, "note": 0, "never": 9}
_MOST_INPUT = 64 << 20


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option(
    "--nginx-version",
    metavar="VERSION",
    help="The nginx version to check against: 1.22.1, or `newest`. Default: the installed one, otherwise the newest.",
)
@click.option(
    "--select",
    "select",
    multiple=True,
    metavar="RULE",
    help="Check only these rules: ids, names, causes or severities, comma-separated.",
)
@click.option("--ignore", "ignore", multiple=True, metavar="RULE", help="Skip these rules.")
@click.option(
    "--fail-on",
    type=click.Choice(list(_FAIL_ON)),
    default="warning",
    show_default=True,
    help="Minimum severity that fails (exit status 1).",
)
@click.option(
    "--baseline", type=click.Path(dir_okay=False), metavar="FILE", help="Report only findings that are not in this baseline."
)
@click.option(
    "--write-baseline",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the current findings to this file as the baseline.",
)
@click.option("--fix", is_flag=True, help="Apply the safe repairs, then check again.")
@click.option("--security", is_flag=True, help="Add the findings of gixy-ng, which must be installed.")
@click.option("--rules", "list_rules", is_flag=True, help="List all rules.")
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="text", show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="Show only the summary.")
@click.option("-v", "--verbose", is_flag=True, help="Explain each finding and the failure it leads to.")
@click.pass_obj
def lint(
    env: Env,
    paths: tuple[str, ...],
    nginx_version: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str,
    baseline: str | None,
    write_baseline: str | None,
    fix: bool,
    security: bool,
    list_rules: bool,
    format_: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """Find risks in configuration before it is deployed.

    Checks the configuration of nginx, HAProxy and Apache, PHP-FPM pools, and systemd units.
    PATH is a file, a directory, or - for standard input.
    The output of `nginx -T` is accepted too.

    Exit status: 0 no finding at or above --fail-on, 1 findings, 2 it could not run or a named
    file is not configuration.

    \b
    Example: why502 lint /etc/nginx/nginx.conf
    Example: nginx -T | why502 lint - --format sarif
    Example: why502 lint deploy/ --nginx-version 1.24.0 --ignore note
    """
    from why502.cli.env import Exit
    from why502.linter.engine import RULES, choose
    from why502.render.words import safe
    from why502.session import linting

    chosen = choose(_words(select), _words(ignore))
    if list_rules:
        env.write("".join(f"{rule.id} {rule.severity.value:<8} {rule.name:<36} {rule.message}\n" for rule in RULES.values()))
        return Exit.HEALTHY
    if not paths:
        raise click.UsageError("Missing argument 'PATH...'.")
    if fix and "-" in paths:
        raise Why502Error("--fix cannot edit standard input", "Give files or directories.")
    host = env.host()
    version = linting.version(host, nginx_version)
    if fix:
        from why502.linter.repair import repair

        given = _gather(env, host, paths, version)
        for line in repair(given, chosen, host, lambda: _gather(env, host, paths, version)):
            env.stderr.write(safe(line) + "\n")
    given = _gather(env, host, paths, version)
    others = None
    if security:
        from why502.linter.security import check

        others = check(given, host, version)
    report, notices = linting.check(
        given, chosen, version, base=str(Path.cwd()), baseline=baseline, write_baseline=write_baseline, others=others
    )
    for notice in notices:
        env.stderr.write(f"why502: {safe(notice)}\n")
    renderer = importlib.import_module(f"why502.render.lint.{format_}").render
    env.write(renderer(report, env.terminal(quiet=quiet, verbose=verbose)))
    for path in given.unchecked:
        env.stderr.write(f"why502: {safe(path)} was not checked\n")
    if given.unchecked:
        return Exit.CANNOT
    return Exit.PROBLEM if report.worst() >= _FAIL_ON[fail_on] else Exit.HEALTHY


def _words(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for option in options for word in re.split(r"[,\s]+", option) if word)


def _gather(env: Env, host: Host, paths: tuple[str, ...], version: str) -> LintInput:
    import gc

    from why502.session import linting

    gc.disable()  # a million small values that live until the process ends: looking for cycles in them takes a tenth of the time
    standard_input = None
    if "-" in paths:
        stream = getattr(env.stdin, "buffer", None)
        standard_input = stream.read(_MOST_INPUT) if stream else env.stdin.read(_MOST_INPUT).encode("utf-8", "surrogateescape")
    return linting.read(host, paths, version, standard_input)
