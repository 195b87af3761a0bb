"""Tomcat by AJP behind Apache with PostgreSQL, and HAProxy with TLS in front of nginx in front of Flask with memcached."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
SLOW = causes("backend-too-slow", "proxy-timeout-too-short")

TANNERY_PAGE = '<%@ page import="java.sql.*,java.util.*" %>\n'
TANNERY_HIDES = (
    TANNERY_PAGE
    + """<%
Class.forName("org.postgresql.Driver");
try (Connection base = DriverManager.getConnection("jdbc:postgresql://127.0.0.1/tannery", "tannery", "hunter22");
     ResultSet rows = base.createStatement().executeQuery("select name from hides order by id limit 30")) {
    while (rows.next()) out.println(rows.getString(1));
}
%>"""
)
TANNERY_SITE = """\
<VirtualHost *:80>
    ServerName tannery.example
    DocumentRoot /var/www/html
    ErrorLog ${APACHE_LOG_DIR}/tannery.error.log
    CustomLog ${APACHE_LOG_DIR}/tannery.access.log combined
    ProxyTimeout 10
    ProxyPass /static/ !
    ProxyPass / ajp://127.0.0.1:8009/tannery/ secret=oakbark
</VirtualHost>
"""
TANNERY_UP = "until curl -fs -o /dev/null http://127.0.0.1:8080/tannery/index.jsp; do sleep 0.3; done"
TANNERY_SETUP = f"""
systemctl enable -q --now postgresql@15-main
sudo -u postgres psql -q <<SQL
create role tannery login password 'hunter22';
create database tannery owner tannery;
SQL
sudo -u postgres psql -q tannery <<SQL
create table hides (id serial primary key, name text);
insert into hides (name) select 'hide ' || n from generate_series(1, 60) n;
alter table hides owner to tannery;
SQL
mkdir -p /var/lib/tomcat10/webapps/tannery/WEB-INF/lib /var/www/html/static; cp /usr/share/java/postgresql.jar /var/lib/tomcat10/webapps/tannery/WEB-INF/lib/
cp /usr/share/java/apache-commons*.jar /tmp/ 2>/dev/null || true; head -c 20000 /dev/zero | tr '\\0' x > /var/www/html/static/site.css
sed -i 's#<Service name="Catalina">#<Service name="Catalina"><Connector protocol="AJP/1.3" address="127.0.0.1" port="8009" secret="oakbark" secretRequired="true" maxThreads="8"/>#' /etc/tomcat10/server.xml
echo 'JAVA_OPTS="-Djava.awt.headless=true -Xmx96m"' >> /etc/default/tomcat10
systemctl enable -q --now tomcat10
{TANNERY_UP}; for page in hides stretch; do curl -fs -o /dev/null http://127.0.0.1:8080/tannery/$page.jsp; done
a2enmod -q proxy proxy_ajp >/dev/null; a2dissite -q 000-default >/dev/null; a2ensite -q tannery >/dev/null
systemctl enable -q --now apache2
"""


def _tannery(path: str, weight: int = 1, expect: int = 200) -> Route:
    return Route(path=path, host="tannery.example", weight=weight, expect=(expect,))


TANNERY_AT = frozenset({"127.0.0.1:8009"})
TANNERY_FAULTS = (
    Fault(
        id="tannery-secret-of-the-new-file",
        happens="server.xml of the new machine has another AJP secret than Apache sends: 403 for everything that Tomcat should answer",
        steps="sed -i s/oakbark/mimosa/ /etc/tomcat10/server.xml; systemctl restart tomcat10; " + TANNERY_UP,
        failures=0,
        settle="test $(tail -n 60 /var/log/apache2/tannery.access.log | grep -c '\" 403 ') -ge 24",
        expects=causes("ajp-secret-mismatch"),
        targets=TANNERY_AT,
    ),
    Fault(
        id="tannery-stopped-for-java",
        happens="Tomcat was stopped for an upgrade of Java and nobody started it again: AH00957 Connection refused, 503; static files go on",
        steps="systemctl stop tomcat10",
        expects=causes("backend-not-running"),
        targets=TANNERY_AT,
    ),
    Fault(
        id="tannery-postgres-not-enabled",
        happens="after an upgrade of the cluster PostgreSQL is not started: PSQLException, Connection to 127.0.0.1:5432 refused, 500 of Tomcat for the list of hides",
        steps="systemctl disable -q --now postgresql@15-main; systemctl stop postgresql",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=TANNERY_AT | {"127.0.0.1:5432"},
    ),
    Fault(
        id="tannery-eight-threads",
        happens="stretching takes six seconds, and on a fair day twenty visitors ask for it at once: all eight AJP threads are busy, anybody else waits until Apache's ten seconds are over",
        steps="true",
        routes=(_tannery("/stretch.jsp?ms=6000", 20),),
        users=30,
        limit_s=120.0,
        failures=40,
        expects=causes("workers-exhausted"),
        partly=SLOW | causes("listen-backlog-overflow"),
        targets=TANNERY_AT,
    ),
    Fault(
        id="tannery-memory-of-java",
        happens="a page keeps what it reads, and the heap of 96 MB is full: java.lang.OutOfMemoryError: Java heap space, 500 for page after page",
        steps="true",
        routes=(_tannery("/hoard.jsp", 3),),
        limit_s=100.0,
        failures=16,
        settle="grep -q 'OutOfMemoryError' /var/log/tomcat10/localhost.*.log",
        expects=causes("application-error"),
        partly=causes("upstream-error-status", "memory-pressure", "backend-too-slow", "backend-hung"),
        targets=TANNERY_AT,
    ),
    Fault(
        id="tannery-web-xml-broken",
        happens="the release has a web.xml that does not parse; Tomcat starts without that application (Context [/tannery] startup failed due to previous errors): 404 for everything",
        steps="echo '<web-app><servlet></web-app>' > /var/lib/tomcat10/webapps/tannery/WEB-INF/web.xml; systemctl restart tomcat10; until curl -s -o /dev/null http://127.0.0.1:8080/; do sleep 0.3; done",
        failures=0,
        settle="test $(tail -n 60 /var/log/apache2/tannery.access.log | grep -c '\" 404 ') -ge 24",
        expects=causes("backend-startup-failure"),
        partly=OWN_ERROR | causes("route-not-found"),
        targets=TANNERY_AT,
    ),
)

ALMANAC_HAPROXY = """\
global
    log /dev/log local0
    user haproxy
    group haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 4s
    timeout client 40s
    timeout server 12s
