"""stale-dns: the name was resolved when the configuration was loaded, and now points to another address."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import group_of
from why502.lab.stage import Stage
from why502.model.finding import Layer

OLD, NEW = "10.11.12.1", "10.11.12.2"


def build(stage: Stage, *, is_group: bool = False) -> str:
    """Break it: the application moves to another address, the hosts file follows, nginx does not."""
    for address in (OLD, NEW):
        stage.sh("ip", "address", "add", f"{address}/32", "dev", "lo")
    stage.hosts({"app.internal": OLD})
    application = stage.backend(f"{OLD}:3000")
    group = group_of("app.internal:3000") if is_group else ""
    stage.nginx.start(f"proxy_pass http://{'app' if is_group else 'app.internal:3000'};", http=group)
    stage.send_many(4)
    stage.stop(application)
    stage.hosts({"app.internal": NEW})
    stage.backend(f"{NEW}:3000")
    stage.send_many(6)
    return f"{OLD}:3000"


fault = partial(
    Fault,
    cause="stale-dns",
    layer=Layer.PROXY,
    needs=frozenset({"isolation", "ip"}),
    statuses=frozenset({200, 502}),
    proves=(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",),
)
FAULTS = (
    fault(name="stale-dns", message="the name in proxy_pass moved to another address after the start", build=build),
    fault(
        name="stale-dns-group", message="the name of a group's server moved after the start", build=partial(build, is_group=True)
    ),
)
