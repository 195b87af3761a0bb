"""An nginx in another mount namespace: repaired if it sees the same files; otherwise the manual steps are shown."""

from __future__ import annotations

import io
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from shop import Shop, stop

from why502.cli import plan_output
from why502.cli.env import Env
from why502.cli.plan_output import show, work
from why502.collectors import proxies
from why502.collectors.base import CollectOptions
from why502.fix.containers import source
from why502.fix.plan import Plan
from why502.fix.repair import NotApplied
from why502.host.local import LocalHost
from why502.lab.isolation import can_isolate
from why502.model.snapshot import Snapshot
from why502.remedies.changes import reload
from why502.session.fixing import with_diffs

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


def again(shop: Shop, script: str) -> Plan:
    """Restart the shop's nginx in a new mount namespace, after a script ran there; return its repair, from a new snapshot."""
    if not can_isolate():
        pytest.skip("needs root and its own namespaces (unshare)")
    plan = shop.plan()
    stop(shop)
    inside = ("unshare", "--mount", "--propagation", "private", "sh", "-c", f'set -e; {script}; exec "$@"', "sh")
    subprocess.run([*inside, *shop.program], check=True, capture_output=True)
    shop.until(lambda: (shop.root / "nginx.pid").exists() and shop.status("/well/") == 200)
    assert os.readlink(f"/proc/{shop.pid()}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    found = proxies.collect(LocalHost(), Snapshot(taken_at=datetime.now(UTC)), CollectOptions()).value or ()
    proxy = next(proxy for proxy in found if proxy.pid == shop.pid())
    return msgspec.structs.replace(plan, proxy=proxy, runs=reload(proxy))


def volume(shop: Shop) -> tuple[Plan, Path]:
    """Mount another directory over nginx's sites, as for a container's volume; return the path of the file on this side,
    too.
    """
    elsewhere = shop.root / "a volume"
    elsewhere.mkdir()
    (elsewhere / "shop").write_bytes(shop.old)
    plan = again(shop, f'mount --bind "{elsewhere}" {shop.site.parent}')
    shop.site.write_text("# another file of that name\n")
    return plan, elsewhere / "shop"


def environment() -> Env:
    return Env(stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())


def written(env: Env) -> str:
    assert isinstance(env.stdout, io.StringIO)
    return env.stdout.getvalue()


def apply(shop: Shop, plan: Plan) -> int:
    return plan_output.apply(
        environment(), (plan,), shop.snapshot(), work(environment(), str(shop.state), is_json=False), is_json=False
    )


def test_a_private_tmp_is_not_a_container(shop: Shop) -> None:
    plan = again(shop, "mount -t tmpfs private /mnt")
    assert plan.proxy
    assert (plan.proxy.root, plan.proxy.is_apart) == (f"/proc/{shop.pid()}/root", False)
    assert (apply(shop, plan), shop.site.read_bytes(), shop.status()) == (0, shop.new, 200)


def test_a_container_is_left_alone(shop: Shop) -> None:
    plan, here = volume(shop)
    other = shop.site.read_bytes()
    with pytest.raises(NotApplied, match=rf"nginx \(process {shop.pid()}\) has its own files") as caught:
        apply(shop, plan)
    assert str(here) in caught.value.hint
    assert (here.read_bytes(), shop.site.read_bytes()) == (shop.old, other)


def test_the_manual_steps_work(shop: Shop) -> None:
    plan, here = volume(shop)
    assert source(shop.pid(), str(shop.site), LocalHost()) == str(here)
    env = environment()
    assert show(env, with_diffs(plan, LocalHost()), LocalHost(), is_json=False) == 1
    told = written(env)
    assert f"+        proxy_pass http://127.0.0.1:{shop.right};" in told
    assert f"Make the change in {here} on this machine, which is {shop.site} in the container" in told
    with here.open("r+b") as stream:
        stream.write(shop.new)
        stream.truncate()
    for line in told.splitlines():
        if line.startswith("  nsenter "):
            subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    shop.until(lambda: shop.status() == 200)


def test_files_of_its_image_are_reported_as_such(shop: Shop) -> None:
    if not can_isolate():
        pytest.skip("needs root and its own namespaces (unshare)")
    layers = shop.root / "layers"
    layers.mkdir()
    (layers / "shop").write_bytes(shop.old)
    options = f"lowerdir={layers},upperdir=/mnt/up,workdir=/mnt/work"
    mounts = f"mount -t tmpfs x /mnt; mkdir /mnt/up /mnt/work; mount -t overlay -o {options} x {shop.site.parent}"
    plan = again(shop, mounts)
    env = environment()
    show(env, with_diffs(plan, LocalHost()), LocalHost(), is_json=True)
    assert f"{shop.site} belongs to its image or its own layer" in json.loads(written(env))["not_from_here"]
