"""Three sites of one machine, each in a gunicorn of a template unit behind nginx: Django with Celery, a shop on MariaDB, tickets."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import MARIADB

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

KEEPERS = """\
import os
from django.conf import settings
settings.configure(SECRET_KEY=os.environ["KEEPERS_SECRET"], ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DATA_UPLOAD_MAX_MEMORY_SIZE=None)
import django
django.setup()
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
import jobs

def home(request):
    return HttpResponse("<p>keepers of the day</p>" * 60)

def rota(request):
    return HttpResponse("rota " * jobs.rota.delay(40).get(timeout=60))

@csrf_exempt
def photos(request):
    return HttpResponse(str(len(request.body)))

urlpatterns = [path("", home), path("rota", rota), path("photos", photos)]
application = get_wsgi_application()
"""
JOBS = """\
from celery import Celery

app = Celery("jobs", broker="redis://127.0.0.1/1", backend="redis://127.0.0.1/2")

@app.task
def rota(count):
    return count
"""
ZOO_SHOP = """\
import contextlib, os
import pymysql
from flask import Flask, jsonify

application = Flask(__name__)

@application.get("/")
def home():
    return "<p>plush and postcards</p>" * 60

@application.get("/goods")
def goods():
    with contextlib.closing(pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="shop", password="hunter22", database="shop")) as db:
        with db.cursor() as cursor:
            cursor.execute("select id, name from products limit 30")
            return jsonify(cursor.fetchall())
"""
TICKETS = """\
import os, time
from flask import Flask, request

application = Flask(__name__)

@application.get("/")
def home():
    return "<p>tickets</p>" * 60

@application.get("/day")
def day():
    if request.args.get("date") == "0000-00-00":
        os.abort()  # the library of calendars does this
    return "free places " * 40

@application.get("/season")
def season():
    time.sleep(2.2)
    return "season " * 100
"""
ZOO_UNIT = """[Unit]
Description=Site %i of the zoo
After=network.target redis-server.service mariadb.service

[Service]
User=www-data
Group=www-data
RuntimeDirectory=zoo-%i
WorkingDirectory=/srv/zoo/%i
EnvironmentFile=-/etc/zoo/%i.env
ExecStart=/opt/venv/bin/gunicorn --workers 5 --timeout 60 --bind unix:/run/zoo-%i/gunicorn.sock --umask 007 site_%i:application
ExecReload=/bin/kill -s HUP $MAINPID
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
CELERY_UNIT = """[Unit]
Description=Celery of the keepers
After=network.target redis-server.service

[Service]
User=www-data
WorkingDirectory=/srv/zoo/keepers
ExecStart=/opt/venv/bin/celery -A jobs worker --concurrency 2 --loglevel INFO
Restart=always

[Install]
WantedBy=multi-user.target
"""


def _site(name: str, more: str = "") -> str:
    return f"""\
server {{
    listen 80;
    server_name {name}.zoo.example;
    access_log /var/log/nginx/zoo-{name}.access.log;
    error_log /var/log/nginx/zoo-{name}.error.log;
    {more}
    location / {{
        include proxy_params;
        proxy_read_timeout 10s;
        proxy_pass http://unix:/run/zoo-{name}/gunicorn.sock;
    }}
}}
"""