frontend web
    bind :80
    bind :443 ssl crt /etc/haproxy/almanac.pem
    option forwardfor
    default_backend sites
backend sites
    option httpchk
    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host almanac.example
    http-check expect status 200
    server nginx1 127.0.0.1:8443 check inter 1s fall 3 ssl verify required ca-file /etc/haproxy/ca.pem sni str(almanac.example) verifyhost almanac.example
"""
ALMANAC_SITE = """\
limit_req_zone $binary_remote_addr zone=visitors:10m rate=10r/s;
server {
    listen 127.0.0.1:8443 ssl;
    server_name almanac.example;
    ssl_certificate /etc/nginx/tls/almanac.crt;
    ssl_certificate_key /etc/nginx/tls/almanac.key;
    access_log /var/log/nginx/almanac.access.log;
    error_log /var/log/nginx/almanac.error.log;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Forwarded-For;

    location = /healthz { access_log off; return 200 "ok\\n"; }
    location /charts/ { root /srv/almanac; }
    location / {
        limit_req zone=visitors burst=30 nodelay;
        proxy_pass http://127.0.0.1:8800;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_read_timeout 30s;
    }
}
"""
ALMANAC_APP = """\
import os, time
from flask import Flask, make_response, request
from pymemcache.client.base import Client

application = Flask(__name__)

def store():
    return Client(("127.0.0.1", 11211), connect_timeout=2, timeout=float(os.environ.get("STORE_TIMEOUT", "30")))

@application.get("/")
def home():
    return "<p>tides and moons</p>" * 80

@application.get("/day")
def day():
    kept = store()
    kept.set("day", "x" * 2000)
    return kept.get("day")

@application.get("/year")
def year():
    time.sleep(float(request.args.get("s", "1")))
    return "year"

@application.get("/login")
def login():
    answer = make_response("welcome")
    for n in range(int(request.args.get("n", "1"))):
        answer.set_cookie(f"group{n}", "x" * 900)
    return answer
"""
ALMANAC_UNIT = """[Unit]
Description=Almanac
After=network.target memcached.service

