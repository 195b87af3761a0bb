"""The response is truncated at the limit of the proxy's temporary file.

The limit is proxy_max_temp_file_size (1 GiB by default). With a slow client a larger response stalls, and the backend closes the
connection meanwhile.

## Do not confuse with
- `truncated-response`: responses are truncated at any size.

## Confirm
- All truncated responses have nearly the same size, about 1 GiB.

## Fix
- Raise the limit, or do not store responses of that route in a file.
- nginx: `proxy_max_temp_file_size 0;` or `proxy_buffering off;` for that route.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_max_temp_file_size
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.gateways.nginx.config import units
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom

GIB = 1 << 30


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    for tally in case.failures:
        if (
            tally.symptom in (Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY)
            and tally.bytes_min is not None
            and tally.bytes_min >= 0.99 * GIB
        ):
            yield supports(
                f"every truncated response has at least {tally.bytes_min} bytes: proxy_max_temp_file_size is 1 GiB",
                tally.source,
                LIKELY,
            )
            return


_MODULES = ("proxy", "fastcgi", "uwsgi", "scgi")
_SIZES = tuple(f"{module}_max_temp_file_size" for module in _MODULES)
_BUFFERING = frozenset(f"{module}_buffering" for module in _MODULES)
_LEAST = 64 << 20


@rule(97, "temp-file-limit-small", Severity.NOTE)
def temp_small(deployment: Deployment) -> Iterator[Risk]:
    """The limit for the temporary file of a response is small.

    Above it the backend must wait for the slowest client. A backend that does not wait that long closes the connection, and the
    download is truncated although its status is 200.
    """
    seen = set()
    for _, directive in deployment.uses(*_SIZES):
        size = units.size(directive.args[0]) if directive.args else None
        if size and size < _LEAST and directive.at not in seen:
            seen.add(directive.at)
            yield risk(
                f"responses above {directive.args[0]} tie the backend to the slowest client",
                directive.at,
                "keep the default of 1024m, or set 0 to use no file",
            )


@rule(98, "buffers-without-buffering", Severity.NOTE, "workers-exhausted")
def unbuffered_settings(deployment: Deployment) -> Iterator[Risk]:
    """Buffers and temporary files are configured although buffering is off.

    Without buffering only buffer_size is used; the other settings change nothing.
    """
    for module in _MODULES:
        for level, switch in deployment.uses(f"{module}_buffering"):
            off = switch.args == ("off",)
            idle = level.own(f"{module}_buffers", f"{module}_busy_buffers_size", f"{module}_max_temp_file_size")
            idle = tuple(directive for directive in idle if directive.args != ("0",))
            if off and idle:
                yield risk(
                    f"{idle[0].name} has no effect while {module}_buffering is off",
                    idle[0].at,
                    f"remove it, or turn {module}_buffering on",
                )


CAUSE = Cause(
    id="proxy-temp-file-limit",
    layer=Layer.PROXY,
    message="the response is truncated at the limit of the proxy's temporary file",
    symptoms={Symptom.TEMP_FILE_LIMIT: PROOF},
    explains=frozenset({"truncated-response"}),
    examine=examine,
    foresee=(
        temp_small,
        unbuffered_settings,
    ),
)
