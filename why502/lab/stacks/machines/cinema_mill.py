"""HAProxy of Debian's configuration in front of Flask, Fastify and Caddy; and nginx in front of Caddy, HAProxy and Apache, each a gateway again."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
DOWN = causes("all-upstreams-down", "backend-not-running")

CINEMA_WEB = """\
import time
from flask import Flask
app = Flask(__name__)

@app.get("/healthz")
def health():
    return "ok"

@app.get("/")
def home():
    return "film " * 200

@app.get("/trailer")
def trailer():
    time.sleep(6)
    return "trailer " * 200

@app.get("/programme")
def programme():
    time.sleep(20)
    return "programme " * 200
"""
CINEMA_WEB_UNIT = """[Unit]
Description=Cinema web on port %i
After=network.target

[Service]
User=cinema
WorkingDirectory=/srv/cinema
ExecStart=/opt/venv/bin/gunicorn --threads 8 --bind 127.0.0.1:%i web:app
Restart=always

[Install]
WantedBy=multi-user.target
"""
CINEMA_SEATS = """\
const fastify = require('/opt/node/node_modules/fastify')({ logger: { level: 'error' } });
const { createClient } = require('/opt/node/node_modules/redis');
const redis = createClient({ url: 'redis://127.0.0.1:6380', disableOfflineQueue: true });
redis.on('error', (error) => fastify.log.error(error));
redis.connect().catch((error) => fastify.log.error(error));
fastify.get('/seats/free', async () => ({ free: 300 - (await redis.incr('asked')) % 300 }));
fastify.get('/seats/plan', async () => 'row '.repeat(200));
fastify.listen({ port: 3000, host: '127.0.0.1' });
"""
CINEMA_SEATS_UNIT = """[Unit]
Description=Cinema seats
Requires=redis-server.service
After=network.target redis-server.service

[Service]
User=cinema
WorkingDirectory=/srv/cinema
ExecStart=/usr/bin/node seats.js
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
CINEMA_SHOP_UNIT = """[Unit]
Description=Cinema shop (static pages)
After=network.target

[Service]
User=cinema
Environment=HOME=/srv/cinema
ExecStart=/usr/bin/caddy file-server --listen 127.0.0.21:8005 --root /srv/cinema/pages
Restart=always

[Install]
WantedBy=multi-user.target
"""
# What follows the configuration that Debian's package brings; its server timeout is made shorter.
CINEMA_HAPROXY = """
frontend www
\tbind *:80
\tbind *:443 ssl crt /etc/haproxy/cinema.pem
\toption forwardfor
\thttp-request set-header X-Forwarded-Proto https if { ssl_fc }
\tuse_backend seats if { path_beg /seats/ }
\tuse_backend shop if { path_beg /shop/ }
\tdefault_backend web

backend web
\tbalance roundrobin
\toption httpchk GET /healthz
\tserver web1 127.0.0.1:8000 check
\tserver web2 127.0.0.1:8001 check

backend seats
\tserver seats1 127.0.0.1:3000 check

backend shop
\tserver shop1 shop.cinema.internal:8005
"""
CINEMA_SETUP = """
echo '127.0.0.21 shop.cinema.internal' >> /etc/hosts
useradd --system cinema; mkdir -p /srv/cinema/pages/shop; echo 'popcorn' > /srv/cinema/pages/shop/list.txt; chown -R cinema: /srv/cinema
cp /etc/redis/redis.conf /root/redis.conf.dpkg-dist; sed -i 's/^port 6379/port 6380/' /etc/redis/redis.conf
systemctl enable -q --now redis-server web@8000 web@8001 seats shop
until curl -fs -o /dev/null http://127.0.0.1:8000/ && curl -fs -o /dev/null http://127.0.0.1:8001/ && curl -fs -o /dev/null http://127.0.0.1:3000/seats/free && curl -fs -o /dev/null http://127.0.0.21:8005/shop/list.txt; do sleep 0.2; done
openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/key -out /root/certificate -days 90 -subj /CN=cinema.example 2>/dev/null; cat /root/certificate /root/key > /etc/haproxy/cinema.pem
sed -i 's/timeout server .*/timeout server  12000/' /etc/haproxy/haproxy.cfg; cat /root/cinema.cfg >> /etc/haproxy/haproxy.cfg
systemctl enable -q --now haproxy
"""
CINEMA = "cinema.example"
WEB_AT = frozenset({"127.0.0.1:8000", "127.0.0.1:8001", "web", "web/web1", "web/web2", "web1", "web2"})
SEATS_AT = frozenset({"127.0.0.1:3000", "seats", "seats/seats1", "seats1"})
SHOP_AT = frozenset({"127.0.0.21:8005", "shop.cinema.internal:8005", "shop", "shop/shop1", "shop1"})
NFTABLES = """\
#!/usr/sbin/nft -f
flush ruleset
table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        icmp type echo-request accept
        tcp dport { 22, 80, 443 } accept
    }
}
"""


