"""Django in gunicorn with its WebSockets in Daphne behind nginx, and FastAPI in gunicorn's uvicorn workers behind Apache."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")

VET_SETTINGS = """\
import os
SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["vet.example", "127.0.0.1"]
ROOT_URLCONF = "vet.urls"
ASGI_APPLICATION = "vet.asgi.application"
INSTALLED_APPS = ["channels"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [("127.0.0.1", 6379)]}}}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379"}}
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "vet", "USER": "vet", "PASSWORD": "hunter22", "HOST": "127.0.0.1", "PORT": "5432"}}
LOGGING = {"version": 1, "disable_existing_loggers": False, "handlers": {"console": {"class": "logging.StreamHandler"}},
           "root": {"handlers": ["console"], "level": "WARNING"}}
"""
VET_URLS = """\
import time
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

def query(text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()

def pets(request):
    return JsonResponse({"pets": query("select name from pets order by id limit 20"), "seen": cache.get("seen")})

@csrf_exempt
def xray(request):
    return JsonResponse({"bytes": len(request.body)})

def invoices(request):
    time.sleep(45)
    return HttpResponse("invoices")

def hours(request):
    return HttpResponse("open from eight " * 80)

urlpatterns = [path("", pets), path("xray", xray), path("invoices.pdf", invoices), path("hours", hours)]
"""
VET_ASGI = """\
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vet.settings")
from django.core.asgi import get_asgi_application
pages = get_asgi_application()
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

class Queue(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("waiting-room", self.channel_name)
        await self.accept()

application = ProtocolTypeRouter({"http": pages, "websocket": URLRouter([path("ws/queue/", Queue.as_asgi())])})
"""
VET_WSGI = """\
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vet.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
VET_GUNICORN_UNIT = """[Unit]
Description=vet (gunicorn)
After=network.target

[Service]
User=vet
Group=www-data
WorkingDirectory=/srv/vet
EnvironmentFile=/etc/vet.env
ExecStart=/opt/venv/bin/gunicorn --workers 4 --bind 127.0.0.1:8000 vet.wsgi:application
ExecReload=/bin/kill -s HUP $MAINPID
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
VET_DAPHNE_UNIT = """[Unit]
Description=vet (daphne)
After=network.target

[Service]
User=vet
Group=www-data
WorkingDirectory=/srv/vet
EnvironmentFile=/etc/vet.env
ExecStart=/opt/venv/bin/daphne -b 127.0.0.1 -p 8001 vet.asgi:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
VET_SITE = """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
}
upstream vet {
    server 127.0.0.1:8000;
}
server {
    listen 80;
    server_name vet.example;
    client_max_body_size 20m;
    access_log /var/log/nginx/vet-access.log;
    error_log /var/log/nginx/vet-error.log;

    location /ws/ {
        proxy_pass http://127.0.0.1:8001;
        include proxy_params;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 3600;
    }
    location / {
        proxy_pass http://vet;
        include proxy_params;
    }
}
"""
VET_SETUP = """
useradd --system vet
systemctl start postgresql@15-main redis-server
sudo -u postgres psql -q -c "create role vet login password 'hunter22'" -c "create database vet owner vet"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U vet vet -c "create table pets (id serial primary key, name text)" -c "insert into pets (name) select 'pet ' || n from generate_series(1, 300) n"
systemctl enable -q --now vet vet-ws
until curl -fs -o /dev/null http://127.0.0.1:8000/; do sleep 0.2; done
until ss -ltn | grep -q 127.0.0.1:8001; do sleep 0.2; done
ln -s /etc/nginx/sites-available/vet /etc/nginx/sites-enabled/vet; rm /etc/nginx/sites-enabled/default
mount -t tmpfs -o size=24m,mode=755 var /var/lib/nginx
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
VET = "vet.example"
VET_AT = frozenset({"127.0.0.1:8000", "vet"})
VET_WS_AT = frozenset({"127.0.0.1:8001"})
VET_BASE_AT, VET_REDIS_AT = frozenset({"127.0.0.1:5432"}), frozenset({"127.0.0.1:6379"})
VET_WS = Route(path="/ws/queue/", host=VET, websocket=True, weight=2, expect=(101,))
VET_FAULTS = (
    Fault(
        id="vet-requirements-not-installed",
        happens="the release imports stripe and the deploy never ran pip install; gunicorn's workers raise ModuleNotFoundError, and systemd starts it again until it gives up",
        steps="sed -i '1i import stripe' /srv/vet/vet/urls.py; sed -i 's/^from django.core.wsgi/import vet.urls\\nfrom django.core.wsgi/' /srv/vet/vet/wsgi.py; systemctl restart vet",
        settle="test $(journalctl -q -u vet | grep -c 'No module named .stripe') -ge 4",
        expects=NO_START,
        partly=causes("backend-not-running"),
        targets=VET_AT,
    ),
    Fault(
        id="vet-daphne-on-new-port",
        happens="the unit of Daphne is rewritten from the documentation's example with -p 8002; nginx still asks 8001 for the waiting room, the pages go on",
        steps="sed -i 's/-p 8001/-p 8002/' /etc/systemd/system/vet-ws.service; systemctl daemon-reload; systemctl restart vet-ws; until ss -ltn | grep -q :8002; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=VET_WS_AT,
    ),
    Fault(
        id="vet-redis-gets-a-password",
        happens="after a security scan Redis gets requirepass, and nobody tells Django: NOAUTH, 500 for each page that asks the cache and for the waiting room",
        steps="echo 'requirepass s3cret' >> /etc/redis/redis.conf; systemctl restart redis-server",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=VET_AT | VET_WS_AT | VET_REDIS_AT,
    ),
    Fault(
        id="vet-postgres-port-after-upgrade",
        happens="after pg_upgradecluster the cluster in use listens on 5433 (the old one kept 5432 and is stopped); Django asks 5432: connection refused, 500",
        steps="sed -i 's/^port = 5432/port = 5433/' /etc/postgresql/15/main/postgresql.conf; systemctl restart postgresql@15-main",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=VET_AT | VET_BASE_AT,
    ),
    Fault(
        id="vet-invoices-longer-than-worker",
        happens="the invoices of the month take 45 s to make; gunicorn's own timeout is its default of 30, and it kills the worker",
        steps="true",
        routes=(Route(path="/invoices.pdf", host=VET),),
        failures=3,
        patience_s=60.0,
        limit_s=130.0,
        users=4,
        expects=causes("worker-timeout"),
        partly=OWN_ERROR
        | causes("premature-close", "connection-reset", "backend-too-slow", "workers-exhausted", "backend-crashed"),
        targets=VET_AT,
    ),
    Fault(
        id="vet-disk-of-bodies-full",
        happens="/var/lib/nginx lies on a small volume that an old backup fills; nginx cannot write the X-rays that people send: 500, the pages go on",
        steps="head -c 30m /dev/zero > /var/lib/nginx/backup.tar 2>/dev/null || true",
        settle="test $(grep -c 'xray.* 500 ' /var/log/nginx/vet-access.log) -ge 12",
        routes=(Route(path="/xray", method="POST", host=VET, body_bytes=1500000, weight=4),),
        expects=causes("disk-full", "proxy-temp-unwritable"),
    ),
    Fault(
        id="vet-site-without-upgrade",
        happens="the site's file is made anew from a template without the Upgrade and Connection headers: Django answers 404 for the waiting room",
        steps="sed -i '/Upgrade/d; /proxy_http_version/d; /Connection/d' /etc/nginx/sites-available/vet; systemctl reload nginx",
        failures=0,
        settle="test $(grep -c 'ws/queue/.* 404 ' /var/log/nginx/vet-access.log) -ge 10",
        expects=causes("websocket-upgrade-missing"),
        targets=VET_WS_AT,
    ),
)

NURSERY_APP = """\
import hashlib, os, time
import pymysql
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect
app = FastAPI()

def query(text):
    base = pymysql.connect(host="127.0.0.1", user="nursery", password="hunter22", database="nursery", connect_timeout=5)
    try:
        with base.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        base.close()

@app.get("/")
def children():
    return {"children": query("select name from children order by id limit 20")}

@app.get("/menu")
async def menu():
    return {"menu": ["soup", "rice"] * 60}

@app.get("/diary")
def diary():
    time.sleep(3)
    return {"diary": "slept well " * 50}

@app.get("/album")
async def album():
    end = time.monotonic() + 14
    while time.monotonic() < end:
        time.sleep(0.5)
        hashlib.sha256(b"x" * 100000).hexdigest()
    return {"album": 1}

@app.websocket("/live/cam")
async def cam(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_json({"frame": await socket.receive_text()})
    except WebSocketDisconnect:
        pass
"""
NURSERY_UNIT = """[Unit]
Description=nursery API
After=network.target mariadb.service

[Service]
User=nursery
WorkingDirectory=/srv/nursery
ExecStart=/opt/venv/bin/gunicorn -k uvicorn_worker.UvicornWorker -w 2 --keep-alive 65 -b 127.0.0.1:8010 nursery.main:app
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
NURSERY_SITE = """\
<VirtualHost *:80>
    ServerName nursery.example
    DocumentRoot /var/www/nursery
    ErrorLog ${APACHE_LOG_DIR}/nursery-error.log
    CustomLog ${APACHE_LOG_DIR}/nursery-access.log combined
    ProxyPreserveHost On
    ProxyPass /static/ !
    ProxyPass /live/ ws://127.0.0.1:8010/live/
    ProxyPass / http://127.0.0.1:8010/ timeout=10
    ProxyPassReverse / http://127.0.0.1:8010/
</VirtualHost>
"""
NURSERY_SETUP = """
useradd --system nursery; chown -R nursery: /srv/nursery; mkdir -p /var/www/nursery/static; head -c 40000 /dev/urandom > /var/www/nursery/static/logo.png
systemctl enable -q --now mariadb
mariadb <<SQL
create database nursery; create user nursery@localhost identified by 'hunter22'; create user nursery@'127.0.0.1' identified by 'hunter22';
grant all on nursery.* to nursery@localhost; grant all on nursery.* to nursery@'127.0.0.1';
use nursery; create table children (id int auto_increment primary key, name varchar(99)); insert into children (name) select concat('child ', seq) from seq_1_to_200;
SQL
systemctl enable -q --now nursery
until curl -fs -o /dev/null http://127.0.0.1:8010/; do sleep 0.2; done
a2enmod -q proxy proxy_http proxy_wstunnel; a2dissite -q 000-default; a2ensite -q nursery
apachectl -t 2>/dev/null; systemctl enable -q --now apache2
"""
NURSERY = "nursery.example"
NURSERY_AT = frozenset({"127.0.0.1:8010"})
NURSERY_FAULTS = (
    Fault(
        id="nursery-mariadb-option-of-mysql8",
        happens="somebody copies an option of MySQL 8 (innodb_dedicated_server) into MariaDB's configuration; at its next restart it ends with `unknown variable`, and the pages that ask it are 500",
        steps="printf '[mysqld]\\ninnodb_dedicated_server=ON\\n' > /etc/mysql/mariadb.conf.d/99-tuning.cnf; systemctl restart mariadb || true",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=NURSERY_AT | {"127.0.0.1:3306"},
    ),
    Fault(
        id="nursery-module-tidied-away",
        happens="a colleague disables Apache modules that `nobody needs`, proxy_http among them: `No protocol handler was valid for the URL`, 500",
        steps="a2dismod -q -f proxy_http; systemctl restart apache2",
        settle="test $(grep -c '\" 500 ' /var/log/apache2/nursery-access.log) -ge 20",
        expects=causes("proxy-module-missing"),
    ),
    Fault(
        id="nursery-bound-to-public-address",
        happens="for a test from a phone the API was bound to the machine's public address and left so; Apache asks 127.0.0.1",
        steps="sed -i 's/-b 127.0.0.1:8010/-b 203.0.113.10:8010/' /etc/systemd/system/nursery.service; systemctl daemon-reload; systemctl restart nursery; "
        "until curl -fs -o /dev/null http://203.0.113.10:8010/menu; do sleep 0.2; done",
        expects=causes("wrong-address"),
        partly=causes("wrong-port", "backend-not-running"),
        targets=NURSERY_AT,
    ),
    Fault(
        id="nursery-sixty-seconds-after-restart",
        happens="the API is restarted for a release and takes eight seconds; it answers again, and Apache goes on with 503 for the rest of its retry of 60 s",
        steps="systemctl stop nursery; sleep 8; systemctl start nursery; until curl -fs -o /dev/null http://127.0.0.1:8010/menu; do sleep 0.2; done; sleep 3",
        failures=20,
        expects=causes("deploy-termination-race", "all-upstreams-down", "circuit-breaker-open"),
        partly=causes("backend-not-running"),
        targets=NURSERY_AT,
    ),
    Fault(
        id="nursery-album-blocks-the-loop",
        happens="the album is made in an `async def` without any await (14 s): the event loop of that worker stands still, Apache waits for 10 s, and quick pages fail with it",
        steps="true",
        routes=(Route(path="/album", host=NURSERY),),
        limit_s=100.0,
        expects=causes("backend-too-slow", "workers-exhausted", "backend-hung"),
        partly=causes("proxy-timeout-too-short", "cpu-saturation"),
        targets=NURSERY_AT,
    ),
    Fault(
        id="nursery-deployed-as-root",
        happens="the release is unpacked by root with umask 077; the API's user may not read it, and gunicorn does not start (PermissionError or ModuleNotFoundError)",
        steps="chown -R root:root /srv/nursery/nursery; chmod -R go-rwx /srv/nursery/nursery; systemctl restart nursery; sleep 3",
        expects=NO_START,
        partly=causes("backend-not-running"),
        targets=NURSERY_AT,
    ),
    Fault(
        id="nursery-apache-of-a-small-server",
        happens="a guide for servers with little memory: MaxRequestWorkers 6 (prefork); at pick-up time forty parents read the diary (3 s), requests wait until they give up after 8 s",
        steps="printf 'StartServers 2\\nMinSpareServers 1\\nMaxSpareServers 3\\nServerLimit 6\\nMaxRequestWorkers 6\\n' > /etc/apache2/mods-available/mpm_prefork.conf; systemctl restart apache2",
        routes=(Route(path="/diary", host=NURSERY, weight=30),),
        users=40,
        patience_s=8.0,
        failures=120,
        limit_s=120.0,
        settle="grep -q AH00161 /var/log/apache2/error.log /var/log/apache2/nursery-error.log",
        expects=causes("worker-connections-exhausted"),
        partly=causes("workers-exhausted", "backend-too-slow", "client-closed-request"),
    ),
)

STACKS = (
    Stack(
        name="vet",
        about="Django in gunicorn (four workers, TCP) and its WebSockets in Daphne behind nginx, PostgreSQL, Redis as cache and channel layer",
        files={
            "/srv/vet/vet/__init__.py": "",
            "/srv/vet/vet/settings.py": VET_SETTINGS,
            "/srv/vet/vet/urls.py": VET_URLS,
            "/srv/vet/vet/asgi.py": VET_ASGI,
            "/srv/vet/vet/wsgi.py": VET_WSGI,
            "/etc/vet.env": "DJANGO_SECRET_KEY=k-1\nDJANGO_SETTINGS_MODULE=vet.settings\n",
            "/etc/systemd/system/vet.service": VET_GUNICORN_UNIT,
            "/etc/systemd/system/vet-ws.service": VET_DAPHNE_UNIT,
            "/etc/nginx/sites-available/vet": VET_SITE,
        },
        setup=VET_SETUP,
        routes=(
            Route(path="/", host=VET, weight=4),
            Route(path="/hours", host=VET, weight=3),
            Route(path="/xray", method="POST", host=VET, body_bytes=60000),
            VET_WS,
        ),
        faults=VET_FAULTS,
        calms=(
            Calm(
                id="vet-monday-morning",
                happens="gunicorn reloads (HUP), nginx reloads, logs rotate, a vacuum, Redis saves; owners close the waiting room, a scanner asks for .env and wp-login (404)",
                steps="systemctl reload vet; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; sudo -u postgres psql -q vet -c 'vacuum analyze'; redis-cli bgsave >/dev/null",
                routes=(Route(path="/wp-login.php", host=VET), Route(path="/.env", host=VET)),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="nursery",
        about="FastAPI in two uvicorn workers of gunicorn on 127.0.0.1:8010 behind Apache with the prefork MPM (HTTP and WebSockets, ten seconds), MariaDB",
        files={
            "/srv/nursery/nursery/__init__.py": "",
            "/srv/nursery/nursery/main.py": NURSERY_APP,
            "/etc/systemd/system/nursery.service": NURSERY_UNIT,
            "/etc/apache2/sites-available/nursery.conf": NURSERY_SITE,
        },
        setup=NURSERY_SETUP,
        routes=(
            Route(path="/", host=NURSERY, weight=4),
            Route(path="/menu", host=NURSERY, weight=3),
            Route(path="/static/logo.png", host=NURSERY),
        ),
        faults=NURSERY_FAULTS,
        calms=(
            Calm(
                id="nursery-pick-up-time",
                happens="parents read the diary (3 s) and leave in the middle, the camera is watched, Apache reloads gracefully, its logs rotate, a dump of the database; scanners get 404",
                steps="logrotate -f /etc/logrotate.d/apache2; apachectl graceful; mariadb-dump --single-transaction nursery > /root/nursery.sql",
                routes=(
                    Route(path="/diary", host=NURSERY),
                    Route(path="/live/cam", host=NURSERY, websocket=True, expect=(101,)),
                    Route(path="/phpmyadmin/", host=NURSERY),
                ),
                cancels=True,
            ),
        ),
    ),
)
