"""`why502 schema`: prints the JSON Schemas of why502's output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from why502.cli.output_options import loudness, only_format

if TYPE_CHECKING:
    from why502.cli.env import Env

_NAMES = ("diagnosis", "explanation", "reference", "lint", "logs", "check", "bundle", "incident", "incidents")


@click.command()
@click.argument("name", type=click.Choice(_NAMES), required=False, metavar="[NAME]")
@only_format("json")
@loudness
@click.pass_obj
def schema(env: Env, name: str | None) -> int:
    """Print the JSON Schemas of why502's output.

    Prints the schema (draft 2020-12) of NAME, or all of them in one object. NAME is diagnosis, explanation, reference, lint,
    logs, check, bundle, incident or incidents.

    \b
    Example: why502 schema diagnosis > diagnosis.schema.json
    """
    import msgspec

    from why502.bundle import SCHEMA, Bundle
    from why502.render.contract import DIAGNOSIS, EXPLANATION, REFERENCE, Diagnosis, Explanation, Reference, schema_of
    from why502.render.lint.contract import LINT, Lint
    from why502.render.logs.contract import LOGS, Logs
    from why502.watch.checks import report
    from why502.watch.report.contract import INCIDENT, INCIDENTS, Incident, Incidents

    all_ = {
        "diagnosis": schema_of(Diagnosis, DIAGNOSIS),
        "explanation": schema_of(Explanation, EXPLANATION),
        "reference": schema_of(Reference, REFERENCE),
        "lint": schema_of(Lint, LINT),
        "logs": schema_of(Logs, LOGS),
        "check": schema_of(report.Report, report.SCHEMA),
        "bundle": schema_of(Bundle, SCHEMA),
        "incident": schema_of(Incident, INCIDENT),
        "incidents": schema_of(Incidents, INCIDENTS),
    }
    env.write(msgspec.json.format(msgspec.json.encode(all_[name] if name else all_), indent=2).decode() + "\n")
    return 0
