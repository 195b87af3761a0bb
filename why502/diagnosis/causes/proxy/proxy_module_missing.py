"""The module for this scheme or feature is not loaded.

Apache logs AH01144 "No protocol handler was valid for the URL" and answers 500. nginx reports "unknown directive" for a module
that is not built in. A directive in `.htaccess` whose module is not enabled ("Invalid command 'Header', perhaps misspelled or
defined by a module not included") makes Apache answer 500 to every request below that directory.

## Do not confuse with
- `proxy-config-invalid`: the configuration is rejected for another reason.

## Confirm
- `apachectl -M` or `nginx -V` does not list the module.

## Fix
- Load the module, then reload the proxy.
- Apache: `a2enmod proxy_http` (proxy_fcgi, proxy_wstunnel …).
- nginx: the directive is load_module.

## References
- https://httpd.apache.org/docs/2.4/mod/mod_proxy.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502 import registry
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom
from why502.model.remedy import Remedy


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the module that defines the setting which the gateway does not know."""
    tally = case.tally(Symptom.MODULE_MISSING)
    own = registry.part("why502.gateways", tally.proxy or "", "missing_modules") if tally else None
    if tally is not None and own is not None and (advice := own.advice(tally.detail)):
        yield Remedy(message=advice)


CAUSE = Cause(
    id="proxy-module-missing",
    layer=Layer.PROXY,
    message="the module for this scheme or feature is not loaded",
    symptoms={Symptom.MODULE_MISSING: PROOF},
    remedies=remedies,
)
