"""`why502 generate alertmanager`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from why502.cli.generated_files import output_directory
from why502.cli.output_options import loudness, only_format

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.command()
@only_format("yaml")
@output_directory
@loudness
@click.pass_obj
def alertmanager(env: Env, output: str | None, check: bool) -> int:
    """Write inhibit rules and a routing example for Alertmanager.

    With the inhibit rules, one root cause sends one page: they mute alerts about its effects, and Prometheus alerts about an
    incident that `why502 watch` has already reported.

    \b
    Example: why502 generate alertmanager | amtool check-config /dev/stdin
    """
    from why502.cli.generated_files import deliver
    from why502.generate.observability.inhibition import alertmanager as config

    return deliver(env, {"why502.alertmanager.yml": config()}, output, check=check)
