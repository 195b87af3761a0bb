"""The module for this scheme or feature is not loaded.

Apache logs AH01144 "No protocol handler was valid for the URL" and answers 500. nginx reports "unknown directive" for a module that is not
built in.

## Do not confuse with
- `proxy-config-invalid`: the configuration is rejected for another reason.

## Confirm
- `apachectl -M` or `nginx -V` does not list the module.

## Fix
- Load it: `a2enmod proxy_http` (proxy_fcgi, proxy_wstunnel …), or load_module.

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
    message="the module for this scheme or feature is not loaded",
    symptoms={Symptom.MODULE_MISSING: PROOF},
)
