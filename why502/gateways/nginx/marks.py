"""Lines by which a text is recognised as a configuration of nginx."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(
        r"^[ \t]*(?:http|events|stream|server|upstream[ \t]++[^\s{]++|location[ \t]++[^\n{]++"
        r"|map[ \t]++\S++[ \t]++\$\w++)\s{0,64}+\{",
        re.MULTILINE,
    ),
    lazy(
        r"^[ \t]*(?:(?:proxy|fastcgi|uwsgi|scgi|grpc)_pass|server_name|worker_(?:processes|connections)|listen|root)[ \t][^\n]*;",
        re.MULTILINE,
    ),
    lazy(r"^# configuration file /.*:$", re.MULTILINE),
)
