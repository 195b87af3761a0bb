"""A cloud of files in PHP with sessions and locks in Redis behind nginx with TLS, and a hub of notebooks with a socket for each user."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

CLOUD_SITE = """\
upstream php-handler {
    server unix:/run/php/cloud.sock;
}
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
}
server {
    listen 80;
    server_name cloud.example;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl http2;
    server_name cloud.example;
    ssl_certificate /etc/ssl/cloud/fullchain.pem;
    ssl_certificate_key /etc/ssl/cloud/privkey.pem;
    access_log /var/log/nginx/cloud.access.log;
    error_log /var/log/nginx/cloud.error.log;
    root /srv/cloud;
    index index.php;
    client_max_body_size 20M;
    fastcgi_buffers 64 4K;

    location ^~ /push/ {
        proxy_pass http://127.0.0.1:7867/;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $host;
    }
    location ~ \\.php(?:$|/) {
        fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
        set $path_info $fastcgi_path_info;
        try_files $fastcgi_script_name =404;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param PATH_INFO $path_info;
        fastcgi_param HTTPS on;
        fastcgi_pass php-handler;
        fastcgi_intercept_errors on;
        fastcgi_read_timeout 20s;
    }
    location / {
        try_files $uri $uri/ /index.php$request_uri;
    }
}
"""
CLOUD_POOL = """\
[cloud]
user = www-data
group = www-data
listen = /run/php/cloud.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 6
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 4
php_value[session.save_handler] = redis
php_value[session.save_path] = "unix:///run/redis/redis-server.sock"
php_admin_value[memory_limit] = 128M
"""
CLOUD_BASE = """\
<?php
// As such programs do: whatever goes wrong is written to a log of its own, and the visitor gets a page that says so.
set_exception_handler(function (Throwable $error) {
    $line = ['time' => date('c'), 'level' => 3, 'url' => $_SERVER['REQUEST_URI'], 'exception' => get_class($error), 'message' => $error->getMessage()];
    @file_put_contents('/srv/cloud-data/cloud.log', json_encode($line, JSON_UNESCAPED_SLASHES) . "\\n", FILE_APPEND);
    error_log(get_class($error) . ': ' . $error->getMessage());
    http_response_code($error->getCode() === 507 ? 507 : 500);
    echo '<h1>Internal Server Error</h1>';
});
$config = json_decode(file_get_contents('/srv/cloud/config/config.json'), true);
if ($config['maintenance']) {
    http_response_code(503);
    header('X-Cloud-Maintenance-Mode: 1');
    header('Retry-After: 120');
    echo '<h1>Maintenance mode</h1><p>This may take a while.</p>';
    exit;
}
$locks = new Redis();
$locks->connect('/run/redis/redis-server.sock', 0, 3.0);
session_start();
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$base = new mysqli('localhost', 'cloud', 'hunter22', 'cloud');
"""
CLOUD_INDEX = """\
<?php
require 'base.php';
$path = $_SERVER['PATH_INFO'] ?? $_SERVER['REQUEST_URI'];
if (str_contains($path, '/preview')) {
    exec('/usr/local/bin/ffmpeg 15');
    echo 'a preview';
    exit;
}
if (str_contains($path, '/favourites')) {
    usleep(1400000);
}
$_SESSION['seen'] = time();
foreach ($base->query('select name from files order by id limit 30') as $row) echo '<li>', $row['name'], "</li>\\n";
"""
CLOUD_REMOTE = """\
<?php
require 'base.php';
$name = preg_replace('/[^a-z0-9.]/', '', basename($_SERVER['PATH_INFO']));
if (!$locks->set("lock/$name" . getmypid(), 1, ['nx', 'ex' => 30])) throw new Exception('locked');
if ($_SERVER['REQUEST_METHOD'] === 'PUT') {
    $statement = $base->prepare('insert into files (name) values (?)');
    $statement->bind_param('s', $name);
    $statement->execute();
    $body = file_get_contents('php://input');
    $written = @file_put_contents('/srv/cloud-data/files/' . getmypid(), $body);
    $locks->del("lock/$name" . getmypid());
    if ($written !== strlen($body)) throw new Exception('Insufficient storage: ' . error_get_last()['message'], 507);
    http_response_code(201);
    exit;
}
$locks->del("lock/$name" . getmypid());
echo str_repeat("$name\\n", 20000);
"""
CLOUD_PUSH = """\
const { WebSocketServer } = require('/opt/node/node_modules/ws');
const http = require('http');
const server = http.createServer((request, response) => response.end('notify_push 0.6'));
new WebSocketServer({ server });
server.listen(7867, '127.0.0.1', () => console.log('listening on 127.0.0.1:7867'));
"""
CLOUD_PUSH_UNIT = """[Unit]
Description=Push daemon of the cloud
After=network.target redis-server.service

