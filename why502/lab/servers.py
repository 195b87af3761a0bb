"""Real application servers for scenes: gunicorn, uWSGI, unicorn."""

from __future__ import annotations

import os

from why502.lab.isolation import program
from why502.lab.stage import Stage

WSGI = """\
import os, signal, time

def application(environ, start_response):
    parts = environ.get("PATH_INFO", "/").strip("/").split("/")
    if parts[0] == "sleep":
        time.sleep(float(parts[1]))
    if parts[0] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\\n"]
"""
RACK = """\
run lambda { |env|
  parts = env['PATH_INFO'].split('/')
  sleep parts[2].to_f if parts[1] == 'sleep'
  [200, { 'Content-Type' => 'text/plain' }, ["ok\\n"]]
}
"""


def gunicorn(stage: Stage, address: str, *options: str, wrap: tuple[str, ...] = (), app: str = WSGI) -> None:
    """Start gunicorn on `address` (host:port or unix:path) and wait until it serves."""
    os.environ["HOME"] = str(stage.path("/run"))  # it keeps a control socket there
    stage.write("/run/shop/shop.py", app)
    directory = str(stage.path("/run/shop"))
    process = stage.spawn(*wrap, program("gunicorn"), "--chdir", directory, "-b", address, *options, "shop:application")
    stage.until(lambda: "Booting worker" in stage.read("/var/log/app.log"), "gunicorn has a worker", process)


def uwsgi(stage: Stage, address: str, *options: str) -> None:
    """Start uWSGI on `address` (host:port or path; the uwsgi protocol) and wait until it serves."""
    script = stage.write("/run/shop/shop.py", WSGI)
    words = (program("uwsgi"), "--need-plugin", "python3", "--master", "--socket", address, "--wsgi-file", script, *options)
    process = stage.spawn(*words)
    stage.until(lambda: "spawned uWSGI worker" in stage.read("/var/log/app.log"), "uWSGI has a worker", process)


def unicorn(stage: Stage, address: str, settings: str) -> None:
    """Start unicorn (Ruby) on `address` and wait until it serves."""
    rack = stage.write("/run/shop/config.ru", RACK)
    config = stage.write("/run/shop/unicorn.rb", settings)
    process = stage.spawn(program("unicorn"), "-E", "none", "-l", address, "-c", config, rack)
    stage.until(lambda: "worker=0 ready" in stage.read("/var/log/app.log"), "unicorn has a worker", process)
