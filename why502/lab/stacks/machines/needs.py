"""Django, Flask, Express, PHP and Java behind nginx, each with PostgreSQL, MariaDB and Redis: what each of them does when one of
the three is stopped, hangs, is slow or refuses the login.
"""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, MARIADB, POSTGRES, site, unit

DOWN = causes("backend-dependency-down")
WAITS = causes("backend-dependency-slow", "backend-dependency-down")
FAILS = causes("upstream-error-status", "application-error")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow", "worker-timeout", "php-fpm-max-children")
PAGES = {"postgres": "/orders", "mariadb": "/catalog", "redis": "/cart"}
LOCK_POSTGRES = (
    "systemd-run -q --unit=migrate sudo -u postgres psql shop -c 'begin; lock table products in access exclusive mode; "
    "select pg_sleep(600)'; until sudo -u postgres psql -Atc 'select query from pg_stat_activity' | grep -q '^begin; lock'; "
    "do sleep 0.1; done"
)
LOCK_MARIADB = (
    "systemd-run -q --unit=export mariadb shop -e 'lock tables products write; select sleep(600)'; "
    "until mariadb -e 'show processlist' | grep -q 'select sleep'; do sleep 0.1; done"
)
STEPS = {
    ("postgres", "stopped"): "systemctl stop postgresql@15-main",
    ("postgres", "hangs"): "pkill -STOP -u postgres",
    ("postgres", "slow"): LOCK_POSTGRES,
    ("postgres", "login"): "sudo -u postgres psql -qc \"alter role shop password 'rotated'\"; "
    "sudo -u postgres psql -qAtc \"select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'\"",
    ("mariadb", "stopped"): "systemctl stop mariadb",
    ("mariadb", "hangs"): "pkill -STOP -x mariadbd",
    ("mariadb", "slow"): LOCK_MARIADB,
    ("mariadb", "login"): "mariadb -e \"alter user shop@localhost identified by 'rotated'; alter user shop@'%' identified by "
    "'rotated'\"; mariadb -Ne \"select concat('kill ', id, ';') from information_schema.processlist where user = 'shop'\" | mariadb",
    ("redis", "stopped"): "systemctl stop redis-server",
    ("redis", "hangs"): "pkill -STOP -x redis-server",
    ("redis", "slow"): "redis-cli client pause 600000 all",
    (
        "redis",
        "login",
    ): "redis-cli config set requirepass rotated; redis-cli -a rotated --no-auth-warning client kill type normal",
}
HAPPENS = {
    "stopped": "is stopped",
    "hangs": "is frozen by SIGSTOP: it accepts connections and never answers",
    "slow": "keeps every query waiting",
    "login": "has another password now",
}


def faults(name: str, target: str) -> tuple[Fault, ...]:
    """Return the twelve that can happen to an application."""
    return tuple(
        Fault(
            id=f"{name}-{store}-{mode}",
            happens=f"{store} {HAPPENS[mode]}",
            steps=steps,
            routes=(Route(path=PAGES[store], weight=3),),
            failures=8,
            expects=DOWN if mode in ("stopped", "login") else WAITS,
            partly=FAILS if mode in ("stopped", "login") else FAILS | HANGS,
            targets=frozenset({target}),
        )
        for (store, mode), steps in STEPS.items()
    )


PROXY = """
    location / {
        include proxy_params;
        proxy_connect_timeout 3s;
        proxy_read_timeout 6s;
        proxy_pass http://127.0.0.1:8000;
    }
"""
AT = "127.0.0.1:8000"
GUNICORN = "/opt/venv/bin/gunicorn --workers 2 --threads 4 --timeout 30 --bind 127.0.0.1:8000 app:app"
ENVIRONMENT = """\
DATABASE_URL=postgresql://shop:hunter22@127.0.0.1/shop
REDIS_URL=redis://127.0.0.1:6379/0
NODE_PATH=/opt/node/node_modules
NODE_ENV=production
"""
SETUP = f"{POSTGRES}\n{MARIADB}\nsystemctl start redis-server\nsystemctl enable --now shop\n{ENABLE_SITE}"
ROUTES = (Route(path="/", weight=4), *(Route(path=path) for path in PAGES.values()))

