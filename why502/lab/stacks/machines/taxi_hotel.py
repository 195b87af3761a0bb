"""Express with WebSockets and PostgreSQL behind nginx, and a jar of Java behind Apache; both ask a partner's host over TLS."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
CUT = causes("premature-close", "connection-reset", "backend-not-running")

# A partner on another host (203.0.113.5), outside of the machine: HTTPS on 9443 with a certificate of its own authority for the
# name that `issue NAME DAYS` got, plain HTTP on 8070, and the authority's certificate to fetch for the machine's set-up.
PARTNER = r"""
mkdir -p /tmp/partner && mount -t tmpfs -o mode=755 partner /tmp/partner && cd /tmp/partner && mkdir public
ip addr add 203.0.113.5/24 dev $(ip -o -4 addr show to 203.0.113.1 | awk '{print $2; exit}')
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out public/ca.pem -days 3650 -subj '/CN=Partner CA' 2>/dev/null
cat > issue <<'S'
cd /tmp/partner; printf "subjectAltName=DNS:$1" > ext
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj "/CN=$1" 2>/dev/null
openssl x509 -req -in server.csr -CA public/ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days $2 -out server.pem 2>/dev/null
test ! -e pid || kill $(cat pid)
(exec python3 serve.py >/dev/null 2>&1 </dev/null & echo $! > pid; wait) >/dev/null 2>&1 &
until curl -fsk -o /dev/null https://203.0.113.5:9443/; do sleep 0.1; done
S
cat > serve.py <<'S'
import http.server, ssl, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"partner " * 50)
    def log_message(self, *parts): pass
