"""backend-startup-failure: the application cannot start, and its manager or its own log gives the reason."""

from __future__ import annotations

import sys
from functools import partial

from why502.lab.fault import Fault
from why502.lab.managers import APP, SERVER, pm2, shown, supervise, supervised, unit
from why502.lab.network import THERE, two_machines
from why502.lab.stage import Stage
from why502.model.finding import Layer

NO_MODULE = "import shop_payments_client\n\nshop_payments_client.serve(port=3000)\n"
NO_SYNTAX = "import socket\n\ndef main(:\n    socket.create_server(('127.0.0.1', 3000))\n"
NO_VARIABLE = "import os\n\nkey = os.environ['SHOP_SECRET_KEY']\nport = 3000\n"
RUN = f"{sys.executable} -E -s {APP}"


def _proxy(stage: Stage) -> str:
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


def systemd(stage: Stage, *, script: str = "", exec_start: str = RUN, settings: str = "") -> str:
    """Break it: a unit fails before it listens."""
    if script:
        stage.write(APP, script)
    unit(stage, exec_start, f"Environment=PORT=3000\n{settings}", starts=False)
    stage.until(lambda: shown(stage, "ActiveState") == "failed", "the unit failed")
    return _proxy(stage)


def supervisord(stage: Stage, *, command: str = RUN, script: str = NO_MODULE) -> str:
    """Break it: a program of supervisord becomes FATAL."""
    stage.write(APP, script)
    supervise(stage, command, 'environment=PORT="3000"\nstartretries=1\nstartsecs=20')
    stage.until(lambda: "entered FATAL state" in supervised(stage), "the program is FATAL", patience_s=30)
    return _proxy(stage)


def elsewhere(stage: Stage) -> str:
    """Break it: the same on another machine, whose bundle is diagnosed together with the proxy's."""
    target = f"{THERE}:3000"
    stage.write(APP, NO_MODULE)
    supervise(stage, f"{RUN} --listen {target}", "startretries=1\nstartsecs=20", wrap=two_machines(stage))
    stage.until(lambda: "entered FATAL state" in supervised(stage), "the program is FATAL", patience_s=30)
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


def errored(stage: Stage) -> str:
    """Break it: pm2 gives up an application whose module is missing."""
    pm2(stage, "const pay = require('shop-payments');\npay.listen(3000);\n", restarts=2)
    stage.until(lambda: "too many unstable restarts" in stage.read("/run/pm2/pm2.log"), "pm2 gives up")
    return _proxy(stage)


fault = partial(
    Fault,
    cause="backend-startup-failure",
    layer=Layer.UPSTREAM,
    proves=(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",),
)
machine = partial(fault, needs=frozenset({"machine"}))
FAULTS = (
    machine(
        name="backend-startup-failure",
        message="a unit exits with status 1: a Python module is missing",
        build=partial(systemd, script=NO_MODULE),
    ),
    machine(
        name="backend-startup-failure-syntax",
        message="a unit exits with status 1: a syntax error",
        build=partial(systemd, script=NO_SYNTAX),
    ),
    machine(
        name="backend-startup-failure-variable",
        message="a unit exits with status 1 again and again: a variable is not set",
        build=partial(systemd, script=NO_VARIABLE, settings="Restart=always\nRestartSec=100ms\nStartLimitBurst=3"),
    ),
    machine(
        name="backend-startup-failure-environment-file",
        message="a unit's EnvironmentFile is missing",
        build=partial(systemd, exec_start=f"{SERVER} 127.0.0.1:3000", settings="EnvironmentFile=/etc/default/shop"),
    ),
    machine(
        name="backend-startup-failure-exec",
        message="a unit's program does not exist (203/EXEC)",
        build=partial(systemd, exec_start="/run/shop/bin/shop --port 3000"),
    ),
    machine(
        name="backend-startup-failure-user",
        message="a unit's user does not exist (217/USER)",
        build=partial(systemd, exec_start=f"{SERVER} 127.0.0.1:3000", settings="User=shop-app"),
    ),
    machine(
        name="backend-startup-failure-directory",
        message="a unit's directory does not exist (200/CHDIR)",
        build=partial(systemd, exec_start=f"{SERVER} 127.0.0.1:3000", settings="WorkingDirectory=/srv/shop-current"),
    ),
    fault(
        name="backend-startup-failure-supervisord",
        message="a program of supervisord is FATAL: a Python module is missing",
        build=supervisord,
        needs=frozenset({"isolation", "supervisord"}),
    ),
    fault(
        name="backend-startup-failure-elsewhere",
        message="the application on another machine does not start: two bundles, diagnosed together",
        build=elsewhere,
        needs=frozenset({"isolation", "ip", "supervisord"}),
    ),
    fault(
        name="backend-startup-failure-supervisord-spawn",
        message="a program of supervisord is FATAL: its command does not exist",
        build=partial(supervisord, command="/run/shop/bin/shop --port 3000"),
        needs=frozenset({"isolation", "supervisord"}),
    ),
    fault(
        name="backend-startup-failure-pm2",
        message="pm2 gave up on an application whose module is missing",
        build=errored,
        needs=frozenset({"isolation", "pm2", "node"}),
    ),
)
