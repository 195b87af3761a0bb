"""nginx with TLS in front of a Varnish on a unix socket in front of Apache with PHP, and a HAProxy that speaks FastCGI itself."""

from __future__ import annotations

from why502.lab.stacks.machines.balancers import ADMIN, HAPROXY_GLOBAL
from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import MARIADB

OWN_ERROR = causes("application-error", "upstream-error-status")

CASTLE_PAGE = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
header('Cache-Control: private');
if (str_ends_with($path, '.txt')) { http_response_code(404); exit('no such file'); }
if ($path === '/guide') { sleep(6); }
if ($path === '/dungeon') { $tours = null; echo count($tours->of_today()); }
if ($path === '/banquet') { for ($n = 0; $n < 12; $n++) { header("Set-Cookie: seat$n=" . str_repeat('s', 1000), false); } }
if ($path === '/ballroom') { sleep(3); }
echo str_repeat("<p>the castle on the rock</p>\\n", 80);
"""
CASTLE_POOL = """\
[castle]
user = www-data
group = www-data
listen = /run/php/castle.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 12
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 4
php_admin_flag[log_errors] = on
php_admin_value[error_log] = /var/log/castle-php.log
"""
CASTLE_APACHE = """\
<VirtualHost 127.0.0.1:8080>
    ServerName castle.example
    DocumentRoot /srv/castle/public
    <Directory /srv/castle/public>
        Require all granted
        FallbackResource /index.php
    </Directory>
    <FilesMatch "\\.php$">
        SetHandler "proxy:unix:/run/php/castle.sock|fcgi://localhost"
    </FilesMatch>
    ProxyTimeout 20
    ErrorLog ${APACHE_LOG_DIR}/castle-error.log
    CustomLog ${APACHE_LOG_DIR}/castle-access.log combined
</VirtualHost>
"""
CASTLE_VCL = """\
vcl 4.1;
backend keep {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    .first_byte_timeout = 15s;
    .probe = { .url = "/alive.txt"; .interval = 1s; .timeout = 1s; .window = 4; .threshold = 3; .initial = 3; }
}
sub vcl_recv {
    unset req.http.Cookie;
    set req.http.Host = "castle.example";
}
"""
CASTLE_VARNISH_UNIT = """[Service]
RuntimeDirectory=varnish
ExecStart=
ExecStart=/usr/sbin/varnishd -j unix,user=vcache -F -a /run/varnish/front.sock,user=www-data,group=www-data,mode=660 -T localhost:6082 -f /etc/varnish/default.vcl -S /etc/varnish/secret -s malloc,64m
"""
CASTLE_SITE = """\
upstream cache { server unix:/run/varnish/front.sock; }
server {
    listen 443 ssl;
    server_name castle.example;
    ssl_certificate /etc/ssl/castle.pem;
    ssl_certificate_key /etc/ssl/castle.key;
    access_log /var/log/nginx/castle.access.log;
    error_log /var/log/nginx/castle.error.log;
    location / {
        proxy_pass http://cache;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_read_timeout 25s;
    }
}
"""
CASTLE_SETUP = """
openssl req -x509 -newkey rsa:2048 -nodes -days 60 -subj /CN=castle.example -keyout /etc/ssl/castle.key -out /etc/ssl/castle.pem 2>/dev/null
echo alive > /srv/castle/public/alive.txt; echo 'stone ' > /srv/castle/public/walls.txt
touch /var/log/castle-php.log; chown www-data /var/log/castle-php.log
systemctl enable -q --now php8.2-fpm
echo 'Listen 127.0.0.1:8080' > /etc/apache2/ports.conf
a2enmod -q proxy proxy_fcgi; a2dissite -q 000-default; a2ensite -q castle; systemctl enable -q --now apache2
systemctl daemon-reload; systemctl enable -q --now varnish
until test -S /run/varnish/front.sock; do sleep 0.2; done
rm /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/castle /etc/nginx/sites-enabled/castle
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
CASTLE = "castle.example"
FRONT_AT = frozenset({"unix:/run/varnish/front.sock", "cache"})
KEEP_AT = frozenset({"127.0.0.1:8080", "keep"})
PHP_AT = frozenset({"unix:/run/php/castle.sock"})


def _castle(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=CASTLE, port=443, tls=True, weight=weight)


