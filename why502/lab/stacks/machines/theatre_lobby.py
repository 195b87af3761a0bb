"""A server-rendered site in PM2's fork mode behind Apache, and FastAPI with WebSockets behind nginx and HAProxy."""

from __future__ import annotations

from why502.lab.stacks.machines.balancers import ADMIN, HAPROXY_GLOBAL
from why502.lab.stacks.machines.node import PM2, PM2_SETUP
from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")

SSR = """\
const fs = require('fs');
const manifest = JSON.parse(fs.readFileSync('./build/manifest.json', 'utf8'));
const http = require('http');
const express = require('express');
const { WebSocketServer } = require('ws');
const app = express();
const page = (title) => `<html><head><script src="${manifest.entry}"></script></head><body>${('<p>' + title + '</p>').repeat(60)}</body></html>`;
app.get('/', (request, response) => response.send(page('Theatre')));
app.get('/seats', (request, response) => setTimeout(() => response.send(page('Seats')), 1500));
app.get('/play', async (request, response) => {
  const answer = await fetch(process.env.BOX_OFFICE + '/prices', { headers: { Authorization: 'Bearer ' + process.env.BOX_TOKEN } });
  if (answer.ok) return response.send(page('Play, ' + (await answer.text())));
  console.error(`box office answered ${answer.status} ${answer.statusText}`);
  response.status(502).json({ error: 'Bad Gateway', detail: 'box office: ' + answer.status });
});
const server = http.createServer(app);
new WebSocketServer({ server, path: '/live' });
server.listen(Number(process.env.PORT || 5173), process.env.HOST || '127.0.0.1', () => console.log('listening'));
process.on('SIGINT', () => process.exit(0));
"""
BOX_OFFICE = """\
import http.server, os

class Prices(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == "Bearer " + open("/etc/box-office.token").read().strip()
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(b"from 12" if known else b"no")

http.server.ThreadingHTTPServer(("127.0.0.1", 4100), Prices).serve_forever()
"""
SSR_SITE = """\
<VirtualHost *:80>
    ServerName theatre.example
    ProxyPreserveHost On
    ProxyTimeout 8
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} =websocket [NC]
    RewriteRule ^/live$ ws://127.0.0.1:3000/live [P,L]
    ProxyPass / http://127.0.0.1:3000/ retry=5
    ProxyPassReverse / http://127.0.0.1:3000/
    ErrorLog ${APACHE_LOG_DIR}/theatre-error.log
    CustomLog ${APACHE_LOG_DIR}/theatre-access.log combined
</VirtualHost>
"""
ECOSYSTEM = """\
module.exports = { apps: [{ name: 'theatre', cwd: '/srv/shop/current', script: 'server.js', exec_mode: 'fork', min_uptime: 2000, max_restarts: 8,
  env: { PORT: 3000, HOST: 'web1', NODE_PATH: '/opt/node/node_modules', BOX_OFFICE: 'http://127.0.0.1:4100', BOX_TOKEN: 'curtain' } }] };
"""
SSR_SETUP = (
    "ln -s releases/1 /srv/shop/current; echo curtain > /etc/box-office.token; systemctl enable --now box-office\n"
    + PM2_SETUP
    + """
until curl -fs -o /dev/null http://127.0.0.1:3000/play; do sleep 0.1; done
a2enmod -q proxy proxy_http proxy_wstunnel rewrite; a2dissite -q 000-default; a2ensite -q theatre
systemctl enable --now apache2
"""
)
THEATRE = "theatre.example"
SSR_AT = frozenset({"127.0.0.1:3000"})
AGAIN = f"{PM2} delete theatre; {PM2} start /srv/shop/ecosystem.config.js"
NEVER_UP = causes("backend-startup-failure", "backend-crash-loop")
SSR_FAULTS = (
    Fault(
        id="theatre-wrong-directory",
        happens="somebody starts the site by hand from a home directory (pm2 start /srv/shop/current/server.js): ./build/manifest.json is not there, PM2 starts it again and again",
        steps=f"{PM2} delete theatre; cd /home/node; {PM2} start /srv/shop/current/server.js --name theatre || true",
        settle=f"{PM2} jlist | grep -qE '\"restart_time\":[1-9][0-9]'",
        expects=NEVER_UP,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=SSR_AT,
    ),
    Fault(
        id="theatre-hosts-of-installer",
        happens="cloud-init writes /etc/hosts anew at a boot (127.0.1.1 web1); Node.js, told to listen on web1, is on 127.0.1.1 now, Apache asks 127.0.0.1",
        steps=f"printf '127.0.0.1 localhost\\n127.0.1.1 web1\\n::1 localhost ip6-localhost\\n' > /etc/hosts; {PM2} restart theatre",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "wrong-port"),
        targets=SSR_AT,
    ),
    Fault(
        id="theatre-memory-restart",
        happens="max_memory_restart: '40M' comes with a guide for small machines; the site needs more at rest, so PM2 ends and starts it at each of its checks",
        steps="sed -i \"s/exec_mode/max_memory_restart: '40M', exec_mode/\" /srv/shop/ecosystem.config.js; sed -i 's#PM2_HOME=/home/node/.pm2#PM2_HOME=/home/node/.pm2 PM2_WORKER_INTERVAL=4000#' /etc/systemd/system/pm2-node.service; "
        "systemctl daemon-reload; systemctl restart pm2-node",
        failures=60,
        limit_s=90.0,
        expects=causes("backend-crash-loop"),
        partly=causes(
            "backend-not-running",
            "backend-crashed",
            "memory-pressure",
            "backend-oom-killed",
            "circuit-breaker-open",
            "all-upstreams-down",
        ),
        targets=SSR_AT,
    ),
    Fault(
        id="theatre-box-office-stopped",
        happens="the box office is stopped; fetch rejects in an async handler, PM2's wrapper only logs that, and the page of a play is never answered",
        steps="systemctl stop box-office",
        expects=causes("backend-dependency-down"),
        partly=causes("backend-hung", "backend-too-slow"),
        targets=SSR_AT,
    ),
    Fault(
        id="theatre-release-of-root",
        happens="the deploy ran as root with umask 077: the new release is closed for PM2's user, and the site does not start again",
        steps="umask 077; cp -r /srv/shop/releases/1 /srv/shop/releases/2; ln -sfn releases/2 /srv/shop/current; "
        + AGAIN
        + " || true",
        settle=f'! {PM2} jlist | grep -q \'"status":"online"\'',
        expects=NEVER_UP,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=SSR_AT,
    ),
    Fault(
        id="theatre-rewrite-disabled",
        happens="a clean-up disables mod_rewrite, which a tool called unused; Apache does not start at its next restart (Invalid command 'RewriteEngine')",
        steps="a2dismod -q -f rewrite; systemctl restart apache2 || true",
        expects=causes("proxy-not-running", "proxy-config-invalid", "proxy-module-missing"),
    ),
    Fault(
        id="theatre-token-rotated",
        happens="the box office's token was rotated, the site's was not: the site itself answers 502 with a JSON body on the page of a play",
        steps="echo balcony > /etc/box-office.token",
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down"),
        targets=SSR_AT,
    ),
)

