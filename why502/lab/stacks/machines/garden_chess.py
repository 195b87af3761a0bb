"""Flask in gunicorn under supervisord behind nginx with TLS, SQLite and a mail relay, and two instances of FastAPI with PostgreSQL."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")

GARDEN_APP = """\
import os, smtplib, sqlite3, time
import requests
from flask import Flask
app = Flask(__name__)

@app.get("/")
def home():
    return "garden " * 100

@app.post("/guestbook")
def guestbook():
    base = sqlite3.connect("/srv/garden/data/garden.db", timeout=5)
    with base:
        base.execute("insert into words (at) values (?)", (time.time(),))
    base.close()
    return "thank you"

@app.post("/order")
def order():
    with smtplib.SMTP("127.0.0.1", 25) as relay:
        relay.sendmail("shop@garden.example", ["owner@garden.example"], "Subject: order\\n\\none rose")
    return "ordered"

@app.get("/weather")
def weather():
    return requests.get("http://api.weather.example/today", timeout=5).text

@app.get("/catalogue")
def catalogue():
    path = f"/srv/garden/data/catalogue-{os.getpid()}.pdf"
    with open(path, "wb") as target:
        target.write(b"rose " * 80000)
    os.unlink(path)
    return "printed"

@app.get("/season")
def season():
    time.sleep(2.5)
    return "season " * 100
"""
GARDEN_PROGRAM = """\
[program:garden]
command=/srv/garden/run.sh
directory=/srv/garden
user=garden
environment=HOME="/srv/garden",http_proxy="http://203.0.113.1:3128"
autorestart=true
startsecs=2
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=/var/log/garden/garden.log
"""
GARDEN_RELAY = """\
import os, socketserver, time

class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        if os.path.exists("/etc/relay/tarpit"):
            time.sleep(60)
        self.wfile.write(b"220 relay ESMTP\\r\\n")
        in_data = False
        for line in self.rfile:
            word = line.strip().upper()
            if in_data:
                in_data = word != b"."
                if not in_data:
                    self.wfile.write(b"250 queued\\r\\n")
            elif word.startswith(b"DATA"):
                in_data = True
                self.wfile.write(b"354 go on\\r\\n")
            elif word.startswith(b"QUIT"):
                self.wfile.write(b"221 bye\\r\\n")
                return
            else:
                self.wfile.write(b"250 ok\\r\\n")

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

Server(("127.0.0.1", 25), Mail).serve_forever()
"""
GARDEN_RELAY_UNIT = """[Unit]
Description=Mail relay

[Service]
ExecStart=/usr/bin/python3 /opt/relay/relay.py
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
GARDEN_SITE = """\
server {
    listen 80 default_server;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl default_server;
    server_name garden.example;
    ssl_certificate /etc/letsencrypt/live/garden.example/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/garden.example/privkey.pem;
    access_log /var/log/nginx/garden.access.log;
    error_log /var/log/nginx/garden.error.log;
    location / {
        proxy_connect_timeout 3s;
        proxy_read_timeout 10s;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-Proto https;
        proxy_pass http://127.0.0.1:8000;
    }
}
"""
GARDEN_SETUP = """
useradd --system garden; mkdir -p /var/log/garden /etc/relay /srv/garden/data /etc/letsencrypt/live/garden.example
mount -t tmpfs -o size=64m garden-data /srv/garden/data
python3 -c "import sqlite3; sqlite3.connect('/srv/garden/data/garden.db').execute('create table words (at real)')"; chown -R garden: /srv/garden
openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/letsencrypt/live/garden.example/privkey.pem -out /etc/letsencrypt/live/garden.example/fullchain.pem -days 80 -subj /CN=garden.example 2>/dev/null
systemctl enable --now relay; systemctl enable --now supervisor
until curl -fs -o /dev/null http://127.0.0.1:8000/; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/garden /etc/nginx/sites-enabled/garden
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
# The office's proxy for outgoing requests, on another host.
GARDEN_REMOTE = r"""
mkdir -p /tmp/garden-proxy && mount -t tmpfs -o mode=755 garden-proxy /tmp/garden-proxy && cd /tmp/garden-proxy
cat > proxy.py <<'S'
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"sunny " * 20
        self.send_response(200); self.send_header("Content-Length", str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *parts): pass
