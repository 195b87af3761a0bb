"""Samples of the rules with a file of their own."""

from __future__ import annotations

from lint_sample import Sample

PASS = "proxy_pass http://127.0.0.1:3000;"
_TWO = "upstream app { server 10.0.0.1:80; server 10.0.0.2:80; }\n"
_LONG = "a-very-long-name-of-a-customer-of-ours.production.example.org"
_ZONE = "limit_conn_zone $binary_remote_addr zone=a:1m;"

SAMPLES = (
    Sample(160, f"proxy_set_header Host; {PASS}", f"proxy_set_header Host $host; {PASS}", "location", refused=True),
    Sample(160, f"proxy_set_header A 1\n{PASS}", f"proxy_set_header A 1;\n{PASS}", "location", refused=True),
    Sample(160, "client_max_body_size 10MB;", "client_max_body_size 10M;", "server", refused=True),
    Sample(160, f"proxy_next_upstream http_501; {PASS}", f"proxy_next_upstream http_503; {PASS}", "location", refused=True),
    Sample(160, "map $host $a;", "map $host $a { }", refused=True),
    Sample(160, "gzip_buffers 8;", "gzip_buffers 8 16k;", refused=True),
    Sample(187, f"allow 10.0.0.300; {PASS}", f"allow 10.0.0.30; allow fe80::/10; allow unix:; deny all; {PASS}", "location", refused=True),
    Sample(187, f"deny 10.0.0.0/33; {PASS}", f"deny 10.0.0.7/8; {PASS}", "location", refused=True),
    Sample(187, "upstream app { server http://10.0.0.1:80; }", "upstream app { server 10.0.0.1:80; }", refused=True),
    Sample(187, "upstream app { server 10.0.0.1:80/api; }", "upstream app { server unix:/run/a.sock; }", refused=True),
    Sample(187, "server { listen http://127.0.0.1:8081; }", "server { listen 127.0.0.1:8081; }", refused=True),
    Sample(187, "error_log e.log warning;", "error_log e.log warn;", "server", refused=True),
    Sample(187, "access_log a.log combined main;", "access_log a.log combined buffer=8k flush=1s;", "server", refused=True),
    Sample(187, "location /a { root /a; alias /b; }", "location /a { alias /b; }", "server", refused=True),
    Sample(
        187,
        "split_clients $remote_addr $v { 60% a; 50% b; }",
        "split_clients $remote_addr $v { 60% a; 39.99% b; * c; }",
        refused=True,
    ),
    Sample(187, "map $uri $x { /a b c; }", "map $uri $x { default a; /a b; }", refused=True),
    Sample(187, "location ~~ /a { return 200; }", "location ~* /a { return 200; }", "server", refused=True),
    Sample(
        187,
        "location /a { location /b { return 200; } }",
        "location /a { location /a/b { return 200; } location ~ b { return 200; } }",
        "server",
        refused=True,
    ),
    Sample(
        187,
        "location = /a { location /a/b { return 200; } }",
        "location ^~ /a { location /a/b { return 200; } }",
        "server",
        refused=True,
    ),
    Sample(161, "proxy_pass http://unix:/run/a.sock/api/;", "proxy_pass http://unix:/run/a.sock:/api/;", "location"),
    Sample(162, "listen 81;\nlisten *:81;", "listen 81;\nlisten 127.0.0.1:81;", "server", refused=True),
    Sample(
        163,
        "server { listen 8081 backlog=9; } server { listen 8081 backlog=9; }",
        "server { listen 8081 backlog=9; } server { listen 8081; }",
        refused=True,
    ),
    Sample(
        163,
        "server { listen [::]:8081 ipv6only=off; } server { listen 8081; }",
        "server { listen [::]:8081 ipv6only=on; } server { listen 8081; }",
    ),
    Sample(164, "upstream a { server 10.0.0.1 max_fail=3; }", "upstream a { server 10.0.0.1 max_fails=3; }", refused=True),
    Sample(164, "listen 127.0.0.1:70000;", "listen 127.0.0.1:7000;", "server", refused=True),
    Sample(166, "proxy_read_timeout 5s;\nproxy_read_timeout 9s;", "proxy_read_timeout 5s;\nproxy_send_timeout 9s;", refused=True),
    Sample(166, f"{PASS}\n{PASS}", PASS, "location", refused=True),
    Sample(167, f"proxy_set_header A $reqest_id; {PASS}", f"proxy_set_header A $request_id; {PASS}", "location", refused=True),
    Sample(
        167,
        f"proxy_set_header A $ident; {PASS}",
        f"if ($uri ~ ^/(?<ident>x)) {{ return 204; }} proxy_set_header A $ident; {PASS}",
        "location",
        refused=True,
    ),
    Sample(168, "return moved;", "return https://example.org/;", "location", refused=True),
    Sample(168, "error_page 200 /x;", "error_page 404 =200 /x;", "server", refused=True),
    Sample(169, "rewrite ^/a /b 302;", "rewrite ^/a /b redirect;", "server", refused=True),
    Sample(170, "location ~ ^/(a { }", "location ~ ^/(a) { }", "server", refused=True),
    Sample(171, 'if ($arg_a && $arg_b) { return 403; }', 'if ($arg_a = "") { return 403; }', "server", refused=True),
    Sample(171, "if($arg_a) { return 403; }", "if ( $arg_a ) { return 403; }", "server", refused=True),
    Sample(171, "if (-e) { return 403; }", "if (!-e $request_filename) { return 403; }", "server", refused=True),
    Sample(172, "listen 8443 ssl;", "listen 8443;", "server", refused=True),
    Sample(
        172, "server { listen 8443 ssl; }", "server { listen 8443 ssl; ssl_reject_handshake on; }", refused=True
    ),
    Sample(
        173,
        f"server {{ listen 81; server_name a.example; }} server {{ listen 81; server_name {_LONG}; }}",
        f"server_names_hash_bucket_size 128; server {{ listen 81; server_name a.example; }} server {{ listen 81; server_name {_LONG}; }}",
        refused=True,
    ),
    Sample(174, "map $host $a { default 1;\ndefault 2; }", "map $host $a { default 1;\nother 2; }", refused=True),
    Sample(175, "limit_req_zone $uri zone=a:1m rate=9r/h;", "limit_req_zone $uri zone=a:1m rate=9r/m;", refused=True),
    Sample(175, "proxy_cache_path c;", "proxy_cache_path c keys_zone=c:1m;", refused=True),
    Sample(176, "set a 1;", "set $a 1;", "server", refused=True),
    Sample(177, "location / { rewrite ^ /index.php last; }", "location / { rewrite ^ /index.php break; }", "server"),
    Sample(
        177,
        "location /a { rewrite ^/a(.*) /a/b$1; }",
        "location / { rewrite ^ /index.php$request_uri; } location ~ ^/index\\.php(?:$|/) { fastcgi_pass 127.0.0.1:9000; }",
        "server",
    ),
    Sample(
        178,
        f"set_real_ip_from 10.0.0.0/8; proxy_set_header X-Forwarded-For $remote_addr; {PASS}",
        f"set_real_ip_from 10.0.0.0/8; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; {PASS}",
        "location",
    ),
    Sample(
        179,
        "proxy_set_header Host $host; proxy_pass https://shop.herokuapp.com;",
        "proxy_set_header Host shop.herokuapp.com; proxy_pass https://shop.herokuapp.com;",
        "location",
    ),
    Sample(
        180,
        f"{_TWO}server {{ location / {{ proxy_next_upstream_tries 1; proxy_pass http://app; }} }}",
        f"{_TWO}server {{ location / {{ proxy_next_upstream_tries 2; proxy_pass http://app; }} }}",
    ),
    Sample(181, f"proxy_read_timeout 200ms; {PASS}", f"proxy_read_timeout 2s; {PASS}", "location"),
    Sample(182, "limit_req_zone $server_name zone=a:1m rate=9r/s;", "limit_req_zone $binary_remote_addr zone=a:1m rate=9r/s;"),
    Sample(
        183, f"{_ZONE} server {{ limit_conn a 1; }}", f"{_ZONE} server {{ limit_conn a 20; location /download/ {{ limit_conn a 1; }} }}"
    ),
    Sample(184, "proxy_cache_valid any 10m;", "proxy_cache_valid 200 404 10m;", "server"),
    Sample(185, f"location /events {{ {PASS} }}", f"location /events {{ proxy_buffering off; {PASS} }}", "server"),
    Sample(218, f"deny all; allow 10.0.0.0/8; {PASS}", f"allow 10.0.0.0/8; deny all; {PASS}", "location"),
    Sample(219, "location / { return 301 http://$host$request_uri; }", "location / { return 301 https://$host$request_uri; }", "server"),
    Sample(219, "return 302 $scheme://$http_host$request_uri;", "return 302 $scheme://www.example.org$request_uri;", "server"),
    Sample(
        220,
        f"location ~ / {{ {PASS} }} location /admin/ {{ {PASS} }}",
        f"location ~ / {{ {PASS} }} location ^~ /admin/ {{ {PASS} }}",
        "server",
    ),
    Sample(
        221,
        f"server {{ listen 443 ssl; ssl_reject_handshake on; proxy_set_header X-Forwarded-Proto http; location / {{ {PASS} }} }}",
        f"server {{ listen 443 ssl; ssl_reject_handshake on; proxy_set_header X-Forwarded-Proto $scheme; location / {{ {PASS} }} }}",
    ),
    Sample(222, "client_body_timeout 1s;", "client_body_timeout 10s;", "server"),
    Sample(222, "send_timeout 500ms;", "send_timeout 5s;", "server"),
    Sample(223, "resolver 127.0.0.1; resolver_timeout 50ms;", "resolver 127.0.0.1; resolver_timeout 2s;", "server"),
    Sample(224, f"limit_rate 100; {PASS}", f"limit_rate 100k; {PASS}", "location"),
    Sample(225, "proxy_pass http://$host;", "proxy_pass http://$host.internal;", "location"),
    Sample(
        226,
        "events {} stream { map $ssl_preread_server_name $to { default 127.0.0.1:444; } server { listen 443; proxy_pass $to; } }",
        "events {} stream { map $ssl_preread_server_name $to { default 127.0.0.1:444; } server { listen 443; ssl_preread on; proxy_pass $to; } }",
        "main",
    ),
    Sample(227, f"proxy_hide_header Location; {PASS}", f"proxy_hide_header Location; add_header Location /x; {PASS}", "location"),
    Sample(
        228,
        "fastcgi_param SCRIPT_FILENAME $request_filename; fastcgi_pass 127.0.0.1:9000;",
        "fastcgi_param SCRIPT_FILENAME $request_filename; fastcgi_param REQUEST_METHOD $request_method; fastcgi_pass 127.0.0.1:9000;",
        "location",
    ),
    Sample(229, "scgi_pass 127.0.0.1:4000;", "scgi_param REQUEST_METHOD $request_method; scgi_pass 127.0.0.1:4000;", "location"),
    Sample(186, f"proxy_bind $remote_addr; {PASS}", f"proxy_bind $remote_addr transparent; {PASS}", "location"),
)  # fmt: skip
