"""`why502 lsp`: the linter in an editor."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.command()
@click.option(
    "--nginx-version", metavar="VERSION", help="The nginx version to check against, as for `lint`. Default: the installed one."
)
@click.pass_obj
def lsp(env: Env, nginx_version: str | None) -> int:
    """Check configuration in an editor, as a language server.

    It uses standard input and output. It offers diagnostics, quick fixes, and the page of a rule and its cause on hover.

    \b
    Example: why502 lsp --nginx-version 1.24.0
    """
    from why502.cli.env import Exit

    if find_spec("pygls") is None:
        raise Why502Error("the language server is not installed", "Install it: pip install 'why502[lsp]'")
    from why502.session import language_server, linting

    host = env.host()
    language_server.serve(host, linting.version(host, nginx_version))
    return Exit.HEALTHY