http.server.ThreadingHTTPServer(("203.0.113.1", 3128), Page).serve_forever()
S
(exec python3 proxy.py >/dev/null 2>&1 </dev/null & echo $! > pid; wait) >/dev/null 2>&1 &
until curl -fs -o /dev/null http://203.0.113.1:3128/; do sleep 0.1; done
"""
GARDEN = "garden.example"
GARDEN_AT = frozenset({"127.0.0.1:8000"})
ORDER = Route(path="/order", method="POST", host=GARDEN, port=443, tls=True, weight=3)
GARDEN_FAULTS = (
    Fault(
        id="garden-office-proxy-gone",
        happens="the office's proxy for outgoing requests is switched off; the page that asks the weather service through it fails with ProxyError, 500",
        outside="kill $(cat /tmp/garden-proxy/pid)",
        steps="true",
        routes=(Route(path="/weather", host=GARDEN, port=443, tls=True, weight=5),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=GARDEN_AT,
    ),
    Fault(
        id="garden-mail-relay-in-a-tarpit",
        happens="the mail relay accepts connections and greets after a minute; each order holds a worker until nginx gives up, and soon all pages wait",
        steps="touch /etc/relay/tarpit",
        routes=(ORDER,),
        limit_s=90.0,
        expects=causes("backend-dependency-slow"),
        partly=HANGS | causes("backend-dependency-down"),
        targets=GARDEN_AT,
    ),
    Fault(
        id="garden-size-of-files",
        happens="`ulimit -f 200` in the start script keeps cores small, says its author; the catalogue is larger than 200 kB: `File too large`, 500",
        steps="sed -i 's/^exec/ulimit -f 200\\nexec/' /srv/garden/run.sh; supervisorctl restart garden >/dev/null; until curl -fs -o /dev/null http://127.0.0.1:8000/; do sleep 0.2; done",
        routes=(Route(path="/catalogue", host=GARDEN, port=443, tls=True, weight=5),),
        settle="grep -q 'File too large' /var/log/garden/garden.log",
        failures=16,
        expects=OWN_ERROR,
        targets=GARDEN_AT,
    ),
    Fault(
        id="garden-data-read-only",
        happens="the file system of the data is mounted read-only after an error; SQLite says `attempt to write a readonly database`, the guestbook is 500",
        steps="mount -o remount,ro /srv/garden/data",
        routes=(Route(path="/guestbook", method="POST", host=GARDEN, port=443, tls=True, weight=3),),
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down", "disk-full"),
        targets=GARDEN_AT,
    ),
    Fault(
        id="garden-impatient-monitor",
        happens="a new uptime monitor asks for the season page, which takes 2.5 s as always, and gives up after 1.5 s: 499 for each of its questions",
        steps="true",
        routes=(Route(path="/season", host=GARDEN, port=443, tls=True, weight=2),),
        patience_s=1.5,
        failures=10,
        expects=causes("client-closed-request"),
        partly=causes("backend-too-slow", "workers-exhausted"),
        targets=GARDEN_AT,
    ),
)

CHESS_APP = """\
import os, time
import psycopg2
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
app = FastAPI()

def rows(text):
    base = psycopg2.connect(host="127.0.0.1", dbname="chess", user="chess", password=os.environ["PGWORD"], connect_timeout=3)
    try:
        with base, base.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        base.close()

@app.get("/")
def home():
    return rows("select id, name from players order by id limit 20")

@app.get("/openings", response_class=PlainTextResponse)
async def openings():
    return "openings " * 100

@app.get("/ranking")
def ranking():
    return rows("select count(distinct md5(name || n::text)) from players cross join generate_series(1, 60) n")

@app.get("/analysis", response_class=PlainTextResponse)
async def analysis():
    time.sleep(7)
    return "analysis " * 100
"""
CHESS_UNIT = """[Unit]
Description=Chess on port %i
After=network.target postgresql.service

