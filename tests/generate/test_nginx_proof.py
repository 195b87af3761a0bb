"""The promises of a generated site, seen on the real nginx: proof.py breaks the application, this file says what must be seen.

`make generate-proof` runs everything, in its long form: 70 s of silence, 10,000 requests, the default times.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from why502.lab.isolation import NAMESPACES, can_isolate

CLIENTS = 4  # of the load
pytestmark = [pytest.mark.real, pytest.mark.skipif(not can_isolate(), reason="needs root and namespaces of its own")]
IS_LONG = bool(os.environ.get("PROOF_LONG"))
# What must wait for its own times: each takes ten seconds or more.
long = pytest.mark.skipif(not IS_LONG, reason="make generate-proof runs it")


def seen(case: str) -> dict[str, Any]:
    """Run a case and return what it measured."""
    script = Path(__file__).with_name("proof.py")
    paths = os.pathsep.join(path for path in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")) if path)
    done = subprocess.run(
        [*NAMESPACES, sys.executable, str(script), case],
        capture_output=True, text=True, check=False, timeout=280, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(case, {key: value for key, value in found.items() if key not in ("log", "said")})
    return found


def names(log: str, cause: str, target: str) -> bool:
    """Return whether `why502 logs` names this cause on this target."""
    return re.search(rf"\b{re.escape(cause)}\b.*{re.escape(target)}", log) is not None


def test_no_get_fails_when_one_of_two_servers_is_killed() -> None:
    found = seen("one_of_two_killed")
    assert set(found["statuses"]) == {"200"}
    # Which of the two it is depends on whether a request was on its way when the process died.
    assert any(names(found["log"], cause, "127.0.0.1:3000") for cause in ("backend-not-running", "connection-reset"))


def test_all_servers_killed_is_an_honest_503_at_once_and_ends_within_fail_timeout() -> None:
    found = seen("all_killed")
    assert (found["status"], found["retry_after"]) == (503, str(found["fail_timeout_s"]))
    assert (found["type"], found["body"]) == ("application/json", {"error": "unavailable", "status": 503})
    assert found["html"] == [503, "text/html"]
    assert found["seconds"] < 0.1
    assert found["recovered_s"] < found["fail_timeout_s"] + 1.5  # nginx counts whole seconds
    assert names(found["log"], "backend-not-running", "127.0.0.1:3000")
    assert names(found["log"], "all-upstreams-down", "shop_example")


def test_a_hanging_server_is_a_504_at_the_promised_second_and_a_post_is_sent_once() -> None:
    found = seen("hang")
    assert (found["status"], found["arrived"]) == (504, 1)
    assert found["body"] == {"error": "timeout", "status": 504}
    assert 2.9 < found["seconds"] < 4.5
    assert names(found["log"], "backend-too-slow", "127.0.0.1:300")


@long
def test_a_rolling_restart_fails_nothing() -> None:
    found = seen("rolling_restart")
    assert set(found["statuses"]) == {"200"}
    for target in ("127.0.0.1:3000", "127.0.0.1:3001"):  # each was away for a while, and another server answered
        assert any(names(found["log"], cause, target) for cause in ("backend-not-running", "connection-reset", "premature-close"))


def test_ten_reloads_under_load_fail_nothing() -> None:
    found = seen("reloads")
    assert (set(found["statuses"]), set(found["slow"]), found["replaced"]) == ({"200"}, {"200"}, 20)


@long
def test_no_request_meets_a_connection_that_the_application_just_closed() -> None:
    found = seen("idle_close")
    assert found["statuses"] == {"200": 10_000 if IS_LONG else 400}


@long
def test_a_new_address_of_the_name_is_followed() -> None:
    found = seen("address_changed")
    assert (found["first"], found["then"]) == ("127.0.0.2:3000", "127.0.0.3:3000")
    assert found["seconds"] < 12
    assert names(found["log"], "backend-not-running", "127.0.0.2:3000")  # the address that the name had before


def test_a_silent_websocket_stays_open() -> None:
    found = seen("websocket")
    assert (found["head"], found["echo"]) == ("HTTP/1.1 101 Switching Protocols", "hello")


def test_a_large_response_header_passes() -> None:
    assert seen("large_header") == {"status": 200, "bytes": 100_000}


def test_a_response_header_that_nobody_foresaw_is_named_by_the_log() -> None:
    found = seen("header_not_foreseen")
    assert found["status"] == 503
    assert names(found["log"], "response-header-too-big", "127.0.0.1:3000")


def test_a_rate_limit_is_seen_as_429_and_as_nothing_else() -> None:
    found = seen("rate_limit")
    assert set(found["statuses"]) == {"200", "429"}
    assert re.search(r"30 +rate-limited +rate-limited +error log", found["log"])


def test_https_begins_when_the_certificate_is_there() -> None:
    found = seen("certificate")
    assert found == {"without": 200, "status": 308, "location": "https://shop.example/shop?x=1", "https": 200}


def test_a_stale_answer_is_served_while_the_application_is_down_but_never_to_a_user() -> None:
    found = seen("stale")
    assert (found["first"], found["then"], found["with_cookie"]) == (200, 200, 503)
    assert names(found["log"], "backend-not-running", "127.0.0.1:3000")


@long
def test_a_full_disk_below_the_cache_leaves_what_is_not_stored_alone() -> None:
    found = seen("cache_disk_full")  # what would be stored is cut: a limit of nginx that docs/generate.md names
    assert found["with_cookie"] == {"200": 20}
    assert found["afterwards"] == 200
    assert names(found["log"], "disk-full", "127.0.0.1:3000")


def test_a_site_that_fails_although_the_application_accepts_connections_is_rolled_back() -> None:
    found = seen("rolled_back")
    assert found["same"], found["said"]
    assert "although the application accepts connections" in found["said"]


def test_an_applied_site_can_be_undone_and_is_not_applied_twice() -> None:
    found = seen("undone")
    assert (found["applied"], found["same"]) == (200, True), found["said"]
    assert "Nothing to do" in found["again"]


@long
@pytest.mark.parametrize("kind", ["haproxy", "caddy", "traefik", "apache"])
def test_other_proxies_lose_nothing_but_requests_in_flight_and_send_a_post_once(kind: str) -> None:
    found = seen(kind)
    failed = sum(count for status, count in found["statuses"].items() if status != "200")
    # Traefik and Apache send nothing again that a server may have seen: what is in flight when it dies is lost.
    assert failed <= (2 * CLIENTS if kind in ("traefik", "apache") else 0), found
    assert found["arrived"] == 1
    assert found["hang"] == (502 if kind == "apache" else 504)
    assert 2.9 < found["hang_s"] < 4.5
    assert found["all_killed"] in (502, 503)
    assert found["all_killed_s"] < (6 if kind == "caddy" else 1)  # Caddy waits 5 s for a server to come back
