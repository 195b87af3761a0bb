"""Varnish in front of Apache with PHP-FPM and MariaDB, and Tornado in four processes of supervisord behind nginx with Redis."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

GAZETTE_VCL = """\
vcl 4.1;

probe front {
    .url = "/alive.html";
    .interval = 2s;
    .timeout = 2s;
    .window = 5;
    .threshold = 3;
    .initial = 5;
}
backend default {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    .first_byte_timeout = 15s;
    .between_bytes_timeout = 15s;
    .probe = front;
}

sub vcl_recv {
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.url ~ "^/(account|archive|agenda)") {
        return (pass);
    }
    unset req.http.Cookie;
}

sub vcl_backend_response {
    set beresp.ttl = 1s;
    set beresp.grace = 1s;
    if (beresp.status >= 500) {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
    }
}
"""
GAZETTE_VARNISH_UNIT = """[Service]
ExecStart=
ExecStart=/usr/sbin/varnishd -j unix,user=vcache -F -a :80 -T localhost:6082 -f /etc/varnish/default.vcl -S /etc/varnish/secret -s malloc,64m
"""
GAZETTE_SITE = """\
<VirtualHost *:8080>
    ServerName gazette.example
    DocumentRoot /var/www/gazette
    ErrorLog ${APACHE_LOG_DIR}/gazette-error.log
    CustomLog ${APACHE_LOG_DIR}/gazette-access.log combined
    <Directory /var/www/gazette>
        AllowOverride None
        Require all granted
        FallbackResource /index.php
    </Directory>
    <FilesMatch "\\.php$">
        SetHandler "proxy:unix:/run/php/gazette.sock|fcgi://localhost"
    </FilesMatch>
