"""PHP in two pools behind Apache whose MariaDB is reached by way of HAProxy in TCP mode, and lighttpd as the gateway of Fastify and PHP."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")

GALLERY_SITE = """\
<VirtualHost *:80>
    ServerName gallery.example
    DocumentRoot /srv/gallery
    ErrorLog ${APACHE_LOG_DIR}/gallery.error.log
    CustomLog ${APACHE_LOG_DIR}/gallery.access.log combined
    <Directory /srv/gallery>
        AllowOverride All
        Require all granted
        <FilesMatch \\.php$>
            SetHandler "proxy:unix:/run/php/gallery.sock|fcgi://gallery/"
        </FilesMatch>
    </Directory>
    <Directory /srv/gallery/admin>
        <FilesMatch \\.php$>
            SetHandler "proxy:unix:/run/php/gadmin.sock|fcgi://gadmin/"
        </FilesMatch>
    </Directory>
</VirtualHost>
"""


def _pool(name: str) -> str:
    return f"""\
[{name}]
user = {name}
group = {name}
listen = /run/php/{name}.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 10
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 5
php_admin_flag[log_errors] = on
"""


GALLERY_HAPROXY = """\
global
    log /dev/log local0
    user haproxy
    group haproxy
defaults
    log global
    mode tcp
    option tcplog
    timeout connect 3s
    timeout client 60s
    timeout server 60s
listen sql
    bind 127.0.0.1:3307
    server db1 127.0.0.1:3306 check inter 1s
