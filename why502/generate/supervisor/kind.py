"""`why502 generate supervisor`: a program of supervisord."""

from __future__ import annotations

import shlex

from why502.generate.document import Document
from why502.generate.kind import Kind, Made
from why502.generate.options import Given, refuse
from why502.generate.program import OPTIONS, Program, program
from why502.generate.remark import Row, Section, row
from why502.generate.safe import Safe, fill, ini
from why502.host.base import Host

_OWN = tuple(option for option in OPTIONS if option.name not in ("--memory", "--env-file"))


def emit(given: Given, host: Host) -> Made:  # noqa: ARG001 - every kind is called alike
    """Return the program's section. Raises Why502Error."""
    made = program(given)
    if any(";" in word for word in made.words):
        raise refuse("--exec", given.get("--exec"), "has a `;`, which begins a comment for supervisord", "Put it in a script.")
    body = fill("sections.j2", sections=(Section(Safe(f"[program:{made.name}]"), tuple(_rows(made))),), mark=Safe("; "))
    document = Document(name=f"{made.name}.conf", body=body, marks=("; ", ""), places=("conf.d", "supervisord.d"))
    notes = () if made.user else ("without --user the application runs as root: give it a user of its own",)
    return Made(documents=(document,), product="supervisord", notes=notes)


def _rows(made: Program) -> list[Row]:
    rows = [row(f"command={_escaped(shlex.join(made.words))}", made.reason("--exec"))]
    if made.user:
        rows.append(row(f"user={ini(made.user)}", made.reason("--user", "a break-in gets no more than this user may do")))
    if made.directory:
        rows.append(row(f"directory={_escaped(made.directory)}", made.reason("--directory")))
    if made.variables:
        pairs = (pair.split("=", 1) for pair in made.variables)
        rows.append(row("environment=" + ",".join(f"{name}={_quoted(value)}" for name, value in pairs)))
    return [
        *rows,
        row("autorestart=true", "unexpected, the default, does not restart a program that ends with status 0"),
        row("startsecs=3", "a start counts only when it has lasted"),
        row("startretries=10", "three, the default, give up before a database is back"),
        row(f"stopwaitsecs={made.stop_s}", "longer than the proxy waits for an answer: requests in progress are finished"),
        row("killasgroup=true", "workers that are left are killed with it, so that none keeps the port"),
        row("redirect_stderr=true", "one log, in the order in which things happened"),
        row(f"stdout_logfile=/var/log/supervisor/{made.name}.log", "a fixed name: the default is a new file after each start"),
        row("stdout_logfile_backups=5", "of 50 MB each; 10 is the default"),
    ]


def _escaped(text: str) -> Safe:
    """Return a value: `%` begins an expansion of supervisord."""
    return ini(text.replace("%", "%%"))


def _quoted(value: str) -> Safe:
    if '"' in value or "\\" in value:
        raise refuse("--env", value, "has a quotation mark or a backslash", "supervisord cannot hold it: put it in a file.")
    return _escaped(f'"{value}"')


KIND = Kind(
    name="supervisor",
    help="A program of supervisord.",
    example="why502 generate supervisor --exec '/usr/bin/node /srv/shop/server.js' --user shop",
    options=_OWN,
    emit=emit,
    home="/etc/supervisor",
)
