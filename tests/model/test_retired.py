"""A bundle of an earlier version, with removed fields, can still be read; other unknown fields are refused."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from sampled import sampled

from why502.bundle import SCHEMA, load
from why502.model import config, logs, snapshot
from why502.model.errors import Why502Error
from why502.model.retired import RETIRED

NOW: dict[str, Any] = {"taken_at": "2026-11-21T00:00:00Z"}
HOMES: dict[str, Any] = {  # where in a snapshot each kind occurs, and its required fields
    "Kernel": lambda one: {"kernel": one},
    "LogSummary": lambda one: {"logs": one},
    "PathStep": lambda one: {"socket_paths": [{"path": "/a", "steps": [{"path": "/", "kind": "directory", **one}]}]},
    "Peer": lambda one: {"proxies": [{"upstreams": [{"name": "a", "peers": [{"name": "b", **one}]}]}]},
    "PhpPool": lambda one: {"php_pools": [{"name": "www", **one}]},
    "Pressure": lambda one: {"pressure": [one]},
    "Probe": lambda one: {"probes": [{"target": {"path": "/a"}, **one}]},
    "Process": lambda one: {"processes": [{"pid": 1, **one}]},
    "Proxy": lambda one: {"proxies": [one]},
    "Route": lambda one: {"proxies": [{"routes": [one]}]},
    "Service": lambda one: {"services": [{"manager": "systemd", "name": "a", **one}]},
    "TargetTraffic": lambda one: {"logs": {"targets": [{"target": {"path": "/a"}, **one}]}},
}


def packed(fields: dict[str, Any]) -> bytes:
    return gzip.compress(json.dumps({"schema": SCHEMA, "why502": "1", "snapshot": NOW | fields}).encode())


@pytest.mark.parametrize(
    ("kind", "name"), sampled([(kind, name) for kind, names in RETIRED.items() for name in sorted(names)], 4)
)
def test_a_removed_field_is_ignored(kind: str, name: str) -> None:
    home = HOMES[kind]
    assert load(packed(home({name: 5})), "x") == load(packed(home({})), "x")
    assert load(packed(home({name: {"a": [1]}})), "x") == load(packed(home({})), "x")


@pytest.mark.parametrize("kind", RETIRED)
def test_an_unknown_field_is_refused_beside_it(kind: str) -> None:
    gone = min(RETIRED[kind])
    with pytest.raises(Why502Error, match="no_such"):
        load(packed(HOMES[kind]({gone: 5, "no_such": 1})), "x")


def test_only_removed_fields_are_retired() -> None:
    homes = {name: kind for module in (snapshot, config, logs) for name, kind in vars(module).items()}
    for kind, names in RETIRED.items():
        assert not names & set(homes[kind].__struct_fields__), kind


def test_names_of_settings_are_not_fields() -> None:
    pool = {"name": "www", "settings": {"user": "web", "listen": "/run/a.sock"}, "user": "web"}
    (kept,) = load(packed({"php_pools": [pool]}), "x").php_pools or ()
    assert kept.settings == pool["settings"]
