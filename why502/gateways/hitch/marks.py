"""Patterns of lines that only a configuration of Hitch has."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (lazy(r"^[ \t]*(?:frontend|backend|pem-file|pem-dir)[ \t]*=", re.MULTILINE),)
