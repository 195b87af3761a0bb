"""Apache with ProxyPassMatch to PHP-FPM on a port, and Caddy in front of a gateway written in Node.js in front of two services."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")
CUT = causes("premature-close", "connection-reset", "backend-not-running")

KENNEL_SITE = """\
<VirtualHost *:80>
    ServerName kennel.example
    DocumentRoot /var/www/kennel
    DirectoryIndex index.php
    ProxyPassMatch "^/(.*\\.php)$" "fcgi://127.0.0.1:9074/var/www/kennel/$1"
    <Directory /var/www/kennel>
        Require all granted
        AllowOverride None
    </Directory>
    ErrorLog ${APACHE_LOG_DIR}/kennel-error.log
    CustomLog ${APACHE_LOG_DIR}/kennel-access.log combined
</VirtualHost>
"""
KENNEL_POOL = """\
[kennel]
user = kennel
group = kennel
listen = 127.0.0.1:9074
pm = dynamic
pm.max_children = 12
pm.start_servers = 4
pm.min_spare_servers = 2
pm.max_spare_servers = 6
php_admin_value[error_log] = /var/log/php/kennel.log
php_admin_flag[log_errors] = on
"""
KENNEL_BASE = """\
<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$base = new mysqli('127.0.0.1', 'kennel', 'hunter22', 'kennel');
"""
KENNEL_WATCH = """#!/bin/sh
# The site stood still once; since then this looks after it.
t=$(curl -s -o /dev/null -m 5 -w '%{time_total}' -H 'Host: kennel.example' http://127.0.0.1/breeds.php)
case "$t" in 0.[0-3]*) ;; *) logger -t kennel-watch "slow ($t), restarting PHP"; systemctl restart php8.2-fpm ;; esac
"""
KENNEL_FILES = {
    "/etc/apache2/sites-available/kennel.conf": KENNEL_SITE,
    "/etc/php/8.2/fpm/pool.d/kennel.conf": KENNEL_POOL,
    "/var/www/kennel/base.php": KENNEL_BASE,
    "/var/www/kennel/index.php": "<?php\nrequire 'base.php';\nforeach ($base->query('select name from dogs limit 20') as $row) echo '<li>', $row['name'], \"\\n\";\n",
    "/var/www/kennel/breeds.php": "<?php\necho str_repeat('a breed and its needs ', 100);\n",
    "/var/www/kennel/walks.php": "<?php\nusleep(1100000);\necho str_repeat('a walk ', 300);\n",
    "/var/www/kennel/pedigree.php": "<?php\nsleep(9);\necho str_repeat('mother and father ', 100);\n",
    "/var/www/kennel/photo.php": "<?php\necho strlen(file_get_contents('php://input'));\n",
    "/usr/local/bin/kennel-watch": KENNEL_WATCH,
    "/etc/systemd/system/kennel-watch.service": "[Service]\nType=oneshot\nExecStart=/usr/local/bin/kennel-watch\n",
    "/etc/systemd/system/kennel-watch.timer": "[Timer]\nOnActiveSec=1\nOnUnitInactiveSec=4\nAccuracySec=1\n\n[Install]\nWantedBy=timers.target\n",
}
KENNEL_SETUP = """
useradd --system kennel; mkdir -p /var/log/php; chown kennel /var/log/php
rm /etc/php/8.2/fpm/pool.d/www.conf
systemctl enable -q --now mariadb
mariadb <<SQL
create database kennel; create user kennel@'%' identified by 'hunter22'; grant all on kennel.* to kennel@'%';
use kennel; create table dogs (id int auto_increment primary key, name varchar(99)); insert into dogs (name) select concat('dog ', seq) from seq_1_to_200;
SQL
systemctl enable -q --now php8.2-fpm
a2enmod -q proxy proxy_fcgi; a2dissite -q 000-default; a2ensite -q kennel
apachectl -t 2>/dev/null; systemctl enable -q --now apache2; systemctl restart apache2
"""
KENNEL = "kennel.example"
KENNEL_AT = frozenset({"127.0.0.1:9074"})


def _kennel(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0) -> Route:
    return Route(path=path, host=KENNEL, weight=weight, method=method, body_bytes=body_bytes)


KENNEL_FAULTS = (
    Fault(
        id="kennel-site-moved-to-srv",
        happens="the site moves to /srv/www/kennel; DocumentRoot follows, the path in ProxyPassMatch does not: `Primary script unknown`, 404 for every page",
        steps="mkdir -p /srv/www; mv /var/www/kennel /srv/www/kennel; sed -i 's#DocumentRoot /var/www/kennel#DocumentRoot /srv/www/kennel#; s#Directory /var/www/kennel#Directory /srv/www/kennel#' /etc/apache2/sites-available/kennel.conf; systemctl reload apache2",
        failures=0,
        settle="test $(tail -n 60 /var/log/apache2/kennel-access.log | grep -c '\" 404 ') -ge 15",
        expects=causes("fastcgi-script-not-found"),
        partly=OWN_ERROR,
        targets=KENNEL_AT,
    ),
    Fault(
        id="kennel-slowlog-without-its-file",
        happens="`request_slowlog_timeout = 5s` is added to the pool, without a slowlog: php-fpm refuses its configuration (`'slowlog' must be specified`), and does not start again",
        steps="echo 'request_slowlog_timeout = 5s' >> /etc/php/8.2/fpm/pool.d/kennel.conf; systemctl restart php8.2-fpm || true",
        expects=NO_START,
        partly=causes("backend-not-running"),
        targets=KENNEL_AT,
    ),
    Fault(
        id="kennel-pool-on-the-other-family",
        happens="a template of pools writes `listen = [::1]:9074`; Apache connects to 127.0.0.1:9074, where nobody is",
        steps="sed -i 's/^listen = .*/listen = [::1]:9074/' /etc/php/8.2/fpm/pool.d/kennel.conf; systemctl restart php8.2-fpm",
        expects=causes("wrong-address"),
        partly=causes("php-fpm-socket-mismatch", "backend-not-running"),
        targets=KENNEL_AT,
    ),
    Fault(
        id="kennel-extensions-of-template",
        happens="a template for pools brings `security.limit_extensions = .phtml`: PHP-FPM refuses every script (`Access to the script … has been denied`), 403 for all",
        steps="echo 'security.limit_extensions = .phtml' >> /etc/php/8.2/fpm/pool.d/kennel.conf; systemctl reload php8.2-fpm",
        failures=0,
        settle="test $(tail -n 60 /var/log/apache2/kennel-access.log | grep -c '\" 403 ') -ge 15",
        expects=OWN_ERROR | causes("denied-by-rule"),
        partly=causes("fastcgi-script-not-found"),
        targets=KENNEL_AT,
    ),
    Fault(
        id="kennel-database-wants-tls",
        happens="`require_secure_transport = ON` is set on MariaDB after an audit; PHP connects in plain over TCP: `Connections using insecure transport are prohibited`, 500 for every page with dogs",
        steps="printf '[mariadbd]\\nrequire_secure_transport = ON\\n' > /etc/mysql/mariadb.conf.d/70-audit.cnf; systemctl restart mariadb",
        settle="test $(tail -n 60 /var/log/apache2/kennel-access.log | grep -c '\" 500 ') -ge 12",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=KENNEL_AT | {"127.0.0.1:3306"},
    ),
    Fault(
        id="kennel-watchdog-restarts-php",
        happens="a timer restarts PHP-FPM whenever a page takes longer than 0.4 s; with pedigrees (9 s) asked for by many that is every few seconds, and each restart cuts what runs: 503",
        steps="sed -i 's/^pm.max_children.*/pm.max_children = 6/' /etc/php/8.2/fpm/pool.d/kennel.conf; systemctl reload php8.2-fpm; systemctl start kennel-watch.timer",
        routes=(_kennel("/pedigree.php", 3),),
        users=14,
        limit_s=120.0,
        failures=16,
        expects=causes("deploy-termination-race"),
        partly=CUT | HANGS | causes("php-fpm-max-children", "php-fpm-crashed", "backend-crashed"),
        targets=KENNEL_AT,
    ),
    Fault(
        id="kennel-timeout-of-five",
        happens="`Timeout 5` of a guide against slow attackers comes into apache2.conf; a pedigree takes nine seconds: 504 for it alone",
        steps="sed -i 's/^Timeout 300/Timeout 5/' /etc/apache2/apache2.conf; systemctl reload apache2",
        routes=(_kennel("/pedigree.php"),),
        limit_s=100.0,
        expects=SLOW,
        partly=causes("php-fpm-max-children", "workers-exhausted"),
        targets=KENNEL_AT,
    ),
)

REGATTA_GATEWAY = """\
const http = require('http');
const proxy = require('http-proxy').createProxyServer({
  proxyTimeout: Number(process.env.TIMEOUT_MS || 30000),
  agent: new http.Agent({ keepAlive: false, maxSockets: Number(process.env.SOCKETS || 100) }),
});
const services = { '/api/results': 'http://127.0.0.1:4101', '/api/boats': 'http://127.0.0.1:4102' };
if (process.env.HANDLES_ERRORS !== 'no') {
  proxy.on('error', (error, req, res) => {
    console.error(`gateway: ${req.method} ${req.url}: ${error.message}`);
    if (!res.headersSent) res.writeHead(502);
    res.end('bad gateway');
  });
}
const port = Number(process.env.PORT || 3000);
http.createServer((req, res) => {
  const prefix = Object.keys(services).find((each) => req.url.startsWith(each));
  if (!prefix) { res.writeHead(200); return res.end('regatta '.repeat(100)); }
  proxy.web(req, res, { target: services[prefix] });
}).listen(port, '127.0.0.1', () => console.log(`gateway on ${port}`));
"""
REGATTA_RESULTS = """\
import asyncio, json, os
from aiohttp import web

