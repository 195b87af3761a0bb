"""Servers for probes: a scripted one, and real ones, all on loopback or on unix sockets in their own directories."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from serving import directory, nginx, serve, start  # noqa: F401 - fixtures

from why502.host.local import LocalHost
from why502.model.probe import Probe
from why502.model.target import Target
from why502.probing.probe import probe
from why502.probing.request import Request


@pytest.fixture
def host() -> LocalHost:
    return LocalHost()


@pytest.fixture
def ask(host: LocalHost) -> Callable[..., Probe]:
    """Probe a target with short limits; any field of the request can be given."""

    def probed(target: Target, **fields: object) -> Probe:
        return probe(host, Request(**{"target": target, "answer_s": 1.5, "connect_s": 1.5, "host": "example.com", **fields}))

    return probed
