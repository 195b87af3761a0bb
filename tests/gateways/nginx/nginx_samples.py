"""Realistic server configurations, each valid on its own for nginx 1.22, with its stream module if so noted."""

from __future__ import annotations

STATIC = """\
user www-data;
worker_processes auto;
pid run/nginx.pid;

events {
	worker_connections 768;
	# multi_accept on;
}

http {
	sendfile on;
	types_hash_max_size 2048;
	types {
		text/html html htm shtml;
		"text/css" css; # quoted
		application/vnd.ms-fontobject eot;
	}
	default_type application/octet-stream;
	ssl_protocols TLSv1.2 TLSv1.3;
	access_log logs/access.log;
	error_log logs/error.log;
	gzip on;
	server {
		listen unix:a.sock default_server;
		root /var/www/html;
		index index.html index.htm;
		server_name _;
		location / {
			try_files $uri $uri/ =404;
		}
	}
}
"""

PHP = """\
events { worker_connections 1024; }
http {
    upstream php { server unix:/run/php/php8.2-fpm.sock; server 127.0.0.1:9000 backup; }
    fastcgi_cache_path cache levels=1:2 keys_zone=WORDPRESS:10m inactive=60m;
    server {
        listen unix:b.sock;
        server_name blog.example.org www.blog.example.org;
        root /srv/blog;
        index index.php;
        client_max_body_size 64m;
        location / { try_files $uri $uri/ /index.php?$args; }
        location ~* \\.(?:css|js|jpe?g|png|gif|ico|svg)$ { expires 30d; access_log off; log_not_found off; }
        location ~ [^/]\\.php(/|$) {
            fastcgi_split_path_info ^(.+\\.php)(/.+)$;
            if (!-f $document_root$fastcgi_script_name) { return 404; }
            fastcgi_param HTTP_PROXY "";
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_pass php;
            fastcgi_read_timeout 5m;
            fastcgi_buffers 16 16k;
            fastcgi_buffer_size 32k;
            fastcgi_intercept_errors on;
        }
        location ~ /\\.(?!well-known) { deny all; }
        location = /favicon.ico { log_not_found off; access_log off; }
        error_page 500 502 503 504 /50x.html;
    }
}
"""

APPLICATION = """\
worker_rlimit_nofile 65535;
events { worker_connections 4096; use epoll; }
http {
  log_format timed '$remote_addr [$time_local] "$request" $status '
                   'rt=$request_time urt="$upstream_response_time" ua="$upstream_addr"';
  log_format json escape=json '{"time":"$time_iso8601",' '"status":$status,"up":"$upstream_status"}';
  access_log logs/timed.log timed buffer=32k flush=5s if=$loggable;
  access_log logs/json.log json;
  map $status $loggable { ~^[23] 0; default 1; }
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  geo $limited { default 1; 10.0.0.0/8 0; 192.168.0.0/16 0; }
  split_clients "${remote_addr}AAA" $variant { 0.5% .one; 50% .two; * ""; }
  limit_req_zone $binary_remote_addr zone=perip:10m rate=10r/s;
  limit_conn_zone $server_name zone=perserver:10m;
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  resolver 127.0.0.53 valid=30s ipv6=off;
  upstream app {
    zone app 64k;
    least_conn;
    server 127.0.0.1:3001 weight=5 max_fails=3 fail_timeout=30s;
    server 127.0.0.1:3002 max_conns=100;
    server [::1]:3003 down;
    server unix:/run/app.sock backup;
    keepalive 32;
    keepalive_timeout 30s;
  }
  upstream sticky_by_ip { ip_hash; server 10.1.0.1:8080; server 10.1.0.2:8080; }
  upstream hashed { hash $request_uri consistent; server 10.2.0.1; server 10.2.0.2; }
  server {
    listen unix:c.sock;
    server_name app.example.com "*.app.example.com" "~^(?<tenant>[a-z0-9]{2,12})\\.tenants\\.example\\.com$";
    set $backend "http://127.0.0.1:8081";
    location / {
      limit_req zone=perip burst=20 nodelay;
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream error timeout http_502 non_idempotent;
      location ~ "^/reports/\\d{4}/" { proxy_pass http://app; proxy_read_timeout 1h30m; }
    }
    location /ws/ {
      proxy_pass http://127.0.0.1:8090/;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 3600s;
    }
    location /dyn/ { proxy_pass $backend$request_uri; }
    location /tls/ { proxy_pass https://10.3.0.1:8443; proxy_ssl_server_name on; proxy_ssl_name backend.internal; }
    location /py { uwsgi_pass 127.0.0.1:3031; }
  }
}
"""

STREAM = """\
events { }
stream {
    log_format basic '$remote_addr [$time_local] $protocol $status';
    map $ssl_preread_server_name $name { db.example.com db; default 127.0.0.1:9443; }
    upstream db { server 127.0.0.1:5432 max_fails=1; server 127.0.0.1:5433 backup; }
    server { listen unix:d.sock; proxy_pass db; proxy_timeout 3s; proxy_connect_timeout 1s; access_log logs/stream.log basic; }
    server { listen unix:e.sock; proxy_pass $name; }
}
"""

ODD = """\
events{}# no space anywhere
http{log_format  a  'it\\'s "fine" $uri'   "\\"";server{listen unix:f.sock;
server_name\ta.example  b.example
   c.example;location /x{return 200 'a;b{c}d#e';}
location = /y{if ($request_method !~* "^(?:GET|HEAD)$"){return 405;}return 200 "${uri}x${uri}";}
location ~ ^/z{return 200 $uri#not-a-comment;}
location @later{return 503;}
add_header X-Quote a"b'c;}}
"""

ALL = {"static": STATIC, "php": PHP, "application": APPLICATION, "stream": STREAM, "odd": ODD}
