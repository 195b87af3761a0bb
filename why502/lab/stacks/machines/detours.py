"""What stands between nginx and the application: socket-proxyd and stunnel, names asked at run time,
a queue of tasks with PostgreSQL.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API, ENABLE_SITE, POSTGRES, site, unit

WIKI = """\
const http = require('http');
http.createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://wiki');
  const say = (text) => { response.writeHead(200, { 'Content-Type': 'text/plain' }); response.end(text); };
  if (pathname === '/wiki/search') return setTimeout(() => say('found'), 3000);
  say('wiki '.repeat(100));
}).listen(3001, '127.0.0.1');
"""
WIKI_UNIT = "[Service]\nUser=www-data\nExecStart=/usr/bin/node /srv/wiki/server.js\nRestart=on-failure\n[Install]\nWantedBy=multi-user.target\n"
WIKI_SOCKET = "[Socket]\nListenStream=127.0.0.1:3000\n[Install]\nWantedBy=sockets.target\n"
WIKI_PROXY = "[Unit]\nRequires=wiki-proxy.socket\nAfter=wiki-proxy.socket\n[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd 127.0.0.1:3001\nPrivateTmp=yes\n"
STUNNEL = """\
foreground = yes
pid =
output = /var/log/stunnel4/ledger.log
debug = 5
[ledger]
client = yes
accept = 127.0.0.1:8400
connect = 203.0.113.1:8443
CAfile = /etc/stunnel/ca.pem
verifyChain = yes
checkHost = ledger.bank.example
TIMEOUTconnect = 4
"""
TUNNEL_SITE = """
    location /wiki/ {
        proxy_connect_timeout 3s;
        proxy_read_timeout 8s;
        proxy_pass http://127.0.0.1:3000;
    }
    location /ledger/ {
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host ledger.bank.example;
        proxy_connect_timeout 3s;
        proxy_read_timeout 8s;
        proxy_pass http://127.0.0.1:8400/;
    }
"""
# What answers at the other end: TLS by Python, its certificate by the same authority that the machine is given.
TUNNEL_REMOTE = r"""
mkdir -p /tmp/ledger && mount -t tmpfs -o mode=755 ledger /tmp/ledger && cd /tmp/ledger
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Bank CA' 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout ledger.key -out ledger.csr -subj '/CN=ledger.bank.example' 2>/dev/null
printf 'subjectAltName=DNS:ledger.bank.example' > ext
openssl x509 -req -in ledger.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 60 -out ledger.pem 2>/dev/null
cat > serve.py <<'S'
import http.server, ssl
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        text = b"ledger " * 50
        self.send_response(200); self.send_header("Content-Length", str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *parts): pass