CASTLE_FAULTS = (
    Fault(
        id="castle-varnish-socket-renamed",
        happens="Varnish's unit is tidied up, and its socket is called http.sock from then on; nginx still connects to front.sock",
        steps="sed -i 's#/run/varnish/front.sock#/run/varnish/http.sock#' /etc/systemd/system/varnish.service.d/override.conf; systemctl daemon-reload; systemctl restart varnish; until test -S /run/varnish/http.sock; do sleep 0.2; done",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=FRONT_AT,
    ),
    Fault(
        id="castle-varnish-socket-closed",
        happens="the unit's `mode=660` and owner are left out when it is moved to a new server with user=root,mode=600: nginx may not connect",
        steps="sed -i 's#user=www-data,group=www-data,mode=660#user=root,group=root,mode=600#' /etc/systemd/system/varnish.service.d/override.conf; systemctl daemon-reload; systemctl restart varnish; until test -S /run/varnish/front.sock; do sleep 0.2; done",
        settle="test $(grep -c 'Permission denied' /var/log/nginx/castle.error.log) -ge 8",
        expects=causes("unix-socket-permission"),
        targets=FRONT_AT,
    ),
    Fault(
        id="castle-deploy-deletes-alive",
        happens="the deploy runs rsync with --delete, and alive.txt, which was put there by hand, is gone; Varnish's probe gets 404 for it, and gives the healthy Apache up: 503",
        steps="rm /srv/castle/public/alive.txt",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "upstream-error-status"),
        targets=KEEP_AT | FRONT_AT,
    ),
    Fault(
        id="castle-guide-of-six-seconds",
        happens='first_byte_timeout becomes 3 s ("nobody waits longer"); the guide takes six seconds: Varnish answers 503 for it alone',
        steps="sed -i 's/first_byte_timeout = 15s/first_byte_timeout = 3s/' /etc/varnish/default.vcl; systemctl reload varnish",
        routes=(_castle("/guide", 2),),
        limit_s=100.0,
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        targets=KEEP_AT | FRONT_AT | PHP_AT,
    ),
    Fault(
        id="castle-apache-masked",
        happens="Apache was stopped and masked by a colleague who thought that nginx had replaced it: Varnish has no backend",
        steps="systemctl stop apache2; systemctl mask -q apache2",
        expects=causes("backend-not-running"),
        partly=causes("all-upstreams-down", "upstream-error-status"),
        targets=KEEP_AT,
    ),
    Fault(
        id="castle-ballroom-fills-the-pool",
        happens="pm.max_children is set to 2 against memory, and the ballroom takes three seconds: PHP's pool is full and Varnish gives up after fifteen",
        steps="sed -i 's/pm.max_children = 12/pm.max_children = 2/; s/pm.start_servers = 3/pm.start_servers = 2/; s/pm.max_spare_servers = 4/pm.max_spare_servers = 2/' /etc/php/8.2/fpm/pool.d/castle.conf; systemctl restart php8.2-fpm",
        routes=(_castle("/ballroom", 12),),
        users=36,
        failures=16,
        limit_s=120.0,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "proxy-timeout-too-short"),
        targets=KEEP_AT | FRONT_AT | PHP_AT,
    ),
    Fault(
        id="castle-dungeon-of-null",
        happens="the new dungeon page calls a method of null: `PHP Fatal error: Uncaught Error`, 500 for it, all else is well",
        steps="true",
        routes=(_castle("/dungeon", 3),),
        expects=causes("application-error"),
        partly=causes("upstream-error-status"),
        targets=KEEP_AT | FRONT_AT | PHP_AT,
    ),
    Fault(
        id="castle-banquet-of-cookies",
        happens="the banquet's page sets twelve cookies of a kilobyte each; nginx has Debian's buffers and answers 502 (`upstream sent too big header`)",
        steps="true",
        routes=(_castle("/banquet", 3),),
        expects=causes("response-header-too-big"),
        targets=KEEP_AT | FRONT_AT,
    ),
)