ZOO_SITES = ("keepers", "shop", "tickets")
ZOO_UP = "; ".join(
    f"until curl -fs -o /dev/null --unix-socket /run/zoo-{name}/gunicorn.sock http://zoo/; do sleep 0.2; done"
    for name in ZOO_SITES
)
ZOO_SETUP = (
    MARIADB
    + f"""
systemctl enable -q --now redis-server
chown -R www-data: /srv/zoo
systemctl daemon-reload; systemctl enable -q --now zoo-celery zoo@keepers zoo@shop zoo@tickets
{ZOO_UP}
rm /etc/nginx/sites-enabled/default; for name in {" ".join(ZOO_SITES)}; do ln -s /etc/nginx/sites-available/$name /etc/nginx/sites-enabled/$name; done
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
)


def _at(name: str) -> frozenset[str]:
    return frozenset({f"unix:/run/zoo-{name}/gunicorn.sock"})


def _zoo(name: str, path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0) -> Route:
    return Route(path=path, host=f"{name}.zoo.example", weight=weight, method=method, body_bytes=body_bytes)


ZOO_FAULTS = (
    Fault(
        id="zoo-keepers-without-secret",
        happens="the deploy of the keepers' site writes its environment from a template without KEEPERS_SECRET: KeyError, no start; shop and tickets go on",
        steps="echo KEEPERS_THEME=green > /etc/zoo/keepers.env; systemctl restart zoo@keepers || true; sleep 5",
        routes=(_zoo("keepers", "/", 4),),
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crashed"),
        targets=_at("keepers"),
    ),
    Fault(
        id="zoo-tickets-tried-as-root",
        happens="somebody tries the new release of the tickets by hand, as root with umask 077: his gunicorn takes the place of the socket, and nginx may not connect to his",
        steps="cd /srv/zoo/tickets; systemd-run -q -p UMask=0077 -p WorkingDirectory=/srv/zoo/tickets /opt/venv/bin/gunicorn --umask 0077 --bind unix:/run/zoo-tickets/gunicorn.sock site_tickets:application; until test $(stat -c %U /run/zoo-tickets/gunicorn.sock) = root; do sleep 0.2; done",
        routes=(_zoo("tickets", "/day", 4),),
        settle="test $(grep -c 'Permission denied' /var/log/nginx/zoo-tickets.error.log) -ge 8",
        expects=causes("unix-socket-permission"),
        targets=_at("tickets"),
    ),
    Fault(
        id="zoo-shop-moved-nginx-not-reloaded",
        happens="the shop's instance gets the name `store`, and nginx's file its new socket; the pipeline ends before it reloads nginx",
        steps="systemctl disable -q --now zoo@shop; mv /srv/zoo/shop /srv/zoo/store; mv /srv/zoo/store/site_shop.py /srv/zoo/store/site_store.py; systemctl enable -q --now zoo@store; sed -i 's#/run/zoo-shop/#/run/zoo-store/#' /etc/nginx/sites-available/shop; until test -S /run/zoo-store/gunicorn.sock; do sleep 0.2; done",
        routes=(_zoo("shop", "/goods", 4),),
        expects=causes("proxy-config-not-loaded"),
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=_at("shop"),
    ),
    Fault(
        id="zoo-celery-stopped",
        happens="Celery was stopped to empty its queue and not started again; who opens the rota waits for a result that nobody computes: 504 after ten seconds",
        steps="systemctl stop zoo-celery",
        routes=(_zoo("keepers", "/rota", 2),),
        failures=8,
        limit_s=100.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=causes("backend-too-slow", "backend-hung", "workers-exhausted", "proxy-timeout-too-short"),
        targets=_at("keepers") | {"127.0.0.1:6379"},
    ),
    Fault(
        id="zoo-tickets-of-day-zero",
        happens="a link with the date 0000-00-00 makes a library abort: gunicorn's worker dies by SIGABRT each time, all other days are well",
        steps="true",
        routes=(_zoo("tickets", "/day?date=0000-00-00", 3),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=_at("tickets"),
    ),
    Fault(
        id="zoo-photos-of-keepers",
        happens="keepers send photos of three megabytes from their phones; nginx takes one megabyte unless told otherwise: 413 (client intended to send too large body)",
        steps="true",
        routes=(_zoo("keepers", "/photos", 5, "POST", 3 << 20),),
        failures=0,
        settle="test $(grep -c 'too large body' /var/log/nginx/zoo-keepers.error.log) -ge 12",
        limit_s=90.0,
        expects=causes("request-too-large"),
    ),
    Fault(
        id="zoo-shop-metadata-lock",
        happens="a report holds a transaction on the goods, and an ALTER TABLE of the deploy waits behind it; every later query waits behind that (Waiting for table metadata lock): 504 for the goods",
        steps="systemd-run -q mariadb shop -e 'start transaction; select count(*) from products; do sleep(600)'; sleep 1; systemd-run -q mariadb shop -e 'alter table products add column shelf int'; sleep 1",
        routes=(_zoo("shop", "/goods", 4),),
        limit_s=100.0,
        expects=causes("backend-dependency-slow"),
        partly=causes("backend-too-slow", "backend-hung", "workers-exhausted", "proxy-timeout-too-short"),
        targets=_at("shop") | {"unix:/run/mysqld/mysqld.sock"},
    ),
)

STACKS = (
    Stack(
        name="zoo",
        about="three sites in instances of one template unit of gunicorn on unix sockets behind nginx: Django with Celery and Redis, Flask with MariaDB, Flask alone",
        files={
            "/srv/zoo/keepers/site_keepers.py": KEEPERS,
            "/srv/zoo/keepers/jobs.py": JOBS,
            "/srv/zoo/shop/site_shop.py": ZOO_SHOP,
            "/srv/zoo/tickets/site_tickets.py": TICKETS,
            "/etc/zoo/keepers.env": "KEEPERS_SECRET=okapi\n",
            "/etc/systemd/system/zoo@.service": ZOO_UNIT,
            "/etc/systemd/system/zoo-celery.service": CELERY_UNIT,
            "/etc/nginx/sites-available/keepers": _site("keepers"),
            "/etc/nginx/sites-available/shop": _site("shop"),
            "/etc/nginx/sites-available/tickets": _site("tickets"),
        },
        setup=ZOO_SETUP,
        routes=(
            _zoo("keepers", "/", 2),
            _zoo("keepers", "/rota"),
            _zoo("shop", "/", 1),
            _zoo("shop", "/goods", 2),
            _zoo("tickets", "/day", 2),
        ),
        faults=ZOO_FAULTS,
        calms=(
            Calm(
                id="zoo-morning-deploy",
                happens="shop and tickets reload one after the other, nginx reloads, logs rotate; photos of half a megabyte arrive, a robot asks the shop for pages of the old site",
                steps="for name in shop tickets; do systemctl reload zoo@$name; done; systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(
                    _zoo("keepers", "/photos", 1, "POST", 500_000),
                    _zoo("shop", "/index.php?id=7"),
                    _zoo("tickets", "/season"),
                ),
                seconds=18,
                cancels=True,
            ),
            Calm(
                id="zoo-school-holiday",
                happens="many more visitors than on other days, the season's page takes 2.2 s and comes, the fourth site is only planned (its unit is inactive, its nginx file not enabled)",
                steps="cp /etc/nginx/sites-available/shop /etc/nginx/sites-available/aquarium; sed -i 's/shop/aquarium/g' /etc/nginx/sites-available/aquarium; mkdir -p /srv/zoo/aquarium",
                routes=(_zoo("tickets", "/season"), _zoo("shop", "/goods", 4)),
                seconds=18,
                users=14,
            ),
        ),
    ),
)