</VirtualHost>
"""
GAZETTE_POOL = """\
[gazette]
user = gazette
group = gazette
listen = /run/php/gazette.sock
listen.owner = www-data
listen.group = www-data
pm = ondemand
pm.max_children = 12
php_admin_value[error_log] = /var/log/php/gazette.log
php_admin_flag[log_errors] = on
"""
GAZETTE_FILES = {
    "/etc/varnish/default.vcl": GAZETTE_VCL,
    "/etc/systemd/system/varnish.service.d/override.conf": GAZETTE_VARNISH_UNIT,
    "/etc/apache2/sites-available/gazette.conf": GAZETTE_SITE,
    "/etc/php/8.2/fpm/pool.d/gazette.conf": GAZETTE_POOL,
    "/var/www/gazette/alive.html": "alive\n",
    "/var/www/gazette/lib.php": "<?php\nfunction base() {\n  mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);\n  return new mysqli('localhost', 'gazette', 'hunter22', 'gazette');\n}\nfunction teaser($text) { return substr($text, 0, 40); }\n",
    "/var/www/gazette/index.php": "<?php\nrequire 'lib.php';\nforeach (base()->query('select title from articles order by id desc limit 20') as $row) echo '<h2>', teaser($row['title']), \"</h2>\\n\";\n",
    "/var/www/gazette/imprint.php": "<?php\necho str_repeat('printed here ', 150);\n",
    "/var/www/gazette/archive.php": "<?php\nsleep(9);\necho str_repeat('yesterday ', 300);\n",
    "/var/www/gazette/agenda.php": "<?php\nusleep(900000);\necho str_repeat('tomorrow ', 300);\n",
    "/var/www/gazette/account.php": "<?php\nforeach (range(1, (int) ($_GET['papers'] ?? 1)) as $n) header(\"X-Paper-$n: \" . str_repeat('x', 700), false);\necho 'your account';\n",
    "/var/www/gazette/weather.php": "<?php\n$context = stream_context_create(['http' => ['timeout' => 40]]);\necho @file_get_contents('http://203.0.113.88/feed.xml', false, $context) ?: 'no weather';\n",
}
GAZETTE_SETUP = """
useradd --system gazette; mkdir -p /var/log/php; chown gazette /var/log/php
rm /etc/php/8.2/fpm/pool.d/www.conf
sed -i 's/^;process_control_timeout.*/process_control_timeout = 10s/' /etc/php/8.2/fpm/php-fpm.conf
systemctl enable -q --now mariadb
mariadb <<SQL
create database gazette; create user gazette@localhost identified by 'hunter22'; grant all on gazette.* to gazette@localhost;
use gazette; create table articles (id int auto_increment primary key, title varchar(99)); insert into articles (title) select concat('news of day ', seq) from seq_1_to_200;
SQL
systemctl enable -q --now php8.2-fpm
sed -i 's/^Listen 80$/Listen 127.0.0.1:8080/' /etc/apache2/ports.conf
a2enmod -q proxy proxy_fcgi; a2dissite -q 000-default; a2ensite -q gazette
apachectl -t 2>/dev/null; systemctl enable -q --now apache2
systemctl daemon-reload; systemctl enable -q --now varnish
"""
GAZETTE = "gazette.example"
GAZETTE_POOL_AT, GAZETTE_WEB_AT = frozenset({"unix:/run/php/gazette.sock"}), frozenset({"127.0.0.1:8080", "default"})
GAZETTE_FAULTS = (
    Fault(
        id="gazette-pool-follows-version",
        happens="the pool is renamed to /run/php/gazette-8.2.sock by a role for several versions; the site's SetHandler still names gazette.sock: 503 of Apache through Varnish",
        steps="sed -i 's#/run/php/gazette.sock#/run/php/gazette-8.2.sock#' /etc/php/8.2/fpm/pool.d/gazette.conf; systemctl restart php8.2-fpm",
        expects=causes("php-fpm-socket-mismatch"),
        partly=causes("unix-socket-missing", "backend-not-running", "upstream-error-status"),
        targets=GAZETTE_POOL_AT,
    ),
    Fault(
        id="gazette-catch-all-refuses",
        happens="against scanners Apache gets a first virtual host that refuses every unknown name (403); Varnish's probe comes without the site's name, the backend is sick: 503",
        steps="printf '<VirtualHost *:8080>\\n    ServerName default.invalid\\n    <Location />\\n        Require all denied\\n    </Location>\\n</VirtualHost>\\n' > /etc/apache2/sites-available/000-refuse.conf; a2ensite -q 000-refuse; systemctl reload apache2",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "denied-by-rule", "wrong-host-header", "upstream-error-status"),
        targets=GAZETTE_WEB_AT,
    ),
    Fault(
        id="gazette-first-byte-of-blog",
        happens="the VCL takes `.first_byte_timeout = 5s` from a blog; the archive has always taken nine seconds: 503 for it alone",
        steps="sed -i 's/first_byte_timeout = 15s/first_byte_timeout = 5s/' /etc/varnish/default.vcl; systemctl reload varnish",
        routes=(Route(path="/archive.php", host=GAZETTE, weight=2),),
        limit_s=100.0,
        expects=SLOW,
        partly=causes("workers-exhausted", "php-fpm-max-children"),
        targets=GAZETTE_WEB_AT | GAZETTE_POOL_AT,
    ),
    Fault(
        id="gazette-ports-of-package",
        happens="an upgrade of Apache asks about ports.conf and gets the package's: `Listen 80`, which Varnish holds; Apache does not start (98: Address already in use)",
        steps="sed -i 's/^Listen 127.0.0.1:8080$/Listen 80/' /etc/apache2/ports.conf; systemctl restart apache2 || true",
        expects=causes("port-conflict", "proxy-listen-failed", "backend-startup-failure"),
        partly=causes("backend-not-running", "all-upstreams-down", "proxy-not-running", "proxy-config-invalid", "wrong-port"),
    ),
    Fault(
        id="gazette-account-of-collectors",
        happens="a subscriber of many papers gets a header for each: 36 kB in all, more than Varnish takes of a response's header: 503 for that page",
        steps="true",
        routes=(Route(path="/account.php?papers=52", host=GAZETTE, weight=3),),
        expects=causes("response-header-too-big", "proxy-workspace-exhausted"),
        partly=causes("invalid-response"),
        targets=GAZETTE_WEB_AT,
    ),
    Fault(
        id="gazette-weather-of-dead-host",
        happens="the page with the weather reads a feed of a host that is gone (40 s); soon all twelve children wait for it, every page waits, and Varnish gives up after 15 s",
        steps="true",
        outside="ip addr add 203.0.113.88/32 dev lo; nft 'table inet feed { chain in { type filter hook input priority 0; ip daddr 203.0.113.88 drop; }; }'",
        routes=(Route(path="/weather.php", host=GAZETTE, weight=3),),
        users=26,
        limit_s=120.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS | causes("php-fpm-max-children", "proxy-timeout-too-short", "upstream-error-status"),
        targets=GAZETTE_WEB_AT | GAZETTE_POOL_AT | {"203.0.113.88:80"},
    ),
    Fault(
        id="gazette-function-renamed",
        happens="a release renames a function in lib.php and forgets the front page: `Call to undefined function teaser()`, 500",
        steps="sed -i 's/function teaser/function shorten/' /var/www/gazette/lib.php; systemctl reload php8.2-fpm",
        expects=OWN_ERROR,
        targets=GAZETTE_WEB_AT | GAZETTE_POOL_AT,
    ),
)

TRAMWAY_APP = """\
import asyncio, os, sys, time
import redis, tornado.ioloop, tornado.web
from tornado.options import define, options, parse_command_line
define("port", type=int)
base = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)