[Service]
User=www-data
ExecStart=/usr/bin/node /srv/cloud/apps/notify_push/push.js
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
CLOUD_SETUP = """
systemctl start mariadb
mariadb <<SQL
create database cloud; create user cloud@localhost identified by 'hunter22'; grant all on cloud.* to cloud@localhost;
use cloud; create table files (id int auto_increment primary key, name varchar(200)) engine=innodb;
insert into files (name) select concat('holiday ', seq, '.jpg') from seq_1_to_300;
SQL
sed -i 's/^port 6379/port 0/' /etc/redis/redis.conf
printf 'unixsocket /run/redis/redis-server.sock\\nunixsocketperm 770\\n' >> /etc/redis/redis.conf
usermod -aG redis www-data
systemctl enable -q --now redis-server
mkdir -p /srv/cloud-data; mount -t tmpfs -o size=64m,mode=755 cloud-data /srv/cloud-data
mkdir -p /srv/cloud-data/files; chown -R www-data: /srv/cloud /srv/cloud-data
cp /bin/sleep /usr/local/bin/ffmpeg
mkdir -p /etc/ssl/cloud
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=cloud.example -keyout /etc/ssl/cloud/privkey.pem -out /etc/ssl/cloud/fullchain.pem 2>/dev/null
rm -f /etc/php/8.2/fpm/pool.d/www.conf
systemctl daemon-reload; systemctl enable -q --now cloud-push php8.2-fpm
until test -S /run/php/cloud.sock && curl -fs -o /dev/null http://127.0.0.1:7867/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/cloud /etc/nginx/sites-enabled/cloud; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
CLOUD_AT = frozenset({"unix:/run/php/cloud.sock", "php-handler"})
CLOUD_REDIS = frozenset({"unix:/run/redis/redis-server.sock"})
CLOUD_BASE_AT = frozenset({"unix:/run/mysqld/mysqld.sock"})


def _cloud(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0, expect: int = 200) -> Route:
    return Route(
        path=path, host="cloud.example", port=443, tls=True, weight=weight, method=method, body_bytes=body_bytes, expect=(expect,)
    )


CLOUD_PUT = "/remote.php/dav/files/anna/notes.txt"
CLOUD_FAULTS = (
    Fault(
        id="cloud-redis-socket-of-package",
        happens="an upgrade of Redis asks about redis.conf and gets the package's mode for its socket: 0700, so PHP may not connect to it; every page is an Internal Server Error, and the program's own log says RedisException: Permission denied",
        steps="sed -i 's/^unixsocketperm 770/unixsocketperm 700/' /etc/redis/redis.conf; systemctl restart redis-server",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=CLOUD_AT | CLOUD_REDIS,
    ),
    Fault(
        id="cloud-film-of-a-birthday",
        happens="a film of thirty megabytes is synchronised by every phone of the family; nginx takes twenty: 413, again and again",
        steps="true",
        routes=(_cloud("/remote.php/dav/files/anna/birthday.mp4", 6, "PUT", 30 << 20),),
        failures=0,
        settle="test $(grep -c 'too large body' /var/log/nginx/cloud.error.log) -ge 12",
        limit_s=90.0,
        expects=causes("request-too-large"),
    ),
    Fault(
        id="cloud-maintenance-mode-left-on",
        happens="the update of an app turned the program's maintenance mode on, broke off, and left it so: PHP itself answers 503 to every request",
        steps='sed -i \'s/"maintenance": false/"maintenance": true/\' /srv/cloud/config/config.json',
        expects=causes("upstream-error-status"),
        partly=causes("maintenance-response", "application-error"),
        targets=CLOUD_AT,
    ),
    Fault(
        id="cloud-push-lost-in-update",
        happens="the update of the push app moves its program to another directory; the unit starts a file that is not there (Cannot find module) again every two seconds, and everything below /push/ is 502",
        steps="mv /srv/cloud/apps/notify_push /srv/cloud/apps/notify_push.old; systemctl restart cloud-push || true; sleep 3",
        routes=(_cloud("/push/test/version", 3),),
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=frozenset({"127.0.0.1:7867"}),
    ),
    Fault(
        id="cloud-previews-of-films",
        happens="a folder of films is opened: each preview runs ffmpeg for fifteen seconds in a PHP child, six children are all that there are, and all other pages wait behind them until nginx gives up (504)",
        steps="true",
        routes=(_cloud("/index.php/core/preview?file=7", 8),),
        users=24,
        patience_s=40.0,
        limit_s=120.0,
        settle="test $(grep -c '\" 504 ' /var/log/nginx/cloud.access.log) -ge 12",
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung", "proxy-timeout-too-short"),
        targets=CLOUD_AT,
    ),
    Fault(
        id="cloud-restored-as-root",
        happens='/var/lib/nginx was restored from a backup and belongs to root now: an upload that does not fit the memory cannot be written (open() "/var/lib/nginx/body/…" failed (13: Permission denied)), 500; pages go on',
        steps="chown -R root:root /var/lib/nginx; chmod 700 /var/lib/nginx/body; systemctl restart nginx; chown root:root /var/lib/nginx/body",
        routes=(_cloud(CLOUD_PUT, 6, "PUT", 400_000, 201),),
        expects=causes("proxy-temp-unwritable"),
    ),
    Fault(
        id="cloud-data-volume-full",
        happens="the volume of the files is full: uploads get 507 Insufficient Storage from the program, pages go on",
        steps="fallocate -l 200M /srv/cloud-data/old-backup.tar 2>/dev/null || dd if=/dev/zero of=/srv/cloud-data/old-backup.tar bs=1M 2>/dev/null || true",
        routes=(_cloud(CLOUD_PUT, 5, "PUT", 400_000, 201),),
        settle="test $(grep -c '\" 507 ' /var/log/nginx/cloud.access.log) -ge 12",
        expects=causes("disk-full"),
        partly=OWN_ERROR,
    ),
    Fault(
        id="cloud-database-read-only",
        happens="MariaDB was set read-only for a copy and left so: uploads and all that writes fail with error 1290 (500), pages that only read go on",
        steps="mariadb -e 'set global read_only = 1'",
        routes=(_cloud(CLOUD_PUT, 5, "PUT", 100_000, 201),),
        expects=causes("backend-dependency-down") | OWN_ERROR,
        targets=CLOUD_AT | CLOUD_BASE_AT,
    ),
)

HUB_SITE = """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
}
server {
    listen 80 default_server;
    server_name hub.example;
    access_log /var/log/nginx/hub.access.log;
    error_log /var/log/nginx/hub.error.log;

    location ~ ^/user/(?<who>[a-z]+)/ {
        proxy_pass http://unix:/run/notebook-$who/web.sock;
        include /etc/nginx/hub-proxy.conf;
    }
    location / {
        proxy_pass http://127.0.0.1:8081;
        include /etc/nginx/hub-proxy.conf;
    }
}
"""
HUB_PROXY = """\
proxy_http_version 1.1;
proxy_set_header Host $host;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_read_timeout 10s;
"""
HUB_APP = """\
import os, sys
import tornado.ioloop, tornado.web
from tornado.options import define, options, parse_config_file

