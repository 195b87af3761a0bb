"""Daphne with Channels and Redis, uvicorn under limits, waitress and aiohttp under supervisord,
and PgBouncer between Flask and PostgreSQL.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, POSTGRES, site, unit

CHANNELS = """\
import os, time
import django
from django.conf import settings
settings.configure(
    SECRET_KEY=os.environ["DJANGO_SECRET"], ALLOWED_HOSTS=["*"], ROOT_URLCONF="asgi", INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [("127.0.0.1", 6379)]}}},
    LOGGING={"version": 1, "disable_existing_loggers": False, "handlers": {"out": {"class": "logging.StreamHandler"}}, "root": {"handlers": ["out"], "level": "WARNING"}},
)
django.setup()
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("chat", self.channel_name)
        await self.accept()

def page(request):
    return HttpResponse("chat " * 100)

def history(request):
    time.sleep(float(request.GET.get("seconds", 6)))
    return HttpResponse("history")

urlpatterns = [path("", page), path("rooms/", page), path("history/", history)]
application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([path("ws/chat/", Chat.as_asgi())])})
"""
CHANNELS_SITE = """
    location / {
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $host;
        proxy_read_timeout 20s;
        proxy_pass http://daphne;
    }
"""
CHANNELS_HEAD = """
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
}
upstream daphne {
    server unix:/srv/chat/daphne.sock;
}
"""
CHANNELS_UNIT = """[Unit]
Description=Daphne
After=network.target redis-server.service

[Service]
User=www-data
WorkingDirectory=/srv/chat
Environment=DJANGO_SECRET=abc
ExecStart=/opt/venv/bin/daphne -u /srv/chat/daphne.sock --http-timeout 60 asgi:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
DAPHNE_AT = frozenset({"unix:/srv/chat/daphne.sock", "daphne"})
CHANNELS_FAULTS = (
    Fault(
        id="channels-redis-stopped",
        happens="Redis, the channel layer, is stopped: every WebSocket fails in its handshake, the pages are fine",
        steps="systemctl stop redis-server",
        failures=8,
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status", "premature-close"),
        targets=DAPHNE_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="channels-directory-owner",
        happens="the socket's directory was made root's in a deploy; after a kill Daphne cannot make its socket again",
        steps="chown root: /srv/chat; systemctl kill -s KILL daphne || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing", "port-conflict", "unix-socket-permission"),
        targets=DAPHNE_AT,
    ),
    Fault(
        id="channels-http-timeout",
        happens="Daphne's --http-timeout is 3 s in the new unit, a page needs 6 s: Daphne answers 503 itself",
        steps="sed -i 's/--http-timeout 60/--http-timeout 3/' /etc/systemd/system/daphne.service; systemctl daemon-reload; systemctl restart daphne",
        routes=(Route(path="/history/", weight=5),),
        failures=10,
        settle="test $(grep -c ' 503 ' /var/log/nginx/shop.access.log) -ge 8",
        expects=causes("worker-timeout", "upstream-error-status", "backend-too-slow"),
        partly=causes("application-error", "deploy-termination-race"),
        targets=DAPHNE_AT,
    ),
    Fault(
        id="channels-threads-busy",
        happens="the history blocks Django's one sync thread for 25 s; every page that needs it waits",
        steps="true",
        routes=(Route(path="/history/?seconds=25", weight=5),),
        patience_s=40,
        failures=5,
        limit_s=80,
        expects=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
        partly=causes("proxy-timeout-too-short"),
        targets=DAPHNE_AT,
    ),
)