class Departures(tornado.web.RequestHandler):
    def get(self):
        self.write({"departures": [f"line {n}" for n in range(60)], "delays": int(base.get("delays") or 0)})

class Fares(tornado.web.RequestHandler):
    def get(self):
        self.write("a single, a day, a week " * 60)

class Route(tornado.web.RequestHandler):
    async def get(self):
        await asyncio.sleep(1.2)
        self.write("change twice " * 80)

class Export(tornado.web.RequestHandler):
    def get(self):
        time.sleep(15)
        self.write("exported")

class Ticket(tornado.web.RequestHandler):
    def post(self):
        self.write({"ticket": base.incr("tickets")})

if __name__ == "__main__":
    parse_command_line()
    tornado.web.Application([("/", Departures), ("/fares", Fares), ("/route", Route), ("/export", Export), ("/tickets", Ticket)]).listen(options.port, "127.0.0.1")
    tornado.ioloop.IOLoop.current().start()
"""
TRAMWAY_PROGRAM = """\
[program:tramway]
command=/opt/venv/bin/python /srv/tramway/main.py --port=80%(process_num)02d
process_name=%(program_name)s-80%(process_num)02d
numprocs=4
numprocs_start=1
directory=/srv/tramway
user=tramway
environment=REDIS_URL="redis://:tram@127.0.0.1:6379/0"
autostart=true
autorestart=true
stopwaitsecs=15
redirect_stderr=true
stdout_logfile=/var/log/supervisor/%(program_name)s-80%(process_num)02d.log
"""
TRAMWAY_UPSTREAM = """\
upstream tramway {
    server 127.0.0.1:8001;
    server 127.0.0.1:8002;
    server 127.0.0.1:8003;
    server 127.0.0.1:8004;
}
"""
TRAMWAY_SITE = """\
limit_req_zone $binary_remote_addr zone=visitors:2m rate=20r/s;

