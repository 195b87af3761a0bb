"""The daemon beside a real nginx: nothing is lost or counted twice, whatever ends it, and it tells an incident once."""

import random
import signal
import socket
import sqlite3
import time
from collections import Counter
from datetime import datetime, timedelta

import pytest
from daemons import Place, eventually, scene
from notify_scenes import answer, serving

from why502.watch.model import ChangeKind
from why502.watch.store import Store

pytestmark = pytest.mark.real

UPSTREAM = "upstream app {{ server 127.0.0.1:{}; }}"


@pytest.fixture
def stage(tmp_path):
    with scene(tmp_path) as found:
        yield found


@pytest.fixture
def place(stage, tmp_path):
    return Place(tmp_path / "watch", stage.nginx.config)


def requests(place):
    """Return the counted requests by code."""
    store = Store.open(place.store, read_only=True)
    try:
        found = Counter()
        for key, count in store.totals().requests.items():
            found[key.code] += count
        return found
    finally:
        store.close()


def rotate(stage):
    """Rotate the logs, and keep all older ones: nothing that was not read yet is deleted."""
    for name in ("access", "error"):
        path = stage.path(f"/var/log/nginx/{name}.log")
        older = sorted(path.parent.glob(f"{name}.log.*"), key=lambda one: int(one.suffix[1:]), reverse=True)
        for one in older:
            one.rename(one.with_suffix(f".{int(one.suffix[1:]) + 1}"))
    stage.nginx.rotate()


def start(stage, port=3001):
    stage.nginx.start("proxy_pass http://app;", http=UPSTREAM.format(stage.port(port)), server="location /ok { return 200; }")


def test_counts_equal_lines_however_often_it_is_killed(stage, place):
    start(stage)
    chance = random.Random(502)
    sent = 0
    for _ in range(5):
        with place.daemon() as daemon:
            end_s = time.monotonic() + chance.uniform(0.0, 2.5)
            while time.monotonic() < end_s:
                stage.send_many(5, "/ok")
                sent += 5
            daemon.end(signal.SIGKILL)
        stage.send_many(7, "/ok")  # while nobody watches
        sent += 7
        if chance.random() < 0.5:
            rotate(stage)
    with place.daemon() as daemon:
        eventually(lambda: requests(place)["2xx"] >= sent, "everything is counted")
        assert daemon.end() < 10
        assert daemon.process.returncode == 0
    assert requests(place)["2xx"] == sent


def test_an_incident_is_told_once_and_goes_on_after_a_restart(stage, place):
    start(stage)
    with serving(answer()) as receiver:
        place.text += f'[[receivers]]\nkind = "webhook"\nname = "pager"\nurl = "{receiver.url}/"\n'
        with place.daemon() as daemon:
            eventually(lambda: "watching nginx" in daemon.notes, "it finds nginx")
            stage.send_many(8, "/")
            eventually(lambda: daemon.told("opened"), "it opens an incident")
            receiver.wait_for(bool)
            daemon.end(signal.SIGKILL)
        first = daemon.told("opened")[0]
        with place.daemon() as again:
            stage.send_many(3, "/")
            eventually(lambda: requests(place)["502"] >= 11, "it counts on")
            assert again.end() < 10
        assert again.told("opened") == []
        opened = [one.json for one in receiver.received if one.json["transition"] == "opened"]
        assert {body["key"] for body in opened} == {f"{first['id']}.1"}
    store = Store.open(place.store, read_only=True)
    (kept,) = store.incidents(is_open=True)
    store.close()
    assert (kept.id, kept.failures) == (first["id"], 11)


def test_it_leaves_in_time_while_an_alert_is_on_the_wire(stage, place, tmp_path):
    start(stage)
    address = str(tmp_path / "notify")
    with serving() as receiver, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(30)
        receiver.answers[:] = [receiver.hang]
        place.text += f'[[receivers]]\nkind = "webhook"\nname = "pager"\nurl = "{receiver.url}/"\n'
        with place.daemon(environment={"NOTIFY_SOCKET": address}) as daemon:
            stage.send_many(8, "/")
            receiver.wait_for(bool, 60)
            stage.send_many(50, "/")
            assert daemon.end() < 10
            assert daemon.process.returncode == 0
        systemd.settimeout(0.1)
        words = []
        while True:
            try:
                words.append(systemd.recv(4096).decode())
            except TimeoutError:
                break
    assert words[0].startswith("READY=1\nSTATUS=")
    assert words[-1] == "STOPPING=1"
    assert (place.directory / "errors.log").read_text() == ""
    with serving(answer()) as receiver:  # what was on the wire is sent again, with the same key
        place.settings.write_text(
            place.text.partition("[[")[0] + f'[[receivers]]\nkind="webhook"\nname="pager"\nurl="{receiver.url}"\n'
        )
        with place.daemon() as daemon:
            (message,) = receiver.wait_for(bool)
            assert message.json["transition"] == "opened"
            daemon.end()


def test_bad_settings_are_refused_and_good_ones_taken_at_once(stage, place):
    start(stage)
    with place.daemon() as daemon:
        place.settings.write_text(place.text + "[checks]\nrise = 0\n")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "are kept" in daemon.notes, "it refuses bad settings")
        assert f"the settings in force are kept: {place.settings}:5: checks: `rise` and `fall` must be 1 to 100." in daemon.notes
        place.settings.write_text(place.text + '[labels]\nsite = "fra1"\n')
        for _ in range(10):
            daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "settings reloaded" in daemon.notes, "it takes good ones")
        stage.send_many(20, "/ok")
        eventually(lambda: requests(place)["2xx"] == 20, "it goes on counting")
        assert daemon.notes.count("settings reloaded") < 10
        assert daemon.end() < 10