PHARMACY_INDEX = """<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$db = new mysqli('127.0.0.1', 'shop', 'hunter22', 'shop');
foreach ($db->query('select name, price from products limit 40') as $row) { echo "<p>{$row['name']} {$row['price']}</p>\\n"; }
"""
PHARMACY_POOL = """\
[pharmacy]
user = www-data
group = www-data
listen = 127.0.0.1:9000
pm = static
pm.max_children = 6
request_terminate_timeout = 30s
php_admin_flag[log_errors] = on
php_admin_value[error_log] = /var/log/pharmacy-php.log
"""
PHARMACY_HAPROXY = (
    HAPROXY_GLOBAL
    + """
defaults
    log global
    mode http
    option httplog
    timeout connect 3s
    timeout client 30s
    timeout server 15s
    timeout queue 10s

fcgi-app php
    log-stderr global
    docroot /srv/pharmacy/public
    index index.php

frontend www
    bind :80
    acl is_static path_beg /leaflets/
    use_backend leaflets if is_static
    default_backend php

backend php
    use-fcgi-app php
    server fpm 127.0.0.1:9000 proto fcgi check inter 1s

backend leaflets
    server lighttpd 127.0.0.1:8081 check inter 1s
"""
)
PHARMACY_LIGHTTPD = """\
server.modules = ( "mod_accesslog" )
server.document-root = "/srv/pharmacy/static"
server.port = 8081
server.bind = "127.0.0.1"
server.username = "www-data"
server.groupname = "www-data"
server.errorlog = "/var/log/lighttpd/error.log"
server.pid-file = "/run/lighttpd.pid"
mimetype.assign = ( ".txt" => "text/plain" )
"""
PHARMACY_SETUP = (
    MARIADB
    + """
mkdir -p /srv/pharmacy/static/leaflets; for n in $(seq 200); do echo 'take with water'; done > /srv/pharmacy/static/leaflets/aspirin.txt
touch /var/log/pharmacy-php.log; chown www-data /var/log/pharmacy-php.log
systemctl enable -q --now php8.2-fpm lighttpd rsyslog
until ss -ltn | grep -q 127.0.0.1:9000; do sleep 0.2; done
systemctl enable -q --now haproxy
"""
)
PHARMACY = "pharmacy.example"
FPM_AT = frozenset({"127.0.0.1:9000", "php", "fpm", "php/fpm"})
STATIC_AT = frozenset({"127.0.0.1:8081", "leaflets", "lighttpd", "leaflets/lighttpd"})
PHARMACY_FAULTS = (
    Fault(
        id="pharmacy-pool-on-socket",
        happens="the pool's file is replaced by one from the wiki, which listens on /run/php/pharmacy.sock; HAProxy asks 127.0.0.1:9000",
        steps="sed -i 's#^listen = .*#listen = /run/php/pharmacy.sock#' /etc/php/8.2/fpm/pool.d/pharmacy.conf; systemctl restart php8.2-fpm",
        expects=causes("php-fpm-socket-mismatch"),
        partly=causes("backend-not-running", "all-upstreams-down", "wrong-port", "wrong-address"),
        targets=FPM_AT,
    ),
    Fault(
        id="pharmacy-docroot-of-release",
        happens="the site moved to releases/ and the old directory was removed; HAProxy still gives /srv/pharmacy/public to PHP: `Primary script unknown`, 404 for every page",
        steps="mkdir -p /srv/pharmacy/releases/9; mv /srv/pharmacy/public /srv/pharmacy/releases/9/; ln -s releases/9 /srv/pharmacy/current",
        failures=0,
        settle="test $(tail -n 60 /var/log/haproxy.log | grep -c ' php/fpm .* 404 ') -ge 12",
        expects=causes("fastcgi-script-not-found"),
        partly=causes("upstream-error-status", "application-error"),
        targets=FPM_AT,
    ),
    Fault(
        id="pharmacy-fcgi-lost-in-merge",
        happens="a merge loses `use-fcgi-app` and `proto fcgi`; HAProxy speaks HTTP to PHP-FPM: 502 for every page",
        steps="sed -i '/use-fcgi-app/d; s/ proto fcgi//' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        expects=causes("wrong-protocol"),
        partly=causes("premature-close", "connection-reset", "invalid-response"),
        targets=FPM_AT,
    ),
    Fault(
        id="pharmacy-supplier-page-fills-pool",
        happens="the supplier's stock page takes nine seconds, and a crawler asks for it all day: the static pool of six children has none left, pages time out after fifteen seconds",
        steps="echo '<?php sleep(9); echo \"stock\";' > /srv/pharmacy/public/stock.php",
        routes=(Route(path="/stock.php", host=PHARMACY, weight=12),),
        users=30,
        failures=16,
        limit_s=120.0,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "proxy-timeout-too-short"),
        targets=FPM_AT,
    ),
    Fault(
        id="pharmacy-grants-not-restored",
        happens="the databases are restored from a dump without their users: `Access denied for user 'shop'`, an uncaught exception, 500 for every page",
        steps="mariadb -e \"drop user shop@localhost; drop user shop@'%'; flush privileges\"",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=FPM_AT | {"127.0.0.1:3306"},
    ),
    Fault(
        id="pharmacy-labels-terminated",
        happens="request_terminate_timeout goes down to four seconds; the labels take seven, so PHP-FPM ends the child in the middle of them: HAProxy answers 502",
        steps="echo '<?php sleep(7); echo \"labels\";' > /srv/pharmacy/public/labels.php; sed -i 's/^request_terminate_timeout.*/request_terminate_timeout = 4s/' /etc/php/8.2/fpm/pool.d/pharmacy.conf; systemctl restart php8.2-fpm",
        routes=(Route(path="/labels.php", host=PHARMACY, weight=2),),
        failures=10,
        limit_s=100.0,
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "connection-reset", "backend-too-slow", "php-fpm-crashed"),
        targets=FPM_AT,
    ),
    Fault(
        id="pharmacy-lighttpd-of-package",
        happens="an upgrade puts the package's lighttpd.conf in place, with port 80, which HAProxy holds: lighttpd does not start, the leaflets get 503",
        steps="sed -i 's/^server.port.*/server.port = 80/; s/^server.bind.*//' /etc/lighttpd/lighttpd.conf; systemctl restart lighttpd || true; sleep 3",
        routes=(Route(path="/leaflets/aspirin.txt", host=PHARMACY, weight=3),),
        expects=causes("port-conflict", "backend-startup-failure"),
        partly=causes("backend-not-running", "all-upstreams-down", "backend-crash-loop", "wrong-port"),
        targets=STATIC_AT,
    ),
    Fault(
        id="pharmacy-left-in-maintenance",
        happens="the server of the pages was set to maintenance over HAProxy's socket for an inventory, and is still so",
        steps=f"{ADMIN} 'set server php/fpm state maint'",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down", "no-upstream-members"),
        targets=FPM_AT,
    ),
)

