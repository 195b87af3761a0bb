"""A product's own test of its configuration files. Each product states how it is run in `gateways/<product>/testing.py`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Protocol, cast

from why502 import registry
from why502.gateways.running import Texts
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, Proxy


class Tester(Protocol):
    """How the configuration of one product is tested by its own program. `texts`: path and text of each of its files."""

    COMMAND: str  # as a person would run it; {} is the main file
    RUNS_CODE: re.Pattern[str]  # matches a directive whose code the test would run; its first group is the directive

    def arguments(self, proxy: Proxy, process: Process | None) -> tuple[str, ...]:
        """Return the arguments of its program. `process`: the main process, if it runs."""
        ...

    def modules(self, proxy: Proxy, texts: Texts) -> Iterable[str]:
        """Return the absolute paths of the modules that the test would load."""
        ...

    def variables(self, texts: Texts) -> frozenset[str]:
        """Return the names of the environment variables that its configuration reads."""
        ...

    def directories(self, proxy: Proxy) -> Iterable[str]:
        """Return the directories that a test writes to, outer ones first."""
        ...

    def files(self, proxy: Proxy) -> Iterable[str]:
        """Return the files that a test opens for writing."""
        ...

    def made(self, proxy: Proxy) -> Iterable[str]:
        """Return the files and directories that a test creates where they are missing, or gives to the workers' user."""
        ...

    def problems(self, output: str) -> tuple[ConfigProblem, ...]:
        """Return the errors that the test printed; warnings are none."""
        ...


def logs_in_files(proxy: Proxy) -> tuple[str, ...]:
    """Return the paths of a gateway's logs, each once."""
    return tuple(dict.fromkeys(log.path for log in proxy.logs if log.path))


def parents(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the directories of files, outer ones first."""
    return tuple(sorted({posixpath.dirname(path) for path in paths}, key=lambda path: (len(path), path)))


def tester(kind: str) -> Tester | None:
    """Return how a kind of gateway is tested; None for one whose test may do more than read."""
    return cast("Tester | None", registry.part("why502.gateways", kind, "testing"))
