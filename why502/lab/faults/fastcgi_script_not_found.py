"""fastcgi-script-not-found: SCRIPT_FILENAME names a directory that PHP-FPM does not see."""

from __future__ import annotations

from why502.lab.fault import Fault
from why502.lab.php import passes, start_php
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage) -> str:
    """Break it: the site has moved, the parameter still names the directory where it was."""
    address = f"127.0.0.1:{stage.port(9000)}"
    start_php(stage, address)
    stage.nginx.start(passes(stage, address).replace("fastcgi_param SCRIPT_FILENAME ", "fastcgi_param SCRIPT_FILENAME /srv/old"))
    stage.send_many(6)
    return address


FAULTS = (
    Fault(
        name="fastcgi-script-not-found",
        cause="fastcgi-script-not-found",
        layer=Layer.PROXY,
        message="the site has moved, but SCRIPT_FILENAME still names the old directory",
        build=build,
        statuses=frozenset({404}),
        proves=(r"Primary script unknown",),
        needs=frozenset({"php-fpm"}),
        ongoing=None,
    ),
)