define("most_groups", default=4, type=int)
parse_config_file("/etc/hub/hub_config.py")

class Home(tornado.web.RequestHandler):
    def get(self):
        self.write("<a href='/user/alice/'>alice</a> " * 40)

class Token(tornado.web.RequestHandler):
    def get(self):
        self.set_header("X-Hub-Groups", ",".join(f"course-{n}-of-the-university" for n in range(options.most_groups)))
        self.write({"ok": True})

tornado.web.Application([("/", Home), ("/hub/token", Token)]).listen(8081, "127.0.0.1")
tornado.ioloop.IOLoop.current().start()
"""
HUB_NOTEBOOK = """\
import asyncio, os, sys, time
import tornado.ioloop, tornado.web, tornado.websocket, tornado.httpserver, tornado.netutil

who = sys.argv[1]
home = f"/home/{who}"

class Tree(tornado.web.RequestHandler):
    def get(self):
        self.write("<p>" + " ".join(os.listdir(home)) + "</p>" * 30)

class Contents(tornado.web.RequestHandler):
    def put(self):
        with open(f"{home}/Untitled.ipynb", "wb") as file:
            file.write(self.request.body)
        self.set_status(201)

class Run(tornado.web.RequestHandler):
    def get(self):
        while True:  # a magic of somebody's own, run in the server and not in a kernel
            pass

