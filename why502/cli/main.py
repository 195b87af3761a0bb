"""The command `why502`. Commands are the modules of cli/commands; each is imported only when it is called."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from why502.cli import commands, time_limit
from why502.cli.directory_group import DirectoryGroup
from why502.cli.env import Env, Exit
from why502.model.errors import HostError, Why502Error
from why502.version import __version__


class Commands(DirectoryGroup):
    """The directory cli/commands as a group of commands."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now; None if there is none. Raises Why502Error if it is not installed."""
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name == "lab":
            raise Why502Error("the lab is not installed", 'Install it with: pip install "why502[lab]"')
        return command


@click.command(cls=Commands, package=commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="why502", message="%(prog)s %(version)s")
def cli() -> None:
    """Why does my reverse proxy return 502 (or 503, 504, 499)?

    Finds the proxies on this machine, reads their configuration and logs, probes every backend, and names the cause with its
    evidence, the fault domain and the fix.

    \b
    Example: why502 diagnose
    """


def run(argv: list[str], env: Env | None = None) -> int:
    """Run one command line and return its exit status. Every error is two lines on stderr: the error and a hint."""
    env = env or Env()
    try:
        status: Any = cli.main(args=argv, prog_name="why502", standalone_mode=False, obj=env)
        with env.writing():
            env.stdout.flush()
        return int(status or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        env.stderr.write(f"{error.format_message()}\n")
        return Exit.CANNOT
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "why502"
        return _fail(env, error.format_message(), f"Try '{path} --help'.")
    except click.ClickException as error:
        return _fail(env, error.format_message(), "Check the path and its permissions.")
    except Why502Error as error:
        return _fail(env, error.message, error.hint)
    except HostError as error:
        return _fail(env, error.reason, error.hint)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except time_limit.OutOfTimeError:
        time_limit.unlimit()
        return _fail(
            env,
            f"the bundle took more than {time_limit.LIMIT_S:g} s of CPU time; stopped",
            "It may be damaged or hostile. If it is your own, collect a shorter window with --since.",
        )
    except BrokenPipeError:
        return Exit.HEALTHY
    except FileNotFoundError:
        try:
            Path.cwd()
        except FileNotFoundError:
            return _fail(env, "the current directory no longer exists", "Change to another one (cd /) and give absolute paths.")
        raise
    finally:
        time_limit.unlimit()


def _fail(env: Env, message: str, hint: str) -> int:
    from why502.render.words import safe

    with contextlib.suppress(BrokenPipeError):
        env.stderr.write(f"why502: {safe(message)}\n{safe(hint)}\n")
    return Exit.CANNOT


def main() -> NoReturn:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    status = run(sys.argv[1:])
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
    # Exit without waiting for daemon threads of hung probes. A regular shutdown of the interpreter would also take 20 ms.
    if status != Exit.INTERRUPTED:
        atexit._run_exitfuncs()
    os._exit(status)
