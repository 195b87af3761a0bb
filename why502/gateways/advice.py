"""What to do about a cause in a product's own words: `ADVICE` of `gateways/<product>/advice.py`.

The pages of the causes give their advice in general, or in nginx's words.
"""

from __future__ import annotations

from why502 import registry


def own_advice(kind: str, cause: str) -> str:
    """Return a product's advice about a cause; "" if it has none of its own."""
    module = registry.part("why502.gateways", kind, "advice")
    return "" if module is None else module.ADVICE.get(cause, "")
