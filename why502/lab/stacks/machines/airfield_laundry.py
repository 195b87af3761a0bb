"""Two services of Node.js under PM2 behind Caddy, and a HAProxy with TLS that speaks HTTP/2 to hardened instances of FastAPI."""

from __future__ import annotations

from why502.lab.stacks.machines.balancers import HAPROXY_GLOBAL
from why502.lab.stacks.machines.node import PM2
from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import MARIADB

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

AIRFIELD_APP = """\
const express = require('express');
const mysql = require('mysql2/promise');
const pool = mysql.createPool({ socketPath: '/run/mysqld/mysqld.sock', user: 'shop', password: process.env.DB_PASSWORD || 'hunter22', database: 'shop', connectionLimit: 3 });
const app = express();
const kept = [];
app.get('/', (request, response) => response.send('<p>flights of today</p>'.repeat(80)));
app.get('/flights', async (request, response, next) => {
  try { const [rows] = await pool.query('select name from products limit 30'); response.json(rows); } catch (error) { next(error); }
});
app.get('/manifest', async (request, response) => {
  const link = await pool.getConnection();
  const [rows] = await link.query('select count(*) as n from products');
  response.json(rows);
});
app.get('/weather', (request, response) => setTimeout(() => response.send('clear '.repeat(200)), 1600));
app.get('/gate', (request, response) => setTimeout(() => response.send(request.query.number.padStart(3, '0')), 15));
app.get('/radar', (request, response) => {
  for (let n = 0; n < 30; n++) kept.push(new Array(40000).fill(n + 0.25));
  response.send('radar ' + kept.length);
});
app.use((error, request, response, next) => { console.error(error); response.status(500).send('error'); });
app.listen(Number(process.env.PORT || 3000), '127.0.0.1');
"""
TOWER_APP = """\
const http = require('http');
http.createServer((request, response) => {
  if (process.env.SITE && request.headers.host !== process.env.SITE) { response.writeHead(421); return response.end('not my site'); }
  response.end('tower '.repeat(100));
}).listen(Number(process.env.PORT || 3000), '127.0.0.1');
"""
AIRFIELD_ECOSYSTEM = """\
module.exports = { apps: [
  { name: 'airfield', cwd: '/srv/airfield', script: '/srv/airfield/server.js', instances: 2, exec_mode: 'cluster', node_args: '', env: { PORT: 4300, NODE_PATH: '/opt/node/node_modules' } },
  { name: 'tower', cwd: '/srv/airfield', script: '/srv/airfield/tower.js', exec_mode: 'fork', env: { PORT: 4310 } },
] };
"""
AIRFIELD_PM2 = """[Unit]
Description=PM2 of node
After=network.target mariadb.service

[Service]
Type=forking
User=node
Environment=PATH=/opt/node/node_modules/.bin:/usr/bin:/bin PM2_HOME=/home/node/.pm2
PIDFile=/home/node/.pm2/pm2.pid
ExecStart=/opt/node/node_modules/.bin/pm2 start /srv/airfield/ecosystem.config.js
ExecStop=/opt/node/node_modules/.bin/pm2 kill
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
CADDYFILE = "{\n    auto_https off\n}\nimport sites/*.caddy\n"
AIRFIELD_CADDY = """\
http://air.example {
    log {
        output file /var/log/caddy/air.log
    }
    reverse_proxy /tower* 127.0.0.1:4310
    reverse_proxy 127.0.0.1:4300 {
        transport http {
            dial_timeout 2s
            response_header_timeout 9s
        }
    }
}
"""
AIRFIELD_UP = "until curl -fs -o /dev/null http://127.0.0.1:4300/flights && curl -fs -o /dev/null http://127.0.0.1:4310/; do sleep 0.2; done"
AIRFIELD_SETUP = (
    MARIADB
    + f"""
