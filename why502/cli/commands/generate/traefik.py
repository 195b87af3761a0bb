"""`why502 generate traefik`."""

from why502.cli.generating import command

traefik = command("traefik")
