"""What is not plain HTTP to a fixed address: stream, gRPC, WebSockets, TLS to the backend, names from dnsmasq, another host."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API, API_FILES, ENABLE_SITE, site

HOME = Route(path="/", weight=4)
AT = frozenset({"127.0.0.1:9101"})
API_ON = "systemctl enable --now api@9101\nuntil curl -fs -o /dev/null http://127.0.0.1:9101/; do sleep 0.1; done\n"
STATIC = "    location / {\n        root /var/www/html;\n        try_files /index.nginx-debian.html =404;\n    }\n"
DROP = "nft add table inet filter; nft 'add chain inet filter output {{ type filter hook output priority 0; }}'; nft add rule inet filter output {rule}"

STREAM = """
stream {
    log_format tcp '$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time "$upstream_addr" "$upstream_connect_time"';
    access_log /var/log/nginx/stream.log tcp;
    error_log /var/log/nginx/stream.error.log;
    server {
        listen 81;
        proxy_connect_timeout 3s;
        proxy_timeout 6s;
        proxy_pass 127.0.0.1:9101;
    }
}
"""
STREAM_FAULTS = (
    Fault(
        id="stream-api-stopped",
        happens="the service behind nginx's stream is stopped",
        steps="systemctl stop api@9101",
        expects=causes("backend-not-running"),
        targets=AT,
    ),
    Fault(
        id="stream-api-moved",
        happens="it listens on port 9102 now",
        steps="systemctl stop api@9101; systemctl start api@9102",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=AT,
    ),
    Fault(
        id="stream-api-frozen",
        happens="it stands still",
        steps="systemctl kill -s STOP api@9101",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow"),
        targets=AT,
    ),
    Fault(
        id="stream-api-dropped",
        happens="a rule drops what goes to it",
        steps=DROP.format(rule="tcp dport 9101 drop"),
        expects=causes("connect-timeout", "network-policy-denies"),
        targets=AT,
    ),
)

GRPC = """\
import os, threading, time
from concurrent import futures
import grpc

def get(request, context):
    if os.path.exists("/srv/api/slow"):
        time.sleep(20)
    if os.path.exists("/srv/api/refuse"):
        context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded")
    return b"order"

def watch(request, context):
    for _ in range(10):
        yield b"order"
        time.sleep(0.1)

handlers = {"Get": grpc.unary_unary_rpc_method_handler(get), "Watch": grpc.unary_stream_rpc_method_handler(watch)}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
assert server.add_insecure_port(os.environ.get("BIND", "127.0.0.1:50051"))
server.start()
server.wait_for_termination()
"""
GRPC_CLIENT = """\
import pathlib, time
import grpc
failed = done = 0
while True:
    with grpc.insecure_channel("203.0.113.10:82") as channel:
        for call in (channel.unary_unary("/shop.Orders/Get"), channel.unary_stream("/shop.Orders/Watch")):
            try:
                answer = call(b"", timeout=15)
                for _ in answer if not isinstance(answer, bytes) else ():
                    pass
                done += 1
            except grpc.RpcError as error:
                failed += 1
                print(error.code(), error.details(), flush=True)
    pathlib.Path("/run/orders-client/failed").write_text(str(failed))
    pathlib.Path("/run/orders-client/done").write_text(str(done))
    time.sleep(0.2)
