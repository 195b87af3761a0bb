"""Amazon CloudFront: x-edge-detailed-result-type."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

_FUNCTION = "LambdaLimitExceeded LambdaValidationError LambdaExecutionError FunctionExecutionError FunctionThrottledError FunctionValidationError"

PRODUCT = Product(
    name="cloudfront",
    title="Amazon CloudFront",
    formats=("cloud_balancers",),
    about=(
        "The log has tab-separated fields under a `#Fields:` line. x-edge-result-type is Error, and "
        "x-edge-detailed-result-type gives the reason. 502: the TLS handshake with the origin failed (the certificate "
        "must match the origin domain or Host header), nothing answers on the port, DNS failed, or an ALB behind it "
        "returned 502. 504: the origin does not answer (30 s by default) or is behind a firewall."
    ),
    codes=table(
        code("OriginConnectError", "no connection to the origin", Symptom.CONNECT_REFUSED, "backend-not-running tls-handshake-failed connect-rejected wrong-port", "502"),
        code("OriginCommError", "the exchange with the origin timed out or was interrupted", Symptom.READ_TIMED_OUT, "backend-too-slow premature-close", "502 or 504"),
        code("OriginDnsError", "the origin's name does not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found", "502"),
        code("NonS3OriginDnsError", "the origin's name does not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found", "502"),
        code("OriginInvalidResponseError", "the origin's answer is not valid", Symptom.HEADER_INVALID, "invalid-response", "502"),
        code("OriginContentRangeLengthError", "Content-Range and Content-Length do not match", Symptom.HEADER_INVALID, "invalid-response", "502"),
        code("OriginReadError", "reading from the origin failed", Symptom.CLOSED_BEFORE_HEADER, "premature-close connection-reset", "502"),
        code("OriginZeroSizeObjectError", "the origin sent an empty response", Symptom.CLOSED_BEFORE_HEADER, "premature-close", "502"),
        code("OriginWriteError", "the request could not be sent", Symptom.SEND_FAILED, "connection-reset", "502"),
        code("OriginHeaderTooBigError", "the origin's response header is too big", Symptom.HEADER_TOO_BIG, "response-header-too-big", "502"),
        code("OriginError", "the origin itself sent that status", Symptom.UPSTREAM_STATUS, "upstream-error-status"),
        code("AbortedOrigin", "the origin closed the connection", Symptom.CLOSED_IN_BODY, "truncated-response"),
        code("ClientCommError", "the client disconnected", Symptom.CLIENT_CLOSED, "client-closed-request", "000 or as sent"),
        code("ClientHungUpRequest", "the client disconnected", Symptom.CLIENT_CLOSED, "client-closed-request", "000"),
        code("ClientGeoBlocked", "the country is blocked", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("InvalidRequest", "the request is invalid", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "400", failure=False),
        code("LimitExceeded", "a limit of the distribution is reached", Symptom.RATE_LIMITED, "rate-limited", "503"),
        code("CapacityExceeded", "the edge location does not have enough capacity", Symptom.PROVIDER_FAULT, "gateway-provider-fault", "503"),
        *(code(name, "the function at the edge failed", Symptom.FUNCTION_FAILED, "function-target-error", "502 or 503") for name in _FUNCTION.split()),
    ),
    next=("curl -v --resolve ORIGIN:443:IP https://ORIGIN/ -H 'Host: HOST'", "openssl s_client -connect ORIGIN:443 -servername ORIGIN"),
    references=("https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/troubleshooting-response-errors.html",),
)  # fmt: skip
