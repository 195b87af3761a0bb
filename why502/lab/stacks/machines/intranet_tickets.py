"""Apache as an intranet's gateway to Tomcat (AJP and HTTP), Node.js with a certificate and another host, and Sinatra in Puma with PostgreSQL."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")
NO_START = causes("backend-startup-failure", "backend-crash-loop")
GONE = causes("backend-not-running", "backend-crashed", "unix-socket-missing")

INTRANET_SITE = """\
<VirtualHost *:80>
    ServerName intranet.example
    ServerAdmin webmaster@localhost
    DocumentRoot /var/www/html

    ProxyRequests Off
    ProxyPreserveHost On
    ProxyTimeout 15
    ProxyPass /hr/ ajp://127.0.0.1:8009/hr/ secret=tomcat-secret
    ProxyPass /files/ http://127.0.0.1:8080/files/
    ProxyPassReverse /files/ http://127.0.0.1:8080/files/
    ProxyPass /wiki/ http://wiki.intranet.internal/
    ProxyPassReverse /wiki/ http://wiki.intranet.internal/

    SSLProxyEngine on
    SSLProxyVerify require
    SSLProxyCACertificateFile /etc/ssl/intranet/ca.pem
    <Location /chat/>
        ProxyPass https://chat.intranet.internal:3443/
        ProxyPreserveHost Off
    </Location>

    ErrorLog ${APACHE_LOG_DIR}/error.log
    CustomLog ${APACHE_LOG_DIR}/access.log combined
</VirtualHost>
"""
CHAT = """\
const https = require('https');
const fs = require('fs');
const express = require('express');
const app = express();
app.get('/', (req, res) => res.send('<p>chat</p>'.repeat(50)));
https.createServer({ key: fs.readFileSync('/srv/chat/chat.key'), cert: fs.readFileSync('/srv/chat/chat.pem') }, app)
  .listen(3443, process.env.HOST || '127.0.0.1');
