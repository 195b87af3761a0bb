"""FastAPI under a user's own systemd behind nginx with PostgreSQL, and HAProxy with the PROXY protocol in front of nginx with PHP-FPM and MariaDB."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")

DENTIST_APP = """\
import os, uuid
from pathlib import Path
import psycopg2
from fastapi import FastAPI, Request
app = FastAPI()

def query(text):
    base = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=5)
    try:
        with base, base.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        base.close()

@app.get("/")
def appointments():
    return {"appointments": query("select name from appointments order by id limit 20")}

@app.get("/opening")
async def opening():
    return {"opening": ["eight to noon", "two to six"] * 40}

@app.get("/slots")
def slots():
    query("select pg_sleep(1.2)")
    return {"slots": list(range(80))}

@app.post("/pictures")
async def pictures(request: Request):
    body = await request.body()
    Path("/home/deploy/dentist/pictures", uuid.uuid4().hex).write_bytes(body)
    return {"bytes": len(body)}
"""
DENTIST_UNIT = """[Unit]
Description=dentist (uvicorn)

[Service]
WorkingDirectory=%h/dentist
EnvironmentFile=%h/dentist/.env
ExecStart=%h/dentist/venv/bin/uvicorn main:app --workers 2 --proxy-headers
Restart=on-failure
RestartSec=2

[Install]
WantedBy=default.target
"""
DENTIST_SITE = """\
upstream dentist {
    server 127.0.0.1:8020;
}
server {
    listen 80;
    server_name dentist.example;
    client_max_body_size 20m;
    access_log /var/log/nginx/dentist.access.log;
    error_log /var/log/nginx/dentist.error.log;

    location / {
        proxy_pass http://dentist;
        include proxy_params;
    }
}
"""
DENTIST_SETUP = """
useradd --create-home --uid 1500 --shell /bin/bash deploy
mv /home/deploy-files /home/deploy/dentist; ln -s /opt/venv /home/deploy/dentist/venv; mkdir -p /home/deploy/dentist/pictures /home/deploy/.config/systemd/user
mv /home/deploy/dentist/dentist.service /home/deploy/.config/systemd/user/; chown -R deploy: /home/deploy
mkdir -p /etc/systemd/system/user@.service.d; printf '[Service]\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\\n' > /etc/systemd/system/user@.service.d/runtime.conf; systemctl daemon-reload
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role dentist login password 'hunter22'" -c "create database dentist owner dentist"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U dentist dentist -c "create table appointments (id serial primary key, name text)" -c "insert into appointments (name) select 'patient ' || n from generate_series(1, 300) n"
systemctl start systemd-logind 2>/dev/null || true
loginctl enable-linger deploy 2>/dev/null || { mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/deploy; }
systemctl start user@1500
USER_CTL enable -q --now dentist
until curl -fs -o /dev/null http://127.0.0.1:8020/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/dentist /etc/nginx/sites-enabled/dentist; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
USER_CTL = "sudo -u deploy env XDG_RUNTIME_DIR=/run/user/1500 systemctl --user"
DENTIST = "dentist.example"
DENTIST_AT = frozenset({"127.0.0.1:8020", "dentist"})
DENTIST_FAULTS = (
    Fault(
        id="dentist-linger-taken-away",
        happens="a script for hardening disables lingering for all users; the deploy user logs out, his manager ends, and the application with it: connection refused",
        steps="loginctl disable-linger deploy 2>/dev/null || rm -f /var/lib/systemd/linger/deploy; systemctl stop user@1500",
        expects=causes("backend-not-running"),
        targets=DENTIST_AT,
    ),
    Fault(
        id="dentist-concurrency-of-example",
        happens=".env gets UVICORN_LIMIT_CONCURRENCY=3 from an example; while patients look for slots (1.2 s), each worker answers 503 itself: `Exceeded concurrency limit`",
        steps=f"echo UVICORN_LIMIT_CONCURRENCY=3 >> /home/deploy/dentist/.env; {USER_CTL} restart dentist; until ss -ltn | grep -q 127.0.0.1:8020; do sleep 0.2; done",
        routes=(Route(path="/slots", host=DENTIST, weight=10),),
        users=20,
        settle="test $(tail -n 100 /var/log/nginx/dentist.access.log | grep -c ' 503 ') -ge 60",
        limit_s=90.0,
        expects=causes("upstream-error-status", "workers-exhausted"),
        partly=causes("application-error", "upstream-connection-limit"),
        targets=DENTIST_AT,
    ),
    Fault(
        id="dentist-git-clean",
        happens="the deploy runs `git clean -fdx`, which takes .env away; the user's manager cannot load the EnvironmentFile, and the service is not started again",
        steps=f"rm /home/deploy/dentist/.env; {USER_CTL} restart dentist || true; sleep 3",
        expects=NO_START,
        partly=causes("backend-not-running"),
        targets=DENTIST_AT,
    ),
    Fault(
        id="dentist-env-without-port",
        happens=".env is written anew from the password manager without UVICORN_PORT; uvicorn listens on its default, 8000, and nginx asks 8020",
        steps=f"sed -i /UVICORN_PORT/d /home/deploy/dentist/.env; {USER_CTL} restart dentist; until ss -ltn | grep -q :8000; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=DENTIST_AT,
    ),
    Fault(
        id="dentist-pictures-fill-volume",
        happens="pictures lie on a small volume of their own, and it is full: OSError 28, 500 for each upload, the pages go on",
        steps="mount -t tmpfs -o size=6m,uid=1500,mode=755 pictures /home/deploy/dentist/pictures; head -c 8m /dev/zero > /home/deploy/dentist/pictures/old.tar 2>/dev/null || true",
        routes=(Route(path="/pictures", method="POST", host=DENTIST, body_bytes=200000, weight=3),),
        expects=causes("disk-full"),
        partly=OWN_ERROR,
        targets=DENTIST_AT,
    ),
    Fault(
        id="dentist-pg-hba-tidied",
        happens="pg_hba.conf is replaced by a stricter one with lines for sockets only: `no pg_hba.conf entry for host`, 500 for the appointments",
        steps="printf 'local all all peer\\nlocal replication all peer\\n' > /etc/postgresql/15/main/pg_hba.conf; systemctl reload postgresql@15-main",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=DENTIST_AT | {"127.0.0.1:5432"},
    ),
)

