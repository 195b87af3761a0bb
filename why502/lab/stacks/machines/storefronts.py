"""Next.js under systemd and under PM2, and Rails in Puma on a unix socket."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import POSTGRES

CATALOG = """\
const http = require('http');
const products = Array.from({ length: 20 }, (_, n) => ({ id: n, name: 'product ' + n }));
http.createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(products));
}).listen(Number(process.env.PORT || 4000), '127.0.0.1');
"""
CATALOG_UNIT = """[Unit]
Description=Catalogue API
After=network.target

[Service]
User=nobody
Environment=PORT=4000
ExecStart=/usr/bin/node /srv/catalog/index.js
Restart=always

[Install]
WantedBy=multi-user.target
"""
NEXT_UNIT = """[Unit]
Description=Storefront (Next.js)
After=network-online.target catalog.service

[Service]
User=deploy
WorkingDirectory=/var/www/storefront/current
EnvironmentFile=/var/www/storefront/.env
ExecStart=/var/www/storefront/current/node_modules/.bin/next start -p 3000
Restart=always
RestartSec=2
TimeoutStopSec=5
SyslogIdentifier=storefront

[Install]
WantedBy=multi-user.target
"""
NEXT_ENV = "NODE_ENV=production\nAPI_URL=http://127.0.0.1:4000\nPAYMENT_KEY=pk_live_1\nNEXT_TELEMETRY_DISABLED=1\n"
NEXT_SITE = """\
log_format json escape=json '{"time":"$time_iso8601","ip":"$remote_addr","request":"$request","status":$status,'
    '"took":$request_time,"upstream":"$upstream_addr","upstream_status":"$upstream_status","upstream_took":"$upstream_response_time","agent":"$http_user_agent"}';
