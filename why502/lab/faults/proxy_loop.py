"""proxy-loop: the proxy passes requests to itself."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.stage import Stage
from why502.model.finding import Layer


def build(stage: Stage, *, host: str = "", connections: int = 65, has_application: bool = False) -> str:
    """Break it: proxy_pass names nginx's own port; the default Host leads to the same server again.

    It ends when no connection is left: for the next request to itself (500), or to accept it (then that is reset, 502).
    """
    target = f"127.0.0.1:{stage.port(80)}"
    if has_application:
        stage.backend(3000)
    stage.nginx.start(f"proxy_pass http://{target};\n{host}", connections=connections)
    stage.send_many(3)
    return target


fault = partial(Fault, cause="proxy-loop", layer=Layer.PROXY)
ends_at_connect = partial(
    fault, statuses=frozenset({500}), proves=(r"worker_connections are not enough while connecting to upstream",)
)
FAULTS = (
    ends_at_connect(name="proxy-loop", message="proxy_pass names nginx's own port", build=build),
    ends_at_connect(
        name="proxy-loop-application",
        message="proxy_pass names nginx's own port; the application listens on a port that no route names",
        build=partial(build, has_application=True),
    ),
    ends_at_connect(
        name="proxy-loop-host",
        message="proxy_pass names nginx's own port, and the Host header is passed on",
        build=partial(build, host="proxy_set_header Host $host;"),
    ),
    fault(
        name="proxy-loop-reset",
        message="proxy_pass names nginx's own port, and the loop ends in a reset",
        build=partial(build, connections=64),
        proves=(r"worker_connections are not enough",),
    ),
)
