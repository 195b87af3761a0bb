"""Run in its own mount namespace: a fix on a full or read-only file system. Usage: in_namespace.py CASE"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from shop import Shop, shop

from why502.fix import journal, reversal
from why502.fix.reversal import Progress
from why502.model.errors import Why502Error


def mount(path: Path, *options: str) -> None:
    subprocess.run(["mount", *options, str(path)], check=True)


def fill(directory: Path) -> None:
    """Write until the disk is full."""
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


def bound_alone(here: Shop) -> None:
    source = here.root / "source"
    source.write_bytes(here.old)
    mount(here.site, "--bind", str(source))


def append_only(here: Shop) -> None:
    subprocess.run(["chattr", "+a", str(here.site)], check=True)


def immutable_directory(here: Shop) -> None:
    subprocess.run(["chattr", "+i", str(here.site.parent)], check=True)


CASES: dict[str, Callable[[Shop], None]] = {
    "full-state": full_state,
    "full-configuration": full_configuration,
    "read-only-configuration": read_only_configuration,
    "bound-alone": bound_alone,
    "append-only": append_only,
    "immutable-directory": immutable_directory,
}


def full_at_undo(here: Shop) -> None:
    """Undo a fix although the disk of the journal has filled up since."""
    mount(here.state, "-t", "tmpfs", "-o", "size=28k", "tmpfs")
    assert here.apply() == "kept"
    (entry,) = journal.entries(here.state)
    fill(here.state)
    entry = reversal.revert(here.state, entry, Progress(say=print))
    assert (entry.phase, here.site.read_bytes(), here.status()) == ("reverted", here.old, 502)
    assert [entry.phase for entry in journal.entries(here.state)] == ["reverted"]
    subprocess.run(["umount", "--lazy", str(here.state)], check=False)


def without_capability(here: Shop) -> None:
    """Apply and undo as root of a container that may not mount anything."""
    said: list[str] = []
    assert here.apply(progress=Progress(say=said.append)) == "kept"
    print(*said, sep="\n")
    (entry,) = journal.entries(here.state)
    assert reversal.revert(here.state, entry, Progress()).phase == "reverted"
    assert (here.site.read_bytes(), here.status()) == (here.old, 502)


WHOLE = {"full-at-undo": full_at_undo, "without-capability": without_capability}


def main() -> None:
    with shop() as here:
        if sys.argv[1] in WHOLE:
            WHOLE[sys.argv[1]](here)
            return
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
        subprocess.run(["chattr", "-a", "-i", str(here.site), str(here.site.parent)], check=False, capture_output=True)
        for path in (here.state, here.site.parent, here.site):
            subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)


if __name__ == "__main__":
    main()
