"""Samples of the rules on routes: names, protocols, connections, headers, TLS, groups."""

from __future__ import annotations

from lint_sample import Sample

ONE = "upstream app { server 127.0.0.1:3000; }\n"
TWO = "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; }\n"
KEPT = "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; keepalive 16; keepalive_timeout 4s; }\n"
TO_APP = "server { listen 8080; server_name www.example.org; location / { proxy_pass http://app; } }"
UPGRADE = "proxy_set_header Upgrade $http_upgrade;"
HOST = "proxy_set_header Host $host;"


def to_app(more: str = "", scheme: str = "http") -> str:
    return f"server {{ listen 8080; server_name www.example.org; location / {{ proxy_pass {scheme}://app; {more} }} }}"


def group(*servers: str) -> str:
    return "upstream app { " + " ".join(f"server {server};" for server in servers) + " }\n"


SAMPLES = (
    Sample(
        20, "set $app http://app.internal:3000; proxy_pass $app;", "set $app http://127.0.0.1:3000; proxy_pass $app;", "location"
    ),
    Sample(20, "proxy_pass http://$http_x;", "resolver 127.0.0.53; proxy_pass http://$http_x;", "location"),
    Sample(20, ONE + TO_APP.replace("//app", "//a$uri").replace("a$", "app.local$"), ONE + TO_APP.replace("//app", "//app$uri")),
    Sample(
        21,
        "resolver 8.8.8.8; set $app app; proxy_pass http://$app:3000;",
        "resolver 127.0.0.11; set $app app; proxy_pass http://$app:3000;",
        "location",
    ),
    Sample(22, group("127.0.0.1:1").replace("app", "backend") + TO_APP.replace("//app", "//backnd"), ONE + TO_APP),
    Sample(23, "proxy_pass http://app.example.org:3000;", "proxy_pass http://192.0.2.1:3000;", "location"),
    Sample(
        23,
        "proxy_pass http://x.eu-west-1.elb.amazonaws.com;",
        "resolver 127.0.0.53; proxy_pass http://x.elb.amazonaws.com$request_uri;",
        "location",
    ),
    Sample(
        23,
        group("app:9000", "127.0.0.1:1") + TO_APP,
        "resolver 127.0.0.1; upstream app { zone a 64k; server app:9000 resolve; }" + TO_APP,
        version="1.28.0",
    ),
    Sample(
        24,
        "resolver 127.0.0.53; location / { set $a app.example; proxy_pass http://$a:81; } location /b { proxy_pass http://app.example:81; }",
        "resolver 127.0.0.53; location / { set $a app.example; proxy_pass http://$a:81; } location /b { proxy_pass http://app.example:82; }",
        "server",
    ),
    Sample(
        25,
        "resolver 127.0.0.11; proxy_pass http://$http_x;",
        "resolver 127.0.0.11 valid=10s; proxy_pass http://$http_x;",
        "location",
    ),
    Sample(
        26,
        "resolver 127.0.0.53; proxy_pass http://$http_x;",
        "resolver 127.0.0.53 ipv6=off; proxy_pass http://$http_x;",
        "location",
    ),
    Sample(27, "proxy_pass http://localhost:3000;", "proxy_pass http://127.0.0.1:3000;", "location"),
    Sample(28, "proxy_pass http://0.0.0.0:3000;", "proxy_pass http://10.0.0.1:3000;", "location"),
    Sample(
        29,
        "resolver 127.0.0.11; proxy_pass http://127.0.0.1:3000;",
        "resolver 127.0.0.53; proxy_pass http://127.0.0.1:3000;",
        "location",
    ),
    Sample(
        30,
        "proxy_pass http://127.0.0.1:3000;",
        "proxy_pass http://127.0.0.1:3001;",
        "location",
        bad_files={"/etc/systemd/system/app.service": "[Service]\nExecStart=/srv/venv/bin/gunicorn -b 127.0.0.1:3001 app:app\n"},
    ),
    Sample(
        30,
        "proxy_pass http://unix:/run/app.sock;",
        "proxy_pass http://unix:/run/app/app.sock;",
        "location",
        bad_files={"/srv/app.service": "[Service]\nExecStart=python3 -m gunicorn --bind=unix:/run/app/app.sock app:app\n"},
    ),
    Sample(31, group("192.0.2.1") + to_app(scheme="https"), group("192.0.2.1:443") + to_app(scheme="https")),
    Sample(31, "proxy_pass http://192.0.2.1:443;", "proxy_pass https://192.0.2.1:443;", "location"),
    Sample(32, "proxy_pass http://unix:/run/php/php8.2-fpm.sock;", "fastcgi_pass unix:/run/php/php8.2-fpm.sock;", "location"),
    Sample(33, "grpc_pass grpc://127.0.0.1:50051;", "proxy_pass http://127.0.0.1:50051;", "location"),
    Sample(
        33,
        to_app(scheme="grpc").replace("proxy", "grpc") + ONE,
        ONE + to_app(scheme="grpc").replace("proxy", "grpc").replace("8080", "8080 http2"),
    ),
    Sample(40, KEPT + to_app(), KEPT + to_app('proxy_http_version 1.1; proxy_set_header Connection "";')),
    Sample(40, KEPT + to_app(), ONE + to_app()),
    Sample(
        41,
        KEPT + to_app("proxy_http_version 1.1;"),
        KEPT + to_app("proxy_http_version 1.1; proxy_set_header Connection keep-alive;"),
    ),
    Sample(
        41,
        "map $http_upgrade $c { default upgrade; '' close; }"
        + KEPT
        + to_app("proxy_http_version 1.1; proxy_set_header Connection $c;"),
        "map $http_upgrade $c { default upgrade; '' ''; }"
        + KEPT
        + to_app("proxy_http_version 1.1; proxy_set_header Connection $c;"),
    ),
    Sample(
        42,
        "upstream a { server 127.0.0.1:1; keepalive 8; least_conn; }",
        "upstream a { server 127.0.0.1:1; least_conn; keepalive 8; }",
    ),
    Sample(
        43,
        KEPT + to_app().replace("proxy_pass http://", "fastcgi_pass "),
        KEPT + to_app("fastcgi_keep_conn on;").replace("proxy_pass http://", "fastcgi_pass "),
    ),
    Sample(44, KEPT.replace("keepalive_timeout 4s;", "") + to_app(), KEPT + to_app()),
    Sample(
        45,
        "real_ip_header X-Forwarded-For; keepalive_timeout 20s; proxy_pass http://127.0.0.1:3000;",
        "keepalive_timeout 20s; proxy_pass http://127.0.0.1:3000;",
        "location",
    ),
    Sample(
        50,
        "location /socket.io/ { proxy_pass http://127.0.0.1:3000; }",
        f'location /socket.io/ {{ proxy_pass http://127.0.0.1:3000; proxy_http_version 1.1; {UPGRADE} proxy_set_header Connection "upgrade"; }} '
        "location /news/ { proxy_pass http://127.0.0.1:3000; }",
        "server",
    ),
    Sample(
        51,
        f'proxy_pass http://127.0.0.1:3000; {UPGRADE} proxy_set_header Connection "upgrade";',
        f'proxy_pass http://127.0.0.1:3000; {UPGRADE} proxy_set_header Connection "upgrade"; proxy_http_version 1.1;',
        "location",
    ),
    Sample(
        52,
        f"proxy_pass http://127.0.0.1:3000; proxy_http_version 1.1; {UPGRADE}",
        f"proxy_pass http://127.0.0.1:3000; proxy_http_version 1.1; {UPGRADE} proxy_set_header Connection $connection_upgrade;",
        "location",
    ),
    Sample(
        53,
        f"proxy_pass http://127.0.0.1:3000; {UPGRADE} proxy_read_timeout 10s;",
        f"proxy_pass http://127.0.0.1:3000; {UPGRADE} proxy_read_timeout 1h;",
        "location",
    ),
    Sample(
        55,
        f"{HOST} location / {{ proxy_set_header X-Real-IP $remote_addr; proxy_pass http://127.0.0.1:3000; }}",
        f"{HOST} location / {{ proxy_pass http://127.0.0.1:3000; }} location /b {{ {HOST} proxy_set_header X-A b; proxy_pass http://127.0.0.1:3000; }}",
        "server",
    ),
    Sample(56, ONE + to_app(), ONE + to_app(HOST)),
    Sample(
        57,
        f"{HOST} {HOST} proxy_pass http://127.0.0.1:3000;",
        f"{HOST} proxy_set_header X-Host $host; proxy_pass http://127.0.0.1:3000;",
        "location",
    ),
    Sample(
        58,
        f"listen 8443 ssl; ssl_certificate a; ssl_certificate_key b; location / {{ {HOST} proxy_pass http://127.0.0.1:3000; }}",
        f"listen 8443 ssl; location / {{ {HOST} proxy_set_header X-Forwarded-Proto $scheme; proxy_pass http://127.0.0.1:3000; }}",
        "server",
    ),
    Sample(59, "proxy_pass http://127.0.0.1:3000;", f"{HOST} proxy_pass http://127.0.0.1:3000;", "location"),
    Sample(
        60, "proxy_pass https://app.example.org;", "proxy_ssl_server_name on; proxy_pass https://app.example.org;", "location"
    ),
    Sample(60, "proxy_pass https://app.example.org;", "proxy_pass https://192.0.2.1;", "location"),
    Sample(
        61,
        group("a.example:443") + to_app("proxy_ssl_server_name on;", "https"),
        group("a.example:443") + to_app("proxy_ssl_server_name on; proxy_ssl_name a.example;", "https"),
    ),
    Sample(
        62,
        "proxy_pass https://192.0.2.1; proxy_ssl_protocols TLSv1 TLSv1.1;",
        "proxy_pass https://192.0.2.1; proxy_ssl_protocols TLSv1.1 TLSv1.2;",
        "location",
    ),
    Sample(63, "proxy_pass https://192.0.2.1; proxy_ssl_verify on;", "proxy_pass https://192.0.2.1;", "location", refused=True),
    Sample(64, "proxy_pass https://a.example.org;", "proxy_ssl_verify off; proxy_pass https://a.example.org;", "location"),
    Sample(66, "proxy_pass http://127.0.0.1:8080;", "proxy_pass http://127.0.0.1:8081;", "location"),
    Sample(
        66,
        "server { listen 10.0.0.5:8080; listen 127.0.0.1:8080; location / { proxy_pass http://127.0.0.1:8080; } }",
        "server { listen 10.0.0.5:8080; location / { proxy_pass http://127.0.0.1:8080; } }"
        " server { listen 127.0.0.1:8080; location / { proxy_pass http://127.0.0.1:3000; } }",
    ),
    Sample(
        66,
        f"server {{ listen 8080; server_name a.example; location / {{ {HOST} proxy_pass http://127.0.0.1:8080; }} }}",
        "server { listen 8080; server_name a.example; location / { proxy_set_header Host b.example; proxy_pass http://127.0.0.1:8080; } }"
        " server { listen 8080; server_name b.example; location / { proxy_pass http://127.0.0.1:3000; } }",
    ),
    Sample(
        70, group("127.0.0.1:1 max_fails=3 fail_timeout=30s") + TO_APP, group("127.0.0.1:1 max_fails=3", "127.0.0.1:2") + TO_APP
    ),
    Sample(
        71,
        group("127.0.0.1:1 fail_timeout=5m", "127.0.0.1:2 fail_timeout=5m") + TO_APP,
        group("127.0.0.1:1 fail_timeout=30s", "127.0.0.1:2") + TO_APP,
    ),
    Sample(
        72,
        TWO + to_app("proxy_next_upstream error http_500;"),
        group("127.0.0.1:1 max_fails=3", "127.0.0.1:2 max_fails=3") + to_app("proxy_next_upstream error http_500;"),
    ),
    Sample(73, group("192.0.2.1:3000") + TO_APP, group("192.0.2.1:3000", "192.0.2.2:3000") + TO_APP),
    Sample(
        74,
        ONE + to_app("proxy_next_upstream error timeout http_503;"),
        TWO + to_app("proxy_next_upstream error timeout http_503;"),
    ),
    Sample(75, TWO + to_app("proxy_next_upstream error non_idempotent;"), TWO + to_app("proxy_next_upstream error;")),
    Sample(
        76,
        group("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1") + to_app("proxy_read_timeout 120s;"),
        group("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1") + to_app("proxy_read_timeout 120s; proxy_next_upstream_tries 2;"),
    ),
    Sample(
        77,
        group("127.0.0.1:1 max_fails=0", "127.0.0.1:2 backup") + to_app("proxy_next_upstream off;"),
        group("127.0.0.1:1 max_fails=0", "127.0.0.1:2 backup") + to_app(),
    ),
    Sample(78, group("127.0.0.1:1 down") + TO_APP, group("127.0.0.1:1 down", "127.0.0.1:2") + TO_APP),
    Sample(
        79,
        "return 503; location / { proxy_pass http://127.0.0.1:1; }",
        "location = /x { return 503; } location / { proxy_pass http://127.0.0.1:1; }",
        "server",
    ),
    Sample(
        80,
        group("127.0.0.1:1 max_conns=9", "127.0.0.1:2") + TO_APP,
        "upstream app { zone a 64k; server 127.0.0.1:1 max_conns=9; }" + TO_APP,
    ),
    Sample(
        81, group("127.0.0.1:1 weight=5", "127.0.0.1:2 weight=5") + TO_APP, group("127.0.0.1:1 weight=5", "127.0.0.1:2") + TO_APP
    ),
    Sample(81, group("127.0.0.1:1 weight=5") + TO_APP, group("app:1 weight=5", "127.0.0.1:2 down") + TO_APP),
    Sample(
        85,
        "proxy_connect_timeout 300s; proxy_pass http://127.0.0.1:1;",
        "proxy_connect_timeout 75s; proxy_pass http://127.0.0.1:1;",
        "location",
    ),
    Sample(
        86,
        "proxy_connect_timeout 60; proxy_send_timeout 60s; proxy_read_timeout 1m;",
        "proxy_connect_timeout 60; proxy_send_timeout 60s; proxy_read_timeout 2m;",
        "location",
    ),
    Sample(
        87,
        "proxy_pass http://127.0.0.1:8000;",
        "proxy_pass http://127.0.0.1:8000; proxy_read_timeout 130s;",
        "location",
        bad_files={"/srv/a.service": "[Service]\nExecStart=/srv/gunicorn -b :8000 --timeout 120 a:a\n"},
    ),
    Sample(
        88,
        "proxy_pass http://127.0.0.1:8000; proxy_read_timeout 300s;",
        "proxy_pass http://127.0.0.1:8000; proxy_read_timeout 300s;",
        "location",
        bad_files={"/srv/a.service": "[Service]\nExecStart=/srv/gunicorn -b :8000 a:a\n"},
        good_files={"/srv/a.service": "[Service]\nExecStart=/srv/gunicorn -b :8000 -t 300 a:a\n"},
    ),
    Sample(89, "proxy_read_timeout 60000;", "proxy_read_timeout 86400;", "location"),
)
