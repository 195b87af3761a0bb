"""`why502 generate`: writes configuration. Each module of this package is one kind."""

from __future__ import annotations

import sys

import click

from why502.cli.directory_group import DirectoryGroup


@click.group(cls=DirectoryGroup, package=sys.modules[__name__])
def generate() -> None:
    """Write configuration that avoids failures, or reports them.

    Each kind writes to standard output, or into a directory with -o.

    \b
    Example: why502 generate nginx --app 127.0.0.1:3000 --domain shop.example
    Example: why502 generate alerts --objective 99.9
    """
