"""Backends on platforms that choose the application by the Host header."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity

_PLATFORMS = (
    ".herokuapp.com", ".vercel.app", ".netlify.app", ".azurewebsites.net", ".cloudfront.net", ".run.app", ".fly.dev",
    ".onrender.com", ".github.io", ".gitlab.io", ".pages.dev", ".workers.dev", ".web.app",
    ".firebaseapp.com", ".up.railway.app", ".appspot.com",
    ".deno.dev", ".surge.sh", ".ngrok.io", ".ngrok-free.app", ".execute-api.us-east-1.amazonaws.com",
)  # fmt: skip
_OWN = frozenset({"$host", "$http_host", "$server_name", "$host:$server_port"})


@rule(179, "platform-needs-its-host", Severity.WARNING, "wrong-host-header")
def platform(deployment: Deployment) -> Iterator[Risk]:
    """The backend is an application of a platform, but gets this server's Host.

    Such platforms serve thousands of applications on the same addresses and choose by Host: the answer is their 404 or 403,
    not the
    application's.
    """
    seen = set()
    for route, _, name in deployment.named_peers:
        if name.endswith(_PLATFORMS) and route.host_header in _OWN and route.at not in seen:
            seen.add(route.at)
            yield risk(
                f"{name} is chosen by Host, and gets {route.host_header}", route.at, f"write `proxy_set_header Host {name};`"
            )
