"""nginx in front of HAProxy with checks in front of three instances of Flask, and small services by name (one a static binary, one on another host)."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

INVENTORY = """\
import os, time
import psycopg2
from flask import Flask, request
app = Flask(__name__)

def rows(text):
    base = psycopg2.connect("host=127.0.0.1 dbname=inventory user=inventory password=hunter22 connect_timeout=3")
    try:
        with base, base.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        base.close()

@app.get("/health")
def health():
    if os.path.exists("/srv/inventory/login-required"):
        return "log in first", 401
    try:
        rows("select 1")
    except psycopg2.OperationalError as error:
        app.logger.error("health: %s", error)
        return "database", 503
    return "ok"

@app.get("/")
def home():
    return {"parts": rows("select id, name from parts order by id limit 20")}

@app.get("/help")
def manual():
    return "help " * 100

@app.get("/export")
def export():
    time.sleep(float(request.args.get("seconds", 8)))
    return "exported"

@app.get("/convert")
def convert():
    os.kill(os.getpid(), 11)
"""
INVENTORY_UNIT = """[Unit]
Description=Inventory on port %i
After=network.target postgresql.service

[Service]
User=www-data
WorkingDirectory=/srv/inventory
ExecStart=/opt/venv/bin/gunicorn --workers 2 --threads 4 --bind 127.0.0.1:%i app:app
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
HAPROXY = """\
global
\tlog /dev/log\tlocal0
\tlog /dev/log\tlocal1 notice
\tchroot /var/lib/haproxy
\tstats socket /run/haproxy/admin.sock mode 660 level admin
\tstats timeout 30s
\tuser haproxy
\tgroup haproxy
\tdaemon

defaults
\tlog\tglobal
\tmode\thttp
\toption\thttplog
\toption\tdontlognull
\ttimeout connect 5s
\ttimeout client  50s
\ttimeout server  50s
\terrorfile 503 /etc/haproxy/errors/503.http

frontend inventory
\tbind 127.0.0.1:8080
\tdefault_backend apps

backend apps
\tbalance roundrobin
\toption httpchk GET /health
\tserver app1 app1.fleet.internal:8001 check inter 1s fall 2
\tserver app2 app2.fleet.internal:8002 check inter 1s fall 2
\tserver app3 app3.fleet.internal:8003 check inter 1s fall 2
"""
FLEET_SITE = """\
server {
    listen 80 default_server;
    server_name inventory.example;
    access_log /var/log/nginx/inventory.access.log;
    error_log /var/log/nginx/inventory.error.log;
    location / {
        proxy_pass http://127.0.0.1:8080;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
}
"""
FLEET_SETUP = """
for n in 1 2 3; do echo "127.0.0.1 app$n.fleet.internal" >> /etc/hosts; done
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role inventory login password 'hunter22'" -c 'create database inventory owner inventory'
sudo -u postgres psql -q inventory -c "create table parts (id serial primary key, name text)" -c "insert into parts (name) select 'part ' || n from generate_series(1, 300) n" -c 'alter table parts owner to inventory'
systemctl enable --now inventory@8001 inventory@8002 inventory@8003
for n in 1 2 3; do until curl -fs -o /dev/null http://127.0.0.1:800$n/health; do sleep 0.2; done; done
systemctl enable --now haproxy
until curl -fs -o /dev/null http://127.0.0.1:8080/; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/inventory /etc/nginx/sites-enabled/inventory
systemctl enable --now nginx
"""
FLEET = "inventory.example"
HAPROXY_AT = frozenset({"127.0.0.1:8080"})
APPS_AT = frozenset(
    {"127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003", "apps", "apps/app1", "apps/app2", "apps/app3"}
) | frozenset(f"app{n}.fleet.internal:800{n}" for n in (1, 2, 3))
FLEET_FAULTS = (
    Fault(
        id="fleet-health-behind-login",
        happens="a release asks for a log-in everywhere, /health included: 401 for HAProxy's checks, all three servers are taken out, while the application works",
        steps="touch /srv/inventory/login-required",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "upstream-error-status"),
    ),
    Fault(
        id="fleet-server-without-check",
        happens="`check` is lost from one server's line; that instance is stopped for maintenance, and each third request is still sent to it (503 after three attempts)",
        steps="sed -i 's/\\(app3.fleet.internal:8003\\).*/\\1/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy; sleep 1; systemctl stop inventory@8003",
        failures=8,
        expects=causes("backend-not-running"),
        partly=causes("upstream-error-status", "wrong-port"),
        targets=APPS_AT - frozenset({"apps"}),
    ),
    Fault(
        id="fleet-timeout-server-of-an-example",
        happens="`timeout server 5s` comes with an example from the documentation; the export needs 8 s",
        steps="sed -i 's/timeout server.*/timeout server  5s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(Route(path="/export", host=FLEET, weight=2),),
        failures=6,
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        partly=causes("upstream-error-status", "workers-exhausted"),
        targets=APPS_AT,
    ),
    Fault(
        id="fleet-database-stopped",
        happens="PostgreSQL is stopped; /health asks it, so HAProxy takes out all three servers and even the help page is a 503",
        steps="systemctl stop postgresql@15-main",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=causes("all-upstreams-down") | OWN_ERROR,
    ),
    Fault(
        id="fleet-new-configuration-refused",
        happens="new instances run on ports 9001 to 9003 and the old ones are stopped; the new haproxy.cfg has a typo, so its reload was refused and nobody read that",
        steps="sed -i 's/internal:800/internal:900/; s/option httpchk/optoin httpchk/' /etc/haproxy/haproxy.cfg; systemctl start inventory@9001 inventory@9002 inventory@9003; systemctl reload haproxy || true; "
        "until curl -fs -o /dev/null http://127.0.0.1:9003/health; do sleep 0.2; done; systemctl stop inventory@8001 inventory@8002 inventory@8003",
        expects=causes("proxy-config-invalid"),
        partly=causes(
            "proxy-config-not-loaded", "all-upstreams-down", "wrong-port", "backend-not-running", "upstream-error-status"
        ),
    ),
    Fault(
        id="fleet-conversion-crashes",
        happens="a library for images makes gunicorn's worker die by SIGSEGV on one page, whichever instance gets it",
        steps="true",
        routes=(Route(path="/convert", host=FLEET, weight=2),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset", "upstream-error-status"),
        targets=APPS_AT,
    ),
    Fault(
        id="fleet-names-lost",
        happens="/etc/hosts is written anew by a configuration tool, without the names of the instances; HAProxy is restarted at night and does not start any more",
        steps="printf '127.0.0.1 localhost web1\\n' > /etc/hosts; systemctl restart haproxy || true",
        expects=causes("dns-host-not-found", "proxy-config-invalid", "proxy-not-running") | NO_START,
        partly=causes("backend-not-running"),
    ),
)
FLEET_CALMS = (
    Calm(
        id="fleet-rolling-release",
        happens="a release: each server is drained in HAProxy, its instance restarted, and put back; HAProxy and nginx reload; exports of 2 s",
        steps='for n in 1 2 3; do echo "set server apps/app$n state drain" | python3 -c "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(\'/run/haproxy/admin.sock\'); s.sendall(sys.stdin.buffer.read()); s.recv(99)"; sleep 3; '
        "systemctl restart inventory@800$n; until curl -fs -o /dev/null http://127.0.0.1:800$n/health; do sleep 0.2; done; "
        'echo "set server apps/app$n state ready" | python3 -c "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(\'/run/haproxy/admin.sock\'); s.sendall(sys.stdin.buffer.read()); s.recv(99)"; sleep 1; done; '
        "systemctl reload haproxy nginx",
        routes=(Route(path="/export?seconds=2", host=FLEET), Route(path="/actuator/env", host=FLEET)),
        seconds=20.0,
    ),
    Calm(
        id="fleet-one-instance-away",
        happens="one of three instances is taken out on purpose (drained, then stopped) for the afternoon; the other two do",
        steps="echo 'set server apps/app2 state maint' | python3 -c \"import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(sys.stdin.buffer.read()); s.recv(99)\"; sleep 2; systemctl stop inventory@8002",
    ),
)

