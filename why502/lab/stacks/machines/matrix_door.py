"""A chat server with workers by path behind nginx, and Caddy that asks a sign-on (forward_auth) before a wiki on a socket and a store of files."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

MATRIX_SITE = """\
upstream synchrotron {
    hash $http_authorization consistent;
    server 127.0.0.1:8083;
    server 127.0.0.1:8084;
}
upstream media {
    server 127.0.0.1:8085;
}
server {
    listen 80;
    listen 8448;
    server_name matrix.example;
    access_log /var/log/nginx/matrix.access.log;
    error_log /var/log/nginx/matrix.error.log;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    client_max_body_size 50M;

    location ~ ^/_matrix/client/(r0|v3)/sync$ {
        proxy_pass http://synchrotron;
        proxy_read_timeout 60s;
    }
    location ~ ^/_matrix/client/v3/rooms/.*/send {
        proxy_pass http://synchrotron;
        proxy_read_timeout 15s;
    }
    location /_matrix/media {
        proxy_pass http://media;
        proxy_read_timeout 15s;
    }
    location /_matrix {
        proxy_pass http://127.0.0.1:8008;
        proxy_read_timeout 15s;
    }
    location /.well-known/matrix/server {
        return 200 '{"m.server": "matrix.example:8448"}';
    }
}
"""
MATRIX_APP = """\
import asyncio, json, logging, os, sys
import aiohttp, psycopg2.pool
from aiohttp import web

