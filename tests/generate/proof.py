"""The promises of a generated site, seen: each case breaks its application and watches what clients get.

Run in namespaces of its own (test_nginx_proof.py does that). Usage: proof.py CASE. Prints what was measured, as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dns.message
import dns.rrset

from why502.cli.env import Env
from why502.cli.main import run
from why502.lab.isolation import program

HERE = Path(__file__).parent
SITE = "shop.example"
IS_LONG = bool(os.environ.get("PROOF_LONG"))  # the published figures: takes minutes
APPS: dict[int, subprocess.Popen[bytes]] = {}
Seen = dict[str, Any]
http.client._MAXLINE = 1 << 20  # type: ignore[attr-defined]  # for the answer with a large header


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def machine() -> None:
    """Make this namespace a machine with an empty nginx on it."""
    sh("ip", "link", "set", "lo", "up")
    sh("mount", "--make-rprivate", "/")
    kept = Path(tempfile.mkdtemp())
    for name in ("mime.types", "fastcgi_params", "uwsgi_params"):
        shutil.copy(f"/etc/nginx/{name}", kept)
    for place in ("/etc/nginx", "/etc/letsencrypt", "/var/log", "/var/lib/nginx", "/run", "/var/lib/why502"):
        Path(place).mkdir(exist_ok=True)
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "none", place)
    Path("/var/log/nginx").mkdir()
    for one in kept.iterdir():
        shutil.copy(one, "/etc/nginx")
    for name in ("sites-available", "sites-enabled"):
        Path("/etc/nginx", name).mkdir()
    Path("/etc/nginx/nginx.conf").write_text(
        "user www-data;\nworker_processes 2;\npid /run/nginx.pid;\nerror_log /var/log/nginx/error.log;\n"
        "events { worker_connections 4096; }\nhttp {\n    include mime.types;\n    include sites-enabled/*;\n}\n"
    )
    subprocess.run(["nginx"], check=True)


def app(port: int, idle_s: float = 5.0, address: str = "127.0.0.1") -> None:
    """Start an application on a port and wait until it listens. Its log is emptied."""
    with log_of(port).open("w") as log:
        APPS[port] = subprocess.Popen([sys.executable, str(HERE / "app.py"), address, str(port), str(idle_s)], stdout=log)
    until(lambda: "ready" in log_of(port).read_text())


def log_of(port: int) -> Path:
    return Path(f"/run/app-{port}.log")


def kill(port: int, how: int = signal.SIGKILL) -> None:
    APPS[port].send_signal(how)
    APPS[port].wait()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def why502(*argv: str) -> str:
    """Run a command of ours and return its output."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        status = run(list(argv), Env(stdout=out, stderr=err))  # type: ignore[arg-type]
        for stream in (out, err):
            stream.seek(0)
        text, said = out.read(), err.read()
    assert status in (0, 1), f"{argv}: {status} {said}"
    return text + said


def generate(*options: str) -> str:
    """Apply a generated site."""
    said = why502("generate", "nginx", "--domain", SITE, "--tls", "off", *options, "--apply", "--yes")
    assert "Applied" in said or "Done" in said, said
    return said


def get(
    path: str = "/", method: str = "GET", port: int = 80, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes, float]:
    """Send one request; return status, headers, body and seconds."""
    began = time.monotonic()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request(method, path, body=body, headers={"Host": SITE, **headers})
    answer = client.getresponse()
    content = answer.read()
    client.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content, time.monotonic() - began


