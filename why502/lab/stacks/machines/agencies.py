"""An agency's host with many sites in snippets, SNI routing with PROXY protocol and client certificates, and nginx as a cache."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

SITES_APP = """\
import os, sqlite3, time

def application(environ, start_response):
    path, name = environ["PATH_INFO"], os.environ.get("SITE", "")
    def say(status, text, *more):
        start_response(status, [("Content-Type", "text/plain"), *more])
        return [text.encode()]
    if name == "auth":
        with sqlite3.connect("/srv/sites/auth.db", timeout=1) as base:
            base.execute("insert into seen values (?)", (environ.get("HTTP_X_ORIGINAL_URI", ""),))
        return say("204 No Content", "")
    if path == "/report":
        time.sleep(4)
    return say("200 OK", (name + " ") * 100)
"""
SITES_UNIT = """[Unit]
Description=Site %i
After=network.target

[Service]
User=www-data
Group=www-data
RuntimeDirectory=sites
WorkingDirectory=/srv/sites
Environment=SITE=%i
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 6 --bind unix:/run/sites/%i.sock farm:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
PORT_UNIT = """[Unit]
Description=Site %i on a port
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/sites
EnvironmentFile=/etc/sites/%i.env
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 6 --bind 127.0.0.1:${PORT} farm:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
UPSTREAMS = """\
upstream cms { server unix:/run/sites/cms.sock; keepalive 8; }
upstream shop { server unix:/run/sites/shop.sock fail_timeout=0; keepalive 8; }
upstream stable { server 127.0.0.1:7001; keepalive 4; }
upstream canary { server 127.0.0.1:7002; keepalive 4; }
split_clients "${remote_addr}${http_user_agent}" $variant { 30% canary; * stable; }
"""
SNIPPET = """\
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header Host $host;
proxy_set_header X-Real-IP $remote_addr;
proxy_connect_timeout 3s;
proxy_read_timeout 30s;
"""
CMS = """\
server {
    listen 80;
    server_name cms.agency.example;
    access_log /var/log/nginx/cms.access.log;
    error_log /var/log/nginx/cms.error.log;
    location /admin/ {
        auth_request /_auth;
        include snippets/agency-proxy.conf;
        proxy_pass http://cms/;
    }
    location = /_auth {
        internal;
        proxy_pass http://127.0.0.1:7010/verify;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header X-Original-URI $request_uri;
    }
    location / {
        include snippets/agency-proxy.conf;
        proxy_pass http://cms;
    }
}
"""
SHOP = """\
server {
    listen 80;
    server_name shop.agency.example;
    access_log /var/log/nginx/shop.access.log;
    error_log /var/log/nginx/shop.error.log;
    location / {
        include snippets/agency-proxy.conf;
        proxy_pass http://shop;
        error_page 502 504 = @old;
    }
    location @old {
        proxy_pass http://127.0.0.1:7020;
    }
}
"""
API_SITE = """\
server {
    listen 80 default_server;
    server_name api.agency.example;
    access_log /var/log/nginx/api.access.log;
    error_log /var/log/nginx/api.error.log;
    location /v2/ {
        rewrite ^/v2/(.*)$ /$1 break;
        include snippets/agency-proxy.conf;
        proxy_pass http://$variant;
    }
}
"""
AGENCY_SETUP = """
python3 -c "import sqlite3; b=sqlite3.connect('/srv/sites/auth.db'); b.execute('create table seen (uri text)'); b.commit()"
chown -R www-data: /srv/sites
systemctl enable --now site@cms site@shop port@stable port@canary port@auth port@old
until test -S /run/sites/cms.sock -a -S /run/sites/shop.sock; do sleep 0.1; done
for p in 7001 7002 7010 7020; do until curl -s -o /dev/null http://127.0.0.1:$p/; do sleep 0.1; done; done
rm -f /etc/nginx/sites-enabled/default
for s in cms shop api; do ln -s ../sites-available/$s /etc/nginx/sites-enabled/$s; done
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
AUTH_AT = frozenset({"127.0.0.1:7010"})
AGENCY_FAULTS = (
    Fault(
        id="agency-canary-stopped",
        happens="an experiment is over and its instance is stopped; split_clients still sends 30 % of the clients there",
        steps="systemctl disable --now port@canary",
        expects=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:7002", "canary"}),
    ),
    Fault(
        id="agency-auth-table-lost",
        happens="the authentication service's SQLite file was replaced by an empty one in a clean-up: it raises, and auth_request gets 500",
        steps="rm /srv/sites/auth.db; sudo -u www-data touch /srv/sites/auth.db",
        expects=causes("auth-service-failed"),
        partly=causes("application-error", "upstream-error-status"),
        targets=AUTH_AT,
    ),
    Fault(
        id="agency-auth-stopped",
        happens="the authentication service is stopped; everything below /admin/ answers 500",
        steps="systemctl stop port@auth",
        expects=causes("auth-service-failed", "backend-not-running"),
        targets=AUTH_AT,
    ),
    Fault(
        id="agency-shared-runtime-directory",
        happens="both sites have RuntimeDirectory=sites: a stop of one (an upgrade) removes the directory, and with it the other's socket; the other runs on",
        steps="systemctl stop site@cms; systemctl start site@cms; until test -S /run/sites/cms.sock; do sleep 0.1; done; systemctl stop port@old",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        limit_s=120,  # nginx's idle connections to the old socket serve on for a minute
        targets=frozenset({"unix:/run/sites/shop.sock", "shop"}),
    ),
    Fault(
        id="agency-fallback-dead-too",
        happens="the shop is stopped for good, and the old shop, to which @old falls back, has been switched off for months",
        steps="systemctl disable --now port@old; systemctl stop site@shop",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=frozenset({"unix:/run/sites/shop.sock", "shop", "127.0.0.1:7020"}),
    ),
    Fault(
        id="agency-snippet-timeout",
        happens="somebody lowers proxy_read_timeout to 2 s in the snippet that all sites include; a report of the shop needs 4 s (its fallback needs 4 s, too)",
        steps="sed -i 's/proxy_read_timeout 30s/proxy_read_timeout 2s/' /etc/nginx/snippets/agency-proxy.conf; "
        "sed -i 's#proxy_pass http://127.0.0.1:7020;#include snippets/agency-proxy.conf; &#' /etc/nginx/sites-available/shop; systemctl reload nginx",
        routes=(Route(path="/report", host="shop.agency.example", weight=4),),
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        targets=frozenset({"unix:/run/sites/shop.sock", "shop", "127.0.0.1:7020"}),
    ),
    Fault(
        id="agency-environment-file-renamed",
        happens="configuration management renames stable.env to stable.env.bak; after a restart the unit has no EnvironmentFile",
        steps="mv /etc/sites/stable.env /etc/sites/stable.env.bak; systemctl restart port@stable || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "backend-crash-loop"),
        targets=frozenset({"127.0.0.1:7001", "stable"}),
    ),
)