logging.basicConfig(level=logging.INFO, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
config = json.load(open(sys.argv[1]))
kind, port = config["worker_app"], config["port"]
base = psycopg2.pool.ThreadedConnectionPool(1, 5, "dbname=matrix user=matrix")
routes = web.RouteTableDef()

def ask(words):
    connection = base.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(words)
            return cursor.fetchall()
    finally:
        base.putconn(connection)

def search():
    connection = base.getconn()
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from events")
        if config.get("search_leaks"):  # the release forgets to give it back
            return cursor.fetchone()
    base.putconn(connection)

@routes.get("/_matrix/client/v3/sync")
async def sync(request):
    await asyncio.to_thread(ask, "select id, body from events order by id desc limit 10")
    await asyncio.sleep(int(request.query.get("timeout", 0)) / 1000)
    return web.json_response({"next_batch": "s72594_4483_1934", "rooms": ["!a:matrix.example"] * 20})

@routes.put("/_matrix/client/v3/rooms/{room}/send")
async def send(request):
    async with aiohttp.ClientSession() as session:
        async with session.post(f"http://127.0.0.1:{config['replication_port']}/_replication/send") as answer:
            return web.json_response(await answer.json())

@routes.get("/_matrix/client/versions")
async def versions(request):
    return web.json_response({"versions": [f"v1.{n}" for n in range(12)]})

@routes.get("/_matrix/client/v3/publicRooms")
async def rooms(request):
    return web.json_response(await asyncio.to_thread(ask, "select id, body from events limit 20"))

@routes.get("/_matrix/client/v3/search")
async def find(request):
    await asyncio.to_thread(search)
    return web.json_response({"count": 1})

@routes.get("/_matrix/media/v3/download/{name}")
async def download(request):
    if request.match_info["name"] == "animated.webp":
        os.abort()  # the library of pictures does this
    return web.Response(body=b"x" * 60_000, content_type="image/png")

@routes.post("/_replication/send")
async def replicate(request):
    await asyncio.to_thread(ask, "insert into events (body) values ('hello') returning id")
    return web.json_response({"event_id": "$1"})

async def main():
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    if kind == "homeserver":
        await web.TCPSite(runner, "127.0.0.1", config["replication_port"]).start()
    logging.info("%s now listening on TCP port %d", kind, port)
    await asyncio.Event().wait()

asyncio.run(main())
"""
MATRIX_UNIT = """[Unit]
Description=Chat server, %i
After=network.target postgresql.service

[Service]
User=matrix
ExecStart=/opt/venv/bin/python /srv/matrix/server.py /etc/matrix/%i.json
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


def _worker(kind: str, port: int) -> str:
    return f'{{"worker_app": "{kind}", "port": {port}, "replication_port": 9093}}\n'


MATRIX_PROCESSES = {"homeserver": 8008, "sync1": 8083, "sync2": 8084, "media": 8085}
MATRIX_UP = "; ".join(
    f"until curl -fs -o /dev/null http://127.0.0.1:{port}/_matrix/client/versions; do sleep 0.2; done"
    for port in MATRIX_PROCESSES.values()
)
MATRIX_SETUP = f"""
systemctl start postgresql@15-main
useradd --system matrix
sudo -u postgres psql -q -c 'create role matrix login' -c 'create database matrix owner matrix'
sudo -u matrix psql -q matrix <<SQL
create table events (id serial primary key, body text);
insert into events (body) select 'message ' || n from generate_series(1, 2000) n;
SQL
systemctl daemon-reload; systemctl enable -q --now {" ".join(f"matrix@{name}" for name in MATRIX_PROCESSES)}
{MATRIX_UP}
ln -s /etc/nginx/sites-available/matrix /etc/nginx/sites-enabled/matrix; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""


def _matrix(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0, who: int = 1, port: int = 80) -> Route:
    headers = {"Authorization": f"Bearer syt_{who}"}
    return Route(
        path=path, host="matrix.example", weight=weight, method=method, body_bytes=body_bytes, headers=headers, port=port
    )


MATRIX_SYNC = "/_matrix/client/v3/sync"
MATRIX_SEND = "/_matrix/client/v3/rooms/a/send"
SYNC_AT = frozenset({"127.0.0.1:8083", "127.0.0.1:8084", "synchrotron"})
MATRIX_DB_AT = frozenset({"unix:/var/run/postgresql/.s.PGSQL.5432", "unix:/run/postgresql/.s.PGSQL.5432"})
MATRIX_FAULTS = (
    Fault(
        id="matrix-timeouts-made-uniform",
        happens="a tidy-up gives every location five seconds; clients ask /sync to be held open for twelve, so every quiet room is a 504, while the worker would have answered",
        steps="sed -i 's/proxy_read_timeout 60s/proxy_read_timeout 5s/' /etc/nginx/sites-available/matrix; systemctl reload nginx",
        routes=(_matrix(MATRIX_SYNC + "?timeout=12000", 4), _matrix(MATRIX_SYNC + "?timeout=12000", 4, who=7)),
        limit_s=90.0,
        expects=causes("proxy-timeout-too-short"),
        partly=causes("backend-too-slow", "workers-exhausted", "backend-hung"),
        targets=SYNC_AT,
    ),
    Fault(
        id="matrix-workers-not-enabled",
        happens="after the move to workers only the main process was enabled; since the reboot both sync workers are down (inactive), and nobody receives messages: 502, no live upstreams",
        steps="systemctl disable -q matrix@sync1 matrix@sync2; systemctl stop matrix@sync1 matrix@sync2",
        expects=causes("backend-not-running", "all-upstreams-down"),
        targets=SYNC_AT,
    ),
    Fault(
        id="matrix-replication-port-moved",
        happens="the main process listens for its workers on 9193 now, and their files still say 9093: nobody can send (500 from the worker, Cannot connect to host 127.0.0.1:9093), reading goes on",
        steps="sed -i 's/9093/9193/' /etc/matrix/homeserver.json; systemctl restart matrix@homeserver; " + MATRIX_UP,
        routes=(_matrix(MATRIX_SEND, 4, "PUT"), _matrix(MATRIX_SEND, 4, "PUT", who=7)),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=SYNC_AT | {"127.0.0.1:9093"},
    ),
    Fault(
        id="matrix-vacuum-full-at-noon",
        happens="an administrator reclaims space with the table locked exclusively (as VACUUM FULL does) at noon: all that read or write messages wait for it (504), and when the five connections of a pool wait, the next requests get its own error (500)",
        steps="systemd-run -q --uid=postgres psql matrix -c 'begin; lock table events in access exclusive mode; select pg_sleep(600)'; sleep 1",
        routes=(_matrix("/_matrix/client/v3/publicRooms", 4),),
        limit_s=120.0,
        patience_s=40.0,
        settle="test $(grep -c '\" 504 ' /var/log/nginx/matrix.access.log) -ge 3",
        expects=causes("backend-dependency-slow"),
        partly=HANGS | OWN_ERROR | causes("proxy-timeout-too-short"),
        targets=SYNC_AT | MATRIX_DB_AT | {"127.0.0.1:8008"},
    ),
    Fault(
        id="matrix-picture-that-kills",
        happens="one animated picture makes the media worker's library abort; systemd starts it after two seconds, and the next client that opens the room kills it again",
        steps="true",
        routes=(_matrix("/_matrix/media/v3/download/animated.webp"), _matrix("/_matrix/media/v3/download/cat.png", 3)),
        failures=16,
        limit_s=90.0,
        settle="test $(systemctl show -P NRestarts matrix@media) -ge 3",
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("premature-close", "connection-reset", "backend-not-running", "deploy-termination-race"),
        targets=frozenset({"127.0.0.1:8085", "media"}),
    ),
    Fault(
        id="matrix-comma-in-the-file",
        happens="a comma is lost in the main process's file before a restart: JSONDecodeError at each start, systemd tries every two seconds; workers go on, everything else is 502",
        steps="sed -i 's/8008,/8008/' /etc/matrix/homeserver.json; systemctl restart matrix@homeserver; sleep 6",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=frozenset({"127.0.0.1:8008"}),
    ),
    Fault(
        id="matrix-search-keeps-connections",
        happens="a release forgets to give a connection back after a search: after five searches the pool is empty (PoolError: connection pool exhausted), and whatever asks the database is 500 there",
        steps='sed -i \'s/"port": 8008/"search_leaks": true, "port": 8008/\' /etc/matrix/homeserver.json; systemctl restart matrix@homeserver; '
        + MATRIX_UP,
        routes=(_matrix("/_matrix/client/v3/search", 3),),
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down"),
        targets=frozenset({"127.0.0.1:8008"}),
        settle="test $(tail -n 30 /var/log/nginx/matrix.access.log | grep -c '\" 500 ') -ge 8",
    ),
    Fault(
        id="matrix-firewall-without-loopback",
        happens="a new nftables.conf drops what is not named (ssh, 80, 8448) and forgets the loopback: nginx's connections to every process on 127.0.0.1 meet silence, 504",
        steps="sed -i 's/proxy_read_timeout 15s;/proxy_read_timeout 15s; proxy_connect_timeout 4s;/; s/proxy_read_timeout 60s;/proxy_read_timeout 60s; proxy_connect_timeout 4s;/' /etc/nginx/sites-available/matrix; systemctl reload nginx; printf 'flush ruleset\\ntable inet filter {\\n chain input {\\n type filter hook input priority 0; policy drop;\\n ct state established,related accept\\n tcp dport { 22, 80, 8448 } accept\\n icmp type echo-request accept\\n }\\n}\\n' > /etc/nftables.conf; nft -f /etc/nftables.conf",
        limit_s=100.0,
        expects=causes("connect-timeout", "network-policy-denies"),
        targets=SYNC_AT | {"127.0.0.1:8008", "127.0.0.1:8085", "media"},
    ),
)

DOOR_CADDYFILE = """\
{
    auto_https off
}
(door) {
    forward_auth 127.0.0.1:9091 {
        uri /verify
        copy_headers Remote-User
        transport http {
            dial_timeout 3s
            response_header_timeout 7s
        }
    }
}
http://wiki.example {
    log {
        output file /var/log/caddy/wiki.log
    }
    import door
    reverse_proxy unix//run/wiki/wiki.sock {
        transport http {
            dial_timeout 3s
            response_header_timeout 9s
        }
    }
}
http://files.example {
    log {
        output file /var/log/caddy/files.log
    }
    import door
    reverse_proxy 127.0.0.1:5572
}
http://auth.example {
    log {
        output file /var/log/caddy/auth.log
    }
    reverse_proxy 127.0.0.1:9091
}
"""
DOOR_AUTH = """\
import asyncio, hashlib, os
import redis.asyncio as redis
from aiohttp import web