upstream storefront {
    server 127.0.0.1:3000;
    keepalive 8;
}
server {
    listen 80;
    listen [::]:80;
    server_name www.storefront.example storefront.example;
    access_log /var/log/nginx/storefront.json json;
    error_log /var/log/nginx/storefront.error.log warn;
    location /_next/static/ {
        alias /var/www/storefront/current/.next/static/;
        expires 1y;
        access_log off;
    }
    location = /old {
        return 301 /old;
    }
    location /admin {
        deny all;
    }
    location / {
        proxy_pass http://storefront;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_read_timeout 6s;
    }
}
"""
NEXT_PLACE = """
useradd --system --create-home --home-dir /home/deploy --shell /bin/bash deploy
mkdir -p /var/www/storefront/releases/20261122
cd /var/www/storefront
cp -r /opt/next/.next /opt/next/next.config.js /opt/next/package.json releases/20261122/
ln -s /opt/next/node_modules releases/20261122/node_modules
ln -s releases/20261122 current
chown -R deploy: /var/www/storefront
systemctl enable --now catalog
"""
NEXT_NGINX = """
rm -f /etc/nginx/sites-enabled/default
ln -s /etc/nginx/sites-available/storefront.conf /etc/nginx/sites-enabled/storefront.conf
systemctl enable --now nginx
"""
WWW = "www.storefront.example"
NEXT_ROUTES = (
    Route(path="/", host=WWW, weight=4),
    Route(path="/about", host=WWW, weight=3),
    Route(path="/api/health", host=WWW),
    Route(path="/api/orders", host=WWW, weight=2),
)
NEXT_AT = frozenset({"127.0.0.1:3000", "storefront"})
NEXT_AGAIN = "systemctl restart storefront || true"
NEXT_FAULTS = (
    Fault(
        id="next-build-missing",
        happens="the build failed in the deploy after rm -rf .next; next start finds no production build, systemd starts it again and again",
        steps=f"rm -rf /var/www/storefront/current/.next; {NEXT_AGAIN}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-api-stopped",
        happens="the catalogue API that pages are rendered from is stopped; the home page answers 500, others are fine",
        steps="systemctl stop catalog",
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status"),
        targets=NEXT_AT | {"127.0.0.1:4000"},
    ),
    Fault(
        id="next-render-blocks",
        happens="a page computes for 9 s in getServerSideProps; the only thread is busy, and every page waits",
        steps="true",
        routes=(Route(path="/render", host=WWW, weight=2),),
        failures=6,
        expects=causes("backend-hung", "backend-too-slow", "workers-exhausted"),
        partly=causes("cpu-saturation", "proxy-timeout-too-short"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-report-too-slow",
        happens="a page waits 12 s for its data, nginx waits 6 s; the other pages are fine",
        steps="true",
        routes=(Route(path="/report", host=WWW, weight=2),),
        failures=6,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        partly=causes("backend-hung", "workers-exhausted"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-basket-cookies",
        happens="a route handler sets 12 kB of cookies",
        steps="true",
        routes=(Route(path="/api/basket", host=WWW, weight=4),),
        expects=causes("response-header-too-big"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-uncaught-exception",
        happens="a route throws in a callback; Next.js only logs it, and the request is never answered",
        steps="true",
        routes=(Route(path="/api/import", host=WWW, weight=3),),
        failures=6,
        expects=causes("application-error", "backend-hung", "backend-too-slow"),
        partly=causes("backend-crashed", "proxy-timeout-too-short"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-memory-limit",
        happens="a leak meets a memory limit of 260 MB; the kernel kills the process each time and systemd starts it again",
        steps="mount -o remount,bind,rw /sys/fs/cgroup/memory; mkdir /sys/fs/cgroup/memory/storefront; echo 260M > /sys/fs/cgroup/memory/storefront/memory.limit_in_bytes; "
        "mkdir -p /etc/systemd/system/storefront.service.d; "
        "printf '[Service]\\nExecStartPost=+/bin/sh -c \"echo $MAINPID > /sys/fs/cgroup/memory/storefront/cgroup.procs\"\\n' > /etc/systemd/system/storefront.service.d/memory.conf; "
        "systemctl daemon-reload; systemctl restart storefront; until curl -fs -o /dev/null http://127.0.0.1:3000/about; do sleep 0.2; done",
        routes=(Route(path="/api/photo", host=WWW, weight=10),),
        settle="test $(systemctl show -p NRestarts --value storefront) -ge 1",
        expects=causes("backend-oom-killed", "backend-crashed", "backend-crash-loop"),
        partly=causes("premature-close", "connection-reset", "backend-not-running"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-release-pruned",
        happens="a deploy keeps one release: `current` moves, the running process's directory is deleted, and the restart was forgotten; pages not yet loaded answer 500",
        steps="cd /var/www/storefront; mkdir releases/20261123; cp -r releases/20261122/.next releases/20261122/next.config.js releases/20261122/package.json releases/20261123/; "
        "ln -s /opt/next/node_modules releases/20261123/node_modules; ln -sfn releases/20261123 current; rm -rf releases/20261122",
        routes=(Route(path="/report?seconds=1", host=WWW, weight=4), Route(path="/wishlist", host=WWW, weight=2)),
        expects=causes("application-error", "upstream-error-status"),
        partly=causes("backend-crashed"),
        targets=NEXT_AT,
    ),
)

NEXT_PM2 = """\
module.exports = { apps: [{ name: 'storefront', cwd: '/var/www/storefront/current', script: 'node_modules/next/dist/bin/next', args: 'start -p 3000',
  instances: 2, exec_mode: 'cluster', min_uptime: 20000, max_restarts: 4, env: { NODE_ENV: 'production', API_URL: 'http://127.0.0.1:4000', PAYMENT_KEY: 'pk_live_1' } }] };
"""
PM2_UNIT = """[Unit]
Description=PM2 process manager
After=network.target

