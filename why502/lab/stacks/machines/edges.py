"""HAProxy with a map, stick tables and TLS backends; Apache with PHP pools and uWSGI; Hitch and Varnish;
Caddy with health checks.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API

MAPPED = """\
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    server-state-file /var/lib/haproxy/state
    user haproxy
    group haproxy
    daemon

resolvers local
    nameserver dnsmasq 127.0.0.1:53
    hold valid 1s
    hold nx 1s
    hold obsolete 1s
    resolve_retries 2
    timeout retry 300ms

defaults
    log global
    mode http
    option httplog
    option dontlognull
    option redispatch
    retries 2
    timeout connect 2s
    timeout client 30s
    timeout server 10s
    timeout queue 3s
    errorfile 503 /etc/haproxy/errors/503.http

frontend www
    bind *:80
    stick-table type ip size 100k expire 30s store http_req_rate(10s)
    http-request track-sc0 src
    http-request deny deny_status 503 if { sc_http_req_rate(0) gt 400 }
    http-request deny deny_status 403 if { path_beg /.env /wp-login }
    use_backend %[req.hdr(host),field(1,:),lower,map(/etc/haproxy/hosts.map)]

backend be_orders
    option httpchk GET /health
    default-server check inter 1s fall 2 rise 1
    server orders1 127.0.0.1:9101
    server orders2 127.0.0.1:9102

backend be_billing
    server billing 127.0.0.1:9443 ssl verify required ca-file /etc/haproxy/ca.pem verifyhost billing.firm.internal

backend be_search
    server search search.firm.internal:9301 resolvers local init-addr last,libc,none check inter 1s fall 2