LETTINGS_HAPROXY = """\
global
    log /dev/log local0
    log /dev/log local1 notice
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user haproxy
    group haproxy
    daemon

defaults
    log     global
    mode    http
    option  httplog
    option  dontlognull
    timeout connect 5s
    timeout client  30s
    timeout server  60s
    errorfile 502 /etc/haproxy/errors/502.http
    errorfile 503 /etc/haproxy/errors/503.http
    errorfile 504 /etc/haproxy/errors/504.http

frontend public
    bind :80
    bind :443 ssl crt /etc/haproxy/certs/lettings.pem alpn h2,http/1.1
    http-request redirect scheme https code 301 unless { ssl_fc }
    http-request set-header X-Forwarded-Proto https
    default_backend lettings

backend lettings
    option httpchk GET /health.php
    http-check expect status 200
    default-server inter 2s fall 3 rise 2
    server web1 127.0.0.1:8081 send-proxy-v2 check
"""
LETTINGS_SITE = """\
server {
    listen 127.0.0.1:8081 proxy_protocol;
    server_name lettings.example _;
    set_real_ip_from 127.0.0.1;
    real_ip_header proxy_protocol;
    root /var/www/lettings/public;
    index index.php;
    client_max_body_size 16m;
    access_log /var/log/nginx/lettings.access.log;
    error_log /var/log/nginx/lettings.error.log;

    location / {
        try_files $uri $uri/ /index.php?$args;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/lettings.sock;
    }
}
"""
LETTINGS_POOL = """\
[lettings]
user = lettings
group = lettings
listen = /run/php/lettings.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 10
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
php_admin_value[error_log] = /var/log/php/lettings.log
php_admin_flag[log_errors] = on
"""
LETTINGS_FILES = {
    "/etc/haproxy/haproxy.cfg": LETTINGS_HAPROXY,
    "/etc/nginx/sites-available/lettings": LETTINGS_SITE,
    "/etc/php/8.2/fpm/pool.d/lettings.conf": LETTINGS_POOL,
    "/var/www/lettings/src/base.php": "<?php\nmysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);\n$base = new mysqli('localhost', 'lettings', 'hunter22', 'lettings');\n",
    "/var/www/lettings/public/index.php": "<?php\nrequire __DIR__ . '/../src/base.php';\nforeach ($base->query('select name from flats limit 20') as $row) echo '<li>', $row['name'], \"\\n\";\n",
    "/var/www/lettings/public/health.php": "<?php\necho 'ok';\n",
    "/var/www/lettings/public/about.php": "<?php\necho str_repeat('flats and houses ', 120);\n",
    "/var/www/lettings/public/map.php": "<?php\nusleep(900000);\necho str_repeat('tile ', 400);\n",
    "/var/www/lettings/public/search.php": "<?php\nrequire __DIR__ . '/../src/base.php';\n$base->query('select sleep(3)');\necho 'found';\n",
    "/var/www/lettings/public/valuation.php": "<?php\n$base = null;\n$end = microtime(true) + 25;\nwhile (microtime(true) < $end) usleep(200000);\necho 'worth it';\n",
}
LETTINGS_SETUP = """
useradd --system lettings; mkdir -p /var/log/php; chown lettings /var/log/php
rm /etc/php/8.2/fpm/pool.d/www.conf
sed -i 's/^;process_control_timeout.*/process_control_timeout = 10s/' /etc/php/8.2/fpm/php-fpm.conf
systemctl enable -q --now mariadb rsyslog
mariadb <<SQL
create database lettings; create user lettings@localhost identified by 'hunter22'; grant all on lettings.* to lettings@localhost;
use lettings; create table flats (id int auto_increment primary key, name varchar(99)); insert into flats (name) select concat('flat ', seq) from seq_1_to_200;
SQL
systemctl enable -q --now php8.2-fpm
ln -s /etc/nginx/sites-available/lettings /etc/nginx/sites-enabled/lettings; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
mkdir -p /etc/haproxy/certs
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=lettings.example -addext subjectAltName=DNS:lettings.example -keyout /root/key.pem -out /root/cert.pem 2>/dev/null
cat /root/cert.pem /root/key.pem > /etc/haproxy/certs/lettings.pem
haproxy -c -q -f /etc/haproxy/haproxy.cfg; systemctl enable -q --now haproxy
"""
LETTINGS = "lettings.example"
LETTINGS_POOL_AT = frozenset({"unix:/run/php/lettings.sock"})
LETTINGS_WEB_AT = frozenset({"127.0.0.1:8081", "lettings", "lettings/web1"})


