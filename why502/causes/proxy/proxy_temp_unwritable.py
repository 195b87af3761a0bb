"""The proxy cannot write its temporary or cache folder: permission or no space.

A response that does not fit the buffers goes to proxy_temp_path; when that may not be written, the answer is cut (200 in the log) or, for a request
body, 500. Small answers work, large ones do not.

## Confuse not with
- `disk-full`: the permission is there, the space is not.
- `truncated-response`: the backend cut it.

## Confirm
- `ls -ld /var/lib/nginx/proxy /var/cache/nginx/*`; the owner must be the worker's user.

## Fix
- `chown` the folder to the worker's user; mode x on the folders above it.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_temp_path
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="proxy-temp-unwritable",
    layer=Layer.PROXY,
    says="the proxy cannot write its temporary or cache folder: permission or no space",
    symptoms={Symptom.TEMP_DENIED: PROOF},
    yields_to=frozenset({"apparmor-denied", "selinux-denied"}),
)
