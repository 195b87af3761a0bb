"""Two Pumas behind HAProxy with TLS and checks, and PHP-FPM on a port behind nginx with a FastCGI cache."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

BIKES_APP = """\
require 'sinatra/base'
require 'pg'

class Bikes < Sinatra::Base
  set :environment, :production
  set :host_authorization, { permitted_hosts: [] }

  def self.base # one connection for each thread
    Thread.current[:base] ||= PG.connect(host: '127.0.0.1', dbname: 'bikes', user: 'bikes', password: 'hunter22', connect_timeout: 5)
  end

  get('/') { self.class.base.exec('select name from bikes order by id limit 20').map { |row| row['name'] }.join("\\n") }
  get('/up') { self.class.base.exec('update beats set at = now() where id = 1'); 'up' }
  get('/prices') { 'from ten euros a day ' * 60 }
  get('/map') { sleep 2; 'map ' * 200 }
  get('/year') { sleep 8; 'year ' * 200 }
  get('/route') { Process.kill('SEGV', Process.pid); sleep 1; 'route' }
end
run Bikes
"""
BIKES_UNIT = """[Unit]
Description=bikes on port %i
After=network.target postgresql.service

[Service]
User=bikes
WorkingDirectory=/srv/bikes
Environment=RACK_ENV=production
ExecStart=/usr/bin/puma --bind tcp://127.0.0.1:%i --threads 24:24 config.ru
Restart=always
RestartSec=3

[Install]
WantedBy=multi-user.target
"""
BIKES_HAPROXY = """\
global
    log /dev/log local0
    log /dev/log local1 notice
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user haproxy
    group haproxy
    daemon
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    log     global
    mode    http
    option  httplog
    option  dontlognull
    timeout connect 5000
    timeout client  50000
    timeout server  50000
    errorfile 400 /etc/haproxy/errors/400.http
    errorfile 403 /etc/haproxy/errors/403.http
    errorfile 408 /etc/haproxy/errors/408.http
    errorfile 500 /etc/haproxy/errors/500.http
    errorfile 502 /etc/haproxy/errors/502.http
    errorfile 503 /etc/haproxy/errors/503.http
    errorfile 504 /etc/haproxy/errors/504.http

frontend www
    bind :80
    bind :443 ssl crt /etc/haproxy/certs/bikes.pem
    http-request redirect scheme https unless { ssl_fc }
    acl is_bikes hdr(host) -i bikes.example
    use_backend bikes if is_bikes

backend bikes
    balance roundrobin
    option httpchk GET /up
    http-check expect status 200
    server bikes1 127.0.0.1:9301 check
    server bikes2 127.0.0.1:9302 check
