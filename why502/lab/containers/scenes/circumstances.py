"""What an application needs of its container and does not get: variables, files, memory, processor time, an orderly end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from why502.lab import traffic
from why502.lab.containers import machine
from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.composed import script
from why502.lab.containers.scenes.lives import restarts
from why502.lab.containers.scenes.networks import NO_PROCESS

MACHINE_PROGRAMS = ("-v", "/usr:/usr:ro")  # Node.js and PHP-FPM are not in the image
STARTUP = frozenset({"backend-startup-failure"})
LOOP = STARTUP | {"backend-crash-loop"}
ENDED = STARTUP | {"backend-crashed"}
SERVE = ("python3", "/app/server.py", "0.0.0.0:3000")
ALWAYS = ("--restart", "always")
LEAK = """\
const kept = [];
require('http').createServer((request, answer) => {
  if (request.url === '/leak') for (;;) kept.push(new Array(1000).fill(kept.length));
  answer.end('ok\\n');
}).listen(3000, '0.0.0.0', () => console.log('Server listening at http://0.0.0.0:3000'));
"""
SECRET = """\
import runpy, sys
password = open('/run/secrets/db_password').read()
sys.argv = ['server.py', '0.0.0.0:3000']
runpy.run_path('/app/server.py', run_name='__main__')
"""
CACHE = """\
import runpy, sys
open('/srv/cache.db', 'ab').write(b'begin')
sys.argv = ['server.py', '0.0.0.0:3000']
runpy.run_path('/app/server.py', run_name='__main__')
"""
MIGRATE = """\
import runpy, socket, sys, time
for attempt in range(8):
    time.sleep(0.5)
    try:
        socket.create_connection(('db', 5432), 2).close()
        break
    except OSError as error:
        print(f'could not connect to server: {error}', file=sys.stderr, flush=True)
else:
    raise ConnectionError('connection to server at "db", port 5432 failed: is the database running?')
sys.argv = ['server.py', '0.0.0.0:3000']
runpy.run_path('/app/server.py', run_name='__main__')
"""
POOL = """\
[global]
error_log = /dev/stderr
daemonize = no
[www]
user = root
group = root
listen = 0.0.0.0:9000
{more}
pm = static
pm.max_children = 2
"""


def environment_missing(site: Site, is_broken: bool) -> None:
    """The env_file with PORT is not read: the application listens on the port that is its default."""
    site.network("shop")
    begins = ("sh", "-c", "exec python3 /app/server.py 0.0.0.0:${PORT:-8000}")
    site.run("api", *begins, networks=("shop",), options=() if is_broken else ("-e", "PORT=3000"))
    site.until(lambda: site.listens("api"), "it listens")
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.fails() if is_broken else site.serves()


def remade(site: Site, name: str, text: str, *good: str, bad: tuple[str, ...], is_broken: bool, seen: str = "exited") -> None:
    """Start an application with the options that it needs, behind a proxy; make it anew with others, and wait for what comes."""
    site.network("shop", "--subnet", "172.29.0.0/24")
    at = ("--ip", "172.29.0.20", "--network-alias", "api", *script(f"{name}.py", text))
    command = ("python3", f"/app/{name}.py")
    site.run("api", *command, networks=("shop",), options=(*at, *good))
    site.until(lambda: site.listens("api"), "it listens")
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        site.call("rm", "-f", "api")
        site.run("api", *command, networks=("shop",), options=(*at, *bad))
        if seen == "exited":
            site.until(lambda: site.state("api") == "exited", "it has ended")
        else:
            site.until(lambda: restarts(site, "api") >= 3, "it was started again")
        site.fails(times=3)


def read_only_root(site: Site, is_broken: bool) -> None:
    """The container was made read-only, and the application writes a file as it starts."""
    bad = ("--read-only", *ALWAYS)
    remade(site, "cache", CACHE, *ALWAYS, bad=bad, is_broken=is_broken, seen="restarted")


def secret_missing(site: Site, is_broken: bool) -> None:
    """The file with the password is not there any more: the application ends as it starts, and is not started again."""
    file = Path("/run/sites/db_password")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("lab\n")
    remade(site, "secret", SECRET, "-v", f"{file}:/run/secrets/db_password:ro", bad=(), is_broken=is_broken)


def volume_of_root(site: Site, is_broken: bool) -> None:
    """The application runs as another user now, and may not write into its volume."""
    data = Path("/run/sites/data")
    data.mkdir(parents=True, exist_ok=True)
    volume = ("-v", f"{data}:/srv")
    remade(site, "volume", CACHE, *volume, bad=(*volume, "--user", "33:33"), is_broken=is_broken)


def database_not_ready(site: Site, is_broken: bool) -> None:
    """The application gave up before its database was ready, and nothing starts it again; the database is ready now."""
    site.network("shop")
    own = ("--network-alias", "api", *script("migrate.py", MIGRATE))
    late = ("sh", "-c", "sleep 8; exec python3 /app/server.py 0.0.0.0:5432")
    prompt = ("python3", "/app/server.py", "0.0.0.0:5432")
    site.run("db", *(late if is_broken else prompt), networks=("shop",))
    site.run("api", "python3", "/app/migrate.py", networks=("shop",), options=own)
    if not is_broken:
        site.until(lambda: site.listens("api"), "the application is ready")
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.until(lambda: site.listens("db"), "the database is ready")
    if is_broken:
        site.until(lambda: site.state("api") == "exited", "the application has given up")
        site.fails(times=3)
    else:
        site.serves()


def proxy_read_only(site: Site, is_broken: bool) -> None:
    """The proxy's container was made read-only, and nginx has no directory for what it buffers."""
    site.network("shop")
    site.app("api", networks=("shop",))
    places = ("--read-only", "--tmpfs", "/run", *(() if is_broken else ("--tmpfs", "/var/lib/nginx")))
    options = ("-p", "8080:80", *ALWAYS, *places)
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",), options=options, awaits=not is_broken)
    if is_broken:
        site.until(lambda: restarts(site, "edge") >= 1 or site.state("edge") == "exited", "the proxy ended")
        site.fails()
    else:
        site.serves()