def _https(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=LETTINGS, port=443, tls=True, weight=weight)


LETTINGS_FAULTS = (
    Fault(
        id="lettings-site-from-template",
        happens="the site's file is rolled out from the template of servers without a balancer: no `proxy_protocol` at its listen; nginx answers 400 to HAProxy's header, its check fails, 503 for all",
        steps="sed -i 's/8081 proxy_protocol;/8081;/; /real_ip/d' /etc/nginx/sites-available/lettings; systemctl restart nginx",
        expects=causes("wrong-protocol"),
        partly=causes("all-upstreams-down", "invalid-response", "health-check-misconfigured"),
        targets=LETTINGS_WEB_AT,
    ),
    Fault(
        id="lettings-terminate-after-ten",
        happens="the pool gets request_terminate_timeout = 10s against stuck imports; a valuation has always taken 25 s, and its child is killed",
        steps="echo 'request_terminate_timeout = 10s' >> /etc/php/8.2/fpm/pool.d/lettings.conf; systemctl restart php8.2-fpm",
        routes=(_https("/valuation.php", 2),),
        patience_s=50.0,
        failures=8,
        limit_s=120.0,
        settle="test $(grep -c 'execution timed out' /var/log/php8.2-fpm.log) -ge 4",
        expects=causes("worker-timeout"),
        partly=OWN_ERROR
        | SLOW
        | causes("premature-close", "connection-reset", "php-fpm-crashed", "backend-crashed", "workers-exhausted"),
        targets=LETTINGS_POOL_AT,
    ),
    Fault(
        id="lettings-health-page-tidied",
        happens="a release removes pages that nobody links to, health.php among them: 404 for HAProxy's check, web1 is DOWN, 503 for a site that works",
        steps="rm /var/www/lettings/public/health.php; sed -i 's#/index.php?$args#=404#' /etc/nginx/sites-available/lettings; systemctl reload nginx",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=LETTINGS_WEB_AT,
    ),
    Fault(
        id="lettings-two-children",
        happens="the pool's file is copied from the test server: pm.max_children = 2; on a Saturday thirty people search (3 s each), everything queues, and HAProxy's check gives up as well: 503",
        steps="sed -i 's/^pm = .*/pm = static/; s/^pm.max_children.*/pm.max_children = 2/' /etc/php/8.2/fpm/pool.d/lettings.conf; systemctl reload php8.2-fpm",
        routes=(_https("/search.php", 12),),
        users=30,
        limit_s=100.0,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=SLOW | causes("all-upstreams-down", "health-check-misconfigured", "backend-dependency-slow", "backend-hung"),
        targets=LETTINGS_POOL_AT | LETTINGS_WEB_AT,
    ),
    Fault(
        id="lettings-acl-of-socket",
        happens="for a tool of monitoring the pool gets listen.acl_users, with which PHP-FPM no longer regards owner and group: nginx may not open the socket (13)",
        steps="echo 'listen.acl_users = lettings' >> /etc/php/8.2/fpm/pool.d/lettings.conf; systemctl restart php8.2-fpm",
        expects=causes("unix-socket-permission"),
        partly=causes("all-upstreams-down"),
        targets=LETTINGS_POOL_AT,
    ),
    Fault(
        id="lettings-connections-of-database",
        happens="max_connections of MariaDB is lowered for its memory, and a tool of reports holds what is left: `Too many connections`, 500 for pages that ask it",
        steps="mariadb -e 'set global max_connections=10'; for n in 1 2 3 4 5 6 7 8 9 10 11 12; do (mariadb -h localhost -u lettings -phunter22 -e 'select sleep(600)' >/dev/null 2>&1 &); done; sleep 1",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=LETTINGS_POOL_AT | LETTINGS_WEB_AT | {"unix:/run/mysqld/mysqld.sock", "127.0.0.1:3306"},
    ),
    Fault(
        id="lettings-nginx-after-upgrade",
        happens="an upgrade restarts nginx, whose configuration names a snippet that somebody removed weeks ago: it does not come up, HAProxy has no server: 503",
        steps="sed -i 's#index index.php;#index index.php; include snippets/headers.conf;#' /etc/nginx/sites-available/lettings; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid", "backend-startup-failure"),
        partly=causes("backend-not-running", "all-upstreams-down"),
    ),
)

