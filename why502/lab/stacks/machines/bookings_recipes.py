"""Two machines of widely read guides: Django in a socket-activated gunicorn with PostgreSQL, and FastAPI in uvicorn beside Flask, with Redis."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
GONE = causes("backend-not-running", "backend-crashed", "unix-socket-missing")

SETTINGS = """\
import os
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["bookings.example", "www.bookings.example", "localhost"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.staticfiles", "rooms"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "bookings.urls"
WSGI_APPLICATION = "bookings.wsgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "bookings",
        "USER": "sammy",
        "PASSWORD": os.environ["DATABASE_PASSWORD"],
        "HOST": "localhost",
        "PORT": "",
    }
}
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
"""
MODELS = """\
from django.db import models

class Room(models.Model):
    name = models.CharField(max_length=80)
    price = models.IntegerField()

class Booking(models.Model):
    room = models.ForeignKey(Room, on_delete=models.CASCADE)
    note = models.TextField(blank=True)
"""
VIEWS = """\
import time
from django.http import HttpResponse, JsonResponse
from rooms.models import Booking, Room

def home(request):
    return JsonResponse({"rooms": list(Room.objects.order_by("id").values("id", "name", "price")[:20])})

def about(request):
    return HttpResponse("<p>About us</p>" * 80)

def book(request):
    booking = Booking.objects.create(room=Room.objects.first(), note=request.body.decode("latin-1"))
    return JsonResponse({"booking": booking.pk})

def statistics(request):
    time.sleep(float(request.GET.get("seconds", 40)))
    return HttpResponse("statistics")
"""
URLS = """\
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rooms import views

urlpatterns = [path("", views.home), path("about", views.about), path("book", csrf_exempt(views.book)), path("statistics", views.statistics)]
"""
WSGI = """\
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookings.settings")
application = get_wsgi_application()
"""
MANAGE = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookings.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
GUNICORN_SOCKET = """[Unit]
Description=gunicorn socket

[Socket]
ListenStream=/run/gunicorn.sock

[Install]
WantedBy=sockets.target
"""
GUNICORN_SERVICE = """[Unit]
Description=gunicorn daemon
Requires=gunicorn.socket
After=network.target

[Service]
User=sammy
Group=www-data
WorkingDirectory=/home/sammy/bookings
EnvironmentFile=/home/sammy/bookings/.env
ExecStart=/home/sammy/bookings/env/bin/gunicorn --access-logfile - --error-logfile /var/log/bookings/gunicorn.log --capture-output --workers 3 --bind unix:/run/gunicorn.sock bookings.wsgi:application

