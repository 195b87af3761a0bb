"""Two PHP-FPM masters side by side, a shop in Laravel's manner with Redis and a queue, and Varnish in front of nginx with PHP."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, site

OLD_CONF = """\
[global]
pid = /run/php/php7.4-fpm.pid
error_log = /var/log/php7.4-fpm.log

[intranet]
user = intranet
group = webapps
listen = /run/php/php7.4-fpm-intranet.sock
listen.owner = intranet
listen.group = webapps
listen.mode = 0660
listen.backlog = 12
pm = ondemand
pm.max_children = 4
pm.process_idle_timeout = 10s
php_admin_value[memory_limit] = 48M
php_admin_value[error_log] = /srv/www/intranet/logs/php.log
php_admin_flag[log_errors] = on
"""
OLD_UNIT = """[Unit]
Description=The PHP 7.4 FastCGI Process Manager
After=network.target

[Service]
Type=notify
ExecStart=/usr/sbin/php-fpm7.4 --nodaemonize --fpm-config /etc/php/7.4/fpm/php-fpm.conf
ExecReload=/bin/kill -USR2 $MAINPID

[Install]
WantedBy=multi-user.target
"""
NEW_POOL = """\
[web]
user = www-data
group = www-data
listen = /run/php/web.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 5
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
"""
TWO_SITES = """\
server {
    listen 80 default_server;
    server_name www.firm.example;
    root /srv/www/firm;
    index index.php;
    access_log off;
    error_log /srv/www/logs/firm.error.log;
    location / {
        try_files $uri $uri/ /index.php$is_args$args;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_read_timeout 7s;
        fastcgi_pass unix:/run/php/web.sock;
    }
}
server {
    listen 80;
    server_name intranet.firm.example;
    root /srv/www/intranet/htdocs;
    access_log /srv/www/intranet/logs/access.log combined buffer=4k flush=1s;
    error_log /srv/www/intranet/logs/error.log;
    location / {
        try_files $uri /index.php$is_args$args;
    }
    location ~ \\.php$ {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_read_timeout 7s;
        fastcgi_pass unix:/run/php/php7.4-fpm-intranet.sock;
    }
}
"""
FIRM = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/cron') { echo file_get_contents('http://127.0.0.1/', false, stream_context_create(['http' => ['timeout' => 60]])); sleep(1); echo file_get_contents('http://127.0.0.1/about'); exit; }
echo str_repeat('<p>The firm</p>', 60);
"""
INTRANET = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/export') { $rows = []; while (count($rows) < 200) { $rows[] = str_repeat('x', 1 << 20); } }
if ($path === '/holidays') { sleep(3); }
echo str_repeat('<p>Intranet</p>', 60);
"""
INTRANET_HOST = "intranet.firm.example"
TWO_ROUTES = (
    Route(path="/", host="www.firm.example", weight=3),
    Route(path="/about", host="www.firm.example", weight=2),
    Route(path="/", host=INTRANET_HOST, weight=4),
)
OLD_SOCKET = frozenset({"unix:/run/php/php7.4-fpm-intranet.sock"})
WEB_SOCKET = frozenset({"unix:/run/php/web.sock"})
TWO_SETUP = """
groupadd webapps; useradd --system -g webapps intranet; usermod -aG webapps www-data
ln -s php-fpm8.2 /usr/sbin/php-fpm7.4
mkdir -p /srv/www/logs /srv/www/intranet/logs; chown intranet:webapps /srv/www/intranet/logs; chmod 2775 /srv/www/intranet/logs
mv /etc/php/8.2/fpm/pool.d/www.conf /root/
systemctl enable --now php8.2-fpm php7.4-fpm
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/firm /etc/nginx/sites-enabled/firm
systemctl enable --now nginx
"""
TWO_FAULTS = (
    Fault(
        id="twofpm-old-version-removed",
        happens="the old PHP's package is removed as it seems unused: its service is gone, the intranet still names its socket; the new PHP runs",
        steps="systemctl disable --now php7.4-fpm; rm -f /usr/sbin/php-fpm7.4 /etc/systemd/system/php7.4-fpm.service /run/php/php7.4*; rm -r /etc/php/7.4; systemctl daemon-reload",
        expects=causes("backend-not-running", "unix-socket-missing", "php-fpm-socket-mismatch"),
        targets=OLD_SOCKET,
    ),
    Fault(
        id="twofpm-group-lost",
        happens="www-data is set to other groups (usermod -G without -a), and nginx restarts: it may no longer connect to the intranet's pool",
        steps="usermod -G backup www-data; systemctl restart nginx",
        expects=causes("unix-socket-permission"),
        targets=OLD_SOCKET,
    ),
    Fault(
        id="twofpm-calls-itself",
        happens="pages of the site call the site itself over HTTP; under load all children of the pool wait for a child",
        steps="true",
        routes=(Route(path="/cron", host="www.firm.example", weight=40),),
        users=20,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung", "backend-dependency-slow", "proxy-loop"),
        targets=WEB_SOCKET,
    ),
    Fault(
        id="twofpm-backlog-full",
        happens="the intranet's pool has listen.backlog = 12 and four children; many users want a page of 3 s, and nginx gets EAGAIN",
        steps="true",
        routes=(Route(path="/holidays", host=INTRANET_HOST, weight=40),),
        users=48,
        expects=causes("listen-backlog-overflow", "php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow"),
        targets=OLD_SOCKET,
    ),
    Fault(
        id="twofpm-memory-limit",
        happens="an export exceeds memory_limit: PHP's fatal error, status 500",
        steps="true",
        routes=(Route(path="/export", host=INTRANET_HOST, weight=4),),
        expects=causes("application-error"),
        partly=causes("upstream-error-status"),
        targets=OLD_SOCKET,
    ),
    Fault(
        id="twofpm-pool-log-directory-gone",
        happens="a clean-up removed /srv/www/intranet/logs; logrotate restarts the old PHP, which cannot open its log and does not start",
        steps="rm -rf /srv/www/intranet/logs; sed -i 's#^error_log = .*#error_log = /srv/www/intranet/logs/fpm.log#' /etc/php/7.4/fpm/php-fpm.conf; systemctl restart php7.4-fpm || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "backend-crash-loop", "unix-socket-missing"),
        targets=OLD_SOCKET,
    ),
)
YESTERDAY = """
day=$(date -d yesterday '+%Y/%m/%d')
for n in $(seq 40); do
  echo "$day 17:05:$(printf %02d $n) [error] 412#412: *$n connect() to unix:/run/php/php7.4-fpm-intranet.sock failed (111: Connection refused) while connecting to upstream, client: 203.0.113.21, server: intranet.firm.example, request: \\"GET / HTTP/1.1\\", upstream: \\"fastcgi://unix:/run/php/php7.4-fpm-intranet.sock:\\", host: \\"intranet.firm.example\\""
