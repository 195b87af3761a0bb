"""`why502 generate fpm-pool`."""

from why502.cli.generating import command

fpm_pool = command("fpm-pool")
