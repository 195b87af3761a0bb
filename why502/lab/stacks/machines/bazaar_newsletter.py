"""Caddy in front of nginx with TLS between them, and Bottle with Celery over RabbitMQ and PostgreSQL."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import API_FILES, ENABLE_SITE, site, unit

OWN_ERROR = causes("application-error", "upstream-error-status")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout")

CADDY = """\
{
    admin localhost:2019
}
http://bazaar.example {
    log {
        output file /var/log/caddy/bazaar.log
    }
    reverse_proxy https://127.0.0.1:8443 {
        header_up Host {host}
        transport http {
            dial_timeout 2s
            response_header_timeout 9s
            tls_server_name inner.bazaar.example
            tls_trusted_ca_certs /etc/ssl/bazaar/ca.pem
        }
    }
}
"""
INNER = """\
limit_req_zone $binary_remote_addr zone=each:2m rate=6r/s;
server {
    listen 127.0.0.1:8443 ssl;
    server_name bazaar.example;
    ssl_certificate /etc/ssl/bazaar/inner.pem;
    ssl_certificate_key /etc/ssl/bazaar/inner.key;
    access_log /var/log/nginx/bazaar.log;
    error_log /var/log/nginx/bazaar.error.log;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Forwarded-For;
    location / {
        limit_req zone=each burst=12 nodelay;
        proxy_read_timeout 20s;
        proxy_pass http://127.0.0.1:9101;
    }
    location = /robots.txt { return 200 "User-agent: *\\n"; }
    location /assets/ { root /srv/bazaar; }
}
"""
SIGN = "openssl x509 -req -in inner.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days {days} -out inner.pem 2>/dev/null"
BAZAAR_SETUP = f"""
mkdir -p /etc/ssl/bazaar; cd /etc/ssl/bazaar
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Bazaar CA' 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout inner.key -out inner.csr -subj /CN=inner.bazaar.example 2>/dev/null
printf 'subjectAltName=DNS:inner.bazaar.example' > ext
{SIGN.format(days=60)}
mkdir -p /var/log/caddy; chown caddy: /var/log/caddy
systemctl enable --now api@9101
until curl -fs -o /dev/null http://127.0.0.1:9101/; do sleep 0.1; done
rm -f /etc/nginx/sites-enabled/default; ln -s /etc/nginx/sites-available/bazaar /etc/nginx/sites-enabled/bazaar
systemctl enable --now nginx
systemctl enable --now caddy
"""
BAZAAR = "bazaar.example"
INNER_AT = frozenset({"127.0.0.1:8443"})
CADDYFILE, INNER_CONF = "/etc/caddy/Caddyfile", "/etc/nginx/sites-available/bazaar"
BAZAAR_FAULTS = (
    Fault(
        id="bazaar-real-ip-lost",
        happens="set_real_ip_from is lost in a merge; for the inner nginx everybody is 127.0.0.1 now, and limit_req refuses with 503",
        steps=f"sed -i '/real_ip/d' {INNER_CONF}; systemctl reload nginx",
        users=16,
        expects=causes("rate-limited"),
        partly=causes("upstream-error-status"),
    ),
    Fault(
        id="bazaar-inner-certificate-expired",
        happens="nobody renewed the inner certificate; Caddy verifies it (x509: certificate has expired) and answers 502",
        steps=f"cd /etc/ssl/bazaar; {SIGN.format(days=0)}; sleep 1.1; systemctl restart nginx",
        failures=40,
        expects=causes("tls-verify-failed"),
        partly=causes("tls-handshake-failed"),
        targets=INNER_AT,
    ),
    Fault(
        id="bazaar-admin-switched-off",
        happens="a hardening guide turned Caddy's admin endpoint off, so reload fails; the move of the inner port to 9443 is in both files, and Caddy runs with the old one",
        steps=f"sed -i 's/admin localhost:2019/admin off/' {CADDYFILE}; systemctl restart caddy; until curl -fs -o /dev/null -H 'Host: {BAZAAR}' http://127.0.0.1/; do sleep 0.1; done; "
        f"sed -i 's/127.0.0.1:8443/127.0.0.1:9443/' {CADDYFILE} {INNER_CONF}; systemctl reload nginx; systemctl reload caddy || true",
        failures=40,
        expects=causes("proxy-config-not-loaded"),
        partly=causes("wrong-port", "backend-not-running"),
        targets=INNER_AT,
    ),
    Fault(
        id="bazaar-checks-unknown-host",
        happens="health checks are added to Caddy, which ask for the host 127.0.0.1:8443; the inner nginx now closes what asks for unknown hosts (444): `no upstreams available`",
        steps=f"printf 'server {{ listen 127.0.0.1:8443 ssl default_server; server_name _; ssl_certificate /etc/ssl/bazaar/inner.pem; ssl_certificate_key /etc/ssl/bazaar/inner.key; return 444; }}\\n' >> {INNER_CONF}; systemctl reload nginx; "
        f"sed -i 's/header_up Host {{host}}/header_up Host {{host}}\\n        health_uri \\/robots.txt\\n        health_interval 2s/' {CADDYFILE}; systemctl reload caddy",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down", "no-upstream-members", "wrong-host-header"),
        targets=INNER_AT,
    ),
    Fault(
        id="bazaar-passive-checks",
        happens="passive health checks (unhealthy_status 503, fail_duration 30s) are added; a page that answers 503 by design takes the only upstream out for all",
        steps=f"sed -i 's/header_up Host {{host}}/header_up Host {{host}}\\n        fail_duration 30s\\n        max_fails 1\\n        unhealthy_status 503/' {CADDYFILE}; systemctl reload caddy",
        routes=(Route(path="/unavailable", host=BAZAAR),),
        failures=50,
        expects=causes("circuit-breaker-open", "all-upstreams-down"),
        partly=OWN_ERROR,
        targets=INNER_AT,
    ),
    Fault(
        id="bazaar-inner-connections",
        happens="worker_connections 12 and one worker, from a container's template, in the inner nginx; searches of 2 s hold them",
        steps="sed -i 's/worker_connections .*/worker_connections 12;/; s/worker_processes .*/worker_processes 1;/' /etc/nginx/nginx.conf; systemctl restart nginx",
        routes=(Route(path="/search", host=BAZAAR, weight=20),),
        users=30,
        failures=60,
        expects=causes("worker-connections-exhausted"),
        partly=causes("premature-close", "connection-reset"),
    ),
    Fault(
        id="bazaar-caddyfile-of-root",
        happens="/etc/caddy was restored from a backup with umask 077: Caddy, which runs as caddy, may not read its Caddyfile and does not start again after its upgrade",
        steps="chown root:root /etc/caddy/Caddyfile; chmod 600 /etc/caddy/Caddyfile; systemctl restart caddy || true",
        expects=causes("proxy-not-running", "proxy-config-invalid"),
    ),
)

POST_APP = """\
import bottle, celery, pika, psycopg2