store = redis.Redis(host="127.0.0.1", port=6379)
SECRET = os.environ["DOOR_SECRET"]

async def verify(request):
    session = request.cookies.get("door")
    if not session:
        raise web.HTTPFound("http://auth.example/login")
    name, _, mark = session.partition(".")
    if mark != hashlib.sha256((name + SECRET).encode()).hexdigest()[:8]:
        raise ValueError(f"cannot decrypt the session of {name}: wrong key")
    await store.incr(f"seen:{name}")
    return web.Response(text="ok", headers={"Remote-User": name})

async def login(request):
    return web.Response(text="<form>name and password</form>" * 20, content_type="text/html")

app = web.Application()
app.add_routes([web.get("/verify", verify), web.get("/login", login)])
web.run_app(app, host="127.0.0.1", port=9091)
"""
DOOR_AUTH_UNIT = """[Unit]
Description=Sign-on
After=network.target redis-server.service

[Service]
DynamicUser=yes
EnvironmentFile=/etc/door.env
ExecStart=/opt/venv/bin/python /srv/door/auth.py
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
DOOR_WIKI = """\
import time
from flask import Flask, request

app = Flask(__name__)

@app.get("/")
def home():
    return f"<p>wiki of {request.headers.get('Remote-User')}</p>" * 40

@app.get("/export")
def export():
    time.sleep(float(request.args.get("s", 1)))
    return "page " * 300
"""
DOOR_WIKI_UNIT = """[Unit]
Description=Wiki
After=network.target

[Service]
User=wiki
Group=caddy
RuntimeDirectory=wiki
WorkingDirectory=/srv/wiki
Environment=PERMS=660
ExecStart=/opt/venv/bin/waitress-serve --threads 6 --unix-socket /run/wiki/wiki.sock --unix-socket-perms ${PERMS} wiki:app
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
DOOR_FILES_UNIT = """[Unit]
Description=Files
After=network.target