def _seen(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=CINEMA, port=443, tls=True, weight=weight)


CINEMA_FAULTS = (
    Fault(
        id="cinema-redis-conffile-of-package",
        happens="apt asks about redis.conf in an upgrade and gets Y: Redis is back on its port 6379, the seats ask 6380 and answer 500",
        steps="cp /root/redis.conf.dpkg-dist /etc/redis/redis.conf; systemctl restart redis-server; until ss -ltn | grep -q :3000; do sleep 0.2; done",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
    ),
    Fault(
        id="cinema-stopped-with-redis",
        happens="Redis is stopped for a look at its file and started again; the seats have Requires=redis-server and were stopped with it, nobody starts them",
        steps="systemctl stop redis-server; sleep 2; systemctl start redis-server",
        expects=causes("backend-not-running"),
        partly=causes("all-upstreams-down"),
        targets=SEATS_AT,
    ),
    Fault(
        id="cinema-premiere",
        happens="forty people look at a trailer of 6 s at a time, the two gunicorns have eight threads each: requests wait until HAProxy's 12 s are over",
        steps="true",
        routes=(_seen("/trailer", 40),),
        users=40,
        limit_s=90.0,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung", "all-upstreams-down", "proxy-timeout-too-short"),
        targets=WEB_AT,
    ),
    Fault(
        id="cinema-firewall-without-loopback",
        happens="nftables.conf from a guide: policy drop, ssh and web allowed, and no rule for the loopback interface: HAProxy reaches nothing any more",
        steps="install -m 755 /root/nftables.conf /etc/nftables.conf; systemctl enable -q --now nftables",
        failures=14,
        expects=causes("connect-timeout", "network-policy-denies"),
        partly=causes("all-upstreams-down"),
    ),
    Fault(
        id="cinema-programme-of-the-year",
        happens="the programme of a whole year is one page that needs 20 s, HAProxy waits for 12",
        steps="true",
        routes=(_seen("/programme"),),
        failures=8,
        limit_s=120.0,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        partly=causes("workers-exhausted", "backend-hung"),
        targets=WEB_AT,
    ),
    Fault(
        id="cinema-shop-moved-by-hosts",
        happens="the shop moves to 127.0.0.22 and /etc/hosts says so; HAProxy looked the name up when it started, and still asks 127.0.0.21",
        steps="sed -i 's/127.0.0.21/127.0.0.22/' /etc/hosts /etc/systemd/system/shop.service; systemctl daemon-reload; systemctl restart shop",
        expects=causes("stale-dns"),
        partly=DOWN | causes("wrong-address", "stale-endpoint"),
        targets=SHOP_AT,
    ),
)

MILL_APP = """\
my $app = sub {
    my ($env) = @_;
    sleep 3 if $env->{PATH_INFO} eq '/grind';
    return [404, ['Content-Type' => 'text/plain'], ['no']] if $env->{PATH_INFO} =~ /wp-/;
    return [200, ['Content-Type' => 'text/plain'], ['flour ' x 200]];
};
"""
MILL_UNIT = """[Unit]
Description=Mill (Starman)
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/mill
ExecStart=/usr/bin/starman --listen 127.0.0.1:5000 --workers 6 app.psgi
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
MILL_API = """\
const key = process.env.API_KEY;
if (!key) { console.error('API_KEY is required, see .env.example'); process.exit(1); }
require('http').createServer((req, res) => {
  res.end(JSON.stringify({ path: req.url, grain: Array(40).fill('rye') }));
}).listen(process.env.PORT, '127.0.0.1');
"""
MILL_API_UNIT = """[Unit]
Description=Mill API on port %i
After=network.target

