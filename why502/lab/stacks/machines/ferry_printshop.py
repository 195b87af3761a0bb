"""A single-page site with FastAPI in hypercorn on a unix socket behind Caddy, and Express with RabbitMQ behind nginx with TLS."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

FERRY_APP = """\
import asyncio, os, threading
import psycopg2
from fastapi import FastAPI
app = FastAPI()
seats = threading.Lock()

def query(text):
    base = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=5)
    try:
        with base, base.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        base.close()

@app.get("/api/departures")
def departures():
    return {"departures": query("select name from departures order by id limit 20")}

@app.get("/api/weather")
async def weather():
    return {"wind": [3, 4, 5] * 40}

@app.get("/api/manifest")
async def manifest():
    await asyncio.sleep(14)
    return {"manifest": list(range(500))}

@app.get("/api/timetable")
async def timetable():
    await asyncio.sleep(2)
    return {"timetable": list(range(500))}

@app.post("/api/reserve")
async def reserve():
    with seats:
        await asyncio.sleep(0.4)
        return {"reserved": True}
"""
FERRY_UNIT = """[Unit]
Description=ferry API (hypercorn)
After=network.target

[Service]
User=ferry
Group=ferry
RuntimeDirectory=ferry
UMask=0007
WorkingDirectory=/srv/ferry/current
EnvironmentFile=/srv/ferry/shared/env
ExecStartPre=-/bin/rm -f /run/ferry/api.sock
ExecStart=/srv/ferry/venv/bin/hypercorn --bind unix:/run/ferry/api.sock --access-logfile - main:app
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
FERRY_CADDYFILE = """\
http://ferry.example {
    log {
        output file /var/log/caddy/ferry.log
    }
    encode gzip
    handle /api/* {
        reverse_proxy unix//run/ferry/api.sock {
            transport http {
                dial_timeout 3s
                response_header_timeout 10s
            }
        }
    }
    handle {
        root * /srv/ferry/www
        try_files {path} /index.html
        file_server
    }
}
"""
FERRY_SETUP = """
useradd --system ferry; usermod -aG ferry caddy; mkdir -p /srv/ferry/releases/1; mv /srv/ferry/main.py /srv/ferry/releases/1/; ln -s releases/1 /srv/ferry/current; ln -s /opt/venv /srv/ferry/venv
chown -R ferry: /srv/ferry/releases
echo '127.0.0.1 db.ferry.internal' >> /etc/hosts
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role ferry login password 'hunter22'" -c "create database ferry owner ferry"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U ferry ferry -c "create table departures (id serial primary key, name text)" -c "insert into departures (name) select 'boat ' || n from generate_series(1, 300) n"
systemctl enable -q --now ferry
until curl -fs -o /dev/null --unix-socket /run/ferry/api.sock http://ferry/api/departures; do sleep 0.2; done
systemctl enable -q --now caddy
"""
FERRY = "ferry.example"
FERRY_AT = frozenset({"unix:/run/ferry/api.sock"})
FERRY_FAULTS = (
    Fault(
        id="ferry-caddy-out-of-the-group",
        happens="the new server was set up by hand: caddy is not in the group ferry; after a restart it may not open the API's socket (permission denied), the pages of the site go on",
        steps="gpasswd -d caddy ferry >/dev/null; systemctl restart caddy",
        settle="grep -q 'permission denied' /var/log/caddy/ferry.log || journalctl -q -u caddy | grep -q 'permission denied'",
        expects=causes("unix-socket-permission"),
        targets=FERRY_AT,
    ),
    Fault(
        id="ferry-socket-renamed",
        happens="the unit of the release binds unix:/run/ferry/ferry.sock; the Caddyfile still names api.sock",
        steps="sed -i 's#--bind unix:/run/ferry/api.sock#--bind unix:/run/ferry/ferry.sock#' /etc/systemd/system/ferry.service; systemctl daemon-reload; systemctl restart ferry; until test -S /run/ferry/ferry.sock; do sleep 0.2; done",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=FERRY_AT,
    ),
    Fault(
        id="ferry-environment-made-anew",
        happens="the deploy makes the virtual environment anew and fails half-way; /srv/ferry/venv points to nothing, and systemd cannot execute hypercorn (203/EXEC)",
        steps="ln -sfn /srv/ferry/releases/2/venv /srv/ferry/venv; systemctl restart ferry || true; sleep 3",
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing"),
        targets=FERRY_AT,
    ),
    Fault(
        id="ferry-manifest-of-summer",
        happens="the manifest of a summer's day takes the API 14 s; Caddy waits for ten (response_header_timeout): 504 for it, all else is quick",
        steps="true",
        routes=(Route(path="/api/manifest", host=FERRY, weight=2),),
        failures=6,
        limit_s=100.0,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        targets=FERRY_AT,
    ),
    Fault(
        id="ferry-hosts-of-cloud-init",
        happens="cloud-init writes /etc/hosts anew at a reboot, and the line of the database's name is gone: `could not translate host name`, 500 for the departures",
        steps="sed -i /ferry.internal/d /etc/hosts",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | causes("dns-host-not-found"),
        targets=FERRY_AT | {"db.ferry.internal", "db.ferry.internal:5432"},
    ),
    Fault(
        id="ferry-lock-in-the-loop",
        happens="two reservations at once: a lock of threads is held over an await, the second one stops the event loop for ever; the process lives, accepts, and answers nothing",
        steps="true",
        routes=(Route(path="/api/reserve", method="POST", host=FERRY, weight=2),),
        limit_s=100.0,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted"),
        targets=FERRY_AT,
    ),
)

