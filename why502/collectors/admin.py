"""What the running gateways say about themselves over their admin interfaces: see `gateways/*/admin.py`.

A question is a request to the gateway, not to a target, and changes nothing; with `--offline` none is sent.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from why502.collectors.base import CollectOptions, Found
from why502.gateways.admin import Asking, Door, admin, with_view
from why502.gateways.running import texts_of
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable
from why502.machine.suppliers import Rights
from why502.model.errors import HostError
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot

SECTION = "proxies"
NEEDS = ("proxies",)
LIMIT_S = 4.0
DOORS = 4  # maximum tried per gateway
_AT_ONCE = 8


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Proxy, ...]]:
    """Return the gateways, with the view of each whose admin interface answers."""
    asked = [proxy for proxy in known.proxies or () if proxy.is_running and admin(proxy.kind)]
    if not asked or options.offline:
        return Found(None)
    table = ProcessTable(host)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="admin") as pool:
        answers = dict(zip(map(id, asked), pool.map(partial(_view, host, table), asked), strict=True))
    seen = [answers.get(id(proxy), (proxy, None)) for proxy in known.proxies or ()]
    return Found(tuple(proxy for proxy, _ in seen), tuple(gap for _, gap in seen if gap))


def _view(host: Host, table: ProcessTable, proxy: Proxy) -> tuple[Proxy, Gap | None]:
    """Return a gateway with its own view, and the reason if it gave none."""
    product = admin(proxy.kind)
    assert product is not None and proxy.pid is not None
    missed: HostError | None = None
    try:
        texts = attempt(partial(texts_of, host, proxy)) or []
        doors = product.doors(proxy, table.process(proxy.pid), texts, Rights(host, proxy.owner_uid).environment(proxy.pid))
        for door in tuple(doors)[:DOORS]:
            try:
                return with_view(proxy, product.look(Asking(host, proxy, door), proxy), door), None
            except HostError as error:
                missed = missed or HostError(f"{_named(door)}: {error.reason}", error.hint)
    except HostError as error:
        missed = error
    if missed is None:
        return proxy, None
    return proxy, Gap(source="admin", reason=f"{proxy.kind} process {proxy.pid}: {missed.reason}", hint=missed.hint)


def _named(door: Door) -> str:
    return f"its admin interface on {door.target} ({door.named_by})"
