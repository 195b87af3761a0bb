"""`why502 generate dashboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from why502.cli.generated_files import objective_option, output_directory
from why502.cli.output_options import loudness, only_format
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.command()
@click.argument("name", required=False)
@objective_option
@only_format("json")
@output_directory
@loudness
@click.pass_obj
def dashboard(env: Env, name: str | None, objective: str, output: str | None, check: bool) -> int:
    """Write dashboards for Grafana 9 or newer.

    NAME is one of `now` (one screen for an incident), `member` (one target) and `watcher` (why502 watch itself).
    With -o and without NAME, all of them are written.

    \b
    Example: why502 generate dashboard now > why502-now.json
    Example: why502 generate dashboard -o /var/lib/grafana/dashboards
    """
    from why502.cli.generated_files import deliver
    from why502.generate.observability.dashboards import dashboards
    from why502.generate.observability.rules import objective_of

    made = dashboards(objective_of(objective))
    if name is None and output is None:
        raise Why502Error("NAME is missing", f"Give one of {', '.join(made)}, or a directory with -o for all of them.")
    if name is not None and name not in made:
        raise Why502Error(f"there is no dashboard {name!r}", f"Give one of {', '.join(made)}.")
    return deliver(env, {f"why502-{key}.json": text for key, text in made.items() if name in (None, key)}, output, check=check)
