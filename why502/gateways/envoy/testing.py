"""The test of Envoy's configuration: `envoy --mode validate`. It binds no port and sends no request to a backend.

It opens the access logs, and asks the name server for the names in clusters of type STRICT_DNS.

Source: docs/root/operations/cli.rst (--mode); source/server/config_validation/server.cc; seen with Envoy 1.40.
"""

from __future__ import annotations

import re
from itertools import pairwise

from why502.gateways.envoy.running import words
from why502.gateways.running import Texts
from why502.gateways.testing import logs_in_files, parents
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, Proxy

COMMAND = "envoy --mode validate -c {}"
_KEPT = ("--config-yaml", "--service-node", "--service-cluster", "--service-zone")  # what changes the meaning of the files
_FLAGS = ("--allow-unknown-static-fields", "--allow-unknown-fields", "--reject-unknown-dynamic-fields")
# Filters that run code of their own when they are loaded
RUNS_CODE = re.compile(r"(envoy\.extensions\.[\w.]{0,200}?(?:lua|wasm|golang|dynamic_modules)[\w.]{0,200})")
_ERROR = lazy(r"\[(?:error|critical)\]\[[\w.]{1,40}\] \[[^\]\n]{1,200}\] (?P<message>[^\n]{1,2000})")
_FOLLOWS = lazy(r"error initializing configuration '[^'\n]{0,500}': (?P<message>[^\n]{1,2000})")
_MOST = 1 << 20


def arguments(proxy: Proxy, process: Process | None) -> tuple[str, ...]:
    """Return `--mode validate`, its file, and the options of the running process that change what the file means."""
    argv = words(process) if process else []
    kept = [word for option, value in pairwise(argv) if option in _KEPT for word in (option, value)]
    flags = [word for word in argv if word in _FLAGS]
    is_in_file = any(file.path == proxy.config for file in proxy.files)
    return ("--mode", "validate", *(("-c", proxy.config) if is_in_file else ()), *kept, *flags)


def modules(proxy: Proxy, texts: Texts) -> tuple[str, ...]:  # noqa: ARG001 - the interface of every product
    """Return none: it loads no modules but those refused above."""
    return ()


def variables(texts: Texts) -> frozenset[str]:  # noqa: ARG001 - the interface of every product
    """Return none: its files hold no variables of the environment."""
    return frozenset()


def files(proxy: Proxy) -> tuple[str, ...]:
    """Return the access logs: the test opens them, and makes those that are missing."""
    return logs_in_files(proxy)


made = files


def directories(proxy: Proxy) -> tuple[str, ...]:
    """Return the directories of its logs."""
    return parents(files(proxy))


def problems(output: str) -> tuple[ConfigProblem, ...]:
    """Return the errors."""
    found = []
    for match in _ERROR.finditer(output[:_MOST]):
        if (inner := _FOLLOWS.match(match["message"])) is not None:
            found.append(inner["message"])
        elif not found:
            found.append(match["message"])
    return tuple(ConfigProblem(message=message, source="envoy --mode validate") for message in dict.fromkeys(found))
