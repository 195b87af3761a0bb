"""Patterns of lines that only a configuration of Varnish has (VCL)."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(r"^vcl[ \t]+\d\.\d[ \t]*;", re.MULTILINE),
    lazy(r"^[ \t]*sub[ \t]+vcl_\w+", re.MULTILINE),
    lazy(r"^[ \t]*\.(?:host|port|probe)[ \t]*=", re.MULTILINE),
)
