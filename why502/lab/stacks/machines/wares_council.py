"""nginx, Varnish, nginx and PHP in a row with sessions in Redis, and nginx in front of Apache's mod_wsgi with PostgreSQL on its socket."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

WARES_FRONT = """\
server {
    listen 203.0.113.10:80 default_server;
    server_name wares.example;
    access_log /var/log/nginx/wares.front.log;
    error_log /var/log/nginx/wares.front.error.log;
    client_max_body_size 20m;
    location / {
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_read_timeout 14s;
        proxy_pass http://127.0.0.1:6086;
    }
}
server {
    listen 127.0.0.1:8080;
    server_name wares.example;
    root /srv/wares/pub;
    access_log /var/log/nginx/wares.inner.log;
    error_log /var/log/nginx/wares.inner.error.log;
    if (-f /srv/wares/var/maintenance.flag) { return 503; }
    location / { try_files $uri /index.php$is_args$args; }
    location ~ \\.php$ {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root/index.php;
        fastcgi_buffer_size 32k;
        fastcgi_buffers 8 32k;
        fastcgi_read_timeout 9s;
        fastcgi_pass unix:/run/php/wares.sock;
    }
}
"""
WARES_VCL = """\
vcl 4.1;
backend shop {
    .host = "127.0.0.1";
    .port = "8080";
    .first_byte_timeout = 12s;
    .probe = { .request = "GET /health_check.php HTTP/1.1" "Host: wares.example" "Connection: close"; .interval = 2s; .timeout = 2s; .window = 4; .threshold = 2; }
}
sub vcl_recv {
    if (req.url ~ "^/(checkout|category|import)") { return (pass); }
}
"""
WARES_UNIT = """[Service]
ExecStart=
ExecStart=/usr/sbin/varnishd -j unix,user=vcache -F -a 127.0.0.1:6086 -T localhost:6082 -f /etc/varnish/default.vcl -S /etc/varnish/secret -s malloc,64m
"""
WARES_POOL = """\
[wares]
user = www-data
group = www-data
listen = /run/php/wares.sock
listen.owner = www-data
listen.group = www-data
pm = static
pm.max_children = 6
php_admin_value[session.save_handler] = redis
php_admin_value[session.save_path] = "tcp://127.0.0.1:6379"
php_admin_value[redis.session.locking_enabled] = 1
php_admin_value[redis.session.lock_retries] = -1
php_admin_value[redis.session.lock_wait_time] = 50000
catch_workers_output = yes
"""
WARES_PHP = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/health_check.php') { echo 'ok'; exit; }
header('Cache-Control: no-store');
if ($path === '/category') { header('X-Magento-Tags: ' . implode(',', array_map(fn($n) => "cat_p_1$n", range(1000, 1550)))); }
if ($path === '/checkout') { session_start(); $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; }
if ($path === '/import') { sleep(3); }
echo str_repeat('<p>Wares</p>', 80);
"""
WARES_SETUP = """
mkdir -p /srv/wares/var; systemctl start redis-server
rm /etc/php/8.2/fpm/pool.d/www.conf; sed -i 's/^;process_control_timeout.*/process_control_timeout = 10s/' /etc/php/8.2/fpm/php-fpm.conf
systemctl enable --now php8.2-fpm
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/wares /etc/nginx/sites-enabled/wares
systemctl enable --now nginx
systemctl daemon-reload; systemctl enable --now varnish
"""
WARES = "wares.example"
VARNISH_AT, WARES_POOL_AT = frozenset({"127.0.0.1:6086"}), frozenset({"unix:/run/php/wares.sock"})
KIOSK = {"Cookie": "PHPSESSID=kiosk0000000000000000000000"}
WARES_FAULTS = (
    Fault(
        id="wares-varnish-unit-of-package",
        happens="somebody cleans up with `systemctl revert varnish` and restarts it: the drop-in with its address is gone, Varnish is on the package's port 6081",
        steps="systemctl revert varnish 2>/dev/null; systemctl restart varnish",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=VARNISH_AT,
    ),
    Fault(
        id="wares-vcl-does-not-compile",
        happens="the VCL on disk uses std.log without its import, which no reload had tried; Varnish restarts after its upgrade and does not start",
        steps="sed -i 's/sub vcl_recv {/sub vcl_recv {\\n    std.log(\"shop\");/' /etc/varnish/default.vcl; systemctl restart varnish || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "proxy-config-invalid", "proxy-not-running", "backend-crash-loop"),
        targets=VARNISH_AT,
    ),
    Fault(
        id="wares-tags-of-category",
        happens="a category's cache tags have grown to 6 kB: PHP, the inner nginx and Varnish pass them on, the outer nginx has 4 kB for a response header",
        steps="true",
        routes=(Route(path="/category", host=WARES, weight=4),),
        expects=causes("response-header-too-big"),
        targets=VARNISH_AT,
    ),
    Fault(
        id="wares-session-lock-left",
        happens="a PHP child was killed while it held the lock of the kiosk's session in Redis, which has no end: each request of the kiosk waits, and soon all children do",
        steps="redis-cli set PHPREDIS_SESSION:kiosk0000000000000000000000_LOCK web1:4711 >/dev/null",
        routes=(Route(path="/checkout", host=WARES, weight=4, headers=KIOSK),),
        users=14,
        expects=causes("backend-dependency-slow", "php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung", "backend-dependency-down"),
        targets=WARES_POOL_AT,
    ),
    Fault(
        id="wares-preload-missing",
        happens="opcache.preload names a file of the last release, which was pruned; PHP-FPM does not start again after its upgrade",
        steps="printf 'opcache.preload=/srv/wares/releases/41/preload.php\\nopcache.preload_user=www-data\\n' > /etc/php/8.2/fpm/conf.d/99-preload.ini; systemctl restart php8.2-fpm || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crash-loop"),
        targets=WARES_POOL_AT,
    ),
    Fault(
        id="wares-maintenance-flag-left",
        happens="a deploy that failed left var/maintenance.flag: the inner nginx returns 503 to all, Varnish's probe included",
        steps="touch /srv/wares/var/maintenance.flag",
        expects=causes("maintenance-response"),
        partly=causes("upstream-error-status", "all-upstreams-down"),
    ),
    Fault(
        id="wares-varnish-threads",
        happens="PHP gets 40 children for the imports (3 s), and Varnish one pool of five threads without a queue, copied from a small machine: connections are dropped",
        steps="sed -i 's/^pm.max_children.*/pm.max_children = 40/' /etc/php/8.2/fpm/pool.d/wares.conf; systemctl restart php8.2-fpm; sed -i 's/.threshold = 2;/.threshold = 2; .initial = 4;/' /etc/varnish/default.vcl; "
        "sed -i 's/-s malloc,64m/-s malloc,64m -p thread_pools=1 -p thread_pool_reserve=1 -p thread_pool_min=5 -p thread_pool_max=5 -p thread_queue_limit=0/' /etc/systemd/system/varnish.service.d/override.conf; systemctl daemon-reload; systemctl restart varnish",
        routes=(Route(path="/import", host=WARES, weight=20),),
        users=30,
        failures=120,
        expects=causes("workers-exhausted", "worker-connections-exhausted"),
        partly=causes(
            "premature-close", "connection-reset", "upstream-connection-limit", "php-fpm-max-children", "backend-too-slow"
        ),
    ),
)

