"""A store of files over WebDAV, a stadium's live ticker with njs and NATS, and a hospital's hosts that have IPv6 only."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")
OWN_ERROR = causes("application-error", "upstream-error-status")

DEPOT_UNIT = """[Unit]
Description=Depot (rclone serve webdav)
After=network.target

[Service]
User=depot
Group=depot
EnvironmentFile=/etc/default/depot
Environment=HOME=/srv/depot
ExecStart=/usr/bin/rclone serve webdav /srv/depot/data $OPTIONS
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
DEPOT_SITE = """\
limit_conn_zone $binary_remote_addr zone=downloads:1m;
upstream depot { server 127.0.0.1:8080; keepalive 8; }
server {
    listen 80 default_server;
    server_name depot.example;
    access_log /var/log/nginx/depot.access.log;
    error_log /var/log/nginx/depot.error.log;
    client_max_body_size 20m;
    client_body_buffer_size 16k;
    client_body_temp_path /var/spool/depot 1;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header Authorization "Basic ZGVwb3Q6c2VjcmV0";
    proxy_connect_timeout 3s;
    proxy_read_timeout 10s;
    location / {
        proxy_pass http://depot;
    }
    location /films/ {
        limit_conn downloads 10;
        limit_rate 1500k;
        proxy_max_temp_file_size 0;
        proxy_pass http://depot;
    }
}
"""
DEPOT_SETUP = """
useradd --system depot
mkdir -p /srv/depot/data/films /srv/depot/data/in /var/spool/depot; chown www-data: /var/spool/depot
head -c 9000000 /dev/urandom > /srv/depot/data/films/film.bin; echo 'read me' > /srv/depot/data/readme.txt
chown -R depot: /srv/depot
printf 'depot:%s\\n' "$(openssl passwd -apr1 secret)" > /etc/depot.htpasswd; chown depot: /etc/depot.htpasswd
systemctl enable --now depot
until curl -fs -o /dev/null -u depot:secret http://127.0.0.1:8080/readme.txt; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/depot /etc/nginx/sites-enabled/depot
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
DEPOT = "depot.example"
DEPOT_AT = frozenset({"127.0.0.1:8080", "depot"})
UPLOAD = Route(path="/in/scan.tif", method="PUT", host=DEPOT, body_bytes=300000, weight=3, expect=(201, 204))
FILM = Route(path="/films/film.bin", host=DEPOT, weight=4)
DEPOT_AGAIN = "; systemctl restart depot; until ss -ltn | grep -q :8080; do sleep 0.1; done"
DEPOT_FAULTS = (
    Fault(
        id="depot-spool-full",
        happens="nginx's directory for request bodies has a small file system of its own, and somebody's archive fills it",
        steps="mount -t tmpfs -o size=200k,mode=700,uid=33 spool /var/spool/depot; dd if=/dev/zero of=/var/spool/depot/archive.tar bs=1k count=198 2>/dev/null || true; systemctl reload nginx",
        expects=causes("disk-full"),
        partly=causes("proxy-temp-unwritable"),
    ),
    Fault(
        id="depot-htpasswd-lost",
        happens="the file of passwords is removed by a rotation of secrets before the new one is there; rclone does not come up after its restart",
        steps="rm /etc/depot.htpasswd; systemctl restart depot || true",
        failures=10,
        expects=causes("backend-startup-failure", "backend-crash-loop", "backend-crashed"),
        partly=causes("backend-not-running", "premature-close", "connection-reset"),
        targets=DEPOT_AT,
    ),
    Fault(
        id="depot-write-timeout",
        happens="--server-write-timeout 2s is added against slow clients; films, which take 6 s at nginx's rate, are cut",
        steps="sed -i 's/\"$/ --server-write-timeout 2s\"/' /etc/default/depot" + DEPOT_AGAIN,
        routes=(FILM,),
        failures=25,
        expects=causes("truncated-response"),
        partly=causes("premature-close", "connection-reset"),
        targets=DEPOT_AT,
    ),
    Fault(
        id="depot-loopback-of-six",
        happens="the new address is localhost:8080 by an edit for readability; it resolves to ::1 first on this machine, nginx asks 127.0.0.1",
        steps="sed -i 's/127.0.0.1:8080/[::1]:8080/' /etc/default/depot" + DEPOT_AGAIN,
        expects=causes("wrong-address"),
        partly=causes("backend-not-running"),
        targets=DEPOT_AT,
    ),
    Fault(
        id="depot-tls-switched-on",
        happens="rclone gets a certificate (encryption in transit), nginx still speaks plain HTTP to it: 400, `Client sent an HTTP request to an HTTPS server`",
        steps="openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/depot.key -out /etc/depot.pem -days 90 -subj /CN=depot.example 2>/dev/null; chown depot: /etc/depot.*; "
        "sed -i 's#\"$# --cert /etc/depot.pem --key /etc/depot.key\"#' /etc/default/depot" + DEPOT_AGAIN,
        failures=0,
        settle="test $(grep -c ' 400 ' /var/log/nginx/depot.access.log) -ge 15",
        expects=causes("wrong-protocol"),
        partly=causes("upstream-error-status"),
        targets=DEPOT_AT,
    ),
    Fault(
        id="depot-frozen-by-snapshot",
        happens="a backup agent stops rclone (SIGSTOP) for a consistent snapshot and dies before it lets it go on",
        steps="systemctl kill -s STOP depot",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow"),
        targets=DEPOT_AT,
    ),
    Fault(
        id="depot-limit-for-all",
        happens="the key of limit_conn_zone becomes $server_name and the limit 2: all users share two downloads of films",
        steps="sed -i 's/limit_conn_zone $binary_remote_addr zone=downloads/limit_conn_zone $server_name zone=perserver/; s/limit_conn downloads 10/limit_conn perserver 2/' /etc/nginx/sites-available/depot; systemctl reload nginx",
        routes=(FILM,),
        expects=causes("rate-limited"),
    ),
)

TICKER = """\
import asyncio, os, time
import tornado.httpserver, tornado.ioloop, tornado.netutil, tornado.web

