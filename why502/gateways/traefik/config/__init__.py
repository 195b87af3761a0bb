"""Traefik's configuration: the routes, groups and logs of its static and its dynamic configuration."""

from __future__ import annotations

from collections.abc import Mapping

from why502.config.configuration import Configuration
from why502.gateways.running import Texts
from why502.gateways.traefik.config.dynamic import Parts, configured, unused_routes
from why502.gateways.traefik.config.fields import part, read
from why502.gateways.traefik.config.match import finder
from why502.gateways.traefik.config.static import NO_STATIC, attaches_by_default, has_other_providers, understood
from why502.model.proxy import ConfigFile, ConfigProblem

__all__ = ["Configuration", "finder", "load", "together"]


def load(text: str, file: str) -> Configuration:
    """Return the configuration in one text: a static or a dynamic one. Accepts any text."""
    return together([(file, text)], None)


def together(texts: Texts, _: Mapping[str, str] | None) -> Configuration:
    """Return the configuration in all its texts: the first may be the static one, whose entry points the routers name."""
    static, parts = NO_STATIC, Parts()
    problems: list[ConfigProblem] = []
    for number, (file, text) in enumerate(texts):
        tree, wrong = read(text, file)
        if "{{" not in text:  # a template, which only Traefik can fill in
            problems += wrong
        if number == 0 and not part(tree, "http") and not part(tree, "tcp"):
            static = understood(text, file)
        else:
            parts.add(tree, file)
    routes, groups, lost = configured(parts, static)
    return Configuration(
        files=tuple(ConfigFile(path=file) for file, _ in texts if file.startswith("/")),
        routes=routes,
        routes_elsewhere=has_other_providers(static),
        unused_routes=unused_routes(parts, static),
        attaches_by_default=attaches_by_default(static),
        upstreams=groups,
        logs=tuple(dict.fromkeys(static.logs())) if static.file else (),
        problems=(*problems, *lost),
    )