server {
    listen 80;
    server_name tramway.example;
    access_log /var/log/nginx/tramway.access.log;
    error_log /var/log/nginx/tramway.error.log;

    location / {
        limit_req zone=visitors burst=20 nodelay;
        proxy_pass http://tramway;
        include proxy_params;
        proxy_next_upstream off;
        proxy_read_timeout 8s;
    }
}
"""
TRAMWAY_SETUP = """
useradd --system tramway
sed -i 's/^# requirepass .*/requirepass tram/' /etc/redis/redis.conf
systemctl enable -q --now redis-server
systemctl enable -q --now supervisor
for p in 8001 8002 8003 8004; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.2; done; done
ln -s /etc/nginx/sites-available/tramway /etc/nginx/sites-enabled/tramway; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
TRAMWAY = "tramway.example"
TRAMWAY_AT = frozenset({"127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003", "127.0.0.1:8004", "tramway"})
TRAMWAY_FAULTS = (
    Fault(
        id="tramway-two-processes-less",
        happens="numprocs goes from four to two for the sake of memory; nginx's upstream still has all four (and does not try again, so that no ticket is sold twice): every few seconds a 502",
        steps="sed -i 's/numprocs=4/numprocs=2/' /etc/supervisor/conf.d/tramway.conf; supervisorctl update >/dev/null; for p in 8001 8002; do until curl -fs -o /dev/null http://127.0.0.1:$p/fares; do sleep 0.2; done; done; sleep 1",
        failures=14,
        limit_s=150.0,
        settle="tail -n 200 /var/log/nginx/tramway.access.log > /tmp/tail; test $(grep -c '\" 502 ' /tmp/tail) -ge 3 && test $(grep -c '\" 200 ' /tmp/tail) -ge 150",
        expects=causes("backend-not-running", "stale-endpoint"),
        partly=causes("wrong-port"),
        targets=TRAMWAY_AT,
    ),
    Fault(
        id="tramway-percent-in-password",
        happens="the new password of Redis has a per cent sign, which supervisord's files take as a format: `Format string … is badly formatted`; supervisord does not start again, and nothing runs",
        steps="redis-cli -a tram --no-auth-warning config set requirepass 'tr%am' >/dev/null; sed -i 's/:tram@/:tr%am@/' /etc/supervisor/conf.d/tramway.conf; "
        "supervisorctl shutdown >/dev/null || true; until ! pgrep -f 'tramway/main[.]py' >/dev/null; do sleep 0.2; done; systemctl restart supervisor || true; sleep 3",
        expects=causes("backend-startup-failure", "backend-crash-loop", "backend-not-running"),
        partly=causes("all-upstreams-down"),
        targets=TRAMWAY_AT,
    ),
    Fault(
        id="tramway-export-blocks",
        happens="the export of the month is a plain call of 15 s in a Tornado handler: each one stops the loop of its process, four of them the whole site; nginx gives up after 8 s",
        steps="true",
        routes=(Route(path="/export", host=TRAMWAY, weight=2),),
        limit_s=100.0,
        expects=HANGS,
        partly=causes("proxy-timeout-too-short"),
        targets=TRAMWAY_AT,
    ),
    Fault(
        id="tramway-password-by-halves",
        happens="Redis gets a new password, and the supervisor's program keeps the old one: connections made from then on are refused (WRONGPASS), 500 for departures, the fares go on",
        steps="redis-cli -a tram --no-auth-warning config set requirepass rotated >/dev/null; supervisorctl restart tramway:* >/dev/null; for p in 8001 8002 8003 8004; do until curl -fs -o /dev/null http://127.0.0.1:$p/fares; do sleep 0.2; done; done",
        settle="test $(tail -n 60 /var/log/nginx/tramway.access.log | grep -c '\" 500 ') -ge 15",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=TRAMWAY_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="tramway-limit-for-all-together",
        happens="`$binary_remote_addr` becomes `$host` in the zone's key, and the rate 5r/s: all visitors share one limit, and most get 503 of nginx",
        steps="sed -i 's/\\$binary_remote_addr zone=visitors:2m rate=20r/$host zone=visitors:2m rate=5r/; s/burst=20/burst=3/' /etc/nginx/sites-available/tramway; systemctl restart nginx",
        users=12,
        expects=causes("rate-limited"),
    ),
    Fault(
        id="tramway-upstream-written-empty",
        happens="a script writes the upstream's file from `supervisorctl status` at a moment without any process: no servers are inside, and the restart of nginx that follows fails",
        steps="printf 'upstream tramway {\\n}\\n' > /etc/nginx/conf.d/upstream-tramway.conf; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
)

STACKS = (
    Stack(
        name="gazette",
        about="Varnish on port 80 with a probe in front of Apache on 127.0.0.1:8080 (SetHandler to PHP-FPM's unix socket, ondemand), MariaDB on its socket",
        files=GAZETTE_FILES,
        setup=GAZETTE_SETUP,
        routes=(Route(path="/", host=GAZETTE, weight=4), Route(path="/imprint.php", host=GAZETTE, weight=3)),
        faults=GAZETTE_FAULTS,
        calms=(
            Calm(
                id="gazette-election-night",
                happens="PHP-FPM reloads with grace, Apache gracefully, the VCL is loaded anew, the cache is banned, logs rotate, a dump; readers of the agenda (0.9 s) leave, scanners get the front page",
                steps="systemctl reload php8.2-fpm; apachectl graceful; systemctl reload varnish; varnishadm 'ban req.url ~ .' >/dev/null; logrotate -f /etc/logrotate.d/apache2; mariadb-dump --single-transaction gazette > /root/gazette.sql",
                routes=(
                    Route(path="/agenda.php", host=GAZETTE),
                    Route(path="/wp-admin/setup-config.php", host=GAZETTE, expect=(200, 404)),
                    Route(path="/account.php", host=GAZETTE),
                ),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="tramway",
        about="Tornado in four processes of one program of supervisord (numprocs, ports 8001 to 8004) behind nginx with a limit for each visitor; Redis with a password",
        files={
            "/srv/tramway/main.py": TRAMWAY_APP,
            "/etc/supervisor/conf.d/tramway.conf": TRAMWAY_PROGRAM,
            "/etc/nginx/conf.d/upstream-tramway.conf": TRAMWAY_UPSTREAM,
            "/etc/nginx/sites-available/tramway": TRAMWAY_SITE,
        },
        setup=TRAMWAY_SETUP,
        routes=(
            Route(path="/", host=TRAMWAY, weight=4),
            Route(path="/fares", host=TRAMWAY, weight=3),
            Route(path="/tickets", method="POST", host=TRAMWAY),
        ),
        faults=TRAMWAY_FAULTS,
        calms=(
            Calm(
                id="tramway-rolling-release",
                happens="the release takes each process out of the upstream, restarts it and puts it back; nginx reloads eight times, logs rotate, Redis saves, people look for routes (1.2 s) and leave",
                steps='f=/etc/nginx/conf.d/upstream-tramway.conf; for p in 8001 8002 8003 8004; do sed -i "s/:$p;/:$p down;/" $f; systemctl reload nginx; sleep 3; supervisorctl restart tramway:tramway-$p >/dev/null; '
                'until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.2; done; sed -i "s/:$p down;/:$p;/" $f; systemctl reload nginx; sleep 1; done; logrotate -f /etc/logrotate.d/nginx; redis-cli -a tram --no-auth-warning bgsave >/dev/null',
                routes=(Route(path="/route", host=TRAMWAY), Route(path="/.aws/credentials", host=TRAMWAY)),
                seconds=25.0,
                cancels=True,
            ),
        ),
    ),
)