async def results(request):
    with open("/srv/regatta/data/results.json") as file:
        return web.json_response(json.load(file))

async def live(request):
    await asyncio.sleep(1.2)
    return web.Response(text="ahead by a length " * 60)

async def season(request):
    await asyncio.sleep(14)
    return web.Response(text="a season")

app = web.Application()
app.add_routes([web.get("/api/results", results), web.get("/api/results/live", live), web.get("/api/results/season", season)])
web.run_app(app, host="127.0.0.1", port=4101)
"""
REGATTA_BOATS = """\
const Koa = require('koa');
const app = new Koa();
app.use(async (ctx) => {
  if (ctx.path === '/api/boats/plan') { await new Promise((done) => setTimeout(done, 4000)); ctx.body = 'plan'; return; }
  ctx.body = { boats: Array.from({ length: 60 }, (_, n) => `boat ${n}`) };
});
app.listen(4102, '127.0.0.1', () => console.log('boats on 4102'));
"""


def _regatta_unit(what: str, command: str, more: str = "Restart=on-failure\nRestartSec=1") -> str:
    return f"""[Unit]
Description=Regatta: {what}
After=network.target

[Service]
User=regatta
WorkingDirectory=/srv/regatta
EnvironmentFile=-/etc/regatta/{what}.env
ExecStart={command}
{more}