"""
GALLERY_BASE = """\
<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$base = new mysqli('127.0.0.1', 'gallery', 'hunter22', 'gallery', 3307);
"""
GALLERY_FILES = {
    "/etc/apache2/sites-available/gallery.conf": GALLERY_SITE,
    "/etc/php/8.2/fpm/pool.d/gallery.conf": _pool("gallery"),
    "/etc/php/8.2/fpm/pool.d/gadmin.conf": _pool("gadmin"),
    "/etc/haproxy/haproxy.cfg": GALLERY_HAPROXY,
    "/srv/gallery/base.php": GALLERY_BASE,
    "/srv/gallery/index.php": "<?php\nrequire 'base.php';\nforeach ($base->query('select title from pictures order by id limit 30') as $row) echo '<li>', $row['title'], \"\\n\";\n",
    "/srv/gallery/visit.php": "<?php\necho str_repeat('open from ten to five ', 90);\n",
    "/srv/gallery/panorama.php": "<?php\nusleep(1000 * intval($_GET['ms'] ?? 300));\necho 'panorama';\n",
    "/srv/gallery/search.php": "<?php\nrequire 'base.php';\n$base->query('select sleep(' . intval($_GET['s'] ?? 0) . '), count(*) from pictures limit 1');\necho 'found';\n",
    "/srv/gallery/admin/index.php": "<?php\nrequire '../base.php';\necho 'pictures: ', $base->query('select count(*) as n from pictures')->fetch_assoc()['n'];\n",
    "/srv/gallery/.htaccess": "RewriteEngine on\nRewriteRule ^exhibition/([a-z]+)$ visit.php?name=$1 [L]\n",
}
GALLERY_SETUP = """
systemctl start mariadb
mariadb <<SQL
create database gallery; create user gallery@localhost identified by 'hunter22'; create user gallery@'127.0.0.1' identified by 'hunter22';
grant all on gallery.* to gallery@localhost; grant all on gallery.* to gallery@'127.0.0.1';
use gallery; create table pictures (id int auto_increment primary key, title varchar(99)) engine=innodb;
insert into pictures (title) select concat('still life ', seq) from seq_1_to_400;
SQL
useradd --system gallery; useradd --system gadmin
chmod -R a+rX /srv/gallery
rm -f /etc/php/8.2/fpm/pool.d/www.conf
systemctl enable -q --now rsyslog; systemctl enable -q haproxy; systemctl restart haproxy
systemctl enable -q php8.2-fpm; systemctl restart php8.2-fpm
until test -S /run/php/gallery.sock && test -S /run/php/gadmin.sock; do sleep 0.2; done
a2enmod -q proxy_fcgi rewrite >/dev/null; a2dissite -q 000-default >/dev/null; a2ensite -q gallery >/dev/null
systemctl enable -q --now apache2
"""


def _gallery(path: str, weight: int = 1, expect: int = 200) -> Route:
    return Route(path=path, host="gallery.example", weight=weight, expect=(expect,))


GALLERY_AT = frozenset({"unix:/run/php/gallery.sock", "gallery"})
GADMIN_AT = frozenset({"unix:/run/php/gadmin.sock", "gadmin"})
SQL_AT = frozenset({"127.0.0.1:3307", "127.0.0.1:3306", "sql", "sql/db1"})
GALLERY_FAULTS = (
    Fault(
        id="gallery-sql-proxy-stopped",
        happens="HAProxy between PHP and MariaDB was stopped with the idea that nothing uses it: mysqli_sql_exception, Connection refused (127.0.0.1:3307), 500 for all that asks the database; MariaDB runs",
        steps="systemctl disable -q --now haproxy",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=GALLERY_AT | GADMIN_AT | SQL_AT,
    ),
    Fault(
        id="gallery-mariadb-stopped-behind-it",
        happens="MariaDB is stopped, HAProxy still accepts connections for it and closes them at once: MySQL server has gone away, 500",
        steps="systemctl stop mariadb; sleep 3",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=GALLERY_AT | GADMIN_AT | SQL_AT,
    ),
    Fault(
        id="gallery-user-of-a-pool-removed",
        happens="the user of the admin's pool is deleted as unused; PHP-FPM refuses to start with a pool that has no user (cannot get uid for user 'gadmin'), and so both pools are gone: 503",
        steps="systemctl stop php8.2-fpm; userdel gadmin; systemctl start php8.2-fpm || true",
        expects=NO_START,
        partly=causes("backend-not-running", "unix-socket-missing", "php-fpm-socket-mismatch"),
        targets=GALLERY_AT | GADMIN_AT,
    ),
    Fault(
        id="gallery-htaccess-in-circles",
        happens="a rule for pretty addresses sends everything to index.php/… and back again: Request exceeded the limit of 10 internal redirects, 500 for each exhibition",
        steps="printf 'RewriteEngine on\\nRewriteRule ^exhibition/(.*)$ exhibition/index/$1 [L]\\n' > /srv/gallery/.htaccess",
        routes=(_gallery("/exhibition/dutch", 4),),
        expects=causes("rewrite-cycle"),
    ),
    Fault(
        id="gallery-moved-below-home",
        happens="the site moves to /home/curator, which Apache may enter (its group) and the pool's user may not: Primary script unknown, File not found., 404 for each page of PHP",
        steps="mkdir /home/curator; mv /srv/gallery /home/curator/gallery; chgrp www-data /home/curator; chmod 750 /home/curator; sed -i 's#/srv/gallery#/home/curator/gallery#' /etc/apache2/sites-available/gallery.conf; apachectl graceful",
        failures=0,
        settle="test $(grep -c 'Primary script unknown' /var/log/apache2/gallery.error.log) -ge 16",
        expects=causes("fastcgi-script-not-found"),
        targets=GALLERY_AT | GADMIN_AT,
    ),
    Fault(
        id="gallery-proxytimeout-five",
        happens="`ProxyTimeout 5` comes with a copied configuration; panoramas take eight seconds, which was never a trouble: 504 (AH01075) for each of them",
        steps="echo 'ProxyTimeout 5' > /etc/apache2/conf-enabled/timeouts.conf; apachectl graceful",
        routes=(_gallery("/panorama.php?ms=8000", 3),),
        limit_s=90.0,
        expects=SLOW,
        targets=GALLERY_AT,
    ),
    Fault(
        id="gallery-terminated-after-four",
        happens="the pool gets request_terminate_timeout = 4 against runaway pages; panoramas take nine seconds, and PHP-FPM kills their child each time: 503",
        steps="echo 'request_terminate_timeout = 4' >> /etc/php/8.2/fpm/pool.d/gallery.conf; systemctl reload php8.2-fpm; sleep 1",
        routes=(_gallery("/panorama.php?ms=9000", 3),),
        limit_s=90.0,
        settle="grep -q 'execution timed out' /var/log/php8.2-fpm.log",
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "connection-reset", "php-fpm-crashed", "backend-crashed"),
        targets=GALLERY_AT,
    ),
    Fault(
        id="gallery-sql-proxy-impatient",
        happens="HAProxy's timeouts for MariaDB become two seconds; a search takes four, the connection is cut under it (Lost connection, MySQL server has gone away), 500 for searches only",
        steps="sed -i 's/timeout server 60s/timeout server 2s/; s/timeout client 60s/timeout client 2s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(_gallery("/search.php?s=4", 3),),
        limit_s=90.0,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=OWN_ERROR | causes("proxy-timeout-too-short"),
        targets=GALLERY_AT | SQL_AT,
    ),
)

PANTRY_CONF = """\
server.modules = ( "mod_access", "mod_accesslog", "mod_proxy", "mod_fastcgi" )
server.document-root = "/srv/pantry"
server.errorlog = "/var/log/lighttpd/error.log"
server.pid-file = "/run/lighttpd.pid"
server.username = "www-data"
server.groupname = "www-data"
server.port = 80
accesslog.filename = "/var/log/lighttpd/access.log"
index-file.names = ( "index.php", "index.html" )
url.access-deny = ( "~", ".inc" )
mimetype.assign = ( ".html" => "text/html", ".txt" => "text/plain", "" => "application/octet-stream" )

