"""Scenes that several causes share, so that each fault defines only its specifics."""

from __future__ import annotations

from why502.lab.stage import Stage


def one_backend(
    stage: Stage, *, options: tuple[str, ...] = (), location: str = "", path: str = "/", times: int = 6, **parts: object
) -> str:
    """Put one backend (options of `backends/server.py`) behind nginx, send requests, return its target.

    `location` holds further directives of the location, `parts` those of other blocks (see `Nginx.text`).
    """
    target = f"127.0.0.1:{stage.port(3000)}"
    stage.backend(3000, *options)
    stage.nginx.start(f"proxy_pass http://{target};\n{location}", **parts)
    stage.send_many(times, path)
    return target


def group_of(*servers: str, more: str = "") -> str:
    """Return an upstream block named app, of servers (address and parameters)."""
    lines = [*(f"server {server};" for server in servers), *more.splitlines()]
    return "upstream app {\n" + "".join(f"    {line}\n" for line in lines) + "}"
