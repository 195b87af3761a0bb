"""Express with a queue of labels that a worker prints, on Redis, and Puma in a deployment of releases behind `current`, with PostgreSQL."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")
CUT = causes("premature-close", "connection-reset")

BREWERY_WEB = """\
const express = require('express');
const { createClient } = require('redis');
const crypto = require('crypto');
const app = express();
const url = process.env.REDIS_URL || 'redis://127.0.0.1:6379';
const redis = createClient({ url });
redis.on('error', (error) => console.error('redis:', error.message));
const kept = [];
app.get('/', (req, res) => res.send('beer '.repeat(200)));
app.get('/stock', async (req, res, next) => {
  try {
    await redis.set('stock:' + crypto.randomUUID(), 'x'.repeat(2000), { EX: 600 });
    res.json({ barrels: await redis.incr('barrels') });
  } catch (error) { next(error); }
});
app.post('/label', async (req, res, next) => {
  const mine = redis.duplicate();
  mine.on('error', () => {});
  try {
    await mine.connect();
    const id = crypto.randomUUID();
    await mine.lPush('labels', id);
    const done = await mine.blPop('label:' + id, 60);
    res.json({ printed: done !== null });
  } catch (error) { next(error); } finally { mine.quit().catch(() => {}); }
});
app.post('/photo', (req, res) => {
  let size = 0;
  req.on('data', (part) => { size += part.length; });
  req.on('end', () => res.json({ size }));
});
app.get('/ledger', (req, res) => {
  const rows = [];
  for (let n = 0; n < 120000; n += 1) rows.push({ n, name: 'barrel ' + n + Math.random(), sold: [n, n + 1] });
  kept.push(rows);
  res.json({ rows: rows.length });
});
app.get('/recipe', (req, res) => {
  setTimeout(() => { const recipe = JSON.parse('{"hops": 1,}'); res.json(recipe); }, 5);
});
app.get('/tour', (req, res) => setTimeout(() => res.send('tour '.repeat(300)), 1500));
app.use((error, req, res, next) => { console.error(`${req.method} ${req.url} failed:`, error); res.status(500).send('sorry'); });
const port = Number(process.env.PORT || 3000);
redis.connect().then(() => app.listen(port, process.env.HOST || '127.0.0.1', () => console.log('brewery on ' + port)));
"""
BREWERY_WORKER = """\
const { createClient } = require('redis');
(async () => {
  const redis = createClient({ url: process.env.REDIS_URL || 'redis://127.0.0.1:6379' });
  redis.on('error', (error) => console.error('redis:', error.message));
  await redis.connect();
  console.log('worker waits for labels');
  for (;;) {
    const job = await redis.brPop('labels', 5);
    if (!job) continue;
    await new Promise((done) => setTimeout(done, 60));
    await redis.multi().lPush('label:' + job.element, 'printed').expire('label:' + job.element, 60).exec();
  }
})();
"""
BREWERY_WEB_UNIT = """[Unit]
Description=Brewery shop
After=network.target redis-server.service

[Service]
User=brewery
WorkingDirectory=/srv/brewery
EnvironmentFile=/etc/brewery.env
ExecStart=/usr/bin/node web.js
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
BREWERY_WORKER_UNIT = """[Unit]
Description=Brewery worker for labels
After=network.target redis-server.service

[Service]
User=brewery
WorkingDirectory=/srv/brewery
EnvironmentFile=/etc/brewery.env
ExecStart=/usr/bin/node worker.js
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
BREWERY_SITE = """\
server {
    listen 80 default_server;
    server_name brewery.example;
    client_max_body_size 2m;

    location / {
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_connect_timeout 3s;
        proxy_read_timeout 10s;
        proxy_pass http://127.0.0.1:3000;
    }
}
"""
BREWERY_SETUP = """
useradd --system brewery; ln -s /opt/node/node_modules /srv/brewery/node_modules
mkdir -p /var/lib/nginx/body; mount -t tmpfs -o size=48m,mode=700 spool /var/lib/nginx/body; chown www-data /var/lib/nginx/body
systemctl enable -q --now redis-server; systemctl enable -q --now brewery brewery-worker
until curl -fs -o /dev/null http://127.0.0.1:3000/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/brewery /etc/nginx/sites-enabled/brewery; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
BREWERY = "brewery.example"
BREWERY_AT = frozenset({"127.0.0.1:3000"})
BREWERY_AND_REDIS = BREWERY_AT | {"127.0.0.1:6379"}
BREWERY_UP = "until curl -fs -o /dev/null http://127.0.0.1:3000/; do sleep 0.2; done"


