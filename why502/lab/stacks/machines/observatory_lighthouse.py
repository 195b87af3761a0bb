"""Flask that reaches PostgreSQL by way of nginx's stream, and Sinatra in a Puma that systemd's socket starts."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

OBSERVATORY_APP = """\
import contextlib, os, time
import psycopg2
from flask import Flask, jsonify

app = Flask(__name__)
DSN = os.environ["SKY_DSN"]

def ask(question):
    with contextlib.closing(psycopg2.connect(DSN)) as link, link.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()

@app.get("/")
def home():
    return "<p>Observatory of the hill</p>" * 60

@app.get("/plates")
def plates():
    return jsonify(ask("select id, name from plates order by id limit 40"))

@app.get("/almanac")
def almanac():
    return jsonify(ask("select count(*), pg_sleep(4.5)::text from plates"))

@app.get("/spectra")
def spectra():
    time.sleep(14)
    return "spectrum " * 300
"""
OBSERVATORY_UNIT = """[Unit]
Description=Observatory
After=network.target postgresql.service nginx.service

[Service]
User=sky
Group=sky
WorkingDirectory=/srv/observatory
EnvironmentFile=/etc/observatory.env
ExecStart=/opt/venv/bin/gunicorn --bind 127.0.0.1:8300 --workers 3 --worker-class gthread --threads 6 --timeout 10 observatory:app
ExecReload=/bin/kill -s HUP $MAINPID
Restart=on-failure
RestartSec=3