[Install]
WantedBy=multi-user.target
"""
BOOKINGS_SITE = """\
server {
    listen 80;
    server_name bookings.example www.bookings.example;

    location = /favicon.ico { access_log off; log_not_found off; }
    location /static/ {
        root /home/sammy/bookings;
    }

    location / {
        include proxy_params;
        proxy_pass http://unix:/run/gunicorn.sock;
    }
}
"""
BOOKINGS_SETUP = """
useradd --create-home --shell /bin/bash sammy; chmod 755 /home/sammy
cd /home/sammy/bookings; ln -s /opt/venv env; mkdir -p static /var/log/bookings; touch rooms/__init__.py bookings/__init__.py
echo 'User-agent: *' > static/robots.txt; chown -R sammy: /home/sammy /var/log/bookings
systemctl enable --now postgresql@15-main
sudo -u postgres psql -q <<SQL
create role sammy login createdb password 'correct-horse';
create database bookings owner sammy;
SQL
sudo -u sammy env $(cat .env) env/bin/python manage.py makemigrations -v 0 rooms
sudo -u sammy env $(cat .env) env/bin/python manage.py migrate -v 0
sudo -u postgres psql -q bookings -c "insert into rooms_room (name, price) select 'room ' || n, n from generate_series(1, 200) n"
systemctl enable --now gunicorn.socket
ln -s /etc/nginx/sites-available/bookings /etc/nginx/sites-enabled/bookings; rm -f /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable --now nginx
curl -fs -o /dev/null --unix-socket /run/gunicorn.sock http://localhost/
"""
BOOKINGS = "bookings.example"
GUNICORN_AT = frozenset({"unix:/run/gunicorn.sock"})
POSTGRES_AT = frozenset({"127.0.0.1:5432", "localhost:5432"})
BOOKINGS_FAULTS = (
    Fault(
        id="bookings-env-without-password",
        happens="the .env of a new server template lacks DATABASE_PASSWORD; after the deploy's restart gunicorn's workers raise KeyError, each request activates it anew until systemd gives up",
        steps="sed -i /DATABASE_PASSWORD/d /home/sammy/bookings/.env; systemctl restart gunicorn || true",
        expects=NO_START,
        partly=GONE,
        targets=GUNICORN_AT,
    ),
    Fault(
        id="bookings-socket-not-enabled",
        happens="gunicorn.socket was only started, never enabled; the server is rebooted for a new kernel and it is not there",
        steps="systemctl disable -q gunicorn.socket; systemctl stop nginx gunicorn.service gunicorn.socket; rm -f /run/gunicorn.sock; "
        "journalctl -q --rotate; journalctl -q --vacuum-time=1s; systemctl restart systemd-journald; systemctl start nginx",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=GUNICORN_AT,
    ),
    Fault(
        id="bookings-database-password-changed",
        happens="the hoster's panel rotates the database user's password; .env has the old one, pages with data answer 500",
        steps="sudo -u postgres psql -qc \"alter role sammy password 'battery-staple'\"",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=GUNICORN_AT | POSTGRES_AT,
    ),
    Fault(
        id="bookings-migration-left-open",
        happens="somebody pastes a migration's SQL into psql and leaves for lunch before COMMIT; pages wait for the lock, and gunicorn kills its workers after 30 s",
        steps="systemd-run -q --unit=session-3 sudo -u postgres sh -c '(echo \"begin; alter table rooms_room add column size int;\"; sleep 900) | psql -q bookings'; sleep 1",
        expects=causes("backend-dependency-slow"),
        partly=HANGS | causes("backend-dependency-down", "premature-close"),
        targets=GUNICORN_AT | POSTGRES_AT,
        failures=8,
        patience_s=58.0,
        limit_s=110.0,
    ),
    Fault(
        id="bookings-statistics-killed",
        happens="the statistics page needs 40 s and gunicorn's timeout is its default of 30 s: the worker is killed, nginx sees an early end",
        steps="true",
        routes=(Route(path="/statistics", host=BOOKINGS, weight=1),),
        failures=4,
        patience_s=58.0,
        limit_s=110.0,
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "backend-too-slow", "workers-exhausted"),
        targets=GUNICORN_AT,
    ),
    Fault(
        id="bookings-log-created-by-root",
        happens="a new logrotate rule says `create 640 root adm`: at its next restart gunicorn, which is sammy, cannot open its own error log",
        steps="mv /var/log/bookings/gunicorn.log /var/log/bookings/gunicorn.log.1; install -m 640 -o root -g adm /dev/null /var/log/bookings/gunicorn.log; systemctl restart gunicorn || true",
        expects=NO_START,
        partly=GONE,
        targets=GUNICORN_AT,
    ),
    Fault(
        id="bookings-too-many-clients",
        happens="a data scientist's notebooks hold nearly all of PostgreSQL's connections; Django answers 500 (too many clients already)",
        steps="sudo -u postgres psql -qc 'alter system set max_connections = 20'; systemctl restart postgresql@15-main; "
        "for n in $(seq 60); do (setsid env PGPASSWORD=correct-horse psql -q -h 127.0.0.1 -U sammy bookings -c 'select pg_sleep(300)' >/dev/null 2>&1 &); sleep 0.05; done; sleep 1",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=GUNICORN_AT | POSTGRES_AT,
    ),
    Fault(
        id="bookings-database-disk-full",
        happens="the volume of the database is full; bookings cannot be stored (No space left on device), reading still works",
        steps="systemctl stop postgresql@15-main; cp -a /var/lib/postgresql/15/main /root/main; mount -t tmpfs -o size=120m,mode=700 database /var/lib/postgresql/15/main; "
        "cp -a /root/main/. /var/lib/postgresql/15/main/; chown postgres: /var/lib/postgresql/15/main; systemctl start postgresql@15-main; "
        "dd if=/dev/zero of=/var/lib/postgresql/15/main/pg_log.old bs=64k 2>/dev/null || true",
        routes=(Route(path="/book", method="POST", host=BOOKINGS, body_bytes=400_000, weight=6),),
        failures=20,
        settle="journalctl -q -o cat | cat - /var/log/bookings/gunicorn.log | grep -q 'No space left'",
        expects=causes("disk-full"),
        partly=OWN_ERROR | causes("backend-dependency-down"),
    ),
)
BOOKINGS_CALMS = (
    Calm(
        id="bookings-deploy",
        happens="a deploy as the guide says: pip, migrate, collectstatic, gunicorn is told to reload with grace, nginx reloads; scanners get 404",
        steps="cd /home/sammy/bookings; sudo -u sammy env $(cat .env) env/bin/python manage.py migrate -v 0; touch static/app.css; "
        "systemctl kill -s HUP --kill-who=main gunicorn; sleep 2; systemctl reload nginx",
        routes=(
            Route(path="/wp-login.php", host=BOOKINGS),
            Route(path="/.env", host=BOOKINGS),
            Route(path="/static/robots.txt", host=BOOKINGS),
        ),
    ),
)

API = """\
import os, time
import redis
import requests
from fastapi import FastAPI, Request

