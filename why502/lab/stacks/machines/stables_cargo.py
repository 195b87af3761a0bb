"""Sinatra in a cluster of Puma on a unix socket and Express under PM2 with WebSockets, each behind Apache."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")

STABLES_APP = """\
require 'sinatra/base'
require 'json'
require 'pg'

class Stables < Sinatra::Base
  set :environment, :production
  set :logging, false
  set :dump_errors, true
  set :show_exceptions, false

  def base
    Thread.current[:base] ||= PG.connect(ENV.fetch('DATABASE_URL'))
  end

  def ask(sql)
    base.exec(sql).to_a
  rescue PG::ConnectionBad, PG::UnableToSend
    Thread.current[:base] = nil
    raise
  end

  get('/') { content_type :json; ask('select name, stall from horses order by id limit 30').to_json }
  get('/lessons') { '<p>lessons on Saturday</p>' * 90 }
  get('/ledger') { sleep params['s'].to_f; 'ledger' }
  post('/booking') { content_type :json; ask('update horses set booked = booked + 1 where id = 1 returning booked').to_json }
end
run Stables
"""
STABLES_PUMA = """\
directory '/srv/stables'
environment 'production'
workers 2
threads 3, 3
preload_app! false
bind 'unix:///run/stables/puma.sock'
"""
STABLES_UNIT = """[Unit]
Description=Puma of the stables
After=network.target postgresql.service

[Service]
User=stables
Group=www-data
WorkingDirectory=/srv/stables
RuntimeDirectory=stables
EnvironmentFile=/etc/stables.env
ExecStart=/usr/bin/puma -C /srv/stables/puma.rb /srv/stables/config.ru
Restart=on-failure
RestartSec=2
TimeoutStopSec=10

[Install]
WantedBy=multi-user.target
"""
STABLES_SITE = """\
<VirtualHost *:80>
    ServerName stables.example
    DocumentRoot /srv/stables/public
    ErrorLog ${APACHE_LOG_DIR}/stables.error.log
    CustomLog ${APACHE_LOG_DIR}/stables.access.log combined
    ProxyPreserveHost On
    ProxyTimeout 8
    ProxyPass /pictures/ !
    ProxyPass / unix:/run/stables/puma.sock|http://stables/
    ProxyPassReverse / http://stables/
    <Directory /srv/stables/public>
        Require all granted
    </Directory>
