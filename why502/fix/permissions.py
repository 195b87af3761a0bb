"""Exact undo commands for commands that change permissions, from the current owner, mode and access list."""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path

import msgspec

from why502.host.files import access_list
from why502.model.errors import Why502Error
from why502.model.remedy import Run

MOST = 10_000  # entries below a directory
PROGRAMS = ("chown", "chgrp", "chmod", "setfacl")


def exact(run: Run) -> Run:
    """Return the command with an undo that restores the present state; without an undo if one command cannot restore it.

    Raises Why502Error.
    """
    program, path = run.argv[0], run.argv[-1]
    if program not in PROGRAMS or not path.startswith("/"):
        return run
    try:
        found = os.stat(path, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise Why502Error(f"{path} is a link", "Nothing was changed.")
        return msgspec.structs.replace(run, undo=_undo(program, run.argv, path, found))
    except OSError as error:
        raise Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", "Nothing was changed.") from error


def _undo(program: str, argv: tuple[str, ...], path: str, found: os.stat_result) -> tuple[str, ...]:
    if program == "chmod":
        return ("chmod", f"{stat.S_IMODE(found.st_mode):04o}", path)
    if program == "setfacl":
        entries = access_list(path)
        return ("setfacl", "--set", ",".join(entries), path) if entries else ("setfacl", "-b", path)
    owner = f"{found.st_uid}:{found.st_gid}"
    if "-R" not in argv:
        return ("chown", owner, path)
    below = list(itertools.islice(Path(path).rglob("*"), MOST))
    seen = {(item.lstat().st_uid, item.lstat().st_gid) for item in below} | {(found.st_uid, found.st_gid)}
    return ("chown", "-R", owner, path) if len(seen) == 1 and len(below) < MOST else ()