cache = redis.Redis.from_url(os.environ["REDIS_URL"])
app = FastAPI()
kept = []

@app.get("/recipes")
def recipes():
    cache.incr("visits")
    cache.setex("last", 60, "recipe " * 20)
    return {"recipes": [{"id": n} for n in range(20)]}

@app.get("/health")
def health():
    return {"ok": True}

@app.get("/suggest")
def suggest():
    return requests.get("http://203.0.113.99:8080/suggest").json()

@app.get("/thumbnail")
async def thumbnail():
    end = time.monotonic() + 20
    while time.monotonic() < end:
        sum(range(10000))
    return {"ok": True}

@app.get("/photo")
def photo():
    kept.append(open("/srv/recipes/photo.jpg", "rb"))
    return {"bytes": len(kept[-1].read())}
"""
ADMIN = """\
import time
from flask import Flask, request
app = Flask(__name__)

@app.get("/")
def home():
    return "<h1>Recipes</h1>" * 50

@app.get("/print")
def book():
    time.sleep(float(request.args.get("seconds", 3)))
    return "printed"
"""
API_UNIT = """[Unit]
Description=Recipes API (uvicorn)
After=network.target

[Service]
User=www-data
Group=www-data
WorkingDirectory=/srv/recipes
Environment=REDIS_URL=redis://127.0.0.1:6379/0
ExecStart=/opt/venv/bin/uvicorn main:app --host 127.0.0.1 --port 8000 --workers 2 --proxy-headers
Restart=always

[Install]
WantedBy=multi-user.target
"""
ADMIN_UNIT = """[Unit]
Description=Gunicorn instance to serve the recipes site
After=network.target

[Service]
User=www-data
Group=www-data
WorkingDirectory=/srv/recipes
ExecStart=/opt/venv/bin/gunicorn -w 3 -b 127.0.0.1:5000 wsgi:app
Restart=always

