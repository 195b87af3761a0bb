"""The TLS handshake with the backend failed: protocol, cipher or missing SNI.

nginx logs "SSL_do_handshake() failed" and answers 502. It sends no SNI unless proxy_ssl_server_name is on. Many backends and
every CDN then answer with an alert (unrecognized name, handshake failure) or with another host's certificate.

## Do not confuse with
- `wrong-protocol`: "wrong version number", the port does not speak TLS.
- `tls-verify-failed`: the handshake works, but the proxy rejects the certificate.
- `tls-client-certificate-required`: the backend requires a certificate from the proxy.

## Confirm
- Compare `openssl s_client -connect HOST:PORT -noservername` with `-servername NAME`; try `-tls1_2`.

## Fix
- Send the server name that the backend expects, or allow a protocol that both support.
- nginx: `proxy_ssl_server_name on; proxy_ssl_name NAME;`, proxy_ssl_protocols.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_server_name
- RFC 8446, 6.2 (alerts)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment, host_name
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.remedies.changes import family, reload, set_in_route


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(*CAUSE.symptoms):
        return
    if case.route and not case.route.sends_sni:
        yield supports("the proxy sends no server name (SNI)", str(case.route.at or ""), WEAK)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: remove the route's own restriction (TLS versions, ciphers) or send the server name;
    the remedy for the setting that the error names comes first.
    """
    route = case.route
    if route is None or route.protocol not in ("https", "grpcs"):
        return
    kind = family(route)
    logged = " ".join(sample.text for tally in case.tallies for sample in tally.samples)
    logged += " ".join(probe.detail for probe in case.probes)
    found = []
    protocols, ciphers = route.setting(f"{kind}_ssl_protocols"), route.setting(f"{kind}_ssl_ciphers")
    if not route.sends_sni:
        rank = 0 if re.search(r"(?i)unrecognized.name", logged) else 2
        found.append((rank, "send the server name (SNI)", f"{kind}_ssl_server_name", "on"))
    if protocols and protocols.at and not {"TLSv1.2", "TLSv1.3"} <= set(protocols.args):
        rank = 0 if re.search(r"(?i)protocol.version|unsupported.protocol|no.protocols", logged) else 3
        found.append((rank, "offer TLS 1.2 and 1.3", f"{kind}_ssl_protocols", "TLSv1.2 TLSv1.3"))
    if ciphers and ciphers.at and ciphers.args != ("DEFAULT",):
        found.append((1, "offer the default ciphers", f"{kind}_ssl_ciphers", "DEFAULT"))
    for _, message, name, value in sorted(found):
        change = set_in_route(case, name, value)
        yield Remedy(message=message, steps=(change, *reload(case.proxy)) if change else ())


@rule(60, "tls-without-sni", Severity.WARNING)
def without_sni(deployment: Deployment) -> Iterator[Risk]:
    """A backend is addressed by host name over TLS, but the handshake does not send that name.

    proxy_ssl_server_name is off by default. Servers with several names (any CDN or cloud) reject the handshake or present
    another certificate: 502.
    """
    seen = set()
    for route in deployment.routes_of("https", "grpcs"):
        level = deployment.level(route)
        if route.protocol not in ("https", "grpcs") or route.sends_sni or level is None or not level.is_known:
            continue
        module = route.directive.removesuffix("_pass")
        if module not in ("proxy", "grpc"):
            continue
        name = next(
            (
                name
                for peer in deployment.peers(route)
                if "." in (name := host_name(peer)) and not name.endswith((".local", ".internal"))
            ),
            "",
        )
        if name and (name, route.server_at) not in seen:
            seen.add((name, route.server_at))
            yield risk(f"the TLS handshake with {name} sends no server name", route.at, f"add `{module}_ssl_server_name on;`")


@rule(61, "group-name-in-tls", Severity.WARNING)
def group_as_sni(deployment: Deployment) -> Iterator[Risk]:
    """The name of an upstream group is sent or verified as the backend's TLS name.

    proxy_ssl_name is `$proxy_host` by default, which is the group's name. No certificate is issued for that.
    """
    for route in deployment.routes_of("https", "grpcs"):
        if route.protocol in ("https", "grpcs") and (route.sends_sni or route.verifies_tls) and route.sni_name == "$proxy_host":
            if route.upstream and "." not in route.upstream:
                module = route.directive.removesuffix("_pass")
                yield risk(
                    f'"{route.upstream}", a group name, is used as the TLS name of the backend',
                    route.at,
                    f"set {module}_ssl_name to its real name",
                )


@rule(62, "old-tls-only", Severity.WARNING)
def old_protocols(deployment: Deployment) -> Iterator[Risk]:
    """Only TLS versions that servers no longer support are allowed for the backend.

    TLS 1.0 and 1.1 are deprecated (RFC 8996) and disabled in current servers and OpenSSL builds. The handshake fails.
    """
    seen = set()
    for route in deployment.routes_setting("ssl_protocols"):
        setting = route.setting(f"{route.directive.removesuffix('_pass')}_ssl_protocols")
        if (
            setting
            and route.protocol in ("https", "grpcs")
            and not {"TLSv1.2", "TLSv1.3"} & set(setting.args)
            and setting.at not in seen
        ):
            seen.add(setting.at)
            yield risk(f"only {' '.join(setting.args)} is allowed for the backend", setting.at, "allow TLSv1.2 TLSv1.3")


CAUSE = Cause(
    id="tls-handshake-failed",
    layer=Layer.PROXY,
    message="the TLS handshake with the backend failed: protocol, cipher or missing SNI",
    headline="the TLS handshake with {target} fails",
    symptoms={Symptom.TLS_FAILED: 5.0, Symptom.TLS_TIMED_OUT: FAIR},
    examine=examine,
    remedies=remedies,
    foresee=(
        without_sni,
        group_as_sni,
        old_protocols,
    ),
)