[Install]
WantedBy=multi-user.target
"""
OBSERVATORY_NGINX = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 768; }
stream {
    log_format db '$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time "$upstream_addr"';
    access_log /var/log/nginx/stream.log db;
    error_log /var/log/nginx/stream.error.log;
    include /etc/nginx/stream.d/*.conf;
}
http {
    include /etc/nginx/mime.types;
    access_log /var/log/nginx/access.log;
    error_log /var/log/nginx/error.log;
    include /etc/nginx/conf.d/*.conf;
    include /etc/nginx/sites-enabled/*;
}
"""
OBSERVATORY_STREAM = """\
# The applications ask 6432, so that the database can be moved without touching them.
server {
    listen 127.0.0.1:6432;
    proxy_connect_timeout 3s;
    proxy_timeout 10m;
    proxy_pass 127.0.0.1:5432;
}
"""
OBSERVATORY_SITE = """\
server {
    listen 80;
    server_name sky.example;
    location / {
        include proxy_params;
        proxy_read_timeout 30s;
        proxy_pass http://127.0.0.1:8300;
    }
    location /plates {
        include proxy_params;
        proxy_read_timeout 8s;
        proxy_pass http://127.0.0.1:8300;
    }
}
"""
OBSERVATORY_UP = "until curl -fs -o /dev/null http://127.0.0.1:8300/plates; do sleep 0.2; done"
OBSERVATORY_SETUP = f"""
useradd --system sky
sed -i 's/^max_connections = .*/max_connections = 30/' /etc/postgresql/15/main/postgresql.conf
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role sky login password 'hunter22'" -c "create database sky owner sky"
PGPASSWORD=hunter22 psql -q -h 127.0.0.1 -U sky sky -c "create table plates (id serial primary key, name text)" -c "insert into plates (name) select 'plate ' || n from generate_series(1, 400) n"
rm /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/sky /etc/nginx/sites-enabled/sky
nginx -t 2>/dev/null; systemctl enable -q --now nginx
systemctl daemon-reload; systemctl enable -q --now observatory
{OBSERVATORY_UP}
"""
SKY = "sky.example"
SKY_AT, SKY_DB = frozenset({"127.0.0.1:8300"}), frozenset({"127.0.0.1:5432", "127.0.0.1:6432"})
MANY_PLATES = (Route(path="/plates", host=SKY, weight=4),)
OBSERVATORY_FAULTS = (
    Fault(
        id="observatory-database-stopped",
        happens="PostgreSQL is stopped for a move of its disk; nginx's stream has nothing behind it, each connection of the application ends at once: 500 for the plates",
        steps="systemctl stop postgresql@15-main",
        routes=MANY_PLATES,
        expects=causes("backend-dependency-down", "backend-not-running"),
        partly=OWN_ERROR,
        targets=SKY_AT | SKY_DB,
    ),
    Fault(
        id="observatory-stream-digits-swapped",
        happens="the stream's file is written anew by hand, with 5423 in place of 5432: the database runs, and the application cannot reach it",
        steps="sed -i 's/proxy_pass 127.0.0.1:5432/proxy_pass 127.0.0.1:5423/' /etc/nginx/stream.d/postgresql.conf; systemctl reload nginx",
        routes=MANY_PLATES,
        expects=causes("wrong-port"),
        partly=causes("backend-dependency-down", "backend-not-running") | OWN_ERROR,
        targets=SKY_AT | SKY_DB | {"127.0.0.1:5423"},
    ),
    Fault(
        id="observatory-notebooks-left-open",
        happens="notebooks of a course hold all the connections that PostgreSQL has (`sorry, too many clients already`): 500 for each page that asks it",
        steps="for n in $(seq 27); do systemd-run -q --uid=sky --setenv=PGPASSWORD=hunter22 sh -c 'psql -q -h 127.0.0.1 -U sky sky -c \"select pg_sleep(600)\"'; done; sleep 2",
        routes=MANY_PLATES,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=SKY_AT | SKY_DB,
    ),
    Fault(
        id="observatory-migration-holds-plates",
        happens="a migration adds a column and then fills it in the same transaction, for minutes; whoever reads the plates waits for its lock, and nginx gives up after eight seconds",
        steps="systemd-run -q --uid=sky --setenv=PGPASSWORD=hunter22 sh -c 'psql -q -h 127.0.0.1 -U sky sky -c \"begin; alter table plates add column seeing real; select pg_sleep(600)\"'; sleep 1",
        routes=MANY_PLATES,
        limit_s=100.0,
        expects=causes("backend-dependency-slow"),
        partly=causes("backend-too-slow", "backend-hung", "workers-exhausted", "proxy-timeout-too-short"),
        targets=SKY_AT | SKY_DB,
    ),
    Fault(
        id="observatory-stream-cut-short",
        happens="`proxy_timeout 2s` comes into the stream's file, copied from a guide about DNS; the almanac's query is silent for four and a half seconds, so nginx cuts the connection to the database: 500 for the almanac alone",
        steps="sed -i 's/proxy_timeout 10m/proxy_timeout 2s/' /etc/nginx/stream.d/postgresql.conf; systemctl reload nginx",
        routes=(Route(path="/almanac", host=SKY, weight=3),),
        limit_s=90.0,
        expects=causes("proxy-timeout-too-short"),
        partly=causes("backend-dependency-down", "backend-dependency-slow", "backend-too-slow") | OWN_ERROR,
        targets=SKY_AT | SKY_DB,
    ),
    Fault(
        id="observatory-worker-class-sync",
        happens="the release goes back to sync workers; its timeout of ten seconds now ends the worker that computes a spectrum for fourteen (WORKER TIMEOUT)",
        steps="sed -i 's/--worker-class gthread --threads 6/--worker-class sync/; s/--workers 3/--workers 6/' /etc/systemd/system/observatory.service; systemctl stop nginx; systemctl daemon-reload; systemctl restart observatory; "
        + OBSERVATORY_UP.replace("/plates", "/")
        + "; systemctl start nginx",
        routes=(Route(path="/spectra", host=SKY),),
        failures=10,
        limit_s=120.0,
        settle="test $(journalctl -q -u observatory | grep -c 'WORKER TIMEOUT') -ge 3",
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "backend-too-slow", "workers-exhausted"),
        targets=SKY_AT,
    ),
    Fault(
        id="observatory-deploy-without-dsn",
        happens="the deploy writes /etc/observatory.env anew and leaves out SKY_DSN: KeyError at the import, gunicorn ends, again and again",
        steps="echo SKY_REGION=north > /etc/observatory.env; systemctl restart observatory || true; sleep 5",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=SKY_AT,
    ),
)
# An incident of this morning, over for hours, still in the logs of the day.
MORNING = """
old=$(date -d '3 hours ago' '+%Y/%m/%d %H:%M'); day=$(date -d '3 hours ago' '+%d/%b/%Y:%H:%M'); zone=$(date +%z)
for n in $(seq 10 49); do
  echo "$old:$n [error] 700#700: *$n connect() failed (111: Connection refused) while connecting to upstream, client: 203.0.113.25, server: sky.example, request: \\"GET /plates HTTP/1.1\\", upstream: \\"http://127.0.0.1:8300/plates\\", host: \\"sky.example\\"" >> /tmp/error.log
  echo "203.0.113.25 - - [$day:$n $zone] \\"GET /plates HTTP/1.1\\" 502 157 \\"-\\" \\"Mozilla/5.0\\"" >> /tmp/access.log
done
cat /var/log/nginx/error.log >> /tmp/error.log; cat /tmp/error.log > /var/log/nginx/error.log
cat /var/log/nginx/access.log >> /tmp/access.log; cat /tmp/access.log > /var/log/nginx/access.log
"""

