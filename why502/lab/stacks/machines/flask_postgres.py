"""Flask in gunicorn behind nginx, with PostgreSQL: the tutorial's stack, over TCP and over a unix socket."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, POSTGRES, site, unit

APP = """\
import os, time
import psycopg2, psycopg2.pool, requests
from flask import Flask, jsonify, request, make_response

DSN = os.environ["DATABASE_URL"]
app = Flask(__name__)

def rows(sql, *args):
    with psycopg2.connect(DSN) as db, db.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall()

@app.errorhandler(psycopg2.OperationalError)
def no_database(error):
    app.logger.exception("database unavailable")
    return "Service temporarily unavailable", 503

@app.get("/")
def home():
    if host := os.environ.get("RECOMMENDER"):
        try:
            requests.get(f"http://{host}/recommend", timeout=60)
        except requests.RequestException:
            app.logger.exception("no recommendations")
    return jsonify(rows("select id, name from products limit 20"))

@app.get("/products/<int:number>")
def product(number):
    return jsonify(rows("select * from products where id = %s", number))

@app.get("/about")
def about():
    return "<h1>About us</h1>" * 50

@app.get("/search")
def search():
    time.sleep(2)
    return "found"

@app.get("/report")
def report():
    time.sleep(float(request.args.get("seconds", 12)))
    return "report"

@app.get("/cart")
def cart():
    answer = make_response("cart")
    for n in range(int(request.args.get("items", 1))):
        answer.set_cookie(f"item{n}", "x" * 900)
    return answer

@app.get("/thumbnail")
def thumbnail():
    import ctypes
    return ctypes.string_at(0)

@app.get("/download")
def download():
    def parts():
        for _ in range(64):
            yield b"x" * 65536
    return app.response_class(parts(), headers={"Content-Length": str(64 * 65536)})

@app.get("/export")
def export():
    def parts():
        yield b"x" * 65536
        raise RuntimeError("export failed in the middle")
    return app.response_class(parts(), headers={"Content-Length": str(64 * 65536)})

@app.post("/upload")
def upload():
    return str(len(request.get_data()))
"""

PROXY = """
    client_max_body_size 1m;
    location / {
        include proxy_params;
        proxy_connect_timeout 3s;
        proxy_read_timeout 8s;
        proxy_pass http://SHOP;
    }
    location /static/ {
        alias /srv/shop/static/;
    }
