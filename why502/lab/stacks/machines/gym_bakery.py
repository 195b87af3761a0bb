"""Flask on a unix socket in a home directory with PostgreSQL, and PHP in Debian's own pool with MariaDB, both behind nginx."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
GONE = causes("backend-not-running", "unix-socket-missing")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")

GYM_APP = """\
import os
import psycopg2
from flask import Flask, request
app = Flask(__name__)
stripe_key = os.environ["STRIPE_KEY"]

def query(text):
    base = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=5)
    try:
        with base, base.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()
    finally:
        base.close()

@app.get("/")
def classes():
    return {"classes": query("select id, name from classes order by id limit 20")}

@app.post("/book")
def book():
    return {"booking": query("insert into bookings (class) values (1) returning id")}

@app.post("/photo")
def photo():
    return {"bytes": len(request.get_data())}
"""
GYM_MIGRATE = """\
import glob, os, psycopg2
base = psycopg2.connect(os.environ["DATABASE_URL"])
with base, base.cursor() as cursor:
    cursor.execute("create table if not exists migrations (name text primary key)")
    for name in sorted(glob.glob("migrations/*.sql")):
        cursor.execute("select 1 from migrations where name = %s", [name])
        if not cursor.fetchone():
            print("applying", name, flush=True)
            cursor.execute(open(name).read())
            cursor.execute("insert into migrations values (%s)", [name])
"""
GYM_UNIT = """[Unit]
Description=Gunicorn instance to serve gym
After=network.target postgresql.service

[Service]
User=sammy
Group=www-data
WorkingDirectory=/home/sammy/gym
EnvironmentFile=/home/sammy/gym/.env
ExecStartPre=/opt/venv/bin/python migrate.py
ExecStart=/opt/venv/bin/gunicorn --workers 3 --bind unix:gym.sock -m 007 wsgi:app
Restart=always

[Install]
WantedBy=multi-user.target
"""
GYM_SITE = """\
server {
    listen 80;
    server_name gym.example www.gym.example;

    location / {
        include proxy_params;
        proxy_pass http://unix:/home/sammy/gym/gym.sock;
    }
}
"""
GYM_SETUP = """
useradd -m -s /bin/bash sammy; chmod 755 /home/sammy; chown -R sammy:sammy /home/sammy
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role gym login password 'hunter22'" -c "create database gym owner gym"
systemctl enable --now gym
until curl -fs -o /dev/null --unix-socket /home/sammy/gym/gym.sock http://gym/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/gym /etc/nginx/sites-enabled/gym; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
GYM = "gym.example"
GYM_AT = frozenset({"unix:/home/sammy/gym/gym.sock"})
GYM_AND_BASE = GYM_AT | {"127.0.0.1:5432", "localhost:5432"}
GYM_RESTART = "systemctl restart gym || true"
GYM_FAULTS = (
    Fault(
        id="gym-variable-of-release",
        happens="the release reads STRIPE_KEY, which nobody put into the server's .env; gunicorn's workers raise KeyError, systemd tries five times at once and gives up",
        steps=f"sed -i /STRIPE/d /home/sammy/gym/.env; {GYM_RESTART}",
        settle="systemctl is-failed -q gym",
        expects=NO_START,
        partly=GONE,
        targets=GYM_AT,
    ),
    Fault(
        id="gym-column-added-by-hand",
        happens="a column was added by hand last week; the release's migration (ExecStartPre) adds it again and fails: DuplicateColumn, the service does not start",
        steps='sudo -u postgres psql -q gym -c "alter table classes add column trainer text"; '
        f'echo "alter table classes add column trainer text;" > /home/sammy/gym/migrations/002.sql; {GYM_RESTART}',
        settle="systemctl is-failed -q gym",
        expects=NO_START,
        partly=GONE,
        targets=GYM_AT,
    ),
    Fault(
        id="gym-index-in-open-transaction",
        happens="`create index` on the bookings runs in a transaction that goes on to fill another table: each booking waits for the lock, and soon all three workers do",
        steps='(sudo -u postgres psql -q gym -c "begin; create index on bookings (class); select pg_sleep(900)" >/dev/null 2>&1 &); sleep 1',
        routes=(Route(path="/book", method="POST", host=GYM, weight=3),),
        failures=16,
        limit_s=120.0,
        expects=causes("backend-dependency-slow"),
        partly=HANGS,
        targets=GYM_AND_BASE,
    ),
    Fault(
        id="gym-connections-of-role",
        happens="the plan of the database allows the role four connections; four forgotten sessions of a desktop tool hold them: FATAL, too many connections for role",
        steps='sudo -u postgres psql -q -c "alter role gym connection limit 4"; '
        "for n in 1 2 3 4; do (sleep 900 | PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U gym gym) >/dev/null 2>&1 & sleep 0.4; done",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=GYM_AND_BASE,
    ),
    Fault(
        id="gym-group-in-unit",
        happens="somebody tidies the unit up and writes Group=sammy; the socket is sammy's alone (-m 007), and nginx, which is www-data, may not open it",
        steps=f"sed -i 's/Group=www-data/Group=sammy/' /etc/systemd/system/gym.service; systemctl daemon-reload; {GYM_RESTART}",
        expects=causes("unix-socket-permission"),
        targets=GYM_AT,
    ),
    Fault(
        id="gym-photos-of-phones",
        happens="members send photos of 3 MB, and nobody ever set client_max_body_size: 413 by nginx's default of 1 MB",
        steps="true",
        routes=(Route(path="/photo", method="POST", host=GYM, body_bytes=3 << 20, weight=4),),
        failures=0,
        settle="test $(grep -c ' 413 ' /var/log/nginx/access.log) -ge 12",
        expects=causes("request-too-large"),
    ),
)