</VirtualHost>
"""
STABLES_UP = "until curl -fs -o /dev/null --unix-socket /run/stables/puma.sock -H 'Host: stables.example' http://x/lessons; do sleep 0.2; done"
STABLES_SETUP = f"""
useradd --system stables
systemctl enable -q --now postgresql@15-main
sudo -u postgres psql -q <<SQL
create role stables login password 'hunter22';
create database stables owner stables;
SQL
sudo -u postgres psql -q stables <<SQL
create table horses (id serial primary key, name text, stall int, booked int default 0);
insert into horses (name, stall) select 'pony ' || n, n from generate_series(1, 60) n;
alter table horses owner to stables;
SQL
echo DATABASE_URL=postgres://stables:hunter22@127.0.0.1/stables > /etc/stables.env
mkdir -p /srv/stables/public/pictures; head -c 30000 /dev/urandom > /srv/stables/public/pictures/yard.jpg; chmod -R a+rX /srv/stables
systemctl daemon-reload; systemctl enable -q --now stables
{STABLES_UP}
a2enmod -q proxy proxy_http >/dev/null; a2dissite -q 000-default >/dev/null; a2ensite -q stables >/dev/null
systemctl enable -q --now apache2
"""


def _stables(path: str, weight: int = 1, expect: int = 200, method: str = "GET") -> Route:
    return Route(path=path, method=method, host="stables.example", weight=weight, expect=(expect,))


STABLES_AT = frozenset({"unix:/run/stables/puma.sock", "stables"})
STABLES_FAULTS = (
    Fault(
        id="stables-gem-not-installed",
        happens="the release requires the gem aws-sdk-s3, which `bundle install` never put on this machine: LoadError in each worker of Puma, whose master starts them again and again; it holds the socket and answers nobody, 502 after eight seconds",
        steps="sed -i \"1i require 'aws-sdk-s3'\" /srv/stables/config.ru; systemctl restart stables || true; sleep 7",
        expects=NO_START,
        partly=HANGS | causes("backend-not-running", "unix-socket-missing", "backend-crashed"),
        targets=STABLES_AT,
    ),
    Fault(
        id="stables-runtime-directory-closed",
        happens="hardening sets RuntimeDirectoryMode=0700 in a drop-in: Apache's user may no longer pass through /run/stables, AH02454 (13)Permission denied, 503",
        steps="mkdir /etc/systemd/system/stables.service.d; printf '[Service]\\nRuntimeDirectoryMode=0700\\n' > /etc/systemd/system/stables.service.d/hardening.conf; systemctl daemon-reload; systemctl restart stables; "
        + STABLES_UP,
        expects=causes("unix-socket-permission"),
        targets=STABLES_AT,
    ),
    Fault(
        id="stables-masked-for-the-move",
        happens="the service was stopped and masked for a move that was put off; RuntimeDirectory took its socket away: 503",
        steps="systemctl disable -q --now stables; rm /etc/systemd/system/stables.service; systemctl daemon-reload; systemctl mask -q stables",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=STABLES_AT,
    ),
    Fault(
        id="stables-database-password-rotated",
        happens="the password of the role was rotated, the environment of the application was not: PG::ConnectionBad, password authentication failed, 500 for what asks the database",
        steps="sudo -u postgres psql -qc \"alter role stables password 'new-one'\" -c \"select pg_terminate_backend(pid) from pg_stat_activity where usename = 'stables'\" >/dev/null",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=STABLES_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="stables-ledger-after-eight-seconds",
        happens="the ledger of the year takes ten seconds, Apache waits for eight: 502 for it (AH01102), everything else is quick",
        steps="true",
        routes=(_stables("/ledger?s=10", 1),),
        users=5,
        limit_s=120.0,
        failures=8,
        expects=SLOW,
        targets=STABLES_AT,
    ),
    Fault(
        id="stables-six-threads-of-ledgers",
        happens="at the end of the quarter everybody wants a ledger of five seconds; six threads in two workers serve them all, and the queue before Puma is longer than Apache's eight seconds: 502 for any page",
        steps="true",
        routes=(_stables("/ledger?s=5", 20),),
        users=26,
        limit_s=120.0,
        failures=40,
        expects=causes("workers-exhausted"),
        partly=SLOW,
        targets=STABLES_AT,
    ),
    Fault(
        id="stables-module-switched-off",
        happens="a clean-up of Apache's modules disables proxy_http (only proxy stays): AH01144 No protocol handler was valid, 500 for everything but pictures",
        steps="a2dismod -q -f proxy_http >/dev/null; systemctl restart apache2",
        expects=causes("proxy-module-missing"),
    ),
    Fault(
        id="stables-lock-of-a-backup",
        happens="somebody's psql updates every horse in a transaction that is never committed; bookings wait for its row locks, then all six threads do, and Apache gives up after eight seconds: 502",
        steps="systemd-run -q --unit=fix-stalls sudo -u postgres psql stables -c 'begin; update horses set stall = stall; select pg_sleep(600)'; sleep 2",
        limit_s=120.0,
        failures=24,
        expects=causes("backend-dependency-slow"),
        partly=HANGS,
        targets=STABLES_AT | {"127.0.0.1:5432"},
    ),
)

CARGO_APP = """\
require('dotenv-free');
const express = require('/opt/node/node_modules/express');
const mysql = require('/opt/node/node_modules/mysql2/promise');
const { WebSocketServer } = require('/opt/node/node_modules/ws');
const base = mysql.createPool({ host: '127.0.0.1', user: 'cargo', password: 'hunter22', database: 'cargo', connectionLimit: 6 });
const app = express();
const kept = [];
app.get('/', (request, response) => response.send('<p>freight</p>'.repeat(120)));
app.get('/ships', async (request, response, next) => {
  try { response.json((await base.query('select id, name from ships order by id limit 30'))[0]); } catch (error) { next(error); }
});
app.post('/booking', async (request, response, next) => {
  try { await base.query('update ships set booked = booked + 1 where id = ?', [1 + Math.floor(Math.random() * 40)]); response.json({ ok: true }); } catch (error) { next(error); }
});
app.post('/manifest', express.raw({ limit: '50mb', type: () => true }), (request, response) => response.json({ bytes: request.body.length || 0 }));
app.get('/export', (request, response) => {
  for (let n = 0; n < 40; n++) kept.push(Array.from({ length: 60000 }, (_, m) => ({ n, m, name: 'container ' + m })));
  response.json({ rows: kept.length });
});
const server = require('http').createServer(app);
new WebSocketServer({ server, path: '/track' });
server.listen(Number(process.env.PORT || 3300), '127.0.0.1', () => console.log('listening on', process.env.PORT || 3300));
"""
CARGO_ECOSYSTEM = """\
module.exports = {
  apps: [
    {
      name: 'cargo',
      script: '/srv/cargo/server.js',
      cwd: '/srv/cargo',
      exec_mode: 'fork',
      node_args: '--max-old-space-size=96',
      env: { NODE_ENV: 'production', PORT: 3300 },
      out_file: '/var/log/cargo/out.log',
      error_file: '/var/log/cargo/error.log',
    },
  ],
};
"""
CARGO_SITE = """\
<VirtualHost *:80>
    ServerName cargo.example
    ErrorLog ${APACHE_LOG_DIR}/cargo.error.log
    CustomLog ${APACHE_LOG_DIR}/cargo.access.log combined
    ProxyRequests Off
    ProxyPreserveHost On
    ProxyPass / http://127.0.0.1:3300/ upgrade=websocket timeout=8
    ProxyPassReverse / http://127.0.0.1:3300/
