"""Django with Celery in a socket-activated gunicorn behind nginx, and Flask with a pool of connections in gunicorn behind Caddy."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")

HOSTEL_SETTINGS = """\
import os

SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["hostel.example", "localhost"]
INSTALLED_APPS = ["django.contrib.contenttypes"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "hostel.views"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "hostel",
        "USER": "hostel",
        "PASSWORD": "hunter22",
        "HOST": "127.0.0.1",
        "CONN_MAX_AGE": 60,
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379/1"}}
BROKER = "redis://127.0.0.1:6379/0"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
"""
HOSTEL_VIEWS = """\
import shutil, tempfile, time
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path
from hostel.tasks import quote

def rooms(request):
    with connection.cursor() as cursor:
        cursor.execute("select name, free from rooms order by id limit 20")
        return JsonResponse({"rooms": cursor.fetchall()})

def about(request):
    return HttpResponse("<p>breakfast from seven</p>" * 60)

def basket(request):
    cache.set("basket", "x" * 20000)
    return HttpResponse("saved")

def price(request):
    return JsonResponse({"price": quote.delay(3).get(timeout=20)})

def photo(request):
    with tempfile.NamedTemporaryFile() as kept:
        shutil.copyfileobj(request, kept)
        return JsonResponse({"bytes": kept.tell()})

def invoice(request):
    time.sleep(float(request.GET.get("s", 1)))
    return HttpResponse("invoice")

urlpatterns = [
    path("", rooms),
    path("about", about),
    path("basket", basket),
    path("price", price),
    path("photo", photo),
    path("invoice", invoice),
]
"""
HOSTEL_TASKS = """\
from celery import Celery

app = Celery("hostel", broker="redis://127.0.0.1:6379/0", backend="redis://127.0.0.1:6379/0")

@app.task
def quote(nights):
    return nights * 42
"""
HOSTEL_WSGI = """\
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostel.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
HOSTEL_SOCKET = """[Unit]
Description=Socket of the hostel

[Socket]
ListenStream=/run/hostel.sock
SocketUser=www-data
SocketMode=0660

[Install]
WantedBy=sockets.target
"""
HOSTEL_SERVICE = """[Unit]
Description=Site of the hostel
Requires=hostel.socket
After=network.target postgresql.service redis-server.service

[Service]
Type=notify
User=hostel
Group=hostel
WorkingDirectory=/srv/hostel
EnvironmentFile=/etc/hostel.env
ExecStart=/opt/venv/bin/gunicorn --workers 3 --timeout 60 hostel.wsgi:application
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=mixed

[Install]
WantedBy=multi-user.target
"""
HOSTEL_CELERY = """[Unit]
Description=Celery of the hostel
After=redis-server.service

[Service]
User=hostel
Group=hostel
WorkingDirectory=/srv/hostel
ExecStart=/opt/venv/bin/celery -A hostel.tasks worker --concurrency 2 --loglevel WARNING
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
HOSTEL_SITE = """\
upstream hostel {
    server unix:/run/hostel.sock fail_timeout=0;
}
server {
    listen 80;
    listen [::]:80;
    server_name hostel.example;
    access_log /var/log/nginx/hostel.access.log;
    error_log /var/log/nginx/hostel.error.log;
    client_max_body_size 20m;

    location / {
        proxy_pass http://hostel;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_redirect off;
        proxy_read_timeout 15s;
    }
}
"""
HOSTEL_ASK = "curl -fs -o /dev/null -H 'Host: hostel.example' http://127.0.0.1"
HOSTEL_SETUP = f"""
useradd --system hostel
systemctl enable -q --now postgresql@15-main redis-server
sudo -u postgres psql -q <<SQL
create role hostel login password 'hunter22';
create database hostel owner hostel;
SQL
sudo -u postgres psql -q hostel <<SQL
create table rooms (id serial primary key, name text, free int);
insert into rooms (name, free) select 'dormitory ' || n, 8 from generate_series(1, 60) n;
alter table rooms owner to hostel;
SQL
touch /srv/hostel/hostel/__init__.py; echo SECRET_KEY=pillow > /etc/hostel.env; chown -R hostel: /srv/hostel
systemctl daemon-reload
systemctl enable -q --now hostel.socket hostel-celery
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/hostel /etc/nginx/sites-enabled/hostel
systemctl enable -q --now nginx
until {HOSTEL_ASK}/price; do sleep 0.5; done
"""


def _hostel(path: str, weight: int = 1, expect: int = 200, **more: object) -> Route:
    return Route(path=path, host="hostel.example", weight=weight, expect=(expect,), **more)  # type: ignore[arg-type]


HOSTEL_AT = frozenset({"unix:/run/hostel.sock", "hostel"})
HOSTEL_FAULTS = (
    Fault(
        id="hostel-after-reboot-no-socket",
        happens="the socket unit was started by hand and never enabled; after the reboot nobody made /run/hostel.sock (the journal is volatile and starts with that boot): 502",
        steps="systemctl disable -q hostel.socket; systemctl stop hostel.socket hostel.service; rm -f /run/hostel.sock; journalctl -q --rotate --vacuum-time=1s 2>/dev/null; systemctl reset-failed",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=HOSTEL_AT,
    ),
    Fault(
        id="hostel-socket-unit-renewed",
        happens="the playbook renews the socket unit with the owner root and mode 0600 and restarts it: permission denied for nginx, 502",
        steps="sed -i 's/SocketUser=www-data/SocketUser=root/; s/0660/0600/' /etc/systemd/system/hostel.socket; systemctl daemon-reload; systemctl stop hostel.service; systemctl restart hostel.socket",
        expects=causes("unix-socket-permission"),
        targets=HOSTEL_AT,
    ),
    Fault(
        id="hostel-release-wants-a-key",
        happens="the new release reads STRIPE_KEY from an environment that has none: the service fails each time a visitor wakes it, until systemd gives the socket up, too",
        steps="echo 'STRIPE_KEY = os.environ[\"STRIPE_KEY\"]' >> /srv/hostel/hostel/settings.py; systemctl restart hostel.service || true",
        limit_s=90.0,
        failures=20,
        settle="! systemctl -q is-active hostel.socket",
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crashed"),
        targets=HOSTEL_AT,
    ),
    Fault(
        id="hostel-celery-stopped",
        happens="Celery was stopped for an upgrade of Redis and nobody started it again; each price waits for its task for 20 seconds in one of three workers, and nginx gives up after 15: 504, soon for everything",
        steps="systemctl disable -q --now hostel-celery",
        routes=(_hostel("/price", 3),),
        limit_s=120.0,
        failures=16,
        patience_s=40.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=HANGS | causes("proxy-timeout-too-short"),
        targets=HOSTEL_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="hostel-migration-holds-a-lock",
        happens="a migration in an open psql holds an exclusive lock on the rooms; pages that list them wait until nginx gives up: 504",
        steps="systemd-run -q --unit=migration sudo -u postgres psql hostel -c 'begin; alter table rooms add column beds int; select pg_sleep(600)'; sleep 2",
        limit_s=120.0,
        failures=16,
        patience_s=40.0,
        expects=causes("backend-dependency-slow"),
        partly=HANGS,
        targets=HOSTEL_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="hostel-redis-at-its-limit",
        happens="Redis reaches its maxmemory with the policy noeviction: OOM command not allowed when used memory > 'maxmemory', 500 for each basket; pages that only read go on",
        steps="redis-cli config set maxmemory 1mb >/dev/null; redis-cli config set maxmemory-policy noeviction >/dev/null",
        routes=(_hostel("/basket", 5),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=HOSTEL_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="hostel-tmp-is-full",
        happens="/tmp is a small volume and full of somebody's dumps; the site keeps a photo there first: OSError, No space left on device, 500 for photos",
        steps="mount -t tmpfs -o size=12m,mode=1777 tmpfs /tmp; head -c 11m /dev/zero > /tmp/dump.sql; systemctl restart hostel.service; until "
        + HOSTEL_ASK
        + "/; do sleep 0.3; done",
        routes=(_hostel("/photo", 5, method="POST", body_bytes=4_000_000),),
        expects=causes("disk-full"),
        partly=OWN_ERROR,
    ),
)

BUREAU_CADDY = """\
{
    log default {
        output file /var/log/caddy/caddy.log
    }
}
http://bureau.example {
    log {
        output file /var/log/caddy/bureau.log
    }
    handle /assets/* {
        root * /srv/bureau
        file_server
    }
    handle {
        reverse_proxy 127.0.0.1:8700 {
            transport http {
                dial_timeout 3s
                response_header_timeout 10s
            }
        }
    }
}
"""
BUREAU_APP = """\
import os, queue, time
import pymysql
from flask import Flask, jsonify, request

application = Flask(__name__)
pool = queue.LifoQueue()
for _ in range(5):
    pool.put(None)

def connect():
    return pymysql.connect(host="127.0.0.1", user="bureau", password="hunter22", database="bureau", autocommit=True, read_timeout=40)

def ask(sql):
    try:
        line = pool.get(timeout=4)
    except queue.Empty:
        raise TimeoutError("connection pool of size 5 is exhausted, timed out after 4 s") from None
    if line is None:
        try:
            line = connect()
        except Exception:
            pool.put(None)
            raise
    with line.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall()
    pool.put(line)
    return rows

@application.get("/")
def home():
    return "<p>forms and stamps</p>" * 80

@application.get("/cases")
def cases():
    return jsonify(ask("select id, title from cases order by id limit 30"))

@application.get("/export")
def export():
    return jsonify(ask("select id, subject from cases"))

@application.get("/yearly")
def yearly():
    time.sleep(float(request.args.get("s", "2")))
    return "yearly"
"""
BUREAU_UNIT = """[Unit]
Description=Bureau
After=network.target mariadb.service

[Service]
User=www-data
WorkingDirectory=/srv/bureau
EnvironmentFile=-/etc/bureau.env
ExecStart=/opt/venv/bin/gunicorn --worker-class gthread --workers 1 --threads 12 --timeout 60 --bind 127.0.0.1:8700 bureau:application
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
BUREAU_UP = "until curl -fs -o /dev/null http://127.0.0.1:8700/; do sleep 0.2; done"
BUREAU_SETUP = f"""
systemctl enable -q --now mariadb
mariadb <<SQL
create database bureau; create user bureau@'127.0.0.1' identified by 'hunter22'; create user bureau@localhost identified by 'hunter22';
grant all on bureau.* to bureau@'127.0.0.1'; grant all on bureau.* to bureau@localhost;
use bureau; create table cases (id int auto_increment primary key, title varchar(99)) engine=innodb;
insert into cases (title) select concat('case ', seq) from seq_1_to_300;
SQL
systemctl daemon-reload; systemctl enable -q --now bureau
{BUREAU_UP}
mkdir -p /var/log/caddy; chown caddy: /var/log/caddy
systemctl enable -q --now caddy
"""


def _bureau(path: str, weight: int = 1, expect: int = 200, **more: object) -> Route:
    return Route(path=path, host="bureau.example", weight=weight, expect=(expect,), **more)  # type: ignore[arg-type]


BUREAU_AT = frozenset({"127.0.0.1:8700"})
SQL_AT = frozenset({"127.0.0.1:3306"})
BUREAU_FAULTS = (
    Fault(
        id="bureau-pool-leaks",
        happens="the export asks for a column that is not there, and its connection never returns to the pool of five; soon every page that asks the database fails with 'connection pool of size 5 is exhausted': 500",
        steps="true",
        routes=(_bureau("/export", 1, 500),),
        limit_s=90.0,
        failures=24,
        settle="test $(journalctl -u bureau | grep -c 'is exhausted') -ge 6",
        expects=causes("application-error"),
        partly=causes("upstream-error-status", "backend-dependency-down", "workers-exhausted"),
        targets=BUREAU_AT,
    ),
    Fault(
        id="bureau-caddy-not-reloaded",
        happens="the service moves to port 8701 and the Caddyfile with it, but Caddy is not reloaded: it still asks 8700, connection refused, 502",
        steps="sed -i s/8700/8701/ /etc/systemd/system/bureau.service /etc/caddy/Caddyfile; systemctl daemon-reload; systemctl restart bureau; until curl -fs -o /dev/null http://127.0.0.1:8701/; do sleep 0.2; done",
        expects=causes("proxy-config-not-loaded"),
        partly=causes("wrong-port", "backend-not-running"),
    ),
    Fault(
        id="bureau-caddyfile-with-a-typo",
        happens="a directive is misspelt (revers_proxy), and the machine is restarted a week later: Caddy does not start, nobody listens on port 80",
        steps="sed -i s/reverse_proxy/revers_proxy/ /etc/caddy/Caddyfile; systemctl restart caddy || true",
        expects=causes("proxy-config-invalid", "proxy-not-running"),
    ),
    Fault(
        id="bureau-too-many-connections",
        happens="a copied my.cnf sets max_connections to 10, and idle clients of a reporting tool hold them all: (1040, 'Too many connections'), 500 for cases",
        steps="mariadb -e 'set global max_connections = 10'; for n in $(seq 10); do systemd-run -q --unit=reporting$n mariadb -h 127.0.0.1 -ubureau -phunter22 bureau -e 'select sleep(900)'; done; sleep 2; systemctl restart bureau; "
        + BUREAU_UP,
        routes=(_bureau("/cases", 4),),
        settle="test $(grep -c '\"status\":500' /var/log/caddy/bureau.log) -ge 25",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=BUREAU_AT | SQL_AT,
    ),
    Fault(
        id="bureau-interpreter-moved",
        happens="the virtual environment is moved to /opt/bureau-venv, and the unit still names the old path: 203/EXEC, again and again, 502",
        steps="sed -i 's#/opt/venv/bin/gunicorn#/srv/bureau/venv/bin/gunicorn#' /etc/systemd/system/bureau.service; systemctl daemon-reload; systemctl restart bureau || true; sleep 4",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=BUREAU_AT,
    ),
    Fault(
        id="bureau-cookie-grew",
        happens="a portal sets a cookie of 9 kB for the whole domain; gunicorn's limit for a header is 8190 bytes: 431 for everybody who came by way of the portal",
        steps="true",
        routes=(_bureau("/cases", 30, headers={"Cookie": "portal=" + "x" * 9000}),),
        failures=0,
        limit_s=60.0,
        settle="test $(grep -cE '\"status\":(400|431)' /var/log/caddy/bureau.log) -ge 20",
        expects=causes("request-header-too-big"),
        partly=causes("client-bad-request", "request-too-large", "upstream-error-status"),
        targets=BUREAU_AT,
    ),
    Fault(
        id="bureau-stopped-by-a-debugger",
        happens="somebody attached a debugger to the worker and went to lunch: the worker stands still, connections are accepted and never answered, Caddy gives up after ten seconds: 504",
        steps="systemctl kill -s STOP bureau",
        limit_s=90.0,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted"),
        targets=BUREAU_AT,
    ),
    Fault(
        id="bureau-yearly-report",
        happens="the yearly report takes 14 seconds, as it did last year, when Caddy had no response_header_timeout: 504 after ten for it alone",
        steps="true",
        routes=(_bureau("/yearly?s=14", 2),),
        limit_s=100.0,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        targets=BUREAU_AT,
    ),
)

STACKS = (
    Stack(
        name="hostel",
        about="Django in gunicorn (three sync workers) on a socket of systemd behind nginx, Celery and the cache on Redis, PostgreSQL",
        files={
            "/srv/hostel/hostel/settings.py": HOSTEL_SETTINGS,
            "/srv/hostel/hostel/views.py": HOSTEL_VIEWS,
            "/srv/hostel/hostel/tasks.py": HOSTEL_TASKS,
            "/srv/hostel/hostel/wsgi.py": HOSTEL_WSGI,
            "/etc/systemd/system/hostel.socket": HOSTEL_SOCKET,
            "/etc/systemd/system/hostel.service": HOSTEL_SERVICE,
            "/etc/systemd/system/hostel-celery.service": HOSTEL_CELERY,
            "/etc/nginx/sites-available/hostel": HOSTEL_SITE,
        },
        setup=HOSTEL_SETUP,
        routes=(_hostel("/", 5), _hostel("/about", 2), _hostel("/basket"), _hostel("/price")),
        faults=HOSTEL_FAULTS,
        calms=(
            Calm(
                id="hostel-full-house",
                happens="a full house: invoices of two seconds, photos, Celery restarted, Redis saves, the database is vacuumed; scanners look for .env and wp-login.php, some visitors leave",
                steps="redis-cli bgsave >/dev/null; sudo -u postgres psql -q hostel -c 'vacuum analyze rooms'; logrotate -f /etc/logrotate.d/nginx",
                routes=(
                    _hostel("/invoice?s=1.5"),
                    _hostel("/photo", method="POST", body_bytes=300_000),
                    _hostel("/.env", expect=404),
                    _hostel("/wp-login.php", expect=404),
                ),
                seconds=18.0,
                users=6,
                cancels=True,
            ),
            Calm(
                id="hostel-deployed-this-morning",
                happens="the deploy of an hour and a half ago lost its socket for a minute: its errors are in nginx's log of today; nothing failed since",
                steps='for n in $(seq 40); do echo "$(date -d \'95 minutes ago\' \'+%Y/%m/%d %H:%M:%S\') [crit] 88#88: *$n connect() to unix:/run/hostel.sock failed (2: No such file or directory) while connecting to upstream, client: 203.0.113.$n, server: hostel.example, request: \\"GET / HTTP/1.1\\", upstream: \\"http://unix:/run/hostel.sock:/\\", host: \\"hostel.example\\""; done > /tmp/old; cat /tmp/old /var/log/nginx/hostel.error.log > /tmp/new; cat /tmp/new > /var/log/nginx/hostel.error.log',
                seconds=14.0,
            ),
        ),
    ),
    Stack(
        name="bureau",
        about="Flask in one gunicorn with twelve threads on 127.0.0.1:8700 behind Caddy with JSON logs in files; a pool of five connections to MariaDB",
        files={
            "/etc/caddy/Caddyfile": BUREAU_CADDY,
            "/srv/bureau/bureau.py": BUREAU_APP,
            "/srv/bureau/assets/form.css": "form { margin: 1em }\n" * 50,
            "/etc/systemd/system/bureau.service": BUREAU_UNIT,
        },
        setup=BUREAU_SETUP,
        routes=(_bureau("/", 4), _bureau("/cases", 3), _bureau("/assets/form.css")),
        faults=BUREAU_FAULTS,
        calms=(
            Calm(
                id="bureau-month-end",
                happens="reports of three seconds, Caddy reloads its file, MariaDB is dumped; a scanner asks for old paths and some visitors leave",
                steps="caddy reload --config /etc/caddy/Caddyfile 2>/dev/null; mariadb-dump --single-transaction bureau > /root/bureau.sql",
                routes=(_bureau("/yearly?s=3"), _bureau("/old/index.php", expect=404), _bureau("/.git/HEAD", expect=404)),
                seconds=18.0,
                users=10,
                cancels=True,
            ),
        ),
    ),
)
