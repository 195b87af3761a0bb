"""A real PHP-FPM for scenes, with its own pool."""

from __future__ import annotations

import os
from pathlib import Path

from why502.lab.stage import LabError, Stage

FILE = "/run/site/index.php"


def binary() -> str:
    """Return the newest php-fpm. Raises LabError where there is none."""
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    if not found:
        raise LabError("php-fpm is not installed", "Install the Debian package php-fpm.")
    return str(found[-1])


def start_php(stage: Stage, listen: str, page: str = "<?php echo 'ok';", settings: str = "", *, version: str = "") -> None:
    """Start PHP-FPM with one pool on `listen` (as its configuration has it), and wait until it does.

    `version` is the one that its directory is named after, where it stands for another installed PHP.
    """
    version = version or binary().removeprefix("/usr/sbin/php-fpm") or "8"
    directory = f"/etc/php/{version}/fpm"
    log = stage.path(f"/var/log/php{version}-fpm.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    user = "user = www-data\ngroup = www-data\nlisten.owner = www-data\nlisten.group = www-data\n" if os.geteuid() == 0 else ""
    stage.write(FILE, page)
    pool = stage.write(
        f"{directory}/pool.d/www.conf",
        f"[www]\n{user}listen = {listen}\npm = static\npm.max_children = 2\ncatch_workers_output = yes\n{settings}\n",
    )
    main = stage.write(
        f"{directory}/php-fpm.conf",
        f"[global]\npid = {stage.path('/run')}/php{version}-fpm.pid\nerror_log = {log}\ndaemonize = no\ninclude = {pool}\n",
    )
    if listen.startswith("/"):
        Path(listen).parent.mkdir(parents=True, exist_ok=True)
    process = stage.spawn(binary(), "--nodaemonize", "--fpm-config", main)
    stage.until(lambda: log.exists() and "ready to handle connections" in log.read_text(), "php-fpm is ready", process)


def passes(stage: Stage, target: str) -> str:
    """Return the directives of a location that passes to PHP-FPM."""
    return (
        f"fastcgi_pass {target};\nfastcgi_param SCRIPT_FILENAME {stage.path(FILE)};\n"
        "fastcgi_param REQUEST_METHOD $request_method;\nfastcgi_param QUERY_STRING $query_string;\nfastcgi_param REQUEST_URI "
        "$request_uri;"
    )


def php_backend(stage: Stage, page: str) -> str:
    """Put a PHP page behind nginx, send requests, return the target."""
    listen = str(stage.path("/run/php/php-fpm.sock"))
    start_php(stage, listen, page)
    stage.nginx.start(passes(stage, f"unix:{listen}"))
    stage.send_many(6)
    return f"unix:{listen}"
