"""worker-timeout: the application server kills its own worker for taking too long."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.php import passes, start_php
from why502.lab.servers import gunicorn, unicorn, uwsgi
from why502.lab.stage import Stage
from why502.model.finding import Layer


def _send(stage: Stage, seconds: int) -> None:
    stage.send_many(4)
    stage.send_many(2, f"/sleep/{seconds}", at_once=2, patience_s=20.0)
    stage.send_many(2)


def of_gunicorn(stage: Stage, *, options: tuple[str, ...] = ()) -> str:
    """Break it: gunicorn's --timeout is shorter than a page takes."""
    target = f"127.0.0.1:{stage.port(3000)}"
    gunicorn(stage, target, "--workers", "2", "--timeout", "1", *options)
    stage.nginx.start(f"proxy_pass http://{target};")
    _send(stage, 6)
    return target


def of_uwsgi(stage: Stage) -> str:
    """Break it: uWSGI's harakiri."""
    target = f"127.0.0.1:{stage.port(3000)}"
    uwsgi(stage, target, "--processes", "2", "--harakiri", "1")
    params = (
        "uwsgi_param REQUEST_METHOD $request_method;\nuwsgi_param PATH_INFO $document_uri;\nuwsgi_param QUERY_STRING "
        "$query_string;"
    )
    stage.nginx.start(f"uwsgi_pass {target};\n{params}\nuwsgi_param SERVER_NAME $server_name;\nuwsgi_param SERVER_PORT 80;")
    _send(stage, 8)
    return target


def of_unicorn(stage: Stage) -> str:
    """Break it: unicorn's timeout."""
    target = f"127.0.0.1:{stage.port(3000)}"
    unicorn(stage, target, "worker_processes 2\ntimeout 3\n")
    stage.nginx.start(f"proxy_pass http://{target};")
    _send(stage, 9)
    return target


def of_php(stage: Stage, *, listen: str | int = "/run/php/php-fpm.sock") -> str:
    """Break it: request_terminate_timeout of the pool."""
    place = str(stage.path(listen)) if isinstance(listen, str) else f"127.0.0.1:{stage.port(listen)}"
    target = f"unix:{place}" if isinstance(listen, str) else place
    page = "<?php if (str_starts_with($_SERVER['REQUEST_URI'], '/sleep')) sleep(8); echo 'ok';"
    start_php(stage, place, page, "request_terminate_timeout = 1s")
    stage.nginx.start(passes(stage, target))
    _send(stage, 8)
    return target


fault = partial(
    Fault,
    cause="worker-timeout",
    layer=Layer.UPSTREAM,
    ongoing=None,
    proves=(r"prematurely closed connection|recv\(\) failed \(104",),
)
FAULTS = (
    fault(
        name="worker-timeout",
        message="gunicorn kills a worker whose request takes longer than --timeout",
        build=of_gunicorn,
        statuses=frozenset({200}),
        proves=(r" 50[02] ",),
        needs=frozenset({"isolation", "gunicorn"}),
    ),
    fault(
        name="worker-timeout-uwsgi",
        message="uWSGI's harakiri kills a worker",
        build=of_uwsgi,
        statuses=frozenset({200, 502}),
        needs=frozenset({"isolation", "uwsgi"}),
    ),
    fault(
        name="worker-timeout-unicorn",
        message="unicorn kills a worker whose request takes longer than its timeout",
        build=of_unicorn,
        statuses=frozenset({200, 502}),
        needs=frozenset({"isolation", "unicorn"}),
    ),
    fault(
        name="worker-timeout-php-fpm",
        message="PHP-FPM's request_terminate_timeout ends a child",
        build=of_php,
        statuses=frozenset({200, 502}),
        needs=frozenset({"isolation", "php-fpm"}),
    ),
    fault(
        name="worker-timeout-php-fpm-tcp",
        message="PHP-FPM's request_terminate_timeout ends a child, on a TCP port",
        build=partial(of_php, listen=9000),
        statuses=frozenset({200, 502}),
        needs=frozenset({"isolation", "php-fpm"}),
    ),
)
