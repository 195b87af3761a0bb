"""How the lines of Caddy look, to know them before any format is loaded: the module that reads them, and what all have."""

from __future__ import annotations

import re

LOOKS = (("logs", re.compile(r"\"logger\":\"http\.log\.")),)
