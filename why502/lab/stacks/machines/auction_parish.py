"""Node.js with its own cluster module and WebSockets behind nginx with Redis, and Django in gunicorn on a unix socket behind Apache with MariaDB."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")

AUCTION_SERVER = """\
const cluster = require('node:cluster');
if (cluster.isPrimary) {
  for (let n = 0; n < Number(process.env.WEB_CONCURRENCY || 2); n++) cluster.fork();
  cluster.on('exit', (worker, code, signal) => {
    console.error(`worker ${worker.process.pid} ended (${signal || code}), starting another`);
    setTimeout(() => cluster.fork(), 500);
  });
} else {
  require('./app');
}
"""
AUCTION_APP = """\
const express = require('/opt/node/node_modules/express');
const { createClient } = require('/opt/node/node_modules/redis');
const { WebSocketServer } = require('/opt/node/node_modules/ws');
const http = require('http');
const app = express();
const redis = createClient({ url: process.env.REDIS_URL });
redis.on('error', (error) => console.error('redis:', error.message));
const safe = (handler) => (request, response, next) => handler(request, response).catch(next);

app.get('/', (request, response) => response.send('lots of today '.repeat(60)));
app.get('/lots', safe(async (request, response) => response.json({ highest: await redis.get('lot:7'), lots: Array.from({ length: 60 }, (_, n) => `lot ${n}`) })));
app.post('/bids', safe(async (request, response) => response.json({ bid: await redis.incr('lot:7') })));
app.get('/preview', (request, response) => setTimeout(() => response.send('preview '.repeat(400)), 1200));
app.get('/find', (request, response) => response.json({ ok: /^([a-z]+)+$/.test(request.query.q || '') }));
app.get('/catalogue.pdf', (request, response) => {
  setTimeout(() => Promise.reject(new Error('lot 12 has no picture')), 30);
});

const server = http.createServer(app);
server.keepAliveTimeout = 75000;
const sockets = new WebSocketServer({ server, path: '/live' });
sockets.on('connection', (socket) => socket.send('hello'));
redis.connect().then(() => server.listen(Number(process.env.PORT), '127.0.0.1'));
process.on('SIGTERM', () => { server.close(() => process.exit(0)); setTimeout(() => process.exit(0), 3000); });
"""
AUCTION_UNIT = """[Unit]
Description=auction house
After=network.target redis-server.service

