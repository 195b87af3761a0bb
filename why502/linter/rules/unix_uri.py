"""A unix socket's URL in which nothing parts the path of the socket from the URI."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_JOINED = lazy(r"(?:https?|grpcs?)://unix:([^:$]*?\.(?:sock|socket))(/[^:$]*)")


@rule(161, "unix-socket-without-colon", Severity.ERROR, "unix-socket-missing")
def no_colon(deployment: Deployment) -> Iterator[Risk]:
    """The URI after a unix socket does not begin with a colon, so nginx treats it as part of the socket's path.

    `http://unix:/run/app.sock/api/` connects to the file `/run/app.sock/api/`: `No such file or directory`, 502.
    """
    for route in deployment.routes:
        if match := _JOINED.fullmatch(route.passes):
            yield risk(f"nginx connects to the file {match[1]}{match[2]}", route.at, f"write unix:{match[1]}:{match[2]}")
