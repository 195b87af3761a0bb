"""WordPress and a PHP shop in pools of their own users with MariaDB, and Express under PM2 (cluster and fork) with MariaDB."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import MARIADB

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")

POOL = """\
[{name}]
user = {name}
group = {name}
listen = /run/php/{name}.sock
listen.owner = www-data
listen.group = www-data
pm = ondemand
pm.max_children = {children}
pm.process_idle_timeout = 10s
pm.max_requests = 500
"""
BLOGS_SITE = """\
server {
    listen 80;
    server_name blog.example www.blog.example;
    root /usr/share/wordpress;
    index index.php;
    access_log /var/log/nginx/blog.access.log;
    error_log /var/log/nginx/blog.error.log;
    client_max_body_size 64M;

    location / {
        try_files $uri $uri/ /index.php$is_args$args;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/blog.sock;
    }
    location ~ /\\.ht {
        deny all;
    }
}
"""
STORE_SITE = """\
server {
    listen 80;
    server_name store.example www.store.example;
    root /var/www/store;
    index index.php;

    location / {
        try_files $uri $uri/ /index.php?$query_string;
    }
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/store.sock;
    }
}
"""
STORE = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/terms') { echo str_repeat('<p>Terms</p>', 100); exit; }
if ($path === '/catalogue') { $rows = []; while (true) { $rows[] = array_fill(0, 1000, 'product'); } }
$base = new mysqli('localhost', 'shop', 'hunter22', 'shop');
echo json_encode($base->query('select name, price from products limit 20')->fetch_all());
"""
WP_CONFIG = """<?php
define('DB_NAME', 'wordpress'); define('DB_USER', 'wordpress'); define('DB_PASSWORD', 'hunter22'); define('DB_HOST', 'localhost');
define('WP_CONTENT_DIR', '/var/lib/wordpress/wp-content');
define('DISABLE_WP_CRON', true);
"""
SEARCH_PLUGIN = (
    "<?php add_action('init', function () { if (isset($_GET['s'])) { sleep(3); } }); // a search over all custom fields\n"
)
BLOGS_SETUP = (
    MARIADB
    + """
systemctl enable mariadb 2>/dev/null
mariadb -e "create database wordpress; create user wordpress@localhost identified by 'hunter22'; grant all on wordpress.* to wordpress@localhost"
useradd --system blog; useradd --system store
mkdir -p /var/lib/wordpress/wp-content/uploads; chown -R blog: /var/lib/wordpress/wp-content
systemctl enable --now php8.2-fpm
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/blog /etc/nginx/sites-available/store /etc/nginx/sites-enabled/
nginx -t 2>/dev/null; systemctl enable --now nginx
curl -fsS -o /dev/null -H 'Host: blog.example' --data-urlencode weblog_title=Blog --data-urlencode user_name=admin --data-urlencode admin_password=hunter22hunter \
  --data-urlencode admin_password2=hunter22hunter --data-urlencode admin_email=a@blog.example --data pw_weak=1 --data blog_public=0 \
  'http://127.0.0.1/wp-admin/install.php?step=2'
mariadb wordpress -e "update wp_options set option_value='http://blog.example' where option_name in ('siteurl','home')"
"""
)
BLOG, SHOP = "blog.example", "store.example"
BLOG_AT, STORE_AT = frozenset({"unix:/run/php/blog.sock"}), frozenset({"unix:/run/php/store.sock"})
BOTH_AT = BLOG_AT | STORE_AT
MARIADB_AT = frozenset({"127.0.0.1:3306", "localhost:3306", "unix:/run/mysqld/mysqld.sock", "unix:/var/run/mysqld/mysqld.sock"})
FPM_AGAIN = "systemctl restart php8.2-fpm || true"
BLOGS_FAULTS = (
    Fault(
        id="blogs-plugin-update-fatal",
        happens="a plugin's update calls a function that this version of WordPress does not have: each page of the blog is a 500 (critical error), the store is fine",
        steps="mkdir -p /var/lib/wordpress/wp-content/mu-plugins; echo \"<?php add_action('init', function () { wp_get_speculation_rules_configuration_v2(); });\" > /var/lib/wordpress/wp-content/mu-plugins/speed.php",
        expects=OWN_ERROR,
        targets=BLOG_AT,
    ),
    Fault(
        id="blogs-pool-file-lost-in-upgrade",
        happens="an upgrade of PHP replaces the pool directory with the package's: the blog's pool is gone, nginx still asks its socket",
        steps=f"mv /etc/php/8.2/fpm/pool.d/blog.conf /etc/php/8.2/fpm/pool.d/blog.conf.dpkg-old; {FPM_AGAIN}",
        expects=causes("php-fpm-socket-mismatch", "unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=BLOG_AT,
    ),
    Fault(
        id="blogs-mariadb-option-unknown",
        happens="a tuning guide's my.cnf has query_cache_limits; MariaDB does not start again at night, WordPress cannot establish a database connection (500)",
        steps="printf '[mysqld]\\nquery_cache_limits = 64M\\n' > /etc/mysql/mariadb.conf.d/99-tuning.cnf; systemctl restart mariadb || true",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=BOTH_AT | MARIADB_AT,
    ),
    Fault(
        id="blogs-crawler-searches",
        happens="a crawler follows the search of the blog, 3 s each: all four children of the pool are busy, readers wait longer than they care to",
        steps=f"mkdir -p /var/lib/wordpress/wp-content/mu-plugins; cat > /var/lib/wordpress/wp-content/mu-plugins/search.php <<'X'\n{SEARCH_PLUGIN}X",
        routes=(Route(path="/?s=shoes", host=BLOG, weight=60),),
        users=38,
        failures=10,
        limit_s=80.0,
        patience_s=20.0,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=causes("backend-too-slow", "client-closed-request", "listen-backlog-overflow"),
        targets=BLOG_AT,
    ),
    Fault(
        id="blogs-new-pool-without-owner",
        happens="the store's pool file is written anew from a guide without listen.owner: the socket belongs to its own user, nginx may not connect",
        steps=f"sed -i '/^listen.owner/d; /^listen.group/d' /etc/php/8.2/fpm/pool.d/store.conf; sed -i 's/^listen = .*/&\\nlisten.owner = store\\nlisten.group = store/' /etc/php/8.2/fpm/pool.d/store.conf; {FPM_AGAIN}",
        expects=causes("unix-socket-permission"),
        targets=STORE_AT,
    ),
    Fault(
        id="blogs-fastcgi-port-of-a-guide",
        happens="the store's site is copied anew from a guide with fastcgi_pass 127.0.0.1:9000, and the pools listen on sockets only",
        steps="sed -i 's#fastcgi_pass .*#fastcgi_pass 127.0.0.1:9000;#' /etc/nginx/sites-available/store; systemctl reload nginx",
        expects=causes("php-fpm-socket-mismatch", "wrong-port"),
        partly=causes("backend-not-running", "wrong-address"),
        targets=frozenset({"127.0.0.1:9000"}),
    ),
    Fault(
        id="blogs-too-many-connections",
        happens="a broken import holds MariaDB's connections; WordPress and the store answer 500 (Too many connections)",
        steps="mariadb -e 'set global max_connections = 12'; for n in $(seq 13); do (setsid mariadb -ushop -phunter22 shop -e 'select sleep(300)' >/dev/null 2>&1 &); done; sleep 1",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=BOTH_AT | MARIADB_AT,
    ),
    Fault(
        id="blogs-maintenance-file-left",
        happens="an automatic update of WordPress broke off and left its .maintenance file: Briefly unavailable for scheduled maintenance (503)",
        steps="echo '<?php $upgrading = time(); ?>' > /usr/share/wordpress/.maintenance",
        expects=causes("upstream-error-status", "maintenance-response"),
        partly=causes("application-error"),
        targets=BLOG_AT,
    ),
    Fault(
        id="blogs-store-memory-limit",
        happens="the catalogue page of the store needs more than memory_limit: Allowed memory size exhausted, 500",
        steps="true",
        routes=(Route(path="/catalogue", host=SHOP, weight=4),),
        expects=OWN_ERROR,
        targets=STORE_AT,
    ),
)
BLOGS_CALMS = (
    Calm(
        id="blogs-update-night",
        happens="packages are upgraded: PHP-FPM reloads with grace, nginx reloads, logs rotate, a dump of the databases; bots try xmlrpc.php and .env",
        steps="systemctl reload php8.2-fpm; mariadb-dump --all-databases > /root/all.sql; logrotate -f /etc/logrotate.d/nginx; logrotate -f /etc/logrotate.d/php8.2-fpm; systemctl reload nginx; "
        "curl -s -o /dev/null -H 'Host: blog.example' http://127.0.0.1/.htaccess",
        routes=(Route(path="/xmlrpc.php", host=BLOG, expect=(405,)), Route(path="/.env", host=SHOP)),
    ),
    Calm(
        id="blogs-failures-of-yesterday",
        happens="yesterday the pool was overloaded: its warnings and nginx's errors are still in the logs; today all is well",
        steps="printf '%s WARNING: [pool blog] server reached pm.max_children setting (4), consider raising it\\n' \"$(date -d yesterday '+[%d-%b-%Y %H:%M:%S]')\" >> /var/log/php8.2-fpm.log; "
        "printf '%s [error] 811#811: *9 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 203.0.113.31, server: blog.example, "
        'request: "GET /?s=x HTTP/1.1", upstream: "fastcgi://unix:/run/php/blog.sock", host: "blog.example"\\n\' "$(date -d yesterday \'+%Y/%m/%d %H:%M:%S\')" > /root/old; '
        "cat /var/log/nginx/blog.error.log >> /root/old; cat /root/old > /var/log/nginx/blog.error.log",
        seconds=10.0,
    ),
)

ORDERS_API = """\
const express = require('express');
const mysql = require('mysql2/promise');
if (!process.env.DATABASE_URL) throw new Error('DATABASE_URL is not defined');
const pool = mysql.createPool({ uri: process.env.DATABASE_URL, connectionLimit: 5 });
const app = express();
app.get('/api/orders', async (req, res) => {
  try {
    const [rows] = await pool.query('select id, name, price from products limit 20');
    res.json(rows);
  } catch (error) {
    console.error('orders:', error.message);
    res.status(500).json({ error: 'internal' });
  }
});
app.get('/api/ping', (req, res) => res.json({ ok: true }));
app.get('/api/refund/:id', async (req, res) => {
  const connection = await pool.getConnection();
  const [rows] = await connection.query('select id from products where id = ?', [req.params.id]);
  if (!rows.length) return res.status(404).json({ error: 'no such order' });
  connection.release();
  res.json(rows[0]);
});
app.get('/api/invoice/:id', async (req, res) => {
  const [rows] = await pool.query('select name from products where id = ?', [req.params.id]);
  res.json({ name: rows[0].name.toUpperCase() });
});
const server = app.listen(4000, '127.0.0.1');
process.on('SIGINT', () => server.close(() => process.exit(0)));
"""
ORDERS_WEB = """\
const express = require('express');
const app = express();
const kept = [];
app.get('/', async (req, res) => {
  try {
    const answer = await fetch('http://127.0.0.1:4000/api/orders');
    if (!answer.ok) throw new Error('API answered ' + answer.status);
    res.send('<ul>' + (await answer.json()).map((each) => '<li>' + each.name + '</li>').join('') + '</ul>');
  } catch (error) {
    console.error('render failed:', error.message);
    res.status(500).send('Internal Server Error');
  }
});
app.get('/about', (req, res) => res.send('<p>About us</p>'.repeat(60)));
app.get('/login', (req, res) => { for (let n = 0; n < 8; n++) res.cookie('session.' + n, 'x'.repeat(1000)); res.send('welcome'); });
app.get('/export', (req, res) => { for (let n = 0; n < 60; n++) kept.push(Array.from({ length: 20000 }, (_, i) => ({ n, i }))); res.send('exported'); });
setTimeout(() => app.listen(3000, '127.0.0.1'), 1500); // templates are compiled first
"""
ECOSYSTEM = """\
module.exports = { apps: [
  { name: 'api', cwd: '/srv/orders', script: 'api.js', instances: 2, exec_mode: 'cluster', env: { NODE_ENV: 'production', DATABASE_URL: 'mysql://shop:hunter22@127.0.0.1/shop' } },
  { name: 'web', cwd: '/srv/orders', script: 'web.js', node_args: '--max-old-space-size=64', env: { NODE_ENV: 'production' } },
] };
"""
PM2_UNIT = """[Unit]
Description=PM2 process manager
Documentation=https://pm2.keymetrics.io/
After=network.target

[Service]
Type=forking
User=deploy
LimitNOFILE=infinity
LimitNPROC=infinity
LimitCORE=infinity
Environment=PATH=/opt/node/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Environment=PM2_HOME=/home/deploy/.pm2
PIDFile=/home/deploy/.pm2/pm2.pid
Restart=on-failure

ExecStart=/opt/node/node_modules/pm2/bin/pm2 resurrect
ExecReload=/opt/node/node_modules/pm2/bin/pm2 reload all
ExecStop=/opt/node/node_modules/pm2/bin/pm2 kill

[Install]
WantedBy=multi-user.target
"""
ORDERS_SITE = """\
upstream web {
    server 127.0.0.1:3000;
    keepalive 16;
}
server {
    listen 80;
    server_name orders.example;
    access_log /var/log/nginx/orders.access.log;
    error_log /var/log/nginx/orders.error.log;

    location /api/ {
        proxy_pass http://127.0.0.1:4000;
        proxy_set_header Host $host;
        proxy_read_timeout 10s;
    }
    location / {
        proxy_pass http://web;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_read_timeout 10s;
    }
}
"""
STAGING_SITE = """\
server {
    listen 80;
    server_name orders.example staging.orders.example;
    location / {
        proxy_pass http://127.0.0.1:5000;
        proxy_set_header Host $host;
    }
}
"""
PM2 = "sudo -u deploy env PATH=/opt/node/node_modules/.bin:/usr/bin:/bin PM2_HOME=/home/deploy/.pm2 pm2 -s"
ORDERS_SETUP = (
    MARIADB
    + f"""
systemctl enable mariadb 2>/dev/null
useradd --create-home --shell /bin/bash deploy; ln -s /opt/node/node_modules /srv/orders/node_modules; chown -R deploy: /srv/orders /home/deploy
cd /srv/orders; {PM2} start ecosystem.config.js; {PM2} save; {PM2} kill
systemctl enable --now pm2-deploy
until curl -fs -o /dev/null http://127.0.0.1:4000/api/orders && curl -fs -o /dev/null http://127.0.0.1:3000/; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/orders /etc/nginx/sites-enabled/orders
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
)
ORDERS = "orders.example"
ORDERS_API_AT, ORDERS_WEB_AT = frozenset({"127.0.0.1:4000"}), frozenset({"127.0.0.1:3000", "web"})
WEB_UP = "until curl -fs -o /dev/null http://127.0.0.1:3000/about; do sleep 0.2; done"
ORDERS_FAULTS = (
    Fault(
        id="orders-variable-missing",
        happens="the ecosystem file in the repository has no DATABASE_URL (it was typed on the server once): after the deploy the API throws at each start, PM2 starts it again and again",
        steps=f"sed -i \"s#, DATABASE_URL: '[^']*'##\" /srv/orders/ecosystem.config.js; cd /srv/orders; {PM2} delete api; {PM2} start ecosystem.config.js --only api || true",
        settle="test $(grep -c 'exited with code' /home/deploy/.pm2/pm2.log) -ge 6",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=ORDERS_API_AT,
    ),
    Fault(
        id="orders-web-not-saved",
        happens="`pm2 save` was run while web was away for a test; the server is rebooted, PM2 brings back the API only",
        steps=f"{PM2} delete web; {PM2} save --force; systemctl restart pm2-deploy; until curl -fs -o /dev/null http://127.0.0.1:4000/api/ping; do sleep 0.2; done",
        expects=causes("backend-not-running"),
        targets=ORDERS_WEB_AT,
    ),
    Fault(
        id="orders-pool-leaks",
        happens="a refund for an order that does not exist never gives its database connection back; after five of them in each process every page with data waits for ever",
        steps="true",
        routes=(Route(path="/api/refund/999999", host=ORDERS, weight=4),),
        failures=10,
        limit_s=80.0,
        expects=causes("backend-dependency-slow", "backend-hung", "workers-exhausted", "backend-too-slow"),
        partly=causes("proxy-timeout-too-short", "backend-dependency-down"),
        targets=ORDERS_API_AT | ORDERS_WEB_AT,
    ),
    Fault(
        id="orders-invoice-kills-process",
        happens="an invoice of an unknown order rejects a promise that nobody catches: Node.js ends the process, PM2 starts it again, and again",
        steps="true",
        routes=(Route(path="/api/invoice/999999", host=ORDERS, weight=3),),
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("premature-close", "connection-reset", "backend-not-running", "application-error"),
        targets=ORDERS_API_AT,
    ),
    Fault(
        id="orders-export-heap",
        happens="the export keeps everything in a heap of 64 MB: JavaScript heap out of memory, the process aborts, PM2 starts it again",
        steps="true",
        routes=(Route(path="/export", host=ORDERS, weight=2),),
        failures=15,
        settle="grep -rqs 'heap out of memory' /home/deploy/.pm2/logs",
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("backend-oom-killed", "premature-close", "connection-reset", "backend-not-running", "memory-pressure"),
        targets=ORDERS_WEB_AT,
    ),
    Fault(
        id="orders-mariadb-stopped",
        happens="MariaDB is stopped for a copy of its files and forgotten; the API answers 500, so the site does",
        steps="systemctl stop mariadb",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=ORDERS_API_AT | ORDERS_WEB_AT | MARIADB_AT,
    ),
    Fault(
        id="orders-login-cookies",
        happens="the log-in sets 8 kB of cookies, more than nginx's buffer for a response header",
        steps="true",
        routes=(Route(path="/login", host=ORDERS, weight=4),),
        expects=causes("response-header-too-big"),
        targets=ORDERS_WEB_AT,
    ),
    Fault(
        id="orders-pm2-restart-in-deploys",
        happens="each deploy runs `pm2 restart web`, a single process that takes seconds to listen: users meet refusals; it is up again",
        steps=f"for n in 1 2; do {PM2} restart web; {WEB_UP}; sleep 1; done",
        failures=4,
        expects=causes("deploy-termination-race"),
        partly=causes("backend-not-running", "connection-reset", "premature-close"),
        targets=ORDERS_WEB_AT,
    ),
    Fault(
        id="orders-staging-takes-the-name",
        happens="the site of a staging copy names orders.example too and comes first in the alphabet: nginx sends everybody to port 5000, where nothing runs",
        steps=f"cat > /etc/nginx/sites-available/a-staging <<'X'\n{STAGING_SITE}X\nln -s /etc/nginx/sites-available/a-staging /etc/nginx/sites-enabled/a-staging; systemctl reload nginx",
        expects=causes("backend-not-running", "wrong-port"),
        targets=frozenset({"127.0.0.1:5000"}),
    ),
)
ORDERS_CALMS = (
    Calm(
        id="orders-pm2-reload",
        happens="a deploy with `pm2 reload api` (one process after the other, with grace), `pm2 flush`, nginx reloads; orders that do not exist (404)",
        steps=f"{PM2} reload api; {PM2} flush; systemctl reload nginx",
        routes=(Route(path="/api/nothing", host=ORDERS),),
    ),
    Calm(
        id="orders-worker-stopped-on-purpose",
        happens="PM2 also has a mailer, stopped by its owner, and its old errors are in the log; users break off pages",
        steps=f"echo \"throw new Error('SMTP password missing')\" > /srv/orders/mailer.js; cd /srv/orders; {PM2} start mailer.js --no-autorestart || true; sleep 2; {PM2} stop mailer || true",
        cancels=True,
        seconds=12.0,
    ),
)

STACKS = (
    Stack(
        name="blogs",
        about="WordPress and a PHP store in pools of their own users (unix sockets, ondemand) behind nginx, MariaDB",
        files={
            "/etc/php/8.2/fpm/pool.d/blog.conf": POOL.format(name="blog", children=4),
            "/etc/php/8.2/fpm/pool.d/store.conf": POOL.format(name="store", children=6),
            "/var/www/store/index.php": STORE,
            "/etc/wordpress/config-blog.example.php": WP_CONFIG,
            "/etc/nginx/sites-available/blog": BLOGS_SITE,
            "/etc/nginx/sites-available/store": STORE_SITE,
        },
        setup=BLOGS_SETUP,
        routes=(
            Route(path="/", host=BLOG, weight=4),
            Route(path="/wp-login.php", host=BLOG),
            Route(path="/", host=SHOP, weight=3),
            Route(path="/terms", host=SHOP, weight=2),
        ),
        faults=BLOGS_FAULTS,
        calms=BLOGS_CALMS,
    ),
    Stack(
        name="orders",
        about="Express under PM2 (an API in cluster mode, pages rendered in fork mode) behind nginx, MariaDB",
        files={
            "/srv/orders/api.js": ORDERS_API,
            "/srv/orders/web.js": ORDERS_WEB,
            "/srv/orders/ecosystem.config.js": ECOSYSTEM,
            "/etc/systemd/system/pm2-deploy.service": PM2_UNIT,
            "/etc/nginx/sites-available/orders": ORDERS_SITE,
        },
        setup=ORDERS_SETUP,
        routes=(
            Route(path="/", host=ORDERS, weight=4),
            Route(path="/about", host=ORDERS, weight=2),
            Route(path="/api/orders", host=ORDERS, weight=3),
            Route(path="/api/ping", host=ORDERS, weight=2),
        ),
        faults=ORDERS_FAULTS,
        calms=ORDERS_CALMS,
    ),
)
