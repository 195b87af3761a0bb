"""`why502 generate error-page`."""

from why502.cli.generating import command

error_page = command("error-page")
