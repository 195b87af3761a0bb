"""Node.js: Express under systemd and under PM2 in cluster mode, NestJS, and socket.io on two processes."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, MARIADB, site, unit

EXPRESS = """\
const express = require('express');
const mysql = require('mysql2/promise');
const app = express();
if (!process.env.SESSION_SECRET) throw new Error('SESSION_SECRET is not set');
const pool = mysql.createPool({ uri: process.env.DATABASE_URL, connectionLimit: 4, connectTimeout: 60000 });
const kept = [];
app.get('/', async (req, res, next) => { try { const [rows] = await pool.query('select * from products limit 20'); res.json(rows); } catch (e) { next(e); } });
app.get('/products/:id', async (req, res, next) => { try { const [rows] = await pool.query('select * from products where id = ?', [req.params.id]); res.json(rows); } catch (e) { next(e); } });
app.get('/about', (req, res) => res.send('<p>About us</p>'.repeat(100)));
app.get('/health', (req, res) => res.send('ok'));
app.get('/leak', (req, res) => { for (let n = 0; n < 100; n++) kept.push(new Array(20000).fill({ at: Date.now() + n })); res.send('kept'); });
app.get('/regexp', (req, res) => { const end = Date.now() + 15000; while (Date.now() < end); res.send('matched'); });
app.get('/bug', (req, res) => { setTimeout(() => { throw new TypeError("Cannot read properties of undefined (reading 'total')"); }, 5); });
app.get('/abort', (req, res) => { res.writeHead(200, { 'Content-Length': '100000' }); res.write('x'.repeat(5000), () => res.socket.destroy()); });
app.get('/forgotten', (req, res) => { /* never answers */ });
app.get('/cookies', (req, res) => { for (let n = 0; n < 12; n++) res.cookie('item' + n, 'x'.repeat(900)); res.send('cart'); });
app.get('/download', (req, res) => { res.writeHead(200, { 'Content-Length': String(4 << 20) }); for (let n = 0; n < 64; n++) res.write('x'.repeat(65536)); res.end(); });
app.use((error, req, res, next) => { console.error(error); res.status(503).send('unavailable'); });
const server = app.listen(Number(process.env.PORT || 3000), process.env.HOST || '127.0.0.1', () => console.log('listening on ' + JSON.stringify(server.address())));
if (process.env.KEEP_ALIVE_MS) server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS);
"""

NEST = """\
require('reflect-metadata');
const { NestFactory } = require('@nestjs/core');
const { Module, Controller, Get } = require('@nestjs/common');
class Orders { list() { return [{ id: 1 }]; } }
Reflect.decorate([Get('orders')], Orders.prototype, 'list', Object.getOwnPropertyDescriptor(Orders.prototype, 'list'));
const OrdersController = Reflect.decorate([Controller('api')], Orders) || Orders;
class App {}
const AppModule = Reflect.decorate([Module({ controllers: [OrdersController] })], App) || App;
NestFactory.create(AppModule).then((app) => app.listen(Number(process.env.PORT || 3001), '127.0.0.1'));
"""

CHAT = """\
const http = require('http');
const { Server } = require('socket.io');
const server = http.createServer((req, res) => res.end('chat'));
const io = new Server(server, { path: '/chat/' });
io.on('connection', (socket) => socket.on('say', (text) => io.emit('said', text)));
server.listen(Number(process.env.PORT), '127.0.0.1');
"""

PROXY = """
    location / {
        include proxy_params;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_connect_timeout 3s;
        proxy_read_timeout 8s;
        proxy_pass http://web;
    }