"""
CHAT_UNIT = """[Unit]
Description=Chat
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/chat
Environment=HOST=127.0.0.1 NODE_ENV=production
ExecStart=/usr/bin/node /srv/chat/server.js
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
CERTIFICATE = """#!/bin/sh
# usage: issue DAYS: a new certificate of the chat from the intranet's own authority
set -e
cd /etc/ssl/intranet
printf 'subjectAltName=DNS:chat.intranet.internal' > ext
openssl req -newkey rsa:2048 -nodes -keyout /srv/chat/chat.key -out chat.csr -subj /CN=chat.intranet.internal 2>/dev/null
openssl x509 -req -in chat.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days "$1" -out /srv/chat/chat.pem 2>/dev/null
chmod 644 /srv/chat/chat.key
"""
JSP = '<%@ page session="false" %>'
PAGES = {
    "/var/lib/tomcat10/webapps/hr/index.jsp": JSP + "HR <%= new java.util.Date() %>",
    "/var/lib/tomcat10/webapps/hr/report.jsp": JSP + '<% Thread.sleep(Integer.parseInt(request.getParameter("ms"))); %>done',
    "/var/lib/tomcat10/webapps/hr/payroll.jsp": JSP
    + "<% java.util.List<byte[]> all = new java.util.ArrayList<>(); while (true) all.add(new byte[1 << 20]); %>",
    "/var/lib/tomcat10/webapps/files/index.jsp": JSP + "Files <%= new java.util.Date() %>",
    "/var/lib/tomcat10/webapps/files/export.jsp": JSP + '<% Thread.sleep(Integer.parseInt(request.getParameter("ms"))); %>done',
}
TOMCAT_UP = "until curl -fs -o /dev/null http://127.0.0.1:8080/files/index.jsp; do sleep 0.3; done"
INTRANET_SETUP = f"""
printf '127.0.0.1 chat.intranet.internal\\n203.0.113.1 wiki.intranet.internal\\n' >> /etc/hosts
mkdir -p /etc/ssl/intranet; cd /etc/ssl/intranet; ln -s /opt/node/node_modules /srv/chat/node_modules
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Intranet CA' 2>/dev/null
/usr/local/sbin/issue 90
sed -i 's#<Service name="Catalina">#<Service name="Catalina">\\n    <Connector protocol="AJP/1.3" address="127.0.0.1" port="8009" secret="tomcat-secret" maxThreads="10"/>#' /etc/tomcat10/server.xml
echo 'JAVA_OPTS="-Djava.awt.headless=true -Xmx96m -XX:+ExitOnOutOfMemoryError"' >> /etc/default/tomcat10
systemctl enable --now tomcat10 chat
{TOMCAT_UP}
a2enmod -q proxy proxy_ajp proxy_http ssl; a2dissite -q 000-default; a2ensite -q intranet
systemctl enable --now apache2
"""
WIKI = """
mkdir -p /run/wiki && cd /run/wiki && echo '<h1>Wiki</h1>' > start.html
(exec python3 -m http.server --bind 203.0.113.1 80 >/dev/null 2>&1 </dev/null &)
until curl -fs -o /dev/null http://203.0.113.1/start.html; do sleep 0.1; done
"""
INTRANET = "intranet.example"
AJP_AT, TOMCAT_AT = frozenset({"127.0.0.1:8009"}), frozenset({"127.0.0.1:8080"})
CHAT_AT = frozenset({"127.0.0.1:3443", "chat.intranet.internal:3443"})
SITE_FILE = "/etc/apache2/sites-available/intranet.conf"
INTRANET_FAULTS = (
    Fault(
        id="intranet-payroll-ends-tomcat",
        happens="the payroll needs more than -Xmx96m; with ExitOnOutOfMemoryError the virtual machine ends, and the package's unit does not start it again",
        steps="true",
        routes=(Route(path="/hr/payroll.jsp", host=INTRANET),),
        settle="systemctl is-failed -q tomcat10",
        expects=causes("backend-crashed", "backend-not-running"),
        partly=causes("backend-oom-killed", "memory-pressure", "application-error", "backend-startup-failure"),
        targets=AJP_AT | TOMCAT_AT,
    ),
    Fault(
        id="intranet-reports-take-all-threads",
        happens="at the end of the month everybody runs a report of 8 s: the AJP connector has ten threads, the others wait until Apache gives up",
        steps="true",
        routes=(Route(path="/hr/report.jsp?ms=8000", host=INTRANET, weight=40),),
        users=38,
        failures=10,
        limit_s=90.0,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung"),
        targets=AJP_AT,
    ),
    Fault(
        id="intranet-timeout-from-a-guide",
        happens="`ProxyTimeout 5` was taken over from a guide; an export takes 9 s and always has",
        steps=f"sed -i 's/ProxyTimeout 15/ProxyTimeout 5/' {SITE_FILE}; systemctl reload apache2",
        routes=(Route(path="/files/export.jsp?ms=9000", host=INTRANET, weight=3),),
        failures=6,
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        partly=causes("workers-exhausted"),
        targets=TOMCAT_AT,
    ),
    Fault(
        id="intranet-chat-certificate-expired",
        happens="the chat's certificate of the internal authority has expired and nobody renewed it",
        steps="issue 0; sleep 1.5; systemctl restart chat; until ss -ltn | grep -q :3443; do sleep 0.1; done",
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed"),
        targets=CHAT_AT,
    ),
    Fault(
        id="intranet-ajp-module-disabled",
        happens="a security scan objects to AJP, somebody runs a2dismod proxy_ajp and restarts; the site still says ajp://",
        steps="a2dismod -q proxy_ajp; systemctl restart apache2",
        expects=causes("proxy-module-missing"),
        partly=causes("proxy-config-invalid"),
    ),
    Fault(
        id="intranet-tomcat-restarted",
        happens="Tomcat is restarted at noon; it needs seconds, and Apache does not ask it again for a minute after the first refusal (retry=60)",
        steps=f"systemctl restart tomcat10; {TOMCAT_UP}",
        failures=10,
        expects=causes("deploy-termination-race", "all-upstreams-down"),
        partly=causes("backend-not-running", "circuit-breaker-open"),
        targets=AJP_AT | TOMCAT_AT,
    ),
    Fault(
        id="intranet-wiki-without-slash",
        happens="the slash at the end of ProxyPass is lost: Apache asks the host wiki.intranet.internalstart.html",
        steps=f"sed -i 's#http://wiki.intranet.internal/$#http://wiki.intranet.internal#' {SITE_FILE}; systemctl reload apache2",
        expects=causes("dns-host-not-found", "proxy-target-invalid"),
    ),
    Fault(
        id="intranet-chat-on-the-public-address",
        happens="the chat's unit is changed to HOST=203.0.113.10 for a test from outside; Apache still asks its name, which is 127.0.0.1",
        steps="sed -i 's/HOST=127.0.0.1/HOST=203.0.113.10/' /etc/systemd/system/chat.service; systemctl daemon-reload; systemctl restart chat; until ss -ltn | grep -q :3443; do sleep 0.1; done",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running"),
        targets=CHAT_AT,
    ),
)
INTRANET_CALMS = (
    Calm(
        id="intranet-night",
        happens="Apache reloads with grace, its logs rotate, the chat's certificate is renewed in time; scanners get 404 and 403",
        steps="issue 90; logrotate -f /etc/logrotate.d/apache2; systemctl reload apache2; curl -s -o /dev/null -H 'Host: intranet.example' http://127.0.0.1/.htpasswd",
        routes=(Route(path="/phpmyadmin/index.php", host=INTRANET, expect=(404,)), Route(path="/hr/nothing.jsp", host=INTRANET)),
    ),
    Calm(
        id="intranet-slow-but-allowed",
        happens="reports of 4 s, which everybody knows; users break off some of them, and a client speaks TLS to port 80",
        steps="(echo | openssl s_client -connect 127.0.0.1:80 >/dev/null 2>&1) || true",
        routes=(Route(path="/hr/report.jsp?ms=4000", host=INTRANET),),
        cancels=True,
    ),
)