FEED = """\
import asyncio, os
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path = scope["path"]
    if path == "/slow":
        await asyncio.sleep(5)
    if path == "/hold":
        kept.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(4):
            kept.append(os.open("/dev/null", os.O_RDONLY))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"feed " * 200})
kept = []
"""
FEED_UNIT = """[Unit]
Description=Feed
After=network.target

[Service]
DynamicUser=yes
WorkingDirectory=/srv/feed
ExecStart=/opt/venv/bin/uvicorn feed:application --host 127.0.0.1 --port 5000 --no-access-log
Restart=always
RestartSec=3

[Install]
WantedBy=multi-user.target
"""
FEED_SITE = """
    location / {
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_connect_timeout 4s;
        proxy_read_timeout 7s;
        proxy_pass http://feed;
    }
"""
FEED_HEAD = "upstream feed {\n    server 127.0.0.1:5000 max_fails=0;\n    keepalive 4;\n}\n"
FEED_AT = frozenset({"127.0.0.1:5000", "feed"})
FEED_AGAIN = (
    "systemctl daemon-reload; systemctl restart feed; until curl -fs -o /dev/null http://127.0.0.1:5000/; do sleep 0.1; done; "
)
FEED_FILE = "/etc/systemd/system/feed.service"
FEED_FAULTS = (
    Fault(
        id="uvicorn-limit-concurrency",
        happens="--limit-concurrency 6 was added against overload; uvicorn answers 503 to what is above",
        steps=f"sed -i 's/--no-access-log/--no-access-log --limit-concurrency 6/' {FEED_FILE}; {FEED_AGAIN}",
        routes=(Route(path="/slow", weight=20),),
        users=20,
        failures=30,
        settle="test $(grep -c ' 503 ' /var/log/nginx/shop.access.log) -ge 25",
        expects=causes("workers-exhausted", "upstream-error-status"),
        partly=causes("application-error", "backend-too-slow", "deploy-termination-race"),
        targets=FEED_AT,
    ),
    Fault(
        id="uvicorn-limit-max-requests",
        happens="--limit-max-requests 60 against a leak, with one process: it ends itself every few seconds and systemd waits 3 s before it starts it again",
        steps=f"sed -i 's/--no-access-log/--no-access-log --limit-max-requests 60/' {FEED_FILE}; {FEED_AGAIN}",
        failures=30,
        settle="test $(systemctl show -p NRestarts --value feed) -ge 2",
        expects=causes("backend-crash-loop", "backend-crashed"),
        partly=causes("backend-not-running", "deploy-termination-race", "premature-close", "connection-reset"),
        targets=FEED_AT,
    ),
    Fault(
        id="uvicorn-descriptors",
        happens="the application leaks descriptors up to LimitNOFILE=80; it can accept no more connections (Too many open files)",
        steps=f"sed -i 's/^Restart=always/Restart=always\\nLimitNOFILE=80/' {FEED_FILE}; {FEED_AGAIN}",
        routes=(Route(path="/hold", weight=4),),
        failures=14,
        expects=causes("too-many-open-files", "backend-hung", "application-error"),
        partly=causes(
            "backend-too-slow",
            "workers-exhausted",
            "listen-backlog-overflow",
            "upstream-error-status",
            "premature-close",
            "connection-reset",
        ),
        targets=FEED_AT,
    ),
    Fault(
        id="uvicorn-banned-by-script",
        happens="a home-made ban script puts 127.0.0.1 into nftables' set of bad addresses; new connections to the application are dropped",
        steps="nft -f - <<'X'\ntable inet ban {\n set bad { type ipv4_addr; }\n chain in { type filter hook input priority -5; ip saddr @bad tcp dport != { 22, 53 } ct state new drop; }\n}\nX\n"
        "nft add element inet ban bad '{ 127.0.0.1, 198.51.100.7 }'",
        expects=causes("connect-timeout", "network-policy-denies"),
        targets=FEED_AT,
    ),
    Fault(
        id="uvicorn-temp-owner-after-user-change",
        happens="nginx runs as `nginx` as in the packages of nginx.org, and the configuration management makes /var/lib/nginx www-data's again: larger uploads cannot be spooled",
        steps="useradd --system nginx; sed -i 's/^user .*/user nginx;/' /etc/nginx/nginx.conf; systemctl reload nginx; sleep 1; "
        "chown -R www-data: /var/lib/nginx; chmod 700 /var/lib/nginx /var/lib/nginx/*",
        routes=(Route(path="/import", method="POST", body_bytes=300_000, weight=6),),
        expects=causes("proxy-temp-unwritable"),
        targets=frozenset(),
    ),
)

