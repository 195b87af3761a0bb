"""A planning system in Flask under hardened units with MariaDB, Unicorn under Ruby, blue and green releases,
and PHP pools chosen by a map.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API, MARIADB, site

ERP = """\
import json, logging, os, time
import pymysql
from flask import Flask, request
app = Flask(__name__)
MANIFEST = "/srv/erp/static/manifest.json"

def query(text, *values):
    base = pymysql.connect(host="127.0.0.1", user="shop", password=os.environ["DB_PASSWORD"], database="shop", connect_timeout=5)
    try:
        with base.cursor() as cursor:
            cursor.execute(text, values)
            rows = cursor.fetchall()
        base.commit()
        return rows
    finally:
        base.close()

def static(name):
    with open(MANIFEST) as manifest:
        return json.load(manifest)[name]

@app.get("/erp/parts")
def parts():
    return static("app.css") + str(query("select id, name, price from products limit 20"))

@app.get("/erp/parts/report")
def report():
    time.sleep(5)
    return "report " * 50

@app.post("/erp/documents")
def documents():
    data = request.get_data()
    with open(f"/srv/erp/media/{time.time_ns()}.bin", "wb") as media:
        media.write(data)
    query("insert into products (name, price) values (%s, %s)", "document", len(data))
    return "stored"

@app.get("/erp/about")
def about():
    return "about " * 80
"""
ERP_UNIT = """[Unit]
Description=ERP (%i)
After=network.target mariadb.service

