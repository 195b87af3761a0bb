"""The backend expects a different Host header (or SNI) than the proxy sends.

By default nginx sends `Host: $proxy_host`, the name of the target or group. A shared backend then answers 404, 421, 400 or a
redirect. A CDN answers 403, 409 or an error page such as 1016.

## Do not confuse with
- `tls-handshake-failed`: the server name in SNI is missing or wrong.

## Confirm
- Compare `curl -si -H 'Host: A' http://TARGET/` with `-H 'Host: B'`.

## Fix
- Send the client's Host, or the name that the backend expects.
- nginx: `proxy_set_header Host $host;`
- If the proxy sends the right name, add it to those that the application allows (`ALLOWED_HOSTS` in Django, `config.hosts` in
  Rails).

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_set_header
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.config import edit
from why502.deployment.files import Deployment, Level
from why502.deployment.headers import add
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.refused_route import Reason, Unserved
from why502.diagnosis.unserved import BAD_REQUEST, refusals, unserved
from why502.model.config import Position, Route
from why502.model.finding import FAIR, LIKELY, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.remedies.changes import reload
from why502.remedies.headers import set_headers

_FORWARDED_PROTO = frozenset({"x-forwarded-proto", "x-forwarded-protocol", "x-forwarded-ssl", "x-forwarded-scheme", "x-scheme",
    "x-url-scheme", "front-end-https", "forwarded", "x-forwarded-https", "x-forwarded-port", "https",
    "x-real-proto"})  # fmt: skip
# Statuses for a name that a server does not serve: Django's, and that of RFC 9110, 15.5.20. 403 mostly has other reasons.
_UNKNOWN_NAME = frozenset({400, 421})
MISDIRECTED = "421"
SEVERAL = 2  # paths
CLOCK = timedelta(seconds=3)  # workers of the old configuration end their requests
_OWN_HOST = ("$host", "$http_host", "$server_name", "$host:$server_port", "$http_host:$server_port", "$host:$port")


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for this cause: clients' requests and a plain `GET /` of ours are refused alike, and the proxy does not
    pass the site's name on.
    """
    if (found := _refused(case)) is None:
        if lost := _lost(case):
            yield supports(lost, "access log, ps", LIKELY)
            yield supports(f"the proxy sends the Host {_sent(case)} to it, not the site's name", "configuration", 0.0)
        else:
            yield from _named_otherwise(case)
        return
    one, host, status = found
    yield supports(
        f"the application answers {status} to a plain GET / with the Host that the proxy sends, {host}, as to {one.refused} of "
        f"{one.requests} requests to {one.server}",
        "probe, access log",
        LIKELY,
    )


def _refused(case: Case) -> tuple[Unserved, str, int] | None:
    """Return what clients are refused, the name that the proxy sends instead of the site's, and the status; None if none."""
    for one in unserved(case.joins):
        if one.reason is not Reason.REFUSAL or one.is_over or one.target != case.target or case.target is None:
            continue
        route = next((route for route in case.routes if route.at == one.at), None)
        if route is None or route.protocol != "http" or route.host_header != "$proxy_host" or not _named(route):
            continue
        for probe in case.probes:
            if probe.symptom is None and not probe.through_proxy and probe.status in _UNKNOWN_NAME and probe.host:
                is_same = one.statuses[:1] == (str(probe.status),) and probe.request.endswith(" /")
                if is_same and probe.host not in route.server_names:
                    return one, probe.host, probe.status
    return None


