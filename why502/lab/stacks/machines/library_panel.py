"""Two Django sites in socket-activated instances of one template unit, and a hosting panel's nginx in front of Apache with PHP pools."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")

LMS = """\
import os, sys, time
import pymysql
pymysql.version_info = (2, 2, 1, "final", 0)
pymysql.install_as_MySQLdb()
import django
from django.conf import settings
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    DEBUG=False, SECRET_KEY=os.environ["SECRET_KEY"], ALLOWED_HOSTS=[".books.example"], ROOT_URLCONF=__name__, USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.mysql", "NAME": "library", "USER": "library", "PASSWORD": os.environ["DB_PASSWORD"], "HOST": "127.0.0.1", "CONN_MAX_AGE": 600}},
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware"],
    LOGGING={"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}}, "root": {"handlers": ["console"], "level": "WARNING"}},
)
django.setup()

def home(request):
    request.session["seen"] = int(time.time())
    with connection.cursor() as cursor:
        cursor.execute("select id, title from books order by id limit 20")
        return JsonResponse({"books": cursor.fetchall()})

def opening(request):
    return HttpResponse("<p>Opening hours</p>" * 60)

def reserve(request):
    time.sleep(3)
    return HttpResponse("reserved")

def statistics(request):
    end = time.time() + 14
    while time.time() < end:
        sum(n * n for n in range(10000))
    return HttpResponse("statistics")