[Service]
User=www-data
Environment=RCLONE_CONFIG=/dev/null
EnvironmentFile=/etc/files.env
ExecStart=/usr/bin/rclone serve http /srv/files --addr ${ADDR} $MORE
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
DOOR_WIKI_UP = "until curl -fs -o /dev/null --unix-socket /run/wiki/wiki.sock http://wiki/; do sleep 0.2; done"
DOOR_SETUP = f"""
useradd --system wiki
systemctl enable -q --now redis-server
mkdir -p /srv/files /var/log/caddy; chown caddy: /var/log/caddy; head -c 200000 /dev/urandom | base64 > /srv/files/minutes.txt
systemctl daemon-reload; systemctl enable -q --now door wiki files
{DOOR_WIKI_UP}; until curl -fs -o /dev/null http://127.0.0.1:9091/login && curl -fs -o /dev/null http://127.0.0.1:5572/; do sleep 0.2; done
systemctl enable -q --now caddy
"""
DOOR_COOKIE = "door=anna.2f489002"


def _door(host: str, path: str = "/", weight: int = 1, cookie: bool = True, expect: int = 200) -> Route:
    return Route(
        path=path, host=f"{host}.example", weight=weight, headers={"Cookie": DOOR_COOKIE} if cookie else {}, expect=(expect,)
    )