useradd --system --create-home --shell /bin/bash node; chown -R node: /srv/airfield
systemctl daemon-reload; systemctl enable -q --now pm2-air
{AIRFIELD_UP}
systemctl enable -q --now caddy
"""
)
AIR = "air.example"
AIR_AT, TOWER_AT = frozenset({"127.0.0.1:4300"}), frozenset({"127.0.0.1:4310"})
AIR_SITE, AIR_PM2 = "/etc/caddy/sites/air.caddy", "/srv/airfield/ecosystem.config.js"
AIR_AGAIN = f"{PM2} delete all >/dev/null; {PM2} start {AIR_PM2} >/dev/null"


def _air(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=AIR, weight=weight)


AIRFIELD_FAULTS = (
    Fault(
        id="airfield-caddy-not-reloaded",
        happens="the site moves to port 4400, in PM2's file and in Caddy's; PM2 is started anew, and nobody reloads Caddy",
        steps=f"sed -i 's/4300/4400/' {AIR_PM2} {AIR_SITE}; {AIR_AGAIN}; until curl -fs -o /dev/null http://127.0.0.1:4400/flights; do sleep 0.2; done",
        expects=causes("proxy-config-not-loaded"),
        partly=causes("wrong-port", "backend-not-running"),
        targets=AIR_AT,
    ),
    Fault(
        id="airfield-port-with-another-name",
        happens="the new ecosystem file calls the variable APP_PORT, which the site does not know: it listens on 3000 as without any",
        steps=f"sed -i 's/PORT: 4300/APP_PORT: 4300/' {AIR_PM2}; {AIR_AGAIN}; until curl -fs -o /dev/null http://127.0.0.1:3000/flights; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=AIR_AT,
    ),
    Fault(
        id="airfield-password-of-staging",
        happens="DB_PASSWORD of staging comes with the ecosystem file: `Access denied for user 'shop'@'localhost'`, 500 for the flights",
        steps=f"sed -i \"s/PORT: 4300/DB_PASSWORD: 'staging', PORT: 4300/\" {AIR_PM2}; {AIR_AGAIN}; until curl -fs -o /dev/null http://127.0.0.1:4300/; do sleep 0.2; done",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=AIR_AT | {"unix:/run/mysqld/mysqld.sock"},
    ),
    Fault(
        id="airfield-connections-never-released",
        happens="the page of the manifest takes a connection of the pool and never gives it back; after three of them in each worker, pages that ask the database wait for ever, and Caddy gives up after nine seconds",
        steps="true",
        routes=(_air("/manifest", 2),),
        failures=16,
        limit_s=120.0,
        expects=causes("backend-hung", "backend-too-slow"),
        partly=causes("workers-exhausted", "proxy-timeout-too-short", "backend-dependency-slow"),
        targets=AIR_AT,
    ),
    Fault(
        id="airfield-gate-without-number",
        happens="a link without `?number=`: TypeError in a timer's callback ends the worker, PM2 starts it again, and requests of others are cut",
        steps="true",
        routes=(_air("/gate", 3),),
        failures=16,
        limit_s=90.0,
        expects=causes("backend-crashed"),
        partly=causes("backend-crash-loop", "premature-close", "connection-reset", "backend-not-running"),
        targets=AIR_AT,
    ),
    Fault(
        id="airfield-radar-fills-heap",
        happens="node_args gets --max-old-space-size=48 for a smaller machine; the radar page keeps its images, and the workers abort (heap out of memory), one after the other",
        steps=f"sed -i \"s/node_args: ''/node_args: '--max-old-space-size=48'/\" {AIR_PM2}; {AIR_AGAIN}; {AIRFIELD_UP}",
        routes=(_air("/radar", 5),),
        failures=8,
        limit_s=150.0,
        settle="grep -q 'heap out of memory' /home/node/.pm2/logs/*error*.log /home/node/.pm2/pm2.log",
        expects=causes("backend-crashed"),
        partly=causes("backend-oom-killed", "backend-crash-loop", "premature-close", "connection-reset", "backend-not-running"),
        targets=AIR_AT,
    ),
    Fault(
        id="airfield-tower-knows-one-host",
        happens="the tower's service answers only to its own name since its release (SITE=tower.example), and Caddy passes on air.example: 421 for all of the tower",
        steps=f"sed -i \"s/PORT: 4310/SITE: 'tower.example', PORT: 4310/\" {AIR_PM2}; {AIR_AGAIN}; {AIRFIELD_UP.replace('curl -fs -o /dev/null http://127.0.0.1:4310/', 'ss -ltn | grep -q 127.0.0.1:4310')}",
        routes=(_air("/tower/log", 4),),
        failures=0,
        settle="test $(grep -c '\"status\":421' /var/log/caddy/air.log) -ge 12",
        expects=causes("wrong-host-header"),
        partly=OWN_ERROR,
        targets=TOWER_AT,
    ),
)

LAUNDRY_APP = """\
import asyncio, os, pathlib
import redis.asyncio as redis
from fastapi import FastAPI, Response

