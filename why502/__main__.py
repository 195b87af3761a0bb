"""`python -m why502`, and the command `why502`."""

import sys

from why502.logs.scan import readers


def main() -> None:
    """Run the command line of this process."""
    readers.foresee(sys.argv[1:])
    from why502.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
