"""Patterns of lines that only a configuration of Envoy has (a bootstrap, or discovered resources, in YAML or JSON)."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(
        (
            r"(?:^[ \t]*(?:-[ \t]+)?|\")(?:static_resources|dynamic_resources|filter_chains|load_assignment|lb_endpoints"
            r"|lb_policy|socket_address|virtual_hosts)\"?[ \t]*:"
        ),
        re.MULTILINE,
    ),
    lazy(r"\btype\.googleapis\.com/envoy\."),
)