urlpatterns = [path("", home), path("opening", opening), path("reserve", reserve), path("statistics", statistics)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
else:
    from django.core.wsgi import get_wsgi_application
    application = get_wsgi_application()
"""
LMS_SOCKET = """[Unit]
Description=Socket of the library's %i

[Socket]
ListenStream=/run/library/%i.sock
SocketUser=www-data
SocketMode=0660

[Install]
WantedBy=sockets.target
"""
LMS_UNIT = """[Unit]
Description=The library's %i
Requires=lms@%i.socket
After=network.target mariadb.service

[Service]
Type=notify
User=library
EnvironmentFile=/etc/library/%i.env
WorkingDirectory=/srv/library
ExecStart=/opt/venv/bin/gunicorn --config /etc/library/%i.py lms:application
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=mixed
TimeoutStopSec=8
PrivateTmp=true
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
LMS_SITE = """\
limit_req_zone $binary_remote_addr zone=bots:1m rate=30r/s;
server {
    listen 80 default_server;
    server_name catalogue.books.example;
    access_log /var/log/nginx/catalogue.log;
    error_log /var/log/nginx/catalogue.error.log;
    client_max_body_size 1m;
    location / { include proxy_params; proxy_read_timeout 8s; proxy_pass http://unix:/run/library/catalogue.sock; }
    location /feed { limit_req zone=bots; limit_req_status 429; include proxy_params; proxy_pass http://unix:/run/library/catalogue.sock:/opening; }
}
server {
    listen 80;
    server_name loans.books.example;
    access_log /var/log/nginx/loans.log;
    error_log /var/log/nginx/loans.error.log;
    location / { include proxy_params; proxy_read_timeout 8s; proxy_pass http://unix:/run/library/loans.sock; }
}
"""
LMS_SETUP = """
useradd --system library
systemctl start mariadb
mariadb <<SQL
create database library; create user library@'%' identified by 'shelf7'; create user library@localhost identified by 'shelf7';
grant all on library.* to library@'%'; grant all on library.* to library@localhost;
use library; create table books (id int auto_increment primary key, title varchar(99));
insert into books (title) select concat('book ', seq) from seq_1_to_500;
SQL
cd /srv/library; env $(cat /etc/library/loans.env) /opt/venv/bin/python lms.py migrate >/dev/null
systemctl enable --now lms@catalogue.socket lms@loans.socket
systemctl enable --now lms@catalogue lms@loans
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/library /etc/nginx/sites-enabled/library
systemctl enable --now nginx
"""
CATALOGUE, LOANS = "catalogue.books.example", "loans.books.example"
CATALOGUE_AT, LOANS_AT = frozenset({"unix:/run/library/catalogue.sock"}), frozenset({"unix:/run/library/loans.sock"})
BOTH_AT = CATALOGUE_AT | LOANS_AT
LOANS_CONF = "/etc/library/loans.py"
LMS_FAULTS = (
    Fault(
        id="library-heartbeat-directory",
        happens="worker_tmp_dir = /dev/shm/lms comes with a tuning guide; nothing makes that directory, and gunicorn of the loans does not start after its restart (its socket stays)",
        steps=f"echo 'worker_tmp_dir = \"/dev/shm/lms\"' >> {LOANS_CONF}; systemctl restart lms@loans || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed", "backend-hung"),
        targets=LOANS_AT,
    ),
    Fault(
        id="library-backup-conflicts",
        happens="the new backup unit has Conflicts= with the loans' service and socket for a quiet database, and hangs on its storage: the loans stay stopped",
        steps="printf '[Unit]\\nConflicts=lms@loans.service lms@loans.socket\\n[Service]\\nType=oneshot\\nExecStart=/usr/bin/sleep 900\\n' > /etc/systemd/system/library-backup.service; "
        "systemctl daemon-reload; systemctl start --no-block library-backup",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=LOANS_AT,
    ),
    Fault(
        id="library-template-path",
        happens="the socket template gets the path of a tutorial, which is the same for both instances (/run/library/gunicorn.sock); the old files stay, nobody listens on them",
        steps="sed -i 's#/run/library/%i.sock#/run/library/gunicorn.sock#' /etc/systemd/system/lms@.socket; systemctl daemon-reload; "
        "systemctl stop lms@loans lms@catalogue lms@loans.socket lms@catalogue.socket; systemctl start lms@catalogue.socket; systemctl start lms@loans.socket lms@loans || true",
        expects=causes("unix-socket-missing", "wrong-address", "wrong-port"),
        partly=causes("backend-not-running"),
        targets=BOTH_AT,
    ),
    Fault(
        id="library-gevent-connections",
        happens="worker_connections = 2 was set for a test of gevent and stayed; reservations of 3 s fill both workers, everything else waits in the socket until nginx gives up",
        steps=f"sed -i 's/worker_connections = .*/worker_connections = 2/' {LOANS_CONF}; systemctl restart lms@loans",
        routes=(Route(path="/reserve", host=LOANS, weight=20),),
        users=36,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung", "listen-backlog-overflow"),
        targets=LOANS_AT,
    ),
    Fault(
        id="library-wait-timeout",
        happens="MariaDB's wait_timeout is 1 s from a sizing script; Django keeps its connections for ten minutes and meets `server has gone away`: 500 now and then",
        steps="printf '[mysqld]\\nwait_timeout=1\\n' > /etc/mysql/mariadb.conf.d/60-sizing.cnf; systemctl restart mariadb; systemctl restart lms@catalogue lms@loans",
        failures=60,
        limit_s=90.0,
        expects=causes("backend-dependency-down") | OWN_ERROR,
        targets=BOTH_AT,
    ),
    Fault(
        id="library-sessions-migration",
        happens="a migration of the sessions stops half-way (rename, then killed): django_session is not there, pages with a session answer 500",
        steps="mariadb library -e 'rename table django_session to django_session_20261122'",
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down"),
        targets=BOTH_AT,
    ),
    Fault(
        id="library-password-expired",
        happens="a password policy is applied to MariaDB's accounts: the application's password is expired, new connections are refused, pages with data answer 500",
        steps="mariadb -e \"alter user library@'%' password expire; alter user library@localhost password expire\"; systemctl reload lms@catalogue lms@loans",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=BOTH_AT,
    ),
    Fault(
        id="library-gevent-computes",
        happens="statistics compute for 14 s without a switch in a gevent worker, and timeout = 5 came with a deploy: gunicorn kills the worker with all that it holds",
        steps=f"sed -i 's/timeout = .*/timeout = 5/' {LOANS_CONF}; systemctl restart lms@loans",
        routes=(Route(path="/statistics", host=LOANS, weight=2),),
        limit_s=90.0,
        expects=causes("worker-timeout"),
        partly=causes("backend-too-slow", "backend-crashed", "premature-close", "cpu-saturation", "workers-exhausted"),
        targets=LOANS_AT,
    ),
)

PANEL_NGINX = """\
proxy_set_header Host $host;
proxy_set_header X-Real-IP $remote_addr;
server {
    listen 203.0.113.10:80 default_server;
    server_name arts.example;
    client_max_body_size 2m;
    access_log /var/www/vhosts/arts/logs/proxy_access_log;
    error_log /var/www/vhosts/arts/logs/proxy_error_log;
    location / { proxy_read_timeout 12s; proxy_pass http://127.0.0.1:7080; }
    location ^~ /static/ { root /var/www/vhosts/arts/httpdocs; }
}
server {
    listen 203.0.113.10:80;
    server_name bikes.example;
    access_log /var/www/vhosts/bikes/logs/proxy_access_log;
    error_log /var/www/vhosts/bikes/logs/proxy_error_log;
    location / { proxy_read_timeout 12s; proxy_pass http://127.0.0.1:7080; }
}
"""


