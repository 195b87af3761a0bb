"""`why502 generate apache`."""

from why502.cli.generating import command

apache = command("apache")
