"""SCRIPT_FILENAME names a file that PHP-FPM cannot see.

"Primary script unknown": 404 "File not found." The path is built from root and the script's name; with a container or chroot it must hold there, not in nginx.

## Confuse not with
- `php-fpm-socket-mismatch`: PHP-FPM is not reached at all.

## Confirm
- `nginx -T | grep -n SCRIPT_FILENAME`; `ls` that path as PHP-FPM's user.

## Fix
- `fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;` with the root that PHP-FPM sees.

## References
- https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_param
"""

from __future__ import annotations

from why502.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="fastcgi-script-not-found",
    layer=Layer.PROXY,
    says="SCRIPT_FILENAME names a file that PHP-FPM cannot see",
    symptoms={Symptom.SCRIPT_NOT_FOUND: 5.0},
)
