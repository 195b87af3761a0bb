"""`python -m tests.truth.write --format F --wrapper W --lines N … OUT`: writes a log, prints its truth as JSON."""

import argparse
import sys
from dataclasses import fields
from datetime import datetime

from .shape import Shape
from .writing import Refused, table, write


def options() -> argparse.ArgumentParser:
    """One option for each field of a shape, of the type of its default."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.truth.write", epilog=table(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for field in fields(Shape):
        flag = "--" + field.name.replace("_", "-")
        if field.name == "format":
            parser.add_argument(flag, required=True)
        elif field.name == "start":
            parser.add_argument(flag, type=datetime.fromisoformat, default=field.default)
        else:
            parser.add_argument(flag, type=type(field.default), default=field.default)
    parser.add_argument("out", metavar="OUT", help="a path, or - for standard error")
    return parser


def main() -> int:
    """Writes what the command line asks for."""
    values = vars(options().parse_args())
    out = values.pop("out")
    try:
        truth = write(sys.stderr.buffer if out == "-" else out, Shape(**values))
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(truth.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