def node_heap(site: Site, is_broken: bool) -> None:
    """Node.js reaches the limit of its own heap, far below the memory limit of the container."""
    site.network("shop")
    command = ("node", "--max-old-space-size=24", "/app/leak.js")
    options = ("--memory", "512m", "--network-alias", "api", *MACHINE_PROGRAMS, *script("leak.js", LEAK))
    site.run("api", *command, networks=("shop",), options=options)
    site.until(lambda: site.listens("api"), "it listens")
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        site.ask("/leak")
        site.until(lambda: site.state("api") == "exited", "it has ended")
        site.fails(times=2)


def worker_killed(site: Site, is_broken: bool) -> None:
    """The kernel kills a worker for the container's memory limit; its parent, and so the container, lives on."""
    site.network("shop")
    site.app("api", "0.0.0.0:3000", "--fork", "2", networks=("shop",), options=("--memory", "64m"))
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    for _ in range(3):
        site.ask("/hog/200" if is_broken else "/hog/1")
    site.ask(times=3)


def up_but_dead(site: Site, is_broken: bool) -> None:
    """The container runs, because its first process is a shell; the application that the shell had started has ended."""
    site.network("shop")
    begins = ("sh", "-c", "python3 /app/server.py 0.0.0.0:3000 & sleep 3600; wait")
    site.run("api", *begins, networks=("shop",))
    site.until(lambda: site.listens("api"), "it listens")
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        site.ask("/exit/3")
        site.until(lambda: not site.listens("api"), "the application has ended")
        site.fails()