LOBBY_APP = """\
import os
import redis.asyncio as redis
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
store = redis.Redis(host="127.0.0.1")

@app.get("/healthz")
async def health():
    return {"status": "ok"}

@app.get("/")
async def home():
    return {"visits": await store.incr("visits"), "port": os.environ["PORT"]}

@app.get("/rooms")
async def rooms():
    return {"rooms": ["room %d" % n for n in range(200)]}

@app.websocket("/ws")
async def chat(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass
"""
LOBBY_UNIT = """[Unit]
Description=Lobby on port %i
After=network.target redis-server.service

[Service]
User=www-data
Environment=PORT=%i
RuntimeDirectory=lobby-%i
WorkingDirectory=/srv/lobby
ExecStart=/opt/venv/bin/uvicorn lobby:app --host 127.0.0.1 --port %i --log-level info --timeout-graceful-shutdown 5
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
LOBBY_HAPROXY = (
    HAPROXY_GLOBAL
    + """
defaults
    log global
    mode http
    option httplog
    option redispatch
    timeout connect 2s
    timeout queue 2s
    timeout client 30s
    timeout server 6s
    timeout tunnel 1h

frontend local
    bind 127.0.0.1:8080
    default_backend chat

backend chat
    balance roundrobin
    server blue 127.0.0.1:8101 check inter 1s
    server green 127.0.0.1:8102 check inter 1s