COUNCIL_APP = """\
import threading, time
import psycopg2
from flask import Flask

application = Flask(__name__)
counting = threading.Lock()

@application.get("/")
def motions():
    base = psycopg2.connect("host=/var/run/postgresql dbname=council user=council")
    try:
        with base, base.cursor() as cursor:
            cursor.execute("select id, title from motions order by id limit 30")
            return {"motions": cursor.fetchall()}
    finally:
        base.close()

@application.get("/agenda")
def agenda():
    return "<p>Agenda</p>" * 60

@application.get("/minutes")
def minutes():
    time.sleep(3)
    return "minutes"

@application.get("/vote")
def vote():
    counting.acquire()
    return tally()

def tally():
    with counting:
        return "counted"
"""
COUNCIL_SITE = """\
<VirtualHost 127.0.0.1:8008>
    ServerName council.example
    WSGIDaemonProcess council user=council group=council processes=2 threads=4 python-home=/opt/venv python-path=/srv/council display-name=%{GROUP}
    WSGIProcessGroup council
    WSGIApplicationGroup %{GLOBAL}
    WSGIScriptAlias / /srv/council/council.wsgi
    <Directory /srv/council>
        Require all granted
    </Directory>
    ErrorLog ${APACHE_LOG_DIR}/council_error.log
    CustomLog ${APACHE_LOG_DIR}/council_access.log combined
</VirtualHost>
"""
COUNCIL_NGINX = """\
server {
    listen 203.0.113.10:80 default_server;
    server_name council.example;
    access_log /var/log/nginx/council.log;
    error_log /var/log/nginx/council.error.log;
    location / {
        include proxy_params;
        proxy_read_timeout 8s;
        proxy_pass http://apache.council.internal:8008;
    }
}
"""
COUNCIL_SETUP = """
useradd --system --create-home council; echo '127.0.0.1 apache.council.internal' >> /etc/hosts
systemctl start postgresql@15-main
sudo -u postgres psql -q -c 'create role council login' -c 'create database council owner council'
sudo -u council psql -q council -c "create table motions (id serial primary key, title text)" -c "insert into motions (title) select 'motion ' || n from generate_series(1, 200) n"
echo 'Listen 127.0.0.1:8008' > /etc/apache2/ports.conf
a2enmod -q wsgi ssl; a2dissite -q 000-default; a2ensite -q council
systemctl enable --now apache2
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/council /etc/nginx/sites-enabled/council
systemctl enable --now nginx
"""
COUNCIL = "council.example"
COUNCIL_AT = frozenset({"127.0.0.1:8008", "apache.council.internal:8008"})
COUNCIL_CONF = "/etc/apache2/sites-available/council.conf"
COUNCIL_FAULTS = (
    Fault(
        id="council-daemons-of-www-data",
        happens="user=council is lost in a merge: mod_wsgi's daemons run as www-data, PostgreSQL's peer authentication refuses them, pages with data are 500",
        steps=f"sed -i 's/ user=council group=council//' {COUNCIL_CONF}; systemctl restart apache2",
        failures=40,
        expects=causes("backend-dependency-down") | OWN_ERROR,
        targets=COUNCIL_AT,
    ),
    Fault(
        id="council-cluster-on-5433",
        happens="an upgrade of the cluster stopped half-way: PostgreSQL is up on port 5433, the application looks for the socket of 5432, pages with data are 500",
        steps="sed -i 's/^port = 5432/port = 5433/' /etc/postgresql/15/main/postgresql.conf; systemctl restart postgresql@15-main",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=COUNCIL_AT,
    ),
    Fault(
        id="council-certificate-of-neighbour",
        happens="certbot delete removed the certificate of another virtual host, which stays enabled; Apache does not start again at night, nginx in front of it gets refusals",
        steps="printf '<VirtualHost 127.0.0.1:8443>\\nServerName old.council.example\\nSSLEngine on\\nSSLCertificateFile /etc/letsencrypt/live/old.council.example/fullchain.pem\\nSSLCertificateKeyFile /etc/letsencrypt/live/old.council.example/privkey.pem\\n</VirtualHost>\\n' > /etc/apache2/sites-available/old.conf; a2ensite -q old; systemctl restart apache2 || true",
        expects=causes("backend-startup-failure", "proxy-config-invalid"),
        partly=causes("backend-not-running", "proxy-not-running"),
        targets=COUNCIL_AT,
    ),
    Fault(
        id="council-backlog-of-daemons",
        happens="one daemon of two threads and listen-backlog=3 were set for a test; minutes of 3 s fill it, Apache answers 503 (listener backlog limit was exceeded)",
        steps=f"sed -i 's/processes=2 threads=4/processes=1 threads=2 listen-backlog=3 connect-timeout=2/' {COUNCIL_CONF}; systemctl reload apache2",
        routes=(Route(path="/minutes", host=COUNCIL, weight=20),),
        users=36,
        failures=40,
        expects=causes("workers-exhausted", "listen-backlog-overflow"),
        partly=causes("backend-too-slow", "upstream-error-status"),
    ),
    Fault(
        id="council-alter-behind-reader",
        happens="a migration's ALTER TABLE waits for somebody's open transaction that has only read, and all that comes after waits for the ALTER TABLE",
        steps="systemd-run -q --unit=reader sudo -u council psql council -c 'begin; select count(*) from motions; select pg_sleep(600)'; sleep 1; "
        "systemd-run -q --unit=migration sudo -u council psql council -c 'alter table motions add column votes int'",
        expects=causes("backend-dependency-slow"),
        partly=HANGS | causes("backend-dependency-down"),
        targets=COUNCIL_AT,
    ),
    Fault(
        id="council-vote-deadlocks",
        happens="the page of votes takes a lock that it holds already: each visit costs a thread of mod_wsgi's daemons for ever, until none is left",
        steps="true",
        routes=(Route(path="/vote", host=COUNCIL, weight=2),),
        expects=causes("backend-hung", "workers-exhausted"),
        partly=causes("backend-too-slow"),
        targets=COUNCIL_AT,
    ),
    Fault(
        id="council-memory-of-daemons",
        happens="virtual-memory-limit of 60 MB for the daemons, from a guide for small machines: Python itself cannot start there, the daemons abort again and again, and pages wait",
        steps=f"sed -i 's/threads=4/threads=4 virtual-memory-limit=60000000/' {COUNCIL_CONF}; systemctl restart apache2",
        failures=40,
        expects=causes("backend-crash-loop", "backend-startup-failure"),
        partly=causes("backend-crashed", "backend-hung", "backend-too-slow", "workers-exhausted", "memory-pressure"),
    ),
    Fault(
        id="council-home-removed",
        happens="the home directory of the daemons' user is removed in a clean-up; after Apache's restart mod_wsgi cannot set its daemons up, starts them again and again, and each page waits",
        steps="rmdir /home/council 2>/dev/null || rm -r /home/council; systemctl restart apache2",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
    ),
    Fault(
        id="council-hosts-of-cloud-init",
        happens="/etc/hosts is written anew at a boot without apache.council.internal; nginx, restarted by an upgrade, does not find its upstream's name and stays down",
        steps="printf '127.0.0.1 localhost web1\\n' > /etc/hosts; systemctl restart nginx || true",
        expects=causes("dns-host-not-found", "proxy-not-running", "proxy-config-invalid"),
    ),
)