def _vhost(name: str) -> str:
    """Return Apache's side of a customer's site."""
    return f"""\
<VirtualHost 127.0.0.1:7080>
    ServerName {name}.example
    DocumentRoot /var/www/vhosts/{name}/httpdocs
    ErrorLog /var/www/vhosts/{name}/logs/error_log
    CustomLog /var/www/vhosts/{name}/logs/access_log combined
    ProxyTimeout 7
    <Directory /var/www/vhosts/{name}/httpdocs>
        AllowOverride All
        Require all granted
        FallbackResource /index.php
    </Directory>
    <FilesMatch "\\.php$">
        SetHandler "proxy:unix:/run/php/{name}.sock|fcgi://{name}"
    </FilesMatch>
</VirtualHost>
"""


def _pool(name: str) -> str:
    """Return a customer's pool."""
    return f"""\
[{name}]
user = {name}
group = {name}
listen = /run/php/{name}.sock
listen.owner = www-data
listen.group = www-data
listen.mode = 0660
pm = dynamic
pm.max_children = 6
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
php_admin_value[session.save_path] = /var/www/vhosts/{name}/sessions
php_admin_value[error_log] = /var/www/vhosts/{name}/logs/php_error_log
php_admin_flag[log_errors] = on
"""


PANEL_PHP = """<?php
ini_set('display_errors', '0');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/wp-cron.php') { usleep(200000); echo 'ok'; exit; }
if ($path === '/admin-ajax.php') { sleep(4); echo 'done'; exit; }
if ($path === '/tour') { sleep(1); echo str_repeat('tour ', 100); exit; }
if (!session_start()) { throw new RuntimeException('The session could not be started'); }
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
session_write_close();
$base = new mysqli('localhost', 'panel', 'arts&bikes', 'panel');
if ($path === '/search') { $base->query('select sleep(2)'); }
foreach ($base->query('select id, name from items limit 20') as $row) { echo '<p>', $row['id'], ' ', $row['name'], '</p>'; }
"""
PANEL_SETUP = """
for n in arts bikes; do
  useradd --system $n; mkdir -p /var/www/vhosts/$n/{httpdocs,logs,sessions}; for f in index wp-cron admin-ajax; do cp /srv/index.php /var/www/vhosts/$n/httpdocs/$f.php; done
  chown -R $n: /var/www/vhosts/$n/sessions; chmod 700 /var/www/vhosts/$n/sessions; touch /var/www/vhosts/$n/logs/php_error_log; chown $n: /var/www/vhosts/$n/logs/php_error_log
done
systemctl start mariadb
mariadb <<SQL
create database panel; create user panel@localhost identified by 'arts&bikes'; grant all on panel.* to panel@localhost;
use panel; create table items (id int auto_increment primary key, name varchar(99)); insert into items (name) select concat('item ', seq) from seq_1_to_200;
SQL
sed -i 's/^;process_control_timeout.*/process_control_timeout = 10s/' /etc/php/8.2/fpm/php-fpm.conf
rm /etc/php/8.2/fpm/pool.d/www.conf; systemctl enable --now php8.2-fpm
cp /etc/apache2/ports.conf /root/ports.conf.dpkg-dist; echo 'Listen 127.0.0.1:7080' > /etc/apache2/ports.conf
a2dismod -q -f php8.2 mpm_prefork; a2enmod -q mpm_event proxy_fcgi; a2dissite -q 000-default; a2ensite -q arts bikes
systemctl enable --now apache2
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/panel /etc/nginx/sites-enabled/panel
systemctl enable --now nginx
"""
ARTS_HOST, BIKES_HOST = "arts.example", "bikes.example"
APACHE_AT = frozenset({"127.0.0.1:7080"})
ARTS_AT, BIKES_AT = frozenset({"unix:/run/php/arts.sock"}), frozenset({"unix:/run/php/bikes.sock"})
PANEL_FAULTS = (
    Fault(
        id="panel-ports-conf-of-package",
        happens="an unattended upgrade takes the package's ports.conf (force-confnew): Apache wants port 80, which nginx holds, and does not start again",
        steps="cp /root/ports.conf.dpkg-dist /etc/apache2/ports.conf; systemctl restart apache2 || true",
        expects=causes("port-conflict", "proxy-listen-failed"),
        partly=causes("backend-startup-failure", "backend-not-running", "proxy-not-running"),
        targets=APACHE_AT | {"0.0.0.0:80", "[::]:80", "*:80"},
    ),
    Fault(
        id="panel-sessions-of-root",
        happens="the customer's directory was restored as root: the pool's user cannot write the sessions, each page with one is a fatal error (500)",
        steps="chown -R root:root /var/www/vhosts/arts/sessions",
        expects=OWN_ERROR,
        targets=ARTS_AT | APACHE_AT,
    ),
    Fault(
        id="panel-third-pool-copied",
        happens="a third customer's pool is a copy with the first one's socket; PHP-FPM does not start again after its upgrade, all customers get 503",
        steps="sed 's/^.arts.$/[books]/' /etc/php/8.2/fpm/pool.d/arts.conf > /etc/php/8.2/fpm/pool.d/books.conf; systemctl restart php8.2-fpm || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crash-loop", "port-conflict"),
        targets=ARTS_AT | BIKES_AT,
    ),
    Fault(
        id="panel-mariadb-socket-moved",
        happens="a configuration of another distribution moves MariaDB's socket to /var/lib/mysql/mysql.sock; PHP looks in /run/mysqld (No such file or directory), pages answer 500",
        steps="printf '[mysqld]\\nsocket=/var/lib/mysql/mysql.sock\\n' > /etc/mysql/mariadb.conf.d/99-site.cnf; systemctl restart mariadb",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=ARTS_AT | BIKES_AT | APACHE_AT,
    ),
    Fault(
        id="panel-user-connections",
        happens="the panel limits each customer's account to one connection of MariaDB; searches of 2 s hold it, the others answer 500 (max_user_connections)",
        steps='mariadb -e "grant usage on *.* to panel@localhost with max_user_connections 1"',
        routes=(Route(path="/search", host=ARTS_HOST, weight=4),),
        expects=causes("backend-dependency-down") | OWN_ERROR,
        targets=ARTS_AT | BIKES_AT | APACHE_AT,
    ),
    Fault(
        id="panel-fcgi-connections-kept",
        happens="enablereuse=on for one pool after a talk: each kept connection of Apache's holds one of its three children for good, and others wait (504)",
        steps="sed -i 's#</VirtualHost>#    <Proxy \"unix:/run/php/bikes.sock|fcgi://bikes\" enablereuse=on max=25>\\n    </Proxy>\\n</VirtualHost>#' /etc/apache2/sites-available/bikes.conf; "
        "sed -i 's/^pm.max_children.*/pm.max_children = 3/' /etc/php/8.2/fpm/pool.d/bikes.conf; systemctl reload php8.2-fpm; systemctl reload apache2",
        routes=(Route(path="/tour", host=BIKES_HOST, weight=8),),
        users=20,
        failures=20,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung"),
        targets=BIKES_AT | APACHE_AT,
    ),
    Fault(
        id="panel-mod-php-again",
        happens="an upgrade enables mod_php again beside the threaded MPM: `your PHP Module is not compiled to be threadsafe`, Apache does not start",
        steps="a2enmod -q -f php8.2 2>/dev/null || ln -sf ../mods-available/php8.2.load /etc/apache2/mods-enabled/php8.2.load; systemctl restart apache2 || true",
        expects=causes("backend-startup-failure", "proxy-config-invalid"),
        partly=causes("backend-not-running", "proxy-not-running"),
        targets=APACHE_AT,
    ),
    Fault(
        id="panel-waf-rule",
        happens="a rule against SQL injection is rolled out in Apache (mod_security, status 503) and matches the shop's own links with `select=`",
        steps='a2enmod -q security2; printf \'<IfModule security2_module>\\nSecRuleEngine On\\nSecRule REQUEST_URI "@contains select" "id:1001,phase:1,deny,status:503,log,msg:SQLi"\\n</IfModule>\\n\' > /etc/apache2/conf-enabled/waf.conf; systemctl reload apache2',
        routes=(Route(path="/?select=blue", host=BIKES_HOST, weight=5),),
        failures=60,
        expects=causes("denied-by-rule"),
        partly=OWN_ERROR,
        targets=BIKES_AT | APACHE_AT,
    ),
)

