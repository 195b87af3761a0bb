"""backend-not-running: the application for the target is not running."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.isolation import program
from why502.lab.managers import SERVER, SUPERVISORD, answers, nginx_unit, supervise, unit
from why502.lab.stage import Stage
from why502.model.finding import Layer


def gone(stage: Stage, *, log: str = "upstream") -> str:
    """Break it: an application that answered, and was stopped in order."""
    target = f"127.0.0.1:{stage.port(3000)}"
    application = stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{target};", log=log)
    stage.send_many(4)
    stage.stop(application)
    stage.send_many(6)
    return target


def never(stage: Stage) -> str:
    """Break it: nothing has ever listened there."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.nginx.start(f"proxy_pass http://{target};", log="combined")
    stage.send_many(6)
    return target


def unix(stage: Stage) -> str:
    """Break it: the socket file is still there, and nobody listens on it."""
    path = stage.path("/run/app.sock")
    application = stage.backend(f"unix:{path}")
    stage.nginx.start(f"proxy_pass http://unix:{path};")
    stage.send_many(4)
    stage.stop(application)
    stage.send_many(6)
    return f"unix:{path}"


def over(stage: Stage) -> str:
    """Break it, and start the application again: the failure is over."""
    target = gone(stage)
    stage.backend(3000)
    stage.send_many(6)
    return target


def stopped_unit(stage: Stage) -> str:
    """Break it: the application is a unit, and was stopped."""
    unit(stage, f"{SERVER} 127.0.0.1:3000")
    return _stopped(stage, "systemctl", "stop", "shop.service")


def stopped_program(stage: Stage) -> str:
    """Break it: the application is a program of supervisord, and was stopped."""
    supervise(stage, f"{SERVER} 127.0.0.1:3000", "autorestart=true")
    return _stopped(stage, program("supervisorctl"), "-c", SUPERVISORD, "stop", "shop")


def _stopped(stage: Stage, *stop: str) -> str:
    stage.until(lambda: answers(stage), "it listens")
    stage.nginx.start("proxy_pass http://127.0.0.1:3000;")
    stage.send_many(4)
    stage.sh(*stop)
    stage.until(lambda: not answers(stage), "it is gone")
    stage.send_many(6)
    return "127.0.0.1:3000"


def rotated(stage: Stage) -> str:
    """Break it, and rotate the logs: the failures stand in the files of before."""
    target = gone(stage)
    stage.until_logged("Connection refused")
    stage.nginx.rotate()
    return target


def v6(stage: Stage) -> str:
    """Break it, on an IPv6 address."""
    target = f"[::1]:{stage.port(3000)}"
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


def other_protocol(stage: Stage, *, directive: str) -> str:
    """Break it behind another directive than proxy_pass."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.nginx.start(f"{directive}{target};")
    stage.send_many(6)
    return target


def fallback(stage: Stage) -> str:
    """Break the first choice; nginx falls back to another backend by an error page, so clients see 200."""
    first, second = f"127.0.0.1:{stage.port(3000)}", f"127.0.0.1:{stage.port(4000)}"
    stage.backend(4000)
    stage.nginx.start(
        f"proxy_pass http://{first};\nerror_page 502 = @second;",
        server=f"location @second {{\n    proxy_pass http://{second};\n}}\n",
    )
    stage.send_many(6)
    return first


def two(stage: Stage) -> str:
    """Break two routes in two ways."""
    dead, closing = f"127.0.0.1:{stage.port(3000)}", f"127.0.0.1:{stage.port(4000)}"
    stage.backend(4000, "--does", "close")
    stage.nginx.start(
        server=f"location / {{\n    proxy_pass http://{dead};\n}}\nlocation /pay/ {{\n    proxy_pass http://{closing};\n}}"
    )
    stage.send_many(12)
    stage.send_many(4, "/pay/card")
    return dead


def permissive(stage: Stage) -> str:
    """Break it otherwise: the application is gone, and SELinux only notes what it would deny."""
    target = f"127.0.0.1:{stage.port(3000)}"
    application = stage.backend(3000)
    nginx_unit(stage, target)
    stage.send_many(4)
    stage.stop(application)
    stage.send_many(6)
    return target


def with_old_errors(stage: Stage) -> str:
    """Break it, under the lines of another failure of hours ago."""
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.nginx.write_old(
        "upstream timed out (110: Connection timed out) while reading response header from upstream", 504, target, times=40
    )
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


fault = partial(
    Fault,
    cause="backend-not-running",
    layer=Layer.UPSTREAM,
    proves=(r"connect\(\) (to \S+ )?failed \(111: Connection refused\) while connecting to upstream",),
)
BOTH = frozenset({200, 502})
FAULTS = (
    fault(name="backend-not-running", message="the application was stopped", build=gone, statuses=BOTH),
    fault(
        name="backend-not-running-json-log",
        message="the application was stopped; access log in JSON",
        build=partial(gone, log="json"),
        statuses=BOTH,
    ),
    fault(name="backend-not-running-never", message="nothing has ever listened on the target", build=never),
    fault(name="backend-not-running-unix", message="a socket file remains, but nothing listens on it", build=unix, statuses=BOTH),
    fault(
        name="backend-not-running-over",
        message="the application was stopped and runs again",
        build=over,
        statuses=BOTH,
        ongoing=False,
    ),
    fault(
        name="backend-not-running-unit",
        message="a unit was stopped",
        build=stopped_unit,
        statuses=BOTH,
        needs=frozenset({"machine"}),
    ),
    fault(
        name="backend-not-running-supervisord",
        message="a program of supervisord was stopped",
        build=stopped_program,
        statuses=BOTH,
        needs=frozenset({"isolation", "supervisord"}),
    ),
    fault(
        name="backend-not-running-old-errors",
        message="the application was stopped; the log also has timeouts from hours ago",
        build=with_old_errors,
    ),
    fault(
        name="backend-not-running-rotated",
        message="the application was stopped; the logs have been rotated since",
        build=rotated,
        statuses=BOTH,
    ),
    fault(name="backend-not-running-v6", message="nothing listens on an IPv6 target", build=v6),
    fault(
        name="backend-not-running-uwsgi",
        message="nothing listens on the target of uwsgi_pass",
        build=partial(other_protocol, directive="uwsgi_pass "),
    ),
    fault(
        name="backend-not-running-grpc",
        message="nothing listens on the target of grpc_pass",
        build=partial(other_protocol, directive="grpc_pass grpc://"),
    ),
    fault(
        name="backend-not-running-fallback",
        message="the first backend is gone; an error page falls back to another",
        build=fallback,
        statuses=frozenset({200}),
    ),
    fault(
        name="two-faults",
        message="one backend is not running, another closes without an answer",
        build=two,
        also=frozenset({"premature-close"}),
    ),
    fault(
        name="selinux-permissive",
        message="the application was stopped; SELinux is permissive and logs what it would deny",
        build=permissive,
        statuses=frozenset({200, 502}),
        needs=frozenset({"vm"}),
        boot="security=selinux enforcing=0",
    ),
)
