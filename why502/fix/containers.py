"""Proxies with their own root file system, such as in a container: why they are not changed from outside,
and what to do instead.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from why502.fix.plan import Plan
from why502.host.base import Host, Stat
from why502.model.base import Value
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.proxy import Proxy

_ESCAPE = lazy(r"\\([0-7]{3})")
_LAYERS = ("overlay", "aufs", "btrfs", "zfs", "fuse.fuse-overlayfs")  # file systems that present the files of an image


class _Mount(Value, frozen=True, kw_only=True):
    """One line of proc_pid_mountinfo(5). `root` is the directory of the file system that is mounted at `at`."""

    device: str
    root: str
    at: str
    kind: str


def source(pid: int, path: str, host: Host) -> str:
    """Return the path on this machine of a path that a process sees; "" if the file belongs to its image, or is unknown."""
    try:
        its, ours = (list(_mounts(host.read(f"/proc/{who}/mountinfo").decode(errors="replace"))) for who in (pid, "self"))
        mount = max((x for x in its if _below(path, x.at) is not None), key=lambda x: len(x.at))
        inner = os.path.join(mount.root, _below(path, mount.at) or "").rstrip("/")
        seen = host.stat(f"/proc/{pid}/root{path}")
        for other in ours if mount.kind not in _LAYERS or mount.at != "/" else ():
            rest = _below(inner, other.root) if other.device == mount.device else None
            here = os.path.join(other.at, rest).rstrip("/") if rest is not None else ""
            if here and _is_same(here, seen, host):
                return here
    except (HostError, ValueError):
        return ""
    return ""


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.splitlines():
        words = [_ESCAPE.sub(lambda match: chr(int(match[1], 8)), word) for word in line.split(" ")]
        if "-" in words[6:]:
            yield _Mount(device=words[2], root=words[3], at=words[4], kind=words[words.index("-", 6) + 1])


def _below(path: str, directory: str) -> str | None:
    """Return a path relative to a directory, "" for the directory itself; None if the path is outside of it."""
    if path == directory:
        return ""
    top = directory.rstrip("/") + "/"
    return path.removeprefix(top) if path.startswith(top) else None


def _is_same(path: str, seen: Stat, host: Host) -> bool:
    try:
        found = host.stat(path)
    except HostError:
        return False
    return (found.device, found.inode) == (seen.device, seen.inode)


def instead(plan: Plan, host: Host) -> tuple[str, tuple[str, ...]]:
    """Return why a plan is not applied from here, and the manual steps in order: sentences,
    and commands after two spaces.
    """
    proxy = plan.proxy or Proxy()
    container = next((worker.container for worker in proxy.workers if worker.container), "")
    where = f"runs in container {container[:12]}, whose files are" if container else "has its own files, which are"
    todo = []
    for file in dict.fromkeys(change.file for change in plan.edits):
        if here := source(proxy.pid or 0, file, host):
            todo.append(
                f"Make the change in {here} on this machine, which is {file} in the container (edit it in place, do not "
                "replace it)."
            )
        else:
            todo.append(
                f"{file} belongs to its image or its own layer: change the source of the image. Until then, edit it in this "
                "container:"
            )
            todo.append(f"  {shlex.join(('vi', f'/proc/{proxy.pid}/root{file}'))}")
    todo += ["Then:"] if todo and plan.runs else []
    todo += [f"  {shlex.join(run.argv)}" for run in plan.runs]
    return f"{proxy.kind} (process {proxy.pid}) {where} not those of the same path here", tuple(todo)
