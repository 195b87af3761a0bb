"""Version and configure arguments, read from binaries; `nginx -V` of the real one is the oracle."""

from __future__ import annotations

import subprocess

import pytest
from nginx_real import PROGRAM, needs_nginx

from why502.host.local import LocalHost
from why502.sources.nginx_build import Build, build_option, parse_build, read_build, temp_paths


@pytest.mark.real
@needs_nginx
def test_the_binary_says_what_it_prints() -> None:
    printed = subprocess.run([PROGRAM, "-V"], capture_output=True, check=True).stderr
    build = read_build(LocalHost(), PROGRAM)
    assert build == parse_build(printed)
    assert build.version and build.options


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"\0nginx version: nginx/1.27.4\n\0configure arguments: --prefix=/etc/nginx --with-cc-opt='-g -O2'\n\0",
            Build("1.27.4", ("--prefix=/etc/nginx", "--with-cc-opt=-g -O2")),
        ),
        (b"\0nginx version: openresty/1.25.3.2\n\0", Build("1.25.3.2")),
        (b"\0Tengine version: Tengine/3.1.0\n\0nginx version: nginx/1.24.0\n", Build("1.24.0")),
        (b"\0Angie version: Angie/1.8.1\n\0", Build("1.8.1")),
        (b"\0freenginx version: freenginx/1.27.3\n\0", Build("1.27.3")),
        (
            b"\0nginx version: nginx/1.18.0 (Ubuntu)\n\0configure arguments: --with-x='unclosed\n",
            Build("1.18.0", ("--with-x='unclosed",)),
        ),
        (b"nothing of it", Build()),
    ],
)
def test_bytes(content: bytes, expected: Build) -> None:
    assert parse_build(content) == expected


def test_built_in_paths() -> None:
    options = ("--prefix=/usr/share/nginx", "--http-proxy-temp-path=/var/lib/nginx/proxy")
    assert build_option(options, "prefix") == "/usr/share/nginx"
    assert build_option(options, "user") == ""
    assert "/var/lib/nginx/proxy" in temp_paths(options, "/usr/share/nginx")
    assert "/usr/share/nginx/fastcgi_temp" in temp_paths(options, "/usr/share/nginx")
