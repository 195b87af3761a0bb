"""Status codes that nginx does not accept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_URL = lazy(r"(?:https?://|\$).*", re.DOTALL)


@rule(168, "status-refused", Severity.ERROR, "proxy-config-invalid")
def refused(deployment: Deployment) -> Iterator[Risk]:
    """`return` or `error_page` has an invalid status.

    nginx refuses the configuration: `invalid return code`, `value must be between 300 and 599`.
    """
    for level, directive in deployment.uses("return", "error_page"):
        if level.path[:1] in (("stream",), ("mail",)):
            continue
        if directive.name == "return":
            code = directive.args[0] if directive.args else "0"
            number = units.number(code)
            if (number is None or number > 999) and not (len(directive.args) == 1 and _URL.fullmatch(code)) and "$" not in code:
                yield risk(f'"{code}" is not a status', directive.at, "write a number, or a URL with http:// or https://")
            continue
        for word in directive.args[:-1]:
            number = units.number(word)
            if not word.startswith("=") and (number is None or not 300 <= number <= 599):
                yield risk(f'error_page does not accept "{word}"', directive.at, "write statuses from 300 to 599")
