"""Gateways other than nginx, and chains of them: HAProxy with checks, Apache with Tomcat, nginx in front of either, Varnish,
Caddy.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API_FILES, ENABLE_SITE, site

HAPROXY = """\
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    daemon

defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 3s
    timeout client 30s
    timeout server 8s
    timeout queue 4s

frontend web
    bind BIND
    default_backend api

backend api
    option httpchk GET /health
    server api1 127.0.0.1:9101 check inter 1s fall 2 rise 2
    server api2 127.0.0.1:9102 check inter 1s fall 2 rise 2
"""
ROUTES = (Route(path="/", weight=4), Route(path="/items/3", weight=4), Route(path="/about", weight=2))
APIS = "systemctl enable --now api@9101 api@9102\nuntil curl -fs -o /dev/null http://127.0.0.1:9101/ && curl -fs -o /dev/null http://127.0.0.1:9102/; do sleep 0.1; done\n"
ADMIN = "python3 -c \"import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall((sys.argv[1]+chr(10)).encode()); print(s.recv(9999).decode())\""
SERVERS = frozenset({"127.0.0.1:9101", "127.0.0.1:9102", "api"})
NGINX_INSTALLED = "systemctl stop haproxy; rm -f /etc/nginx/sites-enabled/default; "

HAPROXY_FAULTS = (
    Fault(
        id="haproxy-servers-stopped",
        happens="both servers are stopped; HAProxy has none left",
        steps="systemctl stop api@9101 api@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        targets=SERVERS,
    ),
    Fault(
        id="haproxy-health-path-renamed",
        happens="a release renames /health; the checks get 404, and HAProxy takes both servers out",
        steps="touch /srv/api/renamed",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=SERVERS,
    ),
    Fault(
        id="haproxy-maintenance-forgotten",
        happens="both servers were set to maintenance for a deploy, and nobody set them back",
        steps=f"{ADMIN} 'set server api/api1 state maint'; {ADMIN} 'set server api/api2 state maint'",
        expects=causes("maintenance-response"),
        partly=causes("all-upstreams-down"),
    ),
    Fault(
        id="haproxy-maxconn-per-server",
        happens="maxconn 1 for each server, and slow searches; requests leave the queue with 503",
        steps="sed -i 's/ check inter/ maxconn 1 check inter/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        routes=(Route(path="/search", weight=40),),
        users=24,
        expects=causes("upstream-connection-limit"),
        partly=causes("workers-exhausted", "backend-too-slow"),
        targets=SERVERS,
    ),
    Fault(
        id="haproxy-page-too-slow",
        happens="a page needs 12 s, timeout server is 8 s",
        steps="true",
        routes=(Route(path="/slow", weight=1),),
        failures=6,
        expects=causes("backend-too-slow", "proxy-timeout-too-short", "workers-exhausted"),
        partly=causes("backend-hung"),
        targets=SERVERS,
    ),
    Fault(
        id="haproxy-worker-crashes",
        happens="a page crashes the worker that serves it (SIGSEGV)",
        steps="true",
        routes=(Route(path="/crash", weight=2),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset", "backend-not-running", "all-upstreams-down"),
        targets=SERVERS,
    ),
    Fault(
        id="haproxy-tls-to-plain",
        happens="ssl verify none is added to the servers, which speak plain HTTP",
        steps="sed -i 's/ check inter/ ssl verify none check inter/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
        expects=causes("wrong-protocol"),
        partly=causes("tls-handshake-failed", "all-upstreams-down", "health-check-misconfigured"),
        targets=SERVERS,
    ),
    Fault(
        id="haproxy-ports-changed",
        happens="the servers move to 9201 and 9202; HAProxy still asks the old ports",
        steps="systemctl stop api@9101 api@9102; systemctl start api@9201 api@9202",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=SERVERS,
    ),
    Fault(
        id="haproxy-stopped",
        happens="HAProxy itself is stopped",
        steps="systemctl stop haproxy",
        expects=causes("proxy-not-running"),
    ),
    Fault(
        id="haproxy-port-taken-by-apache",
        happens="apache2 was installed by an upgrade and started first; HAProxy cannot bind port 80 after its restart",
        steps="systemctl stop haproxy; systemctl start apache2; systemctl restart haproxy || true; "
        "sed -i '/DocumentRoot/a Redirect 503 /' /etc/apache2/sites-enabled/000-default.conf; systemctl reload apache2",
        expects=causes("proxy-listen-failed"),
        partly=causes("proxy-not-running", "maintenance-response"),
    ),
    Fault(
        id="haproxy-server-frozen",
        happens="both servers are stopped by SIGSTOP",
        steps="systemctl kill -s STOP api@9101 api@9102",
        expects=causes("backend-hung"),
        partly=causes("all-upstreams-down", "backend-too-slow"),
        targets=SERVERS,
    ),
)

TOMCAT_PAGES = {
    "/var/lib/tomcat10/webapps/shop/index.jsp": '<%@ page session="false" %>Shop <%= new java.util.Date() %>',
    "/var/lib/tomcat10/webapps/shop/slow.jsp": '<%@ page session="false" %><% Thread.sleep(Integer.parseInt(request.getParameter("ms"))); %>done',
    "/var/lib/tomcat10/webapps/shop/memory.jsp": '<%@ page session="false" %><% java.util.List<byte[]> all = new java.util.ArrayList<>(); while (true) all.add(new byte[1 << 20]); %>',
    "/var/lib/tomcat10/webapps/shop/exit.jsp": '<%@ page session="false" %><% Runtime.getRuntime().halt(1); %>',
}
TOMCAT_PREPARE = """
sed -i 's#<Service name="Catalina">#<Service name="Catalina"><Connector protocol="AJP/1.3" address="127.0.0.1" port="8009" secret="tiger" secretRequired="true" maxThreads="10"/>#' /etc/tomcat10/server.xml
systemctl enable --now tomcat10
until curl -fs -o /dev/null http://127.0.0.1:8080/shop/index.jsp; do sleep 0.3; done
"""
APACHE_SITE = """\
<VirtualHost *:80>
    ServerName shop.example
    ErrorLog ${APACHE_LOG_DIR}/shop_error.log
    CustomLog ${APACHE_LOG_DIR}/shop_access.log combined
    ProxyTimeout 6
    ProxyPass /plain/ http://127.0.0.1:8080/shop/
    ProxyPass / ajp://127.0.0.1:8009/shop/ secret=tiger
