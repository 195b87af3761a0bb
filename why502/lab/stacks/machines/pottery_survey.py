"""FastAPI with Redis and its Sentinel behind nginx, and a nginx that speaks SCGI to uWSGI and FastCGI to cgit."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
CUT = causes("premature-close", "connection-reset", "backend-not-running")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

POTTERY_APP = """\
import os, threading, time
from contextlib import asynccontextmanager
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from redis.sentinel import Sentinel

sentinel = Sentinel([("127.0.0.1", 26379)], socket_timeout=3)
time.sleep(float(os.environ.get("LOAD_S", "0")))

@asynccontextmanager
async def life(app):
    print("kiln store is", sentinel.discover_master("kiln"), flush=True)
    yield

app = FastAPI(lifespan=life)

@app.get("/", response_class=PlainTextResponse)
def shelf():
    store = sentinel.master_for("kiln", socket_timeout=3, password=os.environ.get("REDIS_PASSWORD"))
    return "pot " * 100 + str(store.incr("visits"))

@app.get("/courses", response_class=PlainTextResponse)
def courses():
    return "throwing and glazing " * 80

@app.get("/glaze", response_class=PlainTextResponse)
def glaze():
    time.sleep(1.3)
    return "celadon " * 90

@app.get("/firing", response_class=PlainTextResponse)
def firing():
    hands = [threading.Thread(target=time.sleep, args=(0.8,)) for _ in range(30)]
    for each in hands:
        each.start()
    for each in hands:
        each.join()
    return "fired"

@app.post("/orders")
def orders():
    return {"order": sentinel.master_for("kiln", socket_timeout=3, password=os.environ.get("REDIS_PASSWORD")).incr("orders")}
"""
POTTERY_CONF = """\
bind = "127.0.0.1:8200"
workers = 2
worker_class = "uvicorn_worker.UvicornWorker"
timeout = 60
"""
POTTERY_UNIT = """[Unit]
Description=Pottery
After=network.target redis-server.service redis-sentinel.service

