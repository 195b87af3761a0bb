"""`why502 completion`: prints the completion script for a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from why502.cli.output_options import loudness, only_format

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@only_format("text")
@loudness
@click.pass_obj
def completion(env: Env, shell: str) -> int:
    """Print the shell completion script for SHELL.

    \b
    Example: why502 completion bash > /etc/bash_completion.d/why502
    Example: why502 completion zsh > "${fpath[1]}/_why502"
    Example: why502 completion fish > ~/.config/fish/completions/why502.fish
    """
    from click.shell_completion import get_completion_class

    from why502.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    env.write(kind(cli, {}, "why502", "_WHY502_COMPLETE").source() + "\n")
    return 0