app = FastAPI()
store = redis.Redis(host="127.0.0.1", socket_connect_timeout=2)

@app.get("/")
async def home():
    return {"orders": await store.incr("orders")}

@app.get("/prices")
async def prices():
    return {"prices": list(range(300))}

@app.get("/healthz")
async def health():
    await store.ping()
    return {"ok": True}

@app.post("/tickets")
async def tickets():
    pathlib.Path("/srv/laundry/spool/ticket-%s" % os.environ["PORT"]).write_text("shirt")
    return {"ticket": True}

@app.get("/ledger")
async def ledger():
    await asyncio.sleep(9)
    return {"ledger": list(range(500))}

@app.get("/route")
async def tour():
    await asyncio.sleep(2.5)
    return {"tour": list(range(200))}
"""
LAUNDRY_UNIT = """[Unit]
Description=Laundry on port %i
After=network.target redis-server.service

[Service]
DynamicUser=yes
Environment=PORT=%i
WorkingDirectory=/srv/laundry
ExecStart=/opt/venv/bin/hypercorn --bind 127.0.0.1:%i --access-logfile - laundry:app
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths=/srv/laundry/spool
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
LAUNDRY_HAPROXY = (
    HAPROXY_GLOBAL
    + """
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 3s
    timeout client 30s
    timeout server 20s
    timeout queue 5s

frontend https
    bind :443 ssl crt /etc/haproxy/certs/ alpn h2,http/1.1
    acl is_pay path_beg /pay
    use_backend pay if is_pay
    default_backend laundry

backend laundry
    balance roundrobin
    option httpchk
    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host laundry.example
    default-server proto h2 check inter 1s fall 2 rise 1
    server drum1 127.0.0.1:8401
    server drum2 127.0.0.1:8402

backend pay
    server bank 203.0.113.1:8443 ssl verify required ca-file /etc/haproxy/bank-ca.pem
"""
)
BANK_OUTSIDE = r"""
mkdir -p /tmp/laundry-bank && mount -t tmpfs -o mode=755 laundry-bank /tmp/laundry-bank && cd /tmp/laundry-bank
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=Bank-CA -keyout ca.key -out ca.pem 2>/dev/null
cat > pay.py <<'X'
import http.server, ssl, sys
class Pay(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "600"); self.end_headers(); self.wfile.write(b"paid! " * 100)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("203.0.113.1", 8443), Pay)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("bank.pem", "bank.key")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
X
cat > issue <<'X'
openssl req -newkey rsa:2048 -nodes -subj /CN=pay.bank.example -keyout bank.key -out bank.csr 2>/dev/null
rm -rf made; mkdir made; touch made/index; echo 01 > made/serial
printf '[ca]\ndefault_ca=a\n[a]\ndatabase=made/index\nserial=made/serial\nnew_certs_dir=made\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > made/conf
openssl ca -batch -config made/conf -cert ca.pem -keyfile ca.key -in bank.csr -out bank.pem -startdate $(date -u -d "$1" +%y%m%d%H%M%SZ) -enddate $(date -u -d "$2" +%y%m%d%H%M%SZ) 2>/dev/null
X
bash issue '2 days ago' '30 days'
(exec python3 -m http.server --bind 203.0.113.1 8099 >/dev/null 2>&1 </dev/null) >/dev/null 2>&1 &
(exec python3 pay.py >/dev/null 2>&1 </dev/null & echo $! > pid; wait) >/dev/null 2>&1 &
until curl -fsk -o /dev/null https://203.0.113.1:8443/ && curl -fs -o /dev/null http://203.0.113.1:8099/ca.pem; do sleep 0.2; done
"""
BANK_EXPIRED = """
cd /tmp/laundry-bank; bash issue '90 days ago' '1 hour ago'; kill $(cat pid); sleep 0.5
(exec python3 pay.py >/dev/null 2>&1 </dev/null & echo $! > pid; wait) >/dev/null 2>&1 &
until curl -fsk -o /dev/null https://203.0.113.1:8443/; do sleep 0.2; done
"""
LAUNDRY_UP = "until curl -fs -o /dev/null http://127.0.0.1:8401/healthz && curl -fs -o /dev/null http://127.0.0.1:8402/healthz; do sleep 0.2; done"
LAUNDRY_SETUP = f"""
mkdir -p /etc/haproxy/certs /srv/laundry/spool; chmod 1777 /srv/laundry/spool; cd /root
openssl req -x509 -newkey rsa:2048 -nodes -days 60 -subj /CN=laundry.example -keyout key.pem -out cert.pem 2>/dev/null
cat cert.pem key.pem > /etc/haproxy/certs/laundry.example.pem
curl -fs -o /etc/haproxy/bank-ca.pem http://203.0.113.1:8099/ca.pem
systemctl enable -q --now redis-server rsyslog
systemctl daemon-reload; systemctl enable -q --now laundry@8401 laundry@8402
{LAUNDRY_UP}
systemctl enable -q --now haproxy; sleep 1
"""
LAUNDRY = "laundry.example"
DRUMS_AT = frozenset(
    {"127.0.0.1:8401", "127.0.0.1:8402", "laundry", "drum1", "drum2", "laundry/drum1", "laundry/drum2", "127.0.0.1:6379"}
)
BANK_AT = frozenset({"203.0.113.1:8443", "pay", "bank", "pay/bank"})


