"""Controls: services of every manager restart, fail elsewhere or are busy, but every request is answered."""

from __future__ import annotations

import signal
import sys
from functools import partial

from why502.lab.fault import Fault
from why502.lab.isolation import program
from why502.lab.managers import SERVER, SUPERVISORD, answers, pm2, shown, supervise, supervised, unit
from why502.lab.php import passes, start_php
from why502.lab.servers import gunicorn
from why502.lab.stage import Stage
from why502.model.finding import Layer

NODE = "require('http').createServer((request, response) => response.end('ok\\n')).listen(3000, '127.0.0.1');\n"
HOG = (sys.executable, "-c", "x = [b'x' * (1 << 20) for _ in range(300)]")


def _proxy(stage: Stage) -> str:
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.until(lambda: answers(stage), "it is up")
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


def unit_crashed_unnoticed(stage: Stage) -> None:
    """Have a unit that crashed once while nobody asked, and was started again."""
    unit(stage, f"{SERVER} 127.0.0.1:{stage.port(3000)}", "Restart=always\nRestartSec=100ms")
    _proxy(stage)
    stage.sh("systemctl", "kill", "-s", "SEGV", "shop.service")
    stage.until(lambda: shown(stage, "NRestarts") == "1" and answers(stage), "systemd started it again")
    stage.send_many(6)


def unit_restarted(stage: Stage) -> None:
    """Have a planned restart of a unit while nobody asked."""
    unit(stage, f"{SERVER} 127.0.0.1:{stage.port(3000)}")
    _proxy(stage)
    stage.sh("systemctl", "restart", "shop.service")
    stage.until(lambda: answers(stage), "it is up again")
    stage.send_many(6)


def unit_elsewhere(stage: Stage) -> None:
    """Have another unit that fails, and that no route leads to."""
    unit(stage, f"{SERVER} 127.0.0.1:{stage.port(3000)}")
    unit(stage, "/run/shop/bin/missing --port 4000", name="reports", starts=False)
    _proxy(stage)
    stage.until(lambda: shown(stage, "ActiveState", "reports.service") == "failed", "the other unit failed")


def program_elsewhere(stage: Stage) -> None:
    """Have another program of supervisord that is FATAL, and a planned restart of ours."""
    supervise(
        stage,
        f"{SERVER} 127.0.0.1:{stage.port(3000)}",
        "\n[program:reports]\ncommand=/run/shop/bin/missing --port 4000\nstartretries=0",
    )
    stage.until(lambda: "reports entered FATAL" in supervised(stage), "the other program is FATAL")
    _proxy(stage)
    control = (program("supervisorctl"), "-c", str(stage.path(SUPERVISORD)))
    stage.sh(*control, "restart", "shop")
    stage.until(lambda: answers(stage), "it is up again")
    stage.send_many(6)


def pm2_restarted(stage: Stage) -> None:
    """Have an application of pm2 that was restarted twice while nobody asked."""
    pm2(stage, NODE)
    _proxy(stage)
    for _ in range(2):
        stage.sh(program("pm2"), "restart", "shop")
        stage.until(lambda: answers(stage), "it is up again")
    stage.send_many(6)


def workers_replaced(stage: Stage) -> None:
    """Have gunicorn replace its workers in order (SIGHUP)."""
    gunicorn(stage, f"127.0.0.1:{stage.port(3000)}", "--workers", "2")
    _proxy(stage)
    stage.processes[0].send_signal(signal.SIGHUP)
    stage.until(lambda: stage.read("/var/log/app.log").count("Booting worker") >= 4, "new workers run")
    stage.send_many(6)


def pool_busy(stage: Stage, *, settings: str = "") -> None:
    """Have a pool whose children are all busy, while every request is answered in time."""
    place = str(stage.path("/run/php/php-fpm.sock"))
    start_php(stage, place, "<?php usleep(40000); echo 'ok';", settings)
    stage.nginx.start(passes(stage, f"unix:{place}"))
    stage.keep_sending("/orders", clients=4)
    stage.until(lambda: stage.logs().count(" 200 ") > 20, "requests are answered")


