"""Health checks of HAProxy that never run. Source: doc/configuration.txt, 5.2 (check) and 4.2 (option httpchk, redispatch)."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.linter.rules.haproxy.choice import unused_backends
from why502.linter.rules.haproxy.proxies import BACKS, proxies, servers
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_KINDS = (
    *("option httpchk", "option smtpchk", "option ssl-hello-chk"),
    *(f"option {name}-check" for name in ("tcp", "mysql", "pgsql", "redis", "ldap", "spop", "external")),
)
_PORT = lazy(r":\+?\d+$|:$|/")
_CHECKED = frozenset({"check", "agent-check", "track"})


@rule(302, "haproxy-check-never-runs", Severity.WARNING, "all-upstreams-down")
def never_runs(deployment: Deployment) -> Iterator[Risk]:
    """A backend describes its health check, but none of its servers has `check`.

    HAProxy checks only servers with that keyword, and gives no warning about the others. A server that fails keeps getting
    requests.
    """
    for section in proxies(deployment, *BACKS):
        found = servers(section)
        own = [line for line in section.lines if line.words[0] == "http-check" or " ".join(line.words[:2]) in _KINDS]
        if own and found and not any(_CHECKED & each.options.keys() for each in found):
            message = f'no server of "{section.name}" has `check`, so `{" ".join(own[0].words[:2])}` does nothing'
            yield risk(message, own[0].at, "add `check` to the servers, or `default-server check` above them")


@rule(303, "haproxy-servers-unchecked", Severity.WARNING, "all-upstreams-down")
def unchecked(deployment: Deployment) -> Iterator[Risk]:
    """A backend has several servers, and neither checks them nor tries another one.

    HAProxy considers every server healthy. When one stops, its share of the requests gets 503, after three attempts at the same
    server, until it is back.
    """
    for section in proxies(deployment, *BACKS):
        found = [each for each in servers(section) if not each.is_dormant]
        if section.kind == "backend" and section.name in unused_backends(deployment):
            continue  # that is another rule's
        if len(found) < 2 or any(_CHECKED & each.options.keys() or each.is_template for each in found):
            continue
        if any(name in section.settings for name in ("option redispatch", "retry-on")) or (section.words("retries") == ("0",)):
            continue
        if any("observe" in each.options for each in found) or any(name in section.settings for name in _KINDS):
            continue  # the latter is another rule's
        if not any(_PORT.search(each.address) for each in found):
            continue  # they get the port of the client's connection, which may exist for that connection only
        yield risk(
            f'the {len(found)} servers of "{section.name}" are not checked', found[0].at, "add `check`, and `option redispatch`"
        )
