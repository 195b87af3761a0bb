"""HAProxy in front of nginx in front of FastAPI with WebSockets, and Celery over Redis behind it."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

GALLEY_APP = """\
import asyncio, time, uuid
import redis
from celery import Celery
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

app = FastAPI()
jobs = Celery("galley", broker="redis://127.0.0.1:6379/0")
store = redis.Redis(db=1)

@app.get("/")
async def home():
    return {"dishes": ["soup", "bread"] * 60}

@app.get("/healthz")
async def health():
    return "well"

@app.post("/quote")
async def quote():
    key = uuid.uuid4().hex
    await run_in_threadpool(jobs.send_task, "galley.quote", (key,), ignore_result=True)
    answer = await run_in_threadpool(store.blpop, key, 60)
    return {"price": answer and int(answer[1])}

@app.get("/tables")
async def tables():
    await asyncio.sleep(1.4)
    return {"tables": list(range(100))}

@app.get("/inventory")
async def inventory():
    await asyncio.sleep(9)
    return {"inventory": "long"}

@app.get("/export")
async def export():
    time.sleep(14)
    return {"export": "blocking"}

@app.websocket("/orders")
async def orders(wire: WebSocket):
    await wire.accept()
    try:
        while True:
            await wire.receive_text()
    except WebSocketDisconnect:
        pass
"""
GALLEY_TASKS = """\
import time
import redis
from celery import Celery
jobs = Celery("galley", broker="redis://127.0.0.1:6379/0")
store = redis.Redis(db=1)

@jobs.task(name="galley.quote", ignore_result=True)
def quote(key):
    time.sleep(0.05)
    store.lpush(key, 12)
"""


def _galley_unit(what: str, command: str) -> str:
    return f"""[Unit]
Description=Galley: {what}
After=network.target redis-server.service

[Service]
User=galley
WorkingDirectory=/srv/galley
ExecStart={command}
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


GALLEY_NGINX = """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
}
server {
    listen 127.0.0.1:8081;
    server_name galley.example;
    access_log /var/log/nginx/galley.access.log;
    error_log /var/log/nginx/galley.error.log;
    location / {
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 12s;
        proxy_pass http://app.galley.internal:8000;
    }
}
"""
GALLEY_HAPROXY = """\
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    daemon

defaults
    log     global
    mode    http
    option  httplog
    option  dontlognull
    timeout connect 5s
    timeout client  50s
    timeout server  40s
    timeout tunnel  1h

frontend www
    bind :80
    default_backend web

backend web
    option httpchk GET /healthz
    http-check send hdr Host galley.example
    server web1 127.0.0.1:8081 check inter 2s
"""
GALLEY_UP = "until curl -fs -o /dev/null http://127.0.0.1:8000/healthz; do sleep 0.2; done"
GALLEY_SETUP = f"""
useradd --system galley; echo '127.0.0.1 app.galley.internal' >> /etc/hosts
systemctl enable -q --now rsyslog redis-server galley galley-tasks
{GALLEY_UP}
ln -s /etc/nginx/sites-available/galley /etc/nginx/sites-enabled/galley; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
haproxy -c -q -f /etc/haproxy/haproxy.cfg; systemctl enable -q --now haproxy
"""
GALLEY = "galley.example"
GALLEY_AT = frozenset({"127.0.0.1:8000", "app.galley.internal:8000"})
INNER_AT = frozenset({"127.0.0.1:8081", "web", "web/web1"})


def _galley(path: str, weight: int = 1, method: str = "GET") -> Route:
    return Route(path=path, host=GALLEY, weight=weight, method=method)