jobs = celery.Celery("post", broker="amqp://post:stamp@127.0.0.1/post", backend="rpc://")
jobs.conf.broker_connection_retry_on_startup = True
application = bottle.Bottle()

@application.post("/subscribe")
def subscribe():
    base = psycopg2.connect("postgresql://post:stamp@127.0.0.1/post")
    try:
        with base, base.cursor() as cursor:
            cursor.execute("insert into subscribers (mail) values ('somebody@example.net')")
    finally:
        base.close()
    queue = pika.BlockingConnection(pika.URLParameters("amqp://post:stamp@127.0.0.1/post"))
    channel = queue.channel()
    channel.confirm_delivery()
    channel.queue_declare("deliveries", durable=True)
    channel.basic_publish("", "deliveries", b"welcome")
    queue.close()
    return "thank you"

@application.get("/preview")
def preview():
    return jobs.send_task("post.preview", queue="previews").get(timeout=25)

@application.get("/about")
def about():
    return "<p>The newsletter</p>" * 60
"""
POST_JOBS = """\
import time
from celery import Celery
jobs = Celery("post", broker="amqp://post:stamp@127.0.0.1/post", backend="rpc://")
jobs.conf.broker_connection_retry_on_startup = True

@jobs.task(name="post.preview")
def preview():
    time.sleep(0.2)
    return "<p>A preview</p>" * 20
