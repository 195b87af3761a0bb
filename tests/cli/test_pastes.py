"""The causes found in a few pasted lines: several programs, wrapped lines, similar causes."""

from __future__ import annotations

import json

import pytest
from asking import ask
from sampled import sampled

from why502.session.looking import FRAGMENT_BYTES

PASTES = [
    (  # one error wrapped over several lines, the first one after a container's name
        "port-443",
        [
            "edge | 2026/11/20 09:00:01 [error] 9#9: *2 SSL_do_handshake() failed ",
            "(SSL: error:0A00010B:SSL routines::wrong version number) ",
            'while SSL handshaking to upstream, client: 10.0.0.9, upstream: "https://10.0.0.4:8080/"',
        ],
        "wrong-protocol",
    ),
    (  # each line marked as code
        "backticks",
        [
            "2026/11/20 09:00:01 [crit] 9#9: *2 connect() to `",
            "`unix:/run/shop.sock failed (2: No such file or directory) while `",
            "`connecting to upstream, client: 10.0.0.9, server: shop, `",
            '`request: "GET / HTTP/1.1", upstream: "http://unix:/run/shop.sock:/"`',
        ],
        "unix-socket-missing",
    ),
    (  # an application's own error beside its consequences
        "port-in-use",
        ["Error: bind EADDRINUSE 0.0.0.0:3000", "    at Server.setupListenHandle (node:net:1463:16)",
        "[PM2] App [shop:0] exited with code [1] via signal [SIGINT]"],
        "port-conflict",
    ),
    (
        "no-ipv6",
        [
            ("2026/11/20 09:00:01 [crit] 9#9: *2 connect() to [2001:db8::7]:443 failed (99: Cannot assign requested "
                    "address) while connecting to "
            'upstream, client: 10.0.0.9, server: shop, request: "GET / HTTP/1.1", upstream: '
                    '"https://[2001:db8::7]:443/", host: "shop"')
        ],
        "wrong-address",
    ),
    (
        "no-ports",
        [
            ("2026/11/20 09:00:01 [crit] 9#9: *2 connect() to 10.0.0.7:80 failed (99: Cannot assign requested address) "
                    "while connecting to "
            'upstream, client: 10.0.0.9, server: shop, request: "GET / HTTP/1.1", upstream: "http://10.0.0.7:80/", host: "shop"')
        ],
        "ephemeral-ports-exhausted",
    ),
    ("behind-a-program",
    ['deploy failed: nginx: [emerg] invalid port in upstream "10.0.0.7:http" in /etc/nginx/conf.d/shop.conf:4'],
    "proxy-config-invalid"),
    ("name-server",
    ["2026/11/20 09:00:01 [alert] 9#9: send() failed (22: Invalid argument) while resolving, resolver: 10.0.0.2:53"],
    "dns-resolver-failure"),
    (
        "no-directory",
        ["[Fri Nov 20 09:00:01 2026] [error] (2)No such file or directory: proxy: search for temporary directory failed"],
        "proxy-temp-unwritable",
    ),
    (
        "looked-up",
        ["[Fri Nov 20 09:00:01 2026] [error] [client 10.0.0.9] proxy: DNS lookup failure for: app.internal returned by /shop"],
        "dns-host-not-found",
    ),
    (  # the cause and its consequence in the same log
        "no-socket",
        [
            ("[Fri Nov 20 09:00:01.000001 2026] [proxy:error] [pid 41:tid 42] (13)Permission denied: AH00952: HTTP: "
                    "error creating fam 2 socket for target app"),
            ("[Fri Nov 20 09:00:01.000002 2026] [proxy:error] [pid 41:tid 42] AH00959: ap_proxy_connect_backend "
                    "disabling worker for (app) for 60s"),
        ],
        ("apparmor-denied", "sandbox-network-denied", "selinux-denied"),
    ),
    (
        "late",
        [('{"response_flags":"UF,URX","response_code":"0","duration":"10004","upstream_host":"10.0.0.7:7600","upstream_t'
                'ransport_failure_reason":"-"}')],
        "connect-timeout",
    ),
    (  # lines of two programs, neither a part of the other
        "two-programs",
        [
            ('2026/11/20 09:00:01 [error] 9#9: *2 upstream prematurely closed connection while reading response header '
                    'from upstream, upstream: "uwsgi://10.0.0.7:3031"'),
            "invalid request block size: 5120 (max 4096)...skip",
        ],
        "request-header-too-big",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "causes"), sampled([paste[1:] for paste in PASTES], 4), ids=[paste[0] for paste in PASTES])
def test_a_paste_leads_to(lines: list[str], causes: str | tuple[str, ...]) -> None:
    text = "\n".join(lines).encode() + b"\n"
    answer = ask("diagnose", "--offline", "--log", "-", "--since", "1970-01-01T00:00Z", "--format", "json", stdin=text)
    assert json.loads(answer.out)["findings"][0]["cause"] in ((causes,) if isinstance(causes, str) else causes)


@pytest.mark.parametrize("mark", ["", "> > ", "error.log:7:"])
def test_a_short_log_that_is_given_is_repaired(mark: str) -> None:
    """The quotation marks of an HTML page hide the fields of nginx's lines from its reader."""
    line = (
        "2026/11/20 09:00:01 [error] 9#9: *2 upstream sent too big header while reading response header from upstream, "
        'client: 10.0.0.9, server: shop, request: "GET / HTTP/1.1", upstream: "http://10.0.0.4:8080/"'
    )
    text = f"{mark}{line.replace(chr(34), '&quot;')}\n".encode()
    answer = ask("diagnose", "--offline", "--log", "-", "--since", "1970-01-01T00:00Z", "--format", "json", stdin=text)
    assert json.loads(answer.out)["findings"][0]["target"] == "10.0.0.4:8080"


def test_a_long_log_is_read_as_it_is() -> None:
    line = b"> 2026/11/20 09:00:01 [error] 9#9: *2 connect() failed (111: Connection refused), upstream: &quot;http://10.0.0.4:8080/&quot;\n"
    argv = ("diagnose", "--offline", "--log", "-", "--since", "1970-01-01T00:00Z", "--format", "json")
    answer = ask(*argv, stdin=line * (FRAGMENT_BYTES // len(line) + 1))
    assert "10.0.0.4:8080" not in {finding["target"] for finding in json.loads(answer.out)["findings"]}
