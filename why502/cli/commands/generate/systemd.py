"""`why502 generate systemd`."""

from why502.cli.generating import command

systemd = command("systemd")
