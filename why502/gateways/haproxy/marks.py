"""Lines by which a text is recognised as a configuration of HAProxy."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(r"^(?:global|defaults|(?:frontend|backend|listen)[ \t]++\S++)(?:[ \t][^\n{;]*+)?$", re.MULTILINE),
    lazy(
        r"^[ \t]+(?:bind|balance|default_backend|use_backend|mode[ \t]+(?:http|tcp)|timeout[ \t]+(?:connect|client"
        r"|server))[ \t]?[^\n;]*$",
        re.MULTILINE,
    ),
)
MAIN = lazy(r"^(?:global|defaults)\b", re.MULTILINE)  # in a main configuration only
