"""Apache's balancer, HAProxy with checks and an agent in front of Node.js (logs by rsyslog), and three gateways in a row."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API

NODE = """\
const http = require('http');
const fs = require('fs');
const port = Number(process.env.PORT);
const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://app');
  const say = (status, text, headers = {}) => { response.writeHead(status, { 'Content-Type': 'text/plain', ...headers }); response.end(text); };
  if (pathname === '/healthz') {
    if (fs.existsSync('/srv/app/checks-database')) return setTimeout(() => say(200, 'ok'), 400);
    if (fs.existsSync('/srv/app/strict') && !/^app\\./.test(request.headers.host || '')) return say(421, 'unknown host');
    return say(200, 'ok');
  }
  if (fs.existsSync('/srv/app/strict') && !/^app\\./.test(request.headers.host || '')) return say(503, 'no such site');
  if (pathname === '/slow') return setTimeout(() => say(200, 'slow'), 14000);
  if (pathname === '/stream') { response.writeHead(200); const ticks = setInterval(() => response.write('data: x\\n\\n'), 500); return response.on('close', () => clearInterval(ticks)); }
  if (pathname === '/sale') return say(503, 'sold out', { 'Retry-After': '30' });
  if (pathname === '/profile') return say(200, 'profile', { 'Set-Cookie': Array.from({ length: 20 }, (_, n) => 'p' + n + '=' + 'x'.repeat(1000)) });
  if (pathname === '/upload') {
    let size = 0;
    request.on('data', (part) => { size += part.length; if (size > (1 << 20)) request.socket.destroy(); });
    return request.on('end', () => say(200, String(size)));
  }
  say(200, 'hello '.repeat(100), { 'X-Port': String(port) });
});
server.listen(port, '127.0.0.1');
if (fs.existsSync('/srv/app/poisoned')) setTimeout(() => Promise.reject(new Error('connect ECONNREFUSED 10.4.0.9:5672')), 2500);
process.on('SIGTERM', () => { server.close(() => process.exit(0)); setTimeout(() => process.exit(0), 1500).unref(); });
"""
NODE_UNIT = """[Unit]
Description=App on port %i
After=network.target

[Service]
User=app
Environment=PORT=%i
ExecStart=/usr/bin/node /srv/app/server.js
Restart=always
RestartSec=3

[Install]
WantedBy=multi-user.target
"""
NODE_FILES = {"/srv/app/server.js": NODE, "/etc/systemd/system/app@.service": NODE_UNIT}
NODES = (
    "useradd --system app\nsystemctl enable --now app@8081 app@8082\n"
    "until curl -fs -o /dev/null http://127.0.0.1:8081/ && curl -fs -o /dev/null http://127.0.0.1:8082/; do sleep 0.1; done\n"
)
BOTH_UP = "until curl -fs -o /dev/null http://127.0.0.1:8081/healthz && curl -fs -o /dev/null http://127.0.0.1:8082/healthz; do sleep 0.1; done"
MEMBERS = frozenset({"127.0.0.1:8081", "127.0.0.1:8082", "app", "balancer://app"})
HOST = "app.firm.example"

APACHE = """\
<VirtualHost *:80>
    ServerName app.firm.example
    LogFormat "%h %{X-Forwarded-For}i [%{%d/%b/%Y %T}t.%{msec_frac}t %{%z}t] %v \\"%r\\" %>s %O %D balancer=%{BALANCER_WORKER_NAME}e" balanced
    CustomLog /srv/logs/app/access.log balanced
    ErrorLog /srv/logs/app/error.log
    ProxyPreserveHost On
    ProxyTimeout 7
    RewriteEngine On
    RewriteCond /srv/app/maintenance.enable -f
    RewriteRule ^ - [R=503,L]
    <Proxy "balancer://app">
        BalancerMember "http://127.0.0.1:8081" route=a retry=3
        BalancerMember "http://127.0.0.1:8082" route=b retry=3
        ProxySet lbmethod=byrequests stickysession=SID
    </Proxy>
    ProxyPass "/" "balancer://app/"
</VirtualHost>
"""
APACHE_SETUP = (
    NODES
    + """