"""
HOSTS_MAP = "orders.firm.example be_orders\nbilling.firm.example be_billing\nsearch.firm.example be_search\n"
PLAIN_UNIT = """[Unit]
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 6 --bind 127.0.0.1:%i api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
BILLING_UNIT = """[Unit]
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 6 --certfile /etc/haproxy/billing.pem --keyfile /etc/haproxy/billing.key --bind 127.0.0.1:9443 api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
MAP_SETUP = """
cd /etc/haproxy
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Firm CA' 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout billing.key -out billing.csr -subj '/CN=billing.firm.internal' 2>/dev/null
printf 'subjectAltName=DNS:billing.firm.internal' > billing.ext
openssl x509 -req -in billing.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile billing.ext -days 60 -out billing.pem 2>/dev/null
chmod 644 billing.key
touch /var/lib/haproxy/state
printf 'no-resolv\\nno-hosts\\nhost-record=search.firm.internal,127.0.0.1\\n' > /etc/dnsmasq.d/firm.conf
systemctl enable --now rsyslog dnsmasq
systemctl enable --now plain@9101 plain@9102 plain@9301 billing
for p in 9101 9102 9301; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.1; done; done
until curl -fsk -o /dev/null https://127.0.0.1:9443/; do sleep 0.1; done
systemctl enable --now haproxy
"""
ORDERS = Route(path="/", host="orders.firm.example", weight=3)
BILLING = Route(path="/invoices", host="billing.firm.example", weight=3)
SEARCH = Route(path="/find", host="search.firm.example", weight=3)
CFG = "/etc/haproxy/haproxy.cfg"
ORDERS_AT = frozenset(
    {"127.0.0.1:9101", "127.0.0.1:9102", "be_orders", "orders1", "orders2", "be_orders/orders1", "be_orders/orders2"}
)
BILLING_AT = frozenset({"127.0.0.1:9443", "be_billing", "billing", "be_billing/billing"})
SEARCH_AT = frozenset(
    {"127.0.0.1:9301", "be_search", "search", "be_search/search", "search.firm.internal", "search.firm.internal:9301"}
)
MAP_FAULTS = (
    Fault(
        id="hamap-name-mistyped",
        happens="the map names be_bililng for a host after an edit; there is no default backend, HAProxy answers 503 for that host",
        steps="sed -i 's/be_billing/be_bililng/' /etc/haproxy/hosts.map; systemctl reload haproxy",
        expects=causes("route-target-missing"),
        partly=causes("route-not-found", "no-upstream-members"),
    ),
    Fault(
        id="hamap-new-host-not-in-map",
        happens="a new host name goes live in the DNS before it is in the map: 503 for it, the others are fine",
        steps="true",
        routes=(Route(path="/", host="returns.firm.example", weight=3),),
        expects=causes("route-not-found"),
        partly=causes("route-target-missing", "no-upstream-members"),
    ),
    Fault(
        id="hamap-rate-limit-too-low",
        happens="the limit of the stick table is set to 4 in ten seconds in place of 400: HAProxy denies with 503",
        steps=f"sed -i 's/gt 400/gt 4/' {CFG}; systemctl reload haproxy",
        expects=causes("rate-limited"),
        partly=causes("denied-by-rule"),
    ),
    Fault(
        id="hamap-billing-certificate-expired",
        happens="nobody renewed billing's internal certificate; HAProxy verifies it",
        steps="cd /etc/haproxy; openssl x509 -req -in billing.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile billing.ext -days 0 -out billing.pem 2>/dev/null; sleep 1.1; "
        "systemctl restart billing; until curl -sk -o /dev/null https://127.0.0.1:9443/; do sleep 0.1; done",
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed"),
        targets=BILLING_AT,
    ),
    Fault(
        id="hamap-search-record-removed",
        happens="the DNS record of search is removed in a clean-up; HAProxy's resolver takes the server out for good",
        steps="sed -i '/host-record/d' /etc/dnsmasq.d/firm.conf; systemctl restart dnsmasq",
        expects=causes("dns-host-not-found"),
        partly=causes("all-upstreams-down", "no-upstream-members", "maintenance-response", "dns-resolver-failure"),
        targets=SEARCH_AT,
    ),
    Fault(
        id="hamap-proxy-header-to-orders",
        happens="send-proxy-v2 is added to all servers in a merge; gunicorn takes the PROXY header for a broken request",
        steps=f"sed -i 's/default-server check/default-server send-proxy-v2 check/' {CFG}; systemctl reload haproxy",
        expects=causes("wrong-protocol"),
        partly=causes("health-check-misconfigured", "all-upstreams-down", "invalid-response"),
        targets=ORDERS_AT,
    ),
    Fault(
        id="hamap-state-file-in-maintenance",
        happens="the state was saved during a maintenance and is loaded at each start since: both servers of orders stay in maintenance",
        steps=f"sed -i 's#errorfile 503#load-server-state-from-file global\\n    errorfile 503#' {CFG}; "
        "python3 -c \"import socket; a='/run/haproxy/admin.sock'\n"
        "def say(t):\n s=socket.socket(socket.AF_UNIX); s.connect(a); s.sendall(t.encode()+b'\\\\n'); d=b''\n while True:\n  p=s.recv(9999)\n  if not p: break\n  d+=p\n return d.decode()\n"
        "say('set server be_orders/orders1 state maint'); say('set server be_orders/orders2 state maint'); open('/var/lib/haproxy/state','w').write(say('show servers state'))\"; systemctl restart haproxy",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down"),
        targets=ORDERS_AT,
    ),
    Fault(
        id="hamap-errorfile-removed",
        happens="a clean-up removes the error page that the configuration names; HAProxy does not start after the nightly restart",
        steps="mv /etc/haproxy/errors/503.http /root/; systemctl restart haproxy || true",
        expects=causes("proxy-config-invalid", "proxy-not-running"),
    ),
    Fault(
        id="hamap-orders-slow-with-queue",
        happens="maxconn 3 for each server from a workshop, and a page of 2 s in a sale: requests wait in the queue and leave it with 503",
        steps=f"sed -i 's/default-server check/default-server maxconn 3 check/' {CFG}; systemctl reload haproxy",
        routes=(Route(path="/search", host="orders.firm.example", weight=30),),
        users=30,
        expects=causes("upstream-connection-limit"),
        partly=causes("workers-exhausted", "backend-too-slow"),
        targets=ORDERS_AT,
    ),
)

POOL = """\
[{name}]
user = {user}
group = www-data
listen = /run/php/{name}.sock
listen.owner = www-data
listen.group = www-data
pm = ondemand
pm.max_children = {children}
php_admin_value[error_log] = /var/log/php-{name}.log
php_admin_flag[log_errors] = on
"""
APACHE_SITE = """\
<VirtualHost *:80>
    ServerName shop.town.example
    DocumentRoot /var/www/shop
    ErrorLog ${APACHE_LOG_DIR}/town-shop.error.log
    CustomLog ${APACHE_LOG_DIR}/town-shop.access.log combined
    ProxyTimeout 8
    <Directory /var/www/shop>
        AllowOverride All
        Require all granted
    </Directory>
    <FilesMatch "\\.php$">
        SetHandler "proxy:unix:/run/php/shop.sock|fcgi://shop.local"
    </FilesMatch>
