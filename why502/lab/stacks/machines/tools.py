"""Debian's own web tools on one nginx (Netdata, Prometheus, gitweb in fcgiwrap, phpMyAdmin), logs set up otherwise, upgrades,
a message queue.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API_FILES, ENABLE_SITE, MARIADB, site, unit

TOOLS_SITE = """
    location /netdata/ {
        proxy_set_header Host $host;
        proxy_http_version 1.1;
        proxy_connect_timeout 3s;
        proxy_read_timeout 6s;
        proxy_pass http://127.0.0.1:19999/;
    }
    location /prometheus/ {
        proxy_connect_timeout 3s;
        proxy_read_timeout 6s;
        proxy_pass http://127.0.0.1:9090;
    }
    location /git/ {
        gzip off;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /usr/lib/cgi-bin/gitweb.cgi;
        fastcgi_param GITWEB_CONFIG /etc/gitweb.conf;
        fastcgi_read_timeout 6s;
        fastcgi_pass unix:/run/fcgiwrap.socket;
    }
    location /cgi-bin/ {
        gzip off;
        root /usr/lib;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /usr/lib$fastcgi_script_name;
        fastcgi_read_timeout 6s;
        fastcgi_pass unix:/run/fcgiwrap.socket;
    }
    location /phpmyadmin/ {
        root /usr/share/;
        index index.php;
        location ~ \\.php$ {
            include snippets/fastcgi-php.conf;
            fastcgi_read_timeout 6s;
            fastcgi_pass unix:/run/php/php8.2-fpm.sock;
        }
    }
"""
TOOLS_SETUP = (
    MARIADB
    + """
