"""`why502 generate supervisor`."""

from why502.cli.generating import command

supervisor = command("supervisor")
