"""JSP pages in Tomcat 10 behind nginx, and a single-page site of nginx with an API of Express and Redis."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

GRANTS_SITE = """\
server {
    listen 80 default_server;
    server_name grants.example;
    access_log /var/log/nginx/grants.access.log;
    error_log /var/log/nginx/grants.error.log;
    location / {
        proxy_connect_timeout 3s;
        proxy_read_timeout 5s;
        proxy_set_header Host $host;
        proxy_pass http://127.0.0.1:8080;
    }
}
"""
GRANTS_SETUP = """
rm -rf /var/lib/tomcat10/webapps/ROOT/*; mkdir -p /var/lib/tomcat10/webapps/ROOT; cp -r /root/grants/* /var/lib/tomcat10/webapps/ROOT/; chown -R tomcat: /var/lib/tomcat10/webapps/ROOT
systemctl enable --now tomcat10
until curl -fs -o /dev/null http://127.0.0.1:8080/list.jsp; do sleep 0.3; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/grants /etc/nginx/sites-enabled/grants
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
GRANTS = "grants.example"
TOMCAT_AT = frozenset({"127.0.0.1:8080"})
GRANTS_FAULTS = (
    Fault(
        id="grants-processes-of-tomcat",
        happens="a hardening guide's `LimitNPROC=12` for the unit: the JVM cannot create its threads (`unable to create native thread`) and ends at its start",
        steps="mkdir -p /etc/systemd/system/tomcat10.service.d; printf '[Service]\\nLimitNPROC=12\\n' > /etc/systemd/system/tomcat10.service.d/limits.conf; systemctl daemon-reload; systemctl restart tomcat10 || true",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed", "memory-pressure"),
        targets=TOMCAT_AT,
    ),
    Fault(
        id="grants-address-of-the-vpn",
        happens='the Connector gets address="10.8.0.4", which is the VPN\'s and not there: Tomcat logs `Cannot assign requested address` and lives on without a listener',
        steps='sed -i \'0,/<Connector port="8080"/s//<Connector port="8080" address="10.8.0.4"/\' /etc/tomcat10/server.xml; systemctl restart tomcat10; '
        "until grep -qs 'Cannot assign' /var/log/tomcat10/catalina*.log || journalctl -q -u tomcat10 | grep -q 'Cannot assign'; do sleep 0.3; done",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "wrong-address"),
        targets=TOMCAT_AT,
    ),
    Fault(
        id="grants-work-directory-of-root",
        happens="a clean-up by root leaves Tomcat's work directory to root; the pages that are compiled go on, a new one cannot be compiled: 500 for that page",
        steps="chown -R root:root /var/cache/tomcat10; chmod -R go-w /var/cache/tomcat10; echo '<%= new java.util.Date() %> tender' > /var/lib/tomcat10/webapps/ROOT/tender.jsp; chown tomcat: /var/lib/tomcat10/webapps/ROOT/tender.jsp",
        routes=(Route(path="/tender.jsp", host=GRANTS, weight=6),),
        expects=OWN_ERROR,
        targets=TOMCAT_AT,
    ),
    Fault(
        id="grants-stopped-for-a-heap-dump",
        happens="an engineer takes a heap dump with gcore, and the JVM stands still for 12 s; it is over, and all is served again",
        steps="P=$(systemctl show -P MainPID tomcat10); kill -STOP $P; sleep 12; kill -CONT $P; until curl -fs -m 2 -o /dev/null http://127.0.0.1:8080/list.jsp; do sleep 0.3; done; sleep 4",
        failures=6,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted"),
        targets=TOMCAT_AT,
    ),
    Fault(
        id="grants-context-never-ends-to-start",
        happens="a new release's start-up page, loaded by Tomcat at its start (load-on-startup), waits for a licence server that never answers: Tomcat runs and does not open its port",
        steps="cp /root/slow/* /var/lib/tomcat10/webapps/ROOT/; mkdir -p /var/lib/tomcat10/webapps/ROOT/WEB-INF; mv /var/lib/tomcat10/webapps/ROOT/web.xml /var/lib/tomcat10/webapps/ROOT/WEB-INF/web.xml; systemctl restart tomcat10; sleep 5",
        expects=causes("backend-startup-failure", "backend-hung", "backend-dependency-slow"),
        partly=causes("backend-not-running"),
        targets=TOMCAT_AT,
    ),
)
GRANTS_FILES = {
    "/etc/nginx/sites-available/grants": GRANTS_SITE,
    "/root/grants/list.jsp": "<% for (int n = 0; n < 40; n++) { %><li>grant <%= n %>\n<% } %>",
    "/root/grants/form.jsp": "<form><%= request.getRemoteAddr() %></form>",
    "/root/slow/start.jsp": "<%! public void jspInit() { try { Thread.sleep(600000); } catch (InterruptedException e) { } } %>start",
    "/root/slow/web.xml": '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"><servlet><servlet-name>start</servlet-name><jsp-file>/start.jsp</jsp-file><load-on-startup>1</load-on-startup></servlet></web-app>',
}

RADIO_APP = """\
const express = require('/opt/node/node_modules/express');
const { createClient } = require('/opt/node/node_modules/redis');
const app = express();
const redis = createClient({ url: 'redis://127.0.0.1:6379', disableOfflineQueue: true });
redis.on('error', (error) => console.error('redis:', error.message));
redis.connect().catch((error) => console.error('redis:', error.message));
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
app.get('/api/now', async (request, response) => {
  try {
    response.json({ plays: await redis.incr('plays') });
  } catch (error) {
    console.error('GET /api/now', error);
    response.status(503).json({ error: 'no counter' });
  }
});
app.get('/api/hosts', (request, response) => response.json({ hosts: Array(50).fill('host') }));
app.get('/api/song', async (request, response) => { await later(1500); response.send('song '.repeat(200)); });
app.get('/api/charts', async (request, response) => { await later(3500); response.send('charts '.repeat(200)); });
app.get('/api/report', async (request, response) => { await later(8000); response.send('report '.repeat(200)); });
app.get('/api/ticket', (request, response) => { if (Math.random() > 0.07) return response.send('ticket'); setTimeout(() => { throw new Error('printer is null'); }, 3); });
const server = app.listen(3000, '127.0.0.1', () => console.log('radio on 3000'));
server.keepAliveTimeout = 75000;
if (process.env.SOCKET_TIMEOUT) server.setTimeout(Number(process.env.SOCKET_TIMEOUT));
"""
RADIO_UNIT = """[Unit]
Description=Radio API
After=network.target redis-server.service

[Service]
User=radio
WorkingDirectory=/srv/radio/api
ExecStart=/usr/bin/node server.js
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
RADIO_SITE = """\
upstream radio_api { server 127.0.0.1:3000; keepalive 16; }
server {
    listen 80 default_server;
    server_name radio.example;
    root /srv/radio/current;
    access_log /var/log/nginx/radio.access.log;
    error_log /var/log/nginx/radio.error.log;
    location / {
        try_files $uri /index.html;
    }
    location /api/ {
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_connect_timeout 3s;
        proxy_read_timeout 20s;
        proxy_pass http://radio_api;
    }
}
"""
RADIO_SETUP = """
useradd --system radio; mkdir -p /srv/radio/releases/9; echo '<div id=app></div>' > /srv/radio/releases/9/index.html; echo 'run()' > /srv/radio/releases/9/app.js; ln -sfn /srv/radio/releases/9 /srv/radio/current
systemctl start redis-server; systemctl enable --now radio-api
until curl -fs -o /dev/null http://127.0.0.1:3000/api/now; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/radio /etc/nginx/sites-enabled/radio
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
RADIO = "radio.example"
API_AT = frozenset({"127.0.0.1:3000", "radio_api"})
DROP_IN = "mkdir -p /etc/systemd/system/radio-api.service.d; printf '[Service]\\n{}\\n' > /etc/systemd/system/radio-api.service.d/local.conf; systemctl daemon-reload; systemctl --no-block restart radio-api"
RADIO_UP = "; until curl -fs -o /dev/null http://127.0.0.1:3000/api/hosts; do sleep 0.2; done"
RADIO_FAULTS = (
    Fault(
        id="radio-build-without-index",
        happens="the front end's build fails half-way and is released without index.html; try_files falls back to itself: `rewrite or internal redirection cycle`, 500",
        steps="mkdir /srv/radio/releases/10; echo 'run()' > /srv/radio/releases/10/app.js; ln -sfn /srv/radio/releases/10 /srv/radio/current",
        expects=causes("rewrite-cycle"),
    ),
    Fault(
        id="radio-socket-timeout",
        happens="server.setTimeout(1500) by an environment variable: Node.js ends connections that are silent for 1.5 s, and the charts need 3.5 s",
        steps=DROP_IN.format("Environment=SOCKET_TIMEOUT=1500") + "; sleep 1" + RADIO_UP,
        routes=(Route(path="/api/charts", host=RADIO, weight=4),),
        failures=18,
        expects=causes("premature-close"),
        partly=causes("connection-reset", "worker-timeout", "keepalive-race"),
        targets=API_AT,
    ),
    Fault(
        id="radio-few-local-ports",
        happens="a line of sysctl.d leaves the machine seven local ports for outgoing connections; with more songs asked for at a time, nginx gets `Cannot assign requested address`",
        steps="echo 'net.ipv4.ip_local_port_range = 60000 60006' > /etc/sysctl.d/90-ports.conf; sysctl -q -p /etc/sysctl.d/90-ports.conf",
        routes=(Route(path="/api/song", host=RADIO, weight=12),),
        users=30,
        expects=causes("ephemeral-ports-exhausted"),
        targets=API_AT,
    ),
    Fault(
        id="radio-redis-permission-taken",
        happens="Redis gets access lists, and the default user may not use INCR any more: NOPERM, and the API answers 503 itself",
        steps="redis-cli acl setuser default -incr >/dev/null; redis-cli acl list > /root/acl.txt",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=API_AT,
    ),
    Fault(
        id="radio-waits-for-a-debugger",
        happens="NODE_OPTIONS=--inspect-brk stays in the unit after a debugging session; at the next restart Node.js waits for a debugger, active and without its port",
        steps=DROP_IN.format("Environment=NODE_OPTIONS=--inspect-brk=127.0.0.1:9229") + "; sleep 2",
        expects=causes("backend-startup-failure", "backend-not-running", "backend-hung"),
        partly=causes("wrong-port"),
        targets=API_AT,
    ),
    Fault(
        id="radio-redis-away-for-six-seconds",
        happens="Redis is upgraded: six seconds without it, the API answers 503 meanwhile; it is over",
        steps="sleep 1; systemctl stop redis-server; sleep 6; systemctl start redis-server; until curl -fs -o /dev/null http://127.0.0.1:3000/api/now; do sleep 0.2; done; sleep 4",
        failures=6,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=API_AT,
    ),
    Fault(
        id="radio-ticket-and-report",
        happens="two things: nginx's read timeout was set to 5 s and the report needs 8 (504); and some tickets end the process by an uncaught error (502 for all who wait)",
        steps="sed -i 's/proxy_read_timeout 20s/proxy_read_timeout 5s/' /etc/nginx/sites-available/radio; systemctl reload nginx",
        routes=(Route(path="/api/report", host=RADIO, weight=3), Route(path="/api/ticket", host=RADIO)),
        failures=16,
        limit_s=90.0,
        settle="test $(grep -c ' 504 ' /var/log/nginx/radio.access.log) -ge 3 && grep -q ' 502 ' /var/log/nginx/radio.access.log",
        expects=causes("backend-crashed", "backend-crash-loop", "proxy-timeout-too-short", "backend-too-slow"),
        partly=causes("premature-close", "connection-reset", "backend-not-running"),
        targets=API_AT,
    ),
    Fault(
        id="radio-no-executable-memory",
        happens="`MemoryDenyWriteExecute=yes` from a hardening guide: V8 may not map its code, and Node.js aborts at each start",
        steps=DROP_IN.format("MemoryDenyWriteExecute=yes"),
        failures=16,
        expects=NO_START,
        partly=causes("backend-crashed", "backend-not-running"),
        targets=API_AT,
    ),
    Fault(
        id="radio-notify-never-said",
        happens="Type=notify is copied into the unit; Node.js serves at once but never tells systemd, which ends it after TimeoutStartSec (5 s), again and again: some seconds well, some away",
        steps=DROP_IN.format("Type=notify\\nTimeoutStartSec=5\\nRestartSec=3"),
        failures=24,
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=API_AT,
    ),
)
RADIO_CALMS = (
    Calm(
        id="radio-front-end-release",
        happens="the front end is released by a symlink, Redis rewrites its file, nginx is reloaded, listeners leave, bots ask for old scripts",
        steps="cp -a /srv/radio/releases/9 /srv/radio/releases/10; ln -sfn /srv/radio/releases/10 /srv/radio/current; redis-cli bgrewriteaof >/dev/null; systemctl reload nginx",
        routes=(
            Route(path="/api/song", host=RADIO),
            Route(path="/api/v1/pods", host=RADIO),
            Route(path="/app.js", host=RADIO),
        ),
        cancels=True,
        seconds=18.0,
    ),
    Calm(
        id="radio-nginx-upgraded-in-place",
        happens="nginx is replaced by a new binary without a break (USR2, then QUIT), as its package does it",
        steps="kill -USR2 $(cat /run/nginx.pid); until test -s /run/nginx.pid.oldbin && test -s /run/nginx.pid; do sleep 0.2; done; sleep 2; kill -QUIT $(cat /run/nginx.pid.oldbin); sleep 3",
        routes=(Route(path="/api/song", host=RADIO),),
        seconds=16.0,
    ),
)

STACKS = (
    Stack(
        name="grants",
        about="JSP pages in Debian's Tomcat 10 on 127.0.0.1:8080 behind nginx",
        files=GRANTS_FILES,
        setup=GRANTS_SETUP,
        routes=(Route(path="/list.jsp", host=GRANTS, weight=4), Route(path="/form.jsp", host=GRANTS, weight=3)),
        faults=GRANTS_FAULTS,
        calms=(
            Calm(
                id="grants-page-replaced",
                happens="a page is replaced under traffic and compiled anew, the collector of garbage is asked for, nginx's logs are rotated, scanners look for Tomcat's manager",
                steps="sleep 2; sed -i 's/grant /grant no. /' /var/lib/tomcat10/webapps/ROOT/list.jsp; logrotate -f /etc/logrotate.d/nginx",
                routes=(Route(path="/manager/html", host=GRANTS), Route(path="/struts2-showcase/index.action", host=GRANTS)),
                cancels=True,
                seconds=16.0,
            ),
        ),
        ready_s=90,
    ),
    Stack(
        name="radio",
        about="a single-page site served by nginx (try_files, releases behind a symlink), its API in Express with Redis",
        files={
            "/srv/radio/api/server.js": RADIO_APP,
            "/etc/systemd/system/radio-api.service": RADIO_UNIT,
            "/etc/nginx/sites-available/radio": RADIO_SITE,
        },
        setup=RADIO_SETUP,
        routes=(
            Route(path="/", host=RADIO, weight=2),
            Route(path="/api/now", host=RADIO, weight=3),
            Route(path="/api/hosts", host=RADIO, weight=2),
        ),
        faults=RADIO_FAULTS,
        calms=RADIO_CALMS,
    ),
)