class Plot(tornado.web.RequestHandler):
    async def get(self):
        await asyncio.sleep(2)
        self.write("plot " * 200)

class Kernel(tornado.websocket.WebSocketHandler):
    def check_origin(self, origin):
        return True

app = tornado.web.Application([
    (f"/user/{who}/tree", Tree), (f"/user/{who}/api/contents", Contents), (f"/user/{who}/run", Run),
    (f"/user/{who}/plot", Plot), (f"/user/{who}/api/kernels", Kernel),
])
server = tornado.httpserver.HTTPServer(app)
server.add_socket(tornado.netutil.bind_unix_socket(f"/run/notebook-{who}/web.sock", 0o660))
print("notebook of", who, "serves", flush=True)
tornado.ioloop.IOLoop.current().start()
"""
HUB_UNIT = """[Unit]
Description=Hub of notebooks
After=network.target
StartLimitIntervalSec=60

[Service]
User=www-data
ExecStart=/opt/venv/bin/python /srv/hub/hub.py
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
HUB_NOTEBOOK_UNIT = """[Unit]
Description=Notebook server of %i
After=network.target

[Service]
User=%i
Group=www-data
RuntimeDirectory=notebook-%i
RuntimeDirectoryMode=0750
ExecStart=/opt/venv/bin/python /srv/hub/notebook.py %i
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
HUB_SETUP = """
for who in alice bruno chloe dora; do useradd -m $who; done
mount -t tmpfs -o size=4m,mode=700,uid=$(id -u chloe) home-chloe /home/chloe
touch /home/{alice,bruno,chloe}/essay.ipynb; chown chloe: /home/chloe/essay.ipynb
systemctl daemon-reload; systemctl enable -q --now hub notebook@alice notebook@bruno notebook@chloe
for who in alice bruno chloe; do until test -S /run/notebook-$who/web.sock; do sleep 0.2; done; done
until curl -fs -o /dev/null http://127.0.0.1:8081/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/hub /etc/nginx/sites-enabled/hub; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""


def _hub(path: str, weight: int = 1, method: str = "GET", body_bytes: int = 0, expect: int = 200) -> Route:
    return Route(path=path, host="hub.example", weight=weight, method=method, body_bytes=body_bytes, expect=(expect,))


def _kernel(who: str, weight: int = 1) -> Route:
    return Route(path=f"/user/{who}/api/kernels", host="hub.example", websocket=True, weight=weight, expect=(101,))


def _notebook(who: str) -> frozenset[str]:
    return frozenset({f"unix:/run/notebook-{who}/web.sock"})


