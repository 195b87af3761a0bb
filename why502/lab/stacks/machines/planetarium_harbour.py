"""Varnish in front of HAProxy in front of Bottle, and HAProxy in TCP mode (by SNI) in front of Apache with TLS and of Hypercorn."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

PLANETARIUM_APP = """\
import hashlib, os, time
import bottle, psycopg2

def rows(words):
    base = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=5)
    try:
        with base, base.cursor() as cursor:
            cursor.execute(words)
            return cursor.fetchall()
    finally:
        base.close()

@bottle.get("/alive")
def alive():
    return "alive"

@bottle.get("/")
@bottle.get("/programme")
def shows():
    return {"shows": [row[0] for row in rows(os.environ.get("SHOWS", "select title from shows order by id limit 30"))]}

@bottle.get("/stars")
def stars():
    return "a star and another " * 90

@bottle.get("/ticket")
def ticket():
    return {"ticket": rows("select encode(digest('seat ' || max(id), 'sha256'), 'hex') from shows")[0][0]}

@bottle.get("/orbit")
def orbit():
    time.sleep(1.1)
    return "around and around " * 60

@bottle.get("/export")
def export():
    bottle.response.content_type = "text/csv"
    def lines():
        for n in range(3):
            yield "date,seat,price\\n" * 400
            if n:
                time.sleep(9)
    return lines()

application = bottle.default_app()
"""
PLANETARIUM_UNIT = """[Unit]
Description=Planetarium on port %i
After=network.target postgresql.service

[Service]
User=stars
WorkingDirectory=/srv/planetarium
EnvironmentFile=/etc/planetarium.env
ExecStart=/opt/venv/bin/waitress-serve --listen=127.0.0.1:%i --threads=24 app:application
StandardOutput=append:/var/log/planetarium/%i.log
StandardError=append:/var/log/planetarium/%i.log

