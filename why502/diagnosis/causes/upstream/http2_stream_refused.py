"""An HTTP/2 or gRPC backend reset the stream (REFUSED_STREAM, INTERNAL_ERROR, ENHANCE_YOUR_CALM).

nginx logs "upstream rejected request with error N while reading response header from upstream" and answers 502. The error code (RFC 9113) gives
the reason: 1 protocol error, 2 internal error, 7 refused stream, 11 enhance your calm (too many requests).

## Do not confuse with
- `wrong-protocol`: the port does not speak HTTP/2.

## Confirm
- Read the backend's log. Try `grpcurl -plaintext HOST:PORT list`.

## Fix
- Raise the backend's limit on concurrent streams or pings, or fix the request handler.

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