def _lost(case: Case) -> str:
    """Return a message that the application refuses all paths of a site since the proxy loaded its configuration, which does not
    pass the site's name on and leaves the paths as they are; "" if that is not so.

    The application's process is older than that, so it did not change. Applications that serve several sites answer 404 to a
    name that is none of them.
    """
    loaded, born = case.proxy.loaded_at if case.proxy else None, case.born
    for one in refusals(case):
        route = next((route for route in case.routes if route.at == one.at), None)
        if route is None or not one.has_closed or loaded is None or born is None or born >= loaded:
            continue
        if route.protocol not in ("http", "https"):  # FastCGI and the like have no Host: the client's comes as a parameter
            continue
        keeps_path = route.uri is None or (route.uri == "/" and route.location in ("/", "^~ /"))
        if one.reason is not Reason.REFUSAL or route.host_header != "$proxy_host" or not _named(route) or not keeps_path:
            continue
        refused = [path for path in case.paths if path.at == one.at and path.refused_since]
        served = [path.last_served for path in refused if path.last_served]
        began = max(served, default=None)
        if len(refused) < SEVERAL or len(served) < len(refused) or began is None or one.last is None:
            continue
        if abs(began - loaded) <= CLOCK and loaded < one.last:
            return (
                f"it refuses all {len(refused)} paths that it served until the proxy loaded its configuration, {loaded:%H:%M:%S}"
            )
    return ""


def _sent(case: Case) -> str:
    """Return the name that the proxy sends to the target instead of the site's."""
    return next((route.proxy_host for route in case.routes if route.host_header == "$proxy_host"), "")


def _named_otherwise(case: Case) -> Iterator[Evidence]:
    """Yield the evidence that the application refuses the name that it is sent, whether or not that is the site's."""
    if (one := _unknown_name(case)) is None:
        return
    yield supports(one.message, "access log", LIKELY)
    asked = [probe for probe in case.probes if probe.symptom is None and str(probe.status) == one.statuses[0]]
    if asked and one.statuses[0] == MISDIRECTED:
        yield supports(f"it answers a request of ours with {asked[0].status} too", "probe", FAIR)
    elif (born := case.born) is not None and one.statuses[0] != MISDIRECTED:
        yield supports(f"it served them until its process was started again at {born:%H:%M:%S}", "ps", 0.0)


def _unknown_name(case: Case) -> Unserved | None:
    """Return the route on which the application refuses a name: with 421, which says so (RFC 9110, 15.5.20), or, since its
    process was started again, with 400 whatever the path, as frameworks do that check the Host header. None if there is none.
    """
    for one in refusals(case):
        if one.reason is Reason.REFUSAL and case.protocol in ("http", "https"):
            if one.statuses == (MISDIRECTED,) or (
                one.statuses == (BAD_REQUEST,) and one.has_closed and _is_since_start(case, one)
            ):
                return one
    return None


def _is_since_start(case: Case, one: Unserved) -> bool:
    """Return whether a route's paths, several of them, were served by the target's last process, and are refused by this one,
    while the proxy's configuration stayed the same.
    """
    born, loaded = case.born, case.proxy.loaded_at if case.proxy else None
    paths = [path for path in (case.here.logs.paths if case.here.logs else ()) if path.at == one.at and path.refused_since]
    served = max((path.last_served for path in paths if path.last_served), default=None)
    is_known = born is not None and served is not None and one.last is not None and len(paths) > 1
    return bool(is_known and served <= born < one.last and (loaded is None or loaded < served))  # type: ignore[operator]


def _named(route: Route) -> bool:
    """Return whether the site has a name of its own: the application may answer only to that."""
    return any("." in name and not name.startswith("~") for name in route.server_names)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if (found := _refused(case)) is None:
        if _lost(case):
            who = f"the application on {case.target} probably does not know the Host {_sent(case)}"
            return f"{who}, which the proxy sends to it: {_lost(case)}"
        if (one := _unknown_name(case)) is None:
            return ""
        how = "" if one.statuses == (MISDIRECTED,) else "probably "
        since = f" since its process was started again at {case.born:%H:%M:%S}" if how and case.born else ""
        return f"the application {how}refuses the name that it is sent{since}: {one.message}"
    one, host, status = found
    sent = f"the Host {host}, which the proxy sends instead of {one.server}"
    return f"the application on {case.target} answers {status} to requests with {sent}"


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the client's Host in the route whose backend refuses the name that it is sent."""
    found = _refused(case)
    at = found[0].at if found else next((one.at for one in refusals(case)), None) if _lost(case) else None
    route = case.joins.routes_at.get(at) if at is not None else None
    if route is not None and (change := set_headers(case, route, {"Host": "$host"})):
        where = f"location {route.location}" + (f" of {route.server}" if route.server else "")
        yield Remedy(message=f"send the client's Host in {where}", steps=(change, *reload(case.joins.proxy_of.get(id(route)))))