HUB_FAULTS = (
    Fault(
        id="hub-culled-while-away",
        happens="the culler stopped Bruno's server because it was idle; his open tab asks on, and the hub does not start it again: its runtime directory went with it, 502 for /user/bruno/ only",
        steps="systemctl stop notebook@bruno",
        routes=(_hub("/user/bruno/tree", 4),),
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=_notebook("bruno"),
    ),
    Fault(
        id="hub-loop-in-the-server",
        happens="Alice runs an endless loop in the server's own process: hers accepts connections and answers nothing any more, 504 after ten seconds; the others work",
        steps="true",
        routes=(_hub("/user/alice/run"), _hub("/user/alice/tree", 4)),
        failures=14,
        limit_s=100.0,
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted", "cpu-saturation", "listen-backlog-overflow"),
        targets=_notebook("alice"),
    ),
    Fault(
        id="hub-proxy-snippet-tidied",
        happens='somebody tidies the shared snippet and takes Upgrade and Connection out: notebooks open, and no kernel connects (400: Can "Upgrade" only to "WebSocket")',
        steps="sed -i '/Upgrade\\|Connection/d' /etc/nginx/hub-proxy.conf; systemctl reload nginx",
        routes=(_kernel("alice", 3), _kernel("bruno", 3)),
        failures=0,
        settle="test $(grep -c '/api/kernels HTTP/1.1\" 4' /var/log/nginx/hub.access.log) -ge 16",
        expects=causes("websocket-upgrade-missing"),
    ),
    Fault(
        id="hub-quota-of-chloe",
        happens="Chloe's home is full: her notebooks cannot be saved (OSError: [Errno 28] No space left on device, 500), everything else works",
        steps="dd if=/dev/zero of=/home/chloe/dataset.csv bs=1M 2>/dev/null || true",
        routes=(_hub("/user/chloe/api/contents", 5, "PUT", 30_000, 201),),
        expects=causes("disk-full"),
        partly=OWN_ERROR,
    ),
    Fault(
        id="hub-hardened-runtime-directory",
        happens="a review of the units sets RuntimeDirectoryMode=0700 for all notebooks; the owner of each directory is its user, and nginx's worker may not pass through: Permission denied",
        steps="sed -i 's/RuntimeDirectoryMode=0750/RuntimeDirectoryMode=0700/' /etc/systemd/system/notebook@.service; systemctl daemon-reload; systemctl restart notebook@alice notebook@bruno notebook@chloe; for who in alice bruno chloe; do until test -S /run/notebook-$who/web.sock; do sleep 0.2; done; done",
        settle="test $(grep -c 'Permission denied' /var/log/nginx/hub.error.log) -ge 12",
        expects=causes("unix-socket-permission"),
        targets=_notebook("alice") | _notebook("bruno") | _notebook("chloe"),
    ),
    Fault(
        id="hub-option-of-a-newer-version",
        happens="the configuration is written for the next version: NameError at the start, and systemd gives up after some attempts; the front page and logins are 502, open notebooks work",
        steps="printf 'most_groups = 4\\ncookie_max_age = days(14)\\n' > /etc/hub/hub_config.py; systemctl restart hub || true",
        routes=(_hub("/", 4),),
        settle="systemctl is-failed -q hub",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=frozenset({"127.0.0.1:8081"}),
    ),
    Fault(
        id="hub-courses-of-the-new-term",
        happens="with the new term teachers are in three hundred groups, and the hub puts them all into one response header: upstream sent too big header, 502 for logins",
        steps="printf 'most_groups = 300\\n' > /etc/hub/hub_config.py; systemctl restart hub; until curl -fs -o /dev/null http://127.0.0.1:8081/; do sleep 0.2; done",
        routes=(_hub("/hub/token", 4),),
        settle="test $(grep -c 'too big header' /var/log/nginx/hub.error.log) -ge 12",
        expects=causes("response-header-too-big"),
        targets=frozenset({"127.0.0.1:8081"}),
    ),
)