class Load:
    """Clients that send GET requests one after the other until it is stopped; counts the statuses. 0: no answer at all."""

    def __init__(self, clients: int = 4, path: str = "/") -> None:
        self.seen: Counter[int] = Counter()
        self.path = path
        self.stopped = Event()
        self.threads = [Thread(target=self._send) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _send(self) -> None:
        while not self.stopped.is_set():
            try:
                status = get(self.path)[0]
            except (OSError, http.client.HTTPException):
                status = 0
            self.seen[status] += 1

    def until(self, count: int) -> None:
        """Wait until so many more requests have been answered."""
        goal = sum(self.seen.values()) + count
        while sum(self.seen.values()) < goal:
            time.sleep(0.01)

    def stop(self) -> dict[str, int]:
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        return {str(status): count for status, count in sorted(self.seen.items())}


def causes() -> str:
    """Return what `why502 logs` says about the site's own logs."""
    return why502("logs", f"/var/log/nginx/{SITE}.access.log", f"/var/log/nginx/{SITE}.error.log")


# --- the cases


def one_of_two_killed() -> Seen:
    """kill -9 of one of two servers under load: no GET fails."""
    app(3000)
    app(3001)
    generate("--app", "127.0.0.1:3000", "--app", "127.0.0.1:3001")
    load = Load()
    load.until(200)
    kill(3000)
    load.until(600)
    return {"statuses": load.stop(), "log": causes()}


def all_killed() -> Seen:
    """Both servers gone: 503 with Retry-After at once, as JSON for who asks for it; back within fail_timeout."""
    app(3000)
    app(3001)
    out_s = 10 if IS_LONG else 2
    generate("--app", "127.0.0.1:3000", "--app", "127.0.0.1:3001", "--fail-timeout", f"{out_s}s")
    kill(3000)
    kill(3001)
    status, headers, body, seconds = get(Accept="application/json")
    html = get(Accept="text/html")
    slowest = max(get()[3] for _ in range(20))
    log = causes()
    app(3000)
    app(3001)
    began = time.monotonic()
    while get()[0] != 200:
        time.sleep(0.05)
    return {
        "status": status, "retry_after": headers.get("retry-after"), "type": headers.get("content-type"),
        "body": json.loads(body),
        "html": [html[0], html[1].get("content-type")], "seconds": max(seconds, slowest), "recovered_s": time.monotonic() - began,
        "fail_timeout_s": out_s, "log": log,
    }  # fmt: skip


def hang() -> Seen:
    """A server that never answers: 504 at the promised second, and a POST reaches one server once."""
    for port in (3000, 3001):
        app(port)
    generate("--app", "127.0.0.1:3000", "--app", "127.0.0.1:3001", "--read-timeout", "3s")
    status, _, body, seconds = get("/hang", "POST", body=b"x", Accept="application/json")
    arrived = sum(log_of(port).read_text().count("POST /hang") for port in (3000, 3001))
    return {"status": status, "seconds": seconds, "body": json.loads(body), "arrived": arrived, "log": causes()}


def rolling_restart() -> Seen:
    """Two servers restarted under load, the second when the first gets requests again: nothing fails."""
    app(3000)
    app(3001)
    generate("--app", "127.0.0.1:3000", "--app", "127.0.0.1:3001", "--fail-timeout", "2s")
    load = Load(2, "/slow")
    for port in (3000, 3001, 3000, 3001):
        load.until(10)
        kill(port, signal.SIGTERM)
        load.until(10)
        app(port)
        until(lambda: "GET" in log_of(port).read_text())  # noqa: B023 - called at once
    return {"statuses": load.stop(), "log": causes()}


def reloads() -> Seen:
    """The configuration loaded ten times under load, some requests slow: nothing fails, and every worker is a new one."""
    app(3000)
    generate("--app", "127.0.0.1:3000")
    quick, slow = Load(4), Load(2, "/slow")
    replaced = 0
    for _ in range(10):
        old = workers()
        sh("nginx", "-s", "reload")
        until(lambda: not old & workers())  # noqa: B023 - called at once
        replaced += len(old)
        quick.until(20)
    return {"statuses": quick.stop(), "slow": slow.stop(), "replaced": replaced}


def workers() -> set[str]:
    """Return the pids of the workers that take requests."""
    pids = sh("pgrep", "-f", "nginx: worker process$").split()
    assert pids
    return set(pids)


def idle_close() -> Seen:
    """Requests around the moment in which the application closes idle connections (± 50 ms): none fails."""
    app(3000, idle_s=2.0)
    generate("--app", "127.0.0.1:3000", "--app-idle", "2s")
    count = 10_000 if IS_LONG else 400
    clients = 200

    def one(number: int, seen: Counter[int]) -> None:
        for turn in range(count // clients):
            seen[get()[0]] += 1
            time.sleep(1.95 + 0.1 * ((number * 7 + turn * 13) % clients) / clients)

    seen: Counter[int] = Counter()
    threads = [Thread(target=one, args=(number, seen)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"statuses": {str(status): n for status, n in seen.items()}}


def websocket() -> Seen:
    """A WebSocket that is silent for longer than the usual 60 s stays open."""
    app(3000)
    generate("--app", "127.0.0.1:3000", "--websocket", "/ws")
    silence = 70.0 if IS_LONG else 1.0
    with socket.create_connection(("127.0.0.1", 80)) as client:
        client.settimeout(10)
        client.sendall(f"GET /ws HTTP/1.1\r\nHost: {SITE}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".encode())
        head = client.recv(4096)
        time.sleep(silence)
        client.sendall(b"hello")
        return {"head": head.split(b"\r\n")[0].decode(), "echo": client.recv(100).decode(), "silence_s": silence}


def large_header() -> Seen:
    """A response header of 100 kB passes."""
    app(3000)
    generate("--app", "127.0.0.1:3000", "--response-header", "101k")
    status, headers, _, _ = get("/header/100000")
    return {"status": status, "bytes": len(headers.get("x-large", ""))}


def header_not_foreseen() -> Seen:
    """A response header of 100 kB at a site that was not told of it: the log says why it fails."""
    app(3000)
    generate("--app", "127.0.0.1:3000")
    return {"status": get("/header/100000")[0], "log": causes()}


def rate_limit() -> Seen:
    """More requests than the rate: some get 429, none anything else."""
    app(3000)
    generate("--app", "127.0.0.1:3000", "--limit", "5r/s")
    seen = Counter(get()[0] for _ in range(40))
    return {"statuses": {str(status): count for status, count in sorted(seen.items())}, "log": causes()}


def address_changed() -> Seen:
    """The application's name gets another address: the site follows without a reload."""
    where = {"address": "127.0.0.2"}
    name_server(where)
    app(3000, address="127.0.0.2")
    generate("--app", "app.internal:3000", "--resolver", "127.0.0.53", "--no-ipv6")
    first = get()[2].decode()
    kill(3000)
    app(3000, address="127.0.0.3")
    where["address"] = "127.0.0.3"
    began = time.monotonic()
    until(lambda: get()[0] == 200)
    seconds = time.monotonic() - began
    return {"first": first, "then": get()[2].decode(), "seconds": seconds, "log": causes()}


def name_server(where: dict[str, str]) -> None:
    """Answer every question for an IPv4 address with the present one, for an hour."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.53", 53))

    def answer() -> None:
        while True:
            data, client = server.recvfrom(4096)
            question = dns.message.from_wire(data)
            said = dns.message.make_response(question)
            said.answer.append(dns.rrset.from_text(question.question[0].name, 3600, "IN", "A", where["address"]))
            server.sendto(said.to_wire(), client)

    Thread(target=answer, daemon=True).start()


def certificate() -> Seen:
    """Without a certificate the site answers on port 80; with one, the same command turns HTTPS on."""
    app(3000)
    command = ("generate", "nginx", "--domain", SITE, "--app", "127.0.0.1:3000", "--apply", "--yes")
    why502(*command)
    without = get()[0]
    home = Path("/etc/letsencrypt/live", SITE)
    home.mkdir(parents=True)
    sh(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
        "-subj", f"/CN={SITE}", "-keyout", f"{home}/privkey.pem", "-out", f"{home}/fullchain.pem",
    )  # fmt: skip
    why502(*command)
    status, headers, _, _ = get("/shop?x=1")
    client = http.client.HTTPSConnection("127.0.0.1", 443, context=ssl._create_unverified_context())
    client.request("GET", "/", headers={"Host": SITE})
    return {"without": without, "status": status, "location": headers.get("location"), "https": client.getresponse().status}


def stale() -> Seen:
    """With --cache-stale, the last good answer is served while the application is down; a request with a cookie is not."""
    app(3000)
    generate("--app", "127.0.0.1:3000", "--cache-stale", "10m")
    first = get()[0]
    kill(3000)
    time.sleep(1.1)  # the answer expires after one second: proxy_cache_valid
    return {"first": first, "then": get()[0], "with_cookie": get(Cookie="user=1")[0], "log": causes()}


def cache_disk_full() -> Seen:
    """The disk of the cache is full: what do clients get?"""
    app(3000)
    cache = Path("/var/lib/nginx/full")
    cache.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "none", str(cache))
    generate("--app", "127.0.0.1:3000", "--cache-stale", "10m", "--cache-dir", str(cache))
    with suppress(OSError), (cache / "filler").open("wb", buffering=0) as filler:
        while filler.write(b"x" * 4096):
            pass

    def status_of(path: str, **headers: str) -> str:
        try:
            return str(get(path, **headers)[0])
        except (http.client.HTTPException, ConnectionError):
            return "cut"

    stored = Counter(status_of(f"/page{number}") for number in range(20))
    personal = Counter(status_of(f"/page{number}", Cookie="user=1") for number in range(20))
    (cache / "filler").unlink()
    return {"stored": stored, "with_cookie": personal, "afterwards": get("/page")[0], "log": causes()}


def undone() -> Seen:
    """`why502 fix --undo` takes an applied site out again; applying the same site twice changes nothing."""
    app(3000)
    before = files()
    generate("--app", "127.0.0.1:3000")
    applied = get()[0]
    again = why502("generate", "nginx", "--domain", SITE, "--tls", "off", "--app", "127.0.0.1:3000", "--apply", "--yes")
    said = why502("fix", "--undo")
    return {"applied": applied, "again": again, "same": before == files(), "said": said}


def files() -> list[str]:
    return sorted(str(path) for path in Path("/etc/nginx").rglob("*"))


def other(kind: str) -> Seen:
    """The same promises for another proxy: one of two killed, a hanging server, all killed."""
    app(3000)
    app(3001)
    place = Path("/run/other")
    place.mkdir()
    apps = ("--app", "127.0.0.1:3000", "--app", "127.0.0.1:3001")
    more = {"traefik": ("--health", "/"), "haproxy": (), "caddy": ("--log-dir", str(place)), "apache": ("--log-dir", str(place))}
    sh("nginx", "-s", "stop")
    why502("generate", kind, "--domain", SITE, "--tls", "off", *apps, "--read-timeout", "3s", *more[kind], "-o", str(place))
    with (
        (place / "said").open("w") as said,
        subprocess.Popen(start_of(kind, place), stdout=said, stderr=said, cwd=place) as proxy,
    ):
        try:
            until(lambda: answers() == 200)
            load = Load()
            load.until(200)
            kill(3000)
            load.until(600)
            statuses = load.stop()
            status, _, _, seconds = get("/hang", "POST", body=b"x")
            arrived = sum(log_of(port).read_text().count("POST /hang") for port in (3000, 3001))
            kill(3001)
            gone = get()
            return {
                "statuses": statuses, "hang": status, "hang_s": seconds, "arrived": arrived, "all_killed": gone[0],
                "all_killed_s": gone[3],
            }  # fmt: skip
        except AssertionError as error:
            raise AssertionError((place / "said").read_text()[-2000:]) from error
        finally:
            proxy.terminate()


def answers() -> int:
    try:
        return get()[0]
    except OSError:
        return 0


def start_of(kind: str, place: Path) -> list[str]:
    """Return the command that starts a proxy with the generated file, in the foreground."""
    if kind == "haproxy":
        Path("/run/haproxy").mkdir()
        return ["haproxy", "-db", "-f", str(place / "haproxy.cfg")]
    if kind == "caddy":
        os.environ.update(HOME=str(place), XDG_DATA_HOME=str(place), XDG_CONFIG_HOME=str(place))
        return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(place / "Caddyfile")]
    if kind == "traefik":
        return [program("traefik"), "--entryPoints.web.address=:80", f"--providers.file.filename={place / SITE}.yaml"]
    modules = "/usr/lib/apache2/modules"
    names = (
        "mpm_event", "authz_core", "authz_host", "proxy", "proxy_http", "slotmem_shm", "proxy_balancer", "lbmethod_byrequests",
        "headers", "unique_id", "alias",
    )  # fmt: skip
    loaded = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in names)
    site = place / f"{SITE}.conf"
    main = place / "apache.conf"
    main.write_text(
        f"ServerName localhost\nListen 80\nUser www-data\nDefaultRuntimeDir {place}\nPidFile {place}/pid\nErrorLog "
        f"{place}/log\n{loaded}Include {site}\n"
    )
    return ["apache2", "-X", "-d", str(place), "-f", str(main)]


def rolled_back() -> Seen:
    """A site whose application answers 500 is taken out again: every file is as before."""
    app(3000)
    before = files()
    broken = subprocess.Popen([sys.executable, "-c", BROKEN], stdout=subprocess.PIPE, text=True)
    assert broken.stdout
    broken.stdout.readline()
    said = why502("generate", "nginx", "--domain", SITE, "--tls", "off", "--app", "127.0.0.1:3005", "--apply", "--yes")
    broken.kill()
    return {"same": before == files(), "said": said}


BROKEN = """
import socket
listener = socket.create_server(("127.0.0.1", 3005))
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    client.close()
"""
CASES: dict[str, Callable[[], Seen]] = {
    case.__name__: case
    for case in (
        one_of_two_killed, all_killed, hang, rolling_restart, reloads, idle_close, address_changed, websocket, large_header,
        header_not_foreseen, rate_limit, certificate, stale, cache_disk_full, rolled_back, undone,
    )
}  # fmt: skip

CASES |= {kind: partial(other, kind) for kind in ("haproxy", "apache", "caddy", "traefik")}


def main() -> None:
    machine()
    try:
        print(json.dumps(CASES[sys.argv[1]]()))
    finally:
        for one in APPS.values():
            one.kill()


if __name__ == "__main__":
    main()
