"""Run in its own namespaces, as root: proxies and applications in containers without an engine, each scene broken in one way.

usage: scenes.py DIRECTORY REPOSITORY [SCENE...]; prints one JSON object: the diagnosis of each scene by its name.

"The host" is the network namespace that we are started in, with the bridge `br0` (172.30.0.1). A container is a process in
network,
mount, process and host name namespaces of its own, with files of its own over those of the machine, and in a cgroup with the name
that Docker would give it. Its description is where Docker writes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup/systemd/docker")
STATE = Path("/var/lib/docker/containers")
BRIDGE = "172.30.0.1"
SPACE = ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
NGINX = """\
user root;
pid /run/nginx.pid;
error_log /dev/stderr;
events {{}}
http {{
    access_log /dev/stdout;
    server {{ listen 80; server_name shop.example; {extra} location / {{ {passes} }} }}
}}
"""
APPLICATION = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Answer).serve_forever()
"""


def until(condition: Callable[[], object], message: str) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, message
        time.sleep(0.02)


def sh(*argv: str, check: bool = True) -> str:
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


def application(host: str, port: int) -> list[str]:
    return [sys.executable, "-I", "-c", APPLICATION, host, str(port)]


@dataclass
class Container:
    """One container: its name, its address on the bridge, and the command that runs in it."""

    name: str
    address: str
    argv: list[str]
    files: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    name_server: str = "127.0.0.11"
    published: dict[int, int] = field(default_factory=dict)
    before: str = ""
    pid: int = 0

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.name}{os.getpid()}".encode()).hexdigest()

    @property
    def log(self) -> Path:
        return STATE / self.id / f"{self.id}-json.log"

    @property
    def device(self) -> str:
        return f"veth{self.id[:7]}"

    def describe(self) -> None:
        """Write what Docker 20.10 writes (config.v2.json), without the fields that nothing needs."""
        self.log.parent.mkdir(parents=True)
        ports = {f"{inner}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(outer)}] for outer, inner in self.published.items()}
        (self.log.parent / "config.v2.json").write_text(
            json.dumps(
                {
                    "ID": self.id,
                    "Name": f"/{self.name}",
                    "LogPath": str(self.log),
                    "Config": {"Image": self.argv[0], "Labels": {}},
                    "State": {"Running": True, "Pid": self.pid},
                    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": self.address}}, "Ports": ports},
                }
            )
        )

    @contextlib.contextmanager
    def run(self, place: Path) -> Iterator[Container]:
        """Run it. Its output goes to a log as Docker's json-file driver writes it."""
        own = place / self.name
        own.mkdir()
        lines = [f"hostname {self.id[:12]}", "mount -t tmpfs -o mode=755 t /run", f"mount -t tmpfs t {STATE.parent}"]
        files = {"/etc/hosts": "127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in self.hosts.items())}
        files |= {"/etc/resolv.conf": f"nameserver {self.name_server}\noptions ndots:0\n", **self.files}
        for number, (path, text) in enumerate(files.items()):
            (own / str(number)).write_text(text)
            lines.append(f"mount --bind {own / str(number)} {path}")
        lines.append(self.before)
        lines.append("ip link set lo up; touch /run/ready; until [ -e /run/go ]; do sleep 0.02; done")
        script = "\n".join(lines) + f"\nexec {shlex.join(self.argv)}"
        group = GROUPS / self.id
        group.mkdir(parents=True)
        outer = subprocess.Popen(
            ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group), *SPACE, "sh", "-ec", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
            until(lambda: children.read_text().split(), f"container {self.name}")
            self.pid = int(children.read_text().split()[0])
            until(lambda: Path(f"/proc/{self.pid}/root/run/ready").exists(), f"container {self.name} is set up")
            self.describe()
            self._follow(outer)
            self.connect()
            Path(f"/proc/{self.pid}/root/run/go").touch()
            until(lambda: Path(f"/proc/{self.pid}/comm").read_text().strip() != "sh", f"container {self.name} runs")
            yield self
        finally:
            outer.kill()
            outer.wait()
            until(lambda: not (group / "cgroup.procs").read_text(), f"the end of {self.name}")
            group.rmdir()
            shutil.rmtree(self.log.parent)
            until(lambda: self.device not in sh("ip", "-br", "link"), f"the end of the network of {self.name}")
            with contextlib.suppress(OSError):
                GROUPS.rmdir()

    def connect(self) -> None:
        """Connect it to the bridge."""
        inside = ("nsenter", f"--net=/proc/{self.pid}/ns/net")
        sh("ip", "link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        sh("ip", "link", "set", self.device, "master", "br0", "up")
        sh(*inside, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        sh(*inside, "ip", "link", "set", "eth0", "up")
        sh(*inside, "ip", "route", "add", "default", "via", BRIDGE)

    def _follow(self, outer: subprocess.Popen[bytes]) -> None:
        def write() -> None:
            assert outer.stdout
            with self.log.open("w") as log:
                for line in outer.stdout:
                    at = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())
                    entry = {"log": line.decode("utf-8", "replace"), "stream": "stdout", "time": at}
                    print(json.dumps(entry, separators=(",", ":")), file=log, flush=True)

        threading.Thread(target=write, daemon=True).start()


def proxy(passes: str, extra: str = "", **more: object) -> Container:
    config = NGINX.format(passes=passes if " " in passes else f"proxy_pass {passes};", extra=extra)
    argv = ["nginx", "-g", "daemon off;"]
    return Container("shop-proxy", "172.30.0.2", argv, {"/etc/nginx/nginx.conf": config}, **more)  # type: ignore[arg-type]


def ask(address: str, *, count: int = 5, port: int = 80) -> list[str]:
    """Send requests to a proxy, and return the first words of its answers."""
    found = []
    for _ in range(count):
        with socket.create_connection((address, port), timeout=10) as stream:
            stream.sendall(b"GET /cart HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
            found.append(stream.recv(100).decode("latin-1").partition("\r\n")[0])
    return found


@contextlib.contextmanager
def docker_proxy(outer: int, container: Container, inner: int) -> Iterator[None]:
    """Run Docker's own program that forwards a published port. It reports on descriptor 3 that it listens."""
    words = ["-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", str(outer)]
    words += ["-container-ip", container.address, "-container-port", str(inner)]
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        ["sh", "-c", f'exec 3>&{theirs}; exec "$@"', "sh", "/usr/sbin/docker-proxy", *words], pass_fds=(theirs,)
    )
    os.close(theirs)
    try:
        assert os.read(ours, 100).startswith(b"0"), "docker-proxy does not listen"
        os.close(ours)
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(argv: list[str], port: int) -> Iterator[None]:
    """Run a program on the host until it listens on a port."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: f":{port} " in sh("ss", "-Hltn"), "a program on the host")
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def host_nginx(place: Path, passes: str) -> Iterator[None]:
    """Run nginx on the host, on port 80."""
    config, log = place / "nginx.conf", place / "log"
    log.mkdir()
    text = NGINX.format(passes=f"proxy_pass {passes};", extra="")
    config.write_text(text.replace("/dev/stderr", f"{log}/error.log").replace("/dev/stdout", f"{log}/access.log"))
    process = subprocess.Popen(["nginx", "-c", str(config), "-g", "daemon off;"])
    try:
        until(lambda: ":80 " in sh("ss", "-Hltn"), "nginx on the host")
        yield
    finally:
        process.terminate()
        process.wait()


def listens(container: Container, port: int) -> None:
    """Wait until something listens on a port in a container."""
    words = ("nsenter", f"--net=/proc/{container.pid}/ns/net", "ss", "-Hltn")
    until(lambda: f":{port} " in sh(*words), f"a listener in {container.name}")


Scene = Callable[[Path], "contextlib.AbstractContextManager[None]"]
SCENES: dict[str, Scene] = {}


def scene(build: Callable[[Path], Iterator[None]]) -> Scene:
    made = contextlib.contextmanager(build)
    SCENES[build.__name__.replace("_", "-")] = made
    return made


def app(host: str = "0.0.0.0", port: int = 3000, **more: object) -> Container:
    return Container("shop-app", "172.30.0.3", application(host, port), **more)  # type: ignore[arg-type]


@scene
def healthy(place: Path) -> Iterator[None]:
    with app().run(place) as backend, proxy("http://172.30.0.3:3000").run(place) as front:
        listens(backend, 3000)
        listens(front, 80)
        ask(front.address)
        yield


@scene
def localhost_of_a_sibling(place: Path) -> Iterator[None]:
    """The proxy connects to its own loopback; the application is in another container."""
    with app().run(place) as backend, proxy("http://127.0.0.1:3000").run(place) as front:
        listens(backend, 3000)
        listens(front, 80)
        ask(front.address)
        yield


@scene
def localhost_of_the_host(place: Path) -> Iterator[None]:
    """The same with an application on the host."""
    with running(application("127.0.0.1", 3000), 3000), proxy("http://127.0.0.1:3000").run(place) as front:
        listens(front, 80)
        ask(front.address)
        yield


@scene
def nothing_anywhere(place: Path) -> Iterator[None]:
    """A look-alike: nothing listens on that port in any container, nor on the host."""
    with app(port=5000).run(place) as backend, proxy("http://127.0.0.1:3000").run(place) as front:
        listens(backend, 5000)
        listens(front, 80)
        ask(front.address)
        yield


@scene
def backend_gone(place: Path) -> Iterator[None]:
    """The container runs, and its application does not listen."""
    backend = Container("shop-app", "172.30.0.3", ["sleep", "1000"])
    with backend.run(place), proxy("http://172.30.0.3:3000").run(place) as front:
        listens(front, 80)
        ask(front.address)
        yield


@scene
def published_wrong_inner_port(place: Path) -> Iterator[None]:
    """The engine forwards to port 80 of a container where the application listens on 5000."""
    with (
        app(port=5000, published={8080: 80}).run(place) as backend,
        docker_proxy(8080, backend, 80),
        host_nginx(place, "http://127.0.0.1:8080"),
    ):
        listens(backend, 5000)
        ask("127.0.0.1")
        yield


@scene
def published_to_loopback(place: Path) -> Iterator[None]:
    """The application listens on the loopback of its container only."""
    with (
        app("127.0.0.1", 80, published={8080: 80}).run(place) as backend,
        docker_proxy(8080, backend, 80),
        host_nginx(place, "http://127.0.0.1:8080"),
    ):
        listens(backend, 80)
        ask("127.0.0.1")
        yield


@scene
def published_port_in_the_network(place: Path) -> Iterator[None]:
    """The proxy uses the port that is published on the host, but on the container's own address."""
    hosts = {"app": "172.30.0.3"}
    with (
        app(port=80, published={8080: 80}).run(place) as backend,
        docker_proxy(8080, backend, 80),
        proxy("http://app:8080", hosts=hosts).run(place) as front,
    ):
        listens(backend, 80)
        listens(front, 80)
        ask(front.address)
        yield


@scene
def bound_to_loopback(place: Path) -> Iterator[None]:
    """The application listens on the loopback of its container; the proxy connects to the container's address."""
    with app("127.0.0.1").run(place) as backend, proxy("http://172.30.0.3:3000").run(place) as front:
        listens(backend, 3000)
        listens(front, 80)
        ask(front.address)
        yield


@scene
def resolver_of_another_engine(place: Path) -> Iterator[None]:
    """The `resolver` is Docker's, but the container's name server is another one, as under podman."""
    extra = "resolver 127.0.0.11 valid=5s; resolver_timeout 1s;"
    passes = "set $app app; proxy_pass http://$app:3000;"
    with app().run(place), proxy(passes, extra, name_server=BRIDGE).run(place) as front, name_server({"app": "172.30.0.3"}):
        listens(front, 80)
        ask(front.address, count=3)
        yield


@scene
def no_shared_network(place: Path) -> Iterator[None]:
    """The proxy uses an address of the application in a network that it is not in; engines drop packets between their bridges."""
    rules = """
        add table inet guard
        add chain inet guard forward { type filter hook forward priority 0; }
        add rule inet guard forward iifname br0 ip daddr 172.31.0.0/24 drop
    """
    passes = "proxy_connect_timeout 1s; proxy_pass http://172.31.0.3:3000;"
    backend = app()
    sh("ip", "link", "add", "br1", "type", "bridge")
    sh("ip", "address", "add", "172.31.0.1/24", "dev", "br1")
    sh("ip", "link", "set", "br1", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of this network namespace
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        with backend.run(place), proxy(passes).run(place) as front:
            inside = ("nsenter", f"--net=/proc/{backend.pid}/ns/net")
            sh("ip", "link", "add", "vethb", "type", "veth", "peer", "name", "eth1", "netns", str(backend.pid))
            sh("ip", "link", "set", "vethb", "master", "br1", "up")
            sh(*inside, "ip", "address", "add", "172.31.0.3/24", "dev", "eth1")
            sh(*inside, "ip", "link", "set", "eth1", "up")
            listens(backend, 3000)
            listens(front, 80)
            ask(front.address, count=3)
            yield
    finally:
        sh("nft", "delete", "table", "inet", "guard")
        sh("ip", "link", "delete", "br1")


@scene
def published_and_hung(place: Path) -> Iterator[None]:
    """A look-alike: something listens behind the published port, and closes every connection."""
    code = "import socket\ns = socket.create_server(('0.0.0.0', 80))\nwhile True: s.accept()[0].close()"
    backend = Container("shop-app", "172.30.0.3", [sys.executable, "-I", "-c", code], published={8080: 80})
    with backend.run(place), docker_proxy(8080, backend, 80), host_nginx(place, "http://127.0.0.1:8080"):
        listens(backend, 80)
        ask("127.0.0.1")
        yield


@scene
def linked_logs(place: Path) -> Iterator[None]:
    """The image's log files are links to the streams of the process, as in the official image of nginx."""
    front = proxy("http://172.30.0.3:3000")
    config = front.files["/etc/nginx/nginx.conf"]
    config = config.replace("/dev/stderr", "/var/log/nginx/error.log").replace("/dev/stdout", "/var/log/nginx/access.log")
    front.files["/etc/nginx/nginx.conf"] = config
    front.before = (
        "mount -t tmpfs t /var/log/nginx; ln -s /dev/stdout /var/log/nginx/access.log; ln -s /dev/stderr /var/log/nginx/error.log"
    )
    with app("127.0.0.1").run(place) as backend, front.run(place):
        listens(backend, 3000)
        listens(front, 80)
        ask(front.address)
        yield


@contextlib.contextmanager
def name_server(names: dict[str, str]) -> Iterator[None]:
    """Answer for some names on the bridge, as an engine's name server does."""
    from dns import message, rcode, rrset

    stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stream.bind((BRIDGE, 53))

    def serve() -> None:
        while True:
            data, sender = stream.recvfrom(4096)
            question = message.from_wire(data)
            answer = message.make_response(question)
            asked = question.question[0]
            address = names.get(asked.name.to_text().rstrip("."))
            if address is None:
                answer.set_rcode(rcode.NXDOMAIN)
            elif asked.rdtype.name == "A":
                answer.answer.append(rrset.from_text(asked.name, 5, "IN", "A", address))
            stream.sendto(answer.to_wire(), sender)

    threading.Thread(target=serve, daemon=True).start()
    yield


@scene
def host_blocked(place: Path) -> Iterator[None]:
    """The application is on the host, and the host's firewall drops what comes from containers."""
    rules = f"""
        add table inet guard
        add chain inet guard input {{ type filter hook input priority 0; }}
        add rule inet guard input iifname br0 ip daddr {BRIDGE} tcp dport 3000 counter drop
    """
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        passes = f"proxy_connect_timeout 1s; proxy_pass http://{BRIDGE}:3000;"
        with running(application("0.0.0.0", 3000), 3000), proxy(passes).run(place) as front:
            listens(front, 80)
            ask(front.address, count=3)
            yield
    finally:
        sh("nft", "delete", "table", "inet", "guard")


def main(place: Path, repository: str, *names: str) -> None:
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "br0", "type", "bridge")
    sh("ip", "address", "add", f"{BRIDGE}/24", "dev", "br0")
    sh("ip", "link", "set", "br0", "up")
    upper = place / "lib"
    upper.mkdir()
    sh("mount", "-t", "tmpfs", "t", str(upper))
    for part in ("up", "work"):
        (upper / part).mkdir()
    sh("mount", "-t", "overlay", "o", "-o", f"lowerdir=/var/lib,upperdir={upper}/up,workdir={upper}/work", "/var/lib")
    STATE.mkdir(parents=True, exist_ok=True)  # the package does not have it: dockerd makes it when it starts
    sh("mount", "-t", "tmpfs", "t", "/run")
    environment = {**os.environ, "PYTHONPATH": repository}
    found = {}
    for name in names or SCENES:
        own = place / name
        own.mkdir()
        with SCENES[name](own):
            line = [sys.executable, "-m", "why502", "diagnose", "--format", "json"]
            done = subprocess.run(line, check=False, capture_output=True, text=True, env=environment, cwd=repository, timeout=60)
            assert done.returncode in (0, 1), done.stderr
            found[name] = json.loads(done.stdout)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