FLASK = """\
import os
import psycopg2, pymysql, redis
from flask import Flask, jsonify

app = Flask(__name__)
store = redis.Redis.from_url(os.environ["REDIS_URL"])

@app.get("/")
def home():
    return "home " * 100

@app.get("/orders")
def orders():
    db = psycopg2.connect(os.environ["DATABASE_URL"])
    try:
        with db.cursor() as cursor:
            cursor.execute("select id, name from products limit 20")
            return jsonify(cursor.fetchall())
    finally:
        db.close()

@app.get("/catalog")
def catalog():
    db = pymysql.connect(host="127.0.0.1", user="shop", password="hunter22", database="shop")
    try:
        with db.cursor() as cursor:
            cursor.execute("select id, name from products limit 20")
            return jsonify(cursor.fetchall())
    finally:
        db.close()

@app.get("/cart")
def cart():
    return str(store.incr("carts"))
"""

DJANGO = """\
import pymysql
pymysql.version_info = (1, 4, 6, "final", 0)
pymysql.install_as_MySQLdb()
from django.conf import settings
SHOP = {"NAME": "shop", "USER": "shop", "PASSWORD": "hunter22", "HOST": "127.0.0.1"}
settings.configure(
    SECRET_KEY="lab", ALLOWED_HOSTS=["*"], ROOT_URLCONF="app",
    DATABASES={
        "default": {"ENGINE": "django.db.backends.postgresql", **SHOP},
        "catalog": {"ENGINE": "django.db.backends.mysql", **SHOP},
    },
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379"}},
    LOGGING={"version": 1, "disable_existing_loggers": False, "handlers": {"console": {"class": "logging.StreamHandler"}},
             "root": {"handlers": ["console"], "level": "INFO"}},
)
from django.core.cache import cache
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpResponse, JsonResponse
from django.urls import path

def rows(name):
    with connections[name].cursor() as cursor:
        cursor.execute("select id, name from products limit 20")
        return JsonResponse(cursor.fetchall(), safe=False)

urlpatterns = [
    path("", lambda request: HttpResponse("home " * 100)),
    path("orders", lambda request: rows("default")),
    path("catalog", lambda request: rows("catalog")),
    path("cart", lambda request: HttpResponse(cache.get_or_set("carts", 1, 1))),
]
app = get_wsgi_application()
"""

EXPRESS = """\
const express = require('express');
const { Pool } = require('pg');
const mysql = require('mysql2/promise');
const redis = require('redis');
const app = express();
const orders = new Pool({ connectionString: process.env.DATABASE_URL });
orders.on('error', (error) => console.error(error));
const catalog = mysql.createPool({ host: '127.0.0.1', user: 'shop', password: 'hunter22', database: 'shop' });
const store = redis.createClient({ url: process.env.REDIS_URL });
store.on('error', (error) => console.error('Redis Client Error', error));
const wrap = (page) => (request, answer, next) => page(answer).catch(next);
app.get('/', (request, answer) => answer.send('home '.repeat(100)));
app.get('/orders', wrap(async (answer) => answer.json((await orders.query('select id, name from products limit 20')).rows)));
app.get('/catalog', wrap(async (answer) => answer.json((await catalog.query('select id, name from products limit 20'))[0])));
app.get('/cart', wrap(async (answer) => answer.send(String(await store.incr('carts')))));
store.connect().then(() => app.listen(8000, '127.0.0.1', () => console.log('Server listening on http://127.0.0.1:8000')));
"""

PHP = """<?php
function orders() {
    $db = new PDO('pgsql:host=127.0.0.1;dbname=shop', 'shop', 'hunter22');
    return json_encode($db->query('select id, name from products limit 20')->fetchAll());
}
function catalog() {
    $db = new mysqli('127.0.0.1', 'shop', 'hunter22', 'shop');
    return json_encode($db->query('select id, name from products limit 20')->fetch_all());
}
function cart() {
    $store = new Redis();
    $store->connect('127.0.0.1', 6379);
    return strval($store->incr('carts'));
}
echo match (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    '/orders' => orders(),
    '/catalog' => catalog(),
    '/cart' => cart(),
    default => str_repeat('home ', 100),
};
"""
PHP_PROXY = """
    root /srv/shop;
    location / {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /srv/shop/index.php;
        fastcgi_read_timeout 6s;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
"""
PHP_AT = "unix:/run/php/php8.2-fpm.sock"
PHP_SETUP = f"{POSTGRES}\n{MARIADB}\nsystemctl start redis-server\nsystemctl start php8.2-fpm\n{ENABLE_SITE}"