</VirtualHost>
<VirtualHost *:80>
    ServerName blog.town.example
    DocumentRoot /var/www/blog
    ErrorLog ${APACHE_LOG_DIR}/town-blog.error.log
    CustomLog ${APACHE_LOG_DIR}/town-blog.access.log combined
    ProxyTimeout 8
    <FilesMatch "\\.php$">
        SetHandler "proxy:unix:/run/php/blog.sock|fcgi://blog.local"
    </FilesMatch>
    ProxyPass "/stats/" "uwsgi://127.0.0.1:3032/"
</VirtualHost>
"""
HTACCESS = "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ index.php [L]\n"
TOWN_SHOP = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
require __DIR__ . '/vendor/cart.php';
if ($path === '/export') { sleep(5); }
echo str_repeat('<p>' . Cart::name() . '</p>', 60);
"""
CART = "<?php\nclass Cart { public static function name() { return 'Town shop'; } }\n"
TOWN_BLOG = "<?php\nif (isset($_GET['s'])) { sleep(4); }\nif (isset($_GET['old'])) { echo $undefined; }\necho str_repeat('<p>Blog</p>', 60);\n"
STATS = """\
import time
def application(environ, start_response):
    if environ["PATH_INFO"].endswith("/year"):
        time.sleep(6)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"stats " * 50]
"""
STATS_UNIT = """[Unit]
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/stats
ExecStart=/usr/bin/uwsgi --plugin python3 --uwsgi-socket 127.0.0.1:3032 --master --processes 3 --need-app --die-on-term --module stats
Restart=on-failure
KillSignal=SIGTERM

[Install]
WantedBy=multi-user.target
"""
TOWN_SETUP = """
useradd --system shopper; useradd --system blogger
rm /etc/php/8.2/fpm/pool.d/www.conf
touch /var/log/php-shop.log /var/log/php-blog.log; chown shopper /var/log/php-shop.log; chown blogger /var/log/php-blog.log
systemctl enable --now php8.2-fpm stats
until ss -ltn | grep -q :3032; do sleep 0.1; done
a2enmod -q proxy proxy_fcgi proxy_uwsgi rewrite
a2dissite -q 000-default
a2ensite -q town
systemctl enable --now apache2
"""
TOWN_SHOP_AT = frozenset({"unix:/run/php/shop.sock", "fcgi://shop.local"})
TOWN_BLOG_AT = frozenset({"unix:/run/php/blog.sock", "fcgi://blog.local"})
STATS_AT = frozenset({"127.0.0.1:3032"})
TOWN_FAULTS = (
    Fault(
        id="town-htaccess-circle",
        happens="a plugin writes a rule into .htaccess that always matches again: Apache gives up after ten internal redirects (500)",
        steps="printf 'RewriteEngine On\\nRewriteRule ^(.*)$ shop/$1\\n' > /var/www/shop/.htaccess",
        expects=causes("rewrite-cycle"),
    ),
    Fault(
        id="town-htaccess-module-absent",
        happens="a tutorial's `Header set` lines are put into .htaccess; mod_headers is not enabled, Apache answers 500 to everything in the directory",
        steps="echo 'Header set X-Frame-Options SAMEORIGIN' >> /var/www/shop/.htaccess",
        expects=causes("proxy-config-invalid", "proxy-module-missing"),
    ),
    Fault(
        id="town-pool-file-renamed",
        happens="the blog's pool is set up anew by a panel with another name; its socket is blog.town.example.sock, the site names blog.sock",
        steps="sed -i 's#/run/php/blog.sock#/run/php/blog.town.example.sock#; s/^.blog.$/[blog.town.example]/' /etc/php/8.2/fpm/pool.d/blog.conf; systemctl restart php8.2-fpm",
        expects=causes("php-fpm-socket-mismatch", "unix-socket-missing"),
        targets=TOWN_BLOG_AT,
    ),
    Fault(
        id="town-blog-pool-full",
        happens="a crawler searches the blog; its pool has two children and each search needs 4 s",
        steps="true",
        routes=(Route(path="/index.php?s=bicycle", host="blog.town.example", weight=20),),
        users=24,
        expects=causes("php-fpm-max-children"),
        partly=causes("workers-exhausted", "backend-too-slow", "listen-backlog-overflow"),
        targets=TOWN_BLOG_AT,
    ),
    Fault(
        id="town-pool-user-deleted",
        happens="the blog's system user is deleted with an old customer; PHP-FPM does not start after its upgrade, and the shop's pool is gone, too",
        steps="systemctl stop php8.2-fpm; userdel blogger; systemctl start php8.2-fpm || true",
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crash-loop"),
        targets=TOWN_BLOG_AT | TOWN_SHOP_AT,
    ),
    Fault(
        id="town-vendor-forgotten",
        happens="the deploy forgets vendor/: PHP stops at a require with a fatal error, status 500",
        steps="mv /var/www/shop/vendor /root/",
        expects=causes("application-error"),
        partly=causes("upstream-error-status"),
        targets=TOWN_SHOP_AT,
    ),
    Fault(
        id="town-stats-harakiri",
        happens="harakiri = 3 is set for uWSGI against stuck workers; the year's statistics need 6 s and their worker is killed",
        steps="sed -i 's/--need-app/--need-app --harakiri 3/' /etc/systemd/system/stats.service; systemctl daemon-reload; systemctl restart stats; until ss -ltn | grep -q :3032; do sleep 0.1; done",
        routes=(Route(path="/stats/year", host="blog.town.example", weight=4),),
        expects=causes("worker-timeout"),
        partly=causes("premature-close", "connection-reset", "backend-too-slow"),
        targets=STATS_AT,
    ),
    Fault(
        id="town-stats-http-to-uwsgi",
        happens="an edit writes http:// before the address of the uWSGI socket",
        steps="sed -i 's#uwsgi://127#http://127#' /etc/apache2/sites-available/town.conf; systemctl reload apache2",
        failures=8,
        expects=causes("wrong-protocol"),
        partly=causes("premature-close", "connection-reset", "invalid-response", "backend-too-slow"),
        targets=STATS_AT,
    ),
)

