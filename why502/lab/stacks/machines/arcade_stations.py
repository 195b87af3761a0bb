"""Games of socket.io on two processes behind HAProxy with cookies and checks, and a map of stations that asks a gRPC service."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

ARCADE_HAPROXY = """\
global
    log /dev/log local0
    user haproxy
    group haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 3s
    timeout client 30s
    timeout server 8s
    timeout queue 3s
    timeout tunnel 1h
frontend arcade
    bind :80
    default_backend games
backend games
    balance leastconn
    cookie SRV insert indirect nocache
    option httpchk GET /ping
    http-check expect string pong
    server game1 127.0.0.1:5001 check inter 1s fall 2 cookie g1
    server game2 127.0.0.1:5002 check inter 1s fall 2 cookie g2
"""
ARCADE_APP = """\
const express = require('/opt/node/node_modules/express');
const { WebSocketServer } = require('/opt/node/node_modules/ws');
const { Server } = require('/opt/node/node_modules/socket.io');
const { createClient } = require('/opt/node/node_modules/redis');
if (!process.env.GAME_SEED) throw new Error('GAME_SEED is not set');
const store = createClient();
store.on('error', (error) => console.error('redis:', error.message));
store.connect();
const app = express();
app.get('/ping', (request, response) => response.send(process.env.PONG || 'pong'));
app.get('/', (request, response) => response.send('<p>play</p>'.repeat(200)));
app.get('/scores', async (request, response) => response.json({ best: await store.incr('scores') }));
app.get('/replay', (request, response) => setTimeout(() => response.send('replay '.repeat(90)), 2000));
const server = require('http').createServer(app);
new Server(server);
const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (request.url === '/table') sockets.handleUpgrade(request, socket, head, () => {});
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening on', process.env.PORT));
"""
ARCADE_UNIT = """[Unit]
Description=Game server on port %i
After=network.target redis-server.service

[Service]
User=www-data
Environment=PORT=%i
EnvironmentFile=/etc/arcade.env
ExecStart=/usr/bin/node /srv/arcade/server.js
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
ARCADE_UP = "for port in 5001 5002; do until curl -fs -o /dev/null http://127.0.0.1:$port/ping; do sleep 0.2; done; done"
ARCADE_SETUP = f"""
systemctl enable -q --now redis-server rsyslog
systemctl daemon-reload; systemctl enable -q --now arcade@5001 arcade@5002
{ARCADE_UP}
systemctl enable -q haproxy; systemctl restart haproxy
"""


def _arcade(path: str, weight: int = 1, expect: int = 200) -> Route:
    return Route(path=path, host="arcade.example", weight=weight, expect=(expect,))


TABLE = Route(path="/table", host="arcade.example", websocket=True, weight=2, expect=(101,))
GAMES_AT = frozenset({"127.0.0.1:5001", "127.0.0.1:5002", "games", "games/game1", "games/game2", "games/<NOSRV>"})
ARCADE_FAULTS = (
    Fault(
        id="arcade-maxconn-of-a-guide",
        happens="a guide for tuning sets maxconn 3 for each server; tables keep their connection for as long as a game lasts, so six players fill both, and whoever comes later waits in the queue for three seconds and gets 503 (sQ)",
        steps="sed -i 's/ check inter/ maxconn 3 check inter/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(Route(path="/table", host="arcade.example", websocket=True, weight=12, expect=(101,)),),
        users=28,
        limit_s=90.0,
        settle="test $(grep -c ' sQ' /var/log/haproxy.log) -ge 12",
        expects=causes("upstream-connection-limit"),
        targets=GAMES_AT,
    ),
    Fault(
        id="arcade-seed-not-deployed",
        happens="the deploy writes the environment without GAME_SEED: both game servers throw at their start and are started again by systemd, HAProxy has no server: 503",
        steps="echo GAME_MODE=ranked > /etc/arcade.env; systemctl restart arcade@5001 arcade@5002 || true; sleep 6",
        expects=NO_START,
        partly=causes("all-upstreams-down", "backend-not-running", "backend-crashed"),
        targets=GAMES_AT,
    ),
    Fault(
        id="arcade-redis-stopped-and-waited-for",
        happens="Redis is stopped; the client library does not fail but waits for it to come back, so the scores never answer, and HAProxy gives up after eight seconds: 504; games and tables go on",
        steps="systemctl stop redis-server",
        routes=(_arcade("/scores", 4),),
        limit_s=100.0,
        expects=causes("backend-dependency-down"),
        partly=HANGS | causes("backend-dependency-slow"),
        targets=GAMES_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="arcade-check-wants-the-old-word",
        happens="the new release answers OK to /ping, and HAProxy's check wants the word pong: both servers are taken out although they work, 503 for everybody",
        steps="echo PONG=OK >> /etc/arcade.env; systemctl restart arcade@5001; sleep 1; systemctl restart arcade@5002; "
        + ARCADE_UP,
        failures=24,
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=GAMES_AT,
    ),
    Fault(
        id="arcade-instances-renamed",
        happens="a new playbook starts the instances as arcade@5101 and arcade@5102 and disables the old ones; haproxy.cfg still names 5001 and 5002: connection refused, no server, 503",
        steps="systemctl disable -q --now arcade@5001 arcade@5002; systemctl enable -q --now arcade@5101 arcade@5102; for port in 5101 5102; do until curl -fs -o /dev/null http://127.0.0.1:$port/ping; do sleep 0.2; done; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=GAMES_AT,
    ),
    Fault(
        id="arcade-put-to-maintenance",
        happens="both servers were set to maintenance by the admin socket for a test and forgotten: 503 with two healthy servers",
        steps="python3 -c \"import socket\nfor n in '12':\n    s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(f'set server games/game{n} state maint\\n'.encode()); s.recv(999)\"",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down"),
        targets=GAMES_AT,
    ),
)

