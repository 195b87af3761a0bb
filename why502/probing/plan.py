"""plan(): the request that the proxy would send to a target on a route, derived from its configuration and logs."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from why502.diagnosis.listening import accepts
from why502.diagnosis.ways import FAILED
from why502.gateways.behaviour import behaviour, connect_limit_s, read_limit_s
from why502.model.config import SENDS_PROXY, Peer, Route
from why502.model.logs import Symptom, Tally
from why502.model.patterns import lazy
from why502.model.proxy import Proxy
from why502.model.request_line import method_of, path_of, uri_of
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.probing.request import PROXY_HEADERS, Request, Tls
from why502.probing.tls import sni_of

VARIABLE = lazy(r"\$(?:\{(\w+)\}|(\w+))")
AUTHORITY = lazy(r"(?:\w+://)?([^/?\s]+)")
PLAIN_PATH = lazy(r"/[!-\[\]-~]{0,2000}")  # a backslash is how logs escape other bytes
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# Set by us, or copied from the client's request, which a probe does not have.
OWN_FIELDS = ("host", "user-agent", "accept", "content-length", "transfer-encoding", "expect", "te")
SAFE = ("GET", "HEAD")
CUT = 200  # maximum characters of a request kept by redaction
BROKEN_OFF = (
    Symptom.CLOSED_BEFORE_HEADER,
    Symptom.RESET_BEFORE_HEADER,
    Symptom.CLOSED_IN_BODY,
    Symptom.RESET_IN_BODY,
    Symptom.SEND_FAILED,
    Symptom.CONNECTION_DIED,
    Symptom.STREAM_RESET,
)
UNCONNECTED = (Symptom.CONNECT_REFUSED, Symptom.SOCKET_PATH_MISSING, Symptom.CONNECT_DENIED, Symptom.HOST_UNREACHABLE)
LATE = (Symptom.READ_TIMED_OUT, Symptom.BODY_TIMED_OUT, Symptom.SEND_TIMED_OUT, Symptom.CLIENT_CLOSED)
EMPTY = ("query_string", "args", "is_args", "content_type", "content_length")


def plan(
    proxy: Proxy,
    route: Route,
    target: Target,
    failures: Iterable[Tally] = (),
    harmful: Container[str] = frozenset(),
    *,
    only_upgrades: bool = False,
    given: str = "",
) -> Request:
    """Return the request for one target. `failures` are those of this route, the most frequent first; for `harmful` see
    `asked`.

    `only_upgrades`: see the function of that name; then no request is sent. `given`: a path that the user wants to be asked.
    """
    stated = behaviour(proxy.kind)
    if protocol := _own_protocol(route.peers, target):
        route = msgspec.structs.replace(route, protocol=protocol)
    values = variables(route, target)
    tls = _tls(route, values) if route.protocol in ("https", "grpcs") else None
    choice = Choice("GET", "", repeats=False) if only_upgrades else asked(route, failures, harmful)
    choice = Choice("GET", given, repeats=True) if given else choice
    method, path, repeats = choice.method, choice.path, choice.repeats
    params = _params(route, values, method, path)
    return Request(
        target=target,
        address=Target(path=proxy.root + target.path) if target.is_unix and proxy.root else None,
        protocol=route.protocol,
        method=method,
        path=given or mapped(route, path or "/"),
        host=host_of(route, values),
        headers=_headers(route, values),
        params=params,
        script=dict(params).get("SCRIPT_FILENAME", "") if repeats and route.protocol == "fastcgi" else "",
        http_version=route.http_version,
        tls=tls,
        preamble=_preamble(route),
        route_connect_s=connect_limit_s(route),
        repeats=repeats,
        only_connects=not path,
        spared=choice.spared,
        is_in_route=repeats or not route.location or (prefix_of(route) is not None and not route.location.startswith("=")),
        route_read_s=read_limit_s(route),
        buffer_bytes=route.buffer_size_bytes,
        knows_host=not stated.passes_host or bool(route.server_names) or any(map(_answered_so, failures)),
        is_strict=stated.strict_since is not None and version(proxy.version) >= stated.strict_since,
        route_at=route.at,
    )


def _own_protocol(peers: tuple[Peer, ...], target: Target) -> str:
    """Return the protocol of the peer that an address is, or may be by its name; "" if it is the route's."""
    for peer in peers:
        own = peer.target if peer.protocol else None
        if own is not None and (own == target or (not own.is_address and own.port == target.port)):
            return peer.protocol
    return ""