VCL = """\
vcl 4.1;
import directors;
probe alive { .url = "/health"; .interval = 1s; .timeout = 1s; .window = 3; .threshold = 2; .expected_response = 200; }
backend one { .host = "127.0.0.1"; .port = "9101"; .probe = alive; .connect_timeout = 2s; .first_byte_timeout = 8s; }
backend two { .host = "127.0.0.1"; .port = "9102"; .probe = alive; .connect_timeout = 2s; .first_byte_timeout = 8s; }
sub vcl_init { new both = directors.round_robin(); both.add_backend(one); both.add_backend(two); }
sub vcl_recv { set req.backend_hint = both.backend(); if (req.url ~ "^/wp-") { return (synth(404)); } }
sub vcl_backend_response { set beresp.ttl = 1s; set beresp.grace = 2s; if (bereq.url ~ "^/account") { set beresp.uncacheable = true; } }
"""
VARNISH_DROPIN = """[Service]
ExecStart=
ExecStart=/usr/sbin/varnishd -F -a :80 -a 127.0.0.1:6086,PROXY -T localhost:6082 -f /etc/varnish/news.vcl -s malloc,64m
"""
HITCH = """\
frontend = "[*]:443"
backend = "[127.0.0.1]:6086"
pem-file = "/etc/hitch/site.pem"
workers = 2
write-proxy-v2 = on
daemon = off
user = "_hitch"
group = "_hitch"
ocsp-dir = ""
"""
HITCH_SETUP = """
openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/k -out /tmp/c -days 90 -subj '/CN=news.example' 2>/dev/null
cat /tmp/k /tmp/c > /etc/hitch/site.pem; chown _hitch /etc/hitch/site.pem; chmod 400 /etc/hitch/site.pem
systemctl daemon-reload
systemctl enable --now plain@9101 plain@9102
for p in 9101 9102; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.1; done; done
systemctl enable --now varnish varnishncsa hitch
"""
NEWS = "news.example"
NEWS_ROUTES = (
    Route(path="/", host=NEWS, weight=2),
    Route(path="/account", host=NEWS, weight=2),
    Route(path="/account", host=NEWS, port=443, tls=True, weight=4),
)
NEWS_AT = frozenset({"127.0.0.1:9101", "127.0.0.1:9102", "one", "two", "both", "boot.one", "boot.two", "boot.both"})
NEWS_FAULTS = (
    Fault(
        id="news-hitch-without-proxy",
        happens="a new hitch.conf lacks write-proxy-v2; Varnish's listener still demands the PROXY header and closes: all of HTTPS fails, HTTP is fine",
        steps="sed -i '/write-proxy-v2/d' /etc/hitch/hitch.conf; systemctl restart hitch",
        expects=causes("wrong-protocol"),
        partly=causes("client-bad-request", "connection-reset", "premature-close", "invalid-response"),
    ),
    Fault(
        id="news-hitch-not-started",
        happens="hitch.conf names the renewed certificate before it is there (and the old one is root's); Hitch is not up since its restart, HTTP is fine",
        steps="chown root: /etc/hitch/site.pem; sed -i 's#/etc/hitch/site.pem#/etc/hitch/renewed.pem#' /etc/hitch/hitch.conf; systemctl restart hitch || true; sleep 1",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
        partly=causes("backend-not-running", "backend-startup-failure"),
    ),
    Fault(
        id="news-probe-expects-204",
        happens="the probe is changed to expect 204 for the next release, which is not out yet: both backends are sick",
        steps="sed -i 's/expected_response = 200/expected_response = 204/' /etc/varnish/news.vcl; systemctl restart varnish",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=NEWS_AT,
    ),
    Fault(
        id="news-backends-stopped",
        happens="both instances are stopped; Varnish fetches nothing",
        steps="systemctl stop plain@9101 plain@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        targets=NEWS_AT,
    ),
    Fault(
        id="news-vcl-does-not-compile",
        happens="a VCL with a missing brace is deployed; Varnish is restarted by an upgrade and does not start",
        steps="sed -i 's/sub vcl_recv {/sub vcl_recv/' /etc/varnish/news.vcl; systemctl restart varnish || true",
        expects=causes("proxy-config-invalid", "proxy-not-running"),
    ),
    Fault(
        id="news-synth-503-left",
        happens="a migration's synth(503) is left in vcl_recv for the account pages",
        steps='sed -i \'s/sub vcl_recv {/sub vcl_recv { if (req.url ~ "^.account") { return (synth(503, "Back soon")); }/\' /etc/varnish/news.vcl; systemctl reload varnish',
        expects=causes("maintenance-response"),
    ),
)