server = http.server.ThreadingHTTPServer(("203.0.113.1", 8443), Page)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/ledger/ledger.pem", "/tmp/ledger/ledger.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
S
(exec python3 serve.py >/dev/null 2>&1 </dev/null & echo $! > pid; wait) >/dev/null 2>&1 &
until curl -fsk -o /dev/null https://203.0.113.1:8443/; do sleep 0.1; done
# the authority's certificate is fetched by the machine at its set-up
(cd /tmp/ledger && mkdir -p public && cp ca.pem public/ && cd public && exec python3 -m http.server --bind 203.0.113.1 8081 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1:8081/ca.pem; do sleep 0.1; done
"""
REMOTE_AGAIN = (
    "kill $(cat /tmp/ledger/pid); sleep 0.3; cd /tmp/ledger; (exec python3 serve.py >/dev/null 2>&1 </dev/null &) ; "
    "until curl -fsk -o /dev/null https://203.0.113.1:8443/; do sleep 0.1; done"
)
WIKI_AT = frozenset({"127.0.0.1:3000"})
WIKI_BEHIND = frozenset({"127.0.0.1:3000", "127.0.0.1:3001"})
LEDGER_AT = frozenset({"127.0.0.1:8400", "203.0.113.1:8443"})
LOST = causes("connection-reset", "premature-close")
TUNNEL_FAULTS = (
    Fault(
        id="detour-wiki-behind-socket-proxy-stopped",
        happens="the wiki is stopped; systemd-socket-proxyd in front of it still takes connections, and closes them",
        steps="systemctl stop wiki",
        expects=causes("backend-not-running", "backend-dependency-down"),
        partly=LOST,
        targets=WIKI_BEHIND,
    ),
    Fault(
        id="detour-wiki-moved-behind-socket-proxy",
        happens="the wiki's port is 3002 in the new release; socket-proxyd still connects to 3001",
        steps="sed -i 's/3001/3002/' /srv/wiki/server.js; systemctl restart wiki; until curl -fs -o /dev/null http://127.0.0.1:3002/; do sleep 0.1; done",
        expects=causes("wrong-port", "backend-not-running", "backend-dependency-down"),
        partly=LOST,
        targets=WIKI_BEHIND,
    ),
    Fault(
        id="detour-socket-unit-stopped",
        happens="someone stops wiki-proxy.socket and its service; the wiki itself runs on 3001",
        steps="systemctl stop wiki-proxy.socket wiki-proxy.service",
        expects=causes("backend-not-running"),
        partly=causes("wrong-port"),
        targets=WIKI_AT,
    ),
    Fault(
        id="detour-connections-max",
        happens="--connections-max=3 was set for socket-proxyd; searches of 3 s hold them, further connections are closed at once",
        steps="sed -i 's/socket-proxyd /socket-proxyd --connections-max=3 /' /etc/systemd/system/wiki-proxy.service; systemctl daemon-reload; systemctl restart wiki-proxy.service",
        routes=(Route(path="/wiki/search", weight=20),),
        users=16,
        failures=20,
        expects=causes("upstream-connection-limit", "workers-exhausted"),
        partly=LOST,
        targets=WIKI_BEHIND,
    ),
    Fault(
        id="detour-ledger-stopped-behind-stunnel",
        happens="the bank's service is down; stunnel takes nginx's connections and closes them when its own are refused",
        steps="true",
        outside="kill $(cat /tmp/ledger/pid)",
        expects=causes("tunnel-disconnected", "backend-not-running", "backend-dependency-down"),
        partly=LOST,
        targets=LEDGER_AT,
    ),
    Fault(
        id="detour-ledger-certificate-expired",
        happens="the bank's certificate has expired; stunnel verifies it and gives up each connection",
        steps="true",
        outside="cd /tmp/ledger; openssl x509 -req -in ledger.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 0 -out ledger.pem 2>/dev/null; sleep 1.1; "
        + REMOTE_AGAIN,
        expects=causes("tls-verify-failed"),
        partly=LOST | causes("tunnel-disconnected", "tls-handshake-failed"),
        targets=LEDGER_AT,
    ),
    Fault(
        id="detour-stunnel-not-started",
        happens="stunnel's configuration names a CA file that a clean-up moved; it is not up since the last restart",
        steps="mv /etc/stunnel/ca.pem /etc/stunnel/bank-ca.pem; systemctl restart stunnel@ledger || true",
        failures=8,
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "tunnel-disconnected"),
        targets=LEDGER_AT,
    ),
    Fault(
        id="detour-bank-drops",
        happens="the bank's firewall drops this machine since a renumbering; stunnel waits for its connection, nginx for stunnel",
        steps="true",
        outside="nft 'table inet bank { chain in { type filter hook input priority 0; tcp dport 8443 drop; }; }'",
        failures=8,
        expects=causes("connect-timeout", "tunnel-disconnected", "network-policy-denies"),
        partly=LOST | causes("backend-hung", "backend-too-slow", "backend-not-running"),
        targets=LEDGER_AT,
    ),
)

MESH_CONF = """\
map $request_uri $service {
    ~^/(?<named>orders|stock|mail)/ $named;
    default "";
}
"""
MESH_SITE = """\
server {
    listen 80 default_server;
    server_name mesh.example;
    access_log /var/log/nginx/mesh.log;
    error_log /var/log/nginx/mesh.err;
    resolver 127.0.0.1 valid=2s ipv6=off;
    resolver_timeout 2s;
    location / {
        rewrite ^/[a-z]+/(.*)$ /$1 break;
        proxy_connect_timeout 4s;
        proxy_read_timeout 8s;
        proxy_pass http://$service.svc.internal:8000;
    }
    location = /healthz { return 200 "ok\\n"; }
}
"""
MESH_DNS = """\
no-resolv
no-hosts
local=/svc.internal/
host-record=orders.svc.internal,127.0.0.11
host-record=stock.svc.internal,127.0.0.12
host-record=mail.svc.internal,203.0.113.1
"""
MESH_UNIT = """[Unit]
After=network.target

[Service]
User=mesh
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 6 --bind 127.0.0.%i:8000 api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
MESH_SETUP = """
useradd --system mesh
systemctl enable --now dnsmasq mesh@11 mesh@12
for n in 11 12; do until curl -fs -o /dev/null http://127.0.0.$n:8000/; do sleep 0.1; done; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/mesh /etc/nginx/sites-enabled/mesh
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
MESH_REMOTE = """
mkdir -p /tmp/mail-$$ && cd /tmp/mail-$$ && echo mail > list
(exec python3 -m http.server --bind 203.0.113.1 8000 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1:8000/; do sleep 0.1; done
"""
STOCK_AT = frozenset({"stock.svc.internal", "stock.svc.internal:8000", "127.0.0.12:8000"})
MAIL_AT = frozenset({"mail.svc.internal", "mail.svc.internal:8000", "203.0.113.1:8000"})
MESH_FAULTS = (
    Fault(
        id="mesh-record-of-one-removed",
        happens="stock's record is lost in the new zone; the other services are fine",
        steps="sed -i '/stock/d' /etc/dnsmasq.d/mesh.conf; systemctl restart dnsmasq",
        expects=causes("dns-host-not-found"),
        targets=frozenset({"stock.svc.internal", "stock.svc.internal:8000"}),
    ),
    Fault(
        id="mesh-new-service-not-in-map",
        happens="the front end calls /billing/, which the map does not know yet: the name in proxy_pass begins with a dot and has no service",
        steps="true",
        routes=(Route(path="/billing/", host="mesh.example", weight=3),),
        expects=causes("dns-host-not-found", "proxy-target-invalid", "route-not-found"),
        partly=causes("dns-resolver-failure"),
    ),
    Fault(
        id="mesh-record-points-to-dead-host",
        happens="mail's record is changed to the new host, which is not switched on yet",
        steps="sed -i 's/mail.svc.internal,203.0.113.1/mail.svc.internal,203.0.113.77/' /etc/dnsmasq.d/mesh.conf; systemctl restart dnsmasq",
        failures=8,
        expects=causes("host-unreachable", "connect-timeout"),
        targets=frozenset({"mail.svc.internal", "mail.svc.internal:8000", "203.0.113.77:8000"}),
    ),
    Fault(
        id="mesh-egress-for-web-user",
        happens="a security baseline drops outgoing traffic of www-data to other hosts (nft meta skuid); root's own tests of mail work",
        steps="nft 'table inet egress { chain out { type filter hook output priority 0; oifname \"host0\" meta skuid 33 ct state new tcp dport 1024-65535 drop; }; }'",
        failures=8,
        expects=causes("connect-timeout", "network-policy-denies"),
        targets=MAIL_AT,
    ),
    Fault(
        id="mesh-stock-other-loopback",
        happens="stock's unit is started as instance 13 after a typing error: it listens on 127.0.0.13, its name says 127.0.0.12",
        steps="systemctl disable --now mesh@12; systemctl enable --now mesh@13; until curl -fs -o /dev/null http://127.0.0.13:8000/; do sleep 0.1; done",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "stale-dns"),
        targets=STOCK_AT,
    ),
    Fault(
        id="mesh-dnsmasq-does-not-start",
        happens="a record is written with a missing comma; dnsmasq does not start after its restart: nginx can resolve nothing",
        steps="echo 'host-recrod=reports.svc.internal 127.0.0.14' >> /etc/dnsmasq.d/mesh.conf; systemctl restart dnsmasq || true",
        expects=causes("dns-resolver-failure"),
        targets=frozenset(),
    ),
)

TASKS = """\
import psycopg2
from flask import Flask
app = Flask(__name__)

def base(**more):
    return psycopg2.connect(host="127.0.0.1", dbname="shop", user="shop", password="hunter22", connect_timeout=5, **more)

@app.get("/reports")
def reports():
    with base() as connection, connection.cursor() as cursor:
        cursor.execute("select count(*), sum(price) from products")
        return str(cursor.fetchone()) * 20

@app.post("/events")
def events():
    with base() as connection, connection.cursor() as cursor:
        cursor.execute("insert into sessions (id) values (md5(random()::text))")
    return "noted"

@app.get("/cube")
def cube():
    with base(options="-c statement_timeout=4000") as connection, connection.cursor() as cursor:
        cursor.execute("select pg_sleep(seconds) from cube")
    return "cube"

@app.get("/live")
def live():
    return "live " * 50
"""
TASKS_SITE = "    location / {\n        proxy_connect_timeout 3s;\n        proxy_read_timeout 8s;\n        proxy_pass http://localhost:5050;\n    }\n"
TASKS_AT = frozenset({"127.0.0.1:5050", "[::1]:5050", "localhost:5050"})
DATABASE_AT = frozenset({"127.0.0.1:5432"})
SLOW_SIGNS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout", "listen-backlog-overflow")
OWN_ERROR = causes("application-error", "upstream-error-status")
TASKS_FAULTS = (
    Fault(
        id="tasks-database-read-only",
        happens="after a failover rehearsal default_transaction_read_only stays on: inserts fail (500), reports are fine",
        steps="sudo -u postgres psql -q -c 'alter database shop set default_transaction_read_only = on'",
        expects=OWN_ERROR | causes("backend-dependency-down"),
        targets=TASKS_AT | DATABASE_AT,
    ),
    Fault(
        id="tasks-pg-hba-narrowed",
        happens="pg_hba.conf is narrowed to the new VPN in an audit: `no pg_hba.conf entry for host`, each page with data answers 500",
        steps="sed -i 's#^host *all *all *127.0.0.1/32.*#host all all 10.8.0.0/24 scram-sha-256#' /etc/postgresql/15/main/pg_hba.conf; systemctl reload postgresql@15-main",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=TASKS_AT | DATABASE_AT,
    ),
    Fault(
        id="tasks-database-starting-up",
        happens="PostgreSQL was killed and recovers: a standby.signal of a rehearsal keeps it in recovery without hot standby, it answers `the database system is not accepting connections`",
        steps='touch /var/lib/postgresql/15/main/standby.signal; chown postgres: /var/lib/postgresql/15/main/standby.signal; echo "hot_standby = off" >> /etc/postgresql/15/main/postgresql.conf; '
        "systemctl --no-block restart postgresql@15-main",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=TASKS_AT | DATABASE_AT,
    ),
    Fault(
        id="tasks-idle-in-transaction",
        happens="somebody's psql holds an exclusive lock on sessions, idle in transaction since lunch; events wait, and soon all workers do",
        steps="(sudo -u postgres setsid bash -c \"(echo 'begin; lock table sessions;'; sleep 300) | psql -q shop\" >/dev/null 2>&1 &) ; sleep 1",
        expects=causes("backend-dependency-slow"),
        partly=SLOW_SIGNS | causes("backend-dependency-down"),
        targets=TASKS_AT | DATABASE_AT,
    ),
    Fault(
        id="tasks-statement-timeout",
        happens="the cube has grown; its query meets statement_timeout (canceling statement due to statement timeout), the page answers 500 after 4 s",
        steps="sudo -u postgres psql -q shop -c 'update cube set seconds = 9'",
        routes=(Route(path="/cube", weight=3),),
        settle="test $(grep -c ' 500 ' /var/log/nginx/shop.access.log) -ge 12",
        expects=OWN_ERROR | causes("backend-dependency-slow"),
        targets=TASKS_AT | DATABASE_AT,
    ),
    Fault(
        id="tasks-user-and-log-directory",
        happens="the log directory of the unit's --access-logfile is gone after a clean-up; a restart by needrestart fails",
        steps="rm -rf /var/log/tasks; systemctl restart tasks || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=TASKS_AT,
    ),
)

STACKS = (
    Stack(
        name="detours",
        about="nginx in front of systemd-socket-proxyd with a wiki behind it, and of stunnel to a bank's service",
        files={
            "/srv/wiki/server.js": WIKI,
            "/etc/systemd/system/wiki.service": WIKI_UNIT,
            "/etc/systemd/system/wiki-proxy.socket": WIKI_SOCKET,
            "/etc/systemd/system/wiki-proxy.service": WIKI_PROXY,
            "/etc/stunnel/ledger.conf": STUNNEL,
            "/etc/nginx/sites-available/shop": site(TUNNEL_SITE),
        },
        setup="curl -fs -o /etc/stunnel/ca.pem http://203.0.113.1:8081/ca.pem\nmkdir -p /var/log/stunnel4\nsystemctl enable --now wiki wiki-proxy.socket\n"
        "systemctl start stunnel@ledger\nuntil curl -fs -o /dev/null http://127.0.0.1:3001/; do sleep 0.1; done\n" + ENABLE_SITE,
        remote=TUNNEL_REMOTE,
        routes=(Route(path="/wiki/", weight=3), Route(path="/ledger/", weight=3)),
        faults=TUNNEL_FAULTS,
        calms=(
            Calm(
                id="detour-normal-day",
                happens="stunnel rereads its configuration, searches of 3 s, scanners get 404, users break off",
                steps="systemctl kill -s HUP stunnel@ledger; curl -s -o /dev/null http://127.0.0.1/admin.php || true; systemctl reload nginx",
                routes=(Route(path="/wiki/search"), Route(path="/robots.txt", expect=(404,))),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="mesh",
        about="nginx chooses a service by a map of paths and asks dnsmasq for its address at run time; one service is on another host",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/mesh@.service": MESH_UNIT,
            "/etc/dnsmasq.d/mesh.conf": MESH_DNS,
            "/etc/nginx/conf.d/services.conf": MESH_CONF,
            "/etc/nginx/sites-available/mesh": MESH_SITE,
        },
        setup=MESH_SETUP,
        remote=MESH_REMOTE,
        routes=(
            Route(path="/orders/", host="mesh.example", weight=3),
            Route(path="/stock/", host="mesh.example", weight=3),
            Route(path="/mail/list", host="mesh.example", weight=3),
        ),
        faults=MESH_FAULTS,
        calms=(
            Calm(
                id="mesh-new-address",
                happens="stock moves: the new instance is up before its record changes, and the old one is stopped long after; dnsmasq clears its cache",
                steps="systemctl enable --now mesh@15; until curl -fs -o /dev/null http://127.0.0.15:8000/; do sleep 0.1; done; sed -i 's/127.0.0.12/127.0.0.15/' /etc/dnsmasq.d/mesh.conf; "
                "systemctl restart dnsmasq; sleep 5; systemctl disable --now mesh@12",
                routes=(Route(path="/healthz", host="mesh.example"), Route(path="/orders/search", host="mesh.example")),
            ),
        ),
    ),
    Stack(
        name="tasks",
        about="Flask for events and reports behind nginx (proxy_pass to localhost), PostgreSQL with statement timeouts",
        files={
            "/srv/shop/app.py": TASKS,
            "/etc/systemd/system/tasks.service": unit(
                "/opt/venv/bin/gunicorn --workers 5 --access-logfile /var/log/tasks/access.log --error-logfile /var/log/tasks/error.log --bind 127.0.0.1:5050 app:app"
            ),
            "/etc/nginx/sites-available/shop": site(TASKS_SITE),
        },
        setup="mkdir -p /var/log/tasks; chown www-data: /var/log/tasks\n"
        + POSTGRES
        + "sudo -u postgres psql -q shop -c 'create table cube as select 2 as seconds; alter table cube owner to shop'\n"
        + "systemctl enable --now tasks\nuntil curl -fs -o /dev/null http://127.0.0.1:5050/live; do sleep 0.1; done\n"
        + ENABLE_SITE,
        routes=(Route(path="/reports", weight=3), Route(path="/events", method="POST", weight=3), Route(path="/live", weight=2)),
        faults=TASKS_FAULTS,
        calms=(
            Calm(
                id="tasks-vacuum-day",
                happens="PostgreSQL vacuums and is dumped, a cube of 2 s, scanners get 404, a traceback of a colleague's script is in the journal, users break off",
                steps="sudo -u postgres psql -q shop -c 'vacuum analyze'; sudo -u postgres pg_dump shop > /dev/null; systemd-run -q --unit=colleague --wait python3 -c 'import psycopg3' || true; systemctl reset-failed colleague || true",
                routes=(Route(path="/cube"), Route(path="/cgi-bin/luci", expect=(404,))),
                cancels=True,
            ),
        ),
    ),
)
