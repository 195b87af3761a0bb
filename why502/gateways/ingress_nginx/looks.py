"""Patterns that recognise ingress-nginx lines before any format is loaded: the module that reads them, and their common form."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (("logs", lazy(r"\" \d{1,12} [\d.]{1,12} \[[^\]]{0,300}\] \[[^\]]{0,300}\] (?:-|[^\s,]{1,100})")),)