SNI_INNER = """\
map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
server {
    listen 127.0.0.1:8443 ssl proxy_protocol;
    server_name www.firm.example;
    ssl_certificate /etc/ssl/firm/www.pem;
    ssl_certificate_key /etc/ssl/firm/www.key;
    set_real_ip_from 127.0.0.1;
    real_ip_header proxy_protocol;
    access_log /var/log/nginx/www.access.log;
    error_log /var/log/nginx/www.error.log;
    location / {
        proxy_pass https://127.0.0.1:9443;
        proxy_ssl_certificate /etc/ssl/firm/edge.pem;
        proxy_ssl_certificate_key /etc/ssl/firm/edge.key;
        proxy_ssl_trusted_certificate /etc/ssl/firm/ca.pem;
        proxy_ssl_verify on;
        proxy_ssl_name app.firm.internal;
        proxy_ssl_server_name on;
        proxy_ssl_session_reuse off;
        proxy_read_timeout 8s;
    }
}
"""
SNI_STREAM = """\
stream {
    log_format sni '$remote_addr [$time_local] $ssl_preread_server_name $upstream_addr $status $bytes_sent $session_time';
    access_log /var/log/nginx/stream.access.log sni;
    error_log /var/log/nginx/stream.error.log;
    map $ssl_preread_server_name $behind {
        www.firm.example web;
        vault.firm.example vault;
        default web;
    }
    upstream web { server 127.0.0.1:8443; }
    upstream vault { server 127.0.0.1:9444; }
    server {
        listen 443;
        ssl_preread on;
        proxy_connect_timeout 3s;
        proxy_timeout 20s;
        proxy_protocol on;
        proxy_pass $behind;
    }
}
"""
VAULT = """\
const fs = require('fs'), net = require('net'), tls = require('tls');
// a TLS service that reads a PROXY line first, as HAProxy's and nginx's streams send it
const secure = tls.createSecureContext({ key: fs.readFileSync('/etc/ssl/firm/www.key'), cert: fs.readFileSync('/etc/ssl/firm/www.pem') });
net.createServer((raw) => {
  raw.on('error', () => {});
  raw.once('data', (first) => {
    const end = first.indexOf('\\r\\n');
    if (!first.subarray(0, 6).equals(Buffer.from('PROXY ')) || end < 0) { console.error('no PROXY header'); return raw.destroy(); }
    raw.pause();
    if (first.length > end + 2) raw.unshift(first.subarray(end + 2));
    const wire = new tls.TLSSocket(raw, { isServer: true, secureContext: secure });
    wire.on('error', () => {});
    wire.on('data', (data) => wire.end('HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\nConnection: close\\r\\n\\r\\nsealed'));
  });
}).listen(9444, '127.0.0.1');
"""
SNI_SETUP = """
mkdir -p /etc/ssl/firm && cd /etc/ssl/firm
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Firm CA' 2>/dev/null
for n in www app edge; do
  openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr -subj "/CN=$n.firm.internal" 2>/dev/null
  printf "subjectAltName=DNS:$n.firm.internal,DNS:$n.firm.example" > ext
  openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 90 -out $n.pem 2>/dev/null
done
chmod 644 app.key www.key
systemctl enable --now backend vault
until ss -ltn | grep -q :9443 && ss -ltn | grep -q :9444; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/www /etc/nginx/sites-enabled/www
cp /root/sni.conf /etc/nginx/modules-enabled/90-sni.conf
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
BACKEND_UNIT = """[Unit]
After=network.target

