"""Samples of the rules on buffers, limits, locations, logs, PHP-FPM pools and systemd units."""

from __future__ import annotations

from lint_sample import Sample

PASS = "proxy_pass http://127.0.0.1:3000;"
PHP = "fastcgi_pass unix:/run/php/php8.2-fpm.sock; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;"
WORKERS = (
    "events {{ worker_connections {}; }} http {{ server {{ listen 8080; location / {{ proxy_pass http://127.0.0.1:1; }} }} }}"
)
POOL = "/etc/php/8.2/fpm/pool.d/www.conf"
UNIT = "/etc/systemd/system/app.service"


def pool(**values: object) -> dict[str, str]:
    lines = {"listen": "/run/php/php8.2-fpm.sock", "pm": "dynamic", "pm.max_children": 5, "pm.start_servers": 2}
    lines |= {"pm.min_spare_servers": 1, "pm.max_spare_servers": 3}
    lines |= {name.replace("__", "."): value for name, value in values.items()}  # type: ignore[misc]
    return {POOL: "[www]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())}


def unit(service: str, more: str = "[Unit]\nDescription=app\n") -> dict[str, str]:
    return {UNIT: f"{more}[Service]\n{service}\n[Install]\nWantedBy=multi-user.target\n"}


GUNICORN = "ExecStart=/srv/venv/bin/gunicorn --bind unix:{} app:app"

SAMPLES = (
    Sample(90, f"proxy_buffer_size 2k; {PASS}", f"proxy_buffer_size 4k; {PASS}", "location"),
    Sample(91, f"proxy_buffers 16 32k; {PASS}", f"proxy_buffers 16 32k; proxy_buffer_size 32k; {PASS}", "location"),
    Sample(
        92,
        f"auth_request_set $c $upstream_http_set_cookie; {PASS}",
        f"auth_request_set $c $upstream_http_set_cookie; proxy_buffer_size 16k; proxy_buffers 4 16k; {PASS}",
        "location",
    ),
    Sample(93, "large_client_header_buffers 2 1k;", "large_client_header_buffers 4 16k;", "server"),
    Sample(
        94,
        "large_client_header_buffers 4 32k; location / { uwsgi_pass 127.0.0.1:1; }",
        f"large_client_header_buffers 4 32k; location / {{ {PASS} }}",
        "server",
    ),
    Sample(
        95,
        f"location /upload/ {{ {PASS} }}",
        f"client_max_body_size 50m; location /upload/ {{ {PASS} }} location /loads {{ {PASS} }}",
        "server",
    ),
    Sample(
        96,
        f'{PHP} fastcgi_param PHP_VALUE "upload_max_filesize=64M";',
        f'{PHP} client_max_body_size 64m; fastcgi_param PHP_VALUE "upload_max_filesize=64M";',
        "location",
    ),
    Sample(97, f"proxy_max_temp_file_size 8m; {PASS}", f"proxy_max_temp_file_size 0; {PASS}", "location"),
    Sample(
        98, f"proxy_buffering off; proxy_buffers 16 8k; {PASS}", f"proxy_buffering off; proxy_buffer_size 8k; {PASS}", "location"
    ),
    Sample(99, f"fastcgi_buffering off; {PHP}", f"location /events/ {{ fastcgi_buffering off; {PHP} }}", "location"),
    Sample(
        100, "worker_rlimit_nofile 1024; " + WORKERS.format(4096), "worker_rlimit_nofile 8192; " + WORKERS.format(4096), "main"
    ),
    Sample(100, WORKERS.format(4096), WORKERS.format(1024), "main"),
    Sample(101, WORKERS.format(64), WORKERS.format(768), "main"),
    Sample(102, "upstream a { server 127.0.0.1:1; keepalive 600; }", "upstream a { server 127.0.0.1:1; keepalive 64; }"),
    Sample(
        103,
        f"limit_req_zone $binary_remote_addr zone=a:1m rate=9r/s; server {{ limit_req zone=a burst=9; location / {{ {PASS} }} }}",
        f"limit_req_zone $binary_remote_addr zone=a:1m rate=9r/s; limit_req_status 429; server {{ limit_req zone=a burst=9; location / {{ {PASS} }} }}",
    ),
    Sample(
        104,
        f"limit_req_zone $binary_remote_addr zone=a:1m rate=9r/s; server {{ limit_req zone=a; location / {{ {PASS} }} }}",
        f"limit_req_zone $binary_remote_addr zone=a:1m rate=9r/s; server {{ limit_req zone=a burst=9; location / {{ {PASS} }} }}",
    ),
    Sample(105, "limit_conn_zone $binary_remote_addr zone=a:64k;", "limit_conn_zone $binary_remote_addr zone=a:10m;"),
    Sample(
        110,
        "location /api/ { proxy_pass http://127.0.0.1:3000/v1; }",
        "location /api/ { proxy_pass http://127.0.0.1:3000/v1/; } location /b { proxy_pass http://127.0.0.1:3000/v1; }",
        "server",
    ),
    Sample(
        111,
        "set $a http://127.0.0.1:3000; proxy_pass $a/api/;",
        "set $a http://127.0.0.1:3000; proxy_pass $a/api$uri;",
        "location",
    ),
    Sample(
        112,
        f"location / {{ {PASS} }} location ~* \\.(css|js|png)$ {{ expires 1d; }}",
        f"location / {{ {PASS} }} location ~* \\.(css|js|png)$ {{ expires 1d; {PASS} }}",
        "server",
    ),
    Sample(
        113,
        f"server {{ listen 8080; server_name a.example; location / {{ {PASS} }} }} server {{ listen 8080; server_name b.example a.example; }}",
        f"server {{ listen 8080; server_name a.example; location / {{ {PASS} }} }} server {{ listen 8443; server_name a.example; }}",
    ),
    Sample(
        115, "location / { try_files $uri @app; }", f"location / {{ try_files $uri @app; }} location @app {{ {PASS} }}", "server"
    ),
    Sample(
        116,
        f"error_page 502 /502.html; location / {{ {PASS} }}",
        f"error_page 502 /502.html; location / {{ {PASS} }} location = /502.html {{ root /srv; }}",
        "server",
    ),
    Sample(117, f"error_page 502 =200 /sorry.html; {PASS}", f"error_page 404 =200 /sorry.html; {PASS}", "location"),
    Sample(
        121,
        f"auth_request /auth; location / {{ {PASS} }} location = /auth {{ internal; {PASS} }}",
        f'auth_request /auth; location / {{ {PASS} }} location = /auth {{ proxy_pass_request_body off; proxy_set_header Content-Length ""; {PASS} }}',
        "server",
    ),
    Sample(122, "location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }", f"location ~ \\.php$ {{ {PHP} }}", "server"),
    Sample(
        123,
        "fastcgi_param A a; fastcgi_param B b; fastcgi_param SCRIPT_FILENAME c; location / { fastcgi_param HTTPS on; fastcgi_pass 127.0.0.1:9000; }",
        "fastcgi_param A a; fastcgi_param B b; fastcgi_param SCRIPT_FILENAME c; location / { fastcgi_pass 127.0.0.1:9000; }",
        "server",
    ),
    Sample(
        130,
        f"log_format main '$remote_addr $status'; access_log a main; server {{ location / {{ {PASS} }} }}",
        f"log_format main '$remote_addr $status $upstream_addr'; access_log a main; server {{ location / {{ {PASS} }} }}",
    ),
    Sample(131, "error_log off;", "error_log logs/off.log;", "server"),
    Sample(
        132,
        f"error_log logs/error.log crit; location / {{ {PASS} }}",
        f"error_log logs/error.log warn; location / {{ {PASS} }}",
        "server",
    ),
    Sample(
        133,
        f"access_log off; location / {{ {PASS} }}",
        f"location / {{ {PASS} }} location = /health {{ access_log off; {PASS} }}",
        "server",
    ),
    Sample(
        135, "worker_shutdown_timeout 2s; " + WORKERS.format(768), "worker_shutdown_timeout 10m; " + WORKERS.format(768), "main"
    ),
    Sample(34, PHP, PHP, "location", bad_files=pool(listen="/run/php/php8.4-fpm.sock"), good_files=pool()),
    Sample(
        35,
        f"user www-data; events {{}} http {{ server {{ location / {{ {PHP} }} }} }}",
        f"user www-data; events {{}} http {{ server {{ location / {{ {PHP} }} }} }}",
        "main",
        bad_files=pool(),
        good_files=pool(listen__owner="www-data", listen__group="www-data"),
    ),
    Sample(140, "", "", bad_files=pool(pm__start_servers=10), good_files=pool()),
    Sample(140, "", "", bad_files=pool(pm__max_children=2), good_files=pool(pm="ondemand", pm__max_children=2)),
    Sample(140, "", "", bad_files=pool(pm="turbo"), good_files=pool(pm="static")),
    Sample(
        141,
        "",
        "",
        bad_files={**pool(), POOL.replace("www", "shop"): pool()[POOL].replace("[www]", "[shop]")},
        good_files={**pool(), POOL.replace("www", "shop"): pool(listen="/run/shop.sock")[POOL].replace("[www]", "[shop]")},
    ),
    Sample(142, "", "", bad_files=pool(listen__backlog=5), good_files=pool(listen__backlog=511)),
    Sample(
        150,
        "",
        "",
        bad_files=unit("StartLimitIntervalSec=60\nRestart=always"),
        good_files=unit("Restart=always\nStartLimitBurst=3", "[Unit]\nStartLimitIntervalSec=60\n"),
    ),
    Sample(
        151,
        "",
        "",
        bad_files=unit("ExecStart=/usr/bin/node /srv/app.js"),
        good_files=unit("ExecStart=/usr/bin/node /srv/app.js\nRestart=on-failure"),
    ),
    Sample(
        152,
        "",
        "",
        bad_files=unit(GUNICORN.format("/tmp/app.sock") + "\nPrivateTmp=true"),
        good_files=unit(GUNICORN.format("/run/app/app.sock") + "\nPrivateTmp=true"),
    ),
    Sample(
        153,
        "",
        "",
        bad_files=unit(GUNICORN.format("/run/app/app.sock") + "\nUser=app"),
        good_files=unit(GUNICORN.format("/run/app/app.sock") + "\nUser=app\nRuntimeDirectory=app"),
    ),
    Sample(36, "proxy_pass http://unix:/tmp/app.sock;", "proxy_pass http://unix:/run/app.sock;", "location"),
)
