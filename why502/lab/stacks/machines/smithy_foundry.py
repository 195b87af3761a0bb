"""PHP in two pools, one for long imports, behind Caddy with MariaDB by name; and Apache in front of Tomcat with a pool of connections and a binary with TLS."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

SMITHY_CADDYFILE = """\
{
    auto_https off
}
http://smithy.example {
    root * /srv/smithy/public
    log {
        output file /var/log/caddy/smithy.log
    }
    handle /import.php {
        reverse_proxy 127.0.0.1:9075 {
            transport fastcgi {
                root /srv/smithy/public
                split .php
                dial_timeout 3s
                read_timeout 12s
            }
        }
    }
    handle {
        php_fastcgi unix//run/php/smithy.sock {
            dial_timeout 3s
            read_timeout 15s
        }
        file_server
    }
}
"""
SMITHY_POOL = """\
[smithy]
user = smithy
group = smithy
listen = /run/php/smithy.sock
listen.owner = caddy
listen.group = caddy
listen.mode = 0660
pm = dynamic
pm.max_children = 8
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 4
php_admin_value[memory_limit] = 64M
catch_workers_output = yes
"""
SMITHY_IMPORT_POOL = """\
[import]
user = smithy
group = smithy
listen = 127.0.0.1:9075
pm = static
pm.max_children = 2
php_admin_value[memory_limit] = 256M
php_admin_value[max_execution_time] = 0
"""
SMITHY_BASE = """\
<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$base = new mysqli('db.smithy.internal', 'smithy', 'hunter22', 'smithy');
"""
SMITHY_FILES = {
    "/etc/caddy/Caddyfile": SMITHY_CADDYFILE,
    "/etc/php/8.2/fpm/pool.d/smithy.conf": SMITHY_POOL,
    "/etc/php/8.2/fpm/pool.d/import.conf": SMITHY_IMPORT_POOL,
    "/srv/smithy/base.php": SMITHY_BASE,
    "/srv/smithy/public/index.php": "<?php\nrequire '../base.php';\nforeach ($base->query('select name from tools order by id limit 20') as $row) echo '<li>', $row['name'], \"\\n\";\n",
    "/srv/smithy/public/contact.php": "<?php\necho str_repeat('at the bridge ', 100);\n",
    "/srv/smithy/public/import.php": "<?php\nusleep(1000 * intval($_GET['ms'] ?? 200));\necho 'imported';\n",
    "/srv/smithy/public/prices.php": "<?php\n$rates = file_get_contents('http://rates.smithy.internal:8088/rates.json');\necho $rates === false ? 'no rates' : $rates;\n",
    "/srv/smithy/public/drawing.php": "<?php\nposix_kill(posix_getpid(), 11);\nsleep(1);\necho 'drawing';\n",
    "/srv/smithy/public/year.php": "<?php\n$rows = [];\nfor ($n = 0; $n < 3000000; $n++) $rows[] = ['hammer', $n];\necho count($rows);\n",
    "/srv/smithy/public/anvils.php": "<?php\nusleep(1300000);\necho str_repeat('anvil ', 300);\n",
}
SMITHY_SETUP = """
useradd --system smithy
printf '127.0.0.1 db.smithy.internal\\n203.0.113.1 rates.smithy.internal\\n' >> /etc/hosts
rm /etc/php/8.2/fpm/pool.d/www.conf
systemctl enable -q --now mariadb
mariadb <<SQL
create database smithy; create user smithy@'%' identified by 'hunter22'; grant all on smithy.* to smithy@'%';
use smithy; create table tools (id int auto_increment primary key, name varchar(99)); insert into tools (name) select concat('tool ', seq) from seq_1_to_200;
SQL
systemctl enable -q --now php8.2-fpm
systemctl enable -q --now caddy
"""
SMITHY_REMOTE = """
mkdir -p /tmp/rates && mount -t tmpfs -o mode=755 rates /tmp/rates && cd /tmp/rates && echo '{"iron": 3}' > rates.json
(exec python3 -m http.server --bind 203.0.113.1 8088 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1:8088/rates.json; do sleep 0.1; done
"""
SMITHY = "smithy.example"
SMITHY_AT = frozenset({"unix:/run/php/smithy.sock"})
IMPORT_AT = frozenset({"127.0.0.1:9075"})
SMITHY_BASE_AT = SMITHY_AT | {"127.0.0.1:3306", "db.smithy.internal:3306", "db.smithy.internal"}


def _smithy(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=SMITHY, weight=weight)


SMITHY_FAULTS = (
    Fault(
        id="smithy-imports-fill-their-pool",
        happens="three suppliers import at once, nine seconds each; the pool of imports has two children, and the third waits for them: 504 by Caddy after twelve seconds; the shop's own pool is idle",
        steps="true",
        routes=(_smithy("/import.php?ms=9000", 12),),
        users=16,
        limit_s=100.0,
        failures=14,
        expects=causes("php-fpm-max-children", "workers-exhausted"),
        partly=SLOW | causes("backend-hung", "listen-backlog-overflow"),
        targets=IMPORT_AT,
    ),
    Fault(
        id="smithy-import-takes-twenty-seconds",
        happens="the catalogue grew, its import takes twenty seconds and comes through; Caddy's read_timeout for it is twelve: 504 for it alone",
        steps="sed -i 's/^pm.max_children = 2/pm.max_children = 14/' /etc/php/8.2/fpm/pool.d/import.conf; systemctl reload php8.2-fpm",
        routes=(_smithy("/import.php?ms=20000", 2),),
        users=10,
        limit_s=110.0,
        failures=10,
        expects=SLOW,
        partly=causes("php-fpm-max-children", "workers-exhausted"),
        targets=IMPORT_AT,
    ),
    Fault(
        id="smithy-pool-file-of-the-package",
        happens="a package upgrade asked about the pool's file, and after the merge it has no listen.owner and no listen.group: the socket is root's, and Caddy may not open it",
        steps="sed -i '/^listen.owner/d; /^listen.group/d' /etc/php/8.2/fpm/pool.d/smithy.conf; systemctl restart php8.2-fpm",
        expects=causes("unix-socket-permission"),
        targets=SMITHY_AT,
    ),
    Fault(
        id="smithy-drawing-crashes-its-child",
        happens="one page meets a bug of an extension: the child dies by SIGSEGV, Caddy answers 502 for that page, all others are well",
        steps="true",
        routes=(_smithy("/drawing.php", 3),),
        expects=causes("php-fpm-crashed"),
        partly=causes("backend-crashed", "premature-close", "connection-reset"),
        targets=SMITHY_AT,
    ),
    Fault(
        id="smithy-name-of-the-database-changed",
        happens="the database got a new name, and the old one was taken out of /etc/hosts before the shop's configuration was changed: getaddrinfo fails, 500 for what asks the database",
        steps="sed -i 's/db.smithy.internal/db2.smithy.internal/' /etc/hosts",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | causes("dns-resolver-failure", "dns-host-not-found"),
        targets=SMITHY_BASE_AT,
    ),
    Fault(
        id="smithy-rates-do-not-answer",
        happens="the host of the rates is behind a new firewall that drops; each page of prices waits for a minute for its connection, and soon all eight children of the shop do",
        steps="true",
        outside="nft 'table inet rates { chain in { type filter hook input priority 0; tcp dport 8088 drop; }; }'",
        routes=(_smithy("/prices.php", 4),),
        users=16,
        limit_s=100.0,
        failures=16,
        expects=causes("backend-dependency-down", "backend-dependency-slow"),
        partly=HANGS | causes("php-fpm-max-children"),
        targets=SMITHY_AT | {"203.0.113.1:8088", "rates.smithy.internal:8088", "rates.smithy.internal"},
    ),
    Fault(
        id="smithy-year-meets-the-memory-limit",
        happens="the report of the year holds three million rows in memory, and the pool allows 64 MB: PHP Fatal error, Allowed memory size exhausted, 500 for that page",
        steps="true",
        routes=(_smithy("/year.php", 3),),
        expects=OWN_ERROR,
        targets=SMITHY_AT,
    ),
)

FOUNDRY_SITE = """\
<VirtualHost *:80>
    ServerName foundry.example
    ProxyTimeout 10
    ProxyPass /shop/ http://127.0.0.1:8080/shop/ connectiontimeout=3
    ProxyPassReverse /shop/ http://127.0.0.1:8080/shop/
    SSLProxyEngine On
    SSLProxyCACertificateFile /etc/ssl/foundry/ca.pem
    SSLProxyVerify require
    SSLProxyCheckPeerName on
    ProxyPass /hooks/ https://hooks.foundry.internal:9443/hooks/
    DocumentRoot /var/www/html
    ErrorLog ${APACHE_LOG_DIR}/foundry-error.log
    CustomLog ${APACHE_LOG_DIR}/foundry-access.log combined
</VirtualHost>
"""
FOUNDRY_STOCK = """\
<%@ page session="false" import="java.net.*,java.io.*,java.util.concurrent.*" %><%!
  static final ArrayBlockingQueue<Socket> POOL = new ArrayBlockingQueue<>(4);
  static int made = 0;
  static synchronized Socket grown() throws IOException {
    if (made >= 4) return null;
    Socket wire = new Socket("127.0.0.1", 6379);
    wire.setSoTimeout(20000);
    made++;
    return wire;
  }
  static Socket borrow() throws Exception {
    Socket wire = POOL.poll();
    if (wire == null) wire = grown();
    if (wire == null) wire = POOL.poll(5, TimeUnit.SECONDS);
    if (wire == null) throw new IllegalStateException("Timeout: pool empty. Unable to fetch a connection in 5 seconds, none available [size:4; busy:4; idle:0]");
    return wire;
  }
%><%
  Socket wire = borrow();
  try {
    wire.getOutputStream().write("INCR parts\\r\\n".getBytes());
    byte[] got = new byte[64];
    int size = wire.getInputStream().read(got);
    if (size < 1) throw new EOFException("Redis closed the pooled connection");
    out.print(new String(got, 1, size - 1));
  } finally {
    if (request.getParameter("keep") == null) POOL.offer(wire);
  }
%>
"""
FOUNDRY_HOOKS = """\
[{"id": "price", "execute-command": "/opt/foundry/price", "include-command-output-in-response": true}]
"""
FOUNDRY_HOOKS_UNIT = """[Unit]
Description=Foundry's hooks
After=network.target

[Service]
User=hooks
ExecStart=/opt/foundry/hooks -secure -cert /etc/ssl/foundry/hooks.pem -key /etc/ssl/foundry/hooks.key -ip 127.0.0.1 -port 9443 -hooks /etc/foundry-hooks.json
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
FOUNDRY_SIGN = "openssl x509 -req -in hooks.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days {days} -out hooks.pem 2>/dev/null"
TOMCAT_UP = "until curl -fs -o /dev/null http://127.0.0.1:8080/shop/index.jsp; do sleep 0.3; done"
HOOKS_UP = "until ss -ltn | grep -q :9443; do sleep 0.1; done"
FOUNDRY_SETUP = f"""
useradd --system hooks; cp /usr/bin/webhook /opt/foundry/hooks
echo '127.0.0.1 hooks.foundry.internal' >> /etc/hosts
mkdir -p /etc/ssl/foundry; cd /etc/ssl/foundry; echo subjectAltName=DNS:hooks.foundry.internal > ext
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Foundry CA' 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout hooks.key -out hooks.csr -subj /CN=hooks.foundry.internal 2>/dev/null
{FOUNDRY_SIGN.format(days=90)}; chown hooks hooks.key
echo 'JAVA_OPTS="-Djava.awt.headless=true -Xmx128m"' >> /etc/default/tomcat10
systemctl enable -q --now redis-server hooks tomcat10
{HOOKS_UP}; {TOMCAT_UP}
a2enmod -q proxy proxy_http ssl; a2dissite -q 000-default; a2ensite -q foundry
apachectl -t 2>/dev/null; systemctl enable -q --now apache2; systemctl restart apache2
"""
FOUNDRY = "foundry.example"
FOUNDRY_AT = frozenset({"127.0.0.1:8080"})
HOOKS_AT = frozenset({"127.0.0.1:9443", "hooks.foundry.internal:9443"})
JSP = '<%@ page session="false" %>'


def _foundry(path: str, weight: int = 1) -> Route:
    return Route(path=path, host=FOUNDRY, weight=weight)


FOUNDRY_FAULTS = (
    Fault(
        id="foundry-page-keeps-its-connections",
        happens="a new page does not give its connection back to the pool of four; after four visits nobody gets one, and each page of the stock waits five seconds and fails (pool empty): 500",
        steps="true",
        routes=(_foundry("/shop/stock.jsp?keep=1"),),
        limit_s=100.0,
        expects=OWN_ERROR,
        partly=HANGS | causes("backend-dependency-slow"),
        targets=FOUNDRY_AT,
    ),
    Fault(
        id="foundry-pool-holds-dead-connections",
        happens="Redis is restarted by its upgrade; the pool does not test what it lends out, and every request for the stock fails on a connection that is dead, while Redis is well",
        steps="systemctl restart redis-server; until redis-cli ping >/dev/null; do sleep 0.1; done",
        failures=16,
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down", "deploy-termination-race"),
        targets=FOUNDRY_AT,
    ),
    Fault(
        id="foundry-tomcat-restarted",
        happens="Tomcat is restarted for an upgrade in the middle of the day, and is back after some seconds: 503 in between",
        steps=f"systemctl restart tomcat10; {TOMCAT_UP}",
        failures=6,
        expects=causes("deploy-termination-race"),
        partly=causes("backend-not-running", "connection-reset", "backend-crashed", "circuit-breaker-open", "all-upstreams-down"),
        targets=FOUNDRY_AT,
    ),
    Fault(
        id="foundry-certificate-of-hooks-expired",
        happens="nobody renewed the certificate of the hooks' binary; Apache verifies it (SSLProxyVerify require): 502 for /hooks/",
        steps=f"cd /etc/ssl/foundry; {FOUNDRY_SIGN.format(days=0)}; sleep 1.2; systemctl restart hooks; {HOOKS_UP}",
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed"),
        targets=HOOKS_AT,
    ),
    Fault(
        id="foundry-host-preserved",
        happens="the shop wants to know its own name, somebody adds `ProxyPreserveHost On`; Apache now asks the hooks for, and checks their certificate against, foundry.example: the handshake fails for /hooks/",
        steps="sed -i 's/    ProxyTimeout 10/    ProxyTimeout 10\\n    ProxyPreserveHost On/' /etc/apache2/sites-available/foundry.conf; apachectl graceful",
        expects=causes("tls-verify-failed", "wrong-host-header"),
        partly=causes("tls-handshake-failed"),
        targets=HOOKS_AT,
    ),
    Fault(
        id="foundry-rule-drops-on-loopback",
        happens="a new rule drops everything to port 8080, which should be seen by nobody outside, and forgets the loopback; Apache's connections time out after three seconds",
        steps="nft 'table inet hard { chain in { type filter hook input priority 0; tcp dport 8080 drop; }; }'",
        limit_s=90.0,
        expects=causes("connect-timeout"),
        partly=causes("all-upstreams-down"),
        targets=FOUNDRY_AT,
    ),
    Fault(
        id="foundry-heap-is-full",
        happens="drawings are kept in a list of the page; with -Xmx128m the heap is full after some, and each further one fails: OutOfMemoryError: Java heap space, 500",
        steps="true",
        routes=(_foundry("/shop/drawing.jsp", 3),),
        limit_s=100.0,
        expects=OWN_ERROR,
        partly=HANGS | causes("memory-pressure"),
        targets=FOUNDRY_AT,
    ),
    Fault(
        id="foundry-binary-half-copied",
        happens="the copy of the new binary broke off in the middle; systemd cannot execute it, and /hooks/ is refused",
        steps="systemctl stop hooks; truncate -s 0 /opt/foundry/hooks; head -c 40 /usr/bin/webhook > /opt/foundry/hooks; systemctl start hooks || true",
        settle="systemctl is-failed -q hooks",
        expects=NO_START,
        partly=causes("backend-not-running", "backend-crashed"),
        targets=HOOKS_AT,
    ),
)

STACKS = (
    Stack(
        name="smithy",
        about="Caddy with two pools of one PHP-FPM (a unix socket for the shop, a port for imports), MariaDB by a name of /etc/hosts, rates from another host",
        files=SMITHY_FILES,
        setup=SMITHY_SETUP,
        remote=SMITHY_REMOTE,
        routes=(_smithy("/", 4), _smithy("/contact.php", 3), _smithy("/import.php?ms=200"), _smithy("/prices.php")),
        faults=SMITHY_FAULTS,
        calms=(
            Calm(
                id="smithy-catalogue-of-spring",
                happens="an import of eight seconds runs through, anvils (1.3 s) are broken off by some, PHP-FPM and Caddy reload, the database is dumped, scanners ask for pages that are not there",
                steps="systemctl reload caddy; systemctl reload php8.2-fpm; mariadb-dump --single-transaction smithy > /root/smithy.sql",
                routes=(_smithy("/anvils.php"), _smithy("/import.php?ms=1500"), _smithy("/xmlrpc-old.txt")),
                seconds=20.0,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="foundry",
        about="Apache in front of Tomcat 10 with a pool of four connections to Redis, and of a static binary with TLS of an authority of its own",
        files={
            "/etc/apache2/sites-available/foundry.conf": FOUNDRY_SITE,
            "/var/lib/tomcat10/webapps/shop/index.jsp": JSP + "Foundry <%= new java.util.Date() %>",
            "/var/lib/tomcat10/webapps/shop/stock.jsp": FOUNDRY_STOCK,
            "/var/lib/tomcat10/webapps/shop/drawing.jsp": JSP
            + "<%! static final java.util.List<byte[]> kept = new java.util.ArrayList<>(); %><% synchronized (kept) { kept.add(new byte[8 << 20]); } out.print(kept.size()); %>",
            "/var/lib/tomcat10/webapps/shop/moulds.jsp": JSP + "<% Thread.sleep(1400); %>moulds",
            "/opt/foundry/price": "#!/bin/sh\necho '{\"iron\": 3}'\n",
            "/etc/foundry-hooks.json": FOUNDRY_HOOKS,
            "/etc/systemd/system/hooks.service": FOUNDRY_HOOKS_UNIT,
        },
        setup=FOUNDRY_SETUP,
        routes=(_foundry("/shop/index.jsp", 4), _foundry("/shop/stock.jsp", 3), _foundry("/hooks/price", 2)),
        faults=FOUNDRY_FAULTS,
        calms=(
            Calm(
                id="foundry-monday",
                happens="Apache is reloaded with grace, its logs rotate, Redis saves; moulds (1.4 s) are broken off by some, a scanner asks for the manager (404)",
                steps="apachectl graceful; logrotate -f /etc/logrotate.d/apache2; redis-cli bgsave >/dev/null",
                routes=(_foundry("/shop/moulds.jsp"), _foundry("/manager/html"), _foundry("/shop/old.jsp")),
                seconds=18.0,
                users=12,
                cancels=True,
            ),
        ),
    ),
)
