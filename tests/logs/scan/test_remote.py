"""Logs on real servers: read whole, by directory and pattern, compressed, and only the window;
what goes wrong is told in two lines.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import shutil
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from asking import TWO_LINES, ask, run_program

from tests.logs.scan import servers
from tests.logs.scan.written import START
from why502.logs.scan import over_ssh, plan, remote
from why502.logs.scan.remote import Ranged

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
SECONDS = 36_000
WINDOW = (
    "--since",
    f"{START + timedelta(seconds=9000):%Y-%m-%dT%H:%M:%SZ}",
    "--until",
    f"{START + timedelta(seconds=9299):%Y-%m-%dT%H:%M:%SZ}",
)


class There(NamedTuple):
    """A directory of a server: its address without the last slash, and what crossed the wire."""

    address: str
    relay: servers.Relay


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a log of ten hours, a rotated one of one hour, and something that is no log."""
    made = tmp_path_factory.mktemp("logs")
    lines = [
        (
            f'10.0.0.{n % 7} - - [{START + timedelta(seconds=n):%d/%b/%Y:%H:%M:%S +0000}] "GET /a/{n} HTTP/1.1" '
            f'{502 if n % 100 == 0 else 200} 1 "-" "{"agent" * 40}"\n'
        )
        for n in range(SECONDS)
    ]
    (made / "access.log").write_text("".join(lines))
    (made / "access.log.1.gz").write_bytes(gzip.compress("".join(lines[:3600]).encode()))
    (made / "nginx.pid").write_text("1")
    (made / "deep").mkdir()
    shutil.copy(made / "access.log.1.gz", made / "deep" / "access.log.2.gz")
    return made


