"""Samples of the rules on directives and on configuration that nginx rejects."""

from __future__ import annotations

from lint_sample import Sample

APP = "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; }\n"
_PASS = "location / { proxy_pass http://127.0.0.1:3000; }"

SAMPLES = (
    Sample(
        1, "server { listen 80; location / { proxy_pass 127.0.0.1:3000; } }", f"server {{ listen 8080; {_PASS} }}", refused=True
    ),
    Sample(2, "proxy_busy_buffer_size 8k;", "proxy_busy_buffers_size 8k;", "location", refused=True),
    Sample(3, "http2 on;", "# http2 on;", "server", refused=True),
    Sample(3, APP.replace("3001;", "3001 resolve;"), APP.replace("3001;", "3001 max_conns=5;"), refused=True),
    Sample(4, "ssl on;", "ssl_session_timeout 5m;", "server", version="1.25.1"),
    Sample(
        5,
        "http2_push /a.css;",
        "http2_push /a.css;".replace("push", "chunk_size").replace("/a.css", "8k"),
        "server",
        version="1.26.0",
    ),
    Sample(6, "proxy_pass http://127.0.0.1:3000;", "root /srv;", "server", refused=True),
    Sample(6, "server { location / { upstream a { server 127.0.0.1:1; } } }", APP, refused=True),
    Sample(7, APP.replace("server 127.0.0.1:3001;", "check interval=3000;"), APP, refused=True),
    Sample(7, "health_check;", "proxy_pass http://127.0.0.1:3000;", "location", refused=True),
    Sample(
        8,
        r'upstream a { server 127.0.0.1:1; check_http_send "HEAD / HTTP/1.0\r\n"; }',
        r'upstream a { server 127.0.0.1:1; check_http_send "HEAD / HTTP/1.0\r\n\r\n"; }',
    ),
    Sample(9, "proxy_buffering no;", "proxy_buffering off;", "location", refused=True),
    Sample(10, "proxy_buffer_size 16k;", "proxy_buffer_size 14k;", "location", refused=True),
    Sample(
        10, "proxy_buffer_size 16k; proxy_buffers 2 16k;", "proxy_buffer_size 16k; proxy_buffers 4 16k;", "location", refused=True
    ),
    Sample(
        10,
        "fastcgi_buffers 8 16k; fastcgi_buffer_size 128k;",
        "fastcgi_buffers 8 64k; fastcgi_buffer_size 128k;",
        "server",
        refused=True,
    ),
    Sample(10, "proxy_busy_buffers_size 2k;", "proxy_busy_buffers_size 28k;", "location", refused=True),
    Sample(10, "uwsgi_buffers 1 64k;", "uwsgi_buffers 4 64k;", "location", refused=True),
    Sample(
        10,
        "proxy_buffers 8 16k; proxy_temp_file_write_size 8k;",
        "proxy_buffers 8 16k; proxy_temp_file_write_size 16k;",
        "location",
        refused=True,
    ),
    Sample(
        11,
        "upstream a { ip_hash; server 127.0.0.1:1; server 127.0.0.1:2 backup; }",
        "upstream a { least_conn; server 127.0.0.1:1; server 127.0.0.1:2 backup; }",
        refused=True,
    ),
    Sample(
        12,
        "upstream a { server 127.0.0.1:1 backup; }",
        "upstream a { server 127.0.0.1:1; server 127.0.0.1:2 backup; }",
        refused=True,
    ),
    Sample(12, "upstream a { keepalive 8; }", "upstream a { server 127.0.0.1:1; keepalive 8; }", refused=True),
    Sample(13, f"{APP}{APP}", f"{APP}{APP.replace('app', 'other')}", refused=True),
    Sample(14, f"{_PASS} {_PASS}", f"{_PASS} {_PASS.replace('/ {', '= / {')}", "server", refused=True),
    Sample(
        14,
        "location ~ a { return 204; } location ~ a { return 205; }",
        "location ~ a { return 204; } location ~* a { return 205; }",
        "server",
    ),
    Sample(
        15,
        "server { listen 8081 default_server; } server { listen 8081 default_server; }",
        "server { listen 8081 default_server; } server { listen 127.0.0.1:8081 default_server; }",
        refused=True,
    ),
    Sample(
        16,
        "location ~ ^/api { proxy_pass http://127.0.0.1:3000/; }",
        "location ~ ^/api(.*) { proxy_pass http://127.0.0.1:3000$1; } location /x { proxy_pass http://127.0.0.1:3000/; }",
        "server",
        refused=True,
    ),
    Sample(
        16,
        "if ($arg_a) { proxy_pass http://127.0.0.1:3000/a; }",
        "if ($arg_a) { proxy_pass http://127.0.0.1:3000; }",
        "location",
        refused=True,
    ),
    Sample(
        17,
        "limit_req_zone $binary_remote_addr zone=one:1m rate=10r/s; server { limit_req zone=two burst=5; }",
        "limit_req_zone $binary_remote_addr zone=two:1m rate=10r/s; server { limit_req zone=two burst=5; }",
        refused=True,
    ),
    Sample(
        17,
        "server { proxy_cache files; }",
        "proxy_cache_path cache keys_zone=files:1m; server { proxy_cache files; }",
        refused=True,
    ),
    Sample(
        18,
        "upstream a { server a.example:1 resolve; }",
        "resolver 127.0.0.1; upstream a { zone a 64k; server a.example:1 resolve; }",
        version="1.28.0",
    ),
    Sample(
        19,
        "upstream a { server 127.0.0.1:1 weight=0; }",
        "upstream a { server 127.0.0.1:1 weight=2; server 127.0.0.1:2; }",
        refused=True,
    ),
)
