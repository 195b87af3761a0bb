"""A learning platform in PHP with its own pool, files and sessions behind nginx, and mailing lists: Django in uWSGI that asks a core by REST, behind Apache."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")

ACADEMY_SITE = """\
server {
    listen 80 default_server;
    listen [::]:80 default_server;
    server_name academy.example;
    root /var/www/academy;
    index index.php;
    access_log /var/log/nginx/academy.access.log;
    error_log /var/log/nginx/academy.error.log;
    client_max_body_size 32m;

    location / {
        try_files $uri $uri/ /index.php$is_args$args;
    }
    location ~ [^/]\\.php(/|$) {
        fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_pass unix:/run/php/academy.sock;
        fastcgi_read_timeout 12s;
    }
}
"""
ACADEMY_POOL = """\
[academy]
user = academy
group = academy
listen = /run/php/academy.sock
listen.owner = www-data
listen.group = www-data
listen.mode = 0660
pm = dynamic
pm.max_children = 8
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 4
catch_workers_output = yes
php_admin_value[error_log] = /var/log/academy/php.log
php_admin_flag[log_errors] = on
"""
ACADEMY_LIB = """\
<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$base = new mysqli('localhost', 'academy', 'hunter22', 'academy');
"""
ACADEMY_UPLOAD = """\
<?php
$name = tempnam('/srv/academydata/temp', 'draft');
if (dirname($name) !== '/srv/academydata/temp' || @file_put_contents($name, file_get_contents('php://input')) === false) {
    throw new Exception('error/storedfileproblem: ' . (error_get_last()['message'] ?? 'cannot write'));
}
unlink($name);
echo 'kept';
"""
ACADEMY_LICENCE = """\
<?php
$ask = curl_init('http://203.0.113.1:8090/licence');
curl_setopt_array($ask, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 60]);
$answer = curl_exec($ask);
if ($answer === false) { error_log('licence server: ' . curl_error($ask)); http_response_code(500); exit; }
echo 'course ', $answer;
"""
ACADEMY_REMOTE = """
nohup python3 -c "
from http.server import BaseHTTPRequestHandler, HTTPServer
class Licence(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'valid')
HTTPServer(('203.0.113.1', 8090), Licence).serve_forever()
" >/dev/null 2>&1 &
"""
ACADEMY_SETUP = """
useradd --system academy; mkdir -p /var/log/academy /srv/academydata; chown academy: /var/log/academy
mount -t tmpfs -o size=24m,mode=755 tmpfs /srv/academydata; mkdir /srv/academydata/temp; chown -R academy: /srv/academydata
systemctl enable -q --now mariadb
mariadb <<SQL
create database academy; create user academy@localhost identified by 'hunter22'; grant all on academy.* to academy@localhost;
use academy; create table courses (id int auto_increment primary key, title varchar(99)) engine=innodb;
insert into courses (title) select concat('course ', seq) from seq_1_to_200;
SQL
chmod -R a+rX /var/www/academy
systemctl enable -q --now php8.2-fpm
until test -S /run/php/academy.sock; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/academy /etc/nginx/sites-enabled/academy
systemctl enable -q --now nginx
"""


def _academy(path: str, weight: int = 1, expect: int = 200, **more: object) -> Route:
    return Route(path=path, host="academy.example", weight=weight, expect=(expect,), **more)  # type: ignore[arg-type]


ACADEMY_AT = frozenset({"unix:/run/php/academy.sock"})
ACADEMY_FAULTS = (
    Fault(
        id="academy-data-volume-full",
        happens="the volume of the platform's data is full of backups of courses: file_put_contents(), No space left on device, 500 for each upload",
        steps="head -c 30m /dev/zero > /srv/academydata/backup-course-2.mbz 2>/dev/null || true",
        routes=(_academy("/upload.php", 4, method="POST", body_bytes=200_000),),
        expects=causes("disk-full"),
        partly=OWN_ERROR,
    ),
    Fault(
        id="academy-exam-of-a-whole-year",
        happens="a whole year starts its exam at ten: each attempt takes five seconds, eight children serve them, and PHP-FPM says that it reached pm.max_children; who waits for more than twelve seconds gets 504",
        steps="true",
        routes=(_academy("/quiz.php?ms=5000", 20),),
        users=34,
        limit_s=120.0,
        failures=30,
        expects=causes("php-fpm-max-children"),
        partly=SLOW | causes("workers-exhausted"),
        targets=ACADEMY_AT,
    ),
    Fault(
        id="academy-plugin-of-another-version",
        happens="a plugin of another version calls a function that this PHP does not have: Uncaught Error, Call to undefined function, 500 for courses; the start page works",
        steps='echo \'<?php require "lib.php"; echo str_contains_any("a", ["b"]);\' > /var/www/academy/course.php; sleep 2',
        routes=(_academy("/course.php", 3),),
        expects=causes("application-error"),
        partly=causes("upstream-error-status"),
        targets=ACADEMY_AT,
    ),
    Fault(
        id="academy-uploads-after-the-move",
        happens="after a move to a new machine the site's file has no client_max_body_size: essays of 3 MB get 413, pages work",
        steps="sed -i /client_max_body_size/d /etc/nginx/sites-available/academy; systemctl reload nginx",
        routes=(_academy("/upload.php", 6, method="POST", body_bytes=3_000_000),),
        failures=0,
        settle="test $(grep -c '\" 413 ' /var/log/nginx/academy.access.log) -ge 12",
        expects=causes("request-too-large"),
    ),
    Fault(
        id="academy-php-stopped-by-an-upgrade",
        happens="an upgrade was broken off between `prerm` and `postinst`: PHP-FPM was stopped and never started; its socket is gone: 502",
        steps="systemctl stop php8.2-fpm",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing", "php-fpm-socket-mismatch"),
        targets=ACADEMY_AT,
    ),
    Fault(
        id="academy-mariadb-did-not-start",
        happens="a my.cnf copied from an old machine has an option that this MariaDB does not know: it does not start, mysqli_sql_exception: No such file or directory, 500 for what asks it",
        steps="printf '[mysqld]\\nskip-locking\\n' > /etc/mysql/mariadb.conf.d/99-old.cnf; systemctl restart mariadb || true",
        limit_s=90.0,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=ACADEMY_AT | {"unix:/run/mysqld/mysqld.sock", "unix:/var/run/mysqld/mysqld.sock"},
    ),
    Fault(
        id="academy-certificate-page-crashes",
        happens="the page of certificates crashes in an extension (SIGSEGV): the child ends, recv() failed (104), 502 for that page",
        steps="true",
        routes=(_academy("/certificate.php", 2),),
        expects=causes("php-fpm-crashed"),
        partly=causes("premature-close", "connection-reset", "backend-crashed"),
        targets=ACADEMY_AT,
    ),
    Fault(
        id="academy-licence-server-unreachable",
        happens="a new egress rule drops what PHP asks of the licence server at another host; courses wait for it until nginx gives up after twelve seconds: 504",
        steps="nft add table inet egress; nft add chain inet egress output '{ type filter hook output priority 0; }'; nft add rule inet egress output ip daddr 203.0.113.1 tcp dport 8090 drop",
        routes=(_academy("/licence.php", 3),),
        limit_s=120.0,
        failures=14,
        patience_s=40.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=SLOW | causes("php-fpm-max-children", "workers-exhausted", "connect-timeout"),
        targets=ACADEMY_AT | {"203.0.113.1:8090"},
    ),
    Fault(
        id="academy-root-of-the-old-machine",
        happens="the site's root is the path of the old machine: File not found. (Primary script unknown), 404 for every page of PHP",
        steps="sed -i 's#root /var/www/academy#root /srv/www/academy#' /etc/nginx/sites-available/academy; systemctl reload nginx",
        failures=0,
        settle="test $(grep -c 'Primary script unknown' /var/log/nginx/academy.error.log) -ge 16",
        expects=causes("fastcgi-script-not-found"),
        targets=ACADEMY_AT,
    ),
)

PARCHMENT_SITE = """\
<VirtualHost *:80>
    ServerName lists.example
    ErrorLog ${APACHE_LOG_DIR}/lists.error.log
    CustomLog ${APACHE_LOG_DIR}/lists.access.log combined
    ProxyTimeout 10
    ProxyPass /static/ !
    ProxyPass / uwsgi://127.0.0.1:8022/
