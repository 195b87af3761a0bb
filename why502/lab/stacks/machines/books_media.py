"""A business suite with an evented service beside its workers and reports that ask the suite itself, and films behind HAProxy and nginx with a cache."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

BOOKS_SITE = """\
upstream books {
    server 127.0.0.1:8069;
}
upstream bookschat {
    server 127.0.0.1:8072;
}
server {
    listen 80;
    server_name books.example;
    access_log /var/log/nginx/books.access.log;
    error_log /var/log/nginx/books.error.log;
    proxy_read_timeout 15s;
    proxy_connect_timeout 5s;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;

    location /longpolling {
        proxy_pass http://bookschat;
    }
    location / {
        proxy_redirect off;
        proxy_pass http://books;
    }
    gzip_types text/css application/json;
    gzip on;
}
"""
BOOKS_APP = """\
import contextlib, os, subprocess, time
import psycopg2
from flask import Flask, abort, jsonify, request

application = Flask(__name__)

@contextlib.contextmanager
def cursor():
    with contextlib.closing(psycopg2.connect("dbname=books user=books")) as base, base, base.cursor() as it:
        yield it

@application.before_request
def database():
    if not request.host.startswith(("books.", "127.0.0.1")):  # dbfilter = ^%d$
        abort(404, f"No database for the host {request.host}")

@application.get("/web")
def web():
    with cursor() as it:
        it.execute("select name, stock from items order by id limit 40")
        return jsonify(it.fetchall())

@application.post("/sale")
def sale():
    with cursor() as it:
        it.execute("update items set stock = stock - 1 where id = 1")
    return "sold"

@application.get("/report/assets")
def assets():
    return "body { color: black }" * 300

@application.get("/report/pdf")
def pdf():
    page = subprocess.run(["wkhtmltopdf", "-sf", "-m", "60", "http://127.0.0.1:8069/report/assets"], capture_output=True, check=True)
    return page.stdout

@application.post("/import")
def load():
    time.sleep(float(request.args.get("s", 1)))
    return "imported"

@application.post("/attachment")
def attachment():
    with open(f"/srv/books/filestore/{os.getpid()}", "wb") as file:
        file.write(request.get_data())
    return "kept"
"""
BOOKS_CHAT = """\
import gevent

def application(environ, start_response):
    gevent.sleep(1)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b"[]" * 40]
"""
BOOKS_CONF = """\
bind = "127.0.0.1:8069"
workers = 4
timeout = 120
"""
BOOKS_UNIT = """[Unit]
Description=Books
After=network.target postgresql.service

[Service]
Type=notify
User=books
WorkingDirectory=/srv/books
ExecStart=/opt/venv/bin/gunicorn -c /etc/books.conf.py books:application
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
BOOKS_CHAT_UNIT = """[Unit]
Description=Books, evented
After=network.target

[Service]
User=books
WorkingDirectory=/srv/books
ExecStart=/opt/venv/bin/gunicorn -k gevent -b 127.0.0.1:8072 chat:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
BOOKS_UP = "until curl -fs -o /dev/null http://127.0.0.1:8069/report/assets; do sleep 0.2; done"
BOOKS_SETUP = f"""
systemctl start postgresql@15-main
useradd --system books
sudo -u postgres psql -q -c 'create role books login' -c 'create database books owner books'
sudo -u books psql -q books <<SQL
create table items (id serial primary key, name text, stock int);
insert into items (name, stock) select 'item ' || n, 1000000 from generate_series(1, 400) n;
SQL
cp /usr/bin/curl /usr/local/bin/wkhtmltopdf
mkdir -p /srv/books/filestore; mount -t tmpfs -o size=64m filestore /srv/books/filestore; chown -R books: /srv/books
systemctl daemon-reload; systemctl enable -q --now books books-evented
{BOOKS_UP}; until curl -fs -o /dev/null http://127.0.0.1:8072/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/books /etc/nginx/sites-enabled/books; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""