STACKS = (
    Stack(
        name="castle",
        about="nginx with TLS in front of Varnish on a unix socket, in front of Apache (127.0.0.1:8080) with a pool of PHP-FPM",
        files={
            "/srv/castle/public/index.php": CASTLE_PAGE,
            "/etc/php/8.2/fpm/pool.d/castle.conf": CASTLE_POOL,
            "/etc/apache2/sites-available/castle.conf": CASTLE_APACHE,
            "/etc/varnish/default.vcl": CASTLE_VCL,
            "/etc/systemd/system/varnish.service.d/override.conf": CASTLE_VARNISH_UNIT,
            "/etc/nginx/sites-available/castle": CASTLE_SITE,
        },
        setup=CASTLE_SETUP,
        routes=(_castle("/", 3), _castle("/tickets", 2)),
        faults=CASTLE_FAULTS,
        calms=(
            Calm(
                id="castle-open-day",
                happens="the guide takes six seconds and is awaited, Apache and PHP reload gracefully, Varnish loads its VCL again, scanners knock",
                steps="systemctl reload php8.2-fpm; systemctl reload apache2; systemctl reload varnish",
                routes=(_castle("/guide"), _castle("/walls.txt"), _castle("/xmlrpc.php")),
                seconds=18,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="pharmacy",
        about="HAProxy speaks FastCGI to PHP-FPM on 127.0.0.1:9000 (fcgi-app) and HTTP to lighttpd for static files; MariaDB, rsyslog",
        files={
            "/srv/pharmacy/public/index.php": PHARMACY_INDEX,
            "/srv/pharmacy/public/about.php": "<?php echo str_repeat('<p>open from nine</p>', 90);\n",
            "/etc/php/8.2/fpm/pool.d/pharmacy.conf": PHARMACY_POOL,
            "/etc/haproxy/haproxy.cfg": PHARMACY_HAPROXY,
            "/etc/lighttpd/lighttpd.conf": PHARMACY_LIGHTTPD,
        },
        setup=PHARMACY_SETUP,
        routes=(
            Route(path="/", host=PHARMACY, weight=3),
            Route(path="/about.php", host=PHARMACY, weight=2),
            Route(path="/leaflets/aspirin.txt", host=PHARMACY),
        ),
        faults=PHARMACY_FAULTS,
        calms=(
            Calm(
                id="pharmacy-inventory",
                happens="the inventory's page takes five seconds and comes; HAProxy reloads, logs rotate, MariaDB is dumped; wrong names of leaflets get 404",
                steps="echo '<?php sleep(5); echo \"inventory\";' > /srv/pharmacy/public/inventory.php; systemctl reload haproxy; logrotate -f /etc/logrotate.d/haproxy || true; mariadb-dump shop > /root/shop.sql",
                routes=(
                    Route(path="/inventory.php", host=PHARMACY),
                    Route(path="/leaflets/asprin.txt", host=PHARMACY),
                    Route(path="/wp-login.php", host=PHARMACY),
                ),
                seconds=18,
            ),
            Calm(
                id="pharmacy-payday",
                happens="the server of PHP was drained for a minute an hour ago and is ready again; pages of two seconds, impatient customers, a robot that asks for what was never there",
                steps=f"echo '<?php sleep(2); echo \"basket\";' > /srv/pharmacy/public/basket.php; {ADMIN} 'set server php/fpm state ready'",
                routes=(Route(path="/basket.php", host=PHARMACY), Route(path="/old-shop/index.html", host=PHARMACY)),
                seconds=15,
                cancels=True,
            ),
        ),
    ),
)
