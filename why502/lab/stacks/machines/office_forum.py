"""Radicale, a static binary and a Mojolicious program under three names of one nginx; and Sinatra in Puma on a port with PostgreSQL."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
CUT = causes("premature-close", "connection-reset", "backend-not-running")

OFFICE_SITES = """\
server {
    listen 80 default_server;
    server_name calendar.office.example;
    location / {
        proxy_pass http://127.0.0.1:5233;
        proxy_set_header Host $host;
        proxy_set_header X-Remote-User boss;
    }
}
server {
    listen 80;
    server_name archive.office.example;
    location / {
        proxy_pass http://127.0.0.1:8200;
        include proxy_params;
    }
}
server {
    listen 80;
    server_name notes.office.example;
    location / {
        proxy_pass http://localhost:3000;
        include proxy_params;
    }
}
"""
OFFICE_RADICALE = "[server]\nhosts = 127.0.0.1:5233\n[auth]\ntype = http_x_remote_user\n[storage]\nfilesystem_folder = /var/lib/radicale/collections\n"
OFFICE_NOTES = """\
#!/usr/bin/perl
use Mojolicious::Lite -signatures;
use Mojo::IOLoop;
get '/' => sub ($c) { $c->render(text => 'note ' x 200) };
get '/week' => sub ($c) { $c->render_later; Mojo::IOLoop->timer(3 => sub { $c->render(text => 'week ' x 100) }) };
get '/print' => sub ($c) {
    unless (-e '/dev/usb/lp0') { warn "printer: /dev/usb/lp0 does not exist\\n"; exit 1 }
    $c->render(text => 'printed');
};
app->mode('production');
app->log->level('warn');
app->start;
"""
OFFICE_NOTES_UNIT = """[Unit]
Description=Notes

[Service]
User=www-data
ExecStart=/srv/notes/notes.pl daemon -l http://127.0.0.1:3000

[Install]
WantedBy=multi-user.target
"""
OFFICE_ARCHIVE_UNIT = """[Unit]
Description=Archive
After=network-online.target

[Service]
User=archive
Environment=HOME=/srv/archive
ExecStart=/usr/local/bin/archive serve http /srv/archive/papers --addr 127.0.0.1:8200
Restart=always
RestartSec=3

[Install]
WantedBy=multi-user.target
"""
OFFICE_SETUP = """
useradd --system archive; cp /usr/bin/rclone /usr/local/bin/archive; mkdir -p /srv/archive/papers; for n in 1 2 3; do head -c 60000 /dev/urandom > /srv/archive/papers/$n.pdf; done; chown -R archive: /srv/archive
chown -R radicale: /var/lib/radicale/collections; cp /etc/radicale/config /root/radicale.dpkg-dist; cp /root/radicale.conf /etc/radicale/config
systemctl enable -q --now radicale archive notes
curl -s -o /dev/null --retry 40 --retry-connrefused --retry-delay 1 -f -X MKCALENDAR -H 'X-Remote-User: boss' http://127.0.0.1:5233/boss/diary/
for p in 8200 3000; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.2; done; done
ln -s /etc/nginx/sites-available/office /etc/nginx/sites-enabled/office; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
CALENDAR, ARCHIVE, NOTES = "calendar.office.example", "archive.office.example", "notes.office.example"
CALENDAR_AT, ARCHIVE_AT = frozenset({"127.0.0.1:5233"}), frozenset({"127.0.0.1:8200"})
NOTES_AT = frozenset({"localhost:3000", "127.0.0.1:3000", "[::1]:3000"})
OFFICE_FAULTS = (
    Fault(
        id="office-radicale-config-of-package",
        happens="an upgrade of radicale is answered with the package's configuration, which listens on localhost:5232; nginx asks 5233, and the machine has many listeners",
        steps="cp /root/radicale.dpkg-dist /etc/radicale/config; systemctl start redis-server memcached; systemctl restart radicale; until ss -ltn | grep -q :5232; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=CALENDAR_AT,
    ),
    Fault(
        id="office-collections-of-root",
        happens="the calendars are restored from a backup as root (mode 700): PermissionError in radicale, 500 for each calendar",
        steps="chown -R root:root /var/lib/radicale/collections; chmod -R go-rwx /var/lib/radicale/collections",
        expects=OWN_ERROR,
        targets=CALENDAR_AT,
    ),
    Fault(
        id="office-binary-for-arm",
        happens="the new version of the archive is downloaded for arm64: `Exec format error` at each start",
        steps="head -c 18 /usr/bin/rclone > /root/head; "
        "(cat /root/head; printf '\\xb7'; tail -c +20 /usr/bin/rclone) > /usr/local/bin/archive.new; chmod 755 /usr/local/bin/archive.new; "
        "mv /usr/local/bin/archive.new /usr/local/bin/archive; systemctl restart archive",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=ARCHIVE_AT,
    ),
    Fault(
        id="office-print-ends-program",
        happens="the page that prints ends the program where there is no printer (exit 1); the unit has no Restart=, so it stays away",
        steps="true",
        routes=(Route(path="/print", host=NOTES),),
        settle="systemctl is-failed -q notes",
        expects=causes("backend-crashed", "backend-not-running"),
        partly=causes("premature-close", "backend-startup-failure"),
        targets=NOTES_AT,
    ),
)

