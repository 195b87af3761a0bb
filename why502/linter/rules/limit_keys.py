"""Limits that hit the wrong clients."""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_SAME = lazy(r"(?:\$\{?(?:server_name|host|http_host|hostname|server_addr|server_port|scheme)\}?|[\w.:-])*")
_DOWNLOAD = lazy(r"download|file|video|media|export|upload|backup", re.IGNORECASE)
_ADDRESS = lazy(r"\$\{?(?:binary_)?remote_addr\}?")


@rule(182, "limit-shared-by-all-clients", Severity.NOTE, "rate-limited")
def one_bucket(deployment: Deployment) -> Iterator[Risk]:
    """The key of a limit is the same for all clients, so one client can use up the limit of the others.

    `$server_name` and `$host` name the site, not the client.
    """
    for level in deployment.blocks("http", ""):
        for directive in level.own("limit_req_zone", "limit_conn_zone"):
            if directive.args and _SAME.fullmatch(directive.args[0]):
                yield risk(
                    f"all clients share the limit of {directive.args[0]}", directive.at, "use $binary_remote_addr as the key"
                )


@rule(183, "one-connection-per-client", Severity.WARNING, "rate-limited")
def one_connection(deployment: Deployment) -> Iterator[Risk]:
    """Each client may have one request at a time.

    Browsers send six at once, and all users behind one address count as one client. With HTTP/2 each request counts.
    """
    keys = {
        word[5:].partition(":")[0]: directive.args[0]
        for level in deployment.blocks("http", "")
        for directive in level.own("limit_conn_zone")
        for word in directive.args
        if word.startswith("zone=")
    }
    for level, directive in deployment.uses("limit_conn"):
        is_one = directive.args[1:] == ("1",) and _ADDRESS.fullmatch(keys.get(directive.args[0], ""))
        if is_one and level.path[:1] != ("stream",) and not _DOWNLOAD.search(" ".join(level.args)):
            yield risk(
                f"limit_conn {directive.args[0]} 1 rejects the second request of a browser", directive.at, "allow 10 or more"
            )
