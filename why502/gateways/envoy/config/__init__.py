"""Envoy's configuration: the routes, clusters and logs in its files, or in its running configuration.

Read-only; unknown fields are skipped. A route's limits are those that end a request first.
"""

from __future__ import annotations

from why502.config.configuration import Configuration
from why502.gateways.envoy.config.access_logs import logs
from why502.gateways.envoy.config.clusters import clusters, target_of
from why502.gateways.envoy.config.match import finder
from why502.gateways.envoy.config.resources import Resources, absolute, joined, paths, read
from why502.gateways.envoy.config.routes import MISSING, fronts
from why502.model.config import LogTarget, Route
from why502.model.proxy import ConfigFile
from why502.model.target import Target

__all__ = ["MISSING", "absolute", "admin_address", "finder", "load", "of_all", "paths", "routes_between"]

_DYNAMIC = ("lds_config", "cds_config", "ads_config")


def load(text: str, file: str) -> Configuration:
    """Return the configuration in one file. Accepts any text."""
    return _configuration(read(text, file), (ConfigFile(path=file, text="" if file.startswith("/") else text),))


def of_all(texts: list[tuple[str, str]]) -> Configuration:
    """Return the configuration in several files together: a listener of one leads to a cluster of another."""
    found = joined((text for _, text in texts), (path for path, _ in texts))
    return _configuration(found, tuple(ConfigFile(path=path) for path, _ in texts))


def routes_between(texts: list[tuple[str, str]]) -> tuple[Route, ...]:
    """Return the routes that lead from one file to another, and those that lead to no cluster at all."""
    if len(texts) < 2:
        return ()
    alone = {route.at for path, text in texts for route in load(text, path).routes}
    return tuple(route for route in of_all(texts).routes if route.at not in alone)


def admin_address(texts: list[tuple[str, str]]) -> Target | None:
    """Return the address of the admin interface; None if no file names one."""
    found = (target_of(read(text, path).bootstrap["admin"]["address"]) for path, text in texts)
    return next((target for target in found if target is not None), None)


def _configuration(found: Resources, files: tuple[ConfigFile, ...]) -> Configuration:
    known = clusters(found)
    dynamic = found.bootstrap["dynamic_resources"]
    is_whole = bool(found.bootstrap) and not any(dynamic[name] for name in _DYNAMIC)
    made = fronts(found, known, is_whole=is_whole)
    own: list[LogTarget] = list(dict.fromkeys((*made.logs, *logs(found.bootstrap["admin"]["access_log"]))))
    return Configuration(
        files=files,
        routes=tuple(made.routes),
        upstreams=tuple(cluster.upstream for cluster in known.values()),
        answers=tuple(made.answers),
        logs=tuple(own),
        listens=tuple(made.listens),
        problems=found.problems,
        routes_elsewhere=any(dynamic[name] for name in _DYNAMIC),
    )