[Service]
User=erp
Group=www-data
EnvironmentFile=/etc/erp/%i.env
WorkingDirectory=/srv/erp
ExecStart=/opt/venv/bin/gunicorn --workers 3 --timeout 30 --umask 007 --bind unix:/tmp/erp-%i.sock app:app
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
ERP_SITE = """
    client_max_body_size 20m;
    location /planning/ {
        rewrite ^/planning/(.*)$ /erp/$1 break;
        proxy_pass http://unix:/tmp/erp-live.sock;
        proxy_set_header Host $host;
        proxy_read_timeout 9s;
    }
"""
ERP_SETUP = (
    MARIADB
    + """
useradd --system -g www-data erp
mkdir -p /srv/erp/media /etc/systemd/system/erp@live.service.d; chown erp /srv/erp/media
mkdir -p /etc/systemd/system/nginx.service.d
systemctl enable --now erp@live
until test -S /tmp/erp-live.sock; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/erp /etc/nginx/sites-enabled/erp
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
)
ERP_AT = frozenset({"unix:/tmp/erp-live.sock"})
ERP_AGAIN = "systemctl daemon-reload; systemctl restart erp@live; until curl -fs -o /dev/null --unix-socket /tmp/erp-live.sock http://erp/erp/about; do sleep 0.1; done"
SLOW_SIGNS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout", "listen-backlog-overflow")
OWN_ERROR = causes("application-error", "upstream-error-status")
ERP_FAULTS = (
    Fault(
        id="erp-protect-system",
        happens="hardening by a drop-in: ProtectSystem=strict without ReadWritePaths=/srv/erp/media; documents cannot be stored (Read-only file system), status 500",
        steps=f"printf '[Service]\\nProtectSystem=strict\\nReadWritePaths=/tmp\\n' > /etc/systemd/system/erp@live.service.d/hardening.conf; {ERP_AGAIN}",
        settle="test $(grep -c ' 500 ' /var/log/nginx/erp.access.log) -ge 15",
        expects=OWN_ERROR,
        targets=ERP_AT,
    ),
    Fault(
        id="erp-nginx-private-tmp",
        happens="a hardening drop-in gives nginx PrivateTmp=yes; the application's socket is in /tmp, and nginx does not see it any more",
        steps="printf '[Service]\\nPrivateTmp=yes\\n' > /etc/systemd/system/nginx.service.d/hardening.conf; systemctl daemon-reload; systemctl restart nginx",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=ERP_AT,
    ),
    Fault(
        id="erp-backup-locks-tables",
        happens="a backup script holds LOCK TABLES ... WRITE and its pipe to the storage hangs: each page with parts waits",
        steps="(echo 'lock tables products write; select sleep(300);' | setsid mariadb shop >/dev/null 2>&1 &) ; sleep 0.5",
        failures=8,
        expects=causes("backend-dependency-slow"),
        partly=SLOW_SIGNS | causes("backend-dependency-down"),
        targets=ERP_AT,
    ),
    Fault(
        id="erp-too-many-connections",
        happens="a reporting tool holds all of MariaDB's connections (max_connections): the application raises and answers 500",
        steps="mariadb -e 'set global max_connections = 12'; for n in $(seq 11); do (setsid mariadb -ushop -phunter22 -h127.0.0.1 shop -e 'select sleep(300)' >/dev/null 2>&1 &) ; done; sleep 1",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=ERP_AT | {"127.0.0.1:3306"},
    ),
    Fault(
        id="erp-migration-forgotten",
        happens="the deploy skips the migration: the new code asks for a column that is not there (Unknown column), status 500",
        steps=f"sed -i 's/select id, name, price from/select id, name, price, currency from/' /srv/erp/app.py; {ERP_AGAIN}",
        settle="test $(grep -c ' 500 ' /var/log/nginx/erp.access.log) -ge 15",
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down"),
        targets=ERP_AT,
    ),
    Fault(
        id="erp-static-build-missing",
        happens="the build of the static files failed and the deploy went on: the manifest has no app.css, pages raise KeyError (500)",
        steps="echo '{}' > /srv/erp/static/manifest.json",
        expects=OWN_ERROR,
        targets=ERP_AT,
    ),
    Fault(
        id="erp-media-full",
        happens="the file system of the documents is full; each upload raises (No space left on device), the pages are fine",
        steps="mount -t tmpfs -o size=256k,mode=777 media /srv/erp/media; dd if=/dev/zero of=/srv/erp/media/scan.tif bs=1k count=250 2>/dev/null || true",
        expects=causes("disk-full"),
        partly=OWN_ERROR,
    ),
    Fault(
        id="erp-mariadb-grants-lost",
        happens="the users of MariaDB were restored from an old dump: access is denied to the application, pages answer 500",
        steps="mariadb -e \"alter user shop@localhost identified by 'old'; alter user shop@'%' identified by 'old'\"",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=ERP_AT | {"127.0.0.1:3306"},
    ),
)

UNICORN_RU = """\
require 'sinatra/base'
class Tickets < Sinatra::Base
  set :environment, :production
  set :show_exceptions, false
  set :host_authorization, {} rescue nil
  get('/') { 'tickets ' * 80 }
  get('/tickets/:id') { "ticket #{params[:id]}" }
  get('/board') { sleep 3; 'board' }
  get('/month') { sleep 9; 'month' }
  get('/pdf') { Process.kill(:SEGV, Process.pid); sleep 1; 'pdf' }
  get('/mail') { raise IOError, 'SMTP server said 451' }
end
run Tickets
"""
UNICORN_CONF = """\
working_directory '/srv/tickets'
listen '/srv/tickets/shared/unicorn.sock', backlog: 16
pid '/srv/tickets/shared/unicorn.pid'
worker_processes 4
timeout 30
preload_app true
stderr_path '/srv/tickets/shared/unicorn.err.log'
before_fork do |server, worker|
  old = '/srv/tickets/shared/unicorn.pid.oldbin'
  Process.kill(:QUIT, File.read(old).to_i) rescue nil if File.exist?(old) && server.pid != old
end
"""
UNICORN_UNIT = """[Unit]
Description=Tickets
After=network.target

[Service]
User=tickets
Group=www-data
Environment=RACK_ENV=production
WorkingDirectory=/srv/tickets
ExecStart=/usr/bin/unicorn -c /srv/tickets/unicorn.rb /srv/tickets/config.ru
ExecReload=/bin/kill -USR2 $MAINPID
KillMode=mixed
UMask=0007
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
MAILER_UNIT = "[Service]\nUser=tickets\nExecStart=/usr/bin/ruby -e 'loop { sleep 5 }'\n[Install]\nWantedBy=multi-user.target\n"
TICKETS_HEAD = "upstream unicorn {\n    server unix:/srv/tickets/shared/unicorn.sock fail_timeout=0;\n}\n"
TICKETS_SITE = """
    location / {
        proxy_set_header Host $http_host;
        proxy_redirect off;
        proxy_connect_timeout 3s;
        proxy_read_timeout 20s;
        proxy_pass http://unicorn;
    }
"""
TICKETS_SETUP = """
useradd --system -g www-data tickets
mkdir -p /srv/tickets/shared; chown -R tickets:www-data /srv/tickets
systemctl enable --now mailer tickets
until test -S /srv/tickets/shared/unicorn.sock; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/tickets /etc/nginx/sites-enabled/tickets
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
TICKETS_AT = frozenset({"unix:/srv/tickets/shared/unicorn.sock", "unicorn"})
TICKETS_AGAIN = "systemctl restart tickets; until curl -fs -o /dev/null --unix-socket /srv/tickets/shared/unicorn.sock http://tickets.example/; do sleep 0.1; done"
TICKETS_FAULTS = (
    Fault(
        id="tickets-unicorn-timeout",
        happens="timeout 4 is set in unicorn.rb, the month's overview needs 9 s: the master kills the worker with SIGKILL (the logs were rotated after the restart)",
        steps=f"sed -i 's/^timeout 30/timeout 4/' /srv/tickets/unicorn.rb; {TICKETS_AGAIN}; truncate -s 0 /var/log/nginx/shop.*.log",
        routes=(Route(path="/month", weight=3),),
        failures=10,
        limit_s=90,
        settle="test $(grep -c 'timeout (' /srv/tickets/shared/unicorn.err.log) -ge 6",
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "connection-reset", "backend-crashed", "backend-too-slow", "backend-oom-killed"),
        targets=TICKETS_AT,
    ),
    Fault(
        id="tickets-pid-file-of-another",
        happens="after a power loss the old pid file names a process that is the mailer now (same user): Unicorn says it is already running and ends",
        steps="systemctl kill -s KILL tickets; systemctl stop tickets; systemctl show -p MainPID --value mailer > /srv/tickets/shared/unicorn.pid; chown tickets /srv/tickets/shared/unicorn.pid; systemctl start tickets || true",
        settle="test $(systemctl show -p NRestarts --value tickets) -ge 2",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "port-conflict", "backend-crashed"),
        targets=TICKETS_AT,
    ),
    Fault(
        id="tickets-gem-missing",
        happens="the new release requires a gem that is not installed on this machine; preload_app, so the master ends at once",
        steps="sed -i \"1i require 'prawn'\" /srv/tickets/config.ru; systemctl restart tickets || true",
        settle="test $(systemctl show -p NRestarts --value tickets) -ge 2",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing"),
        targets=TICKETS_AT,
    ),
    Fault(
        id="tickets-pdf-crashes",
        happens="a native library crashes the worker on one page (SIGSEGV); the master starts another one",
        steps="true",
        routes=(Route(path="/pdf", weight=2),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=TICKETS_AT,
    ),
    Fault(
        id="tickets-board-meeting",
        happens="the whole firm opens the board (3 s) at nine: four workers and a backlog of 16, the rest get EAGAIN (502)",
        steps="true",
        routes=(Route(path="/board", weight=60),),
        users=40,
        failures=20,
        expects=causes("listen-backlog-overflow", "workers-exhausted"),
        partly=causes("backend-too-slow"),
        targets=TICKETS_AT,
    ),
    Fault(
        id="tickets-mail-raises",
        happens="the mail provider refuses; the page that sends mail raises and answers 500",
        steps="true",
        routes=(Route(path="/mail", weight=3),),
        expects=causes("application-error", "upstream-error-status", "backend-dependency-down"),
        targets=TICKETS_AT,
    ),
    Fault(
        id="tickets-shared-mode",
        happens="the shared directory is set to 0700 by a backup's restore; nginx's user may not pass",
        steps="chmod 700 /srv/tickets/shared",
        expects=causes("unix-socket-permission"),
        targets=TICKETS_AT,
    ),
)

RELEASE_UNIT = """[Unit]
Description=Release %i
After=network.target

[Service]
User=www-data
Group=www-data
WorkingDirectory=/srv/api
ExecStartPre=/bin/sh -c 'sleep $(cat /srv/api/warm)'
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 6 --bind 127.0.0.1:%i --graceful-timeout 5 api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
BLUE_SITE = """\
include /etc/nginx/active.conf;
server {
    listen 80 default_server;
    server_name fleet.example;
    access_log /var/log/nginx/fleet.log;
    error_log /var/log/nginx/fleet.err;
    location / {
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_connect_timeout 3s;
        proxy_read_timeout 8s;
        proxy_pass http://active;
    }
    location /maps/ {
        proxy_connect_timeout 3s;
        proxy_pass http://127.0.0.1:6010/;
    }
}
"""
ACTIVE = "upstream active {{\n    zone active 64k;\n    server 127.0.0.1:{port}{more};\n    keepalive 8;\n}}\n"
SWITCH = """#!/bin/sh
# switch PORT: write the active upstream, and reload nginx
printf 'upstream active {\\n    zone active 64k;\\n    server 127.0.0.1:%s;\\n    keepalive 8;\\n}\\n' "$1" > /etc/nginx/active.conf
nginx -t 2>/dev/null && systemctl reload nginx
"""
FLEET_SETUP = """
echo 0 > /srv/api/warm
systemctl enable --now release@6001 release@6002 release@6010
for p in 6001 6002 6010; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.1; done; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/fleet /etc/nginx/sites-enabled/fleet
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
BLUE_AT = frozenset({"127.0.0.1:6001", "active"})
GREEN_AT = frozenset({"127.0.0.1:6002", "active"})
FLEET_FAULTS = (
    Fault(
        id="fleet-switched-too-early",
        happens="green is started and traffic is switched to it at once; it warms up for 6 s before it listens; then all is well",
        steps="systemctl stop release@6002; echo 6 > /srv/api/warm; systemctl --no-block start release@6002; sleep 0.3; switch 6002; until curl -fs -o /dev/null http://127.0.0.1:6002/; do sleep 0.1; done; echo 0 > /srv/api/warm",
        expects=causes("deploy-termination-race"),
        partly=causes("backend-not-running"),
        targets=GREEN_AT,
    ),
    Fault(
        id="fleet-reload-refused-silently",
        happens="the deploy writes green into active.conf, the script's reload is refused as an unrelated site has a mistake, and blue is stopped as if all were done",
        steps="echo 'server { listen 81; proxy_pas http://x; }' > /etc/nginx/conf.d/draft.conf; switch 6002 || true; systemctl stop release@6001",
        expects=causes("proxy-config-invalid", "proxy-config-not-loaded"),
        partly=causes("backend-not-running"),
        targets=BLUE_AT | GREEN_AT | {"127.0.0.1:6001", "nginx"},
    ),
    Fault(
        id="fleet-reload-forgotten",
        happens="a new script writes green into active.conf, does not reload, and stops blue",
        steps="switch 6001; sed -i 's/6001/6002/' /etc/nginx/active.conf; systemctl disable --now release@6001",
        expects=causes("proxy-config-not-loaded"),
        partly=causes("backend-not-running"),
        targets=BLUE_AT,
    ),
    Fault(
        id="fleet-timer-restarts",
        happens="a timer that was to restart the service each night does it every 3 s (OnUnitActiveSec=3 in place of 3h); each start takes 1.5 s",
        steps="echo 1.5 > /srv/api/warm; printf '[Service]\\nType=oneshot\\nExecStart=/bin/systemctl restart release@6001\\n' > /etc/systemd/system/nightly.service; "
        "printf '[Timer]\\nOnActiveSec=1\\nOnUnitActiveSec=3\\nAccuracySec=100ms\\n[Install]\\nWantedBy=timers.target\\n' > /etc/systemd/system/nightly.timer; systemctl daemon-reload; systemctl start nightly.timer",
        failures=30,
        expects=causes("deploy-termination-race", "backend-not-running"),
        partly=causes("backend-crash-loop", "connection-reset", "premature-close"),
        targets=BLUE_AT,
    ),
    Fault(
        id="fleet-max-conns",
        happens="max_conns=3 was set for a load test in active.conf and stayed; in a rush nginx finds no live upstream (502)",
        steps="sed -i 's/127.0.0.1:6001;/127.0.0.1:6001 max_conns=3;/' /etc/nginx/active.conf; systemctl reload nginx",
        routes=(Route(path="/search", host="fleet.example", weight=30),),
        users=24,
        expects=causes("upstream-connection-limit"),
        partly=causes("all-upstreams-down", "workers-exhausted"),
        targets=BLUE_AT,
    ),
    Fault(
        id="fleet-bind-address-gone",
        happens="proxy_bind names an address that the machine lost in a renumbering; every connection to a backend fails",
        steps="sed -i 's/proxy_connect_timeout 3s;/&\\n        proxy_bind 203.0.113.200;/' /etc/nginx/sites-available/fleet; systemctl reload nginx",
        expects=causes("proxy-bind-failed"),
    ),
    Fault(
        id="fleet-both-down-zone",
        happens="the only server of the group is marked `down` by the script that takes instances out, which is not undone",
        steps="sed -i 's/127.0.0.1:6001;/127.0.0.1:6001 down;/' /etc/nginx/active.conf; systemctl reload nginx",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down", "no-upstream-members"),
    ),
    Fault(
        id="fleet-maps-bound-to-lan",
        happens="the map service is bound to the machine's LAN address by a drop-in for a colleague; nginx asks 127.0.0.1",
        steps="mkdir -p /etc/systemd/system/release@6010.service.d; printf '[Service]\\nExecStart=\\nExecStart=/opt/venv/bin/gunicorn -k gthread --threads 6 --bind 203.0.113.10:6010 api:application\\n' > /etc/systemd/system/release@6010.service.d/lan.conf; "
        "systemctl daemon-reload; systemctl restart release@6010; until curl -fs -o /dev/null http://203.0.113.10:6010/; do sleep 0.1; done",
        failures=8,
        expects=causes("wrong-address"),
        partly=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:6010"}),
    ),
)

MAP_CONF = """\
map $host $pool {
    hostnames;
    default      none;
    a.host.example  alpha;
    b.host.example  beta;
}
"""
MAP_SITE = """\
server {
    listen 80 default_server;
    server_name _;
    root /srv/hosting/$pool;
    index index.php;
    access_log /var/log/nginx/hosting.log;
    error_log /var/log/nginx/hosting.err;
    location / { try_files $uri /index.php$is_args$args; }
    location ~ \\.php$ {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_read_timeout 8s;
        fastcgi_pass unix:/run/php/$pool.sock;
    }
    location /tcp/ {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /srv/hosting/gamma/index.php;
        fastcgi_read_timeout 8s;
        fastcgi_pass 127.0.0.1:9077;
    }
}
"""
MAP_POOL = """\
[{name}]
user = www-data
group = www-data
listen = {listen}
listen.owner = www-data
listen.group = www-data
pm = static
pm.max_children = 3
php_value[session.save_handler] = {handler}
php_value[session.save_path] = "{path}"
php_admin_value[error_log] = /var/log/hosting/{name}.log
php_admin_flag[log_errors] = on
"""
HOSTED = """<?php
// what a framework does with sessions: without one there is no page
function stop($why) { error_log('PHP Fatal error: session: ' . $why); http_response_code(500); echo 'Error'; exit; }
set_error_handler(function ($level, $text) { stop($text); });
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/import') { session_id('shared0account'); session_start(); sleep(6); echo 'imported'; exit; }
if ($path === '/account') { session_id('shared0account'); }
if (!session_start()) { stop('could not be started'); }
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
$_SESSION['basket'] = str_repeat('x', 3000);
session_write_close();
if ($path === '/import/') { sleep(6); }
echo str_repeat('<p>hosted</p>', 60);
"""
HOSTING_SETUP = """
rm /etc/php/8.2/fpm/pool.d/www.conf
mkdir -p /var/log/hosting /srv/hosting/none /srv/hosting/alpha/sessions; chown www-data: /var/log/hosting /srv/hosting/alpha/sessions
systemctl enable --now redis-server php8.2-fpm
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/hosting /etc/nginx/sites-enabled/hosting
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
ALPHA_AT = frozenset({"unix:/run/php/alpha.sock"})
BETA_AT = frozenset({"unix:/run/php/beta.sock"})
GAMMA_AT = frozenset({"127.0.0.1:9077"})
REDIS_AT = frozenset({"127.0.0.1:6379"})
HOSTING_FAULTS = (
    Fault(
        id="hosting-new-domain-not-in-map",
        happens="a customer's new domain points here before it is in the map: its pool is `none`, whose socket is not there",
        steps="touch /srv/hosting/none/index.php",
        routes=(Route(path="/", host="c.host.example", weight=4),),
        expects=causes("unix-socket-missing", "php-fpm-socket-mismatch"),
        partly=causes("backend-not-running", "route-not-found"),
        targets=frozenset({"unix:/run/php/none.sock"}),
    ),
    Fault(
        id="hosting-session-lock",
        happens="an import of 6 s holds the session of the shared account; all requests of that session wait for its file's lock, and the pool's three children are all waiting",
        steps="true",
        routes=(Route(path="/import", host="a.host.example", weight=8), Route(path="/account", host="a.host.example", weight=12)),
        users=16,
        patience_s=30,
        limit_s=80,
        expects=causes("php-fpm-max-children", "workers-exhausted", "backend-too-slow"),
        partly=causes("backend-hung", "proxy-timeout-too-short", "listen-backlog-overflow"),
        targets=ALPHA_AT,
    ),
    Fault(
        id="hosting-redis-password",
        happens="Redis gets a password after an audit, the pool's session.save_path does not: NOAUTH, pages of that pool answer 500",
        steps="redis-cli config set requirepass s3cret >/dev/null; redis-cli -a s3cret --no-auth-warning client kill type normal >/dev/null || true",
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status"),
        targets=BETA_AT | REDIS_AT,
    ),
    Fault(
        id="hosting-redis-maxclients",
        happens="Redis's maxclients is 3, and a monitoring script never closes its connections: sessions fail, pages answer 500",
        steps="redis-cli config set maxclients 3 >/dev/null; for n in 1 2 3; do (setsid redis-cli subscribe nothing >/dev/null 2>&1 &) ; done; sleep 0.5",
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status"),
        targets=BETA_AT | REDIS_AT,
    ),
    Fault(
        id="hosting-sessions-inodes",
        happens="the sessions' file system has no inode left (millions of session files): session_start fails, pages answer 500",
        steps="mount -t tmpfs -o size=8m,nr_inodes=40,mode=777 sessions /srv/hosting/alpha/sessions; n=0; while touch /srv/hosting/alpha/sessions/sess_old$n 2>/dev/null; do n=$((n+1)); done; chown -R www-data: /srv/hosting/alpha/sessions",
        expects=causes("disk-full"),
        partly=causes("application-error", "upstream-error-status"),
    ),
    Fault(
        id="hosting-allowed-clients",
        happens="listen.allowed_clients of the pool on TCP is set to the new gateway's address; PHP-FPM closes what this nginx opens",
        steps="echo 'listen.allowed_clients = 203.0.113.1' >> /etc/php/8.2/fpm/pool.d/gamma.conf; systemctl restart php8.2-fpm",
        failures=8,
        expects=causes("connection-reset", "premature-close", "connect-rejected"),
        targets=GAMMA_AT,
    ),
    Fault(
        id="hosting-pool-on-another-port",
        happens="the panel moves the pool to port 9078 after a collision; the site keeps 9077",
        steps="sed -i 's/9077/9078/' /etc/php/8.2/fpm/pool.d/gamma.conf; systemctl restart php8.2-fpm",
        failures=8,
        expects=causes("php-fpm-socket-mismatch", "wrong-port"),
        partly=causes("backend-not-running"),
        targets=GAMMA_AT,
    ),
)

STACKS = (
    Stack(
        name="erp",
        about="Flask in a template unit on a socket in /tmp behind nginx with rewritten paths, MariaDB, uploads",
        files={
            "/srv/erp/app.py": ERP,
            "/srv/erp/static/manifest.json": '{"app.css": "app.4f2a.css"}\n',
            "/etc/erp/live.env": "DB_PASSWORD=hunter22\n",
            "/etc/systemd/system/erp@.service": ERP_UNIT,
            "/etc/nginx/sites-available/erp": site(ERP_SITE, name="erp.firm.example").replace("shop.", "erp."),
        },
        setup=ERP_SETUP,
        routes=(
            Route(path="/planning/parts", host="erp.firm.example", weight=4),
            Route(path="/planning/documents", method="POST", host="erp.firm.example", body_bytes=30000, weight=3),
            Route(path="/planning/about", host="erp.firm.example", weight=2),
        ),
        faults=ERP_FAULTS,
        calms=(
            Calm(
                id="erp-month-end",
                happens="a dump in one transaction, reports of 5 s, scanners get 404, a staging instance of the template that is stopped, rotated logs",
                steps="mariadb-dump --single-transaction shop > /root/dump.sql; cp /etc/erp/live.env /etc/erp/staging.env; systemctl start erp@staging; sleep 1; systemctl stop erp@staging; logrotate -f /etc/logrotate.d/nginx",
                routes=(
                    Route(path="/planning/parts/report", host="erp.firm.example"),
                    Route(path="/old/index.asp", host="erp.firm.example", expect=(404,)),
                ),
                users=6,
            ),
        ),
    ),
    Stack(
        name="unicorn",
        about="Sinatra in Unicorn (four workers, preload_app) on a unix socket behind nginx, a mailer beside it",
        files={
            "/srv/tickets/config.ru": UNICORN_RU,
            "/srv/tickets/unicorn.rb": UNICORN_CONF,
            "/etc/systemd/system/tickets.service": UNICORN_UNIT,
            "/etc/systemd/system/mailer.service": MAILER_UNIT,
            "/etc/nginx/sites-available/tickets": site(TICKETS_SITE, TICKETS_HEAD),
        },
        setup=TICKETS_SETUP,
        routes=(Route(path="/", weight=4), Route(path="/tickets/7", weight=4)),
        faults=TICKETS_FAULTS,
        calms=(
            Calm(
                id="tickets-logs-reopened",
                happens="Unicorn reopens its logs (USR1), gets a worker more (TTIN), the board needs 3 s, scanners get 404, users break off",
                steps="systemctl kill -s USR1 --kill-who=main tickets; systemctl kill -s TTIN --kill-who=main tickets; systemctl reload nginx",
                routes=(Route(path="/board"), Route(path="/wp-admin/setup.php", expect=(404,))),
                users=6,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="blue-green",
        about="two releases on two ports, a script that writes the active one into nginx's upstream, and a map service",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/release@.service": RELEASE_UNIT,
            "/etc/nginx/active.conf": ACTIVE.format(port=6001, more=""),
            "/etc/nginx/sites-available/fleet": BLUE_SITE,
            "/usr/local/bin/switch": SWITCH,
        },
        setup=FLEET_SETUP,
        routes=(
            Route(path="/", host="fleet.example", weight=4),
            Route(path="/cars/12", host="fleet.example", weight=3),
            Route(path="/maps/tile", host="fleet.example", weight=2),
        ),
        faults=FLEET_FAULTS,
        calms=(
            Calm(
                id="fleet-switch",
                happens="a deploy as it should be: green is warm before the switch, blue is stopped when nothing uses it any more; last week's refused connections are in the rotated log",
                steps="echo \"$(date -d '6 days ago' '+%Y/%m/%d') 03:00:01 [error] 99#99: *7 connect() failed (111: Connection refused) while connecting to upstream, client: 203.0.113.30, server: fleet.example, "
                'request: \\"GET / HTTP/1.1\\", upstream: \\"http://127.0.0.1:6001/\\", host: \\"fleet.example\\"" > /var/log/nginx/fleet.err.1; '
                "switch 6002; sleep 4; until ! pgrep -f 'worker process is shutting dow[n]' >/dev/null; do sleep 0.2; done; systemctl disable --now release@6001",
                routes=(Route(path="/search", host="fleet.example"),),
            ),
        ),
    ),
    Stack(
        name="hosting",
        about="nginx chooses the PHP-FPM pool by a map of hosts; sessions in files and in Redis, one pool on TCP",
        files={
            "/etc/php/8.2/fpm/pool.d/alpha.conf": MAP_POOL.format(
                name="alpha", listen="/run/php/alpha.sock", handler="files", path="/srv/hosting/alpha/sessions"
            ),
            "/etc/php/8.2/fpm/pool.d/beta.conf": MAP_POOL.format(
                name="beta", listen="/run/php/beta.sock", handler="redis", path="tcp://127.0.0.1:6379?timeout=2"
            ),
            "/etc/php/8.2/fpm/pool.d/gamma.conf": MAP_POOL.format(
                name="gamma", listen="127.0.0.1:9077", handler="files", path="/tmp"
            ),
            "/srv/hosting/alpha/index.php": HOSTED,
            "/srv/hosting/beta/index.php": HOSTED,
            "/srv/hosting/gamma/index.php": HOSTED,
            "/etc/nginx/conf.d/pools.conf": MAP_CONF,
            "/etc/nginx/sites-available/hosting": MAP_SITE,
        },
        setup=HOSTING_SETUP,
        routes=(
            Route(path="/", host="a.host.example", weight=3),
            Route(path="/", host="b.host.example", weight=4),
            Route(path="/tcp/", host="a.host.example", weight=2),
        ),
        faults=HOSTING_FAULTS,
        calms=(
            Calm(
                id="hosting-saturday",
                happens="PHP-FPM reloads gracefully, Redis saves, scanners get 404, users break off, an import of 6 s now and then",
                steps="redis-cli bgsave >/dev/null; systemctl reload nginx; sleep 1; curl -s -o /dev/null -H 'Host: a.host.example' http://127.0.0.1/.env || true",
                routes=(Route(path="/import/", host="b.host.example"),),
                users=5,
                cancels=True,
            ),
        ),
    ),
)
