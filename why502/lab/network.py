"""Scenes with a firewall (nft(8)) or a second machine, each in its own network namespace."""

from __future__ import annotations

from why502.lab.stage import Stage

HERE, THERE, PORT = "10.11.12.1", "10.11.12.2", 3000


def deny(stage: Stage, rule: str, *inside: str) -> None:
    """Have the firewall treat incoming connections to the backend so. `inside` is the command that enters its machine."""
    chain = f"type filter hook input priority 0\ntcp dport {PORT} {rule}"
    table = f"table inet lab {{\nchain guard {{\n{chain}\n}}\n}}\n"
    stage.sh(*inside, "nft", "-f", "-", stdin=table)


def two_machines(stage: Stage) -> tuple[str, ...]:
    """Make another machine (network and processes of its own) beside this one; return the command that enters it."""
    outer = stage.spawn("unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity")
    children = stage.path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    stage.until(lambda: children.read_text().split(), "another machine")
    pid = children.read_text().split()[0]
    stage.until(lambda: stage.path(f"/proc/{pid}/comm").read_text().strip() == "sleep", "another machine runs")
    inside = ("nsenter", f"--target={pid}", "--net", "--pid", "--mount")
    stage.sh(*inside, "mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", "/etc/nginx")
    stage.sh("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", pid)
    for command, device, address in (((), "near", HERE), (inside, "far", THERE)):
        stage.sh(*command, "ip", "address", "add", f"{address}/24", "dev", device)
        stage.sh(*command, "ip", "link", "set", device, "up")
    stage.sh(*inside, "ip", "link", "set", "lo", "up")
    stage.there = (*inside, "--")
    return stage.there


def _connect(stage: Stage, address: str, log: str) -> str:
    stage.nginx.start(f"proxy_pass http://{address}:{PORT};\nproxy_connect_timeout 800ms;", log=log)
    stage.send_many(6, at_once=6)
    return f"{address}:{PORT}"


def blocked(stage: Stage, *, rule: str, log: str = "upstream") -> str:
    """Put a firewall before an application of this machine; return its target."""
    stage.backend(PORT)
    deny(stage, rule)
    return _connect(stage, "127.0.0.1", log)


def far(stage: Stage, *, rule: str, log: str = "upstream") -> str:
    """Put the application on another machine (a network namespace, veth(4)) with a firewall; return its target."""
    machine = stage.spawn("unshare", "--net", "sleep", "infinity")
    pid = str(machine.pid)
    stage.until(
        lambda: stage.path(f"/proc/{pid}/ns/net").readlink() != stage.path("/proc/self/ns/net").readlink(), "another network"
    )
    stage.sh("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", pid)
    inside = ("nsenter", f"--net=/proc/{pid}/ns/net")
    for command, device, address in (((), "near", HERE), (inside, "far", THERE)):
        stage.sh(*command, "ip", "address", "add", f"{address}/24", "dev", device)
        stage.sh(*command, "ip", "link", "set", device, "up")
    stage.backend(f"{THERE}:{PORT}", wrap=inside)
    deny(stage, rule, *inside)
    return _connect(stage, THERE, log)


def absent(stage: Stage, *, patience: str) -> str:
    """Lead to an address in the network beside this machine that nobody there has; nginx waits so long. Return the target."""
    stage.sh("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
    stage.sh("ip", "address", "add", f"{HERE}/24", "dev", "near")
    for device in ("near", "far"):
        stage.sh("ip", "link", "set", device, "up")
    stage.nginx.start(f"proxy_pass http://{THERE}:{PORT};\nproxy_connect_timeout {patience};")
    stage.send_many(6, at_once=6)
    return f"{THERE}:{PORT}"
