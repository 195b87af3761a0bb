"""The test of Caddy's configuration: `caddy validate`. It sets up every module, and starts nothing.

It opens logs, and its storage for certificates. Source: caddyserver.com/docs/command-line#caddy-validate; seen with Caddy 2.11.
"""

from __future__ import annotations

import re
from itertools import pairwise

from why502.gateways.running import Texts
from why502.gateways.testing import logs_in_files, parents
from why502.model import foreign_json
from why502.model.config import Position
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, Proxy

COMMAND = "caddy validate --config {}"
RUNS_CODE = re.compile(
    r"^[ \t]*(exec|command|events[ \t]*\{|supervisor)\b|\"(?:module|handler)\": ?\"(exec|command)\"", re.MULTILINE
)
_VARIABLE = lazy(r"\{(?:\$|env\.)(\w{1,128})")
_PLACE = lazy(r"(?P<file>/[^\n:]{1,1000}):(?P<line>\d{1,9})")
_FIRST = lazy(r"(?P<file>/[^\n:]{1,1000}):(?P<line>\d{1,9}):? ?-? ?(?P<message>.+)", re.DOTALL)
_STAGES = lazy(r"^(?:adapting config using \w{1,40}|loading new config|loading \w{1,40} app module|provision \w{1,40}): ")
_LONGEST = 2000
_MOST = 1 << 20


def arguments(proxy: Proxy, process: Process | None) -> tuple[str, ...]:
    """Return `validate` with its file, and the adapter of the running process."""
    argv = [part for word in (process.argv if process else ()) for part in word.split("=", 1)]
    adapter = next((after for word, after in pairwise(argv) if word in ("--adapter", "-a")), "")
    return ("validate", "--config", proxy.config, *(("--adapter", adapter) if adapter else ()))


def modules(proxy: Proxy, texts: Texts) -> tuple[str, ...]:  # noqa: ARG001 - the interface of every product
    """Return none: its modules are part of the program."""
    return ()


def variables(texts: Texts) -> frozenset[str]:
    """Return the variables of the environment that the files name, and those that say where it stores certificates."""
    named = {match[1] for _, text in texts for match in _VARIABLE.finditer(text[:_MOST])}
    return frozenset((*named, "HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")) if named else frozenset()


def files(proxy: Proxy) -> tuple[str, ...]:
    """Return the logs: the test opens them, and makes those that are missing."""
    return logs_in_files(proxy)


made = files


def directories(proxy: Proxy) -> tuple[str, ...]:
    """Return the directories of its logs."""
    return parents(files(proxy))


def problems(output: str) -> tuple[ConfigProblem, ...]:
    """Return the error of a test: its last line, a line of its log, before 2.8 `Error: …`."""
    last = next((line for line in reversed(output[-_MOST:].splitlines()) if line.strip()), "")
    try:
        entry = foreign_json.decode(last)
    except ValueError:
        entry = {"level": "error", "msg": last.removeprefix("Error: ")} if last.startswith("Error: ") else {}
    if not isinstance(entry, dict) or entry.get("level") not in ("error", "fatal") or not isinstance(entry.get("msg"), str):
        return ()
    return (_problem(_STAGES.sub("", entry["msg"][:_LONGEST])),)


def _problem(message: str) -> ConfigProblem:
    before, _, place = message.partition(" import chain: ")[0].rpartition(" at /")
    match = _FIRST.fullmatch(message)
    said = match["message"] if match else message
    if match is None and before and (match := _PLACE.fullmatch(f"/{place}")):
        said = before.removesuffix(",")
    at = Position(file=match["file"], line=int(match["line"])) if match else None
    return ConfigProblem(message=said.strip(), at=at, source="caddy validate")
