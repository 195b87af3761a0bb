"""Sinatra in Puma on a unix socket, and a Java program of one file as Spring's are run."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes
from why502.lab.stacks.texts import ENABLE_SITE, site, unit

PROXY = """
    location / {
        include proxy_params;
        proxy_connect_timeout 3s;
        proxy_read_timeout 8s;
        proxy_pass http://shop;
    }
"""
RESTART = "systemctl restart shop || true"
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

SINATRA = """\
require 'sinatra/base'
require 'redis'
raise KeyError, 'key not found: "SECRET_KEY_BASE"' unless ENV['SECRET_KEY_BASE']
class Shop < Sinatra::Base
  set :environment, :production
  set :host_authorization, { permitted_hosts: [] }
  cache = Redis.new(host: '127.0.0.1', timeout: 60)
  get('/') { cache.incr('seen'); 'home ' * 100 }
  get('/about') { 'about ' * 100 }
  get('/slow') { sleep 12; 'slow' }
  get('/search') { sleep 2; 'found' }
  get('/crash') { Process.kill(:KILL, Process.pid); 'gone' }
  error(Redis::CannotConnectError) { halt 503, 'unavailable' }
end
run Shop
"""
PUMA = """\
environment 'production'
workers 2
threads 3, 3
bind 'unix:///run/shop/puma.sock'
directory '/srv/shop'
"""
PUMA_AT = frozenset({"unix:/run/shop/puma.sock"})
PUMA_FAULTS = (
    Fault(
        id="puma-secret-missing",
        happens="SECRET_KEY_BASE is missing after a deploy",
        steps=f": > /etc/shop.env; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crashed"),
        targets=PUMA_AT,
    ),
    Fault(
        id="puma-gem-missing",
        happens="bundle install was forgotten: cannot load such file",
        steps=f"sed -i \"1i require 'stripe'\" /srv/shop/config.ru; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "unix-socket-missing", "backend-crashed"),
        targets=PUMA_AT,
    ),
    Fault(
        id="puma-stopped",
        happens="the service is stopped",
        steps="systemctl stop shop",
        expects=causes("backend-not-running"),
        partly=causes("unix-socket-missing"),
        targets=PUMA_AT,
    ),
    Fault(
        id="puma-threads-exhausted",
        happens="six threads, and a rush on a page of 2 s",
        steps="true",
        routes=(Route(path="/search", weight=80),),
        users=60,
        expects=causes("workers-exhausted"),
        partly=causes("backend-too-slow"),
        targets=PUMA_AT,
    ),
    Fault(
        id="puma-redis-frozen",
        happens="Redis hangs",
        steps="kill -STOP $(pgrep redis-server)",
        expects=causes("backend-dependency-slow", "backend-dependency-down"),
        partly=HANGS,
        targets=PUMA_AT,
    ),
    Fault(
        id="puma-redis-stopped",
        happens="Redis is stopped; pages answer 503",
        steps="systemctl stop redis-server",
        expects=causes("backend-dependency-down"),
        partly=causes("upstream-error-status", "application-error"),
        targets=PUMA_AT,
    ),
    Fault(
        id="puma-worker-killed",
        happens="a page makes its worker die by SIGKILL",
        steps="true",
        routes=(Route(path="/crash", weight=2),),
        expects=causes("backend-crashed"),
        partly=causes("premature-close", "connection-reset", "backend-oom-killed"),
        targets=PUMA_AT,
    ),
    Fault(
        id="puma-socket-moved",
        happens="puma.rb binds another path after a merge",
        steps=f"sed -i 's#/run/shop/puma.sock#/run/shop/shop.sock#' /srv/shop/puma.rb; {RESTART}",
        expects=causes("unix-socket-missing"),
        partly=causes("backend-not-running"),
        targets=PUMA_AT,
    ),
)

JAVA = """\
import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.util.*;
import java.util.concurrent.*;