</VirtualHost>
"""
PARCHMENT_WEB = """\
import os, time
import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="quill",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": "/var/log/lists/web.log"}},
        "root": {"handlers": ["file"], "level": "WARNING"},
    },
)

def core(name):
    return requests.get("http://127.0.0.1:8001/3.1/" + name, auth=("restadmin", os.environ.get("REST_PASSWORD", "restpass")), timeout=30)

def lists(request):
    try:
        answer = core("lists")
        answer.raise_for_status()
    except requests.ConnectionError as error:
        import logging
        logging.getLogger("postorius").error("Mailman REST API not available: %s", error)
        return HttpResponse("Mailman REST API not available. Please start Mailman core.", status=503)
    return HttpResponse(answer.text)

def archive(request):
    time.sleep(float(request.GET.get("s", "0")))
    return HttpResponse("<p>dear all</p>" * 90)

urlpatterns = [path("", archive), path("postorius/lists/", lists), path("archive/", archive)]
application = get_wsgi_application()
"""
PARCHMENT_INI = """\
[uwsgi]
plugins = python3
virtualenv = /opt/venv
chdir = /srv/lists
module = web:application
socket = 127.0.0.1:8022
master = true
processes = 3
die-on-term = true
vacuum = true
"""
PARCHMENT_UNIT = """[Unit]
Description=Web pages of the mailing lists
After=network.target

