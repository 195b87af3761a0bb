"""Patterns of lines that only a configuration of Traefik, static or dynamic, in YAML, TOML or JSON has."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(
        (
            r"(?:^[ \t]*|\")(?:entryPoints|certificatesResolvers|serversTransports?|routers|loadBalancer|forwardingTimeouts)\"?"
            r"[ \t]*:(?:[ \t]*$|[ \t]*\{)"
        ),
        re.MULTILINE | re.IGNORECASE,
    ),
    lazy(r"\brule\"?[ \t]*[:=][^\n]{0,80}?\b(?:Host|HostRegexp|HostSNI|Path|PathPrefix|PathRegexp)\(", re.IGNORECASE),
    lazy(
        (
            r"^[ \t]*\[{1,2}(?:entryPoints|certificatesResolvers|providers|(?:http|tcp|udp)\.(?:routers|services"
            r"|middlewares|serversTransports))[\].]"
        ),
        re.MULTILINE | re.IGNORECASE,
    ),
)