"""
POST_CONF = 'bind = "127.0.0.1:5080"\nworkers = 4\ntimeout = 40\n'
POST_LOCATION = "    location / {\n        include proxy_params;\n        proxy_connect_timeout 3s;\n        proxy_read_timeout 8s;\n        proxy_pass http://127.0.0.1:5080;\n    }\n"
POST_SETUP = (
    """
systemctl start rabbitmq-server postgresql@15-main
rabbitmqctl -q add_vhost post; rabbitmqctl -q add_user post stamp; rabbitmqctl -q set_permissions -p post post '.*' '.*' '.*'
sudo -u postgres psql -q -c "create role post login password 'stamp'" -c 'create database post owner post'
sudo -u postgres psql -q post -c 'create table subscribers (id serial primary key, mail text); alter table subscribers owner to post'
systemctl enable --now shop celery
"""
    + ENABLE_SITE
)
POST_AT = frozenset({"127.0.0.1:5080"})
SUBSCRIBE = Route(path="/subscribe", method="POST", weight=3)
POST_FAULTS = (
    Fault(
        id="newsletter-queue-refuses",
        happens="a policy of ten messages with overflow=reject-publish, meant for a test queue, matches the queue of deliveries, whose mailer runs at night: publishing is refused (NACK), 500",
        steps='rabbitmqctl -q set_policy -p post limit \'^deliv\' \'{"max-length":10,"overflow":"reject-publish"}\' --apply-to queues',
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=POST_AT,
    ),
    Fault(
        id="newsletter-host-renamed",
        happens="the machine is renamed and RabbitMQ restarts: its node has another name and an empty database, the application's account is unknown there (ACCESS_REFUSED)",
        steps="hostname post1; echo post1 > /etc/hostname; echo '127.0.0.1 localhost post1' > /etc/hosts; systemctl restart rabbitmq-server",
        failures=40,
        limit_s=120.0,
        settle="rabbitmqctl -q list_vhosts 2>/dev/null | grep -qx /",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR | HANGS | causes("backend-dependency-slow"),
        targets=POST_AT,
    ),
    Fault(
        id="newsletter-sequence-at-its-end",
        happens="an import left the sequence of the subscribers at its highest value: `nextval: reached maximum value of sequence`, each new subscription is 500",
        steps="sudo -u postgres psql -q post -c \"select setval('subscribers_id_seq', 2147483647)\" >/dev/null",
        expects=OWN_ERROR | causes("backend-dependency-down"),
        targets=POST_AT,
    ),
    Fault(
        id="newsletter-wal-partition-full",
        happens="PostgreSQL's pg_wal has a small file system of its own, and somebody's dump fills it: PANIC, the server goes down and cannot recover; subscriptions are 500",
        steps="""cd /var/lib/postgresql/15/main; systemctl stop postgresql@15-main; mv pg_wal /var/tmp/wal; mkdir -m 700 pg_wal; chown postgres: pg_wal
