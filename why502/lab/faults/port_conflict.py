"""port-conflict: the application cannot bind its port because another process holds it."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.isolation import program
from why502.lab.managers import SERVER, pm2, shown, supervise, supervised, unit
from why502.lab.stage import Stage
from why502.model.finding import Layer

WSGI = (
    "def application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '3')])\n    return [b'ok\\n']\n"
)
NODE = "require('http').createServer((request, response) => response.end('ok')).listen(3000, '0.0.0.0');\n"


def _proxy(stage: Stage) -> str:
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


def elsewhere(stage: Stage) -> str:
    """Break it: a unit wants all addresses of the port, another process holds one; the proxy is refused."""
    stage.backend(f"127.0.0.2:{stage.port(3000)}")
    unit(stage, f"{SERVER} 0.0.0.0:{stage.port(3000)}", "Restart=on-failure\nRestartSec=100ms\nStartLimitBurst=3")
    stage.until(lambda: shown(stage, "ActiveState") == "failed", "the unit failed")
    return _proxy(stage)


def other(stage: Stage) -> str:
    """Break it: an old program that speaks no HTTP holds the very address; it answers in the application's place."""
    stage.backend(3000, "--does", "close")
    unit(stage, f"{SERVER} 127.0.0.1:{stage.port(3000)}", "Restart=on-failure\nRestartSec=100ms\nStartLimitBurst=3")
    stage.until(lambda: shown(stage, "ActiveState") == "failed", "the unit failed")
    return _proxy(stage)


def gunicorn(stage: Stage) -> str:
    """Break it: gunicorn, under supervisord, cannot bind."""
    stage.backend(f"127.0.0.2:{stage.port(3000)}")
    stage.write("/run/shop/shop.py", WSGI)
    command = f"{program('gunicorn')} --chdir {stage.path('/run/shop')} -b 0.0.0.0:{stage.port(3000)} shop:application"
    supervise(stage, command, "startretries=0\nstartsecs=20")
    stage.until(lambda: "onnection in use" in stage.read("/var/log/supervisor/shop.log"), "gunicorn cannot bind")
    stage.until(lambda: "FATAL" in supervised(stage), "supervisord gives up")
    return _proxy(stage)


def tries_on(stage: Stage) -> str:
    """Break it: gunicorn tries for seconds to bind what an old program holds, and runs as supervisord sees it."""
    stage.backend(3000, "--does", "reset")
    stage.write("/run/shop/shop.py", WSGI)
    command = f"{program('gunicorn')} --chdir {stage.path('/run/shop')} -b 127.0.0.1:{stage.port(3000)} shop:application"
    supervise(stage, command, "autorestart=true")
    stage.until(lambda: "onnection in use" in stage.read("/var/log/supervisor/shop.log"), "gunicorn cannot bind")
    stage.until(lambda: "RUNNING" in supervised(stage), "supervisord takes it for running")
    return _proxy(stage)


def node(stage: Stage) -> str:
    """Break it: an application of pm2 cannot bind."""
    stage.backend(f"127.0.0.2:{stage.port(3000)}")
    pm2(stage, NODE, restarts=2)
    stage.until(lambda: "too many unstable restarts" in stage.read("/run/pm2/pm2.log"), "pm2 gives up")
    return _proxy(stage)


fault = partial(Fault, cause="port-conflict", layer=Layer.UPSTREAM)
FAULTS = (
    fault(
        name="port-conflict",
        message="a unit wants all addresses of a port, but another process holds one of them",
        build=elsewhere,
        needs=frozenset({"machine"}),
    ),
    fault(
        name="port-conflict-answered",
        message="another program holds the unit's address, and closes the proxy's connections",
        build=other,
        needs=frozenset({"machine"}),
    ),
    fault(
        name="port-conflict-gunicorn",
        message="gunicorn, under supervisord, cannot bind",
        build=gunicorn,
        needs=frozenset({"isolation", "supervisord", "gunicorn"}),
    ),
    fault(
        name="port-conflict-tries-on",
        message="gunicorn keeps trying to bind, while another program resets every connection",
        build=tries_on,
        needs=frozenset({"isolation", "supervisord", "gunicorn"}),
    ),
    fault(
        name="port-conflict-pm2",
        message="an application of pm2 cannot bind (EADDRINUSE)",
        build=node,
        needs=frozenset({"isolation", "pm2", "node"}),
    ),
)