def _books(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0, expect: int = 200) -> Route:
    return Route(path=path, host="books.example", weight=weight, method=method, body_bytes=body_bytes, expect=(expect,))


BOOKS_AT = frozenset({"127.0.0.1:8069", "books"})
BOOKS_DB_AT = frozenset({"unix:/var/run/postgresql/.s.PGSQL.5432", "unix:/run/postgresql/.s.PGSQL.5432"})
BOOKS_FAULTS = (
    Fault(
        id="books-one-worker-and-a-report",
        happens="to save memory the suite gets one worker; a report's wkhtmltopdf asks the suite for its style, which the one worker cannot give while it waits for wkhtmltopdf: every report blocks everything, 504",
        steps="sed -i 's/workers = 4/workers = 1/' /etc/books.conf.py; systemctl restart books; " + BOOKS_UP,
        routes=(_books("/report/pdf", 2),),
        failures=16,
        limit_s=120.0,
        patience_s=40.0,
        expects=causes("workers-exhausted", "backend-hung"),
        partly=causes("backend-too-slow", "backend-dependency-slow", "proxy-timeout-too-short"),
        targets=BOOKS_AT,
    ),
    Fault(
        id="books-evented-disabled",
        happens="the evented service was disabled with the memory in mind as well: the suite works, and each open tab meets 502 for /longpolling",
        steps="systemctl disable -q --now books-evented",
        routes=(_books("/longpolling/poll", 4, "POST"),),
        expects=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:8072", "bookschat"}),
    ),
    Fault(
        id="books-limit-of-real-time",
        happens="the limit of real time for a request is set to five seconds; imports of prices take nine: the worker is killed in the middle each time (WORKER TIMEOUT)",
        steps="sed -i 's/timeout = 120/timeout = 5/' /etc/books.conf.py; systemctl restart books; " + BOOKS_UP,
        routes=(_books("/import?s=9", 2, "POST", 2000),),
        limit_s=100.0,
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "connection-reset", "backend-crashed"),
        targets=BOOKS_AT,
    ),
    Fault(
        id="books-limit-of-the-role",
        happens='a consultant sets the role\'s connection limit to 0, which he takes for no limit: FATAL: too many connections for role "books", 500 for whatever asks the database',
        steps="sudo -u postgres psql -q -c 'alter role books connection limit 0'",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=BOOKS_AT | BOOKS_DB_AT,
    ),
    Fault(
        id="books-host-header-lost",
        happens="the proxy headers move into the location of static files by mistake, so the suite sees the host `books` (the name of the group), has no database for it, and answers 404 to everything",
        steps="sed -i 's/    proxy_set_header Host $host;//; s/    proxy_set_header X-Forwarded-Host $host;//' /etc/nginx/sites-available/books; systemctl reload nginx",
        failures=0,
        settle="test $(tail -n 60 /var/log/nginx/books.access.log | grep -c '\" 404 ') -ge 24",
        expects=causes("wrong-host-header"),
        partly=OWN_ERROR | causes("route-not-found"),
        targets=BOOKS_AT,
    ),
    Fault(
        id="books-filestore-read-only",
        happens="the volume of attachments was remounted read-only after an error of its disk: OSError: [Errno 30] Read-only file system, 500 for each attachment",
        steps="mount -o remount,ro /srv/books/filestore",
        routes=(_books("/attachment", 4, "POST", 60_000),),
        expects=OWN_ERROR,
        targets=BOOKS_AT,
    ),
    Fault(
        id="books-transaction-left-open",
        happens="an accountant corrects a stock by hand in psql and goes to lunch in the middle of the transaction: each sale waits for that row, all workers wait with them, 504",
        steps="systemd-run -q --uid=books bash -c \"(echo 'begin; update items set stock = 5 where id = 1;'; sleep 600) | psql books\"; sleep 1",
        routes=(_books("/sale", 4, "POST"),),
        failures=16,
        limit_s=120.0,
        patience_s=40.0,
        expects=causes("backend-dependency-slow"),
        partly=HANGS,
        targets=BOOKS_AT | BOOKS_DB_AT,
    ),
)