plain = http.server.ThreadingHTTPServer(("203.0.113.5", 8070), Page)
threading.Thread(target=plain.serve_forever, daemon=True).start()
server = http.server.ThreadingHTTPServer(("203.0.113.5", 9443), Page)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
S
sh -e issue NAME 90
(cd public && exec python3 -m http.server --bind 203.0.113.1 8090 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1:8090/ca.pem; do sleep 0.1; done
"""

TAXI_APP = """\
const fs = require('fs');
const express = require('express');
const { Pool } = require('pg');
const { WebSocketServer } = require('ws');
const app = express();
const pool = new Pool({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 4000 });
pool.on('error', (error) => console.error('idle client', error.message));
const kept = [];
app.get('/api/rides', async (req, res, next) => {
  try { res.json((await pool.query('select id, street from rides order by id limit 20')).rows); } catch (error) { next(error); }
});
app.post('/api/position', (req, res) => {
  req.resume();
  req.on('end', () => { const end = Date.now() + 20; while (Date.now() < end); res.json({ ok: true }); });
});
app.get('/api/fare', async (req, res, next) => {
  try { res.send(await (await fetch('https://maps.partner.example:9443/')).text()); } catch (error) { next(error); }
});
app.get('/api/receipt', (req, res) => setTimeout(() => res.send(req.query.ride.toUpperCase()), 5));
app.get('/api/history', (req, res) => { kept.push(Array.from({ length: 150000 }, (_, n) => ({ n }))); res.json({ kept: kept.length }); });
app.get('/api/month', (req, res) => setTimeout(() => res.send('month '.repeat(100)), 3000));
const server = require('http').createServer(app);
new WebSocketServer({ server, path: '/ws' }).on('connection', (socket) => socket.on('message', (text) => socket.send(text)));
const settings = () => { server.keepAliveTimeout = JSON.parse(fs.readFileSync('settings.json')).keepAlive; };
process.on('SIGHUP', settings);
async function main() {
  await pool.query('select 1');
  settings();
  setTimeout(() => server.listen(3000, '127.0.0.1', () => console.log('taxi on 3000')), 1500); // the map is loaded
}
main();
"""
TAXI_UNIT = """[Unit]
Description=Taxi
After=network.target

[Service]
User=taxi
WorkingDirectory=/srv/taxi
EnvironmentFile=/etc/taxi.env
ExecStart=/usr/bin/node server.js
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
TAXI_SITE = """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
}
upstream taxi {
    server 127.0.0.1:3000;
    keepalive 16;
}
server {
    listen 80 default_server;
    listen 443 ssl http2;
    server_name taxi.example;
    ssl_certificate /etc/ssl/taxi.pem;
    ssl_certificate_key /etc/ssl/private/taxi.key;

    location /api/ {
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_pass http://taxi;
    }
    location /ws {
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $host;
        proxy_read_timeout 1h;
        proxy_pass http://taxi;
    }
}
"""
TAXI_UP = "until curl -fs -o /dev/null http://127.0.0.1:3000/api/rides; do sleep 0.2; done"
TAXI_SETUP = f"""
echo '203.0.113.5 maps.partner.example' >> /etc/hosts
curl -fs -o /etc/ssl/partner-ca.pem http://203.0.113.1:8090/ca.pem
openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/ssl/private/taxi.key -out /etc/ssl/taxi.pem -days 90 -subj /CN=taxi.example 2>/dev/null
useradd --system taxi; ln -s /opt/node/node_modules /srv/taxi/node_modules
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role taxi login password 'hunter22'" -c "create database taxi owner taxi"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U taxi taxi -c "create table rides (id serial primary key, street text)" -c "insert into rides (street) select 'street ' || n from generate_series(1, 300) n"
systemctl enable --now taxi
{TAXI_UP}
ln -s /etc/nginx/sites-available/taxi /etc/nginx/sites-enabled/taxi; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
TAXI = "taxi.example"
TAXI_AT = frozenset({"127.0.0.1:3000", "taxi"})


def _ask(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0) -> Route:
    return Route(path=path, host=TAXI, port=443, tls=True, weight=weight, method=method, body_bytes=body_bytes)


TAXI_FAULTS = (
    Fault(
        id="taxi-connection-header-of-a-guide",
        happens='a guide on keepalive is applied to all locations: `proxy_set_header Connection ""` in /ws, too, and Upgrade goes; the WebSocket\'s handshake is an ordinary GET then, 404',
        steps="sed -i '/proxy_set_header Upgrade/d; s/Connection $connection_upgrade/Connection \"\"/' /etc/nginx/sites-available/taxi; systemctl reload nginx",
        routes=(Route(path="/ws", host=TAXI, websocket=True, weight=8),),
        failures=0,
        settle="test $(grep -c 'GET /ws HTTP/1.1\" 404' /var/log/nginx/access.log) -ge 12",
        expects=causes("websocket-upgrade-missing"),
        partly=causes("upstream-error-status", "wrong-protocol"),
        targets=TAXI_AT,
    ),
    Fault(
        id="taxi-history-and-heap",
        happens="the history keeps all it ever read, and the unit says --max-old-space-size=96: `JavaScript heap out of memory`, an abort, a start, again",
        steps="echo NODE_OPTIONS=--max-old-space-size=96 >> /etc/taxi.env; systemctl restart taxi; " + TAXI_UP,
        routes=(_ask("/api/history", 5),),
        failures=24,
        limit_s=90.0,
        settle="test $(journalctl -q -u taxi | grep -c 'heap out of memory') -ge 3",
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=CUT | causes("backend-oom-killed", "memory-pressure"),
        targets=TAXI_AT,
    ),
    Fault(
        id="taxi-receipt-without-ride",
        happens="a receipt without its number throws in a timer (Cannot read properties of undefined): the process ends, and starts in two seconds",
        steps="sed -i 's/^Restart=.*/Restart=always\\nRestartSec=2/' /etc/systemd/system/taxi.service; systemctl daemon-reload",
        routes=(_ask("/api/receipt"),),
        failures=24,
        limit_s=90.0,
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=CUT,
        targets=TAXI_AT,
    ),
    Fault(
        id="taxi-partner-certificate-expired",
        happens="the partner for maps let its certificate expire; fetch() refuses it, and each fare is a 500",
        steps="true",
        outside="sh -e /tmp/partner/issue maps.partner.example 0; sleep 1.5",
        routes=(_ask("/api/fare", 4),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | causes("tls-verify-failed"),
    ),
    Fault(
        id="taxi-packages-half-installed",
        happens="`npm ci` removed node_modules and broke off (no network); the deploy script restarts the service nevertheless: Cannot find module 'express'",
        steps="rm /srv/taxi/node_modules; mkdir /srv/taxi/node_modules; systemctl restart taxi",
        settle="systemctl is-failed -q taxi",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=TAXI_AT,
    ),
    Fault(
        id="taxi-three-restarts-at-noon",
        happens="three fixes in half a minute, each with `systemctl restart` under traffic; each start takes two seconds, all is well again at the end",
        steps=f"for n in 1 2 3; do systemctl restart taxi; {TAXI_UP}; sleep 4; done",
        failures=10,
        expects=causes("deploy-termination-race"),
        partly=CUT,
        targets=TAXI_AT,
    ),
    Fault(
        id="taxi-faster-than-its-database",
        happens="after a reboot the service (After=network.target only) starts before PostgreSQL, ends five times in a second, and systemd gives up; PostgreSQL is up a little later",
        steps="systemctl stop taxi postgresql@15-main; systemctl start taxi; sleep 6; systemctl start postgresql@15-main",
        settle="systemctl is-failed -q taxi",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed", "backend-dependency-down"),
        targets=TAXI_AT,
    ),
    Fault(
        id="taxi-idle-connections-closed-early",
        happens="settings of a load test (keepAliveTimeout 300 ms) are loaded by SIGHUP; nginx keeps its connections for a minute, and some positions of drivers (POST) meet one that just closes",
        steps="sed -i s/75000/300/ /srv/taxi/settings.json; systemctl kill -s HUP taxi",
        routes=(_ask("/api/position", 10, "POST", 200),),
        users=16,
        limit_s=120.0,
        failures=8,
        expects=causes("keepalive-race"),
        partly=causes("premature-close", "connection-reset"),
        targets=TAXI_AT,
    ),
)

HOTEL_APP = r"""
import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.util.concurrent.*;

public class Hotel {
    static void say(HttpExchange x, int status, String text) throws IOException {
        byte[] body = text.getBytes();
        x.getRequestBody().readAllBytes();
        x.sendResponseHeaders(status, body.length);
        try (OutputStream out = x.getResponseBody()) { out.write(body); }
    }
    static void serve(int port, int threads) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 50);
        server.setExecutor(Executors.newFixedThreadPool(threads));
        server.createContext("/", x -> say(x, 200, "room ".repeat(100)));
        server.createContext("/night", x -> { try { Thread.sleep(3000); } catch (InterruptedException e) { } say(x, 200, "night"); });
        server.createContext("/availability", x -> {
            try (InputStream in = new URL("http://203.0.113.5:8070/").openStream()) { say(x, 200, new String(in.readAllBytes())); }
            catch (IOException e) { e.printStackTrace(); say(x, 500, "no channel"); }
        });
        server.start();
        System.out.println("listening on " + port);
    }
    public static void main(String[] args) throws Exception {
        serve(8080, 10);
        serve(8081, 2);
        serve(8089, 2);
    }
}
"""
HOTEL_UNIT = """[Unit]
Description=Hotel
After=syslog.target network.target