STATIONS_SITE = """\
server {
    listen 80;
    listen [::]:80;
    server_name stations.example;
    access_log /var/log/nginx/stations.access.log;
    error_log /var/log/nginx/stations.error.log;

    location / {
        proxy_pass http://127.0.0.1:8600;
        proxy_set_header Host $host;
        proxy_read_timeout 10s;
    }
}
"""
STATIONS_GRPC = """\
import os, sys, time
from concurrent import futures
import grpc


def near(request, context):
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    return b"station " * (int(request or b"10"))

handlers = grpc.method_handlers_generic_handler("stations.Map", {"Near": grpc.unary_unary_rpc_method_handler(near)})
server = grpc.server(futures.ThreadPoolExecutor(int(os.environ.get("THREADS", "8"))))
server.add_generic_rpc_handlers((handlers,))
if not server.add_insecure_port("127.0.0.1:50051"):
    sys.exit("cannot bind 127.0.0.1:50051")
server.start()
print("serving on 127.0.0.1:50051", flush=True)
server.wait_for_termination()
"""
STATIONS_WEB = """\
import grpc
from flask import Flask, request

application = Flask(__name__)
calls = {}

def near(count):
    if "near" not in calls:
        calls["near"] = grpc.insecure_channel("127.0.0.1:50051").unary_unary("/stations.Map/Near")
    return calls["near"](str(count).encode(), timeout=float(request.args.get("deadline", 6)))

@application.get("/")
def home():
    return "<p>stations</p>" * 80

@application.get("/near")
def stations():
    return near(request.args.get("count", 10))
"""


def _stations_unit(what: str, command: str) -> str:
    return f"""[Unit]
Description={what}
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/stations
EnvironmentFile=-/etc/stations.env
ExecStart={command}
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


STATIONS_UP = "until curl -fs -o /dev/null http://127.0.0.1:8600/near; do sleep 0.2; done"
STATIONS_SETUP = f"""
systemctl daemon-reload; systemctl enable -q --now stations-map stations
{STATIONS_UP}
ln -s /etc/nginx/sites-available/stations /etc/nginx/sites-enabled/stations; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""


def _stations(path: str, weight: int = 1, expect: int = 200) -> Route:
    return Route(path=path, host="stations.example", weight=weight, expect=(expect,))


