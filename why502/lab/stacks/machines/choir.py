"""Koa on a unix socket with PostgreSQL behind nginx with a limit, a maintenance switch and long polls."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

CHOIR_APP = """\
const Koa = require('/opt/node/node_modules/koa');
const { Pool } = require('/opt/node/node_modules/pg');
const fs = require('fs');
const app = new Koa();
const pool = new Pool({ host: '/var/run/postgresql', database: 'choir', user: 'choir', max: 5 });
const kept = [];
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

app.use(async (context) => {
  if (context.path === '/') {
    const found = await pool.query('select title from songs order by id limit 20');
    context.body = { songs: found.rows };
  } else if (context.path === '/dates') {
    context.body = 'Tuesday at eight '.repeat(70);
  } else if (context.path === '/poll') {
    await wait(4000);
    context.body = { news: [] };
  } else if (context.path === '/recording') {
    await wait(300);
    const part = Buffer.alloc(12 << 20, kept.length + 1);
    kept.push(part);
    context.body = { kept: kept.length };
  } else if (context.path === '/attendance') {
    const client = await pool.connect();
    const found = await client.query('select count(*) from songs');
    if (context.query.month) client.release();
    context.body = found.rows[0];
  }
});

const path = process.env.SOCKET;
fs.rmSync(path, { force: true });
app.listen(path, () => fs.chmodSync(path, 0o666));
"""
CHOIR_UNIT = """[Unit]
Description=choir
After=network.target postgresql.service