BAKERY_SITE = """\
server {
    listen 80 default_server;
    server_name bakery.example;
    root /var/www/bakery;
    index index.php index.html;
    access_log /var/log/nginx/bakery.access.log;
    error_log /var/log/nginx/bakery.error.log;

    location / {
        try_files $uri $uri/ /index.php?$args;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
    location ~ /\\.ht {
        deny all;
    }
}
"""
BAKERY_FILES = {
    "/etc/nginx/sites-available/bakery": BAKERY_SITE,
    "/var/www/bakery/base.php": "<?php\nmysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);\n$base = new mysqli('localhost', 'bakery', 'hunter22', 'bakery');\n",
    "/var/www/bakery/index.php": "<?php\nrequire 'base.php';\nforeach ($base->query('select name from cakes limit 20') as $row) echo '<li>', $row['name'], \"\\n\";\n",
    "/var/www/bakery/order.php": "<?php\nrequire 'base.php';\n$order = $base->prepare('insert into orders (wish) values (?)');\n$order->execute([str_repeat('with cream ', 700)]);\necho 'thank you';\n",
    "/var/www/bakery/cakes.php": "<?php usleep(1800000); echo str_repeat('cake ', 300);\n",
    "/var/www/bakery/photos.php": "<?php\n$photos = file_get_contents('http://feeds.bakery.example:8088/photos.json');\necho $photos === false ? 'no photos today' : $photos;\n",
    "/var/www/bakery/contact.php": "<?php echo str_repeat('open from six ', 100);\n",
}
BAKERY_SETUP = """
echo '203.0.113.1 feeds.bakery.example' >> /etc/hosts
cp -a /var/lib/mysql /root/mysql; mount -t tmpfs -o size=320m,mode=755 data /var/lib/mysql; cp -a /root/mysql/. /var/lib/mysql/; chown mysql:mysql /var/lib/mysql; rm -r /root/mysql
systemctl enable --now mariadb
mariadb <<SQL
create database bakery; create user bakery@localhost identified by 'hunter22'; grant all on bakery.* to bakery@localhost;
use bakery; create table cakes (id int auto_increment primary key, name varchar(99)); create table orders (id int auto_increment primary key, wish text);
insert into cakes (name) select concat('cake ', seq) from seq_1_to_200;
SQL
systemctl enable --now php8.2-fpm
ln -s /etc/nginx/sites-available/bakery /etc/nginx/sites-enabled/bakery; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
BAKERY_REMOTE = """
mkdir -p /tmp/feed && mount -t tmpfs -o mode=755 feed /tmp/feed && cd /tmp/feed && echo '["bread.jpg"]' > photos.json
(exec python3 -m http.server --bind 203.0.113.1 8088 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1:8088/photos.json; do sleep 0.1; done
"""
BAKERY = "bakery.example"
FPM_AT = frozenset({"unix:/run/php/php8.2-fpm.sock"})
BAKERY_FAULTS = (
    Fault(
        id="bakery-pool-moved-to-a-port",
        happens="a guide on speed says `listen = 127.0.0.1:9000`; somebody changes the pool and restarts PHP-FPM, the site's fastcgi_pass still names the socket",
        steps="sed -i 's#^listen = .*#listen = 127.0.0.1:9000#' /etc/php/8.2/fpm/pool.d/www.conf; systemctl restart php8.2-fpm",
        expects=causes("php-fpm-socket-mismatch"),
        partly=causes("unix-socket-missing", "backend-not-running", "wrong-port"),
        targets=FPM_AT,
    ),
    Fault(
        id="bakery-feed-accepts-and-is-silent",
        happens="the page of photos asks a feed that takes the connection and never answers; file_get_contents waits for a minute, and the five children of Debian's pool all do",
        steps="true",
        outside="kill -STOP $(ss -ltnpH 'sport = :8088' | sed 's/.*pid=\\([0-9]*\\).*/\\1/')",
        routes=(Route(path="/photos.php", host=BAKERY, weight=3),),
        limit_s=100.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS | causes("php-fpm-max-children", "client-closed-request"),
    ),
    Fault(
        id="bakery-saturday-rush",
        happens="a newspaper writes about the cakes: forty readers on a page of 1.8 s, and Debian's pool has five children; users go after 6 s (499)",
        steps="true",
        routes=(Route(path="/cakes.php", host=BAKERY, weight=30),),
        users=40,
        patience_s=6.0,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "client-closed-request"),
        targets=FPM_AT,
    ),
    Fault(
        id="bakery-script-path-of-example",
        happens="the PHP location is written anew from an example: SCRIPT_FILENAME /scripts$fastcgi_script_name; `File not found.`, 404 for each page",
        steps="sed -i 's#include snippets/fastcgi-php.conf;#include fastcgi_params; fastcgi_param SCRIPT_FILENAME /scripts$fastcgi_script_name;#' "
        "/etc/nginx/sites-available/bakery; systemctl reload nginx",
        failures=0,
        settle="test $(grep -c ' 404 ' /var/log/nginx/bakery.access.log) -ge 15",
        expects=causes("fastcgi-script-not-found"),
        partly=causes("upstream-error-status"),
        targets=FPM_AT,
    ),
    Fault(
        id="bakery-disk-of-database-full",
        happens="a forgotten dump fills the volume of MariaDB: orders fail (The table is full), what only reads goes on",
        steps="dd if=/dev/zero of=/var/lib/mysql/dump-2025.sql bs=1M 2>/dev/null || true",
        routes=(Route(path="/order.php", method="POST", host=BAKERY, weight=8),),
        expects=causes("disk-full"),
        partly=OWN_ERROR | causes("backend-dependency-down"),
    ),
    Fault(
        id="bakery-database-not-enabled",
        happens="MariaDB was disabled for a migration and only started by hand afterwards; the server is rebooted for a new kernel, and it is not there",
        steps="systemctl disable -q mariadb; systemctl stop nginx php8.2-fpm mariadb; journalctl -q --rotate; journalctl -q --vacuum-time=1s; "
        "systemctl restart systemd-journald; systemctl start php8.2-fpm nginx",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
    ),
)

STACKS = (
    Stack(
        name="gym",
        about="Flask in gunicorn on a unix socket in a home directory (three sync workers, migrations in ExecStartPre) behind nginx with its default logs, PostgreSQL",
        files={
            "/home/sammy/gym/wsgi.py": GYM_APP,
            "/home/sammy/gym/migrate.py": GYM_MIGRATE,
            "/home/sammy/gym/migrations/001.sql": "create table classes (id serial primary key, name text); insert into classes (name) select 'class ' || n from generate_series(1, 100) n; "
            "create table bookings (id serial primary key, class int);\n",
            "/home/sammy/gym/.env": "DATABASE_URL=postgresql://gym:hunter22@127.0.0.1/gym\nSTRIPE_KEY=sk-1\n",
            "/etc/systemd/system/gym.service": GYM_UNIT,
            "/etc/nginx/sites-available/gym": GYM_SITE,
        },
        setup=GYM_SETUP,
        routes=(
            Route(path="/", host=GYM, weight=4),
            Route(path="/book", method="POST", host=GYM, weight=2),
            Route(path="/photo", method="POST", host=GYM, body_bytes=90000),
        ),
        faults=GYM_FAULTS,
        calms=(
            Calm(
                id="gym-release-as-it-should-be",
                happens="a release: a migration that takes no lock, gunicorn reloads (HUP), nginx reloads, logs rotate, the tables are vacuumed; scanners get 404",
                steps='echo "create table trainers (id serial primary key);" > /home/sammy/gym/migrations/002.sql; cd /home/sammy/gym; set -a; . ./.env; set +a; sudo -E -u sammy /opt/venv/bin/python migrate.py >/dev/null; '
                "systemctl kill -s HUP --kill-who=main gym; sudo -u postgres psql -q gym -c vacuum; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
                routes=(Route(path="/wp-login.php", host=GYM), Route(path="/.env", host="203.0.113.10")),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="bakery",
        about="PHP in the pool that Debian's package brings (five children, unix socket) behind nginx with Debian's snippet, MariaDB on a volume of its own",
        files=BAKERY_FILES,
        setup=BAKERY_SETUP,
        routes=(
            Route(path="/", host=BAKERY, weight=4),
            Route(path="/contact.php", host=BAKERY, weight=3),
            Route(path="/order.php", method="POST", host=BAKERY),
        ),
        faults=BAKERY_FAULTS,
        calms=(
            Calm(
                id="bakery-before-christmas",
                happens="the slow page of cakes is asked for now and then, the feed answers, a dump of the database, logs of nginx and PHP-FPM rotate; bots look for WordPress",
                steps="mariadb-dump --single-transaction bakery > /root/bakery.sql; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
                routes=(
                    Route(path="/cakes.php", host=BAKERY),
                    Route(path="/photos.php", host=BAKERY),
                    Route(path="/xmlrpc.php", method="POST", host=BAKERY, expect=(404,)),
                ),
                users=6,
                cancels=True,
            ),
        ),
        remote=BAKERY_REMOTE,
    ),
)
