"""Command lines and titles of nginx masters, as the kernel shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.gateways.nginx.command_line import Options, Title, is_nginx, parse_options, parse_title


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("nginx: master process nginx", Title("nginx", "master process", words=("nginx",))),
        (
            "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;",
            Title("nginx", "master process", words=("/usr/sbin/nginx", "-g", "daemon", "on;", "master_process", "on;")),
        ),
        ("nginx: worker process", Title("nginx", "worker process")),
        ("nginx: worker process is shutting down", Title("nginx", "worker process", is_leaving=True)),
        ("nginx: cache manager process", Title("nginx", "cache manager process")),
        ("nginx: privileged agent process", Title("nginx", "privileged agent process")),
        (
            "angie: master process v1.8.1 #1 [/usr/sbin/angie -c /etc/angie/angie.conf]",
            Title("angie", "master process", words=("/usr/sbin/angie", "-c", "/etc/angie/angie.conf")),
        ),
        ("nginx", None),
        ("php-fpm: pool www", None),
        ("", None),
    ],
)
def test_titles(argv: str, expected: Title | None) -> None:
    assert parse_title((argv,)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", Options()),
        ("-c /etc/x.conf -p /srv/x", Options(config="/etc/x.conf", prefix="/srv/x")),
        ("-c/etc/x.conf -p/srv/x/", Options(config="/etc/x.conf", prefix="/srv/x/")),
        ("-qc /etc/x.conf", Options(config="/etc/x.conf")),
        ("-g daemon off; user x;", Options(directives="daemon off; user x;")),
        ("-g daemon off; -c /a.conf -e stderr", Options(directives="daemon off;", config="/a.conf", error_log="stderr")),
        ("-gdaemon off; -p .", Options(directives="daemon off;", prefix=".")),
        ("-t -c /a.conf", Options(config="/a.conf", is_action=True)),
        ("-s reload", Options(is_action=True)),
        ("-V", Options(is_action=True)),
        ("-c", Options()),
    ],
)
def test_options(words: str, expected: Options) -> None:
    assert parse_options(tuple(words.split())) == expected


@pytest.mark.thorough
@given(st.lists(st.text(max_size=6), max_size=8))
def test_any_words_are_read(words: list[str]) -> None:
    parse_options(tuple(words))
    parse_title(tuple(words))


def test_names_of_programs() -> None:
    for program in (
        "nginx",
        "/usr/sbin/nginx",
        "nginx-debug",
        "/opt/o/openresty",
        "angie",
        "nginx (deleted)",
        "nginx.old",
        "tengine",
    ):
        assert is_nginx(program), program
    for program in ("nginxctl2", "vim", "/etc/nginx/x", "python3", ""):
        assert not is_nginx(program), program