git init -q --bare /var/lib/git/shop.git; chown -R www-data: /var/lib/git
echo 'ARGS="--web.external-url=http://shop.example/prometheus/ --web.listen-address=127.0.0.1:9090 --storage.tsdb.retention.time=1d"' > /etc/default/prometheus
systemctl enable --now php8.2-fpm fcgiwrap.socket netdata prometheus
until curl -fs -o /dev/null http://127.0.0.1:19999/api/v1/info && curl -fs -o /dev/null http://127.0.0.1:9090/prometheus/-/ready; do sleep 0.2; done
"""
    + ENABLE_SITE
)
FCGIWRAP = frozenset({"unix:/run/fcgiwrap.socket"})
NETDATA = frozenset({"127.0.0.1:19999"})
PROMETHEUS = frozenset({"127.0.0.1:9090"})
TOOLS_FAULTS = (
    Fault(
        id="netdata-stopped",
        happens="Netdata is stopped",
        steps="systemctl stop netdata",
        expects=causes("backend-not-running"),
        targets=NETDATA,
    ),
    Fault(
        id="netdata-bound-elsewhere",
        happens="Netdata is bound to the public address",
        steps="sed -i 's/bind socket to IP = .*/bind socket to IP = 203.0.113.10/' /etc/netdata/netdata.conf; systemctl restart netdata; until ss -ltn | grep -q :19999; do sleep 0.2; done",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running"),
        targets=NETDATA,
    ),
    Fault(
        id="prometheus-rules-broken",
        happens="a new configuration of Prometheus is no YAML; it does not start again",
        steps="echo '  - oops: [' >> /etc/prometheus/prometheus.yml; systemctl restart prometheus || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=PROMETHEUS,
    ),
    Fault(
        id="prometheus-port-taken",
        happens="another program (a cockpit) was installed on port 9090 first; Prometheus cannot bind",
        steps='systemctl stop prometheus; systemd-run -q --unit=cockpit python3 -c \'import socket; s=socket.create_server(("127.0.0.1",9090)); '
        'exec("while True:\\n c,_=s.accept(); c.close()")\'; until ss -ltn | grep -q :9090; do sleep 0.1; done; systemctl start prometheus || true',
        expects=causes("port-conflict"),
        partly=causes("backend-startup-failure", "backend-crash-loop", "premature-close"),
        targets=PROMETHEUS,
    ),
    Fault(
        id="fcgiwrap-socket-stopped",
        happens="an upgrade stops fcgiwrap and its socket, and nobody starts them",
        steps="systemctl stop fcgiwrap.socket fcgiwrap.service; rm -f /run/fcgiwrap.socket",
        expects=causes("backend-not-running", "unix-socket-missing"),
        targets=FCGIWRAP,
    ),
    Fault(
        id="fcgiwrap-slow-script",
        happens="one CGI script hangs, and fcgiwrap has one worker: gitweb waits too",
        steps="printf '#!/bin/sh\\nsleep 30\\necho Content-type: text/plain; echo; echo done\\n' > /usr/lib/cgi-bin/report.cgi; chmod 755 /usr/lib/cgi-bin/report.cgi",
        routes=(Route(path="/cgi-bin/report.cgi", weight=2),),
        expects=causes("workers-exhausted", "backend-too-slow", "backend-hung"),
        targets=FCGIWRAP,
    ),
    Fault(
        id="fcgiwrap-script-without-header",
        happens="a CGI script prints an error in place of a header and ends",
        steps="printf '#!/bin/sh\\necho cannot open database >&2\\nexit 1\\n' > /usr/lib/cgi-bin/report.cgi; chmod 755 /usr/lib/cgi-bin/report.cgi",
        routes=(Route(path="/cgi-bin/report.cgi", weight=6),),
        expects=causes("premature-close", "application-error", "invalid-response"),
        partly=causes("backend-crashed"),
        targets=FCGIWRAP,
    ),
    Fault(
        id="fcgiwrap-socket-group",
        happens="the socket unit is overridden with SocketUser=root",
        steps="mkdir -p /etc/systemd/system/fcgiwrap.socket.d; printf '[Socket]\\nSocketUser=root\\nSocketGroup=root\\n' > /etc/systemd/system/fcgiwrap.socket.d/x.conf; "
        "systemctl daemon-reload; systemctl stop fcgiwrap.service; systemctl restart fcgiwrap.socket",
        expects=causes("unix-socket-permission"),
        targets=FCGIWRAP,
    ),
    Fault(
        id="phpmyadmin-php-removed",
        happens="autoremove takes php-fpm away: the unit is gone, phpMyAdmin has nothing behind it",
        steps="systemctl disable --now php8.2-fpm 2>/dev/null; rm -f /lib/systemd/system/php8.2-fpm.service /usr/sbin/php-fpm8.2; systemctl daemon-reload",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing", "php-fpm-socket-mismatch"),
        targets=frozenset({"unix:/run/php/php8.2-fpm.sock"}),
    ),
)

JSON_LOG = """
log_format json escape=json '{"time":"$time_iso8601","client":"$remote_addr","host":"$host","request":"$request","status":$status,'
    '"took":$request_time,"upstream":"$upstream_addr","upstream_status":"$upstream_status","upstream_took":"$upstream_response_time"}';
"""
LOGS_SITE = (
    JSON_LOG
    + """