class Next(tornado.web.RequestHandler):
    async def get(self):
        await asyncio.sleep(4)
        self.write("nothing new")

class Score(tornado.web.RequestHandler):
    def get(self):
        if os.environ.get("RELEASE") == "41":
            raise RuntimeError("no such column: stadium.pitch")
        self.write("2:1 " * 50)

class Replay(tornado.web.RequestHandler):
    async def get(self):
        time.sleep(9)
        self.write("replay")

class Video(tornado.web.RequestHandler):
    def get(self):
        os.abort()

async def main():
    routes = [("/ticker/next", Next), ("/ticker/score", Score), ("/ticker/replay", Replay), ("/ticker/video", Video)]
    server = tornado.httpserver.HTTPServer(tornado.web.Application(routes))
    server.add_sockets(tornado.netutil.bind_sockets(8888, "127.0.0.1", reuse_port=True))
    await asyncio.Event().wait()

asyncio.run(main())
"""
TICKER_UNIT = """[Unit]
Description=Ticker
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/stadium
ExecStart=/opt/venv/bin/python /srv/stadium/ticker.py
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
NATS_UNIT = """[Unit]
Description=NATS
After=network.target

[Service]
User=nats
ExecStart=/usr/sbin/nats-server -c /etc/nats-stadium.conf
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
NATS_CONF = """\
listen: "127.0.0.1:4222"
http: "127.0.0.1:8222"
websocket {
  host: "127.0.0.1"
  port: 9222
  no_tls: true
}
"""
NJS = """\
function gate(r) {
    return r.uri.startsWith('/ticker') ? '127.0.0.1:8888' : '127.0.0.1:8222';
}
function card(r) {
    r.subrequest('/ticker/score').then(reply => r.return(reply.status, 'card ' + reply.responseText));
}
export default { gate, card };
"""
STADIUM_SITE = """\
js_path /etc/nginx/njs/;
js_import tickets from tickets.js;
js_set $gate tickets.gate;
server {
    listen 80 default_server;
    server_name stadium.example;
    access_log /var/log/nginx/stadium.access.log;
    error_log /var/log/nginx/stadium.error.log;
    location /ticker/ {
        proxy_connect_timeout 3s;
        proxy_read_timeout 30s;
        proxy_pass http://$gate;
    }
    location = /card {
        js_content tickets.card;
    }
    location /live {
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header Host $host;
        proxy_connect_timeout 3s;
        proxy_read_timeout 60s;
        proxy_pass http://127.0.0.1:9222;
    }
}
"""
STADIUM_SETUP = """
ln -sf /usr/share/nginx/modules-available/mod-http-js.conf /etc/nginx/modules-enabled/70-mod-http-js.conf
systemctl enable --now ticker stadium-nats
until curl -fs -o /dev/null http://127.0.0.1:8888/ticker/score && ss -ltn | grep -q :9222; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/stadium /etc/nginx/sites-enabled/stadium
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
STADIUM = "stadium.example"
TICKER_AT = frozenset({"127.0.0.1:8888"})
LIVE_AT = frozenset({"127.0.0.1:9222"})
STADIUM_FAULTS = (
    Fault(
        id="stadium-nats-stopped",
        happens="NATS is stopped; the live page's WebSocket fails, the ticker is fine",
        steps="systemctl stop stadium-nats",
        failures=8,
        expects=causes("backend-not-running"),
        targets=LIVE_AT,
    ),
    Fault(
        id="stadium-nats-without-websocket",
        happens="the block websocket is lost in a merge of nats.conf; NATS runs, with its other two listeners only",
        steps="sed -i '/websocket/,/}/d' /etc/nats-stadium.conf; systemctl restart stadium-nats; until ss -ltn | grep -q :8222; do sleep 0.1; done",
        failures=8,
        expects=causes("wrong-port", "backend-not-running"),
        targets=LIVE_AT,
    ),
    Fault(
        id="stadium-nats-wants-tls",
        happens="no_tls is removed in a hardening; NATS ends at its start (websocket requires TLS configuration), systemd tries again and gives up",
        steps="sed -i '/no_tls/d' /etc/nats-stadium.conf; systemctl restart stadium-nats || true",
        failures=8,
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running"),
        targets=LIVE_AT,
    ),
    Fault(
        id="stadium-long-poll-cut",
        happens="proxy_read_timeout is 3 s for all locations after an audit; the long poll of the ticker waits 4 s by design",
        steps="sed -i 's/proxy_read_timeout 30s/proxy_read_timeout 3s/' /etc/nginx/sites-available/stadium; systemctl reload nginx",
        expects=causes("proxy-timeout-too-short"),
        partly=causes("backend-too-slow"),
        targets=TICKER_AT,
    ),
    Fault(
        id="stadium-replay-blocks-loop",
        happens="the replay page computes for 9 s in Tornado's loop; nothing else is served meanwhile, and users who get 8 s of nginx's patience get 504",
        steps="sed -i 's/proxy_read_timeout 30s/proxy_read_timeout 8s/' /etc/nginx/sites-available/stadium; systemctl reload nginx",
        routes=(Route(path="/ticker/replay", host=STADIUM, weight=3),),
        expects=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
        targets=TICKER_AT,
    ),
    Fault(
        id="stadium-njs-module-gone",
        happens="an upgrade to another build of nginx leaves the module of njs behind; nginx does not start again: unknown directive js_path",
        steps="rm /etc/nginx/modules-enabled/70-mod-http-js.conf; systemctl restart nginx || true",
        expects=causes("proxy-module-missing", "proxy-config-invalid"),
        partly=causes("proxy-not-running"),
    ),
    Fault(
        id="stadium-njs-target-without-resolver",
        happens="the script returns the name of a host now (ticker-b) in place of an address; the server has no resolver",
        steps="sed -i \"s/'127.0.0.1:8888'/'ticker-b.internal:8888'/\" /etc/nginx/njs/tickets.js; systemctl reload nginx",
        expects=causes("resolver-missing"),
        partly=causes("proxy-target-invalid", "dns-host-not-found"),
    ),
    Fault(
        id="stadium-video-aborts",
        happens="a decoder aborts the process (SIGABRT) for one video; systemd starts it again after 2 s, everybody's polls break",
        steps="true",
        routes=(Route(path="/ticker/video", host=STADIUM, weight=2),),
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("backend-not-running", "premature-close", "connection-reset"),
        targets=TICKER_AT,
    ),
    Fault(
        id="stadium-old-release-left",
        happens="an operator tried last year's release by hand and left it running: with SO_REUSEPORT it gets half of the connections, and answers 500",
        steps="systemd-run -q --unit=try --uid=www-data --setenv=RELEASE=41 --working-directory=/srv/stadium /opt/venv/bin/python /srv/stadium/ticker.py",
        expects=OWN_ERROR | causes("port-conflict"),
        targets=TICKER_AT,
    ),
)