done > /srv/www/intranet/logs/old.log
cat /srv/www/intranet/logs/old.log /srv/www/intranet/logs/error.log > /srv/www/intranet/logs/new.log
cat /srv/www/intranet/logs/new.log > /srv/www/intranet/logs/error.log; rm /srv/www/intranet/logs/new.log /srv/www/intranet/logs/old.log
"""

LARAVEL = """<?php
// artisan's ways: storage/framework/down, storage/logs, APP_KEY, sessions and the queue in Redis
$base = '/var/www/laravel';
if (file_exists("$base/storage/framework/down")) { http_response_code(503); header('Retry-After: 60'); echo 'Service Unavailable'; exit; }
$log = @fopen("$base/storage/logs/laravel.log", 'a');
if (!$log) {
    trigger_error('Uncaught UnexpectedValueException: The stream or file "' . $base . '/storage/logs/laravel.log" could not be opened in append mode: Permission denied', E_USER_WARNING);
    http_response_code(500); echo 'Server Error'; exit;
}
$env = parse_ini_file("$base/.env");
function failed($log, $error) {
    fwrite($log, date('[Y-m-d H:i:s] ') . 'production.ERROR: ' . $error->getMessage() . ' {"exception":"[object] (' . get_class($error) . ')"}' . PHP_EOL);
    http_response_code(500);
    echo 'Server Error';
    exit;
}
try {
    if (empty($env['APP_KEY'])) { throw new RuntimeException('No application encryption key has been specified.'); }
    $path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
    if ($path === '/up') { echo 'ok'; exit; }
    $redis = new Redis();
    $redis->connect('127.0.0.1', 6379, 60, null, 0, 60);
    $redis->setex('session:' . ($_SERVER['REMOTE_ADDR'] ?? ''), 600, str_repeat('x', 2000));
    if ($redis->getLastError()) { throw new RedisException($redis->getLastError()); }
    if ($path === '/checkout') {
        if ($redis->rPush('queues:default', json_encode(['job' => 'SendInvoice'])) === false) { throw new RedisException($redis->getLastError()); }
        $reply = $redis->blPop(['invoices'], 30);
        if (!$reply) { throw new RuntimeException('invoice was not made in time'); }
    }
    echo str_repeat('<p>Shop</p>', 80);
} catch (Throwable $error) {
    failed($log, $error);
}
"""
WORKER = """<?php
$redis = new Redis();
$redis->connect('127.0.0.1', 6379);
$redis->setOption(Redis::OPT_READ_TIMEOUT, -1);
while (true) {
    $job = $redis->blPop(['queues:default'], 5);
    if ($job) { $redis->rPush('invoices', 'done'); }
}
"""
WORKER_CONF = """\
[program:laravel-worker]
process_name=%(program_name)s_%(process_num)02d
command=php /var/www/laravel/worker.php
autostart=true
autorestart=true
user=www-data
numprocs=2
redirect_stderr=true
stdout_logfile=/var/www/laravel/storage/logs/worker.log
"""
LARAVEL_SITE = """\
server {
    listen 8000;
    listen [::]:8000;
    server_name _;
    root /var/www/laravel/public;
    index index.php;
    access_log syslog:server=unix:/dev/log,tag=nginx_laravel combined;
    error_log syslog:server=unix:/dev/log,tag=nginx_laravel error;
    error_log /var/log/nginx/laravel-error.log error;
    location / {
        try_files $uri $uri/ /index.php?$query_string;
    }
    location = /robots.txt { access_log off; log_not_found off; }
    location ~ \\.php$ {
        fastcgi_pass unix:/var/run/php/php8.2-fpm.sock;
        fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;
        include fastcgi_params;
        fastcgi_read_timeout 10s;
    }
}
"""
LARAVEL_AT = frozenset({"unix:/var/run/php/php8.2-fpm.sock", "unix:/run/php/php8.2-fpm.sock"})
LARAVEL_SETUP = """
mkdir -p /var/www/laravel/storage/logs /var/www/laravel/storage/framework /var/www/laravel/public
chown -R www-data: /var/www/laravel/storage
systemctl enable --now redis-server php8.2-fpm rsyslog supervisor
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/laravel /etc/nginx/sites-enabled/laravel
systemctl enable --now nginx
"""
LARAVEL_ROUTES = (
    Route(path="/", port=8000, weight=4),
    Route(path="/checkout", port=8000, weight=1),
    Route(path="/up", port=8000, weight=2),
)
LARAVEL_FAULTS = (
    Fault(
        id="laravel-down-forgotten",
        happens="php artisan down was run for a migration and nobody ran php artisan up: the application answers 503 itself",
        steps="echo '{\"retry\":60}' > /var/www/laravel/storage/framework/down",
        expects=causes("upstream-error-status", "maintenance-response"),
        partly=causes("application-error"),
        targets=LARAVEL_AT,
    ),
    Fault(
        id="laravel-log-owned-by-root",
        happens="artisan ran as root in the deploy; laravel.log belongs to root and every page answers 500",
        steps="chown root: /var/www/laravel/storage/logs/laravel.log; chmod 644 /var/www/laravel/storage/logs/laravel.log",
        expects=causes("application-error", "upstream-error-status"),
        targets=LARAVEL_AT,
    ),
    Fault(
        id="laravel-key-missing",
        happens="APP_KEY is empty in the new .env; pages answer 500",
        steps="sed -i 's/^APP_KEY=.*/APP_KEY=/' /var/www/laravel/.env",
        expects=causes("application-error", "upstream-error-status"),
        targets=LARAVEL_AT,
    ),
    Fault(
        id="laravel-redis-out-of-memory",
        happens="Redis is at maxmemory with noeviction and refuses to write (OOM command not allowed)",
        steps="redis-cli config set maxmemory 1mb; redis-cli config set maxmemory-policy noeviction",
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status", "memory-pressure"),
        targets=LARAVEL_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="laravel-redis-cannot-save",
        happens="Redis cannot write its snapshot (its directory is no longer writable) and refuses writes: MISCONF",
        steps="chown root: /var/lib/redis; chmod 755 /var/lib/redis; redis-cli config set save '1 1'; redis-cli set a b; redis-cli bgsave || true",
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status", "disk-full"),
        targets=LARAVEL_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="laravel-workers-stopped",
        happens="the queue's workers were stopped in the deploy and not started again; a checkout waits for its invoice until nginx gives up",
        steps="supervisorctl stop 'laravel-worker:*'; redis-cli del invoices",
        failures=6,
        expects=causes("backend-dependency-slow", "backend-dependency-down", "backend-too-slow"),
        partly=causes("php-fpm-max-children", "workers-exhausted", "proxy-timeout-too-short", "backend-hung"),
        targets=LARAVEL_AT,
    ),
)

VCL = """\
vcl 4.1;
backend default {
    .host = "127.0.0.1";
    .port = "8080";
    .max_connections = 40;
    .connect_timeout = 2s;
    .first_byte_timeout = 15s;
    .probe = {
        .url = "/status.php";
        .interval = 1s;
        .timeout = 2s;
        .window = 4;
        .threshold = 2;
        .initial = 2;
    }
}
sub vcl_recv {
    if (req.url ~ "^/(cart|account|report|huge)") {
        return (pass);
    }
    unset req.http.cookie;
}
sub vcl_backend_response {
    set beresp.ttl = 1s;
    set beresp.grace = 0s;
}
"""
MAGAZINE = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/report') { sleep((int)($_GET['seconds'] ?? 6)); }
if ($path === '/huge') { for ($n = 0; $n < 30; $n++) { header("Set-Cookie: choice$n=" . str_repeat('x', 1500), false); } }
echo str_repeat('<p>Magazine</p>', 60);
"""
MAGAZINE_SITE = """
    root /srv/magazine;
    location / {
        try_files $uri /index.php$is_args$args;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_buffer_size 128k;
        fastcgi_buffers 8 128k;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
"""
VARNISH_UNIT = """[Service]
ExecStart=
ExecStart=/usr/sbin/varnishd -j unix,user=vcache -F -a :80 -T localhost:6082 -f /etc/varnish/default.vcl -S /etc/varnish/secret -s malloc,64m
"""
VARNISH_AGAIN = "systemctl reload varnish"
NGINX_AT = frozenset({"127.0.0.1:8080", "default", "boot.default"})
VARNISH_FAULTS = (
    Fault(
        id="varnphp-probe-file-removed",
        happens="a release no longer has /status.php; the probe gets 404 and Varnish calls the backend sick, which is fine",
        steps="rm /srv/magazine/status.php; sed -i 's#try_files $uri /index.php$is_args$args#try_files $uri @pages#; /^}$/i location @pages { rewrite ^ /index.php last; }' /etc/nginx/sites-available/shop; "
        "sed -i 's#location ~ .*php\\$ {#location = /index.php {#' /etc/nginx/sites-available/shop; sed -i '/^}$/i location = /status.php { return 404; }' /etc/nginx/sites-available/shop; "
        "nginx -t; systemctl reload nginx",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=NGINX_AT,
    ),
    Fault(
        id="varnphp-first-byte-timeout",
        happens="first_byte_timeout is 3 s after a merge; a page needs 6 s",
        steps=f"sed -i 's/first_byte_timeout = 15s/first_byte_timeout = 3s/' /etc/varnish/default.vcl; {VARNISH_AGAIN}",
        routes=(Route(path="/report", weight=3),),
        failures=6,
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        partly=causes("backend-hung", "workers-exhausted", "php-fpm-max-children"),
        targets=NGINX_AT,
    ),
    Fault(
        id="varnphp-header-does-not-fit",
        happens="the consent cookies come to 45 kB: more than http_resp_size; Varnish answers 503",
        steps="true",
        routes=(Route(path="/huge", weight=4),),
        expects=causes("response-header-too-big", "proxy-workspace-exhausted"),
        partly=causes("invalid-response"),
        targets=NGINX_AT,
    ),
    Fault(
        id="varnphp-max-connections",
        happens="max_connections is 2, and several users ask for pages of 3 s that are not cached: Varnish refuses the others",
        steps=f"sed -i 's/max_connections = 40/max_connections = 2/' /etc/varnish/default.vcl; {VARNISH_AGAIN}",
        routes=(Route(path="/report?seconds=3", weight=20),),
        users=16,
        expects=causes("upstream-connection-limit"),
        partly=causes("all-upstreams-down", "backend-too-slow", "health-check-misconfigured"),
        targets=NGINX_AT,
    ),
)

