"""A program that serves a site, in the terms of no service manager: one model for units, supervisord, PM2 and compose."""

from __future__ import annotations

import re
import shlex

from why502.generate import options
from why502.generate.options import Given, Option, refuse
from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.model.patterns import lazy
from why502.model.target import Target

_USER = lazy(r"[a-z_][a-z0-9_-]{0,30}\$?", re.ASCII)
_PAIR = lazy(r"[A-Za-z_][A-Za-z0-9_]{0,60}=[^\x00-\x1f\x7f]{0,500}")
_FILE = lazy(r"[\w./][\w./-]{0,60}", re.ASCII)
DRAIN_S = 30  # the proxy's usual read timeout: requests in progress end by then
_MARGIN_S = 5

NAME = Option(name="--name", metavar="NAME", help="The name of the application.")
OPTIONS = (
    NAME,
    Option(name="--exec", metavar="COMMAND", help="The command that starts the application, with its arguments, as in a shell."),
    Option(name="--app", metavar="ADDRESS", help="Where the application listens: 127.0.0.1:3000 or unix:/run/shop/app.sock."),
    Option(name="--user", metavar="USER", help="The user that runs the application."),
    Option(name="--directory", metavar="DIR", help="The directory in which the application starts."),
    Option(name="--env", metavar="NAME=VALUE", is_many=True, help="An environment variable. Secrets belong in a file."),
    Option(name="--env-file", metavar="FILE", help="A file of environment variables, for secrets."),
    Option(
        name="--memory",
        metavar="SIZE",
        help="The most memory that the application may use. If it needs more, only it is restarted.",
    ),
    Option(name="--read-timeout", metavar="TIME", help="How long the proxy waits for an answer. Default: 30s."),
)


class Program(Value, frozen=True, kw_only=True):
    """A program. `stop_s`: how long it may take to stop; longer than any request that the proxy still waits for.

    `sources`: for an option's name, where its value was measured.
    """

    name: str
    words: tuple[str, ...]
    target: Target | None = None
    user: str = ""
    directory: str = ""
    variables: tuple[str, ...] = ()
    variables_file: str = ""
    memory_bytes: int = 0
    stop_s: int = DRAIN_S + _MARGIN_S
    sources: dict[str, str] = {}

    def reason(self, option: str, usual: str = "") -> str:
        """Return the reason for the value of an option: where it was measured, then what it is for."""
        return "; ".join(filter(None, (self.sources.get(option, ""), usual)))


def program(given: Given) -> Program:
    """Return the program that the options describe. Raises Why502Error with the name of the option that is wrong."""
    if not given.has("--exec"):
        raise Why502Error("--exec is missing", "Give the command that starts the application: --exec '/usr/bin/node /srv/app.js'")
    words = command("--exec", given.get("--exec"))
    name = given.get("--name") or _name(words)
    drain_s = options.seconds("--read-timeout", given.get("--read-timeout", f"{DRAIN_S}s"), 1, 86400)
    return Program(
        name=options.name("--name", name),
        words=words,
        target=options.address("--app", given.get("--app")) if given.has("--app") else None,
        user=user("--user", given.get("--user")) if given.has("--user") else "",
        directory=options.path("--directory", given.get("--directory")) if given.has("--directory") else "",
        variables=tuple(_variable(value) for value in given.all("--env")),
        variables_file=options.path("--env-file", given.get("--env-file")) if given.has("--env-file") else "",
        memory_bytes=options.size("--memory", given.get("--memory"), 1 << 20, 1 << 50) if given.has("--memory") else 0,
        stop_s=drain_s + _MARGIN_S,
        sources=dict(given.sources),
    )


def _name(words: tuple[str, ...]) -> str:
    """Return a name for a command: that of its script, else of its program."""
    files = [word.rpartition("/")[2].partition(".")[0] for word in (*words[1:], words[0]) if _FILE.fullmatch(word)]
    plain = (re.sub(r"[^a-z0-9]+", "-", one.lower()).strip("-") for one in files)
    return next((one for one in plain if one[:1].isalpha()), "app")


def command(option: str, value: str) -> tuple[str, ...]:
    """Return the words of a command; the first is an absolute path. Raises Why502Error."""
    try:
        words = tuple(shlex.split(value))
    except ValueError as error:
        raise refuse(option, value, f"is not a command: {str(error).lower()}", "Quote it as in a shell.") from error
    if not words or not words[0].startswith("/"):
        raise refuse(
            option, value, "does not begin with an absolute path", "Give the program's path: --exec '/usr/bin/node app.js'."
        )
    options.path(option, words[0])
    if any(not word.isprintable() for word in words):
        raise refuse(option, value, "has a line break or a control character", "Put such values in a file.")
    return words


def user(option: str, value: str) -> str:
    """Return the name of a user. Raises Why502Error."""
    if not _USER.fullmatch(value):
        raise refuse(option, value, "is not a user name", "Write it like www-data.")
    return value


def _variable(value: str) -> str:
    if not _PAIR.fullmatch(value):
        raise refuse("--env", value, "is not NAME=VALUE in one line", "Write it like --env NODE_ENV=production.")
    return value