USERS = """\
import time
from flask import Flask, request
app = Flask(__name__)

@app.get("/users/")
def users():
    return {"users": list(range(40))}

@app.get("/users/report")
def report():
    time.sleep(float(request.args.get("seconds", 2)))
    return "report"
"""
USERS_UNIT = """[Unit]
Description=users service
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/users
ExecStart=/opt/venv/bin/gunicorn --workers 2 --threads 2 --bind 127.0.0.1:8081 app:app
Restart=always

[Install]
WantedBy=multi-user.target
"""
CATALOG_UNIT = """[Unit]
Description=catalog service
After=network.target

[Service]
User=catalog
ExecStart=/opt/catalog/catalog file-server --listen 127.0.0.11:8082 --root /opt/catalog/data
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
DNSMASQ = """\
listen-address=127.0.0.1
bind-interfaces
no-resolv
local=/svc.internal/
address=/users.svc.internal/127.0.0.1
address=/catalog.svc.internal/127.0.0.11
address=/payments.svc.internal/203.0.113.5
"""
SERVICES_SITE = """\
server {
    listen 80 default_server;
    server_name services.example;
    access_log /var/log/nginx/services.access.log;
    error_log /var/log/nginx/services.error.log;
    resolver 127.0.0.1 valid=5s ipv6=off;
    resolver_timeout 5s;

    location /users/ {
        set $users users.svc.internal;
        proxy_pass http://$users:8081;
        proxy_set_header Host $host;
    }
    location /catalog/ {
        proxy_pass http://catalog.svc.internal:8082/;
        proxy_set_header Host $host;
    }
    location /payments/ {
        proxy_pass https://payments.svc.internal:8443/;
        proxy_connect_timeout 6s;
        proxy_ssl_server_name on;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate /etc/ssl/payments-ca.pem;
    }
}
"""
PAYMENTS = r"""
mkdir -p /tmp/payments && mount -t tmpfs -o mode=755 payments /tmp/payments && cd /tmp/payments
ip addr add 203.0.113.5/24 dev $(ip -o -4 addr show to 203.0.113.1 | awk '{print $2; exit}')
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Company CA' 2>/dev/null
cat > issue <<'S'
printf "subjectAltName=DNS:$1" > ext
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj "/CN=$1" 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 90 -out server.pem 2>/dev/null
S
sh -e issue payments.svc.internal
cat > serve.py <<'S'
import http.server, ssl
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        text = b"payments " * 50
        self.send_response(200); self.send_header("Content-Length", str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *parts): pass
