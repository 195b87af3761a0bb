"""The image that the containers of the scenes run: a small tree of this machine's own programs, as a tar archive.

It holds nginx, HAProxy, Python and busybox, with the libraries they load, and no curl: what many images lack.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sysconfig
import tarfile
from functools import cache
from pathlib import Path

from why502.lab.stage import BACKENDS

PROGRAMS = ("/usr/sbin/nginx", "/usr/sbin/haproxy", "/usr/bin/python3", "/usr/bin/busybox")
NEEDED = ("/usr/sbin/nginx", "/usr/bin/python3", "/usr/bin/busybox")
LIBRARY = "/usr/lib/python3"
LEFT_OUT = ("test", "idlelib", "tkinter", "lib2to3", "ensurepip", "pydoc_data", "__pycache__", "dist-packages", "distutils")
APPLETS = ("sh", "sleep", "wget", "kill", "cat", "true", "false")
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\nadm:x:4:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "var/run": "/run",
    "var/log/nginx/access.log": "/dev/stdout",
    "var/log/nginx/error.log": "/dev/stderr",
}
DIRECTORIES = ("tmp", "run", "proc", "sys", "dev", "root", "var/log/nginx", "var/lib/nginx", "etc/nginx", "srv", "app")


def missing() -> str:
    """Return what this machine lacks for the image, as one sentence; "" where it has everything."""
    found = [path for path in NEEDED if not os.path.exists(path)]
    return f"needs {', '.join(found)}" if found else ""


@cache
def archive() -> bytes:
    """Return the image's tree as a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in DIRECTORIES:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, aim in {**LINKS, **{f"usr/bin/{name}": "busybox" for name in APPLETS}}.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, aim
            tar.addfile(entry)
        for name, text in TEXTS.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        for path in sorted(_files()):
            tar.add(os.path.realpath(path), _merged(path), recursive=False)
        for module in _standard_library():
            tar.add(module, str(module).lstrip("/"), recursive=False)
        tar.add(BACKENDS / "server.py", "app/server.py")
    return stream.getvalue()


def _files() -> set[str]:
    """Return the programs and every library that they load."""
    programs = [path for path in PROGRAMS if os.path.exists(path)]
    found = set(programs)
    for path in (*programs, *_extensions()):
        told = subprocess.run(("ldd", path), capture_output=True, text=True, check=False).stdout
        found.update(word for word in told.split() if word.startswith("/") and not word.endswith(":"))
    return {path for path in found if os.path.exists(path)}


def _merged(path: str) -> str:
    """Return the path below /usr: /lib and /lib64 are links there, as in Debian."""
    own = path.lstrip("/")
    return own if own.startswith("usr/") else f"usr/{own}"


def _python() -> Path:
    return next(iter(sorted(Path(LIBRARY).parent.glob("python3.*"), reverse=True)), Path(LIBRARY))


def _extensions() -> list[str]:
    return [str(path) for path in _python().glob(f"lib-dynload/*.{sysconfig.get_config_var('SOABI')[:11]}*.so")]


def _standard_library() -> list[Path]:
    top = _python()
    return [path for path in sorted(top.rglob("*")) if path.is_file() and _is_needed(path.relative_to(top))]


def _is_needed(path: Path) -> bool:
    return not set(path.parts) & {*LEFT_OUT} and not path.parts[0].startswith("config-")


def write(path: Path) -> None:
    """Write the archive to a file, unless it is there."""
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.write_bytes(archive())
        shutil.move(draft, path)
