"""Shapes: configurations of any size, each with one kind of statement very often. None of them is a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

Shape = Callable[[int], str]


def _http(statements: Iterator[str]) -> str:
    return "events {}\nhttp {\n" + "\n".join(statements) + "\n}\n"


def _server(statements: Iterator[str]) -> str:
    return _http(iter(("server {", "listen 80;", "server_name shop.example;", *statements, "}")))


def servers(count: int) -> str:
    """Virtual servers, each with a route to a group."""
    pieces = (
        f"upstream u{i} {{ server 10.0.{i >> 8 & 255}.{i & 255}:8080; }}\nserver {{ listen 80; server_name s{i}.example; "
        f"location / {{ proxy_set_header Host $host; proxy_pass http://u{i}; }} }}"
        for i in range(count)
    )
    return _http(pieces)


def names(count: int) -> str:
    """Server names of one server."""
    return _http(iter((f"server {{ listen 80; server_name {' '.join(f's{i}.example' for i in range(count))}; }}",)))


def name_expressions(count: int) -> str:
    """Virtual servers with a regular expression as name."""
    return _http(
        f'server {{ listen 80; server_name "~^(?<user>[a-z]+)\\.s{i}\\.example$"; '
        f"location / {{ proxy_pass http://127.0.0.1:{3000 + i % 9000}/; }} }}"
        for i in range(count)
    )


def name_wildcards(count: int) -> str:
    """Virtual servers with a wildcard as name."""
    return _http(
        f"server {{ listen 80; server_name *.s{i}.example; location / {{ proxy_pass http://127.0.0.1:{3000 + i % 9000}; }} }}"
        for i in range(count)
    )


def locations(count: int) -> str:
    """Locations of one server."""
    return _server(f"location /l{i}/ {{ proxy_pass http://127.0.0.1:{3000 + i % 9000}/; }}" for i in range(count))


def location_expressions(count: int) -> str:
    """Locations by regular expression."""
    return _server(f"location ~ ^/l{i}/(.*)$ {{ proxy_pass http://127.0.0.1:{3000 + i % 9000}; }}" for i in range(count))


def error_pages(count: int) -> str:
    """Locations with an error page each, which nothing else serves."""
    return _server(
        f"location /l{i}/ {{ error_page 502 504 /e{i}.html; proxy_pass http://127.0.0.1:{3000 + i % 9000}; }}"
        for i in range(count)
    )


def nested(count: int) -> str:
    """Locations within locations, each longer than the one around it."""
    depth = 20
    each = (
        "".join(f"location /l%d/{'x' * (i + 1)} {{ " for i in range(depth)) + "proxy_pass http://127.0.0.1:3000;" + " }" * depth
    )
    return _server(each % ((i,) * depth) for i in range(count))


def groups(count: int) -> str:
    """Upstream groups."""
    return _http(
        f"upstream g{i} {{ server 10.1.{i >> 8 & 255}.{i & 255}:80 max_fails=2; server 10.2.{i >> 8 & 255}.{i & 255}:80; "
        "keepalive 8; }"
        for i in range(count)
    )


def peers(count: int) -> str:
    """Servers of one group, and a few routes to it."""
    some = " ".join(f"server 10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80;" for i in range(count))
    routes = (f"location /r{i}/ {{ proxy_pass http://big; }}" for i in range(count // 20))
    return _http(iter((f"upstream big {{ {some} }}", "server { listen 80;", *routes, "}")))


def maps(count: int) -> str:
    """Maps that choose a group, and routes that use them."""
    return _http(
        f"map $arg_m{i} $m{i} {{ default 127.0.0.1:3000; a 127.0.0.1:3001; }}\n"
        f"server {{ listen 80; server_name m{i}.example; location / {{ proxy_pass http://$m{i}; }} }}"
        for i in range(count)
    )


def map_entries(count: int) -> str:
    """Entries of one map."""
    inside = "\n".join(f"k{i}.example 127.0.0.1:{3000 + i % 9000};" for i in range(count))
    return _http(
        iter((f"map $host $backend {{ default x;\n{inside}\n}}", "server { location / { proxy_pass http://$backend; } }"))
    )


def conditions(count: int) -> str:
    """Conditions in one location."""
    inside = (f'if ($arg_c{i} = "yes") {{ set $v{i} 1; return 403; }}' for i in range(count))
    return _server(iter(("location / {", *inside, "proxy_pass http://127.0.0.1:3000;", "}")))


def rewrites(count: int) -> str:
    """Rewrites of one server."""
    return _server(f"rewrite ^/old{i}/(.*)$ /new{i}/$1 last;" for i in range(count))


def rewrites_in_locations(count: int) -> str:
    """Locations that rewrite to the next."""
    return _server(f"location /w{i}/ {{ rewrite ^/w{i}/(.*)$ /w{i + 1}/$1 last; }}" for i in range(count))


def long_lines(count: int) -> str:
    """One location with all its statements on one line, and arguments of thousands of characters."""
    inside = " ".join(f"proxy_set_header X-{i} {'v' * 2000};" for i in range(count))
    return _server(iter((f"location / {{ {inside} proxy_pass http://127.0.0.1:3000; }}",)))


def logs(count: int) -> str:
    """Log formats, and servers that use them."""
    return _http(
        f"log_format f{i} '$remote_addr $upstream_addr';\n"
        f"server {{ listen 80; server_name g{i}.example; access_log /var/log/nginx/g{i}.log f{i}; }}"
        for i in range(count)
    )


def missing_includes(count: int) -> str:
    """Servers that include a file which does not exist."""
    return _http(f"server {{ listen 80; server_name i{i}.example; include missing/i{i}.conf; }}" for i in range(count))


def listens(count: int) -> str:
    """Servers that each have an address of their own."""
    return _http(
        f"server {{ listen 10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80; location / {{ proxy_pass http://127.0.0.1:3000; }} }}"
        for i in range(count)
    )


def named_locations(count: int) -> str:
    """Locations that fall back on named ones."""
    return _server(
        f"location /n{i}/ {{ try_files $uri @n{i}; }}\nlocation @n{i} {{ proxy_pass http://127.0.0.1:3000; }}"
        for i in range(count)
    )


def variables(count: int) -> str:
    """Variables, each set from the one before."""
    return _server(f"set $a{i + 1} $a{i};" for i in range(count))


def limits(count: int) -> str:
    """Zones of limits, and locations that use them."""
    zones = (f"limit_req_zone $binary_remote_addr zone=z{i}:1m rate=10r/s;" for i in range(count))
    uses = (f"location /z{i}/ {{ limit_req zone=z{i}; proxy_pass http://127.0.0.1:3000; }}" for i in range(count))
    return _http(iter((*zones, "server { listen 80;", *uses, "}")))


def comments(count: int) -> str:
    """Comments, some of which accept findings."""
    return _http(f"# a comment {i}\n# why502: ignore wildcard-target -- reason {i}" for i in range(count))


_HAPROXY = "global\n  maxconn 1000\ndefaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\n"


def haproxy_backends(count: int) -> str:
    """Backends of HAProxy, and one frontend that chooses among them."""
    rules = "\n".join(f"  acl h{i} hdr(host) h{i}.example\n  use_backend b{i} if h{i}" for i in range(count))
    backends = "\n".join(f"backend b{i}\n  server s{i} 10.0.{i >> 8 & 255}.{i & 255}:80 check" for i in range(count))
    return f"{_HAPROXY}frontend web\n  bind :80\n{rules}\n{backends}\n"


def haproxy_servers(count: int) -> str:
    """Servers of one backend of HAProxy."""
    inside = "\n".join(f"  server s{i} 10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80 check" for i in range(count))
    return f"{_HAPROXY}frontend web\n  bind :80\n  default_backend b\nbackend b\n{inside}\n"


def haproxy_frontends(count: int) -> str:
    """Frontends of HAProxy, each with its backend."""
    pieces = (
        f"frontend f{i}\n  bind :{1 + i % 60000}\n  default_backend b{i}\n"
        f"backend b{i}\n  server s 10.0.{i >> 8 & 255}.{i & 255}:80 check"
        for i in range(count)
    )
    return _HAPROXY + "\n".join(pieces) + "\n"


def apache_hosts(count: int) -> str:
    """Virtual hosts of Apache."""
    pieces = (
        f"<VirtualHost *:80>\n  ServerName a{i}.example\n  ProxyPass / http://10.0.{i >> 8 & 255}.{i & 255}:8080/\n"
        f"  ProxyPassReverse / http://10.0.{i >> 8 & 255}.{i & 255}:8080/\n</VirtualHost>"
        for i in range(count)
    )
    return "Listen 80\n" + "\n".join(pieces) + "\n"


def apache_passes(count: int) -> str:
    """ProxyPass lines of one virtual host."""
    inside = "\n".join(f"  ProxyPass /p{i}/ http://10.0.{i >> 8 & 255}.{i & 255}:8080/p{i}/" for i in range(count))
    return f"Listen 80\n<VirtualHost *:80>\n  ServerName a.example\n{inside}\n</VirtualHost>\n"


def apache_members(count: int) -> str:
    """Members of one balancer."""
    inside = "\n".join(f"  BalancerMember http://10.{i >> 16}.{i >> 8 & 255}.{i & 255}:8080" for i in range(count))
    return (
        f"Listen 80\n<Proxy balancer://all>\n{inside}\n</Proxy>\n"
        "<VirtualHost *:80>\n  ServerName a.example\n  ProxyPass / balancer://all/\n</VirtualHost>\n"
    )


def apache_rewrites(count: int) -> str:
    """Rewrite rules that pass requests on."""
    inside = "\n".join(f"  RewriteRule ^/r{i}/(.*)$ http://10.0.{i >> 8 & 255}.{i & 255}:8080/$1 [P]" for i in range(count))
    return f"Listen 80\n<VirtualHost *:80>\n  ServerName a.example\n  RewriteEngine On\n{inside}\n</VirtualHost>\n"


SHAPES: dict[str, Shape] = {
    shape.__name__: shape
    for shape in (
        servers, names, name_expressions, name_wildcards, locations, location_expressions, error_pages, nested, groups, peers,
        maps, map_entries, conditions, rewrites, rewrites_in_locations, long_lines, logs, missing_includes, listens,
        named_locations, variables, limits, comments, haproxy_backends, haproxy_servers, haproxy_frontends, apache_hosts,
        apache_passes, apache_members, apache_rewrites,
    )
}  # fmt: skip


def sized(shape: Shape, size_bytes: int) -> str:
    """Return a configuration of that shape with about that size."""
    few = 200
    start, some = len(shape(0)), len(shape(few))
    return shape(max(1, few * (size_bytes - start) // (some - start)))
