"""`why502 lab`: breaks a real server on purpose and runs the diagnosis on it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from why502.cli.output_options import loudness, only_format
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.group()
def lab() -> None:
    """Break a real server on purpose, for training and tests.

    \b
    Example: why502 lab run wrong-port
    """


@lab.command("list")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@loudness
@click.pass_obj
def list_faults(env: Env, format_: str) -> None:
    """List every fault: its name, its cause, and what it breaks.

    \b
    Example: why502 lab list | grep php
    """
    from why502.lab.faults import faults

    if format_ == "json":
        import msgspec

        rows = [
            {"name": fault.name, "cause": fault.cause, "message": fault.message, "missing": fault.missing()}
            for fault in faults().values()
        ]
        env.write(msgspec.json.format(msgspec.json.encode({"schema": "why502.lab/1", "faults": rows}), indent=2).decode() + "\n")
        return
    for fault in faults().values():
        missing = fault.missing()
        env.write(f"{fault.name:<40} {fault.cause:<29} {fault.message}{f' [{missing}]' if missing else ''}\n")


@lab.command("run")
@click.argument("name")
@click.option("--keep", is_flag=True, help="Keep the servers running until Enter or Ctrl-C, to look around.")
@click.option("--show-only", is_flag=True, help="Inject the fault and show the log lines, without a diagnosis.")
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
    """Inject fault NAME, send requests, and run `why502 diagnose`.

    Everything it starts is removed afterwards. The exit status is that of the diagnosis.

    \b
    Example: why502 lab run backend-hung --keep
    """
    from why502.lab.faults import faults
    from why502.lab.room import door, enter

    fault = faults().get(name)
    if fault is None:
        raise Why502Error(f"unknown fault {name!r}", "`why502 lab list` shows all of them.")
    if missing := fault.missing():
        raise Why502Error(f"{name} {missing}", "Install it or run as root, then try again.")
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


@lab.command("web")
@click.argument("name", default="wrong-port")
@click.option("--listen", default="127.0.0.1:8502", show_default=True, metavar="ADDRESS", help="Address of the pages.")
@only_format("text")
@loudness
def show_in_browser(name: str, listen: str) -> int:
    """Inject fault NAME and show it in a browser.

    Runs `why502 watch` beside the fault, and `why502 serve` with what it records, until Ctrl-C. Everything it starts is removed
    afterwards.

    \b
    Example: why502 lab web backend-hung
    """
    from why502.cli.env import Exit
    from why502.cli.web import check_installed
    from why502.lab.faults import faults

    check_installed()
    from why502.lab.browser import show
    from why502.serve.settings import listening

    fault = faults().get(name)
    if fault is None:
        raise Why502Error(f"unknown fault {name!r}", "`why502 lab list` shows all of them.")
    if missing := fault.missing():
        raise Why502Error(f"{name} {missing}", "Install it or run as root, then try again.")
    signal.signal(signal.SIGTERM, _end)
    click.echo(f"Scene: {fault.message}", err=True)
    try:
        return show(fault, listening(listen), lambda message: click.echo(message, err=True))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


@lab.command("stacks")
@click.option("--stack", "stack_names", multiple=True, help="Run only this stack; repeatable.")
@click.option("--fault", "scene_ids", multiple=True, help="Run only this fault or healthy day; repeatable.")
@click.option("--list", "is_list", is_flag=True, help="List them and run nothing.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1, 8), help="Number of scenes to run in parallel.")
@click.option(
    "--first-run", "rows_path", type=click.Path(dir_okay=False, path_type=Path), help="Append the results to FILE, as JSON lines."
)
@click.option(
    "--bundles", type=click.Path(file_okay=False, path_type=Path), help="Keep the evidence of each scene in this directory."
)
@click.option("--format", "format_", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
@click.option("--fix", "is_repaired", is_flag=True, help="Repair each with `why502 fix`, diagnose again, and undo it.")
@click.option("--build", "is_build", is_flag=True, help="Build the image first if it is missing (downloads packages).")
@loudness
@click.pass_context
def run_stacks(
    context: click.Context,
    stack_names: tuple[str, ...],
    scene_ids: tuple[str, ...],
    is_list: bool,
    jobs: int,
    rows_path: Path | None,
    bundles: Path | None,
    format_: str,
    is_repaired: bool,
    is_build: bool,
) -> None:
    """Break whole machines built from real packages, and diagnose each.

    Each machine boots systemd and gets traffic. The exit status is 1 if any diagnosis was wrong.

    \b
    Example: why502 lab stacks --stack flask-tcp
    """
    from why502.lab.stacks import image, registry
    from why502.lab.stacks.run import append, as_json, line, run

    env: Env = context.obj
    chosen = [
        (stack, scene)
        for stack in registry.stacks().values()
        for scene in stack.scenes
        if (not stack_names or stack.name in stack_names) and (not scene_ids or scene.id in scene_ids)
    ]
    if not chosen:
        raise Why502Error("no such stack or fault", "`why502 lab stacks --list` shows all of them.")
    if is_list:
        for stack, scene in chosen:
            row = {"stack": stack.name, "scene": scene.id, "happens": scene.happens}
            env.write(f"{as_json(row) if format_ == 'jsonl' else f'{stack.name:<24} {scene.id:<44} {scene.happens}'}\n")
        return
    if is_build:
        image.build()
    if missing := image.missing():
        raise Why502Error(f"the stacks cannot run here: {missing}", "Run it as root, with --build to build the image.")
    is_right = True
    for row in run(chosen, jobs, bundles, is_repaired=is_repaired):
        is_right &= row["judged"] == "right"
        env.write(f"{as_json(row) if format_ == 'jsonl' else line(row)}\n")
        if rows_path is not None:
            append(rows_path, row)
    context.exit(0 if is_right else 1)


def _end(*_: object) -> NoReturn:
    sys.exit(143)
