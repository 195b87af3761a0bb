"""Files that many stacks have in common, as their packages and tutorials write them."""

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


def unit(command: str, *, user: str = "www-data", more: str = "", kind: str = "simple", head: str = "", restart: str = "on-failure") -> str:
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