STACKS = (
    Stack(
        name="library",
        about="two Django sites (gthread and gevent) in socket-activated instances of one template unit behind nginx, MariaDB",
        files={
            "/srv/library/lms.py": LMS,
            "/etc/systemd/system/lms@.socket": LMS_SOCKET,
            "/etc/systemd/system/lms@.service": LMS_UNIT,
            "/etc/library/catalogue.env": "SECRET_KEY=c4t4logue\nDB_PASSWORD=shelf7\n",
            "/etc/library/loans.env": "SECRET_KEY=l0ans\nDB_PASSWORD=shelf7\n",
            "/etc/library/catalogue.py": 'worker_class = "gthread"\nworkers = 2\nthreads = 4\ntimeout = 30\n',
            LOANS_CONF: 'worker_class = "gevent"\nworkers = 2\nworker_connections = 100\ntimeout = 30\n',
            "/etc/nginx/sites-available/library": LMS_SITE,
        },
        setup=LMS_SETUP,
        routes=(
            Route(path="/", host=CATALOGUE, weight=4),
            Route(path="/opening", host=CATALOGUE, weight=2),
            Route(path="/", host=LOANS, weight=4),
        ),
        faults=LMS_FAULTS,
        ready_s=30.0,
        calms=(
            Calm(
                id="library-deploy",
                happens="a deploy as it should be: migrate, gunicorn of the loans reloads (HUP); the database is dumped, a body is too large (413), scanners get 400 and 404",
                steps="cd /srv/library; env $(cat /etc/library/loans.env) /opt/venv/bin/python lms.py migrate >/dev/null; systemctl reload lms@loans; mariadb-dump --single-transaction library >/dev/null",
                routes=(
                    Route(path="/wp-login.php", host=LOANS),
                    Route(path="/", host="203.0.113.10"),
                    Route(path="/", method="POST", host=CATALOGUE, body_bytes=2 << 20),
                ),
            ),
            Calm(
                id="library-restart-behind-socket",
                happens="the gunicorn of the loans restarts after an upgrade while its socket holds the requests; a feed reader is limited with 429; reservations of 3 s",
                steps="systemctl restart lms@loans",
                routes=(Route(path="/feed", host=CATALOGUE, weight=6), Route(path="/reserve", host=LOANS)),
                users=12,
            ),
        ),
    ),
    Stack(
        name="panel",
        about="a hosting panel: nginx in front of Apache (event) on 127.0.0.1:7080 with a PHP-FPM pool and user for each customer, MariaDB on its socket",
        files={
            "/etc/nginx/sites-available/panel": PANEL_NGINX,
            "/etc/apache2/sites-available/arts.conf": _vhost("arts"),
            "/etc/apache2/sites-available/bikes.conf": _vhost("bikes"),
            "/etc/php/8.2/fpm/pool.d/arts.conf": _pool("arts"),
            "/etc/php/8.2/fpm/pool.d/bikes.conf": _pool("bikes"),
            "/srv/index.php": PANEL_PHP,
        },
        setup=PANEL_SETUP,
        routes=(
            Route(path="/", host=ARTS_HOST, weight=4),
            Route(path="/index.php", host=BIKES_HOST, weight=4),
            Route(path="/wp-cron.php", host=ARTS_HOST),
        ),
        faults=PANEL_FAULTS,
        ready_s=30.0,
        calms=(
            Calm(
                id="panel-maintenance-window",
                happens="PHP-FPM and Apache reload gracefully, the logs rotate, MariaDB is dumped; an editor's page of 4 s, users who break off",
                steps="systemctl reload php8.2-fpm; systemctl reload apache2; mv /var/www/vhosts/arts/logs/proxy_access_log /var/www/vhosts/arts/logs/proxy_access_log.1; nginx -s reopen; mariadb-dump panel >/dev/null",
                routes=(Route(path="/admin-ajax.php", host=ARTS_HOST),),
                cancels=True,
            ),
            Calm(
                id="panel-bots",
                happens="bots: 404 below /static/, 403 by a rule in .htaccess, an upload that is too large (413); a customer's cron page",
                steps="printf 'Redirect 403 /xmlrpc.php\\n' > /var/www/vhosts/arts/httpdocs/.htaccess",
                routes=(
                    Route(path="/static/none.js", host=ARTS_HOST, weight=2),
                    Route(path="/xmlrpc.php", method="POST", host=ARTS_HOST, weight=3),
                    Route(path="/index.php", method="POST", host=ARTS_HOST, body_bytes=3 << 20),
                ),
            ),
        ),
    ),
)
