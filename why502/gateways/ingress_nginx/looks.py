"""How lines of ingress-nginx look, to know them before any format is loaded: the module that reads them, and what all have."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (("logs", lazy(r"\" \d{1,12} [\d.]{1,12} \[[^\]]{0,300}\] \[[^\]]{0,300}\] (?:-|[^\s,]{1,100})")),)
