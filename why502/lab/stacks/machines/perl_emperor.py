"""Django with Celery behind Apache's prefork, Perl in Hypnotoad and Starman, and vassals of a uWSGI Emperor."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")
OWN_ERROR = causes("application-error", "upstream-error-status")

CLINIC_APP = """\
import os, sqlite3, time
from celery import Celery
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

settings.configure(
    DEBUG=False, SECRET_KEY="kept-elsewhere", ALLOWED_HOSTS=["clinic.example", "127.0.0.1"], ROOT_URLCONF=__name__,
    LOGGING={"version": 1, "disable_existing_loggers": False, "handlers": {"console": {"class": "logging.StreamHandler"}},
             "root": {"handlers": ["console"], "level": "INFO"}},
)
import django
django.setup()
queue = Celery("clinic", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
queue.conf.broker_connection_retry_on_startup = True
queue.conf.broker_transport_options = {"max_retries": 2, "socket_connect_timeout": 3}

@queue.task
def letter(number):
    return f"letter {number}"

@queue.task
def export():
    time.sleep(300)

def home(request):
    return HttpResponse("clinic " * 100)

def letters(request):
    return HttpResponse(letter.apply_async((7,), retry=False).get(timeout=60))

def exports(request):
    export.delay()
    return HttpResponse("started")

def patients(request):
    with sqlite3.connect("/srv/clinic/data/clinic.db", timeout=3) as base:
        base.execute("create table if not exists visits (at real)")
        base.execute("insert into visits values (?)", (time.time(),))
    return HttpResponse("noted")

def statement(request):
    time.sleep(5)
    return HttpResponse("statement " * 100)

urlpatterns = [path("", home), path("letters", letters), path("exports", exports), path("patients", patients), path("statement", statement)]

from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
CLINIC_PROGRAMS = """\
[program:web]
command=/opt/venv/bin/gunicorn --workers 8 --timeout 60 --bind 127.0.0.1:8000 clinic:application
directory=/srv/clinic
user=clinic
environment=BROKER="redis://127.0.0.1:6379/0"
autostart=true
autorestart=true
stopasgroup=true
killasgroup=true
stdout_logfile=/var/log/clinic/web.log
redirect_stderr=true

[program:letters]
command=/opt/venv/bin/celery -A clinic:queue worker --concurrency 2 --loglevel INFO
directory=/srv/clinic
user=clinic
environment=BROKER="redis://127.0.0.1:6379/0"
autostart=true
autorestart=true
stopasgroup=true
killasgroup=true
stdout_logfile=/var/log/clinic/letters.log
redirect_stderr=true

[group:clinic]
programs=web,letters
"""
CLINIC_SITE = """\
<VirtualHost *:80>
    ServerName clinic.example
    ProxyPreserveHost On
    ProxyTimeout 10
    ProxyPass /server-status !
    ProxyPass / http://127.0.0.1:8000/
    ProxyPassReverse / http://127.0.0.1:8000/
    ErrorLog ${APACHE_LOG_DIR}/clinic_error.log
    CustomLog ${APACHE_LOG_DIR}/clinic_access.log combined
</VirtualHost>
"""
CLINIC_SETUP = """
useradd --system clinic
mkdir -p /var/log/clinic /srv/clinic/data; chown clinic: /srv/clinic/data /var/log/clinic
systemctl enable --now redis-server supervisor
until curl -fs -m 9 -o /dev/null -H 'Host: clinic.example' http://127.0.0.1:8000/letters; do sleep 0.2; done
a2dismod -q mpm_event; a2enmod -q mpm_prefork proxy proxy_http
a2dissite -q 000-default; a2ensite -q clinic
systemctl enable --now apache2
"""
CLINIC = "clinic.example"
CLINIC_AT = frozenset({"127.0.0.1:8000"})
CLINIC_REDIS = frozenset({"127.0.0.1:8000", "127.0.0.1:6379"})
LETTERS = Route(path="/letters", method="POST", host=CLINIC, weight=2)
STATEMENT = Route(path="/statement", host=CLINIC, weight=4)
CLINIC_FAULTS = (
    Fault(
        id="clinic-prefork-limit",
        happens="MaxRequestWorkers is set to 4 on a machine of 1 GB by a sizing script; statements of 5 s hold the children, everybody else waits in the backlog",
        steps="printf '<IfModule mpm_prefork_module>\\nStartServers 2\\nMinSpareServers 1\\nMaxSpareServers 3\\nServerLimit 4\\nMaxRequestWorkers 4\\n</IfModule>\\n' > /etc/apache2/mods-available/mpm_prefork.conf; systemctl restart apache2",
        routes=(Route(path="/statement", host=CLINIC, weight=10),),
        users=30,
        patience_s=8.0,
        failures=60,
        expects=causes("worker-connections-exhausted", "workers-exhausted"),
    ),
    Fault(
        id="clinic-celery-stopped",
        happens="the Celery worker was stopped for a migration and not started again; pages that wait for a letter wait until Apache gives up",
        steps="supervisorctl stop clinic:letters",
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=HANGS,
        targets=CLINIC_REDIS,
    ),
    Fault(
        id="clinic-celery-exports",
        happens="two exports of minutes hold both of Celery's processes; letters wait behind them in the same queue",
        steps="for n in 1 2; do curl -fs -o /dev/null -X POST http://127.0.0.1:8000/exports; done",
        expects=causes("backend-dependency-slow"),
        partly=HANGS,
        targets=CLINIC_REDIS,
    ),
    Fault(
        id="clinic-redis-only-on-socket",
        happens="Redis is hardened to its unix socket (port 0); the application and Celery still ask 127.0.0.1:6379, and a letter is tried again until Apache gives up (502)",
        steps="sed -i 's/^port 6379/port 0/; s/^# *unixsocket /unixsocket /' /etc/redis/redis.conf; systemctl restart redis-server",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | HANGS,
        targets=CLINIC_REDIS,
    ),
    Fault(
        id="clinic-slash-lost",
        happens="the trailing slash of ProxyPass's target is lost in an edit: /patients becomes http://127.0.0.1:8000patients",
        steps="sed -i 's#ProxyPass / http://127.0.0.1:8000/#ProxyPass / http://127.0.0.1:8000#' /etc/apache2/sites-available/clinic.conf; systemctl reload apache2",
        expects=causes("proxy-target-invalid", "dns-host-not-found"),
    ),
    Fault(
        id="clinic-proxy-timeout",
        happens="ProxyTimeout is lowered to 3 s after an incident; statements need 5 s",
        steps="sed -i 's/ProxyTimeout 10/ProxyTimeout 3/' /etc/apache2/sites-available/clinic.conf; systemctl reload apache2",
        routes=(STATEMENT,),
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        targets=CLINIC_AT,
    ),
    Fault(
        id="clinic-user-renamed",
        happens="the account clinic is renamed to svc-clinic by a naming policy; supervisord finds the old name in its file and does not start again",
        steps="systemctl stop supervisor; usermod -l svc-clinic clinic; systemctl start supervisor || true",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running"),
        targets=CLINIC_AT,
    ),
    Fault(
        id="clinic-database-restored-by-root",
        happens="the SQLite file was restored from a backup by root: attempt to write a readonly database, status 500",
        steps="cp /srv/clinic/data/clinic.db /root/b.db; rm /srv/clinic/data/clinic.db*; chown root: /srv/clinic/data; install -m 644 /root/b.db /srv/clinic/data/clinic.db",
        expects=OWN_ERROR,
        targets=CLINIC_AT,
    ),
    Fault(
        id="clinic-bound-to-socket",
        happens="the new supervisord file binds gunicorn to a unix socket as in the new standard; Apache's side of the change was not rolled out",
        steps="mkdir -p /run/clinic; chown clinic: /run/clinic; sed -i 's#--bind 127.0.0.1:8000#--bind unix:/run/clinic/web.sock#' /etc/supervisor/conf.d/clinic.conf; supervisorctl update",
        expects=causes("wrong-address", "wrong-port"),
        partly=causes("backend-not-running"),
        targets=CLINIC_AT,
    ),
)

ATELIER_PL = """\
use Mojolicious::Lite -signatures;
use lib '/srv/atelier/lib';
use Atelier::Prices;
use Mojo::IOLoop;
plugin JSONConfig => {file => '/etc/atelier.json'};
app->secrets(['kept']);
get '/' => sub ($c) { $c->render(text => 'atelier ' x 100) };
get '/report' => sub ($c) {
  $c->render_later;
  my $tx = $c->tx;
  Mojo::IOLoop->timer(5 => sub ($loop) { $c->render(text => 'report'); undef $tx });
};
get '/price' => sub ($c) { sleep 8; $c->render(text => Atelier::Prices::price()) };
get '/picture/:id' => sub ($c) {
  my %picture = %{Atelier::Prices::picture($c->param('id'))};
  $c->render(text => 'picture ' . $picture{name});
};
app->start;
"""
PRICES_PM = """\
package Atelier::Prices;
use strict; use warnings;
sub price { return 'price' }
sub picture { my $id = shift; return {name => "no $id"} }
1;
"""
ATELIER_JSON = """\
{"hypnotoad": {"listen": ["http://127.0.0.1:8080"], "workers": 3, "clients": 50, "proxy": true, "pid_file": "/run/atelier/hypnotoad.pid",
 "inactivity_timeout": 30, "heartbeat_timeout": 20, "graceful_timeout": 10}}
"""
ATELIER_UNIT = """[Unit]
Description=Atelier (Mojolicious)
After=network.target

[Service]
Type=forking
User=atelier
Group=atelier
RuntimeDirectory=atelier
PIDFile=/run/atelier/hypnotoad.pid
WorkingDirectory=/srv/atelier
ExecStart=/usr/bin/hypnotoad /srv/atelier/shop.pl
ExecReload=/usr/bin/hypnotoad /srv/atelier/shop.pl
KillMode=process

[Install]
WantedBy=multi-user.target
"""
GALLERY_PSGI = """\
use strict; use warnings;
my $app = sub {
  my $env = shift;
  my $path = $env->{PATH_INFO};
  sleep 6 if $path eq '/gallery/zoom';
  return [200, ['Content-Type' => 'text/plain'], ['gallery ' x 100]];
};
$app;
"""
GALLERY_UNIT = """[Unit]
Description=Gallery (Starman)
After=network.target

[Service]
User=gallery
Group=www-data
UMask=0007
RuntimeDirectory=gallery
WorkingDirectory=/srv/gallery
ExecStart=/usr/bin/starman --workers 3 --listen /run/gallery/gallery.sock /srv/gallery/gallery.psgi

[Install]
WantedBy=multi-user.target
"""
ATELIER_SITE = """\
server {
    listen 80 default_server;
    server_name atelier.example;
    access_log /var/log/nginx/atelier.access.log;
    error_log /var/log/nginx/atelier.error.log;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_connect_timeout 3s;
    proxy_read_timeout 15s;
    location / {
        proxy_pass http://127.0.0.1:8080;
    }
    location /gallery/ {
        proxy_pass http://unix:/run/gallery/gallery.sock;
    }
}
"""
ATELIER_SETUP = """
useradd --system atelier; useradd --system gallery
systemctl enable --now atelier gallery
until curl -fs -o /dev/null http://127.0.0.1:8080/ && test -S /run/gallery/gallery.sock; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s ../sites-available/atelier /etc/nginx/sites-enabled/atelier
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
ATELIER = "atelier.example"
ATELIER_AT = frozenset({"127.0.0.1:8080"})
GALLERY_AT = frozenset({"unix:/run/gallery/gallery.sock"})
ATELIER_AGAIN = "; systemctl reload atelier; sleep 2"
ATELIER_FAULTS = (
    Fault(
        id="atelier-inactivity-timeout",
        happens="inactivity_timeout is 3 s in the new configuration of Hypnotoad; a report is silent for 5 s, and Mojolicious closes the connection",
        steps='sed -i \'s/"inactivity_timeout": 30/"inactivity_timeout": 3/\' /etc/atelier.json' + ATELIER_AGAIN,
        routes=(Route(path="/report", host=ATELIER, weight=6),),
        expects=causes("premature-close", "worker-timeout"),
        partly=causes("connection-reset", "backend-too-slow"),
        targets=ATELIER_AT,
    ),
    Fault(
        id="atelier-heartbeat",
        happens="heartbeat_timeout is 2 s after tuning; the price page blocks its worker for 8 s, and Hypnotoad's manager kills it",
        steps='sed -i \'s/"heartbeat_timeout": 20/"heartbeat_timeout": 2, "heartbeat_interval": 1/; s/"graceful_timeout": 10/"graceful_timeout": 1/\' /etc/atelier.json'
        + ATELIER_AGAIN,
        routes=(Route(path="/price", host=ATELIER, weight=6),),
        expects=causes("worker-timeout"),
        partly=causes("backend-crashed", "connection-reset", "premature-close"),
        targets=ATELIER_AT,
    ),
    Fault(
        id="atelier-starman-busy",
        happens="a newspaper links to the gallery's zoom (6 s each); Starman has three workers, the rest waits until nginx gives up",
        steps="true",
        routes=(Route(path="/gallery/zoom", host=ATELIER, weight=20),),
        users=20,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "listen-backlog-overflow"),
        targets=GALLERY_AT,
    ),
    Fault(
        id="atelier-picture-dies",
        happens="a picture was deleted from the catalogue; its page dies (Can't use an undefined value as a HASH reference), status 500",
        steps="sed -i 's/return {name => .*/return undef }/' /srv/atelier/lib/Atelier/Prices.pm" + ATELIER_AGAIN,
        routes=(Route(path="/picture/9", host=ATELIER, weight=6),),
        expects=OWN_ERROR,
        targets=ATELIER_AT,
    ),
    Fault(
        id="atelier-module-missing",
        happens="the deploy copies the scripts and forgets lib/: Can't locate Atelier/Prices.pm in @INC, Hypnotoad does not start again",
        steps="rm -rf /srv/atelier/lib; systemctl restart atelier || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "backend-crash-loop"),
        targets=ATELIER_AT,
    ),
    Fault(
        id="atelier-socket-mode",
        happens="a hardening drop-in sets UMask=0077 for all services; Starman's socket is its user's only",
        steps="mkdir -p /etc/systemd/system/gallery.service.d; printf '[Service]\\nUMask=0077\\n' > /etc/systemd/system/gallery.service.d/hardening.conf; systemctl daemon-reload; systemctl restart gallery",
        expects=causes("unix-socket-permission"),
        targets=GALLERY_AT,
    ),
    Fault(
        id="atelier-listen-8081",
        happens="the configuration of the staging machine (port 8081) is deployed here",
        steps="sed -i 's/8080/8081/' /etc/atelier.json; systemctl restart atelier",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=ATELIER_AT,
    ),
    Fault(
        id="atelier-starman-killed",
        happens="an operator ends Starman with kill -9 and all its workers, as one page looked stuck; its unit has no Restart=, the socket's file stays",
        steps="systemctl kill -s KILL gallery",
        expects=causes("backend-not-running", "backend-crashed"),
        partly=causes("unix-socket-missing"),
        targets=GALLERY_AT,
    ),
)

CAMPUS_APP = """\
import os, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exam":
        time.sleep(3)
    if path == "/timetable":
        table = [bytearray(1 << 20) for _ in range(300)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(os.environ["SITE"] + " ").encode() * 100]
"""
VASSAL = """\
[uwsgi]
plugin = python3
master = true
chdir = /srv/campus/current
module = campus
env = SITE=%n
uid = campus
gid = campus
socket = /run/campus/%n.sock
chown-socket = campus:www-data
chmod-socket = 660
processes = 2
threads = 4
listen = 64
vacuum = true
logto = /var/log/campus/%n.log
"""
EMPEROR_UNIT = """[Unit]
Description=uWSGI Emperor
After=network.target

[Service]
ExecStartPre=/bin/mkdir -p /run/campus
ExecStart=/usr/bin/uwsgi --emperor /etc/uwsgi/vassals --emperor-required-heartbeat 15 --emperor-max-throttle 2000 --die-on-term
KillSignal=SIGQUIT
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
CAMPUS_SITE = """\
server {
    listen 80;
    server_name %s.campus.example;
    access_log /var/log/nginx/%s.access.log;
    error_log /var/log/nginx/%s.error.log;
    location / {
        include uwsgi_params;
        uwsgi_connect_timeout 3s;
        uwsgi_read_timeout 8s;
        uwsgi_pass unix:/run/campus/%s.sock;
    }
}
"""
CAMPUS_SETUP = """
useradd --system campus
mkdir -p /srv/campus/releases/1 /var/log/campus; mv /srv/campus/campus.py /srv/campus/releases/1/; ln -s releases/1 /srv/campus/current
systemctl enable --now emperor
until test -S /run/campus/courses.sock -a -S /run/campus/library.sock; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default
for s in courses library; do ln -s ../sites-available/$s /etc/nginx/sites-enabled/$s; done
nginx -t 2>/dev/null
systemctl enable --now nginx
"""
COURSES, LIBRARY = "courses.campus.example", "library.campus.example"
COURSES_AT, LIBRARY_AT = frozenset({"unix:/run/campus/courses.sock"}), frozenset({"unix:/run/campus/library.sock"})
EMPEROR_START = causes("backend-startup-failure", "backend-crash-loop")
CAMPUS_FAULTS = (
    Fault(
        id="campus-vassal-removed",
        happens="a clean-up of /etc/uwsgi/vassals removes library.ini; the Emperor ends that vassal; its socket's file stays, as the directory is root's",
        steps="rm /etc/uwsgi/vassals/library.ini; sleep 4",
        expects=causes("backend-not-running", "unix-socket-missing"),
        targets=LIBRARY_AT,
    ),
    Fault(
        id="campus-release-pruned",
        happens="`current` points to a release that the pruning removed; the touched vassal cannot chdir, and the Emperor starts it again and again",
        steps="ln -sfn releases/2 /srv/campus/current; touch /etc/uwsgi/vassals/courses.ini",
        expects=EMPEROR_START,
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=COURSES_AT,
    ),
    Fault(
        id="campus-emperor-stopped",
        happens="needrestart is told to leave the Emperor for later, and later is never: it is stopped",
        steps="systemctl stop emperor",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=COURSES_AT | LIBRARY_AT,
    ),
    Fault(
        id="campus-exam-one-thread",
        happens="a library that is not thread-safe: the courses get one process with one thread; at the beginning of the exam (3 s a page) all others wait",
        steps="sed -i 's/processes = 2/processes = 1/; s/threads = 4/threads = 1/' /etc/uwsgi/vassals/courses.ini; sleep 4",
        routes=(Route(path="/exam", host=COURSES, weight=20),),
        users=16,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "listen-backlog-overflow"),
        targets=COURSES_AT,
    ),
    Fault(
        id="campus-limit-as",
        happens="limit-as = 200 is set for all vassals; the timetable needs 300 MB and meets MemoryError, uWSGI closes without an answer",
        steps="echo 'limit-as = 200' >> /etc/uwsgi/vassals/courses.ini; systemctl restart emperor; sleep 3",
        routes=(Route(path="/timetable", host=COURSES, weight=6),),
        expects=causes("application-error", "premature-close"),
        partly=causes("backend-crashed", "backend-oom-killed", "invalid-response", "upstream-error-status"),
        targets=COURSES_AT,
    ),
    Fault(
        id="campus-bind-denied",
        happens="a new template of the vassals has no chown-socket: uWSGI binds after it has dropped root then, and the directory is root's: bind(): Permission denied, the Emperor tries again and again",
        steps="sed -i '/chown-socket/d' /etc/uwsgi/vassals/*.ini; systemctl stop emperor; rm -f /run/campus/*.sock; systemctl start emperor; sleep 4",
        expects=EMPEROR_START,
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=COURSES_AT | LIBRARY_AT,
    ),
    Fault(
        id="campus-listen-beyond-somaxconn",
        happens="listen = 16384 is copied from a tuning guide; it is more than net.core.somaxconn, and uWSGI refuses to start after the Emperor's restart",
        steps="sed -i 's/listen = 64/listen = 16384/' /etc/uwsgi/vassals/library.ini; systemctl restart emperor; sleep 3",
        expects=EMPEROR_START,
        partly=causes("unix-socket-missing", "backend-not-running"),
        targets=LIBRARY_AT,
    ),
    Fault(
        id="campus-plugin-removed",
        happens="autoremove takes uwsgi-plugin-python3 away; after the Emperor's restart no vassal has a Python",
        steps="rm -f /usr/lib/uwsgi/plugins/python3*_plugin.so; systemctl restart emperor",
        expects=EMPEROR_START,
        partly=causes(
            "unix-socket-missing", "backend-not-running", "premature-close", "upstream-error-status", "application-error"
        ),
        targets=COURSES_AT | LIBRARY_AT,
    ),
)

