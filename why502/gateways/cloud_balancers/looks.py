"""How the entries of these look, to know them before any format is loaded: the module that reads them, and what all have."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (("logs", lazy(r"\"statusDetails\":\"")),)