def test_a_second_daemon_ends_with_two_lines(stage, place):
    start(stage)
    with place.daemon() as daemon:
        second = place.run()
        assert second.returncode == 2
        assert second.stderr.count("\n") == 2
        assert daemon.process.poll() is None
        daemon.end()


def test_it_waits_for_a_gateway_and_follows_it(stage, place):
    stage.nginx.rewrite("proxy_pass http://app;", http=UPSTREAM.format(stage.port(3001)))
    with place.daemon() as daemon:
        eventually(lambda: "no gateway is running yet" in daemon.notes, "it says that there is none")
        start(stage)
        eventually(lambda: "watching nginx" in daemon.notes, "it finds nginx", 20)
        stage.backend(3002)
        stage.nginx.rewrite(
            "proxy_pass http://app;", http=UPSTREAM.format(stage.port(3002)), server="location /ok { return 200; }"
        )
        stage.nginx.reload()

        def members():
            store = Store.open(place.store, read_only=True)
            try:
                return {str(member.peer): member.status for member in store.members()}
            finally:
                store.close()

        eventually(lambda: members().get(f"127.0.0.1:{stage.port(3002)}") == "up", "it checks the new member", 20)
        stage.nginx.stop()
        eventually(lambda: daemon.notes.count("no gateway is running yet") == 2, "it sees that nginx stopped", 20)
        daemon.end()
    assert daemon.told() == []  # somebody stopped it, and nobody was refused


def test_once_does_the_same_with_the_same_store(stage, place):
    start(stage)
    assert place.run("--once").returncode == 0
    stage.send_many(8, "/")
    done = place.run("--once")
    assert (done.returncode, done.stderr) == (1, "")
    assert '"event": "opened"' in done.stdout
    assert requests(place)["502"] == 8
    again = place.run("--once")
    assert again.returncode == 1
    assert '"event": "opened"' not in again.stdout
    assert requests(place)["502"] == 8


def test_once_tells_of_what_failed_in_the_minutes_since_the_last_run(stage, place):
    start(stage)
    assert place.run("--once").returncode == 0
    forms = {"access": "%d/%b/%Y:%H:%M", "error": "%Y/%m/%d %H:%M"}
    logs = {stage.path(f"/var/log/nginx/{name}.log"): form for name, form in forms.items()}
    read = {log: log.stat().st_size for log in logs}
    began = datetime.now()
    stage.send_many(8, "/")
    for log, form in logs.items():  # as if the requests had come a few minutes ago
        old, new = log.read_text()[: read[log]], log.read_text()[read[log] :]
        for moment in (began, datetime.now()):
            new = new.replace(moment.strftime(form), (moment - timedelta(minutes=4)).strftime(form))
        log.write_text(old + new)
    done = place.run("--once")
    assert (done.returncode, done.stderr) == (1, "")
    assert '"event": "opened"' in done.stdout
    assert requests(place)["502"] == 8


def test_once_tells_of_a_release_since_the_last_run(stage, place):
    for name in ("one", "two"):
        stage.path(f"/srv/shop/{name}").mkdir(parents=True)
    current = stage.path("/srv/shop/current")
    current.symlink_to("one")
    stage.nginx.start("proxy_pass http://app;", http=UPSTREAM.format(stage.port(3001)), server=f"root {current};")
    stage.backend(3001)
    assert place.run("--once").returncode == 0
    current.unlink()
    current.symlink_to("two")
    assert place.run("--once").returncode == 0
    with Store.open(place.store, read_only=True) as store:
        told = [(change.subject, change.detail) for change in store.changes() if change.kind is ChangeKind.RELEASE]
    assert told == [(str(current), "leads to two")]


def test_the_gate_stops_a_bad_target_and_passes_a_good_one(stage, place):
    good, bad = stage.port(3001), stage.port(3002)
    stage.backend(3001)
    stage.nginx.start(
        "proxy_pass http://app;", http=f"upstream app {{ server 127.0.0.1:{good}; server 127.0.0.1:{bad} max_fails=0; }}"
    )
    stage.keep_sending("/", clients=2)
    refused = place.run("--gate", "30s", "--target", f"127.0.0.1:{bad}", "--no-probe")
    assert refused.returncode == 1, refused
    assert "attempts failed, most with connect-refused" in refused.stdout
    passed = place.run("--gate", "6s", "--target", f"127.0.0.1:{good}")
    assert passed.returncode == 0, passed
    unknown = place.run("--gate", "6s", "--target", "127.0.0.1:1")
    assert unknown.returncode == 2
    assert f"Targets: 127.0.0.1:{good}" in unknown.stderr
    assert not place.store.exists()


def test_a_store_that_is_locked_at_the_start_is_waited_for(stage, place):
    start(stage)
    place.directory.mkdir()
    Store.open(place.store).close()
    backup = sqlite3.connect(place.store, isolation_level=None)
    backup.execute("PRAGMA locking_mode = EXCLUSIVE")
    backup.execute("BEGIN EXCLUSIVE")
    with place.daemon() as daemon:
        eventually(lambda: "is locked by another process: waiting" in daemon.notes, "it says what it waits for", 30)
        stage.send_many(3, "/ok")
        backup.close()
        eventually(lambda: "watching nginx" in daemon.notes, "it goes on", 30)
        eventually(lambda: requests(place).get("2xx") == 3, "what happened meanwhile is counted", 30)
        assert daemon.end() < 10