def other_killed(stage: Stage) -> None:
    """Have the kernel kill a program for memory that no route leads to."""
    stage.backend(3000)
    _proxy(stage)
    stage.spawn(*stage.limit(memory=64 << 20), *HOG, log="/var/log/report.out").wait(10)
    stage.send_many(6)


def everything(stage: Stage) -> None:
    """Have a service of every manager, and two PHP-FPM pools, behind one nginx."""
    unit(stage, f"{SERVER} 127.0.0.1:{stage.port(3000)}")
    supervise(stage, f"{SERVER} 127.0.0.1:{stage.port(3001)}", name="blog")
    pm2(stage, NODE.replace("3000", "3002"), name="chat")
    gunicorn(stage, f"127.0.0.1:{stage.port(3003)}", "--workers", "2")
    sockets = [str(stage.path(f"/run/php/{version}.sock")) for version in ("8.2", "8.3")]
    for place, version in zip(sockets, ("8.2", "8.3"), strict=True):
        start_php(stage, place, version=version)
    stage.until(lambda: all(answers(stage, port) for port in range(3000, 3004)), "all are up")
    stage.nginx.start(
        server="".join(
            f"location /{port}/ {{\n    proxy_pass http://127.0.0.1:{stage.port(port)}/;\n}}\n" for port in range(3000, 3004)
        )
        + "".join(f"location /php{number}/ {{\n{passes(stage, f'unix:{place}')}\n}}\n" for number, place in enumerate(sockets))
    )
    for path in ("/3000/", "/3001/", "/3002/", "/3003/", "/php0/", "/php1/"):
        stage.send_many(4, path)


fault = partial(Fault, cause="healthy", layer=Layer.NONE, statuses=frozenset({200}), proves=(r"200",))
machine = frozenset({"machine"})
FAULTS = (
    fault(
        name="healthy-unit-crashed-unnoticed",
        message="no fault; a unit crashed once while there were no requests",
        build=unit_crashed_unnoticed,
        needs=machine,
    ),
    fault(
        name="healthy-unit-restarted",
        message="no fault; a unit was restarted while there were no requests",
        build=unit_restarted,
        needs=machine,
    ),
    fault(
        name="healthy-unit-elsewhere", message="no fault; a unit that no route uses failed", build=unit_elsewhere, needs=machine
    ),
    fault(
        name="healthy-everything",
        message="no fault; services of systemd, supervisord and pm2, gunicorn, and two PHP-FPM masters",
        build=everything,
        needs=frozenset({"machine", "supervisord", "pm2", "node", "gunicorn", "php-fpm"}),
    ),
    fault(
        name="healthy-supervisord",
        message="no fault; a restart, and a program under supervisord that no route uses is FATAL",
        build=program_elsewhere,
        needs=frozenset({"isolation", "supervisord"}),
    ),
    fault(
        name="healthy-pm2",
        message="no fault; an application under pm2 was restarted",
        build=pm2_restarted,
        needs=frozenset({"isolation", "pm2", "node"}),
    ),
    fault(
        name="healthy-gunicorn",
        message="no fault; gunicorn replaced its workers",
        build=workers_replaced,
        needs=frozenset({"isolation", "gunicorn"}),
    ),
    fault(
        name="healthy-php-busy",
        message="no fault; a busy PHP-FPM pool",
        build=pool_busy,
        needs=frozenset({"isolation", "php-fpm"}),
    ),
    fault(
        name="healthy-php-busy-dynamic",
        message="no fault; a busy dynamic PHP-FPM pool",
        build=partial(
            pool_busy,
            settings="pm = dynamic\npm.max_children = 3\npm.start_servers = 1\npm.min_spare_servers = "
            "1\npm.max_spare_servers = 2",
        ),
        needs=frozenset({"isolation", "php-fpm"}),
    ),
    fault(
        name="healthy-oom-elsewhere",
        message="no fault; a program that no route uses was killed for memory",
        build=other_killed,
        is_loud=True,
        needs=frozenset({"isolation", "groups"}),
    ),
)
