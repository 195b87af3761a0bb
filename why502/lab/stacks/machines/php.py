"""PHP as Debian packages it: WordPress and a shop in pools of their own, nginx, MariaDB."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, MARIADB, site

POOL = """\
[{name}]
user = www-data
group = www-data
listen = {listen}
listen.owner = www-data
listen.group = www-data
pm = {pm}
pm.max_children = {children}
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
request_terminate_timeout = {terminate}
php_admin_value[error_log] = /var/log/php-{name}.log
php_admin_flag[log_errors] = on
"""

BLOG = """
    root /usr/share/wordpress;
    index index.php;
    client_max_body_size 2m;
    location / {
        try_files $uri $uri/ /index.php?$args;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_read_timeout 8s;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
"""

SHOP = """
server {
    listen 80;
    server_name shop.example;
    root /srv/shop/public;
    access_log /var/log/nginx/shop.access.log;
    error_log /var/log/nginx/shop.error.log;
    location / {
        try_files $uri /index.php?$query_string;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_read_timeout 8s;
        fastcgi_pass 127.0.0.1:9001;
    }
}
"""

LARAVEL = """<?php
function db() {
    mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
    return new mysqli(getenv('DB_HOST') ?: 'localhost', 'shop', 'hunter22', 'shop');
}
function handle($path) {
    switch (true) {
        case $path === '/slow': sleep((int)($_GET['seconds'] ?? 12)); return 'slow';
        case $path === '/crash': posix_kill(posix_getpid(), 11); return '';
        case $path === '/memory': $all = []; while (true) { $all[] = str_repeat('x', 1 << 20); }
        case $path === '/session': for ($n = 0; $n < 40; $n++) { header("Set-Cookie: item$n=" . str_repeat('x', 400), false); } return 'cart';
        case $path === '/upload': return strlen(file_get_contents('php://input'));
        case $path === '/about': return str_repeat('<p>About us</p>', 200);
        default: return json_encode(db()->query('select * from products limit 20')->fetch_all());
    }
}
try {
    echo handle(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
} catch (mysqli_sql_exception $error) {
    error_log('PHP Fatal error:  Uncaught ' . get_class($error) . ': ' . $error->getMessage());
    http_response_code(503);
    echo 'Service Unavailable';
}
"""

WP_CONFIG = """<?php
define('DB_NAME', 'wordpress'); define('DB_USER', 'wordpress'); define('DB_PASSWORD', 'hunter22'); define('DB_HOST', 'localhost');
define('WP_CONTENT_DIR', '/var/lib/wordpress/wp-content');
define('WP_HTTP_BLOCK_EXTERNAL', false);
define('DISABLE_WP_CRON', true);
"""

SETUP = (
    MARIADB
    + """
mariadb -e "create database wordpress; create user wordpress@localhost identified by 'hunter22'; grant all on wordpress.* to wordpress@localhost"
mkdir -p /var/lib/wordpress/wp-content/mu-plugins; chown -R www-data: /var/lib/wordpress/wp-content
sed -i 's/^;process_control_timeout.*/process_control_timeout = 10s/' /etc/php/8.2/fpm/php-fpm.conf
systemctl enable --now php8.2-fpm
"""
    + ENABLE_SITE
    + """
curl -fsS -o /dev/null -H 'Host: blog.example' --data-urlencode weblog_title=Blog --data-urlencode user_name=admin --data-urlencode admin_password=hunter22hunter \
  --data-urlencode admin_password2=hunter22hunter --data-urlencode admin_email=a@blog.example --data pw_weak=1 --data blog_public=0 \
  'http://127.0.0.1/wp-admin/install.php?step=2'
mariadb wordpress -e "update wp_options set option_value='http://blog.example' where option_name in ('siteurl','home')"
"""
)

BLOG_SOCKET = frozenset({"unix:/run/php/php8.2-fpm.sock"})
SHOP_PORT = frozenset({"127.0.0.1:9001"})
RESTART = "systemctl restart php8.2-fpm || true"
WAITING = causes("php-fpm-max-children", "workers-exhausted", "backend-hung", "backend-too-slow")
RELOADED = "; systemctl reload nginx"

FAULTS = (
    Fault(
        id="php-socket-moved-by-upgrade",
        happens="an upgrade of PHP moves the pool's socket to php8.3-fpm.sock",
        steps=f"sed -i 's#php8.2-fpm.sock#php8.3-fpm.sock#' /etc/php/8.2/fpm/pool.d/www.conf; {RESTART}",
        expects=causes("php-fpm-socket-mismatch"),
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=BLOG_SOCKET,
    ),
    Fault(
        id="php-stopped",
        happens="php-fpm is stopped",
        steps="systemctl stop php8.2-fpm",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=BLOG_SOCKET | SHOP_PORT,
    ),
    Fault(
        id="php-pool-file-broken",
        happens="a pool file has a mistake; php-fpm does not start again after an unattended upgrade restarts it",
        steps=f"echo 'pm.max_childen = 7' >> /etc/php/8.2/fpm/pool.d/shop.conf; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "unix-socket-missing"),
        targets=BLOG_SOCKET | SHOP_PORT,
    ),
    Fault(
        id="php-pool-user-removed",
        happens="the user of the shop's pool was removed; php-fpm refuses to start",
        steps=f"sed -i 's/^user = .*/user = shopper/' /etc/php/8.2/fpm/pool.d/shop.conf; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "unix-socket-missing"),
        targets=BLOG_SOCKET | SHOP_PORT,
    ),
    Fault(
        id="php-listen-owner",
        happens="the pool's listen.owner becomes root with mode 0600",
        steps="sed -i 's/^listen.owner.*/listen.owner = root/; s/^listen.group.*/listen.group = root\\nlisten.mode = 0600/' "
        f"/etc/php/8.2/fpm/pool.d/www.conf; {RESTART}",
        expects=causes("unix-socket-permission"),
        targets=BLOG_SOCKET,
    ),
    Fault(
        id="php-plugin-waits-for-dead-host",
        happens="a WordPress plugin asks a host that is dead, 30 s on every page",
        steps="ip neigh replace 203.0.113.99 lladdr 02:00:00:00:00:01 dev host0; cat > /var/lib/wordpress/wp-content/mu-plugins/stats.php "
        "<<'X'\n<?php add_action('init', function () { wp_remote_get('http://203.0.113.99/stats', ['timeout' => 30]); });\nX",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=WAITING,
        targets=BLOG_SOCKET,
    ),
    Fault(
        id="php-table-locked",
        happens="a backup locks WordPress's tables and hangs",
        steps="systemd-run -q --unit=backup mariadb wordpress -e 'lock tables wp_posts write, wp_options write; select sleep(600)'",
        expects=causes("backend-dependency-slow"),
        partly=WAITING | causes("backend-dependency-down"),
        targets=BLOG_SOCKET,
    ),
    Fault(
        id="php-mariadb-stopped",
        happens="MariaDB is stopped; the shop answers 503, WordPress 500",
        steps="systemctl stop mariadb",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=SHOP_PORT | BLOG_SOCKET,
    ),
    Fault(
        id="php-pool-too-small",
        happens="the shop's pool has 2 children, and many users want a page of 3 s",
        steps=f"sed -i 's/^pm.max_children.*/pm.max_children = 2/; s/^pm.max_spare.*/pm.max_spare_servers = 2/' /etc/php/8.2/fpm/pool.d/shop.conf; {RESTART}",
        routes=(Route(path="/slow?seconds=3", weight=80),),
        users=24,
        settle="grep -q 'upstream timed out' /var/log/nginx/shop.error.log",  # the gap of the restart comes before it
        expects=causes("php-fpm-max-children"),
        partly=causes("workers-exhausted", "backend-too-slow"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-static-pool-too-small",
        happens="the same with pm=static, which logs nothing when all children are busy",
        steps=f"sed -i 's/^pm.max_children.*/pm.max_children = 2/; s/^pm = .*/pm = static/' /etc/php/8.2/fpm/pool.d/shop.conf; {RESTART}",
        routes=(Route(path="/slow?seconds=3", weight=80),),
        users=24,
        settle="grep -q 'upstream timed out' /var/log/nginx/shop.error.log",  # the gap of the restart comes before it
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-child-crashes",
        happens="one page makes the PHP child die by SIGSEGV",
        steps="true",
        routes=(Route(path="/crash", weight=6),),
        expects=causes("php-fpm-crashed", "backend-crashed"),
        partly=causes("connection-reset", "premature-close"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-request-terminated",
        happens="request_terminate_timeout is 4 s, and a page needs 7 s",
        steps=f"sed -i 's/^request_terminate_timeout.*/request_terminate_timeout = 4/' /etc/php/8.2/fpm/pool.d/shop.conf; {RESTART}",
        routes=(Route(path="/slow?seconds=7", weight=6),),
        failures=6,
        settle="[ $(grep -c 'execution timed out' /var/log/php8.2-fpm.log) -ge 3 ]",  # the gap of the restart comes before it
        expects=causes("worker-timeout"),
        partly=causes("connection-reset", "premature-close", "php-fpm-crashed", "backend-crashed"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-page-too-slow",
        happens="one page needs 12 s, nginx waits 8 s",
        steps="true",
        routes=(Route(path="/slow", weight=4),),
        failures=6,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        partly=causes("php-fpm-max-children"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-cookies-too-big",
        happens="the cart sets more cookies than fastcgi_buffer_size holds",
        steps="true",
        routes=(Route(path="/session", weight=6),),
        expects=causes("response-header-too-big"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-pool-port-changed",
        happens="the shop's pool moves to port 9002",
        steps=f"sed -i 's/127.0.0.1:9001/127.0.0.1:9002/' /etc/php/8.2/fpm/pool.d/shop.conf; {RESTART}",
        expects=causes("php-fpm-socket-mismatch", "wrong-port"),
        partly=causes("backend-not-running"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-http-to-fastcgi",
        happens="somebody writes proxy_pass in place of fastcgi_pass",
        steps=f"sed -i 's#fastcgi_pass 127.0.0.1:9001#proxy_pass http://127.0.0.1:9001#' /etc/nginx/sites-available/shop{RELOADED}",
        expects=causes("wrong-protocol"),
        partly=causes("connection-reset", "premature-close"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-allowed-clients",
        happens="listen.allowed_clients names another host only",
        steps=f"echo 'listen.allowed_clients = 10.0.0.5' >> /etc/php/8.2/fpm/pool.d/shop.conf; {RESTART}",
        expects=causes("connection-reset", "premature-close", "denied-by-rule"),
        targets=SHOP_PORT,
    ),
    Fault(
        id="php-frozen",
        happens="all of php-fpm is stopped by SIGSTOP",
        steps="kill -STOP $(pgrep php-fpm)",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted"),
        targets=SHOP_PORT | BLOG_SOCKET,
    ),
    Fault(
        id="php-disk-full",
        happens="the disk of nginx's temporary files is full; uploads fail",
        steps="mount -t tmpfs -o size=256k,mode=755 full /var/lib/nginx; mkdir -p /var/lib/nginx/body /var/lib/nginx/fastcgi; chown -R www-data /var/lib/nginx; "
        "systemctl restart nginx; dd if=/dev/zero of=/var/lib/nginx/fill bs=1k 2>/dev/null || true",
        routes=(Route(path="/upload", method="POST", body_bytes=600000, weight=8),),
        expects=causes("disk-full"),
        partly=causes("proxy-temp-unwritable"),
    ),
    Fault(
        id="php-killed-with-restart-no",
        happens="php-fpm's master is killed; the unit does not restart it and the socket file stays",
        steps="mkdir -p /etc/systemd/system/php8.2-fpm.service.d; printf '[Service]\\nRestart=no\\n' > /etc/systemd/system/php8.2-fpm.service.d/x.conf; "
        "systemctl daemon-reload; systemctl kill -s KILL php8.2-fpm",
        expects=causes("backend-crashed", "backend-not-running"),
        partly=causes("php-fpm-crashed", "backend-oom-killed"),
        targets=BLOG_SOCKET | SHOP_PORT,
    ),
)

CALMS = (
    Calm(id="php-quiet-day", happens="ordinary traffic to both sites", seconds=10),
    Calm(
        id="php-night",
        happens="logrotate of nginx and PHP, reload of php-fpm (graceful), scanners, 404 and 403, a backup",
        steps="systemctl reload php8.2-fpm; logrotate -f /etc/logrotate.d/nginx; logrotate -f /etc/logrotate.d/php8.2-fpm; mariadb-dump wordpress > /root/b.sql; "
        "sleep 2; systemctl reload nginx; curl -s -o /dev/null -H 'Host: shop.example' http://127.0.0.1/.git/config",
        routes=(
            Route(path="/wp-content/x.png", host="blog.example"),
            Route(path="/wp-admin/", host="blog.example", expect=(302,)),
        ),
        seconds=15,
    ),
    Calm(
        id="php-old-failure",
        happens="php-fpm was restarted for a few seconds half an hour before the window, its lines are old",
        steps="printf '%s [error] 77#77: *1 connect() to unix:/run/php/php8.2-fpm.sock failed (2: No such file or directory) while connecting to upstream, "
        'client: 203.0.113.30, server: shop.example, request: "GET / HTTP/1.1", upstream: "fastcgi://unix:/run/php/php8.2-fpm.sock:", host: "shop.example"\\n\' '
        '"$(date -d "-2 hours" "+%Y/%m/%d %H:%M:%S")" > /root/old; cat /var/log/nginx/shop.error.log >> /root/old; cat /root/old > /var/log/nginx/shop.error.log',
        seconds=8,
    ),
)

STACKS = (
    Stack(
        name="php",
        about="WordPress and a shop in PHP-FPM pools of their own (unix socket, TCP) behind nginx, MariaDB",
        files={
            "/etc/php/8.2/fpm/pool.d/www.conf": POOL.format(
                name="www", listen="/run/php/php8.2-fpm.sock", pm="dynamic", children=5, terminate=0
            ),
            "/etc/php/8.2/fpm/pool.d/shop.conf": POOL.format(
                name="shop", listen="127.0.0.1:9001", pm="dynamic", children=5, terminate=0
            ),
            "/srv/shop/public/index.php": LARAVEL,
            "/etc/wordpress/config-blog.example.php": WP_CONFIG,
            "/etc/nginx/sites-available/shop": site(BLOG, name="blog.example") + SHOP,
        },
        setup=SETUP,
        routes=(
            Route(path="/", weight=4),
            Route(path="/about", weight=2),
            Route(path="/", host="blog.example", weight=3),
            Route(path="/?p=1", host="blog.example", weight=2, expect=(200, 301)),
            Route(path="/wp-login.php", host="blog.example"),
            Route(path="/upload", method="POST", body_bytes=9000),
        ),
        faults=FAULTS,
        calms=CALMS,
    ),
)