WORKER = """\
import asyncio, os
from aiohttp import web

async def page(request):
    return web.Response(text="page " * 100)

async def push(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        pass
    return socket

async def receive(request):
    return web.Response(text=str(len(await request.read())))

app = web.Application(client_max_size=8 << 20)
app.add_routes([web.get("/", page), web.get("/rooms", page), web.get("/push", push), web.post("/receive", receive)])
web.run_app(app, path=os.environ["SOCKET"], access_log=None, handle_signals=True)
"""
LEGACY = """\
import time
from waitress import serve

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.endswith("/wait"):
        time.sleep(4)
    if path.endswith("/broken"):
        raise RuntimeError("template missing: invoice.html")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"legacy " * 100]

serve(application, host="127.0.0.1", port=6543, threads=4, connection_limit=100, max_request_body_size=1 << 20)
"""
SUPERVISED = """\
[program:push]
command=/opt/venv/bin/python /srv/push/push.py
user=www-data
environment=SOCKET="/run/push/push.sock"
autorestart=true
startsecs=3
startretries=1
stdout_logfile=/var/log/push/push.log
redirect_stderr=true
stopasgroup=true

[program:legacy]
command=/opt/venv/bin/python /srv/push/legacy.py
user=www-data
autorestart=unexpected
startsecs=1
startretries=3
stdout_logfile=/var/log/push/legacy.log
redirect_stderr=true
"""
SUPERVISED_SITE = """
    location /legacy/ {
        proxy_pass http://127.0.0.1:6543;
        proxy_read_timeout 9s;
    }
    location / {
        proxy_pass http://unix:/run/push/push.sock:;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        client_max_body_size 4m;
    }
"""
PUSH_AT = frozenset({"unix:/run/push/push.sock"})
LEGACY_AT = frozenset({"127.0.0.1:6543"})
SUPERVISED_FAULTS = (
    Fault(
        id="supervised-log-directory-gone",
        happens="a clean-up removes /var/log/push; supervisord is restarted by an upgrade, and cannot open the programs' logs",
        steps="rm -rf /var/log/push; systemctl restart supervisor || true",
        expects=causes("backend-startup-failure", "backend-crash-loop", "backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=PUSH_AT | LEGACY_AT,
    ),
    Fault(
        id="supervised-run-directory-gone",
        happens="/run/push was made by hand, and /run is empty after a reboot: the program cannot make its socket and is FATAL; the old one runs",
        steps="supervisorctl stop push; rm -rf /run/push; supervisorctl start push || true",
        settle="grep -q FATAL <(supervisorctl status push)",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=PUSH_AT,
    ),
    Fault(
        id="supervised-exited-as-expected",
        happens="the legacy program exits with status 0 on SIGTERM of a script; autorestart=unexpected leaves it EXITED",
        steps="sed -i 's/^serve/import signal, os; signal.signal(signal.SIGTERM, lambda *a: os._exit(0))\\nserve/' /srv/push/legacy.py; supervisorctl restart legacy; "
        "until curl -fs -o /dev/null http://127.0.0.1:6543/; do sleep 0.1; done; sleep 2; kill $(supervisorctl pid legacy)",
        expects=causes("backend-not-running"),
        partly=causes("backend-crashed"),
        targets=LEGACY_AT,
    ),
    Fault(
        id="supervised-waitress-threads",
        happens="four threads of waitress, and a rush on a page of 4 s: the queue grows until nginx gives up",
        steps="true",
        routes=(Route(path="/legacy/wait", weight=40),),
        users=30,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung", "proxy-timeout-too-short"),
        targets=LEGACY_AT,
    ),
    Fault(
        id="supervised-legacy-raises",
        happens="a template is missing after the deploy; waitress answers 500 on that page",
        steps="true",
        routes=(Route(path="/legacy/broken", weight=5),),
        expects=causes("application-error", "upstream-error-status"),
        targets=LEGACY_AT,
    ),
)

POOLED = """\
import os
import psycopg2
from flask import Flask, jsonify
app = Flask(__name__)

def rows(query):
    connection = psycopg2.connect("host=127.0.0.1 port=6432 dbname=shop user=shop password=hunter22 connect_timeout=30")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()

@app.get("/")
def home():
    return jsonify(rows("select * from products limit 20"))

@app.get("/about")
def about():
    return "about " * 50

@app.errorhandler(psycopg2.Error)
def failed(error):
    app.logger.error("database: %s", error)
    return "service unavailable", 503
"""
BOUNCER = """\
[databases]
shop = host=127.0.0.1 port=5432 dbname=shop

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
unix_socket_dir =
auth_type = plain
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = session
default_pool_size = 6
query_wait_timeout = 4
max_client_conn = 50
logfile = /var/log/postgresql/pgbouncer.log
admin_users = postgres
"""
POOLED_SITE = "    location / {\n        include proxy_params;\n        proxy_read_timeout 9s;\n        proxy_pass http://127.0.0.1:8008;\n    }\n"
POOLED_AT = frozenset({"127.0.0.1:8008", "127.0.0.1:6432", "127.0.0.1:5432"})
POOLED_FAULTS = (
    Fault(
        id="pgbouncer-pool-held",
        happens="six forgotten sessions (reports, idle in transaction) hold the whole pool; the others get query_wait_timeout, and pages answer 503",
        steps="for n in 1 2 3 4 5 6; do systemd-run -q --unit=report$n -E PGPASSWORD=hunter22 psql -h 127.0.0.1 -p 6432 -U shop shop -c 'select pg_sleep(900)'; done; sleep 1",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status", "workers-exhausted", "backend-too-slow", "backend-hung"),
        targets=POOLED_AT,
    ),
    Fault(
        id="pgbouncer-userlist-emptied",
        happens="the new userlist.txt lacks the application's user; PgBouncer refuses its log-in, and pages answer 503",
        steps='echo \'"postgres" "x"\' > /etc/pgbouncer/userlist.txt; systemctl restart pgbouncer',
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status"),
        targets=POOLED_AT,
    ),
    Fault(
        id="pgbouncer-paused",
        happens="PAUSE was sent to PgBouncer for a failover and RESUME never came: each query waits",
        steps="sudo -u postgres env PGPASSWORD=x psql -h 127.0.0.1 -p 6432 -U postgres pgbouncer -c 'PAUSE shop'",
        failures=8,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status", "workers-exhausted", "backend-too-slow", "backend-hung"),
        targets=POOLED_AT,
    ),
)

STACKS = (
    Stack(
        name="channels",
        about="Django Channels in Daphne on a unix socket behind nginx, Redis as channel layer; WebSockets and pages",
        files={
            "/srv/chat/asgi.py": CHANNELS,
            "/etc/systemd/system/daphne.service": CHANNELS_UNIT,
            "/etc/nginx/sites-available/shop": site(CHANNELS_SITE, CHANNELS_HEAD),
        },
        setup="chown -R www-data: /srv/chat\nsystemctl enable --now redis-server daphne\n" + ENABLE_SITE,
        routes=(
            Route(path="/", weight=4),
            Route(path="/rooms/", weight=3),
            Route(path="/ws/chat/", websocket=True, expect=(101,), weight=2),
        ),
        faults=CHANNELS_FAULTS,
        calms=(
            Calm(
                id="channels-chatting",
                happens="WebSockets come and go while nginx reloads; a history of 3 s",
                steps="systemctl reload nginx; sleep 4; systemctl reload nginx",
                routes=(Route(path="/history/?seconds=3"),),
                seconds=14,
            ),
        ),
    ),
    Stack(
        name="uvicorn-limits",
        about="one uvicorn process under a dynamic user behind nginx with keepalive",
        files={
            "/srv/feed/feed.py": FEED,
            FEED_FILE: FEED_UNIT,
            "/etc/nginx/sites-available/shop": site(FEED_SITE, FEED_HEAD),
        },
        setup="systemctl enable --now feed\n" + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3), Route(path="/import", method="POST", body_bytes=2000)),
        faults=FEED_FAULTS,
        calms=(
            Calm(
                id="uvicorn-firewall-on",
                happens="ufw is enabled with ssh and http allowed; an Apache that nobody uses waits on port 8089; a unit fails each minute",
                steps="ufw allow 80/tcp >/dev/null; ufw allow 22/tcp >/dev/null; ufw --force enable >/dev/null || true; sed -i 's/80/8089/' /etc/apache2/ports.conf; a2dissite -q 000-default; "
                "systemctl start apache2; systemd-run -q --unit=fetch-rates --on-active=1 --on-unit-active=3 /bin/false || true",
                routes=(Route(path="/slow", weight=2),),
                seconds=12,
            ),
        ),
    ),
    Stack(
        name="supervised",
        about="aiohttp on a unix socket and waitress on a port, both in supervisord, behind nginx",
        files={
            "/srv/push/push.py": WORKER,
            "/srv/push/legacy.py": LEGACY,
            "/etc/supervisor/conf.d/push.conf": SUPERVISED,
            "/etc/nginx/sites-available/shop": site(SUPERVISED_SITE),
        },
        setup="mkdir -p /run/push /var/log/push; chown www-data: /run/push\nsystemctl enable --now supervisor\n" + ENABLE_SITE,
        routes=(
            Route(path="/", weight=4),
            Route(path="/legacy/", weight=4),
            Route(path="/push", websocket=True, expect=(101,)),
            Route(path="/receive", method="POST", body_bytes=50_000),
        ),
        faults=SUPERVISED_FAULTS,
        calms=(
            Calm(
                id="supervised-busy",
                happens="a slow page that is allowed, 413 for a large upload, a program of supervisord that is stopped on purpose",
                steps="printf '[program:import]\\ncommand=/bin/sleep 999\\nautostart=false\\n' > /etc/supervisor/conf.d/import.conf; supervisorctl update",
                routes=(Route(path="/legacy/wait"), Route(path="/receive", method="POST", body_bytes=50_000, weight=3)),
                seconds=12,
                users=5,
            ),
        ),
    ),
    Stack(
        name="pgbouncer",
        about="Flask behind nginx; PgBouncer between it and PostgreSQL",
        files={
            "/srv/shop/app.py": POOLED,
            "/etc/pgbouncer/pgbouncer.ini": BOUNCER,
            "/etc/pgbouncer/userlist.txt": '"shop" "hunter22"\n"postgres" "x"\n',
            "/etc/systemd/system/shop.service": unit(
                "/opt/venv/bin/gunicorn -k gthread --threads 8 --workers 1 --bind 127.0.0.1:8008 app:app", kind="notify"
            ),
            "/etc/nginx/sites-available/shop": site(POOLED_SITE),
        },
        setup=POSTGRES + "systemctl enable --now pgbouncer shop\n" + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=POOLED_FAULTS,
        calms=(
            Calm(
                id="pgbouncer-reload",
                happens="PgBouncer reloads its configuration, PostgreSQL analyzes, scanners get 404",
                steps="systemctl reload pgbouncer; sudo -u postgres psql -qc 'vacuum analyze' shop",
                routes=(Route(path="/admin", weight=3),),
                seconds=10,
            ),
        ),
    ),
)
