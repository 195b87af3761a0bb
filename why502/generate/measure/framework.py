"""The framework and the application server of a process: from its command, its directory, and the header of its answer."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

import msgspec

from why502.deployment.applications import server_of
from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.process import Process

_PACKAGES = {
    "next": "Next.js", "nuxt": "Nuxt", "@nestjs/core": "NestJS", "@remix-run/node": "Remix", "@sveltejs/kit": "SvelteKit",
    "fastify": "Fastify", "koa": "Koa", "@hapi/hapi": "hapi", "express": "Express",
}  # fmt: skip
# A file in the application's directory, what must be in it, and the framework.
_FILES = (
    ("manage.py", re.compile(rb"django"), "Django"),
    ("artisan", re.compile(rb"(?i)laravel|illuminate"), "Laravel"),
    ("symfony.lock", re.compile(rb""), "Symfony"),
    ("wp-load.php", re.compile(rb""), "WordPress"),
    ("mix.exs", re.compile(rb":phoenix\b"), "Phoenix"),
    ("Gemfile.lock", re.compile(rb"(?m)^    rails \("), "Rails"),
    ("Gemfile.lock", re.compile(rb"(?m)^    sinatra \("), "Sinatra"),
)
_PYTHON = ("requirements.txt", "pyproject.toml")
_PYTHON_NAMES = {
    "django": "Django", "flask": "Flask", "fastapi": "FastAPI", "starlette": "Starlette", "aiohttp": "aiohttp", "sanic": "Sanic",
    "tornado": "Tornado", "falcon": "Falcon", "bottle": "Bottle", "pyramid": "Pyramid", "litestar": "Litestar", "quart": "Quart",
}  # fmt: skip
_REQUIREMENT = lazy(rb"(?mi)^[ \t]*+[\"']?([a-z0-9-]{3,20})(?=[\s\[=<>!~;,\"']|$)")
_HEADER = lazy(rb"\r\n(x-powered-by|server):[ \t]*([\w.-]{1,30})", re.IGNORECASE)
_ANSWERS = {
    "express": "Express", "next.js": "Next.js", "nuxt": "Nuxt", "php": "PHP", "servlet": "a Java servlet", "asp.net": "ASP.NET",
    "kestrel": "ASP.NET Core", "werkzeug": "Flask (Werkzeug)", "wsgiserver": "Django's development server",
    "tornadoserver": "Tornado", "cowboy": "Cowboy (Erlang)", "jetty": "Jetty", "gunicorn": "a Python application",
    "uvicorn": "a Python application", "hypercorn": "a Python application", "daphne": "Django Channels",
}  # fmt: skip
_MOST_BYTES = 1 << 20
SOCKET_IO = "socket.io"


@dataclass(frozen=True, slots=True)
class Framework:
    """`name`: of the framework; "" if it is not known. `source`: how it is known. `server`: the program that runs it.

    `packages`: the Node.js packages that the application depends on, and `package_file` where they are named.
    """

    name: str = ""
    source: str = ""
    server: str = ""
    packages: tuple[str, ...] = ()
    package_file: str = ""

    @property
    def words(self) -> str:
        """The framework and its server in words; "" if neither is known."""
        run_by = f"run by {self.server}" if self.server else ""
        return ", ".join(part for part in (f"{self.name} ({self.source})" if self.name else "", run_by) if part)


def framework(host: Host, process: Process | None, head: bytes) -> Framework:
    """Return what an application is made with. `head`: the header of its answer."""
    server = _server(process) if process else ""
    packages, file = _packages(host, process) if process else ((), "")
    name = next((shown for package, shown in _PACKAGES.items() if package in packages), "")
    source = f"{file} depends on it" if name else ""
    if not name and process:
        name, source = _by_files(host, process)
    if not name:
        name, source = _by_answer(head)
    return Framework(name, source, server, packages, file)


def _server(process: Process) -> str:
    """Return the application server: of the command line, or of the title that it wrote over it ("gunicorn: master [shop]")."""
    title = process.argv[0] if process.argv else process.name
    if len(process.argv) == 1 and " " in title:
        return re.split(r"[ :]", title, maxsplit=1)[0][:30]
    return server_of(process.argv) or process.name


def _read(host: Host, process: Process, name: str) -> bytes:
    """Return a file of the application's directory, as the application sees it; b"" if it cannot be read."""
    if not process.cwd.startswith("/") or process.cwd == "/":
        return b""
    is_apart = process.root or process.container
    try:
        path = posixpath.join(process.cwd, name)
        return host.read(f"/proc/{process.pid}/root{path}" if is_apart else path, limit_bytes=_MOST_BYTES)
    except HostError:
        return b""


def _packages(host: Host, process: Process) -> tuple[tuple[str, ...], str]:
    """Return the Node.js packages that the application depends on, and the file that names them."""
    try:
        found = msgspec.json.decode(_read(host, process, "package.json"), type=dict[str, msgspec.Raw])
        names = msgspec.json.decode(found["dependencies"], type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, KeyError):
        return (), ""
    return tuple(names), posixpath.join(process.cwd, "package.json")


def _by_files(host: Host, process: Process) -> tuple[str, str]:
    for file, mark, name in _FILES:
        content = _read(host, process, file)
        if content and mark.search(content):
            return name, posixpath.join(process.cwd, file)
    for file in _PYTHON:
        required = {match[1].decode().lower() for match in _REQUIREMENT.finditer(_read(host, process, file))}
        for package, name in _PYTHON_NAMES.items():
            if package in required:
                return name, f"{posixpath.join(process.cwd, file)} requires it"
    return "", ""


def _by_answer(head: bytes) -> tuple[str, str]:
    found = {match[1].decode().lower(): match[2].decode("ascii", "replace") for match in _HEADER.finditer(head)}
    for header in ("x-powered-by", "server"):
        word = found.get(header, "")
        if shown := _ANSWERS.get(word.lower(), ""):
            return shown, f"its response has {header.title()}: {word}"
    return "", ""