[Service]
User=list
Group=list
ExecStart=/usr/bin/uwsgi --ini /etc/lists/uwsgi.ini
Restart=on-failure
RestartSec=2
KillSignal=SIGINT

[Install]
WantedBy=multi-user.target
"""
PARCHMENT_CORE = """\
import base64, json, os
from bottle import Bottle, HTTPResponse, request

application = Bottle()

@application.get("/3.1/<name:path>")
def lists(name):
    if request.auth != ("restadmin", os.environ.get("REST_PASSWORD", "restpass")):
        return HTTPResponse("REST API authorization failed", 401)
    return {"entries": [{"fqdn_listname": f"list{n}@lists.example"} for n in range(30)]}
"""
PARCHMENT_CORE_UNIT = """[Unit]
Description=Core of the mailing lists
After=network.target

[Service]
User=list
Group=list
WorkingDirectory=/srv/lists
ExecStart=/opt/venv/bin/gunicorn --bind 127.0.0.1:8001 core:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
PARCHMENT_SETUP = """
mkdir -p /var/log/lists; chown list: /var/log/lists; chmod -R a+rX /srv/lists
systemctl daemon-reload; systemctl enable -q --now lists-core lists-web
until ss -ltn | grep -q 127.0.0.1:8022 && curl -fs -o /dev/null -u restadmin:restpass http://127.0.0.1:8001/3.1/lists; do sleep 0.2; done
mkdir -p /var/www/html/static; head -c 20000 /dev/zero | tr '\\0' x > /var/www/html/static/site.css
sed -i 's#ServerName lists.example#&\\n    DocumentRoot /var/www/html#' /etc/apache2/sites-available/lists.conf
a2enmod -q proxy proxy_uwsgi >/dev/null; a2dissite -q 000-default >/dev/null; a2ensite -q lists >/dev/null
systemctl enable -q --now apache2
"""


def _lists(path: str, weight: int = 1, expect: int = 200, **more: object) -> Route:
    return Route(path=path, host="lists.example", weight=weight, expect=(expect,), **more)  # type: ignore[arg-type]


