"""The scene's nginx: its configuration, start, reload and stop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

CONFIG = "/etc/nginx/nginx.conf"
LOGS = "/var/log/nginx"
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
DIRECTORIES = (LOGS, "/var/lib/nginx", "/run")
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
TIMES = "$upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time $request_time"
JSON = (
    '{"time":"$time_iso8601","request":"$request","status":$status,"bytes":$body_bytes_sent,"duration":$request_time,'
    '"upstream":"$upstream_addr","upstream_status":"$upstream_status","upstream_header":"$upstream_header_time",'
    '"upstream_time":"$upstream_response_time"}'
)
FORMATS = {"upstream": f"main '{COMBINED} {TIMES}'", "json": f"main escape=json '{JSON}'", "combined": f"main '{COMBINED}'"}
TEMPLATE = """\
%(user)s
worker_processes %(workers)d;
pid %(prefix)s/run/nginx.pid;
error_log %(prefix)s/var/log/nginx/error.log %(level)s;
%(main)s

events {
    worker_connections %(connections)d;
}

http {
    log_format %(log)s;
    access_log %(prefix)s/var/log/nginx/access.log main;
%(directories)s
%(http)s

%(server)s
}
"""


class Surroundings(Protocol):
    """What an nginx needs of the stage that it runs on."""

    is_isolated: bool
    root: Path

    def port(self, number: int) -> int:
        """Return the port that stands for this one here."""
        ...

    def sh(self, *argv: str, stdin: str = "") -> str:
        """Run a program, and return what it prints."""
        ...

    when_started: Callable[[], None]

    def until(self, condition: Callable[[], object], message: str) -> None:
        """Wait until a condition holds."""
        ...


def worker_user() -> str:
    """Return the user that nginx's workers run as: the distribution's, or ourselves where we are not root."""
    return "www-data" if os.geteuid() == 0 else ""


class Nginx:
    """One nginx. `start` writes a whole configuration around what a fault gives it."""

    def __init__(self, stage: Surroundings, *, prefix: str = "", port: int = 80) -> None:
        self.stage = stage
        self.prefix = prefix or ("" if stage.is_isolated else str(stage.root))  # "": the package's own paths, no options
        self.port = port
        self.program = next(
            (p for p in ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx") if Path(p).exists()), "nginx"
        )

    @property
    def config(self) -> str:
        """Return the main configuration file."""
        return f"{self.prefix}{CONFIG}"

    @property
    def pid(self) -> int | None:
        """Return the master's process id; None while none runs."""
        try:
            return int(Path(f"{self.prefix}/run/nginx.pid").read_text())
        except (OSError, ValueError):
            return None

    @property
    def version(self) -> tuple[int, ...]:
        """Return the version of the binary, as (1, 22, 1)."""
        told = subprocess.run([self.program, "-v"], capture_output=True, text=True, check=False).stderr
        return tuple(int(part) for part in re.findall(r"\d+", told.partition("/")[2])[:3])

    def text(
        self,
        location: str = "",
        *,
        server: str = "",
        http: str = "",
        main: str = "",
        log: str = "upstream",
        level: str = "error",
        connections: int = 256,
        workers: int = 1,
    ) -> str:
        """Return a configuration: `location` fills `location /`; `server`, `http`, `main` go into those blocks."""
        user = f"user {name};" if (name := worker_user()) else ""
        directories = [f"{kind}_temp_path {self.prefix}/var/lib/nginx/{kind};" for kind in KINDS] if self.prefix else []
        if location:
            server += f"\nlocation / {{\n{_indent(location, 4)}\n}}"
        if server:
            server = f"listen 127.0.0.1:{self.stage.port(self.port)};\nserver_name shop.example;\n{server.strip()}"
            server = f"server {{\n{_indent(server, 4)}\n}}"
        text = TEMPLATE % {
            "user": user,
            "workers": workers,
            "prefix": self.prefix,
            "level": level,
            "main": main,
            "connections": connections,
            "log": FORMATS[log],
            "directories": _indent("\n".join(directories), 4),
            "http": _indent(http, 4),
            "server": _indent(server, 4),
        }
        return re.sub(r"\n(\s*\n)+", "\n\n", text).replace("\n\n}", "\n}").lstrip()

    def start(self, location: str = "", **parts: object) -> None:
        """Write the configuration (see `text`) and start nginx; return when it runs. Raises LabError otherwise."""
        self.rewrite(location, **parts)
        self.stage.sh(self.program, *self.options())
        self.stage.until(self.workers, "nginx has a worker")
        self.stage.when_started()

    def options(self) -> tuple[str, ...]:
        """Return the options that this nginx runs with: none where it uses its built-in paths."""
        return ("-p", self.prefix, "-c", self.config, "-e", f"{self.prefix}/var/log/nginx/error.log") if self.prefix else ()

    def rewrite(self, location: str = "", **parts: object) -> None:
        """Write another configuration, and load it not."""
        config = Path(self.config)
        for directory in (config.parent, *(Path(f"{self.prefix}{name}") for name in DIRECTORIES)):
            directory.mkdir(parents=True, exist_ok=True)
        config.write_text(self.text(location, **parts))  # type: ignore[arg-type]

    def write_old(self, message: str, status: int, target: str, *, times: int = 30, hours: float = 3.0) -> None:
        """Write failed requests of hours ago into both logs, as nginx would have. To be called before `start`."""
        at = datetime.now().astimezone() - timedelta(hours=hours)
        logs = Path(f"{self.prefix}{LOGS}")
        logs.mkdir(parents=True, exist_ok=True)
        access = f'127.0.0.1 - - [{at:%d/%b/%Y:%H:%M:%S %z}] "GET /old HTTP/1.1" {status} 157 "-" "Mozilla/5.0"'
        error = (
            f"{at:%Y/%m/%d %H:%M:%S} [error] 999#999: *1 {message}, client: 127.0.0.1, server: shop.example, "
            f'request: "GET /old HTTP/1.1", upstream: "http://{target}/old", host: "shop.example"'
        )
        (logs / "access.log").write_text(f"{access} {target} {status} - - 1.000 1.000\n" * times)
        (logs / "error.log").write_text(f"{error}\n" * times)

    def rotate(self) -> None:
        """Rename both logs to NAME.log.1, have new ones opened, and wait for them, as logrotate(8) does."""
        logs = [Path(f"{self.prefix}{LOGS}/{name}.log") for name in ("access", "error")]
        for log in logs:
            log.rename(f"{log}.1")
        self.notify(signal.SIGUSR1)
        self.stage.until(lambda: all(log.exists() for log in logs), "nginx opens its new logs")

    def edit(self, old: str, new: str) -> None:
        """Replace a text that stands in the main configuration file, and load it not."""
        config = Path(self.config)
        text = config.read_text()
        assert old in text
        config.write_text(text.replace(old, new))

    def reload(self) -> None:
        """Have the running nginx load its configuration; return when workers of the new one run, and no others."""
        before = self.workers()
        self.notify(signal.SIGHUP)
        self.stage.until(lambda: (now := self.workers()) and not set(now) & set(before), "nginx reloads")

    def notify(self, number: signal.Signals) -> None:
        """Send a signal to the master."""
        if pid := self.pid:
            os.kill(pid, number)

    def workers(self) -> list[int]:
        """Return the process ids of the workers (proc(5), children)."""
        pid = self.pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] if pid else []
        except OSError:
            return []

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop nginx, and wait until the master is gone."""
        if pid := self.pid:
            os.kill(pid, how)
            self.stage.until(lambda: _is_gone(pid), "nginx stops")

    def kill(self) -> None:
        """End the master and its workers at once, where they still run."""
        for pid in (self.pid, *self.workers()):
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


def _is_gone(pid: int) -> bool:
    """Return whether a process ended. As first process of a namespace we inherit it, and must reap it."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return True
    except ChildProcessError:
        pass
    return not Path(f"/proc/{pid}").exists()


def _indent(text: str, spaces: int) -> str:
    return "\n".join(" " * spaces + line if line.strip() else "" for line in text.splitlines())
