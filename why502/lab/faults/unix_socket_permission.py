"""unix-socket-permission: the worker's user cannot write to the socket or traverse one of its directories."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.php import passes, start_php
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, socket_mode: str = "666", directory_mode: int = 0o755) -> str:
    """Break it: the socket, or its directory, belongs to root and is closed to the workers."""
    path = stage.path("/run/app/app.sock")
    stage.backend(f"unix:{path}", "--mode", socket_mode)
    path.parent.chmod(directory_mode)
    stage.nginx.start(f"proxy_pass http://unix:{path};")
    stage.send_many(6)
    return f"unix:{path}"


def pool(stage: Stage, *, settings: str) -> str:
    """Break it: the socket of a PHP-FPM pool is closed to the workers, by the pool's own settings."""
    path = str(stage.path("/run/php/php-fpm.sock"))
    start_php(stage, path, settings=settings)
    stage.nginx.start(passes(stage, f"unix:{path}"))
    stage.send_many(6)
    return f"unix:{path}"


fault = partial(
    Fault,
    cause="unix-socket-permission",
    layer=Layer.PROXY,
    needs=frozenset({"isolation"}),
    proves=(r"connect\(\) to unix:\S+ failed \(13: Permission denied\) while connecting to upstream",),
)
FAULTS = (
    fault(
        name="unix-socket-permission",
        message="the socket has mode 0600 and belongs to root",
        build=partial(build, socket_mode="600"),
    ),
    fault(
        name="unix-socket-permission-group",
        message="the socket has mode 0660 and belongs to root",
        build=partial(build, socket_mode="660"),
    ),
    fault(
        name="unix-socket-permission-directory",
        message="the socket's directory has mode 0700 and belongs to root",
        build=partial(build, directory_mode=0o700),
    ),
    fault(
        name="unix-socket-permission-pool-owner",
        message="the socket of a PHP-FPM pool belongs to root (listen.owner)",
        build=partial(pool, settings="listen.owner = root\nlisten.group = root\nlisten.mode = 0660"),
        needs=frozenset({"isolation", "php-fpm"}),
    ),
    fault(
        name="unix-socket-permission-pool-mode",
        message="only the owner of a PHP-FPM pool's socket may write to it (listen.mode)",
        build=partial(pool, settings="listen.owner = root\nlisten.group = www-data\nlisten.mode = 0600"),
        needs=frozenset({"isolation", "php-fpm"}),
    ),
)
