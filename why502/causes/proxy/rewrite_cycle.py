"""Rewrites, internal redirects, error pages or subrequests go round in circles.

"rewrite or internal redirection cycle": 500 after ten rounds.

## Confuse not with
- `proxy-loop`: over the network.

## Confirm
- `rewrite_log on; error_log … notice;`

## Fix
- End the round: `break` in place of `last`, an error_page that needs no backend, try_files with a file that exists.

## References
- https://nginx.org/en/docs/http/ngx_http_rewrite_module.html
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="rewrite-cycle",
    layer=Layer.PROXY,
    says="rewrites, internal redirects, error pages or subrequests go round in circles",
    symptoms={Symptom.REWRITE_CYCLE: PROOF},
)