upstream api {
    server 127.0.0.1:9101 max_fails=3 fail_timeout=5s;
    server 127.0.0.1:9102 max_fails=3 fail_timeout=5s;
}
server {
    listen 80 default_server;
    server_name shop.example;
    access_log /srv/logs/shop/access.json json;
    error_log /srv/logs/shop/error.log warn;
    location / {
        proxy_connect_timeout 3s;
        proxy_read_timeout 6s;
        proxy_pass http://api;
    }
    location /legacy/ {
        proxy_connect_timeout 3s;
        proxy_pass http://127.0.0.1:9103/;
    }
}
"""
)
WAIT = "until {}; do sleep 0.1; done\n"
UP = "curl -fs -o /dev/null http://127.0.0.1:{}/"
LOGS_SETUP = (
    "mkdir -p /srv/logs/shop\nsystemctl enable --now api@9101 api@9102 api@9103\n"
    + WAIT.format(" && ".join(UP.format(port) for port in (9101, 9102, 9103)))
    + ENABLE_SITE
)
BOTH = frozenset({"127.0.0.1:9101", "127.0.0.1:9102", "api"})
LOGS_FAULTS = (
    Fault(
        id="logs-both-stopped",
        happens="both members are stopped; the access log is JSON in a directory of its own",
        steps="systemctl stop api@9101 api@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        targets=BOTH,
    ),
    Fault(
        id="logs-one-of-two-crashing",
        happens="one of the two members dies at each start (its own settings are broken), the other one answers everything",
        steps="mkdir -p /etc/systemd/system/api@9102.service.d; printf '[Service]\\nRestart=always\\nRestartSec=1\\nExecStart=\\nExecStart=/bin/sh -c \"sleep 1; echo KeyError: TOKEN >&2; exit 1\"\\n' > /etc/systemd/system/api@9102.service.d/x.conf; "
        "systemctl daemon-reload; systemctl restart api@9102 || true",
        failures=0,
        settle="test $(grep -c 9102 /srv/logs/shop/error.log) -ge 3",
        expects=causes("backend-crash-loop", "backend-startup-failure"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=frozenset({"127.0.0.1:9102"}),
    ),
    Fault(
        id="logs-only-legacy-stopped",
        happens="the seldom used old service was stopped by a clean-up; the others are fine",
        steps="systemctl stop api@9103; systemctl disable api@9103",
        routes=(Route(path="/legacy/", weight=2),),
        expects=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:9103"}),
    ),
    Fault(
        id="logs-rotated-without-reopen",
        happens="logrotate moved the logs and nginx was never told; then a member is stopped",
        steps="mv /srv/logs/shop/error.log /srv/logs/shop/error.log.1; mv /srv/logs/shop/access.json /srv/logs/shop/access.json.1; touch /srv/logs/shop/error.log /srv/logs/shop/access.json; systemctl stop api@9101 api@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        targets=BOTH,
    ),
    Fault(
        id="logs-error-log-off",
        happens="error_log goes to /dev/null and there is no access log; both members are stopped",
        steps="sed -i 's#error_log .*#error_log /dev/null crit;#; s#access_log .*#access_log off;#' /etc/nginx/sites-available/shop; systemctl reload nginx; systemctl stop api@9101 api@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        targets=BOTH,
    ),
    Fault(
        id="logs-log-disk-full",
        happens="the disk of the logs is full, and then a member is stopped for a minute's work",
        steps="mkdir -p /srv/full; mount -t tmpfs -o size=64k full /srv/full; sed -i 's#/srv/logs/shop#/srv/full#' /etc/nginx/sites-available/shop; systemctl reload nginx; "
        "dd if=/dev/zero of=/srv/full/fill bs=1k 2>/dev/null || true; systemctl stop api@9101 api@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        partly=causes("disk-full"),
        targets=BOTH,
    ),
    Fault(
        id="logs-upgrade-restarts-slowly",
        happens="needrestart stops the services for 4 s during an unattended upgrade, and starts them again; it is over",
        steps="systemctl stop api@9101 api@9102; sleep 4; systemctl start api@9101 api@9102; "
        + WAIT.format(UP.format(9101) + " && " + UP.format(9102)).strip(),
        failures=4,
        expects=causes("deploy-termination-race", "backend-not-running"),
        partly=causes("all-upstreams-down"),
        targets=BOTH,
    ),
    Fault(
        id="logs-members-swapped-port",
        happens="a template writes 9111 and 9112 into the upstream group",
        steps="sed -i 's/127.0.0.1:9101/127.0.0.1:9111/; s/127.0.0.1:9102/127.0.0.1:9112/' /etc/nginx/sites-available/shop; systemctl reload nginx",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=frozenset({"127.0.0.1:9111", "127.0.0.1:9112", "api"}),
    ),
    Fault(
        id="logs-old-process-killed-by-deploy",
        happens="a deploy stops one instance while a request of several seconds runs (no graceful stop)",
        steps="for i in 1 2 3; do systemctl kill -s KILL api@9101 api@9102; sleep 2; done; "
        + WAIT.format(UP.format(9101) + " && " + UP.format(9102)).strip(),
        routes=(Route(path="/search", weight=8),),
        failures=4,
        expects=causes("backend-crashed", "deploy-termination-race"),
        partly=causes("connection-reset", "premature-close", "backend-not-running", "all-upstreams-down"),
        targets=BOTH,
    ),
)

QUEUE = """\
import os
import pika
from flask import Flask
app = Flask(__name__)

