"""The serverless function failed, was throttled or returned a response of the wrong shape.

ALB answers 502 with error_reason Lambda…; CloudFront LambdaExecutionError, LambdaValidationError.

## Confuse not with
- `upstream-error-status`: the function answered with a status of its own.

## Confirm
- The function's own log; the shape: statusCode, headers, body as string.

## Fix
- In the function: the required shape, the permission, the concurrency limit, the 1 MB limit.

## References
- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="function-target-error",
    layer=Layer.UPSTREAM,
    message="the serverless function failed, was throttled or returned a response of the wrong shape",
    symptoms={Symptom.FUNCTION_FAILED: 5.0},
)
