"""`python -m why502`."""

from why502.cli.main import main

main()
