"""PHP-FPM configurations: real files from packages, and syntax accepted by FPM itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.backends.php_fpm.config import edits, listen_target, parse, pools, seconds
from why502.backends.php_fpm.size import pm_settings, size
from why502.model.service import PhpPool
from why502.model.target import Target

CONFIG = b"""; a comment
[global]
error_log = log/fpm.log
include=/etc/php/8.2/fpm/pool.d/*.conf

[www]
user = www-data
listen = /run/php/$pool.sock ; where it listens
listen.mode=0660
pm = dynamic
pm.max_children = "5"
pm.status_path = '/status'
;pm.max_requests = 500
env[DB_PASSWORD] = secret
php_admin_value[memory_limit] = 128M

[two]\r
listen = 9000\r
pm.max_children = ${CHILDREN}\r
slowlog = log/$pool.slow\r
request_terminate_timeout = 2m"""


def apply(content: bytes, changes) -> bytes:
    for edit in reversed(changes):
        assert content[edit.start : edit.end].decode() == edit.before
        content = content[: edit.start] + edit.after.encode() + content[edit.end :]
    return content


def test_pools_of_a_file():
    www, two = pools(parse(CONFIG, "a.conf"), "/usr/local", {"CHILDREN": "7"})
    assert (www.name, www.target) == ("www", Target(path="/run/php/www.sock"))
    assert (www.mode, www.pm, www.max_children) == ("0660", "dynamic", 5)
    assert www.log == "/usr/local/log/fpm.log"
    assert str(www.listen_at) == "a.conf:8"
    assert CONFIG[www.listen_at.start : www.listen_at.end] == b"/run/php/$pool.sock"
    assert www.settings["pm.status_path"] == "/status"
    assert (two.target, two.max_children, two.slowlog) == (Target(host="::", port=9000), 7, "/usr/local/log/two.slow")


def test_secrets_of_a_pool_are_not_kept():
    www, _ = pools(parse(CONFIG, "a.conf"))
    assert "secret" not in repr(www)
    assert www.settings["php_admin_value[memory_limit]"] == "128M"


def test_the_last_of_two_values_counts_and_a_pool_may_continue_in_another_file():
    """The official container image overrides `listen` in a second file, which continues the pool."""
    first = parse(b"[www]\nlisten = 127.0.0.1:9000\npm = static\n", "www.conf")
    second = parse(b"[global]\ndaemonize = no\n[www]\nlisten = 9000\n", "zz-docker.conf")
    (www,) = pools((*first, *second))
    assert (www.target, www.pm, str(www.listen_at)) == (Target(host="::", port=9000), "static", "zz-docker.conf:4")


def test_a_file_included_inside_of_a_pool_continues_it():
    (www,) = pools((*parse(b"[www]\nlisten = 9001\n", "a"), *parse(b"pm = ondemand\n", "b", "www")))
    assert www.pm == "ondemand"


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("9000", Target(host="::", port=9000)),
        (":9000", None),
        ("127.0.0.1:9000", Target(host="127.0.0.1", port=9000)),
        ("[::]:9000", Target(host="::", port=9000)),
        ("[::1]:9000", Target(host="::1", port=9000)),
        ("php:9000", Target(host="php", port=9000)),
        ("/run/php.sock", Target(path="/run/php.sock")),
        ("var/run/php.sock", Target(path="/opt/php/var/run/php.sock")),
        ("$prefix/run/php.sock", Target(path="/opt/php/run/php.sock")),
        ("0", None),
        ("99999999999999999999", None),
        ("", None),
    ],
)
def test_addresses_of_listen(listen, target):
    assert listen_target(listen, "/opt/php") == target


def test_a_pool_prefix_moves_its_relative_paths():
    (pool,) = pools(parse(b"[a]\nprefix = pools/$pool\nlisten = run.sock\n", "a.conf"), "/opt")
    assert pool.target == Target(path="/opt/pools/a/run.sock")


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("30", 30), ("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800)])
def test_times(text, value):
    assert seconds(text) == value


def test_invalid_times():
    assert seconds("soon") is None


def test_edits_replace_existing_values_and_add_missing_ones():
    www, two = pools(parse(CONFIG, "a.conf"))
    changed = apply(CONFIG, edits(www, {"listen.mode": "0666", "listen.group": "nginx", "pm.max_children": "9"}))
    again, same = pools(parse(changed, "a.conf"))
    assert (again.mode, again.group, again.max_children) == ("0666", "nginx", 9)
    assert same.settings == two.settings
    assert b"; where it listens\n" in changed
    assert apply(CONFIG, edits(two, {"pm": "static"})).endswith(b"= 2m\npm = static")


def test_no_edit_if_the_value_is_already_set():
    www, _ = pools(parse(CONFIG, "a.conf"))
    assert edits(www, {"listen.mode": "0660"}) == ()


@given(st.binary(max_size=400))
def test_any_bytes_are_read_and_positions_are_correct(content):
    for entry in parse(content, "x"):
        assert content[entry.at.start : entry.at.end].decode("utf-8", "replace") == entry.raw
        assert entry.at.end <= entry.line_end <= len(content)
    pools(parse(content, "x"))


def pool(**known) -> PhpPool:
    return PhpPool(**{"name": "www", "pm": "dynamic", "max_children": 5, "children": 5, "child_pss_bytes": 50 << 20} | known)


def test_a_pool_grows_as_far_as_needed():
    grown = size(pool(children_busy=5, queued=20), 8 << 30)
    assert (grown.max_children, grown.grows) == (32, True)
    assert set(grown.settings) == {"pm.max_children", "pm.start_servers", "pm.min_spare_servers", "pm.max_spare_servers"}
    assert size(pool(), 8 << 30).max_children == 10


def test_a_pool_does_not_outgrow_memory():
    assert size(pool(children_busy=5, queued=100), 500 << 20).max_children == 13
    full = size(pool(), 10 << 20)
    assert (full.max_children, full.grows) == (5, False)
    assert size(pool(max_children=50), 10 << 20).max_children == 5


def test_the_size_is_unknown_without_a_child_to_measure():
    assert size(pool(child_pss_bytes=None), 8 << 30) is None
    assert size(pool(children=None), 8 << 30) is None


@given(st.integers(1, 5000))
def test_the_four_values_agree(count):
    values = {name: int(value) for name, value in pm_settings("dynamic", count).items()}
    order = [values[f"pm.{name}"] for name in ("min_spare_servers", "start_servers", "max_spare_servers", "max_children")]
    assert order == sorted(order)
    assert order[0] >= 1
    assert pm_settings("static", count) == {"pm.max_children": str(count)}


@pytest.mark.real
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 50])
def test_fpm_accepts_the_four_values(count, tmp_path):
    fpm = next((str(path) for path in sorted(Path("/usr/sbin").glob("php-fpm*"))), None) or shutil.which("php-fpm")
    if not fpm:
        pytest.skip("php-fpm is not installed")
    head = f"[global]\nerror_log = {tmp_path}/log\n[a]\nuser = nobody\nlisten = {tmp_path}/s\npm = dynamic\n"
    (tmp_path / "c").write_text(head + "".join(f"{k} = {v}\n" for k, v in pm_settings("dynamic", count).items()))
    done = subprocess.run([fpm, "-n", "-t", "-y", tmp_path / "c"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
