"""Real service managers for scenes: systemd units, supervisord programs, pm2 applications."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from why502.lab.isolation import program
from why502.lab.stage import BACKENDS, Stage

APP = "/run/shop/app.py"  # where the application of a scene lies
SUPERVISORD = "/run/shop/supervisord.conf"
SERVER = f"{sys.executable} -E -s {BACKENDS}/server.py"


def unit(stage: Stage, exec_start: str, settings: str = "", *, name: str = "shop", starts: bool = True) -> str:
    """Write a unit, and start it; return its name. `starts` False: it is expected to fail."""
    stage.write(
        f"/etc/systemd/system/{name}.service",
        f"[Unit]\nDescription=The shop\nStartLimitIntervalSec=60\n\n[Service]\nExecStart={exec_start}\n{settings}\n",
    )
    stage.sh("systemctl", "daemon-reload")
    stage.sh("systemctl", "start", *(() if starts else ("--no-block",)), f"{name}.service")
    return f"{name}.service"


def shown(stage: Stage, property_: str, name: str = "shop.service") -> str:
    """Return one property of a unit."""
    return stage.sh("systemctl", "show", "--value", "-p", property_, name).strip()


def journal(stage: Stage, name: str = "shop.service") -> str:
    """Return what the journal has of a unit so far.

    It is written after what it tells of: wait for a line before you count on it.
    """
    return stage.sh("journalctl", "--no-pager", "-o", "cat", "-u", name)


def supervise(stage: Stage, command: str, settings: str = "", *, name: str = "shop", wrap: tuple[str, ...] = ()) -> None:
    """Start supervisord with one program. `wrap` is a command to start it with."""
    run, log = stage.path("/run"), stage.path("/var/log/supervisor")
    log.mkdir(parents=True, exist_ok=True)
    config = stage.write(
        SUPERVISORD,
        f"[unix_http_server]\nfile={run}/supervisor.sock\n\n[supervisord]\nlogfile={log}/supervisord.log\n"
        f"pidfile={run}/supervisord.pid\nchildlogdir={log}\n\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n"
        f"[supervisorctl]\nserverurl=unix://{run}/supervisor.sock\n\n[program:{name}]\ncommand={command}\n"
        f"stdout_logfile={log}/{name}.log\nredirect_stderr=true\n{settings}\n",
    )
    process = stage.spawn(*wrap, program("supervisord"), "--nodaemon", "-c", config, log="/run/supervisord.out")
    stage.until(lambda: supervised(stage), "supervisord has its log", process)


def supervised(stage: Stage) -> str:
    """Return supervisord's own log."""
    return stage.read("/var/log/supervisor/supervisord.log")


def pm2(stage: Stage, script: str, *, restarts: int = 16, name: str = "shop") -> None:
    """Have pm2 run a script of node; its daemon is started with it. An end within a minute counts as an unstable restart,
    of which it makes so many: a busy machine may need seconds to start node.
    """
    os.environ["PM2_HOME"] = os.environ["HOME"] = str(stage.path("/run/pm2"))  # of the scene's own process
    Path(os.environ["HOME"]).mkdir(parents=True, exist_ok=True)
    path = stage.write("/run/shop/app.js", script)
    application = {"name": name, "script": path, "max_restarts": restarts, "min_uptime": 60_000}
    stage.sh(program("pm2"), "start", stage.write("/run/shop/shop.config.json", json.dumps({"apps": [application]})))


def answers(stage: Stage, port: int = 3000) -> bool:
    """Return whether something listens on a port of 127.0.0.1 (ss(8))."""
    return bool(stage.sh("ss", "-Hltn", f"sport = :{stage.port(port)}").strip())


def nginx_unit(stage: Stage, target: str, more: str = "") -> str:
    """Start nginx as the distribution's own unit does, so that the policy for it holds."""
    stage.nginx.rewrite(f"proxy_pass http://{target};\n{more}")
    stage.sh("systemctl", "start", "nginx.service")
    stage.until(stage.nginx.workers, "nginx has a worker")
    return target