"""
UNIT = """[Unit]
After=network.target
[Service]
User=www-data
WorkingDirectory=/srv/api
RuntimeDirectory={name}
EnvironmentFile=-/etc/{name}.env
ExecStart=/opt/venv/bin/python /srv/api/{script}
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
GRPC_SITE = """
server {
    listen 82 http2;
    server_name grpc.example;
    access_log /var/log/nginx/grpc.access.log;
    error_log /var/log/nginx/grpc.error.log;
    location / {
        grpc_connect_timeout 3s;
        grpc_read_timeout 6s;
        grpc_pass grpc://127.0.0.1:50051;
    }
}
"""
GRPC_AT = frozenset({"127.0.0.1:50051"})
FELT = "test $(cat /run/orders-client/failed) -ge {number}"
GRPC_FAULTS = (
    Fault(
        id="grpc-stopped",
        happens="the gRPC service is stopped",
        steps="systemctl stop orders",
        failures=0,
        settle=FELT.format(number=10),
        expects=causes("backend-not-running"),
        targets=GRPC_AT,
    ),
    Fault(
        id="grpc-moved",
        happens="it listens on port 50052 now",
        steps="echo BIND=127.0.0.1:50052 > /etc/orders.env; systemctl restart orders",
        failures=0,
        settle=FELT.format(number=10),
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=GRPC_AT,
    ),
    Fault(
        id="grpc-unary-slow",
        happens="unary calls take 20 s, nginx waits 6 s",
        steps="touch /srv/api/slow",
        failures=0,
        settle=FELT.format(number=4),
        limit_s=90,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        partly=causes("backend-hung"),
        targets=GRPC_AT,
    ),
    Fault(
        id="grpc-frozen",
        happens="it stands still",
        steps="kill -STOP $(systemctl show -p MainPID --value orders)",
        failures=0,
        settle=FELT.format(number=5),
        limit_s=120,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow"),
        targets=GRPC_AT,
    ),
    Fault(
        id="grpc-proxy-pass",
        happens="somebody writes proxy_pass http:// in place of grpc_pass",
        steps="sed -i 's#grpc_pass grpc://#proxy_pass http://#; /grpc_connect/d; /grpc_read/d' /etc/nginx/sites-available/shop; systemctl reload nginx",
        failures=0,
        settle=FELT.format(number=10),
        expects=causes("wrong-protocol"),
        partly=causes("invalid-response", "premature-close", "connection-reset"),
        targets=GRPC_AT,
    ),
)

WEBSOCKET = """\
import asyncio, websockets
async def talk(socket):
    async for text in socket:
        await socket.send(text)
async def main():
    async with websockets.serve(talk, "127.0.0.1", 8765, ping_interval=None):
        await asyncio.Future()
asyncio.run(main())
"""
IDLE_CLIENT = """\
import asyncio, pathlib, websockets
async def main():
    failed = 0
    while True:
        async with websockets.connect("ws://203.0.113.10/ws", ping_interval=None) as socket:
            try:
                await socket.recv()
            except websockets.ConnectionClosed as error:
                failed += 1
                print(error, flush=True)
        pathlib.Path("/run/idle/failed").write_text(str(failed))
asyncio.run(main())
"""
WEBSOCKET_SITE = """
    location /ws {
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_connect_timeout 3s;
        proxy_read_timeout 5s;
        proxy_pass http://127.0.0.1:8765;
    }
"""
WEBSOCKET_AT = frozenset({"127.0.0.1:8765"})
WEBSOCKET_FAULTS = (
    Fault(
        id="websocket-stopped",
        happens="the WebSocket service is stopped",
        steps="systemctl stop chat",
        expects=causes("backend-not-running"),
        targets=WEBSOCKET_AT,
    ),
    Fault(
        id="websocket-frozen",
        happens="it stands still",
        steps="kill -STOP $(systemctl show -p MainPID --value chat)",
        failures=6,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "websocket-idle-timeout"),
        targets=WEBSOCKET_AT,
    ),
    Fault(
        id="websocket-upgrade-lost",
        happens="the Upgrade headers are lost in a merge",
        steps="sed -i '/Upgrade\\|\"upgrade\"/d' /etc/nginx/sites-available/shop; systemctl reload nginx",
        failures=0,
        settle="test $(grep -c ' 426 \\| 400 ' /var/log/nginx/shop.access.log) -ge 8",
        expects=causes("websocket-upgrade-missing"),
        targets=WEBSOCKET_AT,
    ),
    Fault(
        id="websocket-idle",
        happens="quiet clients are cut after proxy_read_timeout of 5 s; the error log is at level info, the only one that tells",
        steps="sed -i 's#error.log;#error.log info;#' /etc/nginx/sites-available/shop; systemctl reload nginx; systemctl start idle",
        failures=0,
        settle="test $(grep -c 'while proxying upgraded connection' /var/log/nginx/shop.error.log) -ge 8",
        expects=causes("websocket-idle-timeout"),
        partly=causes("backend-too-slow", "proxy-timeout-too-short"),
        targets=WEBSOCKET_AT,
    ),
)

