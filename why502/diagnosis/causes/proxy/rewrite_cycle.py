"""Rewrites, internal redirects, error pages or subrequests form a loop.

nginx logs "rewrite or internal redirection cycle" and answers 500 after ten rounds.

## Do not confuse with
- `proxy-loop`: the loop goes through the network.

## Confirm
- Set `rewrite_log on; error_log … notice;` to log each step.

## Fix
- Break the loop: end the rewriting after the rule that matched, and use an error page that needs no backend.
- nginx: `break` instead of `last`, an error_page that needs no backend, or try_files with a file that exists.

## References
- https://nginx.org/en/docs/http/ngx_http_rewrite_module.html
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.cause import Cause
from why502.model.config import Position, Route, Server
from why502.model.finding import PROOF, Layer, Risk, Severity
from why502.model.logs import Symptom

_MOST_PAGES = 1000  # different pages; looking one up takes as long as the server has expressions


def _is_elsewhere(names: frozenset[str], found: Route, page: str) -> bool:
    """Return whether a more specific location than the route's matches the page first. `names`: see `_names`.

    A named location takes only what another one lacks, such as a page that is no file.
    """
    nearest = found.location.removeprefix("^~ ").removeprefix("= ")
    return found.location.startswith(("~", "@")) or any(page[:end] in names for end in range(len(nearest) + 1, len(page) + 1))


def _names(server: Server) -> frozenset[str]:
    """Return the paths of a server's locations that are no expressions."""
    return frozenset(
        location.path[0].split(" ")[-1] for location in server.locations if not location.path[0].startswith(("~", "@"))
    )


@rule(116, "error-page-from-failing-backend", Severity.WARNING)
def error_page_proxied(deployment: Deployment) -> Iterator[Risk]:
    """The error page for a failing backend is fetched from that backend.

    `error_page 502 /502.html` starts a new request within the server. If no separate location serves the file, the request goes
    to the same backend and fails again. Clients see nginx's default page.
    """
    seen: set[Position | None] = set()
    names = cache(lambda server_at: _names(deployment.server(server_at)))
    pages: set[tuple[Position | None, str]] = set()
    for route in deployment.routes_with("error_page"):
        level = deployment.level(route)
        if level is None or not level.is_known or not route.listens or route.location.startswith("@"):
            continue
        server = level.server
        for setting in route.settings.get("error_page", ()):
            codes, page = setting.args[:-1], setting.args[-1] if setting.args else ""
            if not {"502", "503", "504"} & set(codes) or not page.startswith("/") or "$" in page or setting.at in seen:
                continue
            if route.location.removeprefix("= ") == page:  # the location of the page itself
                continue
            pages.add((route.server_at, page))
            if len(pages) > _MOST_PAGES:
                return
            found = deployment.within(route.server_at).find("", page)
            if found and _is_elsewhere(names(route.server_at), found, page):
                continue
            same = (
                found is not None
                and found.server_at == route.server_at
                and [peer.name for peer in found.peers] == [peer.name for peer in route.peers]
                and not found.if_conditions
            )
            if same and server is not None and server.is_known and not (found and "try_files" in found.settings):
                seen.add(setting.at)
                yield risk(
                    f"{page} is fetched from the backend that just failed",
                    setting.at,
                    f"add `location = {page} {{ root …; internal; }}`",
                )


CAUSE = Cause(
    id="rewrite-cycle",
    layer=Layer.PROXY,
    message="rewrites, internal redirects, error pages or subrequests form a loop",
    symptoms={Symptom.REWRITE_CYCLE: PROOF},
    foresee=(error_page_proxied,),
)
