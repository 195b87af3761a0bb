"""`why502 generate all`."""

from why502.cli.generating import command

all = command("all")