[Service]
User=auction
WorkingDirectory=/srv/auction
Environment=NODE_ENV=production
Environment=PORT=3200
Environment=REDIS_URL=redis://127.0.0.1:6379
ExecStart=/usr/bin/node server.js
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
AUCTION_SITE = """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' '';
}
upstream auction {
    server 127.0.0.1:3200;
    keepalive 8;
}
server {
    listen 80;
    server_name auction.example;
    access_log /var/log/nginx/auction.access.log;
    error_log /var/log/nginx/auction.error.log;

    location / {
        proxy_pass http://auction;
        include proxy_params;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 15s;
    }
}
"""
AUCTION_SETUP = """
useradd --system auction; chown -R auction: /srv/auction
systemctl enable -q --now redis-server
redis-cli set lot:7 100 >/dev/null
systemctl enable -q --now auction
until curl -fs -o /dev/null http://127.0.0.1:3200/lots; do sleep 0.2; done
ln -s /etc/nginx/sites-available/auction /etc/nginx/sites-enabled/auction; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
AUCTION = "auction.example"
AUCTION_AT = frozenset({"127.0.0.1:3200", "auction"})
AUCTION_REDIS = AUCTION_AT | {"127.0.0.1:6379"}
AUCTION_LIVE = Route(path="/live", host=AUCTION, websocket=True, weight=2, expect=(101,))
AUCTION_FAULTS = (
    Fault(
        id="auction-lot-without-picture",
        happens="a promise is rejected and nobody catches it: the worker ends with code 1 in the middle of the request, its primary forks another; systemd sees nothing",
        steps="true",
        routes=(Route(path="/catalogue.pdf", host=AUCTION, weight=2),),
        failures=14,
        limit_s=100.0,
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset", "backend-not-running", "backend-crash-loop"),
        targets=AUCTION_AT,
    ),
    Fault(
        id="auction-redis-made-replica",
        happens="a script for failover makes Redis a replica of a host that is not there: READONLY, 500 for each bid, the lots are still shown",
        steps="redis-cli replicaof 203.0.113.77 6379 >/dev/null",
        routes=(Route(path="/bids", method="POST", host=AUCTION, weight=3),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=AUCTION_REDIS,
    ),
    Fault(
        id="auction-nginx-of-small-box",
        happens="nginx.conf comes from a small box: worker_connections 16; with the sale forty people hold a WebSocket each, and `16 worker_connections are not enough`",
        steps="sed -i 's/worker_connections .*/worker_connections 16;/' /etc/nginx/nginx.conf; systemctl reload nginx",
        routes=(Route(path="/live", host=AUCTION, websocket=True, weight=20, expect=(101,)),),
        users=40,
        settle="test $(cat /var/log/nginx/*error.log | grep -c 'worker_connections are not enough') -ge 12",
        expects=causes("worker-connections-exhausted"),
    ),
    Fault(
        id="auction-npm-ci-left-it-out",
        happens="the release needs `sharp`, which is among the devDependencies: `Cannot find module`, each worker ends at once and is forked again; for systemd the primary is well",
        steps="sed -i \"1i const sharp = require('sharp');\" /srv/auction/app.js; systemctl restart auction; sleep 4",
        settle="test $(journalctl -q -u auction | grep -c \"Cannot find module 'sharp'\") -ge 4",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AUCTION_AT,
    ),
    Fault(
        id="auction-waits-for-debugger",
        happens="the unit goes live with `node --inspect-brk`, as a developer had it: the process waits for a debugger on 9229 and never listens on 3200",
        steps="sed -i 's#/usr/bin/node server.js#/usr/bin/node --inspect-brk server.js#' /etc/systemd/system/auction.service; systemctl daemon-reload; systemctl restart auction; sleep 3",
        expects=causes("backend-startup-failure", "backend-not-running", "backend-hung"),
        partly=causes("wrong-port"),
        targets=AUCTION_AT,
    ),
    Fault(
        id="auction-expression-of-search",
        happens="a search with an odd end keeps a regular expression busy for minutes: each such request stops the loop of one worker, soon of both; everything waits until nginx gives up (15 s)",
        steps="true",
        routes=(Route(path="/find?q=" + "a" * 40 + "!", host=AUCTION),),
        limit_s=100.0,
        expects=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
        partly=causes("cpu-saturation"),
        targets=AUCTION_AT,
    ),
    Fault(
        id="auction-redis-paused",
        happens="a tool for moving Redis pauses its clients (CLIENT PAUSE) and is broken off: bids and lots wait for it until nginx gives up, the front page is quick",
        steps="redis-cli client pause 600000 all >/dev/null",
        limit_s=100.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=AUCTION_REDIS,
    ),
)

PARISH_SETTINGS = """\
import os
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["parish.example"]
ROOT_URLCONF = "parish.urls"
WSGI_APPLICATION = "parish.wsgi.application"
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATIC_URL = "/static/"
STATIC_ROOT = "/srv/parish/static"
STORAGES = {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}
STATICFILES_DIRS = ["/srv/parish/assets"]
DATABASES = {"default": {"ENGINE": "django.db.backends.mysql", "NAME": "parish", "USER": "parish", "PASSWORD": "hunter22",
                         "HOST": "/run/mysqld/mysqld.sock", "CONN_MAX_AGE": 60}}
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
USE_TZ = True
LOGGING = {"version": 1, "disable_existing_loggers": False, "handlers": {"console": {"class": "logging.StreamHandler"}},
           "root": {"handlers": ["console"], "level": "WARNING"}}
"""
PARISH_INIT = """\
import pymysql
pymysql.version_info = (2, 2, 1, "final", 0)
pymysql.install_as_MySQLdb()
"""
PARISH_URLS = """\
import time
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.templatetags.static import static
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

def events(request):
    with connection.cursor() as cursor:
        cursor.execute("select name from events order by id limit 20")
        return JsonResponse({"events": [name for name, in cursor.fetchall()], "style": static("parish.css")})

def hello(request):
    return HttpResponse(f"{request.get_host()} " + "welcome " * 80)

@csrf_exempt
def letters(request):
    return JsonResponse({"bytes": len(request.body)})

def calendar(request):
    time.sleep(1.5)
    return HttpResponse("calendar " * 100)