LIGHTHOUSE_APP = """\
require 'sinatra'
require 'redis'
require 'json'
set :environment, :production
set :host_authorization, { permitted_hosts: [] }
STORE = Redis.new(host: '127.0.0.1')

get '/' do
  '<p>Lights of the coast</p>' * 60
end
get '/lights' do
  content_type :json
  { seen: STORE.incr('seen'), lights: (1..120).to_a }.to_json
end
post '/sightings' do
  STORE.rpush('sightings', 'x' * 4000)
  STORE.ltrim('sightings', -500, -1)
  'noted'
end
get '/tides' do
  sleep 9
  'tide ' * 200
end
get '/chart' do
  sleep 1.4
  'chart ' * 400
end
"""
LIGHTHOUSE_PUMA = """\
environment 'production'
bind 'tcp://127.0.0.1:9393'
threads 5, 5
workers 0
"""
LIGHTHOUSE_SOCKET = """[Unit]
Description=Lighthouse's socket

[Socket]
ListenStream=127.0.0.1:9393
NoDelay=true
Backlog=256

[Install]
WantedBy=sockets.target
"""
LIGHTHOUSE_UNIT = """[Unit]
Description=Lighthouse (Puma)
After=network.target redis-server.service
Requires=lighthouse.socket
StartLimitIntervalSec=30
StartLimitBurst=4

[Service]
Type=simple
User=light
WorkingDirectory=/srv/lighthouse
ExecStart=/usr/bin/puma -C /srv/lighthouse/puma.rb /srv/lighthouse/config.ru
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
LIGHTHOUSE_SITE = """\
server {
    listen 80;
    server_name light.example;
    location /.well-known/acme-challenge/ { root /var/www/acme; }
    location / { return 301 https://$host$request_uri; }
}
server {
    listen 443 ssl http2;
    server_name light.example;
    ssl_certificate /etc/letsencrypt/live/light.example/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/light.example/privkey.pem;
    access_log /var/log/nginx/light.access.log;
    error_log /var/log/nginx/light.error.log;

    location / {
        proxy_pass http://127.0.0.1:9393;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto https;
        proxy_connect_timeout 4s;
        proxy_read_timeout 12s;
    }
}
"""
LIGHTHOUSE_UP = "until curl -fs -o /dev/null http://127.0.0.1:9393/lights; do sleep 0.2; done"
LIGHTHOUSE_SETUP = f"""
useradd --system light
mkdir -p /etc/letsencrypt/archive/light.example /etc/letsencrypt/live/light.example; cd /etc/letsencrypt/archive/light.example
openssl req -x509 -newkey rsa:2048 -nodes -days 60 -subj /CN=light.example -keyout privkey1.pem -out fullchain1.pem 2>/dev/null
ln -s ../../archive/light.example/privkey1.pem ../../live/light.example/privkey.pem; ln -s ../../archive/light.example/fullchain1.pem ../../live/light.example/fullchain.pem
systemctl enable -q --now redis-server
systemctl daemon-reload; systemctl enable -q --now lighthouse.socket lighthouse.service
{LIGHTHOUSE_UP}
rm /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/light /etc/nginx/sites-enabled/light
nginx -t 2>/dev/null; systemctl enable -q --now nginx
"""
LIGHT = "light.example"
LIGHT_AT = frozenset({"127.0.0.1:9393"})


def _light(path: str, weight: int = 1, method: str = "GET") -> Route:
    return Route(path=path, host=LIGHT, port=443, tls=True, weight=weight, method=method)


LIGHTHOUSE_FAULTS = (
    Fault(
        id="lighthouse-socket-of-readme",
        happens="the socket and puma.rb are replaced by those of the project's README, on port 9292; nginx still asks 9393",
        steps="sed -i s/9393/9292/ /etc/systemd/system/lighthouse.socket /srv/lighthouse/puma.rb; systemctl daemon-reload; systemctl stop lighthouse.service lighthouse.socket; systemctl start lighthouse.socket lighthouse.service; until curl -fs -o /dev/null http://127.0.0.1:9292/lights; do sleep 0.2; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=LIGHT_AT,
    ),
    Fault(
        id="lighthouse-both-units-stopped",
        happens="socket and service were stopped for the move of Redis, and nobody started them afterwards",
        steps="systemctl stop lighthouse.socket lighthouse.service",
        expects=causes("backend-not-running"),
        targets=LIGHT_AT,
    ),
    Fault(
        id="lighthouse-gem-missing",
        happens="the release needs a gem that is not installed (LoadError); each connection starts Puma again until systemd gives up service and socket",
        steps="sed -i \"s/^require 'redis'/require 'redis'\\nrequire 'tide_tables'/\" /srv/lighthouse/lighthouse.rb; systemctl restart lighthouse.service || true; sleep 8",
        settle="systemctl is-failed -q lighthouse.service",
        limit_s=100.0,
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=LIGHT_AT,
    ),
    Fault(
        id="lighthouse-redis-at-maxmemory",
        happens="Redis gets maxmemory from a template, far too little, with the policy noeviction: `OOM command not allowed` for each write, so 500 for lights and sightings",
        steps='redis-cli config set maxmemory-policy noeviction >/dev/null; redis-cli config set maxmemory 1mb >/dev/null; redis-cli eval "return 1" 0 >/dev/null || true',
        routes=(_light("/sightings", 3, "POST"),),
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=LIGHT_AT | {"127.0.0.1:6379"},
    ),
    Fault(
        id="lighthouse-tides-take-all-threads",
        happens="a newspaper links to the tides, which take nine seconds each; Puma has five threads, so everything else waits behind them until nginx gives up",
        steps="true",
        routes=(_light("/tides", 8),),
        users=30,
        failures=20,
        limit_s=120.0,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "proxy-timeout-too-short", "backend-hung"),
        targets=LIGHT_AT,
    ),
    Fault(
        id="lighthouse-ruleset-without-loopback",
        happens="a new ruleset of nftables drops what comes in except 22, 80 and 443, and whoever wrote it forgot `iif lo accept`: nginx gets no answer from 127.0.0.1:9393",
        steps="cp /root/nftables.conf /etc/nftables.conf; systemctl enable -q --now nftables",
        limit_s=90.0,
        expects=causes("connect-timeout"),
        partly=causes("network-policy-denies", "backend-not-running"),
        targets=LIGHT_AT,
    ),
    Fault(
        id="lighthouse-restart-finds-old-mistake",
        happens="a line with a typing error has stood in conf.d since last week, never reloaded; tonight's upgrade restarts nginx, which does not come up",
        steps="echo 'gzip_typs text/css;' > /etc/nginx/conf.d/gzip.conf; touch -d '6 days ago' /etc/nginx/conf.d/gzip.conf; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
)
LIGHTHOUSE_RULES = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        icmp type echo-request accept
        tcp dport { 22, 80, 443 } accept
    }
}
"""

STACKS = (
    Stack(
        name="observatory",
        about="Flask in gunicorn's threads (127.0.0.1:8300) behind nginx; its PostgreSQL is reached by way of the same nginx's stream on 6432",
        files={
            "/srv/observatory/observatory.py": OBSERVATORY_APP,
            "/etc/observatory.env": "SKY_DSN='host=127.0.0.1 port=6432 dbname=sky user=sky password=hunter22 sslmode=disable'\n",
            "/etc/systemd/system/observatory.service": OBSERVATORY_UNIT,
            "/etc/nginx/nginx.conf": OBSERVATORY_NGINX,
            "/etc/nginx/stream.d/postgresql.conf": OBSERVATORY_STREAM,
            "/etc/nginx/sites-available/sky": OBSERVATORY_SITE,
        },
        setup=OBSERVATORY_SETUP,
        routes=(Route(path="/", host=SKY, weight=3), Route(path="/plates", host=SKY, weight=2)),
        faults=OBSERVATORY_FAULTS,
        calms=(
            Calm(
                id="observatory-clear-night",
                happens="an incident of this morning is still in the logs; the almanac takes 4.5 s and comes, nginx reloads, PostgreSQL vacuums, scanners look for WordPress",
                steps=MORNING + "systemctl reload nginx; sudo -u postgres psql -q sky -c 'vacuum analyze'",
                routes=(Route(path="/almanac", host=SKY), Route(path="/wp-login.php", host=SKY), Route(path="/.env", host=SKY)),
                seconds=18,
            ),
        ),
    ),
    Stack(
        name="lighthouse",
        about="Sinatra in Puma (one process, five threads) on a socket of systemd (127.0.0.1:9393) behind nginx with certbot's TLS, Redis",
        files={
            "/srv/lighthouse/lighthouse.rb": LIGHTHOUSE_APP,
            "/srv/lighthouse/config.ru": "require_relative 'lighthouse'\nrun Sinatra::Application\n",
            "/srv/lighthouse/puma.rb": LIGHTHOUSE_PUMA,
            "/etc/systemd/system/lighthouse.socket": LIGHTHOUSE_SOCKET,
            "/etc/systemd/system/lighthouse.service": LIGHTHOUSE_UNIT,
            "/etc/nginx/sites-available/light": LIGHTHOUSE_SITE,
            "/root/nftables.conf": LIGHTHOUSE_RULES,
        },
        setup=LIGHTHOUSE_SETUP,
        routes=(_light("/", 3), _light("/lights", 3)),
        faults=LIGHTHOUSE_FAULTS,
        calms=(
            Calm(
                id="lighthouse-service-restarted",
                happens="the service restarts while its socket holds the connections, the certificate is renewed and nginx reloads, logs rotate; visitors of http are redirected",
                steps="systemctl restart lighthouse.service; cd /etc/letsencrypt/archive/light.example; cp privkey1.pem privkey2.pem; cp fullchain1.pem fullchain2.pem; ln -sfn ../../archive/light.example/privkey2.pem ../../live/light.example/privkey.pem; ln -sfn ../../archive/light.example/fullchain2.pem ../../live/light.example/fullchain.pem; systemctl reload nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(_light("/chart"), _light("/phpmyadmin/"), Route(path="/", host=LIGHT, expect=(301,))),
                seconds=18,
                cancels=True,
            ),
        ),
    ),
)