mkdir -p /srv/logs/app
a2enmod -q proxy proxy_http proxy_balancer lbmethod_byrequests rewrite slotmem_shm headers
a2dissite -q 000-default
a2ensite -q app
systemctl enable --now apache2
"""
)
SITE = "/etc/apache2/sites-available/app.conf"
APACHE_FAULTS = (
    Fault(
        id="apachebal-maintenance-file-left",
        happens="the deploy script touched maintenance.enable and died before it removed it",
        steps="touch /srv/app/maintenance.enable",
        expects=causes("maintenance-response"),
        partly=causes("denied-by-rule"),
    ),
    Fault(
        id="apachebal-failonstatus",
        happens="failonstatus=503 and a page that answers 503 by design (sold out): the balancer puts its healthy members into the error state",
        steps=f"sed -i 's/stickysession=SID/stickysession=SID failonstatus=503 forcerecovery=Off/; s/retry=3/retry=20/' {SITE}; systemctl reload apache2",
        routes=(Route(path="/sale", host=HOST, weight=3),),
        settle="grep -q 'GET /orders.* 503 ' /srv/logs/app/access.log",
        expects=causes("upstream-error-status", "all-upstreams-down"),
        partly=causes("backend-not-running", "application-error"),
        targets=MEMBERS,
    ),
    Fault(
        id="apachebal-members-disabled",
        happens="both members were disabled (status=+D) for a migration, and the change was committed",
        steps=f"sed -i 's/retry=3/retry=3 status=+D/' {SITE}; systemctl reload apache2",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down", "no-upstream-members"),
    ),
    Fault(
        id="apachebal-preserve-host-lost",
        happens="ProxyPreserveHost is lost in a merge; the application answers 503 to hosts that it does not know",
        steps=f"touch /srv/app/strict; sed -i '/ProxyPreserveHost/d' {SITE}; systemctl reload apache2",
        expects=causes("wrong-host-header", "upstream-error-status"),
        partly=causes("application-error"),
        targets=MEMBERS,
    ),
    Fault(
        id="apachebal-upload-destroyed",
        happens="the application destroys the connection of uploads above 1 MB; Apache's own limit is far higher",
        steps="true",
        routes=(Route(path="/upload", method="POST", host=HOST, body_bytes=6 << 20, weight=4),),
        expects=causes("connection-reset", "premature-close"),
        partly=causes("backend-crashed", "request-too-large"),
        targets=MEMBERS,
    ),
)

HAPROXY_GLOBAL = """\
global
    log /dev/log local0
    log /dev/log local1 notice
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    daemon
    maxconn 2000
"""
HAPROXY = (
    HAPROXY_GLOBAL
    + """
defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 2s
    timeout client 30s
    timeout server 20s

frontend www
    bind :80
    http-request deny deny_status 403 if { path_beg /.env /wp- }
    default_backend app

backend app
    option httpchk
    http-check send meth GET uri /healthz hdr Host app.firm.example
    http-check expect status 200
    timeout check 1s
    default-server check inter 1s fall 2 rise 1 agent-check agent-port 9777 agent-inter 1s
    server node1 127.0.0.1:8081
    server node2 127.0.0.1:8082
"""
)
AGENT = """#!/bin/sh
# what HAProxy's agent-check reads: a weight, or a word
if [ -e /etc/agent/maint ]; then echo maint; else echo ready up 100%; fi
"""
AGENT_SOCKET = "[Socket]\nListenStream=127.0.0.1:9777\nAccept=yes\n[Install]\nWantedBy=sockets.target\n"
AGENT_UNIT = "[Service]\nExecStart=/usr/local/bin/agent\nStandardOutput=socket\nStandardInput=null\n"
HA_SETUP = (
    NODES
    + """