public class Shop {
    static final List<byte[]> kept = new ArrayList<>();
    static void say(HttpExchange x, int status, String text) throws IOException {
        byte[] body = text.getBytes();
        x.sendResponseHeaders(status, body.length);
        try (OutputStream out = x.getResponseBody()) { out.write(body); }
    }
    public static void main(String[] args) throws Exception {
        if (System.getenv("DATASOURCE_URL") == null) throw new IllegalStateException("Failed to configure a DataSource: 'url' attribute is not specified");
        int port = Integer.parseInt(System.getenv().getOrDefault("SERVER_PORT", "8090"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 50);
        server.setExecutor(Executors.newFixedThreadPool(6));
        Object lock = new Object();
        server.createContext("/", x -> say(x, 200, "home ".repeat(50)));
        server.createContext("/slow", x -> { try { Thread.sleep(12000); } catch (InterruptedException e) { } say(x, 200, "slow"); });
        server.createContext("/leak", x -> { kept.add(new byte[4 << 20]); say(x, 200, "kept"); });
        server.createContext("/deadlock", x -> { synchronized (lock) { try { lock.wait(); } catch (InterruptedException e) { } } });
        server.createContext("/reset", x -> x.close());
        server.createContext("/unavailable", x -> say(x, 503, "pool exhausted"));
        server.start();
        System.out.println("Started Shop on port " + port);
    }
}
"""
JAVA_AT = frozenset({"127.0.0.1:8090"})
JAVA_FAULTS = (
    Fault(
        id="java-datasource-missing",
        happens="the datasource is not in the environment of the new release",
        steps=f": > /etc/shop.env; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running", "backend-crashed"),
        targets=JAVA_AT,
    ),
    Fault(
        id="java-heap-exits",
        happens="a leak meets -Xmx48m with ExitOnOutOfMemoryError; systemd starts it again each time",
        steps="true",
        routes=(Route(path="/leak", weight=4),),
        expects=causes("backend-crashed", "backend-crash-loop"),
        partly=causes("backend-oom-killed", "premature-close", "connection-reset", "backend-not-running", "memory-pressure"),
        targets=JAVA_AT,
    ),
    Fault(
        id="java-deadlock",
        happens="a page takes all six threads into a wait that never ends",
        steps="true",
        routes=(Route(path="/deadlock", weight=4),),
        expects=causes("backend-hung", "workers-exhausted"),
        partly=causes("backend-too-slow"),
        targets=JAVA_AT,
    ),
    Fault(
        id="java-closes-without-answer",
        happens="one page closes the connection without an answer",
        steps="true",
        routes=(Route(path="/reset", weight=4),),
        expects=causes("premature-close"),
        partly=causes("connection-reset", "backend-crashed"),
        targets=JAVA_AT,
    ),
    Fault(
        id="java-answers-503",
        happens="one page answers 503 itself (pool exhausted)",
        steps="true",
        routes=(Route(path="/unavailable", weight=4),),
        expects=causes("upstream-error-status"),
        partly=causes("application-error"),
        targets=JAVA_AT,
    ),
    Fault(
        id="java-port-property",
        happens="server.port is 9090 in the new release; many other listeners",
        steps=f"echo SERVER_PORT=9095 >> /etc/shop.env; systemctl start redis-server memcached; {RESTART}",
        expects=causes("wrong-port"),
        partly=causes("backend-not-running"),
        targets=JAVA_AT,
    ),
    Fault(
        id="java-slow-start-under-traffic",
        happens="a restart: the virtual machine takes seconds to listen, users meet refusals; it is up again",
        steps="systemctl restart shop; until curl -fs -o /dev/null http://127.0.0.1:8090/; do sleep 0.2; done",
        failures=3,
        expects=causes("deploy-termination-race"),
        partly=causes("backend-not-running", "connection-reset"),
        targets=JAVA_AT,
    ),
    Fault(
        id="java-upgrade-removed-jre",
        happens="an upgrade removes the Java that the unit names (203/EXEC)",
        steps=f"sed -i 's#/usr/bin/java#/usr/lib/jvm/java-11-openjdk-amd64/bin/java#' /etc/systemd/system/shop.service; systemctl daemon-reload; {RESTART}",
        expects=causes("backend-startup-failure", "backend-crash-loop"),
        partly=causes("backend-not-running"),
        targets=JAVA_AT,
    ),
)

STACKS = (
    Stack(
        name="puma",
        about="Sinatra in Puma on a unix socket behind nginx, Redis",
        files={
            "/srv/shop/config.ru": SINATRA,
            "/srv/shop/puma.rb": PUMA,
            "/etc/shop.env": "SECRET_KEY_BASE=abcdef\n",
            "/etc/systemd/system/shop.service": unit(
                "/usr/bin/puma -C /srv/shop/puma.rb", more="EnvironmentFile=/etc/shop.env\nRuntimeDirectory=shop"
            ),
            "/etc/nginx/sites-available/shop": site(
                PROXY, "upstream shop {\n    server unix:/run/shop/puma.sock fail_timeout=0;\n}\n"
            ),
        },
        setup="systemctl start redis-server\nsystemctl enable --now shop\n" + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=PUMA_FAULTS,
        calms=(
            Calm(
                id="puma-phased-restart",
                happens="ordinary traffic and a phased restart (SIGUSR1)",
                steps="systemctl kill -s USR1 --kill-who=main shop",
                seconds=12,
            ),
        ),
    ),
    Stack(
        name="java",
        about="a Java program with an HTTP server of its own behind nginx",
        files={
            "/srv/shop/Shop.java": JAVA,
            "/etc/shop.env": "DATASOURCE_URL=jdbc:none\n",
            "/etc/systemd/system/shop.service": unit(
                "/usr/bin/java -Xmx48m -XX:+ExitOnOutOfMemoryError /srv/shop/Shop.java",
                more="EnvironmentFile=/etc/shop.env\nSuccessExitStatus=143",
                restart="always",
            ),
            "/etc/nginx/sites-available/shop": site(PROXY, "upstream shop {\n    server 127.0.0.1:8090;\n}\n"),
        },
        setup="systemctl enable --now shop\n" + ENABLE_SITE,
        routes=(Route(path="/", weight=4), Route(path="/about", weight=3)),
        faults=JAVA_FAULTS,
        calms=(Calm(id="java-quiet-day", happens="ordinary traffic", seconds=8),),
    ),
)
