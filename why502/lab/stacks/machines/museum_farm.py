"""Applications inside of Apache (mod_wsgi, Passenger), and PHP in a chroot with a service of weather beside it."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API_FILES

OWN_ERROR = causes("application-error", "upstream-error-status")

MUSEUM_APP = """\
import os, sqlite3, time
from flask import Flask, Response
application = Flask(__name__)

@application.get("/")
def home():
    return "museum " * 100

@application.get("/tour")
def tour():
    time.sleep(9)
    return "tour"

@application.get("/exhibit")
def exhibit():
    time.sleep(4)
    return "exhibit"

@application.get("/scan")
def scan():
    os.kill(os.getpid(), 11)

@application.get("/tags")
def tags():
    answer = Response("tags")
    answer.headers["Cache-Tags"] = ",".join(f"object-{number}" for number in range(3500))
    return answer

@application.post("/guestbook")
def guestbook():
    with sqlite3.connect("/srv/museum/data/guests.db", timeout=4) as base:
        base.execute("create table if not exists guests (at real)")
        base.execute("insert into guests values (?)", (time.time(),))
    return "thank you"
"""
MUSEUM_SITE = """\
<VirtualHost *:80>
    ServerName museum.example
    WSGIDaemonProcess museum processes=2 threads=4 python-home=/opt/venv python-path=/srv/museum display-name=%{GROUP} request-timeout=30
    WSGIProcessGroup museum
    WSGIApplicationGroup %{GLOBAL}
    WSGIScriptAlias / /srv/museum/museum.wsgi
    <Directory /srv/museum>
        Require all granted
    </Directory>
    ErrorLog ${APACHE_LOG_DIR}/museum_error.log
    CustomLog ${APACHE_LOG_DIR}/museum_access.log combined
</VirtualHost>
"""
ARCHIVE_SITE = """\
<VirtualHost *:80>
    ServerName archive.museum.example
    DocumentRoot /srv/archive/public
    PassengerRuby /usr/bin/ruby
    PassengerUser www-data
    PassengerFriendlyErrorPages off
    PassengerMinInstances 1
    PassengerStartTimeout 20
    <Directory /srv/archive/public>
        Require all granted
    </Directory>
    ErrorLog ${APACHE_LOG_DIR}/archive_error.log
    CustomLog ${APACHE_LOG_DIR}/archive_access.log combined