systemctl enable --now rsyslog agent.socket
systemctl enable --now haproxy
until echo 'show servers state app' | timeout 2 python3 -c "import socket; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(b'show stat' + bytes([10])); print(s.recv(99999).decode())" | grep -c '^app,node.*,UP,' | grep -q 2; do sleep 0.2; done
"""
)
HA_NODES = frozenset({"127.0.0.1:8081", "127.0.0.1:8082", "app", "node1", "node2", "app/node1", "app/node2"})
CFG = "/etc/haproxy/haproxy.cfg"
ADMIN = "python3 -c \"import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall((sys.argv[1]+chr(10)).encode()); s.recv(9999)\""
HA_FAULTS = (
    Fault(
        id="hanode-agent-says-maint",
        happens="a file left by the maintenance script makes the agent of both servers say `maint`; they are fine",
        steps="mkdir -p /etc/agent; touch /etc/agent/maint",
        expects=causes("maintenance-response", "health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
    ),
    Fault(
        id="hanode-check-too-impatient",
        happens="/healthz asks the database now and needs 400 ms; the checks come each 300 ms and wait no longer, and HAProxy takes both servers out",
        steps=f"touch /srv/app/checks-database; sed -i '/timeout check/d; s/check inter 1s/check inter 300ms/' {CFG}; systemctl reload haproxy",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "backend-too-slow"),
        targets=HA_NODES,
    ),
    Fault(
        id="hanode-check-without-host",
        happens="a release answers 421 to checks without its host name, and the Host line of the check was never there in this branch",
        steps=f"touch /srv/app/strict; sed -i 's/ hdr Host app.firm.example//' {CFG}; systemctl reload haproxy",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "wrong-host-header"),
        targets=HA_NODES,
    ),
    Fault(
        id="hanode-header-too-big",
        happens="a profile page sends 20 kB of cookies; HAProxy's buffer is 16 kB",
        steps="true",
        routes=(Route(path="/profile", host=HOST, weight=4),),
        expects=causes("response-header-too-big"),
        partly=causes("invalid-response"),
        targets=HA_NODES,
    ),
    Fault(
        id="hanode-dies-after-start",
        happens="a release starts, listens, and dies 2.5 s later of an unhandled rejection (its broker is not there); systemd starts it again each time",
        steps="touch /srv/app/poisoned; systemctl restart app@8081 app@8082",
        settle="test $(systemctl show -p NRestarts --value app@8081) -ge 2",
        expects=causes("backend-crash-loop", "backend-crashed"),
        partly=causes("backend-not-running", "all-upstreams-down", "backend-dependency-down"),
        targets=HA_NODES,
    ),
    Fault(
        id="hanode-frontend-full",
        happens="maxconn 12 in the frontend and many users of a stream that never ends; new users wait for nothing",
        steps=f"sed -i 's/bind :80/bind :80\\n    maxconn 12/' {CFG}; systemctl reload haproxy",
        routes=(Route(path="/stream", host=HOST, weight=12),),
        users=40,
        patience_s=12,
        expects=causes("worker-connections-exhausted", "upstream-connection-limit"),
        partly=causes("client-closed-request", "listen-backlog-overflow"),
    ),
    Fault(
        id="hanode-ports-of-a-template",
        happens="the configuration template renders port 80 for both servers: HAProxy sends to itself",
        steps=f"sed -i 's/127.0.0.1:808[12]/127.0.0.1:80/; s/default-server check/default-server no-check/; s/ agent-check agent-port 9777 agent-inter 1s//; s/inter 1s fall 2 rise 1//' {CFG}; systemctl reload haproxy",
        expects=causes("proxy-loop"),
        partly=causes("wrong-port", "upstream-connection-limit", "worker-connections-exhausted"),
    ),
)

EDGE = """\
global
    log /dev/log local0
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    daemon

defaults
    log global
    mode http
    option httplog
    timeout connect 3s
    timeout client 40s
    timeout server 9s

frontend edge
    bind :80
    option forwardfor
    default_backend nginx

backend nginx
    server web 127.0.0.1:8080 check
