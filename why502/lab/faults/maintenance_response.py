"""maintenance-response: nginx is configured to return this status."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import group_of
from why502.lab.stage import Stage
from why502.model.finding import Layer


def returns(stage: Stage) -> None:
    """Break it: `return 503`."""
    stage.backend(3000)
    stage.nginx.start(
        f"proxy_pass http://127.0.0.1:{stage.port(3000)};",
        server="location /shop/ {\n    return 503;\n}\n",
    )
    stage.send_many(6)
    stage.send_many(6, "/shop/cart")


def switch(stage: Stage) -> None:
    """Break it: a file switches the maintenance page on."""
    stage.backend(3000)
    switch = stage.write("/etc/nginx/maintenance", "")
    stage.nginx.start(
        f"proxy_pass http://127.0.0.1:{stage.port(3000)};", server=f"if (-f {switch}) {{\n    return 503;\n}}\n", log="combined"
    )
    stage.send_many(6)


def all_down(stage: Stage) -> str:
    """Break it: every server of the group is marked down."""
    stage.backend(3000)
    group = group_of(f"127.0.0.1:{stage.port(3000)} down", f"127.0.0.1:{stage.port(3001)} down")
    stage.nginx.start("proxy_pass http://app;", http=group)
    stage.send_many(6)
    return "app"


fault = partial(Fault, cause="maintenance-response", layer=Layer.PROXY)
FAULTS = (
    fault(
        name="maintenance-response",
        message="a location returns 503",
        build=returns,
        statuses=frozenset({200, 503}),
        proves=(r'GET /shop/cart HTTP/1.1" 503 ',),
    ),
    fault(
        name="maintenance-response-switch",
        message="a maintenance file switches 503 on",
        build=switch,
        statuses=frozenset({503}),
        proves=(r'" 503 ',),
    ),
    fault(
        name="maintenance-response-down",
        message="every server of the group is marked down",
        build=all_down,
        proves=(r"no live upstreams while connecting to upstream",),
    ),
)