[Service]
User=www-data
WorkingDirectory=/srv/almanac
ExecStart=/opt/venv/bin/gunicorn --worker-class gthread --workers 2 --threads 4 --bind 127.0.0.1:8800 almanac:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
ALMANAC_UP = "until curl -fs -o /dev/null http://127.0.0.1:8800/; do sleep 0.2; done"
ALMANAC_SIGN = """
cd /root/ca
openssl req -newkey rsa:2048 -nodes -keyout almanac.key -subj /CN=almanac.example -addext subjectAltName=DNS:almanac.example -out almanac.csr 2>/dev/null
openssl ca -batch -config conf -cert ca.pem -keyfile ca.key -in almanac.csr -out almanac.crt -startdate $(date -u -d "$FROM" +%y%m%d%H%M%SZ) -enddate $(date -u -d "$TO" +%y%m%d%H%M%SZ) 2>/dev/null
cp almanac.crt almanac.key /etc/nginx/tls/
"""
ALMANAC_CA = """\
[ca]
default_ca = own
[own]
new_certs_dir = /root/ca/new
database = /root/ca/index
serial = /root/ca/serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""
ALMANAC_SETUP = f"""
mkdir -p /root/ca/new /etc/nginx/tls; cd /root/ca; touch index; echo 01 > serial
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj '/CN=Inner CA' -days 3650 -out ca.pem 2>/dev/null
cp ca.pem /etc/haproxy/ca.pem
export FROM='yesterday' TO='+90 days'; {ALMANAC_SIGN}
openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/k -subj /CN=almanac.example -days 80 -out /tmp/c 2>/dev/null; cat /tmp/c /tmp/k > /etc/haproxy/almanac.pem
mkdir -p /srv/almanac/charts; head -c 40000 /dev/urandom > /srv/almanac/charts/moon.png
systemctl daemon-reload; systemctl enable -q --now memcached rsyslog almanac
{ALMANAC_UP}
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/almanac /etc/nginx/sites-enabled/almanac
systemctl enable -q --now nginx
systemctl enable -q haproxy; systemctl restart haproxy
"""


def _almanac(path: str, weight: int = 1, expect: int = 200) -> Route:
    return Route(path=path, host="almanac.example", port=443, tls=True, weight=weight, expect=(expect,))


ALMANAC_AT = frozenset({"127.0.0.1:8800"})
INNER_AT = frozenset({"127.0.0.1:8443", "sites", "sites/nginx1", "nginx1", "sites/<NOSRV>"})
ALMANAC_FAULTS = (
    Fault(
        id="almanac-application-stopped",
        happens="the application was stopped at night to copy its data; HAProxy's check asks nginx, which is well, so everybody gets nginx's 502",
        steps="systemctl stop almanac",
        expects=causes("backend-not-running"),
        targets=ALMANAC_AT,
    ),
    Fault(
        id="almanac-year-of-eighteen-seconds",
        happens="the year takes 18 seconds; nginx would wait for 30, HAProxy in front waits for 12 (sH): 504 for it alone",
        steps="true",
        routes=(_almanac("/year?s=18", 1),),
        limit_s=110.0,
        failures=10,
        expects=SLOW,
        targets=INNER_AT | ALMANAC_AT,
    ),
    Fault(
        id="almanac-inner-certificate-expired",
        happens="the certificate of the inner nginx, signed by an authority of the house, was renewed once by hand 90 days ago and expired today; HAProxy verifies it, and its check fails as every request does: 503",
        steps="export FROM='90 days ago' TO='1 hour ago'; " + ALMANAC_SIGN + " systemctl reload nginx",
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed", "all-upstreams-down"),
        targets=INNER_AT,
    ),
    Fault(
        id="almanac-memcached-stands-still",
        happens="memcached stands still (SIGSTOP); the application's client has a timeout of 30 seconds, days hang and take the threads with them, HAProxy gives up after 12: 504",
        steps="kill -STOP $(systemctl show -P MainPID memcached)",
        limit_s=120.0,
        failures=16,
        patience_s=40.0,
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=SLOW | causes("workers-exhausted", "backend-hung"),
        targets=ALMANAC_AT | INNER_AT | {"127.0.0.1:11211"},
    ),
    Fault(
        id="almanac-cookies-of-a-login",
        happens="a member of many groups gets eight cookies of 900 bytes with the login; nginx has buffers of 4 kB for a header: upstream sent too big header, 502 for those logins",
        steps="true",
        routes=(_almanac("/login?n=8", 4),),
        expects=causes("response-header-too-big"),
        targets=ALMANAC_AT,
    ),
    Fault(
        id="almanac-rule-closes-its-own-port",
        happens="a rule against visitors on port 8443 drops it on every interface, loopback too: HAProxy's check times out (L4TOUT), 503",
        steps="nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; }'; nft add rule inet filter input tcp dport 8443 drop",
        expects=causes("connect-timeout"),
        partly=causes("all-upstreams-down", "network-policy-denies"),
        targets=INNER_AT,
    ),
    Fault(
        id="almanac-health-path-redirected",
        happens="a release of the site's file sends /healthz to /health/ with 301, and HAProxy's check wants 200: the only server is taken out although it answers everybody",
        steps="sed -i 's#location = /healthz .*#location = /healthz { access_log off; return 301 /health/; }#' /etc/nginx/sites-available/almanac; systemctl reload nginx",
        failures=16,
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=INNER_AT,
    ),
    Fault(
        id="almanac-real-address-lost",
        happens="the lines for the real address are lost from the site's file: nginx counts all visitors as 127.0.0.1 and its limit of ten requests a second holds for all of them together: 503",
        steps="sed -i '/real_ip/d; s/burst=30/burst=5/' /etc/nginx/sites-available/almanac; systemctl reload nginx",
        users=26,
        expects=causes("rate-limited"),
    ),
    Fault(
        id="almanac-nginx-lost-a-snippet",
        happens="a site's file includes a snippet that was deleted with another site, and nginx is restarted: it does not start ([emerg] open() failed), HAProxy has no server: 503",
        steps="sed -i 's#server_name#include /etc/nginx/snippets/hsts.conf;\\n    server_name#' /etc/nginx/sites-available/almanac; systemctl restart nginx || true",
        expects=causes("proxy-config-invalid", "backend-startup-failure"),
        partly=causes("proxy-not-running", "backend-not-running", "all-upstreams-down"),
    ),
)

STACKS = (
    Stack(
        name="tannery",
        about="Apache speaks AJP with a secret to Tomcat 10 (eight threads, 96 MB), which asks PostgreSQL for each page",
        files={
            "/etc/apache2/sites-available/tannery.conf": TANNERY_SITE,
            "/var/lib/tomcat10/webapps/tannery/index.jsp": TANNERY_PAGE + "Tannery <%= new java.util.Date() %>",
            "/var/lib/tomcat10/webapps/tannery/hides.jsp": TANNERY_HIDES,
            "/var/lib/tomcat10/webapps/tannery/stretch.jsp": TANNERY_PAGE
            + '<% String ms = request.getParameter("ms"); Thread.sleep(ms == null ? 1 : Long.parseLong(ms)); %>stretched',
            "/var/lib/tomcat10/webapps/tannery/hoard.jsp": TANNERY_PAGE
            + "<%! static List<byte[]> kept = Collections.synchronizedList(new ArrayList<>()); %><% for (int n = 0; n < 4; n++) kept.add(new byte[4 << 20]); %>kept <%= kept.size() %>",
        },
        setup=TANNERY_SETUP,
        routes=(_tannery("/index.jsp", 4), _tannery("/hides.jsp", 3), _tannery("/static/site.css")),
        faults=TANNERY_FAULTS,
        calms=(
            Calm(
                id="tannery-market",
                happens="stretching of two seconds, the database is dumped, Apache reloads with grace; scanners ask for the manager of Tomcat and old paths",
                steps="sudo -u postgres pg_dump tannery > /root/tannery.sql; apachectl graceful",
                routes=(
                    _tannery("/stretch.jsp?ms=2000"),
                    _tannery("/manager/html", expect=404),
                    _tannery("/solr/admin", expect=404),
                ),
                seconds=18.0,
                users=8,
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="almanac",
        about="HAProxy with TLS and checks in front of nginx with TLS of an inner authority (127.0.0.1:8443) and a limit for each visitor, in front of Flask in gunicorn (8800); memcached, rsyslog",
        files={
            "/etc/haproxy/haproxy.cfg": ALMANAC_HAPROXY,
            "/etc/nginx/sites-available/almanac": ALMANAC_SITE,
            "/srv/almanac/almanac.py": ALMANAC_APP,
            "/etc/systemd/system/almanac.service": ALMANAC_UNIT,
            "/root/ca/conf": ALMANAC_CA,
        },
        setup=ALMANAC_SETUP,
        routes=(_almanac("/", 4), _almanac("/day", 2), _almanac("/charts/moon.png")),
        faults=ALMANAC_FAULTS,
        calms=(
            Calm(
                id="almanac-new-year",
                happens="years of three seconds, HAProxy and nginx reload, logs rotate; a scanner looks for backups, some visitors leave",
                steps="systemctl reload nginx; systemctl reload haproxy; logrotate -f /etc/logrotate.d/nginx",
                routes=(_almanac("/year?s=3"), _almanac("/backup.zip", expect=404), _almanac("/admin.php", expect=404)),
                seconds=18.0,
                users=10,
                cancels=True,
            ),
            Calm(
                id="almanac-certificate-renewed",
                happens="the certificate of the inner nginx is renewed in time, as the timer does; HAProxy's log of two hours ago tells of the deploy (server down, 503); nothing fails now",
                steps="{ for n in $(seq 30); do echo \"$(date -u -d '2 hours ago' '+%Y-%m-%dT%H:%M:%S').959136+00:00 web1 haproxy[77]: 203.0.113.$n:4711 [$(LC_ALL=C date -d '2 hours ago' '+%d/%b/%Y:%H:%M:%S').100] web~ sites/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 2/2/0/0/0 0/0 \\\"GET / HTTP/1.1\\\"\"; done; cat /var/log/haproxy.log; } > /tmp/log; cat /tmp/log > /var/log/haproxy.log; export FROM=yesterday TO='+90 days'; "
                + ALMANAC_SIGN
                + " systemctl reload nginx",
                seconds=14.0,
            ),
        ),
    ),
)