GALLEY_FAULTS = (
    Fault(
        id="galley-celery-not-started-after-deploy",
        happens="the deployment stops Celery and forgets to start it; a quote waits for a result that nobody computes: 504 by nginx, passed on by HAProxy, for POST /quote alone",
        steps="systemctl stop galley-tasks",
        routes=(_galley("/quote", 4, "POST"),),
        limit_s=100.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=HANGS | causes("proxy-timeout-too-short"),
    ),
    Fault(
        id="galley-export-blocks-the-loop",
        happens="a new page computes for fourteen seconds in an async function; uvicorn has one loop, and while it computes nobody else gets an answer",
        steps="true",
        routes=(_galley("/export", 3),),
        limit_s=110.0,
        failures=14,
        expects=HANGS,
        partly=causes("proxy-timeout-too-short", "all-upstreams-down", "health-check-misconfigured"),
        targets=GALLEY_AT,
    ),
    Fault(
        id="galley-upgrade-lost-in-tidying",
        happens="somebody tidies nginx's site up and takes out the two lines with Upgrade and Connection; WebSockets are refused, pages are well",
        steps="sed -i '/proxy_set_header Upgrade/d; /proxy_set_header Connection/d' /etc/nginx/sites-available/galley; systemctl reload nginx",
        routes=(Route(path="/orders", host=GALLEY, websocket=True, expect=(101,), weight=4),),
        failures=0,
        settle="test $(tail -n 200 /var/log/nginx/galley.access.log | grep '/orders' | grep -vc '\" 101 ') -ge 12",
        expects=causes("websocket-upgrade-missing"),
        partly=causes("upstream-error-status", "application-error", "route-not-found"),
        targets=GALLEY_AT | INNER_AT,
    ),
    Fault(
        id="galley-inner-configuration-refused",
        happens="a semicolon is lost in nginx's site; the certificate job restarts nginx instead of reloading it, and it does not come up: HAProxy's only server is DOWN, 503",
        steps="sed -i 's/proxy_http_version 1.1;/proxy_http_version 1.1/' /etc/nginx/sites-available/galley; systemctl restart nginx || true",
        failures=30,
        expects=causes("proxy-config-invalid", "proxy-not-running", "backend-startup-failure"),
        partly=causes("all-upstreams-down", "backend-not-running"),
    ),
    Fault(
        id="galley-name-gone-at-restart",
        happens="the name of the application left /etc/hosts weeks ago; tonight's upgrade restarts nginx: host not found in upstream, and it does not start: HAProxy answers 503",
        steps="sed -i '/app.galley.internal/d' /etc/hosts; systemctl restart nginx || true",
        failures=30,
        limit_s=90.0,
        expects=causes("dns-host-not-found", "proxy-config-invalid", "proxy-not-running"),
        partly=causes("all-upstreams-down", "backend-not-running", "backend-startup-failure"),
    ),
    Fault(
        id="galley-five-seconds-in-haproxy",
        happens="`timeout server 5s` comes with a tuning guide; the inventory takes nine seconds and finishes, nginx would wait twelve: 504 by HAProxy, 499 in nginx's log",
        steps="sed -i 's/timeout server  40s/timeout server  5s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(_galley("/inventory", 2),),
        limit_s=100.0,
        expects=SLOW,
        partly=causes("workers-exhausted", "client-closed-request"),
        targets=GALLEY_AT | INNER_AT,
    ),
    Fault(
        id="galley-health-renamed",
        happens="the new release calls its page of health /livez; HAProxy still asks for /healthz through nginx, gets 404 and takes its only server out: 503, while the application is well",
        steps="sed -i 's#/healthz#/livez#' /srv/galley/app.py; systemctl restart galley; until curl -fs -o /dev/null http://127.0.0.1:8000/livez; do sleep 0.2; done",
        failures=40,
        limit_s=90.0,
        settle="test $(tail -n 20 /var/log/haproxy.log | grep -c ' 503 ') -ge 12",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=INNER_AT,
    ),
)

STACKS = (
    Stack(
        name="galley",
        about="HAProxy with a check in front of nginx in front of FastAPI in uvicorn (one process) with WebSockets, quotes computed by Celery over Redis",
        files={
            "/srv/galley/app.py": GALLEY_APP,
            "/srv/galley/tasks.py": GALLEY_TASKS,
            "/etc/systemd/system/galley.service": _galley_unit(
                "site", "/opt/venv/bin/uvicorn --host 127.0.0.1 --port 8000 --proxy-headers app:app"
            ),
            "/etc/systemd/system/galley-tasks.service": _galley_unit(
                "tasks", "/opt/venv/bin/celery -A tasks:jobs worker --concurrency 2 --loglevel INFO"
            ),
            "/etc/nginx/sites-available/galley": GALLEY_NGINX,
            "/etc/haproxy/haproxy.cfg": GALLEY_HAPROXY,
        },
        setup=GALLEY_SETUP,
        routes=(
            _galley("/", 5),
            _galley("/quote", 1, "POST"),
            Route(path="/orders", host=GALLEY, websocket=True, expect=(101,)),
        ),
        faults=GALLEY_FAULTS,
        calms=(
            Calm(
                id="galley-friday-night",
                happens="many tables are looked at (1.4 s) and some visitors leave, orders run over WebSockets, nginx and HAProxy reload, logs rotate, a phone asks for an icon that is not there",
                steps="systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx; redis-cli bgsave >/dev/null",
                routes=(_galley("/tables", 2), _galley("/apple-touch-icon.png"), _galley("/inventory")),
                seconds=22.0,
                users=14,
                cancels=True,
            ),
        ),
    ),
)
