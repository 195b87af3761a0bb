"""PHP-FPM on a TCP port with MariaDB and Redis behind nginx, and Flask in uWSGI with releases behind a symlink and PostgreSQL."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

CLUBS_SITE = """\
server {
    listen 80 default_server;
    server_name clubs.example;
    root /srv/clubs/current/public;
    index index.php;
    access_log /var/log/nginx/clubs.access.log;
    error_log /var/log/nginx/clubs.error.log;
    location / {
        try_files $uri $uri/ /index.php?$query_string;
    }
    location ~ \\.php$ {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;
        fastcgi_param DOCUMENT_ROOT $realpath_root;
        fastcgi_connect_timeout 3s;
        fastcgi_read_timeout 15s;
        fastcgi_pass 127.0.0.1:9000;
    }
}
"""
CLUBS_POOL = """\
[www]
user = www-data
group = www-data
listen = 127.0.0.1:9000
pm = dynamic
pm.max_children = 10
pm.start_servers = 4
pm.min_spare_servers = 2
pm.max_spare_servers = 6
catch_workers_output = yes
php_admin_value[error_log] = /var/log/clubs/php.log
php_admin_flag[log_errors] = on
php_admin_value[auto_prepend_file] = /srv/clubs/shared/firewall/waf.php
"""
CLUBS_FILES = {
    "/etc/nginx/sites-available/clubs": CLUBS_SITE,
    "/etc/php/8.2/fpm/pool.d/www.conf": CLUBS_POOL,
    "/srv/clubs/shared/firewall/waf.php": "<?php if (str_contains($_SERVER['QUERY_STRING'] ?? '', '<script')) { http_response_code(403); exit; }\n",
    "/srv/clubs/releases/7/public/index.php": "<?php\n$redis = new Redis(); $redis->connect('127.0.0.1', 6379, 2); $redis->incr('visits');\n"
    "$base = new mysqli('127.0.0.1', 'clubs', 'hunter22', 'clubs');\nforeach ($base->query('select name from clubs limit 20') as $row) echo '<li>', $row['name'], \"\\n\";\n",
    "/srv/clubs/releases/7/public/rules.php": "<?php echo str_repeat('rules ', 300);\n",
    "/srv/clubs/releases/7/public/photo.php": "<?php if (random_int(1, 30) == 1) posix_kill(getmypid(), 11);\necho str_repeat('photo ', 300);\n",
    "/srv/clubs/releases/7/public/film.php": "<?php header('Content-Type: video/mp4'); header('Content-Length: ' . trim(file_get_contents('/srv/clubs/shared/film.size')));\nreadfile('/srv/clubs/shared/film.mp4');\n",
    "/srv/clubs/releases/7/public/poster.php": "<?php ini_set('memory_limit', '-1'); $parts = []; for ($n = 0; $n < 60; $n++) { $parts[] = str_repeat(chr(65 + $n % 26), 8 << 20); usleep(5000); } echo count($parts);\n",
}
CLUBS_SETUP = """
mkdir -p /var/log/clubs; chown www-data: /var/log/clubs; ln -sfn /srv/clubs/releases/7 /srv/clubs/current
head -c 400000 /dev/urandom > /srv/clubs/shared/film.mp4; stat -c %s /srv/clubs/shared/film.mp4 > /srv/clubs/shared/film.size
sed -i 's/^;process_control_timeout.*/process_control_timeout = 10s/' /etc/php/8.2/fpm/php-fpm.conf
systemctl start mariadb redis-server
mariadb <<SQL
create database clubs; create user clubs@localhost identified by 'hunter22'; grant all on clubs.* to clubs@localhost;
create user clubs@127.0.0.1 identified by 'hunter22'; grant all on clubs.* to clubs@127.0.0.1;
use clubs; create table clubs (id int auto_increment primary key, name varchar(99)); insert into clubs (name) select concat('club ', seq) from seq_1_to_300;
SQL
systemctl enable --now php8.2-fpm
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/clubs /etc/nginx/sites-enabled/clubs
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
CLUBS = "clubs.example"
PHP_AT = frozenset({"127.0.0.1:9000"})
CLUBS_FAULTS = (
    Fault(
        id="clubs-film-made-smaller",
        happens="a nightly job makes the films smaller and leaves the file of their sizes; PHP announces the old Content-Length, and each film is cut for the browser",
        steps="truncate -s 250000 /srv/clubs/shared/film.mp4",
        routes=(Route(path="/film.php", host=CLUBS, weight=5),),
        expects=causes("truncated-response"),
        partly=causes("premature-close", "connection-reset"),
        targets=PHP_AT,
    ),
    Fault(
        id="clubs-redis-busy-with-a-script",
        happens="somebody's Lua script in Redis never ends; Redis answers `BUSY Redis is busy running a script` to everyone else",
        steps="redis-cli config set busy-reply-threshold 500 >/dev/null; systemd-run -q --unit=count-keys redis-cli eval 'while true do redis.call(\"ping\") end' 0",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | causes("backend-dependency-slow"),
        targets=PHP_AT,
    ),
    Fault(
        id="clubs-plugin-removed-before-its-setting",
        happens="a firewall plugin is deleted, and auto_prepend_file still names its file: `Failed opening required`, 500 on every page",
        steps="rm -r /srv/clubs/shared/firewall; sleep 3",
        expects=causes("application-error"),
        partly=causes("upstream-error-status"),
        targets=PHP_AT,
    ),
    Fault(
        id="clubs-posters-killed-for-memory",
        happens="a memory limit of 200 MB for PHP's group and a page without any memory_limit: the kernel kills the child that makes a poster",
        outside="G=/sys/fs/cgroup/memory$(awk -F: '$2 == \"memory\" {print $3}' /proc/self/cgroup); mkdir $G/php; echo 200M > $G/php/memory.limit_in_bytes; "
        "for p in $(pgrep -f '^php-fpm'); do echo $p > $G/php/cgroup.procs; done",
        steps="true",
        routes=(Route(path="/poster.php", host=CLUBS, weight=3),),
        failures=8,
        expects=causes("backend-oom-killed"),
        partly=causes("php-fpm-crashed", "backend-crashed", "memory-pressure"),
        targets=PHP_AT,
    ),
    Fault(
        id="clubs-one-photo-in-thirty",
        happens="a broken build of an image library: one photo in thirty ends a child by SIGSEGV, about 2 % of all requests",
        steps="true",
        routes=(Route(path="/photo.php", host=CLUBS, weight=4),),
        users=12,
        failures=4,
        limit_s=90.0,
        expects=causes("php-fpm-crashed", "backend-crashed"),
        partly=causes("connection-reset", "premature-close"),
        targets=PHP_AT,
    ),
    Fault(
        id="clubs-fpm-told-to-use-unix",
        happens="FPM is hardened with `RestrictAddressFamilies=AF_UNIX AF_NETLINK` in a drop-in and restarted; its pool listens on TCP: `failed to create new listening socket: Address family not supported`",
        steps="mkdir -p /etc/systemd/system/php8.2-fpm.service.d; printf '[Service]\\nRestrictAddressFamilies=AF_UNIX AF_NETLINK\\n' > /etc/systemd/system/php8.2-fpm.service.d/hardening.conf; systemctl daemon-reload; systemctl restart php8.2-fpm || true",
        expects=NO_START,
        partly=causes("backend-not-running", "sandbox-network-denied"),
        targets=PHP_AT,
    ),
)
CLUBS_CALMS = (
    Calm(
        id="clubs-release-by-symlink",
        happens="a release: a new directory, the symlink swapped, PHP-FPM reloaded (it lets requests end); bots ask for scripts that are not there; Redis saves",
        steps="cp -a /srv/clubs/releases/7 /srv/clubs/releases/8; ln -sfn /srv/clubs/releases/8 /srv/clubs/current.new; mv -T /srv/clubs/current.new /srv/clubs/current; systemctl reload php8.2-fpm; redis-cli bgsave >/dev/null; logrotate -f /etc/logrotate.d/nginx",
        routes=(
            Route(path="/wp-content/shell.php", host=CLUBS, weight=2),
            Route(path="/film.php", host=CLUBS),
            Route(path="/?q=%3Cscript", host=CLUBS),
        ),
        cancels=True,
        seconds=18.0,
    ),
)