[Service]
User=www-data
Environment=SITE=www
WorkingDirectory=/srv/sites
ExecStart=/opt/venv/bin/gunicorn -c /srv/sites/tls.py farm:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
TLS_PY = """\
import ssl
bind = "127.0.0.1:9443"
worker_class = "gthread"
threads = 6
certfile, keyfile, ca_certs = "/etc/ssl/firm/app.pem", "/etc/ssl/firm/app.key", "/etc/ssl/firm/ca.pem"
cert_reqs = ssl.CERT_REQUIRED
"""
WWW = Route(path="/", host="www.firm.example", port=443, tls=True, weight=4)
SNI_ROUTES = (WWW, Route(path="/sys", host="vault.firm.example", port=443, tls=True, weight=1))
SNI_WEB = frozenset({"127.0.0.1:8443", "web"})
SNI_APP = frozenset({"127.0.0.1:9443"})
SNI_AGAIN = "systemctl restart backend; until curl -sk -o /dev/null --cert /etc/ssl/firm/edge.pem --key /etc/ssl/firm/edge.key https://127.0.0.1:9443/; do sleep 0.1; done"
SNI_FAULTS = (
    Fault(
        id="sni-inner-loses-proxy-protocol",
        happens="a merge drops `proxy_protocol` from the inner listen; the stream in front still sends the PROXY line before the TLS handshake",
        steps="sed -i 's/8443 ssl proxy_protocol;/8443 ssl;/' /etc/nginx/sites-available/www; systemctl reload nginx",
        expects=causes("wrong-protocol"),
        partly=causes("connection-reset", "premature-close", "tls-handshake-failed"),
        targets=SNI_WEB,
    ),
    Fault(
        id="sni-stream-stops-proxy-protocol",
        happens="`proxy_protocol on` is removed from the stream for a new service; the inner server and the vault still demand it",
        steps="sed -i '/proxy_protocol on;/d' /etc/nginx/modules-enabled/90-sni.conf; systemctl reload nginx",
        expects=causes("wrong-protocol"),
        partly=causes("connection-reset", "premature-close"),
        targets=SNI_WEB | {"127.0.0.1:9444", "vault"},
    ),
    Fault(
        id="sni-vault-stopped",
        happens="the vault is stopped; only its name fails, in the stream",
        steps="systemctl stop vault",
        failures=8,
        expects=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:9444", "vault"}),
    ),
    Fault(
        id="sni-map-line-old-port",
        happens="a template still has the vault's old port in its upstream; the vault runs where it ran",
        steps="sed -i 's/127.0.0.1:9444/127.0.0.1:8200/' /etc/nginx/modules-enabled/90-sni.conf; systemctl reload nginx",
        failures=8,
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:8200", "vault"}),
    ),
    Fault(
        id="sni-client-ca-rotated",
        happens="the application trusts a new client authority only; nginx still presents the certificate of the old one",
        steps="cd /etc/ssl/firm; openssl req -x509 -newkey rsa:2048 -nodes -keyout new.key -out clients.pem -days 3650 -subj '/CN=Clients 2027' 2>/dev/null; "
        "sed -i 's#/etc/ssl/firm/ca.pem#/etc/ssl/firm/clients.pem#' /srv/sites/tls.py; systemctl restart backend; until ss -ltn | grep -q :9443; do sleep 0.1; done",
        expects=causes("tls-handshake-failed", "proxy-client-certificate-unusable"),
        partly=causes("tls-client-certificate-required", "tls-verify-failed", "connection-reset", "premature-close"),
        targets=SNI_APP,
    ),
    Fault(
        id="sni-client-key-not-renewed",
        happens="a renewal job writes edge.pem for a new key and dies before it writes edge.key; nginx restarts at night and refuses its configuration",
        steps="cd /etc/ssl/firm; openssl req -newkey rsa:2048 -nodes -keyout fresh.key -out fresh.csr -subj /CN=edge.firm.internal 2>/dev/null; "
        "openssl x509 -req -in fresh.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -out edge.pem 2>/dev/null; systemctl restart nginx || true",
        expects=causes("proxy-client-certificate-unusable", "proxy-config-invalid"),
        partly=causes("proxy-not-running"),
    ),
    Fault(
        id="sni-protocols-apart",
        happens="the application accepts TLS 1.3 only after hardening; nginx's proxy_ssl_protocols, left from an audit years ago, ends at 1.2",
        steps="sed -i 's/proxy_ssl_verify on;/proxy_ssl_verify on; proxy_ssl_protocols TLSv1.1 TLSv1.2;/' /etc/nginx/sites-available/www; systemctl reload nginx; "
        "printf 'def ssl_context(conf, default):\\n    context = default()\\n    context.minimum_version = ssl.TLSVersion.TLSv1_3\\n    return context\\n' >> /srv/sites/tls.py; "
        + SNI_AGAIN,
        expects=causes("tls-handshake-failed"),
        targets=SNI_APP,
    ),
    Fault(
        id="sni-certificate-of-tomorrow",
        happens="the authority's clock runs a day ahead: the application's renewed certificate is not yet valid",
        steps="cd /etc/ssl/firm; mkdir -p made; touch made/index; echo 77 > made/serial; "
        "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=made/index\\nserial=made/serial\\nnew_certs_dir=made\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' > made/conf; "
        "printf 'subjectAltName=DNS:app.firm.internal' > ext; "
        "openssl ca -batch -config made/conf -cert ca.pem -keyfile ca.key -in app.csr -extfile ext -out app.pem -startdate $(date -u -d tomorrow +%y%m%d%H%M%SZ) -enddate $(date -u -d '+90 days' +%y%m%d%H%M%SZ) 2>/dev/null; "
        "systemctl restart backend; until ss -ltn | grep -q :9443; do sleep 0.1; done",
        expects=causes("tls-verify-failed"),
        targets=SNI_APP,
    ),
)

