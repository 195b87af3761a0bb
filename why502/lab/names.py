"""Scenes with their own name server."""

from __future__ import annotations

from why502.lab.stage import Stage


def variable_target(stage: Stage, *, rcode: str | None, is_known: bool = False) -> str:
    """Have nginx resolve a name at each request; the name server answers with a response code, or (None) does not run.

    No address is ever connected to, so the target is the name with its port. `is_known`: the machine's own name server knows the
    name.
    """
    server = f"127.0.0.1:{stage.port(5353)}"
    if is_known:
        stage.backend("127.0.0.2:53", "app.internal=127.0.0.1", script="names.py")
        stage.resolver("nameserver 127.0.0.2\n")
        stage.backend(3000)
    if rcode:
        stage.backend(server, "--rcode", rcode, script="names.py")
    stage.nginx.start(
        f"set $backend app.internal;\nproxy_pass http://$backend:{stage.port(3000)};",
        http=f"resolver {server} ipv6=off valid=1s;\nresolver_timeout 1s;",
    )
    stage.send_many(4, at_once=4)
    return f"app.internal:{stage.port(3000)}"
