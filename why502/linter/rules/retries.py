"""Groups whose settings do not do what they seem to."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.model.finding import Risk, Severity

_METHODS = ("ip_hash", "least_conn", "hash", "random", "least_time")


@rule(201, "group-setting-in-vain", Severity.WARNING, "all-upstreams-down")
def in_vain(deployment: Deployment) -> Iterator[Risk]:
    """A group has the same server twice, or two balancing methods.

    The second try goes to the same server, which has just failed. Of two methods the last one holds (`load balancing method
    redefined`).
    """
    for level in deployment.blocks("upstream"):
        seen: set[str] = set()
        for server in level.own("server"):
            if server.args[:1] and server.args[0] in seen:
                yield risk(f"{server.args[0]} is in the group twice", server.at, "remove one, or give the other a weight")
            seen.update(server.args[:1])
        methods = level.own(*_METHODS)
        if len(methods) > 1:
            yield risk(f"{methods[-1].name} replaces {methods[0].name}", methods[-1].at, "keep one of them")


@rule(202, "timeout-not-retried", Severity.NOTE, "proxy-timeout-too-short")
def not_retried(deployment: Deployment) -> Iterator[Risk]:
    """A server that does not answer in time is not followed by another one, although the group has several.

    `proxy_next_upstream` does not list `timeout`, or `proxy_next_upstream_timeout` has passed when the read timeout ends and the
    number of tries is not limited either.
    """
    seen = set()
    for route in deployment.routes:
        if len(route.peers) < 2 or route.protocol not in ("http", "https", "fastcgi", "uwsgi", "scgi"):
            continue
        module = route.directive.removesuffix("_pass")
        conditions = route.setting(f"{module}_next_upstream")
        limit = route.setting(f"{module}_next_upstream_timeout")
        limit_s = units.time(limit.args[0]) if limit and limit.args else None
        if conditions and not {"timeout", "off"} & set(conditions.args) and conditions.at not in seen:
            seen.add(conditions.at)
            yield risk("a timeout of one server reaches the client", conditions.at, "add timeout")
        elif route.setting(f"{module}_next_upstream_tries"):  # retries are limited on purpose
            continue
        elif limit and limit_s and limit_s <= route.read_timeout_s and limit.at not in seen:
            seen.add(limit.at)
            message = f"no second server is tried after a read timeout of {route.read_timeout_s:g} s"
            yield risk(message, limit.at, "make it longer than the read timeout")


@rule(203, "setting-of-another-module", Severity.NOTE, "proxy-timeout-too-short")
def other_module(deployment: Deployment) -> Iterator[Risk]:
    """A location has a timeout of `proxy_pass`, and passes with another directive, or caches without buffering.

    Each module has its own settings: `fastcgi_read_timeout` for `fastcgi_pass`. Without buffering nothing is cached.
    """
    kinds = ("read_timeout", "send_timeout", "connect_timeout", "cache")
    names = {f"{module}_{kind}" for module in ("proxy", "fastcgi", "uwsgi", "grpc") for kind in kinds}
    for level in deployment.blocks("location") if not names.isdisjoint(deployment.directives) else ():
        passes = [line.name.removesuffix("_pass") for line in level.own("proxy_pass", "fastcgi_pass", "uwsgi_pass", "grpc_pass")]
        for module in ("proxy", "fastcgi", "uwsgi", "grpc"):
            own = level.own(f"{module}_read_timeout", f"{module}_send_timeout", f"{module}_connect_timeout")
            is_nested = any(line.children is not None and line.name == "location" for line in level.directives)
            if own and passes and module not in passes and not is_nested:
                yield risk(
                    f"{own[0].name} does not hold for {passes[0]}_pass",
                    own[0].at,
                    f"write {passes[0]}_{own[0].name.partition('_')[2]}",
                )
            cache = level.settings.get(f"{module}_cache")
            if module in passes and cache and cache[-1].args != ("off",) and level.first(f"{module}_buffering") == "off":
                at = level.settings[f"{module}_buffering"][-1].at
                yield risk(f"nothing is cached while {module}_buffering is off", at, "remove one of them")


@rule(204, "body-limit-in-bytes", Severity.WARNING, "request-too-large")
def in_bytes(deployment: Deployment) -> Iterator[Risk]:
    """The limit of the request body is a few bytes: its unit is missing.

    `client_max_body_size 20` are 20 bytes. Every form is refused with 413.
    """
    for _, directive in deployment.uses("client_max_body_size"):
        size = units.size(directive.args[0]) if directive.args else None
        if size and size < 1024:
            yield risk(f"the request body may have {size} bytes", directive.at, f"write {directive.args[0]}m")


@rule(205, "timeout-of-zero", Severity.ERROR, "proxy-timeout-too-short")
def zero(deployment: Deployment) -> Iterator[Risk]:
    """A timeout of 0 does not mean that there is none.

    nginx gives up at once: every request that the backend does not answer immediately gets 504.
    """
    names = (
        f"{module}_{kind}_timeout" for module in ("proxy", "fastcgi", "uwsgi", "scgi", "grpc") for kind in ("read", "connect")
    )
    for level, directive in deployment.uses(*names):
        if directive.args[:1] and units.time(directive.args[0]) == 0 and level.path[:1] != ("stream",):
            yield risk(f"{directive.name} 0 ends at once", directive.at, "write a long time, such as 1h")