[Service]
User=hotel
ExecStart=/usr/bin/java -Xmx128m -jar /opt/hotel/hotel.jar
SuccessExitStatus=143
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""
HOTEL_SITE = """\
<VirtualHost *:80>
    ServerName hotel.example
    ProxyPreserveHost On
    ProxyTimeout 15
    SSLProxyEngine on
    SSLProxyVerify require
    SSLProxyCACertificateFile /etc/ssl/partner-ca.pem

    <Location /rates/>
        ProxyPreserveHost Off
        ProxyPass https://rates.partner.example:9443/ connectiontimeout=5
    </Location>
    ProxyPass / http://localhost:8080/
    ProxyPassReverse / http://localhost:8080/

    ErrorLog ${APACHE_LOG_DIR}/error.log
    CustomLog ${APACHE_LOG_DIR}/access.log combined
</VirtualHost>
"""
HOTEL_SETUP = """
echo '203.0.113.5 rates.partner.example' >> /etc/hosts
curl -fs -o /etc/ssl/partner-ca.pem http://203.0.113.1:8090/ca.pem
useradd --system hotel; cd /opt/hotel; javac -nowarn Hotel.java; jar --create --file hotel.jar --main-class Hotel *.class
systemctl enable --now hotel
until curl -fs -o /dev/null http://127.0.0.1:8080/; do sleep 0.2; done
a2enmod -q proxy proxy_http ssl; a2dissite -q 000-default; a2ensite -q hotel
systemctl enable --now apache2
"""
HOTEL = "hotel.example"
HOTEL_AT = frozenset({"localhost:8080", "127.0.0.1:8080", "[::1]:8080"})
RATES_AT = frozenset({"rates.partner.example:9443", "203.0.113.5:9443", "rates.partner.example"})
HOTEL_FAULTS = (
    Fault(
        id="hotel-channel-dropped",
        happens="the firewall of the channel's host drops; the page of availability has no timeout, its ten threads wait for a connection, and all pages with them",
        steps="true",
        outside="nft 'table inet channel { chain in { type filter hook input priority 0; tcp dport 8070 drop; }; }'",
        routes=(Route(path="/availability", host=HOTEL, weight=3),),
        limit_s=90.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=causes("workers-exhausted", "backend-hung", "backend-too-slow", "connect-timeout"),
    ),
    Fault(
        id="hotel-port-of-another-listener",
        happens="a merge makes the site's ProxyPass http://localhost:8088/; the program has three ports (8080, 8081, 8089), none of them that",
        steps="sed -i 's#localhost:8080#localhost:8088#' /etc/apache2/sites-available/hotel.conf; systemctl start redis-server memcached; systemctl reload apache2",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=frozenset({"localhost:8088", "127.0.0.1:8088", "[::1]:8088"}),
    ),
    Fault(
        id="hotel-cookies-of-campaigns",
        happens="campaign cookies grow to 12 kB; Apache's own limit for a header field is 8190 bytes: 400 before anything is passed on",
        steps="true",
        routes=(Route(path="/offers", host=HOTEL, weight=5, headers={"Cookie": "campaign=" + "x" * 12000}),),
        failures=0,
        settle="test $(grep -c ' 400 ' /var/log/apache2/access.log) -ge 12",
        expects=causes("request-too-large"),
        partly=causes("client-bad-request", "request-header-too-big"),
    ),
    Fault(
        id="hotel-rates-certificate-of-new-name",
        happens="the partner's new certificate is for api.partner.example; Apache asks for rates.partner.example and refuses it",
        steps="true",
        outside="sh -e /tmp/partner/issue api.partner.example 90",
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed"),
        targets=RATES_AT,
    ),
    Fault(
        id="hotel-rates-prohibited",
        happens="firewalld on the partner's host rejects the port (host-prohibited): `No route to host` at Apache",
        steps="true",
        outside="nft 'table inet rates { chain in { type filter hook input priority 0; tcp dport 9443 reject with icmp type host-prohibited; }; }'",
        failures=8,
        expects=causes("connect-rejected", "network-policy-denies"),
        partly=causes("host-unreachable", "backend-not-running", "connect-timeout"),
        targets=RATES_AT,
    ),
    Fault(
        id="hotel-jar-half-copied",
        happens="scp breaks off in the deploy, and the service is restarted with half a jar: `Invalid or corrupt jarfile`, every five seconds again",
        steps="truncate -s -600 /opt/hotel/hotel.jar; systemctl restart hotel; sleep 7",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=HOTEL_AT,
    ),
    Fault(
        id="hotel-disabled-before-reboot",
        happens="the service was disabled for a week of renovation and then started by hand; after a reboot it is not there",
        steps="systemctl disable -q hotel; systemctl stop apache2 hotel; journalctl -q --rotate; journalctl -q --vacuum-time=1s; systemctl restart systemd-journald; systemctl start apache2",
        expects=causes("backend-not-running"),
        targets=HOTEL_AT,
    ),
)