def _preamble(route: Route) -> str:
    """Return the PROXY header that the proxy sends first; "" if it sends none, or if no request is sent."""
    setting = route.setting(SENDS_PROXY)
    return PROXY_HEADERS.get(setting.args[0], "") if setting and setting.args and route.protocol != "tcp" else ""


def _answered_so(tally: Tally) -> bool:
    return tally.symptom is Symptom.UPSTREAM_STATUS and tally.status is not None


@dataclass(frozen=True, slots=True)
class Choice:
    """The request chosen for a route.

    `path` "": only connect. `spared`: a visitor's request that is not repeated.
    """

    method: str
    path: str
    repeats: bool
    spared: str = ""


def asked(route: Route, failures: Iterable[Tally], harmful: Container[str] = frozenset()) -> Choice:
    """Return a failed request if repeating it is safe, else GET of the location or of /; no request if that failed in the same
    way.

    `harmful` are the paths of requests that may have caused their own failure. A request with a query is not repeated either:
    without the query, which may be secret, it is a different request. The path of a `location = /x` is used only if visitors
    use it.
    """
    spared = ""
    for tally in failures:
        for request, _ in tally.requests:
            method, path = method_of(request), path_of(request)
            if path in harmful:
                spared = spared or f"{method} {path}"
            elif request in tally.queried or "?" in uri_of(request) or len(request) >= CUT:
                continue
            elif method in SAFE and PLAIN_PATH.fullmatch(path) and fits(route, path):
                return Choice(method, path, repeats=True)
    prefix = prefix_of(route)
    is_exact = route.location.startswith("=")
    own = prefix if prefix and not is_exact and PLAIN_PATH.fullmatch(prefix) else "/"
    path = next((path for path in (own, "/") if path not in harmful), "")
    return Choice("GET", path, repeats=False, spared=spared)


def harmful(known: Snapshot, target: Target) -> frozenset[str]:
    """Return the paths of requests that may have caused their own failure on a target, or on an unknown target."""
    tallies = [tally for tally in (known.logs.tallies if known.logs else ()) if tally.target in (target, None)]
    late = min((tally.first for tally in tallies if tally.symptom in LATE and tally.first), default=None)
    traffic = next((x for x in (known.logs.targets if known.logs else ()) if x.target == target), None)
    if traffic is not None and traffic.attempts:
        meanwhile = traffic.last_success is not None and (late is None or traffic.last_success >= late)
    else:  # answers of other backends, or of files, may be among these
        meanwhile = _may_have_answered(known)
    return _may_harm(tallies, others_succeed=meanwhile) - _never_arrived(known, target)


def _never_arrived(known: Snapshot, target: Target) -> frozenset[str]:
    """Return the paths of requests of which only the status is known, and that failed only because a gateway could not connect.

    The reason is in the gateway's own log: in that of an inner gateway, which listens on the target, or in Apache's error log,
    which names no request. One request that broke off, or was late, makes all of them suspect: logs name only some requests.
    """
    pids = {pid for listener in known.listeners or () if accepts(listener.target, target) for pid in listener.pids}
    inner = {proxy.kind for proxy in known.proxies or () if target.is_loopback and pids & set(proxy.pids)}
    tallies = known.logs.tallies if known.logs else ()
    arrived: set[str] = set()
    failed: set[str] = set()
    for tally in tallies:
        if tally.symptom is not Symptom.GATEWAY_STATUS or tally.target not in (target, None):
            continue
        gateways = inner if tally.target else {tally.proxy}
        reasons = [other for other in tallies if other.proxy in gateways and other.symptom is not Symptom.GATEWAY_STATUS]
        own = {path_of(request) for request, _ in tally.requests}
        named = {path_of(request) for reason in reasons for request, _ in reason.requests} if tally.target else own
        is_clear = bool(reasons) and all(reason.symptom in UNCONNECTED for reason in reasons)
        failed |= own & named if is_clear else set()
        arrived |= own - named if is_clear else own
    return frozenset(failed - arrived)


def only_upgrades(known: Snapshot, route: Route) -> bool:
    """Return whether clients got only 101 responses on a route: a pure WebSocket server may close the connection
    on any other request.
    """
    found = [path for path in (known.logs.paths if known.logs else ()) if route.at is not None and path.at in (route.at, None)]
    answered = {status for path in found for status, count in path.statuses.items() if count and status not in FAILED}
    return "101" in answered and answered <= {"101", "000"}


