"""Version and configure arguments, read from binaries; `nginx -V` of the real one is the oracle."""

from __future__ import annotations

import subprocess

import msgspec
import pytest
from nginx_real import PROGRAM, needs_nginx

from why502.gateways.nginx.build import Build, build_option, parse_build, read_build
from why502.gateways.nginx.writes import written_directories, written_files
from why502.host.local import LocalHost
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.proxy import ConfigFile, Proxy


@pytest.mark.real
@needs_nginx
def test_the_binary_contains_what_it_prints() -> None:
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


def test_files_that_it_writes() -> None:
    build = ("--prefix=/usr/share/nginx", "--http-proxy-temp-path=/var/lib/nginx/proxy")
    assert build_option(build, "prefix") == "/usr/share/nginx"
    assert build_option(build, "user") == ""
    logs = (LogTarget(kind=LogKind.ACCESS, path="/var/log/a.log"), LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.STDERR))
    proxy = Proxy(prefix="/usr/share/nginx", build=build, logs=logs, pid_file="/run/nginx.pid")
    assert written_files(proxy) == ("/var/log/a.log", "/run/nginx.pid")
    assert "/var/lib/nginx/proxy" in written_directories(proxy)
    assert "/usr/share/nginx/fastcgi_temp" in written_directories(proxy)
    text = """http {
        # fastcgi_temp_path /no;
        proxy_temp_path "cache/tmp" 1 2; proxy_cache_path /data levels=1:2 keys_zone=a:1m;
    }"""
    named = msgspec.structs.replace(proxy, files=(ConfigFile(path="/etc/nginx/nginx.conf", text=text),))
    assert {"/usr/share/nginx/cache/tmp", "/usr/share/nginx/fastcgi_temp"} <= set(written_directories(named))
    assert not {"/var/lib/nginx/proxy", "/no"} & set(written_directories(named))
    assert "/var/lib/nginx/proxy" in written_directories(named, all_built_in=True)
