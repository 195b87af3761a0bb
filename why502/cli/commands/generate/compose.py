"""`why502 generate compose`."""

from why502.cli.generating import command

compose = command("compose")