urlpatterns = [path("", events), path("hello", hello), path("letters", letters), path("calendar", calendar)]
"""
PARISH_WSGI = """\
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parish.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
PARISH_UNIT = """[Unit]
Description=parish (gunicorn)
After=network.target mariadb.service

[Service]
User=parish
Group=www-data
RuntimeDirectory=parish
RuntimeDirectoryMode=0755
WorkingDirectory=/srv/parish
EnvironmentFile=/etc/default/parish
ExecStart=/opt/venv/bin/gunicorn --workers 6 --timeout 120 --umask 007 --bind unix:/run/parish/gunicorn.sock parish.wsgi
Restart=on-failure
RestartSec=3

[Install]
WantedBy=multi-user.target
"""
PARISH_SITE = """\
<VirtualHost *:80>
    ServerName parish.example
    ErrorLog ${APACHE_LOG_DIR}/parish-error.log
    CustomLog ${APACHE_LOG_DIR}/parish-access.log combined
    Alias /static/ /srv/parish/static/
    <Directory /srv/parish/static>
        Require all granted
    </Directory>
    ProxyPreserveHost On
    ProxyPass /static/ !
    ProxyPass / unix:/run/parish/gunicorn.sock|http://localhost/ timeout=12
    ProxyPassReverse / http://localhost/
</VirtualHost>
"""
PARISH_BACKUP = """#!/bin/bash
set -e
systemctl stop parish
mariadb-dump parish > /var/backups/parish.sql
rsync -a /var/backups/parish.sql /mnt/nas/parish/
systemctl start parish
"""
PARISH_SETUP = """
useradd --system parish
systemctl enable -q --now mariadb
mariadb <<SQL
create database parish; create user parish@localhost identified by 'hunter22'; grant all on parish.* to parish@localhost;
use parish; create table events (id int auto_increment primary key, name varchar(99)); insert into events (name) select concat('event ', seq) from seq_1_to_200;
SQL
cd /srv/parish; set -a; . /etc/default/parish; set +a; /opt/venv/bin/python -m django collectstatic --noinput --settings parish.settings --pythonpath /srv/parish >/dev/null
systemctl enable -q --now parish
until curl -fs -o /dev/null --unix-socket /run/parish/gunicorn.sock http://parish.example/; do sleep 0.2; done
a2enmod -q proxy proxy_http; a2dissite -q 000-default; a2ensite -q parish
apachectl -t 2>/dev/null; systemctl enable -q --now apache2
"""
PARISH = "parish.example"
PARISH_AT = frozenset({"unix:/run/parish/gunicorn.sock"})
PARISH_BASE = PARISH_AT | {"unix:/run/mysqld/mysqld.sock", "/run/mysqld/mysqld.sock", "127.0.0.1:3306"}
PARISH_FAULTS = (
    Fault(
        id="parish-host-not-preserved",
        happens="the site's file is put together anew without ProxyPreserveHost: Django gets the host `localhost`, which is not in ALLOWED_HOSTS, and answers 400 to all",
        steps="sed -i /ProxyPreserveHost/d /etc/apache2/sites-available/parish.conf; systemctl reload apache2",
        failures=0,
        settle="test $(grep -c '\" 400 ' /var/log/apache2/parish-access.log) -ge 15",
        expects=causes("wrong-host-header"),
        partly=OWN_ERROR | causes("client-bad-request"),
        targets=PARISH_AT,
    ),
    Fault(
        id="parish-backup-breaks-off",
        happens="the nightly backup stops the application for a consistent copy, the NAS is not mounted, the script ends (set -e), and nobody starts the application again",
        steps="systemctl start parish-backup || true",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=PARISH_AT,
    ),
    Fault(
        id="parish-table-locked",
        happens="somebody works in a terminal with LOCK TABLES … WRITE and goes to lunch: pages that read events wait, Apache gives up after 12 s",
        steps="(mariadb parish -e 'lock tables events write; select sleep(900)' >/dev/null 2>&1 &); sleep 1",
        limit_s=100.0,
        expects=causes("backend-dependency-slow"),
        partly=HANGS,
        targets=PARISH_BASE,
    ),
    Fault(
        id="parish-umask-of-guideline",
        happens="a hardening guideline asks for umask 077 in every unit: gunicorn's socket is for its own user alone, Apache (www-data) may not open it",
        steps="sed -i 's/--umask 007/--umask 077/' /etc/systemd/system/parish.service; systemctl daemon-reload; systemctl restart parish; sleep 3",
        expects=causes("unix-socket-permission"),
        targets=PARISH_AT,
    ),
    Fault(
        id="parish-collectstatic-forgotten",
        happens="the release names its style sheet otherwise, and the deploy did not run collectstatic: `Missing staticfiles manifest entry`, 500 for the events",
        steps="sed -i 's/parish.css/parish-2027.css/' /srv/parish/parish/urls.py; systemctl kill -s HUP --kill-whom=main parish",
        settle="test $(grep -c '\" 500 ' /var/log/apache2/parish-access.log) -ge 12",
        expects=OWN_ERROR,
        targets=PARISH_AT,
    ),
    Fault(
        id="parish-settings-split",
        happens="the release splits its settings into a package, and /etc/default/parish names a module that is not there: `Worker failed to boot`, again and again",
        steps="sed -i 's/parish.settings/parish.settings_production/' /etc/default/parish; systemctl restart parish; sleep 8",
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing"),
        targets=PARISH_AT,
    ),
)