[Install]
WantedBy=multi-user.target
"""


REGATTA_CADDYFILE = """\
{
    auto_https off
}
http://regatta.example {
    log {
        output file /var/log/caddy/regatta.log
    }
    reverse_proxy 127.0.0.1:4000 {
        transport http {
            dial_timeout 3s
            response_header_timeout 10s
        }
    }
}
"""
REGATTA_SETUP = """
useradd --system regatta; ln -s /opt/node/node_modules /srv/regatta/node_modules
systemctl daemon-reload; systemctl enable -q --now results boats gateway
for p in 4101/api/results 4102/api/boats 4000/; do until curl -fs -o /dev/null http://127.0.0.1:$p; do sleep 0.2; done; done
systemctl enable -q --now caddy
"""
REGATTA = "regatta.example"
GATEWAY_AT = frozenset({"127.0.0.1:4000"})
RESULTS_AT, BOATS_AT = frozenset({"127.0.0.1:4101"}), frozenset({"127.0.0.1:4102"})


def _regatta(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=REGATTA, weight=weight)


REGATTA_FAULTS = (
    Fault(
        id="regatta-results-stopped",
        happens="the service of results is stopped for an import that nobody began; the gateway in Node.js answers 502 of its own for it (`connect ECONNREFUSED 127.0.0.1:4101`), boats go on",
        steps="systemctl stop results",
        expects=causes("backend-dependency-down", "backend-not-running"),
        partly=OWN_ERROR,
        targets=GATEWAY_AT | RESULTS_AT,
    ),
    Fault(
        id="regatta-handler-lost-in-refactoring",
        happens="a release of the gateway lost the handler of errors; boats is stopped for an upgrade, and the first request for it ends the whole gateway (ECONNREFUSED, uncaught), each second again",
        steps="echo HANDLES_ERRORS=no >> /etc/regatta/gateway.env; systemctl restart gateway; until curl -fs -o /dev/null http://127.0.0.1:4000/; do sleep 0.2; done; sed -i '/^\\[Unit\\]/a StartLimitIntervalSec=0' /etc/systemd/system/gateway.service; systemctl daemon-reload; systemctl stop boats",
        failures=20,
        settle="test $(systemctl show -P NRestarts gateway) -ge 3",
        expects=causes("backend-crashed", "backend-crash-loop", "backend-dependency-down"),
        partly=CUT | causes("backend-startup-failure"),
        targets=GATEWAY_AT | BOATS_AT,
    ),
    Fault(
        id="regatta-export-in-environment-file",
        happens="somebody writes `export PORT=4000` into the file of the environment, as for a shell; systemd ignores the line, and the gateway takes its default, 3000",
        steps="sed -i 's/^PORT=/export PORT=/' /etc/regatta/gateway.env; systemctl restart gateway; until ss -ltn | grep -q 127.0.0.1:3000; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=GATEWAY_AT,
    ),
    Fault(
        id="regatta-forking-that-does-not-fork",
        happens="the unit of the gateway is copied from an older daemon, with Type=forking; the program stays in the foreground, and after TimeoutStartSec (8 s) systemd kills it, starts it, kills it …",
        steps="sed -i 's/^User=regatta/Type=forking\\nTimeoutStartSec=8\\nUser=regatta/' /etc/systemd/system/gateway.service; systemctl daemon-reload; systemctl restart --no-block gateway; sleep 30",
        failures=12,
        expects=NO_START,
        partly=CUT | causes("deploy-termination-race", "backend-crashed"),
        targets=GATEWAY_AT,
    ),
    Fault(
        id="regatta-two-sockets-for-all",
        happens="SOCKETS=2 of a test is left in the gateway's environment: two connections to each service; the plan of boats takes four seconds, requests queue in the gateway, and Caddy gives up after ten: 504",
        steps="echo SOCKETS=2 >> /etc/regatta/gateway.env; systemctl restart gateway; until curl -fs -o /dev/null http://127.0.0.1:4000/; do sleep 0.2; done",
        routes=(_regatta("/api/boats/plan", 4),),
        users=24,
        settle="test $(grep -c '\"status\":504' /var/log/caddy/regatta.log) -ge 14",
        limit_s=120.0,
        expects=causes("workers-exhausted", "upstream-connection-limit", "backend-too-slow", "backend-dependency-slow"),
        partly=causes("backend-hung", "proxy-timeout-too-short"),
        targets=GATEWAY_AT | BOATS_AT,
    ),
    Fault(
        id="regatta-results-half-written",
        happens="the import writes results.json in place and breaks off in the middle (the disk's quota): JSONDecodeError, 500 of the results through gateway and Caddy",
        steps='printf \'{"results": [{"boat": "one", "ti\' > /srv/regatta/data/results.json',
        expects=OWN_ERROR,
        targets=GATEWAY_AT | RESULTS_AT,
    ),
    Fault(
        id="regatta-season-of-fourteen",
        happens="the results of a whole season take fourteen seconds; the gateway would wait thirty, Caddy (response_header_timeout) ten: 504 for them alone",
        steps="true",
        routes=(_regatta("/api/results/season"),),
        limit_s=100.0,
        failures=8,
        expects=SLOW,
        partly=causes("workers-exhausted", "backend-dependency-slow"),
        targets=GATEWAY_AT | RESULTS_AT,
    ),
)

STACKS = (
    Stack(
        name="kennel",
        about="Apache with ProxyPassMatch to a pool of PHP-FPM on 127.0.0.1:9074, MariaDB over TCP, a timer that looks after PHP",
        files=KENNEL_FILES,
        setup=KENNEL_SETUP,
        routes=(_kennel("/index.php", 4), _kennel("/breeds.php", 3), _kennel("/photo.php", 1, "POST", 20000)),
        faults=KENNEL_FAULTS,
        calms=(
            Calm(
                id="kennel-adoption-day",
                happens="Apache reloads with grace, logs rotate, a dump; walks (1.1 s) are broken off, a pedigree of 9 s comes through, scanners ask for pages that are not there",
                steps="logrotate -f /etc/logrotate.d/apache2; mariadb-dump --single-transaction kennel > /root/kennel.sql; apachectl graceful",
                routes=(_kennel("/walks.php"), _kennel("/pedigree.php"), _kennel("/wp-content/plugins/x.zip")),
                seconds=20.0,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="regatta",
        about="Caddy on port 80 in front of a gateway of its own making (Node.js, http-proxy) in front of aiohttp and Koa",
        files={
            "/srv/regatta/gateway.js": REGATTA_GATEWAY,
            "/srv/regatta/results.py": REGATTA_RESULTS,
            "/srv/regatta/boats.js": REGATTA_BOATS,
            "/srv/regatta/data/results.json": '{"results": [{"boat": "one", "time": 341}, {"boat": "two", "time": 350}]}\n',
            "/etc/regatta/gateway.env": "NODE_ENV=production\nPORT=4000\n",
            "/etc/systemd/system/gateway.service": _regatta_unit("gateway", "/usr/bin/node gateway.js"),
            "/etc/systemd/system/results.service": _regatta_unit("results", "/opt/venv/bin/python results.py"),
            "/etc/systemd/system/boats.service": _regatta_unit("boats", "/usr/bin/node boats.js"),
            "/etc/caddy/Caddyfile": REGATTA_CADDYFILE,
        },
        setup=REGATTA_SETUP,
        routes=(_regatta("/", 3), _regatta("/api/results", 3), _regatta("/api/boats", 2)),
        faults=REGATTA_FAULTS,
        calms=(
            Calm(
                id="regatta-the-day-before",
                happens="Caddy reloads, new results are written; live results (1.2 s) and the plan (4 s) are broken off, a scanner gets the front page",
                steps="systemctl reload caddy; cp /srv/regatta/data/results.json /srv/regatta/data/new; mv /srv/regatta/data/new /srv/regatta/data/results.json; journalctl -q --rotate",
                routes=(_regatta("/api/results/live"), _regatta("/api/boats/plan"), _regatta("/phpinfo.php")),
                cancels=True,
            ),
        ),
    ),
)
