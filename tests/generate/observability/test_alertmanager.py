"""The configuration for Alertmanager, on amtool and a real Alertmanager: what is muted, what is not, and who gets it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from free_ports import free_port

from why502.diagnosis.causes import CAUSES
from why502.generate.observability.inhibition import alertmanager
from why502.generate.observability.rules import rules

WEB1 = {"host": "web1", "proxy": "nginx", "target": "10.0.0.1:80"}
ROOT = WEB1 | {
    "alertname": "Why502Incident",
    "incident": "7",
    "cause": "backend-crashed",
    "severity": "page",
    "location": "shop.example/",
}
RULE = {"alertname": "Why502Incident", "host": "web1", "instance": "web1:9502", "target": "10.0.0.1:80", "severity": "page"}
FAST = {"alertname": "Why502BudgetFast", "host": "web1", "proxy": "nginx", "location": "shop.example/", "severity": "page"}
# Alerts that are sent together, and whether the second is muted by the first.
PAIRS = {
    "the same incident by a rule": (ROOT, RULE | {"cause": "backend-crashed"}, True),
    "another cause by a rule": (ROOT, RULE | {"cause": "stale-dns"}, False),
    "the same on another host": (ROOT, RULE | {"cause": "backend-crashed", "host": "web2"}, False),
    "an effect of the cause": (ROOT, ROOT | {"incident": "8", "cause": "premature-close"}, True),
    "an effect on another target": (ROOT, ROOT | {"incident": "8", "cause": "premature-close", "target": "10.0.0.2:80"}, False),
    "a root that is a ticket": (ROOT | {"severity": "ticket"}, ROOT | {"incident": "8", "cause": "premature-close"}, False),
    "the cause of an effect": (ROOT | {"cause": "premature-close"}, ROOT | {"incident": "8"}, False),
    "the allowance of its location": (ROOT, FAST, True),
    "the allowance of another location": (ROOT, FAST | {"location": "blog.example/"}, False),
    "the slow alert after the fast one": (FAST, FAST | {"alertname": "Why502BudgetSlow"}, True),
    "the fast alert after the slow one": (FAST | {"alertname": "Why502BudgetSlow"}, FAST, False),
    "the target that an incident names": (
        ROOT,
        WEB1 | {"alertname": "Why502TargetDown", "severity": "page", "group": "app"},
        True,
    ),
    "another target": (ROOT, WEB1 | {"alertname": "Why502TargetDown", "severity": "page", "target": "10.0.0.2:80"}, False),
    "the same incident again": (ROOT, ROOT | {"incident": "8"}, False),
    "the dead man": (ROOT, {"alertname": "Why502Watchdog", "severity": "none"}, False),
}


def test_every_effect_of_every_cause_is_in_it() -> None:
    found = yaml.safe_load(alertmanager())["inhibit_rules"]
    pairs = {
        (rule["source_matchers"][0].split('"')[1], effect)
        for rule in found
        if rule["source_matchers"][0].startswith("cause=")
        for effect in rule["target_matchers"][0].split('"')[1].split("|")
    }
    assert pairs == {(cause.id, effect) for cause in CAUSES.values() for effect in cause.explains}


def test_no_two_causes_mute_each_other() -> None:
    """Alertmanager would send neither."""

    def effects(name: str, found: set[str]) -> set[str]:
        for effect in CAUSES[name].explains - found:
            effects(effect, found | {effect})
            found.add(effect)
        return found

    assert [name for name in CAUSES if name in effects(name, set())] == []


def test_it_names_only_alerts_that_exist() -> None:
    alerts = {rule["alert"] for group in yaml.safe_load(rules(99.9))["groups"] for rule in group["rules"] if "alert" in rule}
    text = alertmanager()
    named = {word for word in text.replace('"', " ").replace("|", " ").split() if word.startswith("Why502")}
    assert named and named <= alerts


def call(url: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode() if body is not None else None, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@pytest.fixture(scope="module")
def alertmanager_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("alertmanager")
    (directory / "alertmanager.yml").write_text(alertmanager())
    subprocess.run(["amtool", "check-config", str(directory / "alertmanager.yml")], check=True, capture_output=True)
    port = free_port()
    arguments = [
        f"--config.file={directory}/alertmanager.yml",
        f"--storage.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    url = f"http://127.0.0.1:{port}/api/v2"
    with subprocess.Popen(["prometheus-alertmanager", *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            wait(lambda: call(f"{url}/status"))
            yield url
        finally:
            process.terminate()


def wait(condition: Any) -> Any:
    for _ in range(400):
        try:
            if found := condition():
                return found
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("Alertmanager did not get there")


@pytest.mark.real
def test_what_is_muted(alertmanager_url: str) -> None:
    """All pairs are sent at once, each on a host of its own name."""
    sent = [
        labels | ({"host": f"{labels['host']}-{number}"} if "host" in labels else {}) | {"pair": str(number)}
        for number, (first, second, _) in enumerate(PAIRS.values())
        for labels in (first, second)
    ]
    call(f"{alertmanager_url}/alerts", [{"labels": labels} for labels in sent])

    def states() -> dict[str, str] | None:
        """Return the state of each alert, when all of them have one."""
        found = {
            json.dumps(each["labels"], sort_keys=True): each["status"]["state"] for each in call(f"{alertmanager_url}/alerts")
        }
        return found if len(found) == len(sent) and "unprocessed" not in found.values() else None

    found = wait(states)
    muted = [found[json.dumps(labels, sort_keys=True)] == "suppressed" for labels in sent]
    assert dict(zip(PAIRS, muted[1::2], strict=True)) == {name: is_muted for name, (_, _, is_muted) in PAIRS.items()}
    assert not [name for name, both in zip(PAIRS, zip(muted[::2], muted[1::2], strict=True), strict=True) if all(both)]


@pytest.mark.real
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "Why502Watchdog", "severity": "none"}, "dead-man"),
        ({"alertname": "Why502NotDelivered", "severity": "page"}, "second-way"),
        (ROOT, "pager"),
        ({"alertname": "Why502LogLag", "severity": "ticket"}, "tickets"),
    ],
)
def test_routes(labels: dict[str, str], receiver: str, tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(alertmanager())
    given = [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run(
        ["amtool", "config", "routes", "test", f"--config.file={tmp_path}/alertmanager.yml", *given],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == receiver