PRINT_APP = """\
const amqp = require('/opt/node/node_modules/amqplib');
const express = require('/opt/node/node_modules/express');
const app = express();
app.use(express.json());
const kept = [];
let channel;

async function connect() {
  const connection = await amqp.connect('amqp://print:hunter22@127.0.0.1');
  connection.on('close', () => { console.error('the broker closed the connection'); process.exit(1); });
  connection.on('error', (error) => console.error('broker:', error.message));
  channel = await connection.createConfirmChannel();
  await channel.assertQueue('jobs', { durable: true, maxLength: 200 });
}

app.get('/', (request, response) => response.send('cards and posters '.repeat(60)));
app.post('/jobs', (request, response) => {
  channel.sendToQueue('jobs', Buffer.from(JSON.stringify({ at: Date.now() })), { persistent: true },
    (error) => error ? response.status(500).send(error.message) : response.send('queued'));
});
app.post('/design', (request, response) => response.send(String(JSON.stringify(request.body).length)));
app.get('/proof', (request, response) => setTimeout(() => response.send('proof '.repeat(100)), 1500));
app.get('/stamp', (request, response) => setTimeout(() => response.send(request.query.text.trim()), 20));
app.get('/poster', (request, response) => {
  for (let n = 0; n < 20; n++) kept.push(new Array(40000).fill(n + 0.5));
  response.send('poster ' + kept.length);
});

connect().then(() => {
  app.listen(Number(process.env.PORT), '127.0.0.1');
}, (error) => {
  console.error(error);
  process.exit(1);
});
"""
PRINT_UNIT = """[Unit]
Description=printshop
After=network.target rabbitmq-server.service

[Service]
User=print
WorkingDirectory=/srv/print
EnvironmentFile=/srv/print/.env
ExecStart=/usr/bin/node --max-old-space-size=96 server.js
Restart=always
RestartSec=4

[Install]
WantedBy=multi-user.target
"""
PRINT_SITE = """\
server {
    listen 80;
    server_name print.example;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl http2;
    server_name print.example;
    ssl_certificate /etc/letsencrypt/live/print.example/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/print.example/privkey.pem;
    client_max_body_size 10m;

    location / {
        proxy_pass http://127.0.0.1:3100;
        include proxy_params;
        proxy_read_timeout 15;
    }
}
"""
PRINT_SETUP = """
useradd --system print; chown -R print: /srv/print
mkdir -p /etc/letsencrypt/live/print.example; cd /etc/letsencrypt/live/print.example
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=print.example -addext subjectAltName=DNS:print.example -keyout privkey.pem -out fullchain.pem 2>/dev/null
systemctl start rabbitmq-server
rabbitmqctl -q add_user print hunter22; rabbitmqctl -q set_permissions print '.*' '.*' '.*'
systemctl enable -q --now print
until curl -fs -o /dev/null -X POST http://127.0.0.1:3100/jobs; do sleep 0.3; done
ln -s /etc/nginx/sites-available/print /etc/nginx/sites-enabled/print; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
PRINT = "print.example"
PRINT_AT = frozenset({"127.0.0.1:3100"})
PRINT_BROKER = PRINT_AT | {"127.0.0.1:5672"}


def _https(path: str, method: str = "GET", weight: int = 1, body_bytes: int = 0, kind: str = "") -> Route:
    headers = {"Content-Type": kind} if kind else {}
    return Route(path=path, method=method, host=PRINT, port=443, tls=True, weight=weight, body_bytes=body_bytes, headers=headers)


PRINT_FAULTS = (
    Fault(
        id="print-broker-wants-more-disk",
        happens="RabbitMQ's limit of free disk is set to 500 GB by a copied configuration: its disk alarm blocks who publishes, jobs wait for their confirmation until nginx gives up (15 s)",
        steps="rabbitmqctl -q set_disk_free_limit 500GB; sleep 2",
        routes=(_https("/jobs", "POST", weight=3),),
        limit_s=100.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=causes("backend-too-slow", "backend-hung", "workers-exhausted"),
        targets=PRINT_BROKER,
    ),
    Fault(
        id="print-key-of-other-certificate",
        happens="certificates are copied from the old server, the key of one with the certificate of another; nginx is restarted: key values mismatch, it does not come up",
        steps="openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out /etc/letsencrypt/live/print.example/privkey.pem 2>/dev/null; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
    Fault(
        id="print-stamp-without-text",
        happens="a stamp without its text: TypeError in a callback, Node.js ends, and systemd starts it again four seconds later; each such visitor takes the site away from all",
        steps="true",
        routes=(_https("/stamp"),),
        failures=25,
        limit_s=90.0,
        expects=causes("backend-crashed"),
        partly=causes("backend-crash-loop", "premature-close", "backend-not-running", "connection-reset"),
        targets=PRINT_AT,
    ),
    Fault(
        id="print-port-of-example-file",
        happens="the deploy overwrites .env with .env.example, in which PORT is 3000; nginx asks 3100",
        steps="echo PORT=3000 > /srv/print/.env; systemctl restart print; until ss -ltn | grep -q :3000; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=PRINT_AT,
    ),
    Fault(
        id="print-posters-in-heap",
        happens="posters are kept in a list: `Reached heap limit Allocation failed - JavaScript heap out of memory`, abort, a start after four seconds, and again",
        steps="true",
        routes=(_https("/poster", weight=4),),
        failures=25,
        limit_s=150.0,
        settle="journalctl -q -u print | grep -q 'heap out of memory'",
        expects=causes("backend-crashed"),
        partly=causes("backend-oom-killed", "backend-crash-loop", "premature-close", "connection-reset", "backend-not-running"),
        targets=PRINT_AT,
    ),
    Fault(
        id="print-design-over-100kb",
        happens="customers save designs of 150 kB; express.json() takes 100 kB unless told otherwise: PayloadTooLargeError, 413 from the application, not from nginx",
        steps="true",
        routes=(_https("/design", "POST", weight=4, body_bytes=150000, kind="application/json"),),
        failures=0,
        settle="test $(grep -c ' 413 ' /var/log/nginx/access.log) -ge 12",
        expects=causes("request-too-large"),
        partly=causes("upstream-error-status", "application-error"),
    ),
    Fault(
        id="print-broker-password-rotated",
        happens="the password of RabbitMQ's user is rotated and its connections closed; the application ends, and each new start is refused (403 ACCESS_REFUSED)",
        steps="rabbitmqctl -q change_password print rotated; rabbitmqctl -q close_all_connections rotated",
        settle="test $(journalctl -q -u print | grep -c 'ACCESS.REFUSED') -ge 2",
        expects=NO_START | causes("backend-dependency-down"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=PRINT_BROKER,
    ),
)

STACKS = (
    Stack(
        name="ferry",
        about="a single-page site served by Caddy, its API in FastAPI in hypercorn on a unix socket, PostgreSQL by a name in /etc/hosts",
        files={
            "/srv/ferry/main.py": FERRY_APP,
            "/srv/ferry/shared/env": "DATABASE_URL=postgresql://ferry:hunter22@db.ferry.internal/ferry\n",
            "/srv/ferry/www/index.html": "<h1>ferries</h1>\n" * 60,
            "/etc/systemd/system/ferry.service": FERRY_UNIT,
            "/etc/caddy/Caddyfile": FERRY_CADDYFILE,
        },
        setup=FERRY_SETUP,
        routes=(
            Route(path="/", host=FERRY, weight=2),
            Route(path="/api/departures", host=FERRY, weight=4),
            Route(path="/api/weather", host=FERRY, weight=3),
        ),
        faults=FERRY_FAULTS,
        calms=(
            Calm(
                id="ferry-easter-weekend",
                happens="the timetable of 2 s is asked for and broken off, Caddy reloads its configuration, a vacuum and a dump; scanners get the page of the site or the API's 404",
                steps="systemctl reload caddy; sudo -u postgres psql -q ferry -c 'vacuum analyze'; sudo -u postgres pg_dump ferry > /root/ferry.sql",
                routes=(
                    Route(path="/api/timetable", host=FERRY),
                    Route(path="/api/v1/pods", host=FERRY),
                    Route(path="/wp-login.php", host=FERRY),
                ),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="printshop",
        about="Express under systemd on 127.0.0.1:3100 that publishes to RabbitMQ with confirmations, behind nginx with certbot's TLS and a redirect",
        files={
            "/srv/print/server.js": PRINT_APP,
            "/srv/print/.env": "PORT=3100\n",
            "/etc/systemd/system/print.service": PRINT_UNIT,
            "/etc/nginx/sites-available/print": PRINT_SITE,
        },
        setup=PRINT_SETUP,
        routes=(_https("/", weight=4), _https("/jobs", "POST", weight=2)),
        faults=PRINT_FAULTS,
        calms=(
            Calm(
                id="print-election-week",
                happens="proofs of 1.5 s are broken off, jobs are queued, http is redirected, nginx reloads after a renewal, logs rotate; a probe over http/1.0 by address",
                steps="logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; rabbitmqctl -q purge_queue jobs",
                routes=(_https("/proof"), _https("/.git/config"), Route(path="/", host=PRINT)),
                cancels=True,
            ),
        ),
    ),
)