[Install]
WantedBy=multi-user.target
"""
RECIPES_SITE = """\
server {
    listen 80 default_server;
    listen [::]:80 default_server;
    server_name recipes.example;
    client_max_body_size 10M;

    location /api/ {
        proxy_pass http://127.0.0.1:8000/;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_read_timeout 15s;
    }

    location / {
        proxy_pass http://127.0.0.1:5000;
        proxy_set_header Host $host;
        proxy_read_timeout 15s;
    }
}
"""
RECIPES_SETUP = """
head -c 20000 /dev/zero > /srv/recipes/photo.jpg
systemctl enable --now redis-server recipes-api recipes-web prometheus-node-exporter
until curl -fs -o /dev/null http://127.0.0.1:8000/recipes && curl -fs -o /dev/null http://127.0.0.1:5000/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/recipes /etc/nginx/sites-enabled/recipes; rm -f /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
RECIPES = "recipes.example"
API_AT, WEB_AT = frozenset({"127.0.0.1:8000"}), frozenset({"127.0.0.1:5000"})
REDIS_AT = frozenset({"127.0.0.1:6379"})
API_UP = "until curl -fs -o /dev/null http://127.0.0.1:8000/health; do sleep 0.2; done"
RECIPES_FAULTS = (
    Fault(
        id="recipes-redis-gets-password",
        happens="a security checklist sets requirepass for Redis; the application's URL has none, and its pages answer 500 (NOAUTH)",
        steps="echo 'requirepass s3cret' >> /etc/redis/redis.conf; systemctl restart redis-server",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=API_AT | REDIS_AT,
    ),
    Fault(
        id="recipes-redis-memory-full",
        happens="Redis reaches maxmemory with noeviction: each write is refused (OOM command not allowed), pages answer 500",
        steps="redis-cli eval \"for n = 1, 9000 do redis.call('set', 'page:' .. n, string.rep('x', 300)) end\" 0 >/dev/null; redis-cli config set maxmemory 1mb >/dev/null",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=API_AT | REDIS_AT,
    ),
    Fault(
        id="recipes-port-of-the-new-unit",
        happens="the new unit file runs the API on port 8001, as the developer's computer has it; nginx still asks 8000",
        steps="sed -i 's/--port 8000/--port 8001/' /etc/systemd/system/recipes-api.service; systemctl daemon-reload; systemctl restart recipes-api",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=API_AT,
    ),
    Fault(
        id="recipes-event-loop-blocked",
        happens="an async handler computes a thumbnail for 20 s in the event loop: each of the two workers stands still meanwhile, all other requests with it",
        steps="true",
        routes=(Route(path="/api/thumbnail", host=RECIPES, weight=2),),
        failures=8,
        patience_s=40.0,
        expects=causes("backend-hung", "workers-exhausted", "backend-too-slow"),
        partly=causes("cpu-saturation", "proxy-timeout-too-short"),
        targets=API_AT,
    ),
    Fault(
        id="recipes-partner-does-not-answer",
        happens="suggestions come from a partner's host that is switched off; requests.get has no timeout, so these pages hang",
        steps="ip neigh replace 203.0.113.99 lladdr 02:00:00:00:00:01 dev host0",
        routes=(Route(path="/api/suggest", host=RECIPES, weight=3),),
        failures=8,
        patience_s=40.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=API_AT | {"203.0.113.99:8080"},
    ),
    Fault(
        id="recipes-files-never-closed",
        happens="LimitNOFILE=64 from a hardening guide, and a page leaves its file open each time: too many open files, first 500, then nothing is accepted",
        steps="sed -i 's/^Restart=/LimitNOFILE=64\\nRestart=/' /etc/systemd/system/recipes-api.service; systemctl daemon-reload; systemctl restart recipes-api; "
        + API_UP,
        routes=(Route(path="/api/photo", host=RECIPES, weight=16),),
        users=12,
        failures=40,
        settle="journalctl -q -u recipes-api | grep -q 'Too many open files'",
        expects=causes("too-many-open-files", "application-error", "backend-hung"),
        partly=causes("upstream-error-status", "backend-too-slow", "workers-exhausted", "listen-backlog-overflow"),
        targets=API_AT,
    ),
    Fault(
        id="recipes-web-masked",
        happens="somebody tidies up `old` services and masks the Flask site; the API goes on",
        steps="systemctl stop recipes-web; systemctl disable -q recipes-web; rm -f /etc/systemd/system/recipes-web.service; systemctl mask -q recipes-web",
        expects=causes("backend-not-running"),
        targets=WEB_AT,
    ),
    Fault(
        id="recipes-restarts-in-working-hours",
        happens="three hot fixes in a minute, each with `systemctl restart`: uvicorn takes a second or two to listen again; it is up now",
        steps="for n in 1 2 3; do systemctl restart recipes-api; " + API_UP + "; sleep 1; done",
        failures=4,
        expects=causes("deploy-termination-race"),
        partly=causes("backend-not-running", "connection-reset", "premature-close"),
        targets=API_AT,
    ),
)
RECIPES_CALMS = (
    Calm(
        id="recipes-import-by-cron",
        happens="cron imports recipes with hundreds of quick requests, some documents do not exist (404), users break off printing",
        steps="for n in $(seq 300); do curl -s -o /dev/null -H 'Host: recipes.example' http://127.0.0.1/api/recipes; done; curl -s -o /dev/null http://127.0.0.1/api/nothing",
        routes=(Route(path="/print?seconds=2", host=RECIPES), Route(path="/robots.txt", host=RECIPES, weight=2)),
        cancels=True,
    ),
    Calm(
        id="recipes-redis-saves",
        happens="Redis saves and rewrites its log; logrotate, nginx reloads, a timer's unit fails each night and has nothing to do with it",
        steps="redis-cli bgsave >/dev/null; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; systemd-run -q --unit=newsletter /bin/false || true",
    ),
)