[Service]
User=chess
WorkingDirectory=/srv/chess
EnvironmentFile=/etc/chess/%i.env
ExecStart=/opt/venv/bin/uvicorn app:app --host 127.0.0.1 --port %i
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
CHESS_UPSTREAM = "upstream chess { least_conn; server 127.0.0.1:8101; server 127.0.0.1:8102; }\n"
CHESS_SITE = """\
server {
    listen 80 default_server;
    server_name chess.example;
    access_log /var/log/nginx/chess.access.log;
    error_log /var/log/nginx/chess.error.log;
    location / {
        proxy_connect_timeout 3s;
        proxy_read_timeout 5s;
        proxy_pass http://chess;
    }
}
"""
CHESS_SETUP = """
useradd --system chess; mkdir -p /etc/chess; for n in 1 2; do echo PGWORD=hunter22 > /etc/chess/810$n.env; done
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role chess login password 'hunter22'" -c 'create database chess owner chess'
sudo -u postgres psql -q chess -c "create table players as select n as id, 'player ' || n as name from generate_series(1, 500) n" -c 'alter table players owner to chess'
systemctl enable --now chess@8101 chess@8102
for n in 1 2; do until curl -fs -o /dev/null http://127.0.0.1:810$n/; do sleep 0.2; done; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/chess /etc/nginx/sites-enabled/chess
cp /etc/nginx/nginx.conf /etc/nginx/nginx.conf.dpkg-dist; sed -i 's#include /etc/nginx/conf.d/\\*.conf;#&\\n\\tinclude /etc/nginx/upstreams/*.conf;#' /etc/nginx/nginx.conf
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
CHESS = "chess.example"
CHESS_AT = frozenset({"127.0.0.1:8101", "127.0.0.1:8102", "chess"})
CHESS_FAULTS = (
    Fault(
        id="chess-nginx-started-by-hand",
        happens="an nginx that was started by hand holds port 80 with the configuration of that hour; the instances move to new ports, and `systemctl restart nginx` fails (`Address already in use`), unread",
        steps="systemctl stop nginx; nginx; sleep 3; for n in 1 2; do cp /etc/chess/810$n.env /etc/chess/820$n.env; done; systemctl start chess@8201 chess@8202; "
        "for n in 1 2; do until curl -fs -o /dev/null http://127.0.0.1:820$n/; do sleep 0.2; done; done; sed -i 's/:810/:820/g' /etc/nginx/upstreams/chess.conf; systemctl restart nginx || true; systemctl stop chess@8101 chess@8102",
        expects=causes("proxy-config-not-loaded", "proxy-listen-failed"),
        partly=causes("backend-not-running", "wrong-port", "all-upstreams-down"),
    ),
    Fault(
        id="chess-conffile-replaced-by-upgrade",
        happens='an upgrade of the package puts its own nginx.conf in place, without the include of our upstreams; the restart after it fails (`host not found in upstream "chess"`) and nothing listens',
        steps="mv /etc/nginx/nginx.conf /etc/nginx/nginx.conf.dpkg-old; cp /etc/nginx/nginx.conf.dpkg-dist /etc/nginx/nginx.conf; systemctl restart nginx || true",
        expects=causes("proxy-config-invalid", "proxy-not-running", "dns-host-not-found"),
    ),
    Fault(
        id="chess-one-of-two-has-an-old-password",
        happens="the database's password was changed in one instance's environment only; the other one answers 500 at once, and least_conn likes it for that",
        steps="sudo -u postgres psql -q -c \"alter role chess password 'new-word'\"; echo PGWORD=new-word > /etc/chess/8101.env; systemctl restart chess@8101",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=frozenset({"127.0.0.1:8102", "chess"}),
    ),
    Fault(
        id="chess-temporary-files-limited",
        happens="temp_file_limit is set to 256 kB on the server of PostgreSQL; the ranking's sort needs more: `temporary file size exceeds temp_file_limit`, 500",
        steps="sudo -u postgres psql -q -c \"alter system set temp_file_limit = '256kB'\" -c \"alter system set work_mem = '64kB'\" -c 'select pg_reload_conf()' >/dev/null",
        routes=(Route(path="/ranking", host=CHESS, weight=4),),
        expects=causes("backend-dependency-down", "application-error"),
        partly=causes("upstream-error-status"),
        targets=CHESS_AT,
    ),
    Fault(
        id="chess-limit-a-little-too-low",
        happens="limit_req without a burst: two requests of a visitor within a quarter of a second are one too many, and a few requests in a hundred are 503",
        steps="echo 'limit_req_zone $binary_remote_addr zone=visitors:1m rate=270r/m;' > /etc/nginx/conf.d/limits.conf; sed -i 's/location \\/ {/&\\n        limit_req zone=visitors;/' /etc/nginx/sites-available/chess; systemctl reload nginx",
        users=20,
        failures=6,
        limit_s=90.0,
        expects=causes("rate-limited"),
    ),
    Fault(
        id="chess-one-stopped-and-one-blocked",
        happens="one instance was stopped for a test and forgotten, and in the other one an analysis blocks the event loop for 7 s: 504, then `no live upstreams`",
        steps="systemctl stop chess@8101",
        routes=(Route(path="/analysis", host=CHESS, weight=1),),
        users=10,
        failures=14,
        limit_s=90.0,
        expects=causes("backend-not-running", "backend-too-slow", "backend-hung"),
        partly=causes("all-upstreams-down", "workers-exhausted"),
        targets=CHESS_AT,
    ),
)
CHESS_CALMS = (
    Calm(
        id="chess-instances-one-after-another",
        happens="at night each instance is taken out of nginx, restarted and put back; PostgreSQL cancels a report on the way; bots, and players who leave",
        steps='for n in 1 2; do sed -i "s/:810$n;/:810$n down;/" /etc/nginx/upstreams/chess.conf; systemctl reload nginx; sleep 2; systemctl restart chess@810$n; '
        "until curl -fs -o /dev/null http://127.0.0.1:810$n/; do sleep 0.2; done; sed -i 's/ down;/;/' /etc/nginx/upstreams/chess.conf; systemctl reload nginx; done; sudo -u postgres vacuumdb -q chess",
        routes=(Route(path="/ranking", host=CHESS), Route(path="/wp-login.php", host=CHESS)),
        cancels=True,
        seconds=18.0,
    ),
)

STACKS = (
    Stack(
        name="garden",
        about="Flask in gunicorn under supervisord behind nginx with TLS; SQLite, a mail relay, and a proxy for outgoing requests",
        files={
            "/srv/garden/app.py": GARDEN_APP,
            "/srv/garden/run.sh": "#!/bin/sh\nexec /opt/venv/bin/gunicorn --workers 8 --timeout 60 --bind 127.0.0.1:8000 app:app\n",
            "/etc/supervisor/conf.d/garden.conf": GARDEN_PROGRAM,
            "/opt/relay/relay.py": GARDEN_RELAY,
            "/etc/systemd/system/relay.service": GARDEN_RELAY_UNIT,
            "/etc/nginx/sites-available/garden": GARDEN_SITE,
        },
        setup=GARDEN_SETUP,
        remote=GARDEN_REMOTE,
        routes=(
            Route(path="/", host=GARDEN, port=443, tls=True, weight=5),
            Route(path="/guestbook", method="POST", host=GARDEN, port=443, tls=True),
            Route(path="/order", method="POST", host=GARDEN, port=443, tls=True),
        ),
        faults=GARDEN_FAULTS,
        calms=(
            Calm(
                id="garden-renewal",
                happens="certbot renews the certificate and nginx is reloaded, the data is copied, a monitor asks without TLS, scanners, visitors who leave",
                steps="openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/new.key -out /root/new.pem -days 90 -subj /CN=garden.example 2>/dev/null; cat /root/new.key > /etc/letsencrypt/live/garden.example/privkey.pem; "
                "cat /root/new.pem > /etc/letsencrypt/live/garden.example/fullchain.pem; systemctl reload nginx; cp -a /srv/garden/data /root/backup",
                routes=(
                    Route(path="/", host=GARDEN, expect=(301,)),
                    Route(path="/admin.php", host=GARDEN, port=443, tls=True),
                    Route(path="/season", host=GARDEN, port=443, tls=True),
                ),
                cancels=True,
                seconds=16.0,
            ),
        ),
    ),
    Stack(
        name="chess",
        about="FastAPI in two instances of uvicorn (template unit) behind nginx with least_conn in a file of upstreams, PostgreSQL",
        files={
            "/srv/chess/app.py": CHESS_APP,
            "/etc/systemd/system/chess@.service": CHESS_UNIT,
            "/etc/nginx/upstreams/chess.conf": CHESS_UPSTREAM,
            "/etc/nginx/sites-available/chess": CHESS_SITE,
        },
        setup=CHESS_SETUP,
        routes=(Route(path="/", host=CHESS, weight=3), Route(path="/openings", host=CHESS, weight=3)),
        faults=CHESS_FAULTS,
        calms=CHESS_CALMS,
    ),
)
