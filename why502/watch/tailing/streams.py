"""Where the standard output of a gateway goes: a file that it was redirected to, or the log of its container."""

from __future__ import annotations

import posixpath
from pathlib import Path

from why502.model.patterns import lazy

STREAMS = {"/dev/stdout": 1, "/proc/self/fd/1": 1, "/dev/fd/1": 1, "/dev/stderr": 2, "/proc/self/fd/2": 2, "/dev/fd/2": 2}
_CONTAINER = lazy(r"[0-9a-f]{64}")
_LINKS = 40  # the kernel's own limit
# Docker's json-file driver; kubelet's links to containerd's and CRI-O's files; Podman's k8s-file driver
_PLACES = (
    "/var/lib/docker/containers/{id}/{id}-json.log",
    "/var/log/containers/*-{id}.log",
    "/var/lib/containers/storage/overlay-containers/{id}/userdata/ctr.log",
)


def linked(path: str) -> str:
    """Return the standard stream that a path links to, which is the gateway's and not ours; else the path."""
    try:
        target = str(Path(path).readlink())
    except OSError:
        return path
    return target if target in STREAMS else path


def redirected(pid: int, descriptor: int) -> str:
    """Return the file that a stream of a process goes to; "" for a pipe, a terminal, a socket."""
    link = Path(f"/proc/{pid}/fd/{descriptor}")
    try:
        path = str(link.readlink())
        return path if path.startswith("/") and link.is_file() else ""
    except OSError:
        return ""


def container(pid: int, root: str = "/") -> str:
    """Return the file that keeps the output of a process's container; "" if there is none. `root` is for tests."""
    try:
        found = _CONTAINER.findall(Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return ""
    return of_container(found[-1], root) if found else ""


def of_container(number: str, root: str = "/") -> str:
    """Return the file that keeps the output of a container; "" if there is none."""
    for place in _PLACES:
        for path in Path(root).glob(place.format(id=number).lstrip("/")):
            return str(path)
    return ""


def inside(root: str, path: str) -> str:
    """Return a path with its links followed as a process with that root directory follows them: path_resolution(7)."""
    done, left = "/", [part for part in path.split("/") if part]
    for _ in range(_LINKS):
        while left:
            part = left.pop(0)
            if part == "..":
                done = posixpath.dirname(done)
                continue
            step = posixpath.normpath(posixpath.join(done, part))
            if step in STREAMS:
                return posixpath.join(step, *left)
            try:
                target = str(Path(root + step).readlink())
            except OSError:
                done = step
                continue
            done = "/" if target.startswith("/") else done
            left = [one for one in target.split("/") if one and one != "."] + left
            break
        else:
            return done
    return path