CADDY = """\
{
    auto_https off
}
http://app.craft.example {
    log {
        output file /var/log/caddy/app.log
    }
    reverse_proxy 127.0.0.1:9101 127.0.0.1:9102 {
        lb_policy round_robin
        health_uri /health
        health_interval 1s
        health_timeout 1s
        transport http {
            dial_timeout 2s
            response_header_timeout 6s
        }
    }
}
http://php.craft.example {
    root * /srv/craft
    log {
        output file /var/log/caddy/php.log
    }
    php_fastcgi unix//run/php/craft.sock
}
http://far.craft.example {
    log {
        output file /var/log/caddy/far.log
    }
    reverse_proxy 203.0.113.1:9500 {
        transport http {
            dial_timeout 3s
        }
    }
}
"""
CADDY_SETUP = """
rm /etc/php/8.2/fpm/pool.d/www.conf
mkdir -p /var/log/caddy; chown caddy: /var/log/caddy
systemctl enable --now php8.2-fpm plain@9101 plain@9102
for p in 9101 9102; do until curl -fs -o /dev/null http://127.0.0.1:$p/; do sleep 0.1; done; done
systemctl enable --now caddy
"""
CADDY_REMOTE = """
mkdir -p /tmp/far-$$ && cd /tmp/far-$$ && echo far > index.html
(exec python3 -m http.server --bind 203.0.113.1 9500 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1:9500/; do sleep 0.1; done
"""
CRAFT_AT = frozenset({"127.0.0.1:9101", "127.0.0.1:9102"})
CRAFT_PHP = frozenset({"unix:/run/php/craft.sock", "unix//run/php/craft.sock"})
FAR_AT = frozenset({"203.0.113.1:9500"})
CADDYFILE = "/etc/caddy/Caddyfile"
CADDY_FAULTS = (
    Fault(
        id="craft-health-uri-renamed",
        happens="the health page is /healthz in the new Caddyfile and /health in the application (404 is answered to the former): no upstream is available",
        steps=f"touch /srv/api/renamed; systemctl reload caddy; sed -i 's/lb_policy/# lb_policy/' {CADDYFILE}; systemctl reload caddy",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "no-upstream-members"),
        targets=CRAFT_AT,
    ),
    Fault(
        id="craft-php-socket-of-upgrade",
        happens="the pool listens on /run/php/php8.2-craft.sock since an upgrade; the Caddyfile names craft.sock",
        steps="sed -i 's#/run/php/craft.sock#/run/php/php8.2-craft.sock#' /etc/php/8.2/fpm/pool.d/craft.conf; systemctl restart php8.2-fpm",
        expects=causes("php-fpm-socket-mismatch", "unix-socket-missing"),
        targets=CRAFT_PHP,
    ),
    Fault(
        id="craft-php-socket-owner",
        happens="each customer's pool gets a user of its own, also as the socket's owner and group; Caddy runs as caddy and may not connect",
        steps="useradd --system craft; sed -i 's/^user.*/user = craft/; s/^listen.owner.*/listen.owner = craft/; s/^listen.group.*/listen.group = craft/' /etc/php/8.2/fpm/pool.d/craft.conf; systemctl restart php8.2-fpm",
        expects=causes("unix-socket-permission"),
        targets=CRAFT_PHP,
    ),
    Fault(
        id="craft-far-dropped",
        happens="the other site's firewall drops this machine's packets since a change",
        steps="true",
        outside="nft 'table inet far { chain in { type filter hook input priority 0; tcp dport 9500 drop; }; }'",
        failures=8,
        expects=causes("connect-timeout", "network-policy-denies"),
        targets=FAR_AT,
    ),
    Fault(
        id="craft-tls-to-plain",
        happens="`tls` is added to the transport for a service that speaks plain HTTP (and the health checks are dropped)",
        steps=f"sed -i '/health_/d; s/dial_timeout 2s/dial_timeout 2s\\n            tls_insecure_skip_verify/' {CADDYFILE}; systemctl reload caddy",
        expects=causes("wrong-protocol"),
        partly=causes("tls-handshake-failed"),
        targets=CRAFT_AT,
    ),
    Fault(
        id="craft-passive-checks",
        happens="passive checks (fail_duration 20s, unhealthy_status 5xx) and one page that answers 503 by design: Caddy takes both instances out",
        steps=f"sed -i '/health_/d; s/lb_policy round_robin/fail_duration 20s\\n        unhealthy_status 5xx/' {CADDYFILE}; systemctl reload caddy",
        routes=(Route(path="/unavailable", host="app.craft.example"),),
        settle="test $( (cat /var/log/caddy/app.log; journalctl -u caddy -o cat) | grep -c 'no upstreams available') -ge 5",
        expects=causes("all-upstreams-down", "circuit-breaker-open", "upstream-error-status"),
        partly=causes("application-error"),
        targets=CRAFT_AT,
    ),
)
CRAFT_POOL = POOL.format(name="craft", user="www-data", children=6).replace("listen.owner = www-data", "listen.owner = caddy")