TLS_SETUP = """
mkdir -p /etc/pki/live/app /etc/letsencrypt/live/shop.example && cd /etc/pki
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Internal CA' 2>/dev/null
cat > /usr/local/bin/issue <<'X'
#!/bin/sh
# issue NAME DAYS: a certificate of the internal authority for the application
cd /etc/pki
openssl req -newkey rsa:2048 -nodes -keyout live/app/privkey.pem -out app.csr -subj "/CN=$1" 2>/dev/null
printf 'subjectAltName=DNS:%s' "$1" > ext
openssl x509 -req -in app.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days "$2" -out live/app/fullchain.pem 2>/dev/null
chmod 644 live/app/*.pem
X
chmod 755 /usr/local/bin/issue; issue app.internal 90
openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/letsencrypt/live/shop.example/privkey.pem -out /etc/letsencrypt/live/shop.example/fullchain.pem -days 90 -subj '/CN=shop.example' 2>/dev/null
systemctl enable --now app
until curl -fsk -o /dev/null https://127.0.0.1:8443/; do sleep 0.1; done
"""
TLS_UNIT = """[Unit]
After=network.target
[Service]
User=www-data
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn --worker-class gthread --threads 4 --certfile /etc/pki/live/app/fullchain.pem --keyfile /etc/pki/live/app/privkey.pem --bind 127.0.0.1:8443 api:application
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
TLS_SITE = """
    listen 443 ssl;
    ssl_certificate /etc/letsencrypt/live/shop.example/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/shop.example/privkey.pem;
    location / {
        proxy_ssl_verify on;
        proxy_ssl_name app.internal;
        proxy_ssl_server_name on;
        proxy_ssl_trusted_certificate /etc/pki/ca.pem;
        proxy_connect_timeout 3s;
        proxy_read_timeout 6s;
        proxy_pass https://127.0.0.1:8443;
    }