@pytest.fixture(scope="module", params=["http", "s3", "gs", "ssh"])
def there(request: pytest.FixtureRequest, directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """Yield the directory on each server."""
    place = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        yield from {"http": _http, "s3": _s3, "gs": _gs, "ssh": _ssh}[request.param](directory, place, patch)


def _http(directory: Path, place: Path, patch: pytest.MonkeyPatch) -> Iterator[There]:
    with servers.web(directory) as relay:
        yield There(f"http://127.0.0.1:{relay.port}", relay)


def _s3(directory: Path, place: Path, patch: pytest.MonkeyPatch) -> Iterator[There]:
    import s3fs

    with servers.s3(place) as relay:
        for name, value in servers.aws(relay.port).items():
            patch.setenv(name, value)
        system = s3fs.S3FileSystem(skip_instance_cache=True)
        system.mkdir("logs")
        for path in directory.rglob("*.*"):
            system.put(str(path), f"logs/web/{path.relative_to(directory)}")
        yield There("s3://logs/web", relay)


def _gs(directory: Path, place: Path, patch: pytest.MonkeyPatch) -> Iterator[There]:
    with servers.cloud_storage(place) as relay:
        patch.setenv("STORAGE_EMULATOR_HOST", base := f"http://127.0.0.1:{relay.port}")
        _post(f"{base}/storage/v1/b", json.dumps({"name": "logs"}).encode())
        for path in directory.rglob("*.*"):
            name = f"web/{path.relative_to(directory)}".replace("/", "%2F")
            _post(f"{base}/upload/storage/v1/b/logs/o?uploadType=media&name={name}", path.read_bytes())
        yield There("gs://logs/web", relay)


def _post(url: str, data: bytes) -> None:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json" if data[:1] == b"{" else "text/plain"})
    urllib.request.urlopen(request, timeout=20).close()


def _ssh(directory: Path, place: Path, patch: pytest.MonkeyPatch) -> Iterator[There]:
    if os.geteuid() or not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin"):
        pytest.skip("needs root and sshd")
    with servers.openssh(place) as (relay, path):
        patch.setenv("PATH", servers.path_with(path))
        yield There(f"ssh://root@127.0.0.1:{relay.port}{directory}", relay)


def told(*argv: str) -> dict[str, object]:
    """Return the report without its files."""
    answer = ask("logs", *argv, "--format", "json")
    assert answer.status in (0, 1), answer.err
    found: dict[str, object] = json.loads(answer.out)
    return {name: value for name, value in found.items() if name not in ("files", "unparsed")} | {
        "names": [file["path"].rpartition("/")[2] for file in found["files"]]  # type: ignore[attr-defined]
    }


def test_tells_the_same_as_of_the_file_here(there: There, directory: Path) -> None:
    for name in ("access.log", "access.log.1.gz"):
        assert told(f"{there.address}/{name}") == told(str(directory / name))


def test_several_threads_tell_the_same(there: There, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = told(str(directory / "access.log"), "--engine", "single")
    monkeypatch.setattr(plan, "SMALLEST", 1 << 20)
    assert told(f"{there.address}/access.log", "--jobs", "2") == here


def test_reads_directories_and_patterns(there: There, directory: Path) -> None:
    whole = told(str(directory))
    assert whole["names"] == ["access.log.1.gz", "access.log"]
    assert told(f"{there.address}/") == whole
    assert told(f"{there.address}/access*") == whole
    assert told(f"{there.address}/*.gz")["requests"] == 3600


def test_reads_only_the_window(there: There, directory: Path) -> None:
    before = there.relay.received
    assert told(f"{there.address}/access.log", *WINDOW) == told(str(directory / "access.log"), *WINDOW)
    assert there.relay.received - before < (directory / "access.log").stat().st_size / 4


def test_leaves_compressed_logs_from_before_the_window(there: There) -> None:
    if there.address.startswith(("http", "gs")):
        pytest.skip("the emulator and a bare listing tell no time that could be set")
    before = there.relay.received
    assert told(f"{there.address}/access.log.1.gz", "--since", "2030-01-01T00:00:00Z")["requests"] == 0
    assert there.relay.received - before < 50_000


def test_what_is_not_there_is_told_in_two_lines(there: There) -> None:
    for name in ("nothing.log", "nothing*", "deep/none/"):
        answer = ask("logs", f"{there.address}/{name}")
        assert (answer.status, answer.out) == (2, "")
        assert TWO_LINES.fullmatch(answer.err), answer.err
        assert "no such" in answer.err


def test_a_web_server_without_ranges_is_read_from_begin_to_end(directory: Path) -> None:
    with servers.web(directory, servers.WholeOnly) as relay:
        address = f"http://127.0.0.1:{relay.port}"
        for name in ("access.log", "access.log.1.gz"):
            assert told(f"{address}/{name}") == told(str(directory / name))
        assert told(f"{address}/access.log", *WINDOW) == told(str(directory / "access.log"), *WINDOW)


def test_logs_within_an_archive_are_read(directory: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "logs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(directory / "access.log", "web/access.log")
    with servers.web(tmp_path) as relay:
        for place in (str(tmp_path), f"http://127.0.0.1:{relay.port}"):
            for name in ("access.log", "*.log"):
                assert told(f"zip://web/{name}::{place}/logs.zip")["requests"] == SECONDS


def test_secrets_in_addresses_are_not_shown(directory: Path) -> None:
    with servers.web(directory) as relay:
        address = f"http://bob:geheim@127.0.0.1:{relay.port}/%s?token=verborgen"
        for name, status in (("access.log", 1), ("private/x.log", 2), ("nothing.log", 2)):
            for format in ("text", "json", "html", "prometheus"):
                answer = ask("logs", "-v", address % name, "--format", format)
                assert answer.status == status
                assert "geheim" not in answer.out + answer.err
                assert "verborgen" not in answer.out + answer.err


def refused(*argv: str, message: str) -> None:
    """Assert that a command line cannot run, and says why in two lines."""
    done = run_program("logs", *argv)  # since file systems of fsspec keep what they found in the environment
    assert (done.returncode, done.stdout) == (2, "")
    assert TWO_LINES.fullmatch(done.stderr), done.stderr
    assert message in done.stderr


def test_web_servers_that_refuse_are_told(directory: Path) -> None:
    with servers.web(directory) as relay:
        refused(f"http://127.0.0.1:{relay.port}/private/access.log", message="401")
    refused("http://127.0.0.1:1/access.log", message="connect")
    refused("http://nowhere.invalid/access.log", message="nowhere.invalid")


def test_s3_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INITIAL_NO_AUTH_ACTION_COUNT", "0")  # of moto: from now on keys are checked
    with servers.s3(tmp_path) as relay:
        for name, value in servers.aws(relay.port).items():
            monkeypatch.setenv(name, value)
        refused("s3://logs/web/access.log", message="does not exist in our records")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        refused("s3://logs/web/access.log", message="credentials")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAABCDEFGHIJKLMNOP")
    refused("s3://logs/web/access.log", message="connect")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "KNOCK_S", 1)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")  # gcsfs tries for a minute
    importlib.import_module("gcsfs").GCSFileSystem.clear_instance_cache()
    answer = ask("logs", "gs://logs/web/access.log")
    assert (answer.status, answer.out) == (2, "")
    assert "no answer within 1 s" in answer.err


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/sbin/sshd").exists(), reason="needs root and sshd")
def test_ssh_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.openssh(tmp_path) as (relay, path):
        monkeypatch.setenv("PATH", servers.path_with(path))
        address = f"127.0.0.1:{relay.port}/var/log/nothing.log"
        refused(f"ssh://nobody@{address}", message="Permission denied")
        refused(f"ssh://root:geheim@{address}", message="a password in the address is not supported")
        (tmp_path / "known").write_text("")
        refused(f"ssh://root@{address}", message="Host key verification failed")
    refused("ssh://root@127.0.0.1:1/x.log", message="Connection refused")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ssh://-oProxyCommand=x/y", "no host"),
        ("ssh://host", "no path"),
        ("ssh://host:port/x", "cannot be read"),
        ("what://x/y", "unknown scheme what://"),
    ],
)
def test_bad_addresses_are_told(address: str, message: str) -> None:
    refused(address, message=message)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "fsspec.py").write_text("raise ImportError(name='fsspec')")
    done = run_program("logs", "s3://a/b", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'why502[remote]'" in done.stderr


def test_ranges_grow_while_one_follows_the_other() -> None:
    content = bytes(range(256)) * 80_000
    asked: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append((start, end))
        return content[start:end]

    stream = Ranged(fetch, len(content), lambda: None)
    stream.seek(5_000_000)
    assert stream.read(100) == content[5_000_000:5_000_100]
    assert asked == [(5_000_000, 5_000_000 + remote.FIRST_BYTES)]
    stream.seek(0)
    pieces: list[bytes] = []
    while piece := stream.read(300_000):
        pieces.append(piece)
    assert b"".join(pieces) == content
    assert len(asked) < 15
    assert all(end - start <= remote.MOST_BYTES for start, end in asked)


def test_what_is_left_of_an_earlier_read_does_not_stop_the_next(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paramiko keeps an answer that came too late, and asks for nothing from there on."""
    log = (directory / "access.log").read_bytes()
    opened = []
    with contextmanager(_ssh)(directory, tmp_path, monkeypatch) as there:
        system, path = over_ssh.reached(f"{there.address}/access.log")
        open_there = system.ftp.open
        monkeypatch.setattr(system.ftp, "open", lambda *argv: opened.append(open_there(*argv)) or opened[-1])
        system.ftp.sock.settimeout(10)
        fetch, size, close = system.ranges(path)
        assert size == len(log)
        opened[0]._prefetch_data[90_000] = log[90_000:90_100]
        assert fetch(90_010, 190_000) == log[90_010:190_000]
        close()


def test_a_file_that_became_shorter_is_told() -> None:
    stream = Ranged(lambda *_: b"", 100, lambda: None)
    with pytest.raises(OSError, match="truncated while being read"):
        stream.read(1)