CACHED = """\
const http = require('http');
const port = Number(process.env.PORT || 3000);
http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://app');
  const say = (status, text, headers = {}) => { response.writeHead(status, { 'Content-Type': 'text/html', ...headers }); response.end(text); };
  if (pathname.startsWith('/news/')) return say(200, 'news '.repeat(200), { 'Cache-Control': 'public, max-age=1' });
  if (pathname.startsWith('/photo/')) return say(200, 'x'.repeat(400000), { 'Cache-Control': 'public, max-age=600' });
  if (pathname.startsWith('/download/')) return say(200, '', { 'X-Accel-Redirect': '/files/' + pathname.split('/').pop() });
  if (pathname === '/slow') return setTimeout(() => say(200, 'slow'), 3000);
  if (pathname === '/comments') { request.resume(); return request.on('end', () => say(200, 'thanks')); }
  say(200, 'hello '.repeat(100), { 'Cache-Control': 'no-store' });
}).listen(port, '127.0.0.1');
"""
CACHED_UNIT = """[Unit]
After=network.target

[Service]
User=www-data
Environment=PORT=%i
ExecStart=/usr/bin/node /srv/press/server.js
Restart=always

[Install]
WantedBy=multi-user.target
"""
CACHE_CONF = """\
proxy_cache_path /var/cache/press levels=1:2 keys_zone=press:4m max_size=2g inactive=60m use_temp_path=off;
limit_req_zone $binary_remote_addr zone=perip:1m rate=60r/s;
limit_conn_zone $binary_remote_addr zone=conns:1m;
log_format cached '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $upstream_cache_status $upstream_response_time';
"""
CACHE_SITE = """\
server {
    listen 80 default_server;
    server_name press.example;
    access_log /var/log/nginx/press.access.log cached;
    error_log /var/log/nginx/press.error.log warn;
    client_max_body_size 1m;
    large_client_header_buffers 4 64k;
    limit_req zone=perip burst=120 nodelay;
    location / {
        mirror /_mirror;
        proxy_cache press;
        proxy_cache_use_stale error timeout updating http_502 http_504;
        proxy_cache_lock on;
        proxy_read_timeout 8s;
        proxy_connect_timeout 3s;
        proxy_pass http://127.0.0.1:3000;
    }
    location /files/ {
        internal;
        alias /srv/press/files/;
    }
    location = /_mirror {
        internal;
        mirror off;
        access_log off;
        proxy_cache off;
        proxy_connect_timeout 2s;
        proxy_pass http://127.0.0.1:3100$request_uri;
    }
}
"""
PRESS = "press.example"
PRESS_AT = frozenset({"127.0.0.1:3000"})
PRESS_FAULTS = (
    Fault(
        id="press-cache-disk-full",
        happens="the cache has a small disk of its own and max_size=2g: it is full, photos are cut or fail",
        steps="systemctl stop nginx; mount -t tmpfs -o size=1m,mode=700,uid=33 press /var/cache/press; dd if=/dev/zero of=/var/cache/press/lost bs=1k count=900 2>/dev/null; systemctl start nginx",
        routes=(Route(path="/photo/1", host=PRESS, weight=4), Route(path="/photo/2", host=PRESS, weight=4)),
        expects=causes("disk-full", "cache-storage-full"),
        partly=causes("proxy-temp-unwritable"),
    ),
    Fault(
        id="press-stopped-behind-stale",
        happens="the application is stopped; the cache serves stale news, so only the rest fails",
        steps="systemctl stop press@3000",
        expects=causes("backend-not-running"),
        targets=PRESS_AT,
    ),
    Fault(
        id="press-mirror-dead",
        happens="the test server that gets a mirror of the traffic is stopped; no user notices, the error log fills",
        steps="systemctl stop press@3100",
        failures=0,
        settle="test $(grep -c 3100 /var/log/nginx/press.error.log) -ge 30",
        expects=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:3100"}),
    ),
    Fault(
        id="press-limit-key-for-all",
        happens="the key of limit_req_zone becomes $server_name in a merge: all users share one allowance",
        steps="sed -i 's/limit_req_zone $binary_remote_addr zone=perip:1m rate=60r/limit_req_zone $server_name zone=perip:1m rate=4r/' /etc/nginx/conf.d/cache.conf; "
        "sed -i 's/burst=120/burst=4/' /etc/nginx/sites-available/press; systemctl restart nginx",
        expects=causes("rate-limited"),
        partly=causes(),
    ),
    Fault(
        id="press-accel-redirect-circle",
        happens="the location /files/ is lost in a merge: X-Accel-Redirect leads to the application, which answers it with X-Accel-Redirect again",
        steps="sed -i '/location .files. {/,/}/d' /etc/nginx/sites-available/press; sed -i \"s#pathname.startsWith('/download/')#/^.(files|download)./.test(pathname)#\" /srv/press/server.js; "
        "systemctl restart press@3000; until curl -fs -o /dev/null http://127.0.0.1:3000/; do sleep 0.1; done; systemctl reload nginx",
        routes=(Route(path="/download/a.pdf", host=PRESS, weight=4),),
        expects=causes("rewrite-cycle"),
        partly=causes("proxy-loop"),
    ),
    Fault(
        id="press-cookies-beyond-node",
        happens="a tracking script lets cookies grow to 24 kB; nginx passes them on, Node.js refuses headers above 16 kB (431)",
        steps="true",
        routes=(Route(path="/account", host=PRESS, weight=4, headers={"Cookie": "t=" + "x" * 24000}),),
        failures=0,
        settle="test $(grep -cE ' (431|400) ' /var/log/nginx/press.access.log) -ge 12",
        expects=causes("request-header-too-big"),
        partly=causes("upstream-error-status", "request-too-large"),
        targets=PRESS_AT,
    ),
    Fault(
        id="press-file-handles",
        happens="worker_rlimit_nofile was set to 24 by a tuning script that meant 24000; under many slow readers the workers have no descriptor left",
        steps="sed -i '1i worker_rlimit_nofile 24;' /etc/nginx/nginx.conf; systemctl reload nginx",
        routes=(Route(path="/slow", host=PRESS, weight=30),),
        users=40,
        failures=20,
        expects=causes("too-many-open-files"),
        partly=causes("worker-connections-exhausted"),
    ),
)

