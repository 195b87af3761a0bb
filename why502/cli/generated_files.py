"""What every `why502 generate` of a finished file shares: print it, or write it into a directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env

F = TypeVar("F", bound=Callable[..., Any])
_SIGN = "why502 generate"  # in the first lines of every file that we write
_HEAD = 4096


def objective_option(command: F) -> F:
    """Add --objective."""
    help_ = "Percentage of requests that should succeed over 30 days."
    return click.option("--objective", metavar="PERCENT", default="99.9", show_default=True, help=help_)(command)


def output_directory(command: F) -> F:
    """Add -o DIR and --check."""
    help_ = "Compare with the files in the directory; exit status 1 if they differ. Writes nothing."
    command = click.option("--check", is_flag=True, help=help_)(command)
    option = click.option("-o", "--output", metavar="DIR", help="Write into this directory instead of standard output.")
    return option(command)


def deliver(env: Env, files: Mapping[str, str], directory: str | None, *, check: bool) -> int:
    """Print files, write them into a directory, or compare them with it: then return 1 if one differs. Raises Why502Error.

    A file that why502 did not write is not replaced. What is replaced is shown as a difference.
    """
    from why502.host import output
    from why502.render.words import safe

    if directory is None and check:
        raise click.UsageError("--check needs -o DIR: the directory to compare with")
    if directory is None:
        env.write("".join(files.values()))
        return 0
    if not Path(directory).is_dir():
        raise Why502Error(f"-o {directory}: no such directory", "Create it, or give the directory of the product.")
    paths = {str(Path(directory, name)): text for name, text in files.items()}
    changes = {path: _change(path, text) for path, text in paths.items()}
    if check:
        for path, change in changes.items():
            env.write(f"{safe(path)} {'is unchanged' if change == '' else 'is missing' if change is None else 'differs'}\n")
            env.write(safe_lines(change or ""))
        return 1 if any(change != "" for change in changes.values()) else 0
    for path in paths:
        _require_ours(path)
    for path, text in paths.items():
        env.stderr.write(safe_lines(changes[path] or ""))
        output.write(path, text.encode(), mode=output.usual_mode(path))
        env.stderr.write("" if env.is_quiet else f"why502: wrote {safe(path)}\n")
    return 0


def _change(path: str, text: str) -> str | None:
    """Return the difference from the present file to a text: "" for none; None if there is no file. Raises Why502Error."""
    from why502.generate.writing import difference, text_of

    old = text_of(path)
    return None if old is None else difference(old, text, path)


def safe_lines(text: str) -> str:
    """Return a difference for a terminal, line by line, without secrets."""
    from why502.redaction import in_place
    from why502.render.words import safe

    return "".join(f"{safe(line)}\n" for line in in_place(text).splitlines())


def _require_ours(path: str) -> None:
    from why502.generate.writing import text_of

    old = text_of(path)
    if old is not None and _SIGN not in old[:_HEAD]:
        raise Why502Error(f"{path} exists and was not written by why502", "Move it away, or give another directory.")