"""
TLS_AT = frozenset({"127.0.0.1:8443"})
TLS_FAULTS = (
    Fault(
        id="tls-backend-expired",
        happens="the application's certificate has expired; nobody renewed it",
        steps="issue app.internal 0; sleep 1.1; systemctl restart app",
        expects=causes("tls-verify-failed"),
        targets=TLS_AT,
    ),
    Fault(
        id="tls-backend-renamed",
        happens="the application's certificate is renewed for another name",
        steps="issue app2.internal 90; systemctl restart app",
        expects=causes("tls-verify-failed"),
        targets=TLS_AT,
    ),
    Fault(
        id="tls-authority-replaced",
        happens="the internal authority is replaced; nginx trusts the old one",
        steps="cp /etc/pki/ca.pem /etc/pki/trusted.pem; sed -i s#/etc/pki/ca.pem#/etc/pki/trusted.pem# /etc/nginx/sites-available/shop; nginx -s reload; cd /etc/pki; "
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=New CA' 2>/dev/null; issue app.internal 90; systemctl restart app",
        expects=causes("tls-verify-failed"),
        targets=TLS_AT,
    ),
    Fault(
        id="tls-backend-plain",
        happens="the application is started without its certificate and speaks plain HTTP",
        steps="sed -i 's/--certfile [^ ]* --keyfile [^ ]*//' /etc/systemd/system/app.service; systemctl daemon-reload; systemctl restart app",
        expects=causes("wrong-protocol"),
        partly=causes("tls-handshake-failed"),
        targets=TLS_AT,
    ),
    Fault(
        id="tls-protocol-too-old",
        happens="proxy_ssl_protocols TLSv1 from an old guide",
        steps="sed -i 's/proxy_ssl_verify on;/proxy_ssl_verify on; proxy_ssl_protocols TLSv1;/' /etc/nginx/sites-available/shop; systemctl reload nginx",
        expects=causes("tls-handshake-failed"),
        targets=TLS_AT,
    ),
    Fault(
        id="tls-backend-key-unreadable",
        happens="the renewed key is readable by root only; the application runs and fails at each handshake",
        steps="issue app.internal 90; chmod 600 /etc/pki/live/app/privkey.pem; systemctl restart app || true",
        expects=causes("tls-handshake-failed"),
        partly=causes("backend-startup-failure", "premature-close"),
        targets=TLS_AT,
    ),
    Fault(
        id="tls-front-certificate-deleted",
        happens="certbot delete removed the site's certificate; nginx does not start after a restart",
        steps="rm -r /etc/letsencrypt/live/shop.example; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
)

DNS_SITE = """
server {
    listen 80 default_server;
    access_log /var/log/nginx/shop.access.log;
    error_log /var/log/nginx/shop.error.log;
    location / {
        resolver 127.0.0.1 valid=2s ipv6=off;
        resolver_timeout 3s;
        set $app app.internal;
        proxy_connect_timeout 3s;
        proxy_pass http://$app:9101;
    }
    location /fixed/ {
        proxy_connect_timeout 3s;
        proxy_pass http://fixed.app.internal:9101/;  # a name of its own: one that is known from the start is never asked for again
    }
}
"""
DNS_FILES = {
    "/srv/api/api.py": API,
    "/etc/api.env": "BIND=127.0.0.2:9101\n",
    "/etc/systemd/system/api.service": "[Service]\nUser=www-data\nWorkingDirectory=/srv/api\nEnvironmentFile=/etc/api.env\nExecStart=/opt/venv/bin/gunicorn --threads 4 --bind ${BIND} api:application\n",
    "/etc/dnsmasq.d/app.conf": "listen-address=127.0.0.1\nbind-interfaces\nno-resolv\naddress=/app.internal/127.0.0.2\naddress=/cache.internal/127.0.0.9\n",
    "/etc/nginx/sites-available/shop": DNS_SITE,
}
DNS_FAULTS = (
    Fault(
        id="dns-dnsmasq-stopped",
        happens="dnsmasq is stopped; nginx cannot resolve the name of a variable",
        steps="systemctl stop dnsmasq",
        expects=causes("dns-resolver-failure"),
        partly=causes("dns-host-not-found"),
    ),
    Fault(
        id="dns-record-removed",
        happens="the record is removed from dnsmasq",
        steps="sed -i 's#^address=/app.internal.*#address=/app.internal/#; ' /etc/dnsmasq.d/app.conf; sed -i 's#^address=/app.internal/$#local=/internal/#' /etc/dnsmasq.d/app.conf; systemctl restart dnsmasq",
        expects=causes("dns-host-not-found"),
        partly=causes("dns-resolver-failure"),
    ),
    Fault(
        id="dns-moved-stale",
        happens="the application moves to another address and its record with it; the route with a fixed name keeps the old one",
        steps="sed -i s/127.0.0.2/127.0.0.3/ /etc/dnsmasq.d/app.conf /etc/api.env; systemctl restart dnsmasq api",
        routes=(Route(path="/fixed/", weight=8),),
        expects=causes("stale-dns"),
        partly=causes("backend-not-running", "wrong-address"),
        targets=frozenset({"127.0.0.2:9101"}),
    ),
    Fault(
        id="dns-dropped",
        happens="a rule drops DNS, also on the loopback",
        steps=DROP.format(rule="udp dport 53 drop"),
        expects=causes("dns-resolver-failure"),
        partly=causes("connect-timeout"),
    ),
    Fault(
        id="dns-resolver-line-lost",
        happens="the resolver line is lost in a merge",
        steps="sed -i '/resolver/d' /etc/nginx/sites-available/shop; systemctl reload nginx",
        expects=causes("resolver-missing"),
        partly=causes("dns-host-not-found"),
    ),
)

REMOTE_SITE = """
    location / {
        proxy_connect_timeout 4s;
        proxy_read_timeout 6s;
        proxy_pass http://203.0.113.1:9000;
    }
