"""Every parser of untrusted input, as a function of bytes, with texts to start from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from why502 import bundle
from why502.backends.php_fpm import config as php_fpm
from why502.backends.php_fpm import status as php_fpm_status
from why502.collectors import addresses, backend, kernel, kernel_log, names, pressure
from why502.explanation import explain, pasted
from why502.gateways import detect
from why502.gateways.apache import config as apache
from why502.gateways.apache import testing as apache_testing
from why502.gateways.apache.logs import log_format as apache_log_format
from why502.gateways.haproxy import config as haproxy
from why502.gateways.haproxy import testing as haproxy_testing
from why502.gateways.nginx import build as nginx_build
from why502.gateways.nginx import command_line as nginx_command
from why502.gateways.nginx import testing as nginx_testing
from why502.gateways.nginx.config import units
from why502.gateways.nginx.config.load import load as load_nginx
from why502.gateways.nginx.config.load import load_dump
from why502.gateways.nginx.config.parse import parse as parse_nginx
from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs import error as nginx_error
from why502.gateways.nginx.logs.log_format import COMBINED, MAIN
from why502.host.base import Connection
from why502.linter import suppression
from why502.logs import coded, pretty, stamps
from why502.logs import detect as log_detect
from why502.logs.formats import formats
from why502.logs.phrases import address
from why502.logs.scan import line_format as form
from why502.logs.scan import template
from why502.logs.scan.routes import route
from why502.machine import cgroups, http, last_words, proc_net, sockets
from why502.model import foreign_json, times
from why502.model.errors import HostError, Why502Error
from why502.model.target import Target
from why502.probing import fastcgi, head, http1, http2, memcached, scgi, speech, uwsgi
from why502.probing.line import Failed, Line
from why502.probing.request import Request
from why502.redaction import clean, in_place, redact
from why502.remedies.drop_ins import seconds as systemd_seconds
from why502.render.explanation_lines import Explainer
from why502.session import window as window_option
from why502.supervisors import base
from why502.supervisors.docker import describe as docker
from why502.supervisors.docker import engine as docker_engine
from why502.supervisors.docker import manager as docker_manager
from why502.supervisors.pm2 import manager as pm2
from why502.supervisors.systemd import journal
from why502.supervisors.systemd import manager as systemd_units
from why502.supervisors.systemd import unit_files as systemd

DATA = Path(__file__).parents[1] / "data"
EXPECTED = (Failed, HostError, Why502Error)  # the exceptions by which a parser refuses its input
NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = date(2026, 11, 21)
_NGINX = b"""worker_processes 1; events { worker_connections 64; }
http { log_format a '$remote_addr "$request" $status'; access_log /a a;
 map $http_upgrade $up { default upgrade; '' close; } upstream b { zone b 64k; server 127.0.0.1:1 weight=2 max_fails=0; server unix:/s backup; }
 server { listen 80 default_server; server_name ~^(?<n>.+)\\.x$; location ~ \\.php$ { fastcgi_pass unix:/run/p.sock; fastcgi_read_timeout 1m30s; }
 location / { set $h "a b"; proxy_pass http://b/x$request_uri; proxy_buffers 4 8k; } content_by_lua_block { local s = "}" -- [[ } } } }
"""
_HAPROXY = b"""defaults\n mode http\n timeout connect 5s\nfrontend f\n bind *:80\n default_backend b\nbackend b\n balance roundrobin
 server a 10.0.0.1:80 check weight 10\n server b unix@/run/x backup disabled\nlisten s\n bind :1\n server c [::1]:2 ssl verify required\n"""
_APACHE = b"""Listen 80\n<VirtualHost *:80>\nServerName a\nProxyTimeout 5\n<Proxy balancer://b>\nBalancerMember http://10.0.0.1:80 retry=0
</Proxy>\nProxyPass /x http://127.0.0.1:8080/ timeout=3 \\\n connectiontimeout=500ms\n<Location /y>\nProxyPass balancer://b\n</Location>
ProxyPassMatch ^/(.*\\.php)$ "unix:/run/p.sock|fcgi://localhost/var/www/$1"\n</VirtualHost>\nLogFormat "%h %l %u %t \\"%r\\" %>s" c\nCustomLog logs/a c\n"""
_POOL = (
    b"[global]\nerror_log = /l\n[www]\nuser = ${U}\nlisten = /run/php/$pool.sock\npm = dynamic\npm.max_children = 5\nreque"
    b'st_terminate_timeout = 30s ; x\nphp_admin_value[memory_limit] = "1M"\n'
)
_UNIT = (
    b"[Unit]\nDescription=x\n[Service]\nExecStart=-/usr/bin/gunicorn -b 'a:1' \\\n  --timeout 30 app\nEnvironmentFile=-/e"
    b"\nTimeoutStopSec=1min 30s\n[Install]\nWantedBy=multi-user.target\n"
)
_JSON_LINE = (
    b'{"log":"2026/11/20 22:46:40 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to '
    b'upstream\\n","stream":"stderr","time":"2026-11-20T22:46:40.123456789Z"}'
)
_JOURNAL = (
    b'{"__REALTIME_TIMESTAMP":"1763678800123456","MESSAGE":"x","_PID":"7","_TRANSPORT":"kernel","UNIT":"a.service"}\n{"__R'
    b'EALTIME_TIMESTAMP":"1","MESSAGE":[120,255]}\n'
)
_HTTP = b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
_FASTCGI = (
    fastcgi.record(fastcgi.STDERR, b"Primary script unknown")
    + fastcgi.record(fastcgi.STDOUT, b"Status: 404 Not Found\r\nContent-type: text/html\r\n\r\nx")
    + fastcgi.record(fastcgi.END, bytes(8))
)
_FRAMES = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x03abc"
_SYSTEM = b"""cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\nMemTotal: 100 kB\nsome avg10=0.00 avg60=1.50 avg300=0 total=1
   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12\nTcpExt: A B\nTcpExt: 1 -2\n100000 max\nanon 4096\n12:cpu,cpuacct:/a\n0::/b
25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,memory\n  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 123 1
ffff: 00000002 00000000 00010000 0001 01 456 /run/x.sock\n1 (a) b) S 1 1 1 0 -1 4194304 5 6 7 8 9 10 11 12
nginx version: nginx/1.22.1\nconfigure arguments: --prefix=/usr --with-cc-opt='-g -O2'\n127.0.0.1 localhost a\nnameserver 127.0.0.53\nsearch x
  |-- 127.0.0.1\n     /32 host LOCAL\n[   12.345678] Out of memory: Killed process 7 (a)\n2026-11-20T22:46:40,123456+00:00 x
u_str ESTAB 0 0 /run/a.sock 12 * 13\nnginx: master process /usr/sbin/nginx -g 'daemon on;' -c /etc/nginx.conf\n[emerg] unknown directive "x" in /a:1\n"""
TIMES = (
    *(b"9999-12-31T23:59:59-14:00", b"0001-01-01T00:00:00+14:00", b"2026-02-29T00:00:00Z", b"2026-11-20T24:00:00+00:00"),
    *(b"20/Nov/2026:22:46:40 +0000", b"30/Feb/2026:23:59:60 +9999", b"31/Dec/9999:23:59:59 -1400", b"01/Jan/0001:00:00:00 +1400"),
    *(b"1763678800.123", b"Feb 29 00:00:00", b"2026/11/20 22:46:40", b"Sat Nov 21 00:29:12 2026", b"audit(1763678800.123:45)"),
    *("２０２６-11-20T22:46:40Z".encode(), "٣١/Dec/2026:00:00:00 +0000".encode(), b"15m", b"2h", b"\xc2\xb2h", b"1min 30s"),
)


class Parser(NamedTuple):
    """The function to call, and the texts to start from."""

    name: str
    call: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


class _Played(Connection):
    """A connection whose answer comes in pieces; its first bytes define their sizes."""

    def __init__(self, data: bytes) -> None:
        self._step = 1 + data[0] * 8 if data else 1
        self._left = data[1:]

    def send(self, data: bytes) -> None:
        """Accept anything."""

    def receive(self, timeout_s: float) -> bytes:
        """Return the next piece."""
        part, self._left = self._left[: self._step], self._left[self._step :]
        return part

    def close(self) -> None:
        """Do nothing."""


def text_of(data: bytes) -> str:
    """Return the text as a log reader decodes it."""
    return data.decode("utf-8", "surrogateescape")


@lru_cache(1)
def lines() -> tuple[bytes, ...]:
    """Return a line of every recorded kind."""
    found = [each["line"].encode("utf-8", "surrogateescape") for each in json.loads((DATA / "gateway_lines.json").read_text())]
    for path in sorted((DATA / "applications").iterdir()):
        found += path.read_bytes().split(b"\n")[:40]
    found += [
        (
            b"2026/11/20 22:46:40 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream,"
            b' client: 192.0.2.7, server: _, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "s"'
        ),
        (
            b'192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET /a?b=c HTTP/1.1" 502 157 "-" "curl" 127.0.0.1:1, '
            b"127.0.0.1:2 : 502, 504 0.001"
        ),
        _JSON_LINE,
    ]
    return tuple(dict.fromkeys(line for line in found if line.strip()))


def _probe(ask: Callable[[Line, Request], object], **fields: Any) -> Callable[[bytes], object]:
    request = Request(target=Target(host="127.0.0.1", port=1), **fields)
    return lambda data: ask(Line(_Played(data), float("inf")), request)


def _of_text(*calls: Callable[[str], object]) -> Callable[[bytes], object]:
    def call(data: bytes) -> None:
        text = text_of(data)
        for each in calls:
            each(text)

    return call


def _of_bytes(*calls: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def call(data: bytes) -> None:
        for each in calls:
            each(data)

    return call


def _nginx(data: bytes) -> None:
    load_nginx(lambda _: data, lambda _: (), "/etc/nginx/nginx.conf", version="1.22.1")


def _log_format(data: bytes) -> None:
    given, _, line = data.partition(b"\n")
    text = text_of(given)
    for escape in ("default", "json", "none"):
        nginx_access.compile(text, escape).parse(text_of(line))


def _error_log(data: bytes) -> None:
    text = text_of(data)
    nginx_error.continues(text)
    nginx_error.parse(text)


def _times(data: bytes) -> None:
    text = text_of(data)
    for each in (
        stamps.find,
        times.of_iso,
        coded.clf,
        coded.local,
        coded.msec,
        coded.number,
        coded.seconds,
        times.zone_of,
        systemd_seconds,
        units.time,
    ):
        each(text)
    for call in (
        lambda: pasted.bare(text, DAY),
        lambda: window_option.moment(text, NOW, "--since"),
        lambda: coded.epoch(float(text)),
        lambda: base.moment(text),
    ):
        try:
            call()
        except (ValueError, Why502Error):
            pass


def _scan(data: bytes) -> None:
    head_lines = text_of(data).split("\n")
    template.infer(head_lines)
    found = form.find(data)
    found.parser()(head_lines[0])


def _w3c(data: bytes) -> None:
    template.w3c(("date", "time", "c-ip", "sc-status", "time-taken"))(text_of(data))


def _pm2(data: bytes) -> None:
    for row in pm2._rows(data):
        env = row.get("pm2_env")
        if isinstance(env, dict):
            pm2._service(str(row.get("name")), 1, env, pm2._described(env), "/")


def _docker(data: bytes) -> None:
    try:
        found = foreign_json.decode(data)
    except ValueError:
        return
    if isinstance(found, dict):
        container = docker.inspected(docker.listed("docker", "/s", 0, found), found)
        docker_manager.of_container(container)
        docker.by_name(docker.events(data))


def _bundle(data: bytes) -> None:
    bundle.load(gzip.compress(data, 1), "x")


@lru_cache(1)
def parsers() -> tuple[Parser, ...]:
    """Return all of them."""
    every = lines()
    http_pieces = (bytes([1]) + _HTTP, bytes([60]) + _HTTP)
    made = [
        Parser(
            f"format-{each.NAME}",
            _of_text(each.parse, lambda text, each=each: each.fits([text])),  # type: ignore[misc]
            tuple(line for line in every if each.parse(text_of(line)) is not None)[:40] or every[:10],
        )
        for each in formats()
    ]
    bundles = (b'{"schema":"why502.bundle/2","snapshot":{"at":"2026-11-20T22:46:40Z"}}',)
    return (
        *made,
        Parser("log-any", _of_text(log_detect.parse_any), every),
        Parser("log-detect", _of_text(lambda text: log_detect.detect([text])), every),
        Parser("log-unwrap", _of_text(lambda text: pasted.bare(text, DAY), pasted.repaired), (*every, _JSON_LINE, *TIMES)),
        Parser("log-nginx-error", _error_log, every),
        Parser("log-format", _log_format, (COMBINED.encode() + b"\n" + every[-2], MAIN.encode() + b"\n" + every[-2],
        b'{"a":"$status","t":"$msec"}\n{"a":"502","t":"1.2"}')),
        Parser("log-scan", _scan, (*every, b"a\tb:c\tstatus:502\n", b"#Fields: date time sc-status\n2026-11-20 22:46:40 502\n")),
        Parser("log-w3c", _w3c, (b"2026-11-20 22:46:40 10.0.0.1 502 12",)),
        Parser("log-pretty", _of_bytes(pretty.is_spread, pretty.joined), (b'{\n  "a": 1\n}\n{\n "b": 2,\n}\n',)),
        Parser("log-routes", _of_text(route), (b"GET /a/12/0123456789abcdef?x HTTP/1.1",)),
        Parser("log-redact", _of_text(redact, clean, in_place), every),
        Parser("log-address", _of_text(address, Target.parse), (b"('::', 80)", b"http://[::1]:80/x", b"unix:/run/x:", b"*:80")),
        Parser("log-apache-format", _of_text(apache_log_format.is_one, apache_log_format.as_nginx,
        lambda text: apache_log_format.of_logs([text], {})), (_APACHE,)),
        Parser("log-last-words", _of_text(lambda text: last_words.last_words(text.splitlines())), every),
        Parser("explain", _of_text(explain), every),
        Parser("explain-lines", lambda data: list(Explainer().explain([data + b"\n"])), every),
        Parser("times", _times, TIMES),
        Parser("json", lambda data: _quiet(foreign_json.decode, data), (_JSON_LINE, b'{"a":"\xff"}')),
        Parser("nginx", _nginx, (_NGINX,)),
        Parser("nginx-tree", lambda data: parse_nginx(data, "x"), (_NGINX,)),
        Parser("nginx-dump", load_dump, (b"# configuration file /a:\n" + _NGINX,)),
        Parser("haproxy", lambda data: haproxy.load(text_of(data), "x"), (_HAPROXY,)),
        Parser("apache", lambda data: apache.load(text_of(data), "x"), (_APACHE,)),
        Parser("php-fpm", lambda data: php_fpm.pools(php_fpm.parse(data, "x")), (_POOL,)),
        Parser("systemd", lambda data: systemd.parse(data, "/etc/systemd/system/x.service").argv, (_UNIT,)),
        Parser("config-kind", _of_text(detect.kind), (_NGINX, _HAPROXY, _APACHE)),
        Parser("suppression", _of_text(lambda text: suppression.read({"x": text})),
        (b"a; # why502: ignore wrong-port -- reason\n; why502: ignore-file a, b -- c\n",)),
        Parser("probe-head", _of_bytes(lambda data: head.parse(data, is_strict=True), speech.identify), (_HTTP,)),
        Parser("probe-http", _probe(http1.ask), http_pieces),
        Parser("probe-http2", _probe(http2.ask), (b"\x08\0\0\x12\x04\0\0\0\0\0",)),
        Parser("probe-fastcgi", _probe(fastcgi.ask, script="/x.php"), (b"\1" + _FASTCGI, b"\x40" + _FASTCGI)),
        Parser("probe-fastcgi-look", _probe(fastcgi.ask), (b"\x08" + fastcgi.record(fastcgi.GET_VALUES_RESULT, b"x", 0),)),
        Parser("probe-uwsgi", _probe(uwsgi.ask), http_pieces),
        Parser("probe-scgi", _probe(scgi.ask), http_pieces),
        Parser("probe-memcached", _probe(memcached.ask), (b"\x08VERSION 1.6\r\n", b"\x08END\r\n")),
        Parser("php-fpm-status", _of_bytes(php_fpm_status.decode, php_fpm_status.parse),
        (_FASTCGI, b"pool: www\nactive processes: 1\n")),
        Parser("http-answer", _of_bytes(lambda data: http._is_whole(bytearray(data)), http._joined),
        (_HTTP, b"5\r\nhello\r\n0\r\n\r\n")),
        Parser("docker-output", _of_bytes(docker_engine.unframed), (_FRAMES,)),
        Parser("docker-state", _docker,
        ((b'{"Name":"/a","State":{"Status":"exited","ExitCode":137,"StartedAt":"2026-11-20T22:46:40.1Z"},"Config":{"Env"'
                b':["A=b"],"Cmd":["x"]},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"80"}]}},"NetworkSettings":{"Netwo'
                b'rks":{"n":{"IPAddress":"172.18.0.2","Aliases":["a"]}}}}'),
                b'{"Action":"die","time":1795219209,"Actor":{"ID":"ab","Attributes":{"name":"a","exitCode":"137"}}}')),
        Parser("pm2", _pm2,
        ((b'[{"name":"a","pid":7,"pm2_env":{"status":"online","pm_uptime":1763678800123,"restart_time":3,"args":"a b","e'
                b'nv":{"PORT":1}}}]'),)),
        Parser("journal", _of_text(journal.parse), (_JOURNAL,)),
        Parser("systemctl-show", _of_text(lambda text: list(systemd_units.parse_show(text)), systemd_units.parse_unit_file),
        ((DATA / "services/systemd_252_show.txt").read_bytes()[:3000], _UNIT)),
        Parser("dmesg", _of_text(kernel_log.parse_iso, lambda text: kernel_log.parse_seconds(text, NOW)), (_SYSTEM,)),
        Parser("proc", _of_bytes(
            lambda data: list(sockets.parse_tcp(data)), proc_net.parse_tcp, proc_net.parse_unix, pressure.parse_psi,
            pressure.parse_stat,
            pressure.parse_meminfo, pressure.parse_diskstats, kernel.parse_netstat, kernel.parse_file_nr, kernel.parse_conntrack,
            cgroups.parse_mounts, cgroups.parse_paths, cgroups.parse_quota, cgroups.parse_table, backend.parse_ticks,
            lambda data: names.parse_hosts(data, "a"), names.parse_name_servers, nginx_build.parse_build,
        ), (_SYSTEM,)),
        Parser("commands", _of_text(
            addresses.parse_ip, addresses.parse_fib_trie, addresses.parse_if_inet6, nginx_testing.problems,
            haproxy_testing.problems, apache_testing.problems,
            lambda text: nginx_command.parse_title(tuple(text.split("\0"))), names.parse_ahosts, base.words,
        ), (_SYSTEM, b'[{"addr_info":[{"local":"10.0.0.1"}]}]')),
        Parser("bundle", _bundle, bundles),
    )  # fmt: skip


def _quiet(call: Callable[[Any], object], data: object) -> None:
    """Wrap a call that raises ValueError for invalid input."""
    try:
        call(data)
    except ValueError:
        pass
