"""Configuration as HAProxy sees it: inheritance, variables, conditional blocks, several files; and its lossless tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from why502.config import edit
from why502.config.configuration import Configuration
from why502.config.tree import nodes, text
from why502.gateways.haproxy.config import conditions, parse, together
from why502.gateways.haproxy.config.parse import quote
from why502.gateways.haproxy.config.words import expanded, value
from why502.model.config import Route

SHOP = """\
global
    setenv POOL app
    tune.bufsize 32768
defaults base
    mode http
    timeout connect 4s
    timeout server 20s
    option httpchk GET /up
    default-server inter 2s check maxconn 30
defaults slow from base
    no option httpchk
    timeout server 2m
    errorfile 503 /etc/haproxy/down.http
    http-request deny deny_status 429 if { src_http_req_rate gt 10 }
defaults
    mode tcp
frontend web from base
    bind "${ADDRESS-127.0.0.1}:8080"
    acl shop req.hdr(host) -i shop.example.com
    use_backend bk_%[req.hdr(host),lower,map(/etc/haproxy/hosts.map,main)] if TRUE
    default_backend patient
backend bk_main from base
    server-template web 2-4 app.internal:8080 resolvers dns
    server checked 10.0.0.1:80 port 81 addr 10.0.0.2
backend patient from slow
    server a "$POOL.internal:9" disabled no-check
    server b 10.0.0.3:9 cookie ssl
backend raw
    server c 10.0.0.4:5432
backend empty from base
peers mates
    server d 10.0.0.9:1024
"""


def routes(config: Configuration) -> dict[str, Route]:
    """Return the routes by the backend's name."""
    return {route.passes: route for route in config.routes}


def test_each_proxy_has_the_settings_of_its_defaults() -> None:
    found = routes(together([("/h.cfg", SHOP)], {}))
    main, patient, raw = found["bk_main"], found["patient"], found["raw"]
    assert (main.protocol, main.connect_timeout_s, main.read_timeout_s, main.buffer_size_bytes) == ("http", 4.0, 20.0, 32768)
    assert (patient.protocol, patient.connect_timeout_s, patient.read_timeout_s) == ("http", 4.0, 120.0)
    assert (raw.protocol, raw.connect_timeout_s) == ("tcp", 0.0)  # an anonymous `defaults` begins anew
    assert main.settings["option httpchk"][0].args == ("GET", "/up")
    assert "option httpchk" not in patient.settings
    assert patient.settings["errorfile"][0].args == ("503", "/etc/haproxy/down.http")


def test_servers_take_the_options_of_default_server() -> None:
    found = routes(together([("/h.cfg", SHOP)], {}))
    assert [(peer.label, str(peer.target), peer.max_conns) for peer in found["bk_main"].peers] == [
        ("web2", "app.internal:8080", 30),
        ("web3", "app.internal:8080", 30),
        ("web4", "app.internal:8080", 30),
        ("checked", "10.0.0.1:80", 30),
    ]
    assert [str(peer.checked_at) for peer in found["bk_main"].peers] == ["None", "None", "None", "10.0.0.2:81"]
    a, b = found["patient"].peers
    assert (str(a.target), a.is_down, b.is_down, found["patient"].protocol) == ("app.internal:9", True, False, "http")


@pytest.mark.parametrize(
    ("mode", "option", "protocol"),
    [
        ("http", "proto fcgi", "fastcgi"),
        ("http", "proto h2", "http"),
        ("http", "ssl proto h2", "https"),
        ("tcp", "proto fcgi", "tcp"),
    ],
)
def test_servers_of_a_fcgi_app_are_asked_in_fastcgi(mode: str, option: str, protocol: str) -> None:
    text = f"""
fcgi-app php
    docroot /srv/site
    index index.php
listen site
    mode {mode}
    bind 127.0.0.1:8080
    use-fcgi-app php
    server fpm 127.0.0.1:9000 {option}
"""
    assert routes(together([("/h.cfg", text)], {}))["site"].protocol == protocol


def test_a_frontend_leads_to_the_backends_of_an_expression() -> None:
    found = routes(together([("/h.cfg", SHOP)], {}))
    assert {(found[name].server, found[name].listens) for name in ("bk_main", "patient")} == {("web", ("127.0.0.1:8080",))}
    assert found["raw"].server == "raw"


def test_a_backend_without_servers_is_a_group_without_members() -> None:
    assert [(group.name, len(group.peers)) for group in together([("/h.cfg", SHOP)], {}).upstreams] == [
        ("bk_main", 4),
        ("patient", 2),
        ("raw", 1),
        ("empty", 0),
    ]


def test_rules_of_defaults_hold_in_its_proxies() -> None:
    (answer,) = together([("/h.cfg", SHOP)], {}).answers
    assert (answer.server, answer.status, answer.is_limit) == ("patient", 429, True)


def test_several_files_are_one_configuration() -> None:
    first, second = (
        "defaults\n mode http\n timeout server 7s\nfrontend web\n bind :80\n default_backend app\n",
        "backend app\n server a 10.0.0.1:80\n",
    )
    (route,) = together([("/1.cfg", first), ("/2.cfg", second)], {}).routes
    assert (route.server, route.read_timeout_s, str(route.at)) == ("web", 7.0, "/2.cfg:2")


def test_variables_of_the_environment() -> None:
    text = 'backend app\n server a "${HOST}:${PORT-80}"\n server b \'${HOST}\':80\n server c "${LIST[*]}"\n'

    def names(environment: dict[str, str] | None) -> list[str]:
        return [peer.name for peer in together([("/h.cfg", text)], environment).routes[0].peers]

    assert names({"HOST": "10.0.0.7", "LIST": "10.0.0.8:1 check"}) == ["10.0.0.7:80", "${HOST}:80", "10.0.0.8:1"]
    assert names(None) == ["${HOST}:80", "${HOST}:80", "${LIST[*]}"]
    assert names({})[0] == ":80"
    unknown = together([("/h.cfg", text)], None).routes[0]
    assert unknown.has_variables and unknown.peers[0].target is None


