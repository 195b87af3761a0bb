"""Verification of the backend's certificate failed: expired, wrong name or unknown issuer.

This happens only with `proxy_ssl_verify on` (off by default in nginx). nginx logs "upstream SSL certificate verify error" or
"does not match" and answers 502. Cloudflare returns 526.

## Do not confuse with
- `tls-handshake-failed`: the handshake fails before verification.

## Confirm
- `openssl s_client -connect HOST:PORT -servername NAME -CAfile FILE </dev/null` prints the verification's result. Piped into
  `openssl x509 -noout -dates -subject -ext subjectAltName` it prints the certificate's dates and names.

## Fix
- Expired: renew it. Wrong name: verify a name in the certificate. Unknown issuer: add the issuer to the trusted ones.
- nginx: proxy_ssl_name is the name, proxy_ssl_trusted_certificate the file of trusted issuers.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_verify
- https://docs.openssl.org/3.0/man1/openssl-verification-options/
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, host_name
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, PROOF, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.remedy import Edit, Remedy, Run
from why502.remedies.changes import family, reload, set_in_route

DEPTH = "3"  # nginx accepts a chain of one by default


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    yield from _forwarder_errors(case)
    if not case.seen(*CAUSE.symptoms):
        return
    for probe in case.probes:
        if probe.certificate:
            yield supports(f"its certificate does not verify: {probe.certificate}", "probe", WEAK)
            if same := case.handshake_code:
                yield supports(f"the proxy logs a failed handshake like a refused connection ({same})", "log", FAIR)
            if failed := case.tally(Symptom.TLS_FAILED):
                yield supports(f"the handshake failed {failed.count} times, without a reason in the log", failed.source, FAIR)
            return


def _forwarder_errors(case: Case) -> Iterator[Evidence]:
    """Yield the error about the peer's certificate from a forwarder that does TLS for the proxy (stunnel)."""
    errors = case.events(Symptom.TLS_UNVERIFIED) if case.failures else ()
    if errors:
        count = sum(event.count for event in errors)
        times = f", {count} times" if count > 1 else ""
        message = f"what listens on {case.target} passes connections on over TLS, and reports: {errors[-1].detail}{times}"
        yield supports(message, errors[-1].source, PROOF)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if errors := case.events(Symptom.TLS_UNVERIFIED):
        return f"the certificate of what lies behind {case.target} does not verify: {errors[-1].detail}"
    reason = next((probe.certificate for probe in case.probes if probe.certificate), "")
    return f"the certificate of {case.target} does not verify: {reason}" if reason else ""


_SAYS = {
    "ssl_server_name": "send the server name (SNI): the backend then presents a certificate that verifies",
    "ssl_name": "verify the certificate against {}, the name it was issued for, if that is your backend",
    "ssl_trusted_certificate": "trust the issuers in {}, one of which signed the certificate, if that is your backend",
    "ssl_verify_depth": "allow a chain of {} certificates between the backend's and the trusted one",
}


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies that a probe's handshake proved to work; verification itself is never disabled."""
    route = case.route
    if route is None or not route.verifies_tls:
        return
    logged = " ".join(sample.text for tally in case.tallies for sample in tally.samples)
    found = next((probe.verifies_with for probe in case.probes if probe.verifies_with), ())
    if not found and "certificate chain too long" in logged:
        found = (("ssl_verify_depth", DEPTH),)
    for name, value in found:
        change = set_in_route(case, f"{family(route)}_{name}", value)
        # A name that was not configured is the address of proxy_pass, or a group's name: no certificate is issued for that.
        is_policy = name == "ssl_trusted_certificate" or (
            name == "ssl_name" and route.setting(f"{family(route)}_ssl_name") is not None
        )
        steps: tuple[Edit | Run, ...] = (change, *reload(case.proxy)) if change else ()
        yield Remedy(message=_SAYS[name].format(value), steps=steps, is_policy=is_policy)


@rule(63, "verification-without-ca", Severity.ERROR, "proxy-config-invalid")
def without_ca(deployment: Deployment) -> Iterator[Risk]:
    """Verification of the backend's certificate is on, but no trusted issuer is configured.

    nginx rejects this configuration: `no proxy_ssl_trusted_certificate for proxy_ssl_verify`.
    """
    seen = set()
    for route in deployment.routes_setting("ssl_verify"):
        level = deployment.level(route)
        module = route.directive.removesuffix("_pass")
        setting = route.setting(f"{module}_ssl_verify")
        if (
            route.verifies_tls
            and route.protocol in ("https", "grpcs")
            and setting
            and level
            and level.is_known
            and setting.at not in seen
        ):
            if f"{module}_ssl_trusted_certificate" not in level.settings:
                seen.add(setting.at)
                yield risk(
                    f"{module}_ssl_verify is on without {module}_ssl_trusted_certificate",
                    setting.at,
                    "set the file of trusted issuers",
                )


@rule(64, "tls-not-verified", Severity.NOTE)
def not_verified(deployment: Deployment) -> Iterator[Risk]:
    """The certificate of a remote TLS backend is not verified.

    proxy_ssl_verify is off by default. An expired certificate, or another server at that address, stays unnoticed until
    verification is turned on.
    """
    seen = set()
    for route in deployment.routes_of("https", "grpcs"):
        level = deployment.level(route)
        module = route.directive.removesuffix("_pass")
        if route.protocol not in ("https", "grpcs") or route.verifies_tls or level is None or not level.is_known:
            continue
        if route.setting(f"{module}_ssl_verify"):
            continue  # the setting is deliberate
        name = next((name for peer in deployment.peers(route) if "." in (name := host_name(peer))), "")
        if name and name not in seen:
            seen.add(name)
            yield risk(
                f"the certificate of {name} is not verified",
                route.at,
                f"`{module}_ssl_verify on;` with trusted issuers, or write `off`",
            )


CAUSE = Cause(
    id="tls-verify-failed",
    layer=Layer.PROXY,
    message="verification of the backend's certificate failed: expired, wrong name or unknown issuer",
    symptoms={Symptom.TLS_UNVERIFIED: PROOF},
    explains=frozenset({"tls-handshake-failed"}),
    outranks=frozenset({"connection-reset", "premature-close"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        without_ca,
        not_verified,
    ),
)