def _brewery(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0) -> Route:
    return Route(path=path, host=BREWERY, weight=weight, method=method, body_bytes=body_bytes)


BREWERY_FAULTS = (
    Fault(
        id="brewery-worker-masked",
        happens="the worker for labels was stopped and masked for a maintenance last night; who orders a label waits for an answer that nobody gives: 504 for POST /label alone",
        steps="systemctl stop brewery-worker; systemctl mask -q brewery-worker 2>/dev/null || { mv /etc/systemd/system/brewery-worker.service /root/; systemctl daemon-reload; systemctl mask brewery-worker; }",
        routes=(_brewery("/label", 4, "POST"),),
        limit_s=100.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=HANGS | causes("proxy-timeout-too-short"),
    ),
    Fault(
        id="brewery-heap-limit",
        happens="NODE_OPTIONS=--max-old-space-size=96 comes from a guide for small servers; the ledger keeps its rows, and node aborts: heap out of memory, again and again",
        steps=f"echo NODE_OPTIONS=--max-old-space-size=96 >> /etc/brewery.env; systemctl restart brewery; {BREWERY_UP}",
        routes=(_brewery("/ledger", 3),),
        limit_s=100.0,
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=CUT | causes("backend-oom-killed", "memory-pressure", "backend-not-running"),
        targets=BREWERY_AT,
    ),
    Fault(
        id="brewery-redis-is-full",
        happens="maxmemory was set for the new small machine, with noeviction; Redis refuses what writes (OOM command not allowed): 500 for the stock",
        steps="redis-cli -n 0 debug populate 3000 x 1000 >/dev/null 2>&1 || true; redis-cli config set maxmemory-policy noeviction >/dev/null; redis-cli config set maxmemory 1mb >/dev/null",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | causes("memory-pressure"),
        targets=BREWERY_AND_REDIS,
    ),
    Fault(
        id="brewery-redis-password-rotated",
        happens="the password of Redis is set by the security team and its sessions are cut; the application's REDIS_URL has none: NOAUTH, 500 for the stock",
        steps="redis-cli config set requirepass s3cret >/dev/null; redis-cli -a s3cret --no-auth-warning client kill type normal skipme yes >/dev/null || true",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=BREWERY_AND_REDIS,
    ),
    Fault(
        id="brewery-recipe-ends-the-process",
        happens="one recipe has a comma too many; JSON.parse throws in a timer, nobody catches it, and node ends; systemd starts it two seconds later",
        steps="true",
        routes=(_brewery("/recipe", 2),),
        limit_s=90.0,
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=CUT | causes("backend-not-running", "deploy-termination-race"),
        targets=BREWERY_AT,
    ),
    Fault(
        id="brewery-host-is-localhost",
        happens="HOST=localhost comes with the new environment file; Node.js takes the first address of the name, which is ::1 here, and nginx asks 127.0.0.1",
        steps="sed -i 's/^127.0.0.1 .*/127.0.0.1 web1/' /etc/hosts; echo HOST=localhost >> /etc/brewery.env; systemctl restart brewery; until ss -ltn | grep -q '\\[::1\\]:3000'; do sleep 0.2; done",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "wrong-port"),
        targets=BREWERY_AT,
    ),
    Fault(
        id="brewery-photos-meet-a-full-spool",
        happens="an upload tool of before left its parts in nginx's directory for bodies, which is a small volume; bodies that do not fit nginx's buffer cannot be stored: 500 by nginx itself",
        steps="dd if=/dev/zero of=/var/lib/nginx/body/parts.tar bs=1M 2>/dev/null || true",
        routes=(_brewery("/photo", 5, "POST", 600000),),
        expects=causes("disk-full", "proxy-temp-unwritable"),
    ),
)