LISTS_AT = frozenset({"127.0.0.1:8022"})
CORE_AT = frozenset({"127.0.0.1:8001"})
PARCHMENT_FAULTS = (
    Fault(
        id="parchment-core-stopped",
        happens="the core was stopped to clear its queue and not started: the pages of lists say 'Mailman REST API not available' with 503, the archive works",
        steps="systemctl stop lists-core",
        routes=(_lists("/postorius/lists/", 4),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=LISTS_AT | CORE_AT,
    ),
    Fault(
        id="parchment-core-stands-still",
        happens="the core's workers stand still (SIGSTOP, a debugger left attached); pages of lists wait for it in all three processes of uWSGI, Apache gives up after ten seconds, soon for the archive, too",
        steps="systemctl kill -s STOP lists-core",
        limit_s=120.0,
        failures=16,
        patience_s=40.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=SLOW | causes("workers-exhausted", "backend-hung"),
        targets=LISTS_AT | CORE_AT,
    ),
    Fault(
        id="parchment-socket-became-http",
        happens="an administrator changes `socket` to `http-socket` to try it with curl and leaves it: Apache still speaks uwsgi to it, 500",
        steps="sed -i 's/^socket =/http-socket =/' /etc/lists/uwsgi.ini; systemctl restart lists-web; until curl -fs -o /dev/null http://127.0.0.1:8022/; do sleep 0.2; done",
        expects=causes("wrong-protocol"),
        partly=causes("invalid-response", "premature-close"),
        targets=LISTS_AT,
    ),
    Fault(
        id="parchment-harakiri",
        happens="harakiri = 5 was set in a hurry; searches in the archive take eight seconds, uWSGI kills its worker for each of them: 500",
        steps="echo 'harakiri = 5' >> /etc/lists/uwsgi.ini; systemctl restart lists-web; until ss -ltn | grep -q 127.0.0.1:8022; do sleep 0.2; done",
        routes=(_lists("/archive/?s=8", 3),),
        limit_s=100.0,
        failures=14,
        settle="test $(journalctl -u lists-web | grep -c 'HARAKIRI ON WORKER') -ge 6",
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "backend-crashed", "connection-reset", "backend-too-slow"),
        targets=LISTS_AT,
    ),
    Fault(
        id="parchment-long-request-header",
        happens="a single sign-on puts a ticket of 6 kB into a cookie; uWSGI takes 4096 bytes of request (invalid request block size): those who signed on get 500",
        steps="true",
        routes=(_lists("/archive/", 5, headers={"Cookie": "ticket=" + "x" * 6000}),),
        expects=causes("request-header-too-big"),
        partly=causes("premature-close", "connection-reset"),
        targets=LISTS_AT,
    ),
    Fault(
        id="parchment-no-application",
        happens="the upgrade of a dependency fails at its import (No module named 'mailman_hyperkitty'): uWSGI runs on without an application (no python application found), 500 for everything",
        steps="sed -i '1i import mailman_hyperkitty' /srv/lists/web.py; systemctl restart lists-web; until ss -ltn | grep -q 127.0.0.1:8022; do sleep 0.2; done",
        settle="test $(journalctl -u lists-web | grep -c 'no python application found') -ge 12",
        failures=20,
        expects=causes("backend-startup-failure", "application-error"),
        partly=causes("upstream-error-status"),
        targets=LISTS_AT,
    ),
    Fault(
        id="parchment-three-processes",
        happens="somebody mirrors the archive with many connections, each page of it takes four seconds: three processes are always busy, everybody waits, Apache gives up after ten seconds",
        steps="true",
        routes=(_lists("/archive/?s=4", 20),),
        users=22,
        limit_s=120.0,
        failures=30,
        expects=causes("workers-exhausted"),
        partly=SLOW | causes("listen-backlog-overflow"),
        targets=LISTS_AT,
    ),
)

