"""Every cause is shown to come first somewhere: in a recorded bundle (with a look-alike beside it), a scene,
or a line that names it.

`test_bundles` holds the bundles to it, and the stacks their scenes; here is that no cause has none of them.
"""

from __future__ import annotations

import pytest
from lab.bundles import DIRECTORY, LOOK_ALIKE

from why502 import explain
from why502.diagnosis.causes import CAUSES
from why502.lab.stacks.registry import stacks

SCENES = {cause for stack in stacks().values() for scene in stack.scenes for cause in getattr(scene, "expects", ())}
# Of causes without a bundle or a scene: codes and lines, as their products write them, that name the cause by themselves,
# and the product.
LINES = {
    "auth-service-failed": ("AuthInvalidCookie", ""),
    "cdn-setting": ("1014", ""),
    "client-protocol-incompatible": ("464", ""),
    "client-timeout": ("request_overall_timeout", "envoy"),
    "connection-lost": ("recv() failed (113: No route to host) while reading response header from upstream", ""),
    "function-target-error": ("LambdaAccessDenied", ""),
    "gateway-provider-fault": ("WAFConnectionError", ""),
    "http2-stream-refused": ("upstream_reset_before_response_started{remote_refused_stream_reset", ""),
    "no-upstream-members": ("AH01171", ""),
    "proxy-bind-failed": ("bind(10.0.0.7) failed (99: Cannot assign requested address) while connecting to upstream", ""),
    "proxy-bug": ("IH", "haproxy"),
    "proxy-client-certificate-unusable": (
        (
            'cannot load certificate "/etc/ssl/c.pem": BIO_new_file() failed (SSL: error:80000002:system library::No '
            "such file or directory)"
            " while connecting to upstream"
        ),
        "",
    ),
    "proxy-target-invalid": (
        (
            '2026/11/21 00:14:55 [error] 812#812: *9 invalid URL prefix in "foo", client: 10.0.0.9, server: shop.example,'
            ' request: "GET /a HTTP/1.1", host: "shop.example"'
        ),
        "",
    ),
    "proxy-worker-crashed": ("AH00052", ""),
    "proxy-worker-sharing": ("AH01146", ""),
    "request-too-large": ("request_payload_too_large", ""),
    "rewrite-cycle": ("AH00124", ""),
    "route-not-found": ("NR", ""),
    "route-target-missing": ("NC", ""),
    "shared-memory-exhausted": (
        (
            '2026/11/21 00:14:55 [error] 812#812: *9 could not allocate node in limit_req zone "a", client: 10.0.0.9, '
            "server: shop.example,"
            ' request: "GET /a HTTP/1.1", host: "shop.example"'
        ),
        "",
    ),
    "tunnel-disconnected": ("527", ""),
}
# Shown nowhere yet, and why.
NOT_SHOWN = {
    "client-bad-request": "it is no failure of a gateway: the same statuses stand for a malformed answer",
    "proxy-temp-file-limit": "the proxy's own limit of a temporary file: no scene reaches it",
}


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_it_is_shown_to_come_first(cause: str) -> None:
    own = [path for path in (DIRECTORY / cause).glob("*.why502") if not path.name.startswith(LOOK_ALIKE)]
    others = list((DIRECTORY / cause).glob(f"{LOOK_ALIKE}*.why502"))
    if own:
        assert others, "a cause with a bundle has a look-alike, too: tests/lab/look_alikes.py"
    ways = {"bundle": bool(own), "scene": cause in SCENES, "line": cause in LINES}
    assert any(ways.values()) is not (cause in NOT_SHOWN), ways
    assert not (own and cause in LINES), "the bundle shows it"


@pytest.mark.parametrize("cause", sorted(LINES))
def test_its_line_names_it(cause: str) -> None:
    text, proxy = LINES[cause]
    assert explain(text, proxy or None).cause == cause


def test_the_exceptions_are_causes() -> None:
    assert LINES.keys() | NOT_SHOWN.keys() <= CAUSES.keys()
