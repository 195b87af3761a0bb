"""A lawyers' office with single sign-on by nginx's auth_request, and two programs in Java behind Caddy with a certificate of its own authority."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")

SSO_APP = """\
import os
import redis
from bottle import Bottle, request, response
app = Bottle()
base = redis.Redis(socket_timeout=3)

@app.get("/verify")
def verify():
    token = request.headers.get("X-Token", "")
    if not token or base.get(f"session:{token}") is None:
        response.status = 302 if os.environ.get("SSO_REDIRECTS") else 401
        if os.environ.get("SSO_REDIRECTS"):
            response.set_header("Location", "/login")
        return ""
    response.set_header("X-Person", "clerk")
    return ""

@app.get("/login")
def login():
    return "log in " * 80
"""
SSO_UNIT = """[Unit]
Description=single sign-on (waitress)
After=network.target redis-server.service

[Service]
User=sso
WorkingDirectory=/srv/sso
ExecStart=/opt/venv/bin/waitress-serve --host 127.0.0.1 --port 9100 --threads 6 sso:app
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
FILES_APP = """\
import socket, time
import psycopg2
from flask import Flask, Response, request
app = Flask(__name__)

def query(text):
    base = psycopg2.connect("host=/var/run/postgresql dbname=lawyers user=lawyers connect_timeout=5")
    try:
        with base, base.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        base.close()

@app.get("/")
def files():
    return {"files": [name for name, in query("select name from files order by id limit 20")]}

@app.get("/terms")
def terms():
    return "terms of engagement " * 60

@app.get("/minutes")
def minutes():
    time.sleep(1.2)
    return "minutes " * 200

@app.post("/letters")
def letters():
    with socket.create_connection(("127.0.0.1", 3310), timeout=60) as scanner:
        scanner.sendall(b"zINSTREAM\\0" + request.get_data()[:4096] + b"\\n")
        return {"scan": scanner.recv(100).decode()}

@app.get("/bundle.pdf")
def bundle():
    def parts():
        for part in range(6):
            yield b"%PDF " * 4000
            time.sleep(0.05)
        raise RuntimeError("exhibit 7 is missing")
    return Response(parts(), mimetype="application/pdf", headers={"Content-Length": str(20000 * 12)})
"""
FILES_UNIT = """[Unit]
Description=files (gunicorn)
After=network.target postgresql.service

[Service]
User=lawyers
Group=www-data
RuntimeDirectory=lawyers
RuntimeDirectoryMode=0750
WorkingDirectory=/srv/lawyers
ExecStart=/opt/venv/bin/gunicorn --worker-class gthread --workers 2 --threads 4 --umask 007 --timeout 90 --bind unix:/run/lawyers/files.sock files:app
Restart=on-failure
RestartSec=3

[Install]
WantedBy=multi-user.target
"""
SCANNER = """#!/usr/bin/python3
import socketserver

class Scan(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"stream: OK\\n")

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

Server(("127.0.0.1", 3310), Scan).serve_forever()
"""
LAWYERS_SITE = """\
server {
    listen 80;
    server_name lawyers.example;
    client_max_body_size 50m;

    location = /verify {
        internal;
        proxy_pass http://127.0.0.1:9100/verify;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header X-Original-URI $request_uri;
    }
    location = /login {
        proxy_pass http://127.0.0.1:9100;
    }
    location / {
        auth_request /verify;
        auth_request_set $person $upstream_http_x_person;
        proxy_set_header X-Person $person;
        proxy_pass http://unix:/run/lawyers/files.sock;
        include proxy_params;
        proxy_read_timeout 20s;
    }
}
"""
LAWYERS_SETUP = """
useradd --system sso; useradd --system lawyers
systemctl enable -q --now redis-server scanner
redis-cli set session:desk 1 >/dev/null
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role lawyers login" -c "create database lawyers owner lawyers"
sudo -u lawyers psql -q lawyers -c "create table files (id serial primary key, name text)" -c "insert into files (name) select 'file ' || n from generate_series(1, 300) n"
systemctl enable -q --now sso lawyers
until curl -fs -o /dev/null --unix-socket /run/lawyers/files.sock http://files/; do sleep 0.2; done
until curl -fs -o /dev/null -H 'X-Token: desk' http://127.0.0.1:9100/verify; do sleep 0.2; done
ln -s /etc/nginx/sites-available/lawyers /etc/nginx/sites-enabled/lawyers; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
LAWYERS = "lawyers.example"
DESK = {"X-Token": "desk"}
SSO_AT, FILES_AT = frozenset({"127.0.0.1:9100"}), frozenset({"unix:/run/lawyers/files.sock"})


def _desk(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0) -> Route:
    return Route(path=path, host=LAWYERS, headers=DESK, weight=weight, method=method, body_bytes=body_bytes)


LAWYERS_FAULTS = (
    Fault(
        id="lawyers-sso-switched-off",
        happens="the sign-on is stopped and disabled for a migration that was then put off: nginx's subrequest is refused, and whoever asks for a file gets 500",
        steps="systemctl disable -q --now sso",
        expects=causes("backend-not-running", "auth-service-failed"),
        targets=SSO_AT,
    ),
    Fault(
        id="lawyers-sso-redirects",
        happens="a release of the sign-on answers 302 to /login where it answered 401; nginx's auth_request takes neither for yes nor no: 500 for everyone whose session has ended",
        steps="mkdir -p /etc/systemd/system/sso.service.d; printf '[Service]\\nEnvironment=SSO_REDIRECTS=1\\n' > /etc/systemd/system/sso.service.d/override.conf; systemctl daemon-reload; systemctl restart sso; "
        "until curl -s -o /dev/null http://127.0.0.1:9100/login; do sleep 0.2; done; redis-cli del session:desk >/dev/null",
        settle="test $(tail -n 40 /var/log/nginx/access.log | grep -c '\" 500 ') -ge 12",
        expects=causes("auth-service-failed"),
        partly=causes("upstream-error-status"),
        targets=SSO_AT,
    ),
    Fault(
        id="lawyers-user-of-other-package",
        happens="nginx.conf comes from another distribution, with `user nobody nogroup`: its workers may not pass through /run/lawyers (750, www-data), 13: Permission denied",
        steps="sed -i 's/^user .*/user nobody nogroup;/' /etc/nginx/nginx.conf; systemctl restart nginx",
        expects=causes("unix-socket-permission"),
        targets=FILES_AT,
    ),
    Fault(
        id="lawyers-scanner-loads-signatures",
        happens="the scanner of uploads stands still (its signatures are being loaded on a full disk): letters wait for it until nginx gives up after 20 s, the threads fill",
        steps="systemctl kill -s STOP scanner",
        limit_s=120.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS | causes("proxy-timeout-too-short"),
        targets=FILES_AT | {"127.0.0.1:3310"},
    ),
    Fault(
        id="lawyers-override-of-directory",
        happens="a drop-in that was to make /run/lawyers readable empties RuntimeDirectory=; at the next restart the directory is gone, and gunicorn cannot bind its socket",
        steps="mkdir -p /etc/systemd/system/lawyers.service.d; printf '[Service]\\nRuntimeDirectory=\\n' > /etc/systemd/system/lawyers.service.d/override.conf; systemctl stop lawyers; systemctl daemon-reload; rm -rf /run/lawyers; systemctl start lawyers; sleep 8",
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing"),
        targets=FILES_AT,
    ),
    Fault(
        id="lawyers-unit-under-www-data",
        happens="the unit's User= becomes www-data, as a guide has it; PostgreSQL knows people by their name on the machine: `Peer authentication failed`, 500 for the files",
        steps="sed -i 's/^User=lawyers/User=www-data/' /etc/systemd/system/lawyers.service; systemctl daemon-reload; systemctl restart lawyers; until curl -fs -o /dev/null --unix-socket /run/lawyers/files.sock http://files/terms; do sleep 0.2; done",
        settle="test $(tail -n 40 /var/log/nginx/access.log | grep -c '\" 500 ') -ge 10",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=FILES_AT | {"unix:/var/run/postgresql/.s.PGSQL.5432", "unix:/run/postgresql/.s.PGSQL.5432", "127.0.0.1:5432"},
    ),
    Fault(
        id="lawyers-bundle-ends-early",
        happens="the making of a bundle fails after half of it was sent (RuntimeError): 200, and a body that ends too soon; people cannot open what they got",
        steps="true",
        routes=(_desk("/bundle.pdf", 2),),
        expects=causes("truncated-response"),
        partly=OWN_ERROR | causes("premature-close"),
        targets=FILES_AT,
    ),
)

CARAVANS_APP = """\
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.*;
import java.net.*;
import java.util.*;
import java.util.concurrent.*;