"""
UPSTREAM = """
upstream web {
    server 127.0.0.1:3000;
    keepalive 16;
}
"""
ENVIRONMENT = "SESSION_SECRET=0123456789abcdef\nDATABASE_URL=mysql://shop:hunter22@127.0.0.1/shop\nPORT=3000\nNODE_ENV=production\nNODE_PATH=/opt/node/node_modules\n"
ROUTES = (Route(path="/", weight=4), Route(path="/products/3", weight=4), Route(path="/about", weight=4), Route(path="/health"))
AT = frozenset({"127.0.0.1:3000"})
RESTART = "systemctl restart shop || true"
HANGS = causes("backend-hung", "backend-too-slow", "cpu-saturation")
EXPRESS_UNIT = unit(
    "/usr/bin/node $NODE_OPTIONS_EXTRA /srv/shop/server.js", more="EnvironmentFile=/etc/shop.env\nRestartSec=1", restart="always"
)

EXPRESS_FAULTS = (
    Fault(
        id="express-environment-missing",
        happens="a deploy loses SESSION_SECRET; the process throws at its start, Restart=always",
        steps=f"sed -i /SESSION_SECRET/d /etc/shop.env; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AT,
    ),
    Fault(
        id="express-heap-limit",
        happens="the heap limit is 48 MB, and a page leaks until node aborts; systemd restarts it",
        steps=f"echo NODE_OPTIONS_EXTRA=--max-old-space-size=48 >> /etc/shop.env; {RESTART}; until curl -fs http://127.0.0.1:3000/health; do sleep 0.2; done",
        routes=(Route(path="/leak", weight=3),),
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("backend-oom-killed", "connection-reset", "premature-close", "backend-not-running", "memory-pressure"),
        targets=AT,
    ),
    Fault(
        id="express-event-loop-blocked",
        happens="a regular expression that backtracks for 15 s blocks the only thread; every page waits",
        steps="true",
        routes=(Route(path="/regexp", weight=1),),
        expects=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
        partly=causes("cpu-saturation", "proxy-timeout-too-short"),
        targets=AT,
    ),
    Fault(
        id="express-uncaught-exception",
        happens="one page throws outside of its handler; the process ends with status 1 and is restarted each time",
        steps="true",
        routes=(Route(path="/bug", weight=3),),
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("premature-close", "connection-reset", "backend-not-running"),
        targets=AT,
    ),
    Fault(
        id="express-never-answers",
        happens="one page forgets to answer",
        steps="true",
        routes=(Route(path="/forgotten", weight=4),),
        expects=causes("backend-hung", "backend-too-slow"),
        partly=causes("workers-exhausted"),
        targets=AT,
    ),
    Fault(
        id="express-mariadb-unreachable",
        happens="a rule drops what goes to MariaDB; queries wait for a connection",
        steps="nft add table inet filter; nft 'add chain inet filter output { type filter hook output priority 0; }'; "
        "nft add rule inet filter output tcp dport 3306 drop",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS | causes("workers-exhausted"),
        targets=AT,
    ),
    Fault(
        id="express-mariadb-stopped",
        happens="MariaDB is stopped; pages answer 503",
        steps="systemctl stop mariadb",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=AT,
    ),
    Fault(
        id="express-port-in-use",
        happens="the old process was started by hand and holds port 3000 on ::; the service cannot bind after a restart",
        steps="systemctl stop shop; systemd-run -q --unit=byhand -p EnvironmentFile=/etc/shop.env -p Environment=HOST=127.0.0.1 "
        "node -e \"require('http').createServer((q,r)=>r.socket.destroy()).listen(3000,'127.0.0.1')\"; until ss -ltn | grep -q :3000; do sleep 0.1; done; "
        + RESTART,
        expects=causes("port-conflict"),
        partly=causes("backend-crash-loop", "backend-startup-failure", "premature-close"),
        targets=AT,
    ),
    Fault(
        id="express-port-from-environment",
        happens="PORT=8080 in the new environment file; many other listeners",
        steps=f"sed -i s/PORT=3000/PORT=8080/ /etc/shop.env; systemctl start redis-server memcached prometheus-node-exporter; {RESTART}",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=AT,
    ),
    Fault(
        id="express-keepalive-race",
        happens="the application closes idle connections after 300 ms, nginx keeps them for a minute",
        steps=f"echo KEEP_ALIVE_MS=300 >> /etc/shop.env; {RESTART}; until curl -fs http://127.0.0.1:3000/health; do sleep 0.2; done",
        failures=8,
        users=12,
        limit_s=90,
        expects=causes("keepalive-race", "deploy-termination-race", "backend-not-running"),
        partly=causes("premature-close", "connection-reset"),
        targets=AT,
    ),
    Fault(
        id="express-response-cut",
        happens="a page destroys its socket in the middle of the body",
        steps="true",
        routes=(Route(path="/abort", weight=4),),
        expects=causes("truncated-response"),
        partly=causes("premature-close", "connection-reset"),
        targets=AT,
    ),
    Fault(
        id="express-cookies-too-big",
        happens="a page sets 11 kB of cookies",
        steps="true",
        routes=(Route(path="/cookies", weight=4),),
        expects=causes("response-header-too-big"),
        targets=AT,
    ),
    Fault(
        id="express-module-missing",
        happens="npm ci failed in the deploy; the module express is not there",
        steps=f"sed -i /NODE_PATH/d /etc/shop.env; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AT,
    ),
    Fault(
        id="express-runuser-missing",
        happens="the user of the service was deleted (217/USER)",
        steps=f"sed -i 's/^User=.*/User=deploy/; /^Group=/d' /etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running"),
        targets=AT,
    ),
    Fault(
        id="express-bound-to-other-interface",
        happens="HOST is the public address now; nginx asks 127.0.0.1",
        steps=f"echo HOST=203.0.113.10 >> /etc/shop.env; {RESTART}",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "wrong-port"),
        targets=AT,
    ),
    Fault(
        id="express-descriptors-of-nginx",
        happens="worker_rlimit_nofile is 40 and many users wait for slow pages",
        steps="sed -i '1i worker_rlimit_nofile 34;' /etc/nginx/nginx.conf; sed -i 's/worker_processes .*/worker_processes 1;/' /etc/nginx/nginx.conf; systemctl restart nginx",
        routes=(Route(path="/forgotten", weight=20),),
        users=36,
        expects=causes("too-many-open-files"),
        partly=causes("backend-hung"),
    ),
)

PM2_SETUP = """
useradd --system --create-home --shell /bin/bash node
chown -R node: /srv/shop
cat > /etc/systemd/system/pm2-node.service <<'X'
[Unit]
Description=PM2 process manager
After=network.target
[Service]
Type=forking
User=node
LimitNOFILE=infinity
Environment=PATH=/opt/node/node_modules/.bin:/usr/bin:/bin PM2_HOME=/home/node/.pm2
PIDFile=/home/node/.pm2/pm2.pid
Restart=on-failure
ExecStart=/opt/node/node_modules/.bin/pm2 start /srv/shop/ecosystem.config.js
ExecReload=/opt/node/node_modules/.bin/pm2 reload all
ExecStop=/opt/node/node_modules/.bin/pm2 kill
[Install]
WantedBy=multi-user.target
X
systemctl daemon-reload
systemctl enable --now pm2-node
"""
ECOSYSTEM = """\
module.exports = { apps: [{ name: 'shop', script: '/srv/shop/server.js', instances: 2, exec_mode: 'cluster', min_uptime: 2000, max_restarts: 6,
  env: { SESSION_SECRET: '0123456789abcdef', DATABASE_URL: 'mysql://shop:hunter22@127.0.0.1/shop', PORT: 3000, NODE_PATH: '/opt/node/node_modules' } }] };