@app.post("/orders")
def order():
    try:
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", socket_timeout=60, blocked_connection_timeout=120))
    except pika.exceptions.AMQPConnectionError:
        app.logger.exception("queue unavailable")
        return "queue unavailable", 503
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("orders")
    channel.basic_publish("", "orders", b"order")
    connection.close()
    return "ok"

@app.get("/about")
def about():
    return "about " * 50
"""
QUEUE_SITE = "    location / {\n        proxy_connect_timeout 3s;\n        proxy_read_timeout 6s;\n        proxy_pass http://127.0.0.1:5000;\n    }\n"
QUEUE_AT = frozenset({"127.0.0.1:5000"})
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")
QUEUE_FAULTS = (
    Fault(
        id="queue-rabbitmq-stopped",
        happens="RabbitMQ is stopped; orders get 503",
        steps="systemctl stop rabbitmq-server",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=QUEUE_AT,
    ),
    Fault(
        id="queue-rabbitmq-memory-alarm",
        happens="RabbitMQ's memory alarm blocks publishers; orders hang",
        steps="rabbitmqctl -q set_vm_memory_high_watermark absolute 1MB",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=QUEUE_AT,
    ),
    Fault(
        id="queue-rabbitmq-frozen",
        happens="RabbitMQ stands still (a full disk, a swap storm)",
        steps="kill -STOP $(pgrep beam.smp)",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=QUEUE_AT,
    ),
)

STACKS = (
    Stack(
        name="tools",
        about="Netdata, Prometheus, gitweb and phpMyAdmin of Debian behind one nginx",
        files={"/etc/nginx/sites-available/shop": site(TOOLS_SITE)},
        setup=TOOLS_SETUP,
        routes=(
            Route(path="/netdata/api/v1/info", weight=3),
            Route(path="/prometheus/-/ready", weight=3),
            Route(path="/git/", weight=3),
            Route(path="/phpmyadmin/", weight=2),
        ),
        faults=TOOLS_FAULTS,
        calms=(
            Calm(
                id="tools-quiet-day",
                happens="ordinary traffic, reloads, log rotation",
                steps="logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx php8.2-fpm",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="logs",
        about="two members with JSON logs in a place of their own, a third service seldom used",
        files={**API_FILES, "/etc/nginx/sites-available/shop": LOGS_SITE},
        setup=LOGS_SETUP,
        routes=(Route(path="/", weight=6), Route(path="/about", weight=3), Route(path="/legacy/")),
        faults=LOGS_FAULTS,
        calms=(
            Calm(id="logs-quiet-day", happens="ordinary traffic", seconds=8),
            Calm(
                id="logs-rolling-restart",
                happens="a member is taken out of its group, restarted, and put back",
                steps="sed -i 's/9101 max_fails/9101 down max_fails/' /etc/nginx/sites-available/shop; systemctl reload nginx; "
                "until ! pgrep -f 'worker process is shutting dow[n]' >/dev/null; do sleep 0.2; done; sleep 1; systemctl restart api@9101; "
                + WAIT.format(UP.format(9101)).strip()
                + "; sed -i 's/9101 down/9101/' /etc/nginx/sites-available/shop; systemctl reload nginx",
                seconds=8,
            ),
        ),
    ),
    Stack(
        name="queue",
        about="Flask with RabbitMQ behind nginx",
        files={
            "/srv/shop/app.py": QUEUE,
            "/etc/systemd/system/shop.service": unit(
                "/opt/venv/bin/gunicorn --workers 3 --bind 127.0.0.1:5000 app:app", kind="notify"
            ),
            "/etc/nginx/sites-available/shop": site(QUEUE_SITE),
        },
        setup="systemctl start rabbitmq-server\nsystemctl enable --now shop\n" + ENABLE_SITE,
        routes=(Route(path="/orders", method="POST", weight=3), Route(path="/about", weight=3)),
        faults=QUEUE_FAULTS,
        calms=(Calm(id="queue-quiet-day", happens="ordinary traffic", seconds=8),),
        ready_s=90,
    ),
)
