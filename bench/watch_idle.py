"""What the whole daemon costs while nothing happens: `why502 watch` beside a real nginx with silent logs.

    python bench/watch_idle.py [--logs 20] [--settle-seconds 75] [--seconds 60] [--tree DIRECTORY]...

Processor time is that of the daemon and its children, in seconds of one processor for each second. Each --tree is a source tree,
such as one of before a change: their daemons run at the same time, beside the same nginx. As root it runs in namespaces of its
own, because a daemon looks at each gateway that anybody starts on the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from why502.lab.isolation import NAMESPACES, can_isolate
from why502.lab.stage import Stage

ROOT = Path(__file__).resolve().parents[1]
ROOM = "WHY502_BENCH_ROOM"  # is set inside the namespaces
TICKS = os.sysconf("SC_CLK_TCK")
SERVER = """server {{
    listen 127.0.0.1:{port};
    server_name s{number}.example;
    access_log {directory}/s{number}.access.log;
    error_log {directory}/s{number}.error.log;
    location / {{ proxy_pass http://127.0.0.1:{backend}; }}
}}
"""


def spent(pid: int) -> tuple[float, float, int]:
    """Return the processor seconds of a process so far, those of its children that ended, and how often it was woken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = (int(fields[11]) + int(fields[12])) / TICKS, (int(fields[13]) + int(fields[14])) / TICKS
    states = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    woken = sum(int(state.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for state in states)
    return own, children, woken


def started(tree: Path, directory: Path, config: str) -> subprocess.Popen[bytes]:
    """Start the daemon of a source tree."""
    directory.mkdir()
    argv = [sys.executable, "-m", "why502", "watch", "--format", "jsonl", "--config", config, "--listen", ""]
    argv += ["--settings", str(directory / "watch.toml"), "--store", str(directory / "watch.db")]
    (directory / "watch.toml").write_text("")
    with (directory / "said").open("w") as said:
        return subprocess.Popen(argv, cwd=tree, stdin=subprocess.DEVNULL, stdout=said, stderr=said)


def main() -> None:
    """Print what it costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=20)
    parser.add_argument("--settle-seconds", type=float, default=75.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tree", type=Path, action="append", default=[])
    told = parser.parse_args()
    if can_isolate() and ROOM not in os.environ:
        argv = [*NAMESPACES, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
        os.execvpe(argv[0], argv, {**os.environ, ROOM: "1", "PYTHONPATH": str(ROOT)})
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        stage = Stage(directory / "nginx", is_isolated=False)
        stage.root.mkdir()
        daemons: list[subprocess.Popen[bytes]] = []
        try:
            stage.backend(3000)
            servers = [
                SERVER.format(port=stage.port(8000 + number), number=number, directory=directory, backend=stage.port(3000))
                for number in range(told.logs // 2)
            ]
            stage.nginx.start("return 200;", http="\n".join(servers))
            trees = [tree.resolve() for tree in told.tree] or [ROOT]
            daemons = [started(tree, directory / str(number), stage.nginx.config) for number, tree in enumerate(trees)]
            time.sleep(told.settle_seconds)
            before = [spent(one.pid) for one in daemons]
            began = time.monotonic()
            time.sleep(told.seconds)
            took_s = time.monotonic() - began
            for tree, one, first in zip(trees, daemons, before, strict=True):
                own, children, woken = (last - was for last, was in zip(spent(one.pid), first, strict=True))
                print(f"{tree}: {(own + children) / took_s:.2%} of a processor, {children / took_s:.2%} of it in children;")
                print(f"    {woken / took_s:.0f} wake-ups a second; {told.logs} silent logs for {took_s:.0f} s")
        finally:
            for one in daemons:
                one.terminate()
            for one in daemons:
                one.wait(20)
            stage.close()


if __name__ == "__main__":
    main()