JAVA = """\
import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.sql.*;
import java.util.concurrent.*;

public class Shop {
    interface Page { String make() throws Exception; }
    static void say(HttpExchange x, int status, String text) throws IOException {
        byte[] body = text.getBytes();
        x.sendResponseHeaders(status, body.length);
        try (OutputStream out = x.getResponseBody()) { out.write(body); }
    }
    static HttpHandler page(Page page) {
        return x -> {
            String text;
            try { text = page.make(); }
            catch (Exception error) { error.printStackTrace(); say(x, 500, "Internal Server Error"); return; }
            say(x, 200, text);
        };
    }
    static String rows(String url) throws SQLException {
        try (Connection db = DriverManager.getConnection(url, "shop", "hunter22"); Statement asked = db.createStatement();
             ResultSet found = asked.executeQuery("select name from products limit 20")) {
            StringBuilder text = new StringBuilder();
            while (found.next()) text.append(found.getString(1));
            return text.toString();
        }
    }
    static String carts() throws IOException {
        try (Socket store = new Socket("127.0.0.1", 6379)) {
            store.getOutputStream().write("INCR carts\\r\\n".getBytes());
            String line = new BufferedReader(new InputStreamReader(store.getInputStream())).readLine();
            if (line == null || line.startsWith("-")) throw new IOException("Redis: " + line);
            return line;
        }
    }
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 8000), 50);
        server.setExecutor(Executors.newFixedThreadPool(20));
        server.createContext("/", x -> say(x, 200, "home ".repeat(100)));
        server.createContext("/orders", page(() -> rows("jdbc:postgresql://127.0.0.1/shop")));
        server.createContext("/catalog", page(() -> rows("jdbc:mariadb://127.0.0.1/shop")));
        server.createContext("/cart", page(Shop::carts));
        server.start();
        System.out.println("Started Shop on port 8000");
    }
}
"""
JARS = "/usr/share/java/postgresql.jar:/usr/share/java/mariadb-java-client.jar"


def _stack(name: str, about: str, file: str, text: str, command: str) -> Stack:
    """Return the machine of an application that systemd runs and that listens on 127.0.0.1:8000."""
    return Stack(
        name=f"needs-{name}",
        about=f"{about} behind nginx, with PostgreSQL, MariaDB and Redis",
        files={
            f"/srv/shop/{file}": text,
            "/etc/shop.env": ENVIRONMENT,
            "/etc/systemd/system/shop.service": unit(command, more="EnvironmentFile=/etc/shop.env"),
            "/etc/nginx/sites-available/shop": site(PROXY),
        },
        setup=SETUP,
        routes=ROUTES,
        faults=faults(f"needs-{name}", AT),
        calms=(Calm(id=f"needs-{name}-quiet-day", happens="ordinary traffic", seconds=8),),
        ready_s=90.0,
    )


STACKS = (
    _stack("flask", "Flask in gunicorn", "app.py", FLASK, GUNICORN),
    _stack("django", "Django in gunicorn", "app.py", DJANGO, GUNICORN),
    _stack("express", "Express", "server.js", EXPRESS, "/usr/bin/node /srv/shop/server.js"),
    _stack("java", "a Java program with JDBC", "Shop.java", JAVA, f"/usr/bin/java -cp {JARS} /srv/shop/Shop.java"),
    Stack(
        name="needs-php",
        about="PHP in PHP-FPM behind nginx, with PostgreSQL, MariaDB and Redis",
        files={"/srv/shop/index.php": PHP, "/etc/nginx/sites-available/shop": site(PHP_PROXY)},
        setup=PHP_SETUP,
        routes=ROUTES,
        faults=faults("needs-php", PHP_AT),
        calms=(Calm(id="needs-php-quiet-day", happens="ordinary traffic", seconds=8),),
        ready_s=90.0,
    ),
)
