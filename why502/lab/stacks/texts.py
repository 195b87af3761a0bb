"""Files that many stacks share, as their packages and tutorials write them."""

from __future__ import annotations


def site(server: str, head: str = "", name: str = "shop.example", listen: str = "80 default_server") -> str:
    """Return an nginx site of Debian's layout: what stands before the server block, and what is in it."""
    return f"""{head}
server {{
    listen {listen};
    server_name {name};
    access_log /var/log/nginx/shop.access.log;
    error_log /var/log/nginx/shop.error.log;
{server}
}}
"""


def unit(
    command: str, *, user: str = "www-data", more: str = "", kind: str = "simple", head: str = "", restart: str = "on-failure"
) -> str:
    """Return a service unit as a deployment guide shows it."""
    return f"""[Unit]
Description=Shop
After=network.target
{head}

[Service]
Type={kind}
User={user}
Group={user}
WorkingDirectory=/srv/shop
ExecStart={command}
Restart={restart}
{more}

[Install]
WantedBy=multi-user.target
"""


ENABLE_SITE = """
rm -f /etc/nginx/sites-enabled/default
ln -sf /etc/nginx/sites-available/shop /etc/nginx/sites-enabled/shop
nginx -t 2>/dev/null
systemctl enable --now nginx
"""

POSTGRES = """
systemctl start postgresql@15-main
sudo -u postgres psql -q <<SQL
create role shop login password 'hunter22';
create database shop owner shop;
SQL
sudo -u postgres psql -q shop <<SQL
create table products (id serial primary key, name text, price int);
insert into products (name, price) select 'product ' || n, n from generate_series(1, 500) n;
create table sessions (id text primary key, seen timestamptz default now());
alter table products owner to shop; alter table sessions owner to shop;
SQL
"""

MARIADB = """
systemctl start mariadb
mariadb <<SQL
create database shop; create user shop@localhost identified by 'hunter22'; create user shop@'%' identified by 'hunter22';
grant all on shop.* to shop@localhost; grant all on shop.* to shop@'%';
use shop; create table products (id int auto_increment primary key, name varchar(99), price int) engine=innodb;
insert into products (name, price) select concat('product ', seq), seq from seq_1_to_500;
SQL
"""

# A small service that several machines run in some number, each on a port of its own: api@9101 and so on.
API = """\
import os, time
import threading

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(12)
    if path == "/search":
        time.sleep(2)
    if path == "/crash":
        os.kill(os.getpid(), 11)
    if path == "/unavailable":
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"not now"]
    if path == "/health" and os.path.exists("/srv/api/renamed"):
        start_response("404 Not Found", [])
        return [b"gone"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "private")])
    return [b"hello " * 100]
"""
API_UNIT = """[Unit]
Description=API on port %i
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/api
ExecStart=/opt/venv/bin/gunicorn --worker-class gthread --threads 4 --workers 1 --bind 127.0.0.1:%i api:application
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
API_FILES = {"/srv/api/api.py": API, "/etc/systemd/system/api@.service": API_UNIT}
