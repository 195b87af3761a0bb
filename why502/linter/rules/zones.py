"""Definitions of zones that nginx refuses."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.gateways.nginx.config.files import Directive
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_SMALLEST = 8 * 4096  # bytes: eight pages (ngx_http_limit_req_zone and others)
_RATE = lazy(r"rate=[1-9]\d*(?:r/s|r/m)?")


@rule(175, "zone-refused", Severity.ERROR, "proxy-config-invalid")
def refused(deployment: Deployment) -> Iterator[Risk]:
    """A zone of a limit or a cache lacks its name, its size or a valid rate.

    nginx refuses the configuration: `must have "keys_zone" parameter`, `invalid rate`, `zone is too small`. Rates are per second
    (r/s) or minute (r/m); a zone has at least eight pages of memory.
    """
    for level in deployment.blocks("http", "stream", ""):
        for directive in level.directives:
            if problem := _problem(directive):
                yield risk(problem, directive.at, "write zone=NAME:SIZE (at least 32k), and a rate in r/s or r/m")


def _problem(directive: Directive) -> str:
    if directive.name.endswith("_cache_path"):
        return "" if any(word.startswith("keys_zone=") for word in directive.args) else 'it has no "keys_zone"'
    if directive.name not in ("limit_req_zone", "limit_conn_zone") or any("$" in word for word in directive.args[1:]):
        return ""
    zone = next((word[5:] for word in directive.args if word.startswith("zone=")), "")
    size = units.size(zone.partition(":")[2])
    if size is None:
        return 'it has no "zone" with a size'
    if size < _SMALLEST:
        return f"a zone of {zone.partition(':')[2]} is too small"
    bad = next((word for word in directive.args if word.startswith("rate=") and not _RATE.fullmatch(word)), "")
    return f'"{bad}" is not a rate' if bad else ""
