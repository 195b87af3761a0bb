"""wrong-port: the application listens on one port, but proxy_pass names another."""

from __future__ import annotations

import ctypes
import os
from functools import partial

from why502.lab.fault import Fault
from why502.lab.isolation import program
from why502.lab.nginx import Nginx
from why502.lab.stage import LabError, Stage
from why502.model.finding import Layer


def plain(stage: Stage, *, log: str = "upstream", http: str = "", to: str = "") -> str:
    """Break it: the application on 3000, nginx connects to 3001."""
    target = f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{to or target};", log=log, http=http)
    stage.send_many(6)
    return target


def beside_mistake(stage: Stage) -> str:
    """Break it, and leave a mistake in the file as well that has nothing to do with it."""
    target = f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{target};\nproxy_buffer_size 4k;")
    stage.nginx.edit("proxy_buffer_size 4k;", "proxy_buffer_size;")
    stage.send_many(6)
    return target


def variable(stage: Stage) -> str:
    """Break it with a target that only a variable names."""
    target = f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.nginx.start(f"set $backend {target};\nproxy_pass http://$backend;")
    stage.send_many(6)
    return target


def group(stage: Stage) -> str:
    """Break one member of two, which listens on 3002: every second request is tried again, and no client sees it."""
    good, bad = f"127.0.0.1:{stage.port(3000)}", f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.backend(3002)
    group = f"upstream app {{\n    server {good};\n    server {bad} max_fails=0;\n}}"
    stage.nginx.start("proxy_pass http://app;", http=group)
    stage.send_many(12)
    return bad


def includes(stage: Stage) -> str:
    """Break one of several servers, which stand in files of their own."""
    target = f"127.0.0.1:{stage.port(5001)}"
    stage.backend(3000)
    stage.backend(5000)
    listen = f"127.0.0.1:{stage.port(80)}"
    stage.write("/etc/nginx/snippets/proxy.conf", "proxy_set_header Host $host;\nproxy_set_header X-Real-IP $remote_addr;\n")
    logs = stage.path("/var/log/nginx")
    for name, port in (("shop", stage.port(3000)), ("blog", stage.port(5001))):
        stage.write(
            f"/etc/nginx/sites-enabled/{name}.conf",
            f"server {{\n    listen {listen};\n    server_name {name}.example;\n    location / {{\n"
            f"        include snippets/proxy.conf;\n        proxy_pass http://127.0.0.1:{port};\n    }}\n"
            f"    access_log {logs}/{name}.access.log main;\n    error_log {logs}/{name}.error.log warn;\n}}\n",
        )
    stage.nginx.start(http=f"include {stage.path('/etc/nginx/sites-enabled')}/*.conf;")
    stage.send_many(5, host="shop.example")
    stage.send_many(5, host="blog.example")
    return target


def after_reload(stage: Stage) -> str:
    """Break it by a change that was loaded: healthy before, and a graceful reload in between."""
    good, bad = f"127.0.0.1:{stage.port(3000)}", f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{good};", level="notice")
    stage.send_many(6)
    stage.nginx.edit(f"http://{good}", f"http://{bad}")
    stage.nginx.reload()
    stage.send_many(6)
    return bad


def custom_prefix(stage: Stage) -> str:
    """Break an nginx that was started with -p and -c, away from the package's paths."""
    target = f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.nginx.prefix = stage.nginx.prefix or str(stage.path("/run/site"))
    stage.nginx.start(f"proxy_pass http://{target};")
    stage.send_many(6)
    return target


def second_nginx(stage: Stage) -> str:
    """Break one of two running nginx: the packaged one is well, another with a prefix of its own is not."""
    good, bad = f"127.0.0.1:{stage.port(3000)}", f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.backend(3002)
    stage.nginx.start(f"proxy_pass http://{good};")
    second = Nginx(stage, prefix=str(stage.path("/run/site")), port=8080)
    stage.others.append(second)
    second.start(f"proxy_pass http://{bad};")
    stage.send_many(6)
    stage.send_many(6, port=8080)
    stage.until(lambda: "refused" in stage.path("/run/site/var/log/nginx/error.log").read_text(), "the second nginx failed")
    return bad


def error_page(stage: Stage, *, page: str) -> str:
    """Break it under an error page, which changes the status that clients see."""
    target = f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    missing = stage.path("/etc/nginx/html")
    stage.nginx.start(f"proxy_pass http://{target};", server=f"{page}\nlocation = /50x.html {{\n    root {missing};\n}}\n")
    stage.send_many(6)
    return target


def systemctl_hangs(stage: Stage) -> str:
    """Break it on a machine whose service manager does not answer."""
    silent = stage.write("/run/lab/systemctl", "#!/bin/sh\nexec sleep 1000\n", mode=0o755)
    stage.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
    stage.sh("mount", "--bind", silent, program("systemctl"))  # for this scene alone: its mounts are its own
    return plain(stage)