public class Caravans {
    static final List<byte[]> kept = new ArrayList<>();

    static void say(HttpExchange exchange, int status, String text) throws IOException {
        byte[] bytes = text.getBytes();
        exchange.getResponseHeaders().set("Content-Type", "text/plain");
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("SERVER_PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 100);
        server.createContext("/", exchange -> say(exchange, 200, "caravans ".repeat(100)));
        server.createContext("/prices", exchange -> {
            try (Socket redis = new Socket("127.0.0.1", 6379)) {
                redis.setSoTimeout(3000);
                redis.getOutputStream().write("PING\\r\\n".getBytes());
                say(exchange, 200, new BufferedReader(new InputStreamReader(redis.getInputStream())).readLine());
            } catch (IOException error) {
                System.err.println("ERROR prices: " + error);
                say(exchange, 500, "no prices");
            }
        });
        server.createContext("/calendar", exchange -> { pause(1200); say(exchange, 200, "calendar ".repeat(100)); });
        server.createContext("/insurance", exchange -> { pause(14000); say(exchange, 200, "insured"); });
        server.createContext("/brochure", exchange -> { synchronized (kept) { kept.add(new byte[8 << 20]); } say(exchange, 200, "brochure"); });
        server.setExecutor(Executors.newFixedThreadPool(Integer.parseInt(System.getenv().getOrDefault("SERVER_THREADS", "20"))));
        server.start();
        System.out.println("Started Caravans on port " + port);
    }

    static void pause(long milliseconds) {
        try { Thread.sleep(milliseconds); } catch (InterruptedException ignored) { }
    }
}
"""
CARAVANS_UNIT = """[Unit]
Description=caravans on port %i
After=network.target

[Service]
User=caravans
WorkingDirectory=/srv/caravans
EnvironmentFile=/etc/caravans/java.env
Environment=SERVER_PORT=%i
ExecStart=/usr/bin/java $JAVA_OPTS -cp /srv/caravans/classes Caravans
SuccessExitStatus=143
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
"""
CARAVANS_CADDYFILE = """\
caravans.example {
    tls internal
    log {
        output file /var/log/caddy/caravans.log
    }
    reverse_proxy 127.0.0.1:8091 127.0.0.1:8092 {
        lb_policy round_robin
        transport http {
            dial_timeout 3s
            response_header_timeout 10s
        }
    }
}
"""
CARAVANS_SETUP = """
useradd --system caravans; mkdir -p /srv/caravans/classes; cd /srv/caravans; javac -d classes Caravans.java
systemctl enable -q --now redis-server caravans@8091 caravans@8092
for p in 8091 8092; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.2; done; done
systemctl enable -q --now caddy
until curl -fsk -o /dev/null --resolve caravans.example:443:127.0.0.1 https://caravans.example/; do sleep 0.3; done
"""
CARAVANS = "caravans.example"
CARAVANS_AT = frozenset({"127.0.0.1:8091", "127.0.0.1:8092"})


def _https(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=CARAVANS, port=443, tls=True, weight=weight)


CARAVANS_FAULTS = (
    Fault(
        id="caravans-option-of-java-8",
        happens="the options of the old server come along: -XX:+UseConcMarkSweepGC, which Java 17 does not know; `Could not create the Java Virtual Machine`, both programs end at each start",
        steps="echo 'JAVA_OPTS=-Xmx96m -XX:+UseConcMarkSweepGC' > /etc/caravans/java.env; systemctl restart caravans@8091 caravans@8092; sleep 8",
        expects=NO_START,
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=CARAVANS_AT,
    ),
    Fault(
        id="caravans-brochures-in-heap",
        happens="brochures are kept in a list, and with -XX:+ExitOnOutOfMemoryError the program ends (`Terminating due to java.lang.OutOfMemoryError`); systemd starts it again",
        steps="true",
        routes=(_https("/brochure", 8),),
        limit_s=120.0,
        settle="journalctl -q -u 'caravans@*' | grep -q OutOfMemoryError",
        expects=causes("backend-crashed"),
        partly=causes("backend-oom-killed", "backend-crash-loop", "premature-close", "connection-reset", "backend-not-running"),
        targets=CARAVANS_AT,
    ),
    Fault(
        id="caravans-caddy-speaks-tls",
        happens="for `encryption everywhere` the Caddyfile gets https:// before the programs' addresses; they speak plain HTTP: 502 for all",
        steps="sed -i 's#reverse_proxy 127.0.0.1:8091 127.0.0.1:8092#reverse_proxy https://127.0.0.1:8091 https://127.0.0.1:8092#' /etc/caddy/Caddyfile; systemctl reload caddy",
        expects=causes("wrong-protocol"),
        partly=causes("tls-handshake-failed"),
        targets=CARAVANS_AT,
    ),
    Fault(
        id="caravans-insurance-of-fourteen",
        happens="an insurer's offer takes the program 14 s, and Caddy waits for ten: 504 for it alone",
        steps="true",
        routes=(_https("/insurance"),),
        failures=6,
        limit_s=100.0,
        expects=SLOW,
        targets=CARAVANS_AT,
    ),
    Fault(
        id="caravans-redis-unix-only",
        happens="a guide for hardening sets Redis's `port 0`, so that it listens on its unix socket alone: connection refused for prices, 500, all else goes on",
        steps="sed -i 's/^port 6379/port 0/' /etc/redis/redis.conf; echo 'unixsocket /run/redis/redis.sock' >> /etc/redis/redis.conf; systemctl restart redis-server",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=CARAVANS_AT | {"127.0.0.1:6379"},
    ),
)

STACKS = (
    Stack(
        name="lawyers",
        about="nginx with auth_request to a sign-on (Bottle in waitress, Redis), Flask in gunicorn's threads on a unix socket, PostgreSQL with peer authentication, a scanner of uploads",
        files={
            "/srv/sso/sso.py": SSO_APP,
            "/srv/lawyers/files.py": FILES_APP,
            "/usr/local/bin/scanner": SCANNER,
            "/etc/systemd/system/sso.service": SSO_UNIT,
            "/etc/systemd/system/lawyers.service": FILES_UNIT,
            "/etc/systemd/system/scanner.service": "[Unit]\nDescription=scanner of uploads\n\n[Service]\nExecStart=/usr/local/bin/scanner\nRestart=on-failure\n\n[Install]\nWantedBy=multi-user.target\n",
            "/etc/nginx/sites-available/lawyers": LAWYERS_SITE,
        },
        setup=LAWYERS_SETUP,
        routes=(_desk("/", 4), _desk("/terms", 3), _desk("/letters", 1, "POST", 20000), Route(path="/login", host=LAWYERS)),
        faults=LAWYERS_FAULTS,
        calms=(
            Calm(
                id="lawyers-morning",
                happens="people without a session get 401 and log in, minutes (1.2 s) are broken off, nginx reloads, logs rotate, a vacuum, Redis saves",
                steps="logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; sudo -u postgres psql -q lawyers -c 'vacuum analyze'; redis-cli bgsave >/dev/null",
                routes=(_desk("/minutes"), Route(path="/", host=LAWYERS, expect=(401,)), _desk("/owa/auth.owa")),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="caravans",
        about="two instances of a Java program (template unit, a pool of threads) behind Caddy with a certificate of its internal authority, Redis",
        files={
            "/srv/caravans/Caravans.java": CARAVANS_APP,
            "/etc/caravans/java.env": "JAVA_OPTS=-Xmx96m -XX:+ExitOnOutOfMemoryError\n",
            "/etc/systemd/system/caravans@.service": CARAVANS_UNIT,
            "/etc/caddy/Caddyfile": CARAVANS_CADDYFILE,
        },
        setup=CARAVANS_SETUP,
        routes=(_https("/", 4), _https("/prices", 3)),
        faults=CARAVANS_FAULTS,
        calms=(
            Calm(
                id="caravans-spring-cleaning",
                happens="Caddy reloads, Redis saves, the calendar (1.2 s) is broken off, http is redirected, a scanner gets the front page for all",
                steps="systemctl reload caddy; redis-cli bgsave >/dev/null; journalctl -q --rotate",
                routes=(_https("/calendar"), _https("/solr/admin/info"), Route(path="/", host=CARAVANS, expect=(308,))),
                cancels=True,
            ),
        ),
    ),
)