</VirtualHost>
"""
APACHE_SETUP = (
    TOMCAT_PREPARE
    + "a2enmod -q proxy proxy_ajp proxy_http\na2dissite -q 000-default\na2ensite -q shop\nsystemctl enable --now apache2\n"
)
AJP = frozenset({"127.0.0.1:8009"})
HTTP = frozenset({"127.0.0.1:8080"})
APACHE_FAULTS = (
    Fault(
        id="tomcat-ajp-secret-changed",
        happens="the secret in server.xml is changed, the one of Apache is not",
        steps='sed -i \'s/secret="tiger"/secret="lion"/\' /etc/tomcat10/server.xml; systemctl restart tomcat10; until curl -fs -o /dev/null http://127.0.0.1:8080/shop/index.jsp; do sleep 0.3; done',
        expects=causes("ajp-secret-mismatch"),
        targets=AJP,
    ),
    Fault(
        id="tomcat-stopped",
        happens="Tomcat is stopped",
        steps="systemctl stop tomcat10",
        expects=causes("backend-not-running"),
        targets=AJP | HTTP,
    ),
    Fault(
        id="tomcat-ajp-connector-removed",
        happens="an upgrade replaces server.xml; there is no AJP connector any more, HTTP is still there",
        steps="sed -i 's#<Connector protocol=\"AJP[^>]*/>##' /etc/tomcat10/server.xml; systemctl restart tomcat10; until curl -fs -o /dev/null http://127.0.0.1:8080/shop/index.jsp; do sleep 0.3; done",
        expects=causes("backend-not-running", "wrong-port"),
        partly=causes("all-upstreams-down"),
        targets=AJP,
    ),
    Fault(
        id="tomcat-threads-exhausted",
        happens="ten AJP threads, and many users on a page of 3 s",
        steps="true",
        routes=(Route(path="/slow.jsp?ms=4000", weight=60),),
        users=40,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung"),
        targets=AJP,
    ),
    Fault(
        id="tomcat-page-too-slow",
        happens="a page needs 12 s, ProxyTimeout is 6 s",
        steps="true",
        routes=(Route(path="/plain/slow.jsp?ms=12000", weight=2),),
        failures=6,
        expects=causes("backend-too-slow", "proxy-timeout-too-short"),
        partly=causes("backend-hung"),
        targets=HTTP,
    ),
    Fault(
        id="tomcat-halts",
        happens="a page ends the virtual machine; systemd does not restart it at once",
        steps="mkdir -p /etc/systemd/system/tomcat10.service.d; printf '[Service]\\nRestart=no\\n' > /etc/systemd/system/tomcat10.service.d/x.conf; systemctl daemon-reload; "
        "curl -s -m 3 http://127.0.0.1:8080/shop/exit.jsp || true",
        expects=causes("backend-crashed", "backend-not-running"),
        targets=AJP | HTTP,
    ),
    Fault(
        id="tomcat-starts-never",
        happens="server.xml is broken by an edit; Tomcat does not start",
        steps="sed -i 's#</Service>##' /etc/tomcat10/server.xml; systemctl restart tomcat10",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AJP | HTTP,
    ),
    Fault(
        id="tomcat-java-option-wrong",
        happens="JAVA_OPTS has an option that this Java does not know",
        steps="echo 'JAVA_OPTS=\"-Xmx64m -XX:MaxPermSize=64m -XX:+UseConcMarkSweepGC\"' >> /etc/default/tomcat10; systemctl restart tomcat10",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=AJP | HTTP,
    ),
    Fault(
        id="apache-module-disabled",
        happens="a2dismod proxy_ajp",
        steps="a2dismod -q -f proxy_ajp; systemctl restart apache2",
        expects=causes("proxy-module-missing"),
    ),
    Fault(
        id="tomcat-frozen",
        happens="the virtual machine stands still (SIGSTOP, as in a long garbage collection)",
        steps="kill -STOP $(pgrep java)",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow", "workers-exhausted"),
        targets=AJP | HTTP,
    ),
    Fault(
        id="apache-worker-limit",
        happens="MaxRequestWorkers is 4 and slow pages hold all of them",
        steps="cat > /etc/apache2/mods-available/mpm_$(a2query -M).conf <<X\n"
        "<IfModule mpm_prefork_module>\nStartServers 2\nMinSpareServers 1\nMaxSpareServers 4\nServerLimit 4\nMaxRequestWorkers 4\n</IfModule>\n"
        "<IfModule !mpm_prefork_module>\nStartServers 1\nServerLimit 1\nThreadsPerChild 4\nMinSpareThreads 1\nMaxSpareThreads 4\n"
        "MaxRequestWorkers 4\n</IfModule>\nX\nsystemctl restart apache2",
        settle="grep -q 'reached MaxRequestWorkers' /var/log/apache2/error.log",  # its restart breaks connections before that
        routes=(Route(path="/slow.jsp?ms=5000", weight=60),),
        users=40,
        patience_s=9,
        expects=causes("worker-connections-exhausted", "upstream-connection-limit", "workers-exhausted"),
        partly=causes("backend-too-slow", "client-closed-request"),
    ),
)

CHAIN = """
    location / {
        include proxy_params;
        proxy_connect_timeout 3s;
        proxy_read_timeout 10s;
        proxy_pass http://127.0.0.1:8088;
    }
