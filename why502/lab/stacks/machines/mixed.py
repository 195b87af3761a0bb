"""Further machines: Apache with PHP-FPM and a balancer, gunicorn in supervisord, Jetty, memcached,
HAProxy with TLS and unix sockets.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API, API_FILES, ENABLE_SITE, MARIADB, site, unit

UP = "until curl -fs -o /dev/null http://127.0.0.1:{}/; do sleep 0.1; done\n"

APACHE_SITE = """\
<VirtualHost *:80>
    ServerName shop.example
    DocumentRoot /srv/shop/public
    ErrorLog ${APACHE_LOG_DIR}/shop_error.log
    CustomLog ${APACHE_LOG_DIR}/shop_access.log combined
    ProxyTimeout 6
    <Directory /srv/shop/public>
        Require all granted
        FallbackResource /index.php
    </Directory>
    <FilesMatch "\\.php$">
        SetHandler "proxy:unix:/run/php/php8.2-fpm.sock|fcgi://localhost"
    </FilesMatch>
    <Proxy "balancer://api">
        BalancerMember http://127.0.0.1:9101 retry=5
        BalancerMember http://127.0.0.1:9102 retry=5
    </Proxy>
    ProxyPass /api/ balancer://api/
</VirtualHost>
"""
APACHE_PHP = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/slow') { sleep((int)($_GET['seconds'] ?? 12)); }
if ($path === '/crash') { posix_kill(posix_getpid(), 11); }
if ($path === '/about') { echo str_repeat('<p>About us</p>', 99); exit; }
try {
    mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
    $db = new mysqli('localhost', 'shop', 'hunter22', 'shop');
    echo json_encode($db->query('select * from products limit 20')->fetch_all());
} catch (mysqli_sql_exception $error) {
    error_log($error->getMessage());
    http_response_code(503);
}
"""
FPM = frozenset({"unix:/run/php/php8.2-fpm.sock"})
MEMBERS = frozenset({"127.0.0.1:9101", "127.0.0.1:9102", "api", "balancer://api"})
APACHE_FAULTS = (
    Fault(
        id="apache-php-fpm-stopped",
        happens="php-fpm is stopped",
        steps="systemctl stop php8.2-fpm",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=FPM,
    ),
    Fault(
        id="apache-php-socket-moved",
        happens="the pool's socket is php8.3-fpm.sock after an upgrade",
        steps="sed -i 's#^listen = .*#listen = /run/php/php8.3-fpm.sock#' /etc/php/8.2/fpm/pool.d/www.conf; systemctl restart php8.2-fpm",
        expects=causes("php-fpm-socket-mismatch"),
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=FPM,
    ),
    Fault(
        id="apache-php-socket-owner",
        happens="listen.owner becomes root",
        steps="sed -i 's/^listen.owner.*/listen.owner = root/; s/^listen.group.*/listen.group = root/' /etc/php/8.2/fpm/pool.d/www.conf; systemctl restart php8.2-fpm",
        expects=causes("unix-socket-permission"),
        targets=FPM,
    ),
    Fault(
        id="apache-php-too-slow",
        happens="a page needs 12 s, ProxyTimeout is 6 s",
        steps="true",
        routes=(Route(path="/slow", weight=2),),
        failures=5,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        partly=causes("php-fpm-max-children", "workers-exhausted"),
        targets=FPM,
    ),
    Fault(
        id="apache-php-child-crashes",
        happens="a page makes the PHP child die by SIGSEGV",
        steps="true",
        routes=(Route(path="/crash", weight=4),),
        expects=causes("php-fpm-crashed", "backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=FPM,
    ),
    Fault(
        id="apache-balancer-members-stopped",
        happens="both members of the balancer are stopped",
        steps="systemctl stop api@9101 api@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        targets=MEMBERS,
    ),
    Fault(
        id="apache-balancer-members-moved",
        happens="the members listen on 9201 and 9202 now",
        steps="systemctl disable --now api@9101 api@9102; systemctl enable --now api@9201 api@9202",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=MEMBERS,
    ),
    Fault(
        id="apache-php-mariadb-stopped",
        happens="MariaDB is stopped; the shop answers 503",
        steps="systemctl stop mariadb",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=FPM,
    ),
)

SUPERVISOR_CONF = """\
[program:shop]
command=/opt/venv/bin/gunicorn --workers 2 --bind 127.0.0.1:7000 api:application
directory=/srv/api
user=www-data
autorestart=true
startsecs=2
startretries=2
environment=TOKEN="abc"
stdout_logfile=/var/log/supervisor/shop.log
redirect_stderr=true
"""
PROXY = """
    location / {
        include proxy_params;
        proxy_connect_timeout 3s;
        proxy_read_timeout 6s;
        proxy_pass http://TARGET;
    }
"""
AT_7000 = frozenset({"127.0.0.1:7000"})
SUPERVISOR_FAULTS = (
    Fault(
        id="supervisor-program-stopped",
        happens="someone runs supervisorctl stop shop",
        steps="supervisorctl stop shop",
        expects=causes("backend-not-running"),
        targets=AT_7000,
    ),
    Fault(
        id="supervisor-program-fatal",
        happens="a release needs a variable that supervisord does not pass; the program is FATAL after its retries",
        steps="sed -i '1i import os; os.environ[\"PAYMENT_KEY\"]' /srv/api/api.py; supervisorctl restart shop || true",
        settle="grep -q FATAL <(supervisorctl status shop)",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AT_7000,
    ),
    Fault(
        id="supervisor-daemon-stopped",
        happens="supervisord itself is stopped by an upgrade",
        steps="systemctl stop supervisor",
        expects=causes("backend-not-running"),
        targets=AT_7000,
    ),
    Fault(
        id="supervisor-page-crashes",
        happens="a page crashes its worker",
        steps="true",
        routes=(Route(path="/crash", weight=2),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=AT_7000,
    ),
    Fault(
        id="supervisor-port-in-command",
        happens="the command binds 7001 after an edit",
        steps="sed -i 's/:7000/:7001/' /etc/supervisor/conf.d/shop.conf; supervisorctl reread; supervisorctl update",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=AT_7000,
    ),
)

AT_8080 = frozenset({"127.0.0.1:8080"})
JETTY_FAULTS = (
    Fault(
        id="jetty-stopped",
        happens="Jetty is stopped",
        steps="systemctl stop jetty9",
        expects=causes("backend-not-running"),
        targets=AT_8080,
    ),
    Fault(
        id="jetty-frozen",
        happens="Jetty stands still",
        steps="systemctl kill -s STOP jetty9",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow"),
        targets=AT_8080,
    ),
    Fault(
        id="jetty-port-taken-by-tomcat",
        happens="Tomcat was installed too, and holds port 8080 after a reboot; its root page is not there, and Jetty cannot bind",
        steps='systemctl stop jetty9; sed -i \'s/<Connector port="8080"/<Connector port="8080" address="127.0.0.1"/\' /etc/tomcat10/server.xml; systemctl start tomcat10; '
        "until ss -ltn | grep -q :8080; do sleep 0.2; done; systemctl start jetty9 || true; kill -STOP $(pgrep -u tomcat java)",
        expects=causes("port-conflict"),
        partly=causes("backend-hung", "backend-startup-failure", "backend-crash-loop"),
        targets=AT_8080,
    ),
    Fault(
        id="jetty-java-missing",
        happens="JAVA_HOME names a Java that an upgrade removed",
        steps="echo 'JAVA=/usr/lib/jvm/java-11/bin/java' >> /etc/default/jetty9; systemctl restart jetty9 || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AT_8080,
    ),
)

MEMCACHED = """\
import os
from flask import Flask
from pymemcache.client.base import Client
app = Flask(__name__)
cache = Client(("127.0.0.1", 11211), connect_timeout=60, timeout=60)

@app.get("/")
def home():
    try:
        cache.set("seen", "x")
        return cache.get("seen") * 100
    except OSError:
        app.logger.exception("cache unavailable")
        return "cache unavailable", 503

@app.get("/about")
def about():
    return "about " * 50
"""
AT_7100 = frozenset({"127.0.0.1:7100"})
MEMCACHED_FAULTS = (
    Fault(
        id="memcached-stopped",
        happens="memcached is stopped; pages answer 503",
        steps="systemctl stop memcached",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=AT_7100,
    ),
    Fault(
        id="memcached-frozen",
        happens="memcached hangs",
        steps="systemctl kill -s STOP memcached",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout"),
        targets=AT_7100,
    ),
    Fault(
        id="memcached-web-stopped",
        happens="the application beside it is stopped, memcached runs",
        steps="systemctl stop shop",
        expects=causes("backend-not-running"),
        targets=AT_7100,
    ),
    Fault(
        id="memcached-web-disabled-by-reboot",
        happens="the unit was never enabled: after a reboot it is not there (its logs of this boot are empty)",
        steps="systemctl stop shop; systemctl disable shop 2>/dev/null || true; journalctl --rotate -q; journalctl -q --vacuum-time=1s; truncate -s 0 /var/log/nginx/*.log",
        expects=causes("backend-not-running"),
        targets=AT_7100,
    ),
)

SOCKETS = """\
global
    log /dev/log local0
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    daemon

defaults
    log global
    mode http
    option httplog
    timeout connect 3s
    timeout client 20s
    timeout server 6s

frontend web
    bind :80
    acl is_static path_beg /static/
    use_backend files if is_static
    default_backend app

backend app
    server app unix@/run/shop/app.sock check inter 1s

backend files
    server files 127.0.0.1:8082 check inter 1s
"""
SOCKETS_SITE = "    root /srv/files;\n    location / {\n        try_files $uri =404;\n    }\n"
APP = frozenset({"unix:/run/shop/app.sock", "app", "/run/shop/app.sock"})
SOCKETS_FAULTS = (
    Fault(
        id="sockets-app-stopped",
        happens="the application behind the unix socket is stopped",
        steps="systemctl stop shop",
        expects=causes("backend-not-running", "unix-socket-missing"),
        partly=causes("all-upstreams-down"),
        targets=APP,
    ),
    Fault(
        id="sockets-permission",
        happens="the socket gets mode 0600 of another user",
        steps="sed -i 's/--umask 0/--umask 077/' /etc/systemd/system/shop.service; systemctl daemon-reload; systemctl restart shop",
        expects=causes("unix-socket-permission"),
        partly=causes("all-upstreams-down"),
        targets=APP,
    ),
    Fault(
        id="sockets-files-stopped",
        happens="nginx, which serves the static files behind HAProxy, is stopped; the pages are fine",
        steps="systemctl stop nginx",
        expects=causes("backend-not-running", "proxy-not-running"),
        partly=causes("all-upstreams-down"),
        targets=frozenset({"127.0.0.1:8082", "files", "None"}),
    ),
    Fault(
        id="sockets-app-frozen",
        happens="the application stands still",
        steps="systemctl kill -s STOP shop",
        failures=6,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "all-upstreams-down"),
        targets=APP,
    ),
)

STACKS = (
    Stack(
        name="apache-php",
        about="Apache with PHP-FPM on a unix socket and a balancer of two services, MariaDB",
        files={**API_FILES, "/srv/shop/public/index.php": APACHE_PHP, "/etc/apache2/sites-available/shop.conf": APACHE_SITE},
        setup=MARIADB
        + "systemctl enable --now php8.2-fpm api@9101 api@9102\n"
        + UP.format(9101)
        + UP.format(9102)
        + "a2enmod -q proxy_fcgi proxy_http proxy_balancer lbmethod_byrequests\na2dissite -q 000-default\na2ensite -q shop\nsystemctl enable --now apache2\n",
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3), Route(path="/api/items", weight=4)),
        faults=APACHE_FAULTS,
        calms=(
            Calm(id="apache-php-quiet-day", happens="ordinary traffic, 404s", routes=(Route(path="/api/missing"),), seconds=8),
            Calm(
                id="apache-php-night",
                happens="php-fpm and Apache reload, logs rotate",
                steps="systemctl reload php8.2-fpm apache2; logrotate -f /etc/logrotate.d/apache2",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="supervisor",
        about="gunicorn in supervisord behind nginx",
        files={
            "/srv/api/api.py": API,
            "/etc/supervisor/conf.d/shop.conf": SUPERVISOR_CONF,
            "/etc/nginx/sites-available/shop": site(PROXY.replace("TARGET", "127.0.0.1:7000")),
        },
        setup="systemctl enable --now supervisor\n" + UP.format(7000) + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=SUPERVISOR_FAULTS,
        calms=(
            Calm(
                id="supervisor-quiet-day",
                happens="ordinary traffic, a graceful reload of gunicorn",
                steps="supervisorctl signal HUP shop",
                seconds=8,
            ),
        ),
    ),
    Stack(
        name="jetty",
        about="Jetty 9 of Debian behind nginx",
        files={
            "/var/lib/jetty9/webapps/root/index.html": "<h1>Shop</h1>",
            "/var/lib/jetty9/webapps/root/about": "about",
            "/etc/nginx/sites-available/shop": site(PROXY.replace("TARGET", "127.0.0.1:8080")),
        },
        setup="systemctl enable --now jetty9\nuntil curl -s -o /dev/null http://127.0.0.1:8080/; do sleep 0.3; done\n"
        + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=JETTY_FAULTS,
        calms=(Calm(id="jetty-quiet-day", happens="ordinary traffic", seconds=8),),
        ready_s=90,
    ),
    Stack(
        name="memcached",
        about="Flask with memcached behind nginx",
        files={
            "/srv/shop/app.py": MEMCACHED,
            "/etc/systemd/system/shop.service": unit(
                "/opt/venv/bin/gunicorn --workers 3 --bind 127.0.0.1:7100 app:app", kind="notify"
            ),
            "/etc/nginx/sites-available/shop": site(PROXY.replace("TARGET", "127.0.0.1:7100")),
        },
        setup="systemctl start memcached\nsystemctl enable --now shop\n" + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=MEMCACHED_FAULTS,
        calms=(Calm(id="memcached-quiet-day", happens="ordinary traffic; memcached restarts between requests", seconds=8),),
    ),
    Stack(
        name="sockets",
        about="HAProxy in front of gunicorn on a unix socket and of nginx for static files",
        files={
            "/srv/shop/api.py": API,
            "/srv/files/static/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "/etc/haproxy/haproxy.cfg": SOCKETS,
            "/etc/systemd/system/shop.service": unit(
                "/opt/venv/bin/gunicorn --workers 3 --umask 0 --bind unix:/run/shop/app.sock api:application",
                kind="notify",
                more="RuntimeDirectory=shop",
            ),
            "/etc/nginx/sites-available/shop": site(SOCKETS_SITE, listen="127.0.0.1:8082 default_server"),
        },
        setup="systemctl enable --now shop\n" + ENABLE_SITE + "systemctl enable --now haproxy\n",
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3), Route(path="/static/logo.svg", weight=3)),
        faults=SOCKETS_FAULTS,
        calms=(
            Calm(
                id="sockets-reload",
                happens="HAProxy and nginx reload under traffic",
                steps="systemctl reload haproxy nginx",
                seconds=8,
            ),
        ),
    ),
)
