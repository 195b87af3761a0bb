"""The cost of `why502 diagnose` on crowded machines: a huge upstream group, many virtual hosts, or many processes.

    python bench/scale.py [group|hosts|processes] [NUMBER]

Each scene is an nginx in its own network, process and mount namespaces, which are removed afterwards. Prints wall time, CPU time
and memory of a run without and with probes. Needs root, unshare and nginx.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LOCATIONS = 500
SCENES = {"group": (20_000, 5.0), "hosts": (20_000, 3.0), "processes": (20_000, 3.0)}  # size, and the wall time limit


def main(words: list[str]) -> int:
    """Return 1 if a scene exceeds its time limit."""
    if words[:1] == ["--inside"]:
        return inside(words[1], int(words[2]))
    missing = [program for program in ("unshare", "nginx", "ip") if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        print(f"needs root and {', '.join(missing) or 'nothing else'}")
        return 0
    own = ("unshare", "--net", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child", sys.executable, __file__, "--inside")
    names = words[:1] or list(SCENES)
    number = words[1] if words[1:] else ""
    return max(subprocess.run([*own, name, number or str(SCENES[name][0])], check=False).returncode for name in names)


def inside(name: str, number: int) -> int:
    """Set the scene, and measure. Returns 1 if it exceeds its time limit."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        servers: dict[str, Callable[[int], Iterator[str]]] = {"group": _group, "hosts": _hosts, "processes": _one}
        config = Path(directory, "nginx.conf")
        config.write_text("\n".join((*_head(directory), *servers[name](number), "}")))
        if name == "hosts":
            Path(directory, "access.log").write_text("\n".join((*_requests(number), "")))
        subprocess.run(["nginx", "-c", config, "-e", f"{directory}/error.log"], check=True, stderr=subprocess.DEVNULL)
        if name == "processes":
            _crowd(number)
        slow = False
        for options in (("--no-probe",), ()):
            wall_s, used_s, size_bytes = _measured("diagnose", *options)
            said = f"{number} {name}, {'without' if options else 'with'} probes"
            print(f"{said}: {wall_s:.2f} s of wall time, {used_s:.2f} s of processor time, {size_bytes / 1e6:.0f} MB", flush=True)
            slow |= wall_s > SCENES[name][1]
        os.kill(int(Path(directory, "nginx.pid").read_text()), signal.SIGTERM)
    return int(slow)


def _head(directory: str) -> Iterator[str]:
    yield f"user root; daemon on; pid {directory}/nginx.pid; error_log {directory}/error.log; events {{ }}"
    yield f"http {{ access_log {directory}/access.log;"


def _group(number: int) -> Iterator[str]:
    yield "upstream big {"
    yield from (f"server 127.{1 + i // 60_000}.{i // 250 % 240}.{1 + i % 250}:3000;" for i in range(number))
    yield "} server { listen 8080; server_name a;"
    yield from (f"location /l{i}/ {{ proxy_pass http://big; }}" for i in range(LOCATIONS))
    yield "}"


def _hosts(number: int) -> Iterator[str]:
    for i in range(number):
        yield f"server {{ listen 8080; server_name s{i}.example; location / {{ proxy_pass http://127.0.0.1:{3000 + i}; }} }}"


def _requests(number: int) -> Iterator[str]:
    """Yield a log of five requests to each host in the last hour; the lines do not name the host, and one in fifty fails."""
    for i in range(5 * number):
        at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(time.time() - 3600 + i * 3600 / (5 * number)))
        client, path, status = (
            f"203.0.113.{i % 250}",
            f"/page/{i * 7919 % number}",
            502 if i % 50 == 0 else 404 if i % 10 == 0 else 200,
        )
        yield f'{client} - - [{at}] "GET {path} HTTP/1.1" {status} 512 "-" "Mozilla/5.0"'


def _one(_: int) -> Iterator[str]:
    yield "server { listen 8080; location / { proxy_pass http://127.0.0.1:3000; } }"


def _crowd(number: int) -> None:
    """Start a process with this many sleeping child processes. They end with it."""
    code = f"""
import os, signal
for _ in range({number}):
    if os.fork() == 0:
        signal.pause()
os.write(1, b"x")
signal.pause()
"""
    parent = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    if parent.stdout.read(1) != b"x":
        raise SystemExit(f"{number} processes could not be started")


def _measured(*words: str) -> tuple[float, float, int]:
    """Return wall time and CPU time in seconds, and the largest memory in bytes, of one run of why502."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "why502", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"why502 {' '.join(words)} ended with {process.returncode}")
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
