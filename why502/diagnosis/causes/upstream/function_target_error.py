"""The serverless function failed, was throttled, or returned a response in the wrong format.

ALB returns 502 with an error_reason that starts with Lambda. CloudFront logs LambdaExecutionError or LambdaValidationError.

## Do not confuse with
- `upstream-error-status`: the function itself returned that status.

## Confirm
- Read the function's own log. Check the response format: statusCode, headers, body as a string.

## Fix
- Correct the function: the response format, the permission, the concurrency limit, or the size (limit 1 MB).

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
    message="the serverless function failed, was throttled, or returned a response in the wrong format",
    symptoms={Symptom.FUNCTION_FAILED: 5.0},
)
