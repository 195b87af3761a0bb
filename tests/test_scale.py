"""Work grows with the servers of a group and with the routes to it, never with their product: calls are counted, not seconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sampled import sampled
from steps import steps

from why502.bundle import save
from why502.collectors import owners, probes
from why502.diagnosis.engine import diagnose
from why502.diagnosis.listening import targets_without_listener
from why502.diagnosis.targets import targets
from why502.gateways.nginx.config.load import load_dump
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target
from why502.redaction import text

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROWTH = 6.0  # of four times as much of everything; quadratic work grows sixteenfold


def dump(text: str) -> bytes:
    return f"# configuration file /etc/nginx/nginx.conf:\nhttp {{ {text} }}\n".encode()


def group(size: int) -> bytes:
    """A group of `size` servers, and a tenth as many routes to it."""
    servers = "".join(f"server 127.0.{i // 250}.{i % 250 + 1}:3000;" for i in range(size))
    routes = "".join(f"location /{i}/ {{ proxy_pass http://big; }}" for i in range(size // 10))
    return dump(f"upstream big {{ {servers} }} server {{ server_name a; {routes} }}")


def hosts(size: int) -> bytes:
    """So many virtual hosts with a route each."""
    return dump(
        "".join(
            f"server {{ server_name s{i}.example; location / {{ proxy_pass http://127.0.0.1:{3000 + i}; }} }}"
            for i in range(size)
        )
    )


def snapshot(config: bytes) -> Snapshot:
    """A machine on which only some of the targets listen, and one fails."""
    found = load_dump(config)
    proxy = Proxy(pid=9, routes=found.routes, upstreams=found.upstreams, servers=found.servers)
    known = Snapshot(taken_at=NOW, since=NOW - timedelta(minutes=15), until=NOW, proxies=(proxy,))
    every = targets(known)
    failing = Tally(
        symptom=Symptom.CONNECT_REFUSED, target=every[0], count=7, proxy="nginx", first=NOW, last=NOW, requests=(("GET /1/", 7),)
    )
    return Snapshot(
        taken_at=NOW,
        since=known.since,
        until=NOW,
        proxies=(proxy,),
        listeners=tuple(Listener(target=target, pids=(20,), inode=place) for place, target in enumerate(every[5::2])),
        processes=(),
        probes=(),
        names=(),
        addresses=("127.0.0.1",),
        logs=LogSummary(tallies=(failing,)),
    )


def calls(work: Callable[[], object]) -> int:
    """Return the steps of a call, for texts not seen before."""
    text._own_of_short.cache_clear()
    return steps(work)


WORK: dict[str, Callable[[Snapshot], object]] = {
    "diagnose": diagnose,
    "targets": targets,
    "targets_without_listener": targets_without_listener,
    "owners": owners.owners,
    "probes": probes.chosen,
    "save": save,
}


@pytest.mark.parametrize("size", [100, pytest.param(400, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("config", sampled([group, hosts], 2))
@pytest.mark.parametrize("name", list(WORK))
def test_four_times_as_much_costs_about_four_times_as_much(config: Callable[[int], bytes], name: str, size: int) -> None:
    few, many = snapshot(config(size)), snapshot(config(4 * size))
    diagnose(few)  # imports and compilations that happen only once
    assert calls(lambda: WORK[name](many)) < GROWTH * calls(lambda: WORK[name](few)) + 2 * size


@pytest.mark.parametrize("config", [group, hosts])
def test_reading_grows_with_the_text(config: Callable[[int], bytes]) -> None:
    few, many = config(400), config(1600)
    load_dump(few)
    assert calls(lambda: load_dump(many)) < GROWTH * calls(lambda: load_dump(few))


def test_limits_keep_the_order_of_choice() -> None:
    """The failing target is probed first, the number of probes is limited, and the rest is counted."""
    known = snapshot(group(400))
    jobs, gaps = probes.chosen(known)
    asked = list(dict.fromkeys(job.request.target for job in jobs))
    assert asked[0] == Target(host="127.0.0.1", port=3000)
    assert len(asked) == probes.TARGETS
    assert [gap.reason for gap in gaps] == [
        f"{400 - probes.TARGETS} of 400 targets were not probed: the limit is {probes.TARGETS}"
    ]