def has_answered(known: Snapshot, target: Target, route: Route | None = None) -> bool:
    """Return whether the logs show an answer of the target, or may contain one.

    Answers before the target's requests began to break off do not count. Traffic that counts: the target's own if there is
    any, else that of the paths belonging to the `route`.
    """
    tallies = (tally for tally in (known.logs.tallies if known.logs else ()) if tally.target == target)
    began = min((tally.first for tally in tallies if tally.symptom in BROKEN_OFF and tally.first), default=None)
    if began is not None and (last := _last_answer(known, target, route)) is not None:
        return last > began
    traffic = next((x for x in (known.logs.targets if known.logs else ()) if x.target == target), None)
    return traffic.last_success is not None if traffic is not None and traffic.attempts else _has_success(known)


def _last_answer(known: Snapshot, target: Target, route: Route | None) -> datetime | None:
    """Return the time of the target's last answer; None if the logs do not show whether it answered."""
    logs = known.logs
    traffic = next((x for x in (logs.targets if logs else ()) if x.target == target), None)
    if traffic is not None and traffic.last_success is not None:
        return traffic.last_success
    if logs is None or route is None or route.at is None or len(route.peers) != 1:
        return None
    if any(path.at is None and path.last_served is not None for path in logs.paths):  # these may belong to the route, too
        return None
    return max((path.last_served for path in logs.paths if path.at == route.at and path.last_served), default=None)


def _may_have_answered(known: Snapshot) -> bool:
    """Return whether the logs show an answer of any backend, or tell too little: a log of failures alone has none."""
    if known.logs is None or known.logs.has_access or not known.logs.paths:
        return known.logs is None or not known.logs.has_access or _has_success(known)
    return any(status not in FAILED for path in known.logs.paths for status in path.statuses)


def _has_success(known: Snapshot) -> bool:
    return any(status[:1] in ("2", "3") and count for status, count in (known.logs.by_status if known.logs else {}).items())


def _may_harm(tallies: Iterable[Tally], *, others_succeed: bool) -> frozenset[str]:
    """Return the paths of requests that may have caused their own failure, so that repeating them may cause it again.

    These are requests that were broken off, since the process may have died of them; requests that timed out while others were
    answered, since each occupies a worker; and requests of which only the status is known.
    """
    suspects = (*BROKEN_OFF, *LATE, Symptom.GATEWAY_STATUS) if others_succeed else BROKEN_OFF
    return frozenset(path_of(request) for tally in tallies if tally.symptom in suspects for request, _ in tally.requests)


def prefix_of(route: Route) -> str | None:
    """Return the path prefix of a location's requests; None if it is a regular expression or a name."""
    words = route.location.split(maxsplit=1)
    if not words or route.location.startswith("@") or words[0].startswith("~"):
        return None
    return words[-1]


def fits(route: Route, path: str) -> bool:
    """Return whether a request for that path may reach the route."""
    prefix = prefix_of(route)
    return prefix is None or (path == prefix if route.location.startswith("=") else path.startswith(prefix))


def mapped(route: Route, path: str) -> str:
    """Return the path that the backend receives: a URI part in proxy_pass replaces the location prefix."""
    prefix = prefix_of(route)
    if route.uri is None or route.has_variables or not prefix or not path.startswith(prefix):
        return path
    changed = route.uri + path[len(prefix) :]
    return changed if PLAIN_PATH.fullmatch(changed) else path


def variables(route: Route, target: Target) -> dict[str, str]:
    """Return the values of nginx's variables in our request, as far as they are known."""
    match = AUTHORITY.match(route.passes)
    authority = match[1] if match and "$" not in match[1] else str(target)
    if authority.startswith("unix:"):
        authority = "localhost"
    authority = authority.removesuffix(DEFAULT_PORTS.get(route.protocol, ":none"))
    name, port = server_name(route), "443" if route.listens_tls else "80"
    for listen in route.listens:
        if found := re.match(r"(?:.*:)?(\d+)(?:\s|$)", listen):
            port = found[1]
            break
    return {
        "proxy_host": authority,
        "proxy_port": authority.rpartition(":")[2] if authority[-1:].isdigit() and ":" in authority else "80",
        "proxy_add_x_forwarded_for": "127.0.0.1",
        "host": name,
        "http_host": name,
        "server_name": name,
        "server_port": port,
        "server_addr": "127.0.0.1",
        "remote_addr": "127.0.0.1",
        "remote_port": "0",
        "scheme": "https" if route.listens_tls else "http",
        "https": "on" if route.listens_tls else "",
        "request_method": "GET",
        "http_connection": "close",
        "proxy_protocol_addr": "",
        "remote_user": "",
        "request_id": "0" * 32,
    }


