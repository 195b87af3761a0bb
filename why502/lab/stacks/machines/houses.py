"""A home server with programs in Go, Mosquitto and lighttpd; a war in Tomcat; an internal authority;
names and addresses that change.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API

HOOKS = '[{"id": "deploy", "execute-command": "/usr/local/bin/deploy", "command-working-directory": "/tmp", "include-command-output-in-response": true}]\n'
MOSQUITTO = "listener 9001 127.0.0.1\nprotocol websockets\n\nlistener 1883 127.0.0.1\nallow_anonymous true\n"
LIGHTTPD = """\
server.modules = ( "mod_access", "mod_alias", "mod_cgi" )
server.document-root = "/srv/files"
server.bind = "127.0.0.1"
server.port = 8090
server.username = "www-data"
server.groupname = "www-data"
server.errorlog = "/var/log/lighttpd/error.log"
server.max-connections = 64
server.max-fds = 256
index-file.names = ( "index.html" )
cgi.assign = ( ".cgi" => "" )
include "/etc/lighttpd/local/*.conf"
"""
CGI = """#!/bin/sh
sleep 5
printf 'Content-Type: text/plain\\r\\n\\r\\ndone\\n'
"""
HOME_SITES = """\
server {
    listen 80 default_server;
    server_name home.example;
    access_log /var/log/nginx/home.log combined;
    error_log /var/log/nginx/home.err notice;
    location /hooks/ {
        proxy_pass http://localhost:9000;
    }
    location /alerts/ {
        proxy_pass http://127.0.0.1:9093;
    }
    location /files/ {
        proxy_pass http://127.0.0.1:8090/;
        proxy_read_timeout 8s;
    }
    location /mqtt {
        proxy_pass http://127.0.0.1:9001;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }
}
"""
MQTT = Route(
    path="/mqtt", host="home.example", websocket=True, expect=(101,), headers={"Sec-WebSocket-Protocol": "mqtt"}, weight=2
)
HOME_ROUTES = (
    Route(path="/hooks/deploy", host="home.example", weight=2),
    Route(path="/alerts/-/healthy", host="home.example", weight=2),
    Route(path="/files/", host="home.example", weight=3),
    MQTT,
)
HOME_SETUP = """
mkdir -p /etc/lighttpd/local; touch /etc/lighttpd/local/empty.conf
echo 'ARGS="--web.listen-address=127.0.0.1:9093 --web.route-prefix=/alerts --cluster.listen-address="' > /etc/default/prometheus-alertmanager
systemctl enable --now webhook mosquitto lighttpd prometheus-alertmanager
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/home /etc/nginx/sites-enabled/home
systemctl enable --now nginx
"""
HOOKS_AT = frozenset({"127.0.0.1:9000", "[::1]:9000", "localhost:9000"})
FILES_AT = frozenset({"127.0.0.1:8090"})
MQTT_AT = frozenset({"127.0.0.1:9001"})
ALERTS_AT = frozenset({"127.0.0.1:9093"})
HOME_FAULTS = (
    Fault(
        id="home-php-took-port-9000",
        happens="PHP-FPM was installed with listen = 9000 as in an old guide; after a restart it holds the port of the program for hooks (Go), which cannot bind",
        steps="systemctl stop webhook; sed -i 's#^listen = .*#listen = [::]:9000#' /etc/php/8.2/fpm/pool.d/www.conf; systemctl start php8.2-fpm; systemctl start webhook || true",
        expects=causes("port-conflict"),
        partly=causes(
            "wrong-protocol",
            "premature-close",
            "connection-reset",
            "backend-startup-failure",
            "backend-crash-loop",
            "invalid-response",
        ),
        targets=HOOKS_AT,
    ),
    Fault(
        id="home-hook-fails",
        happens="the deploy script that a hook runs ends with status 1; the program answers 500 itself",
        steps="printf '#!/bin/sh\\necho \"fatal: could not read Username\" >&2\\nexit 1\\n' > /usr/local/bin/deploy",
        failures=8,
        expects=causes("upstream-error-status", "application-error"),
        targets=HOOKS_AT,
    ),
    Fault(
        id="home-hooks-file-removed",
        happens="/etc/webhook.conf was moved; the unit's condition fails, and it is skipped without an error at its restart",
        steps="mv /etc/webhook.conf /root/hooks.json; systemctl restart webhook",
        failures=8,
        expects=causes("backend-not-running"),
        partly=causes("backend-startup-failure"),
        targets=HOOKS_AT,
    ),
    Fault(
        id="home-lighttpd-include-broken",
        happens="a file of lighttpd's local configuration names a variable that is not there; its restart after an upgrade fails",
        steps='echo \'alias.url += ( "/music/" => "/srv/music/"\' > /etc/lighttpd/local/music.conf; systemctl restart lighttpd || true',
        failures=8,
        expects=causes("backend-startup-failure"),
        partly=causes("backend-not-running", "backend-crash-loop"),
        targets=FILES_AT,
    ),
    Fault(
        id="home-lighttpd-connections",
        happens="server.max-connections is 3 and a CGI script needs 5 s: everything else waits in the accept queue until nginx gives up",
        steps="sed -i 's/max-connections = 64/max-connections = 3/' /etc/lighttpd/lighttpd.conf; systemctl restart lighttpd; until curl -fs -o /dev/null http://127.0.0.1:8090/; do sleep 0.1; done",
        routes=(Route(path="/files/report.cgi", host="home.example", weight=20),),
        users=20,
        failures=20,
        expects=causes("workers-exhausted", "backend-too-slow"),
        partly=causes("backend-hung", "listen-backlog-overflow", "proxy-timeout-too-short"),
        targets=FILES_AT,
    ),
    Fault(
        id="home-mosquitto-listener-lost",
        happens="the WebSocket listener is not in Mosquitto's configuration after an upgrade; the one for MQTT runs on its own port",
        steps="printf 'listener 1883 127.0.0.1\\nallow_anonymous true\\n' > /etc/mosquitto/conf.d/local.conf; systemctl restart mosquitto",
        failures=8,
        expects=causes("wrong-port", "backend-not-running"),
        targets=MQTT_AT,
    ),
    Fault(
        id="home-mqtt-port-in-proxy-pass",
        happens="proxy_pass names 1883, where Mosquitto speaks MQTT and not HTTP",
        steps="sed -i 's#127.0.0.1:9001#127.0.0.1:1883#' /etc/nginx/sites-available/home; systemctl reload nginx",
        failures=8,
        expects=causes("wrong-protocol"),
        partly=causes("premature-close", "connection-reset", "invalid-response"),
        targets=frozenset({"127.0.0.1:1883"}),
    ),
    Fault(
        id="home-alertmanager-storage",
        happens="the file system of Alertmanager's data is mounted read-only after an error; it does not start again",
        steps="mkdir -p /var/lib/prometheus/alertmanager; systemctl stop prometheus-alertmanager; mount -t tmpfs -o ro tmpfs /var/lib/prometheus; systemctl start prometheus-alertmanager || true",
        failures=8,
        settle="test $(systemctl show -p NRestarts --value prometheus-alertmanager) -ge 1",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed", "disk-full"),
        targets=ALERTS_AT,
    ),
)

WAR = {
    "/root/war/index.jsp": '<html><body><%= "Jobs ".repeat(40) %></body></html>\n',
    "/root/war/job.jsp": '<%@ page session="false" %><html><body>job</body></html>\n',
    "/root/war/build.jsp": '<% Thread.sleep(Long.parseLong(request.getParameter("ms"))); %>built\n',
    "/root/war/artifact.jsp": "<% byte[] part = new byte[65536]; while (request.getInputStream().read(part) >= 0) { } %>stored\n",
    "/root/war/matrix.jsp": "<%! static java.util.List<byte[]> kept = new java.util.ArrayList<>(); %><% for (int n = 0; n < 6; n++) kept.add(new byte[4 << 20]); %>kept\n",
    "/root/war/login.jsp": '<% for (int n = 0; n < 12; n++) response.addHeader("Set-Cookie", "crumb" + n + "=" + "x".repeat(1000)); %>welcome\n',
    "/root/war/WEB-INF/web.xml": '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"><display-name>CI</display-name></web-app>\n',
}
WAR_SITE = """\
upstream ci {
    server 127.0.0.1:8080 fail_timeout=0;
    keepalive 32;
}
server {
    listen 80 default_server;
    server_name ci.firm.example;
    root /var/cache/ci/war;
    access_log /var/log/nginx/ci/access.log;
    error_log /var/log/nginx/ci/error.log;
    ignore_invalid_headers off;
    location / {
        proxy_pass http://ci;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_max_temp_file_size 0;
        proxy_read_timeout 9s;
        proxy_buffer_size 32k;
        proxy_buffers 8 32k;
        client_max_body_size 100m;
        proxy_request_buffering off;
    }
}
"""
WAR_SETUP = """
mkdir -p /var/log/nginx/ci
sed -i 's/-Xmx[0-9]*m//' /etc/default/tomcat10
rm -rf /var/lib/tomcat10/webapps/ROOT
(cd /root/war && jar cf /var/lib/tomcat10/webapps/ROOT.war .)
chown tomcat: /var/lib/tomcat10/webapps/ROOT.war
systemctl enable --now tomcat10
until curl -fs -o /dev/null http://127.0.0.1:8080/job.jsp; do sleep 0.3; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/ci /etc/nginx/sites-enabled/ci
systemctl enable --now nginx
"""
WAR_UP = "until curl -fs -o /dev/null http://127.0.0.1:8080/job.jsp; do sleep 0.3; done"
CI = "ci.firm.example"
WAR_AT = frozenset({"127.0.0.1:8080", "ci"})
WAR_FAULTS = (
    Fault(
        id="war-heap-full",
        happens="a matrix build keeps its results in a heap of 96 MB; Tomcat lives on and answers 500 (OutOfMemoryError: Java heap space)",
        steps=f"echo 'JAVA_OPTS=\"-Djava.awt.headless=true -Xmx96m\"' >> /etc/default/tomcat10; systemctl restart tomcat10; {WAR_UP}",
        routes=(Route(path="/matrix.jsp", host=CI, weight=4),),
        failures=30,
        settle="grep -rqs OutOfMemoryError /var/log/tomcat10 || journalctl -u tomcat10 | grep -q OutOfMemoryError",
        expects=causes("application-error", "upstream-error-status", "memory-pressure"),
        partly=causes(
            "backend-crashed",
            "backend-hung",
            "backend-too-slow",
            "backend-oom-killed",
            "deploy-termination-race",
            "workers-exhausted",
        ),
        targets=WAR_AT,
    ),
    Fault(
        id="war-few-threads-small-queue",
        happens='maxThreads="4" acceptCount="2" maxConnections="6" from a tuning guide, and builds of 4 s: connections wait or are dropped (the logs were rotated after the restart)',
        steps='sed -i \'s#<Connector port="8080"#<Connector maxThreads="4" acceptCount="2" maxConnections="6" port="8080"#\' /etc/tomcat10/server.xml; '
        "systemctl restart tomcat10; until ss -ltn | grep -q :8080; do sleep 0.2; done; sleep 1; truncate -s 0 /var/log/nginx/ci/*.log",
        routes=(Route(path="/build.jsp?ms=4000", host=CI, weight=40),),
        users=30,
        limit_s=90,
        failures=40,
        settle="test $(grep -cE ' (504|499) ' /var/log/nginx/ci/access.log) -ge 10",
        expects=causes("workers-exhausted", "listen-backlog-overflow"),
        partly=causes("backend-too-slow", "backend-hung", "connect-timeout", "deploy-termination-race"),
        targets=WAR_AT,
    ),
    Fault(
        id="war-response-header-limit",
        happens="a log-in sets 12 kB of cookies: more than Tomcat's own 8 kB for a response header; Tomcat answers 500 or closes",
        steps="true",
        routes=(Route(path="/login.jsp", host=CI, weight=5),),
        expects=causes("upstream-error-status", "application-error", "response-header-too-big"),
        partly=causes("premature-close", "connection-reset"),
        targets=WAR_AT,
    ),
)

AUTHORITY = """#!/bin/sh
# issue NAME: a certificate of the issuing authority for the application, with its chain
set -e
cd /etc/pki/internal
openssl req -newkey rsa:2048 -nodes -keyout app.key -out app.csr -subj "/CN=$1" 2>/dev/null
printf 'subjectAltName=DNS:%s' "$1" > ext
openssl x509 -req -in app.csr -CA issuing.pem -CAkey issuing.key -CAcreateserial -extfile ext -days 60 -out app.leaf 2>/dev/null
cat app.leaf issuing.pem > app.pem
chmod 644 app.key app.pem
"""
PKI = """
mkdir -p /etc/pki/internal && cd /etc/pki/internal
openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 3650 -subj '/CN=Firm Root' 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout issuing.key -out issuing.csr -subj '/CN=Firm Issuing' 2>/dev/null
printf 'basicConstraints=critical,CA:TRUE' > ca.ext
openssl x509 -req -in issuing.csr -CA root.pem -CAkey root.key -CAcreateserial -extfile ca.ext -days 800 -out issuing.pem 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout client.key -out client.pem -days 300 -subj '/CN=edge' 2>/dev/null
issue orders.firm.internal
systemctl enable --now orders
until curl -fsk -o /dev/null https://127.0.0.1:8443/; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/edge /etc/nginx/sites-enabled/edge
systemctl enable --now nginx
"""
ORDERS_UNIT = """[Unit]
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 4 --certfile /etc/pki/internal/app.pem --keyfile /etc/pki/internal/app.key --bind 127.0.0.1:8443 api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
EDGE_SITE = """\
server {
    listen 80 default_server;
    server_name edge.firm.example;
    access_log /var/log/nginx/edge.log;
    error_log /var/log/nginx/edge-error.log;
    location / {
        proxy_pass https://127.0.0.1:8443;
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 3;
        proxy_ssl_trusted_certificate /etc/pki/internal/root.pem;
        proxy_ssl_name orders.firm.internal;
        proxy_ssl_server_name on;
        proxy_ssl_session_reuse off;
        proxy_read_timeout 8s;
    }
}
"""
ORDERS_AT = frozenset({"127.0.0.1:8443"})
ORDERS_AGAIN = "systemctl restart orders; until curl -sk -o /dev/null https://127.0.0.1:8443/; do sleep 0.1; done"
PKI_FAULTS = (
    Fault(
        id="pki-issuing-authority-expired",
        happens="the issuing authority's own certificate has expired; the application's certificate below it is valid for weeks",
        steps="cd /etc/pki/internal; openssl x509 -req -in issuing.csr -CA root.pem -CAkey root.key -CAcreateserial -extfile ca.ext -days 0 -out issuing.pem 2>/dev/null; "
        "cat app.leaf issuing.pem > app.pem; sleep 1.1; systemctl kill -s HUP --kill-who=main orders",
        expects=causes("tls-verify-failed"),
        targets=ORDERS_AT,
    ),
    Fault(
        id="pki-chain-without-issuer",
        happens="the renewal script writes the leaf only; nginx knows the root and cannot build the chain",
        steps="cd /etc/pki/internal; cp app.leaf app.pem; systemctl kill -s HUP --kill-who=main orders",
        expects=causes("tls-verify-failed"),
        targets=ORDERS_AT,
    ),
    Fault(
        id="pki-client-certificate-demanded",
        happens="the application demands client certificates now; nginx sends none",
        steps="cd /etc/pki/internal; cat root.pem client.pem > clients.pem; chmod 644 clients.pem; "
        "sed -i 's#--certfile#--ca-certs /etc/pki/internal/clients.pem --cert-reqs 2 --certfile#' /etc/systemd/system/orders.service; systemctl daemon-reload; systemctl restart orders",
        failures=20,
        expects=causes("tls-client-certificate-required"),
        partly=causes("tls-handshake-failed", "connection-reset", "premature-close"),
        targets=ORDERS_AT,
    ),
    Fault(
        id="pki-revocation-list-expired",
        happens="proxy_ssl_crl was added, and nobody renews the list of revoked certificates: it has expired",
        steps="""cd /etc/pki/internal; : > index.txt; echo 01 > crlnumber
printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=/etc/pki/internal/index.txt\\ncrlnumber=/etc/pki/internal/crlnumber\\ndefault_md=sha256\\n' > crl.cnf
openssl ca -config crl.cnf -gencrl -crlsec 1 -keyfile root.key -cert root.pem -out root.crl 2>/dev/null
openssl ca -config crl.cnf -gencrl -crlsec 1 -keyfile issuing.key -cert issuing.pem -out issuing.crl 2>/dev/null
cat root.crl issuing.crl > firm.crl; sleep 2
sed -i 's#proxy_ssl_name#proxy_ssl_crl /etc/pki/internal/firm.crl;\\n        proxy_ssl_name#' /etc/nginx/sites-available/edge; nginx -t 2>&1; systemctl reload nginx""",
        expects=causes("tls-verify-failed"),
        targets=ORDERS_AT,
    ),
)

NAMES_API = """[Unit]
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn -k gthread --threads 4 --bind 127.0.0.3:7000 api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
NAMES_SITE = """\
upstream fixed {
    server api.firm.internal:7000;
}
resolver 127.0.0.1 valid=2s;
resolver_timeout 3s;
server {
    listen 80 default_server;
    server_name web.firm.example;
    access_log /var/log/nginx/web.log;
    error_log /var/log/nginx/web-error.log;
    location / {
        set $api api.firm.internal;
        proxy_connect_timeout 3s;
        proxy_pass http://$api:7000;
    }
    location /fixed/ {
        proxy_connect_timeout 3s;
        proxy_pass http://fixed/;
    }
}
"""
NAMES_AT = frozenset(
    {
        "api.firm.internal:7000",
        "api.firm.internal",
        "127.0.0.3:7000",
        "[2001:db8::7]:7000",
        "192.0.2.77:7000",
        "127.0.0.9:7000",
        "fixed",
    }
)
NAMES_FAULTS = (
    Fault(
        id="names-only-ipv6-record",
        happens="the record is replaced by an AAAA; this machine has no IPv6 route (Network is unreachable)",
        steps="sed -i 's#,127.0.0.3#,2001:db8::7#' /etc/dnsmasq.d/firm.conf; systemctl restart dnsmasq",
        expects=causes("host-unreachable"),
        partly=causes("wrong-address", "dns-host-not-found"),
        targets=NAMES_AT,
    ),
    Fault(
        id="names-hosts-file-line",
        happens="a line of a test in /etc/hosts names another address for the application; nginx took it at its last restart for the fixed name",
        steps="echo '127.0.0.9 api.firm.internal' >> /etc/hosts; systemctl restart nginx",
        failures=20,
        expects=causes("wrong-address", "stale-dns"),
        partly=causes("backend-not-running", "wrong-port"),
        targets=NAMES_AT,
    ),
    Fault(
        id="names-no-such-name-for-ipv6",
        happens="the record is rewritten as address=, and dnsmasq answers NXDOMAIN for the AAAA of the name that has an A: nginx takes that for both",
        steps="sed -i 's#^host-record=.*#address=/api.firm.internal/127.0.0.3#' /etc/dnsmasq.d/firm.conf; systemctl restart dnsmasq",
        expects=causes("dns-host-not-found"),
        targets=NAMES_AT,
    ),
    Fault(
        id="names-upstream-dns-refuses",
        happens="dnsmasq loses its line for the zone and asks a forwarder that is not there: REFUSED for each name",
        steps="sed -i '/firm.internal/d' /etc/dnsmasq.d/firm.conf; systemctl restart dnsmasq",
        expects=causes("dns-resolver-failure", "dns-host-not-found"),
        targets=NAMES_AT | {"127.0.0.1:53"},
    ),
    Fault(
        id="names-new-address-filtered",
        happens="the record moves to a host of another network, where packets are dropped on the way",
        steps="nft -f - <<'X'\ntable inet way {\n chain out { type filter hook output priority 0; ip daddr 192.0.2.0/24 drop; }\n}\nX\n"
        "sed -i 's#,127.0.0.3#,192.0.2.77#' /etc/dnsmasq.d/firm.conf; systemctl restart dnsmasq",
        expects=causes("connect-timeout"),
        partly=causes("network-policy-denies", "stale-dns"),
        targets=NAMES_AT,
    ),
)

STACKS = (
    Stack(
        name="home",
        about="a home server: nginx in front of two programs in Go, Mosquitto's WebSockets and lighttpd with CGI",
        files={
            "/etc/webhook.conf": HOOKS,
            "/usr/local/bin/deploy": "#!/bin/sh\necho deployed\n",
            "/etc/mosquitto/conf.d/local.conf": MOSQUITTO,
            "/etc/lighttpd/lighttpd.conf": LIGHTTPD,
            "/srv/files/index.html": "<h1>Files</h1>",
            "/srv/files/report.cgi": CGI,
            "/etc/nginx/sites-available/home": HOME_SITES,
        },
        setup=HOME_SETUP,
        routes=HOME_ROUTES,
        faults=HOME_FAULTS,
        calms=(
            Calm(
                id="home-upgrade-night",
                happens="a night: daemon-reexec, logs rotate, Alertmanager reloads, nginx reloads; a CGI script of 5 s; scanners",
                steps="systemctl daemon-reexec; systemctl reload prometheus-alertmanager nginx; logrotate -f /etc/logrotate.d/nginx",
                routes=(
                    Route(path="/files/report.cgi", host="home.example"),
                    Route(path="/hooks/none", host="home.example", weight=2),
                ),
                seconds=14,
            ),
        ),
    ),
    Stack(
        name="tomcat-war",
        about="a war in Tomcat 10 behind nginx as Jenkins's guide shows it, request buffering off",
        files={**WAR, "/etc/nginx/sites-available/ci": WAR_SITE},
        setup=WAR_SETUP,
        routes=(Route(path="/", host=CI, weight=4), Route(path="/job.jsp", host=CI, weight=4)),
        faults=WAR_FAULTS,
        calms=(
            Calm(
                id="war-builds",
                happens="builds of 5 s, artifacts of 500 kB, scanners get 404",
                routes=(
                    Route(path="/build.jsp?ms=5000", host=CI),
                    Route(path="/artifact.jsp", method="POST", host=CI, body_bytes=500_000, weight=2),
                    Route(path="/script", host=CI, weight=2),
                ),
                seconds=14,
            ),
        ),
        ready_s=90,
    ),
    Stack(
        name="pki",
        about="nginx verifies an application's certificate against an internal root with an issuing authority below it",
        files={
            "/usr/local/bin/issue": AUTHORITY,
            "/srv/api/api.py": API,
            "/etc/systemd/system/orders.service": ORDERS_UNIT,
            "/etc/nginx/sites-available/edge": EDGE_SITE,
        },
        setup=PKI,
        routes=(Route(path="/", host="edge.firm.example", weight=4), Route(path="/about", host="edge.firm.example", weight=3)),
        faults=PKI_FAULTS,
        calms=(
            Calm(
                id="pki-renewed",
                happens="the application's certificate is renewed with its chain for the same key, and put in its place in one step; nginx reloads",
                steps="cd /etc/pki/internal; openssl x509 -req -in app.csr -CA issuing.pem -CAkey issuing.key -CAcreateserial -extfile ext -days 90 -out new.leaf 2>/dev/null; "
                "cat new.leaf issuing.pem > new.pem; chmod 644 new.pem; mv new.pem app.pem; systemctl reload nginx; sleep 3; systemctl reload nginx",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="names",
        about="nginx asks dnsmasq for the name of the application, once at its start and once in a variable",
        files={
            "/srv/api/api.py": API,
            "/etc/systemd/system/api.service": NAMES_API,
            "/etc/dnsmasq.d/firm.conf": "no-resolv\nlisten-address=127.0.0.1\nbind-interfaces\nhost-record=api.firm.internal,127.0.0.3\nlocal=/firm.internal/\n",
            "/etc/nginx/sites-available/web": NAMES_SITE,
        },
        setup="systemctl enable --now dnsmasq api\nuntil curl -fs -o /dev/null http://127.0.0.3:7000/; do sleep 0.1; done\n"
        "rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/web /etc/nginx/sites-enabled/web\nsystemctl enable --now nginx\n",
        routes=(
            Route(path="/", host="web.firm.example", weight=4),
            Route(path="/fixed/about", host="web.firm.example", weight=3),
        ),
        faults=NAMES_FAULTS,
        calms=(
            Calm(
                id="names-reload",
                happens="dnsmasq rereads its files, nginx reloads, a record is added",
                steps="echo 'address=/new.firm.internal/127.0.0.4' >> /etc/dnsmasq.d/firm.conf; systemctl kill -s HUP dnsmasq; systemctl reload nginx",
                seconds=10,
            ),
        ),
    ),
)
