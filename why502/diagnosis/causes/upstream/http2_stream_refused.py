"""An HTTP/2 or gRPC backend reset the stream (REFUSED_STREAM, INTERNAL_ERROR, ENHANCE_YOUR_CALM).

nginx: "upstream rejected request with error N while reading response header from upstream", 502. The code of RFC 9113 tells the reason: 7 refused,
2 internal, 11 enhance your calm (too many requests), 1 protocol.

## Confuse not with
- `wrong-protocol`: the port does not speak HTTP/2.

## Confirm
- The backend's log; `grpcurl -plaintext HOST:PORT list`.

## Fix
- Raise the backend's limit of concurrent streams or pings, or repair the handler.

## References
- RFC 9113, 7 (error codes)
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="http2-stream-refused",
    layer=Layer.UPSTREAM,
    message="an HTTP/2 or gRPC backend reset the stream (REFUSED_STREAM, INTERNAL_ERROR, ENHANCE_YOUR_CALM)",
    symptoms={Symptom.STREAM_RESET: 5.0},
    explains=frozenset({"premature-close"}),
)