"""
REMOTE = """
cat > /run/remote.py <<'X'
import http.server, socketserver
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"remote " * 50
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
Server(("203.0.113.1", 9000), App).serve_forever()
X
python3 /run/remote.py >/dev/null 2>&1 &
"""
REMOTE_AT = frozenset({"203.0.113.1:9000"})
REMOTE_PID = "$(ss -ltnpH 'sport = :9000' | sed 's/.*pid=\\([0-9]*\\).*/\\1/')"
OUTSIDE_RULE = "nft add table inet filter; nft 'add chain inet filter input {{ type filter hook input priority 0; }}'; nft add rule inet filter input tcp dport 9000 {rule}"
REMOTE_FAULTS = (
    Fault(
        id="remote-stopped",
        happens="the application on the other host is stopped",
        steps="true",
        outside=f"kill {REMOTE_PID}",
        expects=causes("backend-not-running"),
        partly=causes("connect-rejected"),
        targets=REMOTE_AT,
    ),
    Fault(
        id="remote-frozen",
        happens="the application on the other host stands still",
        steps="true",
        outside=f"kill -STOP {REMOTE_PID}",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow"),
        targets=REMOTE_AT,
    ),
    Fault(
        id="remote-firewall-drops",
        happens="the other host's firewall drops",
        steps="true",
        outside=OUTSIDE_RULE.format(rule="drop"),
        expects=causes("connect-timeout", "network-policy-denies"),
        targets=REMOTE_AT,
    ),
    Fault(
        id="remote-firewall-rejects",
        happens="the other host's firewall rejects (admin-prohibited)",
        steps="true",
        outside=OUTSIDE_RULE.format(rule="reject with icmpx admin-prohibited"),
        expects=causes("connect-rejected", "network-policy-denies"),
        partly=causes("host-unreachable"),
        targets=REMOTE_AT,
    ),
    Fault(
        id="remote-ufw-denies-outgoing",
        happens="ufw is set to deny outgoing traffic on the proxy's machine, ports 53, 80 and 443 allowed",
        steps="ufw default deny outgoing; ufw allow 80/tcp; ufw allow out 53,80,443/tcp; ufw --force enable",
        expects=causes("connect-timeout", "network-policy-denies", "connect-rejected"),
        targets=REMOTE_AT,
    ),
    Fault(
        id="remote-route-lost",
        happens="the address of the other host is routed to nowhere after a network change",
        steps="ip route add unreachable 203.0.113.1/32",
        expects=causes("host-unreachable"),
        targets=REMOTE_AT,
        failures=8,
    ),
)

STACKS = (
    Stack(
        name="stream",
        about="nginx's stream in front of a TCP service",
        files={**API_FILES, "/etc/nginx/sites-available/shop": site(STATIC), "/root/stream.conf": STREAM},
        setup=API_ON + "cat /root/stream.conf >> /etc/nginx/nginx.conf\n" + ENABLE_SITE,
        routes=(HOME, Route(path="/tcp", port=81, weight=6)),
        faults=STREAM_FAULTS,
        calms=(Calm(id="stream-quiet-day", happens="ordinary traffic, a reload", steps="systemctl reload nginx", seconds=8),),
    ),
    Stack(
        name="grpc",
        about="gRPC, unary and streaming, behind nginx",
        files={
            "/srv/api/orders.py": GRPC,
            "/srv/api/client.py": GRPC_CLIENT,
            "/etc/systemd/system/orders.service": UNIT.format(name="orders", script="orders.py"),
            "/etc/systemd/system/orders-client.service": UNIT.format(name="orders-client", script="client.py"),
            "/etc/nginx/sites-available/shop": site(STATIC) + GRPC_SITE,
        },
        setup="systemctl enable --now orders\n"
        + ENABLE_SITE
        + "systemctl start orders-client\nuntil test $(cat /run/orders-client/done) -ge 4; do sleep 0.2; done\n"
        "test $(cat /run/orders-client/failed) -le 2; truncate -s 0 /var/log/nginx/*.log; systemctl restart orders-client; until test $(cat /run/orders-client/done) -ge 2; do sleep 0.2; done",
        routes=(HOME,),
        faults=GRPC_FAULTS,
        calms=(Calm(id="grpc-quiet-day", happens="ordinary traffic", seconds=10),),
    ),
    Stack(
        name="websocket",
        about="a WebSocket service behind nginx",
        files={
            "/srv/api/chat.py": WEBSOCKET,
            "/srv/api/idle.py": IDLE_CLIENT,
            "/etc/systemd/system/chat.service": UNIT.format(name="chat", script="chat.py"),
            "/etc/systemd/system/idle.service": UNIT.format(name="idle", script="idle.py"),
            "/etc/nginx/sites-available/shop": site(STATIC + WEBSOCKET_SITE),
        },
        setup="systemctl enable --now chat\n" + ENABLE_SITE,
        routes=(HOME, Route(path="/ws", websocket=True, expect=(101,), weight=4)),
        faults=WEBSOCKET_FAULTS,
        calms=(Calm(id="websocket-quiet-day", happens="ordinary traffic", seconds=12),),
    ),
    Stack(
        name="tls",
        about="nginx with a certificate of certbot's layout in front of an application that speaks TLS, verified",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/app.service": TLS_UNIT,
            "/etc/nginx/sites-available/shop": site(TLS_SITE),
        },
        setup=TLS_SETUP + ENABLE_SITE,
        routes=(HOME, Route(path="/about", port=443, tls=True, weight=3)),
        faults=TLS_FAULTS,
        calms=(
            Calm(
                id="tls-renewal",
                happens="certbot renews the site's certificate, and nginx reloads",
                steps="cd /etc/letsencrypt/live/shop.example; openssl req -x509 -newkey rsa:2048 -nodes -keyout new.key -out new.pem -days 90 -subj /CN=shop.example 2>/dev/null; "
                "mv new.key privkey.pem; mv new.pem fullchain.pem; systemctl reload nginx",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="dns",
        about="nginx asks dnsmasq for the application's address",
        files=DNS_FILES,
        setup="systemctl start dnsmasq api\nuntil curl -fs -o /dev/null http://127.0.0.2:9101/; do sleep 0.1; done\n"
        + ENABLE_SITE,
        routes=(HOME, Route(path="/about", weight=3)),
        faults=DNS_FAULTS,
        calms=(
            Calm(
                id="dns-cache-cleared",
                happens="dnsmasq clears its cache, nginx reloads",
                steps="systemctl kill -s HUP dnsmasq; systemctl reload nginx",
                seconds=8,
            ),
        ),
    ),
    Stack(
        name="remote",
        about="nginx in front of an application on another host",
        files={"/etc/nginx/sites-available/shop": site(REMOTE_SITE)},
        setup=ENABLE_SITE,
        remote=REMOTE,
        routes=(HOME, Route(path="/about", weight=3)),
        faults=REMOTE_FAULTS,
        calms=(Calm(id="remote-quiet-day", happens="ordinary traffic", seconds=8),),
    ),
)
