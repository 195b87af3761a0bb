"""wrong-protocol: nginx speaks a different protocol than the backend."""

from __future__ import annotations

from functools import partial

from why502.lab.certificates import authority, certificate
from why502.lab.fault import Fault
from why502.lab.php import FILE, start_php
from why502.lab.scenes import one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer


def to_tls(stage: Stage) -> str:
    """Break it: http to a backend that speaks TLS."""
    return one_backend(stage, options=("--tls", certificate(stage, authority(stage))))


def to_plain(stage: Stage, *, directive: str) -> str:
    """Break it: TLS, FastCGI, uwsgi or gRPC to a backend that speaks HTTP/1."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000)
    http2 = "http2 on;" if directive.startswith("grpc") and stage.nginx.version >= (1, 25, 1) else ""
    stage.nginx.start(f"{directive}{target};", server=http2)
    stage.send_many(6)
    return target


def to_php(stage: Stage, *, has_root: bool = False, path: str = "/") -> str:
    """Break it: proxy_pass to a PHP-FPM pool. `has_root`: the directory of the scripts is known to nginx."""
    listen = str(stage.path("/run/php/php-fpm.sock"))
    start_php(stage, listen)
    root = f"root {stage.path(FILE).parent};\n" if has_root else ""
    stage.nginx.start(f"{root}proxy_pass http://unix:{listen};")
    stage.send_many(6, path)
    return f"unix:{listen}"


READING = "while reading response header from upstream"
ENDED = (rf"(upstream prematurely closed connection|recv\(\) failed \(104: [^)]*\)) {READING}",)
fault = partial(Fault, cause="wrong-protocol", layer=Layer.PROXY)
FAULTS = (
    fault(
        name="wrong-protocol-http-to-https",
        message="proxy_pass http:// to a TLS port",
        build=to_tls,
        needs=frozenset({"openssl"}),
        proves=ENDED,
    ),
    fault(
        name="wrong-protocol-https-to-http",
        message="proxy_pass https:// to a plain HTTP port",
        build=partial(to_plain, directive="proxy_pass https://"),
        proves=(r"SSL_do_handshake\(\) failed \(SSL: [^)]*\) while SSL handshaking to upstream",),
    ),
    fault(
        name="wrong-protocol-http-to-fastcgi",
        message="proxy_pass to PHP-FPM",
        build=to_php,
        needs=frozenset({"php-fpm"}),
        proves=ENDED,
    ),
    fault(
        name="wrong-protocol-http-to-fastcgi-script",
        message="proxy_pass to PHP-FPM, below a root that holds the script",
        build=partial(to_php, has_root=True, path="/index.php"),
        needs=frozenset({"php-fpm"}),
        proves=ENDED,
    ),
    fault(
        name="wrong-protocol-http-to-fastcgi-front",
        message="proxy_pass to PHP-FPM, below a root whose index.php answers everything",
        build=partial(to_php, has_root=True, path="/orders/7"),
        needs=frozenset({"php-fpm"}),
        proves=ENDED,
    ),
    fault(
        name="wrong-protocol-fastcgi-to-http",
        message="fastcgi_pass to an HTTP server",
        build=partial(to_plain, directive="fastcgi_pass "),
        proves=(r"upstream sent unsupported FastCGI protocol version: 72",),
    ),
    fault(
        name="wrong-protocol-h2",
        message="proxy_pass to a backend that speaks HTTP/2 only (logged as 009)",
        build=partial(one_backend, options=("--does", "h2")),
        statuses=frozenset({9}),
        proves=(rf"upstream sent no valid HTTP/1\.\d header {READING}",),
    ),
    fault(
        name="wrong-protocol-grpc",
        message="grpc_pass to an HTTP/1 server",
        build=partial(to_plain, directive="grpc_pass grpc://"),
        proves=(r"upstream sent too large http2 frame",),
    ),
    fault(
        name="wrong-protocol-uwsgi",
        message="proxy_pass to a uwsgi socket",
        build=partial(one_backend, options=("--does", "uwsgi")),
        proves=ENDED,
    ),
)