STACKS = (
    Stack(
        name="agency",
        about="an agency's nginx: three sites in files of their own with shared snippets, auth_request, split_clients and a fallback",
        files={
            "/srv/sites/farm.py": SITES_APP,
            "/etc/systemd/system/site@.service": SITES_UNIT,
            "/etc/systemd/system/port@.service": PORT_UNIT,
            "/etc/sites/stable.env": "PORT=7001\nSITE=stable\n",
            "/etc/sites/canary.env": "PORT=7002\nSITE=canary\n",
            "/etc/sites/auth.env": "PORT=7010\nSITE=auth\n",
            "/etc/sites/old.env": "PORT=7020\nSITE=old\n",
            "/etc/nginx/conf.d/upstreams.conf": UPSTREAMS,
            "/etc/nginx/snippets/agency-proxy.conf": SNIPPET,
            "/etc/nginx/sites-available/cms": CMS,
            "/etc/nginx/sites-available/shop": SHOP,
            "/etc/nginx/sites-available/api": API_SITE,
        },
        setup=AGENCY_SETUP,
        routes=(
            Route(path="/", host="cms.agency.example", weight=3),
            Route(path="/admin/pages", host="cms.agency.example", weight=2),
            Route(path="/", host="shop.agency.example", weight=3),
            Route(path="/v2/orders", host="api.agency.example", weight=4),
        ),
        faults=AGENCY_FAULTS,
        calms=(
            Calm(
                id="agency-tuesday",
                happens="a report of 4 s, scanners on the default site, users who break off, rotated logs; an Apache that nobody uses is installed",
                steps="logrotate -f /etc/logrotate.d/nginx; for p in wp-login.php .env phpinfo.php; do curl -s -o /dev/null http://127.0.0.1/$p || true; done; systemctl reload nginx",
                routes=(
                    Route(path="/report", host="shop.agency.example"),
                    Route(path="/.git/config", host="203.0.113.10", expect=(404,)),
                ),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="sni",
        about="nginx's stream routes by SNI with PROXY protocol to an nginx of TLS, which shows a client certificate to the application, and to a vault",
        files={
            "/srv/sites/farm.py": SITES_APP,
            "/srv/sites/tls.py": TLS_PY,
            "/srv/vault.js": VAULT,
            "/etc/systemd/system/backend.service": BACKEND_UNIT,
            "/etc/systemd/system/vault.service": "[Service]\nUser=www-data\nExecStart=/usr/bin/node /srv/vault.js\nRestart=always\n[Install]\nWantedBy=multi-user.target\n",
            "/etc/nginx/sites-available/www": SNI_INNER,
            "/root/sni.conf": SNI_STREAM,
        },
        setup=SNI_SETUP,
        routes=SNI_ROUTES,
        faults=SNI_FAULTS,
        calms=(
            Calm(
                id="sni-renewal-day",
                happens="the application's certificate is renewed under the same key, nginx reloads; port scanners speak plain HTTP and garbage to 443",
                steps="cd /etc/ssl/firm; printf 'subjectAltName=DNS:app.firm.internal' > ext; openssl x509 -req -in app.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 90 -out renewed.pem 2>/dev/null; "
                "mv renewed.pem app.pem; systemctl reload nginx; for n in 1 2 3; do curl -s -m 2 -o /dev/null http://127.0.0.1:443/ || true; echo hello | timeout 1 python3 -c "
                "\"import socket; s=socket.create_connection(('127.0.0.1',443)); s.sendall(b'SSH-2.0-scan'); s.close()\" || true; done",
            ),
        ),
    ),
    Stack(
        name="press",
        about="nginx as a cache with stale answers, a mirror of the traffic and rate limits in front of Node.js",
        files={
            "/srv/press/server.js": CACHED,
            "/srv/press/files/a.pdf": "%PDF-1.4 " * 200,
            "/etc/systemd/system/press@.service": CACHED_UNIT,
            "/etc/nginx/conf.d/cache.conf": CACHE_CONF,
            "/etc/nginx/sites-available/press": CACHE_SITE,
        },
        setup="mkdir -p /var/cache/press; chown www-data: /var/cache/press\nsystemctl enable --now press@3000 press@3100\n"
        "for p in 3000 3100; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.1; done; done\n"
        "rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/press /etc/nginx/sites-enabled/press\nnginx -t 2>/dev/null\nsystemctl enable --now nginx\n",
        routes=(
            Route(path="/", host=PRESS, weight=3),
            Route(path="/news/1", host=PRESS, weight=3),
            Route(path="/download/a.pdf", host=PRESS),
            Route(path="/comments", method="POST", host=PRESS, body_bytes=2000, weight=2),
        ),
        faults=PRESS_FAULTS,
        calms=(
            Calm(
                id="press-quick-restart",
                happens="a quick look at the news while the cache is purged, users break off photos, a page of 3 s; logs rotate",
                steps="find /var/cache/press -type f -delete; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
                routes=(Route(path="/photo/3", host=PRESS, weight=2), Route(path="/slow", host=PRESS)),
                cancels=True,
            ),
        ),
    ),
)