def signal_lost(site: Site, is_broken: bool) -> None:
    """The entrypoint's shell keeps SIGTERM to itself: at a restart the requests that run are cut off."""
    site.network("shop", "--subnet", "172.29.0.0/24")
    begins = ("sh", "-c", "python3 /app/server.py 0.0.0.0:3000; true")
    site.run("api", *begins, networks=("shop",), options=("--ip", "172.29.0.20", "--network-alias", "api"))
    site.until(lambda: site.listens("api"), "it listens")
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves()
    if is_broken:
        ask = (
            "import sys; from why502.lab import traffic; print(traffic.request(('127.0.0.1', 8080), '/sleep/3', patience_s=12.0))"
        )
        slow = [subprocess.Popen([sys.executable, "-c", ask]) for _ in range(3)]
        site.until(lambda: "/sleep/3" in _connections(site), "the slow requests run")
        site.call("restart", "-t", "1", "api")
        for process in slow:
            process.wait(30)
        site.until(lambda: traffic.request(("127.0.0.1", 8080), "/") == 200, "it is back")
        site.ask(times=2)


def _connections(site: Site) -> str:
    """Return "/sleep/3" once three requests are under way to the application: three connections of its own."""
    tables = Path(f"/proc/{site.pid('api')}/net/tcp").read_text().splitlines()[1:]
    return "/sleep/3" if sum(line.split()[3] == "01" for line in tables) >= 3 else ""


def processor_limit(site: Site, is_broken: bool) -> None:
    """The container may use a twentieth of a processor, and its requests need a second of one."""
    site.network("shop")
    site.app("api", networks=("shop",), options=("--cpus", "0.05") if is_broken else ())
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves("/")
    if is_broken:
        site.ask("/burn/1", 3)
    else:
        site.ask("/burn/0.2", 3)


def volume_full(site: Site, is_broken: bool) -> None:
    """The file system on which the application keeps its orders is full."""
    site.network("shop")
    size = "1m" if is_broken else "64m"
    options = ("--tmpfs", f"/data:size={size}")
    site.app("api", "0.0.0.0:3000", "--file", "/data/orders", networks=("shop",), options=options)
    site.nginx("edge", "proxy_pass http://api:3000;", networks=("shop",))
    site.serves("/")
    for _ in range(4):
        site.ask("/write/2")


def socket_not_shared(site: Site, is_broken: bool) -> None:
    """The proxy's configuration names a Unix socket that is in the file system of the other container only."""
    place = Path("/run/sites/socket")
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    volume = ("-v", f"{place}:/run/app")
    site.run("api", "python3", "/app/server.py", "unix:/run/app/app.sock", options=volume)
    site.until((place / "app.sock").exists, "the socket is there")
    own = () if is_broken else volume
    site.nginx("edge", "proxy_pass http://unix:/run/app/app.sock:;", options=("-p", "8080:80", *own))
    site.fails() if is_broken else site.serves()


def socket_closed(site: Site, is_broken: bool) -> None:
    """The socket is in a shared volume, and only its owner may use it."""
    place = Path("/run/sites/socket")
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    volume = ("-v", f"{place}:/run/app")
    mode = "600" if is_broken else "666"
    site.run("api", "python3", "/app/server.py", "unix:/run/app/app.sock", "--mode", mode, options=volume)
    site.until((place / "app.sock").exists, "the socket is there")
    site.nginx("edge", "proxy_pass http://unix:/run/app/app.sock:;", options=("-p", "8080:80", *volume))
    site.fails() if is_broken else site.serves()


def fpm(site: Site, more: str, root: str, *, mounts_files: bool = True) -> None:
    """Start PHP-FPM and nginx, as two containers of a network."""
    site.network("shop")
    page = Path("/run/sites/php/index.php")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<?php echo 'ok';\n")
    program = Path("/run/sites/php-fpm.conf")
    program.write_text(POOL.format(more=more))
    mounts = ("-v", f"{program}:/srv/php-fpm.conf:ro", *(("-v", f"{page.parent}:/var/www:ro") if mounts_files else ()))
    command = (fpm_program(), "-R", "-F", "-n", "-y", "/srv/php-fpm.conf")
    site.run("php", *command, networks=("shop",), options=(*MACHINE_PROGRAMS, *mounts))
    site.until(lambda: site.listens("php"), "PHP-FPM listens")
    location = (
        f"fastcgi_pass php:9000; fastcgi_param SCRIPT_FILENAME {root}/index.php; fastcgi_param REQUEST_METHOD $request_method;"
    )
    site.nginx("edge", location, networks=("shop",), options=("-p", "8080:80", "-v", f"{page.parent}:/var/www:ro"))