STACKS = (
    Stack(
        name="bookings",
        about="Django in a socket-activated gunicorn (unix socket, three workers) behind nginx with PostgreSQL, without a timeout of its own anywhere",
        files={
            "/home/sammy/bookings/bookings/settings.py": SETTINGS,
            "/home/sammy/bookings/bookings/urls.py": URLS,
            "/home/sammy/bookings/bookings/wsgi.py": WSGI,
            "/home/sammy/bookings/rooms/models.py": MODELS,
            "/home/sammy/bookings/rooms/views.py": VIEWS,
            "/home/sammy/bookings/manage.py": MANAGE,
            "/home/sammy/bookings/.env": "SECRET_KEY=0f1e2d3c4b5a\nDATABASE_PASSWORD=correct-horse\n",
            "/etc/systemd/system/gunicorn.socket": GUNICORN_SOCKET,
            "/etc/systemd/system/gunicorn.service": GUNICORN_SERVICE,
            "/etc/nginx/sites-available/bookings": BOOKINGS_SITE,
        },
        setup=BOOKINGS_SETUP,
        routes=(Route(path="/", host=BOOKINGS, weight=4), Route(path="/about", host=BOOKINGS, weight=3)),
        faults=BOOKINGS_FAULTS,
        calms=BOOKINGS_CALMS,
    ),
    Stack(
        name="recipes",
        about="FastAPI in two workers of uvicorn and Flask in gunicorn on TCP ports behind nginx, Redis",
        files={
            "/srv/recipes/main.py": API,
            "/srv/recipes/wsgi.py": ADMIN,
            "/etc/systemd/system/recipes-api.service": API_UNIT,
            "/etc/systemd/system/recipes-web.service": ADMIN_UNIT,
            "/etc/nginx/sites-available/recipes": RECIPES_SITE,
        },
        setup=RECIPES_SETUP,
        routes=(
            Route(path="/api/recipes", host=RECIPES, weight=4),
            Route(path="/api/health", host=RECIPES),
            Route(path="/", host=RECIPES, weight=3),
        ),
        faults=RECIPES_FAULTS,
        calms=RECIPES_CALMS,
    ),
)
