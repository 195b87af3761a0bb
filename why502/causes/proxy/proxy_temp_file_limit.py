"""The response is cut at the limit of the proxy's temporary file.

proxy_max_temp_file_size (1 GiB by default): with a slow client a larger answer stalls, and the backend closes in between.

## Confuse not with
- `truncated-response`: cut at any size.

## Confirm
- All cut answers have nearly the same size, about 1 GiB.

## Fix
- `proxy_max_temp_file_size 0;` or `proxy_buffering off;` for that route.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_max_temp_file_size
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom

GIB = 1 << 30


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    for tally in case.failures:
        if (
            tally.symptom in (Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY)
            and tally.bytes_min is not None
            and tally.bytes_min >= 0.99 * GIB
        ):
            yield supports(
                f"every cut answer has at least {tally.bytes_min} bytes: proxy_max_temp_file_size is 1 GiB", tally.seen_in, LIKELY
            )
            return


CAUSE = Cause(
    id="proxy-temp-file-limit",
    layer=Layer.PROXY,
    says="the response is cut at the limit of the proxy's temporary file",
    symptoms={Symptom.TEMP_FILE_LIMIT: PROOF},
    examine=examine,
)