[Service]
Type=notify
User=pottery
WorkingDirectory=/srv/pottery
EnvironmentFile=-/etc/pottery.env
ExecStart=/opt/venv/bin/gunicorn -c gunicorn.conf.py pottery:app
ExecReload=/bin/kill -s HUP $MAINPID
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
POTTERY_SITE = """\
upstream pottery {
    server 127.0.0.1:8200;
    keepalive 8;
}
server {
    listen 80;
    server_name pottery.example;
    access_log /var/log/nginx/pottery.access.log;
    error_log /var/log/nginx/pottery.error.log;

    location / {
        proxy_pass http://pottery;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_read_timeout 6s;
    }
}
"""
POTTERY_UP = "until curl -fs -o /dev/null http://127.0.0.1:8200/courses; do sleep 0.2; done"
POTTERY_SETUP = f"""
useradd --system pottery
sed -i 's/^sentinel monitor .*/sentinel monitor kiln 127.0.0.1 6379 1/; s/ mymaster / kiln /; s/^sentinel down-after-milliseconds .*/sentinel down-after-milliseconds kiln 2000/' /etc/redis/sentinel.conf
systemctl enable -q --now redis-server; systemctl enable -q --now redis-sentinel
until redis-cli -p 26379 sentinel get-master-addr-by-name kiln | grep -q 6379; do sleep 0.2; done
systemctl daemon-reload; systemctl enable -q --now pottery
{POTTERY_UP}
ln -s /etc/nginx/sites-available/pottery /etc/nginx/sites-enabled/pottery; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
POTTERY = "pottery.example"
POTTERY_AT = frozenset({"127.0.0.1:8200", "pottery"})
KILN_AT = frozenset({"127.0.0.1:6379", "127.0.0.1:26379"})
POTTERY_FAULTS = (
    Fault(
        id="pottery-master-without-a-second",
        happens="the one Redis is stopped for a move, with a Sentinel that has no replica to promote: `Connection refused` (or no master) for the shelf, 500; the courses go on",
        steps="systemctl stop redis-server",
        settle="test $(tail -n 40 /var/log/nginx/pottery.access.log | grep -c '\" 500 ') -ge 12",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=POTTERY_AT | KILN_AT,
    ),
    Fault(
        id="pottery-sentinel-of-package-file",
        happens="an upgrade of Redis replaces sentinel.conf by the package's (its master is called `mymaster`); the restarted application asks for `kiln` at its start: `No master found for 'kiln'`, and ends",
        steps="sed -i 's/ kiln / mymaster /; s/ kiln$/ mymaster/; /^sentinel known/d; /epoch/d' /etc/redis/sentinel.conf; sed -i 's/^sentinel monitor kiln/sentinel monitor mymaster/' /etc/redis/sentinel.conf; systemctl restart redis-sentinel; systemctl restart pottery || true; sleep 6",
        expects=NO_START | causes("backend-dependency-down"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=POTTERY_AT | KILN_AT,
    ),
    Fault(
        id="pottery-worker-class-of-old-uvicorn",
        happens='the configuration of gunicorn comes back from the wiki, `worker_class = "uvicorn_worker.UvicornH11"`, which is no class there: `class uri … invalid or not found`, no start',
        steps="sed -i 's/UvicornWorker/UvicornH11/' /srv/pottery/gunicorn.conf.py; systemctl restart pottery || true; sleep 5",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=POTTERY_AT,
    ),
    Fault(
        id="pottery-down-left-in-upstream",
        happens="for the time of a release the only server of the upstream got `down`, and the release ended without taking it away: `no live upstreams`, 502, with the application healthy",
        steps="sed -i 's/server 127.0.0.1:8200;/server 127.0.0.1:8200 down;/' /etc/nginx/sites-available/pottery; systemctl reload nginx",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down", "no-upstream-members"),
        targets=POTTERY_AT,
    ),
    Fault(
        id="pottery-watchdog-nobody-feeds",
        happens="a drop-in for all services of Type=notify sets WatchdogSec=9; gunicorn says READY=1 and never WATCHDOG=1, so systemd aborts it every nine seconds (`Watchdog timeout`), and starts it again",
        steps="mkdir -p /etc/systemd/system/pottery.service.d; printf '[Service]\\nWatchdogSec=9\\nRestartSec=3\\n' > /etc/systemd/system/pottery.service.d/10-watchdog.conf; systemctl daemon-reload; systemctl restart pottery; "
        + POTTERY_UP,
        failures=24,
        limit_s=120.0,
        settle="test $(systemctl show -P NRestarts pottery) -ge 3",
        expects=causes("backend-crash-loop", "backend-crashed"),
        partly=CUT | causes("backend-startup-failure", "deploy-termination-race", "worker-timeout"),
        targets=POTTERY_AT,
    ),
    Fault(
        id="pottery-recycled-while-loading",
        happens="max_requests = 25 against a leak, one worker, and a catalogue that takes nine seconds to load: each time the worker is recycled nobody serves, and nginx gives up after six seconds",
        steps="sed -i 's/workers = 2/workers = 1\\nmax_requests = 25/' /srv/pottery/gunicorn.conf.py; echo LOAD_S=9 > /etc/pottery.env; systemctl stop nginx; systemctl restart pottery; "
        + POTTERY_UP
        + "; systemctl start nginx",
        failures=24,
        settle="test $(grep -c '\" 504 ' /var/log/nginx/pottery.access.log) -ge 16",
        limit_s=120.0,
        expects=causes("workers-exhausted", "backend-too-slow", "backend-not-running", "deploy-termination-race"),
        partly=causes("proxy-timeout-too-short", "backend-hung", "worker-timeout"),
        targets=POTTERY_AT,
    ),
    Fault(
        id="pottery-password-sentinel-does-not-know",
        happens="Redis gets a password, and so does the application; Sentinel does not (no auth-pass), so for it the master is down: `No master found for 'kiln'`, 500 for the shelf and for orders",
        steps="redis-cli config set requirepass clay >/dev/null; redis-cli -p 26379 client kill type normal skipme yes >/dev/null; echo REDIS_PASSWORD=clay > /etc/pottery.env; sed -i 's/^    print(.kiln.*/    print(\"starting\", flush=True)/' /srv/pottery/pottery.py; sleep 5; systemctl restart pottery; "
        + POTTERY_UP,
        settle="test $(tail -n 40 /var/log/nginx/pottery.access.log | grep -c '\" 500 ') -ge 12",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=POTTERY_AT | KILN_AT,
    ),
)

SURVEY_APP = """\
import time

def application(environ, start_response):
    path = environ.get("PATH_INFO", "/")
    if path == "/parcels/legend":
        time.sleep(1.1)
    if path == "/parcels/print":
        time.sleep(12)
    body = [b"parcel and boundary " * 120]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return body
"""
SURVEY_INI = """\
[uwsgi]
plugin = python3
virtualenv = /opt/venv
chdir = /srv/survey
module = survey
scgi-socket = 127.0.0.1:4000
master = true
processes = 12
uid = survey
gid = survey
vacuum = true
die-on-term = true
"""
SURVEY_UNIT = """[Unit]
Description=Survey (uWSGI, SCGI)
After=network.target

[Service]
ExecStart=/usr/bin/uwsgi-core --ini /etc/survey/uwsgi.ini
Restart=on-failure
RestartSec=2
KillSignal=SIGTERM

[Install]
WantedBy=multi-user.target
"""
CGIT_UNIT = """[Unit]
Description=cgit's FastCGI
After=network.target