STACKS = (
    Stack(
        name="cloud",
        about="a cloud of files in PHP (one pool on a unix socket) behind nginx with TLS, sessions and locks in Redis on a socket, MariaDB on its socket, a push daemon of WebSockets",
        files={
            "/etc/nginx/sites-available/cloud": CLOUD_SITE,
            "/etc/php/8.2/fpm/pool.d/cloud.conf": CLOUD_POOL,
            "/srv/cloud/base.php": CLOUD_BASE,
            "/srv/cloud/index.php": CLOUD_INDEX,
            "/srv/cloud/remote.php": CLOUD_REMOTE,
            "/srv/cloud/config/config.json": '{"maintenance": false, "version": "28.0.4"}\n',
            "/srv/cloud/apps/notify_push/push.js": CLOUD_PUSH,
            "/etc/systemd/system/cloud-push.service": CLOUD_PUSH_UNIT,
        },
        setup=CLOUD_SETUP,
        routes=(
            _cloud("/index.php/apps/files", 4),
            _cloud(CLOUD_PUT, 1, "PUT", 40_000, 201),
            _cloud("/remote.php/dav/files/anna/photo.jpg", 2),
            _cloud("/push/test/version"),
        ),
        faults=CLOUD_FAULTS,
        calms=(
            Calm(
                id="cloud-sunday-sync",
                happens="phones upload megabytes, some break a download off, PHP-FPM and nginx are reloaded, logs rotate, scanners ask for pages that are not there",
                steps="systemctl reload php8.2-fpm; systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(
                    _cloud(CLOUD_PUT, 2, "PUT", 3 << 20, 201),
                    _cloud("/index.php/apps/favourites"),
                    _cloud("/wp-login.php", expect=404),
                    _cloud("/.env.php", expect=404),
                ),
                seconds=18.0,
                cancels=True,
            ),
            Calm(
                id="cloud-day-after-the-trouble",
                happens="yesterday PHP was down for an hour: its lines are in the rotated logs; today nothing fails",
                steps='day=$(date -d yesterday +%Y/%m/%d); for n in $(seq 300); do echo "$day 03:14:07 [crit] 77#77: *$n connect() to unix:/run/php/cloud.sock failed (2: No such file or directory) while connecting to upstream, client: 203.0.113.9, server: cloud.example, request: \\"GET /index.php/apps/files HTTP/2.0\\", upstream: \\"fastcgi://unix:/run/php/cloud.sock:\\", host: \\"cloud.example\\""; done > /var/log/nginx/cloud.error.log.1; chown www-data:adm /var/log/nginx/cloud.error.log.1; touch -d \'yesterday 04:00\' /var/log/nginx/cloud.error.log.1',
                seconds=14.0,
            ),
        ),
    ),
    Stack(
        name="hub",
        about="a hub of notebooks in Tornado on a port and a Tornado server for each user (template unit, unix socket whose path holds the user's name) behind nginx, WebSockets",
        files={
            "/etc/nginx/sites-available/hub": HUB_SITE,
            "/etc/nginx/hub-proxy.conf": HUB_PROXY,
            "/etc/hub/hub_config.py": "most_groups = 4\n",
            "/srv/hub/hub.py": HUB_APP,
            "/srv/hub/notebook.py": HUB_NOTEBOOK,
            "/etc/systemd/system/hub.service": HUB_UNIT,
            "/etc/systemd/system/notebook@.service": HUB_NOTEBOOK_UNIT,
        },
        setup=HUB_SETUP,
        routes=(
            _hub("/", 2),
            _hub("/hub/token"),
            _hub("/user/alice/tree", 2),
            _hub("/user/bruno/tree", 2),
            _hub("/user/chloe/api/contents", 1, "PUT", 20_000, 201),
            _kernel("alice"),
        ),
        faults=HUB_FAULTS,
        calms=(
            Calm(
                id="hub-first-day-of-term",
                happens="Dora's server is started for the first time, plots take two seconds, kernels are connected, somebody asks for paths that are not there",
                steps="systemctl enable -q --now notebook@dora; until test -S /run/notebook-dora/web.sock; do sleep 0.2; done",
                routes=(
                    _hub("/user/dora/tree", 2),
                    _hub("/user/bruno/plot", 2),
                    _kernel("bruno", 2),
                    _hub("/hub/login.php", expect=404),
                ),
                seconds=18.0,
                users=12,
            ),
        ),
    ),
)
