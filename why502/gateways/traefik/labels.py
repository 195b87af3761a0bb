"""The routes for which a container's labels ask Traefik.

Traefik ignores labels of other roots than its own. One that it does not know below `http`, `tcp` or `udp` makes it leave out the
whole container. Labels of Traefik 1 (`traefik.frontend.rule`) are among the ignored ones.
Sources: doc.traefik.io/traefik/reference/routing-configuration/other-providers/docker; github.com/traefik/traefik/v3
pkg/config/label, pkg/provider/docker/config.go; measured with docker in `make containers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from why502.gateways.traefik.config.rules import hosts_and_paths
from why502.model.container import LabelledRoute

KIND = "traefik"
_PREFIX = "traefik."
_MOST = 32
_ROOTS = frozenset({"enable", "http", "tcp", "udp", "tls", "docker", "swarm"})
_BELOW = {
    "http": frozenset({"routers", "services", "middlewares", "serverstransports", "models"}),
    "tcp": frozenset({"routers", "services", "middlewares", "serverstransports", "models"}),
    "udp": frozenset({"routers", "services"}),
}


def routes(labels: Mapping[str, str]) -> Iterator[LabelledRoute]:
    """Yield a route for each HTTP router in the labels; one without a name if labels for Traefik name no router."""
    own = {name: value for name, value in labels.items() if name.lower().startswith(_PREFIX)}
    if not own:
        return
    enabled = next((value.strip().lower() for name, value in own.items() if name.lower() == f"{_PREFIX}enable"), "")
    is_enabled = None if not enabled else enabled in ("true", "1", "t")
    mistake = next((f"the label {name} has a name that it does not know" for name in own if not _is_known(name)), "")
    rules: dict[str, str] = {}
    for name, value in own.items():
        words = name.split(".")
        if len(words) > 4 and [word.lower() for word in words[1:3]] == ["http", "routers"]:
            rules.setdefault(words[3], "")
            if words[4].lower() == "rule":
                rules[words[3]] = value
    for router, rule in list(rules.items())[:_MOST] or [("", "")]:
        hosts, paths = hosts_and_paths(rule)
        yield LabelledRoute(
            gateway=KIND, name=router, server_names=hosts, locations=paths, is_enabled=is_enabled, mistake=mistake
        )


def _is_known(name: str) -> bool:
    words = [*name.lower().split("."), ""]
    return words[1] in _ROOTS and (words[1] not in _BELOW or words[2] in _BELOW[words[1]])
