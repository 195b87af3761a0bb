"""What FastCGI servers send as standard error where they do not run the script that was asked for; gateways log it.

Sources: PHP-FPM (sapi/fpm/fpm/fpm_main.c); fcgiwrap (fcgiwrap.c, cgi_error), which answers 403, or 502 if it cannot execute it.
"""

from __future__ import annotations

import re

from why502.model.patterns import lazy

OF_A_PROGRAM = (
    r"Cannot get script name, are DOCUMENT_ROOT|The given script is not allowed to execute|Script name must be a fully qualified"
    r"|Cannot chdir to (?:script|FCGI_CHDIR) directory|Cannot execute script \("
)
NO_SCRIPT = lazy(
    rf"Primary script unknown|Unable to open primary script|No input file|Access to the script|{OF_A_PROGRAM}", re.IGNORECASE
)