"""
PM2 = "sudo -u node env PATH=/opt/node/node_modules/.bin:/usr/bin:/bin PM2_HOME=/home/node/.pm2 pm2"

PM2_FAULTS = (
    Fault(
        id="pm2-stopped",
        happens="someone runs pm2 stop shop",
        steps=f"{PM2} stop shop",
        expects=causes("backend-not-running"),
        targets=AT,
    ),
    Fault(
        id="pm2-errored",
        # On a loaded machine the application takes more than two seconds to start and fail, and PM2 would never give up.
        happens="a release without SESSION_SECRET is reloaded; PM2 gives up after too many unstable restarts",
        steps=f"sed -i \"s/SESSION_SECRET: '[^']*', //; s/min_uptime: 2000/min_uptime: 30000/\" /srv/shop/ecosystem.config.js; {PM2} delete shop; {PM2} start /srv/shop/ecosystem.config.js || true",
        settle=f'{PM2} jlist | grep -q \'"status":"errored"\'',
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AT,
    ),
    Fault(
        id="pm2-crash-by-one-request",
        happens="one page makes a worker of the cluster throw; PM2 restarts it each time",
        steps="true",
        routes=(Route(path="/bug", weight=3),),
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("premature-close", "connection-reset", "backend-not-running"),
        targets=AT,
    ),
    Fault(
        id="pm2-daemon-killed",
        happens="PM2's daemon and its workers are killed, and not restarted",
        steps="mkdir -p /etc/systemd/system/pm2-node.service.d; printf '[Service]\\nRestart=no\\n' > /etc/systemd/system/pm2-node.service.d/x.conf; "
        "systemctl daemon-reload; systemctl kill -s KILL pm2-node",
        expects=causes("backend-not-running", "backend-crashed"),
        partly=causes("backend-oom-killed"),
        targets=AT,
    ),
    Fault(
        id="pm2-event-loops-blocked",
        happens="a page blocks each of the two workers for 15 s",
        steps="true",
        routes=(Route(path="/regexp", weight=3),),
        expects=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
        partly=causes("cpu-saturation"),
        targets=AT,
    ),
    Fault(
        id="pm2-resurrect-forgotten",
        happens="after a reboot nobody ran pm2 startup: the daemon is not there",
        steps="systemctl disable --now pm2-node",
        expects=causes("backend-not-running"),
        targets=AT,
    ),
)

CHAT_SITE = """
    location / {
        include proxy_params;
        proxy_read_timeout 8s;
        proxy_connect_timeout 3s;
        proxy_pass http://127.0.0.1:3001;
    }
    location /chat/ {
        include proxy_params;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout 8s;
        proxy_connect_timeout 3s;
        proxy_pass http://chat;
    }
