"""What all clients get though few are meant to: a rule that comes too late, a redirect to itself, a location that takes all."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity

_EVERY = frozenset({"/", "^/", ".", ".*", "^", "^.*$", "^.*", "^/.*$", "^/.*", "^(.*)$", "^/(.*)$", "(.*)", "/(.*)", "^/(.*)"})
_REDIRECTS = frozenset({"301", "302", "303", "307", "308"})
_SAME_PLACE = frozenset({"$host$request_uri", "$http_host$request_uri", "$host$uri", "$http_host$uri", "$host$uri$is_args$args"})


@rule(218, "allow-after-deny-all", Severity.WARNING, "denied-by-rule")
def too_late(deployment: Deployment) -> Iterator[Risk]:
    """An `allow` stands behind `deny all`, where it has no effect.

    The first rule that matches decides (ngx_http_access_module). Everyone gets 403, also those who are allowed below.
    """
    for level in dict.fromkeys(level for level, _ in deployment.uses("deny")):
        rules = level.own("allow", "deny")
        end = next((at for at, one in enumerate(rules) if one.name == "deny" and one.args == ("all",)), len(rules))
        later = next((one for one in rules[end:] if one.name == "allow"), None)
        if later is not None and all(one.name == "deny" for one in rules[:end]):
            yield risk("this allow comes behind `deny all`, which everyone meets first", later.at, "write it above `deny all`")


@rule(219, "redirect-to-itself", Severity.WARNING, "rewrite-cycle")
def to_itself(deployment: Deployment) -> Iterator[Risk]:
    """A redirect leads to the address that the client asked for.

    It asks again, gets the same answer, and gives up: "too many redirects".
    """
    for level, directive in deployment.uses("return"):
        server = level.server
        if server is None or level.path[:1] == ("stream",) or any(outer.name == "if" for outer in level.outwards):
            continue
        where = directive.args[-1] if directive.args and (len(directive.args) == 1 or directive.args[0] in _REDIRECTS) else ""
        scheme, found, rest = where.replace("{", "").replace("}", "").partition("://")
        if not found or rest not in _SAME_PLACE or not level.is_known:
            continue
        if scheme == "$scheme" or {scheme} == _schemes(server):
            yield risk("this leads to the same address", directive.at, "name another scheme, host or path, or remove it")


def _schemes(server: Level) -> set[str]:
    """Return the schemes of the addresses that a server listens on."""
    listens = server.own("listen")
    return {"https" if "ssl" in one.args or "quic" in one.args else "http" for one in listens} if listens else {"http"}


@rule(220, "expression-takes-everything", Severity.WARNING, "route-not-found")
def takes_all(deployment: Deployment) -> Iterator[Risk]:
    """A location with a regular expression that fits every path takes the requests of the locations with a prefix.

    Expressions come before prefixes, unless these have `^~` or `=`. The others get no request.
    """
    found: dict[Level, list[Level]] = {}
    for each in deployment.blocks("location"):
        if each.around is not None and each.around.name == "server" and each.args:
            found.setdefault(each.around, []).append(each)
    for server, locations in found.items():
        if not server.is_known:
            continue
        all_ = next((each for each in locations if each.args[0] in ("~", "~*") and each.args[-1] in _EVERY), None)
        plain = [each for each in locations if len(each.args) == 1 and each.args[0].startswith("/") and each.args[0] != "/"]
        served = [
            each for each in plain if any(one.name.endswith("_pass") or one.name in ("root", "alias") for one in each.directives)
        ]
        if all_ is not None and served:
            names = ", ".join(each.args[0] for each in served[:3])
            yield risk(
                f"location {' '.join(all_.args)} takes the requests for {names}",
                all_.at,
                f"write `location /`, or `location ^~ {served[0].args[0]}`",
            )
