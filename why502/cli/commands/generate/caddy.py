"""`why502 generate caddy`."""

from why502.cli.generating import command

caddy = command("caddy")