def fpm_program() -> str:
    """Return the path of PHP-FPM on this machine. Raises StopIteration without one."""
    return str(next(Path("/usr/sbin").glob("php-fpm[0-9]*")))


def fpm_clients(site: Site, is_broken: bool) -> None:
    """PHP-FPM's pool accepts connections of 127.0.0.1 only, as its stock file has it, and drops the proxy's."""
    fpm(site, "listen.allowed_clients = 127.0.0.1" if is_broken else "", "/var/www")
    site.fails() if is_broken else site.serves()


def fpm_files(site: Site, is_broken: bool) -> None:
    """The pages are mounted into the proxy's container only: PHP-FPM finds no script."""
    fpm(site, "", "/var/www", mounts_files=not is_broken)
    site.fails() if is_broken else site.serves()


def port_held(site: Site, is_broken: bool) -> None:
    """A leftover process of the machine holds the port that the engine was to publish, so the container did not start."""
    if is_broken:
        machine.sh("sh", "-c", f"setsid python3 {machine.SERVER} 0.0.0.0:8081 --does close >/run/old.log 2>&1 &")
        site.until(lambda: ":8081 " in machine.sh("ss", "-Hltn"), "the old process listens")
        site.call("run", "-d", "--name", "api", "-p", "8081:3000", machine.IMAGE, *SERVE, is_checked=False)
        site.until(lambda: site.state("api") in ("created", "exited", "configured", "initialized"), "it did not start")
    else:
        site.app("api", options=("-p", "8081:3000"))
    site.host_nginx("proxy_pass http://127.0.0.1:8081;")
    site.fails() if is_broken else site.serves()


SCENES = (
    Scene("environment-missing", "without its variables it listens on another port", frozenset({"wrong-port"}),
          environment_missing, never=NO_PROCESS),
    Scene("read-only-root", "it cannot write where it must, again and again", LOOP, read_only_root),
    Scene("secret-missing", "the file with its password is gone", ENDED, secret_missing),
    Scene("volume-of-root", "its new user may not write into its volume", ENDED, volume_of_root),
    Scene("database-not-ready", "it gave up before its database was ready", ENDED | {"backend-dependency-down"},
          database_not_ready),
    Scene("proxy-read-only", "the proxy cannot write where it buffers, and does not start",
          frozenset({"proxy-not-running", "proxy-config-invalid", "proxy-temp-unwritable"}), proxy_read_only),
    Scene("node-heap", "Node.js reached its own heap limit", frozenset({"backend-crashed"}), node_heap,
          never=frozenset({"backend-oom-killed"})),
    Scene("worker-killed", "the kernel killed a worker, and the container runs on", frozenset({"backend-oom-killed"}),
          worker_killed),
    Scene("up-but-dead", "the container runs, and the application in it has ended",
          frozenset({"backend-not-running", "backend-crashed"}), up_but_dead),
    Scene("signal-lost", "a restart cut off the requests that ran", frozenset({"deploy-termination-race"}), signal_lost,
          engines=("docker",)),
    Scene("processor-limit", "its share of a processor is too small", frozenset({"cpu-saturation"}), processor_limit),
    Scene("volume-full", "the file system of its orders is full", frozenset({"disk-full"}), volume_full),
    Scene("socket-not-shared", "the Unix socket is in the other container only", frozenset(
          {"unix-socket-missing", "container-network-mismatch"}), socket_not_shared, never=NO_PROCESS),
    Scene("socket-closed", "only its owner may use the Unix socket", frozenset({"unix-socket-permission"}), socket_closed,
          never=NO_PROCESS),
    Scene("fpm-clients", "PHP-FPM accepts connections of 127.0.0.1 only", frozenset(
          {"premature-close", "connection-reset", "network-policy-denies"}), fpm_clients, never=NO_PROCESS),
    Scene("fpm-files", "PHP-FPM cannot see the pages", frozenset({"fastcgi-script-not-found"}), fpm_files, never=NO_PROCESS),
    Scene("port-held", "another process holds the port that was to be published", frozenset({"port-conflict"}), port_held),
)  # fmt: skip
