"""Balancers and TLS towards backends. Source: the documentation of mod_proxy_balancer and mod_ssl (SSLProxyEngine)."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.apache.config.directives import Directive
from why502.linter.rules.apache.hosts import by_host, parts, passes, value
from why502.model.config import Position
from why502.model.finding import Risk, Severity

_TLS = ("https", "wss", "h2")


@rule(410, "ssl-proxy-engine-off", Severity.ERROR, "proxy-config-invalid")
def engine_off(deployment: Deployment) -> Iterator[Risk]:
    """A backend is configured with https, but `SSLProxyEngine On` is missing.

    Every request gets 500: `failed to enable ssl support for`.
    """
    hosts = by_host(deployment)
    general = value(hosts[0], "sslproxyengine")
    for lines in hosts.values():
        if (value(lines, "sslproxyengine") or general) == "on":
            continue
        seen: set[str] = set()
        for at, url in _targets(lines):
            found = parts(url)
            if found is None or found["scheme"].lower() not in _TLS or url in seen:
                continue
            seen.add(url)
            severity = Severity.ERROR if deployment.is_whole else Severity.WARNING
            yield risk(f"{url} needs TLS, which is not enabled for backends", at, "add `SSLProxyEngine On`", severity=severity)


def _targets(lines: list[Directive]) -> Iterator[tuple[Position, str]]:
    for found in passes(lines):
        yield found.at.at, found.url
    for each in lines:
        if each.name == "balancermember" and each.args:
            yield each.at, next((word for word in each.args if "://" in word and not word.startswith("balancer:")), "")
        elif (
            each.name == "rewriterule"
            and len(each.args) > 2
            and {"p", "proxy"} & set(each.args[2].strip("[]").lower().split(","))
        ):
            yield each.at, each.args[1]


@rule(411, "balancer-without-members", Severity.WARNING, "no-upstream-members")
def no_members(deployment: Deployment) -> Iterator[Risk]:
    """A ProxyPass leads to a balancer that has no members.

    httpd starts, and answers every such request with 503. Members in one virtual host do not belong to another.
    """
    if not deployment.is_whole:
        return
    hosts = by_host(deployment)
    for number, lines in hosts.items():
        known = {_group(each) for of in {0, number} for each in hosts[of] if each.name == "balancermember"}
        for found in passes(lines):
            name = found.url.lower().removeprefix("balancer://").split("/")[0]
            if found.url.lower().startswith("balancer://") and name not in known and "$" not in name:
                yield risk(f'balancer "{name}" has no members here', found.at.at, "add `BalancerMember`s in a <Proxy> section")


def _group(each: Directive) -> str:
    """Return the name of the balancer that a BalancerMember belongs to."""
    inside = each.scope.proxy if each.scope.proxy.lower().startswith("balancer://") else each.args[0] if each.args else ""
    return inside.lower().removeprefix("balancer://").split("/")[0]


@rule(412, "balancer-member-twice", Severity.WARNING, "all-upstreams-down")
def twice(deployment: Deployment) -> Iterator[Risk]:
    """A balancer has one member twice.

    Both are the same worker: what looks like a spare is not one, and the parameters of one of them are not used.
    """
    for lines in by_host(deployment).values():
        seen: dict[tuple[str, str], Position] = {}
        for each in lines:
            if each.name != "balancermember":
                continue
            url = next((word for word in each.args if "://" in word and not word.startswith("balancer:")), "")
            key = (_group(each), url.rstrip("/").lower())
            if url and "$" not in url and key in seen:
                yield risk(f"{url} is also the member at {seen[key]}", each.at, "remove one")
            seen.setdefault(key, each.at)


@rule(413, "client-host-sent-to-another-site", Severity.NOTE, "wrong-host-header")
def preserved(deployment: Deployment) -> Iterator[Risk]:
    """The client's Host is sent to a public site that has its own name (`ProxyPreserveHost On`).

    That site does not know the name and has no certificate for it: it answers with 404 or 421, or ends the handshake.
    """
    hosts = by_host(deployment)
    for lines in hosts.values():
        if (value(lines, "proxypreservehost") or value(hosts[0], "proxypreservehost")) != "on":
            continue
        names = {word.lower() for each in lines if each.name in ("servername", "serveralias") for word in each.args}
        for found in passes(lines):
            url = parts(found.url)
            host = url["host"].lower() if url else ""
            is_public = (
                "." in host and any(letter.isalpha() for letter in host) and not host.endswith((".local", ".internal", ".lan"))
            )
            if url and url["scheme"].lower() == "https" and is_public and host not in names and ":" not in host:
                yield risk(f"{host} is asked for the client's host name", found.at.at, "set `ProxyPreserveHost Off` for it")
