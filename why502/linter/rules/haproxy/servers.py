"""Servers of HAProxy: twice the same, names that are looked up once, TLS that cannot be verified, requests sent twice.

Source: doc/configuration.txt, 4.2 (retry-on, http-request disable-l7-retry), 5.2 (ssl, verify, ca-file, resolvers) and 5.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.linter.rules.haproxy.proxies import BACKS, FRONTS, all_of, globals_of, proxies, rules, servers
from why502.model.config import Position
from why502.model.finding import Risk, Severity
from why502.model.times import whole_number

_INVALID = "proxy-config-invalid"
_SENT_ALREADY = frozenset(
    {"all-retryable-errors", "empty-response", "junk-response", "response-timeout", "500", "502", "503", "504"}
)
_LOCAL = ("localhost", ".local", ".internal", ".lan", ".svc", ".test", ".example", ".invalid")


@rule(310, "haproxy-server-name-twice", Severity.ERROR, _INVALID)
def named_twice(deployment: Deployment) -> Iterator[Risk]:
    """Two servers of a backend have the same name.

    HAProxy refuses the configuration: `another server named … was already defined`.
    """
    for section in proxies(deployment, *BACKS):
        seen: dict[str, Position] = {}
        for each in servers(section):
            if each.name in seen and not each.is_template:
                yield risk(f'server "{each.name}" is also defined at {seen[each.name]}', each.at, "rename or remove one")
            seen.setdefault(each.name, each.at)


@rule(311, "haproxy-server-address-twice", Severity.NOTE, "all-upstreams-down")
def twice(deployment: Deployment) -> Iterator[Risk]:
    """Two servers of a backend have the same address.

    They fail together: what looks like a spare is not one, and a retry reaches the same application.
    """
    for section in proxies(deployment, *BACKS):
        seen: dict[str, Position] = {}
        for each in servers(section):
            if each.is_template or "$" in each.address or "disabled" in each.options or each.address.startswith("fd@"):
                continue
            if each.address in seen:
                yield risk(f"{each.address} is also the server at {seen[each.address]}", each.at, "remove one, or use `weight`")
            seen.setdefault(each.address, each.at)


@rule(312, "haproxy-tls-without-ca", Severity.ERROR, _INVALID)
def without_ca(deployment: Deployment) -> Iterator[Risk]:
    """TLS to a server must be verified, but no certificate authorities (`ca-file`) are given.

    HAProxy verifies by default, and refuses the configuration: `verify is enabled by default but no CA file specified`.
    """
    if not deployment.is_whole or globals_of(deployment, "ssl-server-verify")[:1] == ("none",):
        return
    for section in proxies(deployment, *BACKS):
        for each in servers(section):
            uses_tls = "ssl" in each.options or "check-ssl" in each.options
            if uses_tls and each.options.get("verify", "required") != "none" and "ca-file" not in each.options:
                yield risk(
                    f'server "{each.name}" uses `ssl` without `ca-file`', each.at, "add `verify required ca-file @system-ca`"
                )


@rule(313, "haproxy-tls-without-sni", Severity.NOTE, "tls-handshake-failed")
def without_sni(deployment: Deployment) -> Iterator[Risk]:
    """TLS to a public host name does not send that name (`sni`).

    By default HAProxy sends none. Servers with several certificates then answer with the wrong one, or end the handshake: 503.
    """
    for section in proxies(deployment, *BACKS):
        for each in servers(section):
            name = each.host_name
            if "ssl" in each.options and "sni" not in each.options and "." in name and not name.endswith(_LOCAL):
                yield risk(f"{name} is not sent as the server name", each.at, f"add `sni str({name})`")


@rule(314, "haproxy-request-sent-twice", Severity.NOTE, "upstream-error-status")
def sent_twice(deployment: Deployment) -> Iterator[Risk]:
    """Requests of every method are repeated after the backend has received them.

    With these `retry-on` keywords, HAProxy sends a POST again although the first one may have been executed: an order is placed
    twice. `http-request disable-l7-retry` exempts it.
    """
    exempt = any(
        line.words[:2] == ("http-request", "disable-l7-retry")
        for section in proxies(deployment, *FRONTS)
        for line in section.inherited()
    )
    seen = set()
    for section in proxies(deployment, *BACKS):
        for line in section.settings.get("retry-on", ()):
            found = sorted(_SENT_ALREADY & set(line.words[1:]))
            own = any(line.words[1:2] == ("disable-l7-retry",) for line in rules(section, "http-request"))
            if (
                found
                and not exempt
                and not own
                and servers(section)
                and section.words("retries") != ("0",)
                and line.at not in seen
            ):
                seen.add(line.at)
                advice = "add `http-request disable-l7-retry if METH_POST`, or keep to `conn-failure`"
                yield risk(f"`retry-on {found[0]}` also repeats POST", line.at, advice)


@rule(315, "haproxy-name-resolved-once", Severity.NOTE, "stale-dns")
def resolved_once(deployment: Deployment) -> Iterator[Risk]:
    """A host name is looked up only when HAProxy starts.

    Without `resolvers` it keeps the address it found then. If the name does not resolve at that time, HAProxy does not start,
    unless `init-addr` says otherwise.
    """
    for section in proxies(deployment, *BACKS):
        for each in servers(section):
            if each.host_name and each.host_name != "localhost" and "resolvers" not in each.options:
                yield risk(f"{each.host_name} is resolved once", each.at, "add `resolvers NAME` and a `resolvers` section")


@rule(316, "haproxy-resolvers-not-defined", Severity.ERROR, _INVALID)
def no_resolvers(deployment: Deployment) -> Iterator[Risk]:
    """A server names a `resolvers` section that does not exist.

    HAProxy refuses the configuration: `unable to find required resolvers`. The name `default` always exists.
    """
    if not deployment.is_whole:
        return
    known = {section.name for section in all_of(deployment) if section.kind == "resolvers"} | {"default"}
    for section in proxies(deployment, *BACKS):
        for each in servers(section):
            name = each.options.get("resolvers", "")
            if name and name not in known and "$" not in name:
                yield risk(f'there is no section "resolvers {name}"', each.at, "define it, or correct the name")


@rule(317, "haproxy-maxconn-above-global", Severity.NOTE, "worker-connections-exhausted")
def above_global(deployment: Deployment) -> Iterator[Risk]:
    """A frontend accepts more connections than the whole process.

    `maxconn` in `global` applies first. Connections above it wait unanswered in the kernel, and no log line shows it.
    """
    most = whole_number(next(iter(globals_of(deployment, "maxconn")), ""), 9)
    if not most:
        return
    seen = set()
    for section in proxies(deployment, *FRONTS):
        for line in section.settings.get("maxconn", ()):
            asked = whole_number(line.words[1], 9) if len(line.words) > 1 else None
            if asked and asked > most and line.at not in seen:
                seen.add(line.at)
                yield risk(f"maxconn {asked} is above the {most} of `global`", line.at, "raise that one, or lower this one")
