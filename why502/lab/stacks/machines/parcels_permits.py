"""HAProxy alone in front of two instances of Flask with MariaDB, and Apache alone in front of PHP-FPM and Express with PostgreSQL."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

PARCELS_APP = """\
import ctypes, os, time
import pymysql
from flask import Flask, request
app = Flask(__name__)
CARRIER = os.environ["CARRIER_KEY"]

def database():
    return pymysql.connect(host="127.0.0.1", user="parcels", password="hunter22", database="parcels", connect_timeout=3, read_timeout=20, autocommit=True)

@app.get("/health")
def health():
    return "ok"

@app.get("/")
def home():
    base = database()
    try:
        with base.cursor() as cursor:
            cursor.execute("insert into visits (seen) values (now())")
            cursor.execute("select id, street from parcels order by id limit 20")
            return {"parcels": cursor.fetchall()}
    finally:
        base.close()

@app.get("/prices")
def prices():
    return "prices " * 200

@app.get("/label")
def label():
    time.sleep(float(request.args.get("seconds", 0.9)))
    return "label " * 300

@app.get("/route")
def route():
    with open("/srv/parcels/count", "a+") as count:
        count.write(".")
        count.flush()
        if count.tell() % 30 == 0:
            ctypes.CDLL(None).abort()
    return "route " * 100
"""
PARCELS_UNIT = """[Unit]
Description=Parcels on port %i
After=network.target mariadb.service