MEDIA_HAPROXY = """\
global
    log /dev/log local0
    user haproxy
    group haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    log global
    mode http
    option httplog
    timeout connect 4s
    timeout client 50s
    timeout server 40s
frontend films
    bind :443 ssl crt /etc/haproxy/films.pem
    http-request set-header X-Forwarded-Proto https
    default_backend web
backend web
    option httpchk GET /health
    http-check expect status 200
    server web1 127.0.0.1:8088 check inter 1s fall 2 rise 2
"""
MEDIA_SITE = """\
proxy_cache_path /var/cache/films levels=1:2 keys_zone=films:4m max_size=400m inactive=10m use_temp_path=off;
server {
    listen 127.0.0.1:8088;
    server_name _;
    access_log /var/log/nginx/films.access.log;
    error_log /var/log/nginx/films.error.log;

    location /posters/ {
        proxy_cache films;
        proxy_cache_valid 200 1s;
        proxy_pass http://127.0.0.1:8096;
    }
    location / {
        proxy_read_timeout 20s;
        proxy_pass http://127.0.0.1:8096;
    }
}
"""
MEDIA_APP = """\
import asyncio, os, sys
from aiohttp import web

routes = web.RouteTableDef()

@routes.get("/health")
async def health(request):
    if os.path.exists("/srv/films/release-9"):
        raise web.HTTPNotFound()
    return web.Response(text="Healthy")

@routes.get("/")
async def home(request):
    return web.Response(text="<p>films of the week</p>" * 60, content_type="text/html")

@routes.get("/posters/{name}")
async def poster(request):
    return web.Response(body=os.urandom(1000) * 900, content_type="image/jpeg")

@routes.get("/stream/{name}")
async def stream(request):
    answer = web.StreamResponse(headers={"Content-Type": "video/mp4", "Content-Length": str(40 * 50_000)})
    await answer.prepare(request)
    for part in range(40):
        if part == 12 and request.match_info["name"] == "hevc.mp4":
            print("decoder: invalid reference frame, giving up", flush=True)
            os.abort()
        await answer.write(b"f" * 50_000)
        await asyncio.sleep(0.02)
    return answer

@routes.get("/transcode")
async def transcode(request):
    await asyncio.sleep(float(request.query.get("s", 1)))
    return web.Response(text="playlist " * 90)

app = web.Application()
app.add_routes(routes)
web.run_app(app, host="127.0.0.1", port=8096)
"""
MEDIA_UNIT = """[Unit]
Description=Films
After=network.target

[Service]
User=www-data
LimitCORE=0
ExecStart=/opt/venv/bin/python /srv/films/films.py
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
MEDIA_UP = "until curl -fs -o /dev/null http://127.0.0.1:8096/; do sleep 0.2; done"
MEDIA_SETUP = f"""
systemctl enable -q --now rsyslog
mkdir -p /etc/haproxy /var/cache/films; mount -t tmpfs -o size=96m films /var/cache/films; chown www-data: /var/cache/films
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=films.example -keyout /tmp/key -out /tmp/cert 2>/dev/null; cat /tmp/cert /tmp/key > /etc/haproxy/films.pem; rm /tmp/cert /tmp/key
systemctl daemon-reload; systemctl enable -q --now films
{MEDIA_UP}
ln -s /etc/nginx/sites-available/films /etc/nginx/sites-enabled/films; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
systemctl restart rsyslog; systemctl enable -q haproxy; systemctl restart haproxy
"""


def _media(path: str, weight: int = 1, expect: int = 200) -> Route:
    return Route(path=path, host="films.example", port=443, tls=True, weight=weight, expect=(expect,))


FILMS_AT = frozenset({"127.0.0.1:8096"})
WEB1_AT = frozenset({"127.0.0.1:8088", "web", "web/web1", "web1"})
MEDIA_FAULTS = (
    Fault(
        id="media-cache-volume-filled",
        happens="a recording was left in /var/cache/films, which is a small volume of its own: nginx cannot write posters into its cache (28: No space left on device), and they come cut or not at all",
        steps="dd if=/dev/zero of=/var/cache/films/recording.ts bs=1M 2>/dev/null || true",
        routes=(_media("/posters/a.jpg", 3), _media("/posters/b.jpg", 3)),
        expects=causes("disk-full", "proxy-temp-unwritable", "cache-storage-full"),
        partly=causes("truncated-response"),
    ),
    Fault(
        id="media-film-that-kills-the-decoder",
        happens="one film makes the decoder abort in the middle of the stream, and with it the process: that viewer's film is cut, everybody else's too; systemd starts it two seconds later",
        steps="true",
        routes=(_media("/stream/hevc.mp4"), _media("/stream/other.mp4", 2)),
        failures=16,
        limit_s=100.0,
        expects=causes("backend-crashed", "backend-crash-loop", "truncated-response"),
        partly=causes("premature-close", "connection-reset", "backend-not-running", "deploy-termination-race"),
        targets=FILMS_AT,
    ),
    Fault(
        id="media-nginx-after-upgrade",
        happens="an upgrade leaves a load_module line for a module that is no longer installed; at the restart nginx fails its test and stays down, and HAProxy has no server left: 503",
        steps="echo 'load_module modules/ngx_http_image_filter_module.so;' > /etc/nginx/modules-enabled/50-mod-http-image-filter.conf; systemctl restart nginx || true",
        settle="echo 'show servers state' | python3 -c \"import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(sys.stdin.buffer.read()); t=s.recv(9999).decode(); sys.exit(' 127.0.0.1 0 ' not in t)\"",
        expects=causes("proxy-config-invalid", "proxy-not-running", "backend-startup-failure"),
        partly=causes("backend-not-running", "all-upstreams-down"),
    ),
    Fault(
        id="media-health-path-gone",
        happens="release 9 of the films answers 404 to /health (it is /healthz now); HAProxy takes the only server out, and answers 503 for a site that works",
        steps="touch /srv/films/release-9",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "backend-not-running"),
        targets=WEB1_AT,
    ),
    Fault(
        id="media-haproxy-shorter-than-nginx",
        happens="HAProxy's `timeout server` goes from forty seconds to five with a copied snippet; a transcoding answers after nine, which nginx waits for and HAProxy does not: 504 (sH)",
        steps="sed -i 's/timeout server 40s/timeout server 5s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(_media("/transcode?s=9", 3),),
        limit_s=90.0,
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        targets=WEB1_AT | FILMS_AT,
    ),
    Fault(
        id="media-descriptors-of-nginx",
        happens="worker_rlimit_nofile was set to 28 by a hardening guide that meant something else: with many viewers nginx has no descriptor left for the application (24: Too many open files), 500",
        steps="sed -i '1i worker_rlimit_nofile 28;' /etc/nginx/nginx.conf; sed -i 's/worker_processes auto/worker_processes 1/' /etc/nginx/nginx.conf; systemctl restart nginx",
        routes=(_media("/transcode?s=3", 8),),
        users=30,
        settle="grep -q 'Too many open files' /var/log/nginx/*error.log",
        expects=causes("too-many-open-files"),
        partly=causes("worker-connections-exhausted"),
    ),
    Fault(
        id="media-application-stopped-in-a-debugger",
        happens="somebody attached a debugger to the films' process and forgot it: it accepts and does not answer, nginx gives up after twenty seconds (posters after sixty), and HAProxy's check takes the server out",
        steps="kill -STOP $(systemctl show -P MainPID films)",
        limit_s=100.0,
        expects=causes("backend-hung"),
        partly=causes("all-upstreams-down", "backend-too-slow", "workers-exhausted", "upstream-error-status"),
        targets=FILMS_AT | WEB1_AT,
    ),
)

STACKS = (
    Stack(
        name="books",
        about="a business suite: Flask in gunicorn (four sync workers) and an evented service on a second port behind nginx, reports by a program that asks the suite itself, PostgreSQL with peer authentication",
        files={
            "/etc/nginx/sites-available/books": BOOKS_SITE,
            "/etc/books.conf.py": BOOKS_CONF,
            "/srv/books/books.py": BOOKS_APP,
            "/srv/books/chat.py": BOOKS_CHAT,
            "/etc/systemd/system/books.service": BOOKS_UNIT,
            "/etc/systemd/system/books-evented.service": BOOKS_CHAT_UNIT,
        },
        setup=BOOKS_SETUP,
        routes=(
            _books("/web", 4),
            _books("/longpolling/poll", 2, "POST"),
            _books("/report/pdf"),
            _books("/sale", 1, "POST"),
            _books("/attachment", 1, "POST", 20_000),
        ),
        faults=BOOKS_FAULTS,
        calms=(
            Calm(
                id="books-end-of-month",
                happens="imports take three seconds and come, reports are printed, the database is dumped, gunicorn gets HUP and a new log, a scanner asks for pages of another program",
                steps="systemctl kill -s HUP --kill-who=main books; logrotate -f /etc/logrotate.d/nginx; sudo -u postgres pg_dump books > /root/books.sql",
                routes=(
                    _books("/import?s=3", 1, "POST", 2000),
                    _books("/web/database/manager", expect=404),
                    _books("/cgi-bin/luci", expect=404),
                ),
                seconds=20.0,
                users=10,
            ),
            Calm(
                id="books-second-instance-planned",
                happens="a training copy is prepared: its site file lies there disabled, its unit is loaded and was never started, its port answers to nobody",
                steps="sed 's/8069/8169/; s/8072/8172/; s/books/training/g' /etc/nginx/sites-available/books > /etc/nginx/sites-available/training; sed 's/Books/Training/' /etc/systemd/system/books.service > /etc/systemd/system/training.service; systemctl daemon-reload; systemctl status training >/dev/null || true",
                seconds=14.0,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="media",
        about="films: HAProxy with TLS and HTTP checks (rsyslog) in front of nginx with a cache on a small volume in front of aiohttp, which streams",
        files={
            "/etc/haproxy/haproxy.cfg": MEDIA_HAPROXY,
            "/etc/nginx/sites-available/films": MEDIA_SITE,
            "/srv/films/films.py": MEDIA_APP,
            "/etc/systemd/system/films.service": MEDIA_UNIT,
        },
        setup=MEDIA_SETUP,
        routes=(_media("/", 4), _media("/posters/a.jpg", 2), _media("/stream/summer.mp4"), _media("/transcode?s=0.4")),
        faults=MEDIA_FAULTS,
        calms=(
            Calm(
                id="media-premiere",
                happens="many viewers, some of whom leave in the middle of a film; HAProxy and nginx are reloaded, logs rotate, robots ask for pages that are not there",
                steps="systemctl reload haproxy; systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx; logrotate -f /etc/logrotate.d/haproxy",
                routes=(_media("/stream/summer.mp4", 4), _media("/transcode?s=2"), _media("/robots.php", expect=404)),
                seconds=20.0,
                users=14,
                cancels=True,
            ),
            Calm(
                id="media-trouble-of-last-night",
                happens="last night no server was up for some minutes, and HAProxy's rotated log says so (503, SC--); HAProxy was reloaded since, today nothing fails",
                steps='day=$(date -d yesterday +%d/%b/%Y); stamp=$(date -d yesterday +%Y-%m-%dT03:10:11); for n in $(seq 300); do echo "$stamp.000000+00:00 web1 haproxy[99]: 203.0.113.9:40000 [$day:03:10:11.000] films~ web/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/0 0/0 \\"GET / HTTP/1.1\\""; done > /var/log/haproxy.log.1; touch -d \'yesterday 04:00\' /var/log/haproxy.log.1; systemctl reload haproxy',
                seconds=14.0,
            ),
        ),
    ),
)