STACKS = (
    Stack(
        name="twofpm",
        about="two PHP-FPM masters (an old and a new PHP) for two sites behind nginx, one without an access log",
        files={
            "/etc/php/7.4/fpm/php-fpm.conf": OLD_CONF,
            "/etc/systemd/system/php7.4-fpm.service": OLD_UNIT,
            "/etc/php/8.2/fpm/pool.d/web.conf": NEW_POOL,
            "/etc/nginx/sites-available/firm": TWO_SITES,
            "/srv/www/firm/index.php": FIRM,
            "/srv/www/intranet/htdocs/index.php": INTRANET,
        },
        setup=TWO_SETUP,
        routes=TWO_ROUTES,
        faults=TWO_FAULTS,
        calms=(
            Calm(
                id="twofpm-yesterday",
                happens="yesterday's failures are still in the error log; an HAProxy that nobody uses is installed and stopped; logs rotate",
                steps=YESTERDAY + "systemctl reload php8.2-fpm php7.4-fpm nginx",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="laravel",
        about="PHP in Laravel's manner on port 8000 with Redis and queue workers in supervisord; nginx logs to syslog (rsyslog)",
        files={
            "/var/www/laravel/public/index.php": LARAVEL,
            "/var/www/laravel/worker.php": WORKER,
            "/var/www/laravel/.env": "APP_ENV=production\nAPP_KEY=base64abcdef\nREDIS_HOST=127.0.0.1\n",
            "/etc/supervisor/conf.d/laravel-worker.conf": WORKER_CONF,
            "/etc/nginx/sites-available/laravel": LARAVEL_SITE,
        },
        setup=LARAVEL_SETUP,
        routes=LARAVEL_ROUTES,
        faults=LARAVEL_FAULTS,
        calms=(
            Calm(
                id="laravel-deploy",
                happens="a deploy as it should be: php-fpm reloads, the queue's workers restart one after the other, logs rotate; scanners get 404",
                steps="systemctl reload php8.2-fpm; supervisorctl restart laravel-worker:laravel-worker_00; supervisorctl restart laravel-worker:laravel-worker_01; systemctl reload nginx",
                routes=(Route(path="/storage/missing.png.php", port=8000, weight=2),),
                seconds=12,
            ),
        ),
    ),
    Stack(
        name="varnish-php",
        about="Varnish on port 80 with a probe, in front of nginx on 8080 with PHP-FPM",
        files={
            "/etc/varnish/default.vcl": VCL,
            "/etc/systemd/system/varnish.service.d/override.conf": VARNISH_UNIT,
            "/srv/magazine/index.php": MAGAZINE,
            "/srv/magazine/status.php": "<?php echo 'ok';",
            "/etc/nginx/sites-available/shop": site(MAGAZINE_SITE, listen="127.0.0.1:8080 default_server"),
        },
        setup="sed -i 's/^pm.max_children = .*/pm.max_children = 20/' /etc/php/8.2/fpm/pool.d/www.conf\nsystemctl enable --now php8.2-fpm\n"
        + ENABLE_SITE
        + "systemctl daemon-reload\nsystemctl enable --now varnish\n",
        routes=(Route(path="/", weight=4), Route(path="/article/3", weight=4), Route(path="/account", weight=3)),
        faults=VARNISH_FAULTS,
        calms=(
            Calm(
                id="varnish-php-editors",
                happens="editors ban pages, the VCL is reloaded, nginx reloads; a report of 4 s that is allowed",
                steps="varnishadm 'ban req.url ~ .'; systemctl reload varnish; systemctl reload nginx",
                routes=(Route(path="/report?seconds=4", weight=2),),
                seconds=12,
            ),
        ),
    ),
)
