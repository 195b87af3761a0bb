"""`why502 generate pm2`."""

from why502.cli.generating import command

pm2 = command("pm2")