STACKS = (
    Stack(
        name="academy",
        about="a learning platform in PHP: a pool of its own user (eight children, unix socket) beside Debian's www behind nginx, MariaDB on its socket, data on a small volume, a licence server at another host",
        files={
            "/etc/nginx/sites-available/academy": ACADEMY_SITE,
            "/etc/php/8.2/fpm/pool.d/academy.conf": ACADEMY_POOL,
            "/var/www/academy/lib.php": ACADEMY_LIB,
            "/var/www/academy/index.php": "<?php\nrequire 'lib.php';\nforeach ($base->query('select title from courses limit 30') as $row) echo '<li>', $row['title'];\n",
            "/var/www/academy/course.php": "<?php\nrequire 'lib.php';\necho str_repeat('<p>lesson</p>', 100);\n",
            "/var/www/academy/quiz.php": "<?php\nusleep(1000 * intval($_GET['ms'] ?? 20));\necho 'attempt';\n",
            "/var/www/academy/certificate.php": "<?php\nposix_kill(posix_getpid(), 11);\nsleep(1);\n",
            "/var/www/academy/upload.php": ACADEMY_UPLOAD,
            "/var/www/academy/licence.php": ACADEMY_LICENCE,
            "/var/www/academy/style.css": "p { margin: 1em }\n" * 60,
        },
        setup=ACADEMY_SETUP,
        remote=ACADEMY_REMOTE,
        routes=(
            _academy("/", 4),
            _academy("/course.php", 2),
            _academy("/style.css"),
            _academy("/quiz.php"),
            _academy("/licence.php"),
            _academy("/upload.php", method="POST", body_bytes=60_000),
        ),
        faults=ACADEMY_FAULTS,
        calms=(
            Calm(
                id="academy-term-begins",
                happens="quizzes of two seconds, uploads, the database is dumped, PHP's sessions are cleaned, logs rotate; scanners ask for wp-login.php and .env, some leave",
                steps="mariadb-dump --single-transaction academy > /root/academy.sql; /usr/lib/php/sessionclean; logrotate -f /etc/logrotate.d/nginx",
                routes=(
                    _academy("/quiz.php?ms=2000"),
                    _academy("/upload.php", method="POST", body_bytes=2_000_000),
                    _academy("/theme/missing.css", 1),
                    _academy("/wp-login.php", expect=404),
                ),
                seconds=18.0,
                users=9,
                cancels=True,
            ),
            Calm(
                id="academy-after-last-nights-upgrade",
                happens="last night's upgrade restarted PHP-FPM and cost some requests, which nginx's log of yesterday tells; the volume of data is at 80 percent; nothing fails",
                steps='head -c 19m /dev/zero > /srv/academydata/backup.mbz; for n in $(seq 60); do echo "$(date -d \'9 hours ago\' \'+%Y/%m/%d %H:%M:%S\') [crit] 61#61: *$n connect() to unix:/run/php/academy.sock failed (2: No such file or directory) while connecting to upstream, client: 203.0.113.$n, server: academy.example, request: \\"GET / HTTP/1.1\\", upstream: \\"fastcgi://unix:/run/php/academy.sock:\\", host: \\"academy.example\\""; done > /var/log/nginx/academy.error.log.1',
                seconds=14.0,
            ),
        ),
    ),
    Stack(
        name="parchment",
        about="mailing lists: Django in uWSGI (three processes, 127.0.0.1:8022) behind Apache's mod_proxy_uwsgi asks a core by REST (Bottle in gunicorn, 127.0.0.1:8001)",
        files={
            "/etc/apache2/sites-available/lists.conf": PARCHMENT_SITE,
            "/etc/lists/uwsgi.ini": PARCHMENT_INI,
            "/srv/lists/web.py": PARCHMENT_WEB,
            "/srv/lists/core.py": PARCHMENT_CORE,
            "/etc/systemd/system/lists-web.service": PARCHMENT_UNIT,
            "/etc/systemd/system/lists-core.service": PARCHMENT_CORE_UNIT,
        },
        setup=PARCHMENT_SETUP,
        routes=(_lists("/", 4), _lists("/postorius/lists/", 2), _lists("/static/site.css")),
        faults=PARCHMENT_FAULTS,
        calms=(
            Calm(
                id="parchment-newsletter-day",
                happens="searches of two seconds, uWSGI is reloaded with grace, Apache too, logs rotate; bots ask for old archives and /phpmyadmin/",
                steps="apachectl graceful; logrotate -f /etc/logrotate.d/apache2",
                routes=(_lists("/archive/?s=2"), _lists("/pipermail/old", expect=404), _lists("/phpmyadmin/", expect=404)),
                seconds=18.0,
                users=6,
                cancels=True,
            ),
        ),
    ),
)
