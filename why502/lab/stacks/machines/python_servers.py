"""Django in a socket-activated gunicorn with Redis, FastAPI in uvicorn, and a shop in uWSGI."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, POSTGRES, site, unit

PROXY = """
    client_max_body_size 4m;
    location / {
        include proxy_params;
        proxy_connect_timeout 3s;
        proxy_read_timeout 8s;
        proxy_pass http://BIND;
    }
"""
RESTART = "systemctl restart shop || true"
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")
DROP = (
    "nft add table inet filter; nft 'add chain inet filter output {{ type filter hook output priority 0; }}'; "
    "nft add rule inet filter output tcp dport {port} drop"
)

DJANGO = """\
import os, sys, time
import django
from django.conf import settings
from django.core.cache import cache
from django.db import connection, OperationalError
from django.http import HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    DEBUG=False, SECRET_KEY=os.environ["DJANGO_SECRET_KEY"], ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "*").split(","), ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "USER": "shop", "PASSWORD": "hunter22", "HOST": "127.0.0.1"}},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379"}},
    LOGGING={"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}}, "root": {"handlers": ["console"], "level": "WARNING"}},
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()

def home(request):
    cache.set("seen", time.time(), 60)
    with connection.cursor() as cursor:
        cursor.execute("select id, name from products limit 20")
        return JsonResponse({"products": cursor.fetchall()})

def about(request):
    return HttpResponse("<p>About</p>" * 100)

def slow(request):
    time.sleep(float(request.GET.get("seconds", 12)))
    return HttpResponse("slow")

def leave(request):
    os._exit(3)

urlpatterns = [path("", home), path("about", about), path("slow", slow), path("leave", leave)]

from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
DJANGO_SOCKET = """[Unit]
Description=Shop socket

[Socket]
ListenStream=/run/shop.sock
SocketUser=www-data

[Install]
WantedBy=sockets.target
"""
DJANGO_AT = frozenset({"unix:/run/shop.sock"})
DJANGO_FAULTS = (
    Fault(
        id="django-secret-missing",
        happens="the secret key is not in the environment; the socket is there, the service behind it fails at once and systemd gives up",
        steps=f": > /etc/shop.env; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-hung", "backend-crashed"),
        targets=DJANGO_AT,
    ),
    Fault(
        id="django-socket-unit-stopped",
        happens="someone stops the service and its socket",
        steps="systemctl stop shop.socket shop.service",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=DJANGO_AT,
    ),
    Fault(
        id="django-redis-frozen",
        happens="Redis hangs (stopped by SIGSTOP during a swap storm); each page waits for the cache",
        steps="kill -STOP $(pgrep redis-server)",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=DJANGO_AT,
    ),
    Fault(
        id="django-redis-dropped",
        happens="a rule drops what goes to Redis",
        steps=DROP.format(port=6379),
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=DJANGO_AT,
    ),
    Fault(
        id="django-long-transaction",
        happens="a data migration holds an exclusive lock for minutes",
        steps="systemd-run -q --unit=migrate sudo -u postgres psql shop -c 'begin; lock table products in access exclusive mode; select pg_sleep(600)'",
        expects=causes("backend-dependency-slow"),
        partly=HANGS | causes("backend-dependency-down"),
        targets=DJANGO_AT,
    ),
    Fault(
        id="django-socket-mode",
        happens="the socket unit gets SocketMode=0600 and SocketUser=root",
        steps="sed -i 's/SocketUser=.*/SocketUser=root\\nSocketMode=0600/' /etc/systemd/system/shop.socket; systemctl daemon-reload; "
        "systemctl stop shop.service shop.socket; systemctl start shop.socket",
        expects=causes("unix-socket-permission"),
        targets=DJANGO_AT,
    ),
    Fault(
        id="django-worker-leaves",
        happens="one page ends its worker (os._exit in a library)",
        steps="true",
        routes=(Route(path="/leave", weight=3),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=DJANGO_AT,
    ),
    Fault(
        id="django-service-masked",
        happens="the service is masked, its socket is not: systemd takes connections and nobody answers",
        steps="rm /etc/systemd/system/shop.service; systemctl mask --now shop.service",
        expects=causes("backend-not-running", "backend-startup-failure"),
        partly=causes("backend-hung", "unix-socket-missing"),
        targets=DJANGO_AT,
    ),
)

FASTAPI = """\
import asyncio, os, time
import psycopg2
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse, JSONResponse
import redis

cache = redis.Redis(host="127.0.0.1", socket_timeout=float(os.environ.get("CACHE_TIMEOUT", "60")))
app = FastAPI()

@app.exception_handler(redis.ConnectionError)
async def no_cache(request, error):
    return JSONResponse({"detail": "cache unavailable"}, 503)

@app.get("/")
def home():
    cache.incr("seen")
    return {"home": True}

@app.get("/items/{number}")
def item(number: int):
    cache.set(f"item{number}", "x")
    return {"item": number}

@app.get("/about")
async def about():
    return "about " * 100

@app.get("/blocking")
async def blocking():
    time.sleep(15)
    return "done"

@app.get("/stream")
async def stream():
    async def parts():
        for n in range(20):
            yield b"data: x\\n\\n"
            await asyncio.sleep(0.1)
    return StreamingResponse(parts(), media_type="text/event-stream")

@app.get("/stream-fails")
async def stream_fails():
    async def parts():
        yield b"x" * 5000
        raise RuntimeError("the source went away")
    return StreamingResponse(parts())

@app.get("/stalls")
async def stalls():
    async def parts():
        yield b"x" * 100
        await asyncio.sleep(60)
        yield b"y"
    return StreamingResponse(parts())

@app.get("/die")
async def die():
    os.kill(os.getpid(), 9)
"""
FASTAPI_AT = frozenset({"127.0.0.1:8080"})
FASTAPI_FAULTS = (
    Fault(
        id="fastapi-event-loop-blocked",
        happens="an async handler calls a blocking function of 15 s; the event loops stand still",
        steps="true",
        routes=(Route(path="/blocking", weight=2),),
        expects=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
        targets=FASTAPI_AT,
    ),
    Fault(
        id="fastapi-redis-stopped",
        happens="Redis is stopped; pages answer 503",
        steps="systemctl stop redis-server",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=FASTAPI_AT,
    ),
    Fault(
        id="fastapi-redis-bound-elsewhere",
        happens="Redis binds another address after an edit of its configuration; pages answer 503",
        steps="sed -i 's/^bind .*/bind 203.0.113.10/; s/^protected-mode.*/protected-mode no/' /etc/redis/redis.conf; systemctl restart redis-server",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=FASTAPI_AT,
    ),
    Fault(
        id="fastapi-import-error",
        happens="a package is missing after the deploy (ModuleNotFoundError)",
        steps=f"sed -i '1i import stripe' /srv/shop/app.py; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=FASTAPI_AT,
    ),
    Fault(
        id="fastapi-stream-fails",
        happens="a streamed answer fails in its middle",
        steps="true",
        routes=(Route(path="/stream-fails", weight=3),),
        expects=causes("truncated-response"),
        partly=causes("premature-close", "application-error", "connection-reset"),
        targets=FASTAPI_AT,
    ),
    Fault(
        id="fastapi-stream-stalls",
        happens="a streamed answer stands still for a minute after its header; nginx cuts it after 8 s",
        steps="true",
        routes=(Route(path="/stalls", weight=3),),
        failures=6,
        expects=causes("backend-too-slow", "truncated-response", "proxy-timeout-too-short", "backend-hung"),
        targets=FASTAPI_AT,
    ),
    Fault(
        id="fastapi-worker-killed",
        happens="one page kills its worker with SIGKILL, as a memory limit does",
        steps="true",
        routes=(Route(path="/die", weight=3),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset", "backend-oom-killed", "backend-not-running"),
        targets=FASTAPI_AT,
    ),
    Fault(
        id="fastapi-only-ipv6",
        happens="uvicorn is started with --host ::1 after a change",
        steps=f"sed -i 's/--host 127.0.0.1/--host ::1/' /etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "wrong-port"),
        targets=FASTAPI_AT,
    ),
)

UWSGI = """\
import os, time
import redis
cache = redis.Redis(host="127.0.0.1", socket_timeout=60)

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(12)
    if path == "/harakiri":
        time.sleep(7)
    if path == "/crash":
        os.kill(os.getpid(), 11)
    if path == "/raise":
        raise ValueError("no price")
    if path == "/":
        cache.incr("seen")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello " * 100]
"""
UWSGI_INI = """\
[uwsgi]
plugins = python3
chdir = /srv/shop
virtualenv = /opt/venv
module = app
socket = 127.0.0.1:3031
processes = 3
master = true
die-on-term = true
log-date = true
buffer-size = 4096
"""
UWSGI_SITE = """
    location / {
        include uwsgi_params;
        uwsgi_connect_timeout 3s;
        uwsgi_read_timeout 8s;
        uwsgi_pass 127.0.0.1:3031;
    }
"""
UWSGI_AT = frozenset({"127.0.0.1:3031"})
UWSGI_FAULTS = (
    Fault(
        id="uwsgi-stopped",
        happens="the service is stopped",
        steps="systemctl stop shop",
        expects=causes("backend-not-running"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-no-application",
        happens="the module was renamed; uWSGI runs in no-app mode and answers 500 or ends with need-app",
        steps=f"echo 'need-app = true' >> /etc/uwsgi/shop.ini; mv /srv/shop/app.py /srv/shop/shop.py; rm -rf /srv/shop/__pycache__; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-harakiri",
        happens="harakiri is 4 s, a page needs 7 s",
        steps=f"echo 'harakiri = 4' >> /etc/uwsgi/shop.ini; {RESTART}",
        routes=(Route(path="/harakiri", weight=3),),
        failures=6,
        settle="[ $(journalctl -b -o cat -u shop.service | grep -ci 'harakiri') -ge 3 ]",  # the gap of the restart comes before it
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "connection-reset", "backend-crashed", "workers-exhausted"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-segfault",
        happens="a page crashes its worker with SIGSEGV",
        steps="true",
        routes=(Route(path="/crash", weight=3),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-exception",
        happens="a page raises; uWSGI closes without an answer",
        steps="true",
        routes=(Route(path="/raise", weight=3),),
        expects=causes("application-error", "premature-close"),
        partly=causes("backend-crashed", "connection-reset"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-buffer-size",
        happens="cookies have grown beyond uWSGI's buffer-size",
        steps="true",
        routes=(Route(path="/", weight=6, headers={"Cookie": "a=" + "x" * 5000}),),
        expects=causes("request-header-too-big"),
        partly=causes("premature-close", "connection-reset"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-protocol",
        happens="uWSGI is switched to http-socket, nginx still speaks uwsgi",
        steps=f"sed -i 's/^socket/http-socket/' /etc/uwsgi/shop.ini; {RESTART}",
        expects=causes("wrong-protocol"),
        partly=causes("invalid-response", "premature-close", "upstream-error-status"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-redis-frozen",
        happens="Redis hangs; each home page waits",
        steps="kill -STOP $(pgrep redis-server)",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=UWSGI_AT,
    ),
    Fault(
        id="uwsgi-listen-queue",
        happens="a listen queue of 4 and slow pages under a rush",
        steps=f"echo 'listen = 4' >> /etc/uwsgi/shop.ini; {RESTART}",
        routes=(Route(path="/harakiri", weight=40),),
        users=40,
        expects=causes("workers-exhausted", "listen-backlog-overflow"),
        partly=causes("backend-too-slow", "connect-timeout"),
        targets=UWSGI_AT,
    ),
)

REDIS = "systemctl start redis-server\n"
STACKS = (
    Stack(
        name="django-socket",
        about="Django in a socket-activated gunicorn behind nginx, PostgreSQL, Redis",
        files={
            "/srv/shop/app.py": DJANGO,
            "/etc/shop.env": "DJANGO_SECRET_KEY=abcdef\n",
            "/etc/systemd/system/shop.socket": DJANGO_SOCKET,
            "/etc/systemd/system/shop.service": unit(
                "/opt/venv/bin/gunicorn --workers 3 --access-logfile - app:application",
                more="EnvironmentFile=/etc/shop.env",
                kind="notify",
                head="Requires=shop.socket",
            ),
            "/etc/nginx/sites-available/shop": site(PROXY.replace("BIND", "unix:/run/shop.sock")),
        },
        setup=POSTGRES + REDIS + "systemctl enable --now shop.socket\n" + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=DJANGO_FAULTS,
        calms=(
            Calm(id="django-socket-quiet-day", happens="ordinary traffic", seconds=8),
            Calm(
                id="django-socket-restart",
                happens="the service restarts under traffic; its socket holds the requests",
                steps="systemctl restart shop.service",
                seconds=12,
            ),
            Calm(
                id="django-socket-idle",
                happens="the service was stopped and the socket starts it again",
                steps="systemctl stop shop.service",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="fastapi",
        about="FastAPI in uvicorn with two workers behind nginx, Redis",
        files={
            "/srv/shop/app.py": FASTAPI,
            "/etc/systemd/system/shop.service": unit(
                "/opt/venv/bin/uvicorn --host 127.0.0.1 --port 8080 --workers 2 app:app", restart="always"
            ),
            "/etc/nginx/sites-available/shop": site(PROXY.replace("BIND", "127.0.0.1:8080")),
        },
        setup=REDIS + "systemctl enable --now shop\n" + ENABLE_SITE,
        routes=(
            Route(path="/", weight=4),
            Route(path="/items/3", weight=4),
            Route(path="/about", weight=3),
            Route(path="/stream"),
        ),
        faults=FASTAPI_FAULTS,
        calms=(Calm(id="fastapi-quiet-day", happens="ordinary traffic with server-sent events", seconds=10, cancels=True),),
    ),
    Stack(
        name="uwsgi",
        about="uWSGI of Debian behind nginx, Redis",
        files={
            "/srv/shop/app.py": UWSGI,
            "/etc/uwsgi/shop.ini": UWSGI_INI,
            "/etc/systemd/system/shop.service": unit("/usr/bin/uwsgi --ini /etc/uwsgi/shop.ini", kind="notify"),
            "/etc/nginx/sites-available/shop": site(UWSGI_SITE),
        },
        setup=REDIS + "systemctl enable --now shop\n" + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=UWSGI_FAULTS,
        calms=(
            Calm(
                id="uwsgi-quiet-day",
                happens="ordinary traffic, a graceful reload of uWSGI",
                steps="systemctl kill -s HUP --kill-who=main shop",
                seconds=10,
            ),
        ),
    ),
)