WARD_SITE = """\
upstream beds { server [fd00:70::1]:8080; }
server {
    listen 80 default_server;
    server_name ward.example;
    access_log /var/log/nginx/ward.access.log;
    error_log /var/log/nginx/ward.error.log;
    resolver 127.0.0.1 valid=2s;
    resolver_timeout 3s;
    proxy_connect_timeout 4s;
    proxy_read_timeout 8s;
    location /beds {
        proxy_pass http://beds;
    }
    location /staff {
        set $staff staff.hospital.internal;
        proxy_pass http://$staff:8080;
    }
    location /labs {
        proxy_pass http://labs.hospital.internal:8080;
    }
}
"""
WARD_DNS = """\
no-resolv
no-hosts
local=/hospital.internal/
host-record=staff.hospital.internal,fd00:70::1
host-record=labs.hospital.internal,fd00:70::3
"""
WARD_SETUP = """
ip -6 addr add fd00:70::10/64 dev host0 nodad
until curl -fs -g -o /dev/null http://[fd00:70::1]:8080/staff && curl -fs -g -o /dev/null http://[fd00:70::3]:8080/labs; do sleep 0.1; done
systemctl enable --now dnsmasq
until getent ahostsv6 labs.hospital.internal >/dev/null; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/ward /etc/nginx/sites-enabled/ward
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
WARD_REMOTE = r"""
mkdir -p /tmp/ward && mount -t tmpfs -o mode=755 ward /tmp/ward && cd /tmp/ward
cable=$(ip -o link | grep -o 've-[^@:]*' | head -n 1)
for n in 1 3; do ip -6 addr add fd00:70::$n/64 dev $cable nodad; done
echo $cable > cable
cat > serve.py <<'S'
import http.server, socket, sys
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        text = b"bed " * (20000 if self.path.startswith("/beds") else 50)
        self.send_response(200); self.send_header("Content-Length", str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *parts): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 64