server = http.server.ThreadingHTTPServer(("203.0.113.5", 8443), Page)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
S
(exec python3 serve.py >/dev/null 2>&1 </dev/null & echo $! > pid; wait) >/dev/null 2>&1 &
until curl -fsk -o /dev/null https://203.0.113.5:8443/; do sleep 0.1; done
# the authority's certificate is fetched by the machine at its set-up
(mkdir -p public && cp ca.pem public/ && cd public && exec python3 -m http.server --bind 203.0.113.1 8090 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1:8090/ca.pem; do sleep 0.1; done
"""
PAYMENTS_AGAIN = (
    "kill $(cat pid); (exec python3 serve.py >/dev/null 2>&1 </dev/null & echo $! > pid; wait) >/dev/null 2>&1 & "
    "until curl -fsk -o /dev/null https://203.0.113.5:8443/; do sleep 0.1; done"
)
SERVICES_SETUP = """
curl -fs -o /etc/ssl/payments-ca.pem http://203.0.113.1:8090/ca.pem
useradd --system catalog; mkdir -p /opt/catalog/data; cp /usr/bin/caddy /opt/catalog/catalog
echo '[{"id": 1}, {"id": 2}]' > /opt/catalog/data/items.json; chown -R catalog: /opt/catalog
systemctl enable --now dnsmasq; systemctl enable --now users catalog
until curl -fs -o /dev/null http://127.0.0.1:8081/users/ && curl -fs -o /dev/null http://127.0.0.11:8082/items.json; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/services /etc/nginx/sites-enabled/services
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
SERVICES = "services.example"
USERS_AT = frozenset({"127.0.0.1:8081", "users.svc.internal:8081", "users.svc.internal"})
CATALOG_AT = frozenset({"127.0.0.11:8082", "catalog.svc.internal:8082", "catalog.svc.internal"})
PAYMENTS_AT = frozenset({"203.0.113.5:8443", "payments.svc.internal:8443", "payments.svc.internal"})
SERVICES_FAULTS = (
    Fault(
        id="services-payments-dropped",
        happens="the other host's firewall gets a new rule set without port 8443: packets are dropped",
        steps="true",
        outside="nft 'table inet payments { chain in { type filter hook input priority 0; tcp dport 8443 drop; }; }'",
        failures=8,
        expects=causes("connect-timeout", "network-policy-denies"),
        partly=causes("backend-hung", "backend-not-running"),
        targets=PAYMENTS_AT,
    ),
    Fault(
        id="services-ufw-rejects-outgoing",
        happens="ufw is switched on with `default reject outgoing`: DNS and what comes in are allowed, payments on the other host are not",
        steps="ufw default deny incoming >/dev/null; ufw default reject outgoing >/dev/null; ufw allow 80/tcp >/dev/null; ufw allow out 53 >/dev/null; ufw --force enable >/dev/null",
        failures=8,
        expects=causes("connect-rejected", "network-policy-denies"),
        partly=causes("backend-not-running", "connect-timeout"),
        targets=PAYMENTS_AT,
    ),
    Fault(
        id="services-payments-certificate-renamed",
        happens="the payments service gets its new certificate for payments.company.internal; nginx verifies it for payments.svc.internal",
        steps="true",
        outside=f"cd /tmp/payments; sh -e issue payments.company.internal; {PAYMENTS_AGAIN}",
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed"),
        targets=PAYMENTS_AT,
    ),
    Fault(
        id="services-payments-asked-in-plain",
        happens="a merge turns https:// into http:// for the payments; their port speaks TLS only",
        steps="sed -i 's#https://payments#http://payments#' /etc/nginx/sites-available/services; systemctl reload nginx",
        expects=causes("wrong-protocol"),
        partly=causes("connection-reset", "premature-close", "invalid-response"),
        targets=PAYMENTS_AT,
    ),
    Fault(
        id="services-payments-host-off",
        happens="the other host is switched off for good, its address answers nothing any more",
        steps="true",
        outside="ip addr del 203.0.113.5/24 dev $(ip -o -4 addr show to 203.0.113.5 | awk '{print $2; exit}')",
        failures=8,
        expects=causes("host-unreachable"),
        partly=causes("connect-timeout"),
        targets=PAYMENTS_AT,
    ),
    Fault(
        id="services-dnsmasq-stopped",
        happens="dnsmasq is stopped after a change of the network; nginx asks it for the users service's name at each request",
        steps="systemctl stop dnsmasq",
        expects=causes("dns-resolver-failure"),
        partly=causes("dns-host-not-found"),
    ),
    Fault(
        id="services-catalog-moved",
        happens="the catalog gets another address (127.0.0.12), its record is changed at once; nginx looked the name up when it was started",
        steps="sed -i 's#catalog.svc.internal/127.0.0.11#catalog.svc.internal/127.0.0.12#' /etc/dnsmasq.d/services.conf; systemctl restart dnsmasq; "
        "sed -i 's/127.0.0.11:8082/127.0.0.12:8082/' /etc/systemd/system/catalog.service; systemctl daemon-reload; systemctl restart catalog",
        expects=causes("stale-dns"),
        partly=causes("wrong-address", "backend-not-running"),
        targets=CATALOG_AT,
    ),
    Fault(
        id="services-catalog-flag",
        happens="the catalog's new release is started with --listen on port 8092 by its new unit; nginx asks 8082",
        steps="sed -i 's/127.0.0.11:8082/127.0.0.11:8092/' /etc/systemd/system/catalog.service; systemctl daemon-reload; systemctl restart catalog",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=CATALOG_AT,
    ),
    Fault(
        id="services-catalog-not-executable",
        happens="scp brings the catalog's new binary without its executable bit: Permission denied (203/EXEC) at each start",
        steps="cp /opt/catalog/catalog /opt/catalog/new; chmod 644 /opt/catalog/new; mv -f /opt/catalog/new /opt/catalog/catalog; systemctl restart catalog || true",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=CATALOG_AT,
    ),
    Fault(
        id="services-logs-deleted",
        happens="somebody frees space with rm /var/log/nginx/*: nginx goes on writing into deleted files; then the users service is stopped",
        steps="rm /var/log/nginx/*; systemctl stop users",
        expects=causes("backend-not-running"),
        targets=USERS_AT,
    ),
)
SERVICES_CALMS = (
    Calm(
        id="services-ordinary-day",
        happens="dnsmasq and nginx reload, the catalog's data are replaced, reports of 2 s that some users break off, 404 for what is not in the catalog",
        steps="systemctl reload dnsmasq || systemctl kill -s HUP dnsmasq; echo '[{\"id\": 3}]' > /opt/catalog/data/items.json; systemctl reload nginx",
        routes=(Route(path="/users/report", host=SERVICES), Route(path="/catalog/missing.json", host=SERVICES)),
        cancels=True,
    ),
)

STACKS = (
    Stack(
        name="fleet",
        about="nginx in front of HAProxy with checks in front of three instances of Flask in gunicorn, PostgreSQL",
        files={
            "/srv/inventory/app.py": INVENTORY,
            "/etc/systemd/system/inventory@.service": INVENTORY_UNIT,
            "/etc/haproxy/haproxy.cfg": HAPROXY,
            "/etc/nginx/sites-available/inventory": FLEET_SITE,
        },
        setup=FLEET_SETUP,
        routes=(Route(path="/", host=FLEET, weight=4), Route(path="/help", host=FLEET, weight=3)),
        faults=FLEET_FAULTS,
        calms=FLEET_CALMS,
    ),
    Stack(
        name="services",
        about="small services by name behind nginx: Flask, a static binary of Go, and payments over TLS on another host; names from dnsmasq",
        files={
            "/srv/users/app.py": USERS,
            "/etc/systemd/system/users.service": USERS_UNIT,
            "/etc/systemd/system/catalog.service": CATALOG_UNIT,
            "/etc/dnsmasq.d/services.conf": DNSMASQ,
            "/etc/nginx/sites-available/services": SERVICES_SITE,
        },
        setup=SERVICES_SETUP,
        remote=PAYMENTS,
        routes=(
            Route(path="/users/", host=SERVICES, weight=3),
            Route(path="/catalog/items.json", host=SERVICES, weight=3),
            Route(path="/payments/", host=SERVICES, weight=3),
        ),
        faults=SERVICES_FAULTS,
        calms=SERVICES_CALMS,
    ),
)
