"""response-header-too-big: the response header does not fit into the proxy's buffer (one page, 4 KiB)."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.php import php_backend
from why502.lab.scenes import one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer


def login(stage: Stage) -> str:
    """Break one page: only the login sets the cookies."""
    target = one_backend(stage, times=8)
    stage.send_many(6, "/login")
    return target


def php(stage: Stage) -> str:
    """Break a PHP page."""
    return php_backend(stage, "<?php for ($i = 0; $i < 8; $i++) header(\"X-Debug-$i: \" . str_repeat('x', 900)); echo 'ok';")


fault = partial(
    Fault,
    cause="response-header-too-big",
    layer=Layer.PROXY,
    proves=(r"upstream sent too big header while reading response header from upstream",),
)
FAULTS = (
    fault(
        name="response-header-too-big",
        message="the application sends 7 KiB of cookies",
        build=partial(one_backend, options=("--does", "big-header")),
    ),
    fault(
        name="response-header-too-big-login",
        message="only the login page sends 7 KiB of cookies",
        build=login,
        statuses=frozenset({200, 502}),
    ),
    fault(
        name="response-header-too-big-fastcgi",
        message="a PHP page sends 7 KiB of headers",
        build=php,
        needs=frozenset({"php-fpm"}),
    ),
)