AUTH_AT = frozenset({"127.0.0.1:9091"})
WIKI_AT = frozenset({"unix:/run/wiki/wiki.sock"})
FILES_AT = frozenset({"127.0.0.1:5572"})
DOOR_FAULTS = (
    Fault(
        id="door-sign-on-stopped",
        happens="the sign-on was stopped for an update and not started again: Caddy cannot ask it, and wiki and files, which are well, are 502 for everybody",
        steps="systemctl stop door",
        expects=causes("backend-not-running", "auth-service-failed"),
        targets=AUTH_AT,
    ),
    Fault(
        id="door-sessions-frozen",
        happens="Redis, which holds the sessions, is stopped in its tracks (a debugger was attached): the sign-on waits for it, and Caddy gives up on the sign-on after seven seconds (504)",
        steps="kill -STOP $(systemctl show -P MainPID redis-server)",
        limit_s=100.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=HANGS | causes("auth-service-failed", "proxy-timeout-too-short"),
        targets=AUTH_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="door-socket-mode-of-the-wiki",
        happens="a role of the configuration management sets the wiki's socket to mode 600: Caddy is in the group and not the owner, permission denied, 502; files go on",
        steps="sed -i 's/PERMS=660/PERMS=600/' /etc/systemd/system/wiki.service; systemctl daemon-reload; systemctl restart wiki; "
        + DOOR_WIKI_UP,
        settle="test $(grep -c 'permission denied' /var/log/caddy/wiki.log) -ge 8 || journalctl -u caddy -o cat | grep -c 'permission denied' | grep -qE '^([89]|[1-9][0-9])'",
        expects=causes("unix-socket-permission"),
        targets=WIKI_AT,
    ),
    Fault(
        id="door-files-with-a-certificate",
        happens="the store of files gets a certificate of its own (--cert, --key), and the Caddyfile still speaks plain HTTP: Client sent an HTTP request to an HTTPS server, 400 for each file",
        steps="openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=files -keyout /etc/files.key -out /etc/files.pem 2>/dev/null; chown www-data /etc/files.key; echo 'MORE=--cert /etc/files.pem --key /etc/files.key' >> /etc/files.env; systemctl restart files; until curl -fsk -o /dev/null https://127.0.0.1:5572/; do sleep 0.2; done",
        routes=(_door("files", "/minutes.txt", 5),),
        failures=0,
        settle="test $(grep -c '\"status\":400' /var/log/caddy/files.log) -ge 16",
        expects=causes("wrong-protocol"),
        partly=OWN_ERROR,
        targets=FILES_AT,
    ),
    Fault(
        id="door-wiki-module-renamed",
        happens="a clean-up renames wiki.py to app.py before the unit knows: waitress says ModuleNotFoundError and ends, again and again; its socket is gone with it",
        steps="mv /srv/wiki/wiki.py /srv/wiki/app.py; rm -rf /srv/wiki/__pycache__; systemctl restart wiki || true; sleep 5",
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crashed"),
        targets=WIKI_AT,
    ),
    Fault(
        id="door-reload-refused",
        happens="the files move to port 5573; the Caddyfile is changed for it with a directive misspelt, so `systemctl reload caddy` fails, and Caddy runs on with the old port: connection refused",
        steps="sed -i 's/5572/5573/' /etc/files.env /etc/caddy/Caddyfile; sed -i 's/response_header_timeout 9s/respond_header_timeout 9s/' /etc/caddy/Caddyfile; systemctl restart files; systemctl reload caddy || true; until curl -fs -o /dev/null http://127.0.0.1:5573/; do sleep 0.2; done",
        routes=(_door("files", "/minutes.txt", 4),),
        expects=causes("proxy-config-invalid", "proxy-config-not-loaded"),
        partly=causes("wrong-port", "backend-not-running"),
        targets=FILES_AT,
    ),
    Fault(
        id="door-secret-rotated",
        happens="the secret of the sign-on is rotated, and every old cookie makes it raise (cannot decrypt the session, wrong key): it answers 500, which Caddy hands to the visitor of wiki and files",
        steps="echo DOOR_SECRET=autumn > /etc/door.env; systemctl restart door; until curl -fs -o /dev/null http://127.0.0.1:9091/login; do sleep 0.2; done",
        settle="test $(grep -c '\"status\":500' /var/log/caddy/wiki.log) -ge 8",
        expects=OWN_ERROR | causes("auth-service-failed"),
        targets=AUTH_AT,
    ),
)