@rule(55, "headers-not-inherited", Severity.WARNING)
def not_inherited(deployment: Deployment) -> Iterator[Risk]:
    """A block sets one header for the backend, and therefore loses all headers that the enclosing blocks set.

    nginx inherits `proxy_set_header` only if a block has none of its own. Host, X-Forwarded-Proto or Upgrade are then missing in
    this block. The results are redirects to wrong names, responses from another site, or WebSockets that do not open.
    """
    seen: set[Position | None] = set()
    for route in deployment.routes_with("proxy_set_header", "grpc_set_header"):
        name = {"proxy_pass": "proxy_set_header", "grpc_pass": "grpc_set_header"}.get(route.directive)
        level = deployment.level(route)
        own = next((outer for outer in level.outwards if name and outer.own(name)), None) if level else None
        if own is None or name is None or not own.is_known or own.around is None or name not in own.around.settings:
            continue
        first = own.own(name)[0].at
        kept = {directive.args[0].lower() for directive in own.own(name) if directive.args}
        if any(x.args[:1] and x.args[0].lower() == "connection" and "pgrade" not in x.args[-1] for x in own.own(name)):
            kept.add("upgrade")  # this route is not for WebSockets
        lost = [x.args for x in own.around.settings[name] if x.args and x.args[0].lower() not in kept and x.args[1:] != ("",)]
        if lost and first not in seen:
            seen.add(first)
            names = ", ".join(dict.fromkeys(args[0] for args in lost))
            is_meant = names.lower() == "host" and not route.upstream and _SITE.match(route.passes) is not None
            outer = own.around.settings[name]
            needed = {"host"} | _OWN_LIST & {x.args[0].lower() for x in outer if x.args}
            is_complete = kept >= needed and len(kept & _OWN_LIST) > 1 and all(_is_elsewhere(x.at, first) for x in outer)
            yield risk(
                f"the headers of the enclosing block are not inherited here: {names}",
                first,
                "repeat them here, or include one file in both",
                severity=Severity.NOTE if is_meant or is_complete else None,  # the other site gets its own name
            )


_OWN_LIST = frozenset({"host", "x-forwarded-for", "x-forwarded-proto"})


def _is_elsewhere(at: Position | None, own: Position | None) -> bool:
    """Return whether a header is set in another file: a list for locations to include, which `http` includes with its directory.

    A block that sets Host and the usual X-Forwarded headers itself does without that list.
    """
    return at is not None and own is not None and at.file != own.file


# A target with a name of its own, as in `https://$bucket.s3.amazonaws.com/$key`.
_SITE = lazy(r"(?:https?|\$\w+)://[^/\s]*\.[A-Za-z]{2,}(?::[\d$]\w*)?(?:/|$)")


@rule(56, "group-name-as-host", Severity.NOTE)
def group_as_host(deployment: Deployment) -> Iterator[Risk]:
    """The proxy sends the name of the upstream group as Host.

    This is the default (`$proxy_host`). Applications that check the host answer with 400, or redirect to that name. A name with
    an underscore is not a valid host name, and strict servers reject it.
    """
    seen = set()
    for route in deployment.routes:
        if route.directive != "proxy_pass" or not route.upstream or route.host_header != "$proxy_host" or "." in route.upstream:
            continue
        level = deployment.level(route)
        if level is None or not level.is_known or route.upstream in seen:
            continue
        seen.add(route.upstream)
        shown = f"`Host: {route.proxy_host}`" + (", which is not a valid host name" if "_" in route.upstream else "")
        yield risk(f"the backend receives {shown}", route.at, add(level, "proxy_set_header Host $host;"))