STATIONS_AT = frozenset({"127.0.0.1:8600"})
MAP_AT = frozenset({"127.0.0.1:50051"})
STATIONS_FAULTS = (
    Fault(
        id="stations-map-service-stopped",
        happens="the gRPC service of maps is stopped: StatusCode.UNAVAILABLE, failed to connect to all addresses (127.0.0.1:50051), which Flask turns into 500; the front page goes on",
        steps="systemctl stop stations-map",
        routes=(_stations("/near", 3),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=STATIONS_AT | MAP_AT,
    ),
    Fault(
        id="stations-map-service-slow",
        happens="the service of maps reads its tiles from a share that became slow, each call takes twelve seconds: StatusCode.DEADLINE_EXCEEDED after six, 500",
        steps="echo SLOW_S=12 > /etc/stations.env; systemctl restart stations-map; sleep 2",
        routes=(_stations("/near", 3),),
        limit_s=100.0,
        patience_s=40.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=OWN_ERROR | causes("workers-exhausted", "backend-too-slow"),
        targets=STATIONS_AT | MAP_AT,
    ),
    Fault(
        id="stations-answer-above-the-limit",
        happens="a widget asks for all stations at once; the answer is larger than what gRPC takes unless told otherwise: RESOURCE_EXHAUSTED, Received message larger than max (4194304), 500 for that request only",
        steps="true",
        routes=(_stations("/near?count=700000", 3),),
        expects=OWN_ERROR,
        targets=STATIONS_AT,
    ),
    Fault(
        id="stations-web-frozen",
        happens="somebody stops the web service's processes with SIGSTOP for a copy of its directory and forgets to continue them: connections are accepted by the kernel, nobody answers, 504",
        steps="systemctl kill -s STOP stations",
        limit_s=100.0,
        expects=causes("backend-hung"),
        partly=causes("workers-exhausted", "backend-too-slow"),
        targets=STATIONS_AT,
    ),
    Fault(
        id="stations-package-lost-in-upgrade",
        happens="the virtual environment is rebuilt without grpcio: ModuleNotFoundError: No module named 'grpc', gunicorn's worker fails to boot, and so the whole service does not start: 502",
        steps="mv /opt/venv/lib/python3.11/site-packages/grpc /opt/venv/lib/python3.11/site-packages/grpc.old; systemctl restart stations || true; sleep 6",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed", "backend-dependency-down"),
        targets=STATIONS_AT,
    ),
)

STACKS = (
    Stack(
        name="arcade",
        about="Express with socket.io and WebSockets in two instances of a template unit behind HAProxy with a cookie for persistence and checks of the answer's text; Redis, rsyslog",
        files={
            "/etc/haproxy/haproxy.cfg": ARCADE_HAPROXY,
            "/srv/arcade/server.js": ARCADE_APP,
            "/etc/arcade.env": "GAME_SEED=1984\n",
            "/etc/systemd/system/arcade@.service": ARCADE_UNIT,
        },
        setup=ARCADE_SETUP,
        routes=(_arcade("/", 4), _arcade("/scores", 2), TABLE, _arcade("/socket.io/?EIO=4&transport=polling")),
        faults=ARCADE_FAULTS,
        calms=(
            Calm(
                id="arcade-friday-evening",
                happens="many tables are open, replays take two seconds, HAProxy is reloaded while games go on, Redis saves; scanners ask for pages that are not there",
                steps="systemctl reload haproxy; redis-cli bgsave >/dev/null",
                routes=(TABLE, _arcade("/replay"), _arcade("/admin.php", expect=404)),
                seconds=18.0,
                users=14,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="stations",
        about="Flask in gunicorn's threads on 127.0.0.1:8600 behind nginx asks a gRPC service (Python, 127.0.0.1:50051) for its map",
        files={
            "/etc/nginx/sites-available/stations": STATIONS_SITE,
            "/srv/stations/map.py": STATIONS_GRPC,
            "/srv/stations/web.py": STATIONS_WEB,
            "/etc/systemd/system/stations-map.service": _stations_unit("Map of stations", "/opt/venv/bin/python map.py"),
            "/etc/systemd/system/stations.service": _stations_unit(
                "Stations", "/opt/venv/bin/gunicorn --workers 2 --threads 8 --bind 127.0.0.1:8600 web:application"
            ),
        },
        setup=STATIONS_SETUP,
        routes=(_stations("/", 3), _stations("/near", 3)),
        faults=STATIONS_FAULTS,
        calms=(
            Calm(
                id="stations-holiday-traffic",
                happens="many ask for many stations, nginx is reloaded, logs rotate, and a robot asks for the pages of the old site",
                steps="systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(_stations("/near?count=20000", 2), _stations("/old/map.asp", expect=404)),
                seconds=16.0,
                users=12,
                cancels=True,
            ),
        ),
    ),
)