[Service]
User=parcels
Group=parcels
WorkingDirectory=/srv/parcels
EnvironmentFile=/etc/parcels/%i.env
ExecStart=/opt/venv/bin/gunicorn --worker-class gthread --workers 1 --threads 4 --bind 127.0.0.1:%i app:app
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
PARCELS_HAPROXY = """\
global
\tlog /dev/log\tlocal0
\tlog /dev/log\tlocal1 notice
\tchroot /var/lib/haproxy
\tstats socket /run/haproxy/admin.sock mode 660 level admin
\tstats timeout 30s
\tuser haproxy
\tgroup haproxy
\tdaemon

defaults
\tlog\tglobal
\tmode\thttp
\toption\thttplog
\toption\tdontlognull
\ttimeout connect 2s
\ttimeout client  30s
\ttimeout server  20s
\ttimeout queue   5s
\terrorfile 503 /etc/haproxy/errors/503.http

frontend www
\tbind *:80
\toption forwardfor
\tdefault_backend parcels

backend parcels
\tbalance leastconn
\toption httpchk GET /health
\tdefault-server check inter 1s fall 3 rise 2
\tserver web1 127.0.0.1:8001
\tserver web2 127.0.0.1:8002
"""
PARCELS_SETUP = """
useradd --system --uid $((20000 + RANDOM % 30000)) parcels; mkdir -p /etc/parcels; for n in 1 2; do echo CARRIER_KEY=k-$n > /etc/parcels/800$n.env; done; chown -R parcels: /srv/parcels
systemctl start mariadb
mariadb <<SQL
create database parcels; create user parcels@localhost identified by 'hunter22'; create user parcels@127.0.0.1 identified by 'hunter22';
grant all on parcels.* to parcels@localhost; grant all on parcels.* to parcels@127.0.0.1;
use parcels; create table parcels (id int auto_increment primary key, street varchar(99)) engine=innodb;
create table visits (id int auto_increment primary key, seen datetime, key seen (seen)) engine=myisam;
insert into parcels (street) select concat('street ', seq) from seq_1_to_300; insert into visits (seen) select now() - interval seq minute from seq_1_to_5000;
SQL
systemctl enable --now parcels@8001 parcels@8002
for n in 1 2; do until curl -fs -o /dev/null http://127.0.0.1:800$n/; do sleep 0.2; done; done
install -m 644 /etc/haproxy/haproxy.parcels /etc/haproxy/haproxy.cfg
systemctl enable --now haproxy
"""
PARCELS = "parcels.example"
WEB1, WEB2 = "127.0.0.1:8001", "127.0.0.1:8002"
PARCELS_AT = frozenset({WEB1, WEB2, "parcels", "parcels/web1", "parcels/web2"})
ASK_HAPROXY = "python3 -c \"import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(sys.stdin.buffer.read()); s.recv(999)\""
LABEL = Route(path="/label", host=PARCELS, weight=4)
PARCELS_FAULTS = (
    Fault(
        id="parcels-server-timeout-in-milliseconds",
        happens="somebody writes `timeout server 200` and means seconds; HAProxy reads milliseconds, and labels, which need 0.9 s, are 504",
        steps="sed -i 's/timeout server.*/timeout server  200/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(LABEL,),
        expects=causes("proxy-timeout-too-short"),
        partly=causes("backend-too-slow"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="parcels-weights-left-at-zero",
        happens="the release script sets both servers' weight to 0 through the admin socket and dies before it sets them back; both are up and get nothing",
        steps=f'for n in 1 2; do echo "set weight parcels/web$n 0" | {ASK_HAPROXY}; done',
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="parcels-visits-table-corrupt",
        happens="the index of a MyISAM table is damaged after a hard power-off; each visit's INSERT fails (`Incorrect key file … try to repair it`), the home page is 500",
        steps="mariadb -e 'flush tables'; systemctl stop mariadb; head -c 700 /dev/urandom | dd of=/var/lib/mysql/parcels/visits.MYI bs=1 seek=1024 conv=notrunc 2>/dev/null; "
        "truncate -s 1500 /var/lib/mysql/parcels/visits.MYI; systemctl start mariadb",
        settle="test $(journalctl -q -u 'parcels@*' | grep -c 'try to repair it') -ge 1",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=PARCELS_AT,
    ),
    Fault(
        id="parcels-firewall-for-ten-seconds",
        happens="a new set of firewall rules drops the instances' ports and is rolled back after ten seconds; it is over",
        steps="nft add table inet guard; nft add chain inet guard in '{ type filter hook input priority 0; }'; nft add rule inet guard in tcp dport 8001-8002 drop; sleep 10; nft delete table inet guard; "
        "until test $(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/prices) = 200; do sleep 0.3; done; sleep 3",
        failures=6,
        expects=causes("connect-timeout", "network-policy-denies"),
        partly=causes("all-upstreams-down", "connection-lost", "backend-hung"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="parcels-one-gone-and-the-other-full",
        happens="web2's new environment file lacks CARRIER_KEY and it dies at each start, which nobody saw as web1 did all; then long labels take web1's four threads and the rest waits: 503, 504",
        steps="sed -i 's/timeout server.*/timeout server  6s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy; echo OTHER=1 > /etc/parcels/8002.env; systemctl restart parcels@8002 || true; sleep 4",
        routes=(Route(path="/label?seconds=7", host=PARCELS, weight=14),),
        users=16,
        failures=20,
        limit_s=90.0,
        expects=causes("workers-exhausted", "backend-too-slow") | NO_START,
        partly=causes("backend-crashed", "backend-not-running", "backend-hung", "all-upstreams-down", "proxy-timeout-too-short"),
        targets=PARCELS_AT,
    ),
    Fault(
        id="parcels-one-route-in-thirty",
        happens="a C library aborts the worker at about each thirtieth computed route; systemd and gunicorn bring it back at once, so it is some 2 % of the requests",
        steps="true",
        routes=(Route(path="/route", host=PARCELS, weight=3),),
        failures=4,
        users=14,
        limit_s=90.0,
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=PARCELS_AT,
    ),
)
PARCELS_CALMS = (
    Calm(
        id="parcels-night",
        happens="a dump of the database, web2 drained and restarted and put back, a reload of HAProxy, logs rotated, scanners ask for what is not there",
        steps="mariadb-dump --single-transaction parcels > /root/dump.sql; "
        f"echo 'set server parcels/web2 state drain' | {ASK_HAPROXY}; sleep 3; systemctl restart parcels@8002; "
        f"until curl -fs -o /dev/null http://127.0.0.1:8002/health; do sleep 0.2; done; echo 'set server parcels/web2 state ready' | {ASK_HAPROXY}; sleep 2; systemctl reload haproxy",
        routes=(LABEL, Route(path="/wp-login.php", host=PARCELS), Route(path="/.env", host=PARCELS)),
        seconds=18.0,
        cancels=True,
    ),
)

PERMITS_SITE = """\
<VirtualHost *:80>
    ServerName permits.example
    DocumentRoot /srv/permits/public
    ErrorLog ${APACHE_LOG_DIR}/permits.error.log
    CustomLog ${APACHE_LOG_DIR}/permits.access.log combined
    <Directory /srv/permits/public>
        Require all granted
        DirectoryIndex index.php
    </Directory>
    <FilesMatch "\\.php$">
        SetHandler "proxy:unix:/run/php/permits.sock|fcgi://localhost"
    </FilesMatch>
    ProxyPass /status/ http://127.0.0.1:3000/status/
    ProxyPassReverse /status/ http://127.0.0.1:3000/status/
    ProxyTimeout 20
</VirtualHost>
"""
PERMITS_POOL = """\
[permits]
user = permits
group = permits
listen = /run/php/permits.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 8
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 4
catch_workers_output = yes
php_admin_value[error_log] = /var/log/permits/php.log
php_admin_flag[log_errors] = on
"""
PERMITS_FILES = {
    "/etc/apache2/sites-available/permits.conf": PERMITS_SITE,
    "/etc/php/8.2/fpm/pool.d/permits.conf": PERMITS_POOL,
    "/srv/permits/shared/config.php": "<?php return ['dsn' => 'host=127.0.0.1 dbname=permits user=permits password=hunter22 connect_timeout=3'];\n",
    "/srv/permits/public/base.php": "<?php\n$config = require '/srv/permits/shared/config.php';\n$base = @pg_connect($config['dsn']);\n"
    "if (!$base) { error_log('permits: ' . (error_get_last()['message'] ?? '')); http_response_code(500); exit('no database'); }\n",
    "/srv/permits/public/index.php": "<?php require __DIR__ . '/base.php';\n$rows = pg_query($base, 'select * from permits limit 20');\n"
    "while ($row = pg_fetch_assoc($rows)) echo '<li>', $row['owner'], \"\\n\";\n",
    "/srv/permits/public/help.php": "<?php echo str_repeat('help ', 300);\n",
    "/srv/permits/public/statistics.php": "<?php require __DIR__ . '/base.php';\npg_query($base, \"set parallel_setup_cost=0; set parallel_tuple_cost=0; set min_parallel_table_scan_size=0; set work_mem='64MB'\");\n"
    "$rows = pg_query($base, 'select count(*) from permits a join permits b on a.owner = b.owner');\n"
    "if (!$rows) { error_log('permits: ' . pg_last_error($base)); http_response_code(500); exit('statistics failed'); }\necho pg_fetch_result($rows, 0, 0);\n",
    "/srv/permits/public/forms.php": "<?php\n$open = []; foreach (range(1, 12) as $n) { $handle = fopen('/srv/permits/shared/form' . $n . '.txt', 'r'); "
    "if (!$handle) { throw new RuntimeException('form ' . $n . ' cannot be read'); } $open[] = $handle; }\necho count($open), ' forms';\n",
    "/srv/permits/public/download.php": "<?php\n$n = random_int(1, 30); header($n == 1 ? 'X-File Name: permit.pdf' : 'X-File-Name: permit.pdf');\necho str_repeat('pdf ', 500);\n",
    "/srv/permits/public/print.php": "<?php sleep(2); echo str_repeat('print ', 100);\n",
    "/srv/permits/api/server.js": "const express = require('/opt/node/node_modules/express');\nconst app = express();\n"
    "app.get('/status/', (request, response) => response.json({ waiting: 12 }));\n"
    "app.listen(3000, '127.0.0.1', () => console.log('status on 3000'));\n",
    "/etc/systemd/system/permits-status.service": """[Unit]
Description=Permits status API
After=network.target

[Service]
User=permits
WorkingDirectory=/srv/permits/api
ExecStart=/usr/bin/node server.js
Restart=on-failure

[Install]
WantedBy=multi-user.target
""",
}
PERMITS_SETUP = """
useradd --system permits; mkdir -p /var/log/permits; chown permits: /var/log/permits; for n in $(seq 12); do echo form $n > /srv/permits/shared/form$n.txt; done
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role permits login password 'hunter22'" -c 'create database permits owner permits'
sudo -u postgres psql -q permits -c "create table permits as select n as id, 'owner ' || n as owner from generate_series(1, 120000) n" -c 'alter table permits owner to permits' -c 'analyze permits'
rm -f /etc/php/8.2/fpm/pool.d/www.conf
systemctl enable --now php8.2-fpm permits-status
a2enmod -q proxy proxy_fcgi proxy_http setenvif >/dev/null; a2dissite -q 000-default >/dev/null; a2ensite -q permits >/dev/null
systemctl enable --now apache2
"""
PERMITS = "permits.example"
FPM_AT = frozenset({"unix:/run/php/permits.sock"})
STATUS_AT = frozenset({"127.0.0.1:3000"})
POOL = "/etc/php/8.2/fpm/pool.d/permits.conf"
PERMITS_FAULTS = (
    Fault(
        id="permits-header-name-with-a-space",
        happens="one download in thirty gets a header `X-File Name` (a new branch of the code): Apache refuses that answer of PHP, a few in a hundred requests are 500",
        steps="true",
        routes=(Route(path="/download.php", host=PERMITS, weight=5),),
        users=12,
        failures=4,
        limit_s=90.0,
        expects=causes("invalid-response"),
        partly=OWN_ERROR,
        targets=FPM_AT,
    ),
    Fault(
        id="permits-open-basedir",
        happens="a hardened pool gets open_basedir = /srv/permits/public; the configuration lies beside it in shared/: fatal error on each page with a database",
        steps=f"echo 'php_admin_value[open_basedir] = /srv/permits/public:/tmp' >> {POOL}; systemctl restart php8.2-fpm",
        failures=15,
        expects=causes("application-error"),
        partly=causes("upstream-error-status"),
        targets=FPM_AT,
    ),
    Fault(
        id="permits-shared-memory-filled",
        happens="a test left files that fill /dev/shm; PostgreSQL's parallel queries end with `could not resize shared memory segment: No space left on device`",
        steps="mount -o remount,size=3m /dev/shm; head -c 3000000 /dev/zero > /dev/shm/pytest-of-ci.bin || true",
        routes=(Route(path="/statistics.php", host=PERMITS, weight=5),),
        expects=causes("disk-full"),
        partly=causes("backend-dependency-down") | OWN_ERROR,
        targets=FPM_AT,
    ),
    Fault(
        id="permits-descriptors-of-pool",
        happens="rlimit_files = 16 in the pool, copied from somewhere; the page that opens all forms fails with `Too many open files`",
        steps=f"echo 'rlimit_files = 16' >> {POOL}; systemctl restart php8.2-fpm",
        routes=(Route(path="/forms.php", host=PERMITS, weight=5),),
        expects=causes("application-error"),
        partly=causes("upstream-error-status", "too-many-open-files"),
        targets=FPM_AT,
    ),
    Fault(
        id="permits-password-and-status",
        happens="the role's password is rotated without the site's configuration, and the same change stops the status service: 500 on pages, 503 on status",
        steps="sudo -u postgres psql -q -c \"alter role permits password 'other'\"; systemctl stop permits-status",
        failures=20,
        expects=causes("backend-dependency-down", "backend-not-running"),
        partly=OWN_ERROR,
        targets=FPM_AT | STATUS_AT,
    ),
    Fault(
        id="permits-reloads-of-fpm",
        happens="certbot's hook reloads everything it can find, PHP-FPM three times; each reload kills requests that run (process_control_timeout is 0); it is over",
        steps="sleep 2; for n in 1 2 3; do systemctl reload php8.2-fpm; sleep 3; done; sleep 6",
        routes=(Route(path="/print.php", host=PERMITS, weight=8),),
        failures=4,
        expects=causes("deploy-termination-race"),
        partly=causes("connection-reset", "premature-close", "php-fpm-crashed", "backend-crashed"),
        targets=FPM_AT,
    ),
)
PERMITS_CALMS = (
    Calm(
        id="permits-morning",
        happens="Apache is reloaded gracefully after logrotate, PostgreSQL vacuums and is backed up, visitors leave during downloads, bots ask for scripts that are not there",
        steps="logrotate -f /etc/logrotate.d/apache2; sudo -u postgres vacuumdb -q --analyze permits; sudo -u postgres pg_dump permits > /root/permits.sql",
        routes=(
            Route(path="/print.php", host=PERMITS),
            Route(path="/xmlrpc.php", host=PERMITS, weight=2),
            Route(path="/admin/config.php", host=PERMITS),
        ),
        cancels=True,
        seconds=18.0,
    ),
)

STACKS = (
    Stack(
        name="parcels",
        about="HAProxy as the only gateway (leastconn, HTTP checks) in front of two instances of Flask with MariaDB",
        files={
            "/srv/parcels/app.py": PARCELS_APP,
            "/etc/systemd/system/parcels@.service": PARCELS_UNIT,
            "/etc/haproxy/haproxy.parcels": PARCELS_HAPROXY,
        },
        setup=PARCELS_SETUP,
        routes=(Route(path="/", host=PARCELS, weight=4), Route(path="/prices", host=PARCELS, weight=3)),
        faults=PARCELS_FAULTS,
        calms=PARCELS_CALMS,
    ),
    Stack(
        name="permits",
        about="Apache as the only gateway in front of a pool of PHP-FPM and a service of Express, PostgreSQL",
        files=PERMITS_FILES,
        setup=PERMITS_SETUP,
        routes=(
            Route(path="/", host=PERMITS, weight=3),
            Route(path="/help.php", host=PERMITS, weight=2),
            Route(path="/status/", host=PERMITS, weight=3),
        ),
        faults=PERMITS_FAULTS,
        calms=PERMITS_CALMS,
    ),
)