STACKS = (
    Stack(
        name="clinic",
        about="Django in gunicorn and Celery under supervisord with Redis, behind Apache with the prefork MPM",
        files={
            "/srv/clinic/clinic.py": CLINIC_APP,
            "/etc/supervisor/conf.d/clinic.conf": CLINIC_PROGRAMS,
            "/etc/apache2/sites-available/clinic.conf": CLINIC_SITE,
        },
        setup=CLINIC_SETUP,
        routes=(Route(host=CLINIC, weight=4), LETTERS, Route(path="/patients", method="POST", host=CLINIC, weight=2)),
        faults=CLINIC_FAULTS,
        calms=(
            Calm(
                id="clinic-monday",
                happens="statements of 5 s, a graceful reload of Apache, a second Celery worker that fails its tasks with a traceback, scanners get 404",
                steps="systemctl reload apache2; printf 'import celery\\nq=celery.Celery(broker=\"redis://127.0.0.1:6379/3\")\\n@q.task\\ndef f(): raise ValueError(7)\\n' > /srv/clinic/other.py; "
                "(cd /srv/clinic; systemd-run -q --unit other --working-directory=/srv/clinic /opt/venv/bin/celery -A other:q worker --concurrency 1; "
                "/opt/venv/bin/python -c 'import other; [other.f.delay() for _ in range(5)]'); for p in wp-login.php .env; do curl -s -o /dev/null -H 'Host: clinic.example' http://127.0.0.1/$p; done",
                routes=(Route(path="/statement", host=CLINIC), Route(path="/xmlrpc.php", host=CLINIC, expect=(404,))),
            ),
            Calm(
                id="clinic-letters-restarted",
                happens="the Celery worker is restarted between two letters, logs rotate, users break off",
                steps="supervisorctl restart clinic:letters; logrotate -f /etc/logrotate.d/apache2",
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="atelier",
        about="Mojolicious in Hypnotoad on a port and Starman on a unix socket, behind nginx",
        files={
            "/srv/atelier/shop.pl": ATELIER_PL,
            "/srv/atelier/lib/Atelier/Prices.pm": PRICES_PM,
            "/etc/atelier.json": ATELIER_JSON,
            "/etc/systemd/system/atelier.service": ATELIER_UNIT,
            "/srv/gallery/gallery.psgi": GALLERY_PSGI,
            "/etc/systemd/system/gallery.service": GALLERY_UNIT,
            "/etc/nginx/sites-available/atelier": ATELIER_SITE,
        },
        setup=ATELIER_SETUP,
        routes=(Route(host=ATELIER, weight=4), Route(path="/gallery/", host=ATELIER, weight=3)),
        faults=ATELIER_FAULTS,
        calms=(
            Calm(
                id="atelier-hot-deployment",
                happens="Hypnotoad's hot deployment under traffic, reports of 5 s, scanners get 404",
                steps="sed -i 's/x 100/x 101/' /srv/atelier/shop.pl; systemctl reload atelier; for p in wp-login.php .git/HEAD; do curl -s -o /dev/null http://127.0.0.1/$p; done",
                routes=(Route(path="/report", host=ATELIER),),
            ),
        ),
    ),
    Stack(
        name="campus",
        about="two vassals of a uWSGI Emperor on unix sockets behind nginx, with a release directory that `current` points to",
        files={
            "/srv/campus/campus.py": CAMPUS_APP,
            "/etc/uwsgi/vassals/courses.ini": VASSAL,
            "/etc/uwsgi/vassals/library.ini": VASSAL,
            "/etc/systemd/system/emperor.service": EMPEROR_UNIT,
            "/etc/nginx/sites-available/courses": CAMPUS_SITE.replace("%s", "courses"),
            "/etc/nginx/sites-available/library": CAMPUS_SITE.replace("%s", "library"),
        },
        setup=CAMPUS_SETUP,
        routes=(Route(host=COURSES, weight=3), Route(host=LIBRARY, weight=3)),
        faults=CAMPUS_FAULTS,
        calms=(
            Calm(
                id="campus-broken-vassal-nobody-uses",
                happens="a student's vassal cannot start and the Emperor tries it for ever; nobody asks for it. An exam page needs 3 s, scanners get the page too",
                steps="sed 's/module = campus/module = thesis/' /etc/uwsgi/vassals/library.ini > /etc/uwsgi/vassals/thesis.ini; echo 'need-app = true' >> /etc/uwsgi/vassals/thesis.ini; systemctl reload nginx",
                routes=(Route(path="/exam", host=COURSES),),
            ),
        ),
    ),
)