"""
BIKES_SETUP = """
useradd --system bikes
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role bikes login password 'hunter22'" -c "create database bikes owner bikes"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U bikes bikes <<SQL
create table bikes (id serial primary key, name text); insert into bikes (name) select 'bike ' || n from generate_series(1, 200) n;
create table beats (id int primary key, at timestamptz); insert into beats values (1, now());
SQL
mkdir -p /etc/haproxy/certs; cd /etc/haproxy/certs
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=bikes.example -addext subjectAltName=DNS:bikes.example,DNS:www.bikes.example -keyout key.pem -out cert.pem 2>/dev/null
cat cert.pem key.pem > bikes.pem; mv key.pem cert.pem /root/
systemctl enable -q --now rsyslog bikes@9301 bikes@9302
for p in 9301 9302; do until curl -fs -o /dev/null http://127.0.0.1:$p/up; do sleep 0.2; done; done
haproxy -c -q -f /etc/haproxy/haproxy.cfg; systemctl enable -q --now haproxy
"""
BIKES = "bikes.example"
BIKES_AT = frozenset({"127.0.0.1:9301", "127.0.0.1:9302", "bikes", "bikes/bikes1", "bikes/bikes2"})
BIKES_BASE = BIKES_AT | {"127.0.0.1:5432"}


def _https(path: str, host: str = BIKES, weight: int = 1) -> Route:
    return Route(path=path, host=host, port=443, tls=True, weight=weight)


BIKES_FAULTS = (
    Fault(
        id="bikes-check-writes-to-the-database",
        happens="the check's page writes a row; a forgotten `begin; update` in psql holds that row, the checks time out, both servers are DOWN: 503 for a shop that works",
        steps='(sudo -u postgres psql -q bikes -c "begin; update beats set at = now(); select pg_sleep(900)" >/dev/null 2>&1 &); sleep 1',
        limit_s=90.0,
        expects=causes("backend-dependency-slow", "health-check-misconfigured"),
        partly=causes("all-upstreams-down", "backend-too-slow", "backend-hung", "workers-exhausted"),
        targets=BIKES_BASE,
    ),
    Fault(
        id="bikes-renewed-without-key",
        happens="the script of the renewal writes the certificate without its key into HAProxy's .pem; HAProxy is restarted and does not come up: connection refused",
        steps="cp /root/cert.pem /etc/haproxy/certs/bikes.pem; systemctl restart haproxy || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
    Fault(
        id="bikes-queue-of-two",
        happens="somebody copies `maxconn 2` and a queue of three seconds; on a sunny day forty people look at the map (2 s) and get 503 out of the queue",
        steps="sed -i 's/check$/check maxconn 2/; s/balance roundrobin/balance roundrobin\\n    timeout queue 3s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(_https("/map", weight=30),),
        users=40,
        settle="test $(grep -c ' sQ-- ' /var/log/haproxy.log) -ge 12",
        expects=causes("upstream-connection-limit"),
        partly=causes("workers-exhausted", "backend-too-slow"),
        targets=BIKES_AT,
    ),
    Fault(
        id="bikes-five-seconds-for-all",
        happens="`timeout server 5s` is taken from a blog against slow clients; the yearly overview takes 8 s and has always done: 504, sH--",
        steps="sed -i 's/timeout server  50000/timeout server  5s/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(_https("/year", weight=2),),
        limit_s=100.0,
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        partly=causes("workers-exhausted"),
        targets=BIKES_AT,
    ),
    Fault(
        id="bikes-route-kills-puma",
        happens="a native library dies (SIGSEGV) on one kind of request and takes its Puma with it; systemd starts it again, until the next such request",
        steps="true",
        routes=(_https("/route", weight=3),),
        limit_s=90.0,
        settle="test $(journalctl -q -u 'bikes@*' | grep -c 'status=11/SEGV\\|code=dumped\\|code=killed') -ge 3",
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset", "backend-crash-loop", "all-upstreams-down", "backend-not-running"),
        targets=BIKES_AT,
    ),
    Fault(
        id="bikes-www-has-no-backend",
        happens="www.bikes.example was added to the DNS and the certificate, not to HAProxy's acl; there is no default_backend: 503, NOSRV, for www alone",
        steps="true",
        routes=(_https("/", host="www.bikes.example", weight=4),),
        expects=causes("route-not-found"),
        partly=causes("no-upstream-members", "route-target-missing"),
    ),
    Fault(
        id="bikes-gem-of-other-ruby",
        happens="the operating system's Ruby is upgraded and a gem is gone: LoadError at each start of both Pumas, systemd starts them every three seconds",
        steps="sed -i \"1i require 'mini_magick'\" /srv/bikes/config.ru; systemctl restart bikes@9301 bikes@9302; sleep 6",
        expects=NO_START,
        partly=causes("all-upstreams-down", "backend-not-running"),
        targets=BIKES_AT,
    ),
)

WINERY_SITE = """\
fastcgi_cache_path /var/cache/nginx/winery levels=1:2 keys_zone=winery:10m inactive=10m max_size=100m;
server {
    listen 80;
    server_name winery.example;
    root /var/www/winery;
    index index.php;
    client_max_body_size 16m;
    access_log /var/log/nginx/winery.access.log;
    error_log /var/log/nginx/winery.error.log;

    location / {
        try_files $uri $uri/ /index.php?$args;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass 127.0.0.1:9001;
        fastcgi_cache winery;
        fastcgi_cache_key $scheme$host$request_uri;
        fastcgi_cache_valid 200 5s;
        fastcgi_no_cache $http_authorization;
    }
}
"""
WINERY_POOL = """\
[winery]
user = winery
group = winery
listen = 127.0.0.1:9001
pm = dynamic
pm.max_children = 8
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
php_admin_value[error_log] = /var/log/php/winery.log
php_admin_flag[log_errors] = on
php_admin_value[memory_limit] = 64M
"""
WINERY_FILES = {
    "/etc/nginx/sites-available/winery": WINERY_SITE,
    "/etc/php/8.2/fpm/pool.d/winery.conf": WINERY_POOL,
    "/var/www/winery/base.php": "<?php\nmysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);\n$base = new mysqli('127.0.0.1', 'winery', 'hunter22', 'winery');\n",
    "/var/www/winery/index.php": "<?php\nrequire 'base.php';\nforeach ($base->query('select name from wines limit 20') as $row) echo '<li>', $row['name'], \"\\n\";\n",
    "/var/www/winery/basket.php": "<?php\nheader('Cache-Control: no-store');\n$redis = new Redis();\n$redis->connect('127.0.0.1', 6379, 3);\n$redis->setEx('basket:' . bin2hex(random_bytes(8)), 3600, str_repeat('a case of red ', 400));\necho 'in your basket';\n",
    "/var/www/winery/catalogue.php": "<?php\n$rows = [];\nfor ($n = 0; $n < 400; $n++) $rows[] = str_repeat(chr(65 + $n % 26), 400000);\necho count($rows);\n",
    "/var/www/winery/label.php": "<?php\nrequire 'base.php';\n$label = $base->prepare('insert into labels (picture) values (?)');\n$picture = file_get_contents('php://input');\n$label->execute([$picture]);\necho strlen($picture);\n",
    "/var/www/winery/scan.php": "<?php\nusleep(200000);\nposix_kill(posix_getpid(), 11);\nsleep(1);\n",
    "/var/www/winery/visit.php": "<?php header('Cache-Control: no-store'); usleep(400000); echo str_repeat('open on Saturdays ', 100);\n",
}
WINERY_SETUP = """
useradd --system winery; mkdir -p /var/log/php /var/cache/nginx; chown winery /var/log/php
rm /etc/php/8.2/fpm/pool.d/www.conf
systemctl enable -q --now mariadb redis-server
mariadb <<SQL
create database winery; create user winery@localhost identified by 'hunter22'; create user winery@'127.0.0.1' identified by 'hunter22';
grant all on winery.* to winery@localhost; grant all on winery.* to winery@'127.0.0.1';
use winery; create table wines (id int auto_increment primary key, name varchar(99)); create table labels (id int auto_increment primary key, picture longblob);
insert into wines (name) select concat('wine ', seq) from seq_1_to_200;
SQL
systemctl enable -q --now php8.2-fpm
ln -s /etc/nginx/sites-available/winery /etc/nginx/sites-enabled/winery; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
WINERY = "winery.example"
WINERY_AT = frozenset({"127.0.0.1:9001"})
WINERY_FAULTS = (
    Fault(
        id="winery-catalogue-grows",
        happens="the catalogue has grown past memory_limit: `Allowed memory size of 67108864 bytes exhausted`, 500 for that page",
        steps="true",
        routes=(Route(path="/catalogue.php", host=WINERY, weight=3),),
        expects=causes("application-error"),
        partly=causes("upstream-error-status"),
        targets=WINERY_AT,
    ),
    Fault(
        id="winery-children-fewer-than-spare",
        happens="somebody lowers pm.max_children to 2 and leaves pm.max_spare_servers at 3; at its next restart PHP-FPM refuses its configuration",
        steps="sed -i 's/^pm.max_children = 8/pm.max_children = 2/' /etc/php/8.2/fpm/pool.d/winery.conf; systemctl restart php8.2-fpm || true",
        expects=NO_START,
        partly=causes("backend-not-running"),
        targets=WINERY_AT,
    ),
    Fault(
        id="winery-redis-is-full",
        happens="Redis was given a maxmemory without a policy, and baskets have filled it: `OOM command not allowed`, an uncaught RedisException, 500 for each basket",
        steps="redis-cli config set maxmemory 1200kb >/dev/null",
        routes=(Route(path="/basket.php", host=WINERY, weight=3),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=WINERY_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="winery-packet-of-database",
        happens="labels of 3 MB are uploaded, and MariaDB takes packets of 1 MB: `MySQL server has gone away` (2006), 500 for the upload",
        steps="printf '[mysqld]\\nmax_allowed_packet=1M\\n' > /etc/mysql/mariadb.conf.d/99-small.cnf; systemctl restart mariadb",
        routes=(Route(path="/label.php", method="POST", host=WINERY, body_bytes=3 << 20, weight=3),),
        expects=causes("application-error", "backend-dependency-down", "request-too-large"),
        partly=causes("upstream-error-status"),
        targets=WINERY_AT | {"127.0.0.1:3306"},
    ),
    Fault(
        id="winery-socket-of-debian-11",
        happens="the site's file is restored from the old server: fastcgi_pass unix:/run/php/php7.4-fpm.sock; the pool listens on 127.0.0.1:9001",
        steps="sed -i 's#127.0.0.1:9001#unix:/run/php/php7.4-fpm.sock#' /etc/nginx/sites-available/winery; systemctl reload nginx",
        expects=causes("php-fpm-socket-mismatch"),
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=frozenset({"unix:/run/php/php7.4-fpm.sock"}),
    ),
    Fault(
        id="winery-extension-dies",
        happens="a scan of a barcode makes an extension die: `child exited on signal 11`, 502 for that page, the others go on",
        steps="true",
        routes=(Route(path="/scan.php", host=WINERY, weight=2),),
        expects=causes("php-fpm-crashed", "backend-crashed"),
        partly=causes("connection-reset", "premature-close"),
        targets=WINERY_AT,
    ),
    Fault(
        id="winery-cache-of-root",
        happens="the cache's directory is put back from a backup as root's, mode 700; nginx cannot write into it (13: Permission denied), and pages come to nothing",
        steps="rm -rf /var/cache/nginx/winery/*; chown -R root:root /var/cache/nginx/winery /var/lib/nginx/fastcgi; chmod 700 /var/cache/nginx/winery /var/lib/nginx/fastcgi",
        expects=causes("proxy-temp-unwritable"),
    ),
)

STACKS = (
    Stack(
        name="bikes",
        about="Sinatra in two Pumas (24 threads each, instances of a template unit) behind HAProxy with Debian's defaults, TLS and checks; PostgreSQL, rsyslog",
        files={
            "/srv/bikes/config.ru": BIKES_APP,
            "/etc/systemd/system/bikes@.service": BIKES_UNIT,
            "/etc/haproxy/haproxy.cfg": BIKES_HAPROXY,
        },
        setup=BIKES_SETUP,
        routes=(_https("/", weight=4), _https("/prices", weight=3)),
        faults=BIKES_FAULTS,
        calms=(
            Calm(
                id="bikes-rolling-release",
                happens="a release as it should be: each Puma is drained, restarted and made ready again in turn; HAProxy reloads, logs rotate, the map (2 s) is broken off, http is redirected",
                steps='for n in 1 2; do echo "set server bikes/bikes$n state drain" | python3 -c "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(\'/run/haproxy/admin.sock\'); s.sendall(sys.stdin.buffer.read()); s.recv(9)"; sleep 3; '
                "systemctl restart bikes@930$n; until curl -fs -o /dev/null http://127.0.0.1:930$n/up; do sleep 0.2; done; sleep 5; "
                'echo "set server bikes/bikes$n state ready" | python3 -c "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(\'/run/haproxy/admin.sock\'); s.sendall(sys.stdin.buffer.read()); s.recv(9)"; sleep 1; done; '
                "logrotate -f /etc/logrotate.d/haproxy; systemctl reload haproxy",
                routes=(_https("/map"), _https("/login.aspx"), Route(path="/", host=BIKES)),
                seconds=25.0,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="winery",
        about="PHP in a pool of its own on 127.0.0.1:9001 behind nginx with a FastCGI cache, MariaDB, baskets in Redis",
        files=WINERY_FILES,
        setup=WINERY_SETUP,
        routes=(
            Route(path="/index.php", host=WINERY, weight=4),
            Route(path="/visit.php", host=WINERY, weight=3),
            Route(path="/basket.php", host=WINERY),
        ),
        faults=WINERY_FAULTS,
        calms=(
            Calm(
                id="winery-night-of-backups",
                happens="nginx reloads, logs rotate, the cache is emptied, a dump of the database; bots look for WordPress (404, 403 for .php in uploads)",
                steps="rm -rf /var/cache/nginx/winery/*; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx; mariadb-dump --single-transaction winery > /root/winery.sql; redis-cli bgsave >/dev/null",
                routes=(
                    Route(path="/xmlrpc.php", method="POST", host=WINERY),
                    Route(path="/wp-content/x.php", host=WINERY),
                    Route(path="/label.php", method="POST", host=WINERY, body_bytes=400000),
                ),
                cancels=True,
            ),
            Calm(
                id="winery-newsletter-is-out",
                happens="twenty-five readers at once on a page of 0.4 s, of which eight children serve all; people leave in the middle (499), the pool grows and shrinks",
                routes=(Route(path="/visit.php", host=WINERY, weight=4),),
                users=14,
                seconds=20.0,
                cancels=True,
            ),
        ),
    ),
)