def dead_mount(stage: Stage) -> str:
    """Break it on a machine where a file system that nginx writes to has died: a FUSE that nobody serves (fuse(4))."""
    target = plain(stage)
    directory = stage.path("/var/lib/nginx/proxy")
    device = os.open("/dev/fuse", os.O_RDWR)  # as long as it is open, every look at the directory waits
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"dead", str(directory).encode(), b"fuse", 0, options):
        raise LabError(f"{directory}: {os.strerror(ctypes.get_errno())}")
    return target


def long_log(stage: Stage) -> str:
    """Hide thirty failures among 200,000 healthy lines; what should answer them listens on 3002."""
    good, bad = f"127.0.0.1:{stage.port(3000)}", f"127.0.0.1:{stage.port(3001)}"
    stage.backend(3000)
    stage.backend(3002)
    stage.nginx.start(server=f"location / {{\nproxy_pass http://{good};\n}}\nlocation /api/ {{\nproxy_pass http://{bad};\n}}")
    stage.send()
    stage.until_logged(" 200 ")
    log = stage.path("/var/log/nginx/access.log")
    line = log.read_text().splitlines()[0] + "\n"
    for _ in range(2):
        with log.open("a") as stream:
            stream.write(line * 100_000)
        stage.send_many(15, "/api/orders")
    return bad


fault = partial(
    Fault,
    cause="wrong-port",
    layer=Layer.PROXY,
    proves=(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",),
)
FAULTS = (
    fault(name="wrong-port", message="the application listens on 3000, but proxy_pass names 3001", build=plain),
    fault(
        name="wrong-port-json-log",
        message="proxy_pass names the wrong port; access log in JSON",
        build=partial(plain, log="json"),
    ),
    fault(
        name="wrong-port-combined-log",
        message="proxy_pass names the wrong port; access log without upstream fields",
        build=partial(plain, log="combined"),
    ),
    fault(
        name="wrong-port-and-mistake",
        message="proxy_pass names the wrong port, and the file on disk has an unrelated error that was never loaded",
        build=beside_mistake,
        also=frozenset({"proxy-config-invalid"}),
    ),
    fault(name="wrong-port-variable", message="proxy_pass with a variable names the wrong port", build=variable),
    fault(
        name="wrong-port-group",
        message="one of two servers has the wrong port; retries hide it",
        build=group,
        statuses=frozenset({200}),
    ),
    fault(
        name="wrong-port-includes",
        message="one of several included servers has the wrong port",
        build=includes,
        statuses=frozenset({200, 502}),
    ),
    fault(
        name="wrong-port-reload", message="a reload introduced the wrong port", build=after_reload, statuses=frozenset({200, 502})
    ),
    fault(
        name="wrong-port-prefix",
        message="proxy_pass names the wrong port, in an nginx with its own prefix and configuration",
        build=custom_prefix,
    ),
    fault(
        name="wrong-port-long-log",
        message="30 failures among 200,000 healthy lines",
        build=long_log,
        statuses=frozenset({200, 502}),
    ),
    fault(
        name="wrong-port-second-nginx",
        message="two nginx instances are running; one names the wrong port",
        build=second_nginx,
        statuses=frozenset({200, 502}),
        proves=(),
        needs=frozenset({"isolation"}),
    ),
    fault(
        name="wrong-port-no-error-log",
        message="proxy_pass names the wrong port, and the error log goes nowhere",
        build=partial(plain, http="error_log /dev/null crit;"),
        proves=(r'" 502 ',),
    ),
    fault(
        name="wrong-port-no-access-log",
        message="proxy_pass names the wrong port, and there is no access log",
        build=partial(plain, http="access_log off;"),
    ),
    fault(
        name="wrong-port-systemctl-hangs",
        message="proxy_pass names the wrong port, and the service manager does not answer",
        build=systemctl_hangs,
        needs=frozenset({"isolation", "systemctl"}),
        gaps=frozenset({"systemd"}),
    ),
    fault(
        name="wrong-port-dead-mount",
        message="proxy_pass names the wrong port, and a file system that nginx writes to no longer responds",
        build=dead_mount,
        needs=frozenset({"isolation", "fuse"}),
        gaps=frozenset({"disks"}),
    ),
    fault(
        name="wrong-port-error-page",
        message="proxy_pass names the wrong port, and an error page turns 502 into 200",
        build=partial(error_page, page="error_page 502 =200 @sorry;\nlocation @sorry {\n    return 200 'soon';\n}"),
        statuses=frozenset({200}),
    ),
    fault(
        name="wrong-port-error-page-missing",
        message="proxy_pass names the wrong port, and the error page's file is missing, so clients see 404",
        build=partial(error_page, page="error_page 502 /50x.html;"),
        statuses=frozenset({404}),
    ),
)