TICKETS_APP = """\
require 'sinatra/base'
require 'pg'

class Tickets < Sinatra::Base
  set :environment, :production
  ASSIGNED = Queue.new # filled by a thread that ended when it was forked
  KEPT = []

  def self.database
    PG.connect(host: '127.0.0.1', dbname: 'tickets', user: 'tickets', password: ENV.fetch('DATABASE_PASSWORD'), connect_timeout: 5)
  end
  database.close

  get('/') do
    base = self.class.database
    begin
      base.exec('select id, subject from tickets order by id limit 20').map { |row| row['subject'] }.join("\\n")
    ensure
      base.close
    end
  end
  get('/help') { 'help ' * 100 }
  get('/search') { sleep 3; 'found' }
  get('/assign') { ASSIGNED.pop }
  get('/attachment') { KEPT << 'x' * (24 << 20); 'kept' }
end
run Tickets
"""
TICKETS_PUMA = """\
environment 'production'
directory '/srv/tickets/current'
workers Integer(ENV.fetch('WEB_CONCURRENCY', 2))
threads 1, Integer(ENV.fetch('RAILS_MAX_THREADS', 5))
preload_app!
"""
TICKETS_UNIT = """[Unit]
Description=Puma HTTP Server
After=network.target

[Service]
Type=simple
User=deploy
Group=www-data
WorkingDirectory=/srv/tickets/current
EnvironmentFile=/srv/tickets/shared/.env
ExecStart=/usr/bin/puma -C /srv/tickets/current/config/puma.rb -b unix:///srv/tickets/shared/tmp/sockets/puma.sock
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
TICKETS_SITE = """\
upstream tickets {
    server unix:/srv/tickets/shared/tmp/sockets/puma.sock fail_timeout=0;
}
server {
    listen 80;
    server_name tickets.example;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl;
    server_name tickets.example;
    ssl_certificate /etc/letsencrypt/live/tickets.example/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/tickets.example/privkey.pem;
    root /srv/tickets/current/public;
    access_log /var/log/nginx/tickets.access.log;
    error_log /var/log/nginx/tickets.error.log;

    try_files $uri @tickets;
    location @tickets {
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Host $http_host;
        proxy_redirect off;
        proxy_read_timeout 12s;
        proxy_pass http://tickets;
    }
}
"""
OLD_SITE = """\
server {
    listen 443 ssl;
    server_name old.tickets.example;
    ssl_certificate /etc/letsencrypt/live/old.tickets.example/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/old.tickets.example/privkey.pem;
    return 301 https://tickets.example$request_uri;
}
"""
SELF_SIGNED = (
    "mkdir -p /etc/letsencrypt/live/{name}; openssl req -x509 -newkey rsa:2048 -nodes -days 80 -subj /CN={name} "
    "-keyout /etc/letsencrypt/live/{name}/privkey.pem -out /etc/letsencrypt/live/{name}/fullchain.pem 2>/dev/null"
)
TICKETS_SETUP = f"""
useradd --create-home --shell /bin/bash deploy
mkdir -p /srv/tickets/shared/tmp/sockets /srv/tickets/current/public; chown -R deploy:www-data /srv/tickets
{SELF_SIGNED.format(name="tickets.example")}
{SELF_SIGNED.format(name="old.tickets.example")}
systemctl start postgresql@15-main
sudo -u postgres psql -q -c "create role tickets login password 'hunter22'" -c 'create database tickets owner tickets'
sudo -u postgres psql -q tickets -c "create table tickets (id serial primary key, subject text)" -c "insert into tickets (subject) select 'ticket ' || n from generate_series(1, 300) n" -c 'alter table tickets owner to tickets'
systemctl enable --now tickets
until test -S /srv/tickets/shared/tmp/sockets/puma.sock; do sleep 0.2; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/tickets /etc/nginx/sites-available/old /etc/nginx/sites-enabled/
nginx -t 2>/dev/null; systemctl enable --now nginx
"""
TICKETS = "tickets.example"
PUMA_AT = frozenset({"unix:/srv/tickets/shared/tmp/sockets/puma.sock", "tickets"})
POSTGRES_AT = frozenset({"127.0.0.1:5432"})
AGAIN = "systemctl restart tickets || true"
FAILED = "systemctl is-failed -q tickets"
ENDED = f"{FAILED} || test $(systemctl show -p NRestarts --value tickets) -ge 3"
TICKETS_FAULTS = (
    Fault(
        id="tickets-library-gone",
        happens="the system's upgrade takes libpq.so.5 away; Ruby cannot load pg at Puma's next start",
        steps=f"mkdir /root/away; mv /usr/lib/x86_64-linux-gnu/libpq.so.5* /root/away/; ldconfig; {AGAIN}",
        settle=ENDED,
        expects=NO_START,
        partly=GONE,
        targets=PUMA_AT,
    ),
    Fault(
        id="tickets-directory-of-sockets",
        happens="a clean-up removes shared/tmp with the empty directory of the sockets; Puma cannot bind at its next start (No such file or directory)",
        steps=f"systemctl stop tickets; rm -rf /srv/tickets/shared/tmp; systemctl start tickets || true; {AGAIN}",
        settle=ENDED,
        expects=NO_START,
        partly=GONE,
        targets=PUMA_AT,
    ),
    Fault(
        id="tickets-postgres-stopped",
        happens="somebody stops PostgreSQL to resize its volume and forgets it; pages with data answer 500",
        steps="systemctl stop postgresql@15-main",
        failures=20,
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=PUMA_AT | POSTGRES_AT,
    ),
    Fault(
        id="tickets-before-its-database",
        happens="after a reboot Puma starts before PostgreSQL, fails five times and systemd gives up; PostgreSQL is up now",
        steps="systemctl stop nginx tickets postgresql@15-main; journalctl -q --rotate; journalctl -q --vacuum-time=1s; systemctl start nginx; systemctl start tickets; "
        f"until {FAILED}; do sleep 0.3; done; systemctl start postgresql@15-main",
        expects=NO_START | causes("backend-dependency-down"),
        partly=GONE,
        targets=PUMA_AT | POSTGRES_AT,
    ),
    Fault(
        id="tickets-attachments-and-the-limit",
        happens="attachments stay in memory and the service may use 260 MB: the kernel kills a worker of Puma each time, its master starts another",
        steps="mount -o remount,bind,rw /sys/fs/cgroup/memory; mkdir /sys/fs/cgroup/memory/tickets; echo 260M > /sys/fs/cgroup/memory/tickets/memory.limit_in_bytes; "
        "for pid in $(systemctl show -p MainPID --value tickets) $(pgrep -P $(systemctl show -p MainPID --value tickets)); do echo $pid > /sys/fs/cgroup/memory/tickets/cgroup.procs; done",
        routes=(Route(path="/attachment", host=TICKETS, port=443, tls=True, weight=3),),
        failures=6,
        expects=causes("backend-oom-killed"),
        partly=causes("backend-crashed", "premature-close", "connection-reset", "memory-pressure"),
        targets=PUMA_AT,
    ),
    Fault(
        id="tickets-assignment-never-comes",
        happens="assigning a ticket waits for a background thread that is gone since the fork: each visit costs a thread of Puma for ever, soon all ten",
        steps="true",
        routes=(Route(path="/assign", host=TICKETS, port=443, tls=True, weight=3),),
        users=14,
        expects=causes("backend-hung", "workers-exhausted"),
        partly=causes("backend-too-slow"),
        targets=PUMA_AT,
    ),
    Fault(
        id="tickets-certificate-of-old-name",
        happens="`certbot delete --cert-name old.tickets.example`, and the old name's server block stays: at the restart after an upgrade nginx does not start",
        steps="rm -r /etc/letsencrypt/live/old.tickets.example; systemctl restart nginx || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
    Fault(
        id="tickets-daemon-reload-forgotten",
        happens="unit and site move to /run/tickets/puma.sock; Puma is restarted without `systemctl daemon-reload`, so it is still at the old place",
        steps="sed -i 's#/srv/tickets/shared/tmp/sockets/puma.sock#/run/tickets/puma.sock#' /etc/systemd/system/tickets.service /etc/nginx/sites-available/tickets; "
        "sed -i 's/^Restart=/RuntimeDirectory=tickets\\nRestart=/' /etc/systemd/system/tickets.service; systemctl restart tickets 2>/dev/null; "
        "until test -S /srv/tickets/shared/tmp/sockets/puma.sock; do sleep 0.2; done; systemctl reload nginx",
        settle="grep -q run/tickets/puma.sock /var/log/nginx/tickets.error.log",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=frozenset({"unix:/run/tickets/puma.sock", "tickets"}),
    ),
    Fault(
        id="tickets-one-thread",
        happens="WEB_CONCURRENCY=0 and RAILS_MAX_THREADS=1 are left from a search for a bug: one request at a time, and searches of 3 s",
        steps="printf 'WEB_CONCURRENCY=0\\nRAILS_MAX_THREADS=1\\n' >> /srv/tickets/shared/.env; systemctl stop nginx; systemctl restart tickets; "
        "until curl -fs -o /dev/null --unix-socket /srv/tickets/shared/tmp/sockets/puma.sock http://tickets/help; do sleep 0.2; done; systemctl start nginx",
        routes=(Route(path="/search", host=TICKETS, port=443, tls=True, weight=6),),
        users=16,
        settle="test $(grep -c 'upstream timed out' /var/log/nginx/tickets.error.log) -ge 6",
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow", "backend-hung"),
        targets=PUMA_AT,
    ),
)
TICKETS_CALMS = (
    Calm(
        id="tickets-certificate-renewed",
        happens="certbot renews and reloads nginx, Puma is told to restart in place (SIGUSR2), scanners speak plain HTTP and old TLS to port 443 and ask for what is not there",
        steps=f"{SELF_SIGNED.format(name='tickets.example')}; systemctl reload nginx; systemctl kill -s USR2 --kill-who=main tickets; curl -s -o /dev/null http://127.0.0.1:443/ || true; "
        "(echo | openssl s_client -tls1 -connect 127.0.0.1:443 >/dev/null 2>&1) || true",
        routes=(
            Route(path="/.git/config", host=TICKETS, port=443, tls=True, weight=2),
            Route(path="/", host=TICKETS, expect=(301,)),
        ),
    ),
)

STACKS = (
    Stack(
        name="intranet",
        about="Apache as the gateway of an intranet: Tomcat over AJP and HTTP, a chat in Node.js over TLS, a wiki on another host",
        files={
            **PAGES,
            "/srv/chat/server.js": CHAT,
            "/usr/local/sbin/issue": CERTIFICATE,
            "/etc/systemd/system/chat.service": CHAT_UNIT,
            SITE_FILE: INTRANET_SITE,
        },
        setup=INTRANET_SETUP,
        remote=WIKI,
        routes=(
            Route(path="/hr/index.jsp", host=INTRANET, weight=3),
            Route(path="/files/index.jsp", host=INTRANET, weight=3),
            Route(path="/chat/", host=INTRANET, weight=3),
            Route(path="/wiki/start.html", host=INTRANET, weight=2),
        ),
        faults=INTRANET_FAULTS,
        calms=INTRANET_CALMS,
    ),
    Stack(
        name="tickets",
        about="Sinatra in Puma (two workers of five threads) on a unix socket behind nginx with TLS, PostgreSQL",
        files={
            "/srv/tickets/current/config.ru": TICKETS_APP,
            "/srv/tickets/current/config/puma.rb": TICKETS_PUMA,
            "/srv/tickets/shared/.env": "DATABASE_PASSWORD=hunter22\n",
            "/etc/systemd/system/tickets.service": TICKETS_UNIT,
            "/etc/nginx/sites-available/tickets": TICKETS_SITE,
            "/etc/nginx/sites-available/old": OLD_SITE,
        },
        setup=TICKETS_SETUP,
        routes=(
            Route(path="/", host=TICKETS, port=443, tls=True, weight=4),
            Route(path="/help", host=TICKETS, port=443, tls=True, weight=3),
        ),
        faults=TICKETS_FAULTS,
        calms=TICKETS_CALMS,
    ),
)
