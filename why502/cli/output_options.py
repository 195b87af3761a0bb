"""Options that every command has: -q, -v and --format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def loudness(command: F) -> F:
    """Add -q and -v. A command reads them as `env.is_quiet` and `env.is_verbose`."""

    def heed(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and context.obj is not None and parameter.name is not None:
            setattr(context.obj, f"is_{parameter.name}", True)

    quiet = click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=heed, help="Show only the result.")
    verbose = click.option("-v", "--verbose", is_flag=True, expose_value=False, callback=heed, help="Show full details.")
    return quiet(verbose(command))


def only_format(name: str) -> Callable[[F], F]:
    """Add --format to a command that has only one format."""
    return click.option("--format", type=click.Choice([name]), default=name, show_default=True, expose_value=False)