STACKS = (
    Stack(
        name="dentist",
        about="FastAPI in uvicorn (two workers, its port in .env) as a service of the deploy user's own systemd with lingering, behind nginx; PostgreSQL",
        files={
            "/home/deploy-files/main.py": DENTIST_APP,
            "/home/deploy-files/.env": "UVICORN_PORT=8020\nDATABASE_URL=postgresql://dentist:hunter22@127.0.0.1/dentist\n",
            "/home/deploy-files/dentist.service": DENTIST_UNIT,
            "/etc/nginx/sites-available/dentist": DENTIST_SITE,
        },
        setup=DENTIST_SETUP.replace("USER_CTL", USER_CTL),
        routes=(
            Route(path="/", host=DENTIST, weight=4),
            Route(path="/opening", host=DENTIST, weight=3),
            Route(path="/pictures", method="POST", host=DENTIST, body_bytes=40000),
        ),
        faults=DENTIST_FAULTS,
        calms=(
            Calm(
                id="dentist-first-of-the-month",
                happens="both managers re-read their units, nginx reloads, logs rotate, a vacuum and a dump; patients look for slots (1.2 s) and leave; scanners get 404",
                steps=f"{USER_CTL} daemon-reload; systemctl daemon-reload; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; sudo -u postgres psql -q dentist -c 'vacuum analyze'; sudo -u postgres pg_dump dentist > /root/dentist.sql",
                routes=(
                    Route(path="/slots", host=DENTIST),
                    Route(path="/actuator/env", host=DENTIST),
                    Route(path="/cgi-bin/luci", host=DENTIST),
                ),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="lettings",
        about="HAProxy with TLS and checks sends the PROXY protocol to nginx on 127.0.0.1:8081 with PHP-FPM (unix socket); MariaDB on its socket, rsyslog",
        files=LETTINGS_FILES,
        setup=LETTINGS_SETUP,
        routes=(_https("/", 4), _https("/about.php", 3)),
        faults=LETTINGS_FAULTS,
        calms=(
            Calm(
                id="lettings-renewal-and-reload",
                happens="a renewed certificate is put in place, HAProxy and nginx reload, PHP-FPM reloads with grace, logs rotate; maps (0.9 s) are broken off, http is redirected, scanners",
                steps="cat /root/cert.pem /root/key.pem > /etc/haproxy/certs/lettings.pem; systemctl reload haproxy; systemctl reload php8.2-fpm; "
                "logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
                routes=(_https("/map.php"), _https("/vendor/phpunit/x.php"), Route(path="/", host=LETTINGS, expect=(301,))),
                cancels=True,
            ),
        ),
    ),
)
