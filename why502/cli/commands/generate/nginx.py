"""`why502 generate nginx`."""

from why502.cli.generating import command

nginx = command("nginx")