mount -t tmpfs -o size=72m,mode=700,uid=$(id -u postgres),gid=$(id -g postgres) wal pg_wal; cp -a /var/tmp/wal/. pg_wal/; systemctl start postgresql@15-main
dd if=/dev/zero of=pg_wal/archive.tar bs=1M 2>/dev/null || true
sudo -u postgres psql -q post -c "create table imports as select n, repeat('x', 500) as t from generate_series(1, 200000) n" 2>/dev/null || true""",
        failures=50,
        expects=causes("disk-full"),
        partly=causes("backend-dependency-down") | OWN_ERROR,
    ),
    Fault(
        id="newsletter-task-renamed",
        happens="the release renames a task, the worker was restarted, the web was not: the worker answers NotRegistered, the web raises it and answers 500",
        steps='sed -i \'s/name="post.preview"/name="post.render"/\' /srv/shop/tasks.py; systemctl restart celery',
        expects=OWN_ERROR,
        partly=causes("backend-dependency-down", "backend-dependency-slow"),
        targets=POST_AT,
    ),
    Fault(
        id="newsletter-role-expired",
        happens="the database role was given an end date by a contractor (valid until), which has passed: password authentication failed, subscriptions are 500",
        steps="sudo -u postgres psql -q -c \"alter role post valid until '2026-10-31'\"",
        expects=causes("backend-dependency-down"),
        partly=OWN_ERROR,
        targets=POST_AT,
    ),
    Fault(
        id="newsletter-conf-left-behind",
        happens="the new release has no gunicorn.conf.py (it was never under version control): gunicorn starts with its defaults, one worker on 127.0.0.1:8000",
        steps="rm /srv/shop/gunicorn.conf.py; systemctl restart shop",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=POST_AT,
    ),
)

STACKS = (
    Stack(
        name="bazaar",
        about="Caddy for plain HTTP in front of nginx on 127.0.0.1:8443 with TLS and a limit for each client, in front of gunicorn",
        files={**API_FILES, CADDYFILE: CADDY, INNER_CONF: INNER, "/srv/bazaar/assets/style.css": "p { color: black }\n"},
        setup=BAZAAR_SETUP,
        routes=(Route(path="/", host=BAZAAR, weight=5), Route(path="/assets/style.css", host=BAZAAR, weight=2)),
        faults=BAZAAR_FAULTS,
        calms=(
            Calm(
                id="bazaar-saturday",
                happens="Caddy and nginx reload, the inner certificate is renewed in time, searches of 2 s, scanners get 404, users break off",
                steps=f"cd /etc/ssl/bazaar; {SIGN.format(days=60)}; systemctl reload nginx; systemctl reload caddy",
                routes=(Route(path="/search", host=BAZAAR), Route(path="/assets/.env", host=BAZAAR, weight=2)),
                cancels=True,
            ),
            Calm(
                id="bazaar-log-of-root",
                happens="/var/log/caddy was restored as root: Caddy reloads and serves, and only complains that it cannot write its access log",
                steps="chown -R root:root /var/log/caddy; chmod 750 /var/log/caddy; systemctl reload caddy",
                seconds=12,
            ),
        ),
        ready_s=30.0,
    ),
    Stack(
        name="newsletter",
        about="Bottle in gunicorn (configured by its gunicorn.conf.py) behind nginx, Celery and a queue on RabbitMQ, PostgreSQL",
        files={
            "/srv/shop/post.py": POST_APP,
            "/srv/shop/tasks.py": POST_JOBS,
            "/srv/shop/gunicorn.conf.py": POST_CONF,
            "/etc/systemd/system/shop.service": unit("/opt/venv/bin/gunicorn post:application", kind="notify"),
            "/etc/systemd/system/celery.service": unit(
                "/opt/venv/bin/celery -A tasks:jobs worker --queues previews --concurrency 2 --loglevel INFO"
            ),
            "/etc/nginx/sites-available/shop": site(POST_LOCATION),
        },
        setup=POST_SETUP,
        routes=(SUBSCRIBE, Route(path="/preview", weight=2), Route(path="/about", weight=3)),
        faults=POST_FAULTS,
        calms=(
            Calm(
                id="newsletter-sending",
                happens="the night's mailer empties its queue, PostgreSQL is dumped, gunicorn gets a worker more (TTIN), scanners get 404, a log-in of somebody's script fails at PostgreSQL",
                steps="rabbitmqctl -q purge_queue -p post deliveries; sudo -u postgres pg_dump post >/dev/null; systemctl kill -s TTIN --kill-who=main shop; PGPASSWORD=wrong psql -h 127.0.0.1 -U post post -c 'select 1' 2>/dev/null || true",
                routes=(Route(path="/administrator/"),),
            ),
            Calm(
                id="newsletter-queue-grows",
                happens="the queue of deliveries grows until its mailer of the night comes, an import is too large (413), the logs rotate, users break off",
                steps="logrotate -f /etc/logrotate.d/nginx; rabbitmqctl -q list_queues -p post >/dev/null",
                routes=(Route(path="/subscribe", method="POST", body_bytes=2 << 20),),
                cancels=True,
            ),
        ),
        ready_s=90.0,
    ),
)