ORCHARD_APP = """\
require 'sinatra/base'
require 'pg'
SECRET = ENV.fetch('SECRET_KEY_BASE')
VERSION = File.read(File.join(__dir__, 'VERSION')).strip

DATABASE = lambda do
  PG.connect(host: '127.0.0.1', dbname: 'orchard', user: 'orchard', password: ENV.fetch('DB_PASSWORD'), connect_timeout: 5)
end

DATABASE.call.close # like a framework that looks at its tables when it boots

class Orchard < Sinatra::Base
  set :environment, :production
  set :host_authorization, { permitted_hosts: [] }
  set :show_exceptions, false
  def query(text)
    wire = DATABASE.call
    wire.exec(text).map { |row| row.values.join(' ') }.join("\\n")
  ensure
    wire&.close
  end
  get('/') { query('select name from trees order by id limit 20') }
  get('/about') { "orchard #{VERSION} " * 60 }
  post('/order') { query("insert into orders (tree) values (1) returning id") }
  get('/harvest') { sleep 1.6; 'harvest ' * 100 }
  get('/press') { $kept = ($kept || '') + 'x' * (60 << 20); $kept.size.to_s }
end
run Orchard
"""
ORCHARD_PUMA = """\
directory '/srv/orchard/current'
environment 'production'
threads 4, 4
workers 2
preload_app!
bind 'unix:///srv/orchard/shared/tmp/sockets/puma.sock'
pidfile '/srv/orchard/shared/tmp/pids/puma.pid'
stdout_redirect '/srv/orchard/shared/log/puma.stdout.log', '/srv/orchard/shared/log/puma.stderr.log', true
"""
ORCHARD_UNIT = """[Unit]
Description=Puma of the orchard
After=network.target

[Service]
User=deploy
WorkingDirectory=/srv/orchard/current
EnvironmentFile=/srv/orchard/shared/.env
ExecStart=/usr/bin/puma -C /srv/orchard/shared/puma.rb
ExecReload=/bin/kill -USR2 $MAINPID
Restart=always
RestartSec=1
MemoryMax=700M

[Install]
WantedBy=multi-user.target
"""
ORCHARD_SITE = """\
upstream orchard {
    server unix:/srv/orchard/current/tmp/sockets/puma.sock fail_timeout=0;
}
server {
    listen 80 default_server;
    server_name orchard.example;
    root /srv/orchard/current/public;
    access_log /var/log/nginx/orchard.access.log;
    error_log /var/log/nginx/orchard.error.log;
    try_files $uri @orchard;
    location @orchard {
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_read_timeout 12s;
        proxy_redirect off;
        proxy_pass http://orchard;
    }
}
"""
ORCHARD_DEPLOY = """#!/bin/bash
# deploy VERSION: a release of its own, what is shared is linked into it, then `current` moves
set -e
to=/srv/orchard/releases/$1
mkdir -p $to/public $to/tmp
cp /srv/orchard/repo/config.ru $to/; echo $1 > $to/VERSION
for each in ${LINKED-sockets pids}; do ln -sfn /srv/orchard/shared/tmp/$each $to/tmp/$each; done
ln -sfn /srv/orchard/shared/log $to/log
chown -R deploy: $to
ln -sfn $to /srv/orchard/current
"""
ORCHARD_SETUP = """
useradd --system -m deploy; mkdir -p /srv/orchard/shared/tmp/sockets /srv/orchard/shared/tmp/pids /srv/orchard/shared/log; chown -R deploy: /srv/orchard
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role orchard login password 'hunter22'" -c "create database orchard owner orchard"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U orchard orchard <<SQL
create table trees (id serial primary key, name text); insert into trees (name) select 'tree ' || n from generate_series(1, 300) n;
create table orders (id serial primary key, tree int);
SQL
deploy 20261101; deploy 20261108
systemctl enable -q --now orchard
until curl -fs -o /dev/null --unix-socket /srv/orchard/current/tmp/sockets/puma.sock http://orchard/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/orchard /etc/nginx/sites-enabled/orchard; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
ORCHARD = "orchard.example"
ORCHARD_AT = frozenset({"unix:/srv/orchard/current/tmp/sockets/puma.sock", "unix:/srv/orchard/shared/tmp/sockets/puma.sock"})
ORCHARD_AND_BASE = ORCHARD_AT | {"127.0.0.1:5432"}
ORCHARD_GONE = causes("backend-not-running", "unix-socket-missing")


def _orchard(path: str, weight: int = 1, method: str = "GET") -> Route:
    return Route(path=path, host=ORCHARD, weight=weight, method=method)


ORCHARD_FAULTS = (
    Fault(
        id="orchard-sockets-not-linked",
        happens="`sockets` fell out of the deployment's list of linked directories; the new release has no tmp/sockets, Puma runs on at the shared path, and nginx asks below `current`",
        steps="LINKED=pids deploy 20261115; systemctl restart orchard; until curl -fs -o /dev/null --unix-socket /srv/orchard/shared/tmp/sockets/puma.sock http://orchard/; do sleep 0.2; done",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=ORCHARD_AT,
    ),
    Fault(
        id="orchard-current-points-nowhere",
        happens="a cleanup of old releases takes the one that `current` points to; Puma is restarted at night and systemd cannot change into its directory (200/CHDIR)",
        steps="rm -r /srv/orchard/releases/20261108; systemctl restart orchard || true",
        settle="systemctl is-failed -q orchard",
        expects=NO_START,
        partly=ORCHARD_GONE,
        targets=ORCHARD_AT,
    ),
    Fault(
        id="orchard-secret-not-in-shared",
        happens="the new release wants SECRET_KEY_BASE, which was only in the old release's own file; Puma says KeyError in its log file below shared/, and systemd gives up",
        steps="sed -i /SECRET/d /srv/orchard/shared/.env; deploy 20261115; systemctl restart orchard || true",
        settle="systemctl is-failed -q orchard || test $(systemctl show -P NRestarts orchard) -ge 3",
        expects=NO_START,
        partly=ORCHARD_GONE | causes("backend-crashed"),
        targets=ORCHARD_AT,
    ),
    Fault(
        id="orchard-migration-waits-for-a-dump",
        happens="a report reads the trees in a long transaction, the deployment's `alter table` waits behind it, and every reader waits behind the `alter table`",
        steps='(sudo -u postgres psql -q orchard -c "begin; select count(*) from trees; select pg_sleep(900)" >/dev/null 2>&1 &); sleep 1; '
        '(sudo -u postgres psql -q orchard -c "alter table trees add column planted date" >/dev/null 2>&1 &); sleep 1',
        failures=16,
        limit_s=120.0,
        expects=causes("backend-dependency-slow"),
        partly=HANGS,
        targets=ORCHARD_AND_BASE,
    ),
    Fault(
        id="orchard-role-of-the-base-expired",
        happens="the role was made with `valid until`, and that day is over: password authentication failed, 500 for what asks the database",
        steps="sudo -u postgres psql -q -c \"alter role orchard valid until '2026-01-01'\"",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=ORCHARD_AND_BASE,
    ),
    Fault(
        id="orchard-umask-of-hardening",
        happens="a hardening role writes `?umask=0077` into Puma's bind; its socket is srwx------, and nginx is www-data",
        steps="sed -i 's#puma.sock#puma.sock?umask=0077#' /srv/orchard/shared/puma.rb; systemctl restart orchard; "
        'until test "$(stat -c %a /srv/orchard/shared/tmp/sockets/puma.sock 2>/dev/null)" = 700; do sleep 0.2; done',
        expects=causes("unix-socket-permission"),
        targets=ORCHARD_AT,
    ),
    Fault(
        id="orchard-before-its-database",
        happens="after a reboot Puma starts before PostgreSQL, which recovers for a while; it raises at its boot (Connection refused), systemd gives up after five tries, and now PostgreSQL is there",
        steps="systemctl stop orchard postgresql@15-main; systemctl start orchard || true; until systemctl is-failed -q orchard; do sleep 0.3; done; systemctl start postgresql@15-main",
        expects=NO_START,
        partly=ORCHARD_GONE | causes("backend-dependency-down", "backend-crashed"),
        targets=ORCHARD_AT,
    ),
    Fault(
        id="orchard-press-meets-memorymax",
        happens="one page keeps 60 MB more with each request; the unit has MemoryMax=700M, and the kernel kills Puma's worker again and again",
        steps="true",
        routes=(_orchard("/press", 3),),
        limit_s=100.0,
        expects=causes("backend-oom-killed"),
        partly=CUT | causes("backend-crashed", "backend-crash-loop", "memory-pressure", "backend-not-running"),
        targets=ORCHARD_AT,
    ),
)

STACKS = (
    Stack(
        name="brewery",
        about="Express behind nginx with its default logs, Redis, and a worker that prints labels from a list in Redis",
        files={
            "/srv/brewery/web.js": BREWERY_WEB,
            "/srv/brewery/worker.js": BREWERY_WORKER,
            "/etc/brewery.env": "NODE_ENV=production\n",
            "/etc/systemd/system/brewery.service": BREWERY_WEB_UNIT,
            "/etc/systemd/system/brewery-worker.service": BREWERY_WORKER_UNIT,
            "/etc/nginx/sites-available/brewery": BREWERY_SITE,
        },
        setup=BREWERY_SETUP,
        routes=(
            _brewery("/", 4),
            _brewery("/stock", 3),
            _brewery("/label", 1, "POST"),
            _brewery("/photo", 1, "POST", 60000),
        ),
        faults=BREWERY_FAULTS,
        calms=(
            Calm(
                id="brewery-open-day",
                happens="tours (1.5 s) of which some are broken off, the worker is restarted and its labels wait a moment, Redis saves, nginx reloads, phones ask for icons that are not there",
                steps="systemctl restart brewery-worker; redis-cli bgsave >/dev/null; systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(_brewery("/tour", 2), _brewery("/apple-touch-icon.png"), _brewery("/wp-login.php")),
                seconds=18.0,
                users=12,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="orchard",
        about="Sinatra in Puma (two workers) in a deployment of releases with `current` and shared directories, on a unix socket behind nginx, PostgreSQL",
        files={
            "/srv/orchard/repo/config.ru": ORCHARD_APP,
            "/srv/orchard/shared/puma.rb": ORCHARD_PUMA,
            "/srv/orchard/shared/.env": "SECRET_KEY_BASE=abcdef\nDB_PASSWORD=hunter22\nRACK_ENV=production\n",
            "/usr/local/bin/deploy": ORCHARD_DEPLOY,
            "/etc/systemd/system/orchard.service": ORCHARD_UNIT,
            "/etc/nginx/sites-available/orchard": ORCHARD_SITE,
        },
        setup=ORCHARD_SETUP,
        routes=(_orchard("/", 4), _orchard("/about", 3), _orchard("/order", 1, "POST")),
        faults=ORCHARD_FAULTS,
        calms=(
            Calm(
                id="orchard-deployment-that-went-well",
                happens="a release is deployed, Puma restarts itself with its sockets kept open (USR2), nginx reloads, the database is dumped; some visitors leave the page of the harvest (1.6 s), scanners get 404",
                steps="deploy 20261115; systemctl reload orchard; systemctl reload nginx; sudo -u postgres pg_dump orchard > /root/orchard.sql",
                routes=(_orchard("/harvest", 2), _orchard("/.env"), _orchard("/administrator/index.php")),
                seconds=20.0,
                cancels=True,
            ),
        ),
    ),
)