"""
ENVIRONMENT = "DATABASE_URL=postgresql://shop:hunter22@127.0.0.1/shop\n"
ROUTES = (
    Route(path="/", weight=4),
    Route(path="/products/7", weight=4),
    Route(path="/about", weight=3),
    Route(path="/cart"),
    Route(path="/static/logo.svg", weight=2),
    Route(path="/upload", method="POST", body_bytes=20000),
)
RESTART = "systemctl restart shop || true"
GONE = "test $(systemctl show -p ActiveState --value shop) = failed"
DEPENDS = causes("backend-dependency-slow", "backend-dependency-down")
WAITING = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")


def _faults(kind: str, target: str) -> tuple[Fault, ...]:
    """Return what happens to either."""
    at = frozenset({target})
    return (
        Fault(
            id=f"flask-{kind}-environment-missing",
            happens="a deploy forgets DATABASE_URL; the application raises KeyError when it is imported",
            steps=f": > /etc/shop.env; {RESTART}",
            expects=causes("backend-startup-failure", "backend-crash-loop"),
            partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-stopped",
            happens="someone stops the service",
            steps="systemctl stop shop",
            expects=causes("backend-not-running"),
            partly=causes("unix-socket-missing"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-masked",
            happens="someone masks the service",
            steps="systemctl mask --now shop.service 2>/dev/null || { rm /etc/systemd/system/shop.service; systemctl mask --now shop.service; }",
            expects=causes("backend-not-running"),
            partly=causes("unix-socket-missing"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-migration-locks-table",
            happens="a migration takes an exclusive lock on the table that most pages read, and keeps it",
            steps="systemd-run -q --unit=migrate sudo -u postgres psql shop -c 'begin; lock table products in access exclusive mode; select pg_sleep(600)'",
            expects=causes("backend-dependency-slow"),
            partly=WAITING | causes("backend-dependency-down"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-postgres-stopped",
            happens="PostgreSQL is stopped; the application answers 503",
            steps="systemctl stop postgresql@15-main",
            expects=causes("backend-dependency-down"),
            partly=causes("upstream-error-status", "application-error"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-postgres-dropped",
            happens="a firewall rule drops what goes to PostgreSQL",
            steps="nft add table inet filter; nft 'add chain inet filter output { type filter hook output priority 0; }'; "
            "nft add rule inet filter output tcp dport 5432 drop",
            expects=DEPENDS,
            partly=WAITING,
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-postgres-connections",
            happens="other clients use up PostgreSQL's max_connections; the application answers 503",
            steps="sudo -u postgres psql -q -c 'alter system set max_connections = 12'; systemctl restart postgresql@15-main; "
            "for i in 1 2 3 4 5 6 7 8 9; do systemd-run -q sudo -u postgres psql 'postgresql://shop:hunter22@127.0.0.1/shop' "
            "-c 'select pg_sleep(600)'; done",
            expects=causes("backend-dependency-down"),
            partly=causes("upstream-error-status", "application-error"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-plugin-waits-for-dead-host",
            happens="a recommendation service is switched on in the settings, and its host is dead: each home page waits a minute",
            steps="ip route add 10.99.0.0/16 via 203.0.113.1; ip neigh replace 203.0.113.99 lladdr 02:00:00:00:00:01 dev host0; "
            f"echo RECOMMENDER=203.0.113.99 >> /etc/shop.env; {RESTART}",
            expects=DEPENDS,
            partly=WAITING,
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-crash-by-one-request",
            happens="one page makes the worker crash with a segmentation fault",
            steps="true",
            routes=(Route(path="/thumbnail", weight=3),),
            expects=causes("backend-crashed"),
            partly=causes("premature-close", "connection-reset"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-report-too-slow",
            happens="a report needs 12 s, nginx waits 8 s",
            steps="true",
            routes=(Route(path="/report", weight=2),),
            failures=6,
            expects=causes("backend-too-slow", "proxy-timeout-too-short"),
            partly=causes("workers-exhausted", "backend-hung"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-worker-timeout",
            happens="gunicorn's timeout is 4 s after a deploy, and a report needs 7 s",
            steps=f"sed -i 's/--timeout 30/--timeout 4/' /etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
            routes=(Route(path="/report?seconds=7", weight=2),),
            failures=6,
            settle="[ $(journalctl -b -o cat -u shop.service | grep -c 'WORKER TIMEOUT') -ge 3 ]",  # the gap of the restart comes before it
            expects=causes("worker-timeout"),
            partly=causes("premature-close", "connection-reset", "backend-crashed", "backend-too-slow"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-rush",
            happens="many users search at once; three workers that need 2 s each cannot keep up",
            steps="true",
            routes=(Route(path="/search", weight=60),),
            users=40,
            expects=causes("workers-exhausted"),
            partly=causes("backend-too-slow"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-frozen",
            happens="the application is stopped by SIGSTOP (a debugger, a frozen disk)",
            steps="kill -STOP $(systemctl show -p MainPID --value shop) $(pgrep -P $(systemctl show -p MainPID --value shop))",
            expects=causes("backend-hung"),
            partly=causes("backend-too-slow", "workers-exhausted", "listen-backlog-overflow"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-header-too-big",
            happens="a cart with many items sets more cookies than nginx's buffer holds",
            steps="true",
            routes=(Route(path="/cart?items=12", weight=4),),
            expects=causes("response-header-too-big"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-export-cut",
            happens="an export fails in the middle of its body",
            steps="true",
            routes=(Route(path="/export", weight=4),),
            expects=causes("truncated-response"),
            partly=causes("premature-close", "application-error", "connection-reset", "backend-crashed"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-starts-before-database",
            happens="a new release connects to PostgreSQL when it is imported; PostgreSQL starts later, and the service has given up by then",
            steps="systemctl stop postgresql@15-main shop; printf '\\nrows(\"select 1\")\\n' >> /srv/shop/app.py; "
            "systemctl start shop || true; until " + GONE + "; do sleep 0.2; done; systemctl start postgresql@15-main",
            expects=causes("backend-startup-failure", "backend-crash-loop", "backend-dependency-down"),
            partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-release-broken",
            happens="a release has a syntax error; the service fails to start and gives up",
            steps=f"printf 'def broken(:\\n' >> /srv/shop/app.py; {RESTART}",
            expects=causes("backend-startup-failure", "backend-crash-loop"),
            partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing"),
            targets=at,
            settle=GONE,
        ),
        Fault(
            id=f"flask-{kind}-virtualenv-removed",
            happens="the virtual environment moves with an upgrade; systemd finds no binary (203/EXEC)",
            steps=f"sed -i 's#/opt/venv/bin/gunicorn#/opt/venv3.12/bin/gunicorn#' /etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
            expects=causes("backend-startup-failure", "backend-crash-loop"),
            partly=causes("backend-not-running", "unix-socket-missing"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-configuration-refused",
            happens="the site is edited for a new address with a typo; the reload is refused, and the application has moved already",
            steps=_MOVE[kind] + "sed -i 's/proxy_read_timeout 8s;/proxy_read_timeout 8s/' /etc/nginx/sites-available/shop; "
            f"systemctl daemon-reload; {RESTART}; systemctl reload nginx || true",
            expects=causes("proxy-config-invalid"),
            partly=causes("wrong-port", "backend-not-running", "unix-socket-missing"),
        ),
        Fault(
            id=f"flask-{kind}-reload-forgotten",
            happens="the application moves to another address, the site is edited, and nobody reloads nginx",
            steps=_MOVE[kind] + f"systemctl daemon-reload; {RESTART}",
            expects=causes("proxy-config-not-loaded"),
            partly=causes("wrong-port", "backend-not-running", "unix-socket-missing"),
        ),
        Fault(
            id=f"flask-{kind}-restarts-under-traffic",
            happens="a deploy script restarts the service again and again under traffic; it is up now",
            steps="for i in 1 2 3 4; do systemctl restart shop; sleep 1; done",
            failures=3,
            expects=causes("deploy-termination-race"),
            partly=causes("backend-not-running", "unix-socket-missing", "connection-reset", "premature-close"),
            targets=at,
        ),
        Fault(
            id=f"flask-{kind}-killed-hard",
            happens="the whole service is killed with SIGKILL and has Restart=no",
            steps="sed -i 's/Restart=.*/Restart=no/' /etc/systemd/system/shop.service; systemctl daemon-reload; systemctl kill -s KILL shop",
            expects=causes("backend-crashed", "backend-not-running"),
            partly=causes("backend-oom-killed", "unix-socket-missing"),
            targets=at,
        ),
    )


_MOVE = {
    "tcp": "sed -i 's/127.0.0.1:8000/127.0.0.1:8100/' /etc/nginx/sites-available/shop /etc/systemd/system/shop.service; ",
    "unix": "sed -i 's#/run/shop/shop.sock#/run/shop/web.sock#' /etc/nginx/sites-available/shop /etc/systemd/system/shop.service; ",
}

TCP_ONLY = (
    Fault(
        id="flask-tcp-wrong-port",
        happens="a deploy changes the application's port to 8001; nginx still asks 8000, among other listeners",
        steps="sed -i 's/127.0.0.1:8000/127.0.0.1:8001/' /etc/systemd/system/shop.service; systemctl daemon-reload; "
        f"systemctl start memcached redis-server prometheus-node-exporter; {RESTART}",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:8000"}),
    ),
    Fault(
        id="flask-tcp-other-family",
        happens="the application binds [::1] after a change, nginx asks 127.0.0.1",
        steps=f"sed -i 's/127.0.0.1:8000/[::1]:8000/' /etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "wrong-port"),
        targets=frozenset({"127.0.0.1:8000"}),
    ),
    Fault(
        id="flask-tcp-port-taken",
        happens="somebody runs another web server on port 8000 before the service restarts",
        steps="systemctl stop shop; systemd-run -q --unit=try python3 -m http.server --bind 127.0.0.1 8000; "
        "until ss -ltn | grep -q :8000; do sleep 0.1; done; systemctl stop try; systemd-run -q --unit=try2 --uid=nobody "
        'python3 -c \'import socket,time; s=socket.create_server(("127.0.0.1",8000)); '
        'exec("while True:\\n c,_=s.accept(); c.close()")\'; until ss -ltn | grep -q :8000; do sleep 0.1; done; ' + RESTART,
        expects=causes("port-conflict"),
        partly=causes("backend-startup-failure", "backend-crash-loop", "premature-close", "wrong-port"),
        targets=frozenset({"127.0.0.1:8000"}),
    ),
    Fault(
        id="flask-tcp-rule-drops",
        happens="a new output rule drops connections to port 8000, also on the loopback",
        steps="nft add table inet filter; nft 'add chain inet filter output { type filter hook output priority 0; }'; "
        "nft add rule inet filter output tcp dport 8000 drop",
        expects=causes("connect-timeout", "network-policy-denies"),
        targets=frozenset({"127.0.0.1:8000"}),
    ),
    Fault(
        id="flask-tcp-rule-rejects",
        happens="a new input rule rejects what is not allowed, also on the loopback",
        steps="nft add table inet filter; nft 'add chain inet filter input { type filter hook input priority 0; }'; "
        "nft add rule inet filter input tcp dport 8000 reject with icmpx admin-prohibited",
        expects=causes("connect-rejected", "network-policy-denies"),
        partly=causes("host-unreachable"),
        targets=frozenset({"127.0.0.1:8000"}),
    ),
    Fault(
        id="flask-tcp-https-to-plain",
        happens="somebody writes https:// into proxy_pass",
        steps="sed -i 's#proxy_pass http://#proxy_pass https://#' /etc/nginx/sites-available/shop; systemctl reload nginx",
        expects=causes("wrong-protocol"),
        partly=causes("tls-handshake-failed"),
        targets=frozenset({"127.0.0.1:8000"}),
    ),
    Fault(
        id="flask-tcp-maintenance-left-on",
        happens="a maintenance switch is left in the site",
        steps="sed -i 's#location / {#location / {\\n        return 503;#' /etc/nginx/sites-available/shop; systemctl reload nginx",
        expects=causes("maintenance-response"),
    ),
    Fault(
        id="flask-tcp-rate-limit",
        happens="limit_req is switched on far too low",
        steps="sed -i '1i limit_req_zone $server_name zone=shop:1m rate=2r/s;' /etc/nginx/sites-available/shop; "
        "sed -i 's#location / {#location / {\\n        limit_req zone=shop burst=2 nodelay;#' /etc/nginx/sites-available/shop; systemctl reload nginx",
        expects=causes("rate-limited"),
    ),
    Fault(
        id="flask-tcp-body-directory-unwritable",
        happens="a clean-up script changes the owner of nginx's body directory; uploads fail",
        steps="chown -R root:root /var/lib/nginx; chmod -R 700 /var/lib/nginx",
        routes=(Route(path="/upload", method="POST", body_bytes=400000, weight=6),),
        expects=causes("proxy-temp-unwritable"),
    ),
    Fault(
        id="flask-tcp-connections-too-few",
        happens="worker_connections is 12 for all of it while many users wait",
        steps="sed -i 's/worker_connections .*/worker_connections 14;/; s/worker_processes .*/worker_processes 1;/' /etc/nginx/nginx.conf; systemctl restart nginx",
        routes=(Route(path="/search", weight=30),),
        users=30,
        expects=causes("worker-connections-exhausted"),
    ),
)

UNIX_ONLY = (
    Fault(
        id="flask-unix-socket-moved",
        happens="the unit of a new release binds /run/shop/gunicorn.sock; the site still names shop.sock",
        steps=f"sed -i 's#/run/shop/shop.sock#/run/shop/gunicorn.sock#' /etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=frozenset({"unix:/run/shop/shop.sock"}),
    ),
    Fault(
        id="flask-unix-socket-permission",
        happens="the service gets a user of its own and umask 077; nginx's worker may no longer connect",
        steps="useradd --system shopper; sed -i 's/User=www-data/User=shopper/; s/Group=www-data/Group=shopper/; s/--umask 007/--umask 077/' "
        f"/etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
        expects=causes("unix-socket-permission"),
        targets=frozenset({"unix:/run/shop/shop.sock"}),
    ),
    Fault(
        id="flask-unix-private-tmp",
        happens="the socket moves to /tmp on both sides, and the service has PrivateTmp=yes",
        steps="sed -i 's#/run/shop/shop.sock#/tmp/shop.sock#; s#^Restart=#PrivateTmp=yes\\nRestart=#' /etc/systemd/system/shop.service; "
        "sed -i 's#/run/shop/shop.sock#/tmp/shop.sock#' /etc/nginx/sites-available/shop; "
        f"systemctl daemon-reload; {RESTART}; systemctl reload nginx",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=frozenset({"unix:/tmp/shop.sock"}),
        # The first failures are of the old path: the service is restarted before nginx is reloaded, and old workers end later.
        settle="test $(tail -n 40 /var/log/nginx/shop.error.log | grep -c unix:/tmp/shop.sock) = 40",
    ),
    Fault(
        id="flask-unix-socket-deleted",
        happens="a clean-up job deletes the socket file of the running service",
        steps="rm /run/shop/shop.sock",
        expects=causes("unix-socket-missing"),
        targets=frozenset({"unix:/run/shop/shop.sock"}),
    ),
    Fault(
        id="flask-unix-directory-mode",
        happens="hardening sets RuntimeDirectoryMode=0700 for a user of its own",
        steps="useradd --system shopper; sed -i 's/User=www-data/User=shopper/; s/RuntimeDirectoryMode=.*/RuntimeDirectoryMode=0700/' "
        f"/etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
        expects=causes("unix-socket-permission"),
        targets=frozenset({"unix:/run/shop/shop.sock"}),
    ),
)

NIGHT = """
systemctl reload nginx; systemctl kill -s HUP --kill-who=main shop; sleep 2
logrotate -f /etc/logrotate.d/nginx || true; systemctl restart prometheus-node-exporter cron; sleep 1; systemctl reload nginx
for path in /.env /wp-login.php /.git/config /phpmyadmin/ /xmlrpc.php; do curl -s -o /dev/null -H 'Host: shop.example' http://127.0.0.1$path; done
"""


def _calms(kind: str) -> tuple[Calm, ...]:
    return (
        Calm(id=f"flask-{kind}-quiet-day", happens="ordinary traffic", seconds=8),
        Calm(
            id=f"flask-{kind}-night",
            happens="reloads of nginx and gunicorn, log rotation, cron, scanners that get 404",
            steps=NIGHT,
            routes=(Route(path="/.env"), Route(path="/wp-login.php")),
            seconds=15,
        ),
        Calm(
            id=f"flask-{kind}-cancelled-downloads",
            happens="users break off downloads",
            routes=(Route(path="/download", weight=3),),
            seconds=12,
            cancels=True,
        ),
        Calm(
            id=f"flask-{kind}-upload-refused",
            happens="some uploads are larger than client_max_body_size and get 413",
            routes=(Route(path="/upload", method="POST", body_bytes=1_300_000),),
            seconds=10,
        ),
    )


def _stack(kind: str, bind: str, target: str, only: tuple[Fault, ...]) -> Stack:
    return Stack(
        name=f"flask-{kind}",
        about=f"Flask in gunicorn ({bind}) behind nginx, PostgreSQL",
        files={
            "/srv/shop/app.py": APP,
            "/srv/shop/static/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "/etc/shop.env": ENVIRONMENT,
            "/etc/nginx/sites-available/shop": site(PROXY.replace("SHOP", bind)),
            "/etc/systemd/system/shop.service": unit(
                f"/opt/venv/bin/gunicorn --workers 3 --timeout 30 --umask 007 --bind {bind} app:app",
                more="EnvironmentFile=/etc/shop.env\nRuntimeDirectory=shop\nRuntimeDirectoryMode=0755",
                kind="notify",
            ),
        },
        setup=POSTGRES + "systemctl enable --now shop\n" + ENABLE_SITE,
        routes=ROUTES,
        faults=(*_faults(kind, target), *only),
        calms=_calms(kind),
    )


STACKS = (
    _stack("tcp", "127.0.0.1:8000", "127.0.0.1:8000", TCP_ONLY),
    _stack("unix", "unix:/run/shop/shop.sock", "unix:/run/shop/shop.sock", UNIX_ONLY),
)