[Service]
Type=forking
User=deploy
Environment=PATH=/opt/node/node_modules/.bin:/usr/bin:/bin PM2_HOME=/home/deploy/.pm2
PIDFile=/home/deploy/.pm2/pm2.pid
Restart=on-failure
ExecStart=/opt/node/node_modules/.bin/pm2 start /var/www/storefront/ecosystem.config.js
ExecReload=/opt/node/node_modules/.bin/pm2 reload all
ExecStop=/opt/node/node_modules/.bin/pm2 kill

[Install]
WantedBy=multi-user.target
"""
PM2 = "sudo -u deploy env PATH=/opt/node/node_modules/.bin:/usr/bin:/bin PM2_HOME=/home/deploy/.pm2 pm2"
NEXT_PM2_FAULTS = (
    Fault(
        id="next-pm2-modules-missing",
        happens="npm ci was interrupted: node_modules is gone; PM2 gives up after a few starts",
        steps=f"rm /var/www/storefront/current/node_modules; {PM2} restart storefront || true",
        limit_s=100,
        settle=f'{PM2} jlist | grep -q \'"status":"errored"\'',
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-pm2-variable-lost",
        happens="the payment key is empty in the new ecosystem file; after a graceful reload one route answers 500",
        steps=f"sed -i \"s/PAYMENT_KEY: 'pk_live_1'/PAYMENT_KEY: ''/\" /var/www/storefront/ecosystem.config.js; {PM2} reload /var/www/storefront/ecosystem.config.js --update-env",
        expects=causes("application-error", "upstream-error-status"),
        partly=causes("backend-not-running", "deploy-termination-race"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-pm2-deleted",
        happens="a clean-up runs pm2 delete all and pm2 save; the daemon stays, with nothing in it",
        steps=f"{PM2} delete all; {PM2} save --force",
        expects=causes("backend-not-running"),
        targets=NEXT_AT,
    ),
    Fault(
        id="next-pm2-port-in-args",
        happens="the new ecosystem file says -p 3010 beside a staging copy on 3020; nginx still asks 3000",
        steps=f"sed -i 's/-p 3000/-p 3010/' /var/www/storefront/ecosystem.config.js; {PM2} delete storefront; {PM2} start /var/www/storefront/ecosystem.config.js; "
        f"cd /var/www/storefront/current; {PM2} start node_modules/next/dist/bin/next --name staging -- start -p 3020",
        settle="curl -fs -o /dev/null http://127.0.0.1:3010/about",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=NEXT_AT,
    ),
)

RAILS_RU = """\
require_relative 'config/environment'
run Rails.application
Rails.application.load_server
"""
RAILS_APPLICATION = """\
require 'logger'
require 'rails'
require 'active_record/railtie'
require 'action_controller/railtie'
module Shop
  class Application < Rails::Application
    config.load_defaults 6.1
    config.eager_load = true
    config.hosts.clear
    config.log_level = :info
    config.active_record.maintain_test_schema = false
    config.require_master_key = true if ENV['REQUIRE_MASTER_KEY']
  end
end
"""
RAILS_ENVIRONMENT = """\
require_relative 'application'
Rails.application.initialize!
"""
RAILS_ROUTES = """\
Rails.application.routes.draw do
  root 'products#index'
  get 'about', to: 'products#about'
  get 'report', to: 'products#report'
  get 'quote', to: 'products#quote'
  get 'wait', to: 'products#wait'
  get 'stock', to: 'products#stock'
  post 'import', to: 'products#import'
end
"""
RAILS_CONTROLLER = """\
require 'net/http'
class Product < ActiveRecord::Base; end
class ProductsController < ActionController::Base
  skip_forgery_protection
  def index
    render json: Product.order(:id).limit(20)
  end
  def about
    render plain: 'About us ' * 100
  end
  def report
    sleep 6
    render plain: 'report'
  end
  def quote
    render plain: Net::HTTP.get(URI('http://127.0.0.1:4567/quote'))
  end
  def wait
    Product.connection.execute("select pg_sleep(#{(params[:seconds] || 20).to_f})")
    render plain: 'waited'
  end
  def stock
    render json: { left: Product.find_by(id: 0).price }
  end
  def import
    render plain: request.body.read.size
  end