STACKS = (
    Stack(
        name="matrix",
        about="a chat server of aiohttp in a main process and three workers (instances of one template unit, ports by path, one group hashed by token) behind nginx, PostgreSQL with peer authentication",
        files={
            "/etc/nginx/sites-available/matrix": MATRIX_SITE,
            "/srv/matrix/server.py": MATRIX_APP,
            "/etc/systemd/system/matrix@.service": MATRIX_UNIT,
            **{f"/etc/matrix/{name}.json": _worker(name, port) for name, port in MATRIX_PROCESSES.items()},
        },
        setup=MATRIX_SETUP,
        routes=(
            _matrix(MATRIX_SYNC + "?timeout=600", 3),
            _matrix(MATRIX_SYNC + "?timeout=600", 3, who=7),
            _matrix(MATRIX_SEND, 1, "PUT"),
            _matrix("/_matrix/client/v3/publicRooms"),
            _matrix("/_matrix/client/versions", port=8448),
            _matrix("/_matrix/media/v3/download/cat.png"),
        ),
        faults=MATRIX_FAULTS,
        calms=(
            Calm(
                id="matrix-quiet-rooms",
                happens="most polls are held open for eight seconds and come to nothing, phones break some of them off; nginx is reloaded, logs rotate",
                steps="logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
                routes=(
                    _matrix(MATRIX_SYNC + "?timeout=8000", 5),
                    _matrix(MATRIX_SYNC + "?timeout=8000", 5, who=7),
                    _matrix("/_matrix/client/v3/pushers"),
                ),
                seconds=20.0,
                users=12,
                cancels=True,
            ),
            Calm(
                id="matrix-release-with-drain",
                happens="a release of the sync workers: one after the other is taken out of the group, restarted when its clients have gone, and put back",
                steps='for port in 8083 8084; do sed -i "s/:$port;/:$port down;/" /etc/nginx/sites-available/matrix; nginx -t 2>/dev/null; systemctl reload nginx; sleep 3; systemctl restart matrix@sync$((port - 8082)); until curl -fs -o /dev/null http://127.0.0.1:$port/_matrix/client/versions; do sleep 0.2; done; sed -i "s/ down;/;/" /etc/nginx/sites-available/matrix; systemctl reload nginx; sleep 1; done',
                seconds=16.0,
            ),
        ),
    ),
    Stack(
        name="door",
        about="Caddy asks a sign-on (aiohttp, Redis) by forward_auth before a wiki in waitress on a unix socket and a store of files (rclone)",
        files={
            "/etc/caddy/Caddyfile": DOOR_CADDYFILE,
            "/etc/door.env": "DOOR_SECRET=summer\n",
            "/etc/files.env": "ADDR=127.0.0.1:5572\n",
            "/srv/door/auth.py": DOOR_AUTH,
            "/srv/wiki/wiki.py": DOOR_WIKI,
            "/etc/systemd/system/door.service": DOOR_AUTH_UNIT,
            "/etc/systemd/system/wiki.service": DOOR_WIKI_UNIT,
            "/etc/systemd/system/files.service": DOOR_FILES_UNIT,
        },
        setup=DOOR_SETUP,
        routes=(
            _door("wiki", "/", 4),
            _door("files", "/minutes.txt", 3),
            _door("auth", "/login"),
            _door("wiki", "/export?s=0.2"),
        ),
        faults=DOOR_FAULTS,
        calms=(
            Calm(
                id="door-before-work",
                happens="many have no session yet and are sent to the sign-on (302), some ask for pages that are not there, exports take two seconds, Caddy is reloaded, Redis saves",
                steps="systemctl reload caddy; redis-cli bgsave >/dev/null",
                routes=(
                    _door("wiki", "/", 3, cookie=False, expect=302),
                    _door("wiki", "/export?s=2"),
                    _door("files", "/old/index.php", expect=404),
                ),
                seconds=18.0,
                users=10,
                cancels=True,
            ),
        ),
    ),
)
