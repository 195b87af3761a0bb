"""Options of a site: what is refused, with the option's name; and no accepted value can end a directive."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from sites import AT, given, make

from why502.config.tree import nodes
from why502.gateways.nginx.config import parse
from why502.generate import options, safe
from why502.generate.kind import kinds
from why502.generate.safe import UnsafeError, fill
from why502.generate.work import generate
from why502.host.base import Finished
from why502.host.local import LocalHost
from why502.model.errors import Why502Error

BAD = (
    ("--domain", "a}b"), ("--domain", "a;b"), ("--domain", "$host"), ("--domain", 'a"b'), ("--domain", "a\nb"),
    ("--domain", "-a.b"),
    ("--domain", "a" * 64 + ".example"), ("--domain", "bücher.example"), ("--app", "localhost"), ("--app", "0.0.0.0:80"),
    ("--app", "10.0.0.5:99999"), ("--app", "unix:/run/a;b"), ("--app", "a b:80"), ("--app", "10.0.0.5:80=0"),
    ("--websocket", "/a;b"),
    ("--websocket", "ws"), ("--stream", "/a{b"), ("--stream", "/../etc"), ("--tls", "cert.pem"), ("--tls", "/a.pem,/b'.pem"),
    ("--name", "a;b"), ("--name", "1a"), ("--resolver", "dns.example"), ("--limit", "20"), ("--limit", "0r/s"),
    ("--max-body", "10x"),
    ("--read-timeout", "500ms"), ("--read-timeout", "1y"), ("--fail-timeout", "0s"), ("--port", "0"), ("--port", "70000"),
    ("--method", "fair"), ("--protocol", "ftp"), ("--acme-root", "/a b"), ("--log-dir", "/var/$log"), ("--cache-dir", "relative"),
    ("--nginx-version", "1.9"), ("--nginx-version", "9.1.0"), ("--nginx-version", "new"), ("--app-idle", "1s"),
)  # fmt: skip


@pytest.mark.parametrize(("option", "value"), BAD)
def test_a_bad_value_is_refused_with_the_name_of_its_option(option: str, value: str) -> None:
    more = "" if option == "--app" else "--app 127.0.0.1:3000"
    with pytest.raises(Why502Error) as refused:
        make("nginx", f"{more} {option} {shlex.quote(value)}")
    assert refused.value.message.startswith(option), refused.value.message
    assert refused.value.hint
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "line",
    [
        "--app 1 --app 1",
        "--app 1=2",
        "--app 1 --backup 2 --method ip-hash",
        "--app 1 --max-fails 2",
        "--app 1 --protocol fastcgi",
        "--app 1 --root /srv",
        "--app 1 --protocol uwsgi --websocket /ws/",
        "--app 1 --protocol grpc --domain a.example --tls auto",
        "--app 1 --tls auto",
        "--app 1 --limit-dry-run",
        "--app 1 --websocket /a --stream /a",
        "--app 1 --read-timeout 10s --app-timeout 20s",
        "--app a.internal:1 --app b.internal:2 --resolver 127.0.0.53 --nginx-version 1.22.1",
        "--app 1 --domain a.example --port 443",
        "--app 1 --protocol https",
    ],
)
def test_options_that_contradict_each_other_are_refused(line: str) -> None:
    with pytest.raises(Why502Error) as refused:
        make("nginx", line)
    assert refused.value.hint


@settings(max_examples=300, deadline=None)
@given_by(st.text(max_size=30))
def test_no_text_reaches_the_file_unquoted(text: str) -> None:
    for check in (options.domain, options.path, options.name):
        try:
            value = check("--option", text)
        except Why502Error:
            continue
        tree = parse(f"http {{ server {{ server_name {safe.nginx(value)}; }} }}".encode(), "/etc/nginx/nginx.conf")
        assert not tree.problems
        (directive,) = (node for node in nodes(tree) if node.name == "server_name")
        assert [word.value for word in directive.words] == ["server_name", value]


@settings(max_examples=200, deadline=None)
@given_by(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_quoted_word_is_read_as_it_was(text: str) -> None:
    try:
        word = safe.nginx(text)
    except UnsafeError:
        assert "$" in text or not text.isprintable()
        return
    tree = parse(f"return 200 {word};".encode(), "/etc/nginx/nginx.conf")
    assert not tree.problems
    (directive,) = nodes(tree)
    assert directive.words[2].value == text


def test_a_template_takes_only_what_was_quoted() -> None:
    from why502.generate.remark import Section

    with pytest.raises(UnsafeError):
        fill("sections.j2", sections=(Section(title="[raw]", rows=()),), mark=safe.Safe("# "))  # type: ignore[arg-type]


def test_weights_follow_the_order_of_the_servers() -> None:
    by_option = make("nginx", "--app 3000 --app 3001 --weight 3 --weight 1").made.documents
    assert by_option == make("nginx", "--app 3000=3 --app 3001").made.documents
    assert "server 127.0.0.1:3000 weight=3 max_fails=3;" in by_option[0].body
    for line in (
        "--app 3000 --app 3001 --weight 3",
        "--app 3000=2 --app 3001 --weight 3 --weight 1",
        "--app 1 --app 2 --weight 0 --weight 1",
    ):
        with pytest.raises(Why502Error) as refused:
            make("nginx", line)
        assert refused.value.message.startswith("--weight")


class Limited(LocalHost):
    """This machine, whose nginx.service has that LimitNOFILE."""

    limit = ""

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        if "LimitNOFILE" in argv:
            return Finished(status=0, stdout=f"{self.limit}\n", stderr="")
        return super().run(*argv, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("limit", "connections"), [("524288", 4096), ("4096", 1536), ("1024", 512), ("infinity", 4096), ("", 4096)]
)
def test_connections_fit_into_the_files_of_the_unit(limit: str, connections: int) -> None:
    host = Limited()
    host.limit = limit
    (file,) = generate(kinds()["nginx"], given("nginx", ["--app", "3000", "--whole"]), host, AT).files
    assert f"worker_connections {connections};" in file.text
    assert f"worker_rlimit_nofile {2 * connections + 1024};" in file.text
    assert (f"LimitNOFILE={limit} of nginx.service permits no more" in file.text) is (connections < 4096)


def test_localhost_and_a_bare_port_are_one_address() -> None:
    text = make("nginx", "--app 3000").files[0].text
    assert "server 127.0.0.1:3000;" in text
    assert make("nginx", "--app localhost:3000").made.documents == make("nginx", "--app 3000").made.documents


def test_the_head_makes_the_same_file_again() -> None:
    first = make("nginx", "--app 3000 --domain shop.example --websocket /ws/ --limit 20r/s --limit-dry-run").files[0]
    repeat = next(line for line in first.text.splitlines() if line.startswith("# Repeat: "))
    program, command, kind, *words = shlex.split(repeat.removeprefix("# Repeat: "))
    assert (program, command, kind) == ("why502", "generate", "nginx")
    assert make("nginx", shlex.join(words)).files[0].text == first.text


def test_each_value_that_is_not_the_default_has_its_reason() -> None:
    text = make("nginx", "--app 3000 --domain shop.example --app-idle 20s --app-timeout 60s").files[0].text
    assert "# the application closes idle connections after 20 s; the proxy must close first\n    keepalive_timeout 19s;" in text
    assert "# the application's own limit is 60 s; it must end first\n    proxy_read_timeout 65s;" in text
    bare = make("nginx", "--app 3000 --domain shop.example --no-comments").files[0].document.body
    assert "#" not in bare


# What the options say, or the block that it is in: who passes where, under which name, what an error page is.
STATED = frozenset(
    """server_name listen http2 upstream server location internal types default_type add_header return root index include
    ssl_certificate_key proxy_ssl_name proxy_ssl_trusted_certificate proxy_pass fastcgi_pass uwsgi_pass grpc_pass set
    fastcgi_param default ~*application/json '' fastcgi_cache_key""".split()
)
FOUR = "--app 10.0.0.5:3000 --app 10.0.0.6:3000 --app 10.0.0.7:3000 --app 10.0.0.8:3000 --domain shop.example"
MUCH = "--websocket /ws/ --stream /events --max-body 50m --response-header 9k --limit 20r/s --cache-stale 10m"
OTHERS = "--protocol https --app-name app.internal --method least-conn --limit 1r/s --limit-dry-run"


@pytest.mark.parametrize(
    "line",
    [
        f"{FOUR} --tls auto {MUCH}",
        f"{FOUR} --tls /etc/a.pem,/etc/a.key {OTHERS}",
        "--app unix:/run/php.sock --protocol fastcgi --root /var/www --max-body 50m --read-timeout 90s --cache-stale 1m",
        "--app app.internal:3000 --resolver 127.0.0.53 --app-idle off --method ip-hash",
        "--app 127.0.0.1:50051 --protocol grpc",
    ],
)
@pytest.mark.parametrize("version", ["1.18.0", "1.22.1", "newest"])
def test_each_directive_states_an_option_or_has_its_reason_above(line: str, version: str) -> None:
    for file in make("nginx", f"{line} --nginx-version {version}").files:
        reasoned = ""  # the directives that the last comment is about
        for text in map(str.strip, file.document.body.splitlines()):
            word = text.split(" ")[0].rstrip(";")
            family = word.rpartition("_")[0] or word
            if text.startswith("#"):
                reasoned = "next"
            elif not text or text == "}" or text.startswith("'"):
                reasoned = ""
            elif reasoned == "next" or word.startswith(reasoned or "-"):
                reasoned = family
            else:
                assert word in STATED, text


def test_a_default_is_not_written() -> None:
    assert "proxy_read_timeout" not in make("nginx", "--app 3000 --read-timeout 60s").files[0].text
    newest = make("nginx", "--app 3000 --nginx-version newest").files[0].text
    assert "proxy_http_version" not in newest
    assert "keepalive 32" not in newest
