"""Django's own server started by cron for a club, and Prometheus with its company below the paths of one nginx."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

MANAGE = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = """\
SECRET_KEY = "allotment"
DEBUG = False
ALLOWED_HOSTS = ["plots.example", "127.0.0.1"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = []
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/plots-data/db.sqlite3"}}
USE_TZ = True
"""
URLS = """\
from django.urls import path
import views

urlpatterns = [path("", views.home), path("plots", views.plots), path("notes", views.notes), path("map", views.plan)]
"""
VIEWS = """\
import time
from django.db import connection
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt

def home(request):
    return HttpResponse("<p>The club's plots</p>" * 60)

def plots(request):
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from notes")
        return HttpResponse("plot %d " % cursor.fetchone()[0] * 60)

@csrf_exempt
def notes(request):
    with connection.cursor() as cursor:
        cursor.execute("insert into notes (text) values (%s)", ["compost " * 20])
    return HttpResponse("noted")

def plan(request):
    time.sleep(3.5)
    return HttpResponse("map " * 300)
"""
START = """#!/bin/sh
# started by cron at boot
cd /home/gardener/plots || exit 1
exec /opt/venv/bin/python -u manage.py runserver 127.0.0.1:8000 >> /home/gardener/run.log 2>&1
"""
PLOTS_SITE = """\
server {
    listen 80;
    server_name plots.example;
    location / {
        proxy_pass http://127.0.0.1:8000;
        proxy_set_header Host $host;
        proxy_read_timeout 20s;
    }
}
"""
PLOTS_UP = "until curl -fs -o /dev/null http://127.0.0.1:8000/; do sleep 0.2; done"
PLOTS_SETUP = f"""
useradd --create-home --shell /bin/bash gardener; chown -R gardener: /home/gardener; chmod 755 /home/gardener
mkdir -p /srv/plots-data; mount -t tmpfs -o size=3m,mode=755 plots /srv/plots-data; chown gardener: /srv/plots-data
sudo -u gardener python3 -c "import sqlite3; c = sqlite3.connect('/srv/plots-data/db.sqlite3'); c.execute('create table notes (id integer primary key, text text)'); c.commit()"
echo '@reboot /home/gardener/start.sh' | crontab -u gardener -
systemctl enable -q --now cron
{PLOTS_UP}
rm /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/plots /etc/nginx/sites-enabled/plots
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
PLOTS = "plots.example"
PLOTS_AT = frozenset({"127.0.0.1:8000"})
NOTES = Route(path="/notes", method="POST", host=PLOTS, weight=4)
PLOTS_FAULTS = (
    Fault(
        id="allotment-server-killed-by-hand",
        happens="a member tidies up on the machine and kills the Python processes of gardener, which only cron starts, and only at a boot",
        steps="kill $(pgrep -u gardener -f 'manage.py runserver')",
        expects=causes("backend-not-running"),
        targets=PLOTS_AT,
    ),
    Fault(
        id="allotment-hosts-of-new-domain",
        happens="ALLOWED_HOSTS gets the club's new domain in place of the old one, which members still use: 400 (DisallowedHost) for all",
        steps='sed -i \'s/"plots.example"/"garden-club.example"/\' /home/gardener/plots/settings.py',
        failures=0,
        limit_s=90.0,
        settle="test $(tail -n 60 /var/log/nginx/access.log | grep -c '\" 400 ') -ge 12",
        expects=causes("wrong-host-header"),
        partly=OWN_ERROR,
        targets=PLOTS_AT,
    ),
    Fault(
        id="allotment-edited-in-place",
        happens="views.py is edited on the machine and saved half-way (SyntaxError); the server notices the change and loads it: its process stays, nothing listens any more",
        steps="echo 'def weeds(request:' >> /home/gardener/plots/views.py; until ! ss -ltn | grep -q 127.0.0.1:8000; do sleep 0.3; done",
        limit_s=90.0,
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=PLOTS_AT,
    ),
    Fault(
        id="allotment-database-locked",
        happens="the copy of the database for the treasurer holds a transaction open (begin exclusive): `database is locked` after five seconds, 500 for plots and notes",
        steps="systemd-run -q --uid=gardener python3 -c \"import sqlite3, time; c = sqlite3.connect('/srv/plots-data/db.sqlite3', isolation_level=None); c.execute('begin exclusive'); time.sleep(600)\"",
        routes=(NOTES,),
        limit_s=90.0,
        expects=causes("application-error", "upstream-error-status", "backend-dependency-slow"),
        partly=causes("backend-too-slow", "backend-dependency-down"),
        targets=PLOTS_AT,
    ),
    Fault(
        id="allotment-photos-fill-the-volume",
        happens="photos of the summer party are copied to the small volume of the database, which is full now: `database or disk is full`, 500 for each new note",
        steps="dd if=/dev/zero of=/srv/plots-data/party.zip bs=1k count=4000 2>/dev/null || true",
        routes=(NOTES,),
        limit_s=90.0,
        expects=causes("disk-full"),
        partly=OWN_ERROR,
        targets=PLOTS_AT | {"/srv/plots-data"},
    ),
    Fault(
        id="allotment-restored-as-root",
        happens="root restored the database from the backup; it belongs to root now, and the server runs as gardener: `attempt to write a readonly database`, 500 for notes",
        steps="cp /srv/plots-data/db.sqlite3 /root/db.bak; rm /srv/plots-data/db.sqlite3; cp /root/db.bak /srv/plots-data/db.sqlite3; chown root: /srv/plots-data/db.sqlite3; chmod 644 /srv/plots-data/db.sqlite3",
        routes=(NOTES,),
        limit_s=90.0,
        expects=OWN_ERROR,
        targets=PLOTS_AT,
    ),
    Fault(
        id="allotment-started-by-hand-on-8080",
        happens="after a boot the server was not there, and a member started it by hand as the tutorial shows, with port 8080; nginx asks 8000",
        steps="kill $(pgrep -u gardener -f 'manage.py runserver'); systemd-run -q --uid=gardener --working-directory=/home/gardener/plots /opt/venv/bin/python manage.py runserver 0.0.0.0:8080; until curl -fs -o /dev/null http://127.0.0.1:8080/; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=PLOTS_AT,
    ),
)

HALF_AN_HOUR = """
old=$(date -d '35 minutes ago' '+%Y/%m/%d %H:%M'); day=$(date -d '35 minutes ago' '+%d/%b/%Y:%H:%M'); zone=$(date +%z)
for n in $(seq 10 40); do
  echo "$old:$n [error] 800#800: *$n connect() failed (111: Connection refused) while connecting to upstream, client: 203.0.113.31, server: plots.example, request: \\"GET /plots HTTP/1.1\\", upstream: \\"http://127.0.0.1:8000/plots\\", host: \\"plots.example\\"" >> /tmp/error.log
  echo "203.0.113.31 - - [$day:$n $zone] \\"GET /plots HTTP/1.1\\" 502 157 \\"-\\" \\"Mozilla/5.0\\"" >> /tmp/access.log
done
cat /var/log/nginx/error.log >> /tmp/error.log; cat /tmp/error.log > /var/log/nginx/error.log
cat /var/log/nginx/access.log >> /tmp/access.log; cat /tmp/access.log > /var/log/nginx/access.log
"""

BEACON_SITE = """\
log_format beacon '$remote_addr $remote_user [$time_local] "$request" $status $body_bytes_sent rt=$request_time ua=$upstream_addr us=$upstream_status';
limit_req_zone $binary_remote_addr zone=hooks:1m rate=20r/s;
server {
    listen 80 default_server;
    server_name ops.example;
    access_log /var/log/nginx/ops.log beacon;
    error_log /var/log/nginx/ops.error.log warn;
    auth_basic "operations";
    auth_basic_user_file /etc/nginx/ops.htpasswd;

    location /prometheus/ { proxy_pass http://127.0.0.1:9090; proxy_read_timeout 15s; }
    location /alerts/ { proxy_pass http://127.0.0.1:9093; }
    location /node/ { proxy_pass http://127.0.0.1:9100/; }
    location /hooks/ {
        auth_basic off;
        limit_req zone=hooks burst=10 nodelay;
        proxy_pass http://127.0.0.1:9111;
        proxy_read_timeout 8s;
    }
}
"""
HOOKS = """\
- id: deploy
  execute-command: /usr/local/bin/deploy
  include-command-output-in-response: true
- id: ping
  execute-command: /bin/true
  response-message: pong
"""
DEPLOY = """#!/bin/sh
# one deploy at a time
exec 9> /run/lock/deploy.lock
flock 9
sleep 0.2
echo deployed
"""
BEACON_RULES = """\
groups:
  - name: hosts
    rules:
      - alert: HostDown
        expr: up == 0
        for: 2m
"""
BEACON_PROMETHEUS = """\
global:
  scrape_interval: 5s
rule_files: [/etc/prometheus/hosts.rules.yml]
alerting:
  alertmanagers:
    - path_prefix: /alerts
      static_configs: [{targets: ['127.0.0.1:9093']}]
scrape_configs:
  - job_name: node
    static_configs: [{targets: ['127.0.0.1:9100']}]
"""
BEACON_HOOK_UNIT = """[Unit]
Description=Webhooks of operations
After=network.target

[Service]
DynamicUser=yes
ReadWritePaths=/run/lock
ExecStart=/usr/bin/webhook -nopanic -verbose -ip 127.0.0.1 -port 9111 -hooks /etc/hooks.yaml
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
BEACON_UP = "until curl -fs -o /dev/null http://127.0.0.1:9090/prometheus/-/ready && curl -fs -o /dev/null http://127.0.0.1:9093/alerts/-/ready && curl -fs -o /dev/null http://127.0.0.1:9100/metrics; do sleep 0.3; done"
BEACON_SETUP = f"""
printf 'ops:%s\\n' "$(openssl passwd -apr1 lantern)" > /etc/nginx/ops.htpasswd
echo 'ARGS="--web.listen-address=127.0.0.1:9090 --web.external-url=http://ops.example/prometheus/"' > /etc/default/prometheus
echo 'ARGS="--web.listen-address=127.0.0.1:9093 --web.external-url=http://ops.example/alerts/ --cluster.listen-address="' > /etc/default/prometheus-alertmanager
echo 'ARGS="--web.listen-address=127.0.0.1:9100 --collector.disable-defaults --collector.loadavg --collector.meminfo --collector.stat"' > /etc/default/prometheus-node-exporter
systemctl daemon-reload; systemctl enable -q --now prometheus prometheus-alertmanager prometheus-node-exporter ops-hooks
{BEACON_UP}
rm /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/ops /etc/nginx/sites-enabled/ops
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
OPS = "ops.example"
KEY = {"Authorization": "Basic b3BzOmxhbnRlcm4="}
PROMETHEUS_AT, ALERTS_AT = frozenset({"127.0.0.1:9090"}), frozenset({"127.0.0.1:9093"})
NODE_AT, HOOKS_AT = frozenset({"127.0.0.1:9100"}), frozenset({"127.0.0.1:9111"})


def _ops(path: str, weight: int = 1, method: str = "GET", expect: tuple[int, ...] = (200,)) -> Route:
    return Route(path=path, host=OPS, weight=weight, method=method, headers=KEY, expect=expect)


QUERY = "/prometheus/api/v1/query?query=up"
BEACON_FAULTS = (
    Fault(
        id="beacon-rule-with-a-bracket",
        happens="a rule of alerts is committed with an unbalanced bracket; Prometheus was restarted by the upgrade, does not load it, and ends again and again",
        steps="sed -i 's/expr: up == 0/expr: sum(rate(up[5m]) == 0/' /etc/prometheus/hosts.rules.yml; systemctl restart prometheus || true; sleep 4",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=PROMETHEUS_AT,
    ),
    Fault(
        id="beacon-exporter-on-the-wire",
        happens="the exporter is to be scraped from elsewhere and gets the machine's own address (203.0.113.10:9100); nginx asks 127.0.0.1:9100",
        steps="sed -i 's/127.0.0.1:9100/203.0.113.10:9100/' /etc/default/prometheus-node-exporter; systemctl restart prometheus-node-exporter; until curl -fs -o /dev/null http://203.0.113.10:9100/metrics; do sleep 0.2; done",
        routes=(_ops("/node/metrics", 4),),
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "wrong-port"),
        targets=NODE_AT,
    ),
    Fault(
        id="beacon-hooks-on-a-free-port",
        happens="9111 was taken on the staging machine, and the unit with port 9101 came from there; nginx asks 9111, among many ports that listen",
        steps="sed -i 's/-port 9111/-port 9101/' /etc/systemd/system/ops-hooks.service; systemctl daemon-reload; systemctl restart ops-hooks; until curl -fs -o /dev/null http://127.0.0.1:9101/hooks/ping; do sleep 0.2; done",
        routes=(_ops("/hooks/ping", 4),),
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=HOOKS_AT,
    ),
    Fault(
        id="beacon-deploy-that-never-ended",
        happens="yesterday's deploy still holds its lock (it waits for a password); each new hook waits behind it, and nginx gives up after eight seconds",
        steps="systemd-run -q flock /run/lock/deploy.lock sleep 900; sleep 1",
        routes=(_ops("/hooks/deploy", 3, "POST"),),
        limit_s=100.0,
        expects=causes("backend-too-slow", "backend-dependency-slow", "backend-hung"),
        partly=causes("proxy-timeout-too-short", "workers-exhausted"),
        targets=HOOKS_AT,
    ),
    Fault(
        id="beacon-alertmanager-masked",
        happens="Alertmanager was stopped and masked so that it should be silent during a maintenance, weeks ago; today somebody needs it",
        steps="systemctl stop prometheus-alertmanager; systemctl mask -q prometheus-alertmanager",
        routes=(_ops("/alerts/-/healthy", 4),),
        expects=causes("backend-not-running"),
        targets=ALERTS_AT,
    ),
    Fault(
        id="beacon-hooks-of-a-robot",
        happens="a robot calls the ping hook without a pause, from one address, far above the limit: nginx refuses most calls with 503 (limiting requests)",
        steps="systemd-run -q bash -c 'while sleep 0.02; do curl -s -o /dev/null -H \"Host: ops.example\" http://203.0.113.10/hooks/ping & done'",
        routes=tuple(_ops("/hooks/ping", 8) for _ in range(3)),
        failures=0,
        settle="test $(grep -c 'limiting requests' /var/log/nginx/ops.error.log) -ge 40",
        limit_s=90.0,
        expects=causes("rate-limited"),
    ),
    Fault(
        id="beacon-hooks-file-with-tabs",
        happens="the file of hooks gets a line with a tab (not YAML); webhook is restarted with it and serves no hook at all: 404 for hooks that were there a minute ago",
        steps="printf '\\t- id: rollback\\n' >> /etc/hooks.yaml; systemctl restart ops-hooks; sleep 1",
        routes=(_ops("/hooks/ping", 6),),
        failures=0,
        settle="test $(tail -n 60 /var/log/nginx/ops.log | grep -c '/hooks/.* 404 ') -ge 12 || test $(tail -n 60 /var/log/nginx/ops.log | grep -c '/hooks/.* 502 ') -ge 12",
        limit_s=90.0,
        expects=causes("backend-startup-failure", "application-error", "upstream-error-status"),
        partly=causes("route-not-found", "backend-not-running", "backend-crash-loop"),
        targets=HOOKS_AT,
    ),
)

