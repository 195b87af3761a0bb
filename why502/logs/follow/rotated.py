"""The rotated files of a followed log: their names, and the first bytes of each."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from why502.logs.files import rotated_names
from why502.logs.follow.content import first_bytes
from why502.logs.follow.open_file import FRESH_S

MOST_SIBLINGS = 50


class Siblings:
    """The rotated files of the log at `path`. `directories`: further ones that may have some (`olddir`)."""

    def __init__(self, path: str, directories: Sequence[str]) -> None:
        self.path = path
        self.directories = directories
        self._heads: dict[tuple[int, int, int], bytes] = {}
        self._places: tuple[str, ...] = ()  # the directories of the log and of its rotated files

    def look_around(self) -> tuple[object, ...]:
        """Return the state of the log's path and directories; nothing while they may change unnoticed, or cannot be seen."""
        if not self._places:
            return ()
        state: list[object] = []
        for place in (self.path, *self._places):
            try:
                status = os.stat(place)  # noqa: PTH116 - it is called all the time
            except OSError:
                return ()
            state.append((status.st_dev, status.st_ino))
            if place != self.path:
                state.append(status.st_mtime_ns)
                if time.time() - status.st_mtime < FRESH_S:
                    return ()
        return tuple(state)

    def found(self) -> dict[str, os.stat_result]:
        """Return the rotated files of the log, also of what its path links to, oldest first."""
        found: dict[str, os.stat_result] = {}
        paths = dict.fromkeys(Path(path) for path in (self.path, os.path.realpath(self.path)))
        places = dict.fromkeys((log.name, str(directory)) for log in paths for directory in (log.parent, *self.directories))
        self._places = tuple(dict.fromkeys(directory for _, directory in places))
        for base, directory in places:
            with contextlib.suppress(OSError):
                for name in rotated_names(base, (one.name for one in Path(directory).iterdir())):
                    full = Path(directory, name)
                    with contextlib.suppress(OSError):
                        if stat.S_ISREG((status := full.stat()).st_mode):
                            found[str(full)] = status
        return dict(sorted(found.items(), key=lambda item: (item[1].st_mtime_ns, item[0]))[-MOST_SIBLINGS:])

    def head_of(self, name: str, status: os.stat_result) -> bytes:
        """Return the first bytes of a rotated file, remembered until it changes; nothing where they cannot be read."""
        key = status.st_dev, status.st_ino, status.st_ctime_ns
        if key not in self._heads:
            if len(self._heads) > 4 * MOST_SIBLINGS:
                self._heads.clear()
            self._heads[key] = first_bytes(name)
        return self._heads[key]