COURSES_APP = """\
import os, random, time
import psycopg2
from flask import Flask
app = Flask(__name__)

def connect():
    return psycopg2.connect("host=db.courses.internal dbname=courses user=courses password=hunter22 connect_timeout=3")

try:
    BASE = connect()
except psycopg2.OperationalError as error:
    print("courses: no database yet:", error)
    BASE = None

def rows(text):
    global BASE
    if BASE is None or BASE.closed:
        BASE = connect()
    with BASE, BASE.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()

@app.get("/")
def home():
    return {"courses": rows("select id, name, pg_sleep(0.02)::text from courses order by id limit 20")}

@app.get("/contact")
def contact():
    return "contact " * 100

@app.get("/course")
def course():
    time.sleep(14 if random.randrange(30) == 0 else 0.2)
    return "course " * 100
"""
COURSES_INI = """\
[uwsgi]
plugin = python3
virtualenv = /opt/venv
chdir = /srv/courses/current
module = app:app
master = true
processes = 4
lazy-apps = true
enable-threads = true
need-app = true
harakiri = 8
worker-reload-mercy = 4
socket = /run/courses/courses.sock
chmod-socket = 660
die-on-term = true
touch-reload = /srv/courses/reload
"""
COURSES_UNIT = """[Unit]
Description=Courses (%i)
After=network.target postgresql.service

[Service]
User=courses
Group=www-data
WorkingDirectory=/srv/courses/current
ExecStart=/usr/bin/uwsgi --ini /etc/uwsgi/courses.ini
ExecStopPost=/bin/rm -f /run/courses/courses.sock
KillSignal=SIGQUIT
KillMode=mixed
TimeoutStopSec=10
Restart=on-failure
RestartSec=1
SyslogIdentifier=courses

[Install]
WantedBy=multi-user.target
"""
COURSES_SITE = """\
server {
    listen 80 default_server;
    server_name courses.example;
    access_log /var/log/nginx/courses.access.log;
    error_log /var/log/nginx/courses.error.log;
    location / {
        include uwsgi_params;
        uwsgi_connect_timeout 3s;
        uwsgi_read_timeout 20s;
        uwsgi_pass unix:/run/courses/courses.sock;
    }
}
"""
COURSES_SETUP = """
useradd --system courses; mkdir -p /run/courses; chown courses:www-data /run/courses; ln -sfn /srv/courses/releases/42 /srv/courses/current; touch /srv/courses/reload
echo '127.0.0.1 db.courses.internal' >> /etc/hosts
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role courses login password 'hunter22'" -c 'create database courses owner courses'
sudo -u postgres psql -q courses -c "create table courses as select n as id, 'course ' || n as name from generate_series(1, 300) n" -c 'alter table courses owner to courses'
systemctl enable --now courses@blue
until test -S /run/courses/courses.sock; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/courses /etc/nginx/sites-enabled/courses
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
COURSES = "courses.example"
UWSGI_AT = frozenset({"unix:/run/courses/courses.sock"})
COURSES_FAULTS = (
    Fault(
        id="courses-old-colour-removes-socket",
        happens="the green instance is started and takes the socket's path over, then the blue one is stopped, and its ExecStopPost removes the socket of green, which runs on unheard",
        steps="systemctl start courses@green; sleep 3; systemctl stop courses@blue",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="courses-connection-shared-by-forks",
        happens="lazy-apps is removed to save memory: all workers share one connection to PostgreSQL that was opened before the fork, and answers get mixed up (errors of libpq, 500) or never come (harakiri, 502)",
        steps="sed -i '/lazy-apps/d' /etc/uwsgi/courses.ini; systemctl restart courses@blue",
        users=14,
        failures=8,
        expects=OWN_ERROR | causes("worker-timeout"),
        partly=causes("backend-dependency-down", "backend-dependency-slow", "backend-hung"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="courses-one-in-thirty-too-long",
        happens="one course in thirty asks for 14 s of work, and harakiri ends the worker after 8: 1 to 3 % of the requests are 502",
        steps="true",
        routes=(Route(path="/course", host=COURSES, weight=3),),
        users=14,
        failures=3,
        limit_s=90.0,
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "connection-reset", "backend-crashed", "backend-too-slow"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="courses-database-name-lost",
        happens="cloud-init writes /etc/hosts anew, without the database's name, which is not felt until PostgreSQL is restarted at night and the workers connect again",
        steps="sed -i '/db.courses.internal/d' /etc/hosts; systemctl restart postgresql@15-main",
        failures=15,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | causes("dns-host-not-found"),
        targets=UWSGI_AT,
    ),
    Fault(
        id="courses-address-families",
        happens="a hardened drop-in allows the unit only AF_UNIX; uWSGI is fine with that, its connection to PostgreSQL over TCP is not: an OperationalError without any text",
        steps="mkdir -p /etc/systemd/system/courses@.service.d; printf '[Service]\\nRestrictAddressFamilies=AF_UNIX\\n' > /etc/systemd/system/courses@.service.d/hardening.conf; systemctl daemon-reload; systemctl restart courses@blue",
        failures=15,
        expects=causes("sandbox-network-denied", "backend-dependency-down"),
        partly=OWN_ERROR,
        targets=UWSGI_AT,
    ),
    Fault(
        id="courses-deploy-between-two-steps",
        happens="the deploy script removes `current`, and dies before it makes the new link; the unit is restarted by a later step and has no WorkingDirectory (200/CHDIR)",
        steps="rm /srv/courses/current; systemctl restart courses@blue || true",
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing"),
        targets=UWSGI_AT,
    ),
)
COURSES_CALMS = (
    Calm(
        id="courses-touched",
        happens="a release by touch-reload (workers end their requests first), a vacuum of the database, scanners, students who leave",
        steps="cp -a /srv/courses/releases/42 /srv/courses/releases/43; ln -sfn /srv/courses/releases/43 /srv/courses/current; touch /srv/courses/reload; sudo -u postgres vacuumdb -q courses",
        routes=(Route(path="/phpinfo.php", host=COURSES), Route(path="/.git/config", host=COURSES)),
        cancels=True,
        seconds=18.0,
    ),
)

STACKS = (
    Stack(
        name="clubs",
        about="PHP-FPM on 127.0.0.1:9000 (releases behind a symlink, a prepended file), MariaDB and Redis behind nginx",
        files=CLUBS_FILES,
        setup=CLUBS_SETUP,
        routes=(Route(path="/", host=CLUBS, weight=4), Route(path="/rules.php", host=CLUBS, weight=3)),
        faults=CLUBS_FAULTS,
        calms=CLUBS_CALMS,
    ),
    Stack(
        name="courses",
        about="Flask in uWSGI (template unit for blue and green, one unix socket) behind nginx, PostgreSQL by a name in /etc/hosts",
        files={
            "/srv/courses/releases/42/app.py": COURSES_APP,
            "/etc/uwsgi/courses.ini": COURSES_INI,
            "/etc/systemd/system/courses@.service": COURSES_UNIT,
            "/etc/nginx/sites-available/courses": COURSES_SITE,
        },
        setup=COURSES_SETUP,
        routes=(Route(path="/", host=COURSES, weight=4), Route(path="/contact", host=COURSES, weight=3)),
        faults=COURSES_FAULTS,
        calms=COURSES_CALMS,
    ),
)
