"""The command line of an nginx master, from /proc/PID/cmdline (ngx_get_options in src/core/nginx.c, ngx_setproctitle)."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from why502.model.patterns import lazy

# "nginx: master process /usr/sbin/nginx -c x.conf"; Angie writes "angie: master process v1.8.0 #1 [/usr/sbin/angie]".
_TITLE = lazy(r"(?P<product>[\w-]+): (?P<role>[a-z][a-z ]*?process(?: is shutting down)?)(?: (?P<rest>\S.*))?", re.DOTALL)
_ANGIE = lazy(r"v\S+ #\d+ \[(.*)\]", re.DOTALL)
_PROGRAMS = lazy(r"(?:nginx|openresty|angie|tengine|freenginx)(?:[-_.\d].*)?")
_WITH_VALUE = "cpegs"
_WITHOUT_VALUE = "?hvVtTqlm"  # l and m: Tengine's options
_SHUTTING_DOWN = "is shutting down"


@dataclass(frozen=True, slots=True)
class Options:
    """The command-line options of nginx, as given; "" for missing ones.

    `is_action`: it tests or signals, and does not serve.
    """

    config: str = ""
    prefix: str = ""
    directives: str = ""
    error_log: str = ""
    is_action: bool = False


@dataclass(frozen=True, slots=True)
class Title:
    """The parts of an nginx process title: `role` "master process", "worker process", "cache manager process"…"""

    product: str
    role: str
    is_leaving: bool = False  # a worker of an earlier configuration that is finishing its requests
    words: tuple[str, ...] = ()  # command line of a master


def parse_title(argv: tuple[str, ...]) -> Title | None:
    """Return the parts of a title; None if the command line is not an nginx title."""
    match = _TITLE.fullmatch(" ".join(argv).rstrip())
    if match is None:
        return None
    rest = match["rest"] or ""
    if angie := _ANGIE.fullmatch(rest):
        rest = angie[1]
    role = match["role"]
    is_leaving = role.endswith(_SHUTTING_DOWN)
    words = tuple(rest.split()) if role == "master process" else ()
    return Title(match["product"], role.removesuffix(_SHUTTING_DOWN).rstrip(), is_leaving, words)


def is_nginx(program: str) -> bool:
    """Return whether a program has the name of nginx or a derivative."""
    return _PROGRAMS.fullmatch(posixpath.basename(program.removesuffix(" (deleted)"))) is not None


def parse_options(words: tuple[str, ...]) -> Options:
    """Return the options of a command line without the program's name.

    A title has lost its quoting: the value of `-g` then extends to the last word before the next option.
    """
    values = dict.fromkeys(_WITH_VALUE, "")
    is_action = False
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-"):
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter in _WITH_VALUE:
                value = word[place + 1 :]
                if not value and at < len(words):
                    value = words[at]
                    at += 1
                if letter == "g":
                    while at < len(words) and not _is_option(words[at]):
                        value += f" {words[at]}"
                        at += 1
                values[letter] = value
                is_action = is_action or letter == "s"
                break
            if letter in _WITHOUT_VALUE:
                is_action = is_action or letter != "q"
    return Options(values["c"], values["p"], values["g"], values["e"], is_action)


def _is_option(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and word[1] in _WITH_VALUE + _WITHOUT_VALUE