"""
INNER = """
server {
    listen 127.0.0.1:8088;
    server_name inner;
    access_log /var/log/nginx/inner.access.log;
    error_log /var/log/nginx/inner.error.log;
    location / {
        proxy_read_timeout 5s;
        proxy_pass http://127.0.0.1:9101;
    }
}
"""
CHAIN_FAULTS = (
    Fault(
        id="nginx-nginx-api-stopped",
        happens="the service behind the inner nginx is stopped",
        steps="systemctl stop api@9101",
        expects=causes("backend-not-running"),
        partly=causes("upstream-error-status"),
        targets=frozenset({"127.0.0.1:9101"}),
    ),
    Fault(
        id="nginx-nginx-api-frozen",
        happens="the service behind the inner nginx stands still",
        steps="systemctl kill -s STOP api@9101",
        expects=causes("backend-hung"),
        partly=causes("upstream-error-status", "backend-too-slow"),
        targets=frozenset({"127.0.0.1:9101"}),
    ),
    Fault(
        id="nginx-nginx-inner-listen-changed",
        happens="the inner server is moved to another port, the outer still asks the old one",
        steps="sed -i 's/listen 127.0.0.1:8088/listen 127.0.0.1:8089/' /etc/nginx/sites-available/shop; nginx -s stop; until ! pgrep -x nginx; do sleep 0.1; done; systemctl restart nginx",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=frozenset({"127.0.0.1:8088"}),
    ),
    Fault(
        id="nginx-nginx-loop",
        happens="the inner proxy_pass is edited to the front's own address",
        steps="sed -i 's#proxy_pass http://127.0.0.1:9101#proxy_pass http://127.0.0.1:8088#' /etc/nginx/sites-available/shop; systemctl reload nginx",
        expects=causes("proxy-loop"),
        partly=causes("worker-connections-exhausted"),
    ),
    Fault(
        id="nginx-nginx-api-says-503",
        happens="the service answers 503 itself on a page",
        steps="true",
        routes=(Route(path="/unavailable", weight=4),),
        expects=causes("upstream-error-status"),
        targets=frozenset({"127.0.0.1:9101"}),
    ),
)
NGINX_HAPROXY_FAULTS = (
    Fault(
        id="nginx-haproxy-apis-stopped",
        happens="the services behind HAProxy are stopped",
        steps="systemctl stop api@9101 api@9102",
        expects=causes("backend-not-running", "all-upstreams-down"),
        partly=causes("upstream-error-status"),
        targets=SERVERS,
    ),
    Fault(
        id="nginx-haproxy-stopped",
        happens="HAProxy is stopped",
        steps="systemctl stop haproxy",
        expects=causes("backend-not-running", "proxy-not-running"),
        targets=frozenset({"127.0.0.1:8088", "None"}),
    ),
    Fault(
        id="nginx-haproxy-page-too-slow",
        happens="a page needs 12 s; HAProxy gives up after 8 s",
        steps="true",
        routes=(Route(path="/slow", weight=1),),
        failures=5,
        expects=causes("backend-too-slow", "proxy-timeout-too-short", "workers-exhausted"),
        partly=causes("upstream-error-status", "backend-hung"),
        targets=SERVERS,
    ),
    Fault(
        id="nginx-haproxy-accepts-proxy-only",
        happens="HAProxy's bind gets accept-proxy, nginx sends no PROXY header",
        steps="sed -i 's/bind 127.0.0.1:8088/bind 127.0.0.1:8088 accept-proxy/' /etc/haproxy/haproxy.cfg; systemctl restart haproxy",
        expects=causes("wrong-protocol"),
        partly=causes("connection-reset", "premature-close"),
        targets=frozenset({"127.0.0.1:8088"}),
    ),
    Fault(
        id="nginx-haproxy-configuration-refused",
        happens="haproxy.cfg has a mistake, HAProxy does not start again after a restart",
        steps="sed -i 's/option httpchk/option httpcheck/' /etc/haproxy/haproxy.cfg; systemctl restart haproxy || true",
        expects=causes("proxy-config-invalid", "backend-startup-failure"),
        partly=causes("backend-not-running", "proxy-not-running", "backend-crash-loop"),
    ),
)

VCL = """vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "8088"; .connect_timeout = 2s; .first_byte_timeout = 6s;
  .probe = { .url = "/health"; .interval = 1s; .timeout = 1s; .window = 4; .threshold = 2; } }
