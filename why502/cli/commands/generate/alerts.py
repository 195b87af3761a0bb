"""`why502 generate alerts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from why502.cli.generated_files import objective_option, output_directory
from why502.cli.output_options import loudness

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.command()
@objective_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["yaml", "kubernetes"]),
    default="yaml",
    show_default=True,
    help="A Prometheus rule file, or a PrometheusRule for the Prometheus Operator.",
)
@output_directory
@loudness
@click.pass_obj
def alerts(env: Env, objective: str, format_: str, output: str | None, check: bool) -> int:
    """Write recording rules and alerts for Prometheus.

    They use the metrics of `why502 watch` and need Prometheus 2.42 or newer.

    \b
    Example: why502 generate alerts --objective 99.5 -o /etc/prometheus/rules
    """
    from why502.cli.generated_files import deliver
    from why502.generate.observability.rules import manifest, objective_of, rules

    text = rules(objective_of(objective))
    return deliver(env, {"why502.rules.yml": manifest(text) if format_ == "kubernetes" else text}, output, check=check)
