"""The test of Apache httpd's configuration: `httpd -t`. It opens no log, binds no port and starts no process: httpd exits before
its modules prepare to run.

Sources: httpd(8); server/main.c (the order of reading, testing and opening logs).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from why502.gateways.running import Texts
from why502.model.config import Position
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, Proxy

COMMAND = "apachectl -t"
_KEPT = ("-f", "-d", "-D", "-c", "-C")  # options with a value that change what the files mean
RUNS_CODE = lazy(
    r"^[ \t]*<?(Perl(?:Require|Module|LoadModule|ConfigRequire)?|LoadFile|SecRuleScript|SecRemoteRules|PythonImport)\b",
    re.MULTILINE | re.IGNORECASE,
)
_MODULE = lazy(r"^[ \t]*LoadModule[ \t]+\S+[ \t]+\"?([^\s\"]+)", re.MULTILINE | re.IGNORECASE)
_ROOT = lazy(r"^[ \t]*ServerRoot[ \t]+\"?([^\s\"]+)", re.MULTILINE | re.IGNORECASE)
_VARIABLE = lazy(r"\$\{(\w{1,100})\}")
_PLACE = lazy(r"Syntax error on line (?P<line>\d{1,9}) of (?P<file>/[^:\n]{1,500}):[ \n]?")
_NUMBER = lazy(r"\A(?:AH\d{5}: )?(?:[\w./-]{1,200}: )?")
_HARMLESS = ("AH00557", "AH00558", "AH00112", "Syntax OK")  # the name of the machine, a missing DocumentRoot
_MOST = 1 << 20


def arguments(proxy: Proxy, process: Process | None) -> tuple[str, ...]:
    """Return `-t`, and the options of the running process that change what its files mean."""
    argv = iter((process.argv if process else ())[1:])
    kept: list[str] = []
    for word in argv:
        if word in _KEPT:
            kept += (word, next(argv, ""))
        elif word[:2] in _KEPT:
            kept.append(word)  # -DNAME
    if not any(word.startswith("-f") for word in kept) and not process:
        kept += ("-f", proxy.config)
    return ("-t", *kept)


def modules(proxy: Proxy, texts: Texts) -> Iterator[str]:
    """Yield the paths of `LoadModule`."""
    roots = [match[1] for _, text in texts[:1] if (match := _ROOT.search(text))]
    base = posixpath.join(posixpath.dirname(proxy.config), *roots)
    for _, text in texts:
        for match in _MODULE.finditer(text):
            yield posixpath.join(base, match[1])


def variables(texts: Texts) -> frozenset[str]:
    """Return the names of the variables in its files. Those of `Define` are none of the environment, and do no harm."""
    return frozenset(match[1] for _, text in texts for match in _VARIABLE.finditer(text))


def directories(proxy: Proxy) -> tuple[str, ...]:  # noqa: ARG001 - the interface of every product
    """Return none: the test writes nothing."""
    return ()


files = made = directories


def problems(output: str) -> tuple[ConfigProblem, ...]:
    """Return the first error: httpd stops there. Its place is that in the innermost included file."""
    text = output[:_MOST]
    places = list(_PLACE.finditer(text))
    if places:
        message = text[places[-1].end() :].partition("\n")[0].strip()
        at = Position(file=places[-1]["file"], line=int(places[-1]["line"]))
        return (ConfigProblem(message=message, at=at, source=COMMAND),)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_HARMLESS)]
    return tuple(ConfigProblem(message=line[_end(line) :], source=COMMAND) for line in lines[:1])


def _end(line: str) -> int:
    match = _NUMBER.match(line)
    return match.end() if match else 0
