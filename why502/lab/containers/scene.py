"""One scene: containers are made, used, broken (or not), used again, and diagnosed, as the owner of the machine would.

`main` runs in the namespaces of `machine`. It prints one JSON object: the diagnosis, or why it could not be staged.
Usage: scene.py ARCHIVE SCENE ENGINE fault|healthy [BUNDLE]
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from why502.lab import traffic
from why502.lab.containers import machine, scenes
from why502.lab.containers.machine import Engine
from why502.lab.stage import LabError

READY_S = 15.0
FAILED = frozenset({0, 404, 499, 500, 502, 503, 504})
BUNDLE = "/run/scene.why502"
FORWARD = """\
worker_processes 1;
error_log /dev/stderr;
events {{}}
http {{
    access_log /dev/stdout;
    server {{
        listen {listen};
        {server}
        location / {{
            proxy_connect_timeout {connect};
            proxy_read_timeout 4s;
            {location}
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A way in which containers break a proxy, and its healthy twin: `build(site, True)` makes the former, with False the latter.

    `expects` are the causes of which the first answer must be one. `never` are causes that no answer may name.
    """

    id: str
    happens: str
    expects: frozenset[str]
    build: Callable[[Site, bool], None]
    engines: tuple[str, ...] = ("docker", "podman")
    never: frozenset[str] = frozenset()
    twin: frozenset[str] = frozenset({"healthy"})  # verdict or first cause of the twin


@dataclass(slots=True)
class Site:
    """The containers, networks and clients of a scene."""

    engine: Engine
    archive: Path  # of the image
    asked: list[int] = field(default_factory=list)

    def call(self, *words: str, is_checked: bool = True) -> str:
        """Run the engine's client and return its output. Raises LabError where it fails."""
        return self.engine.call(*words, is_checked=is_checked)

    def network(self, name: str, *options: str) -> None:
        """Make a network."""
        self.call("network", "create", *options, name)

    def run(self, name: str, *command: str, networks: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> None:
        """Start a container."""
        if self.engine.program == "podman" and networks:
            own: tuple[str, ...] = ("--network", ",".join(networks))
            self.call("run", "-d", "--name", name, *own, *options, machine.IMAGE, *command)
            return
        self.call("create", "--name", name, *(("--network", networks[0]) if networks else ()), *options, machine.IMAGE, *command)
        for network in networks[1:]:
            self.call("network", "connect", network, name)
        self.call("start", name)

    def app(
        self, name: str, listen: str = "0.0.0.0:3000", *extra: str, networks: tuple[str, ...] = (), options: tuple[str, ...] = ()
    ) -> None:
        """Start an application in a container, and wait until it listens."""
        self.run(name, "python3", "/app/server.py", listen, *extra, networks=networks, options=options)
        port = int(listen.rpartition(":")[2])
        self.until(lambda: self.listens(name, port), f"{name} listens on port {port}")

    def listens(self, name: str, port: int = 0) -> bool:
        """Return whether anything but the engine's own name server listens in a container, on one port or on any.

        The containers of a pod share their ports.
        """
        pid = self.pid(name)
        tables = [Path(f"/proc/{pid}/net/{table}") for table in ("tcp", "tcp6")] if pid else []
        lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
        heard = (words[1] for words in lines if words[3] == "0A" and not words[1].startswith("0B00007F"))
        return any(not port or int(address.rpartition(":")[2], 16) == port for address in heard)

    def nginx(
        self,
        name: str = "edge",
        location: str = "",
        *,
        server: str = "",
        connect: str = "2s",
        networks: tuple[str, ...] = (),
        options: tuple[str, ...] = ("-p", "8080:80"),
        awaits: bool = True,
    ) -> None:
        """Start nginx in a container with this location, and wait until it listens."""
        path = self.config(name, location, server=server, connect=connect)
        options = (*options, "-v", f"{path}:/etc/nginx/nginx.conf:ro")
        self.run(name, "nginx", "-g", "daemon off;", networks=networks, options=options)
        if awaits:
            self.until(lambda: self.listens(name), f"{name} listens")

    def config(self, name: str, location: str, *, server: str = "", connect: str = "2s", listen: str = "80") -> Path:
        """Write an nginx configuration and return its path."""
        path = Path(f"/run/sites/{name}/nginx.conf")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FORWARD.format(location=location, server=server, connect=connect, listen=listen))
        return path

    def host_nginx(self, location: str, port: int = 8080, *, head: str = "") -> None:
        """Start nginx on the machine itself; `head` is what its http block begins with."""
        text = self.config("host", location, listen=str(port)).read_text()
        text = text.replace("/dev/stderr", "/var/log/nginx/error.log").replace("/dev/stdout", "/var/log/nginx/access.log")
        text = text.replace("http {", f"http {{\n    {head}", 1)
        Path("/var/log/nginx").mkdir(exist_ok=True)
        machine.sh("mount", "-t", "tmpfs", "-o", "mode=755", "why502-lab", "/etc/nginx")
        Path("/etc/nginx/nginx.conf").write_text(text)
        machine.sh("nginx")

    def pid(self, name: str) -> int:
        """Return the first process of a container; 0 where it does not run."""
        told = self.call("inspect", "-f", "{{.State.Pid}}", name, is_checked=False)
        return int(told) if told.isdigit() else 0

    def state(self, name: str, field: str = "Status") -> str:
        """Return a field of a container's state."""
        return self.call("inspect", "-f", f"{{{{.State.{field}}}}}", name, is_checked=False)

    def address(self, name: str, network: str) -> str:
        """Return the address of a container in a network."""
        told = json.loads(self.call("inspect", name))[0]["NetworkSettings"]["Networks"]
        return str(told[network]["IPAddress"])

    def gateway(self, network: str) -> str:
        """Return the machine's own address in a network."""
        told = json.loads(self.call("network", "inspect", network))[0]
        if "subnets" in told:
            return str(told["subnets"][0]["gateway"])
        return str(told["IPAM"]["Config"][0]["Gateway"])

    def ask(self, path: str = "/", times: int = 1, *, port: int = 8080) -> list[int]:
        """Send requests to the machine's port; return their statuses."""
        found = [traffic.request(("127.0.0.1", port), path, patience_s=12.0) for _ in range(times)]
        self.asked += found
        return found

    def ask_at(self, host: str, path: str = "/") -> int:
        """Send a request to port 80 of an address of the machine's networks; return its status."""
        self.asked.append(traffic.request((host, 80), path, patience_s=12.0, source="0.0.0.0"))
        return self.asked[-1]

    def serves(self, path: str = "/") -> None:
        """Wait until requests are answered, then send a few. Raises LabError where they never are."""
        self.until(lambda: set(self.ask(path)) <= {200}, f"{path} is answered 200, not {self.asked[-1:]}")
        self.ask(path, 3)

    def fails(self, path: str = "/", times: int = 4) -> None:
        """Send requests that must fail. Raises LabError where one does not."""
        found = self.ask(path, times)
        if not set(found) <= FAILED:
            raise LabError(f"it does not fail: {found}")

    def until(self, holds: Callable[[], bool], what: str, limit_s: float = READY_S) -> None:
        """Wait until something holds. Raises LabError."""
        end = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end:
                raise LabError(f"never came true: {what}", self.words())
            time.sleep(0.05)

    def words(self) -> str:
        """Return the last lines of every container."""
        if self.engine.name == machine.KUBELET:
            return "\n".join(f"{path}: {path.read_text()[-500:]}" for path in sorted(Path("/var/log/pods").glob("*/*/*.log")))
        every = self.call("ps", "-a", is_checked=False)
        names = self.call("ps", "-a", "--format", "{{.Names}}", is_checked=False).split()
        told = {name: self.engine.call("logs", "--tail", "8", name, is_checked=False) for name in names}
        return "\n".join((every, *(f"{name}: {text}" for name, text in told.items())))


def scene_list() -> dict[str, Scene]:
    """Return every scene by its id."""
    found = [
        scene for module in iter_modules(scenes.__path__) for scene in import_module(f"{scenes.__name__}.{module.name}").SCENES
    ]
    return {scene.id: scene for scene in found}


def diagnose(bundle: str = BUNDLE) -> dict[str, Any]:
    """Return what `why502 diagnose` answers here."""
    since = time.monotonic()
    argv = (sys.executable, "-m", "why502", "diagnose", "--format", "json", "--save", bundle)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    seen: dict[str, Any] = {"seconds": round(time.monotonic() - since, 2), "status": done.returncode}
    try:
        return {**seen, "diagnosis": json.loads(done.stdout)}
    except ValueError:
        return {**seen, "error": done.stderr[-2000:]}


def main() -> int:
    """Stage one scene and print what came of it."""
    archive, name, engine_name, way, *kept = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine.isolate()
    engine = Engine(engine_name)
    site = Site(engine, Path(archive))
    try:
        engine.start()
        engine.take(Path(archive))
        scene_list()[name].build(site, way == "fault")
        found = diagnose()
    except LabError as error:
        found = {"broken": f"{error.message}\n{error.hint}"}
    finally:
        engine.stop()
    found["clients"] = site.asked
    if kept and Path(BUNDLE).exists():
        shutil.copy(BUNDLE, kept[0])
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
