"""The proxy speaks a different protocol than the backend: http/https, http/fastcgi/uwsgi, http1/http2/grpc.

The symptom depends on how the backend reacts to the unexpected bytes. It may close or reset the connection (502), answer with a
TLS alert or an HTTP/2 frame (009), answer 400 "plain HTTP request was sent to HTTPS port" (passed on), or wait for more data
(504). A PROXY header that is configured at one end only is the same fault. A server that does not expect it answers 400 to the
line "PROXY TCP4 …". A server that requires it closes the connection.

## Do not confuse with
- `invalid-response`: the protocol is right, but the response violates it.
- `tls-handshake-failed`: both speak TLS, but the handshake fails.

## Confirm
- `openssl s_client -connect HOST:PORT </dev/null` and `curl -sv http://HOST:PORT/` show which protocol the port speaks.

## Fix
- Make the proxy speak the backend's protocol.
- nginx: use `https://` in proxy_pass for a TLS port, fastcgi_pass for PHP-FPM, uwsgi_pass for a uwsgi socket, grpc_pass for gRPC,
  and `http://` otherwise.

## References
- nginx: src/http/modules/ngx_http_proxy_module.c, ngx_http_fastcgi_module.c ("unsupported FastCGI protocol version: 72": "H" of
  HTTP)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment, same_path
from why502.deployment.names import is_private_name
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case, is_of_the_web
from why502.diagnosis.cause import Cause
from why502.diagnosis.preface import unmet
from why502.diagnosis.unserved import ERRORS
from why502.gateways.behaviour import behaviour, preface_settings
from why502.model.config import PROTOCOL, SENDS_PROXY, Route
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.probe import Probe
from why502.model.remedy import Remedy
from why502.model.service import PhpPool
from why502.model.snapshot import Event
from why502.remedies.changes import reload, set_scheme, switch_pass_directive

SPOKEN = {
    "http": {"http"},
    "https": {"tls"},
    "fastcgi": {"fastcgi"},
    "uwsgi": {"uwsgi"},
    "scgi": {"scgi"},
    "grpc": {"h2"},
    "grpcs": {"tls"},
}

_AT_A_TLS_PORT = {  # results of plain HTTP on a TLS port
    Symptom.NO_STATUS_LINE: LIKELY,
    Symptom.CLOSED_BEFORE_HEADER: FAIR,
    Symptom.RESET_BEFORE_HEADER: FAIR,
}


_CUT_OFF = (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.NO_STATUS_LINE, Symptom.READ_TIMED_OUT)


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if served := _is_served(case):
        yield refutes(served, "access log", 2 * PROOF)
        return
    if case.target is not None and (of_both := unmet(case.joins).get(case.target)):
        yield supports(of_both, "configuration", 2 * PROOF)
        return
    if probe := _of_header(case):
        yield supports(f"{case.target} {probe.detail}", "probe", 2 * PROOF)
        return
    if case.seen(*_CUT_OFF, Symptom.HEADER_INVALID, Symptom.CONNECT_REFUSED, Symptom.CONNECT_RESET) and (forced := _forced(case)):
        yield supports(forced, "configuration, probe", 2 * PROOF)
        return
    for probe in case.probes:
        wanted = SPOKEN.get(probe.protocol)
        if probe.speaks and wanted and probe.speaks not in wanted:
            yield supports(f"{case.target} speaks {probe.speaks}, but the proxy speaks {probe.protocol}", "probe", 2 * PROOF)
            return
    if case.seen(*_CUT_OFF, Symptom.HEADER_INVALID) and (pool := _pool(case)):
        message = f"the proxy speaks {case.protocol}, but PHP-FPM pool {pool.name} listens there, which speaks only FastCGI"
        yield supports(message, pool.file or "ps", 2 * PROOF)
        return
    if case.seen(*_CUT_OFF) and case.answers_now is not True and (uwsgi := _uwsgi_protocol(case)):
        message = f"the proxy speaks {case.protocol}, but uWSGI reads {uwsgi[0]}: {uwsgi[1].detail}"
        yield supports(message, uwsgi[1].source, 2 * PROOF)
        return
    spoken, wanted = _reported_protocol(case), SPOKEN.get(case.protocol, set())
    if (
        spoken
        and wanted & {"http", "tls"}
        and spoken[0] not in wanted
        and case.answers_now is not True
        and case.seen(*CAUSE.symptoms)
    ):
        yield supports(
            f"the proxy speaks {case.protocol}, but the application reports: {spoken[1].message}", spoken[1].source, PROOF
        )
        return
    if case.answers_now is not True and case.seen(*_BROKEN) and (other := _other_server(case)):
        yield supports(f"the proxy speaks {case.protocol}, but {other}", "ss -ltnp", PROOF)
        return
    unframed = case.probe(Symptom.NO_STATUS_LINE)
    if unframed and is_of_the_web(unframed):
        yield refutes(f"its response begins with {unframed.first_bytes}, as only an HTTP response does", "probe", STRONG)
    if case.answers_now is True:
        yield refutes("it answers correctly in the protocol that the proxy speaks", "probe", PROOF)
    if case.tally(Symptom.NO_STATUS_LINE) and "\\x15\\x03" in (case.tally(Symptom.NO_STATUS_LINE) or case.tallies[0]).detail:
        yield supports("a TLS alert came back", "", STRONG)
    for symptom, weight in _AT_A_TLS_PORT.items():
        tally = case.tally(symptom)
        if tally and tally.protocol in ("http", "grpc") and case.target and str(case.target.port).endswith("443"):
            yield supports(f"{tally.protocol} is sent to port {case.target.port}, which usually speaks TLS", tally.source, weight)
            return


def _is_served(case: Case) -> str:
    """Return a message that every request of the proxy to the target was answered, the last one with the configuration in force;
    "" otherwise. Then a request of ours was not the one that the proxy sends.

    An error of the application (500) is an answer, too.
    """
    traffic, loaded = case.traffic, case.proxy.loaded_at if case.proxy else None
    last = traffic.last_success if traffic else None
    if traffic is None or last is None or (loaded is not None and last <= loaded):
        return ""
    if case.failures or traffic.failures > sum(traffic.statuses.get(status, 0) for status in ERRORS):
        return ""
    return f"all {traffic.attempts} requests that the proxy sent to it were answered"


def _forced(case: Case) -> str:
    """Return a message that the proxy speaks HTTP/2 without asking (HAProxy's `proto h2`) to a server that answers HTTP/1;
    "" otherwise, and if it has served requests since the first failure: some servers speak both.
    """
    setting = case.route.setting(PROTOCOL) if case.route else None
    if case.route is None or setting is None or setting.args != ("h2",):
        return ""
    first, paths = case.first_failure, case.here.logs.paths if case.here.logs else ()
    served = [path.last_served for path in paths if path.at == case.route.at and path.last_served]
    if first is not None and any(at >= first for at in (*served, case.last_answered) if at is not None):
        return ""
    answered = next((probe for probe in case.probes if probe.first_bytes.startswith("HTTP/1.")), None)
    return f"the proxy speaks HTTP/2 to {case.target} (proto h2, {setting.at}), which answers HTTP/1.1" if answered else ""


def _of_header(case: Case) -> Probe | None:
    """Return the probe that succeeded only with the PROXY header, or only without it; None if there is none."""
    sends = case.route is not None and case.route.setting(SENDS_PROXY) is not None
    return next(
        (
            probe
            for probe in case.probes
            if probe.speaks == "proxy" or (sends and probe.symptom is Symptom.OTHER_PROTOCOL and "PROXY header" in probe.detail)
        ),
        None,
    )


_BROKEN = (*_CUT_OFF, Symptom.CONNECT_RESET, Symptom.HEADER_INVALID)
_SERVERS = {  # programs that never speak HTTP on their well-known ports
    "mosquitto": ("MQTT", (1883, 8883)),
    "postgres": ("PostgreSQL's protocol", (5432,)),
    "mysqld": ("MySQL's protocol", (3306,)),
    "mariadbd": ("MySQL's protocol", (3306,)),
    "redis-server": ("Redis' protocol", (6379,)),
    "valkey-server": ("Redis' protocol", (6379,)),
    "memcached": ("memcached's protocol", (11211,)),
    "mongod": ("MongoDB's protocol", (27017,)),
    "beam.smp": ("AMQP", (5672, 5671)),
    "sshd": ("SSH", (22,)),
}


def _other_server(case: Case) -> str:
    """Return a message that a known server of another protocol listens on its usual port; "" if it does not,
    or if the proxy does not speak HTTP.
    """
    if case.target is None or case.protocol not in ("http", "https", "fastcgi", "uwsgi", "scgi", "grpc", "grpcs"):
        return ""
    for listener in case.listeners or ():
        process = case.process_of(listener)
        name = process.name.split(":")[0] if process else ""
        protocol, ports = _SERVERS.get(name, ("", ()))
        if case.target.port in ports:
            return f"{name} listens on {case.target}, which speaks {protocol}"
    return ""


def _pool(case: Case) -> PhpPool | None:
    """Return the running PHP-FPM pool that listens on a target to which the proxy does not speak FastCGI;
    None if there is none.
    """
    pool = case.pool
    if pool is None or pool.master_pid is None or case.protocol in ("fastcgi", "", "tcp"):
        return None
    owners = {pid for listener in case.listeners or () for pid in listener.pids}
    return pool if not owners or pool.master_pid in owners else None


# Each of uWSGI's parsers names itself when a client leaves; only the one of its own protocol reads a block size (proto/uwsgi.c).
_PARSER = lazy(r"uwsgi_proto_([a-z0-9]{1,20})_parser")
_PACKET = lazy(r"invalid request block size")


def _uwsgi_protocol(case: Case) -> tuple[str, Event] | None:
    """Return the protocol that uWSGI reports, if the proxy speaks another one; None if it reports none, or the same."""
    first = case.first_failure
    for event in reversed((*case.events(Symptom.REQUEST_HEADER_TOO_BIG), *case.events(Symptom.PROTOCOL_TOLD))):
        match = _PARSER.search(event.detail)
        read = match[1] if match else "uwsgi" if _PACKET.search(event.detail) else ""
        is_near = first is None or event.ended_at is None or event.ended_at >= first
        if read and is_near:
            return (read, event) if case.protocol in SPOKEN and read not in SPOKEN[case.protocol] else None
    return None


def _reported_protocol(case: Case) -> tuple[str, Event] | None:
    """Return the protocol that the application last reported when it began to listen on the target;
    None if it named no scheme.
    """
    events = [event for event in case.events(Symptom.LISTENS_ON) if event.target == case.target]
    last = max(events, key=lambda event: event.ended_at.timestamp() if event.ended_at else 0.0, default=None)
    schemes = {scheme.lower() for scheme in _SCHEME.findall(last.message)} if last else set()
    if last is None or len(schemes) != 1:
        return None
    return ("http" if schemes == {"http"} else "tls"), last


_SCHEME = lazy(r"(?i)\b(https?|ssl|tls)://")


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if case.target is not None and (unmet_header := unmet(case.joins).get(case.target)):
        return unmet_header
    if of_header := _of_header(case):
        does = "does not send" if of_header.speaks == "proxy" else "sends"
        expects = "requires one" if of_header.speaks == "proxy" else "does not expect one"
        return f"the proxy {does} a PROXY header to {case.target}, which {expects}"
    if forced := _forced(case):
        return forced
    for probe in case.probes:
        if probe.speaks and probe.speaks not in SPOKEN.get(probe.protocol, (probe.speaks,)):
            return f"the proxy speaks {probe.protocol} to {case.target}, which speaks {probe.speaks}"
    if pool := _pool(case):
        return (
            f"the proxy speaks {case.protocol} to {case.target}, where PHP-FPM's pool {pool.name} listens, which speaks FastCGI"
        )
    if case.answers_now is not True and (other := _other_server(case)):
        return f"the proxy speaks {case.protocol} to {case.target}: {other}"
    if uwsgi := _uwsgi_protocol(case):
        return f"the proxy speaks {case.protocol} to {case.target}, where uWSGI reads {uwsgi[0]}"
    if (reported := _reported_protocol(case)) and reported[0] not in SPOKEN.get(case.protocol, (reported[0],)):
        return f"the proxy speaks {case.protocol} to {case.target}, which speaks {reported[0]}"
    return ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: use the backend's protocol, if changing the scheme is enough."""
    if (case.target is not None and case.target in unmet(case.joins)) or _of_header(case):
        yield Remedy(message=f"Make both sides agree on the PROXY protocol: {preface_settings()}.")
        return
    if case.proxy is not None and not behaviour(case.proxy.kind).takes_directives:
        return  # its own advice names its own settings
    spoken = next((p.speaks for p in case.probes if p.speaks), "fastcgi" if _pool(case) else "")
    if not spoken and (uwsgi := _uwsgi_protocol(case)):
        spoken = uwsgi[0]
    if not spoken and (reported := _reported_protocol(case)):
        spoken = reported[0]
    route = case.route
    scheme = {
        ("proxy_pass", "tls"): "https",
        ("proxy_pass", "http"): "http",
        ("grpc_pass", "tls"): "grpcs",
        ("grpc_pass", "h2"): "grpc",
    }.get((route.directive, spoken) if route else ("", ""))
    if scheme and route:
        change = set_scheme(case, scheme)
        yield Remedy(message=f"{route.directive} {scheme}://…", steps=(change, *reload(case.proxy)) if change else ())
    elif spoken == "fastcgi":
        yield from _to_fastcgi(case)
    elif spoken in ("uwsgi", "http", "h2"):
        message = f"use {_MODULES[spoken]}_pass for {case.target}"
        change = switch_pass_directive(case, spoken)
        yield Remedy(message=message, steps=(change, *reload(case.proxy)) if change else ())


_MODULES = {"http": "proxy", "h2": "grpc", "uwsgi": "uwsgi"}


def _to_fastcgi(case: Case) -> Iterator[Remedy]:
    """Return the FastCGI remedies.

    FastCGI needs the script: the requested file under `root`, or index.php for all. Without `root` it is unknown.
    """
    message = f"use fastcgi_pass for {case.target}"
    root = case.route.setting("root") if case.route else None
    if case.route is None or root is None or case.route.setting("alias"):
        yield Remedy(message=f"{message}, with the SCRIPT_FILENAME that the application needs")
        return
    every = {"the requested file": "$document_root$fastcgi_script_name"}
    if "php" not in case.route.location:
        every["index.php for everything"] = "$document_root/index.php"
    for what, script in every.items():
        change = switch_pass_directive(case, "fastcgi", script)
        yield Remedy(message=f"{message}: {what} in {root.args[0]}", steps=(change, *reload(case.proxy)) if change else ())


_PHP_SOCKET = lazy(r"/php[\w.-]{0,60}fpm[^/]{0,60}\.sock(?:et)?$|/php-?fpm/|fpm[\w.-]{0,60}\.sock$")


@rule(31, "scheme-does-not-fit-port", Severity.WARNING)
def tls_port(deployment: Deployment) -> Iterator[Risk]:
    """The scheme of a target does not match its port.

    A group server without a port uses port 80 even with `https://`. The TLS handshake then reaches a plain HTTP server, and
    every request gets 502. HTTP to port 443 gets 400.
    """
    seen = set()
    for route in deployment.routes:
        is_tls = route.protocol in ("https", "grpcs")
        if route.protocol not in ("http", "https", "grpcs") or "$scheme" in route.passes:
            continue
        for peer in deployment.peers(route):
            target = peer.target
            if target is None or target.is_unix or peer.at in seen:
                continue
            if is_tls and target.port == 80:
                is_default = not re.search(r":\d+$", peer.name)
                message = f"{peer.name} uses port 80" + ("  by default, even with https" if is_default else "")
                seen.add(peer.at)
                yield risk(
                    f"{message}: {route.passes} starts TLS there", peer.at, f"write {target.host}:443", severity=Severity.ERROR
                )
            elif route.protocol == "http" and target.port == 443 and not route.has_variables:
                seen.add(peer.at)
                # a container of one's own may serve anything there
                severity = Severity.NOTE if is_private_name(target.host) or target.is_loopback else None
                yield risk(f"plain HTTP is sent to port 443 of {target.host}", route.at, "pass to https://", severity=severity)


@rule(32, "http-to-php-fpm", Severity.ERROR)
def http_to_php(deployment: Deployment) -> Iterator[Risk]:
    """HTTP is sent to PHP-FPM, which speaks FastCGI.

    It closes the connection without a response, and every request gets 502.
    """
    pools = {same_path(pool.target) for pool in deployment.pools if pool.target}
    told: Route | None = None
    for route, peer, target in deployment.local_peers:
        if route is told or route.directive not in ("proxy_pass", "uwsgi_pass", "scgi_pass", "grpc_pass"):
            continue
        if (pools and same_path(target) in pools) or (target.is_unix and _PHP_SOCKET.search(target.path)):
            told = route
            yield risk(f"{peer.name} is PHP-FPM, but {route.directive} does not speak FastCGI", route.at, "use fastcgi_pass")


CAUSE = Cause(
    id="wrong-protocol",
    layer=Layer.PROXY,
    is_disproved_by_404=True,
    message="the proxy speaks a different protocol than the backend: http/https, http/fastcgi/uwsgi, http1/http2/grpc",
    symptoms={
        Symptom.OTHER_PROTOCOL: 5.0,
        Symptom.TLS_NOT_TLS: 5.0,
        Symptom.TLS_REQUEST_EXPECTED: 5.0,
        Symptom.NO_STATUS_LINE: WEAK,
        Symptom.CLOSED_BEFORE_HEADER: 0.5,
        Symptom.RESET_BEFORE_HEADER: 0.5,
        Symptom.HEADER_INVALID: 0.5,
        Symptom.READ_TIMED_OUT: 0.5,
        Symptom.TLS_TIMED_OUT: 0.5,
        Symptom.CONNECT_REFUSED: 0.1,
    },
    outranks=frozenset({"deploy-termination-race", "workers-exhausted"}),
    explains=frozenset(
        {
            "backend-hung",
            "backend-too-slow",
            "connection-reset",
            "health-check-misconfigured",
            "invalid-response",
            "premature-close",
            "proxy-module-missing",
            "request-header-too-big",
            "tls-handshake-failed",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        tls_port,
        http_to_php,
    ),
)