"""
CHAT_HEAD = """
upstream chat {
    ip_hash;
    server 127.0.0.1:3101;
    server 127.0.0.1:3102;
}
"""
WS = "/chat/?EIO=4&transport=websocket"
CHAT_FAULTS = (
    Fault(
        id="socketio-one-of-two-stopped",
        happens="one of two socket.io processes is stopped; nginx retries on the other, and clients notice nothing",
        steps="systemctl stop chat@3102",
        failures=0,
        limit_s=30,
        settle="grep -q 'Connection refused' /var/log/nginx/shop.error.log",
        expects=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:3102"}),
    ),
    Fault(
        id="socketio-all-stopped",
        happens="both are stopped",
        steps="systemctl stop chat@3101 chat@3102",
        expects=causes("backend-not-running"),
        partly=causes("all-upstreams-down"),
        targets=frozenset({"127.0.0.1:3101", "127.0.0.1:3102"}),
    ),
    Fault(
        id="socketio-frozen",
        happens="one of the two is frozen by SIGSTOP",
        steps="kill -STOP $(systemctl show -p MainPID --value chat@3101)",
        failures=4,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "websocket-idle-timeout"),
        targets=frozenset({"127.0.0.1:3101"}),
    ),
    Fault(
        id="nest-stopped",
        happens="the NestJS service fails: its main file was not built",
        steps="mv /srv/shop/main.js /srv/shop/main.ts; systemctl restart nest || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=frozenset({"127.0.0.1:3001"}),
    ),
)

STACKS = (
    Stack(
        name="express",
        about="Express under systemd behind nginx with keepalive, MariaDB",
        files={
            "/srv/shop/server.js": EXPRESS,
            "/etc/shop.env": ENVIRONMENT,
            "/etc/nginx/sites-available/shop": site(PROXY, UPSTREAM),
            "/etc/systemd/system/shop.service": EXPRESS_UNIT,
        },
        setup=MARIADB + "systemctl enable --now shop\n" + ENABLE_SITE,
        routes=ROUTES,
        faults=EXPRESS_FAULTS,
        calms=(
            Calm(id="express-quiet-day", happens="ordinary traffic", seconds=8),
            Calm(
                id="express-cancelled-downloads",
                happens="users break off downloads",
                routes=(Route(path="/download", weight=3),),
                cancels=True,
                seconds=12,
            ),
            Calm(
                id="express-not-found",
                happens="scanners get 404, nginx reloads",
                steps="systemctl reload nginx",
                routes=(Route(path="/.env", weight=8), Route(path="/admin.php", weight=8)),
                seconds=8,
            ),
        ),
    ),
    Stack(
        name="pm2",
        about="Express in PM2's cluster mode (two workers) behind nginx, MariaDB",
        files={
            "/srv/shop/server.js": EXPRESS,
            "/srv/shop/ecosystem.config.js": ECOSYSTEM,
            "/etc/nginx/sites-available/shop": site(PROXY, UPSTREAM),
        },
        setup=MARIADB + PM2_SETUP + ENABLE_SITE,
        routes=ROUTES,
        faults=PM2_FAULTS,
        calms=(
            Calm(id="pm2-quiet-day", happens="ordinary traffic", seconds=8),
            Calm(id="pm2-reload", happens="pm2 reload under traffic", steps=f"{PM2} reload shop", seconds=12),
        ),
    ),
    Stack(
        name="socketio",
        about="socket.io in two processes with ip_hash and a NestJS API, behind nginx",
        files={
            "/srv/shop/chat.js": CHAT,
            "/srv/shop/main.js": NEST,
            "/etc/nginx/sites-available/shop": site(CHAT_SITE, CHAT_HEAD),
            "/etc/systemd/system/chat@.service": unit(
                "/usr/bin/node /srv/shop/chat.js", more="Environment=PORT=%i NODE_PATH=/opt/node/node_modules"
            ),
            "/etc/systemd/system/nest.service": unit(
                "/usr/bin/node /srv/shop/main.js", more="Environment=PORT=3001 NODE_PATH=/opt/node/node_modules"
            ),
        },
        setup="systemctl enable --now chat@3101 chat@3102 nest\n" + ENABLE_SITE,
        routes=(
            Route(path="/api/orders", weight=4),
            Route(path="/chat/?EIO=4&transport=polling", weight=4),
            Route(path=WS, weight=2, websocket=True, expect=(101,)),
        ),
        faults=CHAT_FAULTS,
        calms=(
            Calm(id="socketio-quiet-day", happens="ordinary traffic, WebSockets come and go", seconds=12),
            Calm(
                id="socketio-reload",
                happens="nginx reloads while WebSockets are open",
                steps="systemctl reload nginx; sleep 3; systemctl reload nginx",
                seconds=12,
            ),
        ),
    ),
)
