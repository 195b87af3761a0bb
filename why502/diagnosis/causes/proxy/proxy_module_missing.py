"""The module for that scheme or feature is not loaded.

Apache AH01144 "No protocol handler was valid for the URL": 500. nginx: "unknown directive" of a module that was not built in.

## Confuse not with
- `proxy-config-invalid`: any other refusal.

## Confirm
- `apachectl -M`, `nginx -V`.

## Fix
- `a2enmod proxy_http` (proxy_fcgi, proxy_wstunnel …), or load_module.

## References
- https://httpd.apache.org/docs/2.4/mod/mod_proxy.html
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-module-missing",
    layer=Layer.PROXY,
    message="the module for that scheme or feature is not loaded",
    symptoms={Symptom.MODULE_MISSING: PROOF},
)
