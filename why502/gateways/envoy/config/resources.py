"""The resources in one of Envoy's files: a bootstrap, a file of a discovery service, or the running configuration.

Sources: api/envoy/config/bootstrap/v3/bootstrap.proto; api/envoy/service/discovery/v3/discovery.proto (DiscoveryResponse);
api/envoy/admin/v3/config_dump.proto.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from why502.config import yaml_text
from why502.config.yaml_text import NOTHING, Item
from why502.model import foreign_json
from why502.model.proxy import ConfigProblem

_YAML_BYTES = 1 << 20  # a larger text is only read if it is JSON, which is much faster
# The parts of a running configuration: the lists in it, and what leads from an element to its resource.
_DUMPED = {
    "static_listeners": ("listener",),
    "dynamic_listeners": ("active_state", "listener"),
    "static_clusters": ("cluster",),
    "dynamic_active_clusters": ("cluster",),
    "static_route_configs": ("route_config",),
    "dynamic_route_configs": ("route_config",),
    "static_endpoint_configs": ("endpoint_config",),
    "dynamic_endpoint_configs": ("endpoint_config",),
}

_SOURCES = ("lds_config", "cds_config", "eds_config", "config_source")


@dataclass(slots=True)
class Resources:
    """What the files define, by kind. `clusters`, `tables` (of routes) and `endpoints` are by name."""

    listeners: list[Item] = field(default_factory=list)
    clusters: dict[str, Item] = field(default_factory=dict)
    tables: dict[str, Item] = field(default_factory=dict)
    endpoints: dict[str, Item] = field(default_factory=dict)
    bootstrap: Item = NOTHING
    problems: tuple[ConfigProblem, ...] = ()

    def add(self, kind: str, item: Item) -> None:
        """Add a resource; `kind` is the last part of its type's name."""
        if kind == "Listener":
            self.listeners.append(item)
        elif kind == "Cluster":
            self.clusters.setdefault(item["name"].text, item)
        elif kind == "RouteConfiguration":
            self.tables.setdefault(item["name"].text, item)
        elif kind == "ClusterLoadAssignment":
            self.endpoints.setdefault(item["cluster_name"].text, item)


def read(text: str, file: str) -> Resources:
    """Return the resources in one text."""
    return joined([text], [file])


def joined(texts: Iterable[str], files: Iterable[str]) -> Resources:
    """Return the resources in several files together."""
    found = Resources()
    for text, file in zip(texts, files, strict=True):
        document, problems = _document(text, file)
        found.problems += problems
        _add(document, found)
    return found


def paths(text: str, file: str) -> Iterator[str]:
    """Yield the files that a file names as its discovery service, as written; none of secrets."""
    document, _ = _document(text, file)
    waiting = [document]
    while waiting:
        item = waiting.pop()
        for name in _SOURCES:
            source = item[name]
            if path := source["path_config_source"]["path"].text or source["path"].text:
                yield path
        waiting += item.members.values() if item.members else list(item)


def absolute(path: str, directory: str) -> str:
    """Return a path as Envoy opens it: relative ones start at its working directory."""
    return posixpath.normpath(posixpath.join(directory or "/", path))


def kind_of(item: Item) -> str:
    """Return the last part of the name of a value's type: `HttpConnectionManager`."""
    return item["@type"].text.rpartition(".")[2]


def _document(text: str, file: str) -> tuple[Item, tuple[ConfigProblem, ...]]:
    if len(text) > _YAML_BYTES and text.lstrip().startswith("{"):
        try:
            return yaml_text.of_plain(foreign_json.decode(text)), ()
        except (ValueError, RecursionError):
            pass
    return yaml_text.read(text, file)


def _add(document: Item, found: Resources) -> None:
    for part in document["configs"]:
        if "bootstrap" in part:
            found.bootstrap = part["bootstrap"]
        for name, way in _DUMPED.items():
            for element in part[name]:
                item = element
                for step in way:
                    item = item[step]
                found.add(kind_of(item), item)
    for item in document["resources"]:
        found.add(kind_of(item), item)
    static = document["static_resources"]
    for item in static["listeners"]:
        found.add("Listener", item)
    for item in static["clusters"]:
        found.add("Cluster", item)
    if static or document["admin"] or document["dynamic_resources"] or document["node"]:
        found.bootstrap = document