def _laundry(path: str, weight: int = 1, method: str = "GET") -> Route:
    return Route(path=path, host=LAUNDRY, port=443, tls=True, weight=weight, method=method)


LAUNDRY_CFG, LAUNDRY_SERVICE = "/etc/haproxy/haproxy.cfg", "/etc/systemd/system/laundry@.service"
LAUNDRY_FAULTS = (
    Fault(
        id="laundry-back-to-uvicorn",
        happens="the release runs in uvicorn again, which speaks no HTTP/2; HAProxy's servers still have `proto h2`, so checks and requests fail",
        steps=f"sed -i 's#^ExecStart=.*#ExecStart=/opt/venv/bin/uvicorn --host 127.0.0.1 --port %i laundry:app#' {LAUNDRY_SERVICE}; systemctl daemon-reload; systemctl restart 'laundry@*'; {LAUNDRY_UP}",
        expects=causes("wrong-protocol"),
        partly=causes("all-upstreams-down", "health-check-misconfigured", "invalid-response", "premature-close"),
        targets=DRUMS_AT,
    ),
    Fault(
        id="laundry-spool-read-only",
        happens="a cleaner unit file loses ReadWritePaths; under ProtectSystem=strict the spool is read-only: `OSError: Read-only file system`, 500 for each ticket",
        steps=f"sed -i '/ReadWritePaths/d' {LAUNDRY_SERVICE}; systemctl daemon-reload; for port in 8401 8402; do systemctl restart laundry@$port; until curl -fs -o /dev/null http://127.0.0.1:$port/healthz; do sleep 0.2; done; sleep 3; done",
        routes=(_laundry("/tickets", 4, "POST"),),
        limit_s=90.0,
        settle="test $(grep 'POST /tickets' /var/log/haproxy.log | grep -c ' 500 ') -ge 12",
        expects=OWN_ERROR,
        targets=DRUMS_AT,
    ),
    Fault(
        id="laundry-families-restricted",
        happens="`systemd-analyze security` suggests RestrictAddressFamilies=AF_UNIX; the instances cannot open their port (Address family not supported), and start for ever",
        steps=f"sed -i 's/^NoNewPrivileges=yes/NoNewPrivileges=yes\\nRestrictAddressFamilies=AF_UNIX/' {LAUNDRY_SERVICE}; systemctl daemon-reload; systemctl restart 'laundry@*' || true; sleep 5",
        expects=NO_START | causes("sandbox-network-denied"),
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=DRUMS_AT,
    ),
    Fault(
        id="laundry-renewed-without-key",
        happens="the hook of certbot writes only fullchain.pem into HAProxy's directory of certificates; the restart after an upgrade fails (no private key)",
        steps="cp /root/cert.pem /etc/haproxy/certs/laundry.example.pem; systemctl restart haproxy || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
    Fault(
        id="laundry-bank-certificate-expired",
        happens="the bank forgot to renew: its certificate expired an hour ago, and HAProxy verifies it: 503 for each payment",
        steps="true",
        outside=BANK_EXPIRED,
        routes=(_laundry("/pay", 4),),
        limit_s=90.0,
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed"),
        targets=BANK_AT,
    ),
    Fault(
        id="laundry-bank-drops-us",
        happens="the bank's firewall drops our new address; connections to it get no answer at all: 503 for each payment after three attempts",
        steps="true",
        outside="nft 'table inet bank { chain in { type filter hook input priority 0; tcp dport 8443 drop; }; }'",
        routes=(_laundry("/pay", 4),),
        limit_s=120.0,
        expects=causes("connect-timeout"),
        targets=BANK_AT,
    ),
    Fault(
        id="laundry-ledger-against-four-seconds",
        happens="`timeout server` goes down to four seconds in an audit; the ledger takes nine: 504 for it alone",
        steps=f"sed -i 's/timeout server 20s/timeout server 4s/' {LAUNDRY_CFG}; systemctl reload haproxy",
        routes=(_laundry("/ledger", 2),),
        limit_s=90.0,
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        targets=DRUMS_AT,
    ),
    Fault(
        id="laundry-redis-stopped-checks-fail",
        happens="Redis is stopped by an upgrade and stays so; the health page asks it, so HAProxy takes both instances out: 503 also for the prices, which need no Redis",
        steps="systemctl stop redis-server; sleep 3",
        expects=causes("backend-dependency-down"),
        partly=causes("all-upstreams-down", "upstream-error-status", "application-error", "health-check-misconfigured"),
        targets=DRUMS_AT,
    ),
)

STACKS = (
    Stack(
        name="airfield",
        about="Caddy with sites in files of their own in front of PM2: Express in cluster mode (MariaDB on its socket) and a second service",
        files={
            "/srv/airfield/server.js": AIRFIELD_APP,
            "/srv/airfield/tower.js": TOWER_APP,
            AIR_PM2: AIRFIELD_ECOSYSTEM,
            "/etc/systemd/system/pm2-air.service": AIRFIELD_PM2,
            "/etc/caddy/Caddyfile": CADDYFILE,
            AIR_SITE: AIRFIELD_CADDY,
        },
        setup=AIRFIELD_SETUP,
        routes=(_air("/", 3), _air("/flights", 3), _air("/tower")),
        faults=AIRFIELD_FAULTS,
        calms=(
            Calm(
                id="airfield-new-timetable",
                happens="PM2 reloads the cluster under traffic, Caddy reloads, the weather takes 1.6 s and some break it off, MariaDB is dumped",
                steps=f"{PM2} reload airfield >/dev/null; systemctl reload caddy; mariadb-dump shop > /root/shop.sql",
                routes=(_air("/weather"), _air("/wp-admin/setup.php"), _air("/.git/config")),
                seconds=18,
                cancels=True,
            ),
            Calm(
                id="airfield-night-jobs",
                happens="cron packs the logs at low priority, MariaDB is optimised, somebody looks at PM2's list; impatient visitors break off the weather",
                steps=f"systemd-run -q nice -n 15 timeout 8 sh -c 'while gzip -c /usr/bin/node > /dev/null; do :; done'; mariadb-check -s --optimize shop > /dev/null; {PM2} list > /dev/null",
                routes=(_air("/weather", 2), _air("/favicon.ico")),
                seconds=15,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="laundry",
        about="HAProxy with TLS speaks HTTP/2 to two hardened instances of FastAPI in hypercorn (template unit, dynamic user), and verified TLS to a bank's host; Redis, rsyslog",
        files={
            "/srv/laundry/laundry.py": LAUNDRY_APP,
            "/etc/systemd/system/laundry@.service": LAUNDRY_UNIT,
            "/etc/haproxy/haproxy.cfg": LAUNDRY_HAPROXY,
        },
        remote=BANK_OUTSIDE,
        setup=LAUNDRY_SETUP,
        routes=(_laundry("/", 3), _laundry("/prices", 2), _laundry("/pay")),
        faults=LAUNDRY_FAULTS,
        calms=(
            Calm(
                id="laundry-one-drum-in-maintenance",
                happens="one instance is in maintenance on purpose (set by HAProxy's socket) and stopped, the tour takes 2.5 s, certificates are loaded again by a reload",
                steps="systemctl reload haproxy; sleep 1; python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(b'set server laundry/drum2 state maint\\n'); s.recv(99)\"; sleep 5; systemctl stop laundry@8402",
                routes=(_laundry("/route"), _laundry("/tickets", 1, "POST"), _laundry("/owa/auth")),
                seconds=16,
            ),
        ),
    ),
)