end
"""
RAILS_DATABASE = """\
production:
  adapter: postgresql
  host: 127.0.0.1
  database: shop
  username: shop
  password: <%= ENV['SHOP_DATABASE_PASSWORD'] %>
  pool: <%= ENV.fetch('RAILS_MAX_THREADS', 5) %>
  connect_timeout: 5
"""
RAILS_PUMA = """\
environment ENV.fetch('RAILS_ENV')
threads 5, 5
workers Integer(ENV.fetch('WEB_CONCURRENCY', 2))
preload_app!
bind 'unix:///home/deploy/shop/shared/tmp/sockets/puma.sock'
stdout_redirect '/home/deploy/shop/shared/log/puma.out', '/home/deploy/shop/shared/log/puma.err', true
on_worker_boot { ActiveRecord::Base.establish_connection }
"""
RAILS_UNIT = """[Unit]
Description=Puma HTTP server for shop (production)
After=network.target postgresql.service

[Service]
Type=simple
User=deploy
WorkingDirectory=/home/deploy/shop/current
EnvironmentFile=/home/deploy/shop/shared/.env
ExecStart=/usr/bin/puma -C config/puma.rb
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
RAILS_SITE = """\
upstream puma_shop {
    server unix:/home/deploy/shop/shared/tmp/sockets/puma.sock fail_timeout=0;
}
server {
    listen 80 default_server;
    server_name shop.example;
    root /home/deploy/shop/current/public;
    access_log /home/deploy/shop/shared/log/nginx.access.log;
    error_log /home/deploy/shop/shared/log/nginx.error.log;
    client_max_body_size 20m;
    try_files $uri/index.html $uri @puma;
    location @puma {
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Host $http_host;
        proxy_redirect off;
        proxy_read_timeout 9s;
        proxy_pass http://puma_shop;
    }
    error_page 500 502 503 504 /500.html;
}
"""
RAILS_SETUP = (
    POSTGRES
    + """
useradd --create-home --shell /bin/bash deploy
chmod 755 /home/deploy
cd /home/deploy/shop
mkdir -p shared/tmp/sockets shared/log current/public current/log current/tmp
mv app config config.ru current/
ln -s /home/deploy/shop/shared/log/production.log current/log/production.log
echo '<h1>Sorry</h1>' > current/public/500.html
chown -R deploy: /home/deploy
systemctl enable --now puma-shop
rm -f /etc/nginx/sites-enabled/default
ln -s /etc/nginx/sites-available/rails-shop /etc/nginx/sites-enabled/
systemctl enable --now nginx
"""
)
RAILS_AT = frozenset({"unix:/home/deploy/shop/shared/tmp/sockets/puma.sock", "puma_shop"})
RAILS_AGAIN = "systemctl restart puma-shop || true"
RAILS_ENDED = "systemctl is-failed -q puma-shop || test $(systemctl show -p NRestarts --value puma-shop) -ge 1"
RAILS_UP = "until curl -fs -o /dev/null --unix-socket /home/deploy/shop/shared/tmp/sockets/puma.sock http://shop/about; do sleep 0.2; done"
RAILS_FAULTS = (
    Fault(
        id="rails-secret-key-base-missing",
        happens="SECRET_KEY_BASE is left out of the server's new .env; Rails raises ArgumentError at its start",
        steps=f"sed -i /SECRET_KEY_BASE/d /home/deploy/shop/shared/.env; {RAILS_AGAIN}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing"),
        targets=RAILS_AT,
    ),
    Fault(
        id="rails-master-key-missing",
        happens="config/master.key is not among the linked files and the application requires it",
        steps=f"echo REQUIRE_MASTER_KEY=1 >> /home/deploy/shop/shared/.env; {RAILS_AGAIN}",
        settle=RAILS_ENDED,
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing"),
        targets=RAILS_AT,
    ),
    Fault(
        id="rails-database-password-rotated",
        happens="the database's password was rotated and the application's was not; pages with data answer 500",
        steps="sudo -u postgres psql -qc \"alter role shop password 'rotated'\"; "
        "sudo -u postgres psql -qc \"select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'\"",
        expects=causes("backend-dependency-down"),
        partly=causes("application-error", "upstream-error-status"),
        targets=RAILS_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="rails-home-directory-closed",
        happens="hardening sets /home/deploy to mode 0750; nginx's user may no longer reach the socket below it",
        steps="chmod 750 /home/deploy",
        expects=causes("unix-socket-permission"),
        targets=RAILS_AT,
    ),
    Fault(
        id="rails-partner-api-hangs",
        happens="a partner's service accepts connections and never answers; every quote holds a thread for a minute, soon all ten",
        steps="systemd-run -q --unit=partner python3 -c \"import socket,time; s=socket.create_server(('127.0.0.1',4567)); kept=[s.accept() for _ in range(10**6)]\"; "
        "until ss -ltn | grep -q :4567; do sleep 0.1; done",
        routes=(Route(path="/quote", weight=4),),
        users=16,
        expects=causes("backend-dependency-slow", "workers-exhausted", "backend-hung"),
        partly=causes("backend-too-slow", "proxy-timeout-too-short"),
        targets=RAILS_AT | {"127.0.0.1:4567"},
    ),
    Fault(
        id="rails-connection-pool-too-small",
        happens="database.yml's pool is 1 for five threads; slow queries, and the others raise ConnectionTimeoutError (500)",
        steps=f"sed -i 's/pool: .*/pool: 1/' /home/deploy/shop/current/config/database.yml; systemctl kill -s USR2 --kill-who=main puma-shop; sleep 4; {RAILS_UP}",
        routes=(Route(path="/wait?seconds=4", weight=4),),
        users=16,
        expects=causes("backend-dependency-slow", "application-error", "workers-exhausted"),
        partly=causes("upstream-error-status", "backend-too-slow", "backend-dependency-down"),
        targets=RAILS_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="rails-tmp-full",
        happens="/tmp is full; Puma cannot write the bodies of larger uploads",
        steps="mount -t tmpfs -o size=300k,mode=1777 tmpfs /tmp; head -c 290000 /dev/zero > /tmp/core.1234 || true",
        routes=(Route(path="/import", method="POST", body_bytes=400_000, weight=6),),
        expects=causes("disk-full"),
        partly=causes(
            "application-error",
            "upstream-error-status",
            "premature-close",
            "connection-reset",
            "backend-hung",
            "truncated-response",
            "backend-too-slow",
        ),
        targets=RAILS_AT,
    ),
    Fault(
        id="rails-query-raises",
        happens="a controller raises on one page (NoMethodError for nil: a product that is gone); the page answers 500",
        steps="true",
        routes=(Route(path="/stock", weight=3),),
        expects=causes("application-error", "upstream-error-status"),
        targets=RAILS_AT,
    ),
    Fault(
        id="rails-log-owned-by-root",
        happens="someone ran the deploy as root: Puma's log files belong to root, and it does not start again",
        steps=f"chown root: /home/deploy/shop/shared/log/puma.*; chmod 644 /home/deploy/shop/shared/log/puma.*; {RAILS_AGAIN}",
        settle=RAILS_ENDED,
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed", "unix-socket-missing"),
        targets=RAILS_AT,
    ),
)