STACKS = (
    Stack(
        name="taxi",
        about="Express with WebSockets (one process) behind nginx with TLS and keepalive, PostgreSQL; a partner for maps over TLS",
        files={
            "/srv/taxi/server.js": TAXI_APP,
            "/srv/taxi/settings.json": '{ "keepAlive": 75000 }\n',
            "/etc/taxi.env": "NODE_ENV=production\nNODE_EXTRA_CA_CERTS=/etc/ssl/partner-ca.pem\nDATABASE_URL=postgresql://taxi:hunter22@127.0.0.1/taxi\n",
            "/etc/systemd/system/taxi.service": TAXI_UNIT,
            "/etc/nginx/sites-available/taxi": TAXI_SITE,
        },
        setup=TAXI_SETUP,
        routes=(_ask("/api/rides", 4), _ask("/api/position", 2, "POST", 200), _ask("/api/fare")),
        faults=TAXI_FAULTS,
        calms=(
            Calm(
                id="taxi-evening",
                happens="drivers hold WebSockets, a page of 3 s, some customers break off, nginx reloads under them; an old app asks for what is not there (404)",
                steps="sleep 3; systemctl reload nginx",
                routes=(Route(path="/ws", host=TAXI, websocket=True, weight=2), _ask("/api/month"), _ask("/api/v1/drivers")),
                cancels=True,
            ),
        ),
        remote=PARTNER.replace("NAME", "maps.partner.example"),
    ),
    Stack(
        name="hotel",
        about="a jar of Java (three listeners, ten threads) behind Apache, which also passes /rates/ on to a partner's host over verified TLS",
        files={
            "/opt/hotel/Hotel.java": HOTEL_APP,
            "/etc/systemd/system/hotel.service": HOTEL_UNIT,
            "/etc/apache2/sites-available/hotel.conf": HOTEL_SITE,
        },
        setup=HOTEL_SETUP,
        routes=(
            Route(path="/", host=HOTEL, weight=4),
            Route(path="/availability", host=HOTEL),
            Route(path="/rates/", host=HOTEL, weight=2),
        ),
        faults=HOTEL_FAULTS,
        calms=(
            Calm(
                id="hotel-quiet-sunday",
                happens="Apache reloads with grace, logs rotate; a page of 3 s, users break off, scanners",
                steps="logrotate -f /etc/logrotate.d/apache2; sleep 3; systemctl reload apache2",
                routes=(Route(path="/night", host=HOTEL), Route(path="/server-status", host=HOTEL)),
                cancels=True,
            ),
        ),
        remote=PARTNER.replace("NAME", "rates.partner.example"),
    ),
)
