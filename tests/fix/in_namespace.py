"""Run in a mount namespace of its own: what a fix does on a full or read-only file system. Usage: in_namespace.py CASE"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from shop import Shop, shop

from why502.fix import journal
from why502.model.errors import Why502Error


def mount(path: Path, *options: str) -> None:
    subprocess.run(["mount", *options, str(path)], check=True)


def fill(directory: Path) -> None:
    """Write until no byte is left."""
    with (directory / "filler").open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 1024):
                pass
        except OSError:
            return


def full_state(here: Shop) -> None:
    mount(here.state, "-t", "tmpfs", "-o", "size=16k", "tmpfs")
    fill(here.state)


def full_configuration(here: Shop) -> None:
    mount(here.site.parent, "-t", "tmpfs", "-o", "size=16k", "tmpfs")
    here.site.write_bytes(here.old)
    fill(here.root / "sites-enabled")
    (here.site.parent / "filler").rename(here.site.parent / ".filler")


def read_only_configuration(here: Shop) -> None:
    mount(here.site.parent, "-t", "tmpfs", "tmpfs")
    here.site.write_bytes(here.old)
    mount(here.site.parent, "-o", "remount,ro")


CASES: dict[str, Callable[[Shop], None]] = {
    "full-state": full_state,
    "full-configuration": full_configuration,
    "read-only-configuration": read_only_configuration,
}


def main() -> None:
    with shop() as here:
        CASES[sys.argv[1]](here)
        try:
            here.apply()
            print("applied")
        except Why502Error as error:
            print(error.message.replace(str(here.root), ""))
            print(error.hint)
        assert here.site.read_bytes() == here.old
        assert not [path for path in here.site.parent.iterdir() if path.name.endswith(".why502")]
        here.check()
        assert not [entry for entry in journal.entries(here.state) if entry.is_unfinished]
        for path in (here.state, here.site.parent):
            subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)


if __name__ == "__main__":
    main()