STACKS = (
    Stack(
        name="allotment",
        about="a club's Django in `manage.py runserver`, started by @reboot of an ordinary user's crontab, with SQLite on a small volume, behind nginx",
        files={
            "/home/gardener/plots/manage.py": MANAGE,
            "/home/gardener/plots/settings.py": SETTINGS,
            "/home/gardener/plots/urls.py": URLS,
            "/home/gardener/plots/views.py": VIEWS,
            "/home/gardener/start.sh": START,
            "/etc/nginx/sites-available/plots": PLOTS_SITE,
        },
        setup=PLOTS_SETUP,
        routes=(Route(path="/", host=PLOTS, weight=4), Route(path="/plots", host=PLOTS, weight=2)),
        faults=PLOTS_FAULTS,
        calms=(
            Calm(
                id="allotment-sunday",
                happens="the map takes 3.5 s and comes, notes are written, a backup of the database runs, logs rotate; someone asks for a page that is not there and a scanner for others",
                steps="logrotate -f /etc/logrotate.d/nginx; sudo -u gardener python3 -c \"import sqlite3; sqlite3.connect('/srv/plots-data/db.sqlite3').execute('select count(*) from notes').fetchall()\"",
                routes=(
                    Route(path="/map", host=PLOTS),
                    NOTES,
                    Route(path="/weeds", host=PLOTS),
                    Route(path="/cgi-bin/luci", host=PLOTS),
                ),
                seconds=18,
                cancels=True,
            ),
            Calm(
                id="allotment-restarted-half-an-hour-ago",
                happens="half an hour ago the server was restarted by hand, and its visitors saw 502 for a minute; that is over, and in the logs",
                steps=HALF_AN_HOUR,
                routes=(Route(path="/map", host=PLOTS),),
                seconds=15,
            ),
        ),
    ),
    Stack(
        name="beacon",
        about="Prometheus, Alertmanager, an exporter and webhook below paths of one nginx with basic authentication and a log format of its own",
        files={
            "/etc/nginx/sites-available/ops": BEACON_SITE,
            "/etc/hooks.yaml": HOOKS,
            "/usr/local/bin/deploy": DEPLOY,
            "/etc/prometheus/prometheus.yml": BEACON_PROMETHEUS,
            "/etc/prometheus/hosts.rules.yml": BEACON_RULES,
            "/etc/systemd/system/ops-hooks.service": BEACON_HOOK_UNIT,
        },
        setup=BEACON_SETUP,
        routes=(
            _ops(QUERY, 4),
            _ops("/alerts/-/healthy"),
            _ops("/node/metrics"),
            _ops("/hooks/ping"),
            _ops("/hooks/deploy", 1, "POST"),
        ),
        faults=BEACON_FAULTS,
        calms=(
            Calm(
                id="beacon-watch-handover",
                happens="a browser asks without its password first (401), Prometheus reloads its rules, deploys queue behind each other and succeed, nginx reloads, scanners ask without a password",
                steps="systemctl reload prometheus; systemctl reload nginx",
                routes=(
                    Route(path="/prometheus/graph", host=OPS),
                    _ops("/hooks/deploy", 2, "POST"),
                    Route(path="/actuator/health", host=OPS),
                ),
                seconds=18,
            ),
        ),
    ),
)