def server_name(route: Route) -> str:
    """Return a name of the route's server; "localhost" if it has none that can be written."""
    for name in route.server_names:
        if name and name != "_" and not name.startswith("~"):
            return name.removeprefix(".").replace("*", "why502")
    return "localhost"


def filled(text: str, values: dict[str, str]) -> str | None:
    """Return the text with its variables filled in; None if one is unknown."""
    known = True

    def value(match: re.Match[str]) -> str:
        nonlocal known
        name = match[1] or match[2]
        if name not in values and not name.startswith(("http_", "cookie_", "arg_")):
            known = False
        return values.get(name, "")

    result = VARIABLE.sub(value, text)
    return result if known else None


def host_of(route: Route, values: dict[str, str]) -> str:
    """Return the Host field; the server's name if it contains unknown variables."""
    found = filled(route.host_header, values)
    return values["host"] if found is None else _one_line(found)


def _headers(route: Route, values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the other fields that the proxy sets; a field with an empty value is not sent (proxy_set_header)."""
    fields = {"connection": ("Connection", "close")} if route.http_version == "1.0" or not _is_new(route) else {}
    for name, text in route.headers[:64]:
        value = filled(text, values)
        if name.lower() not in OWN_FIELDS:
            fields[name.lower()] = (name, _one_line(value or ""))
    return tuple((name, value) for name, value in fields.values() if value and re.fullmatch(r"[\w.!#$%&'*+^`|~-]+", name))


def _params(route: Route, values: dict[str, str], method: str, path: str) -> tuple[tuple[str, str], ...]:
    """Return the parameters of fastcgi_param and the like, without those that contain unknown variables."""
    if route.protocol not in ("fastcgi", "uwsgi", "scgi"):
        return ()
    index = route.setting("fastcgi_index")
    script = path + (index.args[0] if index and index.args and path.endswith("/") else "")
    known = {
        **values,
        "request_method": method,
        "request_uri": path,
        "uri": path,
        "document_uri": path,
        "server_protocol": "HTTP/1.1",
    }
    known |= {"fastcgi_script_name": script, "fastcgi_path_info": ""} | dict.fromkeys(EMPTY, "")
    root = route.setting("root")
    if root and root.args and root.args[0].startswith("/") and not route.setting("alias"):
        known |= dict.fromkeys(("document_root", "realpath_root"), root.args[0].rstrip("/"))
        known["request_filename"] = root.args[0].rstrip("/") + path
    found = ((name, filled(text, known)) for name, text in route.headers[:64])
    return tuple((name, _one_line(value)) for name, value in found if value is not None)


def _is_new(route: Route) -> bool:
    """Return whether this nginx sends no Connection field by default: since 1.29.7 HTTP/1.1 and keepalive are the default."""
    return route.http_version == "1.1" and route.setting("proxy_http_version") is None


def _one_line(text: str) -> str:
    return "" if re.search(r"[\x00-\x1f\x7f]", text) else text


def _tls(route: Route, values: dict[str, str]) -> Tls:
    kind = route.directive.removesuffix("_pass") + "_ssl_"

    def words(name: str) -> tuple[str, ...]:
        setting = route.setting(kind + name)
        return setting.args if setting else ()

    def word(name: str) -> str:
        return next(iter(words(name)), "")

    trusted = word("trusted_certificate")
    written = route.sni_name or word("name") or "$proxy_host"
    name = _host(filled(written, values) or values["host"])
    stated = behaviour(route.proxy)
    verified = name if stated.verifies_default_name else _host(word("verified_name") or route.sni_name)
    return Tls(
        sni=sni_of(name) if route.sends_sni else "",
        verifies=route.verifies_tls and (bool(trusted) or stated.verifies_without_trusted),
        name=verified,
        trusted=trusted,
        certificate=word("certificate"),
        key=word("certificate_key"),
        protocols=words("protocols"),
        ciphers=word("ciphers") or "DEFAULT",
        alpn=("h2",) if route.protocol == "grpcs" or route.http_version == "2" else (),
    )


def _host(name: str) -> str:
    """Return a name without its port."""
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version such as "1.22.1" or "nginx/1.22.1"; () if there are none."""
    match = re.search(r"(?<![0-9.])[0-9]{1,9}(?:\.[0-9]{1,9}){1,8}", text)
    return tuple(int(x) for x in match[0].split(".")) if match else ()
