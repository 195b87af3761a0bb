"""`why502 generate pm2`: an ecosystem file."""

from __future__ import annotations

from why502.generate import options
from why502.generate.document import SLASHES, Document
from why502.generate.kind import Kind, Made
from why502.generate.options import Given, Option
from why502.generate.program import OPTIONS, Program, program
from why502.generate.remark import Row, row
from why502.generate.safe import fill, quoted
from why502.host.base import Host

_NODES = ("node", "nodejs", "bun")
_OWN = (
    *(option for option in OPTIONS if option.name != "--env-file"),
    Option(
        name="--instances",
        metavar="N",
        help="With Node.js: number of processes that share the port; `pm2 reload` then causes no downtime.",
    ),
    Option(name="--ready", help="The application calls process.send('ready') when it listens."),
)


def emit(given: Given, host: Host) -> Made:  # noqa: ARG001 - every kind is called alike
    """Return the ecosystem file. Raises Why502Error."""
    made = program(given)
    instances = options.number("--instances", given.get("--instances", "1"), 1, 256)
    body = fill("pm2/ecosystem.cjs.j2", rows=tuple(_rows(made, instances, is_ready=given.has("--ready"))))
    notes = (
        ()
        if given.has("--ready")
        else ("without --ready PM2 considers the process up as soon as it exists, so a reload has a gap",)
    )
    return Made(documents=(Document(name="ecosystem.config.cjs", body=body, marks=SLASHES),), product="PM2", notes=notes)


def _rows(made: Program, instances: int, *, is_ready: bool) -> list[Row]:
    is_node = made.words[0].rpartition("/")[2] in _NODES and len(made.words) > 1
    script, *args = made.words[1:] if is_node else made.words
    rows = [_pair("name", made.name), _pair("script", script, made.reason("--exec"))]
    if args:
        rows.append(_pair("args", args))
    if not is_node:
        rows.append(_pair("interpreter", "none", "it is a program, not a script"))
    if made.directory:
        rows.append(_pair("cwd", made.directory, made.reason("--directory")))
    if made.user:
        rows.append(_pair("uid", made.user, made.reason("--user", "an intruder gets only the rights of this user")))
    if is_node and instances > 1:
        rows += [
            _pair("exec_mode", "cluster", "the processes share one port, and are reloaded one after the other"),
            _pair("instances", instances),
        ]
    rows.append(_pair("kill_timeout", made.stop_s * 1000, "longer than the proxy waits; the default, 1.6 s, cuts requests"))
    if is_ready:
        rows += [
            _pair("wait_ready", True, "a reload waits for process.send('ready')"),
            _pair("listen_timeout", 30_000, "how long it waits, in ms; 3 s is the default"),
        ]
    rows.append(_pair("exp_backoff_restart_delay", 100, "in a crash loop, restarts slow down instead of stopping"))
    rows.append(_pair("max_restarts", 1000, "the default, 16, is used up within seconds"))
    if made.memory_bytes:
        rows.append(
            _pair(
                "max_memory_restart",
                f"{max(1, made.memory_bytes >> 20)}M",
                made.reason("--memory", "a memory leak restarts only this process"),
            )
        )
    if made.variables:
        rows.append(_pair("env", dict(pair.split("=", 1) for pair in made.variables)))
    return rows


def _pair(name: str, value: object, reason: str = "") -> Row:
    return row(f"{name}: {quoted(value)},", reason)


KIND = Kind(
    name="pm2",
    help="Write an ecosystem file for PM2.",
    example="why502 generate pm2 --exec '/usr/bin/node /srv/shop/server.js' --instances 4 --ready",
    options=_OWN,
    emit=emit,
)