STACKS = (
    Stack(
        name="auction",
        about="Express in two workers of Node.js's own cluster module (WebSockets, bids in Redis) behind nginx with keepalive",
        files={
            "/srv/auction/server.js": AUCTION_SERVER,
            "/srv/auction/app.js": AUCTION_APP,
            "/etc/systemd/system/auction.service": AUCTION_UNIT,
            "/etc/nginx/sites-available/auction": AUCTION_SITE,
        },
        setup=AUCTION_SETUP,
        routes=(Route(path="/", host=AUCTION, weight=3), Route(path="/lots", host=AUCTION, weight=4), AUCTION_LIVE),
        faults=AUCTION_FAULTS,
        calms=(
            Calm(
                id="auction-day-before-the-sale",
                happens="twenty people look at previews (1.2 s) and leave, hold WebSockets, bid; nginx reloads, Redis saves, logs rotate",
                steps="logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; redis-cli bgsave >/dev/null",
                routes=(Route(path="/preview", host=AUCTION, weight=2), Route(path="/bids", method="POST", host=AUCTION)),
                users=18,
                cancels=True,
            ),
            Calm(
                id="auction-found-by-scanners",
                happens="a scanner asks for a hundred files that there are none of (404), speaks HTTP/1.0 and TLS to port 80, and opens connections without a word",
                steps="for n in $(seq 60); do curl -s -o /dev/null -H 'Host: auction.example' http://127.0.0.1/backup$n.zip; done; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 2 socat - TCP:127.0.0.1:80 >/dev/null || true; "
                "curl -sk -o /dev/null https://127.0.0.1:80/ || true; timeout 2 socat -u OPEN:/dev/null TCP:127.0.0.1:80 || true",
                routes=(Route(path="/.git/HEAD", host=AUCTION), Route(path="/wp-login.php", method="POST", host=AUCTION)),
            ),
        ),
    ),
    Stack(
        name="parish",
        about="Django in gunicorn (six sync workers) on a unix socket behind Apache with the event MPM, MariaDB on its socket; a timer's backup",
        files={
            "/srv/parish/parish/__init__.py": PARISH_INIT,
            "/srv/parish/parish/settings.py": PARISH_SETTINGS,
            "/srv/parish/parish/urls.py": PARISH_URLS,
            "/srv/parish/parish/wsgi.py": PARISH_WSGI,
            "/srv/parish/assets/parish.css": "body { font-family: serif }\n" * 40,
            "/etc/default/parish": "SECRET_KEY=k-16\nDJANGO_SETTINGS_MODULE=parish.settings\n",
            "/etc/systemd/system/parish.service": PARISH_UNIT,
            "/usr/local/sbin/parish-backup": PARISH_BACKUP,
            "/etc/systemd/system/parish-backup.service": "[Unit]\nDescription=backup of parish\n\n[Service]\nType=oneshot\nExecStart=/usr/local/sbin/parish-backup\n",
            "/etc/systemd/system/parish-backup.timer": "[Timer]\nOnCalendar=*-*-* 03:00\n\n[Install]\nWantedBy=timers.target\n",
            "/etc/apache2/sites-available/parish.conf": PARISH_SITE,
        },
        setup=PARISH_SETUP,
        routes=(
            Route(path="/", host=PARISH, weight=4),
            Route(path="/hello", host=PARISH, weight=3),
            Route(path="/static/parish.css", host=PARISH),
        ),
        faults=PARISH_FAULTS,
        calms=(
            Calm(
                id="parish-sunday",
                happens="Apache reloads gracefully, its logs rotate, a dump of the database; people look at the calendar (1.5 s) and leave; a wrong host gets 400, scanners 404",
                steps="logrotate -f /etc/logrotate.d/apache2; apachectl graceful; mariadb-dump --single-transaction parish > /root/parish.sql",
                routes=(
                    Route(path="/calendar", host=PARISH),
                    Route(path="/wp-login.php", host=PARISH),
                    Route(path="/letters", method="POST", host=PARISH, body_bytes=30000),
                ),
                cancels=True,
            ),
        ),
    ),
)