$HTTP["url"] =~ "^/api/" {
    proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => 3400, "connect-timeout" => 4, "read-timeout" => 8 ) ) )
}
fastcgi.server = ( ".php" => ( (
    "socket" => "/run/php/pantry.sock",
    "broken-scriptfilename" => "enable"
) ) )
"""
PANTRY_API = """\
const fastify = require('/opt/node/node_modules/fastify')({ logger: { level: 'warn' } });
const { createClient } = require('/opt/node/node_modules/redis');
const store = createClient({ url: process.env.REDIS_URL || 'redis://127.0.0.1:6379' });
store.on('error', (error) => console.error('redis:', error.message));

fastify.get('/api/shelf', async () => ({ visits: await store.incr('shelf'), jars: Array(60).fill('plum jam') }));
fastify.get('/api/version', async () => ({ version: '3.1.0' }));
fastify.get('/api/search', async (request) => ({ found: /^(([a-z])+.)+[A-Z]([a-z])+$/.test(request.query.q || '') }));
fastify.get('/api/label', (request, reply) => {
  setTimeout(() => {
    if (!request.query.jar) throw new TypeError("Cannot read properties of undefined (reading 'toUpperCase')");
    reply.send({ label: request.query.jar.toUpperCase() });
  }, 20);
});
fastify.get('/api/season', async () => { await new Promise((done) => setTimeout(done, 2000)); return { season: 'autumn' }; });

store.connect().catch(() => {});
fastify.listen({ port: 3400, host: process.env.HOST || '127.0.0.1' }).then((at) => console.log('listening at', at));
"""
PANTRY_UNIT = """[Unit]
Description=API of the pantry
After=network.target redis-server.service

[Service]
User=www-data
Environment=NODE_ENV=production
EnvironmentFile=-/etc/pantry.env
ExecStart=/usr/bin/node /srv/pantry-api/server.js
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
PANTRY_POOL = _pool("pantry").replace("user = pantry", "user = www-data").replace("group = pantry", "group = www-data")
PANTRY_UP = "until curl -fs -o /dev/null http://127.0.0.1:3400/api/version; do sleep 0.2; done"
PANTRY_SETUP = f"""
systemctl enable -q --now redis-server
rm -f /etc/php/8.2/fpm/pool.d/www.conf
systemctl enable -q --now php8.2-fpm
systemctl daemon-reload; systemctl enable -q --now pantry-api
{PANTRY_UP}; until test -S /run/php/pantry.sock; do sleep 0.2; done
mkdir -p /var/log/lighttpd; chown www-data: /var/log/lighttpd
lighttpd -tt -f /etc/lighttpd/lighttpd.conf; systemctl enable -q --now lighttpd
"""


def _pantry(path: str, weight: int = 1, expect: int = 200) -> Route:
    return Route(path=path, host="pantry.example", weight=weight, expect=(expect,))


PANTRY_AT = frozenset({"127.0.0.1:3400"})
PANTRY_PHP_AT = frozenset({"unix:/run/php/pantry.sock"})
PANTRY_FAULTS = (
    Fault(
        id="pantry-api-stopped",
        happens="the API was stopped to move its data and not started again: lighttpd says Connection refused and all backends down, 503 below /api/; pages of PHP go on",
        steps="systemctl stop pantry-api",
        expects=causes("backend-not-running"),
        partly=causes("all-upstreams-down"),
        targets=PANTRY_AT,
    ),
    Fault(
        id="pantry-pool-names-another-socket",
        happens="the pool's file is renewed from a template and listens on /run/php/php8.2-fpm-pantry.sock; lighttpd still asks the old name, which is gone: 503 for PHP",
        steps="sed -i 's#/run/php/pantry.sock#/run/php/php8.2-fpm-pantry.sock#' /etc/php/8.2/fpm/pool.d/pantry.conf; systemctl restart php8.2-fpm; sleep 1",
        expects=causes("php-fpm-socket-mismatch"),
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=PANTRY_PHP_AT,
    ),
    Fault(
        id="pantry-search-with-a-regexp",
        happens="one search makes a regular expression run for minutes, and with it stands Node.js's only loop: everything below /api/ waits and gets 504 after eight seconds",
        steps="true",
        routes=(_pantry("/api/search?q=" + "a" * 60),),
        failures=16,
        limit_s=100.0,
        patience_s=40.0,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted", "cpu-saturation"),
        targets=PANTRY_AT,
    ),
    Fault(
        id="pantry-label-without-a-jar",
        happens="a label without a jar throws in a timer (TypeError, nobody catches it): Node.js ends each time and systemd starts it a second later; those who asked at that moment get an error",
        steps="true",
        routes=(_pantry("/api/label", 2),),
        failures=20,
        limit_s=100.0,
        settle="test $(systemctl show -P NRestarts pantry-api) -ge 3",
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("premature-close", "connection-reset", "backend-not-running", "deploy-termination-race"),
        targets=PANTRY_AT,
    ),
    Fault(
        id="pantry-redis-with-a-password",
        happens="Redis gets a password and the API does not know it: NOAUTH Authentication required, 500 for the shelf; the rest of the API works",
        steps="redis-cli config set requirepass quince >/dev/null; systemctl restart pantry-api; " + PANTRY_UP,
        routes=(_pantry("/api/shelf", 3),),
        settle="test $(tail -n 40 /var/log/lighttpd/access.log | grep -c '\" 500 ') -ge 10",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=PANTRY_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="pantry-api-on-ipv6-only",
        happens="the environment of the new release says HOST=::1; the API listens on [::1]:3400, lighttpd connects to 127.0.0.1:3400: refused, 503",
        steps="echo HOST=::1 > /etc/pantry.env; systemctl restart pantry-api; until curl -fs -o /dev/null 'http://[::1]:3400/api/version'; do sleep 0.2; done",
        expects=causes("wrong-address"),
        partly=causes("wrong-port", "backend-not-running"),
        targets=PANTRY_AT,
    ),
)

