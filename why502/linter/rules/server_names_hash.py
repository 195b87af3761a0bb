"""Server names that do not fit into nginx's hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.model.finding import Risk, Severity

_POINTER = 8  # bytes, on a 64-bit machine
_BUCKET = 64  # ngx_cacheline_size of current processors


@rule(173, "server-name-too-long-for-hash", Severity.ERROR, "proxy-config-invalid")
def too_long(deployment: Deployment) -> Iterator[Risk]:
    """A server name is longer than a bucket of the names hash.

    nginx refuses the configuration: `could not build server_names_hash, you should increase server_names_hash_bucket_size`. An
    entry takes 10
    bytes more than the name, rounded up (NGX_HASH_ELT_SIZE in src/core/ngx_hash.c).
    """
    # nginx makes no hash for an address with one server (ngx_http_optimize_servers).
    shared = Counter(address for server in deployment.servers for address in set(server.listens))
    servers = [server for server in deployment.servers if server.names and any(shared[address] > 1 for address in server.listens)]
    for level in deployment.blocks("http"):
        if not level.is_known or len(deployment.servers) < 2:
            continue
        bucket = units.size(level.first("server_names_hash_bucket_size") or str(_BUCKET)) or _BUCKET
        for server in servers:
            for name in server.names:
                bare = name.removeprefix("*.").removeprefix(".").removesuffix(".*")
                needed = _POINTER + -(-(len(bare) + 2) // _POINTER) * _POINTER
                if not name.startswith("~") and needed > bucket - _POINTER:
                    enough = next(size for size in (128, 256, 512, 1024) if needed <= size - _POINTER or size == 1024)
                    yield risk(
                        f"{name} does not fit in a bucket of {bucket} bytes",
                        server.at,
                        f"`server_names_hash_bucket_size {enough};` in http",
                    )