FORUM_APP = """\
require 'sinatra/base'
require 'pg'

class Forum < Sinatra::Base
  set :environment, :production
  SCHEMA = Integer(File.read('/srv/forum/schema'))
  KEPT = []

  def self.connect
    PG.connect(host: '127.0.0.1', dbname: 'forum', user: 'forum', password: 'hunter22', connect_timeout: 5)
  end

  def self.base # one connection for each thread
    Thread.current[:base] ||= connect
  end

  found = connect.exec('select max(version) from schema_info')[0]['max'].to_i
  abort "Migrations are pending (database #{found}, code #{SCHEMA}); run bin/migrate" if found < SCHEMA

  get('/') { self.class.base.exec('select title from topics order by id desc limit 20').map { |row| row['title'] }.join("\\n") }
  get('/rules') { 'be kind ' * 100 }
  get('/search') { self.class.base.exec("select found from search_posts('cake')")[0]['found'] }
  get('/archive') { sleep 3; 'archive ' * 100 }
  get('/login') do
    8.times { |n| response.set_cookie("forum_#{n}", value: 'x' * 1100, path: '/') }
    'hello'
  end
  get('/avatar') { KEPT << 'x' * (24 << 20); 'kept' }
end
run Forum
"""
FORUM_UNIT = """[Unit]
Description=Forum (Puma)
After=network.target postgresql.service

[Service]
User=forum
WorkingDirectory=/srv/forum
Environment=RACK_ENV=production MALLOC_ARENA_MAX=2
ExecStart=/usr/bin/puma --bind tcp://127.0.0.1:9292 --threads 12:12 config.ru
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
FORUM_SITE = """\
server {
    listen 80 default_server;
    server_name forum.example;
    access_log /var/log/nginx/forum.log;

    location / {
        proxy_pass http://127.0.0.1:9292;
        include proxy_params;
        proxy_read_timeout 10;
    }
}
"""
FORUM_SETUP = """
useradd --system forum
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role forum login password 'hunter22'" -c "create database forum owner forum"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U forum forum <<SQL
create table topics (id serial primary key, title text); insert into topics (title) select 'topic ' || n from generate_series(1, 500) n;
create table schema_info (version int); insert into schema_info values (7);
create function search_posts(word text) returns table (found text) language sql as 'select word from (select pg_sleep(14)) as slow';
SQL
systemctl enable -q --now forum
until curl -fs -o /dev/null http://127.0.0.1:9292/; do sleep 0.2; done
ln -s /etc/nginx/sites-available/forum /etc/nginx/sites-enabled/forum; rm /etc/nginx/sites-enabled/default
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
FORUM = "forum.example"
FORUM_AT = frozenset({"127.0.0.1:9292"})
FORUM_UP = "until curl -fs -o /dev/null http://127.0.0.1:9292/rules; do sleep 0.2; done"
FORUM_FAULTS = (
    Fault(
        id="forum-migrations-pending",
        happens="the release is restarted before its migration was run: the program ends at its start (Migrations are pending), each second again",
        steps="echo 8 > /srv/forum/schema; systemctl restart forum; sleep 3",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=FORUM_AT,
    ),
    Fault(
        id="forum-search-without-index",
        happens="with a year of posts the search takes PostgreSQL 14 s; nginx waits for 10, and the search ends well where nobody waits for it",
        steps="true",
        routes=(Route(path="/search", host=FORUM),),
        failures=6,
        limit_s=120.0,
        expects=causes("backend-too-slow", "proxy-timeout-too-short", "backend-dependency-slow"),
        partly=causes("workers-exhausted", "backend-hung"),
        targets=FORUM_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="forum-cookies-of-login",
        happens="the log-in sets eight cookies of a kilobyte each, more than nginx's 4 kB for a response's header: 502 for who logs in",
        steps="true",
        routes=(Route(path="/login", host=FORUM, weight=4),),
        expects=causes("response-header-too-big"),
        targets=FORUM_AT,
    ),
    Fault(
        id="forum-memory-of-avatars",
        happens="a memory limit of 260 MB for Puma's group, and avatars are never let go of: the kernel kills it, systemd starts it, and again",
        steps="mount -o remount,bind,rw /sys/fs/cgroup/memory; mkdir /sys/fs/cgroup/memory/forum; echo 260M > /sys/fs/cgroup/memory/forum/memory.limit_in_bytes; "
        "mkdir -p /etc/systemd/system/forum.service.d; printf '[Service]\\nExecStartPost=+/bin/sh -c \"echo $MAINPID > /sys/fs/cgroup/memory/forum/cgroup.procs\"\\n' "
        f"> /etc/systemd/system/forum.service.d/memory.conf; systemctl daemon-reload; systemctl restart forum; {FORUM_UP}",
        routes=(Route(path="/avatar", host=FORUM, weight=3),),
        failures=30,
        limit_s=120.0,
        settle="test $(journalctl -q -u forum | grep -c 'status=9/KILL') -ge 2",
        expects=causes("backend-oom-killed"),
        partly=CUT | causes("backend-crashed", "backend-crash-loop", "memory-pressure"),
        targets=FORUM_AT,
    ),
    Fault(
        id="forum-connections-of-before",
        happens="PostgreSQL is restarted by its upgrade; the program keeps its dead connections and never makes new ones: 500 for all that asks the database, which is up",
        steps="systemctl restart postgresql@15-main",
        expects=causes("backend-dependency-down", "application-error"),
        partly=causes("upstream-error-status"),
        targets=FORUM_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="forum-port-held-by-old-process",
        happens="somebody started Puma by hand in a terminal for a test; the service, restarted at night, cannot bind its port, and the test ends in the morning: nobody listens, systemd has given up",
        steps="sed -i 's/^RestartSec=1/RestartSec=200ms/' /etc/systemd/system/forum.service; systemctl daemon-reload; systemctl stop forum; "
        "(cd /srv/forum; sudo -u forum puma --bind tcp://127.0.0.1:9292 config.ru >/dev/null 2>&1 & echo $! > /root/by-hand); until curl -fs -o /dev/null http://127.0.0.1:9292/rules; do sleep 0.2; done; "
        "systemctl start forum; until systemctl is-failed -q forum; do sleep 0.3; done; kill $(pgrep -u forum ruby || pgrep -u forum puma)",
        limit_s=90.0,
        expects=NO_START | causes("port-conflict"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=FORUM_AT,
    ),
)

STACKS = (
    Stack(
        name="office",
        about="three names of one nginx with Debian's default logs: Radicale, a static binary (rclone), and Mojolicious behind `localhost`",
        files={
            "/root/radicale.conf": OFFICE_RADICALE,
            "/srv/notes/notes.pl": OFFICE_NOTES,
            "/etc/systemd/system/notes.service": OFFICE_NOTES_UNIT,
            "/etc/systemd/system/archive.service": OFFICE_ARCHIVE_UNIT,
            "/etc/nginx/sites-available/office": OFFICE_SITES,
        },
        setup=OFFICE_SETUP,
        routes=(
            Route(path="/boss/diary/", host=CALENDAR, weight=3),
            Route(path="/1.pdf", host=ARCHIVE, weight=3),
            Route(path="/", host=NOTES, weight=3),
        ),
        faults=OFFICE_FAULTS,
        calms=(
            Calm(
                id="office-localhost-of-two-families",
                happens="an ordinary day: the notes listen on 127.0.0.1 only and nginx asks `localhost`, so it is refused at ::1 now and then and asks the other address; a page of 3 s, papers broken off",
                routes=(
                    Route(path="/week", host=NOTES),
                    Route(path="/nothing.pdf", host=ARCHIVE),
                    Route(path="/autodiscover", host="203.0.113.10"),
                ),
                seconds=20.0,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="forum",
        about="Sinatra in Puma (one process, twelve threads, a connection to PostgreSQL for each) on 127.0.0.1:9292 behind nginx with Debian's proxy_params",
        files={
            "/srv/forum/config.ru": FORUM_APP,
            "/srv/forum/schema": "7\n",
            "/etc/systemd/system/forum.service": FORUM_UNIT,
            "/etc/nginx/sites-available/forum": FORUM_SITE,
        },
        setup=FORUM_SETUP,
        routes=(Route(path="/", host=FORUM, weight=4), Route(path="/rules", host=FORUM, weight=3)),
        faults=FORUM_FAULTS,
        calms=(
            Calm(
                id="forum-long-evening",
                happens="the archive's page of 3 s, a vacuum and a dump, logs rotate, nginx reloads, people leave in the middle; bots try to register (404)",
                steps="sudo -u postgres psql -q forum -c vacuum; sudo -u postgres pg_dump forum > /root/forum.sql; logrotate -f /etc/logrotate.d/nginx; systemctl reload nginx",
                routes=(Route(path="/archive", host=FORUM), Route(path="/register", host=FORUM)),
                cancels=True,
            ),
        ),
    ),
)