sub vcl_recv { return (pass); }
"""
VARNISH_SETUP = (
    APIS
    + "mkdir -p /etc/systemd/system/varnish.service.d\nprintf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/varnishd -j unix,user=vcache -F -a :80 -f /etc/varnish/default.vcl -s malloc,32m\\n' > /etc/systemd/system/varnish.service.d/x.conf\nsystemctl daemon-reload\n"
    + ENABLE_SITE
    + "systemctl start varnish varnishncsa || true\n"
)
CADDY = """\
:80 {
    log {
        output file /var/log/caddy/access.log
    }
    reverse_proxy 127.0.0.1:9101 {
        transport http {
            dial_timeout 2s
            response_header_timeout 6s
        }
    }
}
"""
AT_9101 = frozenset({"127.0.0.1:9101"})
VARNISH_FAULTS = (
    Fault(
        id="varnish-nginx-stopped",
        happens="nginx behind Varnish is stopped",
        steps="systemctl stop nginx",
        expects=causes("backend-not-running", "proxy-not-running"),
        targets=frozenset({"127.0.0.1:8088", "None"}),
    ),
    Fault(
        id="varnish-api-stopped",
        happens="the service behind nginx behind Varnish is stopped",
        steps="systemctl stop api@9101",
        expects=causes("backend-not-running"),
        targets=AT_9101,
    ),
    Fault(
        id="varnish-api-frozen",
        happens="the service behind both stands still",
        steps="systemctl kill -s STOP api@9101",
        expects=causes("backend-hung"),
        partly=causes("backend-too-slow"),
        targets=AT_9101,
    ),
)
CADDY_FAULTS = (
    Fault(
        id="caddy-api-stopped",
        happens="the service behind Caddy is stopped",
        steps="systemctl stop api@9101",
        expects=causes("backend-not-running"),
        targets=AT_9101,
    ),
    Fault(
        id="caddy-api-moved",
        happens="the service runs on port 9102 now",
        steps="mkdir -p /etc/systemd/system/api@9101.service.d; printf '[Service]\\nExecStart=\\nExecStart=/opt/venv/bin/gunicorn --worker-class gthread "
        "--threads 4 --workers 1 --bind 127.0.0.1:9102 api:application\\n' > /etc/systemd/system/api@9101.service.d/port.conf; "
        "systemctl daemon-reload; systemctl stop api@9102; systemctl restart api@9101; "
        "until curl -fs -o /dev/null http://127.0.0.1:9102/; do sleep 0.1; done",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=AT_9101,
    ),
    Fault(
        id="caddy-page-too-slow",
        happens="a page needs 12 s, Caddy waits 6 s",
        steps="true",
        routes=(Route(path="/slow", weight=1),),
        failures=5,
        expects=causes("backend-too-slow", "proxy-timeout-too-short", "workers-exhausted"),
        partly=causes("backend-hung"),
        targets=AT_9101,
    ),
    Fault(
        id="caddy-api-crashes",
        happens="a page crashes its worker",
        steps="true",
        routes=(Route(path="/crash", weight=2),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset"),
        targets=AT_9101,
    ),
)

STACKS = (
    Stack(
        name="haproxy",
        about="HAProxy with HTTP checks in front of two services",
        files={**API_FILES, "/etc/haproxy/haproxy.cfg": HAPROXY.replace("BIND", ":80")},
        setup=APIS + "systemctl enable --now haproxy\n",
        routes=ROUTES,
        faults=HAPROXY_FAULTS,
        calms=(
            Calm(id="haproxy-quiet-day", happens="ordinary traffic", seconds=8),
            Calm(
                id="haproxy-reload",
                happens="HAProxy reloads under traffic, scanners get 404",
                steps="systemctl reload haproxy; sleep 2; systemctl reload haproxy",
                seconds=10,
            ),
        ),
    ),
    Stack(
        name="apache-tomcat",
        about="Apache in front of Tomcat 10, over AJP and HTTP",
        files={**TOMCAT_PAGES, "/etc/apache2/sites-available/shop.conf": APACHE_SITE},
        setup=APACHE_SETUP,
        routes=(Route(path="/index.jsp", weight=4), Route(path="/plain/index.jsp", weight=4)),
        faults=APACHE_FAULTS,
        calms=(
            Calm(id="apache-tomcat-quiet-day", happens="ordinary traffic", seconds=8),
            Calm(
                id="apache-tomcat-night",
                happens="Apache reloads, logs rotate, 404s",
                steps="logrotate -f /etc/logrotate.d/apache2; systemctl reload apache2",
                routes=(Route(path="/missing"),),
                seconds=10,
            ),
        ),
        ready_s=90,
    ),
    Stack(
        name="nginx-nginx",
        about="nginx in front of a second server of nginx, in front of a service",
        files={**API_FILES, "/etc/nginx/sites-available/shop": site(CHAIN) + INNER},
        setup=APIS + ENABLE_SITE,
        routes=ROUTES,
        faults=CHAIN_FAULTS,
        calms=(
            Calm(id="nginx-nginx-quiet-day", happens="ordinary traffic, a reload", steps="systemctl reload nginx", seconds=8),
        ),
    ),
    Stack(
        name="nginx-haproxy",
        about="nginx in front of HAProxy with checks, in front of two services",
        files={
            **API_FILES,
            "/etc/nginx/sites-available/shop": site(CHAIN),
            "/etc/haproxy/haproxy.cfg": HAPROXY.replace("BIND", "127.0.0.1:8088"),
        },
        setup=APIS + "systemctl enable --now haproxy\n" + ENABLE_SITE,
        routes=ROUTES,
        faults=NGINX_HAPROXY_FAULTS,
        calms=(
            Calm(
                id="nginx-haproxy-quiet-day",
                happens="ordinary traffic, one of two services is replaced",
                steps=f"{ADMIN} 'set server api/api2 state drain'; sleep 1; systemctl restart api@9102; {ADMIN} 'set server api/api2 state ready'",
                seconds=8,
            ),
        ),
    ),
    Stack(
        name="varnish",
        about="Varnish in front of nginx, in front of a service",
        files={
            **API_FILES,
            "/etc/varnish/default.vcl": VCL,
            "/etc/nginx/sites-available/shop": site(
                "    location / {\n        proxy_read_timeout 5s;\n        proxy_pass http://127.0.0.1:9101;\n    }\n",
                listen="127.0.0.1:8088 default_server",
            ),
        },
        setup=VARNISH_SETUP,
        routes=ROUTES,
        faults=VARNISH_FAULTS,
        calms=(Calm(id="varnish-quiet-day", happens="ordinary traffic", seconds=8),),
    ),
    Stack(
        name="caddy",
        about="Caddy in front of a service",
        files={**API_FILES, "/etc/caddy/Caddyfile": CADDY},
        setup=APIS + "mkdir -p /var/log/caddy; chown caddy: /var/log/caddy; systemctl start caddy\n",
        routes=ROUTES,
        faults=CADDY_FAULTS,
        calms=(Calm(id="caddy-quiet-day", happens="ordinary traffic", seconds=8),),
    ),
)