STACKS = (
    Stack(
        name="next",
        about="Next.js (next start) under systemd behind nginx with a JSON access log, and an API that it renders from",
        files={
            "/srv/catalog/index.js": CATALOG,
            "/etc/systemd/system/catalog.service": CATALOG_UNIT,
            "/etc/systemd/system/storefront.service": NEXT_UNIT,
            "/var/www/storefront/.env": NEXT_ENV,
            "/etc/nginx/sites-available/storefront.conf": NEXT_SITE,
        },
        setup=NEXT_PLACE + "systemctl enable --now storefront\n" + NEXT_NGINX,
        routes=NEXT_ROUTES,
        faults=NEXT_FAULTS,
        calms=(
            Calm(
                id="next-bots",
                happens="scanners get 403 and 404, a bot runs in a circle of redirects, users break off pages, nginx reloads",
                steps="systemctl reload nginx",
                routes=(
                    Route(path="/admin/login", host=WWW, weight=3),
                    Route(path="/wp-login.php", host=WWW, weight=3),
                    Route(path="/old", host=WWW, weight=3),
                    Route(path="/_next/static/missing.js", host=WWW),
                ),
                cancels=True,
                seconds=12,
            ),
            Calm(
                id="next-slow-report",
                happens="a report of 4 s, which is allowed; a failing nightly unit that has nothing to do with the site",
                steps="systemd-run -q --unit=backup-offsite false || true",
                routes=(Route(path="/report?seconds=4", host=WWW, weight=4),),
                seconds=14,
            ),
        ),
    ),
    Stack(
        name="next-pm2",
        about="Next.js in two processes of PM2's cluster mode behind nginx",
        files={
            "/srv/catalog/index.js": CATALOG,
            "/etc/systemd/system/catalog.service": CATALOG_UNIT,
            "/etc/systemd/system/pm2-deploy.service": PM2_UNIT,
            "/var/www/storefront/ecosystem.config.js": NEXT_PM2,
            "/etc/nginx/sites-available/storefront.conf": NEXT_SITE,
        },
        setup=NEXT_PLACE + "systemctl enable --now pm2-deploy\n" + NEXT_NGINX,
        routes=NEXT_ROUTES,
        faults=NEXT_PM2_FAULTS,
        calms=(
            Calm(
                id="next-pm2-old-unit-left",
                happens="the systemd unit of before PM2 is still installed, disabled and failed; ordinary traffic",
                steps="printf '[Service]\\nUser=deploy\\nWorkingDirectory=/var/www/storefront/old\\nExecStart=/usr/bin/node server.js\\n' > /etc/systemd/system/storefront-old.service; "
                "systemctl daemon-reload; systemctl start storefront-old || true",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="rails",
        about="Rails in Puma (two workers of five threads) on a unix socket below a home directory, nginx, PostgreSQL",
        files={
            "/home/deploy/shop/config.ru": RAILS_RU,
            "/home/deploy/shop/config/application.rb": RAILS_APPLICATION,
            "/home/deploy/shop/config/environment.rb": RAILS_ENVIRONMENT,
            "/home/deploy/shop/config/routes.rb": RAILS_ROUTES,
            "/home/deploy/shop/config/database.yml": RAILS_DATABASE,
            "/home/deploy/shop/config/puma.rb": RAILS_PUMA,
            "/home/deploy/shop/app/controllers/products_controller.rb": RAILS_CONTROLLER,
            "/home/deploy/shop/shared/.env": "RAILS_ENV=production\nSECRET_KEY_BASE=0f1e2d3c4b5a\nSHOP_DATABASE_PASSWORD=hunter22\n",
            "/etc/systemd/system/puma-shop.service": RAILS_UNIT,
            "/etc/nginx/sites-available/rails-shop": RAILS_SITE,
        },
        setup=RAILS_SETUP,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=RAILS_FAULTS,
        calms=(
            Calm(
                id="rails-slow-report",
                happens="a report of 6 s, which is allowed; scanners get 404; psql looks at the database",
                steps="sudo -u postgres psql -qc 'select count(*) from products' shop",
                routes=(Route(path="/report", weight=1), Route(path="/.git/config", weight=3)),
                seconds=16,
            ),
        ),
    ),
)
