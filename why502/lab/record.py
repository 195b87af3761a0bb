"""Recorded bundles of scenes, without paths of the machine on which they were recorded."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import why502

ROOT = str(Path(why502.__file__).parent.parent)


def neutral(bundle: bytes) -> bytes:
    """Return a bundle (gzip of JSON) with this program, its Python and our own control groups at usual places."""
    text = gzip.decompress(bundle).decode()
    for here, usual in _places():
        text = text.replace(here, usual)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def _places() -> list[tuple[str, str]]:
    """Return what stands for what, the longest first."""
    python = os.path.realpath(sys.executable)
    found = {python: "/usr/bin/python3", sys.prefix: "/opt/why502/.venv", sys.base_prefix: "/usr", ROOT: "/opt/why502"}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        path = line.split(":", 2)[2]
        if len(path) > 4:
            found[path] = "/lab"
    return sorted(found.items(), key=lambda pair: -len(pair[0]))
