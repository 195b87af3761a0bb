"""DirectoryGroup: a click group whose commands are the modules of a package; each is imported only when it is called."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

import click


class DirectoryGroup(click.Group):
    """The modules of a package as a group of commands. The module `some_name` defines the command `some-name`.

    `package`: the package to look in.
    """

    def __init__(self, *args: Any, package: ModuleType, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the command modules."""
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(self.package.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now; None if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(importlib.import_module(f"{self.package.__name__}.{name}"), name, None)
        return command if isinstance(command, click.Command) else None
