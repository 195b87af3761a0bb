"""`generate all`: the files of one application fit each other, and a contradiction is an error."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from asking import ask
from sites import AT, HOST, given, make

from why502.generate.kind import kinds
from why502.generate.options import Given
from why502.generate.together.checks import Written, contradictions
from why502.generate.work import generate
from why502.model.errors import Why502Error

NODE = (
    "--app 127.0.0.1:3000 --domain shop.example --exec '/usr/bin/node /srv/shop/server.js' --user shop --memory 512m "
    "--read-timeout 90s"
)
PHP = (
    "--app unix:/run/php/shop.sock --protocol fastcgi --root /var/www/shop --domain shop.example --max-body 50m --memory "
    "2g --read-timeout 90s"
)


def files(line: str) -> dict[str, str]:
    return {f"{file.document.home}/{file.document.name}": file.text for file in make("all", line).files}


def test_times_of_the_unit_follow_those_of_the_proxy() -> None:
    found = files(NODE)
    assert "proxy_read_timeout 90s;" in found["/etc/nginx/shop.example.conf"]
    assert "TimeoutStopSec=95" in found["/etc/systemd/system/shop-example.service"]
    assert "/var/log/nginx/shop.example.*log {" in found["/etc/logrotate.d/site-shop-example"]


def test_socket_uploads_and_times_of_the_pool_follow_those_of_the_proxy() -> None:
    found = files(f"{PHP} --php 8.2")
    pool = found["/etc/php/8.2/fpm/shop_example.conf"]
    assert "listen = /run/php/shop.sock" in pool
    assert "request_terminate_timeout = 90s" in pool
    assert "post_max_size] = 52428800" in pool
    assert "client_max_body_size 50m;" in found["/etc/nginx/shop.example.conf"]


def test_a_socket_that_the_proxy_cannot_open_is_a_contradiction() -> None:
    with pytest.raises(Why502Error) as refused:
        make("all", f"{PHP} --proxy-user other")
    assert (
        "contradict each other: unix:/run/php/shop.sock is other:other 0660, but the proxy's workers run as"
        in refused.value.message
    )


COMMON = "--domain shop.example --tls off --user shop --memory 512m"
COMMAND = "/usr/bin/gunicorn -b 127.0.0.1:8000 --graceful-timeout 20 shop:app"
GUNICORN = f"{COMMON} --app 127.0.0.1:8000 --exec '{COMMAND}'"
SOCKET = f"{COMMON} --app unix:/run/shop/app.sock --exec '/usr/bin/node /srv/shop/server.js'"


def written(line: str) -> Written:
    """Return the files of a command line as the checks see them."""
    plain = given("all", shlex.split(line))
    texts = {f"{file.document.home}/{file.document.name}": file.document.body for file in make("all", line).files}
    known = {option.name for option in kinds()["nginx"].options}
    words = {name: values for name, values in plain.values.items() if name in known}
    site = generate(kinds()["nginx"], Given({**words, "--whole": ("",)}), HOST, AT)
    return Written(
        site=site.made.documents[0].body,
        version=site.made.product.rpartition(" ")[2],
        units={path: text for path, text in texts.items() if path.endswith(".service")},
        pools={path: text for path, text in texts.items() if "/php/" in path},
    )


def broken(files: Written, old: str, new: str) -> Written:
    """Return the files with one line changed, wherever it is."""
    every = [files.site, *files.units.values(), *files.pools.values()]
    assert sum(old in text for text in every) == 1, old
    return replace(
        files,
        site=files.site.replace(old, new),
        units={path: text.replace(old, new) for path, text in files.units.items()},
        pools={path: text.replace(old, new) for path, text in files.pools.items()},
    )


@pytest.mark.parametrize(
    ("line", "old", "new", "said"),
    [
        (GUNICORN, "server 127.0.0.1:8000;", "server 127.0.0.1:8001;", "nothing here listens on 127.0.0.1:8001"),
        (GUNICORN, "-b 127.0.0.1:8000", "-b 127.0.0.1:8002", "listens on 127.0.0.1:8002"),
        (
            GUNICORN,
            "--graceful-timeout 20",
            "--graceful-timeout 20 --timeout 60",
            "the proxy waits 30 s, shop-example.service works up to 60 s",
        ),
        (
            GUNICORN,
            "--graceful-timeout 20",
            "--graceful-timeout 60",
            "is killed 35 s after a stop, and its command gives requests 60 s",
        ),
        (GUNICORN, "TimeoutStopSec=35", "TimeoutStopSec=20", "is killed 20 s after a stop, and the proxy waits 30 s"),
        (GUNICORN, "proxy_read_timeout 30s;", "proxy_read_timeout 90s;", "is killed 35 s after a stop, and the proxy waits 90 s"),
        (SOCKET, "Group=www-data", "Group=other", "makes unix:/run/shop/app.sock for its own user and group"),
        (SOCKET, "UMask=0007", "UMask=0027", "makes unix:/run/shop/app.sock for its own user and group"),
        (SOCKET, "user www-data;", "user nginx;", "the proxy's workers run as nginx"),
        (
            PHP,
            "listen.owner = www-data\nlisten.group = www-data",
            "listen.owner = shop\nlisten.group = shop",
            "is shop:shop 0660",
        ),
        (PHP, "listen.mode = 0660", "listen.mode = 0400", "0400, but the proxy's workers run as www-data"),
        (PHP, "listen = /run/php/shop.sock", "listen = /run/php/php8.2-fpm.sock", "no pool listens on unix:/run/php/shop.sock"),
        (
            PHP,
            "request_terminate_timeout = 90s",
            "request_terminate_timeout = 100s",
            "the proxy waits 90 s, pool shop_example works up to 100 s",
        ),
        (PHP, "request_terminate_timeout = 90s", "request_terminate_timeout = 60s", "kills its worker after 60 s"),
        (
            PHP,
            "php_admin_value[max_execution_time] = 85",
            "php_admin_value[max_execution_time] = 300",
            "PHP lets a script of pool shop_example run for 300 s",
        ),
        (PHP, "fastcgi_read_timeout 90s;", "fastcgi_read_timeout 40s;", "the proxy waits 40 s"),
        (
            PHP,
            "client_max_body_size 50m;",
            "client_max_body_size 60m;",
            "the proxy accepts bodies of 60m, and upload_max_filesize of pool shop_example is 52428800",
        ),
        (PHP, "client_max_body_size 50m;", "client_max_body_size 10m;", "is 52428800"),
        (
            PHP,
            "php_admin_value[post_max_size] = 52428800",
            "php_admin_value[post_max_size] = 8M",
            "post_max_size of pool shop_example is 8M",
        ),
    ],
    ids=lambda value: value.split("\n")[0][:40],
)
def test_each_contradiction_is_found(line: str, old: str, new: str, said: str) -> None:
    files = written(line)
    assert list(contradictions(files)) == []
    assert said in "\n".join(contradictions(broken(files, old, new)))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GUNICORN.replace("-b 127.0.0.1:8000", "-b 127.0.0.1:8001"), "nothing here listens on 127.0.0.1:8000"),
        (GUNICORN.replace("--graceful-timeout 20", "--timeout 120"), "works up to 120 s"),
        (GUNICORN.replace("--graceful-timeout 20", "--graceful-timeout 120"), "gives requests 120 s to end"),
        (f"{SOCKET} --proxy-user other", "the proxy's workers run as www-data"),
    ],
)
def test_a_contradiction_in_the_options_writes_nothing(line: str, said: str, tmp_path: Path) -> None:
    refused = ask("generate", "all", *shlex.split(line), "-o", str(tmp_path))
    assert (refused.status, refused.out) == (2, "")
    assert "the files contradict each other: " in refused.err and said in refused.err
    assert not list(tmp_path.iterdir())


def test_paths_that_wait_long_do_not_count_for_a_stop() -> None:
    assert "TimeoutStopSec=35" in files(f"{SOCKET} --websocket /ws/")["/etc/systemd/system/shop-example.service"]


def test_each_file_says_what_it_is_for_and_all_say_the_same_command() -> None:
    texts = list(files(NODE).values())
    assert len({line for text in texts for line in text.splitlines() if line.startswith("# Repeat: why502 generate all ")}) == 1
    assert {text.split(" on 20")[0].rpartition(" for ")[2].split(" ")[0] for text in texts} == {"nginx", "systemd", "logrotate"}


def test_they_are_written_below_one_root(tmp_path: Path) -> None:
    words = ("generate", "all", *shlex.split(NODE), "-o", str(tmp_path))
    assert ask(*words).status == 0
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [
        "etc/logrotate.d/site-shop-example",
        "etc/nginx/conf.d/shop.example.conf",
        "etc/nginx/conf.d/shop.example.https.conf.disabled",
        "etc/systemd/system/shop-example.service",
    ]
    assert ask(*words, "--check").status == 0
    (tmp_path / found[-1]).unlink()
    drift = ask(*words, "--check")
    assert (drift.status, "shop-example.service is missing" in drift.out) == (1, True)
