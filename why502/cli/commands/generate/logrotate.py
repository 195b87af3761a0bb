"""`why502 generate logrotate`."""

from why502.cli.generating import command

logrotate = command("logrotate")