STACKS = (
    Stack(
        name="wares",
        about="nginx in front of Varnish (127.0.0.1:6086) in front of nginx (8080) in front of PHP-FPM, as shops are built; sessions in Redis with locks",
        files={
            "/etc/nginx/sites-available/wares": WARES_FRONT,
            "/etc/varnish/default.vcl": WARES_VCL,
            "/etc/systemd/system/varnish.service.d/override.conf": WARES_UNIT,
            "/etc/php/8.2/fpm/pool.d/wares.conf": WARES_POOL,
            "/srv/wares/pub/index.php": WARES_PHP,
        },
        setup=WARES_SETUP,
        routes=(Route(path="/", host=WARES, weight=4), Route(path="/checkout", host=WARES, weight=3)),
        faults=WARES_FAULTS,
        calms=(
            Calm(
                id="wares-release",
                happens="a release: PHP-FPM reloads with grace, the cache is banned, the VCL and nginx reload; imports of 3 s, scanners, users who break off",
                steps="systemctl reload php8.2-fpm; varnishadm 'ban req.url ~ .' >/dev/null; systemctl reload varnish; systemctl reload nginx",
                routes=(Route(path="/import", host=WARES), Route(path="/.env", host=WARES, weight=2)),
                cancels=True,
            ),
        ),
        ready_s=30.0,
    ),
    Stack(
        name="council",
        about="nginx in front of Apache with mod_wsgi's daemons under a user of their own, PostgreSQL with peer authentication on its socket",
        files={
            "/srv/council/app.py": COUNCIL_APP,
            "/srv/council/council.wsgi": "from app import application\n",
            COUNCIL_CONF: COUNCIL_SITE,
            "/etc/nginx/sites-available/council": COUNCIL_NGINX,
        },
        setup=COUNCIL_SETUP,
        routes=(Route(path="/", host=COUNCIL, weight=4), Route(path="/agenda", host=COUNCIL, weight=3)),
        faults=COUNCIL_FAULTS,
        calms=(
            Calm(
                id="council-session",
                happens="PostgreSQL is vacuumed and dumped, the script is touched (mod_wsgi reloads its daemons), nginx reloads, minutes of 3 s, scanners get 404",
                steps="sudo -u council psql -q council -c 'vacuum analyze motions'; sudo -u postgres pg_dump council >/dev/null; touch /srv/council/council.wsgi; systemctl reload nginx",
                routes=(Route(path="/minutes", host=COUNCIL), Route(path="/xmlrpc.php", host=COUNCIL, weight=2)),
                cancels=True,
            ),
        ),
        ready_s=30.0,
    ),
)