[Install]
WantedBy=multi-user.target
"""
PLANETARIUM_ROTATE = """\
/var/log/planetarium/*.log {
    daily
    rotate 7
    missingok
    notifempty
    create 640 stars adm
    sharedscripts
    postrotate
        true
    endscript
}
"""
PLANETARIUM_VCL = """\
vcl 4.1;

backend default {
    .host = "127.0.0.1";
    .port = "8000";
    .connect_timeout = 3s;
    .first_byte_timeout = 20s;
    .between_bytes_timeout = 20s;
}

sub vcl_recv {
    unset req.http.Cookie;
    if (req.url ~ "^/(programme|ticket|export|orbit)") {
        return (pass);
    }
}

sub vcl_backend_response {
    set beresp.ttl = 1s;
    set beresp.grace = 0s;
    if (beresp.status >= 500) {
        set beresp.uncacheable = true;
    }
    if (bereq.url ~ "^/export") {
        set beresp.do_stream = true;
    }
}
"""
PLANETARIUM_VARNISH_UNIT = """[Service]
ExecStart=
ExecStart=/usr/sbin/varnishd -j unix,user=vcache -F -a :80 -T localhost:6082 -f /etc/varnish/default.vcl -S /etc/varnish/secret -s malloc,64m
"""
HAPROXY_HEAD = """\
global
    log /dev/log local0
    log /dev/log local1 notice
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user haproxy
    group haproxy
    daemon

"""
PLANETARIUM_HAPROXY = (
    HAPROXY_HEAD
    + """\
defaults
    log     global
    mode    http
    option  httplog
    option  dontlognull
    option  forwardfor
    timeout connect 4s
    timeout client  60s
    timeout server  30s

frontend inside
    bind 127.0.0.1:8000
    default_backend stars

backend stars
    balance roundrobin
    option httpchk GET /alive
    default-server inter 2s fall 2 rise 2
    server one 127.0.0.1:8101 check
    server two 127.0.0.1:8102 check
"""
)
PLANETARIUM_SETUP = """
useradd --system stars; mkdir -p /var/log/planetarium; chown stars:adm /var/log/planetarium
systemctl enable -q --now rsyslog; systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role stars login password 'hunter22'" -c "create database stars owner stars"
sudo -u postgres psql -q stars -c "create extension pgcrypto"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U stars stars -c "create table shows (id serial primary key, title text)" -c "insert into shows (title) select 'show ' || n from generate_series(1, 300) n"
systemctl daemon-reload; systemctl enable -q --now planetarium@8101 planetarium@8102
for p in 8101 8102; do until curl -fs -o /dev/null http://127.0.0.1:$p/alive; do sleep 0.2; done; done
haproxy -c -q -f /etc/haproxy/haproxy.cfg; systemctl enable -q haproxy; systemctl restart haproxy
until curl -fs -o /dev/null http://127.0.0.1:8000/alive; do sleep 0.2; done
systemctl enable -q --now varnish
"""
PLANETARIUM = "planetarium.example"
STARS_AT = frozenset({"127.0.0.1:8101", "127.0.0.1:8102", "stars", "one", "two", "stars/one", "stars/two"})
INSIDE_AT = frozenset({"127.0.0.1:8000", "default", "boot.default"})
PLANETARIUM_FAULTS = (
    Fault(
        id="planetarium-rotation-sends-usr1",
        happens="the rotation of the program's logs is copied from nginx's, with `systemctl kill -s USR1` after it; waitress has no handler for that, so both instances end, and the unit has no Restart=",
        steps="sed -i \"s/^        true/        systemctl kill -s USR1 'planetarium@*'/\" /etc/logrotate.d/planetarium; logrotate -f /etc/logrotate.d/planetarium",
        expects=causes("backend-crashed", "backend-not-running"),
        partly=causes("all-upstreams-down"),
        targets=STARS_AT,
    ),
    Fault(
        id="planetarium-library-of-extension-gone",
        happens='an upgrade by halves removed the library of an extension of PostgreSQL: `could not access file "$libdir/pgcrypto"`, 500 for tickets, and no other page',
        steps="rm /usr/lib/postgresql/15/lib/pgcrypto.so",
        routes=(Route(path="/ticket", host=PLANETARIUM, weight=4),),
        expects=OWN_ERROR | causes("backend-dependency-down"),
        targets=STARS_AT | INSIDE_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="planetarium-two-releases-and-one-table",
        happens="the new release renames a column by a migration, and the deploy restarts one instance only: the other goes on with the old name (UndefinedColumn), every second page with shows is 500",
        steps="echo 'SHOWS=select name from shows order by id limit 30' >> /etc/planetarium.env; sudo -u postgres psql -q stars -c 'alter table shows rename column title to name'; "
        "systemctl restart planetarium@8101; until curl -fs -o /dev/null http://127.0.0.1:8101/; do sleep 0.2; done",
        settle="test $(tail -n 80 /var/log/haproxy.log | grep -c 'stars/two.* 500 ') -ge 12",
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down"),
        targets=STARS_AT | INSIDE_AT,
    ),
    Fault(
        id="planetarium-between-two-bytes",
        happens="the VCL takes `.between_bytes_timeout = 4s` from an answer of a forum; the export pauses for nine seconds between its parts, and ends before its end",
        steps="sed -i 's/between_bytes_timeout = 20s/between_bytes_timeout = 4s/' /etc/varnish/default.vcl; systemctl reload varnish",
        routes=(Route(path="/export", host=PLANETARIUM),),
        limit_s=100.0,
        expects=SLOW | causes("truncated-response"),
        targets=STARS_AT | INSIDE_AT,
    ),
    Fault(
        id="planetarium-list-of-office",
        happens="HAProxy gets `http-request deny unless { src 198.51.100.0/24 }` for the time of a test; every request reaches it from Varnish, that is 127.0.0.1: 403 for everyone",
        steps="sed -i 's/^    bind 127.0.0.1:8000/&\\n    http-request deny unless { src 198.51.100.0\\/24 }/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        failures=0,
        settle="test $(tail -n 60 /var/log/haproxy.log | grep -c ' 403 ') -ge 15",
        expects=causes("denied-by-rule"),
        targets=INSIDE_AT | STARS_AT,
    ),
    Fault(
        id="planetarium-settings-of-old-release",
        happens="the machine is upgraded, and haproxy.cfg comes over from the old one with `nbproc 2`, which HAProxy no longer takes; it does not start, and Varnish has nobody to ask",
        steps="sed -i 's/^    daemon/    daemon\\n    nbproc 2/' /etc/haproxy/haproxy.cfg; systemctl restart haproxy || true; sleep 2",
        expects=NO_START | causes("proxy-config-invalid"),
        partly=causes("backend-not-running", "proxy-not-running"),
        targets=INSIDE_AT,
    ),
    Fault(
        id="planetarium-nginx-takes-port-80",
        happens="nginx, never used here, came in with a package and is enabled; after the reboot it is first on port 80, and Varnish cannot bind it: visitors get nginx's welcome page and 404",
        steps="systemctl stop varnish; systemctl enable -q --now nginx; systemctl start varnish || true",
        failures=0,
        settle="test $(grep -c '\" 404 ' /var/log/nginx/access.log) -ge 15",
        expects=causes("proxy-listen-failed", "port-conflict", "proxy-not-running"),
        partly=causes("backend-startup-failure", "route-not-found"),
    ),
)

HARBOUR_HAPROXY = (
    HAPROXY_HEAD
    + """\
defaults
    log     global
    mode    tcp
    option  tcplog
    option  dontlognull
    timeout connect 5s
    timeout client  60s
    timeout server  60s

frontend tls
    bind :443
    tcp-request inspect-delay 5s
    tcp-request content accept if { req_ssl_hello_type 1 }
    use_backend quay if { req_ssl_sni -i harbour.example }
    use_backend tide if { req_ssl_sni -i tide.harbour.example }

frontend plain
    bind :80
    mode http
    option httplog
    http-request redirect scheme https code 301

backend quay
    server apache 127.0.0.1:8443 send-proxy-v2 check-send-proxy check

backend tide
    server tide 127.0.0.1:9443 check
"""
)
HARBOUR_SITE = """\
Listen 127.0.0.1:8443
<VirtualHost 127.0.0.1:8443>
    ServerName harbour.example
    RemoteIPProxyProtocol On
    SSLEngine on
    SSLCertificateFile /etc/ssl/harbour/fullchain.pem
    SSLCertificateKeyFile /etc/ssl/harbour/privkey.pem
    ProxyPreserveHost On
    ProxyTimeout 20
    ProxyPass / unix:/run/harbour/quay.sock|http://quay/
    ErrorLog ${APACHE_LOG_DIR}/harbour-error.log
    CustomLog ${APACHE_LOG_DIR}/harbour-access.log combined
</VirtualHost>
"""
QUAY_APP = """\
import os, time
from flask import Flask, request
import redis
app = Flask(__name__)
store = redis.Redis(host="127.0.0.1", port=6379, socket_timeout=5)

@app.get("/")
def berths():
    return "berth " * 200 + str(store.incr("seen"))

@app.get("/rules")
def rules():
    return "no swimming " * 120

@app.get("/weather")
def weather():
    time.sleep(1.2)
    return "wind from west " * 60

@app.post("/manifest")
def manifest():
    return {"size": len(request.get_data())}

@app.get("/customs")
def customs():
    time.sleep(11)
    return "nothing to declare"
"""
QUAY_UNIT = """[Unit]
Description=Quay
After=network.target redis-server.service

[Service]
User=harbour
Group=www-data
WorkingDirectory=/srv/harbour
RuntimeDirectory=harbour
ExecStart=/opt/venv/bin/gunicorn --workers 4 --threads 4 --bind unix:/run/harbour/quay.sock quay:app
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
TIDE_APP = """\
import asyncio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
app = FastAPI()

@app.get("/", response_class=PlainTextResponse)
async def table():
    return "high and low " * 100

@app.get("/year", response_class=PlainTextResponse)
async def year():
    await asyncio.sleep(8)
    return "a year of tides"
"""
TIDE_RUN = """#!/bin/sh
exec /opt/venv/bin/hypercorn --bind 127.0.0.1:9443 --certfile /etc/ssl/harbour/fullchain.pem --keyfile /etc/ssl/harbour/privkey.pem tide:app
"""
TIDE_UNIT = """[Unit]
Description=Tide
After=network.target

[Service]
User=harbour
Group=www-data
WorkingDirectory=/srv/tide
ExecStart=/srv/tide/run.sh
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
HARBOUR_SETUP = """
useradd --system harbour; mkdir -p /etc/ssl/harbour
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=harbour.example -addext 'subjectAltName=DNS:harbour.example,DNS:tide.harbour.example' -keyout /etc/ssl/harbour/privkey.pem -out /etc/ssl/harbour/fullchain.pem 2>/dev/null
chgrp www-data /etc/ssl/harbour/privkey.pem; chmod 640 /etc/ssl/harbour/privkey.pem
systemctl enable -q --now rsyslog redis-server; systemctl daemon-reload; systemctl enable -q --now quay tide
until curl -fs -o /dev/null --unix-socket /run/harbour/quay.sock http://quay/; do sleep 0.2; done
until curl -fsk -o /dev/null https://127.0.0.1:9443/; do sleep 0.2; done
sed -i 's/^Listen/#Listen/; s/^\\tListen/#Listen/' /etc/apache2/ports.conf
a2enmod -q ssl proxy proxy_http remoteip; a2dissite -q 000-default; a2ensite -q harbour
apachectl -t 2>/dev/null; systemctl enable -q --now apache2
haproxy -c -q -f /etc/haproxy/haproxy.cfg; systemctl enable -q haproxy; systemctl restart haproxy
"""
HARBOUR, TIDE = "harbour.example", "tide.harbour.example"
QUAY_WEB_AT = frozenset({"127.0.0.1:8443", "quay", "apache", "quay/apache"})
QUAY_AT = frozenset({"unix:/run/harbour/quay.sock"})
TIDE_AT = frozenset({"127.0.0.1:9443", "tide", "tide/tide"})


def _harbour(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0, host: str = HARBOUR) -> Route:
    return Route(path=path, host=host, port=443, tls=True, weight=weight, method=method, body_bytes=body_bytes)


HARBOUR_FAULTS = (
    Fault(
        id="harbour-site-file-of-repository",
        happens="the site of Apache is deployed from the repository, where `RemoteIPProxyProtocol On` is missing; HAProxy goes on sending its PROXY header, and Apache takes it for a broken TLS hello: every connection is closed",
        steps="sed -i '/RemoteIPProxyProtocol/d' /etc/apache2/sites-available/harbour.conf; systemctl restart apache2",
        expects=causes("wrong-protocol"),
        partly=causes("tls-handshake-failed", "premature-close", "connection-reset"),
        targets=QUAY_WEB_AT,
    ),
    Fault(
        id="harbour-new-name-without-rule",
        happens="DNS and the certificate have a new name (booking.harbour.example); HAProxy has no rule for it and no default: <NOSRV>, the connection is closed",
        steps="true",
        routes=(_harbour("/", 4, host="booking.harbour.example"),),
        expects=causes("route-not-found", "route-target-missing", "no-upstream-members"),
    ),
    Fault(
        id="harbour-timeouts-of-an-example",
        happens="the timeouts of an example (client and server 5 s) come with a new haproxy.cfg; customs takes eleven seconds, and the connection is cut (sD) with nothing said",
        steps="sed -i 's/timeout client  60s/timeout client  5s/; s/timeout server  60s/timeout server  5s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(_harbour("/customs", 2),),
        limit_s=90.0,
        expects=SLOW,
        partly=causes("workers-exhausted", "truncated-response"),
        targets=QUAY_WEB_AT | QUAY_AT,
    ),
    Fault(
        id="harbour-srv-mounted-noexec",
        happens="after an audit /srv is mounted noexec; tide's start script lies there: `Permission denied` (203/EXEC), again and again, until systemd gives up",
        steps="mount --bind /srv/tide /srv/tide; mount -o remount,bind,noexec /srv/tide; systemctl restart tide || true",
        routes=(_harbour("/", 6, host=TIDE),),
        settle="systemctl is-failed -q tide",
        expects=NO_START,
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=TIDE_AT,
    ),
    Fault(
        id="harbour-key-of-root",
        happens="the certificate is renewed by hand with umask 077: the key belongs to root alone, and tide, restarted for it, cannot read it (PermissionError); Apache reads its as root and goes on",
        steps="cd /etc/ssl/harbour; cp privkey.pem new.pem; chmod 600 new.pem; mv new.pem privkey.pem; systemctl reload apache2; systemctl restart tide; sleep 5",
        routes=(_harbour("/", 6, host=TIDE),),
        expects=NO_START,
        partly=causes("backend-not-running", "all-upstreams-down", "backend-crashed"),
        targets=TIDE_AT,
    ),
    Fault(
        id="harbour-directory-of-letsencrypt",
        happens="certbot is removed with its directory; the certificates of the site are gone, and Apache, restarted by an upgrade of its library, does not start: `SSLCertificateFile: file … does not exist`",
        steps="rm -r /etc/ssl/harbour; systemctl restart apache2 || true",
        expects=NO_START | causes("proxy-config-invalid"),
        partly=causes("backend-not-running", "proxy-not-running", "all-upstreams-down"),
        targets=QUAY_WEB_AT,
    ),
    Fault(
        id="harbour-check-in-plain-http",
        happens="tide gets `option httpchk GET /`, which asks in plain HTTP where hypercorn speaks TLS: no check ever passes, HAProxy takes the server away, and tide, which is well, has no server",
        steps="sed -i 's/^backend tide/backend tide\\n    option httpchk GET \\//' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(_harbour("/", 6, host=TIDE),),
        settle="grep -q 'Server tide/tide is DOWN' /var/log/haproxy.log",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "wrong-protocol"),
        targets=TIDE_AT,
    ),
)

STACKS = (
    Stack(
        name="planetarium",
        about="Varnish on port 80 in front of HAProxy (127.0.0.1:8000, HTTP checks, rsyslog) in front of two instances of Bottle in waitress, PostgreSQL with pgcrypto",
        files={
            "/srv/planetarium/app.py": PLANETARIUM_APP,
            "/etc/planetarium.env": "DATABASE_URL=postgresql://stars:hunter22@127.0.0.1/stars\n",
            "/etc/systemd/system/planetarium@.service": PLANETARIUM_UNIT,
            "/etc/logrotate.d/planetarium": PLANETARIUM_ROTATE,
            "/etc/varnish/default.vcl": PLANETARIUM_VCL,
            "/etc/systemd/system/varnish.service.d/override.conf": PLANETARIUM_VARNISH_UNIT,
            "/etc/haproxy/haproxy.cfg": PLANETARIUM_HAPROXY,
        },
        setup=PLANETARIUM_SETUP,
        routes=(
            Route(path="/", host=PLANETARIUM, weight=4),
            Route(path="/stars", host=PLANETARIUM, weight=3),
            Route(path="/programme", host=PLANETARIUM, weight=2),
        ),
        faults=PLANETARIUM_FAULTS,
        calms=(
            Calm(
                id="planetarium-night-of-open-doors",
                happens="HAProxy reloads twice, the VCL is loaded anew, one instance is drained, restarted and put back, logs rotate; people leave the page of orbits (1.1 s), scanners get 404",
                steps="systemctl reload haproxy; systemctl reload varnish; echo 'set server stars/two state maint' | socat - /run/haproxy/admin.sock 2>/dev/null || python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(b'set server stars/two state maint\\n'); s.recv(99)\"; "
                "sleep 3; systemctl restart planetarium@8102; until curl -fs -o /dev/null http://127.0.0.1:8102/alive; do sleep 0.2; done; "
                "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(b'set server stars/two state ready\\n'); s.recv(99)\"; sleep 3; systemctl reload haproxy; logrotate -f /etc/logrotate.d/rsyslog",
                routes=(
                    Route(path="/orbit", host=PLANETARIUM),
                    Route(path="/ticket", host=PLANETARIUM),
                    Route(path="/.git/config", host=PLANETARIUM, expect=(404,)),
                ),
                seconds=20.0,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="harbour",
        about="HAProxy in TCP mode by SNI: Apache with TLS (PROXY protocol, gunicorn on a unix socket, Redis) and FastAPI in hypercorn with TLS of its own; rsyslog",
        files={
            "/etc/haproxy/haproxy.cfg": HARBOUR_HAPROXY,
            "/etc/apache2/sites-available/harbour.conf": HARBOUR_SITE,
            "/srv/harbour/quay.py": QUAY_APP,
            "/srv/tide/tide.py": TIDE_APP,
            "/srv/tide/run.sh": TIDE_RUN,
            "/etc/systemd/system/quay.service": QUAY_UNIT,
            "/etc/systemd/system/tide.service": TIDE_UNIT,
        },
        setup=HARBOUR_SETUP,
        routes=(
            _harbour("/", 4),
            _harbour("/rules", 3),
            _harbour("/manifest", 1, "POST", 30000),
            _harbour("/", 2, host=TIDE),
        ),
        faults=HARBOUR_FAULTS,
        calms=(
            Calm(
                id="harbour-regular-tuesday",
                happens="HAProxy reloads, Apache reloads with grace, logs rotate; plain HTTP is redirected, the weather (1.2 s) and the year of tides (8 s) are broken off, scanners connect without a hello",
                steps="systemctl reload haproxy; apachectl graceful; logrotate -f /etc/logrotate.d/apache2; for n in 1 2 3; do timeout 2 bash -c 'exec 3<>/dev/tcp/203.0.113.10/443; sleep 1' || true; done",
                routes=(
                    _harbour("/weather"),
                    _harbour("/year", host=TIDE),
                    _harbour("/wp-login.php"),
                    Route(path="/", host=HARBOUR, expect=(301,)),
                ),
                seconds=20.0,
                cancels=True,
            ),
        ),
    ),
)