STACKS = (
    Stack(
        name="haproxy-map",
        about="HAProxy with a map of hosts, a stick table, a resolver, a state file and a TLS backend, logs by rsyslog",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/plain@.service": PLAIN_UNIT,
            "/etc/systemd/system/billing.service": BILLING_UNIT,
            "/etc/haproxy/haproxy.cfg": MAPPED,
            "/etc/haproxy/hosts.map": HOSTS_MAP,
        },
        setup=MAP_SETUP,
        routes=(ORDERS, BILLING, SEARCH),
        faults=MAP_FAULTS,
        calms=(
            Calm(
                id="hamap-thursday",
                happens="orders are restarted one after the other behind redispatch and checks, HAProxy reloads, scanners get 403, users break off",
                steps="python3 -c \"import socket; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(b'set server be_orders/orders1 state drain'+bytes([10])); s.recv(99)\"; "
                "sleep 1; systemctl restart plain@9101; until curl -fs -o /dev/null http://127.0.0.1:9101/; do sleep 0.1; done; "
                "python3 -c \"import socket; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(b'set server be_orders/orders1 state ready'+bytes([10])); s.recv(99)\"; systemctl reload haproxy",
                routes=(
                    Route(path="/.env", host="orders.firm.example", expect=(403,)),
                    Route(path="/search", host="orders.firm.example"),
                ),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="town",
        about="Apache with .htaccess, two PHP-FPM pools on unix sockets and uWSGI behind mod_proxy_uwsgi",
        files={
            "/etc/php/8.2/fpm/pool.d/shop.conf": POOL.format(name="shop", user="shopper", children=6),
            "/etc/php/8.2/fpm/pool.d/blog.conf": POOL.format(name="blog", user="blogger", children=2),
            "/etc/apache2/sites-available/town.conf": APACHE_SITE,
            "/var/www/shop/.htaccess": HTACCESS,
            "/var/www/shop/index.php": TOWN_SHOP,
            "/var/www/shop/vendor/cart.php": CART,
            "/var/www/blog/index.php": TOWN_BLOG,
            "/srv/stats/stats.py": STATS,
            "/etc/systemd/system/stats.service": STATS_UNIT,
        },
        setup=TOWN_SETUP,
        routes=(
            Route(path="/cart", host="shop.town.example", weight=4),
            Route(path="/index.php", host="blog.town.example", weight=4),
            Route(path="/stats/", host="blog.town.example", weight=2),
        ),
        faults=TOWN_FAULTS,
        calms=(
            Calm(
                id="town-market-day",
                happens="PHP warnings of an old page, exports of 5 s, scanners get 404, Apache and PHP-FPM reload gracefully",
                steps="systemctl reload apache2; for p in xmlrpc.php .git/HEAD; do curl -s -o /dev/null -H 'Host: blog.town.example' http://127.0.0.1/$p || true; done",
                routes=(
                    Route(path="/index.php?old=1", host="blog.town.example"),
                    Route(path="/export", host="shop.town.example"),
                    Route(path="/phpmyadmin/", host="blog.town.example", expect=(404,)),
                ),
            ),
        ),
    ),
    Stack(
        name="hitch-varnish",
        about="Hitch for TLS with PROXY protocol in front of Varnish, which probes two instances of gunicorn; varnishncsa",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/plain@.service": PLAIN_UNIT,
            "/etc/varnish/news.vcl": VCL,
            "/etc/systemd/system/varnish.service.d/own.conf": VARNISH_DROPIN,
            "/etc/hitch/hitch.conf": HITCH,
        },
        setup=HITCH_SETUP,
        routes=NEWS_ROUTES,
        faults=NEWS_FAULTS,
        calms=(
            Calm(
                id="news-editors",
                happens="editors ban pages, the VCL is reloaded, scanners get 404, users break off",
                steps="varnishadm -T localhost:6082 ban req.url '~' / 2>/dev/null || true; systemctl reload varnish || true",
                routes=(Route(path="/wp-login.php", host=NEWS, expect=(404,)), Route(path="/account/search", host=NEWS)),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="craft",
        about="Caddy with two checked instances, PHP-FPM and a service at another site",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/plain@.service": PLAIN_UNIT,
            "/etc/php/8.2/fpm/pool.d/craft.conf": CRAFT_POOL,
            "/srv/craft/index.php": "<?php echo str_repeat('<p>Craft</p>', 60);\n",
            "/etc/caddy/Caddyfile": CADDY,
        },
        setup=CADDY_SETUP,
        remote=CADDY_REMOTE,
        routes=(
            Route(path="/", host="app.craft.example", weight=4),
            Route(path="/index.php", host="php.craft.example", weight=3),
            Route(path="/", host="far.craft.example", weight=2),
        ),
        faults=CADDY_FAULTS,
        calms=(
            Calm(
                id="craft-fair",
                happens="the configuration is validated, logs rotate, a search of 2 s, scanners get 404, users break off",
                steps="caddy validate --config /etc/caddy/Caddyfile >/dev/null 2>&1; logrotate -f /etc/logrotate.conf 2>/dev/null || true",
                routes=(
                    Route(path="/search", host="app.craft.example"),
                    Route(path="/nothing.html", host="far.craft.example", expect=(404,)),
                ),
                cancels=True,
            ),
        ),
    ),
)
