"""Run under its own systemd: `maxconn` of HAProxy, smaller than the number of its clients, is raised, and the repair undone.

With a value for it, the repair writes that one instead: the reload empties the queue for a moment, whatever the value is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
from free_ports import free_port
from in_machine_crowd import crowd, start_application, waiting
from in_machine_gateways import HAPROXY, fix, status_of_path, until

import why502

FILE = Path("/etc/haproxy/haproxy.cfg")
LIMITS = ("    maxconn 4\n", "    maxconn 6  # of everything\n")


def main() -> None:
    port, behind = free_port(), free_port()
    text = HAPROXY.format(port=port, wrong=behind).replace("    daemon\n", LIMITS[1])
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(
        text.replace("    mode http\n", f"    mode http\n{LIMITS[0]}    log stdout format raw local0\n    option httplog\n")
    )
    before = FILE.read_bytes()
    start_application(behind)
    subprocess.run(["systemctl", "restart", "haproxy.service"], check=True)
    until(lambda: status_of_path(port, "/") == 200, "it serves")
    with crowd(port):
        until(lambda: waiting(port) > 4, "the queue is full")  # it is as long as `maxconn`
        if len(sys.argv) > 1:
            print(repaired_with(sys.argv[1]), FILE.read_bytes() == before)
            return
        answer: dict[str, object] = {}

        def is_seen() -> bool:
            answer.update(fix("worker-connections-exhausted", "--apply", "--yes"))
            return answer["outcome"] != "nothing"  # four reports ended just then, and for a moment nobody waited

        until(is_seen, "the full queue is seen")
        assert (answer["cause"], answer["outcome"], answer["unverified"]) == ("worker-connections-exhausted", "kept", None), (
            answer
        )
        raised = before.replace(b"maxconn 4\n", b"maxconn 4096\n").replace(b"maxconn 6 ", b"maxconn 4096 ")
        assert FILE.read_bytes() == raised, (FILE.read_bytes(), answer)
        until(lambda: waiting(port) == 0, "nobody waits")
        assert fix("--undo")["outcome"] == "reverted"
        assert FILE.read_bytes() == before
        until(lambda: waiting(port) > 0, "clients wait again")
    print("repaired and undone")


def repaired_with(limit: str) -> str:
    """Apply the repair with another value; return its phase, what still fails and what is not verified."""
    snapshot = why502.collect()
    plan = why502.plan(why502.diagnose(snapshot), snapshot, "worker-connections-exhausted")[0]
    edits = tuple(msgspec.structs.replace(one, after=limit, diff="") for one in plan.edits)
    entry = why502.apply(msgspec.structs.replace(plan, edits=edits), snapshot, state="/srv/why502-state")
    return f"{entry.phase}; {'; '.join(entry.failing)}; {entry.unverified}"


if __name__ == "__main__":
    main()
