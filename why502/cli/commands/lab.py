"""`why502 lab`: breaks a real server in a chosen way, and has it diagnosed."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from why502.cli.habits import loudness
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.group()
def lab() -> None:
    """Break a real server in a chosen way, for training and for tests.

    \b
    Example: why502 lab run wrong-port
    """


@lab.command("list")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@loudness
@click.pass_obj
def list_faults(env: Env, format_: str) -> None:
    """Show every fault: its name, its cause, and what is broken.

    \b
    Example: why502 lab list | grep php
    """
    from why502.lab.faults import faults

    if format_ == "json":
        import msgspec

        rows = [
            {"name": fault.name, "cause": fault.cause, "says": fault.says, "missing": fault.missing()}
            for fault in faults().values()
        ]
        env.write(msgspec.json.format(msgspec.json.encode({"schema": "why502.lab/1", "faults": rows}), indent=2).decode() + "\n")
        return
    for fault in faults().values():
        missing = fault.missing()
        env.write(f"{fault.name:<40} {fault.cause:<29} {fault.says}{f' [{missing}]' if missing else ''}\n")


@lab.command("run")
@click.argument("name")
@click.option("--keep", is_flag=True, help="Leave the scene standing until Enter or Ctrl-C, to look around.")
@click.option("--show-only", is_flag=True, help="Break it and show its log lines; no diagnosis.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "jsonl", "html", "markdown"]),
    default="text",
    show_default=True,
    help="Format of the diagnosis.",
)
@loudness
@click.pass_context
def run_fault(context: click.Context, name: str, keep: bool, show_only: bool, format_: str) -> None:
    """Break a server in the way NAME, send it requests, and run `why502 diagnose` on it.

    All that it starts is gone afterwards. The exit status is that of the diagnosis.

    \b
    Example: why502 lab run backend-hung --keep
    """
    from why502.lab.faults import faults
    from why502.lab.room import door, enter

    fault = faults().get(name)
    if fault is None:
        raise Why502Error(f"no fault is called {name!r}", "`why502 lab list` shows them all.")
    if missing := fault.missing():
        raise Why502Error(f"{name} {missing}", "Install it (or run as root), and try again.")
    flags = [*(["--keep"] if keep else []), *(["--show-only"] if show_only else []), "--option=--format", f"--option={format_}"]
    env: Env = context.obj
    flags += [*(["--option=-q"] if env.is_quiet else []), *(["--option=-v"] if env.is_verbose else [])]
    signal.signal(signal.SIGTERM, _end)
    with enter(fault, *flags) as process:
        if keep and (command := door(process)):
            click.echo(f"To look around from another terminal: {command}", err=True)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            status = 130
    context.exit(status)


def _end(*_: object) -> NoReturn:
    sys.exit(143)
