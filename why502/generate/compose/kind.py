"""`why502 generate compose`: the application as a service, with a health check that the proxy waits for."""

from __future__ import annotations

import re

from why502.generate import options
from why502.generate.document import Document
from why502.generate.kind import Kind, Made
from why502.generate.options import Given, Option, refuse
from why502.generate.program import DRAIN_S
from why502.generate.remark import Row, row
from why502.generate.safe import fill, quoted
from why502.host.base import Host
from why502.model.errors import Why502Error
from why502.model.patterns import lazy

_IMAGE = lazy(r"[a-z0-9][A-Za-z0-9._/:@-]{0,250}", re.ASCII)
OPTIONS = (
    Option(name="--name", metavar="NAME", help="The name of the service. Default: app."),
    Option(name="--image", metavar="IMAGE", help="The image of the application, with its version."),
    Option(
        name="--app-port", metavar="PORT", help="The port that the application listens on, in its container, on all addresses."
    ),
    Option(name="--health", metavar="PATH", help="Path of the health check. Default: /."),
    Option(
        name="--probe",
        metavar="PROGRAM",
        choices=("wget", "curl", "node"),
        help="Program in the image that sends the health check. Default: wget.",
    ),
    Option(name="--proxy", metavar="IMAGE", help="The image of the proxy. Default: nginx:stable."),
    Option(name="--memory", metavar="SIZE", help="The most memory that the application may use."),
    Option(name="--read-timeout", metavar="TIME", help="How long the proxy waits for an answer. Default: 30s."),
    Option(name="--boot", metavar="TIME", help="How long the application may take to start. Default: 60s."),
)


def emit(given: Given, host: Host) -> Made:  # noqa: ARG001 - every kind is called alike
    """Return the file. Raises Why502Error."""
    for name in ("--image", "--app-port"):
        if not given.has(name):
            raise Why502Error(f"{name} is missing", "Give both: --image registry.example/shop:1.4 --app-port 3000")
    name = options.name("--name", given.get("--name", "app"))
    port = options.number("--app-port", given.get("--app-port"), 1, 65535)
    stop_s = options.seconds("--read-timeout", given.get("--read-timeout", f"{DRAIN_S}s"), 1, 86400) + 5
    boot_s = options.seconds("--boot", given.get("--boot", "60s"), 1, 3600)
    path = options.path("--health", given.get("--health", "/"))
    probe = options.choice("--probe", given.get("--probe", "wget"), ("wget", "curl", "node"))
    app: list[Row] = [
        _pair("image", _image("--image", given.get("--image"))),
        _pair("init", True, "forwards signals, and reaps dead child processes"),
        _pair("restart", "unless-stopped"),
        _pair("stop_grace_period", f"{stop_s}s", "longer than the proxy waits for an answer; the default, 10 s, cuts requests"),
        _pair("expose", [str(port)]),
        _pair("networks", ["web"]),
    ]
    if given.has("--memory"):
        app.append(_pair("mem_limit", options.size("--memory", given.get("--memory"), 6 << 20, 1 << 50)))
    health = (
        _pair("test", _test(probe, port, path)),
        _pair("interval", "5s"),
        _pair("timeout", "3s"),
        _pair("retries", 3),
        _pair("start_period", f"{boot_s}s", "failures during startup do not count"),
    )
    body = fill(
        "compose/compose.yaml.j2", name=quoted(name), app=tuple(app), health=health,
        proxy=(_pair("image", _image("--proxy", given.get("--proxy", "nginx:stable"))), _pair("restart", "unless-stopped"),
               _pair("ports", ["80:80"]), _pair("networks", ["web"]),
               _pair("volumes", ["./nginx.conf:/etc/nginx/nginx.conf:ro"])),
    )  # fmt: skip
    notes = (
        f"for nginx.conf beside it: why502 generate nginx --whole --tls off --app {name}:{port} --resolver 127.0.0.11 -o .",
        "the application must listen on 0.0.0.0 in its container",
    )
    return Made(documents=(Document(name="compose.yaml", body=body),), product="Docker compose", notes=notes)


def _pair(name: str, value: object, reason: str = "") -> Row:
    return row(f"{name}: {quoted(_escaped(value))}", reason)


def _escaped(value: object) -> object:
    """Return a value in which `$` begins no variable of compose."""
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _image(option: str, value: str) -> str:
    if not _IMAGE.fullmatch(value):
        raise refuse(option, value, "is not the name of an image", "Write it like registry.example/shop:1.4.")
    return value


def _test(probe: str, port: int, path: str) -> list[str]:
    url = f"http://127.0.0.1:{port}{path}"
    if probe == "wget":
        return ["CMD", "wget", "-q", "-T", "3", "-O", "/dev/null", url]
    if probe == "curl":
        return ["CMD", "curl", "-fsS", "-m", "3", "-o", "/dev/null", url]
    return ["CMD", "node", "-e", f"fetch('{url}').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]


KIND = Kind(
    name="compose",
    help="Write the application and its proxy as compose services.",
    example="why502 generate compose --image registry.example/shop:1.4 --app-port 3000 --health /up",
    options=OPTIONS,
    emit=emit,
)