def test_secrets_of_the_environment_are_not_read_from_it() -> None:
    text = (
        'userlist u\n user a insecure-password "$WORD"\nfrontend f\n http-request deny deny_status 503 unless { '
        'req.hdr(x) "$WORD" }\n'
    )
    assert "hidden" not in str(together([("/h.cfg", text)], {"WORD": "hidden"}))


def test_conditional_blocks() -> None:
    text = (
        "backend x\n.if {}\n server a 10.0.0.1:1\n.elif {}\n server b 10.0.0.1:2\n.else\n server c 10.0.0.1:3\n.endif\n "
        "server d 10.0.0.1:4\n"
    )

    def labels(first: str, second: str = "0") -> str:
        found = together([("/h.cfg", text.format(first, second))], {"SET": "1"})
        return "".join(peer.label for peer in found.routes[0].peers)

    assert labels("defined(SET)") == "ad"
    assert labels("defined(UNSET)", "streq(a,a)") == "bd"
    assert labels("!defined(SET) || ( 0 && 1 )") == "cd"
    assert labels("0", "1") == "bd"
    assert labels("feature(OPENSSL)", "0") == "acd"  # not known: both, as one of them is in force
    assert labels("feature(OPENSSL)", "1") == "abd"


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("", False),
        ("1", True),
        ("!1", False),
        ("feature(X)", None),
        ("0 && feature(X)", False),
        ("1 || feature(X)", True),
        ("((", None),
        ("strstr(abc,b)", True),
    ],
)
def test_outcomes(condition: str, outcome: bool | None) -> None:
    assert conditions.evaluated(condition, {}) is outcome


def test_nested_conditions_are_bounded() -> None:
    assert conditions.evaluated("!" * 4000 + "1", {}) is None
    chain = "".join(f"defaults d{number} from d{number - 1}\n" for number in range(3000))
    assert together([("/h.cfg", chain + "backend b from d2999\n server a 10.0.0.1:1\n")], {}).routes


def test_words() -> None:
    assert value(r"a\ b\#c\x41") == "a b#cA"
    assert value('\'a "b\'" c"') == 'a "b c'
    assert expanded('"a$B\\$C"', {"B": "1"}, is_complete=True) == ("a1$C",)
    assert expanded('"${A[*]}"', {"A": "x y"}, is_complete=True) == ("x", "y")
    for word in ("a b", "it's", "$X", "", "a\\b", "plain", "\xa0"):
        assert value(quote(word)) == word


@given(
    st.binary(max_size=200) | st.text("ab\\\"'#$ {}\n\t.-[*]\r\xff" + "global", max_size=80).map(lambda x: x.encode("latin-1"))
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_kept(content: bytes) -> None:
    assert text(parse(content, "f")) == content


def test_an_edit_changes_one_word() -> None:
    tree = parse(SHOP.encode(), "/h.cfg")
    line = next(node for node in nodes(tree) if node.args[:1] == ("checked",))
    change = edit.replace_argument(tree, line.at, 2, "10.0.0.1:8080")
    assert edit.apply(SHOP.encode(), [change]).decode() == SHOP.replace("checked 10.0.0.1:80 ", "checked 10.0.0.1:8080 ")
    section = next(node for node in tree.children if node.args[:1] == ("raw",))
    added = edit.apply(SHOP.encode(), [edit.insert(tree, section.at, "timeout queue 5s")]).decode()
    assert "    server c 10.0.0.4:5432\n    timeout queue 5s\n" in added


@pytest.mark.real
def test_haproxy_reads_words_as_we_do(tmp_path: Path) -> None:
    """HAProxy itself names the variables and words of its messages (`.notice`)."""
    words = {r"a\ b\#c": "a b#c", '"x $HOME_OF y"': "x there y", "'$HOME_OF'": "$HOME_OF", '"${UNSET_-d}"': "d"}
    file = tmp_path / "h.cfg"
    file.write_text("".join(f".notice {word}\n" for word in words))
    done = subprocess.run(
        ["/usr/sbin/haproxy", "-c", "-f", file],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME_OF": "there"},
        timeout=10,
        check=False,
    )
    said = [line.rpartition("] : ")[2].strip("'") for line in done.stderr.splitlines() if ".cfg:" in line]
    ours = [" ".join(expanded(word, {"HOME_OF": "there"}, is_complete=True)) for word in words]
    assert ours == list(words.values())
    assert [ours[number] in said[number] for number in range(len(words))] == [True] * len(words), done.stderr


@pytest.mark.parametrize(
    ("servers", "of_route", "of_peers"),
    [
        (("",), "http", ("",)),
        (("ssl verify none",), "https", ("",)),
        (("", "ssl verify none"), "http", ("", "https")),
        (("ssl verify none", ""), "https", ("", "http")),
        (("proto fcgi", ""), "fastcgi", ("", "http")),
        (("ssl proto fcgi",), "tcp", ("",)),
    ],
)
def test_each_server_is_asked_in_its_own_protocol(servers: tuple[str, ...], of_route: str, of_peers: tuple[str, ...]) -> None:
    lines = "".join(f"  server s{number} 127.0.0.1:{9000 + number} {given}\n" for number, given in enumerate(servers))
    text = f"defaults\n  mode http\nlisten site\n  bind :80\n{lines}"
    (route,) = together([("/h.cfg", text)], {}).routes
    assert (route.protocol, tuple(peer.protocol for peer in route.peers)) == (of_route, of_peers)
