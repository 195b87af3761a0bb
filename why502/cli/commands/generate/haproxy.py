"""`why502 generate haproxy`."""

from why502.cli.generating import command

haproxy = command("haproxy")