</VirtualHost>
"""
PM2 = "sudo -u cargo env PM2_HOME=/home/cargo/.pm2 /opt/node/node_modules/pm2/bin/pm2"
CARGO_UP = "until curl -fs -o /dev/null http://127.0.0.1:3300/; do sleep 0.2; done"
CARGO_SETUP = f"""
useradd --create-home cargo; mkdir -p /var/log/cargo; chown cargo: /var/log/cargo
systemctl enable -q --now mariadb
mariadb <<SQL
create database cargo; create user cargo@'127.0.0.1' identified by 'hunter22'; create user cargo@localhost identified by 'hunter22';
grant all on cargo.* to cargo@'127.0.0.1'; grant all on cargo.* to cargo@localhost;
use cargo; create table ships (id int auto_increment primary key, name varchar(99), booked int default 0) engine=innodb;
insert into ships (name) select concat('barge ', seq) from seq_1_to_200;
SQL
mkdir -p /srv/cargo/node_modules/dotenv-free; echo 'module.exports = {{}};' > /srv/cargo/node_modules/dotenv-free/index.js
cd /srv/cargo; {PM2} start ecosystem.config.js >/dev/null; {PM2} save >/dev/null
{CARGO_UP}
a2enmod -q proxy proxy_http proxy_wstunnel >/dev/null; a2dissite -q 000-default >/dev/null; a2ensite -q cargo >/dev/null
systemctl enable -q --now apache2
"""


def _cargo(path: str, weight: int = 1, expect: int = 200, **more: object) -> Route:
    return Route(path=path, host="cargo.example", weight=weight, expect=(expect,), **more)  # type: ignore[arg-type]


TRACK = Route(path="/track", host="cargo.example", websocket=True, expect=(101,))
CARGO_AT = frozenset({"127.0.0.1:3300"})
CARGO_FAULTS = (
    Fault(
        id="cargo-after-reboot-no-pm2",
        happens="`pm2 startup` was never run: after the reboot there is no PM2 and no process, only the dump that `pm2 save` wrote; the journal is volatile: 503",
        steps=f"{PM2} kill >/dev/null; journalctl -q --rotate --vacuum-time=1s 2>/dev/null; : > /home/cargo/.pm2/pm2.log; : > /var/log/cargo/out.log",
        expects=causes("backend-not-running"),
        targets=CARGO_AT,
    ),
    Fault(
        id="cargo-export-fills-the-heap",
        happens="an export keeps every container in memory and Node.js has a heap of 96 MB: FATAL ERROR, JavaScript heap out of memory, PM2 starts it anew after each; those who asked at that moment get 502, the next 503",
        steps="true",
        routes=(_cargo("/export", 2),),
        limit_s=100.0,
        failures=16,
        settle="test $(grep -c 'heap out of memory' /var/log/cargo/error.log) -ge 3",
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("backend-not-running", "premature-close", "connection-reset", "backend-oom-killed"),
        targets=CARGO_AT,
    ),
    Fault(
        id="cargo-tables-read-locked",
        happens="a backup script holds FLUSH TABLES WITH READ LOCK and hangs on its upload; bookings wait, take all six connections of the pool, and then the list of ships waits, too: Apache gives up after eight seconds",
        steps="systemd-run -q --unit=backup mariadb -e 'flush tables with read lock; select sleep(900)'; sleep 2",
        routes=(_cargo("/booking", 5, method="POST"),),
        limit_s=120.0,
        failures=16,
        expects=causes("backend-dependency-slow"),
        partly=HANGS | causes("backend-dependency-down"),
        targets=CARGO_AT | {"127.0.0.1:3306"},
    ),
    Fault(
        id="cargo-port-of-the-template",
        happens="the ecosystem file is renewed from a template with PORT 3000 and the process is started anew; Apache asks 3300: connection refused, 503",
        steps=f"sed -i 's/PORT: 3300/PORT: 3000/' /srv/cargo/ecosystem.config.js; cd /srv/cargo; {PM2} delete cargo >/dev/null; {PM2} start ecosystem.config.js >/dev/null; until curl -fs -o /dev/null http://127.0.0.1:3000/; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=CARGO_AT,
    ),
    Fault(
        id="cargo-upgrade-lost",
        happens="the site's file is written anew without upgrade=websocket: the tracking's handshake arrives as a plain request and gets 400 or 426; pages work",
        steps="sed -i 's/ upgrade=websocket//' /etc/apache2/sites-available/cargo.conf; apachectl graceful",
        routes=(Route(path="/track", host="cargo.example", websocket=True, weight=6, expect=(101,)),),
        failures=0,
        settle="test $(grep -cE 'GET /track [^\"]*\" (400|404|426) ' /var/log/apache2/cargo.access.log) -ge 20",
        expects=causes("websocket-upgrade-missing"),
        targets=CARGO_AT,
    ),
    Fault(
        id="cargo-module-pruned",
        happens="`npm prune --omit=dev` takes a package away that the server needs: Cannot find module 'dotenv-free', PM2 starts it again and again, and gives up after 15 starts where each ends within a second: 503",
        steps=f"rm -r /srv/cargo/node_modules/dotenv-free; {PM2} restart cargo >/dev/null || true",
        settle="test $(grep -c 'exited with code .1.' /home/cargo/.pm2/pm2.log) -ge 8",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=CARGO_AT,
    ),
    Fault(
        id="cargo-logs-belong-to-root",
        happens="somebody moved the logs to a new volume as root; PM2's user may not write there, and after the next restart PM2 cannot start the process (EACCES: permission denied, open /var/log/cargo/out.log): 503",
        steps=f"chown -R root:root /var/log/cargo; chmod 755 /var/log/cargo; chmod 644 /var/log/cargo/*; {PM2} restart cargo >/dev/null 2>&1 || true",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=CARGO_AT,
    ),
)

STACKS = (
    Stack(
        name="stables",
        about="Sinatra in a cluster of Puma (two workers of three threads) on a unix socket in its RuntimeDirectory behind Apache, PostgreSQL",
        files={
            "/srv/stables/config.ru": STABLES_APP,
            "/srv/stables/puma.rb": STABLES_PUMA,
            "/etc/systemd/system/stables.service": STABLES_UNIT,
            "/etc/apache2/sites-available/stables.conf": STABLES_SITE,
        },
        setup=STABLES_SETUP,
        routes=(
            _stables("/", 4),
            _stables("/lessons", 3),
            _stables("/booking", 1, method="POST"),
            _stables("/pictures/yard.jpg"),
        ),
        faults=STABLES_FAULTS,
        calms=(
            Calm(
                id="stables-open-house",
                happens="ledgers of two seconds, a phased restart of Puma, logs rotate, Apache reloads with grace; scanners ask for /actuator and /.aws, some visitors leave",
                steps="systemctl kill -s USR1 --kill-whom=main stables; logrotate -f /etc/logrotate.d/apache2",
                routes=(
                    _stables("/ledger?s=2"),
                    _stables("/actuator/health", expect=404),
                    _stables("/.aws/credentials", expect=404),
                ),
                seconds=20.0,
                users=8,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="cargo",
        about="Express with WebSockets in one process of PM2 (an ordinary user's, with its own log files) on 127.0.0.1:3300 behind Apache, MariaDB",
        files={
            "/srv/cargo/server.js": CARGO_APP,
            "/srv/cargo/ecosystem.config.js": CARGO_ECOSYSTEM,
            "/etc/apache2/sites-available/cargo.conf": CARGO_SITE,
        },
        setup=CARGO_SETUP,
        routes=(_cargo("/", 4), _cargo("/ships", 3), _cargo("/booking", 1, method="POST"), TRACK),
        faults=CARGO_FAULTS,
        calms=(
            Calm(
                id="cargo-busy-harbour",
                happens="manifests of 2 MB, tracking, PM2 writes its dump, the database is backed up; bots ask for xmlrpc.php; some visitors leave",
                steps=f"{PM2} save >/dev/null; mariadb-dump --single-transaction cargo > /root/cargo.sql",
                routes=(
                    _cargo("/manifest", method="POST", body_bytes=2_000_000),
                    _cargo("/xmlrpc.php", expect=404),
                    _cargo("/cgi-bin/luci", expect=404),
                ),
                seconds=18.0,
                users=10,
                cancels=True,
            ),
            Calm(
                id="cargo-old-restarts",
                happens="PM2's own log and the application's errors tell of crashes of yesterday; the counter of restarts stands at three; nothing fails today",
                steps="for n in $(seq 30); do echo \"$(date -d yesterday '+%Y-%m-%dT%H:%M:%S'): PM2 log: App [cargo:0] exited with code [1] via signal [SIGINT]\"; done >> /home/cargo/.pm2/pm2.log; for n in $(seq 12); do echo 'Error: connect ECONNREFUSED 127.0.0.1:3306'; done >> /var/log/cargo/error.log; touch -d yesterday /var/log/cargo/error.log",
                seconds=14.0,
            ),
        ),
    ),
)
