"""Where the recorded scenes lie: tests/bundles/CAUSE/FAULT.why502, and what only looks like that cause
as look-alike-FAULT.why502.
"""

from __future__ import annotations

from pathlib import Path

from lab.look_alikes import LOOK_ALIKES

from why502.lab.fault import Fault

DIRECTORY = Path(__file__).parent.parent / "bundles"
LOOK_ALIKE = "look-alike-"
THERE = ".there.why502"


def keep(fault: Fault, bundle: bytes, there: bytes = b"") -> None:
    """Write the bundle of a fault to its own cause, and to those that it only looks like;
    beside it that of the backend's machine.
    """
    write(DIRECTORY / fault.cause / f"{fault.name}.why502", bundle)
    if there:
        write(DIRECTORY / fault.cause / f"{fault.name}{THERE}", there)
    for cause, name in LOOK_ALIKES.items():
        if name == fault.name:
            write(DIRECTORY / cause / f"{LOOK_ALIKE}{name}.why502", bundle)


def write(path: Path, bundle: bytes) -> None:
    """Write a file, with its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bundle)
