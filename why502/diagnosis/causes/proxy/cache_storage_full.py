"""No space is left for the cached object.

Varnish logs "Could not get storage". n_lru_nuked grows, nuke_limit is reached, and the fetch fails with 503.

## Do not confuse with
- `disk-full`: the file system is full.

## Confirm
- `varnishstat` shows growing MAIN.n_lru_nuked and SMA.*.c_fail.

## Fix
- Use a larger storage, raise nuke_limit, or pass large objects without caching them.

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
