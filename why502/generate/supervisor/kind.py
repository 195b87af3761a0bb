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
    notes = () if made.user else ("without --user the application runs as root: give it a separate user",)
    return Made(documents=(document,), product="supervisord", notes=notes)


def _rows(made: Program) -> list[Row]:
    rows = [row(f"command={_escaped(shlex.join(made.words))}", made.reason("--exec"))]
    if made.user:
        rows.append(row(f"user={ini(made.user)}", made.reason("--user", "an intruder gets only the rights of this user")))
    if made.directory:
        rows.append(row(f"directory={_escaped(made.directory)}", made.reason("--directory")))
    if made.variables:
        pairs = (pair.split("=", 1) for pair in made.variables)
        rows.append(row("environment=" + ",".join(f"{name}={_quoted(value)}" for name, value in pairs)))
    return [
        *rows,
        row("autorestart=true", "the default, unexpected, does not restart a program that exits with status 0"),
        row("startsecs=3", "a start counts only after this many seconds"),
        row("startretries=10", "the default, three, gives up before a database is back"),
        row(f"stopwaitsecs={made.stop_s}", "longer than the proxy waits for an answer: requests in progress are finished"),
        row("killasgroup=true", "kills remaining workers too, so none keeps the port"),
        row("redirect_stderr=true", "one log, in order"),
        row(f"stdout_logfile=/var/log/supervisor/{made.name}.log", "a fixed name: by default each start creates a new file"),
        row("stdout_logfile_backups=5", "of 50 MB each; the default is 10"),
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
    help="Write a program for supervisord.",
    example="why502 generate supervisor --exec '/usr/bin/node /srv/shop/server.js' --user shop",
    options=_OWN,
    emit=emit,
    home="/etc/supervisor",
)
