"""`generate all`: the files of one application fit each other, and a contradiction is an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import ask
from sites import make

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


def test_each_file_says_what_it_is_for_and_all_say_the_same_command() -> None:
    texts = list(files(NODE).values())
    assert len({line for text in texts for line in text.splitlines() if line.startswith("# Repeat: why502 generate all ")}) == 1
    assert {text.split(" on 20")[0].rpartition(" for ")[2].split(" ")[0] for text in texts} == {"nginx", "systemd", "logrotate"}


def test_they_are_written_below_one_root(tmp_path: Path) -> None:
    import shlex

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
