"""Beekeepers' association: Koa behind nginx, which writes each harvest into beanstalkd."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

SITE = """\
limit_conn_zone $server_name zone=members:1m;
upstream apiary {
    server 127.0.0.1:7300;
    keepalive 8;
}
server {
    listen 80;
    server_name apiary.example;
    access_log /var/log/nginx/apiary.access.log;
    error_log /var/log/nginx/apiary.error.log;
    client_max_body_size 4m;
    location / {
        proxy_pass http://apiary;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_connect_timeout 4s;
        proxy_read_timeout 9s;
    }
}
"""
APP = """\
const net = require('net');
const Koa = require('/opt/node/node_modules/koa');
const settings = require('./settings.json');
const app = new Koa();
const kept = [];
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const put = (job) => new Promise((done, failed) => {
  const queue = net.connect(settings.queue.port, settings.queue.host, () => queue.write(`put 10 0 60 ${job.length}\\r\\n${job}\\r\\n`));
  queue.once('data', (answer) => { queue.end(); done(String(answer)); });
  queue.once('error', failed);
});
app.use(async (context) => {
  if (context.path === '/harvest') context.body = await put('harvest of hive 12');
  else if (context.path === '/season') { await pause(5); context.body = 'season '.repeat(400); }
  else if (context.path === '/photo') { kept.push(Buffer.alloc(24 << 20, 1)); context.body = 'photo'; }
  else if (context.path === '/upload') { let size = 0; for await (const part of context.req) size += part.length; context.body = { size }; }
  else context.body = 'hives '.repeat(300);
});
app.listen(settings.port, settings.host, () => console.log('apiary on', settings.host, settings.port));
"""
SETTINGS = '{"host": "127.0.0.1", "port": 7300, "queue": {"host": "127.0.0.1", "port": 11300}}\n'
UNIT = """[Unit]
Description=Apiary
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/apiary
ExecStart=/usr/bin/node /srv/apiary/apiary.js
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
UP = "until curl -fs -o /dev/null http://127.0.0.1:7300/; do sleep 0.2; done"
SETUP = f"""
systemctl enable -q --now beanstalkd
systemctl daemon-reload; systemctl enable -q --now apiary
{UP}
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/apiary /etc/nginx/sites-enabled/apiary
systemctl enable -q --now nginx
"""


def _route(path: str, weight: int = 1, **more: object) -> Route:
    return Route(path=path, host="apiary.example", weight=weight, **more)  # type: ignore[arg-type]


KOA = frozenset({"127.0.0.1:7300", "apiary"})
FAULTS = (
    Fault(
        id="apiary-queue-not-enabled",
        happens="somebody switched beanstalkd off during a clean-up; each harvest meets ECONNREFUSED on 11300 and Koa answers 500; the other pages go on",
        steps="systemctl disable -q --now beanstalkd beanstalkd.socket 2>/dev/null || systemctl disable -q --now beanstalkd",
        routes=(_route("/harvest", 2),),
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status"),
    ),
    Fault(
        id="apiary-queue-stands-still",
        happens="beanstalkd is stopped by a SIGSTOP of a backup script that never continued it; harvests wait and nginx gives up after 9 s: 504",
        steps="kill -STOP $(systemctl show -p MainPID --value beanstalkd)",
        routes=(_route("/harvest", 2),),
        failures=8,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=causes("backend-too-slow"),
    ),
    Fault(
        id="apiary-three-seconds-of-a-forum",
        happens="a hint from a forum sets proxy_read_timeout to 3 s; the overview of the season takes five: 504, though Koa finishes it each time",
        steps="sed -i 's/proxy_read_timeout 9s/proxy_read_timeout 3s/' /etc/nginx/sites-available/apiary; systemctl reload nginx",
        routes=(_route("/season", 3),),
        failures=8,
        expects=causes("proxy-timeout-too-short"),
        partly=causes("backend-too-slow"),
        targets=KOA,
    ),
    Fault(
        id="apiary-settings-of-ipv6",
        happens="the new settings.json has ::1 as its host; nginx still connects to 127.0.0.1: refused, 502",
        steps='sed -i \'s/"host": "127.0.0.1", "port": 7300/"host": "::1", "port": 7300/\' /srv/apiary/settings.json; systemctl restart apiary',
        expects=causes("wrong-address"),
        targets=KOA,
    ),
    Fault(
        id="apiary-settings-with-a-comma",
        happens="settings.json was edited by hand and ends with a comma too many; node exits at once and systemd starts it until the limit: 502",
        steps="sed -i 's/11300}}/11300},}/' /srv/apiary/settings.json; systemctl restart apiary || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        targets=KOA,
    ),
    Fault(
        id="apiary-photos-meet-memorymax",
        happens="a drop-in sets MemoryMax=160M; each photo stays in memory until the kernel kills node: reset or refused, 502",
        steps=f"mkdir -p /etc/systemd/system/apiary.service.d; printf '[Service]\\nMemoryMax=160M\\nMemorySwapMax=0\\n' > /etc/systemd/system/apiary.service.d/memory.conf; systemctl daemon-reload; systemctl restart apiary; {UP}",
        routes=(_route("/photo", 2),),
        expects=causes("backend-oom-killed"),
        partly=causes("backend-crash-loop", "backend-crashed"),
        targets=KOA,
    ),
    Fault(
        id="apiary-two-connections-for-all",
        happens="limit_conn meant for one visitor counts by the server's name: only two requests at a time for everybody, 503 for the rest",
        steps="sed -i 's/client_max_body_size 4m;/client_max_body_size 4m; limit_conn members 2;/' /etc/nginx/sites-available/apiary; systemctl reload nginx",
        routes=(_route("/season", 3),),
        expects=causes("rate-limited"),
    ),
    Fault(
        id="apiary-tls-in-the-pass",
        happens="somebody writes https in proxy_pass when the site gets its certificate; Koa speaks plain HTTP: SSL_do_handshake fails, wrong version number, 502",
        steps="sed -i 's#proxy_pass http://apiary#proxy_pass https://apiary#' /etc/nginx/sites-available/apiary; systemctl reload nginx",
        expects=causes("wrong-protocol"),
        partly=causes("tls-handshake-failed"),
        targets=KOA,
    ),
)
CALMS = (
    Calm(
        id="apiary-end-of-season",
        happens="overviews of five seconds, harvests, uploads of 2 MB, and nginx reloaded twice",
        steps="for n in 1 2; do systemctl reload nginx; sleep 2; done",
        routes=(_route("/season", 2), _route("/harvest"), _route("/upload", method="POST", body_bytes=2_000_000)),
    ),
)
STACKS = (
    Stack(
        name="apiary",
        about="nginx, Koa, beanstalkd",
        files={
            "/etc/nginx/sites-available/apiary": SITE,
            "/srv/apiary/apiary.js": APP,
            "/srv/apiary/settings.json": SETTINGS,
            "/etc/systemd/system/apiary.service": UNIT,
        },
        setup=SETUP,
        routes=(_route("/"),),
        faults=FAULTS,
        calms=CALMS,
    ),
)
