"""The metrics of a daemon beside a real nginx: what was requested is what is exposed, over restarts, settings and --once."""

import signal
import socket
import subprocess

import pytest
from daemons import Place, eventually, scene
from prometheus_client.parser import text_string_to_metric_families as parse

pytestmark = pytest.mark.real

UPSTREAM = "upstream app {{ server 127.0.0.1:{}; }}"


@pytest.fixture
def stage(tmp_path):
    with scene(tmp_path) as found:
        yield found


@pytest.fixture
def place(stage, tmp_path):
    """Return a place whose settings name a socket and a file of metrics."""
    settings = (
        f'[metrics]\nlisten = "unix:{tmp_path}/metrics.sock"\ntextfile = "{tmp_path}/why502.prom"\n[gateways]\nevery_s = 0.2\n'
    )
    return Place(tmp_path / "watch", stage.nginx.config, settings)


def get(path, name="/metrics"):
    """Return the body that a Unix socket answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(f"GET {name} HTTP/1.0\r\n\r\n".encode())
        return client.makefile("rb").read().partition(b"\r\n\r\n")[2].decode()


def values(text, name, **labels):
    """Return the samples of that name that have these labels."""
    return [
        sample
        for family in parse(text)
        for sample in family.samples
        if sample.name == name and sample.labels.items() >= labels.items()
    ]


def total(text, name, **labels):
    return sum(sample.value for sample in values(text, name, **labels))


def test_what_was_requested_is_exposed_and_continues_after_a_kill(stage, place, tmp_path):
    port = stage.port(3001)
    stage.nginx.start("proxy_pass http://app;", http=UPSTREAM.format(port), server="location /ok { return 200; }")
    sock = tmp_path / "metrics.sock"
    target = f"127.0.0.1:{port}"
    with place.daemon() as daemon:
        eventually(lambda: sock.exists() and values(get(sock), "why502_target_info", target=target), "the members are known")
        first = get(sock)
        assert total(first, "why502_requests_total", code="502") == 0 and values(first, "why502_requests_total", code="502")
        (info,) = values(first, "why502_target_info", target=target)
        (timeout,) = values(first, "why502_timeout_seconds", phase="read", group="app")
        assert (info.labels["group"], timeout.value) == ("app", 60.0)
        stage.send_many(6, "/")
        stage.send_many(4, "/ok")
        eventually(lambda: total(get(sock), "why502_requests_total", code="502") == 6, "the failures are counted")
        eventually(
            lambda: total(get(sock), "why502_target_up", target=target) == 0 and values(get(sock), "why502_target_up"),
            "it is down",
        )
        text = get(sock)
        assert total(text, "why502_attempts_total", target=target, outcome="connect-refused") == 6
        assert total(text, "why502_failures_total", symptom="connect-refused") == 6
        assert total(text, "why502_check_failures_total", target=target) >= 3
        assert values(text, "process_resident_memory_bytes") and get(sock, "/healthz") == "ok\n"
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        daemon.end(signal.SIGKILL)
    stage.send_many(3, "/")
    with place.daemon() as daemon:
        eventually(lambda: sock.exists() and _answers(sock), "it serves again, in the place of the socket that was left")
        eventually(lambda: total(get(sock), "why502_requests_total", code="502") == 9, "the counters continue")
        place.settings.write_text(place.text.replace("metrics.sock", "no/such/directory.sock"))
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: total(get(sock), "why502_config_last_reload_successful") == 0, "the bad settings are refused")
        place.settings.write_text(place.text.replace("metrics.sock", "second.sock"))
        daemon.process.send_signal(signal.SIGHUP)
        second = tmp_path / "second.sock"
        eventually(second.exists, "the new address is served")
        eventually(lambda: total(get(second), "why502_config_last_reload_successful") == 1, "the good settings are told")
        assert not sock.exists()
        assert daemon.end() < 10
    assert not (tmp_path / "second.sock").exists()


def _answers(sock):
    try:
        return get(sock)
    except OSError:
        return ""


def test_one_round_leaves_its_counts_in_the_file(stage, place, tmp_path):
    stage.nginx.start("proxy_pass http://app;", http=UPSTREAM.format(stage.port(3001)))
    stage.send_many(6, "/")
    done = place.run("--once", "--listen", "")
    assert done.returncode in (0, 1), done.stderr
    text = (tmp_path / "why502.prom").read_text()
    assert total(text, "why502_requests_total", code="502") == 6
    assert total(text, "why502_incidents_open") == done.returncode