</VirtualHost>
"""
ARCHIVE_RU = """\
require 'json'
run lambda { |env|
  sleep 4 if env['PATH_INFO'] == '/search'
  exit!(1) if env['PATH_INFO'] == '/microfilm'
  [200, {'Content-Type' => 'application/json'}, [JSON.generate(boxes: (1..50).to_a)]]
}
"""
MUSEUM_SETUP = """
mkdir -p /srv/museum/data /srv/archive/public; chown www-data: /srv/museum/data
a2enmod -q wsgi passenger
a2dissite -q 000-default; a2ensite -q museum archive
systemctl enable --now apache2
"""
MUSEUM, ARCHIVE = "museum.example", "archive.museum.example"
MUSEUM_FAULTS = (
    Fault(
        id="museum-request-timeout",
        happens="request-timeout=4 is set for mod_wsgi's daemons; a tour needs 9 s, the daemon is restarted in its middle",
        steps="sed -i 's/request-timeout=30/request-timeout=4 graceful-timeout=1/; s/processes=2 threads=4/processes=4 threads=1/' /etc/apache2/sites-available/museum.conf; systemctl restart apache2",
        routes=(Route(path="/tour", host=MUSEUM, weight=2),),
        failures=8,
        limit_s=100.0,
        expects=causes("worker-timeout"),
        partly=causes("backend-too-slow", "premature-close", "backend-crashed", "workers-exhausted", "truncated-response"),
    ),
    Fault(
        id="museum-queue-timeout",
        happens="a school class opens the exhibit (4 s a page); two daemons of one thread are configured, and queue-timeout=3 lets mod_wsgi answer 504",
        steps="sed -i 's/threads=4/threads=1 queue-timeout=3/' /etc/apache2/sites-available/museum.conf; systemctl restart apache2",
        routes=(Route(path="/exhibit", host=MUSEUM, weight=20),),
        users=20,
        failures=50,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow"),
    ),
    Fault(
        id="museum-import-error",
        happens="the new release imports a package that is not in the virtual environment: mod_wsgi cannot load the script, each page is 500",
        steps="sed -i '1i import shapely' /srv/museum/museum.wsgi",
        expects=causes("application-error", "backend-startup-failure"),
        partly=causes("upstream-error-status"),
    ),
    Fault(
        id="museum-scan-segfaults",
        happens="a native library crashes the daemon (SIGSEGV) on one page; users get 500 or an answer that was cut",
        steps="true",
        routes=(Route(path="/scan", host=MUSEUM, weight=5),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "truncated-response", "connection-reset"),
    ),
    Fault(
        id="museum-tags-header",
        happens="a page with 3500 objects announces 40 kB of Cache-Tags, mod_wsgi's header-buffer-size is 32 kB: 500, `Truncated or oversized response headers`",
        steps="true",
        routes=(Route(path="/tags", host=MUSEUM, weight=5),),
        expects=causes("response-header-too-big"),
        partly=causes("premature-close", "invalid-response", "truncated-response"),
    ),
    Fault(
        id="museum-run-directory-closed",
        happens="a hardening script closes /var/run/apache2 (0700); Apache's children cannot reach mod_wsgi's socket any more: 503, Permission denied",
        steps="chmod 700 /var/run/apache2",
        expects=causes("unix-socket-permission"),
    ),
    Fault(
        id="museum-guestbook-locked",
        happens="a forgotten sqlite3 session holds an exclusive lock on the guest book: after 4 s `database is locked`, status 500",
        steps='systemd-run -q --unit=session --uid=www-data python3 -c \'import sqlite3, time; b=sqlite3.connect("/srv/museum/data/guests.db", isolation_level=None); b.execute("begin exclusive"); time.sleep(600)\'; sleep 1',
        expects=OWN_ERROR | causes("backend-dependency-slow", "backend-dependency-down"),
    ),
    Fault(
        id="archive-gem-missing",
        happens="the archive's new release requires a gem that is not installed; Passenger cannot spawn it, each page is 500",
        steps="sed -i '1i require \"marc\"' /srv/archive/config.ru; passenger-config restart-app /srv/archive >/dev/null 2>&1 || (mkdir -p /srv/archive/tmp; touch /srv/archive/tmp/restart.txt)",
        expects=causes("backend-startup-failure", "application-error"),
        partly=causes("upstream-error-status", "backend-crash-loop"),
    ),
    Fault(
        id="archive-queue-full",
        happens="PassengerMaxPoolSize 1 and PassengerMaxRequestQueueSize 2 were meant for the test machine; searches of 4 s fill the queue, Passenger answers 503",
        steps="sed -i 's/PassengerStartTimeout 20/PassengerStartTimeout 20\\n    PassengerMaxRequestQueueSize 2/; 1i PassengerMaxPoolSize 1' /etc/apache2/sites-available/archive.conf; systemctl restart apache2",
        routes=(Route(path="/search", host=ARCHIVE, weight=20),),
        users=20,
        failures=50,
        expects=causes("workers-exhausted", "upstream-connection-limit"),
        partly=causes("rate-limited"),
    ),
    Fault(
        id="archive-microfilm-exits",
        happens="a binding calls exit!(1) on one page; Passenger's process is gone in the middle of the request (502)",
        steps="true",
        routes=(Route(path="/microfilm", host=ARCHIVE, weight=6),),
        expects=causes("backend-crashed", "premature-close"),
        partly=causes("truncated-response", "connection-reset"),
    ),
)

FARM_INDEX = """\
<?php
$n = apcu_fetch('visits'); apcu_store('visits', (int) $n + 1);
echo str_repeat('farm ', 100);
"""
FARM_WEATHER = """\
<?php
$text = @file_get_contents('http://weather.partner.example:9101/');
if ($text === false) throw new RuntimeException('weather: ' . (error_get_last()['message'] ?? 'failed'));
echo $text;
"""
FARM_EXPORT = """\
<?php
$rows = [];
for ($n = 0; $n < 400000; $n++) $rows[] = ['id' => $n, 'name' => str_repeat('x', 40) . $n];
echo count($rows);
"""
FARM_HARVEST = "<?php sleep(4); echo 'harvest';\n"
FARM_DATE = "<?php echo 'open on ', date('D, d M Y');\n"
FARM_STAMP = "<?php echo shell_exec('echo stamped') ?? 'nothing';\n"
FARM_POOL = """\
[farm]
user = www-data
group = www-data
listen = /run/php/farm.sock
listen.owner = www-data
listen.group = www-data
listen.mode = 0660
chroot = /srv/farm
chdir = /
pm = dynamic
pm.max_children = 20
pm.start_servers = 2
pm.min_spare_servers = 2
pm.max_spare_servers = 6
catch_workers_output = yes
php_admin_value[memory_limit] = 256M
php_admin_value[default_socket_timeout] = 20
php_admin_value[error_log] = /log/php.log
php_admin_flag[log_errors] = on
"""
FARM_SITE = """\
server {
    listen 80 default_server;
    server_name farm.example;
    root /srv/farm/www;
    index index.php;
    access_log /var/log/nginx/farm.access.log;
    error_log /var/log/nginx/farm.error.log;
    location ~ \\.php$ {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /www$fastcgi_script_name;
        fastcgi_param DOCUMENT_ROOT /www;
        fastcgi_read_timeout 8s;
        fastcgi_pass unix:/run/php/farm.sock;
    }
    location / {
        try_files $uri $uri/ =404;
    }
}
"""
FARM_SETUP = """
mkdir -p /srv/farm/log /srv/farm/etc /srv/farm/tmp /srv/farm/bin; chown www-data: /srv/farm/log /srv/farm/tmp; chmod 755 /srv/farm
echo '127.0.0.1 weather.partner.example' > /srv/farm/etc/hosts; cp /etc/nsswitch.conf /srv/farm/etc/; mkdir -p /srv/farm/usr/share; cp -a /usr/share/zoneinfo /srv/farm/usr/share/
rm -f /etc/php/8.2/fpm/pool.d/www.conf
systemctl enable --now api@9101 php8.2-fpm
until curl -fs -o /dev/null http://127.0.0.1:9101/; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/farm /etc/nginx/sites-enabled/farm
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
FARM = "farm.example"
FARM_AT = frozenset({"unix:/run/php/farm.sock"})
WEATHER_AT = FARM_AT | {"127.0.0.1:9101", "weather.partner.example", "weather.partner.example:9101"}
FPM_AGAIN = "; systemctl restart php8.2-fpm; until test -S /run/php/farm.sock; do sleep 0.1; done"
FARM_FAULTS = (
    Fault(
        id="farm-script-path-outside",
        happens="the standard snippet ($document_root in SCRIPT_FILENAME) comes back in a merge; the pool lives in a chroot and finds no such file: 404, `Primary script unknown`",
        steps="sed -i 's#SCRIPT_FILENAME /www#SCRIPT_FILENAME $document_root#' /etc/nginx/sites-available/farm; systemctl reload nginx",
        failures=0,
        settle="test $(grep -c 'Primary script unknown' /var/log/nginx/farm.error.log) -ge 15",
        expects=causes("fastcgi-script-not-found"),
        targets=FARM_AT,
    ),
    Fault(
        id="farm-hosts-of-chroot-lost",
        happens="a clean-up removes etc/ from the chroot; PHP cannot resolve the weather service any more (php_network_getaddresses), its page is 500",
        steps="rm -rf /srv/farm/etc; systemctl reload php8.2-fpm; sleep 1",
        expects=OWN_ERROR | causes("dns-host-not-found", "backend-dependency-down"),
        targets=WEATHER_AT,
    ),
    Fault(
        id="farm-export-memory",
        happens="memory_limit is 32M in the pool after a sizing script; the export ends with `Allowed memory size exhausted`, status 500",
        steps="sed -i 's/memory_limit. = 256M/memory_limit] = 32M/' /etc/php/8.2/fpm/pool.d/farm.conf; systemctl reload php8.2-fpm; sleep 1",
        routes=(Route(path="/export.php", host=FARM, weight=6),),
        expects=OWN_ERROR,
        targets=FARM_AT,
    ),
    Fault(
        id="farm-process-max",
        happens="process.max = 3 in php-fpm.conf limits all pools together (the pool itself allows 20); at harvest time (4 s a page) requests wait until nginx gives up",
        steps="sed -i 's/^; *process.max = .*/process.max = 3/' /etc/php/8.2/fpm/php-fpm.conf" + FPM_AGAIN,
        routes=(Route(path="/harvest.php", host=FARM, weight=20),),
        users=20,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "listen-backlog-overflow"),
        targets=FARM_AT,
    ),
    Fault(
        id="farm-shell-exec-disabled",
        happens="disable_functions = shell_exec,exec,... is rolled out; the page that stamps labels calls it: Call to undefined function, status 500",
        steps="echo 'php_admin_value[disable_functions] = exec,shell_exec,system,passthru,proc_open' >> /etc/php/8.2/fpm/pool.d/farm.conf; systemctl reload php8.2-fpm; sleep 1",
        routes=(Route(path="/stamp.php", host=FARM, weight=6),),
        expects=OWN_ERROR,
        targets=FARM_AT,
    ),
    Fault(
        id="farm-apcu-gone",
        happens="an upgrade of PHP leaves the module apcu disabled: Call to undefined function apcu_fetch(), the home page is 500",
        steps="phpdismod -s fpm apcu" + FPM_AGAIN,
        expects=OWN_ERROR,
        targets=FARM_AT,
    ),
    Fault(
        id="farm-weather-dropped",
        happens="a firewall drops what goes to the weather service; each of its pages waits 20 s (default_socket_timeout) for a connection, nginx gives up after 8 s",
        steps="nft 'table inet out { chain out { type filter hook output priority 0; tcp dport 9101 drop; }; }'",
        routes=(Route(path="/weather.php", host=FARM, weight=6),),
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=causes("backend-too-slow", "php-fpm-max-children", "workers-exhausted", "connect-timeout"),
        targets=WEATHER_AT,
    ),
    Fault(
        id="farm-zoneinfo-of-chroot-lost",
        happens="a clean-up removes usr/ from the chroot; Debian's PHP finds no time zones there, and a page with a date crashes its child (SIGSEGV)",
        steps="rm -rf /srv/farm/usr; systemctl reload php8.2-fpm; sleep 1",
        routes=(Route(path="/date.php", host=FARM, weight=6),),
        expects=causes("php-fpm-crashed"),
        partly=causes("backend-crashed", "connection-reset", "premature-close"),
        targets=FARM_AT,
    ),
    Fault(
        id="farm-chroot-renamed",
        happens="the directory is renamed to its new domain, the pool's chroot is not: PHP-FPM does not start again after needrestart",
        steps="mv /srv/farm /srv/farm.example; ln -s farm.example/www /srv/farm-www; sed -i 's#root /srv/farm/www#root /srv/farm-www#' /etc/nginx/sites-available/farm; systemctl reload nginx; systemctl restart php8.2-fpm || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crash-loop"),
        targets=FARM_AT,
    ),
)