Server((sys.argv[1], 8080), Page).serve_forever()
S
for a in fd00:70::1 fd00:70::3; do (exec python3 serve.py $a >/dev/null 2>&1 </dev/null & echo $! > pid-$a; wait) >/dev/null 2>&1 & done
until curl -fs -g -o /dev/null http://[fd00:70::1]:8080/ && curl -fs -g -o /dev/null http://[fd00:70::3]:8080/; do sleep 0.1; done
"""
WARD = "ward.example"
BEDS_AT = frozenset({"[fd00:70::1]:8080", "beds"})
STAFF_AT = frozenset({"staff.hospital.internal", "staff.hospital.internal:8080", "[fd00:70::1]:8080"})
LABS_AT = frozenset({"labs.hospital.internal", "labs.hospital.internal:8080", "[fd00:70::3]:8080"})
WARD_FAULTS = (
    Fault(
        id="ward-ipv6-switched-off",
        happens="a hardening guide's sysctl (net.ipv6.conf.all.disable_ipv6 = 1) is applied; the hospital's hosts have nothing else",
        steps="sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
        expects=causes("host-unreachable"),
        targets=BEDS_AT | STAFF_AT | LABS_AT,
    ),
    Fault(
        id="ward-resolver-without-six",
        happens="ipv6=off is added to the resolver line, as every guide against `network unreachable` says; the names have AAAA records only",
        steps="sed -i 's/valid=2s;/valid=2s ipv6=off;/' /etc/nginx/sites-available/ward; systemctl reload nginx",
        expects=causes("dns-host-not-found"),
        targets=STAFF_AT,
    ),
    Fault(
        id="ward-icmp6-dropped",
        happens="the new firewall drops ICMP, of version 6 too, and with it the neighbour discovery: no host of the network can be found",
        steps="nft 'table inet firewall { chain in { type filter hook input priority 0; meta l4proto ipv6-icmp drop; }; }'; ip -6 neigh flush dev host0",
        expects=causes("host-unreachable", "network-policy-denies", "connect-timeout"),
        targets=BEDS_AT | STAFF_AT | LABS_AT,
    ),
    Fault(
        id="ward-beds-on-four-only",
        happens="the service of beds and staff is back after an upgrade with its default, which listens on IPv4 only",
        steps="true",
        outside="kill $(cat /tmp/ward/pid-fd00:70::1); cd /tmp/ward; (exec python3 serve.py 203.0.113.1 >/dev/null 2>&1 </dev/null &); until curl -fs -o /dev/null http://203.0.113.1:8080/; do sleep 0.1; done",
        expects=causes("backend-not-running", "wrong-address"),
        targets=BEDS_AT | STAFF_AT,
    ),
    Fault(
        id="ward-other-side-prohibits",
        happens="the other host's firewall answers with ICMPv6 administratively prohibited; connect() says Permission denied, and no SELinux is near",
        steps="true",
        outside="nft 'table ip6 wall { chain in { type filter hook input priority 0; ip6 daddr fd00:70::1 tcp dport 8080 reject with icmpv6 type admin-prohibited; }; }'",
        expects=causes("connect-rejected", "network-policy-denies"),
        targets=BEDS_AT | STAFF_AT,
    ),
    Fault(
        id="ward-labs-renumbered",
        happens="the laboratory moves to another address, its record with it; nginx resolved the name when it was started",
        steps="sed -i 's/fd00:70::3/fd00:70::4/' /etc/dnsmasq.d/ward.conf; systemctl restart dnsmasq",
        outside="cd /tmp/ward; ip -6 addr add fd00:70::4/64 dev $(cat cable) nodad; (exec python3 serve.py fd00:70::4 >/dev/null 2>&1 </dev/null &); "
        "until curl -fs -g -o /dev/null http://[fd00:70::4]:8080/; do sleep 0.1; done; kill $(cat pid-fd00:70::3); ip -6 addr del fd00:70::3/64 dev $(cat cable)",
        failures=8,
        expects=causes("stale-dns"),
        partly=causes("host-unreachable", "connect-timeout"),
        targets=LABS_AT | causes("[fd00:70::4]:8080"),
    ),
    Fault(
        id="ward-address-lost",
        happens="a restart of the network leaves host0 without its IPv6 address (static lines were in the wrong file)",
        steps="ip -6 addr del fd00:70::10/64 dev host0",
        expects=causes("host-unreachable"),
        targets=BEDS_AT | STAFF_AT | LABS_AT,
    ),
    Fault(
        id="ward-bind-of-four",
        happens="proxy_bind 203.0.113.10 is added for a partner's allow list at the server's level; the hospital's hosts are of the other family",
        steps="sed -i 's/proxy_connect_timeout 4s;/proxy_connect_timeout 4s; proxy_bind 203.0.113.10;/' /etc/nginx/sites-available/ward; systemctl reload nginx",
        expects=causes("proxy-bind-failed"),
        partly=causes("wrong-address"),
    ),
    Fault(
        id="ward-path-mtu",
        happens="a tunnel on the way drops packets above 1280 octets and tells nobody: small answers pass, the list of beds stands still after its header",
        steps="true",
        outside="nft 'table ip6 tunnel { chain out { type filter hook output priority 0; ip6 daddr fd00:70::10 tcp sport 8080 meta length gt 1300 drop; }; }'",
        failures=8,
        expects=causes("connection-lost"),
        partly=causes("backend-hung", "backend-too-slow", "truncated-response"),
        targets=BEDS_AT,
    ),
)

STACKS = (
    Stack(
        name="depot",
        about="rclone (Go) as a store of files over WebDAV behind nginx: uploads, and downloads at a limited rate",
        files={
            "/etc/systemd/system/depot.service": DEPOT_UNIT,
            "/etc/default/depot": 'OPTIONS="--addr 127.0.0.1:8080 --htpasswd /etc/depot.htpasswd"\n',
            "/etc/nginx/sites-available/depot": DEPOT_SITE,
        },
        setup=DEPOT_SETUP,
        routes=(Route(path="/readme.txt", host=DEPOT, weight=3), UPLOAD),
        faults=DEPOT_FAULTS,
        calms=(
            Calm(
                id="depot-large-files",
                happens="films at a limited rate, users who break off, an upload that is too large (413), wrong names (404)",
                steps="head -c 25000000 /dev/zero > /tmp/big; for n in 1 2 3; do curl -s -o /dev/null -m 5 -T /tmp/big http://127.0.0.1/in/big.bin || true; done; timeout 1 curl -s -o /dev/null --limit-rate 200k -T /tmp/big http://127.0.0.1/in/slow.bin || true",
                routes=(FILM, Route(path="/in/nothing.txt", host=DEPOT, expect=(404,))),
                cancels=True,
            ),
            Calm(
                id="depot-full-by-design",
                happens="the disk of an unrelated backup is full and its timer's unit fails; logs rotate, nginx reloads",
                steps="mkdir -p /srv/backup; mount -t tmpfs -o size=64k backup /srv/backup; systemd-run -q --unit=backup dd if=/dev/zero of=/srv/backup/all bs=1k || true; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
            ),
        ),
    ),
    Stack(
        name="stadium",
        about="a Tornado ticker with long polls, NATS over WebSocket and njs that chooses the target, behind nginx",
        files={
            "/srv/stadium/ticker.py": TICKER,
            "/etc/systemd/system/ticker.service": TICKER_UNIT,
            "/etc/systemd/system/stadium-nats.service": NATS_UNIT,
            "/etc/nats-stadium.conf": NATS_CONF,
            "/etc/nginx/njs/tickets.js": NJS,
            "/etc/nginx/sites-available/stadium": STADIUM_SITE,
        },
        setup=STADIUM_SETUP,
        routes=(
            Route(path="/ticker/score", host=STADIUM, weight=3),
            Route(path="/card", host=STADIUM, weight=2),
            Route(path="/ticker/next", host=STADIUM, weight=2),
            Route(path="/live", host=STADIUM, weight=2, websocket=True, expect=(101,)),
        ),
        faults=STADIUM_FAULTS,
        calms=(
            Calm(
                id="stadium-match-day",
                happens="long polls, WebSockets that come and go, users who break off, a reload of nginx with a new script, scanners get 404",
                steps="echo '// release 43' >> /etc/nginx/njs/tickets.js; systemctl reload nginx; for p in .env cgi-bin/; do curl -s -o /dev/null http://127.0.0.1/$p; done",
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="ward",
        about="nginx in front of hosts that have IPv6 only: by address, by a name in a variable, by a name resolved at the start",
        files={"/etc/nginx/sites-available/ward": WARD_SITE, "/etc/dnsmasq.d/ward.conf": WARD_DNS},
        setup=WARD_SETUP,
        routes=(
            Route(path="/beds", host=WARD, weight=3),
            Route(path="/staff", host=WARD, weight=3),
            Route(path="/labs", host=WARD, weight=2),
        ),
        faults=WARD_FAULTS,
        remote=WARD_REMOTE,
        calms=(
            Calm(
                id="ward-visiting-hours",
                happens="dnsmasq is restarted, neighbours are learnt again, a host of the same network is pinged that is not there, nginx reloads",
                steps="ip -6 neigh flush dev host0; ping -6 -c 2 -W 1 fd00:70::99 >/dev/null || true; sed -i 's/host-record=staff/host-record=rooms.hospital.internal,fd00:70::1\\nhost-record=staff/' /etc/dnsmasq.d/ward.conf; systemctl reload nginx",
            ),
        ),
    ),
)
