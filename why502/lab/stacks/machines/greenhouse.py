"""Sensors of a greenhouse: FastAPI with WebSockets behind an nginx that asks dnsmasq for one name at run time and for another at its start."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

SITE = """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
}
upstream panel {
    server panel.internal:8610;
}
server {
    listen 80;
    server_name greenhouse.example;
    access_log /var/log/nginx/greenhouse.access.log;
    error_log /var/log/nginx/greenhouse.error.log;
    resolver 127.0.0.1 valid=4s ipv6=off;
    resolver_timeout 4s;
    client_body_buffer_size 16k;

    location /panel/ {
        proxy_pass http://panel/;
        proxy_connect_timeout 4s;
    }
    location / {
        set $sensors sensors.internal;
        proxy_pass http://$sensors:8600;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
    }
}
"""
APP = """\
import asyncio, time
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse

time.sleep(2.5)  # models of the climate are loaded
app = FastAPI()

@app.get("/", response_class=PlainTextResponse)
async def home():
    return "temperature 21.4\\n" * 80

@app.post("/measures")
async def measures(request: Request):
    return {"bytes": len(await request.body())}

@app.get("/history")
async def history(s: float = 1):
    await asyncio.sleep(s)
    return {"history": list(range(200))}

@app.websocket("/live")
async def live(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.receive_text()
"""
UNIT = """[Unit]
Description=Sensors
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/greenhouse
ExecStart=/opt/venv/bin/uvicorn --host 127.0.0.2 --port 8600 sensors:app
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
PANEL_UNIT = """[Unit]
Description=Panel
After=network.target

[Service]
User=www-data
Environment=HOST=127.0.0.2
EnvironmentFile=-/etc/panel.env
ExecStart=/usr/bin/node /srv/greenhouse/panel.js
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
PANEL = """\
const express = require('/opt/node/node_modules/express');
const app = express();
app.get('/', (request, response) => response.send('<p>panel</p>'.repeat(200)));
app.listen(8610, process.env.HOST, () => console.log('panel on', process.env.HOST));
"""
UP = "until curl -fs -o /dev/null http://127.0.0.2:8600/; do sleep 0.2; done"
SETUP = f"""
systemctl enable -q --now dnsmasq
systemctl daemon-reload; systemctl enable -q --now sensors panel
{UP}; until curl -fs -o /dev/null http://127.0.0.2:8610/; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/greenhouse /etc/nginx/sites-enabled/greenhouse
systemctl enable -q --now nginx
"""


def _route(path: str, weight: int = 1, expect: int = 200, **more: object) -> Route:
    return Route(path=path, host="greenhouse.example", weight=weight, expect=(expect,), **more)  # type: ignore[arg-type]


LIVE = Route(path="/live", host="greenhouse.example", websocket=True, expect=(101,))
SENSORS_AT = frozenset({"127.0.0.2:8600", "sensors.internal:8600", "sensors.internal"})
PANEL_AT = frozenset({"127.0.0.2:8610", "panel.internal:8610", "panel"})
FAULTS = (
    Fault(
        id="greenhouse-dnsmasq-stopped",
        happens="dnsmasq was stopped because something else wanted port 53; nginx asks it for sensors.internal at run time and gets no answer: 502; the panel, resolved at the start, goes on",
        steps="systemctl disable -q --now dnsmasq",
        expects=causes("dns-resolver-failure"),
    ),
    Fault(
        id="greenhouse-name-lost",
        happens="a clean-up of dnsmasq's files takes the name of the sensors away: could not be resolved (3: Host not found), 502",
        steps="sed -i /sensors/d /etc/dnsmasq.d/lan.conf; systemctl restart dnsmasq",
        expects=causes("dns-host-not-found"),
    ),
    Fault(
        id="greenhouse-resolver-line-lost",
        happens="the line `resolver` is lost when the site's file is written anew: no resolver defined to resolve sensors.internal, 502",
        steps="sed -i '/resolver/d' /etc/nginx/sites-available/greenhouse; systemctl reload nginx",
        expects=causes("resolver-missing"),
    ),
    Fault(
        id="greenhouse-panel-moved",
        happens="the panel moves to 127.0.0.3 and dnsmasq tells so; nginx resolved panel.internal when it was started and still connects to 127.0.0.2: refused, 502",
        steps="sed -i 's#/panel.internal/127.0.0.2#/panel.internal/127.0.0.3#' /etc/dnsmasq.d/lan.conf; systemctl restart dnsmasq; echo HOST=127.0.0.3 > /etc/panel.env; systemctl restart panel; until curl -fs -o /dev/null http://127.0.0.3:8610/; do sleep 0.2; done",
        routes=(_route("/panel/", 3),),
        expects=causes("stale-dns"),
        partly=causes("wrong-address", "backend-not-running"),
        targets=PANEL_AT,
    ),
    Fault(
        id="greenhouse-restarted-by-each-push",
        happens="a pipeline restarts the sensors' service at each push, three times within a quarter of a minute; it takes three seconds to load: connection refused in between, 502; now it serves",
        steps=f"for n in 1 2 3; do systemctl restart sensors; {UP}; sleep 2; done",
        failures=8,
        expects=causes("deploy-termination-race"),
        partly=causes("backend-not-running"),
        targets=SENSORS_AT,
    ),
    Fault(
        id="greenhouse-connections-of-a-small-machine",
        happens="a tuning for small machines sets worker_processes 1 and worker_connections 24; with live views of many screens they are used up: worker_connections are not enough, connections are closed or get 500",
        steps="sed -i 's/^worker_processes.*/worker_processes 1;/; s/worker_connections .*/worker_connections 24;/' /etc/nginx/nginx.conf; systemctl reload nginx",
        routes=(Route(path="/live", host="greenhouse.example", websocket=True, weight=12, expect=(101,)),),
        users=30,
        settle="test $(cat /var/log/nginx/*error.log | grep -c 'worker_connections are not enough') -ge 12",
        expects=causes("worker-connections-exhausted"),
    ),
    Fault(
        id="greenhouse-bodies-have-no-room",
        happens="/var/lib/nginx lies on a small volume that another program filled: uploads of measures above 16 kB fail in nginx itself (pwrite() failed, No space left on device): 500",
        steps="mount -t tmpfs -o size=1m,mode=755 tmpfs /var/lib/nginx; systemctl reload nginx; sleep 1; head -c 2m /dev/zero > /var/lib/nginx/old-cache 2>/dev/null || true",
        routes=(_route("/measures", 5, method="POST", body_bytes=400_000),),
        settle="test $(grep -c '\" 500 ' /var/log/nginx/greenhouse.access.log) -ge 12",
        expects=causes("disk-full", "proxy-temp-unwritable"),
    ),
)

STACKS = (
    Stack(
        name="greenhouse",
        about="FastAPI with WebSockets in one uvicorn on 127.0.0.2 and a panel of Express behind nginx; dnsmasq tells both names, one at run time by a variable",
        files={
            "/etc/nginx/sites-available/greenhouse": SITE,
            "/srv/greenhouse/sensors.py": APP,
            "/srv/greenhouse/panel.js": PANEL,
            "/etc/systemd/system/sensors.service": UNIT,
            "/etc/systemd/system/panel.service": PANEL_UNIT,
            "/etc/dnsmasq.d/lan.conf": "no-resolv\nlisten-address=127.0.0.1\nbind-interfaces\naddress=/sensors.internal/127.0.0.2\naddress=/panel.internal/127.0.0.2\nlocal=/internal/\n",
        },
        setup=SETUP,
        routes=(_route("/", 4), _route("/panel/", 2), LIVE, _route("/measures", method="POST", body_bytes=60_000)),
        faults=FAULTS,
        calms=(
            Calm(
                id="greenhouse-hot-day",
                happens="histories of two seconds, live views, nginx reloads, dnsmasq reloads its hosts; scanners ask for hidden files and cgi-bin, some visitors leave",
                steps="systemctl reload nginx; systemctl reload dnsmasq || true; logrotate -f /etc/logrotate.d/nginx",
                routes=(_route("/history?s=2"), _route("/.git/config", expect=404), _route("/cgi-bin/test", expect=404)),
                seconds=18.0,
                users=10,
                cancels=True,
            ),
        ),
    ),
)