STACKS = (
    Stack(
        name="museum",
        about="Flask in mod_wsgi's daemons and a Rack application in Passenger, both in one Apache without any proxy",
        files={
            "/srv/museum/museum.wsgi": MUSEUM_APP,
            "/srv/archive/config.ru": ARCHIVE_RU,
            "/etc/apache2/sites-available/museum.conf": MUSEUM_SITE,
            "/etc/apache2/sites-available/archive.conf": ARCHIVE_SITE,
        },
        setup=MUSEUM_SETUP,
        routes=(
            Route(host=MUSEUM, weight=4),
            Route(path="/guestbook", method="POST", host=MUSEUM, weight=2),
            Route(path="/boxes", host=ARCHIVE, weight=3),
        ),
        faults=MUSEUM_FAULTS,
        calms=(
            Calm(
                id="museum-touched-scripts",
                happens="both applications are reloaded by touching their files, a virtual host is added for later, scanners get 404",
                steps="touch /srv/museum/museum.wsgi; mkdir -p /srv/archive/tmp; touch /srv/archive/tmp/restart.txt; cp /etc/apache2/sites-available/000-default.conf /etc/apache2/sites-available/later.conf; for p in wp-login.php .env; do curl -s -o /dev/null -H 'Host: museum.example' http://127.0.0.1/$p; done",
                routes=(Route(path="/wp-admin/", host=MUSEUM, expect=(404,)),),
            ),
        ),
    ),
    Stack(
        name="farm",
        about="PHP-FPM in a chroot with APCu behind nginx; a page asks a weather service",
        files={
            **API_FILES,
            "/srv/farm/www/index.php": FARM_INDEX,
            "/srv/farm/www/weather.php": FARM_WEATHER,
            "/srv/farm/www/export.php": FARM_EXPORT,
            "/srv/farm/www/harvest.php": FARM_HARVEST,
            "/srv/farm/www/stamp.php": FARM_STAMP,
            "/srv/farm/www/date.php": FARM_DATE,
            "/etc/php/8.2/fpm/pool.d/farm.conf": FARM_POOL,
            "/etc/nginx/sites-available/farm": FARM_SITE,
        },
        setup=FARM_SETUP,
        routes=(Route(path="/index.php", host=FARM, weight=4), Route(path="/weather.php", host=FARM, weight=2)),
        faults=FARM_FAULTS,
        calms=(
            Calm(
                id="farm-market-day",
                happens="exports, harvest pages of 4 s, PHP-FPM reloads gracefully, PHP notices in the log, scanners get 404, users break off",
                steps="printf '<?php echo $undefined; echo 1/1;\\n' > /srv/farm/www/notice.php; for n in 1 2 3 4; do curl -s -o /dev/null http://127.0.0.1/notice.php; curl -s -o /dev/null http://127.0.0.1/xmlrpc$n; done; logrotate -f /etc/logrotate.d/nginx",
                routes=(Route(path="/harvest.php", host=FARM), Route(path="/export.php", host=FARM)),
                cancels=True,
            ),
        ),
    ),
)