[Service]
ExecStart=/usr/bin/spawn-fcgi -n -s /run/cgit.sock -M 0660 -u www-data -g www-data -U www-data -G www-data -- /usr/sbin/fcgiwrap -c 4
ExecStopPost=/bin/rm -f /run/cgit.sock
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
CGITRC = """\
css=/cgit-css/cgit.css
virtual-root=/git/
cache-size=0
repo.url=maps
repo.path=/srv/git/maps.git
repo.desc=maps of the county
"""
SURVEY_SITE = """\
server {
    listen 80;
    server_name survey.example;
    access_log /var/log/nginx/survey.access.log;
    error_log /var/log/nginx/survey.error.log;

    location /parcels {
        include scgi_params;
        scgi_param PATH_INFO $document_uri;
        scgi_pass 127.0.0.1:4000;
        scgi_read_timeout 20s;
    }
    location /git/ {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /usr/lib/cgit/cgit.cgi;
        fastcgi_split_path_info ^(/git)(/.*)$;
        fastcgi_param PATH_INFO $fastcgi_path_info;
        fastcgi_pass unix:/run/cgit.sock;
        fastcgi_read_timeout 15s;
    }
}
"""
SURVEY_SETUP = """
useradd --system survey; mkdir -p /var/lib/survey; chown survey: /var/lib/survey
git init -q --bare /srv/git/maps.git; git -c safe.directory='*' clone -q /srv/git/maps.git /root/maps 2>/dev/null; cd /root/maps
git config user.email a@survey.example; git config user.name a
for n in $(seq 12); do echo "sheet $n" > sheet$n; git add .; git commit -q -m "sheet $n"; done; git push -q origin HEAD; chown -R www-data: /srv/git
systemctl daemon-reload; systemctl enable -q --now survey cgit
until ss -ltn | grep -q 127.0.0.1:4000; do sleep 0.2; done; until test -S /run/cgit.sock; do sleep 0.2; done
ln -s /etc/nginx/sites-available/survey /etc/nginx/sites-enabled/survey; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
SURVEY = "survey.example"
PARCELS_AT, CGIT_AT = frozenset({"127.0.0.1:4000"}), frozenset({"unix:/run/cgit.sock"})


def _survey(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=SURVEY, weight=weight)


SURVEY_FAULTS = (
    Fault(
        id="survey-socket-of-every-guide",
        happens="uwsgi.ini is rewritten after a guide: `socket =` in place of `scgi-socket =`, so that uWSGI speaks its own protocol on the port where nginx speaks SCGI",
        steps="sed -i 's/^scgi-socket/socket/' /etc/survey/uwsgi.ini; systemctl restart survey",
        expects=causes("wrong-protocol"),
        partly=causes("premature-close", "connection-reset", "backend-hung", "invalid-response"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="survey-port-of-a-colleague",
        happens="the service was stopped for a backup; meanwhile a colleague serves files for a moment with `python3 -m http.server 4000`, and uWSGI cannot bind (Address already in use)",
        steps="systemctl stop survey; systemd-run -q --unit=session-7-files --property=User=nobody --working-directory=/usr/share/doc python3 -m http.server --bind 127.0.0.1 4000; until ss -ltn | grep -q 127.0.0.1:4000; do sleep 0.2; done; systemctl start survey; sleep 6",
        expects=causes("port-conflict"),
        partly=NO_START | causes("wrong-protocol", "invalid-response"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="survey-print-of-twelve",
        happens="the print of a whole sheet takes twelve seconds; `scgi_read_timeout 8s` came with the last change of the site: 504 for it alone",
        steps="sed -i 's/scgi_read_timeout 20s/scgi_read_timeout 8s/' /etc/nginx/sites-available/survey; systemctl reload nginx",
        routes=(_survey("/parcels/print"),),
        failures=6,
        limit_s=100.0,
        expects=SLOW,
        partly=causes("workers-exhausted"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="survey-cgit-runs-as-git",
        happens="cgit is to run as the owner of the repositories (`-u git -g git`), and its socket goes with it: nginx's workers get `Permission denied` for the repositories",
        steps="useradd --system git; chown -R git: /srv/git; sed -i 's/ -u www-data -g www-data -U www-data -G www-data / -u git -g git /' /etc/systemd/system/cgit.service; systemctl daemon-reload; systemctl restart cgit",
        settle="test $(grep -c 'Permission denied' /var/log/nginx/survey.error.log) -ge 10",
        expects=causes("unix-socket-permission"),
        targets=CGIT_AT,
    ),
    Fault(
        id="survey-cgit-moved-by-package",
        happens="the new package of cgit puts its program to /usr/libexec/cgit; nginx's SCRIPT_FILENAME names the old place: fcgiwrap answers 403 (`Cannot get script name`)",
        steps="mkdir -p /usr/libexec/cgit; mv /usr/lib/cgit/cgit.cgi /usr/libexec/cgit/",
        failures=0,
        settle="test $(grep -c 'GET /git/.*\" 40[34] ' /var/log/nginx/survey.access.log) -ge 12",
        expects=causes("fastcgi-script-not-found"),
        partly=causes("upstream-error-status", "application-error", "denied-by-rule"),
        targets=CGIT_AT,
    ),
    Fault(
        id="survey-network-of-its-own",
        happens="`systemd-analyze security` leads to a drop-in with PrivateNetwork=yes: uWSGI runs and listens on 127.0.0.1:4000 in a network namespace of its own, where nginx cannot reach it",
        steps="mkdir -p /etc/systemd/system/survey.service.d; printf '[Service]\\nPrivateNetwork=yes\\nNoNewPrivileges=yes\\n' > /etc/systemd/system/survey.service.d/hardening.conf; systemctl daemon-reload; systemctl restart survey; sleep 2",
        expects=causes("sandbox-network-denied", "container-network-mismatch", "wrong-address"),
        partly=causes("backend-not-running", "backend-startup-failure", "wrong-port"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="survey-both-after-reboot",
        happens="after a reboot neither runs: uWSGI's unit was never enabled, and cgit's was masked while somebody tried another viewer",
        steps="systemctl stop nginx; systemctl disable -q --now survey; systemctl stop cgit; mv /etc/systemd/system/cgit.service /root/; ln -s /dev/null /etc/systemd/system/cgit.service; systemctl daemon-reload; journalctl -q --rotate; journalctl -q --vacuum-time=1s; systemctl start nginx",
        settle="test $(grep -c '\" 502 ' /var/log/nginx/survey.access.log) -ge 14",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=PARCELS_AT | CGIT_AT,
    ),
)

STACKS = (
    Stack(
        name="pottery",
        about="FastAPI in gunicorn with uvicorn's workers (two, Type=notify) behind nginx with keepalive; Redis found by way of its Sentinel",
        files={
            "/srv/pottery/pottery.py": POTTERY_APP,
            "/srv/pottery/gunicorn.conf.py": POTTERY_CONF,
            "/etc/systemd/system/pottery.service": POTTERY_UNIT,
            "/etc/nginx/sites-available/pottery": POTTERY_SITE,
        },
        setup=POTTERY_SETUP,
        routes=(
            Route(path="/", host=POTTERY, weight=4),
            Route(path="/courses", host=POTTERY, weight=3),
            Route(path="/orders", host=POTTERY, method="POST"),
        ),
        faults=POTTERY_FAULTS,
        calms=(
            Calm(
                id="pottery-reload-and-failover-of-nothing",
                happens="gunicorn reloads by HUP, Sentinel is restarted, Redis rewrites its file and saves, nginx reloads; glazes (1.3 s) are broken off, scanners get 404",
                steps="systemctl reload pottery; systemctl restart redis-sentinel; redis-cli bgsave >/dev/null; systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(
                    Route(path="/glaze", host=POTTERY),
                    Route(path="/firing", host=POTTERY),
                    Route(path="/actuator/env", host=POTTERY, expect=(404,)),
                ),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="survey",
        about="nginx speaks SCGI to uWSGI (twelve processes, 127.0.0.1:4000) and FastCGI to cgit in fcgiwrap, started by spawn-fcgi on a unix socket",
        files={
            "/srv/survey/survey.py": SURVEY_APP,
            "/etc/survey/uwsgi.ini": SURVEY_INI,
            "/etc/systemd/system/survey.service": SURVEY_UNIT,
            "/etc/systemd/system/cgit.service": CGIT_UNIT,
            "/etc/cgitrc": CGITRC,
            "/etc/nginx/sites-available/survey": SURVEY_SITE,
        },
        setup=SURVEY_SETUP,
        routes=(_survey("/parcels", 4), _survey("/git/", 1), _survey("/git/maps/log/", 1)),
        faults=SURVEY_FAULTS,
        calms=(
            Calm(
                id="survey-push-and-reload",
                happens="somebody pushes, `git gc` runs, uWSGI reloads its workers by HUP, nginx reloads, logs rotate; the legend (1.1 s) is broken off, scanners ask cgit for repositories that are not there",
                steps="cd /root/maps; echo more > more; git add .; git commit -q -m more; sudo -u www-data git -C /srv/git/maps.git gc -q; systemctl kill -s HUP --kill-whom=main survey; systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(_survey("/parcels/legend"), _survey("/git/admin.git/", 1), _survey("/.env")),
                cancels=True,
            ),
        ),
    ),
)
