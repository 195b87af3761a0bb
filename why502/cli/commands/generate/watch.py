"""`why502 generate watch`."""

from why502.cli.generating import command

watch = command("watch")
