"""The process of one tool: reads the order on standard input and the files from its descriptors, writes the answer, and ends.

What it reads may be made to harm: so it is ended after LIMIT_S, has little memory, and cannot write files. If the server is root,
and the files are not this machine's, it becomes a user without rights before it reads the first byte of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import sys
import traceback
from datetime import UTC, datetime
from importlib import import_module
from pkgutil import walk_packages

from why502.host.local import LocalHost
from why502.host.owner_process import become
from why502.model.base import decode, encode
from why502.model.errors import Why502Error
from why502.serve.tools import bundles, linting, logs
from why502.serve.tools.orders import Answer, BundleOrder, Content, Failed, LintOrder, LogsOrder, Order, Rejected, Work

LIMIT_S = 30  # from the start of the process to its end
LOGS_S = 15.0  # of reading logs; the report is then partial
CPU_S = 40  # two threads may read logs
MEMORY_BYTES = 2 << 30
ORDER_BYTES = 1 << 20
CONTENT_BYTES = 64 << 20
NOBODY = 65534
_TRACE = 8000  # characters
_SAMPLE = b"events {}\nhttp { server { listen 80; location /a { proxy_pass http://$nothing; } } }\n"
_SAMPLE_LINES = (
    b"2026/11/21 01:17:00 [error] 17#17: *1 connect() failed (111: Connection refused) while connecting to upstream, client: "
    b'127.0.0.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:1/", host: "a"\n'
    b'127.0.0.1 - - [21/Nov/2026:01:17:00 +0000] "GET / HTTP/1.1" 502 157 "-" "curl/8"\n'
)
_PR_SET_DUMPABLE = 4
_OUT_OF_MEMORY = Rejected(message="it needs more memory than a page may use", hint="Use why502 on the command line instead.")
# What a tool may import while it works: afterwards it may no longer be able to.
_PACKAGES = ("why502.gateways", "why502.backends", "why502.supervisors", "why502.logs", "why502.diagnosis", "why502.linter")
_MODULES = ("bz2", "lzma", "zlib", "zstandard", "encodings.idna", "why502.session.log_formats", "why502.render.words")


def main() -> None:
    """Read the order, write the answer."""
    _limit()
    work = decode(sys.stdin.buffer.read(ORDER_BYTES), Work, "order")
    answer = _answer(work)
    sys.stdout.buffer.write(encode(answer))
    sys.stdout.buffer.flush()
    os._exit(0)  # a thread that still reads a log is not waited for


def _limit() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_S)
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, CONTENT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _answer(work: Work) -> Answer:
    try:
        if work.is_foreign and os.geteuid() == 0:
            _load(work.order)
            _give_up_root()
        return _run(work)
    except Why502Error as error:
        return Rejected(message=error.message, hint=error.hint)
    except MemoryError:
        return _OUT_OF_MEMORY
    except Exception:
        return Failed(trace=traceback.format_exc()[-_TRACE:])


def _run(work: Work) -> Answer:
    match work.order:
        case LintOrder():
            return linting.lint(work.order, {content.name: _read(content) for content in work.contents})
        case BundleOrder():
            return bundles.examine(work.contents[0].name, _read(work.contents[0]))
        case LogsOrder():
            given = {_path(content): logs.Log(name=content.name, path=content.path) for content in work.contents}
            return logs.report(work.order, given, datetime.now(UTC), LocalHost(), LOGS_S)


def _load(order: Order) -> None:
    """Load what a tool loads only when it needs it, modules and tables: a user without rights may not be able to read them."""
    for package in _PACKAGES:
        for found in walk_packages(import_module(package).__path__, f"{package}."):
            import_module(found.name)
    for name in _MODULES:
        import_module(name)
    with contextlib.suppress(ImportError):  # not every platform has it
        import_module("isal.igzip")
    match order:
        case LintOrder():
            linting.lint(LintOrder(), {"nginx.conf": _SAMPLE})
        case LogsOrder():
            descriptor = os.memfd_create("sample")
            os.write(descriptor, _SAMPLE_LINES)
            _run(Work(order=LogsOrder(), contents=(Content(name="sample", descriptor=descriptor, path="/dev/null"),)))


def _give_up_root() -> None:
    become(NOBODY, NOBODY, [])
    # /proc/self/fd, through which several threads read a log, belongs to root otherwise.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _read(content: Content) -> bytes:
    with os.fdopen(content.descriptor, "rb") as file:
        file.seek(0)
        return file.read(CONTENT_BYTES + 1)


def _path(content: Content) -> str:
    """Return a path from which each thread can open a log. An uploaded one is copied: its file is the server's."""
    descriptor = content.descriptor
    if not content.path:
        descriptor = os.memfd_create("log")
        with open(descriptor, "wb", closefd=False) as copy, os.fdopen(content.descriptor, "rb") as file:
            file.seek(0)
            shutil.copyfileobj(file, copy)
    return f"/proc/self/fd/{descriptor}"