STACKS = (
    Stack(
        name="gallery",
        about="Apache (event) with two pools and users of PHP-FPM on unix sockets; their MariaDB is reached by way of HAProxy in TCP mode on 127.0.0.1:3307, rsyslog",
        files=GALLERY_FILES,
        setup=GALLERY_SETUP,
        routes=(
            _gallery("/index.php", 4),
            _gallery("/visit.php", 2),
            _gallery("/exhibition/french"),
            _gallery("/admin/index.php"),
            _gallery("/search.php?s=0"),
        ),
        faults=GALLERY_FAULTS,
        calms=(
            Calm(
                id="gallery-open-day",
                happens="many visitors, searches of two seconds, Apache reloads with grace, HAProxy reloads, logs rotate; scanners ask for wp-login.php and .git",
                steps="apachectl graceful; systemctl reload haproxy; logrotate -f /etc/logrotate.d/apache2",
                routes=(
                    _gallery("/search.php?s=2"),
                    _gallery("/panorama.php?ms=1200"),
                    _gallery("/wp-login.php", expect=404),
                    _gallery("/.git/config", expect=404),
                ),
                seconds=18.0,
                users=12,
                cancels=True,
            ),
            Calm(
                id="gallery-old-failures",
                happens="last week's errors of PHP-FPM lie in Apache's rotated log; the dump of the database runs; nothing fails",
                steps="for n in $(seq 200); do echo \"[$(LC_ALL=C date -d '6 days ago' '+%a %b %d 03:20:11.123456 %Y')] [proxy:error] [pid 99:tid 140] (2)No such file or directory: AH02454: FCGI: attempt to connect to Unix domain socket /run/php/gallery.sock (*) failed\"; done > /var/log/apache2/gallery.error.log.1; touch -d '6 days ago' /var/log/apache2/gallery.error.log.1; mariadb-dump --single-transaction gallery > /root/gallery.sql",
                seconds=14.0,
            ),
        ),
    ),
    Stack(
        name="pantry",
        about="lighttpd as the only gateway: Fastify on 127.0.0.1:3400 with Redis by mod_proxy, PHP-FPM on a unix socket by mod_fastcgi",
        files={
            "/etc/lighttpd/lighttpd.conf": PANTRY_CONF,
            "/etc/php/8.2/fpm/pool.d/pantry.conf": PANTRY_POOL,
            "/srv/pantry/index.php": "<?php\necho str_repeat('<p>jars and shelves</p>', 80);\n",
            "/srv/pantry/plan.txt": "shelf one: jam\n" * 200,
            "/srv/pantry-api/server.js": PANTRY_API,
            "/etc/systemd/system/pantry-api.service": PANTRY_UNIT,
        },
        setup=PANTRY_SETUP,
        routes=(_pantry("/index.php", 3), _pantry("/api/shelf", 3), _pantry("/api/version"), _pantry("/plan.txt")),
        faults=PANTRY_FAULTS,
        calms=(
            Calm(
                id="pantry-market-day",
                happens="the season takes two seconds and comes, labels have jars, Redis saves, PHP-FPM reloads; scanners ask for pages that are not there",
                steps="redis-cli bgsave >/dev/null; systemctl reload php8.2-fpm",
                routes=(
                    _pantry("/api/season"),
                    _pantry("/api/label?jar=plum"),
                    _pantry("/api/v2/shelf", expect=404),
                    _pantry("/phpmyadmin/", expect=404),
                ),
                seconds=18.0,
                users=10,
                cancels=True,
            ),
        ),
    ),
)
