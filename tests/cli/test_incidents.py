"""`why502 incidents`, on a real store."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from asking import GOLDEN, TWO_LINES, ask

from why502.model.finding import Finding, Layer
from why502.watch.model import Batch, Diagnosed, Incident, Occasion
from why502.watch.store import Store

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the store of a `why502 watch` that still runs."""
    path = tmp_path / "watch.db"
    bundle = (GOLDEN / "wrong-port.why502").read_bytes()
    with Store.open(path) as kept:
        kept.commit(
            Batch(
                at=NOW,
                incidents=[
                    incident("aa11", "wrong-port", NOW - timedelta(hours=9), closed=True),
                    incident("aa22", "backend-hung", NOW - timedelta(hours=1), closed=True),
                    incident("bb33", "wrong-port", NOW - timedelta(minutes=10), closed=False),
                ],
                bundles={"bb33": bundle},
            )
        )
    return path


def incident(id_: str, cause: str, opened_at: datetime, *, closed: bool) -> Incident:
    finding = Finding(cause=cause, layer=Layer.PROXY, confidence=0.9, message=f"because of {cause}", statuses=(502,))
    return Incident(
        id=id_,
        key=f"v1:{id_}",
        host="web1",
        proxy="nginx",
        symptom="connection-refused",
        target=f"127.0.0.1:{3000 + int(id_[2:])}",
        location="shop.example/",
        opened_at=opened_at,
        closed_at=opened_at + timedelta(minutes=5) if closed else None,
        failures=7,
        diagnosed=(Diagnosed(at=opened_at, occasion=Occasion.OPENED, finding=finding),),
    )


def listed(store: Path, *options: str) -> list[str]:
    answer = ask("incidents", "list", "--store", str(store), *options, now=lambda: NOW)
    assert (answer.status, answer.err) == (0, "")
    return [line.split()[0] for line in answer.out.splitlines()[1:]]


def test_the_list_is_filtered(store: Path) -> None:
    assert listed(store) == ["bb33", "aa22", "aa11"]
    assert listed(store, "--open") == ["bb33"]
    assert listed(store, "--since", "2h") == ["bb33", "aa22"]
    assert listed(store, "--until", "2h") == ["aa11"]
    assert listed(store, "--cause", "wrong-port") == ["bb33", "aa11"]
    assert listed(store, "--target", "3022") == ["aa22"]
    assert listed(store, "--target", "SHOP.example", "--limit", "2") == ["bb33", "aa22"]


def test_nothing_found_is_said(store: Path) -> None:
    argv = ("incidents", "list", "--store", str(store), "--cause", "proxy-loop")
    assert ask(*argv) == (0, "no incidents\n", "")
    assert ask(*argv, "-q") == (0, "", "")
    assert json.loads(ask(*argv, "--format", "json").out)["incidents"] == []


def test_json_is_of_the_printed_schema(store: Path) -> None:
    for name, argv in (
        ("incidents", ("list",)),
        ("incident", ("show", "bb")),
        ("incident", ("export", "bb")),
    ):
        schema = json.loads(ask("schema", name).out)
        answer = ask("incidents", *argv, "--store", str(store), "--format", "json", now=lambda: NOW)
        jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(json.loads(answer.out))
        assert f'"why502.{name}/1"' in answer.out


def test_one_is_found_by_the_start_of_its_id(store: Path) -> None:
    answer = ask("incidents", "show", "b", "--store", str(store), now=lambda: NOW)
    assert answer.status == 0
    assert answer.out.startswith("OPEN: Clients of shop.example/ get 502: because of wrong-port.")
    assert ask("incidents", "export", "aa22", "--store", str(store)).out.startswith("# Post-mortem (draft): ")
    for wrong in ("zz", "aa", ""):
        answer = ask("incidents", "show", wrong, "--store", str(store))
        assert answer.status == 2 and TWO_LINES.fullmatch(answer.err)


def test_the_kept_bundle_repeats_the_diagnosis(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "night.why502"
    assert ask("incidents", "show", "bb33", "--bundle", str(out), "--store", str(store)).status == 0
    assert ask("diagnose", "--bundle", str(out)) == ask("diagnose", "--bundle", str(GOLDEN / "wrong-port.why502"))
    assert out.stat().st_mode & 0o077 == 0
    answer = ask("incidents", "export", "aa11", "--bundle", str(out), "--store", str(store))
    assert answer.status == 2 and TWO_LINES.fullmatch(answer.err) and answer.out == ""


@pytest.mark.parametrize("argv", [("list",), ("show", "a"), ("export", "a")])
def test_without_a_store_there_are_two_lines(tmp_path: Path, argv: tuple[str, ...]) -> None:
    answer = ask("incidents", *argv, "--store", str(tmp_path / "none.db"))
    assert (answer.status, answer.out) == (2, "")
    assert TWO_LINES.fullmatch(answer.err)
    assert "no store at" in answer.err


@pytest.mark.real
def test_whoever_may_only_read_the_file_reads_it_running_or_not(store: Path) -> None:
    """The directory belongs to another user, so that no -shm can be made in it."""
    store.parent.chmod(0o755)
    for name in store.parent.iterdir():
        name.chmod(0o644)
    for parent in store.parents:
        if not parent.stat().st_mode & 0o001 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    script = (
        "import os, sys\n"
        "from why502.watch.store import Store\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "with Store.open(sys.argv[1], read_only=True) as store: print(len(store.incidents()))"
    )
    read = [sys.executable, "-c", script, str(store)]
    done = subprocess.run(read, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("3\n", "")
    with Store.open(store) as running:
        running.commit(Batch(at=NOW, incidents=[incident("cc44", "wrong-port", NOW, closed=False)]))
        for name in store.parent.iterdir():
            name.chmod(0o644)
        done = subprocess.run(read, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("4\n", "")