[Service]
User=choir
WorkingDirectory=/srv/choir
RuntimeDirectory=choir
Environment=SOCKET=/run/choir/web.sock
ExecStart=/usr/bin/node server.js
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
CHOIR_SITE = """\
limit_req_zone $binary_remote_addr zone=visitors:1m rate=20r/s;
upstream choir {
    server unix:/run/choir/web.sock;
    keepalive 8;
}
server {
    listen 80 default_server;
    server_name choir.example;
    access_log /var/log/nginx/choir.log;
    error_page 503 /sorry.html;

    location = /sorry.html {
        root /srv/choir/pages;
    }
    location / {
        if (-f /srv/choir/maintenance.on) {
            return 503;
        }
        limit_req zone=visitors burst=20 nodelay;
        limit_req_status 429;
        proxy_pass http://choir;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_read_timeout 12s;
    }
}
"""
CHOIR_SETUP = """
useradd --system choir
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role choir login" -c "create database choir owner choir"
sudo -u choir psql -q choir -c "create table songs (id serial primary key, title text)" -c "insert into songs (title) select 'song ' || n from generate_series(1, 300) n"
systemctl enable -q --now choir
until curl -fs -o /dev/null --unix-socket /run/choir/web.sock http://choir/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/choir /etc/nginx/sites-enabled/choir; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
CHOIR = "choir.example"
CHOIR_AT = frozenset({"unix:/run/choir/web.sock", "choir"})
CHOIR_FAULTS = (
    Fault(
        id="choir-one-limit-for-all",
        happens="the limit is copied anew from a guide: its key is $server_name, 2r/s, no burst, no limit_req_status: all visitors share it, most get 503",
        steps="sed -i 's/limit_req_zone .*/limit_req_zone $server_name zone=visitors:1m rate=2r\\/s;/; s/ burst=20 nodelay//; /limit_req_status/d' /etc/nginx/sites-available/choir; systemctl restart nginx",
        settle="test $(grep -c ' 503 ' /var/log/nginx/choir.log) -ge 12",
        expects=causes("rate-limited"),
    ),
    Fault(
        id="choir-maintenance-left-on",
        happens="last night's deploy script ended before it removed its maintenance file; the application runs, nginx answers 503 with the page that says sorry",
        steps="touch /srv/choir/maintenance.on",
        expects=causes("maintenance-response"),
    ),
    Fault(
        id="choir-memory-of-recordings",
        happens="recordings are kept in memory; the service's group has a limit of 220 MB, the kernel kills Node.js, systemd starts it, and again",
        steps="mount -o remount,bind,rw /sys/fs/cgroup/memory; mkdir /sys/fs/cgroup/memory/choir; echo 220M > /sys/fs/cgroup/memory/choir/memory.limit_in_bytes; "
        "mkdir -p /etc/systemd/system/choir.service.d; printf '[Service]\\nExecStartPost=+/bin/sh -c \"echo $MAINPID > /sys/fs/cgroup/memory/choir/cgroup.procs\"\\n' "
        "> /etc/systemd/system/choir.service.d/memory.conf; systemctl daemon-reload; systemctl restart choir; until curl -fs -o /dev/null --unix-socket /run/choir/web.sock http://choir/dates; do sleep 0.2; done",
        routes=(Route(path="/recording", host=CHOIR, weight=4),),
        limit_s=120.0,
        settle="test $(journalctl -q -u choir | grep -c 'status=9/KILL') -ge 2",
        expects=causes("backend-oom-killed"),
        partly=causes(
            "backend-crashed",
            "backend-crash-loop",
            "premature-close",
            "connection-reset",
            "backend-not-running",
            "memory-pressure",
        ),
        targets=CHOIR_AT,
    ),
    Fault(
        id="choir-connections-of-nginx",
        happens="a guide's nginx.conf says worker_connections 16 with one worker; long polls of forty singers take them all: `worker_connections are not enough`",
        steps="sed -i 's/worker_connections .*/worker_connections 16;/; s/^worker_processes .*/worker_processes 1;/' /etc/nginx/nginx.conf; systemctl restart nginx",
        routes=(Route(path="/poll", host=CHOIR, weight=30),),
        users=40,
        failures=60,
        patience_s=8.0,
        limit_s=100.0,
        settle="test $(grep -c 'are not enough' /var/log/nginx/error.log) -ge 15",
        expects=causes("worker-connections-exhausted"),
    ),
    Fault(
        id="choir-pool-leaks-clients",
        happens="a page without its month never gives its database client back; after five of them the pool is empty, and each page that asks the database waits for ever: 504 after 12 s, other pages are quick",
        steps="true",
        routes=(Route(path="/attendance", host=CHOIR, weight=2),),
        limit_s=120.0,
        expects=causes("backend-hung", "backend-too-slow"),
        partly=causes("backend-dependency-slow", "workers-exhausted", "backend-dependency-down"),
        targets=CHOIR_AT,
    ),
    Fault(
        id="choir-target-in-a-variable",
        happens="for a move the target becomes `set $app http://app.choir.example:3000`, without a resolver: `no resolver defined to resolve app.choir.example`, 502",
        steps="echo '127.0.0.1 app.choir.example' >> /etc/hosts; sed -i 's#proxy_pass http://choir;#set $app http://app.choir.example:3000;\\n        proxy_pass $app;#' /etc/nginx/sites-available/choir; nginx -t 2>/dev/null; systemctl reload nginx",
        expects=causes("resolver-missing"),
    ),
    Fault(
        id="choir-clean-exit-of-node",
        happens="somebody ends the process by hand (`kill`, after a look at htop): for systemd a clean end, Restart=on-failure does nothing, the socket's file is gone with the runtime directory",
        steps="systemctl kill choir; until ! systemctl is-active -q choir; do sleep 0.2; done",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing", "backend-crashed"),
        targets=CHOIR_AT,
    ),
)

STACKS = (
    Stack(
        name="choir",
        about="Koa on a unix socket below /run behind nginx with keepalive, a limit for each visitor and a maintenance switch; PostgreSQL with peer authentication",
        files={
            "/srv/choir/server.js": CHOIR_APP,
            "/srv/choir/pages/sorry.html": "<h1>We are sorry</h1>\n",
            "/etc/systemd/system/choir.service": CHOIR_UNIT,
            "/etc/nginx/sites-available/choir": CHOIR_SITE,
        },
        setup=CHOIR_SETUP,
        routes=(Route(path="/", host=CHOIR, weight=4), Route(path="/dates", host=CHOIR, weight=3)),
        faults=CHOIR_FAULTS,
        calms=(
            Calm(
                id="choir-rehearsal",
                happens="long polls of 4 s are broken off (499), nginx reloads while they wait, logs rotate, a vacuum; a scanner asks for pages that are not there (404)",
                steps="logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; sudo -u postgres psql -q choir -c 'vacuum analyze'",
                routes=(
                    Route(path="/poll", host=CHOIR),
                    Route(path="/actuator/health", host=CHOIR),
                    Route(path="/.env", host="203.0.113.10"),
                ),
                seconds=20.0,
                cancels=True,
            ),
            Calm(
                id="choir-bot-is-limited",
                happens="a bot reads the whole site as fast as it can and gets 429 from nginx's limit, as it should; singers notice nothing",
                steps="seq 400 | xargs -P 12 -n 20 sh -c 'for n; do curl -s -o /dev/null -A GPTBot/1.2 -H \"Host: choir.example\" http://127.0.0.1/dates?page=$n; done' sh; true",
                cancels=True,
            ),
        ),
    ),
)
