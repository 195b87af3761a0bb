"""What goes to a standard stream is followed where it is kept: the log of a container, a file it was redirected to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from following import CONFIG, Sums, Watched, access, proxy, refused, snapshot

from why502.watch.tailing import Tailer, found, streams

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "path",
    [
        f"var/lib/docker/containers/{ID}/{ID}-json.log",
        f"var/log/containers/shop-7d9f_default_nginx-{ID}.log",
        f"var/lib/containers/storage/overlay-containers/{ID}/userdata/ctr.log",
    ],
)
def test_the_log_of_a_container(tmp_path: Path, path: str) -> None:
    assert streams.of_container(ID, str(tmp_path)) == ""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    assert streams.of_container(ID, str(tmp_path)) == str(tmp_path / path)


def test_links_are_followed_inside_a_root(tmp_path: Path) -> None:
    (tmp_path / "var/log/nginx").mkdir(parents=True)
    (tmp_path / "var/log/nginx/access.log").symlink_to("/dev/stdout")
    (tmp_path / "var/log/nginx/up.log").symlink_to("../../../../etc/x.log")
    (tmp_path / "logs").symlink_to("/var/log/nginx")
    (tmp_path / "loop").symlink_to("/loop")
    root = str(tmp_path)
    assert streams.inside(root, "/var/log/nginx/access.log") == "/dev/stdout"
    assert streams.inside(root, "/logs/access.log") == "/dev/stdout"
    assert streams.inside(root, "/logs/up.log") == "/etc/x.log"
    assert streams.inside(root, "/var/log/other.log") == "/var/log/other.log"
    assert streams.inside(root, "/loop/a") == "/loop/a"


@pytest.mark.parametrize("wrapper", ["docker", "cri"])
def test_both_logs_in_one_stream_count_a_failure_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrapper: str) -> None:
    log = tmp_path / "container.log"
    log.touch()
    monkeypatch.setattr(found.streams, "container", lambda _: str(log))
    monkeypatch.setattr(found.streams, "redirected", lambda *_: "")
    config = CONFIG.replace("{directory}/access.log", "/dev/stdout").replace("{directory}/error.log", "/dev/stderr")
    watched = Watched(tmp_path, config)
    watched.turns(1)
    for stream, text in (
        ("stdout", access("/api/a")),
        ("stderr", refused("/api/b")),
        ("stdout", access("/api/b", 502, upstream="127.0.0.1:3001 502 - - 0.000")),
    ):
        entry = {"log": text, "stream": stream, "time": "2026-11-21T00:00:00.1Z"}
        line = json.dumps(entry) + "\n" if wrapper == "docker" else f"2026-11-21T00:00:00.1Z {stream} F {text}"
        watched.write("container.log", line)
    sums = watched.turns(3)
    assert (sums.lines, sums.unparsed) == (3, 0)
    assert sums.requests.total() == 2
    assert sums.failures == {("shop.example/api/", "127.0.0.1:3001", "connect-refused"): 1}


def test_a_stream_that_was_redirected_to_a_file(tmp_path: Path) -> None:
    log = tmp_path / "out"
    config = CONFIG.replace("{directory}/access.log", "/dev/stdout")
    with (
        log.open("w") as stream,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=stream) as child,
    ):
        found_proxy = proxy(tmp_path, config, pid=child.pid)
        tailer = Tailer(snapshot(found_proxy), {}, None, Sums().put)
        assert str(log) in tailer._readers
        child.communicate(b"\n")
