"""`why502 generate log-format`."""

from why502.cli.generating import command

log_format = command("log-format")
