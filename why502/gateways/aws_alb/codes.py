"""AWS Application Load Balancer: error reasons, target health reasons, and the statuses that only it returns."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

_AUTH = (
    "AuthInvalidCookie AuthInvalidGrantError AuthInvalidIdToken AuthInvalidStateParam AuthInvalidTokenResponse AuthInvalidUserinfoResponse"
    " AuthMissingCodeParam AuthMissingHostHeader AuthMissingStateParam AuthTokenEpRequestFailed AuthTokenEpRequestTimeout"
    " AuthUnhandledException AuthUserinfoEpRequestFailed AuthUserinfoEpRequestTimeout AuthUserinfoResponseSizeExceeded"
)
_LAMBDA = (
    "LambdaAccessDenied LambdaBadRequest LambdaConnectionError LambdaConnectionTimeout LambdaEC2AccessDeniedException"
    " LambdaEC2ThrottledException LambdaEC2UnexpectedException LambdaENILimitReachedException LambdaInvalidResponse"
    " LambdaInvalidRuntimeException LambdaInvalidSecurityGroupIDException LambdaInvalidSubnetIDException LambdaInvalidZipFileException"
    " LambdaKMSAccessDeniedException LambdaKMSDisabledException LambdaKMSInvalidStateException LambdaKMSNotFoundException"
    " LambdaRequestTooLarge LambdaResourceNotFound LambdaResponseTooLarge LambdaServiceException LambdaSubnetIPAddressLimitReachedException"
    " LambdaThrottling LambdaUnhandled LambdaUnhandledException LambdaWebsocketNotSupported"
)
_WAF = "WAFConnectionError WAFConnectionTimeout WAFResponseReadTimeout WAFServiceError WAFUnhandledException"

_ACCEPTABLE = "GetHeadZeroContentLength NonCompliantHeader NonCompliantVersion SpaceInUri"
_AMBIGUOUS = (
    "AmbiguousUri BothTeClPresent DuplicateContentLength EmptyHeader SuspiciousHeader UndefinedContentLengthSemantics"
    " UndefinedTransferEncodingSemantics"
)
_SEVERE = "BadContentLength BadHeader BadTransferEncoding BadUri BadMethod BadVersion MultipleContentLength MultipleTransferEncodingChunked"

PRODUCT = Product(
    name="aws-alb",
    title="AWS load balancers (ALB, Classic ELB)",
    also=("alb", "elb"),
    formats=("aws_alb",),
    about=(
        "Check in this order. If elb_status_code equals target_status_code, the target returned the status. Then read "
        "error_reason and actions_executed (fixed-response, waf, authenticate). Is a target named? Which of the three "
        "times are -1? The time from request_creation_time to time is about 0 (refused, or no target registered), 10 "
        "s (connect timeout), the idle timeout (60 s), or another constant (the application server's own limit). The "
        "keepalive race is a 504 on a Classic ELB and a 502 on an ALB. An NLB has no status of its own."
    ),
    codes=table(
        *(code(name, "authentication with the identity provider failed", Symptom.AUTH_FAILED, "auth-service-failed", "401, 500 or 561") for name in _AUTH.split()),
        *(code(name, "the function failed, was throttled, or returned the wrong format", Symptom.FUNCTION_FAILED, "function-target-error", "502") for name in _LAMBDA.split()),
        *(code(name, "the web application firewall did not answer", Symptom.PROVIDER_FAULT, "gateway-provider-fault denied-by-rule", "500") for name in _WAF.split()),
        *(
            code(name, f"desync mitigation classified the request as {kind}", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", failure=False)
            for kind, names in (("acceptable", _ACCEPTABLE), ("ambiguous", _AMBIGUOUS), ("severe", _SEVERE))
            for name in names.split()
        ),
        code("AWSALBTGCookieInvalid", "the cookie of weighted target groups is invalid", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", failure=False),
        code("WeightedTargetGroupsUnhandledException", "an internal error of the load balancer", Symptom.PROVIDER_FAULT, "gateway-provider-fault"),
        code("Target.Timeout", "the health check got no answer in time", Symptom.HEALTH_CHECK_FAILED, "connect-timeout backend-hung"),
        code("Target.FailedHealthChecks", "the health check could not connect, or the response was malformed", Symptom.HEALTH_CHECK_FAILED, "backend-not-running wrong-port invalid-response"),
        code("Target.ResponseCodeMismatch", "the health check got a different status than it expects", Symptom.HEALTH_CHECK_STATUS, "health-check-misconfigured upstream-error-status"),
        code("Target.NotRegistered", "the target is not registered", Symptom.NO_MEMBERS, "no-upstream-members"),
        code("Target.NotInUse", "no listener uses the group, or the zone is not enabled", Symptom.NO_MEMBERS, "no-upstream-members"),
        code("Target.InvalidState", "the instance is stopped or terminated", Symptom.CONNECT_REFUSED, "backend-not-running"),
        code("Target.DeregistrationInProgress", "the target is being deregistered", Symptom.STALE_ENDPOINT, "deploy-termination-race"),
        code("Target.IpUnusable", "the address cannot be a target", Symptom.NO_MEMBERS, "no-upstream-members"),
        code("Target.HealthCheckDisabled", "health checks are disabled", None, "", failure=False),
        code("Elb.RegistrationInProgress", "the target is being registered", Symptom.STALE_ENDPOINT, "deploy-termination-race", failure=False),
        code("Elb.InitialHealthChecking", "the target has not passed enough health checks yet", Symptom.STALE_ENDPOINT, "deploy-termination-race", failure=False),
        code("Elb.InternalError", "an internal error of the load balancer", Symptom.PROVIDER_FAULT, "gateway-provider-fault"),
        code("460", "the client closed before the idle timeout", Symptom.CLIENT_CLOSED, "client-closed-request backend-too-slow", "460"),
        code("463", "X-Forwarded-For contains more than 30 addresses", Symptom.CLIENT_BAD_REQUEST, "client-bad-request", "463", failure=False),
        code("464", "the request's protocol does not match the target group's protocol version", Symptom.CLIENT_PROTOCOL, "client-protocol-incompatible wrong-protocol", "464"),
        code("561", "the identity provider returned an error", Symptom.AUTH_FAILED, "auth-service-failed", "561"),
    ),
    next=(
        "aws elbv2 describe-target-health --target-group-arn ARN",
        "aws elbv2 describe-load-balancer-attributes --load-balancer-arn ARN (idle_timeout.timeout_seconds)",
        "compare the application server's keepalive timeout with the idle timeout: the server's must be longer",
        "the target's security group must allow the load balancer on the target port and the health check port",
    ),
    references=("https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html",),
)  # fmt: skip