"""
)
LOBBY_SITE = """\
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
limit_req_zone $binary_remote_addr zone=rooms:1m rate=40r/s;
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_set_header Host $host;
proxy_read_timeout 15s;
server {
    listen 80 default_server;
    location = /ws { proxy_pass http://127.0.0.1:8080; }
    location / { return 301 https://$host$request_uri; }
}
server {
    listen 443 ssl;
    server_name lobby.example;
    ssl_certificate /etc/ssl/lobby/fullchain.pem;
    ssl_certificate_key /etc/ssl/lobby/privkey.pem;
    access_log /var/log/nginx/lobby.log;
    error_log /var/log/nginx/lobby.error.log;
    location / {
        limit_req zone=rooms burst=5 nodelay;
        limit_req_status 429;
        proxy_pass http://127.0.0.1:8080;
    }
}
"""
CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {chain} -days 90 -subj '/CN={name}' 2>/dev/null\n"
LOBBY_BOTH = "until curl -fs -o /dev/null http://127.0.0.1:8101/healthz && curl -fs -o /dev/null http://127.0.0.1:8102/healthz; do sleep 0.1; done"
LOBBY_SETUP = (
    "mkdir -p /etc/ssl/lobby; cd /etc/ssl/lobby; "
    + CERTIFICATE.format(key="privkey.pem", chain="fullchain.pem", name="lobby.example")
    + "systemctl start redis-server\nsystemctl enable --now lobby@8101 lobby@8102\n"
    + LOBBY_BOTH
    + """
systemctl enable --now rsyslog haproxy
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/lobby /etc/nginx/sites-enabled/lobby
systemctl enable --now nginx
"""
)
LOBBY = "lobby.example"
WS = Route(path="/ws", host=LOBBY, websocket=True, expect=(101,))
LOBBY_AT = frozenset({"127.0.0.1:8101", "127.0.0.1:8102", "chat", "blue", "green", "chat/blue", "chat/green"})
LOBBY_CFG = "/etc/haproxy/haproxy.cfg"
LOBBY_FAULTS = (
    Fault(
        id="lobby-green-stands-still",
        happens="one of two processes stands still (SIGSTOP by a debugger that was left); HAProxy's check only connects, which the kernel answers: half of the requests get 504",
        steps="kill -STOP $(systemctl show -p MainPID --value lobby@8102)",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted"),
        targets=frozenset({"127.0.0.1:8102", "green", "chat/green"}),
    ),
    Fault(
        id="lobby-switch-half-done",
        happens="the release script takes green into maintenance, drains blue too early, and dies: HAProxy has no server to send to, both are fine",
        steps=f"{ADMIN} 'set server chat/green state maint'; {ADMIN} 'set server chat/blue state drain'",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down", "no-upstream-members"),
    ),
    Fault(
        id="lobby-socket-outside-chroot",
        happens="the release moves from ports to unix sockets in /run; HAProxy lives in a chroot and finds no such file",
        steps=f"sed -i 's#--host 127.0.0.1 --port %i#--uds /run/lobby-%i/app.sock#' /etc/systemd/system/lobby@.service; systemctl daemon-reload; systemctl restart lobby@8101 lobby@8102; "
        f"sed -i -E 's#127.0.0.1:(810[12]) check#unix@/run/lobby-\\1/app.sock check#' {LOBBY_CFG}; systemctl reload haproxy",
        expects=causes("unix-socket-missing"),
        partly=causes("all-upstreams-down", "unix-socket-permission", "backend-not-running"),
    ),
    Fault(
        id="lobby-sockets-hold-maxconn",
        happens="maxconn 3 for each server was meant for short requests; open WebSockets hold them, everybody else leaves HAProxy's queue with 503",
        steps=f"sed -i 's/check inter 1s/check inter 1s maxconn 3/' {LOBBY_CFG}; systemctl reload haproxy",
        routes=(Route(path="/ws", host=LOBBY, websocket=True, weight=12),),
        users=30,
        failures=25,
        expects=causes("upstream-connection-limit"),
        partly=causes("workers-exhausted", "backend-too-slow"),
        targets=LOBBY_AT,
    ),
    Fault(
        id="lobby-firewall-limits-new",
        happens="a rule against floods rejects new connections to the application's ports above two a second, also from HAProxy itself",
        steps="nft 'table inet guard { chain in { type filter hook input priority 0; tcp dport 8101-8102 ct state new limit rate over 2/second burst 2 packets reject with tcp reset; }; }'",
        expects=causes("connect-rejected"),
        partly=causes("backend-not-running", "all-upstreams-down", "network-policy-denies"),
        targets=LOBBY_AT,
    ),
    Fault(
        id="lobby-redis-made-replica",
        happens="a failover script makes Redis a replica of a host that is gone: READONLY for each write, the home page is 500 while /healthz is content",
        steps="redis-cli config set replica-read-only yes >/dev/null; redis-cli replicaof 203.0.113.99 6379 >/dev/null",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=LOBBY_AT | {"127.0.0.1:8080"},
    ),
    Fault(
        id="lobby-key-of-old-certificate",
        happens="the renewal hook copies the new chain and not its key; nginx is restarted at night and refuses: key values mismatch",
        steps="cd /etc/ssl/lobby; "
        + CERTIFICATE.format(key="/root/new.key", chain="fullchain.pem", name=LOBBY).strip()
        + "; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
)

STACKS = (
    Stack(
        name="theatre",
        about="a server-rendered site of Node.js in PM2's fork mode (cwd is a release) behind Apache, a box office that it asks, WebSockets",
        files={
            "/srv/shop/releases/1/server.js": SSR,
            "/srv/shop/releases/1/build/manifest.json": '{"entry": "/assets/entry-8c1f.js"}\n',
            "/srv/shop/ecosystem.config.js": ECOSYSTEM,
            "/srv/box-office.py": BOX_OFFICE,
            "/etc/systemd/system/box-office.service": "[Service]\nUser=nobody\nExecStart=/usr/bin/python3 /srv/box-office.py\n[Install]\nWantedBy=multi-user.target\n",
            "/etc/apache2/sites-available/theatre.conf": SSR_SITE,
        },
        setup=SSR_SETUP,
        routes=(
            Route(path="/", host=THEATRE, weight=4),
            Route(path="/play", host=THEATRE, weight=3),
            Route(path="/live", host=THEATRE, websocket=True, expect=(101,)),
        ),
        faults=SSR_FAULTS,
        calms=(
            Calm(
                id="theatre-premiere",
                happens="seats take 1.5 s, WebSockets come and go, Apache reloads gracefully, PM2 reopens its logs, scanners get 404, users break off",
                steps=f"{PM2} reloadLogs; systemctl reload apache2",
                routes=(Route(path="/seats", host=THEATRE, weight=3), Route(path="/wp-login.php", host=THEATRE, weight=2)),
                cancels=True,
            ),
            Calm(
                id="theatre-newsletter-errored",
                happens="a newsletter's worker, which no gateway asks, fails at each start and is `errored` in PM2; the site is well",
                steps=f"echo 'throw new Error(\"SMTP_URL is not set\")' > /srv/shop/newsletter.js; {PM2} start /srv/shop/newsletter.js --name newsletter || true",
                seconds=12,
            ),
        ),
        ready_s=30.0,
    ),
    Stack(
        name="lobby",
        about="FastAPI with WebSockets in two uvicorn processes behind HAProxy (checks that only connect) behind nginx with TLS, Redis",
        files={
            "/srv/lobby/lobby.py": LOBBY_APP,
            "/etc/systemd/system/lobby@.service": LOBBY_UNIT,
            LOBBY_CFG: LOBBY_HAPROXY,
            "/etc/nginx/sites-available/lobby": LOBBY_SITE,
        },
        setup=LOBBY_SETUP,
        routes=(
            Route(path="/", host=LOBBY, port=443, tls=True, weight=4),
            Route(path="/rooms", host=LOBBY, port=443, tls=True, weight=2),
            WS,
        ),
        faults=LOBBY_FAULTS,
        calms=(
            Calm(
                id="lobby-blue-green",
                happens="a switch as it should be: green is drained over HAProxy's socket, restarted, put back, then blue; HAProxy and nginx reload",
                steps="".join(
                    f"{ADMIN} 'set server chat/{name} state drain'; sleep 3; systemctl restart lobby@{port}; {LOBBY_BOTH}; {ADMIN} 'set server chat/{name} state ready'; sleep 2; "
                    for name, port in (("green", 8102), ("blue", 8101))
                )
                + "systemctl reload haproxy; systemctl reload nginx",
                seconds=14,
            ),
            Calm(
                id="lobby-evening",
                happens="Redis saves, a monitor asks over plain HTTP (301), an eager client is limited with 429, scanners get 404, users break off",
                steps="redis-cli bgsave >/dev/null",
                routes=(
                    Route(path="/", host=LOBBY, weight=2),
                    Route(path="/.git/config", host=LOBBY, port=443, tls=True, weight=2),
                ),
                cancels=True,
            ),
        ),
        ready_s=30.0,
    ),
)
