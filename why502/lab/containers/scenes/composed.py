"""Projects as `docker compose` starts them: a proxy, Traefik or nginx, an application, and the database that it needs.

The database is a stand-in that speaks the first messages of PostgreSQL's protocol, and the application reports a failure in
libpq's words.
"""

from __future__ import annotations

from pathlib import Path

from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.lives import STOPPED, compose
from why502.lab.containers.scenes.networks import NO_PROCESS
from why502.lab.containers.scenes.traefik import DOCKER, is_routed, traefik

NETWORK = "shop_default"
STARTUP = "import struct; HELLO = struct.pack('>IIH', 10, 3 << 16, 0)\n"  # protocol 3.0, without parameters
DATABASE = STARTUP + (
    "import socket, threading\n"
    "READY = b'R' + struct.pack('>II', 8, 0) + b'Z' + struct.pack('>I', 5) + b'I'\n"
    "def serve(client):\n"
    "    with client:\n"
    "        while client.recv(1000): client.sendall(READY)\n"
    "listener = socket.create_server(('0.0.0.0', 5432))\n"
    "while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()\n"
)
STORE = STARTUP + (
    "import http.server, os, socket, sys, urllib.parse\n"
    "place = urllib.parse.urlsplit(os.environ['DATABASE_URL'])\n"
    "def ask():\n"
    "    try: found = socket.getaddrinfo(place.hostname, place.port, socket.AF_INET, socket.SOCK_STREAM)[0][4]\n"
    "    except OSError as error: return f'could not translate host name \"{place.hostname}\" to address: {error.strerror}'\n"
    "    try:\n"
    "        with socket.create_connection(found) as database:\n"
    "            database.sendall(HELLO)\n"
    "            return '' if database.recv(1000) else 'server closed the connection unexpectedly'\n"
    "    except OSError as error:\n"
    "        end = f'connection to server at \"{place.hostname}\" ({found[0]}), port {found[1]}'\n"
    "        return f'{end} failed: {os.strerror(error.errno or 0)}'\n"
    "class Answer(http.server.BaseHTTPRequestHandler):\n"
    "    protocol_version = 'HTTP/1.1'\n"
    "    def do_GET(self):\n"
    "        trouble = ask()\n"
    "        if trouble: print('psycopg2.OperationalError: ' + trouble, file=sys.stderr, flush=True)\n"
    "        body = b'error' if trouble else b'ok'\n"
    "        self.send_response(500 if trouble else 200)\n"
    "        self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)\n"
    "    def log_message(self, *_): pass\n"
    "http.server.ThreadingHTTPServer(('0.0.0.0', 3000), Answer).serve_forever()\n"
)
PATIENCE = ("--dns-opt", "timeout:1", "--dns-opt", "attempts:1")  # here no name server answers for other names
URL = "DATABASE_URL=postgresql://shop:lab@db:5432/shop"
ROUTED = (
    "--label=traefik.enable=true",
    "--label=traefik.http.routers.api.rule=Host(`shop.example`) || PathPrefix(`/`)",
    "--label=traefik.http.routers.api.entrypoints=web",
)
TO_PORT = "--label=traefik.http.services.api.loadbalancer.server.port="
NEEDS_DATABASE = "db:service_started:false"
DEPENDENCY = frozenset({"backend-dependency-down"})


def script(name: str, text: str) -> tuple[str, ...]:
    """Write a program, and return the option that shows it to a container as /app/NAME."""
    path = Path("/run/sites", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return ("-v", f"{path}:/app/{name}:ro")


def store(site: Site, *labels: str) -> None:
    """Start a database and an application that asks it for each request."""
    site.network(NETWORK)
    alias = ("--network-alias", "db")
    options = (*compose("db"), *alias, *script("database.py", DATABASE))
    site.run("shop-db-1", "python3", "/app/database.py", networks=(NETWORK,), options=options)
    site.until(lambda: site.listens("shop-db-1"), "the database listens")
    own = ("--network-alias", "api", "-e", URL, *PATIENCE, *script("store.py", STORE), *labels)
    options = (*compose("api", NEEDS_DATABASE), *own)
    site.run("shop-api-1", "python3", "/app/store.py", networks=(NETWORK,), options=options)
    site.until(lambda: site.listens("shop-api-1"), "the application listens")


def behind_nginx(site: Site) -> None:
    """Start such a project behind nginx, and send requests that are answered."""
    store(site)
    edge = ("-p", "8080:80", *compose("edge", "api:service_started:false"))
    site.nginx("shop-edge-1", "proxy_pass http://api:3000;", networks=(NETWORK,), options=edge)
    site.serves()


def database_stopped(site: Site, is_broken: bool) -> None:
    """Somebody stopped the database: its name is unknown now, and the application answers 500, or waits for name servers."""
    behind_nginx(site)
    if is_broken:
        site.call("stop", "-t", "0", "shop-db-1")
        site.until(lambda: site.ask()[0] in (500, 504), "the application fails")
        site.fails()


def database_paused(site: Site, is_broken: bool) -> None:
    """The database's container is paused: it accepts connections and never answers, and the application waits."""
    behind_nginx(site)
    if is_broken:
        site.call("pause", "shop-db-1")
        site.fails(times=3)


def behind_traefik(site: Site, *labels: str) -> None:
    """Start such a project behind Traefik, and wait until the application has its route."""
    store(site, *ROUTED, *labels)
    traefik(site, NETWORK)
    site.until(lambda: is_routed("api"), "the route is there")


def traefik_database(site: Site, is_broken: bool) -> None:
    """Somebody stopped the database behind Traefik's application."""
    behind_traefik(site, f"{TO_PORT}3000")
    site.serves()
    if is_broken:
        site.call("stop", "-t", "0", "shop-db-1")
        site.until(lambda: site.ask()[0] == 500, "the application fails")
        site.fails()


def traefik_port(site: Site, is_broken: bool) -> None:
    """The label names another port than the one on which the application listens."""
    behind_traefik(site, f"{TO_PORT}{8000 if is_broken else 3000}")
    site.fails() if is_broken else site.serves()


def traefik_stopped(site: Site, is_broken: bool) -> None:
    """Somebody stopped the application: Traefik forgets its route, and answers 404."""
    behind_traefik(site, f"{TO_PORT}3000")
    site.serves()
    if is_broken:
        site.call("stop", "-t", "0", "shop-api-1")
        site.until(lambda: site.ask()[0] == 404, "the route is gone")
        site.fails()


SCENES = (
    Scene("compose-database-stopped", "the application's database was stopped", DEPENDENCY, database_stopped),
    Scene(
        "compose-database-paused",
        "the application's database accepts connections and never answers",
        DEPENDENCY | {"backend-dependency-slow"},
        database_paused,
    ),
    Scene("traefik-database-stopped", "the database of Traefik's application was stopped", DEPENDENCY, traefik_database, DOCKER),
    Scene(
        "traefik-port-label", "the label names a port that nothing listens on", frozenset({"wrong-port"}), traefik_port, DOCKER,
        never=NO_PROCESS,
    ),
    Scene("traefik-stopped", "Traefik's application was stopped, and its route is gone", STOPPED, traefik_stopped, DOCKER),
)  # fmt: skip