[Service]
User=www-data
Environment=PORT=%i
EnvironmentFile=/etc/mill.env
ExecStart=/usr/bin/node /srv/mill/api.js
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
MILL_CADDY = """\
http://:8081 {
\tbind 127.0.0.1
\treverse_proxy 127.0.0.1:5000
}
"""
MILL_HAPROXY = """
frontend inner
\tbind 127.0.0.1:8090
\tdefault_backend api

backend api
\toption redispatch
\tserver a 127.0.0.1:3001 check inter 1s
\tserver b 127.0.0.1:3002 check inter 1s
"""
MILL_SITE = """\
server {
    listen 80 default_server;
    listen [::]:80 default_server;
    server_name mill.example;

    location / {
        proxy_pass http://127.0.0.1:8081;
        include proxy_params;
    }
    location /api/ {
        proxy_pass http://127.0.0.1:8090;
        include proxy_params;
    }
    location /cgi-bin/ {
        proxy_pass http://127.0.0.1:8085;
        include proxy_params;
    }
}
"""
MILL_CGI = '#!/usr/bin/perl\nuse strict;\nprint "Content-Type: text/plain\\n\\n";\nprint \'sack \' x 100, "\\n";\n'
MILL_SETUP = """
install -m 644 /root/mill.caddyfile /etc/caddy/Caddyfile; cat /root/mill.cfg >> /etc/haproxy/haproxy.cfg
echo 'Listen 127.0.0.1:8085' > /etc/apache2/ports.conf; sed -i 's/\\*:80/127.0.0.1:8085/' /etc/apache2/sites-available/000-default.conf; chmod 755 /usr/lib/cgi-bin/sacks.pl
a2enmod -q cgid; systemctl enable -q --now mill api@3001 api@3002
for p in 5000/ 3001/ 3002/; do until curl -fs -o /dev/null http://127.0.0.1:$p; do sleep 0.2; done; done
systemctl enable -q --now caddy haproxy apache2
for p in 8081/ 8090/api/ 8085/cgi-bin/sacks.pl; do until curl -fs -o /dev/null http://127.0.0.1:$p; do sleep 0.2; done; done
ln -s /etc/nginx/sites-available/mill /etc/nginx/sites-enabled/mill; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
MILL = "mill.example"
MILL_FAULTS = (
    Fault(
        id="mill-starman-stopped-behind-caddy",
        happens="Starman is stopped; Caddy, which nginx asks, answers 502",
        steps="systemctl stop mill",
        expects=causes("backend-not-running"),
        partly=causes("upstream-error-status"),
        targets=frozenset({"127.0.0.1:5000"}),
    ),
    Fault(
        id="mill-caddyfile-without-brace",
        happens="a line for compression goes into the Caddyfile with a brace that is never closed, and Caddy is restarted: it does not start",
        steps="sed -i 's/\\treverse_proxy/\\tencode {\\n\\treverse_proxy/' /etc/caddy/Caddyfile; systemctl restart caddy || true",
        expects=NO_START | causes("proxy-config-invalid"),
        partly=causes("backend-not-running", "proxy-not-running"),
    ),
    Fault(
        id="mill-key-of-api-missing",
        happens="the release wants API_KEY, the server's file has no such line; both instances end at each start, and the HAProxy between answers 503",
        steps="echo '# none' > /etc/mill.env; systemctl restart api@3001 api@3002; sleep 4",
        expects=NO_START,
        partly=DOWN | causes("upstream-error-status", "backend-crashed"),
        targets=frozenset({"127.0.0.1:3001", "127.0.0.1:3002", "api", "api/a", "api/b", "a", "b"}),
    ),
    Fault(
        id="mill-script-with-carriage-returns",
        happens="a CGI script is edited on Windows and uploaded: `#!/usr/bin/perl` ends with a carriage return, Apache cannot run it and answers 500",
        steps="sed -i 's/$/\\r/' /usr/lib/cgi-bin/sacks.pl",
        expects=OWN_ERROR,
        partly=NO_START | causes("premature-close", "invalid-response", "fastcgi-script-not-found"),
        targets=frozenset({"127.0.0.1:8085"}),
    ),
    Fault(
        id="mill-port-lost-in-proxy-pass",
        happens="the port is lost in a merge: `proxy_pass http://127.0.0.1;` for /api/, which is nginx itself",
        steps="sed -i 's/127.0.0.1:8090/127.0.0.1/' /etc/nginx/sites-available/mill; systemctl reload nginx",
        expects=causes("proxy-loop"),
        partly=causes("worker-connections-exhausted", "request-too-large", "too-many-open-files"),
    ),
)

STACKS = (
    Stack(
        name="cinema",
        about="HAProxy (Debian's configuration, logs in the journal, TLS) in front of two gunicorns, Fastify with Redis, and static pages under a name of /etc/hosts",
        files={
            "/srv/cinema/web.py": CINEMA_WEB,
            "/srv/cinema/seats.js": CINEMA_SEATS,
            "/etc/systemd/system/web@.service": CINEMA_WEB_UNIT,
            "/etc/systemd/system/seats.service": CINEMA_SEATS_UNIT,
            "/etc/systemd/system/shop.service": CINEMA_SHOP_UNIT,
            "/root/cinema.cfg": CINEMA_HAPROXY,
            "/root/nftables.conf": NFTABLES,
        },
        setup=CINEMA_SETUP,
        routes=(_seen("/", 4), _seen("/seats/free", 3), _seen("/seats/plan"), _seen("/shop/list.txt", 2)),
        faults=CINEMA_FAULTS,
        calms=(
            Calm(
                id="cinema-tuesday",
                happens="a trailer of 6 s, Redis saves, HAProxy reloads with the renewed certificate, people leave in the middle; scanners speak plain HTTP to 443",
                steps="redis-cli -p 6380 bgsave >/dev/null; systemctl reload haproxy; for n in 1 2 3; do curl -s -m 2 -o /dev/null http://127.0.0.1:443/ || true; done",
                routes=(_seen("/trailer"), Route(path="/.git/config", host="203.0.113.10")),
                users=6,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="mill",
        about="nginx in front of three other gateways: Caddy (Starman behind it), HAProxy (two processes of Node.js), Apache (CGI in Perl)",
        files={
            "/srv/mill/app.psgi": MILL_APP,
            "/srv/mill/api.js": MILL_API,
            "/etc/mill.env": "API_KEY=k-1\n",
            "/etc/systemd/system/mill.service": MILL_UNIT,
            "/etc/systemd/system/api@.service": MILL_API_UNIT,
            "/root/mill.caddyfile": MILL_CADDY,
            "/root/mill.cfg": MILL_HAPROXY,
            "/usr/lib/cgi-bin/sacks.pl": MILL_CGI,
            "/etc/nginx/sites-available/mill": MILL_SITE,
        },
        setup=MILL_SETUP,
        routes=(
            Route(path="/", host=MILL, weight=4),
            Route(path="/api/grain", host=MILL, weight=3),
            Route(path="/cgi-bin/sacks.pl", host=MILL, weight=2),
        ),
        faults=MILL_FAULTS,
        calms=(
            Calm(
                id="mill-monday",
                happens="all gateways reload with grace, logs rotate, a page of 3 s, bots ask for WordPress, users break off",
                steps="systemctl reload caddy; systemctl reload haproxy; systemctl reload apache2; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
                routes=(
                    Route(path="/grind", host=MILL),
                    Route(path="/wp-admin/", host=MILL),
                    Route(path="/cgi-bin/php", host=MILL),
                ),
                cancels=True,
            ),
            Calm(
                id="mill-one-grinds-alone",
                happens="one of the two processes behind the HAProxy between is away for an upgrade of its host; its requests go to the other one, users notice nothing",
                steps="echo 'disable server api/a' | python3 -c \"import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(sys.stdin.buffer.read()); s.recv(99)\"; "
                "sleep 1; systemctl stop api@3001; sleep 6; systemctl start api@3001",
            ),
        ),
    ),
)