@rule(57, "host-sent-twice", Severity.WARNING)
def host_twice(deployment: Deployment) -> Iterator[Risk]:
    """The Host header is set twice, and nginx sends both.

    Most servers reject a request with two Host headers with 400 (RFC 9112, 3.2). The usual reason is an included file that sets
    it too.
    """
    seen: set[Position | None] = set()
    for route in deployment.routes_with("proxy_set_header"):
        found = [
            x for x in route.settings.get("proxy_set_header", ()) if len(x.args) > 1 and x.args[0].lower() == "host" and x.args[1]
        ]
        if route.directive == "proxy_pass" and len(found) > 1 and found[-1].at not in seen:
            seen.add(found[-1].at)
            yield risk(
                f"Host is also set at {found[0].at}, and is sent twice",
                found[-1].at,
                *_removal(deployment, found[-1].at, found[0].args == found[-1].args),
            )


def _removal(deployment: Deployment, at: Position | None, is_same: bool) -> Iterator[Remedy | str]:
    tree = deployment.trees.get(at.file) if at else None
    if tree is None or at is None or not is_same:
        yield "keep one of them"
    else:
        yield Remedy(message="remove the second one", steps=(edit.remove(tree, at),), safe=True)


@rule(58, "scheme-not-forwarded", Severity.NOTE)
def not_forwarded(deployment: Deployment) -> Iterator[Risk]:
    """TLS ends at this proxy. The application receives the public name, but not the information that the client used https.

    It treats the request as plain http. The results are endless redirects to https, wrong links, and cookies without Secure.
    """
    seen: set[Position | None] = set()
    for route in deployment.routes:
        if not route.listens_tls or route.protocol != "http":
            continue
        level = deployment.level(route)
        if level is None or not level.is_known or route.host_header not in _OWN_HOST:
            continue
        own = _headers_of(level)
        if own not in seen and not _FORWARDED_PROTO & {name.lower() for name, _ in route.headers}:
            seen.add(own)
            yield risk(
                "the application cannot tell that the client used https", own, "add `proxy_set_header X-Forwarded-Proto $scheme;`"
            )


def _headers_of(level: Level) -> Position | None:
    found = level.settings.get("proxy_set_header")
    return found[0].at if found else level.at


@rule(59, "host-not-passed", Severity.NOTE)
def not_passed(deployment: Deployment) -> Iterator[Risk]:
    """The application does not receive the host name that the client requested.

    It gets the address of the target as Host (`$proxy_host`), and builds redirects and links from it.
    """
    seen = set()
    for route, _, target in deployment.local_peers:
        has_other = route.directive != "proxy_pass" or route.upstream or route.host_header != "$proxy_host"
        if has_other or route.has_variables or route.server_at in seen or not target.is_loopback or not _named(route):
            continue
        level = deployment.level(route)
        if level is not None and level.is_known:
            seen.add(route.server_at)
            host = "localhost" if target.is_unix else route.proxy_host
            yield risk(f"the application receives `Host: {host}`", route.at, add(level, "proxy_set_header Host $host;"))


CAUSE = Cause(
    id="wrong-host-header",
    layer=Layer.PROXY,
    message="the backend expects a different Host header (or SNI) than the proxy sends",
    symptoms={Symptom.WRONG_HOST: LIKELY},
    answers=frozenset({Reason.REFUSAL}),
    outranks=frozenset({"application-error"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        not_inherited,
        group_as_host,
        host_twice,
        not_passed,
        not_forwarded,
    ),
)