"""
INNER = """\
log_format timing '$http_x_forwarded_for - [$time_local] "$request" $status $body_bytes_sent rt=$request_time uct="$upstream_connect_time" urt="$upstream_response_time" ua="$upstream_addr" us="$upstream_status"';
server {
    listen 127.0.0.1:8080 default_server;
    server_name app.firm.example;
    access_log /var/log/nginx/app-access.log timing;
    error_log /var/log/nginx/app-error.log info;
    client_max_body_size 50m;
    location / {
        proxy_pass http://127.0.0.1:9000;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $http_x_forwarded_for;
    }
}
"""
THREE_UNIT = """[Unit]
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 12 --workers 2 --timeout 30 --bind 127.0.0.1:9000 api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
THREE_SETUP = """
systemctl enable --now shop-api rsyslog
until curl -fs -o /dev/null http://127.0.0.1:9000/; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/app /etc/nginx/sites-enabled/app
systemctl enable --now nginx
systemctl enable --now haproxy
"""
THREE_AT = frozenset({"127.0.0.1:9000", "127.0.0.1:8080", "nginx", "web"})
THREE_FAULTS = (
    Fault(
        id="three-outermost-gives-up-first",
        happens="a page needs 12 s: HAProxy in front gives up after 9 s (504), nginx behind it would wait 60 s and logs 499",
        steps="true",
        routes=(Route(path="/slow", host=HOST, weight=2),),
        failures=6,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        partly=causes("client-closed-request", "workers-exhausted", "backend-hung"),
        targets=THREE_AT,
    ),
    Fault(
        id="three-innermost-restarts-forever",
        happens="--timeout 3000 was meant and `--timeout 3s` was written: gunicorn's option is refused, and its unit gives up",
        steps="sed -i 's/--timeout 30/--timeout 3s/' /etc/systemd/system/shop-api.service; systemctl daemon-reload; systemctl restart shop-api || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=THREE_AT,
    ),
    Fault(
        id="three-middle-upgraded-module-missing",
        happens="autoremove takes a dynamic module that modules-enabled still loads; nginx does not start again after the upgrade",
        steps="echo 'load_module modules/ngx_http_image_filter_module.so;' > /etc/nginx/modules-enabled/50-mod-http-image-filter.conf; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid", "proxy-module-missing"),
        partly=causes("backend-not-running", "backend-startup-failure", "all-upstreams-down"),
    ),
)

STACKS = (
    Stack(
        name="apache-balancer",
        about="Apache as a balancer of two Node.js processes, its logs in a directory of its own and a format of its own",
        files={**NODE_FILES, "/etc/apache2/sites-available/app.conf": APACHE},
        setup=APACHE_SETUP,
        routes=(Route(path="/", host=HOST, weight=4), Route(path="/orders", host=HOST, weight=3)),
        faults=APACHE_FAULTS,
        calms=(
            Calm(
                id="apachebal-third-member-off",
                happens="a third instance that no balancer names is stopped; Apache reloads gracefully; users break off pages",
                steps="systemctl start app@8083; systemctl stop app@8083; systemctl reload apache2",
                cancels=True,
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="haproxy-node",
        about="HAProxy with HTTP checks and an agent in front of two Node.js processes; rsyslog writes /var/log/haproxy.log",
        files={
            **NODE_FILES,
            "/etc/haproxy/haproxy.cfg": HAPROXY,
            "/usr/local/bin/agent": AGENT,
            "/etc/systemd/system/agent.socket": AGENT_SOCKET,
            "/etc/systemd/system/agent@.service": AGENT_UNIT,
        },
        setup=HA_SETUP,
        routes=(Route(path="/", host=HOST, weight=4), Route(path="/orders", host=HOST, weight=3)),
        faults=HA_FAULTS,
        calms=(
            Calm(
                id="hanode-rolling-deploy",
                happens="a rolling deploy: each server is drained, restarted, and set ready again; scanners get 403",
                steps="".join(
                    f"{ADMIN} 'set server app/{name} state drain'; sleep 3; systemctl restart app@{port}; {BOTH_UP}; {ADMIN} 'set server app/{name} state ready'; sleep 2; "
                    for name, port in (("node1", 8081), ("node2", 8082))
                ),
                routes=(Route(path="/.env", host=HOST, weight=3), Route(path="/wp-login.php", host=HOST, weight=3)),
                seconds=14,
            ),
        ),
    ),
    Stack(
        name="three-gateways",
        about="HAProxy in front of nginx in front of gunicorn, each with timeouts of its own",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/shop-api.service": THREE_UNIT,
            "/etc/haproxy/haproxy.cfg": EDGE,
            "/etc/nginx/sites-available/app": INNER,
        },
        setup=THREE_SETUP,
        routes=(Route(path="/", host=HOST, weight=4), Route(path="/about", host=HOST, weight=3)),
        faults=THREE_FAULTS,
        calms=(
            Calm(
                id="three-clients-abort",
                happens="users break off searches and downloads (nginx logs 499 for some), both gateways reload",
                steps="systemctl reload nginx; systemctl reload haproxy",
                routes=(Route(path="/search", host=HOST, weight=3),),
                cancels=True,
                seconds=12,
            ),
        ),
    ),
)
