"""No room is left for the cached object.

Varnish: "Could not get storage", n_lru_nuked grows and nuke_limit is reached; the fetch fails with 503.

## Confuse not with
- `disk-full`: the file system.

## Confirm
- varnishstat: MAIN.n_lru_nuked, SMA.*.c_fail.

## Fix
- A larger storage, nuke_limit, or pass large objects through.

## References
- https://varnish-cache.org/docs/7.1/reference/varnishd.html
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import Layer
from why502.model.logs import Symptom

CAUSE = Cause(
    id="cache-storage-full",
    layer=Layer.PROXY,
    message="no space is left for the cached object",
    symptoms={Symptom.CACHE_FULL: 5.0},
)
